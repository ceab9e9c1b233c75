"""When a group was rebalanced, and whether it has come to rest, as samples of it tell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab_env.observation.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

CLASSIC = ("PreparingRebalance", "CompletingRebalance")  # nobody can tell the owners meanwhile
REBALANCING = (*CLASSIC, "Assigning", "Reconciling")  # the last two in the new protocol (KIP-848)
CALM = 1.5  # seconds for which a group has been the same that is at rest


class Rebalance:
    """A rebalance from the first sample that told of it to the first that did not."""

    def __init__(self, begin: float):
        self.begin = begin
        self.end: float | None = None

    def seconds(self, now: float) -> float:
        """Return how long it has lasted, seen at ``now``."""
        return max((now if self.end is None else self.end) - self.begin, 0.0)


def is_calm(samples: Sequence[Sample], group: str, *, members: bool = True) -> bool:
    """Return whether a group has been stable, with the same owners, for `CALM` seconds.

    Args:
        samples: in order of time.
        group: real name; a sample that does not know it is no rest.
        members: whether a group that nobody is in does not count.
    """
    if not samples:
        return False
    last = samples[-1]
    for sample in reversed(samples):
        seen = sample.groups.get(group)
        if seen is None or seen.state != "Stable" or seen.owners != last.groups[group].owners:
            return False
        if members and not seen.members:
            return False
        if last.time - sample.time >= CALM:
            return True
    return False


def rebalances(samples: Sequence[Sample], group: str) -> "pd.DataFrame":
    """Return the rebalances that samples tell of; see `lab_env.lab.Lab.rebalances`.

    A change of owners between two stable samples is one too: it was quicker than two looks.

    Args:
        samples: in order of time.
        group: real name.
    """
    import pandas as pd

    rows: list[list] = []
    owners: dict = {}
    before: float | None = None  # when it was last seen at rest
    open_ = False
    for sample in list(samples):
        seen = sample.groups.get(group)
        if seen is None or group in sample.stale:
            continue
        if seen.state in REBALANCING:
            if not open_:
                rows.append([sample.time, None, None, 0, 0])
            open_ = True
            continue
        changed = seen.state == "Stable" and before is not None and seen.owners != owners
        if not open_ and changed and owners:
            rows.append([before, None, None, 0, 0])
            open_ = True
        if open_:
            moved = sum(owners.get(at) not in (None, name) for at, name in seen.owners.items())
            rows[-1][1:] = [sample.time, sample.time - rows[-1][0], len(seen.members), moved]
            open_ = False
        owners, before = seen.owners, sample.time
    kinds = {"begin": "float64", "end": "float64", "seconds": "float64"}
    kinds |= {"members": "int64", "moved": "int64"}
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)

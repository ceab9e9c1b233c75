"""When a group was rebalanced, and whether it has come to rest, as samples of it tell."""

from collections.abc import Sequence

from lab_env.observation.sample import Sample

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

"""What a group has committed, what its services have reported, and what was lost or came twice."""

from bisect import bisect_left, insort
from collections import deque

from lab_env.observation.sample import Sample

SETTLE = 1.0  # seconds for which a record must be missing before it is called lost
LOOK = 0.5  # seconds that count at the most from one sample to the next: nobody looked in between


class Handled:
    """What services have reported of one partition, as offsets."""

    def __init__(self) -> None:
        self.offsets: list[int] = []  # different ones, in order
        self.twice: set[int] = set()

    def add(self, offset: int) -> None:
        """Take in that a record was handled."""
        at = bisect_left(self.offsets, offset)
        if at < len(self.offsets) and self.offsets[at] == offset:
            self.twice.add(offset)
        else:
            insort(self.offsets, offset)

    @property
    def furthest(self) -> int:
        """The offset after the furthest one that was handled."""
        return self.offsets[-1] + 1 if self.offsets else 0

    def missing(self, begin: int, end: int) -> int:
        """Return how many offsets from ``begin`` up to (not including) ``end`` nobody handled."""
        if end <= begin:
            return 0
        return end - begin - (bisect_left(self.offsets, end) - bisect_left(self.offsets, begin))


class Lasting:
    """A number that is believed once it has lasted: the least of the last second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # since when it was never less than that

    def at(self, time: float, value: int) -> int:
        """Take in a value and return what has lasted for `SETTLE` seconds."""
        begin = time
        while self._seen and self._seen[-1][1] >= value:
            begin, _ = self._seen.pop()
        self._seen.append((begin, value))
        while len(self._seen) > 1 and time - self._seen[1][0] >= SETTLE:
            self._seen.popleft()
        since, lasted = self._seen[0]
        return lasted if time - since >= SETTLE else 0


class DeliveryLedger:
    """The accounts of one group in one topic, from the moment at which the picture began.

    A record is **lost** when the group has committed past it and no service has reported it, while
    a later record of its partition was handled, or while the group handles nothing any more: what
    a slow service still works on is not lost. It must have been so for a second of samples: a gap
    between two counts for half a second at the most. A record came
    **twice** when it was reported more than once.

    Args:
        topic, group: real names.

    Attributes:
        reported: whether any service has said what it handles.
        produced, committed, lost: how many, as of the newest sample.
    """

    def __init__(self, topic: str, group: str):
        self._topic, self._group = topic, group
        self._recent: list[tuple[int, int]] = []  # what was reported since the newest sample
        self.reset()

    def reset(self) -> None:
        """Begin anew: the topic was made anew."""
        self.reported = False
        self.produced = self.committed = self.lost = 0
        self._handled: dict[int, Handled] = {}
        self._base: dict[int, int] = {}  # from here on the records of a partition are counted
        self._ends: dict[int, int] = {}
        self._given_up: dict[int, int] = {}  # before this nobody is expected to handle anything
        self._missing = Lasting()
        self._clock = 0.0  # seconds that were looked at
        self._sampled: float | None = None  # when the newest sample was taken
        self._moved = 0.0  # when, by that clock, the group last handled or committed something

    def report(self, row: dict) -> bool:
        """Take in a report, and return whether it belongs to this group and topic."""
        if "handled" not in row or row.get("topic", self._topic) != self._topic:
            return False
        partition, offset = row.get("partition"), row.get("offset")
        if row.get("group", self._group) != self._group:
            return False
        if type(partition) is not int or type(offset) is not int:
            return False
        self._recent.append((partition, offset))
        self._note(partition, offset)
        self._moved = self._clock
        return True

    def _note(self, partition: int, offset: int) -> None:
        self.reported = True
        self._handled.setdefault(partition, Handled()).add(offset)

    def take(self, sample: Sample) -> bool:
        """Take in a sample, and return whether it knows the topic."""
        ends = {p: end for (topic, p), end in sample.ends.items() if topic == self._topic}
        if any(ends.get(p, 0) < end for p, end in self._ends.items()):
            self.reset()
            for place in self._recent:
                self._note(*place)
        self._recent.clear()
        # a computer that was frozen for a minute has not seen anything last for a minute
        if self._sampled is not None:
            self._clock += min(max(sample.time - self._sampled, 0.0), LOOK)
        self._sampled = sample.time
        self._ends = ends
        group = sample.groups.get(self._group)
        known = group.committed if group else {}
        before, self.produced, self.committed, missing = self.committed, 0, 0, 0
        for partition, end in ends.items():
            start = sample.starts.get((self._topic, partition), 0)
            upto = known.get((self._topic, partition), 0)
            # a group that was set back has its records before it again
            base = min(self._base.get(partition, upto or start), upto or end)
            self._base[partition] = base
            self.produced += end - base
            self.committed += max(upto - base, 0)
            handled = self._handled.get(partition, Handled())
            passed = max(handled.furthest, self._given_up.get(partition, 0))
            missing += handled.missing(base, min(upto, passed))
        if self.committed != before:
            self._moved = self._clock
        elif self._clock - self._moved >= SETTLE:  # else somebody is at work, and may come to it
            self._given_up = {p: known.get((self._topic, p), 0) for p in ends}
        self.lost = self._missing.at(self._clock, missing) if self.reported else 0
        return bool(ends)

    @property
    def handled(self) -> int:
        """How many different records were handled."""
        return sum(len(one.offsets) for one in self._handled.values())

    @property
    def twice(self) -> int:
        """How many records were handled more than once."""
        return sum(len(one.twice) for one in self._handled.values())

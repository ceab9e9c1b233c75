"""What a picture remembers: numbers over time, and rates from counts that only grow."""

from bisect import bisect_left
from collections import deque
from itertools import pairwise
from statistics import median

NAN = float("nan")
SPACINGS = 30  # samples from which it is told how often one comes
RATE_SPAN = 0.9  # seconds that a rate is taken over, so that it does not jump with each sample


class Spacing:
    """How far apart the last samples are that the broker answered."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=SPACINGS)

    def add(self, time: float) -> None:
        """Note when a sample was taken, s."""
        self._times.append(time)

    @property
    def words(self) -> str:
        """The median, in seconds with a tenth."""
        gaps = [after - before for before, after in pairwise(self._times)]
        return f"{max(median(gaps) if gaps else 0.0, 0.1):.1f}"


class Series:
    """Numbers over time, with gaps where nothing is known."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.values: list[float] = []

    def add(self, time: float, value: float) -> None:
        """Append a number."""
        self.times.append(time)
        self.values.append(value)

    def cut(self, time: float) -> None:
        """Let the line end here: what comes next is not joined to what was before."""
        if self.values and self.values[-1] == self.values[-1]:
            self.add(time, NAN)

    def trim(self, before: float) -> None:
        """Forget what lies before a time, but for one number, so that the line begins there."""
        keep = max(bisect_left(self.times, before) - 1, 0)
        del self.times[:keep], self.values[:keep]

    @property
    def last(self) -> float | None:
        """The newest number, or None in a gap."""
        if not self.values or self.values[-1] != self.values[-1]:
            return None
        return self.values[-1]

    @property
    def known(self) -> tuple[float, float] | None:
        """The newest number that there is, even before a gap, as (time, number)."""
        pairs = zip(reversed(self.times), reversed(self.values), strict=True)
        return next(((t, v) for t, v in pairs if v == v), None)

    def highest(self) -> float:
        """Return the highest number, 0 if there is none."""
        return max((v for v in self.values if v == v), default=0.0)


class Rate:
    """A rate per second from a count, taken over about a second."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, float]] = deque()

    def reset(self) -> None:
        """Begin anew: nothing is known of the time since the last count."""
        self._counts.clear()

    def at(self, time: float, count: float) -> float | None:
        """Return the rate up to now, or None for the first second."""
        if self._counts and count < self._counts[-1][1]:  # a topic that was made anew
            self._counts.clear()
        self._counts.append((time, count))
        while len(self._counts) > 1 and time - self._counts[1][0] >= RATE_SPAN:
            self._counts.popleft()
        before, base = self._counts[0]
        return (count - base) / (time - before) if time - before >= RATE_SPAN else None

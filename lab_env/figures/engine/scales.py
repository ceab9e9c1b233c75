"""The limits of axes: they grow at once, by nice steps, and seldom shrink, so nothing jumps."""

from math import ceil, floor, isfinite, log10

WINDOWS = (30, 60, 120)  # seconds; after that the last one slides
SLIDE = 30
SHRINK_BELOW = 0.3  # of the axis, for this long:
SHRINK_AFTER = 15.0  # seconds
# top of an axis: step of its ticks
TICKS = {1: 0.2, 1.2: 0.2, 1.5: 0.5, 2: 0.5, 2.5: 0.5, 3: 1, 4: 1, 5: 1, 6: 2, 8: 2, 10: 2}


def window(elapsed: float) -> tuple[int, int]:
    """Return the stretch of time that a picture shows: 30, 60, 120 s, then the last 120."""
    for width in WINDOWS:
        if elapsed <= width:
            return 0, width
    low = ceil((elapsed - WINDOWS[-1]) / SLIDE) * SLIDE
    return low, low + WINDOWS[-1]


def time_ticks(low: int, high: int) -> list[int]:
    """Return the seconds that are written at the time axis."""
    step = {30: 5, 60: 10}.get(high - low, 20)
    return list(range(ceil(low / step) * step, high + 1, step))


class Amount:
    """A scale for amounts: from zero to a nice number.

    Args:
        least: the top that it begins with.
    """

    def __init__(self, least: float = 10.0):
        self._least = least
        self.top = least
        self._low_since: float | None = None

    def fit(self, highest: float, now: float) -> None:
        """Make room for ``highest`` at once; give up room only when it is unused for long.

        Nothing at all is an amount too: after a burst the axis shrinks to where it began. What is
        no number is not shown, so it needs no room.
        """
        highest = max(highest, 0.0) if isfinite(highest) else 0.0
        if highest * 1.05 > self.top:
            self.top = _nice(highest * 1.15)
            self._low_since = None
        elif highest >= self.top * SHRINK_BELOW or self.top <= self._least:
            self._low_since = None
        elif self._low_since is None:
            self._low_since = now
        elif now - self._low_since > SHRINK_AFTER:
            self.top = max(_nice(max(highest * 1.5, self._least)), self._least)
            self._low_since = None

    @property
    def ticks(self) -> list[float]:
        """The numbers that are written at the axis."""
        power = 10 ** floor(log10(self.top) + 1e-9)
        step = TICKS[min(TICKS, key=lambda top: abs(top - self.top / power))] * power
        return [step * k for k in range(round(self.top / step) + 1)]


def _nice(value: float) -> float:
    """Return the nice number that is not below ``value``, which is above 0."""
    power = 10 ** floor(log10(value))
    return next(top for top in TICKS if top * power >= value * (1 - 1e-9)) * power


class Durations:
    """A scale for durations of very different length: log10 of seconds."""

    def __init__(self) -> None:
        self.low, self.high = log10(0.002), log10(6)

    def fit(self, shortest: float, longest: float) -> None:
        """Make room for durations, in seconds."""
        if not (isfinite(shortest) and isfinite(longest)):
            return
        if shortest > 0 and log10(shortest) < self.low:
            self.low = floor(log10(shortest) - log10(2)) + log10(2)
        if longest > 0 and log10(longest) > self.high - 0.1:
            self.high = ceil(log10(longest) + 0.1 - log10(6)) + log10(6)

    @property
    def ticks(self) -> list[int]:
        """The powers of ten on the axis."""
        return list(range(ceil(self.low), floor(self.high) + 1))

    @property
    def small_ticks(self) -> list[float]:
        """The numbers between the powers of ten."""
        between = (
            d + log10(k) for d in range(floor(self.low), ceil(self.high)) for k in range(2, 10)
        )
        return [t for t in between if self.low <= t <= self.high]

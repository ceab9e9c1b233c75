"""Live picture: how long calls and messages take, on a logarithmic axis."""

from collections import deque
from math import log10
from statistics import median

from matplotlib.lines import Line2D

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.timeline import Name, Panel, TimeFigure
from lab_env.messages import say

KNOWN = ("call", "message")
CELL = 3.0  # units: points that fall into one cell are drawn once
RECENT = 5.0  # seconds whose middle is the newest value


class Points:
    """The durations of one kind, good or failed; what cannot be told apart is kept once."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[float, float]] = {}
        self.recent: deque[tuple[float, float]] = deque(maxlen=200)
        self.count = 0

    def add(self, time: float, value: float, apart: tuple[float, float]) -> None:
        """Add a point (s, log10 of s)."""
        self.count += 1
        self.recent.append((time, value))
        cell = int(time / apart[0]), int(value / apart[1])
        self.cells.setdefault(cell, (time, value))

    def trim(self, before: float) -> None:
        """Forget what lies before a time."""
        self.cells = {cell: p for cell, p in self.cells.items() if p[0] >= before}

    @property
    def newest(self) -> float:
        """The middle of the last seconds, log10 of s."""
        last = self.recent[-1][0]
        return median(value for time, value in self.recent if time > last - RECENT)


class ResponseTime(TimeFigure):
    """A point for each report with ``kind`` and ``seconds``; a cross where ``ok`` is False.

    Args:
        stage, scale: as of every picture.
        title: of the picture; None for the usual one.
    """

    samples_matter = False

    def __init__(self, stage: Stage, title: str | None = None, scale: float = 1.0):
        super().__init__(stage, ("response_time", title), scale)
        self.title = title or say("figures.response_title")
        self.panels = [Panel()]
        self._scale = scales.Durations()
        self._points: dict[tuple[str, bool], Points] = {}
        self._lines: dict[tuple[str, bool], Line2D] = {}
        self._shortest, self._longest = 1.0, 0.0

    def take_report(self, row: dict) -> bool:
        """Take in a duration."""
        kind, seconds = row.get("kind"), row.get("seconds")
        if not isinstance(kind, str) or isinstance(seconds, bool):
            return False
        if not isinstance(seconds, int | float) or not seconds < float("inf"):
            return False
        seconds = max(float(seconds), 1e-5)
        key = kind, row.get("ok", True) is not False
        self._shortest = min(self._shortest, seconds)
        self._longest = max(self._longest, seconds)
        low, high = getattr(self, "_window", scales.window(0))
        panel = self.panels[0]
        decades = self._scale.high - self._scale.low
        apart = (high - low) * CELL / style.WIDTH, decades * CELL / max(panel.height, 200.0)
        self._points.setdefault(key, Points()).add(row["time"], log10(seconds), apart)
        return True

    def scale_panels(self, now: float) -> None:
        """Fit the axis to the shortest and the longest."""
        self._scale.fit(self._shortest, self._longest)
        panel = self.panels[0]
        panel.low, panel.high = self._scale.low, self._scale.high
        panel.ticks = [(power, _power(power), style.SOFT) for power in self._scale.ticks]
        panel.small_ticks = self._scale.small_ticks

    def _name(self, kind: str, ok: bool) -> str:
        word = say(f"figures.kind_{kind}") if kind in KNOWN else style.shorten(kind)
        if not ok:
            return say("figures.kind_failed", kind=word)
        return say("figures.kind_ok", kind=word, glyph=self._stage.palette.look(kind).glyph)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        return self.room_for([(self._name(*key), "888 ms") for key in self._points], self.panels[0])

    def lay(self, now: float) -> None:
        """Forget the points that have slid out of sight."""
        super().lay(now)
        for points in self._points.values():
            points.trim(self.origin + self._window[0])

    def draw(self, now: float) -> list:
        """Draw the points; failed ones lie on top."""
        names = []
        for key in sorted(self._points, key=lambda key: not key[1]):
            kind, ok = key
            points, look = self._points[key], self._stage.palette.look(kind)
            if key not in self._lines:
                shape = {"marker": look.marker if ok else "x", "ms": 4.6 if ok else 6, "ls": "none"}
                edge = {"mew": 0 if ok else 1.8, "zorder": 3 if ok else 4}
                self._lines[key] = self.line(self.panels[0], look.colour, **shape, **edge)
            cells = points.cells.values()
            self._lines[key].set_data([t for t, _ in cells], [v for _, v in cells])
            if points.recent[-1][0] > self.origin + self._window[0]:
                value = points.newest
                old = now - points.recent[-1][0] > 2 * RECENT
                words = "" if old else style.duration(10**value)
                names.append(Name(self._name(*key), words, now, value, look.ink))
        self.show_names(self.panels[0], names)
        return [line for _, line in sorted(self._lines.items(), key=lambda item: not item[0][1])]

    def tell(self, now: float) -> str:
        """Say how long each kind took of late."""
        return self.sentence_of(
            now,
            (
                say(
                    "figures.took",
                    kind=self._name(*key),
                    seconds=style.duration(10**points.newest),
                    count=style.number(points.count),
                )
                for key, points in self._points.items()
            ),
        )


def _power(power: int) -> str:
    """Return a power of ten seconds as it is read: 10 ms, 1 s."""
    if power >= 0:
        return f"{10**power:,} s"
    return f"{10 ** (power + 3):,} ms" if power >= -3 else f"{10 ** (power + 6):,} µs"

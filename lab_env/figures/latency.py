"""Live picture: how long a record takes, against how many records/s go through."""

from math import isfinite, log10
from statistics import median
from typing import NamedTuple

from matplotlib.lines import Line2D

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.rates import Measured
from lab_env.messages import say

PARTS = ("p50", "p99")
LATE = 0.95  # of the rate that was asked for: what stays below could not keep up


class Point(NamedTuple):
    """The runs of a setting at one rate: records/s asked for and come out, log10 of the seconds."""

    asked: float
    rate: float
    p50: float
    p99: float
    late: bool


class Latency(Measured):
    """Two lines a setting: p50 (solid, filled marks) and p99 (dashed, hollow), on a log axis.

    A point is the median of the runs that were asked for the same rate; it stands where the rate
    came out, so a client that cannot keep up has its last points above each other.

    Args:
        stage, scale: as of every picture.
        title: in the students' words; None for the usual one.
    """

    def __init__(self, stage: Stage, title: str | None = None, scale: float = 1.0):
        super().__init__(stage, ("latency", title), title or say("figures_latency.title"), scale)
        self._rate_scale = scales.Amount(least=100)
        self._scale = scales.Durations()
        self._scale.high = log10(0.06)
        self._lines: dict[tuple[str, str], Line2D] = {}

    def _points(self, name: str) -> list[Point]:
        """Return the points of a setting, the slowest rate first."""
        by_rate: dict[float | None, list[dict]] = {}
        for row in self._runs[name]:
            asked = row.get("asked")
            known = isinstance(asked, int | float) and isfinite(asked)
            if isfinite(row["p50_ms"]) and isfinite(row["p99_ms"]) and row["p50_ms"] > 0:
                by_rate.setdefault(asked if known else None, []).append(row)
        found = []
        for asked, rows in by_rate.items():
            rate = median(row["records_per_second"] for row in rows)
            p50, p99 = (log10(median(row[f"{p}_ms"] for row in rows) / 1000) for p in PARTS)
            late = asked is not None and rate < LATE * asked
            found.append(Point(rate if asked is None else asked, rate, p50, p99, late))
        return sorted(found)

    def layout(self, now: float) -> object:
        """Return what the axes depend on."""
        points = [point for name in self._runs for point in self._points(name)]
        self._rate_scale.fit(max((point.rate for point in points), default=0.0), now)
        if points:
            shortest, longest = min(p.p50 for p in points), max(p.p99 for p in points)
            self._scale.fit(10**shortest, 10**longest)
        words = [self._label(name, part, "888 ms") for name in self._runs for part in PARTS]
        self._room = max((self.measure(one, style.NAME) for one in words), default=60.0)
        return self._rate_scale.top, self._scale.low, self._scale.high, self._room

    def lay(self, now: float) -> None:
        """Place title, axes and their numbers."""
        line = self.line_height(style.TEXT)
        ticks = [(power, _milliseconds(power)) for power in self._scale.ticks]
        left = max(self.measure(words, style.TEXT) for _, words in ticks) + line + 20
        bottom, top = 2 * line + 14, HEIGHT_OF_PANEL - self.line_height(style.TITLE)
        width = max(style.WIDTH - left - self._room - 26, 120)
        self._panel = left, bottom, width, top - bottom
        self._axes.set_xlim(0, self._rate_scale.top)
        self._axes.set_ylim(self._scale.low, self._scale.high)
        self._place()
        rates = self._rate_scale.ticks
        widest = max(self.measure(style.number(tick), style.TEXT) for tick in rates) + 14
        step = next(n for n in range(1, 99) if widest * (len(rates) - 1) <= width * n)
        for tick in rates[::step]:
            self._rule_x(tick, style.number(tick))
        for power, words in ticks:
            self._rule_y(power, words)
        self._axis_words(say("figures_latency.axis"))
        self.fix_text(
            style.TEXT, style.INK, line / 2 + 4, bottom + (top - bottom) / 2,
            say("figures_latency.unit"), ha="center", va="center", rotation=90,
        )  # fmt: skip

    def move(self, now: float) -> list:
        """Draw the lines, and name them at their ends."""
        self._texts_used = 0
        labels = []
        for name in self._runs:
            points, look = self._points(name), self._stage.palette.look(name)
            for part in PARTS:
                values = [getattr(point, part) for point in points]
                self._line(name, part).set_data([point.rate for point in points], values)
                if points:
                    words = self._label(name, part, style.duration(10 ** values[-1]))
                    labels.append((self._y(values[-1]), words, look.ink))
        left, bottom, width, height = self._panel
        line = self.line_height(style.NAME) * 0.95
        at = style.spread([y for y, _, _ in labels], line, bottom - 4, bottom + height + 4)
        for y, (_, words, ink) in zip(at, labels, strict=True):
            self.moving_name(ink, left + width + 12, y, words)
        return [*self._lines.values(), *self._texts[: self._texts_used]]

    def _line(self, name: str, part: str) -> Line2D:
        if (name, part) not in self._lines:
            look, fast = self._stage.palette.look(name), part == "p50"
            (line,) = self._axes.plot(
                [], [], color=look.colour, marker=look.marker, ms=7, lw=style.LINE, mew=1.8,
                ls="-" if fast else (0, (4, 2)), mfc=look.colour if fast else "white",
                animated=True, clip_on=False, zorder=3,
            )  # fmt: skip
            self._lines[name, part] = line
        return self._lines[name, part]

    def _label(self, name: str, part: str, value: str) -> str:
        glyph = self._stage.palette.look(name).glyph
        return say(
            "figures_latency.label", glyph=glyph, name=style.shorten(name), part=part, value=value
        )

    def _one(self, name: str) -> str:
        points = self._points(name)
        if not points:
            return say("figures_latency.unknown", name=name)
        first, last = points[0], points[-1]
        parts = [self._at(point) for point in ([first, last] if len(points) > 1 else [last])]
        if any(point.late for point in points):
            parts.append(say("figures_latency.late"))
        return say("figures_latency.of", name=name, parts=", ".join(parts))

    def _at(self, point: Point) -> str:
        p50, p99 = (style.duration(10**value) for value in (point.p50, point.p99))
        return say("figures_latency.at", rate=style.number(point.rate), fast=p50, slow=p99)


HEIGHT_OF_PANEL = style.HEIGHT - 20


def _milliseconds(power: int) -> str:
    """Return a power of ten seconds in milliseconds, as it is read."""
    return style.number(10 ** (power + 3)) if power >= -3 else f"{10.0 ** (power + 3):g}"

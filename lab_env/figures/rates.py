"""Live picture: how many records/s each measured setting carries, with the spread of its runs."""

from math import isfinite
from statistics import median

from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.page import Page
from lab_env.figures.engine.style import HEIGHT, WIDTH
from lab_env.messages import say

NEEDS = ("records_per_second", "megabytes_per_second", "p50_ms", "p99_ms")
DRAWN = NEEDS[:2]  # a latency may be unknown (nan), but not how many records there were
MOST_ROWS = 14  # settings that have a bar; of more, the newest


class Measured(Page):
    """A picture of what `lab_env.experiments.meter` reports: a row a run, from now on.

    A subclass lays out `_panel` (left, bottom, width, height in units) and draws in `move`.

    Args:
        stage, key, scale: as of every picture.
        title: in the students' words.
    """

    def __init__(self, stage: Stage, key: tuple, title: str, scale: float = 1.0):
        super().__init__(stage, key, scale)
        self.title = title
        self._read = len(stage.reports.rows)
        self._origin = stage.journal.now()
        self._runs: dict[str, list[dict]] = {}  # by the name of what was measured
        self._panel = (60.0, 60.0, 700.0, 300.0)

    def read(self, now: float) -> bool:
        """Take in the runs that were reported since."""
        new = self._stage.reports.after(self._read)
        self._read += len(new)
        runs = [row for row in new if _is_run(row)]
        for row in runs:
            name = row["measured"]
            self._stage.palette.look(name)
            self._runs.setdefault(name, []).append(row)
        self.fresh = bool(runs)
        return bool(runs)

    def build(self, figure: Figure) -> None:
        """Make the axes."""
        self._axes = self.axes(figure)
        self._axes.set(xticks=[], yticks=[])

    def _place(self) -> None:
        """Put the axes where the panel is, and the title above it; drop what was fixed before."""
        self.clear()
        left, bottom, width, height = self._panel
        self._axes.set_position((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
        self.fix_title(left)

    def _rule_x(self, value: float, words: str) -> None:
        """Draw a line of the grid across the panel, with its number below."""
        self.fix(self._axes.axvline(value, color=style.GRID, lw=1, zorder=0.5))
        x, below = self._x(value), self._panel[1] - 7
        self.fix_text(style.TEXT, style.SOFT, x, below, words, ha="center", va="top")

    def _rule_y(self, value: float, words: str) -> None:
        self.fix(self._axes.axhline(value, color=style.GRID, lw=1, zorder=0.5))
        at = self._panel[0] - 7
        self.fix_text(style.TEXT, style.SOFT, at, self._y(value), words, ha="right")

    def _axis_words(self, words: str) -> None:
        """Write what the x axis is, below its numbers."""
        left, bottom, width, _ = self._panel
        half = self.measure(words, style.TEXT) / 2
        at = min(max(left + width / 2, half + 6), WIDTH - half - 6)
        below = bottom - 9 - self.line_height(style.TEXT)
        self.fix_text(style.TEXT, style.INK, at, below, words, ha="center", va="top")

    def tell(self, now: float) -> str:
        """Say what was measured, one by one."""
        parts = [self._one(name) for name in self._runs] or [say("figures.nothing_yet")]
        seconds = f"{now - self._origin:,.0f}"
        return say("figures.tell", title=self.title, seconds=seconds, parts="; ".join(parts))

    def _one(self, name: str) -> str:
        """Return what is said of one setting."""
        raise NotImplementedError

    # -- places and texts ---------------------------------------------------------------------

    def _x(self, value: float) -> float:
        left, _, width, _ = self._panel
        low, high = self._axes.get_xlim()
        return left + (value - low) / (high - low) * width

    def _y(self, value: float) -> float:
        _, bottom, _, height = self._panel
        low, high = self._axes.get_ylim()
        return bottom + (value - low) / (high - low) * height


class Rates(Measured):
    """A bar a setting: the median of its runs, with a line from the lowest to the highest.

    Args:
        stage, scale: as of every picture.
        title: in the students' words; None for the usual one.
    """

    def __init__(self, stage: Stage, title: str | None = None, scale: float = 1.0):
        super().__init__(stage, ("rates", title), title or say("figures_rates.title"), scale)
        self._scale = scales.Amount(least=100)

    def build(self, figure: Figure) -> None:
        """Make what every frame uses again."""
        super().build(figure)
        self._bars = PolyCollection([], edgecolors="none", animated=True)
        self._whiskers = LineCollection([], colors=style.INK, linewidths=1.5, animated=True)
        self._axes.add_collection(self._bars, autolim=False)
        self._axes.add_collection(self._whiskers, autolim=False)

    @property
    def _names(self) -> list[str]:
        return list(self._runs)[-MOST_ROWS:]

    def layout(self, now: float) -> object:
        """Return what the axes depend on."""
        self._scale.fit(max(map(max, map(self._rates, self._names)), default=0.0), now)
        words = [self._value(name) for name in self._names]
        # in steps, so that the axis does not move with every digit
        self._room = max(
            (self.measure(one, style.NAME) // 24 * 24 + 24 for one in words), default=0
        )
        return tuple(self._names), self._scale.top, self._room

    def lay(self, now: float) -> None:
        """Place title, axis and the names of the settings."""
        names = [style.shorten(name, 34) for name in self._names]
        line = self.line_height(style.TEXT)
        left = max((self.measure(one, style.NAME) for one in names), default=0.0) + 22
        bottom, top = 2 * line + 14, HEIGHT - self.line_height(style.TITLE) - 18
        self._panel = left, bottom, max(WIDTH - left - self._room - 26, 80), top - bottom
        self._axes.set_xlim(0, self._scale.top)
        self._axes.set_ylim(max(len(names), 1) - 0.5, -0.5)  # the first one is the highest
        self._place()
        ticks = self._scale.ticks
        widest = max(self.measure(style.number(tick), style.TEXT) for tick in ticks) + 14
        step = next(n for n in range(1, 99) if widest * (len(ticks) - 1) <= self._panel[2] * n)
        for tick in ticks[::step]:
            self._rule_x(tick, style.number(tick))
        for row, name in enumerate(names):
            self.fix_text(style.NAME, style.INK, left - 9, self._y(row), name, ha="right")
        self._axis_words(say("figures_rates.axis"))

    def move(self, now: float) -> list:
        """Draw the bars, their spread, and the numbers at their ends."""
        self._texts_used = 0
        names, half = self._names, 0.34
        middles = [median(self._rates(name)) for name in names]
        boxes = [
            [(0, row - half), (middle, row - half), (middle, row + half), (0, row + half)]
            for row, middle in enumerate(middles)
        ]
        self._bars.set_verts(boxes)
        self._bars.set_facecolor([self._stage.palette.look(name).colour for name in names])
        spread = [(row, self._rates(name)) for row, name in enumerate(names)]
        self._whiskers.set_segments(
            [[(min(of), row), (max(of), row)] for row, of in spread if len(of) > 1]
        )
        for row, of in spread:
            self.moving_name(style.INK, self._x(max(of)) + 8, self._y(row), self._value(names[row]))
        return [self._bars, self._whiskers, *self._texts[: self._texts_used]]

    def _rates(self, name: str) -> list[float]:
        return [row["records_per_second"] for row in self._runs[name]]

    def _value(self, name: str) -> str:
        megabytes = median(row["megabytes_per_second"] for row in self._runs[name])
        rate = style.number(median(self._rates(name)))
        few = f"{megabytes:.2f}" if megabytes < 0.95 else style.number(megabytes)
        return say("figures_rates.value", rate=rate, megabytes=few)

    def _one(self, name: str) -> str:
        rates = self._rates(name)
        low, high = style.number(min(rates)), style.number(max(rates))
        return say(
            "figures_rates.of", name=name, value=self._value(name), low=low, high=high,
            runs=len(rates),
        )  # fmt: skip


def _is_run(row: dict) -> bool:
    """Return whether a report tells of a measured run."""
    return (
        isinstance(row.get("measured"), str)
        and all(isinstance(row.get(field), int | float) for field in NEEDS)
        and all(isfinite(row[field]) for field in DRAWN)
    )

"""Live picture: how many records each partition holds, how it fills. Long: one picture."""

from collections import deque
from math import ceil, floor, log10
from typing import NamedTuple

from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.hearing import Hearing
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.page import Page
from lab_env.figures.engine.stencil import Stencils, Words
from lab_env.figures.engine.style import HEIGHT, WIDTH
from lab_env.messages import say
from lab_env.observation.sample import Sample

MOST_BARS = 100  # more partitions than that are summarised:
SUMMARY_BARS = 40
MOST_TOLD = 8  # partitions that the sentence names one by one
NOW = 1.0  # seconds that the light tip of a bar stands for
FAR = 0.9  # of the axis lies before the oldest record kept: then the axis begins later than 0
TIP = "#8cc4e6"
REMOVED_FACE, REMOVED_EDGE = "#f4f4f4", style.GONE


class Extent(NamedTuple):
    """A partition: ``start``, its oldest offset kept, ``end``, the next; ``new`` in a second."""

    start: int
    end: int
    new: float

    @property
    def kept(self) -> int:
        """Offsets from the oldest record to the end."""
        return self.end - self.start


class Bar(NamedTuple):
    """What is drawn in a row: the offsets of a partition, or the mean of a range of partitions."""

    removed: float
    end: float
    new: float
    low: float = 0.0
    high: float = 0.0


class Partitions(Page):
    """A bar for each partition, 0 at the top, from its oldest record kept to its end.

    Where retention has removed records the bar begins later, and a hollow one stands before it.
    The tip in a light colour is what has come within the last second. Of more than a hundred
    partitions forty bars show ranges: the mean, and a line from the smallest to the largest.

    Args:
        stage, scale: as of every picture.
        topic: real name.
    """

    def __init__(self, stage: Stage, topic: str, scale: float = 1.0):
        super().__init__(stage, ("partitions", topic), scale)
        self._topic = topic
        self.title = say("figures.partitions_title", topic=topic)
        self._origin = stage.journal.now()
        self._read = max(len(stage.observer.samples) - 6, 0)
        self._extents: dict[int, Extent] = {}
        self._recent: deque[tuple[float, dict[int, int]]] = deque()
        self._hearing = Hearing(self._origin)
        self._gone: float | None = None  # since when the topic is no more
        self._scale = scales.Amount(least=10)
        self._far: tuple[float, float, float] | None = None  # low, high, step of a late axis

    # -- reading ------------------------------------------------------------------------------

    def read(self, now: float) -> bool:
        """Take in new samples; a silence and a topic's end are news as well."""
        before = self._extents, self._gone, self._silence(now) > 0
        new = self._stage.observer.after(self._read)
        for sample in new:
            self._read += 1
            self._take(sample)
        self._hearing.wait(now, getattr(self._stage.observer, "asking", None))
        after = self._extents, self._gone, self._silence(now) > 0
        self.fresh = bool(new) or before != after
        return before != after

    def _take(self, sample: Sample) -> None:
        self._hearing.hear(sample.time, sample.stale.get("topics", 0.0))
        if sample.stale.get("topics", 0.0):
            return
        ends = {place[1]: end for place, end in sample.ends.items() if place[0] == self._topic}
        if not ends:
            if self._extents and self._gone is None:
                self._gone = sample.time
                self._recent.clear()
                # what has been told last stays, but nothing comes any more
                self._extents = {p: e._replace(new=0.0) for p, e in self._extents.items()}
            return
        self._gone = None
        if any(end < self._recent[-1][1].get(p, 0) for p, end in ends.items() if self._recent):
            self._recent.clear()  # made anew under the same name
        self._recent.append((sample.time, ends))
        while len(self._recent) > 2 and self._recent[1][0] <= sample.time - NOW:
            self._recent.popleft()
        begun, old = self._recent[0]
        share = min(NOW / max(sample.time - begun, 1e-9), 1.0)  # two samples may lie far apart
        self._extents = {
            partition: Extent(
                min(sample.starts.get((self._topic, partition), 0), end),
                end,
                (end - old.get(partition, 0)) * share if len(self._recent) > 1 else 0.0,
            )
            for partition, end in sorted(ends.items())
        }

    def _silence(self, now: float) -> float:
        """Return for how many seconds Kafka has not answered, 0 if that is not worth a word."""
        return self._hearing.silence(now) if self._gone is None else 0.0

    # -- what the rows are --------------------------------------------------------------------

    @property
    def _summarised(self) -> int:
        """How many partitions share a bar; 0 if each has its own."""
        count = len(self._extents)
        return ceil(count / SUMMARY_BARS) if count > MOST_BARS else 0

    def _bars(self) -> list[Bar]:
        extents = list(self._extents.values())
        if not (size := self._summarised):
            return [Bar(e.start, e.end, min(e.new, e.kept)) for e in extents]
        groups = [extents[i : i + size] for i in range(0, len(extents), size)]
        return [
            Bar(
                0.0,
                sum(e.kept for e in group) / len(group),
                sum(min(e.new, e.kept) for e in group) / len(group),
                min(e.kept for e in group),
                max(e.kept for e in group),
            )
            for group in groups
        ]

    def _row_names(self) -> list[str]:
        known = list(self._extents)
        if not (size := self._summarised):
            return [str(partition) for partition in known]
        pairs = ((known[i], known[i : i + size][-1]) for i in range(0, len(known), size))
        return [say("figures.partitions_range", first=first, last=last) for first, last in pairs]

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make the axes and what every frame uses again: three sets of bars, and a few texts."""
        axes = self._axes = self.axes(figure)
        axes.tick_params(which="both", color=style.RULE, labelsize=0, width=1)
        axes.tick_params(axis="y", length=0)

        def bars(face, edge="none", **more):
            made = PolyCollection([], facecolors=face, edgecolors=edge, animated=True, **more)
            axes.add_collection(made, autolim=False)
            return made

        self._removed = bars(REMOVED_FACE, REMOVED_EDGE, linewidths=1.0, linestyles=[(0, (3, 2))])
        self._kept, self._tips = bars(style.BLUE), bars(TIP)
        # two dozen numbers that change with every frame would take most of its time as texts
        self._numbers = Words(Stencils())
        self._numbers.set_figure(figure)
        self._whiskers = LineCollection([], colors=style.INK, linewidths=1.5, animated=True)
        axes.add_collection(self._whiskers, autolim=False)

    def layout(self, now: float) -> object:
        """Return what the axes depend on."""
        bars = self._bars()
        self._fit(bars, now)
        # as wide as a number of so many digits can get, so that the axis stays where it is
        most = max((round(bar.end - bar.removed) for bar in bars), default=0)
        self._value_width = self.measure(self._value(_zeros(most), 0.88), style.NAME)
        removed = any(bar.removed for bar in bars)
        return tuple(self._row_names()), self._low, self._high, self._value_width, removed

    def _fit(self, bars: list[Bar], now: float) -> None:
        """Choose the limits of the axis: from 0, or from near the oldest record if that is far."""
        highest = max((max(bar.end, bar.high) for bar in bars), default=0.0)
        oldest = min((bar.removed for bar in bars), default=0.0)
        self._scale.fit(highest, now)
        if oldest < FAR * highest or oldest == highest:  # near, or nothing is kept at all
            self._far = None
            self._low, self._high, self._ticks = 0.0, self._scale.top, self._scale.ticks
            return
        span = max(highest - oldest, 1.0)
        low, high, step = self._far or (0.0, 0.0, 0.0)
        if not (low < oldest and highest <= high and span > 0.25 * (high - low)):
            step = _step(span * 1.4 / 5)
            low, high = floor((oldest - span * 0.1) / step) * step, (highest + span * 0.3)
            low, high = max(low, 0.0), ceil(high / step) * step
            self._far = low, high, step
        self._low, self._high = low, high
        self._ticks = [low + step * k for k in range(round((high - low) / step) + 1)]

    def lay(self, now: float) -> None:
        """Place title, axes, ticks, and the names of the rows: all of them, or every nth."""
        self.clear()
        names = self._row_names()
        line = self.line_height(style.TEXT)
        widest = max((self.measure(name, style.TEXT) for name in names), default=0.0)
        left = max(widest + 17 + line + 6, 40)
        top = HEIGHT - self.line_height(style.TITLE) - line - 20
        bottom = 2 * line + 14
        self._panel = left, bottom, WIDTH - left - self._value_width - 24, top - bottom
        self._lay_axes(len(names))
        self.fix_title(left)
        self._note_at = HEIGHT - self.line_height(style.TITLE) - 10
        rows = max(len(names), 1)
        self._every = ceil(line / (self._panel[3] / rows))
        for row, name in enumerate(names):
            if row % self._every == 0:
                self.fix_text(style.TEXT, style.SOFT, left - 9, self._y(row), name, ha="right")
        words = say(f"figures.partitions_{'rows' if self._summarised else 'row'}")
        self.fix_text(
            style.TEXT,
            style.INK,
            line / 2 + 4,
            bottom + (top - bottom) / 2,
            words,
            ha="center",
            va="center",
            rotation=90,
        )

    def _lay_axes(self, rows: int) -> None:
        left, bottom, width, height = self._panel
        axes = self._axes
        axes.set_position((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
        axes.set_xlim(self._low, self._high)
        axes.set_ylim(max(rows, 1) - 0.5, -0.5)  # partition 0 is the highest
        ticks = self._fitting_ticks(width)
        axes.set_xticks(ticks, labels=[])
        axes.set_yticks([])
        for tick in ticks:
            rule = axes.axvline(tick, color=style.GRID, lw=1, zorder=0.5)
            text = style.number(tick)
            self.fix(rule)
            self.fix_text(
                style.TEXT, style.SOFT, self._x(tick), bottom - 8, text, ha="center", va="top"
            )
        key = "partitions_axis"
        if self._summarised:
            key = "partitions_axis_ranges"
        elif any(extent.start for extent in self._extents.values()):
            key = "partitions_axis_removed"
        words, at = say(f"figures.{key}", size=self._summarised), left + width / 2
        half = self.measure(words, style.TEXT) / 2
        at = min(max(at, half + 6), WIDTH - half - 6)
        lower = bottom - 8 - self.line_height(style.TEXT)
        self.fix_text(style.TEXT, style.INK, at, lower, words, ha="center", va="top")

    def _fitting_ticks(self, width: float) -> list[float]:
        """Return the ticks, or every second, third ... of them if their numbers would touch."""
        ticks = self._ticks
        for step in range(1, len(ticks) + 1):
            some = ticks[::step]
            widest = max(self.measure(style.number(tick), style.TEXT) for tick in some)
            if len(some) < 2 or (widest + 14) * (len(ticks) - 1) <= width * step:
                return some
        return ticks[:1]

    # -- drawing ------------------------------------------------------------------------------

    def move(self, now: float) -> list:
        """Bring the bars in order, the numbers at their ends, and the line below the title."""
        bars = self._bars()
        half = 0.36 if len(bars) <= 30 else 0.45
        self._removed.set_verts(
            [_box(row, self._low, bar.removed, half) for row, bar in enumerate(bars) if bar.removed]
        )
        self._kept.set_verts(
            [_box(row, bar.removed, bar.end - bar.new, half) for row, bar in enumerate(bars)]
        )
        self._kept.set_facecolor(style.RULE if self._gone is not None else style.BLUE)
        self._tips.set_verts(
            [_box(row, bar.end - bar.new, bar.end, half) for row, bar in enumerate(bars) if bar.new]
        )
        self._whiskers.set_segments(
            [[(bar.low, row), (bar.high, row)] for row, bar in enumerate(bars) if bar.high]
        )
        note = self._note(now)
        if self._every > 1 and self._extents:  # its row may be one without a number
            longer = f"{note}; {self._one(max(self._extents, key=self._kept_of), 'fullest')}"
            note = longer if self._width(longer) < WIDTH - 16 else note
        x = max(min(self._panel[0], WIDTH - 8 - self._width(note)), 8)
        self._numbers.clear()
        font, dpi = self.font(style.NAME), self._figure.dpi
        middle = self._note_at - self.line_height(style.NAME) / 2 + 4
        self._numbers.number(note, font, dpi, self._note_ink(now), x, middle)
        for row, words, x in self._values(bars):
            self._numbers.number(words, font, dpi, style.INK, x, self._y(row))
        artists = [self._removed, self._kept, self._tips, self._whiskers, self._numbers]
        return artists

    def _values(self, bars: list[Bar]) -> list[tuple[int, str, float]]:
        """Return (row, words, x) of the numbers: at every bar's end, or beside every nth bar."""
        total = sum(extent.kept for extent in self._extents.values())
        column = self._panel[0] + self._panel[2] + 8
        found = []
        for row, bar in enumerate(bars):
            if row % self._every:
                continue
            kept = bar.end - bar.removed
            size = self._summarised or 1
            size = min(size, len(self._extents) - row * size)
            share = kept * size / total if total else 0.0
            words = self._value(style.number(round(kept)), share)
            # beside thin bars, where a number would cover its neighbours, the numbers make a column
            at = self._x(max(bar.end, bar.high)) + 7 if self._every == 1 else column
            found.append((row, words, at))
        return found

    def _value(self, number: str, share: float) -> str:
        if len(self._extents) < 2:
            return number
        return say("figures.partitions_value", number=number, share=f"{100 * share:.0f}")

    def _note(self, now: float) -> str:
        if silence := self._silence(now):
            return say("figures.no_answer", seconds=f"{silence:.0f}")
        if not self._extents:
            return say("figures.partitions_none")
        key = "figures.partitions_gone" if self._gone is not None else "figures.partitions_sum"
        return say(key, **self._sums())

    def _note_ink(self, now: float) -> str:
        calm = self._extents and self._gone is None and not self._silence(now)
        return style.SOFT if calm else style.readable(style.VERMILLION)

    def _sums(self) -> dict[str, str]:
        extents = self._extents.values()
        return {
            "records": style.number(sum(extent.kept for extent in extents)),
            "partitions": say("figures.partitions_many", count=f"{len(extents):,}")
            if len(extents) > 1
            else say("figures.partitions_one"),
            "rate": style.number(round(sum(extent.new for extent in extents) / NOW)),
            "removed": style.number(sum(extent.start for extent in extents)),
        }

    def tell(self, now: float) -> str:
        """Say what each partition holds; of many, the fullest and the emptiest."""
        parts = [self._note(now)]
        extents = self._extents
        if 0 < len(extents) <= MOST_TOLD:
            parts += [self._one(partition, "of") for partition in extents]
        elif extents:
            if size := self._summarised:
                parts.append(say("figures.partitions_ranges", size=size))
            by_size = sorted(extents, key=self._kept_of)
            parts += [self._one(by_size[-1], "fullest"), self._one(by_size[0], "emptiest")]
        if any(extent.start for extent in extents.values()):
            parts.append(say("figures.partitions_removed", **self._sums()))
        seconds = f"{now - self._origin:,.0f}"
        return say("figures.tell", title=self.title, seconds=seconds, parts=", ".join(parts))

    def _kept_of(self, partition: int) -> int:
        return self._extents[partition].kept

    def _one(self, partition: int, key: str) -> str:
        """Return what is said of one partition."""
        kept = self._kept_of(partition)
        total = max(sum(extent.kept for extent in self._extents.values()), 1)
        share = f"{100 * kept / total:.0f}"
        number = style.number(kept)
        return say(f"figures.partitions_{key}", partition=partition, number=number, share=share)

    # -- places and texts ---------------------------------------------------------------------

    def _x(self, offset: float) -> float:
        left, _, width, _ = self._panel
        return left + (offset - self._low) / (self._high - self._low) * width

    def _y(self, row: float) -> float:
        _, bottom, _, height = self._panel
        return bottom + height * (1 - (row + 0.5) / max(len(self._row_names()), 1))

    def _width(self, words: str) -> float:
        """Return how wide words with numbers can get, in units; measured once for each length."""
        return self.measure(_zeros(words), style.NAME)


def _box(row: int, begin: float, end: float, half: float) -> list[tuple[float, float]]:
    return [(begin, row - half), (end, row - half), (end, row + half), (begin, row + half)]


def _zeros(number: int | str) -> str:
    """Return a number, or words with numbers, with as many digits, all of them wide."""
    words = f"{number:,}" if isinstance(number, int) else number
    return "".join("0" if sign.isdigit() else sign for sign in words)


def _step(least: float) -> float:
    """Return the nice number, at least 1, that is not below ``least``."""
    power = 10.0 ** floor(log10(max(least, 1.0)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))

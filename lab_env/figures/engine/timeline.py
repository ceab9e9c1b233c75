"""The base of pictures over time: panels, one axis, marks, silence. Long: one base class."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.text import Text

from lab_env.figures.engine import marks, scales, style
from lab_env.figures.engine.hearing import (
    SILENT as SILENT,  # for the pictures that are made of this
)
from lab_env.figures.engine.hearing import Hearing
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.page import Page
from lab_env.figures.engine.style import HEIGHT, WIDTH
from lab_env.ground.journal import Mark
from lab_env.messages import say
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import Sample

BEFORE = 12  # samples before the picture began that it reads, so that rates are there at once
STRONG = ("crash", "kill", "fail")  # kinds of marks with a full line


@dataclass
class Panel:
    """One of the axes of a picture: where it stands (units) and what it shows.

    ``weight`` is its share of the height, ``label`` its vertical axis in words; ``ticks`` are
    (value, text, colour) from its scale.
    """

    weight: float = 1.0
    label: str = ""
    grid: bool = True
    axes: Axes = field(init=False, repr=False, compare=False)  # made in `build`
    left: float = 0.0
    bottom: float = 0.0
    width: float = 1.0
    height: float = 1.0
    low: float = 0.0
    high: float = 1.0
    ticks: Sequence[tuple[float, str, str]] = ()
    small_ticks: Sequence[float] = ()

    def y(self, value: float) -> float:
        """Return where a value stands, in units."""
        return self.bottom + (value - self.low) / (self.high - self.low) * self.height


class Name(NamedTuple):
    """A name at the end of its line, with its newest value; ``time`` and ``value`` are that end."""

    text: str
    newest: str
    time: float
    value: float
    colour: str


class TimeFigure(Page):
    """A picture over the seconds since it began.

    A subclass sets `title`, `panels` and `topic`, takes in `take` and `take_report`, says the
    limits of its panels in `scale_panels`, and draws in `draw`.

    Args:
        stage: draws it.
        key: kind and arguments.
        scale: of text and lines.
        groups: whose offsets are drawn, so that an outage of one is told.
    """

    samples_matter = True  # whether it speaks of an observer that gets no answer

    def __init__(self, stage: Stage, key: tuple, scale: float = 1.0, groups: Iterable[str] = ()):
        super().__init__(stage, key, scale)
        self.panels: list[Panel] = []
        self.origin = stage.journal.now()
        self.series: list[Series] = []  # trimmed to what is in sight
        self._sources = ("topics", *groups)
        self._samples_read = max(len(stage.observer.samples) - BEFORE, 0)
        self._reports_read = len(stage.reports.rows)
        self._facts: object = None
        self._marks_seen: tuple[int, int] = (0, 0)
        self._marks: list[Mark] = []
        self._outages: list[Mark] = []
        self.topic = ""  # of which the picture is to say that it does not exist, where that is so
        self._absent = False
        self._hearing = Hearing(self.origin)
        self._placed: list[marks.Placed] = []
        self._name_width = 0.0

    # -- what a subclass says -----------------------------------------------------------------

    def take(self, sample: Sample) -> object:
        """Take in a sample and return the facts it holds for this picture, to see changes by."""
        return None

    def take_report(self, row: dict) -> bool:
        """Take in a report and return whether it belongs to this picture."""
        return False

    def scale_panels(self, now: float) -> None:
        """Bring each panel's ``low``, ``high`` and ``ticks`` in order."""

    def names(self) -> list[str]:
        """Return the texts for which there must be room at the right."""
        return []

    def axis_words(self) -> str:
        """Return what stands at the time axis."""
        return say("figures.seconds")

    def draw(self, now: float) -> list:
        """Bring the artists in order and return them, the lowest first."""
        return []

    # -- reading ------------------------------------------------------------------------------

    def read(self, now: float) -> bool:
        """Take in new samples, reports and marks."""
        changed = False
        had = self._samples_read, self._reports_read
        for sample in self._stage.observer.after(self._samples_read):
            self._samples_read += 1
            self._hearing.hear(sample.time, self.stale(sample))
            self._note_silence(sample.time)
            if not sample.stale.get("topics"):
                absent = bool(self.topic) and not sample.has(self.topic)
                changed |= self._absent != absent
                self._absent = absent
            facts = self.take(sample)
            changed |= facts != self._facts
            self._facts = facts
        changed |= self.take_reports()
        journal = self._stage.journal.marks
        seen = len(journal), sum(mark.end is None for mark in journal if mark.kind == "span")
        if seen != self._marks_seen:
            self._marks_seen = seen
            self._marks = marks.merge(mark for mark in journal if self._in_sight(mark))
            changed = True
        self._hearing.wait(now, getattr(self._stage.observer, "asking", None))
        changed |= self._note_silence(now)
        self.fresh = changed or (self._samples_read, self._reports_read) != had
        return changed

    def take_reports(self, until: float = inf) -> bool:
        """Take in the reports that are new, and return whether one belongs to this picture.

        Args:
            until: s, lab's clock; what was reported later is left for the next time.
        """
        changed = False
        for row in self._stage.reports.after(self._reports_read):
            if row["time"] > until:
                break
            self._reports_read += 1
            if row["time"] >= self.origin:
                changed |= self.take_report(row)
        return changed

    def catch_up(self, sample: Sample) -> bool:
        """Take in the reports that are older than a sample; return whether it is to be taken.

        It is not where it was not answered, which cuts the lines, or is older than the picture.
        """
        stale = self.stale(sample)
        if stale > SILENT:
            for series in self.series:
                series.cut(sample.time)
        if stale > 0 or sample.time < self.origin:
            return False
        self.take_reports(sample.time)
        return True

    def stale(self, sample: Sample) -> float:
        """Return for how long (s) what this picture draws has not been read."""
        return max(sample.stale.get(source, 0.0) for source in self._sources)

    def _is_service(self, name: str) -> bool:
        """Return whether a member is a service of this lab: then marks tell of it."""
        return any(mark.subject == name for mark in self._stage.journal.marks)

    @property
    def _silent(self) -> bool:
        return bool(self._outages) and self._outages[-1].end is None

    def _note_silence(self, time: float) -> bool:
        """Note when a silence of Kafka's begins and ends; return whether it just did."""
        if not self.samples_matter or self._hearing.is_silent == self._silent:
            return False
        if not self._silent:
            since = self._hearing.since
            self._outages.append(Mark(time if since is None else since, "", marks.OUTAGE))
        elif time > self._outages[-1].time:
            self._outages[-1].end = time
        else:  # the answer was long on its way
            self._outages.pop()
        return True

    def _in_sight(self, mark: Mark) -> bool:
        end = mark.time if mark.kind != "span" else mark.end
        return end is None or end >= self.origin

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make the panels and what every frame uses again."""
        self._title = self.text(style.TITLE, style.INK, weight="bold", va="top")
        for panel in self.panels:
            axes = panel.axes = self.axes(figure)
            axes.tick_params(which="both", color=style.RULE, labelsize=0, width=1)
            axes.tick_params(which="minor", length=2)

    def layout(self, now: float) -> object:
        """Fit the window, the panels' scales and the room for names; return what axes depend on.

        Args:
            now: s, lab's clock.

        Returns:
            All that `lay` places: the window, scales and ticks, the room for names, whether there
            is such a topic, marks and silences.
        """
        self._window = scales.window(now - self.origin)
        self.scale_panels(now)
        widest = max((self.measure(name, style.NAME) for name in self.names()), default=0.0)
        self._name_width = widest + 14 if widest else 0.0
        return (
            self._window,
            tuple((p.low, p.high, tuple(p.ticks), p.weight) for p in self.panels),
            round(self._name_width),
            self._absent,
            tuple((m.time, m.end, m.text) for m in self._marks),
            tuple((m.time, m.end) for m in self._outages),
        )

    def lay(self, now: float) -> None:
        """Place title, panels, ticks, grid and marks."""
        self.clear()
        low, high = self._window
        for series in self.series:
            series.trim(self.origin + low)
        line = self.line_height(style.TEXT)
        widest = max(
            (self.measure(text, style.TEXT) for p in self.panels for _, text, _ in p.ticks),
            default=0.0,
        )
        labelled = any(panel.label for panel in self.panels)
        left = max(widest + 17 + (line + 6 if labelled else 0), 40)
        width = WIDTH - left - max(self._name_width, 24)
        self._x0, self._x_unit = left, width / (high - low)

        self._shown = [*self._marks, *self._told_outages(now)]
        self._placed = marks.place(
            self._shown,
            now,
            self.x,
            lambda text: self.measure(text, style.TEXT),
            left,
            left + width,
            WIDTH - 6,
        )
        rows = 1 + max((placed.row for placed in self._placed), default=-1)
        title_height = self.line_height(style.TITLE) + 10
        bottom = 2 * line + 14
        top = HEIGHT - title_height - rows * line - (4 if rows else 0)
        title = self._title_now()
        needs = self.measure(title, style.TITLE, "bold")
        begin = max(min(left, WIDTH - 6 - needs), 8)
        self._title.set_position((begin / WIDTH, (HEIGHT - 8) / HEIGHT))
        self._title.set_text(self.fitting_title(WIDTH - 6 - begin, title))
        self._strip = top + 2

        gap = 16.0
        free = top - bottom - gap * (len(self.panels) - 1)
        weights = sum(panel.weight for panel in self.panels)
        above = top
        for panel in self.panels:
            panel.left, panel.width = left, width
            panel.height = free * panel.weight / weights
            panel.bottom = above - panel.height
            above = panel.bottom - gap
            self._lay_panel(panel, low, high, last=panel is self.panels[-1], label_left=line)
        self._lay_marks(now, line)

    def _title_now(self) -> str:
        return f"{self.title} · {say('figures.no_topic')}" if self._absent else self.title

    def _lay_panel(
        self, panel: Panel, low: int, high: int, *, last: bool, label_left: float
    ) -> None:
        axes = panel.axes
        axes.set_position(
            (
                panel.left / WIDTH,
                panel.bottom / HEIGHT,
                panel.width / WIDTH,
                panel.height / HEIGHT,
            )
        )
        axes.set_xlim(self.origin + low, self.origin + high)
        axes.set_ylim(panel.low, panel.high)
        times = scales.time_ticks(low, high)
        axes.set_xticks([self.origin + t for t in times], labels=[])
        axes.set_yticks([value for value, _, _ in panel.ticks], labels=[])
        axes.set_yticks(list(panel.small_ticks), labels=[], minor=True)
        if not panel.grid:
            axes.tick_params(axis="y", length=0)
        for value, text, colour in panel.ticks:
            self.fix(
                self.text(style.TEXT, colour, panel.left - 9, panel.y(value), text, ha="right")
            )
            if panel.grid and value > panel.low:
                (rule,) = axes.plot(
                    [0, 1], [value] * 2, color=style.GRID, lw=1, marker="", ls="-", zorder=0.5,
                    transform=axes.get_yaxis_transform(),
                )  # fmt: skip
                self.fix(rule)
        if panel.label:
            middle = panel.bottom + panel.height / 2
            self.fix(
                self.text(
                    style.TEXT, style.INK, label_left / 2 + 4, middle, panel.label,
                    ha="center", va="center", rotation=90,
                )
            )  # fmt: skip
        if last:
            under = panel.bottom - 8
            for t in times:
                x = self.x(self.origin + t)
                text = style.number(t)
                self.fix(self.text(style.TEXT, style.SOFT, x, under, text, ha="center", va="top"))
            middle, lower = panel.left + panel.width / 2, under - self.line_height(style.TEXT)
            words = self.axis_words()
            self.fix(self.text(style.TEXT, style.INK, middle, lower, words, ha="center", va="top"))

    def _told_outages(self, now: float) -> list[Mark]:
        """Return the stretches of silence with their words; the last may go on."""
        told = []
        for mark in self._outages:
            seconds = max((now if mark.end is None else mark.end) - mark.time, 0.0)
            # a silence that goes on needs room for its words to grow
            words = say("figures.no_answer", seconds=f"{max(seconds, 10 * (mark.end is None)):.0f}")
            told.append(Mark(mark.time, words, mark.kind, "", mark.end))
        return told

    def _lay_marks(self, now: float, line: float) -> None:
        low, high = (self.origin + second for second in self._window)
        bottom = self.panels[-1].bottom
        top = self.panels[0].bottom + self.panels[0].height
        rows = {id(placed.mark): placed.row for placed in self._placed}
        self._open_zones: list[tuple[Mark, Rectangle]] = []
        for mark in self._shown:
            upper = self._strip + line * (rows[id(mark)] + 1) if id(mark) in rows else top
            if marks.is_stretch(mark):
                begin, end = max(mark.time, low), min(now if mark.end is None else mark.end, high)
                if end <= begin:
                    continue
                zone = Rectangle(
                    (self.x(begin) / WIDTH, bottom / HEIGHT),
                    (end - begin) * self._x_unit / WIDTH,
                    (upper - bottom) / HEIGHT,
                    facecolor=style.ZONE, edgecolor="none", zorder=-2,
                    transform=self._figure.transFigure, animated=mark.end is None,
                )  # fmt: skip
                self._figure.add_artist(zone)
                self.fix(zone)
                if mark.end is None:
                    self._open_zones.append((mark, zone))
            elif low <= mark.time <= high:
                strong = mark.kind in STRONG
                x = self.x(mark.time) / WIDTH
                rule = Line2D(
                    [x, x], [bottom / HEIGHT, (upper - 2) / HEIGHT],
                    color=self._mark_colour(mark), lw=1.5 if strong else 1.2, marker="",
                    ls="-" if strong else (0, (1, 2)), zorder=-1,
                    transform=self._figure.transFigure,
                )  # fmt: skip
                self._figure.add_artist(rule)
                self.fix(rule)
        self._telling: Text | None = None  # words that change while a silence goes on
        for placed in self._placed:
            y = self._strip + line * (placed.row + 0.5)
            colour = self._mark_colour(placed.mark)
            ink = style.SOFT if colour == style.RULE else style.readable(colour)
            text = self.text(style.TEXT, ink, placed.left, y, placed.text)
            self.fix(text)
            if _outage(placed) and placed.mark.end is None:
                text.set_animated(True)
                self._telling = text

    def _mark_colour(self, mark: Mark) -> str:
        palette = self._stage.palette
        known = mark.kind in STRONG and mark.subject in palette
        return palette.look(mark.subject).colour if known else style.RULE

    # -- drawing ------------------------------------------------------------------------------

    def move(self, now: float) -> list:
        """Bring everything that moves in order."""
        self._texts_used = 0
        zones = []
        for mark, zone in self._open_zones:
            begin = max(mark.time, self.origin + self._window[0])
            zone.set_width(max(now - begin, 0.0) * self._x_unit / WIDTH)
            zones.append(zone)
        told = []
        if self._telling is not None:
            seconds = now - self._outages[-1].time
            self._telling.set_text(say("figures.no_answer", seconds=f"{seconds:.0f}"))
            told.append(self._telling)
        return [*zones, *self.draw(now), *told, *self._texts[: self._texts_used]]

    # -- what subclasses draw with ------------------------------------------------------------

    def x(self, time: float) -> float:
        """Return where a time stands, in units."""
        return self._x0 + (time - self.origin - self._window[0]) * self._x_unit

    def line(self, panel: Panel, colour: str, **more: Any) -> Line2D:
        """Return a line in the house style that moves."""
        style_of: dict[str, Any] = {
            "lw": style.LINE * self.scale,
            "ls": "-",
            "marker": "",
            "zorder": 3,
        }
        (line,) = panel.axes.plot([], [], color=colour, animated=True, **(style_of | more))
        return line

    def area(self, panel: Panel, colour: str) -> Polygon:
        """Return an area under a line, that moves."""
        area = Polygon([(0, 0)], closed=True, facecolor=colour, alpha=0.3, edgecolor="none")
        area.set_animated(True)
        panel.axes.add_patch(area)
        return area

    def show_series(self, series: Series, line: Line2D, area: Polygon | None = None) -> list:
        """Bring a line, and the area under it, to what a series holds; return what to draw."""
        line.set_data(series.times, series.values)
        if area is None or not series.times:
            return [line]
        corners = [(series.times[0], 0.0)]
        last = series.times[0]
        for t, value in zip(series.times, series.values, strict=True):
            if value != value:  # a gap: down to the ground, and up again after it
                corners.append((last, 0.0))
            elif corners[-1][1] == 0.0:
                corners += [(t, 0.0), (t, value)]
            else:
                corners.append((t, value))
            last = t
        area.set_xy([*corners, (last, 0.0)])
        return [area, line]

    def show_names(self, panel: Panel, names: Sequence[Name]) -> None:
        """Write names and newest values at the ends of lines, moved apart where they collide.

        Two lines a name if there is room, else one; those that do not fit even so are left out,
        the lowest first.
        """
        height = self.line_height(style.NAME)
        room = panel.height + 0.3 * height
        lines = 2 if len(names) * 2 * height <= room else 1
        most = max(int(room // (lines * height)), 1)
        if len(names) > most:
            keep = sorted(names, key=lambda name: name.value, reverse=True)[:most]
            names = [name for name in names if name in keep]
        middles = style.spread(
            [panel.y(name.value) for name in names],
            lines * height + (3 if lines == 2 else 0),
            panel.bottom + 1,
            panel.bottom + panel.height + 0.3 * height,
        )
        for name, middle in zip(names, middles, strict=True):
            x = self.x(name.time) + 7
            if lines == 1 or not name.newest:
                words = f"{name.text} {name.newest}".rstrip()
                self.moving_name(name.colour, x, middle, words)
                continue
            self.moving_name(name.colour, x, middle + height / 2, name.text)
            self.moving_name(name.colour, x, middle - height / 2, name.newest)

    def name_of(self, series: Series, text: str, look: style.Look) -> Name | None:
        """Return the name for the end of a line; grey and with its last value in a silence."""
        if series.last is None and not self._silent:
            return None
        known = series.known
        if known is None:
            return None
        time, value = known
        ink = style.SOFT if series.last is None else look.ink
        return Name(text, style.number(value), time, value, ink)

    def sentence_of(self, now: float, parts: Iterable[str]) -> str:
        """Return the picture's sentence from what it says of each name."""
        parts = list(parts)
        if self._absent:
            parts.insert(0, say("figures.no_topic_told", topic=self.topic))
        if self._silent:
            seconds = f"{now - self._outages[-1].time:.0f}"
            parts.append(say("figures.no_answer", seconds=seconds))
        return say(
            "figures.tell",
            title=self.title,
            seconds=f"{now - self.origin:,.0f}",
            parts=", ".join(parts) or say("figures.nothing_yet"),
        )

    def room_for(self, names: Iterable[tuple[str, str]], panel: Panel) -> list[str]:
        """Return the texts that `show_names` will write at the right, as wide as they can get."""
        names = list(names)
        one_line = len(names) * 2 * self.line_height(style.NAME) > panel.height
        if one_line:
            return [f"{text} {newest}" for text, newest in names]
        return [word for pair in names for word in pair]


def amount_ticks(scale: scales.Amount, height: float, write: Callable = style.number) -> list:
    """Return a scale's ticks for a panel of a height in units: fewer where there is little room."""
    ticks = scale.ticks
    if height < 130 and len(ticks) > 3:
        half = [ticks[-1] / 2] if ticks[-1] % 2 == 0 else []
        ticks = [ticks[0], *half, ticks[-1]]
    return [(value, write(value), style.SOFT) for value in ticks]


def _outage(placed: marks.Placed) -> bool:
    return placed.mark.kind == marks.OUTAGE

"""A picture over time: axes, marks, names at line ends; only what moves is drawn anew."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import blended_transform_factory

from lab_env.journal import Mark
from lab_env.messages import say
from lab_env.observation.sample import Sample
from lab_env.pictures import style

WINDOWS = (30.0, 60.0, 120.0)  # seconds: the axis grows, then slides
SLIDE = 30.0
SILENCE = 1.5  # seconds without an answer before the picture says so
MARK_ROWS = 2


@dataclass(slots=True)
class Label:
    """A name with its newest value at the end of its line, in data coordinates of its panel."""

    x: float
    y: float
    text: str
    colour: str


class Picture:
    """What every picture over time has; a kind of picture says what its lines are.

    A subclass sets ``panels`` (the heights of its axes), builds its artists in ``build``, takes
    new facts in ``take`` and moves its artists in ``move``.

    Args:
        title: what is seen, in the student's words.
        palette: the colours of this lab.
        began: when the picture began (seconds on the lab's clock); its axis starts there.
        scale: 1 for a laptop, 1.5 for the back of a room.
    """

    panels: tuple[float, ...] = (1.0,)
    right = 0.17  # of the width, for names at the end of lines
    left = 0.12

    def __init__(self, title: str, palette: style.Palette, began: float, scale: float = 1.0):
        self.palette = palette
        self.began = began
        self.scale = scale
        self.now = 0.0  # seconds since the picture began
        self.marks: list[Mark] = []
        self.silences: list[list[float]] = []  # [from, to]: time in which Kafka did not answer
        self.labels: list[tuple[int, Label]] = []  # (panel, label)
        self._key: object = None
        self._background = None
        self._moving: list[tuple[int, object]] = []
        self._pool: list[tuple[int, object]] = []
        self.figure = Figure(figsize=(style.WIDTH / style.DPI, style.HEIGHT / style.DPI))
        self.canvas = FigureCanvasAgg(self.figure)
        self.figure.text(
            0.012,
            0.985,
            title,
            fontsize=self.points(14),
            fontweight="bold",
            va="top",
            ha="left",
            color="black",
        )
        self.axes = self._make_axes()
        self._mark_artists: list = []
        self._open_zone = [self._zone(axes) for axes in self.axes]
        self._open_text = self._text(self.axes[0], "", style.INK, va="top", ha="left")
        self.build()

    # -- for a kind of picture --------------------------------------------------------------

    def build(self) -> None:
        """Make the artists."""

    def take(self, samples: Iterable[Sample], rows: Iterable[dict]) -> None:
        """Take the new samples and report rows (their times are on the lab's clock)."""

    def move(self) -> None:
        """Give the artists their data, and `labels` the names and newest values."""

    def limits(self) -> tuple:
        """Set the y axes, and return what a full redraw depends on."""
        return ()

    def sentence(self) -> str:
        """Return in words what the picture shows now."""
        return ""

    def points(self, size: float) -> float:
        """Return a size of text or line at this picture's scale."""
        return size * self.scale

    def since(self, moment: float) -> float:
        """Return a moment of the lab's clock in seconds since the picture began."""
        return moment - self.began

    def line(self, panel: int, colour: str, **kwargs) -> Line2D:
        """Return a new line in a panel; it moves without a full redraw."""
        line = Line2D([], [], color=colour, **{"linewidth": self.points(2), "zorder": 3} | kwargs)
        self.axes[panel].add_line(line)
        return self.moving(panel, line)

    def moving(self, panel: int, artist):
        """Let an artist be drawn anew in each frame, above the background."""
        artist.set_animated(True)
        self._moving.append((panel, artist))
        return artist

    def start_of_window(self) -> float:
        """Return the oldest moment that is seen, in seconds since the picture began."""
        return self._window()[0]

    # -- drawing ----------------------------------------------------------------------------

    def render(self, dpi: float, now: float) -> memoryview:
        """Return the picture as RGBA bytes.

        Args:
            dpi: 100 gives 900 by 420 pixels.
            now: the moment on the lab's clock.
        """
        self.now = max(self.since(now), 0.0)
        if self.figure.dpi != dpi:
            self.figure.set_dpi(dpi)
            self._key = None
        self.labels = []
        self.move()
        window = self._window()
        key = (window, self.limits(), self._marks_key())
        if key != self._key:
            self._key = key
            self._redraw(*window)
        else:
            self.canvas.restore_region(self._background)
        self._draw_moving()
        return self.canvas.buffer_rgba()

    def _redraw(self, start: float, end: float) -> None:
        for axes in self.axes:
            axes.set_xlim(start, end)
        self._place_marks(start, end)
        self.canvas.draw()  # what is animated stays out
        self._background = self.canvas.copy_from_bbox(self.figure.bbox)

    def _draw_moving(self) -> None:
        self._move_open_zone()
        for panel, artist in self._moving:
            self.axes[panel].draw_artist(artist)
        self._draw_labels()

    def _window(self) -> tuple[float, float]:
        for width in WINDOWS:
            if self.now <= width:
                return 0.0, width
        start = math.ceil((self.now - WINDOWS[-1]) / SLIDE) * SLIDE
        return start, start + WINDOWS[-1]

    def _make_axes(self) -> list:
        size = self.points(12) / style.HEIGHT * style.DPI / 72  # a line of text, of the height
        bottom, top = 0.025 + 2.7 * size, 0.985 - (1.5 + MARK_ROWS * 1.15) * size
        left = self.left * (0.4 + 0.6 * self.scale)
        right = 1 - self.right * (0.2 + 0.8 * self.scale)
        gap = 0.9 * size
        room = top - bottom - gap * (len(self.panels) - 1)
        made = []
        for share in self.panels:
            height = room * share / sum(self.panels)
            top -= height
            axes = self.figure.add_axes((left, top, right - left, height))
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(style.GREY)
            axes.tick_params(labelsize=self.points(12), colors="#444444", length=4)
            axes.grid(axis="y", color=style.GRID, linewidth=1)
            axes.set_axisbelow(True)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            if share is not self.panels[-1] or len(made) + 1 < len(self.panels):
                axes.tick_params(labelbottom=False)
            made.append(axes)
            top -= gap
        made[-1].set_xlabel(say("pictures.seconds"), fontsize=self.points(12), color="#333333")
        made[-1].xaxis.set_label_coords(0.5, -2.0 * size / height)
        return made

    def amount_axis(self, panel: int, label: str, ticks: int = 5) -> None:
        """Make a panel's y axis one of amounts: from zero, with thousands separators."""
        axes = self.axes[panel]
        axes.yaxis.set_major_locator(MaxNLocator(ticks, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.number(value)))
        self._axis_name(panel, label)

    def _axis_name(self, panel: int, label: str) -> None:
        axes = self.axes[panel]
        axes.set_ylabel(label, fontsize=self.points(12), color="#333333")
        box = axes.get_position()
        axes.yaxis.set_label_coords(
            0.008 + 0.02 * self.scale, box.y0 + box.height / 2, transform=self.figure.transFigure
        )

    # -- marks ------------------------------------------------------------------------------

    def _marks_key(self) -> tuple:
        return (
            tuple((mark.time, mark.end, mark.text) for mark in self.marks),
            tuple(tuple(zone) for zone in self.silences if not math.isnan(zone[1])),
        )

    def _zone(self, axes) -> Rectangle:
        zone = Rectangle(
            (0, 0),
            0,
            1,
            transform=blended_transform_factory(axes.transData, axes.transAxes),
            facecolor=style.SPAN,
            edgecolor="none",
            zorder=0.5,
        )
        axes.add_patch(zone)
        zone.set_animated(True)
        return zone

    def _text(self, axes, text: str, colour: str, **kwargs):
        made = axes.text(
            0, 0, text, fontsize=self.points(12), color=colour, clip_on=False, **kwargs
        )
        made.set_animated(True)
        return made

    def _place_marks(self, start: float, end: float) -> None:
        """Write the marks above the first panel: newest first, and only words that have room."""
        for artist in self._mark_artists:
            artist.remove()
        self._mark_artists = []
        zones = [
            (self.since(mark.time), self.since(mark.end), mark.text, style.SPAN)
            for mark in self.marks
            if mark.end is not None
        ]
        zones += [
            (a, b, say("pictures.no_answer", seconds=style.number(b - a)), style.ZONE)
            for a, b in self.silences
            if not math.isnan(b)
        ]
        words = []
        for a, b, text, colour in zones:
            if b > start and a < end:
                for axes in self.axes:
                    self._mark_artists.append(
                        axes.axvspan(max(a, start), min(b, end), color=colour, lw=0, zorder=0.5)
                    )
                words.append((a, max(a, start), text))
        for mark in self.marks:
            at = self.since(mark.time)
            if mark.end is not None or not start <= at <= end:
                continue
            if mark.kind == "span":  # still open: it moves
                words.append((at, at, mark.text))
                continue
            for axes in self.axes:
                self._mark_artists.append(
                    axes.axvline(at, color=style.GREY, lw=self.points(1.2), ls=":", zorder=1)
                )
            words.append((at, at, mark.text))
        axes = self.axes[0]
        box = axes.get_window_extent()
        unit = box.width / (end - start)  # pixels a second
        size = self.points(12) * self.figure.dpi / 72  # pixels
        free = [self.figure.bbox.width] * MARK_ROWS  # each row is filled from the right
        for _, at, text in sorted(words, reverse=True):
            x = box.x0 + (at - start) * unit
            width = len(text) * size * 0.56 + size
            x = max(min(x, self.figure.bbox.width - width), 2)
            row = next((r for r in range(MARK_ROWS) if x + width <= free[r]), None)
            if row is None:
                continue  # no room: the line stays without its words
            free[row] = x
            self._mark_artists.append(
                self.figure.text(
                    (x + 2) / self.figure.bbox.width,
                    (box.y1 + (0.25 + 1.15 * row) * size) / self.figure.bbox.height,
                    text,
                    fontsize=self.points(12),
                    color="#333333",
                    va="bottom",
                )
            )

    def _move_open_zone(self) -> None:
        """Let the zone of an open span, or of a broker that is silent now, grow with time."""
        spans = [self.since(m.time) for m in self.marks if m.kind == "span" and m.end is None]
        silent = [a for a, b in self.silences if math.isnan(b)]
        starts = silent or spans
        if not starts:
            return
        begin = max(min(starts), self.start_of_window())
        for axes, zone in zip(self.axes, self._open_zone, strict=True):
            zone.set_bounds(begin, 0, max(self.now - begin, 0), 1)
            zone.set_facecolor(style.ZONE if silent else style.SPAN)
            axes.draw_artist(zone)
        if silent:
            text = say("pictures.no_answer", seconds=style.number(round(self.now - silent[0])))
            axes = self.axes[0]
            self._open_text.set_text(text)
            self._open_text.set_transform(axes.transAxes)
            self._open_text.set_position((0.02, 0.96))
            axes.draw_artist(self._open_text)

    # -- names at the end of lines ------------------------------------------------------------

    def _draw_labels(self) -> None:
        used = 0
        for panel, axes in enumerate(self.axes):
            labels = [label for at, label in self.labels if at == panel]
            if not labels:
                continue
            size = self.points(12) * self.figure.dpi / 72
            spots = axes.transData.transform([(label.x, label.y) for label in labels])
            box = axes.get_window_extent()
            heights = [size * 1.3 * (1 + label.text.count("\n")) for label in labels]
            low, high = box.y0 + size * 0.15, box.y1 + size * 0.6
            ys = style.spread([y for _, y in spots], heights, low, high)
            for label, (x, _), y in zip(labels, spots, ys, strict=True):
                text = self._pooled(used)
                used += 1
                text.set_text(label.text)
                text.set_color(label.colour)
                text.set_position((min(x, box.x1) + size * 0.5, y))
                self.axes[0].draw_artist(text)

    def _pooled(self, index: int):
        while len(self._pool) <= index:
            text = self._text(self.axes[0], "", style.INK, va="center", ha="left", linespacing=1.1)
            text.set_transform(None)  # pixels
            self._pool.append(text)
        return self._pool[index]

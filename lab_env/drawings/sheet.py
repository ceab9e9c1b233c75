"""A sheet of paper for a still drawing: boxes, logs, arrows and words, written as SVG."""

from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from lab_env.figures.engine.style import (
    BLUE,
    FONT,
    GREEN,
    INK,
    LINE,
    ORANGE,
    RULE,
    SOFT,
    TITLE,
    UNITS_PER_POINT,
    VERMILLION,
    paler,
    readable,
)
from lab_env.figures.engine.style import NAME as NAME_POINTS
from lab_env.figures.engine.style import TEXT as TEXT_POINTS

__all__ = [
    "BLUE", "GREEN", "INK", "NAME", "ORANGE", "RULE", "SMALL", "SOFT", "TEXT", "VERMILLION",
    "WIDTH", "Sheet", "Stroke", "TextLine", "measure",
]  # fmt: skip

WIDTH = 860  # of a drawing on the page, in pixels; all lengths below are in these
MARGIN = 24
ROOM = 1.15  # a reader's font may be so much wider than ours
# as large as in the live pictures; what is said beside the drawing's own words is smaller
HEADING = round(TITLE * UNITS_PER_POINT, 1)
NAME = round(NAME_POINTS * UNITS_PER_POINT, 1)
TEXT = round(TEXT_POINTS * UNITS_PER_POINT, 1)
SMALL = 15.0
THICK = round(LINE * UNITS_PER_POINT, 1)
PALE = 0.78  # of the way to white: a fill on which black words are read
ZONE = "#f3f3f3"
WHITE = "#ffffff"
HEAD = 11.0  # length of an arrow's head
FONTS = f"{FONT}, Verdana, sans-serif"
DASHES = "6 5"
LEADING = 1.28  # from one base line to the next, as a share of the letters' size


class TextLine(NamedTuple):
    """A line of text: where it stands, and how much room it has (pixels)."""

    text: str
    x: float  # of its left end
    y: float  # of its base line
    size: float
    width: float
    room: float


class Stroke(NamedTuple):
    """A straight piece of a line or of a box's edge."""

    x1: float
    y1: float
    x2: float
    y2: float


class Sheet:
    """A drawing in the making.

    Args:
        name: of the drawing, and of its file.
        height: in pixels, at most 380.
        title: what is seen, above the drawing.
        alt: the drawing in words, for who cannot see it.

    Attributes:
        words: every line of text on it, for those who check that they can be read.
        strokes: every line on it, likewise.
    """

    def __init__(self, name: str, height: float, title: str, alt: str):
        self.name, self.height, self.alt, self.title = name, height, alt, title
        self.words: list[TextLine] = []
        self.strokes: list[Stroke] = []
        self._parts: list[str] = []
        self.text(MARGIN, 33, title, size=HEADING, bold=True)

    # -- words ----------------------------------------------------------------------------------

    def text(
        self,
        x: float,
        y: float,
        *lines: str,
        size: float = TEXT,
        anchor: str = "start",
        ink: str = INK,
        bold: bool = False,
        room: float | None = None,
    ) -> None:
        """Write lines below each other, the first one's base line at ``y``.

        Args:
            x: of the left end, the middle or the right end, as ``anchor`` says.
            y: of the first base line.
            lines: the words.
            size: of the letters.
            anchor: "start", "middle" or "end".
            ink: a colour; it is darkened as far as reading needs.
            bold: whether the letters are.
            room: how wide a line may become in another font; None for up to the sheet's edge.
        """
        sides = {"start": WIDTH - x, "end": x, "middle": 2 * min(x, WIDTH - x)}
        room = sides[anchor] - 8 if room is None else room
        for number, line in enumerate(lines):
            width, base = measure(line, size, bold), y + number * size * LEADING
            left = x - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
            self.words.append(TextLine(line, left, base, size, width, room))
            self._add(
                "text",
                escape(line),
                x=x,
                y=base,
                font_size=size,
                text_anchor=anchor if anchor != "start" else None,
                font_weight="bold" if bold else None,
                fill=ink if ink == WHITE else readable(ink),
            )

    # -- boxes ----------------------------------------------------------------------------------

    def zone(self, x: float, y: float, width: float, height: float) -> None:
        """Put a grey ground below what belongs together."""
        self._add("rect", x=x, y=y, width=width, height=height, rx=8, fill=ZONE)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *lines: str,
        colour: str = INK,
        fill: str | None = None,
        dashed: bool = False,
        rx: float = 8,
        size: float = NAME,
        first: float = 0.5,
    ) -> None:
        """Draw a box: a process, a container, a place; its name is bold, other lines are not.

        Args:
            x: of the left edge.
            y: of the upper edge.
            width: of the box.
            height: of the box.
            lines: its name, and what is said below it.
            colour: of the edge.
            fill: None for white.
            dashed: whether it is not there yet, or not any more.
            rx: how round the corners are.
            size: of the name's letters.
            first: how far down the words stand, 0 to 1; 0.5 is the middle.
        """
        self._rect(x, y, width, height, colour, fill or WHITE, dashed, rx)
        below = SMALL * 1.3
        base = y + height * first - (len(lines) - 1) * below / 2 + size * 0.36
        for number, line in enumerate(lines):
            self.text(
                x + width / 2,
                base + number * below,
                line,
                size=SMALL if number else size,
                bold=not number,
                ink=SOFT if number else INK,
                anchor="middle",
                room=width - 8,
            )

    def topic(
        self, x: float, y: float, width: float, height: float, *lines: str, size: float = TEXT
    ) -> None:
        """Draw a topic as a whole: a pipe with its name."""
        self._rect(x, y, width, height, RULE, ZONE, False, height / 2)
        self._middle(x, y, width, height, *lines, size=size, room=width - height / 2)

    def cell(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *lines: str,
        colour: str | None = None,
        solid: bool = False,
        dashed: bool = False,
        size: float = TEXT,
    ) -> None:
        """Draw a record in its log, or the place of one.

        Args:
            x: of the left edge.
            y: of the upper edge.
            width: of the record.
            height: of the record.
            lines: what stands in it: its offset, mostly.
            colour: whose it is; None for nobody's.
            solid: whether it is filled with the colour itself: a marker, no record.
            dashed: whether it is not there (yet).
            size: of the letters.
        """
        edge = RULE if dashed or colour is None else readable(colour) if solid else colour
        fill = WHITE if dashed or colour is None else paler(colour, PALE)
        self._rect(x, y, width, height, edge, edge if solid else fill, dashed, 3)
        ink = WHITE if solid else SOFT if dashed else INK
        self._middle(x, y, width, height, *lines, size=size, room=width - 3, ink=ink)

    # -- lines ----------------------------------------------------------------------------------

    def line(
        self,
        *points: tuple[float, float],
        colour: str = INK,
        dashed: bool = False,
        thick: float = THICK,
        arrow: bool = False,
    ) -> None:
        """Draw a line through points; ``arrow`` puts a head at its end.

        Args:
            points: (x, y), two or more.
            colour: of the line.
            dashed: whether it is: an answer, or what is only a border.
            thick: how thick.
            arrow: whether it has a head.
        """
        self.strokes += [Stroke(*a, *b) for a, b in pairwise(points)]
        (x0, y0), (x, y) = points[-2:]
        shaft = points
        if arrow:
            length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
            dx, dy = (x - x0) / length, (y - y0) / length
            back = (x - dx * HEAD, y - dy * HEAD)
            shaft = (*points[:-1], (x - dx * HEAD * 0.8, y - dy * HEAD * 0.8))
            sides = [(back[0] - side * dy, back[1] + side * dx) for side in (5.5, -5.5)]
        self._add(
            "polyline",
            points=_path(shaft),
            fill="none",
            stroke=colour,
            stroke_width=thick,
            stroke_linejoin="round",
            stroke_dasharray=DASHES if dashed else None,
        )
        if arrow:
            self._add("polygon", points=_path([(x, y), *sides]), fill=colour)

    def arrow(self, *points: tuple[float, float], colour: str = INK, dashed: bool = False) -> None:
        """Draw an arrow through points."""
        self.line(*points, colour=colour, dashed=dashed, arrow=True)

    def bracket(
        self,
        x1: float,
        x2: float,
        y: float,
        words: str,
        *,
        colour: str = SOFT,
        above: bool = True,
        room: float | None = None,
    ) -> None:
        """Name a stretch of a log: a line over (or under) it with an end at each side, and words.

        Args:
            x1: where it begins.
            x2: where it ends.
            y: of the line.
            words: its name.
            colour: of line and name.
            above: whether the words stand above the line, and the log below.
            room: how wide the words may become; None for the stretch.
        """
        end = y + (7 if above else -7)
        self.line((x1 + 2, end), (x1 + 2, y), (x2 - 2, y), (x2 - 2, end), colour=colour, thick=2)
        base = y - 8 if above else y + TEXT + 5
        room = x2 - x1 if room is None else room
        self.text((x1 + x2) / 2, base, words, anchor="middle", ink=colour, room=room)

    # -- the file -------------------------------------------------------------------------------

    def svg(self) -> str:
        """Return the drawing as a file: white ground, so that it is read on a dark page as well."""
        size = f'width="{WIDTH}" height="{self.height:g}" viewBox="0 0 {WIDTH} {self.height:g}"'
        labels = f"{self.name}-title {self.name}-desc"
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"'
                f' aria-labelledby="{labels}" font-family="{FONTS}">',
                f'<title id="{self.name}-title">{escape(self.title)}</title>',
                f'<desc id="{self.name}-desc">{escape(self.alt)}</desc>',
                f'<rect width="{WIDTH}" height="{self.height:g}" rx="8" fill="{WHITE}"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _middle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *lines: str,
        size: float,
        room: float,
        ink: str = INK,
    ) -> None:
        """Write lines in the middle of a place."""
        base = y + height / 2 - (len(lines) - 1) * size * LEADING / 2 + size * 0.36
        self.text(x + width / 2, base, *lines, size=size, anchor="middle", room=room, ink=ink)

    def _rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        edge: str,
        fill: str,
        dashed: bool,
        rx: float,
    ) -> None:
        corners = (x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)
        self.strokes += [Stroke(*a, *b) for a, b in pairwise(corners)]
        self._add(
            "rect",
            x=x,
            y=y,
            width=width,
            height=height,
            rx=rx,
            fill=fill,
            stroke=edge,
            stroke_width=2,
            stroke_dasharray=DASHES if dashed else None,
        )

    def _add(self, tag: str, inside: str | None = None, **attributes: object) -> None:
        written = "".join(
            f' {name.replace("_", "-")}="{_number(value)}"'
            for name, value in attributes.items()
            if value is not None
        )
        end = "/>" if inside is None else f">{inside}</{tag}>"
        self._parts.append(f"<{tag}{written}{end}")


def measure(text: str, size: float, bold: bool = False) -> float:
    """Return how wide a line of text is in our font, in pixels."""
    return _font(bold).getlength(text) * size / 1000


@cache
def _font(bold: bool):
    import matplotlib  # it brings the font
    from PIL import ImageFont

    file = Path(matplotlib.get_data_path(), "fonts/ttf", f"DejaVuSans{'-Bold' * bold}.ttf")
    return ImageFont.truetype(file, 1000, layout_engine=ImageFont.Layout.BASIC)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: object) -> str:
    return f"{round(value, 1):g}" if isinstance(value, int | float) else str(value)

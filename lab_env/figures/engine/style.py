"""The house style of every picture: colours, sizes, numbers, and labels that do not collide."""

import re
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

WIDTH, HEIGHT = 900, 420  # of a picture on the page, in units that the pictures are laid out in
UNITS_PER_POINT = 100 / 72

INK = "#222222"
SOFT = "#555555"  # ticks, and the words of marks
RULE = "#8a8a8a"  # spines and lines of marks
GRID = "#e6e6e6"
ZONE = (0.0, 0.0, 0.0, 0.075)  # a stretch of time that has a name; what is below shows through
GONE = "#b4b4b4"  # a worker that has ended
FONT = "DejaVu Sans"  # comes with matplotlib, so a picture is the same everywhere

TEXT, NAME, TITLE = 12.0, 12.5, 14.0  # points
LINE = 2.0  # points

# Okabe and Ito, "Color Universal Design" (2008), without black; the faintest comes last
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILLION, SKY, YELLOW = "#D55E00", "#56B4E9", "#F0E442"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GLYPHS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖"}

DARKEST_TEXT_RATIO = 4.5  # WCAG 2.1, 1.4.3: contrast of text with its ground


class Look(NamedTuple):
    """How a name is drawn: ``colour``, ``marker``, and ``ink``, the colour in which it is read."""

    colour: str
    marker: str
    ink: str

    @property
    def glyph(self) -> str:
        """The marker as a character."""
        return GLYPHS.get(self.marker, "●")


class Palette:
    """Gives a member, group, broker or client its look, and keeps it for the whole lab."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._given = 0
        self._looks = {
            "produced": Look(INK, "o", INK),
            "call": Look(VERMILLION, "o", readable(VERMILLION)),
            "message": Look(BLUE, "s", readable(BLUE)),
        }

    def __contains__(self, name: str) -> bool:
        return name in self._looks

    def look(self, name: str) -> Look:
        """Return the look of ``name``; a new name gets the next colour."""
        with self._lock:
            if name not in self._looks:
                turn, place = divmod(self._given, len(COLOURS))
                # in the next turn the colours come again, each with another marker
                marker = MARKERS[(place + turn) % len(MARKERS)]
                colour = COLOURS[place]
                self._looks[name] = Look(colour, marker, readable(colour))
                self._given += 1
            return self._looks[name]


def readable(colour: str) -> str:
    """Return ``colour``, darkened as far as text on white needs."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    factor = 1.0
    while 1.05 / (_luminance(red * factor, green * factor, blue * factor) + 0.05) < (
        DARKEST_TEXT_RATIO
    ):
        factor -= 0.02
    return "#" + "".join(f"{round(c * factor * 255):02x}" for c in (red, green, blue))


def paler(colour: str, share: float) -> str:
    """Return ``colour`` with so much of the way to white behind it."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + (255 - c) * share):02x}" for c in channels)


def _luminance(*rgb: float) -> float:
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def number(value: float) -> str:
    """Return a number as it is read out: 12,345, and 4.5 where the tenth matters."""
    if abs(value) < 9.95 and abs(value - round(value)) >= 0.05:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Return a duration as it is read out: 4.2 ms, 830 ms, 1.2 s."""
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:,.0f} s"


def shorten(name: str, most: int = 18) -> str:
    """Return ``name`` with its middle left out if it has more than ``most`` characters."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return name[: most - 1 - tail] + "…" + name[-tail:]


def natural(name: str) -> list:
    """Return a key that sorts truck-2 before truck-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def spread(wanted: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Return where labels go so that none covers another, each as near to its wish as can be.

    Args:
        wanted: the wished middle of each label.
        height: of a label, with the space about it.
        low: where the lowest label may begin.
        high: where the highest label may end.

    Returns:
        The middles, in the order of ``wanted``. Labels that do not all fit are set closer.
    """
    if not wanted:
        return []
    height = min(height, (high - low) / len(wanted))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    # neighbours that would touch become one block, which stands at the mean of their wishes
    blocks: list[tuple[float, int]] = []  # (middle, count)
    for i in order:
        blocks.append((_within(wanted[i], height, low, high), 1))
        while len(blocks) > 1 and (
            blocks[-1][0] - blocks[-2][0] < (blocks[-1][1] + blocks[-2][1]) * height / 2 - 1e-9
        ):
            (first, n), (second, m) = blocks[-2], blocks[-1]
            blocks[-2:] = [
                (_within((first * n + second * m) / (n + m), (n + m) * height, low, high), n + m)
            ]
    middles = iter(
        middle + (k - (count - 1) / 2) * height for middle, count in blocks for k in range(count)
    )
    placed = [0.0] * len(wanted)
    for i in order:
        placed[i] = next(middles)
    return placed


def _within(middle: float, height: float, low: float, high: float) -> float:
    return max(low + height / 2, min(middle, high - height / 2))

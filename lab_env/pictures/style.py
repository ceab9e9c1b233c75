"""The house style of every picture: colours that stay, numbers that read, labels that do not meet."""

import math
from itertools import cycle

from lab_env.messages import say

INK = "#222222"
GREY = "#6b6b6b"
ZONE = "#dddddd"  # time in which nobody owns, leads or answers
SPAN = "#efefef"  # time that the lesson has named
GRID = "#e6e6e6"

# Okabe and Ito's colours for everyone's eyes, darkest first; a marker as the second sign
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00")
MARKERS = ("s", "o", "^", "D", "v", "P", "X")

WIDTH, HEIGHT = 900, 420  # pixels on the page
DPI = 100


class Palette:
    """Gives a name its colour and its marker, and keeps both through all pictures of a lab."""

    def __init__(self) -> None:
        self._next = cycle(zip(COLOURS, MARKERS, strict=True))
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, name: str) -> tuple[str, str]:
        """Return (colour, marker) of a member, group, broker or client."""
        if name not in self._known:
            self._known[name] = next(self._next)
        return self._known[name]


def number(value: float) -> str:
    """Return a number for people: thousands separators, no false precision."""
    if not math.isfinite(value):
        return say("pictures.unknown")
    return f"{value:,.1f}" if 0 < abs(value) < 10 and value != int(value) else f"{value:,.0f}"


def seconds(value: float) -> str:
    """Return a duration in the unit that people use for it."""
    if not math.isfinite(value):
        return say("pictures.unknown")
    if value < 0.9995:
        return f"{value * 1000:,.0f} ms" if value >= 0.001 else f"{value * 1000:.1f} ms"
    return f"{value:,.1f} s"


def nice_top(value: float, at_least: float = 10.0) -> float:
    """Return the end of an axis that starts at 0 and leaves some air above ``value``."""
    wanted = max(value * 1.12, at_least)
    power = 10 ** math.floor(math.log10(wanted))
    for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if step * power >= wanted:
            return step * power
    return 10 * power


def spread(centres: list[float], heights: list[float], low: float, high: float) -> list[float]:
    """Return the centres moved apart as little as needed, so that labels do not overlap.

    Args:
        centres: where each label would like to stand, in pixels.
        heights: how tall each is.
        low, high: the room there is.
    """
    order = sorted(range(len(centres)), key=lambda i: centres[i])
    placed = [0.0] * len(centres)
    edge = low
    for i in order:  # upwards: nobody stands on the one below
        placed[i] = max(centres[i], edge + heights[i] / 2)
        edge = placed[i] + heights[i] / 2
    edge = high
    for i in reversed(order):  # and back down from the ceiling
        placed[i] = min(placed[i], edge - heights[i] / 2)
        edge = placed[i] - heights[i] / 2
    return placed

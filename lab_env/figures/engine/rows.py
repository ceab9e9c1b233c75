"""Rows of pictures with a row a member, or a partition: which have one, and where they stand."""

from collections.abc import Callable
from typing import TypeVar

from lab_env.figures.engine import style
from lab_env.figures.engine.style import Palette
from lab_env.figures.engine.timeline import Panel

Name = TypeVar("Name")


def first(names: list[Name], most: int, worth: Callable[[Name], float]) -> list[Name]:
    """Return the names that have a row, in their order: all, or those that are worth most.

    Args:
        names: in the order of their rows.
        most: how many rows there may be.
        worth: of a name.
    """
    if len(names) <= most:
        return names
    kept = sorted(names, key=worth, reverse=True)[:most]
    return [name for name in names if name in kept]


def give_rows(panel: Panel, names: list[str], palette: Palette, sunk: float = 0.0) -> None:
    """Give each member of a panel a row, with its name in its colour; the first is the highest.

    Args:
        panel: whose limits and ticks are set.
        names: of the members.
        palette: has their colours.
        sunk: how much below the middle of its row a name stands, in rows.
    """
    panel.low, panel.high = max(len(names), 2) - 0.5, -0.5
    panel.ticks = [
        (row + sunk, style.shorten(name), palette.look(name).ink) for row, name in enumerate(names)
    ]

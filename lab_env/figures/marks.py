"""Where the words of marks go above the time axis, so that none covers another."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab_env.journal import Mark
from lab_env.messages import say

TOGETHER = 0.3  # seconds: marks this close are one event with one text
MOST_TEXT = 44  # characters of a text that stands for several marks
ROWS = 2
GAP = 10.0  # units between two texts
OUTAGE = "outage"  # the kind of the mark that a picture itself makes when Kafka is silent


@dataclass(slots=True)
class Placed:
    """A mark and its words: ``left`` of the words in units, and ``row`` (0 is at the axis)."""

    mark: Mark
    text: str
    left: float
    width: float
    row: int


def merge(marks: Iterable[Mark]) -> list[Mark]:
    """Return the marks in order of time, with those that came together as one."""
    merged: list[Mark] = []
    group: list[Mark] = []

    def close() -> None:
        if not group:
            return
        text = ", ".join(dict.fromkeys(mark.text for mark in group))
        if len(text) > MOST_TEXT and len(group) > 1:
            text = say("figures.marks_more", text=group[0].text, more=len(group) - 1)
        first = group[0]
        subject = first.subject if len(group) == 1 else ""
        merged.append(Mark(first.time, text, first.kind, subject))

    for mark in sorted(marks, key=lambda m: m.time):
        if is_stretch(mark):
            merged.append(mark)
            continue
        if group and (mark.time - group[0].time > TOGETHER or mark.kind != group[0].kind):
            close()
            group = []
        group.append(mark)
    close()
    return sorted(merged, key=lambda m: m.time)


def is_stretch(mark: Mark) -> bool:
    """Return whether a mark lasts, and so is a grey zone instead of a line."""
    return mark.kind in ("span", OUTAGE) or mark.end is not None


def place(
    marks: Iterable[Mark],
    now: float,
    x: Callable[[float], float],
    width: Callable[[str], float],
    left: float,
    axis_right: float,
    right: float,
) -> list[Placed]:
    """Return the marks that are in sight whose words find room, the newest first.

    The newest stands lowest, right above the axis; an older one that would touch it goes up a
    row, where its line passes no other's words; the oldest that fit in no row keep only their line.

    Args:
        marks: merged marks.
        now: up to where a stretch that has not ended reaches, s.
        x: from time to units.
        width: of a text, in units.
        left: where the axis begins, in units.
        axis_right: where the axis ends.
        right: how far words may reach.
    """
    placed: list[Placed] = []
    free = [right] * ROWS  # how far to the right the next older text may reach, by row
    for mark in sorted(marks, key=lambda m: m.time, reverse=True):
        begin = x(mark.time)
        end = x(now if mark.end is None else mark.end) if is_stretch(mark) else begin
        if end < left or begin > axis_right or not mark.text:
            continue
        needs = width(mark.text)
        if is_stretch(mark):
            begin = max(begin, left)
            middle = (begin + min(end, axis_right)) / 2
            # words that are wider than their stretch begin with it
            start = middle - needs / 2 if mark.end is not None and end - begin > needs else begin
        else:
            start = begin + 5
        line = begin
        start = min(start, right - needs)
        for row in range(ROWS):
            crossed = any(p.row < row and p.left - 4 < line < p.left + p.width + 4 for p in placed)
            if start + needs <= free[row] and start >= 0 and not crossed:
                placed.append(Placed(mark, mark.text, start, needs, row))
                free[row] = min(start, line) - GAP
                # what is higher has a line through the rows below it
                for lower in range(row):
                    free[lower] = min(free[lower], min(start, line) - GAP)
                break
    return placed

"""Where the words of marks go above the time axis, so that none covers another."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab_env.ground.journal import Mark
from lab_env.messages import say

TOGETHER = 0.3  # seconds: marks this close are one event with one text
MOST_TEXT = 44  # characters of a text that stands for several marks
ROWS = 2
GAP = 10.0  # units between two texts
OUTAGE = "outage"  # the kind of the mark that a picture itself makes when Kafka is silent
SEEN = "seen"  # and when it has seen something that nobody wrote down: it gives way to the others
CAUSES = ("kill", "fail", "crash", "pause")  # what an outage may come from: these words come first


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


def _importance(mark: Mark) -> tuple:
    if mark.kind in (OUTAGE, SEEN):
        rank = 1 if mark.kind == OUTAGE else -1
    else:
        rank = 3 if is_stretch(mark) else 2 * (mark.kind in CAUSES)
    return rank, mark.time


def place(
    marks: Iterable[Mark],
    now: float,
    x: Callable[[float], float],
    width: Callable[[str], float],
    left: float,
    axis_right: float,
    right: float,
) -> list[Placed]:
    """Return the marks that are in sight whose words find room: stretches first, then the newest.

    Words stand right above the axis where they can, else a row higher, where their line passes no
    other's words; those that fit in no row keep only their line. A stretch is what the lesson has
    named, so its words go before those of single moments; what broke goes before the silence that
    came of it.

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

    def fits(row: int, start: float, needs: float, line: float) -> bool:
        for other in placed:
            at = x(other.mark.time)
            if other.row == row:
                if start < other.left + other.width + GAP and other.left < start + needs + GAP:
                    return False
            elif other.row < row:  # this one's line goes down through the other's row
                if other.left - 4 < line < other.left + other.width + 4:
                    return False
            elif start - 4 < at < start + needs + 4:
                return False
        return start >= 0

    for mark in sorted(marks, key=_importance, reverse=True):
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
        start = min(start, right - needs)
        row = next((r for r in range(ROWS) if fits(r, start, needs, begin)), None)
        if row is not None:
            placed.append(Placed(mark, mark.text, start, needs, row))
    return placed

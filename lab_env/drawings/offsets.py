"""The log with its offsets, and the place of a group in it."""

from typing import Any

from lab_env.drawings.sheet import BLUE, INK, ORANGE, SMALL, SOFT, Sheet
from lab_env.messages import say

LEFT, TOP, CELL, HIGH = 62, 108, 67, 56
COMMITTED, POSITION, END = 4, 7, 10


def draw(sheet: Sheet) -> None:
    """Draw it."""
    for offset in range(END + 1):
        colour = BLUE if offset < COMMITTED else ORANGE if offset < POSITION else None
        next_one = offset == END
        sheet.cell(_x(offset), TOP, CELL, HIGH, str(offset), colour=colour, dashed=next_one)
    for first, last, words, colour in (
        (0, COMMITTED, say("drawings.offsets_committed_records"), BLUE),
        (COMMITTED, POSITION, say("drawings.offsets_handed_out"), ORANGE),
        (POSITION, END, say("drawings.offsets_not_read"), SOFT),
    ):
        sheet.bracket(_x(first), _x(last), TOP - 14, words, colour=colour)
    for offset, name, where, colour in (
        (COMMITTED, say("drawings.committed_offset"), say("drawings.offsets_in_kafka"), BLUE),
        (POSITION, say("drawings.position"), say("drawings.offsets_in_consumer"), ORANGE),
        (END, say("drawings.log_end_offset"), say("drawings.offsets_next_record"), INK),
    ):
        middle, low = _x(offset) + CELL / 2, TOP + HIGH
        sheet.arrow((middle, low + 36), (middle, low + 5), colour=colour)
        room = (POSITION - COMMITTED) * CELL
        words: dict[str, Any] = {"anchor": "middle", "room": room}
        sheet.text(middle, low + 56, name, ink=colour, bold=True, **words)
        sheet.text(middle, low + 77, where, ink=SOFT, size=SMALL, **words)
    lag = say("drawings.offsets_lag", records=END - COMMITTED)
    sheet.bracket(_x(COMMITTED), _x(END), 276, lag, colour=INK, above=False, room=700)


def _x(offset: int) -> float:
    return LEFT + CELL * offset

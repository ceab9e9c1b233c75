"""A partition with transactions: their markers, and what each kind of reader gets."""

from lab_env.drawings.sheet import BLUE, INK, ORANGE, SMALL, SOFT, VERMILLION, Sheet
from lab_env.messages import say

LEFT, CELL, TOP, HIGH = 190, 64, 100, 54
ROWS = 184, 232  # upper edges of what the readers get
LOW = 34
STABLE, END = 6, 9
# offset: whose record it is
RECORDS = {0: BLUE, 1: BLUE, 3: VERMILLION, 4: VERMILLION, 6: ORANGE, 7: ORANGE, 8: INK}
MARKERS = {2: BLUE, 5: VERMILLION}


def draw(sheet: Sheet) -> None:
    """Draw it."""
    ends = {2: say("drawings.commit"), 5: say("drawings.abort")}
    for offset in range(END + 1):
        lines = [str(offset), *filter(None, [ends.get(offset)])]
        sheet.cell(
            _x(offset), TOP, CELL, HIGH, *lines,
            colour=RECORDS.get(offset, MARKERS.get(offset)),
            solid=offset in MARKERS, dashed=offset == END, size=14 if offset in MARKERS else SMALL,
        )  # fmt: skip
    for first, last, words, colour in (
        (0, 3, say("drawings.transactions_committed"), BLUE),
        (3, 6, say("drawings.transactions_aborted"), VERMILLION),
        (6, 8, say("drawings.transactions_open"), ORANGE),
        (8, 9, say("drawings.transactions_none"), INK),
    ):
        sheet.bracket(_x(first), _x(last), TOP - 12, words, colour=colour)
    sheet.text(24, TOP - 20, say("drawings.transaction"), size=SMALL, ink=SOFT, room=160)
    sheet.text(24, TOP + HIGH / 2 + 6, say("drawings.transactions_log"), bold=True, room=160)
    got = {"read_committed": (0, 1), "read_uncommitted": (0, 1, 3, 4, 6, 7, 8)}
    for (level, offsets), top in zip(got.items(), ROWS, strict=True):
        sheet.text(24, top + LOW / 2 + 5, level, size=SMALL, room=LEFT - 24)
        for offset in offsets:
            colour = RECORDS[offset]
            sheet.cell(_x(offset) + 6, top, CELL - 12, LOW, str(offset), colour=colour, size=SMALL)
    # read_committed gets nothing from the first open transaction on: its row has room for the name
    stable, end = _x(STABLE), _x(END)
    sheet.line((stable, TOP - 4), (stable, ROWS[0] + LOW + 4), colour=ORANGE)
    name = say("drawings.transactions_stable", offset=STABLE)
    sheet.text(stable + 10, ROWS[0] + LOW / 2 + 6, name, bold=True, ink=ORANGE)
    sheet.line((end, TOP - 4), (end, ROWS[1] + LOW + 12))
    name = say("drawings.high_watermark", offset=END)
    sheet.text(846, ROWS[1] + LOW + 34, name, bold=True, anchor="end")


def _x(offset: int) -> float:
    return LEFT + CELL * offset

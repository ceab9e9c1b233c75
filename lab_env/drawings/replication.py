"""A partition's leader and followers: log end offsets, and the high watermark below them."""

from lab_env.drawings.sheet import BLUE, GREEN, NAME, ORANGE, RULE, SMALL, SOFT, Sheet
from lab_env.messages import say

LEFT, CELL, TOP, HIGH, STEP = 246, 52, 74, 46, 70
BOX = 176
MARK = 6  # what every in-sync replica has is below it


def draw(sheet: Sheet) -> None:
    """Draw it."""
    in_sync, behind = say("drawings.replication_in_sync"), say("drawings.replication_behind")
    replicas = (
        (1, say("drawings.leader"), 8, BLUE),
        (2, in_sync, 6, ORANGE),
        (3, behind, 3, GREEN),
    )
    for number, (broker, role, end, colour) in enumerate(replicas):
        y = TOP + number * STEP
        out = role == behind
        name = say("drawings.broker", number=broker)
        sheet.box(24, y - 4, BOX, HIGH + 8, name, role, colour=colour, dashed=out)
        for offset in range(end):
            sheet.cell(_x(offset), y, CELL, HIGH, str(offset), colour=colour)
        words = say("drawings.replication_end", offset=end)
        sheet.text(_x(end) + 12, y + HIGH / 2 + 5, words, size=SMALL, room=3 * CELL - 12)
    rail = 24 + BOX + 22
    rows = [TOP + number * STEP + HIGH / 2 for number in range(3)]
    sheet.line((24 + BOX, rows[2]), (rail, rows[2]), (rail, rows[0]), colour=RULE)
    sheet.line((24 + BOX, rows[1]), (rail, rows[1]), colour=RULE)
    sheet.arrow((rail, rows[0]), (24 + BOX + 2, rows[0]), colour=RULE)
    sheet.text(rail + 9, TOP + HIGH + 17, say("drawings.fetch"), size=SMALL, ink=SOFT, room=70)
    x, low = _x(MARK), TOP + 2 * STEP + HIGH
    sheet.line((x, TOP - 16), (x, low + 42))
    name = say("drawings.high_watermark", offset=MARK)
    sheet.text(x, low + 62, name, bold=True, size=NAME, anchor="middle", room=300)
    below = low + 14
    readable, hidden = say("drawings.replication_readable"), say("drawings.replication_hidden")
    sheet.bracket(_x(0), x - 4, below, readable, above=False, colour=SOFT)
    sheet.bracket(x + 4, _x(8), below, hidden, above=False, colour=SOFT, room=230)
    sheet.text(x, low + 84, say("drawings.replication_why"), size=SMALL, ink=SOFT, anchor="middle")


def _x(offset: int) -> float:
    return LEFT + CELL * offset

"""The outbox: one transaction of the database writes the row and the event, a relay publishes."""

from lab_env.drawings.sheet import BLUE, NAME, ORANGE, SMALL, SOFT, Sheet
from lab_env.messages import say

MIDDLE = 168


def draw(sheet: Sheet) -> None:
    """Draw it."""
    sheet.box(24, MIDDLE - 34, 126, 68, say("drawings.gate_desk"), colour=BLUE)
    sheet.box(208, 60, 262, 218)
    sheet.text(339, 86, say("drawings.database"), bold=True, size=NAME, anchor="middle", room=240)
    sheet.box(220, 98, 238, 168, colour=BLUE, dashed=True)
    sheet.text(339, 258, say("drawings.outbox_one"), ink=BLUE, anchor="middle", room=230)
    for top, table, row, colour in (
        (112, "gates", ((232, 107, "UA1545"), (339, 107, "B16")), BLUE),
        (178, "outbox", ((232, 214, say("drawings.outbox_event")),), ORANGE),
    ):
        sheet.text(232, top + 10, table, size=SMALL, ink=SOFT, room=210)
        for x, width, words in row:
            sheet.cell(x, top + 16, width, 34, words, colour=colour)
    sheet.arrow((150, MIDDLE), (220, MIDDLE), colour=BLUE)
    sheet.text(
        179, MIDDLE - 10, say("drawings.outbox_writes"), size=SMALL, anchor="middle", room=56
    )
    row = 211
    sheet.arrow((446, row), (548, row), colour=ORANGE)
    sheet.text(511, row - 10, say("drawings.outbox_reads"), size=SMALL, anchor="middle", room=74)
    sheet.box(548, row - 34, 106, 68, say("drawings.relay"), colour=ORANGE)
    sheet.arrow((654, row), (700, row), colour=ORANGE)
    sheet.topic(700, row - 22, 136, 44)
    sheet.cell(738, row - 15, 60, 30, "B16", colour=ORANGE)
    sheet.text(768, row - 33, "gate.announced", bold=True, anchor="middle", size=SMALL)
    least = say("drawings.outbox_publishes"), say("drawings.outbox_least")
    sheet.text(836, row + 52, *least, size=SMALL, ink=SOFT, anchor="end", room=300)

"""Join, sync, heartbeat: what the members of a group and its coordinator say to each other."""

from lab_env.drawings.sheet import BLUE, INK, ORANGE, RULE, SMALL, SOFT, Sheet
from lab_env.messages import say

LEFT, MIDDLE, RIGHT = 216, 488, 760  # the two members, and the coordinator between them
HEADS, BANDS, BAND = 48, 92, 84


def draw(sheet: Sheet) -> None:
    """Draw it."""
    leader, member = say("drawings.member_leads", member="gate-1"), "gate-2"
    phases = (
        (
            say("drawings.join"),
            ("JoinGroup", "JoinGroup"),
            (say("drawings.protocol_members"), say("drawings.protocol_generation")),
        ),
        (
            say("drawings.sync"),
            (say("drawings.protocol_assigns"), "SyncGroup"),
            (
                say("drawings.partitions", numbers="0, 1, 2"),
                say("drawings.partitions", numbers="3, 4, 5"),
            ),
        ),
        (
            say("drawings.heartbeat"),
            (say("drawings.protocol_beats"), say("drawings.protocol_beats")),
            (say("drawings.protocol_again"), say("drawings.protocol_again")),
        ),
    )
    for number in range(len(phases)):
        sheet.zone(24, BANDS + number * BAND, 812, BAND - 6)
    low = BANDS + len(phases) * BAND - 6
    for x, name, colour, width in (
        (LEFT, leader, BLUE, 190),
        (MIDDLE, say("drawings.coordinator"), INK, 150),
        (RIGHT, member, ORANGE, 110),
    ):
        sheet.line((x, HEADS + 34), (x, low), colour=RULE, thick=2)
        sheet.box(x - width / 2, HEADS, width, 34, name, colour=colour)
    for number, (name, asked, answered) in enumerate(phases):
        top = BANDS + number * BAND
        sheet.text(40, top + BAND / 2 + 3, name, bold=True, room=LEFT - 50)
        for words, y, answers in ((asked, top + 31, False), (answered, top + 67, True)):
            for end, said, colour in ((LEFT, words[0], BLUE), (RIGHT, words[1], ORANGE)):
                towards = 6 if end < MIDDLE else -6
                points = [(end + towards, y), (MIDDLE - towards, y)]
                sheet.arrow(*(points[::-1] if answers else points), colour=colour, dashed=answers)
                middle, room = (end + MIDDLE) / 2, abs(MIDDLE - end) - 12
                sheet.text(middle, y - 8, said, size=SMALL, anchor="middle", room=room)
    sheet.text(24, low + 22, say("drawings.protocol_new"), size=SMALL, ink=SOFT)

"""Request and reply over two topics, matched by a correlation id."""

from lab_env.drawings.sheet import BLUE, GREEN, ORANGE, SMALL, SOFT, TEXT, Sheet
from lab_env.messages import say

BOX, TUBE, CHIP = 150, 452, 132
LEFT = 204  # of the topics
ROWS = 80, 232  # upper edges of the topics
HIGH = 64
ASKED = {"A": ("UA1545", "B16", BLUE), "B": ("UA1714", "B5", ORANGE), "C": ("AA1141", "B2", GREEN)}


def draw(sheet: Sheet) -> None:
    """Draw it."""
    matches = say("drawings.reply_matches"), say("drawings.reply_by"), say("drawings.by_id")
    copies = say("drawings.reply_copies"), say("drawings.by_id")
    sheet.box(24, ROWS[0], BOX, ROWS[1] + HIGH - ROWS[0], say("drawings.operations"), *matches)
    right = LEFT + TUBE + 30
    sheet.box(right, ROWS[0], BOX, ROWS[1] + HIGH - ROWS[0], say("drawings.gate_desk"), *copies)
    # a topic's first record is the one that has come furthest
    requests = {key: 2 - place for place, key in enumerate("ABC")}
    replies = {key: place for place, key in enumerate("BAC")}
    for key, (*_, colour) in ASKED.items():
        ends = (_middle(requests[key]), ROWS[0] + HIGH), (_middle(replies[key]), ROWS[1])
        sheet.line(*ends, colour=colour, dashed=True)
    for top in ROWS:
        sheet.topic(LEFT, top, TUBE, HIGH)
    for key, (flight, gate, colour) in ASKED.items():
        identity = say("drawings.id", key=key)
        answer = say("drawings.gate", gate=gate)
        for place, top, body in ((requests, ROWS[0], flight), (replies, ROWS[1], answer)):
            x = _middle(place[key]) - CHIP / 2
            sheet.cell(x, top + 8, CHIP, HIGH - 16, identity, body, colour=colour, size=SMALL)
    for name, headers, base in (
        ("gate.questions", say("drawings.reply_request_headers"), ROWS[0] - 10),
        ("gate.replies", say("drawings.reply_headers"), ROWS[1] + HIGH + 22),
    ):
        sheet.text(LEFT + 8, base, name, bold=True, size=TEXT, room=165)
        end = LEFT + TUBE - 4
        sheet.text(end, base, headers, size=SMALL, ink=SOFT, anchor="end", room=275)
    up, down = ROWS[0] + HIGH / 2, ROWS[1] + HIGH / 2
    sheet.arrow((24 + BOX, up), (LEFT, up))
    sheet.arrow((LEFT + TUBE, up), (right, up))
    sheet.arrow((right, down), (LEFT + TUBE, down))
    sheet.arrow((LEFT, down), (24 + BOX, down))


def _middle(place: int) -> float:
    return LEFT + 14 + CHIP / 2 + place * (CHIP + 12)

"""Spring Cloud Stream: a function, its bindings, the binder, and their destinations on Kafka."""

from lab_env.drawings.sheet import BLUE, GREEN, ORANGE, SMALL, SOFT, Sheet
from lab_env.messages import say

TOPS, BAND = (50, 119, 188, 257), 63
BOX = 42
COLUMNS = 290, 562  # the way in, and the way out
WIDE = 210


def draw(sheet: Sheet) -> None:
    """Draw it."""
    layers = (
        (say("drawings.function"), say("drawings.binding_plain")),
        (say("drawings.binding"), "application.yml"),
        (say("drawings.binder"), say("drawings.binding_knows")),
        (say("drawings.destination"), say("drawings.binding_topic")),
    )
    for (name, remark), top in zip(layers, TOPS, strict=True):
        sheet.zone(24, top, 812, BAND)
        sheet.text(38, top + BAND / 2 + 6, name, bold=True, room=138)
        sheet.text(822, top + BAND / 2 + 6, remark, size=SMALL, ink=SOFT, anchor="end", room=142)
    y = [top + (BAND - BOX) / 2 for top in TOPS]
    left, right = COLUMNS
    middle = (left + right) / 2
    sheet.box(middle - 80, y[0], 160, BOX, "delay", colour=GREEN)
    group = say("drawings.group", group="delays")
    sheet.box(left - WIDE / 2, y[1] - 3, WIDE, BOX + 6, "delay-in-0", group, colour=BLUE)
    sheet.box(right - WIDE / 2, y[1] - 3, WIDE, BOX + 6, "delay-out-0", colour=BLUE)
    kafka = say("drawings.binding_kafka")
    sheet.box(left - WIDE / 2, y[2], right - left + WIDE, BOX, kafka, colour=ORANGE)
    for x, topic in (
        (left, say("drawings.topic_departed")),
        (right, say("drawings.topic_delayed")),
    ):
        sheet.topic(x - WIDE / 2, y[3], WIDE, BOX, topic)
    edge, level = 80, y[0] + BOX / 2
    sheet.arrow((left, y[3]), (left, y[2] + BOX))
    sheet.arrow((left, y[2]), (left, y[1] + BOX + 3))
    sheet.arrow((left, y[1] - 3), (left, level), (middle - edge, level))
    sheet.arrow((middle + edge, level), (right, level), (right, y[1] - 3))
    sheet.arrow((right, y[1] + BOX + 3), (right, y[2]))
    sheet.arrow((right, y[2] + BOX), (right, y[3]))

"""Retry topics, each with its delay, and the dead letter topic, from which one is replayed."""

from lab_env.drawings.sheet import GREEN, ORANGE, SMALL, SOFT, VERMILLION, Sheet
from lab_env.messages import say

LEFT, STEP, WIDE, TOPIC = 24, 208, 174, 96
CLERK, LOW, HALF = 198, 52, 58
BILLS = 300


def draw(sheet: Sheet) -> None:
    """Draw it."""
    retry = say("drawings.retry_topic")
    columns = (
        (say("drawings.topic_departed"), "", ""),
        ("billing.retry-1s", retry, say("drawings.waits", seconds=1)),
        ("billing.retry-2s", retry, say("drawings.waits", seconds=2)),
        ("billing.dead", say("drawings.dead_letter_topic"), ""),
    )
    handled, fails = say("drawings.handled"), say("drawings.fails")
    for number, (topic, kind, delay) in enumerate(columns):
        x = LEFT + number * STEP
        middle = x + WIDE / 2
        dead = number == len(columns) - 1
        sheet.topic(x, TOPIC, WIDE, 44, topic, size=SMALL)
        ink = VERMILLION if dead else ORANGE
        if kind:
            sheet.text(middle, TOPIC - 11, kind, anchor="middle", ink=ink, room=STEP - 6)
        sheet.arrow((middle, TOPIC + 44), (middle, CLERK))
        if dead:
            sheet.box(
                middle - HALF, CLERK, 2 * HALF, LOW, say("drawings.repair"), colour=VERMILLION
            )
            break
        lines = filter(None, [say("drawings.clerk"), delay])
        sheet.box(middle - HALF, CLERK, 2 * HALF, LOW, *lines)
        turn, level = x + STEP + 17, CLERK + LOW / 2
        on = VERMILLION if number == 2 else ORANGE
        sheet.arrow((middle + HALF, level), (turn, level), (turn, TOPIC + 44), colour=on)
        sheet.text(
            (middle + HALF + turn) / 2, level - 8, fails, anchor="middle", size=SMALL, room=60
        )
        sheet.arrow((middle, CLERK + LOW), (middle, BILLS), colour=GREEN)
        sheet.text(middle + 9, BILLS - 20, handled, size=SMALL, room=90)
    sheet.topic(LEFT, BILLS, 2 * STEP + WIDE, 40, "billing.bills", size=SMALL)
    middle, level = LEFT + 3 * STEP + WIDE / 2, CLERK + LOW / 2
    over, back = 58, LEFT + STEP + 17
    way = (middle + HALF, level), (842, level), (842, over), (back, over), (back, TOPIC)
    sheet.arrow(*way, colour=VERMILLION)
    beside = LEFT + 2 * STEP - (STEP - WIDE) / 2
    replay = say("drawings.replay")
    sheet.text(beside, over + 21, replay, ink=VERMILLION, size=SMALL, anchor="middle", room=90)
    when = say("drawings.dead_when"), say("drawings.dead_or"), say("drawings.dead_wrong")
    sheet.text(middle - 76, CLERK + LOW + 26, *when, size=SMALL, ink=SOFT, room=180)

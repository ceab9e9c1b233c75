"""Desired state and actual state: a loop that compares them, again and again, and acts."""

from lab_env.drawings.sheet import BLUE, GREEN, NAME, SMALL, SOFT, VERMILLION, Sheet
from lab_env.messages import say

WANTED, THERE = 60, 208  # upper edges of the two states
HIGH, WIDE = 88, 254
MIDDLE = (WANTED + THERE + HIGH) / 2
POD = 30


def draw(sheet: Sheet) -> None:
    """Draw it."""
    states = (
        (WANTED, say("drawings.desired_state", count=3), 3, BLUE),
        (THERE, say("drawings.actual_state", count=2), 2, GREEN),
    )
    for top, name, pods, colour in states:
        sheet.box(24, top, WIDE, HIGH, colour=colour)
        sheet.text(24 + WIDE / 2, top + 28, name, bold=True, size=NAME, anchor="middle", room=WIDE)
        for number in range(3):
            x = 24 + WIDE / 2 + (number - 1.5) * (POD + 14) + 7
            sheet.cell(x, top + 44, POD, POD, colour=colour, dashed=number >= pods)
    sheet.box(
        384, MIDDLE - 46, 170, 92, say("drawings.controller"), say("drawings.loop_compares"),
        say("drawings.loop_again"),
    )  # fmt: skip
    sheet.box(676, MIDDLE - 36, 160, 72, say("drawings.loop_acts"), colour=VERMILLION)
    read, seen = WANTED + HIGH / 2, THERE + HIGH / 2 - 4
    sheet.arrow((24 + WIDE, read), (469, read), (469, MIDDLE - 46), colour=BLUE)
    sheet.arrow((24 + WIDE, seen), (440, seen), (440, MIDDLE + 46), colour=GREEN)
    sheet.text(300, read - 9, say("drawings.loop_reads"), size=SMALL, room=160)
    sheet.text(300, seen - 9, say("drawings.loop_observes"), size=SMALL, room=130)
    sheet.arrow((554, MIDDLE), (676, MIDDLE), colour=VERMILLION)
    differs = say("drawings.loop_difference")
    sheet.text(615, MIDDLE - 9, differs, size=SMALL, anchor="middle", room=116)
    back = THERE + HIGH - 12
    sheet.arrow((756, MIDDLE + 36), (756, back), (24 + WIDE, back), colour=VERMILLION)
    sheet.text(640, back - 9, say("drawings.loop_changes"), size=SMALL, ink=SOFT, room=110)

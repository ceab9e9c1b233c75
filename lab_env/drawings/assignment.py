"""A topic's partitions, the members of two groups, and which member owns which partition."""

from lab_env.drawings.sheet import BLUE, GREEN, NAME, ORANGE, SMALL, SOFT, VERMILLION, Sheet
from lab_env.messages import say

TOPIC, TOP, STEP, HIGH = 340, 92, 39, 31
WIDE = 180  # of a partition
SIDE = 244  # of a group
GATES = {"gate-1": BLUE, "gate-2": ORANGE, "gate-3": GREEN}


def draw(sheet: Sheet) -> None:
    """Draw it."""
    right = 860 - 24 - SIDE
    groups = (
        (24, say("drawings.group", group="gates"), say("drawings.assignment_share")),
        (
            right,
            say("drawings.group", group="board"),
            say("drawings.assignment_all"),
        ),
    )
    for x, name, share in groups:
        sheet.zone(x, 52, SIDE, 294)
        sheet.text(x + SIDE / 2, 78, name, bold=True, size=NAME, anchor="middle", room=SIDE)
        sheet.text(x + SIDE / 2, 334, share, size=SMALL, ink=SOFT, anchor="middle", room=SIDE)
    sheet.text(
        430, 78, say("drawings.topic_landed"), bold=True, size=NAME, anchor="middle", room=WIDE
    )
    for number, (name, colour) in enumerate(GATES.items()):
        first = 2 * number
        y = (_y(first) + _y(first + 1)) / 2
        owned = say("drawings.partitions", numbers=f"{first}, {first + 1}")
        sheet.box(44, y - 27, 160, 54, name, owned, colour=colour)
        for partition in (first, first + 1):
            ends = (TOPIC, _y(partition)), (204, y + 8 * (partition - first - 0.5))
            sheet.arrow(*ends, colour=colour)
    middle = (_y(2) + _y(3)) / 2
    owned = say("drawings.partitions", numbers="0 … 5")
    sheet.box(right + 42, middle - 27, 160, 54, say("drawings.board"), owned, colour=VERMILLION)
    for partition in range(6):
        ends = (TOPIC + WIDE, _y(partition)), (right + 42, middle + 7 * (partition - 2.5))
        sheet.arrow(*ends, colour=VERMILLION)
        name = say("drawings.partition", number=partition)
        sheet.cell(TOPIC, _y(partition) - HIGH / 2, WIDE, HIGH, name)


def _y(partition: int) -> float:
    return TOP + HIGH / 2 + STEP * partition

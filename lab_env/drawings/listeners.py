"""Two listeners of a broker in a container, and the address that each tells its clients."""

from typing import Any

from lab_env.drawings.sheet import BLUE, NAME, ORANGE, SMALL, SOFT, Sheet
from lab_env.messages import say

ASK, TELL = 162, 218
NOTEBOOK, WALL, BROKER, BOARD = (40, 120), 342, (356, 186), (694, 114)  # left edge and width
PORT = 84


def draw(sheet: Sheet) -> None:
    """Draw it."""
    sheet.zone(24, 48, 812, 278)
    sheet.text(40, 76, say("drawings.this_machine"), bold=True, size=NAME, room=240)
    sheet.box(WALL, 60, 482, 254, dashed=True)
    sheet.text(WALL + 14, 86, say("drawings.containers"), bold=True, size=NAME, room=460)
    top, low = ASK - 32, TELL + 32
    for (x, width), name, colour in (
        (NOTEBOOK, say("drawings.notebook"), BLUE),
        (BOARD, say("drawings.board"), ORANGE),
    ):
        sheet.box(x, top, width, low - top, name, colour=colour)
    left, right = BROKER[0], sum(BROKER)
    sheet.box(left, top - 22, BROKER[1], low - top + 32)
    middle = (left + right) / 2
    sheet.text(middle, top, "kafka", bold=True, size=NAME, anchor="middle", room=BROKER[1])
    listener = say("drawings.listener")
    for x, port, colour in ((left + 6, "9092", BLUE), (right - 6 - PORT, "19092", ORANGE)):
        sheet.box(x, ASK - 20, PORT, TELL - ASK + 40, port, listener, colour=colour)
    # the client's edge, its listener's, and the room for words between
    for client, port, begin, end, address, colour in (
        (sum(NOTEBOOK), left + 6, sum(NOTEBOOK), WALL, "127.0.0.1:9092", BLUE),
        (BOARD[0], right - 6, right, BOARD[0], "kafka:19092", ORANGE),
    ):
        sheet.arrow((client, ASK), (port, ASK), colour=colour)
        sheet.arrow((port, TELL), (client, TELL), colour=colour, dashed=True)
        words: dict[str, Any] = {"anchor": "middle", "size": SMALL, "room": end - begin - 4}
        x = (begin + end) / 2
        sheet.text(x, ASK - 9, say("drawings.listeners_ask"), **words)
        sheet.text(x, TELL - 9, say("drawings.listeners_go"), **words)
        sheet.text(x, TELL + 23, address, bold=True, ink=colour, **words)
        told = say("drawings.listeners_advertised"), listener
        sheet.text(x, TELL + 46, *told, ink=SOFT, **words)

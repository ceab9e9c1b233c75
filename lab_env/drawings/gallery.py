"""Knows all drawings: what makes each, and in which file it lies."""

from collections.abc import Callable
from pathlib import Path

from lab_env.drawings import (
    assignment,
    binding,
    control_loop,
    dead_letters,
    group_protocol,
    listeners,
    offsets,
    outbox,
    replication,
    request_reply,
    transactions,
)
from lab_env.drawings.sheet import Sheet
from lab_env.messages import say

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "drawings"

# each with its height (pixels), in the order of the lessons
DRAWINGS: dict[str, tuple[int, Callable[[Sheet], None]]] = {
    "request_reply": (340, request_reply.draw),
    "outbox": (300, outbox.draw),
    "offsets": (330, offsets.draw),
    "assignment": (360, assignment.draw),
    "group_protocol": (376, group_protocol.draw),
    "transactions": (320, transactions.draw),
    "dead_letters": (362, dead_letters.draw),
    "replication": (356, replication.draw),
    "binding": (330, binding.draw),
    "listeners": (342, listeners.draw),
    "control_loop": (310, control_loop.draw),
}


def drawn(name: str) -> Sheet:
    """Return a drawing, in the language in use.

    Args:
        name: one of ``DRAWINGS``.
    """
    height, draw = DRAWINGS[name]
    title, alt = say(f"drawings.{name}_title"), say(f"drawings.{name}_alt")
    sheet = Sheet(name, height, title, alt)
    draw(sheet)
    return sheet


def outdated(folder: Path = FOLDER) -> dict[Path, str]:
    """Return the files in a folder that are not as the code makes them, with what they should be.

    Args:
        folder: where the drawings lie.
    """
    wanted = {folder / f"{name}.svg": drawn(name).svg() for name in DRAWINGS}
    return {
        file: text
        for file, text in wanted.items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    }

"""A lesson as slides: where it opens, how large its pictures are, and its notes for instructors."""

import os
from pathlib import Path

from lab_env.figures.engine import size
from lab_env.messages import say

NOTES = "for_instructors"  # the folder beside the lessons


def notes(lesson: Path) -> Path:
    """Return where the notes on a lesson stand; the file may not be there yet."""
    return lesson.parent / NOTES / f"{lesson.stem}.md"


def start_page(lesson: Path) -> str:
    """Return JupyterLab's page that shows a lesson alone: no other tab, side bars closed."""
    return f"/doc/tree/{lesson.name}"


def enlarge() -> None:
    """Let pictures be for the back of a room, in every kernel that starts from here on.

    Raises:
        BadInputError: the presenter has chosen a scale of her own, and it is none.
    """
    os.environ.setdefault(size.VARIABLE, str(size.ROOM))
    size.scale()


def tell(lesson: Path, console) -> None:
    """Show a lesson's notes, where they stand, and how the slides are driven.

    Args:
        lesson: its file.
        console: a rich Console: the instructor's screen, which the class does not see.
    """
    from rich.markdown import Markdown

    place = notes(lesson)
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        told = say("presenting.no_notes", lesson=lesson.stem, file=place)
    except (OSError, ValueError) as error:
        told = say("presenting.unreadable", file=place, why=error)
    else:
        console.print(Markdown(text))
        console.rule()
        told = say("presenting.notes", file=place)
    for line in (told, say("presenting.how"), say("presenting.keys")):
        console.print(line, markup=False, highlight=False, soft_wrap=True)

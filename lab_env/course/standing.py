"""Where a student stands: of each lesson what she has foreseen, and which exercises are done."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lab_env.checks import progress
from lab_env.course import lessons
from lab_env.messages import say


class Standing(NamedTuple):
    """A lesson's row; the last three are texts such as "7 of 11", "" for nothing."""

    title: str
    foreseen: str
    steps: str
    passed: str


def of(paths: Iterable[Path]) -> list[Standing]:
    """Return a row for each lesson.

    Args:
        paths: the lessons' files.
    """
    kept = progress.read()
    rows = []
    for path in paths:
        number = path.name[:2]
        of_this = kept.get(number, {})
        guesses = of_this.get(progress.PREDICTIONS, {}).values()
        done = of_this.get(progress.EXERCISES, {})
        notebook = lessons.load(path)
        exercises = len(lessons.exercises(notebook, path.name))
        taken, steps = of_this.get(progress.STEPS, {}), len(lessons.steps(notebook, path.name))
        right = sum(guess is True for guess in guesses)
        rows.append(
            Standing(
                f"{number} {path.stem[3:].replace('_', ' ')}",
                _of(right, len(guesses)) if guesses else "",
                _of(min(len(taken), steps), steps) if taken else "",
                _of(min(len(done), exercises), exercises) if done else "",
            )
        )
    return rows


def place() -> str:
    """Return where it is kept, in words."""
    file = progress.place()
    return say("cli.progress_nowhere") if file is None else str(file)


def _of(right: int, asked: int) -> str:
    return say("cli.progress_of", right=right, asked=asked)

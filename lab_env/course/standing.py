"""Where a student stands: of each lesson what she has foreseen, and which exercises are done.

``lab progress`` shows it in a terminal, and ``index.ipynb`` beside the lessons::

    from lab_env.course import standing

    standing.table()
"""

import html
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


class Standings:
    """The rows of all lessons, as a notebook and a terminal show them.

    Args:
        files: the lessons' files.
    """

    def __init__(self, files: list[Path]):
        self.files = files
        self.rows = of(files)
        self.kept = say("cli.progress_place", place=place())

    def __repr__(self) -> str:
        rows = [headings(), *self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        cells = [map(str.ljust, row, widths) for row in rows]
        return "\n".join([*("  ".join(row).rstrip() for row in cells), "", self.kept])

    def _repr_html_(self) -> str:
        heads = "".join(f'<th style="text-align: left">{head}</th>' for head in headings())
        body = []
        for file, row in zip(self.files, self.rows, strict=True):
            texts = [html.escape(text) for text in row]
            texts[0] = f'<a href="{html.escape(file.name)}">{texts[0]}</a>'
            cells = "".join(f'<td style="text-align: left">{text}</td>' for text in texts)
            body.append(f"<tr>{cells}</tr>")
        return (
            f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
            f"<p>{html.escape(self.kept)}</p>"
        )


def table() -> Standings:
    """Return what is kept of every lesson; no Kafka is started.

    Raises:
        BadInputError: there are no lessons here.
    """
    return Standings(lessons.paths(lessons.folder()))


def place() -> str:
    """Return where it is kept, in words."""
    file = progress.place()
    return say("cli.progress_nowhere") if file is None else str(file)


def headings() -> list[str]:
    """Return what stands above the columns of `of`."""
    return [say(f"cli.progress_{heading}") for heading in Standing._fields]


def _of(right: int, asked: int) -> str:
    return say("cli.progress_of", right=right, asked=asked)

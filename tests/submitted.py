"""Submissions as students hand them in, made by code from the course's own lessons.

``python tests/submitted.py FOLDER`` writes a class of thirty to try ``lab grade`` on: what each of
them should get stands in the name of its folder.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from lab_env.course import lessons

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def filled(number: str, answers: Mapping[str, str] = {}, *, solved: bool = False) -> dict:
    """Return a lesson's notebook with cells filled in.

    Args:
        number: of the lesson, two digits.
        answers: source by the cell's id.
        solved: put the solutions in first.
    """
    notebook = lessons.load(lessons.find(number, NOTEBOOKS))
    if solved:
        lessons.solved(notebook)
    there = {cell["id"]: cell for cell in notebook["cells"]}
    for name, source in answers.items():
        there[name]["source"] = source
    return notebook


def the_class(folder: Path) -> dict[str, tuple[str, str]]:
    """Write thirty submissions of lesson 05, and return by student what its two exercises get.

    Its small steps are as they were handed out.
    """
    import test_lesson_05 as known

    first, second = "exercise-two-groups", "exercise-rules"
    right = {first: known.DAY + known.THREE + known.ALONE}
    right[second] = known.rules(uneven="range", even="roundrobin")
    wrong_first = [code for code, _ in known.WRONG_GROUPS.values()]
    wrong_second = [code for code, _ in known.WRONG_RULES.values()]
    wanted = {}

    def hand_in(answers: dict, *verdicts: str) -> None:
        name = f"{len(wanted) + 1:02}-{'-'.join(verdicts)}"
        save(filled("05", answers), folder / name / "05_consumer_groups.ipynb")
        wanted[name] = verdicts

    for code in wrong_first[1:]:
        hand_in(right | {first: code}, "not_yet", "passed")
    for code in wrong_second:
        hand_in(right | {second: code}, "passed", "not_yet")
    for code in known.RIGHT_GROUPS.values():
        hand_in({first: code}, "passed", "untouched")
    for code in known.RIGHT_RULES.values():
        hand_in({second: code}, "untouched", "passed")
    hand_in({}, "untouched", "untouched")
    hand_in(right | {first: known.DAY + HOSTILE["fakes the check"]}, "not_yet", "passed")
    hand_in({first: "day = crew ="} | {second: right[second]}, "not_yet", "passed")
    hand_in({first: HOSTILE["ends its process"], second: right[second]}, "stopped", "passed")
    hand_in(right | {second: right[second] + HOSTILE["one for two"]}, "passed", "refused")
    while len(wanted) < 30:
        hand_in(right, "passed", "passed")
    return wanted


HOSTILE = {
    "fakes the check": """
import lab_env.checks
from lab_env.checks import consumer_groups, result

class Always:
    def __getattr__(self, name):
        return lambda *args, **kwargs: result.Result(True, "all is as it should be")

check = lab_env.checks.check = Always()
consumer_groups.divided = check.divided
result.Result.__bool__ = lambda self: True
result.Result.passed = True
print("\\u2713 Passed")
""",
    "ends its process": "import os\n\nos._exit(0)",
    "one for two": "even = uneven\n",
}


def save(notebook: dict, file: Path) -> Path:
    """Write a notebook, and return where."""
    import json

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(notebook), encoding="utf-8")
    return file


MADE = """
from types import SimpleNamespace

from lab_env import check

lab = SimpleNamespace(connection={}, services={})
"""
SOLVED = "<details>\n\n```python\n{name} = 3\n```\n\n</details>"


def small_course(folder: Path) -> Path:
    """Write a course of one lesson that needs no Kafka, and return its folder."""
    cells: list[dict] = [_cell("lab", MADE), _cell("prediction-one", "prediction = ...")]
    for name in ("one", "two"):
        cells += [
            _cell(f"exercise-{name}", f"{name} = 0  # your work", "exercise"),
            _cell(f"check-{name}", f'check.step(lab, "00 {name}", {name}, 3)', "check"),
            _cell(f"solution-{name}", SOLVED.format(name=name), "solution", "markdown"),
        ]
    cells.append(_cell("end", "raise RuntimeError('what stands after the last check never runs')"))
    lesson = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    save(lesson, folder / "00_small.ipynb")
    return folder


def _cell(name: str, source: str, tag: str = "", kind: str = "code") -> dict:
    code = {"outputs": [], "execution_count": None} if kind == "code" else {}
    tags = {"tags": [tag]} if tag else {}
    return {"cell_type": kind, "id": name, "metadata": tags, "source": source.strip(), **code}


if __name__ == "__main__":
    the_class(Path(sys.argv[1]))

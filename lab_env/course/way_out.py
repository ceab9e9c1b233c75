"""Makes of a lesson what nbgrader and otter-grader take, by the conventions of each.

The graders of both run a student's notebook as it is and ask the checks in it. They see the
broker as we do, and they do not fence a submission in: that is what ``lab grade`` is for.
"""

import ast

from lab_env.course import lessons

NBGRADER, OTTER = "nbgrader", "otter"
SCHEMA = 3  # of nbgrader's metadata
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
OTTER_BEGIN, OTTER_END = "# BEGIN SOLUTION NO PROMPT", "# END SOLUTION"
# a check never raises, and both tools take an error for "not yet"
ASSERTED = "{check}\nassert _answer, _answer"
SHOWN = "{check}\ndisplay(_answer)\nassert _answer, _answer"


def for_nbgrader(notebook: dict, name: str) -> dict:
    """Return a lesson as nbgrader's source version: ``source/NAME/NAME.ipynb``.

    The stub stays above the region that ``nbgrader generate_assignment`` clears.
    """
    cells = notebook["cells"]
    gone = set()
    for one in _worked_on(notebook):
        exercise, check = cells[one.cell], cells[one.check]
        exercise["source"] = f"{exercise['source'].rstrip()}\n{BEGIN}\n{one.solution}\n{END}"
        exercise["metadata"]["nbgrader"] = _nbgrader(exercise["id"], solution=True)
        check["source"] = SHOWN.format(check=_answered(check["source"]))
        check["metadata"]["nbgrader"] = _nbgrader(check["id"], points=1)
        gone.add(one.check + 1)
    notebook["cells"] = [cell for index, cell in enumerate(cells) if index not in gone]
    return notebook


def _nbgrader(name: str, *, solution: bool = False, points: int | None = None) -> dict:
    graded = points is not None
    told: dict[str, object] = {"grade": graded, "solution": solution, "locked": graded}
    told |= {"task": False}
    told |= {"grade_id": name, "schema_version": SCHEMA, "cell_type": "code"}
    return told | ({"points": points} if graded else {})


def for_otter(notebook: dict, name: str) -> dict:
    """Return a lesson as otter assign's notebook: questions with a solution and tests."""
    cells = notebook["cells"]
    made = [
        _raw(
            "name", f"# ASSIGNMENT CONFIG\nname: {name}\nexport_cell: false\ncheck_all_cell: false"
        )
    ]
    questions = {one.cell: one for one in _worked_on(notebook)}
    passed_over = {one.check for one in questions.values()} | {
        one.check + 1 for one in questions.values()
    }
    for index, cell in enumerate(cells):
        if index in questions:
            made += _question(cell, cells[questions[index].check], questions[index].solution)
        elif index not in passed_over:
            made.append(cell)
    return notebook | {"cells": made}


def _question(exercise: dict, check: dict, solution: str) -> list[dict]:
    """Return the cells of a question: what otter's words of each begin and end."""
    name = exercise["id"]
    question = name.replace("-", "_")
    # otter takes out what stands between its marks, and nothing else of a solution's cell
    code = f"{exercise['source'].rstrip()}\n{OTTER_BEGIN}\n{solution}\n{OTTER_END}"
    return [
        _raw(f"{name}-q", f"# BEGIN QUESTION\nname: {question}\npoints: 1"),
        _raw(f"{name}-s", "# BEGIN SOLUTION"),
        exercise | {"source": code},
        _raw(f"{name}-se", "# END SOLUTION"),
        _raw(f"{name}-t", "# BEGIN TESTS"),
        check | {"source": ASSERTED.format(check=_answered(check["source"]))},
        _raw(f"{name}-te", "# END TESTS"),
        _raw(f"{name}-qe", "# END QUESTION"),
    ]


def _answered(source: str) -> str:
    """Return the source of a check's cell, whose last value is then called ``_answer``."""
    source = source.strip()
    lines, last = source.splitlines(), ast.parse(source).body[-1]
    at = last.lineno - 1
    return "\n".join([*lines[:at], f"_answer = {lines[at]}", *lines[at + 1 :]])


def _worked_on(notebook: dict) -> list[lessons.Exercise]:
    return lessons.exercises(notebook) + lessons.steps(notebook)


def _raw(name: str, source: str) -> dict:
    return {"cell_type": "raw", "id": name[:64], "metadata": {}, "source": source}

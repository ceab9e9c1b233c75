"""What `lab handout --for` writes, with the real nbgrader and otter-grader: made, done, graded.

Each is run as an instructor does, beside the course: ``uv run --with nbgrader nbgrader ...``.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from submitted import NOTEBOOKS

from lab_env.course import handout, lessons

ROOT = Path(__file__).parent.parent
NBGRADER, OTTER = "nbgrader==0.9.6", "otter-grader==7.0.0"
NAME = "00_start_here"
SECONDS = 900  # a bound against hanging, and for what the package index takes
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(4 * SECONDS),
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv fetches the other graders"),
]


@pytest.fixture
def tool(own_home, tmp_path):
    """Return what runs a program of a package in the folder that was handed out."""

    def run(package: str, *words: str) -> str:
        done = subprocess.run(
            ["uv", "run", "--no-sync", "--project", str(ROOT), "--with", package, *words],
            cwd=tmp_path,
            env={name: it for name, it in os.environ.items() if not name.startswith("PYTEST_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        if "Failed to fetch" in done.stdout or "No solution found" in done.stdout:
            pytest.skip(f"{package} could not be fetched: {done.stdout[-300:]}")
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return run


def worked_on(made: Path, target: Path, *, solved: bool) -> int:
    """Write what a student hands in from what she got; return how many cells were to be filled in.

    Args:
        made: the notebook as the tool makes it for students.
        target: where the submission goes.
        solved: whether she has put the course's solutions in.
    """
    whole = lessons.load(NOTEBOOKS / f"{NAME}.ipynb")
    tasks = lessons.exercises(whole) + lessons.steps(whole)
    stubs = {whole["cells"][one.cell]["source"].strip(): one.solution for one in tasks}
    notebook = json.loads(made.read_text(encoding="utf-8"))
    found = 0
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        for stub, solution in stubs.items():
            if cell["cell_type"] == "code" and source.startswith(stub):
                found += 1
                cell["source"] = solution if solved else source
    text = json.dumps(notebook)
    assert solved or not [one for one in stubs.values() if json.dumps(one)[1:-1] in text]
    assert found == len(tasks)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return found


def test_nbgrader_takes_a_lesson_gives_it_out_and_grades_it(tool, tmp_path):
    handout.hand_out(tmp_path, ["00"], way=handout.NBGRADER)
    tool(NBGRADER, "nbgrader", "generate_assignment", NAME)
    made = tmp_path / "release" / NAME / f"{NAME}.ipynb"
    for student, solved in (("ana", True), ("ben", False)):
        place = tmp_path / "submitted" / student / NAME / f"{NAME}.ipynb"
        tasks = worked_on(made, place, solved=solved)
    tool(NBGRADER, "nbgrader", "autograde", NAME)
    code = (
        "import json; from nbgrader.api import Gradebook\n"
        "with Gradebook('sqlite:///gradebook.db') as book:\n"
        f"    print(json.dumps({{one.student.id: [one.score, one.max_score] for one in "
        f"book.assignment_submissions({NAME!r})}}))"
    )
    told = tool(NBGRADER, "python", "-c", code).splitlines()[-1]
    assert json.loads(told) == {"ana": [tasks, tasks], "ben": [0, tasks]}


def test_otter_takes_a_lesson_gives_it_out_and_grades_it(tool, tmp_path):
    handout.hand_out(tmp_path, ["00"], way=handout.OTTER)
    # it runs the lesson with its solutions, and fails where a test of its own does
    tool(OTTER, "otter", "assign", f"{NAME}/{NAME}.ipynb", "dist")
    (grader,) = (tmp_path / "dist" / "autograder").glob("*.zip")
    made = tmp_path / "dist" / "student" / f"{NAME}.ipynb"
    found = {}
    for student, solved in (("ana", True), ("ben", False)):
        place = tmp_path / student / f"{NAME}.ipynb"
        tasks = worked_on(made, place, solved=solved)
        tool(OTTER, "otter", "run", "-a", str(grader), "-o", student, str(place))
        told = json.loads((tmp_path / student / "results.json").read_text(encoding="utf-8"))
        tests = [one for one in told["tests"] if one.get("max_score")]
        found[student] = sum(one["score"] for one in tests), sum(one["max_score"] for one in tests)
    assert found == {"ana": (tasks, tasks), "ben": (0, tasks)}

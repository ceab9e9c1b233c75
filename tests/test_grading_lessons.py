"""`lab grade` on lessons of the course, with a real Kafka for each submission."""

import json
import time

import pytest
import submitted
from test_grading import graded

from lab_env.course import cli, lessons

pytestmark = pytest.mark.usefixtures("own_home")
SOLVED = [
    path.name[:2]
    for path in lessons.paths(submitted.NOTEBOOKS)
    if path.name[:2] not in ("12", "14")  # an engine is out of reach behind the fence
]


@pytest.mark.landing
@pytest.mark.timeout(600)
def test_the_broker_is_asked_and_not_the_student(tmp_path, capsys):
    """A right answer passes, and one that shows a tick and replaces the check does not."""
    hand_in = {
        "right": submitted.filled("00", solved=True),
        "fakes": submitted.filled(
            "00",
            {"exercise-1-stub": submitted.HOSTILE["fakes the check"]},
        ),
    }
    hand_in["fakes"]["metadata"] = {"kernelspec": {"name": "another"}}
    for name, notebook in hand_in.items():
        submitted.save(notebook, tmp_path / "class" / name / "week one.ipynb")
    words = ["grade", str(tmp_path / "class"), "--jobs", "2"]
    for kind in ("csv", "junit", "json"):
        words += [f"--{kind}", str(tmp_path / f"out.{kind}")]
    from click.testing import CliRunner

    done = CliRunner().invoke(cli.lab, words)
    assert done.exit_code == 1, done.output
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines if ",exercise," in line]
    told = {(row[0], row[3]): (row[5], row[-1]) for row in rows}
    assert told["right", "exercise-1-stub"] == ("passed", "witness"), done.output
    assert told["right", "exercise-2-stub"] == ("passed", "witness"), done.output
    assert told["fakes", "exercise-1-stub"][0] == "not_yet", done.output
    assert told["fakes", "exercise-2-stub"][0] == "untouched", done.output
    assert " points in 2 submission(s)" in done.output
    assert "testsuite" in (tmp_path / "out.junit").read_text(encoding="utf-8")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_thirty_submissions_with_known_mistakes_are_graded_right_twice_in_a_row(tmp_path):
    wanted = submitted.the_class(tmp_path)
    assert len(wanted) == 30
    for _ in range(2):
        began = time.monotonic()
        found = graded([tmp_path])
        print(f"30 submissions graded in {time.monotonic() - began:.0f} s")
        wrong = {}
        for name, verdicts in wanted.items():
            exercises = [row for row in found[name] if row.exercise.startswith("exercise")]
            steps = {row.verdict for row in found[name] if row not in exercises}
            if tuple(row.verdict for row in exercises) != verdicts or steps != {"untouched"}:
                wrong[name] = [(row.exercise, row.verdict, row.by, row.words) for row in exercises]
        assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", SOLVED)
def test_the_solutions_of_a_lesson_pass_behind_the_fence(tmp_path, number):
    submitted.save(submitted.filled(number, solved=True), tmp_path / "solved.ipynb")
    (rows,) = graded([tmp_path], jobs=1).values()
    for row in rows:
        assert row.verdict in ("passed", "not_here"), f"{row.exercise}: {row.words}"

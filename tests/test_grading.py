"""`lab grade`: what a submission is, what it can do to the grader (nothing), and what is written.

Most of it is asked of a course of one lesson that needs no Kafka: the fence, the witness and the
student's process are the real ones. Lessons on a real Kafka stand in `test_grading_lessons.py`.
"""

import ast
import csv
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
import submitted
from conftest import wait_until
from test_cli import started

from lab_env.course import lessons
from lab_env.course.grading import fence, inside, runs, submissions, verdicts, witness, worker
from lab_env.course.grading.verdicts import Verdict
from lab_env.ground.errors import BadInputError

THREE = "{} = 3"
# what a student hands in for the two exercises, what they get, and what is said of the first
HOSTILE = {
    "ends its own process": ("import os; os._exit(0)", "stopped passed", "ended its own process"),
    "leaves by sys.exit": ("import sys; sys.exit(0)", "not_yet passed", "SystemExit"),
    "never ends": ("while True: pass", "stopped passed", "had not ended after"),
    "prints without end": (
        "while True: print('✓ passed ' * 1000)", "stopped passed", "printed more than",
    ),
    "fills the disk": (
        "for n in range(10**6):\n    open(f'{n}', 'wb').write(bytes(10**7))",
        "stopped passed", "filled 100 MB",
    ),
    "forks without end": (
        "import os, time\nwhile os.fork(): pass\ntime.sleep(600)",
        "stopped passed", "submission was ended",
    ),
    "leaves a child behind": (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'left-behind'],"
        " start_new_session=True)\none = 3",
        "passed passed", "",
    ),
    "kills whoever it can": (
        "import os\nfor pid in (-1, os.getppid()):\n"
        "    try: os.kill(pid, 9)\n    except OSError: pass",
        "not_yet passed", "has made nothing of that name",
    ),
    "replaces the check, and shows a tick": (
        "from lab_env.checks import result, small_steps\nimport lab_env.checks\n"
        "class Always:\n    def __getattr__(self, name):\n"
        "        return lambda *a, **k: result.Result(True, 'yes')\n"
        "check = lab_env.checks.check = Always()\nsmall_steps.step = check.step\n"
        "result.Result.passed = True\none = 2\nprint('✓ passed')",
        "not_yet passed", "It is 2.",
    ),
    "hides behind a value of its own kind": (
        "from lab_env.checks import small_steps\n"
        "small_steps.same = lambda *a: True\nclass Any: pass\none = Any()",
        "refused passed", "code of its own in the place of lab_env.checks.small_steps.same",
    ),
    "takes the lab away": ("del lab\none = 3", "passed passed", ""),
    "writes elsewhere": (
        "import pathlib\npathlib.Path(OUTSIDE).write_text('mine')\none = 3",
        "not_yet passed", "Permission denied",
    ),
    "reads another's file": (
        "import pathlib\n"
        "(pathlib.Path(OUTSIDE).parent / 'never ends' / 'x.ipynb').read_text()\none = 3",
        "not_yet passed", "Permission denied",
    ),
    "reads the solutions": (
        "open(COURSE).read()\none = 3", "not_yet passed", "Permission denied",
    ),
}  # fmt: skip
POSIX = pytest.mark.skipif(os.name == "nt", reason="a student's process is fenced in on POSIX")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return the folder of a small course, which stands in for the lessons."""
    folder = submitted.small_course(tmp_path_factory.mktemp("course") / "notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "folder", lambda: folder)
        yield folder


def broken(course: Path) -> Path:
    """Return a course like that one, whose own first cell cannot run on this machine."""
    folder = course.parent / "broken"
    notebook = lessons.load(course / "00_small.ipynb")
    notebook["cells"][0]["source"] = "raise OSError('no Java here')"
    submitted.save(notebook, folder / "00_small.ipynb")
    return folder


def hand_in(course: Path, file: Path, *, without: str = "", **answers: str) -> Path:
    notebook = lessons.load(course / "00_small.ipynb")
    for cell in notebook["cells"]:
        name = cell["id"].removeprefix("exercise-").replace("prediction-one", "prediction")
        cell["source"] = answers.get(name, cell["source"])
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] != without]
    return submitted.save(notebook, file)


def graded(places, **options) -> dict[str, list[Verdict]]:
    """Return the verdicts on each student's exercises."""
    grader = runs.Grader(**options)
    try:
        found = list(grader.grade(submissions.read_all(places)))
    finally:
        grader.close()
    assert not grader._base.exists()
    return {rows[0].student: verdicts.counted(rows) for rows in found}


@pytest.fixture(scope="module")
def hostile(course, tmp_path_factory):
    """Grade every hostile submission at once, and return the verdicts by what it does."""
    folder = tmp_path_factory.mktemp("hostile")
    outside = folder / "a-file-of-the-instructor"
    for name, (code, _, _) in HOSTILE.items():
        code = code.replace("OUTSIDE", repr(str(outside)))
        code = code.replace("COURSE", repr(str(course / "00_small.ipynb")))
        hand_in(course, folder / name / "x.ipynb", one=code, two=THREE.format("two"))
    found = graded([folder], seconds=10, jobs=3, disk=100_000_000)
    assert not outside.exists()
    return found


@POSIX
@pytest.mark.usefixtures("programs")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_submission_is_a_verdict_with_a_reason_and_its_other_exercise_is_graded(
    hostile, what
):
    _, wanted, told = HOSTILE[what]
    if told == "Permission denied" and not fence.landlock():
        pytest.skip("this system has no Landlock")
    rows = hostile[what]
    assert " ".join(row.verdict for row in rows) == wanted, rows
    assert told in rows[0].words


@POSIX
@pytest.mark.usefixtures("programs", "hostile")
def test_nothing_that_a_submission_has_started_is_left():
    words = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not any("left-behind" in one for one in words)


@POSIX
@pytest.mark.usefixtures("programs")
def test_where_a_system_has_no_namespaces_nothing_is_left_either(course, tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "namespace", list)
    monkeypatch.setattr(fence, "landlock", lambda: 0)
    hand_in(course, tmp_path / "x.ipynb", one=HOSTILE["leaves a child behind"][0])
    (rows,) = graded([tmp_path], jobs=1).values()
    assert [row.verdict for row in rows] == ["passed", "untouched"]
    words = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not any("left-behind" in one for one in words)


@POSIX
@pytest.mark.usefixtures("programs")
def test_ctrl_c_ends_every_submission_and_leaves_no_folder(course, tmp_path):
    hand_in(course, tmp_path / "class" / "ana" / "x.ipynb", one="while True: pass")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "notebooks").symlink_to(course)
    nowhere = {"KAFKA_LAB_MIRROR": "http://127.0.0.1:9/"}  # nobody is there: nothing is fetched
    process = started(tmp_path, "grade", "class", TMPDIR=str(tmp_path / "tmp"), **nowhere)
    try:
        wait_until(lambda: _kernels(process.pid), 60)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert list((tmp_path / "tmp").glob("kafka-lab-grade-*")) == []


def _kernels(pid: int) -> list[psutil.Process]:
    found = []
    for one in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if "ipykernel_launcher" in one.cmdline():
                found.append(one)
    return found


@pytest.mark.usefixtures("programs")
def test_where_the_course_itself_does_not_run_nobody_has_failed(course, tmp_path, monkeypatch):
    folder = broken(course)
    monkeypatch.setattr(lessons, "folder", lambda: folder)
    hand_in(course, tmp_path / "x.ipynb", one="one = 3", two="two = 3")
    (rows,) = graded([tmp_path], jobs=1).values()
    assert [row.verdict for row in rows] == ["stopped", "stopped"]
    assert "does not run on this machine" in rows[1].words
    assert "no Java here" in rows[1].words


@pytest.mark.usefixtures("programs")
def test_what_runs_is_the_courses_lesson_with_the_students_cells_in_it(course, tmp_path):
    notebook = lessons.load(course / "00_small.ipynb")
    for cell in notebook["cells"]:
        if cell["id"].startswith("exercise"):
            cell["source"] = f"{cell['id'][9:]} = helper"
        elif cell["id"].startswith("check"):
            cell["source"] = "print('✓')"
        elif cell["id"] == "lab":
            cell["source"] = "one = two = helper = 3"  # not hers to change
        elif cell["id"].startswith("prediction"):
            cell["source"] = "helper = 3"
        cell["metadata"] = {"tags": ["raises-exception", "solution"]}
    submitted.save(notebook, tmp_path / "renamed" / "07_something.ipynb")
    (rows,) = graded([tmp_path], jobs=1).values()
    assert [(row.lesson, row.verdict, row.by) for row in rows] == [
        ("00_small", "passed", "witness")
    ] * 2


def test_what_a_submission_is_not_is_a_verdict_with_a_reason(course, tmp_path):
    for name, text in {"text": "hello", "list": "[1, 2]", "other": '{"cells": []}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.ipynb").write_text(text)
    hand_in(course, tmp_path / "gone" / "x.ipynb", without="exercise-one")
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "gone" / "x.ipynb")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    hand_in(course, tmp_path / ".ipynb_checkpoints" / "x.ipynb")
    found = graded([tmp_path], jobs=1)
    assert set(found) == {"text", "list", "other", "gone"}
    assert [row.verdict for row in found["gone"]] == ["missing", "untouched"]
    for name in ("text", "list", "other"):
        (row,) = found[name]
        assert row.verdict == "unreadable"
        assert row.words
    assert "no notebook" in found["text"][0].words
    assert "which lesson" in found["other"][0].words


def test_a_pipe_is_not_opened(course, tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes in folders here")
    os.mkfifo(tmp_path / "x.ipynb")
    (one,) = submissions.read_all([tmp_path])
    assert "no ordinary file" in one.why


@pytest.mark.parametrize(
    ("file", "student"),
    [
        ("ana/00_small.ipynb", "ana"),
        ("Ana Lopez_17_assignsubmission_file_/x.ipynb", "Ana Lopez_17_assignsubmission_file_"),
        ("bob/deep/er/x.ipynb", "bob"),
        ("carl-00_small.ipynb", "carl"),
        ("00_small.ipynb", "00_small"),
        ("dora\x1b[31m.ipynb", "dora [31m"),
    ],
)
def test_the_names_of_folders_and_files_are_the_students(course, tmp_path, file, student):
    hand_in(course, tmp_path / file)
    (one,) = submissions.read_all([tmp_path])
    assert one.student == student


def test_only_what_a_student_wrote_is_taken_from_a_notebook(course, tmp_path):
    file = hand_in(course, tmp_path / "x.ipynb", one="one = 7", prediction="prediction = 1")
    notebook = json.loads(file.read_text())
    notebook["cells"][1]["metadata"]["id"] = notebook["cells"][1].pop("id")  # as Colab keeps it
    again = dict(notebook["cells"][2])  # two of one id: what was worked on counts
    again["source"] = ["one", " = 0"]
    notebook["cells"].append(again)
    file.write_text(json.dumps(notebook))
    (one,) = submissions.read_all([file])
    assert one.answers == {
        "prediction-one": "prediction = 1",
        "exercise-one": "one = 7",
        "exercise-two": "two = 0  # your work",
    }


def test_spaces_and_comments_are_no_work_and_need_no_run(course, tmp_path):
    hand_in(course, tmp_path / "x.ipynb", one="one  =  0\n# I do not know", two="two = 0\n")
    (rows,) = graded([tmp_path], jobs=1).values()
    assert [row.verdict for row in rows] == ["untouched", "untouched"]


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_nothing_to_grade_is_a_sentence(course, tmp_path, what):
    if what == "empty":
        (tmp_path / what).mkdir()
    with pytest.raises(BadInputError, match="notebook"):
        submissions.read_all([tmp_path / what])


def test_the_course_itself_is_never_taken_for_a_submission_nor_a_submission_for_the_course(course):
    for place in (course, course.parent, course / "00_small.ipynb"):
        with pytest.raises(BadInputError, match="lie in one another"):
            submissions.read_all([place])


ROWS = [
    Verdict("=cmd()", "a.ipynb", "05_x", "one", "exercise", "passed", 'well, "done"', 1.5, "x"),
    Verdict("=cmd()", "a.ipynb", "05_x", "two", "exercise", "not_yet", "no < yes\n& more", 2.0),
    Verdict("=cmd()", "a.ipynb", "05_x", "p", "prediction", "made", "prediction = 1"),
    Verdict("bob", "b.ipynb", "", "", "exercise", "unreadable", "no notebook"),
]  # fmt: skip


def test_a_spreadsheet_takes_no_name_for_a_formula():
    head, first, second, *_ = csv.reader(verdicts.as_csv(ROWS).splitlines()[:4])
    assert head[0] == "student"
    assert first[0] == "'=cmd()"
    assert first[3:7] == ["one", "exercise", "passed", 'well, "done"']
    assert second[5] == "not_yet"


def test_junit_has_a_suite_a_submission_and_json_has_its_points():
    root = ElementTree.fromstring(verdicts.as_junit(ROWS))
    suites = root.findall("testsuite")
    assert [one.get("failures") + one.get("errors") for one in suites] == ["10", "01"]
    assert suites[0].find("testcase/failure").get("message") == "no < yes\n& more"
    told = json.loads(verdicts.as_json(ROWS))
    assert [(one["student"], one["points"], one["of"]) for one in told] == [
        ("=cmd()", 1, 2), ("bob", 0, 1),
    ]  # fmt: skip


@pytest.mark.usefixtures("programs")
def test_a_cell_of_the_courses_own_that_failed_is_told_before_the_verdict(
    course, tmp_path, monkeypatch
):
    notebook = lessons.load(course / "00_small.ipynb")
    at = [cell["id"] for cell in notebook["cells"]].index("exercise-two")
    used = {**notebook["cells"][0], "id": "use", "source": "assert one != 2, 'no replica'"}
    notebook["cells"].insert(at, used)
    folder = tmp_path / "course"
    submitted.save(notebook, folder / "00_small.ipynb")
    monkeypatch.setattr(lessons, "folder", lambda: folder)
    hand_in(folder, tmp_path / "class" / "ana" / "x.ipynb", one="one = 2", two="two = 4")
    hand_in(folder, tmp_path / "class" / "ben" / "x.ipynb", one="one = 2", two="two = 3")
    found = graded([tmp_path / "class"], jobs=2)
    first, second = found["ana"]
    assert first.words.startswith("It is 2.")  # that came before
    assert second.words.startswith(
        "Before this check a cell of the course's own failed (use: AssertionError: no replica)"
    )
    assert "It is 4." in second.words
    assert found["ben"][1].verdict == "passed"
    assert "no replica" not in found["ben"][1].words  # what has passed needs no excuse


@POSIX
@pytest.mark.usefixtures("programs")
def test_a_kernel_whose_port_another_program_has_taken_meanwhile_is_started_again(
    tmp_path, monkeypatch
):
    from jupyter_client import connect

    write, taken = connect.write_connection_file, []

    def late(*words, **options):
        file, told = write(*words, **options)
        if not taken:  # whoever was quicker
            taken.append(socket.create_server(("127.0.0.1", told["shell_port"])))
        return file, told

    monkeypatch.setattr(connect, "write_connection_file", late)
    for name in ("tmp", "work"):
        (tmp_path / name).mkdir()
    open_to_all = {"write": [], "read": [], "names": []}
    limits = dict.fromkeys(("disk", "memory", "processes"), 10**10) | {"free": 0}
    kernel = worker.begun({"limits": limits, "fence": open_to_all}, tmp_path)
    try:
        assert taken
        assert kernel.run("1 / 0", 60) == "ZeroDivisionError: division by zero"
    finally:
        kernel.close()
        taken[0].close()


@pytest.mark.parametrize("what", ["lab.rebalances('crew')", "lab.watch('flights').samples"])
def test_a_check_that_looks_back_is_left_to_the_students_process(what):
    told = {"values": {}, "missing": [], "unseen": []}
    source = f"check.step(lab, '13 names', lambda: len({what}), 0)"
    judged = witness.judge(source, {"bootstrap_servers": "127.0.0.1:9"}, lambda after: told)
    assert judged["answer"] is None


def test_no_check_of_the_course_is_thought_to_be_replaced():
    code = (
        "from lab_env.checks import check; dir(check); import lab_env.lab, lab_env.figures\n"
        "from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer\n"
        "from lab_env.course.grading import inside; print(inside.replaced())\n"
        "from lab_env.checks import result, consumer_groups\n"
        "exec('def f(*a): return True'); consumer_groups._fits = f\n"
        "result.Result.__bool__ = lambda self: True; print(inside.replaced())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    before, after = done.stdout.splitlines()
    assert before == "[]"
    assert "lab_env.checks.consumer_groups._fits" in after
    assert "lab_env.checks.result.Result.__bool__" in after


def test_every_check_of_the_course_asks_for_names_that_can_be_told():
    for path in lessons.paths(submitted.NOTEBOOKS):
        notebook = lessons.load(path)
        for task in submissions.tasks(notebook):
            if task.check is not None:
                source = notebook["cells"][task.check]["source"]
                assert isinstance(ast.parse(source).body[-1], ast.Expr)  # which has a value
                assert inside.names(source) is not None

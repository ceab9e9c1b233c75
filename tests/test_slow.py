"""`python -m benchmarks slow`: a part of a core, which cells failed, and nothing that stays."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import wait_until

from benchmarks import part, slow
from benchmarks.apart import ROOT

pytestmark = pytest.mark.landing

BUSY = """
import json, time
began = time.monotonic()
while time.monotonic() < began + 2:
    pass
print(json.dumps([time.process_time(), time.monotonic() - began]))
"""
# starts a process that leaves its parent and its session, and tells both ids
LEAVES = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
open({told!r}, "w").write(f"{{os.getpid()}} {{child.pid}} .")
time.sleep({seconds})
"""


def made(kind, share: float):
    """Return a part of a core, if this machine can make one in this way."""
    try:
        return kind(share)
    except (OSError, part.NotHere) as error:
        pytest.skip(str(error))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def groups(pid: int) -> list[Path]:
    """Return the control groups that a process has made and not removed."""
    name = f"kafka-lab-slow-{pid}"
    return [folder / name for folder, _ in part._places() if (folder / name).exists()]


@pytest.mark.parametrize("kind", [part.Quota, part.Neighbours])
def test_a_command_gets_no_more_than_its_part(kind):
    given = made(kind, 0.25)
    try:
        used, passed = json.loads(part.run([sys.executable, "-c", BUSY], given))
    finally:
        given.lift()
        given.close()
    assert used < 0.5 * passed


def test_what_a_command_leaves_behind_is_ended(tmp_path):
    told = tmp_path / "pids"
    source = LEAVES.format(told=str(told), seconds=0)
    with part.part_of_a_core(0.5) as given:
        part.run([sys.executable, "-c", source], given)
    assert not any(alive(int(pid)) for pid in told.read_text().split()[:2])
    assert not groups(os.getpid())


@pytest.mark.skipif(os.name != "posix", reason="an Interrupt of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_and_takes_the_part_back(tmp_path, number):
    told = tmp_path / "pids"
    source = LEAVES.format(told=str(told), seconds=600)
    outer = (
        "import sys\nfrom benchmarks import part, slow\nslow.end_on_any_signal()\n"
        "with part.part_of_a_core(0.5) as given:\n"
        f"    part.run([sys.executable, '-c', {source!r}], given)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("."), 60)
        pids = [int(pid) for pid in told.read_text().split()[:2]]
        assert all(map(alive, pids))
        process.send_signal(number)
        process.wait(60)
        assert not any(map(alive, pids))
        assert not groups(process.pid)
    finally:
        process.kill()
        for pid in (int(one) for one in told.read_text().split()[:2]) if told.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def notebook(folder: Path, *sources: str) -> Path:
    """Write a notebook of code cells, named like a lesson."""
    path = folder / "99_tiny.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_table_says_which_cells_failed(tmp_path):
    path = notebook(tmp_path, "1 / 1", "1 / 0", "print('on')", "raise ValueError('late')")
    told = []
    (row,) = slow.measure([path], [0.5], told.append)
    assert "99_tiny on " in row.what
    assert "**failed: cell 1, 3**" in row.what
    assert "ZeroDivisionError" in told[0]
    assert "late" in told[1]
    (row,) = slow.measure([notebook(tmp_path, "1 / 1")], [0.5], told.append)
    assert "failed" not in row.what


def test_a_check_that_refuses_a_solution_is_a_cell_that_failed(tmp_path):
    path = notebook(tmp_path, "pass", "print('✗ Not yet: nothing is there')")
    content = nbformat.read(path, as_version=4)
    content.cells[0].metadata["tags"] = ["exercise"]
    content.cells[1].metadata["tags"] = ["check"]
    solution = "<details>\n<summary>Solution</summary>\n\n```python\npass\n```\n\n</details>"
    content.cells.append(nbformat.v4.new_markdown_cell(solution, metadata={"tags": ["solution"]}))
    nbformat.write(content, path)
    told = []
    (row,) = slow.measure([path], [0.5], told.append)
    assert "**failed: cell 1**" in row.what
    assert "nothing is there" in told[0]


def command(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "slow", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=600,  # a bound against hanging
    )


def test_a_lesson_that_is_not_there_and_a_table_of_some_lessons_are_refused():
    done = command("nothing-like-this")
    assert done.returncode
    assert "nothing-like-this" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("00", "--write")
    assert done.returncode
    assert "all lessons" in done.stderr


def test_the_first_lesson_runs_on_a_part_of_a_core(own_home):
    done = command("00", "--part", "0.8")
    assert done.returncode == 0, done.stderr
    assert "| slow | lesson 00_start_here on " in done.stdout
    assert "0.8 of a core" in done.stdout or "0.5 of a core" in done.stdout

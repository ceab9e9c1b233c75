"""Every runner agrees: a lesson is good for each of them, and bad for each once it is broken."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from lesson import NOTEBOOKS
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "runners.md"
# as a person types them, in the folder of the notebook; the page has the same words
RUNNERS = {
    "lab run": "lab run lesson.ipynb",
    "jupyter execute": "jupyter execute lesson.ipynb",
    "papermill": "papermill lesson.ipynb ran.ipynb",
    "nbmake": "pytest --nbmake lesson.ipynb",
    "nbval": "pytest --nbval-lax lesson.ipynb",
    "testbook": "pytest test_lesson.py",
}
WITH_TESTBOOK = """
from testbook import testbook

@testbook("lesson.ipynb", execute=True, timeout=600)
def test_lesson(notebook): pass
"""
MISTAKE = "departures_of_nobody"  # a name that no lesson has
SECONDS = 900  # a bound against hanging: a lesson takes a minute
DAY = [pytest.param(number, marks=pytest.mark.landing) for number in ("00",)]
NIGHT = [
    pytest.param(f"{number:02}", marks=pytest.mark.nightly) for number in range(11) if number != 0
]

pytestmark = pytest.mark.timeout(SECONDS + 60)


def copied(number: str, folder: Path, *, broken: bool = False) -> None:
    """Write a lesson to a folder as lesson.ipynb, and a test by testbook beside it.

    Args:
        number: two digits.
        folder: where it goes.
        broken: let a cell of its first quarter use a name that nobody has given; of what follows
            only the cells that end the lesson are kept, for a runner that goes on.
    """
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    if broken:
        cells = notebook.cells
        code = [at for at, cell in enumerate(cells) if cell.cell_type == "code"]
        at, end = code[len(code) // 4], [cell.id for cell in cells].index("close")
        cells[at].source += f"\n{MISTAKE}"
        notebook.cells = [*cells[: at + 1], *cells[end:]]
    nbformat.write(notebook, folder / "lesson.ipynb")
    (folder / "test_lesson.py").write_text(WITH_TESTBOOK, encoding="utf-8")


def run(runner: str, folder: Path) -> subprocess.CompletedProcess:
    """Run the lesson of a folder by a runner, as somebody does who stands there."""
    return started(RUNNERS[runner], folder)


def started(command: str, folder: Path) -> subprocess.CompletedProcess:
    """Start a command in a folder, with the programs of this environment, and wait for its end."""
    program, *words = command.split()
    programs = str(Path(sys.executable).parent)
    # what pytest says to the processes of its own would reach the pytest that is started here
    env = {name: it for name, it in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [shutil.which(program, path=programs), *words],
        cwd=folder,
        env=env | {"PATH": programs + os.pathsep + env["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )


def calls_it_good(runner: str, folder: Path) -> None:
    done = run(runner, folder)
    assert done.returncode == 0, done.stdout


def calls_it_bad(runner: str, folder: Path) -> None:
    """Look whether a runner ends with a code of failure, and says what was wrong."""
    done = run(runner, folder)
    assert done.returncode != 0, done.stdout
    assert MISTAKE in done.stdout, done.stdout


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("number", [*DAY, *NIGHT])
def test_a_whole_lesson_is_good_for_each_runner(number, runner, own_home, tmp_path):
    copied(number, tmp_path)
    calls_it_good(runner, tmp_path)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("number", [*DAY, *NIGHT])
def test_a_lesson_with_a_mistake_is_bad_for_each_runner(number, runner, own_home, tmp_path):
    copied(number, tmp_path, broken=True)
    calls_it_bad(runner, tmp_path)


@pytest.mark.landing
def test_the_recipe_for_an_instructors_own_notebook_works_to_the_letter(own_home, tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.partition("## A notebook of your own\n")[2].partition("\n## ")[0]
    cell, test = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    nbformat.write(new_notebook(cells=[new_code_cell(cell)]), tmp_path / "my_lesson.ipynb")
    (tmp_path / "test_my_lesson.py").write_text(test, encoding="utf-8")
    (line,) = re.findall(r"^    uv run --project \.\./kafka-lab --group dev (.*)$", text, re.M)
    done = started(line, tmp_path)
    assert "1 passed" in done.stdout, done.stdout
    fewer = cell.replace("range(100)", "range(99)")
    nbformat.write(new_notebook(cells=[new_code_cell(fewer)]), tmp_path / "my_lesson.ipynb")
    assert started(line, tmp_path).returncode == 1


def test_the_page_has_the_command_of_each_runner():
    page = PAGE.read_text(encoding="utf-8")
    for name, command in RUNNERS.items():
        assert f"`{command}`" in page, name

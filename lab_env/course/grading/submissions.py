"""Takes what a student wrote out of a submission: her cells by their ids, and nothing else."""

import ast
import json
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab_env.course import lessons
from lab_env.course.updates import UPDATED
from lab_env.ground.errors import BadInputError
from lab_env.messages import say

MOST_BYTES = 30_000_000  # of a file: a lesson with all of its pictures has a tenth of that
MOST_SOURCE = 100_000  # signs of a cell: a student writes a hundredth of that
PREDICTION = "prediction"  # what the id of a prediction's cell begins with
KINDS = ("exercise", "step", PREDICTION)


@dataclass(frozen=True, slots=True)
class Task:
    """A cell of a lesson that a student fills in.

    Attributes:
        id: of the cell.
        kind: one of KINDS.
        cell: its index in the lesson.
        check: the index of the cell that judges it; None for a prediction.
        stub: what it holds when it is handed out.
    """

    id: str
    kind: str
    cell: int
    check: int | None
    stub: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What was found in a file that somebody has handed in.

    Attributes:
        student: the name that its folder or its file says.
        file: where it lies.
        lesson: the course's own lesson; None if the file cannot be graded.
        answers: the source of each cell that the student has, by id.
        why: why it cannot be graded, in a sentence; "" if it can.
    """

    student: str
    file: Path
    lesson: Path | None = None
    answers: dict[str, str] = field(default_factory=dict)
    why: str = ""


def tasks(notebook: dict) -> list[Task]:
    """Return the cells of a lesson that a student fills in, in order."""
    cells = notebook["cells"]
    found = [
        Task(cells[one.cell]["id"], kind, one.cell, one.check, cells[one.cell]["source"])
        for kind, group in (
            ("exercise", lessons.exercises(notebook)),
            ("step", lessons.steps(notebook)),
        )
        for one in group
    ]
    known = {task.id for task in found}
    for index, cell in enumerate(cells):
        name = cell.get("id", "")
        if cell["cell_type"] == "code" and name.startswith(PREDICTION) and name not in known:
            found.append(Task(name, PREDICTION, index, None, cell["source"]))
    return sorted(found, key=lambda task: task.cell)


def touched(task: Task, source: str) -> bool:
    """Return whether a student has changed more in a cell than spaces and comments."""
    return _meaning(task.stub) != _meaning(source)


def read_all(places: Iterable[Path], course: Path | None = None) -> list[Submission]:
    """Return every submission of folders and files, by the names of the students.

    Args:
        places: folders, in which each notebook is a submission, and notebooks.
        course: the folder of the lessons, None for the course's own.

    Raises:
        BadInputError: a place is not there, or there is nothing in it to be graded.
    """
    home = (course or lessons.folder()).resolve()
    known = {path: _lesson(path) for path in lessons.paths(home)}
    found = []
    for place in places:
        if not place.exists():
            raise BadInputError("grading.no_place", got=place)
        if home.is_relative_to(place.resolve()) or place.resolve().is_relative_to(home):
            # what somebody hands in would be taken for the course that it is judged by
            raise BadInputError("grading.course_itself", got=place, home=home)
        root = place if place.is_dir() else place.parent
        found += [_read(file, root, known) for file in _files(place)]
    if not found:
        raise BadInputError("grading.nothing", got=", ".join(map(str, places)))
    return sorted(found, key=lambda one: (one.student.lower(), str(one.file)))


def _files(place: Path) -> Iterator[Path]:
    """Yield the notebooks of a folder; a link could lead to what is not the student's."""
    if not place.is_dir():
        yield place
        return
    for path in sorted(place.iterdir()):
        if path.is_symlink() or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix == ".ipynb" and not path.stem.endswith(UPDATED):
            yield path


def _lesson(path: Path) -> dict[str, Task | None]:
    """Return the ids of a lesson's cells, with what a student fills in."""
    notebook = lessons.load(path)
    own = {task.id: task for task in tasks(notebook)}
    return {cell.get("id", ""): own.get(cell.get("id", "")) for cell in notebook["cells"]}


def _read(file: Path, root: Path, known: dict[Path, dict]) -> Submission:
    student = _student(file, root, known)
    try:
        about = file.lstat()
        if not stat.S_ISREG(about.st_mode):
            return Submission(student, file, why=say("grading.not_a_file"))
        if about.st_size > MOST_BYTES:
            return Submission(student, file, why=say("grading.too_large", most=MOST_BYTES // 10**6))
        cells = _cells(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Submission(student, file, why=say("grading.no_notebook", why=_short(error)))
    lesson = _which(cells, file, known)
    if lesson is None:
        return Submission(student, file, why=say("grading.no_lesson"))
    own = {name: task for name, task in known[lesson].items() if task is not None}
    answers: dict[str, str] = {}
    for name, source in cells:
        if name in own and (name not in answers or touched(own[name], source)):
            answers[name] = source[:MOST_SOURCE]  # of two with one id, the one that was worked on
    return Submission(student, file, lesson, answers)


def _cells(notebook: dict) -> list[tuple[str, str]]:
    """Return id and source of each code cell; some editors keep the id in the metadata."""
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        name = cell.get("id") or cell.get("metadata", {}).get("id") or ""
        found.append((str(name), text))
    return found


def _which(cells: list[tuple[str, str]], file: Path, known: dict[Path, dict]) -> Path | None:
    """Return the lesson whose cells these are, whatever the file is called."""
    ids = {name for name, _ in cells}
    shared = Counter({path: len(ids & set(there)) for path, there in known.items()})
    ranked = shared.most_common()
    if not ranked or ranked[0][1] == 0:
        return None
    best = [path for path, count in ranked if count == ranked[0][1]]
    if len(best) > 1:  # a file with little left in it: then its name may tell
        best = [path for path in best if path.stem in file.stem]
    return best[0] if len(best) == 1 else None


def _student(file: Path, root: Path, known: Iterable[Path]) -> str:
    """Return the student's name: the folder's within the class's folder, else the file's."""
    inner = file.relative_to(root).parts
    name = inner[0] if len(inner) > 1 else file.stem
    for lesson in known:
        if lesson.stem in name:
            name = name.replace(lesson.stem, "").strip(" -_.") or name
    return plain(name)


def plain(text: str) -> str:
    """Return a text without signs that steer a terminal or break a line."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]", " ", text
    )


def _meaning(source: str) -> str:
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return " ".join(source.split())


def _short(error: Exception) -> str:
    return plain(f"{type(error).__name__}: {error}")[:200]

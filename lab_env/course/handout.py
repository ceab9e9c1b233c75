"""Hands the lessons out: a folder as students get it, and updates that never touch their work.

A folder that is handed out keeps in ``.handout.json`` what each file was when it was written. A
file that has not changed since is brought up to date; one that a student has worked on stays, and
a new one of ours is laid beside it as ``NAME.new.ipynb``.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from lab_env.course import lessons, updates
from lab_env.course.way_out import NBGRADER, OTTER, for_nbgrader, for_otter
from lab_env.ground.errors import BadInputError
from lab_env.messages import say

KEPT = ".handout.json"
DRAWING = re.compile(r"\]\((drawings/[a-z0-9_]+\.svg)\)")
TEMPLATES = Path(__file__).parent / "handing_out"  # files that are no notebooks
COURSE = "OWNER/REPOSITORY"  # in a template: where the course itself lies
WRITTEN, SAME, KEPT_HERS = "written", "same", "kept"
BECAME = {
    updates.BRING: WRITTEN,
    updates.SAME: SAME,
    updates.HERS: SAME,  # nothing new was there for her
    updates.GONE: KEPT_HERS,
    updates.BESIDE: KEPT_HERS,
}


def hand_out(
    folder: Path,
    wanted: Iterable[str] = (),
    *,
    solutions: bool = False,
    way: str = "",
    course: str = "",
) -> dict[Path, str]:
    """Write lessons into a folder, or bring a folder up to date.

    Args:
        folder: made if it is not there.
        wanted: lessons, each by its number or its name; without one, all.
        solutions: whether the closed solutions go along.
        way: "" for students; NBGRADER or OTTER for an instructor who uses that.
        course: the course's repository on GitHub, owner/name, for the workflow that grades.

    Returns:
        What became of each file: WRITTEN, SAME, or KEPT_HERS where a student has worked on it.

    Raises:
        BadInputError: the folder is the course's own, or there is no such lesson.
    """
    home = lessons.folder()
    if folder.resolve().is_relative_to(home.parent.resolve()) and (
        folder.resolve().is_relative_to(home.resolve()) or folder.resolve() == home.parent.resolve()
    ):
        raise BadInputError("handout.inside", folder=folder)
    paths = [lessons.find(one) for one in wanted] or lessons.paths()
    files: dict[str, bytes] = {}
    for path in paths:
        files |= _files(path, solutions, way)
    if way == NBGRADER:
        files["nbgrader_config.py"] = _template("nbgrader_config.txt")
    elif not way:
        files |= _around(course)
    return _write(folder, files)


def without_solutions(notebook: dict) -> dict:
    """Take the solutions out of a notebook, which says so of itself, and return it."""
    notebook["cells"] = [cell for cell in notebook["cells"] if "solution" not in lessons.tags(cell)]
    notebook["metadata"][lessons.HANDED_OUT] = {"solutions": False}
    return notebook


def _files(path: Path, solutions: bool, way: str) -> dict[str, bytes]:
    """Return the files of a lesson, by where they go."""
    notebook = lessons.load(path)
    place, change = _places(way)
    where = place.format(name=path.stem)
    text = json.dumps(notebook)
    files = {
        f"{where}{drawing}": (path.parent / drawing).read_bytes()
        for drawing in DRAWING.findall(text)
        if (path.parent / drawing).is_file()
    }
    if change is not None:
        notebook = change(notebook, path.stem)
    elif not solutions:
        notebook = without_solutions(notebook)
    files[f"{where}{path.name}"] = updates.as_bytes(notebook)
    return files


def _places(way: str) -> tuple[str, Callable[[dict, str], dict] | None]:
    """Return below which folder a lesson goes, and what makes another's notebook of it."""
    if way == NBGRADER:
        return "source/{name}/", for_nbgrader
    if way == OTTER:
        return "{name}/", for_otter
    return "", None


def _around(course: str) -> dict[str, bytes]:
    """Return what lies around the lessons: how to start, and the workflow that grades."""
    files = {}
    for name in ("README.md", ".github/workflows/grade.yml", ".gitignore"):
        text = _template(name.replace("/", "_").lstrip(".")).decode()
        files[name] = text.replace(COURSE, course or "${{ vars.KAFKA_LAB_COURSE }}").encode()
    return files


def _template(name: str) -> bytes:
    return (TEMPLATES / name).read_bytes()


def _write(folder: Path, files: dict[str, bytes]) -> dict[Path, str]:
    """Write files, and leave alone what somebody else has changed meanwhile."""
    known, done = updates.known(folder / KEPT), {}
    for name, data in sorted(files.items()):
        file = folder / name
        there = file.read_bytes() if file.is_file() else None
        what = updates.fate(there, known.get(name), data)
        known[name] = updates.sum_of(data)
        done[file] = BECAME[what]
        if what in (updates.BRING, updates.BESIDE):
            place = file if what == updates.BRING else updates.beside(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    (folder / KEPT).write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    return done


def told(done: dict[Path, str]) -> list[str]:
    """Return what became of the files, in sentences."""
    counts = {one: list(done.values()).count(one) for one in (WRITTEN, SAME)}
    lines = [say("handout.done", written=counts[WRITTEN], same=counts[SAME])]
    lines += [
        say("handout.kept" if file.exists() else "handout.gone", file=file)
        for file, what in done.items()
        if what == KEPT_HERS
    ]
    return lines

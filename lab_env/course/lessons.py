"""Knows the lessons: finds, reads, lists, takes them apart. Long: all that reads a notebook.

A lesson is ``notebooks/NN_name.ipynb``. Its opening is Markdown (one cell or more):

    # A title that is a claim

    The promise: one paragraph of two sentences.

    **You will be able to**

    - begin each objective with a verb (3 to 5 of them)

    **Time** 45 minutes · **Before this** lesson 00

An exercise is a code cell tagged ``exercise`` (the stub), a code cell tagged ``check`` and a
Markdown cell tagged ``solution``: a closed ``<details>`` block with one fenced ``python`` block.
A small step, an exercise of a minute in the middle of a lesson, is the same with the tag ``step``.

The last cell, the summary, has a table of the lesson's terms: English, Spanish, meaning.

``python -m lab_env.course.lessons`` writes ``index.md`` and ``glossary.md`` beside the lessons, and
what stands in README.md between ``<!-- lessons -->`` and ``<!-- /lessons -->``.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lab_env.ground.errors import BadInputError
from lab_env.messages import say

FILE = re.compile(r"(\d\d)_([a-z0-9_]+)\.ipynb")
TIME = re.compile(r"^\*\*Time\*\* (\d+) minutes · \*\*Before this\*\* (.+)$", re.MULTILINE)
OBJECTIVES = re.compile(r"^\*\*You will be able to\*\*:?\n\n?((?:[-*] .+\n?(?:  .+\n?)*)+)", re.M)
DETAILS = re.compile(r"<details>(.*?)</details>", re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
MOST_TERMS = 7  # of a lesson, in a list of lessons
HANDED_OUT = "kafka_lab"  # in a notebook's metadata: what was taken out of it
LISTED = re.compile(r"(<!-- lessons -->\n).*?(<!-- /lessons -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a lesson says of itself: ``number`` such as "01", ``minutes`` of class, and so on.

    ``name`` is the file's name without number and ending; ``before`` says what should come first.
    """

    path: Path
    number: str
    name: str
    title: str
    promise: str
    objectives: tuple[str, ...]
    minutes: int
    before: str


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a lesson: in English, in Spanish, and what it means there."""

    english: str
    spanish: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """Where an exercise stands: the indices of its stub and its check, and the solution's code.

    A lesson that is handed out without its solutions has the stub in the solution's place.
    """

    cell: int
    check: int
    solution: str


def folder() -> Path:
    """Return the folder of the lessons: beside the package, else here or below here.

    Raises:
        BadInputError: there is none.
    """
    here = Path.cwd()
    beside = Path(__file__).resolve().parents[2] / "notebooks"
    for place in (beside, here / "notebooks", here):
        if any(map(_is_lesson, place.glob("*.ipynb"))):
            return place
    if beside.is_dir():
        return beside
    raise BadInputError("lessons.no_folder", here=here)


def packed() -> bool:
    """Return whether the lessons were installed with the package, and can be copied from it."""
    return (Path(__file__).resolve().parents[1] / "files" / "notebooks").is_dir()


def paths(where: Path | None = None) -> list[Path]:
    """Return the lessons' files, in order; ``where`` is their folder, None for the course's."""
    return sorted(filter(_is_lesson, (where or folder()).glob("*.ipynb")))


def lessons(where: Path | None = None) -> list[Lesson]:
    """Return what every lesson says of itself, in order.

    Raises:
        BadInputError: a lesson's opening is not as the module's docstring asks.
    """
    return [read(path) for path in paths(where)]


def find(wanted: str, where: Path | None = None) -> Path:
    """Return the file of a lesson, by its number ("01" or "1"), its name, or part of its name.

    Raises:
        BadInputError: no lesson fits, or more than one does; the known ones are named.
    """
    known = paths(where)
    word = Path(str(wanted)).name.removesuffix(".ipynb").strip().lower()
    if word.isdecimal():
        fit = [path for path in known if int(path.name[:2]) == int(word)]
    else:
        names = {path: path.stem.lower() for path in known}
        fit = [path for path, name in names.items() if word in (name, name[3:])]
        fit = fit or [path for path, name in names.items() if word and word in name]
    if len(fit) == 1:
        return fit[0]
    key = "lessons.ambiguous" if fit else "lessons.unknown"
    told = ", ".join(path.stem for path in fit or known) or say("lessons.none_yet")
    raise BadInputError(key, got=wanted, known=told)


def locate(wanted: str) -> Path:
    """Return the notebook that somebody has named: a file of hers, else a lesson of the course.

    What has a folder in it is a file and nothing else; so is a name in ``.ipynb`` that is there.

    Raises:
        BadInputError: there is no such file, or no such lesson.
    """
    path = Path(wanted).expanduser()
    if path.suffix == ".ipynb" and path.is_file():
        return path.resolve()
    if "/" in wanted or os.sep in wanted:
        raise BadInputError("lessons.no_file", got=wanted)
    return find(wanted)


def is_of_the_course(path: Path) -> bool:
    """Return whether a notebook lies in the folder of the lessons."""
    try:
        return path.resolve().parent == folder().resolve()
    except BadInputError:  # installed without them
        return False


def load(path: Path) -> dict:
    """Return a notebook as the plain dict that its file holds, sources joined to text.

    Raises:
        BadInputError: the file is no notebook.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if not isinstance(cell["source"], str):
                cell["source"] = "".join(cell["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError("lessons.not_json", file=Path(path).name, why=error) from None
    return notebook


def read(path: Path) -> Lesson:
    """Return what one lesson says of itself.

    Raises:
        BadInputError: its opening is not as the module's docstring asks.
    """
    number, _, name = path.stem.partition("_")
    text = opening(load(path))
    title = re.match(r"# (.+)\n", text)
    if not title:
        raise BadInputError("lessons.opening_title", file=path.name)
    promise = text[title.end() :].strip().split("\n\n")[0]
    if not promise or promise.startswith(("#", "*", "-", "|", "<", "!")):
        raise BadInputError("lessons.opening_promise", file=path.name)
    listed = OBJECTIVES.search(text)
    if not listed:
        raise BadInputError("lessons.opening_objectives", file=path.name)
    time = TIME.search(text)
    if not time:
        raise BadInputError("lessons.opening_time", file=path.name)
    return Lesson(
        path=path,
        number=number,
        name=name,
        title=title[1].strip(),
        promise=_one_line(promise),
        objectives=tuple(map(_one_line, re.split(r"^[-*] ", listed[1], flags=re.MULTILINE)[1:])),
        minutes=int(time[1]),
        before=time[2].strip(),
    )


def opening(notebook: dict) -> str:
    """Return the Markdown before a notebook's first code cell, up to its first ``##`` heading."""
    texts = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            break
        texts.append(cell["source"].strip())
    return re.split(r"^##+ ", "\n\n".join(texts) + "\n", maxsplit=1, flags=re.MULTILINE)[0]


def exercises(notebook: dict, file: str = "notebook") -> list[Exercise]:
    """Return the exercises of a notebook, in order.

    Args:
        notebook: what ``load`` or nbformat returns.
        file: what to call it in an error.

    Raises:
        BadInputError: an exercise is not as the module's docstring asks.
    """
    return _worked_on(notebook, "exercise", file)


def steps(notebook: dict, file: str = "notebook") -> list[Exercise]:
    """Return the small steps of a notebook, in order; arguments and errors as in `exercises`."""
    return _worked_on(notebook, "step", file)


def _worked_on(notebook: dict, kind: str, file: str) -> list[Exercise]:
    """Return what a student writes herself, of the kind that a tag names."""
    cells = notebook["cells"]
    whole = notebook.get("metadata", {}).get(HANDED_OUT, {}).get("solutions", True)
    wanted = ((kind, "code"), ("check", "code"), ("solution", "markdown"))[: 3 if whole else 2]
    found = []
    for index, cell in enumerate(cells):
        if kind not in tags(cell):
            continue
        group = cells[index : index + len(wanted)]
        shape = len(group) == len(wanted) and all(
            c["cell_type"] == kind_of_cell and tag in tags(c)
            for c, (tag, kind_of_cell) in zip(group, wanted, strict=True)
        )
        if not shape:
            raise BadInputError("lessons.exercise_shape", file=file, cell=index)
        solution = _solution(group[2]["source"], file, index + 2) if whole else cell["source"]
        found.append(Exercise(index, index + 1, solution))
    return found


def solved(notebook: dict, file: str = "notebook") -> dict:
    """Put every solution in its stub's place, in the notebook that is given, and return it."""
    for exercise in exercises(notebook, file) + steps(notebook, file):
        notebook["cells"][exercise.cell]["source"] = exercise.solution
    return notebook


def tags(cell: dict) -> list[str]:
    """Return a cell's tags."""
    return cell.get("metadata", {}).get("tags", [])


def terms(path: Path) -> list[Term]:
    """Return the terms of a lesson, in the order of its table; none if it has no such table."""
    rows = [
        [part.strip() for part in row.split("|")]
        for row in ROW.findall(load(path)["cells"][-1]["source"])
    ]
    if len(rows) < 3:
        return []
    columns = [
        next((n for n, head in enumerate(rows[0]) if word in head), None)
        for word in ("English", "Spanish", "Meaning")
    ]
    return [Term(*("" if n is None else row[n] for n in columns)) for row in rows[2:]]


def index(where: Path | None = None) -> str:
    """Return the list of lessons as a Markdown table: link, objectives, minutes.

    Args:
        where: the lessons' folder, None for the course's.
    """
    heads = [say(f"lessons.index_{head}") for head in ("lesson", "objectives", "minutes")]
    rows = [heads, ["--", "--", "--:"]]
    for lesson in lessons(where):
        link = f"[{lesson.number} {lesson.title}]({lesson.path.name})"
        rows.append([link, "; ".join(lesson.objectives), str(lesson.minutes)])
    return _table(rows)


def short_names(files: list[Path]) -> dict[Path, str]:
    """Return what lessons are called in a list, by file: "05 Consumer groups"."""
    # file names that do not become a title by their first letter alone
    special = dict(line.split(": ", 1) for line in say("lessons.names").splitlines())
    found = {}
    for path in files:
        number, _, name = path.stem.partition("_")
        found[path] = f"{number} {special.get(name, name.replace('_', ' ').capitalize())}"
    return found


def short_index(where: Path | None = None, prefix: str = "") -> str:
    """Return the list of lessons with their names and first terms, as a Markdown table.

    Args:
        where: the lessons' folder, None for the course's.
        prefix: what stands before a file's name in its link, such as "notebooks/".
    """
    heads = [say(f"lessons.index_{head}") for head in ("lesson", "terms", "minutes")]
    names = short_names(paths(where))
    rows = [heads, ["--", "--", "--:"]]
    for lesson in lessons(where):
        link = f"[{names[lesson.path]}]({prefix}{lesson.path.name})"
        first = [term.english for term in terms(lesson.path)[:MOST_TERMS]]
        rows.append([link, " · ".join(first), str(lesson.minutes)])
    return _table(rows)


def glossary(where: Path | None = None) -> str:
    """Return every term of the lessons as a Markdown table, by the alphabet.

    Where lessons say a thing in other words, each meaning stands with its lesson.

    Args:
        where: the lessons' folder, None for the course's.
    """
    heads = [
        say(f"lessons.glossary_{head}") for head in ("english", "spanish", "meaning", "lesson")
    ]
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for path in paths(where):
        for term in terms(path):
            _, meanings = found.setdefault(term.english, (term.spanish, {}))
            link = f"[{path.name[:2]}]({path.name})"
            meanings[term.meaning] = ", ".join(filter(None, (meanings.get(term.meaning), link)))
    rows = [heads, ["--", "--", "--", "--"]]
    for english in sorted(found, key=lambda word: word.casefold().removeprefix("to ")):
        spanish, meanings = found[english]
        for meaning, links in meanings.items():
            rows.append([f"**{english}**", spanish, meaning, links])
    return _table(rows)


def listings(where: Path | None = None) -> dict[Path, str]:
    """Return every file that lists the lessons, with the text that it should have."""
    where = where or folder()
    page = (
        f"{say('lessons.index_title')}\n\n{say('lessons.index_made')}\n\n"
        f"{say('lessons.index_how')}\n\n{index(where)}\n"
    )
    words = f"{say('lessons.glossary_title')}\n\n{say('lessons.index_made')}\n\n{glossary(where)}\n"
    wanted = {where / "index.md": page, where / "glossary.md": words}
    readme = where.parent / "README.md"
    if readme.is_file() and LISTED.search(text := readme.read_text(encoding="utf-8")):
        table = short_index(where, prefix=f"{where.name}/")
        wanted[readme] = LISTED.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", text)
    return wanted


def outdated(where: Path | None = None) -> dict[Path, str]:
    """Return those of ``listings`` that do not have the text they should have."""
    return {
        file: text
        for file, text in listings(where).items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    }


def main() -> None:
    """Write every file that lists the lessons."""
    for file, text in (stale := outdated()).items():
        file.write_text(text, encoding="utf-8", newline="\n")
        print(say("lessons.wrote", file=file))
    if not stale:
        print(say("lessons.nothing"))


def _is_lesson(path: Path) -> bool:
    return FILE.fullmatch(path.name) is not None


def _table(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(map(_in_table, row)) + " |" for row in rows)


def _in_table(text: str) -> str:
    return text.replace("|", r"\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _solution(text: str, file: str, cell: int) -> str:
    blocks = DETAILS.findall(text)
    codes = PYTHON.findall(text)
    if len(blocks) != 1 or len(codes) != 1 or text.count("```") != 2 or codes[0] not in blocks[0]:
        raise BadInputError("lessons.exercise_solution", file=file, cell=cell)
    return codes[0].rstrip("\n")


if __name__ == "__main__":
    main()

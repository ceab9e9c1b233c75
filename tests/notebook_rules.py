"""The style of a lesson as rules: each yields what breaks it, with the cell and what to do."""

import ast
import contextlib
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.validator import iter_validate

from lab_env.course import lessons
from lab_env.ground.errors import LabError

MOST_LINES = 25
LEAST_POLL = 500  # ms; kafka-python 3.0.12 can leave a member that polls for less without its group
MEDIAN_LINES = 4
DECILE_LINES = 9
PROSE = (0.40, 0.65)
SLIDES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
KINDS = ("exercise", "step", "check", "solution")
KERNEL = {"name": "python3", "language": "python"}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)

Broken = Iterator[str]
RULES: dict[str, Callable[[NotebookNode, Path], Broken]] = {}


def rule(check: Callable[[NotebookNode, Path], Broken]) -> Callable[[NotebookNode, Path], Broken]:
    RULES[check.__name__] = check
    return check


def broken(path: Path) -> list[str]:
    """Return every breach of every rule by the notebook at ``path``, as "rule: cell N: what"."""
    notebook = nbformat.from_dict(lessons.load(path))  # nbformat.read would mend what it finds
    return [f"{name}: {what}" for name, check in RULES.items() for what in check(notebook, path)]


@rule
def is_valid(notebook: NotebookNode, path: Path) -> Broken:
    for error in iter_validate(notebook):  # nbformat.validate would mend what it finds
        yield f"not a valid notebook: {str(error).splitlines()[0]}"
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        yield "cells have ids from notebook format 4.5 on; this one is older"
    ids = [cell.get("id") for cell in notebook.cells]
    for index, one in enumerate(ids):
        if one is None or ids.index(one) != index:
            yield f"cell {index}: its id {one!r} is missing or not its own"


@rule
def has_no_outputs(notebook: NotebookNode, path: Path) -> Broken:
    for index, cell in _cells(notebook, "code"):
        if cell.outputs or cell.execution_count is not None:
            yield f"cell {index}: has outputs or an execution count: strip them (nbstripout)"
    for index, cell in enumerate(notebook.cells):
        if kept := {"execution", "collapsed", "scrolled", "ExecuteTime"} & set(cell.metadata):
            yield f"cell {index}: metadata that running it left: {', '.join(sorted(kept))}"


@rule
def has_clean_metadata(notebook: NotebookNode, path: Path) -> Broken:
    kernel = notebook.metadata.get("kernelspec", {})
    for key, value in KERNEL.items():
        if kernel.get(key) != value:
            yield f"notebook: kernelspec {key} is {kernel.get(key)!r}, not {value!r}"
    if extra := set(notebook.metadata) - {"kernelspec", "language_info", "title"}:
        yield f"notebook: metadata that does not belong here: {', '.join(sorted(extra))}"
    if "version" in notebook.metadata.get("language_info", {}):
        yield "notebook: language_info names the version of whoever saved it: take it out"


@rule
def opens_with_what_it_promises(notebook: NotebookNode, path: Path) -> Broken:
    try:
        lesson = lessons.read(path)
    except LabError as error:
        yield f"cell 0: {error}"
        return
    if len(re.findall(r"[.!?](?=\s|$)", lesson.promise)) != 2:
        yield f"cell 0: the promise is two sentences; this one is: {lesson.promise}"
    if not 3 <= len(lesson.objectives) <= 5:
        yield f"cell 0: {len(lesson.objectives)} objectives; 3 to 5 are wanted"
    for objective in lesson.objectives:
        if not objective[:1].islower():
            yield f"cell 0: an objective goes on from 'You will be able to': {objective}"
    if not 0 < lesson.minutes < 60:
        yield f"cell 0: {lesson.minutes} minutes; a lesson takes under an hour"


@rule
def has_short_code_cells(notebook: NotebookNode, path: Path) -> Broken:
    sizes = []
    for index, cell in _cells(notebook, "code"):
        size = len(cell.source.splitlines())
        if size > MOST_LINES:
            yield f"cell {index}: {size} lines; {MOST_LINES} are the most"
        if not set(KINDS) & set(lessons.tags(cell)):
            sizes.append(size)
    if not sizes:
        return
    if (median := statistics.median(sizes)) > MEDIAN_LINES:
        yield f"notebook: the median code cell has {median:g} lines; at most {MEDIAN_LINES}"
    decile = sorted(sizes)[int(0.9 * (len(sizes) - 1))]
    if decile > DECILE_LINES:
        yield f"notebook: nine of ten code cells have up to {decile} lines; at most {DECILE_LINES}"


@rule
def is_half_prose(notebook: NotebookNode, path: Path) -> Broken:
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells) / len(notebook.cells)
    low, high = PROSE
    if not low <= prose <= high:
        yield f"notebook: {prose:.0%} of the cells are prose; {low:.0%} to {high:.0%} are wanted"


@rule
def has_whole_exercises(notebook: NotebookNode, path: Path) -> Broken:
    try:
        found = lessons.exercises(notebook, path.name)
        steps = lessons.steps(notebook, path.name)
    except LabError as error:
        yield str(error).removeprefix(f"{path.name}, ")
        return
    if len(found) not in (2, 3):
        yield f"notebook: {len(found)} exercises; 2 or 3 are wanted"
    for one in steps:
        check, name = notebook.cells[one.check].source, notebook.cells[one.cell].id
        word = f'"{path.name[:2]} {name.removeprefix("step-")}"'
        if f"check.step(lab, {word}," not in " ".join(check.split()).replace("( ", "("):
            yield f"{name}: its check is check.step(lab, {word}, ...), and its id step-..."
    if found and steps and steps[-1].cell > found[0].cell:
        yield f"cell {steps[-1].cell}: a small step comes before the exercises"
    belonging = {index for one in found + steps for index in (one.cell, one.check, one.check + 1)}
    for index, cell in enumerate(notebook.cells):
        if set(KINDS) & set(lessons.tags(cell)) and index not in belonging:
            yield f"cell {index}: tagged {lessons.tags(cell)}, but belongs to no exercise"
    for one in found + steps:
        if problem := _does_not_parse(one.solution):
            yield f"cell {one.check + 1}: the solution is not Python: {problem}"


@rule
def is_cut_into_slides(notebook: NotebookNode, path: Path) -> Broken:
    for index, cell in enumerate(notebook.cells):
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind not in SLIDES:
            yield f"cell {index}: slideshow.slide_type is {kind!r}, not one of {sorted(SLIDES)}"


@rule
def does_nothing_that_hangs_or_hides(notebook: NotebookNode, path: Path) -> Broken:
    codes = [(index, cell.source) for index, cell in _cells(notebook, "code")]
    for index, cell in _cells(notebook, "markdown"):
        if "solution" in lessons.tags(cell):
            codes += [(index, code) for code in lessons.PYTHON.findall(cell.source)]
    for index, code in codes:
        yield from (f"cell {index}: {what}" for what in _bad_code(code))


@rule
def steps_its_headings_one_level_at_a_time(notebook: NotebookNode, path: Path) -> Broken:
    last = 0
    for index, cell in _cells(notebook, "markdown"):
        for heading in re.finditer(r"^(#{1,6}) (.*)", FENCED.sub("", cell.source), re.MULTILINE):
            level = len(heading[1])
            if level > last + 1:
                yield f"cell {index}: heading {heading[2]!r} steps from level {last} to {level}"
            if level == 1 and last:
                yield f"cell {index}: a second title: {heading[2]!r}"
            last = level


@rule
def has_links_that_lead_somewhere(notebook: NotebookNode, path: Path) -> Broken:
    for index, cell in _cells(notebook, "markdown"):
        text = FENCED.sub("", cell.source)
        for target in LINK.findall(text) + [place for _, place in PICTURE.findall(text)]:
            if re.match(r"[a-z]+:|#", target):
                continue
            if not (path.parent / target.split("#")[0]).exists():
                yield f"cell {index}: there is no {target}"
        for alt, place in PICTURE.findall(text):
            if not alt.strip():
                yield f"cell {index}: the picture {place} has no words for who cannot see it"


@rule
def closes_with_a_summary(notebook: NotebookNode, path: Path) -> Broken:
    index = len(notebook.cells) - 1
    cell = notebook.cells[index]
    if cell.cell_type != "markdown":
        yield f"cell {index}: the last cell is the summary, in Markdown"
        return
    heads = re.findall(r"^\|(.+)\|\n\|[-:| ]+\|\n\|", cell.source, re.MULTILINE)
    if not any("English" in head and "Spanish" in head for head in heads):
        yield f"cell {index}: no table of the terms in English and Spanish"
    following = sorted(path.parent.glob(f"{int(path.name[:2]) + 1:02}_*.ipynb"))
    to_lessons = [target for target in LINK.findall(cell.source) if target.endswith(".ipynb")]
    if to_lessons != [next_one.name for next_one in following]:
        wanted = following[0].name if following else "none, since there is no next lesson yet"
        yield f"cell {index}: links to lessons {to_lessons}; wanted: {wanted}"
    last = cell.source.strip().splitlines()[-1]
    if not following and (last.startswith("|") or LINK.search(last)):
        yield f"cell {index}: its last line says in plain text what comes next"


@rule
def asks_before_it_answers(notebook: NotebookNode, path: Path) -> Broken:
    """A prediction is empty, has an answer that knows a typical wrong guess, and is summed up."""
    answers: dict[str, list[str]] = {}
    sums_up = False
    for _, cell in _cells(notebook, "code"):
        nodes = _nodes(cell.source)
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            if name == "check.foreseen":
                answers[ast.literal_eval(call.args[0])] = _meanings(call, nodes)
            sums_up |= name == "check.surprises"
    asked = [c for _, c in _cells(notebook, "code") if c.get("id", "").startswith("prediction")]
    for cell in asked:
        if not _is_empty(cell.source):
            yield f"{cell.id}: a prediction is empty, `...`, until the student fills it"
        question = f"{path.name[:2]} {cell.id.removeprefix('prediction-')}"
        if question not in answers:
            yield f'{cell.id}: no cell answers it: check.foreseen("{question}", ...)'
        elif not answers.pop(question):
            yield f"{cell.id}: the answer has no sentence for a typical wrong guess"
    yield from (f"no prediction for the answer {one!r}" for one in answers)
    if asked and not sums_up:
        yield f'no cell sums the predictions up: check.surprises("{path.name[:2]}")'


def _nodes(source: str) -> list[ast.AST]:
    """Return all that code is made of; nothing if it does not parse, which another rule says."""
    with contextlib.suppress(SyntaxError):
        return list(ast.walk(ast.parse(source)))
    return []


def _meanings(call: ast.Call, nodes: list[ast.AST]) -> list[str]:
    """Return the sentences for wrong guesses in a call, or in the variables that it names.

    Args:
        call: of ``check.foreseen``.
        nodes: of the cell in which it stands.
    """
    assigned = [
        (ast.unparse(target).partition("[")[0], node.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
    ]
    reached = call.args[3:]
    for one in reached:  # grows: what stands behind a name may name others
        named = {node.id for node in ast.walk(one) if isinstance(node, ast.Name)}
        reached += [value for name, value in assigned if name in named and value not in reached]
    parts = [node for one in reached for node in ast.walk(one) if isinstance(node, ast.Constant)]
    texts = [part.value for part in parts if isinstance(part.value, str)]
    return [text for text in texts if text.count(" ") > 3]


def _is_empty(source: str) -> bool:
    """Return whether a prediction's cell gives nothing away: its values are ``...`` alone."""
    values = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and any(ast.unparse(one).startswith("prediction") for one in node.targets)
    ]
    parts = [
        part
        for value in values
        for part in (value.values if isinstance(value, ast.Dict) else [value])
    ]
    return bool(parts) and all(isinstance(p, ast.Constant) and p.value is ... for p in parts)


def _cells(notebook: NotebookNode, kind: str) -> Iterator[tuple[int, NotebookNode]]:
    return ((index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == kind)


def _does_not_parse(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError as error:
        return str(error)
    return ""


def _bad_code(code: str) -> Iterator[str]:
    if re.search(r"^\s*[%!]\s*(?:python -m )?(?:pip|conda|uv)\b", code, re.MULTILINE):
        yield "installs packages: that is the environment's task"
    plain = re.sub(r"^\s*[%!].*", "", code, flags=re.MULTILINE)
    if problem := _does_not_parse(plain):
        yield f"is not Python: {problem}"
        return
    is_member = ".assign(" not in plain  # who takes its partitions itself has nothing to join
    for node in ast.walk(ast.parse(plain)):
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node.test.value:
            yield f"while {ast.unparse(node.test)} never ends by itself: give it a deadline"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("time.sleep", "sleep"):
                yield f"{name} is no way to wait: wait for a condition (service.wait for work)"
            elif is_member and name.endswith(".poll") and 0 < _milliseconds(node) < LEAST_POLL:
                yield f"polls for less than {LEAST_POLL} ms: that can strand a member that joins"
            elif name == "input":
                yield "input() stops a machine that runs the lesson"
            elif name in ("os.system", "subprocess.run") and "pip" in ast.unparse(node):
                yield "installs packages: that is the environment's task"


def _milliseconds(call: ast.Call) -> int:
    """Return the ``timeout_ms`` of a call; 0 if it has none that can be read off."""
    given = [word.value for word in call.keywords if word.arg == "timeout_ms"]
    return given[0].value if given and isinstance(given[0], ast.Constant) else 0

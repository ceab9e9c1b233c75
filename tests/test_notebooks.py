"""The lessons keep the style's rules, the lists of lessons are up to date, and the rules bite."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import notebook_rules
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lab_env.course import lessons
from lab_env.course.way_back import names_of
from lab_env.ground.errors import BadInputError

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
FILES = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))

# -- the lessons ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_lesson_keeps_the_rules(path):
    assert not (broken := notebook_rules.broken(path)), "\n".join(["", *broken])


NOT_YET: set[str] = set()  # lessons that other lessons speak of and that are still to be written


def test_lessons_are_numbered_from_00_without_a_gap():
    numbers = [path.name[:2] for path in FILES]
    assert sorted({*numbers} | NOT_YET) == [f"{n:02}" for n in range(int(numbers[-1]) + 1)]
    assert not NOT_YET & {*numbers}, "it is written now"
    assert lessons.paths(NOTEBOOKS) == FILES, "a file's name is NN_name.ipynb, in small letters"


def test_the_lists_of_lessons_are_up_to_date():
    if FILES:
        stale = [str(file) for file in lessons.outdated(NOTEBOOKS)]
        assert not stale, f"python -m lab_env.course.lessons brings these up to date: {stale}"


def test_ruff_has_nothing_to_say_about_the_lessons():
    if FILES:
        for command in (["format", "--check"], ["check"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, str(NOTEBOOKS)],
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", lessons.paths(), ids=lambda path: path.stem)
def test_whoever_puts_the_solution_in_place_of_the_stub_misses_no_name_of_it(path):
    notebook = lessons.load(path)
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for one in lessons.exercises(notebook) + lessons.steps(notebook):
        stub = "".join(notebook["cells"][one.cell]["source"])
        others = [source for source in sources if source != stub]
        for name in names_of(stub) - names_of(one.solution) - set().union(*map(names_of, others)):
            assert not any(re.search(rf"\b{name}\b", source) for source in others), name


@pytest.mark.parametrize("path", lessons.paths(), ids=lambda path: path.stem)
def test_a_lesson_has_small_steps(path):
    assert len(lessons.steps(lessons.load(path))) in (2, 3)


# -- a lesson that keeps every rule, and what breaks each --------------------------------------

OPENING = """\
# A message waits, a call does not

Operations call the gate desk while it is slow. Then they send messages instead.

**You will be able to**

- measure how long a caller waits
- send a command as a message
- say what a reply needs

**Time** 45 minutes · **Before this** lesson 00"""
SUMMARY = """\
## Summary

| English | Spanish |
| -- | -- |
| message | mensaje |

Next: {next}"""
SOLUTION = """\
<details>
<summary>Solution</summary>

```python
answer = 42
```

</details>"""


def prose(text, slide="slide", **metadata):
    return new_markdown_cell(text, metadata={"slideshow": {"slide_type": slide}, **metadata})


def code(text, slide="-", **metadata):
    return new_code_cell(text, metadata={"slideshow": {"slide_type": slide}, **metadata})


def exercise(stub="answer = None"):
    return [
        code(stub, tags=["exercise"]),
        code("print(answer)", tags=["check"]),
        prose(SOLUTION, tags=["solution"]),
    ]


def good_lesson():
    """Return cells by name: what is on the way, and two exercises (5 and 10 are their prose)."""
    cells = [
        prose(OPENING),
        prose("## The experiment"),
        code("import math"),
        prose("What will it say?"),
        code("math.pi"),
        prose("### Your turn"),
        *exercise(),
        prose("### Your turn again"),
        *exercise("answer = 0"),
        prose(SUMMARY.format(next="nothing yet, this was the last lesson.")),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write(notebook, folder, name="01_good.ipynb"):
    path = folder / name
    nbformat.write(notebook, path)
    return path


def test_a_good_lesson_breaks_no_rule(tmp_path):
    assert notebook_rules.broken(write(good_lesson(), tmp_path)) == []
    linked = good_lesson()
    linked.cells[-1].source = SUMMARY.format(next="[lesson 02](02_next.ipynb)")
    write(good_lesson(), tmp_path, "02_next.ipynb")
    assert notebook_rules.broken(write(linked, tmp_path)) == []


def source(index, text):
    return lambda notebook: notebook.cells[index].__setitem__("source", text)


def replaced(index, old, new):
    def change(notebook):
        assert old in notebook.cells[index].source
        notebook.cells[index].source = notebook.cells[index].source.replace(old, new)

    return change


def metadata(index, **values):
    return lambda notebook: notebook.cells[index].metadata.update(values)


def output(notebook):
    notebook.cells[2].outputs = [new_output("stream", text="3")]


def count(notebook):
    notebook.cells[2].execution_count = 3


def same_id(notebook):
    notebook.cells[2].id = notebook.cells[1].id


def no_code(notebook):
    notebook.cells[1:1] = [prose("word") for _ in range(9)]


def no_prose(notebook):
    notebook.cells[2:2] = [code("1") for _ in range(9)]


def long_cells(notebook):
    for index in (2, 4):
        notebook.cells[index].source = "\n".join("1" * 5)


def one_long_cell(notebook):
    notebook.cells[2:2] = [*(code("1") for _ in range(3)), prose("word"), prose("word")]
    for index in (2, 3):
        notebook.cells[index].source = "\n".join("1" * 10)


def kernel(notebook):
    notebook.metadata.kernelspec.name = "conda-env-py"


def trace_of_running(notebook):
    notebook.metadata["papermill"] = {}


def drop(start, stop=None):
    return lambda notebook: notebook.cells.__delitem__(slice(start, stop or start + 1))


ANSWER = 'check.foreseen("01 three", prediction, 20, {60: "Sixty would be a copy for each."})'


def asks(notebook, prediction, answer=ANSWER):
    """Make the first two code cells a prediction and its answer."""
    first, second = [cell for cell in notebook.cells if cell.cell_type == "code"][:2]
    first.id, first.source, second.source = "prediction-three", prediction, answer


def test_a_lesson_that_asks_answers_and_sums_up_breaks_no_rule(tmp_path):
    notebook = good_lesson()
    asks(notebook, 'prediction = {"lost": ..., "twice": ...}  # commands')
    broken = notebook_rules.broken(write(notebook, tmp_path))
    assert [one for one in broken if "sums the predictions up" not in one] == []


BREACHES = {
    "twice the same id": (same_id, "is_valid: cell 2"),
    "an output": (output, "has_no_outputs: cell 2"),
    "an execution count": (count, "has_no_outputs: cell 2"),
    "execution times": (metadata(4, execution={}), "has_no_outputs: cell 4"),
    "another kernel": (kernel, "has_clean_metadata: notebook"),
    "traces of a tool": (trace_of_running, "has_clean_metadata: notebook"),
    "no title": (replaced(0, "# A", "A"), "opens_with_what_it_promises: cell 0: .*title"),
    "no promise": (
        replaced(0, "Operations call the gate desk while it is slow. Then they send", "- They"),
        "opens_with_what_it_promises: cell 0: .*promise",
    ),
    "a long promise": (
        replaced(0, "Then they", "Then? They"),
        "opens_with_what_it_promises: cell 0: the promise",
    ),
    "two objectives": (
        replaced(0, "- say what a reply needs\n", ""),
        "opens_with_what_it_promises: cell 0: 2 objectives",
    ),
    "an objective of its own": (
        replaced(0, "- say", "- You say"),
        "opens_with_what_it_promises: cell 0: an objective",
    ),
    "no time": (replaced(0, "**Time**", "Time"), "opens_with_what_it_promises: cell 0: .*Time"),
    "a lesson of two hours": (
        replaced(0, "45", "120"),
        "opens_with_what_it_promises: cell 0: 120",
    ),
    "26 lines": (source(6, "\n".join("1" * 26)), "has_short_code_cells: cell 6: 26 lines"),
    "long cells": (long_cells, "has_short_code_cells: notebook: the median"),
    "some longer cells": (one_long_cell, "has_short_code_cells: notebook: nine of ten"),
    "mostly prose": (no_code, "is_half_prose: notebook"),
    "mostly code": (no_prose, "is_half_prose: notebook"),
    "one exercise": (drop(9, 13), "has_whole_exercises: notebook: 1 exercises"),
    "no check": (drop(7), "has_whole_exercises: cell 6"),
    "no solution": (metadata(8, tags=[]), "has_whole_exercises: cell 6"),
    "a lonely check": (metadata(4, tags=["check"]), "has_whole_exercises: cell 4"),
    "an open solution": (
        replaced(8, "<details>", "<details open>"),
        "has_whole_exercises: cell 8",
    ),
    "two blocks in a solution": (
        replaced(8, "</details>", "```python\n1\n```\n</details>"),
        "has_whole_exercises: cell 8",
    ),
    "a solution that is no code": (
        replaced(8, "answer = 42", "answer ="),
        "has_whole_exercises: cell 8",
    ),
    "no slide": (metadata(3, slideshow={}), "is_cut_into_slides: cell 3"),
    "a sleep": (
        source(4, "import time\n\ntime.sleep(1)"),
        "does_nothing_that_hangs_or_hides: cell 4: time.sleep",
    ),
    "pip": (source(4, "%pip install x"), "does_nothing_that_hangs_or_hides: cell 4: installs"),
    "a short poll": (
        source(4, "consumer.poll(timeout_ms=300)"),
        "does_nothing_that_hangs_or_hides: cell 4: polls for less than 500 ms",
    ),
    "an endless loop": (
        source(4, "while True:\n    pass"),
        "does_nothing_that_hangs_or_hides: cell 4: while True",
    ),
    "a question": (source(4, "input()"), "does_nothing_that_hangs_or_hides: cell 4: input"),
    "a sleep in a solution": (
        replaced(8, "answer = 42", "time.sleep(1)"),
        "does_nothing_that_hangs_or_hides: cell 8: time.sleep",
    ),
    "no Python": (source(4, "1 +"), "does_nothing_that_hangs_or_hides: cell 4: is not Python"),
    "a heading too deep": (
        source(1, "#### Deep"),
        "steps_its_headings_one_level_at_a_time: cell 1",
    ),
    "two titles": (source(1, "# Again"), "steps_its_headings_one_level_at_a_time: cell 1"),
    "a dead link": (
        source(3, "[see](../nothing.md)"),
        "has_links_that_lead_somewhere: cell 3: there is no ../nothing.md",
    ),
    "a picture without words": (
        source(3, "![](01_good.ipynb)"),
        "has_links_that_lead_somewhere: cell 3: the picture",
    ),
    "no terms": (
        replaced(13, "Spanish", "French"),
        "closes_with_a_summary: cell 13: no table",
    ),
    "a link to a lesson that is not the next": (
        replaced(13, "nothing yet", "[back](01_good.ipynb)"),
        "closes_with_a_summary: cell 13: links to lessons",
    ),
    "a prediction that is filled in": (
        lambda n: asks(n, "prediction = 60"),
        "asks_before_it_answers: prediction-three: a prediction is empty",
    ),
    "a prediction that nobody answers": (
        lambda n: asks(n, "prediction = ...", "print(20)"),
        "asks_before_it_answers: prediction-three: no cell answers it",
    ),
    "an answer that knows no wrong guess": (
        lambda n: asks(n, "prediction = ...", 'check.foreseen("01 three", prediction, 20)'),
        "asks_before_it_answers: prediction-three: the answer has no sentence",
    ),
    "an answer without a prediction": (
        source(4, 'check.foreseen("01 four", 1, 20, {60: "Sixty would be a copy for each."})'),
        "asks_before_it_answers: no prediction for the answer '01 four'",
    ),
    "predictions that nobody sums up": (
        lambda n: asks(n, "prediction = ..."),
        "asks_before_it_answers: no cell sums the predictions up",
    ),
    "code at the end": (lambda n: n.cells.append(code("1")), "closes_with_a_summary: cell 14"),
    "nothing about what comes next": (
        replaced(13, "\n\nNext: nothing yet, this was the last lesson.", ""),
        "closes_with_a_summary: cell 13: its last line",
    ),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_broken_rule_names_itself_and_the_cell(tmp_path, name):
    change, wanted = BREACHES[name]
    notebook = good_lesson()
    change(notebook)
    path = tmp_path / "01_good.ipynb"
    path.write_text(nbformat.v4.writes(notebook), encoding="utf-8")  # as it is, without mending
    broken = notebook_rules.broken(path)
    assert broken, "no rule was broken"
    assert any(re.match(wanted, what) for what in broken), broken


def test_every_rule_has_a_breach():
    assert {wanted.split(":")[0] for _, wanted in BREACHES.values()} == set(notebook_rules.RULES)


def test_waiting_in_a_service_and_asking_whether_to_go_on_is_fine(tmp_path):
    notebook = good_lesson()
    notebook.cells[4].source = "while service.running:\n    service.wait(0.2)"
    assert notebook_rules.broken(write(notebook, tmp_path)) == []


# -- lessons.py ---------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(good_lesson(), folder, "00_start_here.ipynb")
    write(good_lesson(), folder, "01_asynchronous_messages.ipynb")
    return folder


def test_what_a_lesson_says_of_itself(course):
    first, second = lessons.lessons(course)
    assert (first.number, first.name) == ("00", "start_here")
    assert second.title == "A message waits, a call does not"
    assert second.promise.endswith("Then they send messages instead.")
    assert second.objectives == (
        "measure how long a caller waits",
        "send a command as a message",
        "say what a reply needs",
    )
    assert (second.minutes, second.before) == (45, "lesson 00")


@pytest.mark.parametrize(
    "wanted", ["01", "1", "asynchronous_messages", "01_asynchronous_messages.ipynb", "async"]
)
def test_a_lesson_is_found(course, wanted):
    assert lessons.find(wanted, course).name == "01_asynchronous_messages.ipynb"


def test_a_lesson_that_is_not_there_or_not_the_only_one(course):
    for wanted in ("7", "rabbits", ""):
        with pytest.raises(BadInputError, match="00_start_here, 01_asynchronous_messages"):
            lessons.find(wanted, course)
    with pytest.raises(BadInputError, match="more than one"):
        lessons.find("s", course)


def test_the_lists_are_written_and_noticed_when_out_of_date(course):
    readme = course.parent / "README.md"
    readme.write_text("# Course\n\n<!-- lessons -->\nold\n<!-- /lessons -->\n\nEnd\n")
    listed = {course / "index.md", course / "glossary.md", readme}
    assert set(lessons.outdated(course)) == listed
    for file, text in lessons.outdated(course).items():
        file.write_text(text, encoding="utf-8")
    assert lessons.outdated(course) == {}
    assert "[00 Start here](notebooks/00_start_here.ipynb) | " in readme.read_text()
    assert readme.read_text().endswith("<!-- /lessons -->\n\nEnd\n")
    assert "| [01 A message waits, a call does not](01_async" in (course / "index.md").read_text()
    write(good_lesson(), course, "02_more.ipynb")
    assert set(lessons.outdated(course)) == listed


@pytest.mark.fast
def test_the_glossary_has_every_term_of_every_lesson_once_a_meaning():
    words = lessons.glossary()
    for path in lessons.paths():
        found = lessons.terms(path)
        assert len(found) >= 8, path.name
        for term in found:
            assert term.spanish, term
            assert term.meaning, term
            row = next(line for line in words.splitlines() if f"| **{term.english}** |" in line)
            assert path.name in words
            assert row.count("|") == 5


def test_exercises_and_their_solutions():
    found = lessons.exercises(good_lesson())
    assert [(one.cell, one.check, one.solution) for one in found] == [
        (6, 7, "answer = 42"),
        (10, 11, "answer = 42"),
    ]
    assert lessons.solved(good_lesson()).cells[6].source == "answer = 42"


def test_a_file_that_is_no_notebook(course):
    (course / "02_broken.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(BadInputError, match=r"02_broken\.ipynb"):
        lessons.read(course / "02_broken.ipynb")

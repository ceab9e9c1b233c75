"""`lab handout`: what students get, what an update leaves alone, and what other graders take."""

import ast
import json
import re

import nbformat
import pytest
import yaml
from submitted import NOTEBOOKS

from lab_env.course import handout, lessons, way_out
from lab_env.course.grading import submissions
from lab_env.ground.errors import BadInputError


def read(file) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def change(file, cell: str, source: str) -> None:
    notebook = read(file)
    (own,) = [one for one in notebook["cells"] if one["id"] == cell]
    own["source"] = source
    file.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.mark.parametrize("path", lessons.paths(NOTEBOOKS), ids=lambda path: path.name[:2])
def test_a_lesson_without_solutions_keeps_every_cell_that_a_student_fills_in(path):
    whole = lessons.load(path)
    solutions = [one.solution for one in lessons.exercises(whole) + lessons.steps(whole)]
    tasks = submissions.tasks(whole)
    bare = handout.without_solutions(lessons.load(path))
    nbformat.validate(nbformat.from_dict(bare))
    assert [(one.id, one.stub) for one in submissions.tasks(bare)] == [
        (one.id, one.stub) for one in tasks
    ]
    text = "\n".join(cell["source"] for cell in bare["cells"])
    assert not [code for code in solutions if code in text]
    assert not [cell for cell in bare["cells"] if cell.get("outputs")]


def test_a_folder_has_the_lessons_that_were_asked_for_and_what_they_need(tmp_path):
    handout.hand_out(tmp_path / "new", ["00", "5"], course="school/kafka-lab")
    names = {str(file.relative_to(tmp_path / "new")) for file in (tmp_path / "new").rglob("*.*")}
    assert {name for name in names if name.endswith(".ipynb")} == {
        "00_start_here.ipynb", "05_consumer_groups.ipynb",
    }  # fmt: skip
    for drawing in re.findall(
        r"\]\((drawings/\w+\.svg)\)", (NOTEBOOKS / "05_consumer_groups.ipynb").read_text()
    ):
        assert drawing in names
    workflow = (tmp_path / "new" / ".github" / "workflows" / "grade.yml").read_text()
    steps = yaml.safe_load(workflow)["jobs"]["grade"]["steps"]
    assert steps[1]["with"]["repository"] == "school/kafka-lab"
    assert any("lab grade handed-in" in step.get("run", "") for step in steps)


@pytest.mark.parametrize("solutions", [True, False])
def test_solutions_go_along_only_if_they_are_asked_for(tmp_path, solutions):
    handout.hand_out(tmp_path, ["00"], solutions=solutions)
    text = (tmp_path / "00_start_here.ipynb").read_text(encoding="utf-8")
    assert ("<summary>Solution</summary>" in text) is solutions


def test_an_update_never_overwrites_what_a_student_has_written(tmp_path, monkeypatch):
    handout.hand_out(tmp_path, ["00", "01"])
    hers, other = tmp_path / "00_start_here.ipynb", tmp_path / "01_asynchronous_messages.ipynb"
    change(hers, "exercise-1-stub", "my work")
    ran = read(other)  # what a run leaves is no work
    for cell in ran["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"], cell["metadata"]["execution"] = 7, {"iopub.execute_input": "x"}
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    other.write_text(json.dumps(ran), encoding="utf-8")
    load = lessons.load

    def newer(path):
        notebook = load(path)
        notebook["cells"][0]["source"] += "\n\nA new sentence."
        return notebook

    monkeypatch.setattr(lessons, "load", newer)
    before = hers.read_bytes()
    done = handout.hand_out(tmp_path, ["00", "01"])
    assert hers.read_bytes() == before
    assert done[hers] == handout.KEPT_HERS
    assert done[other] == handout.WRITTEN
    assert "A new sentence." in other.read_text(encoding="utf-8")
    assert "A new sentence." in (tmp_path / "00_start_here.new.ipynb").read_text(encoding="utf-8")
    assert any("00_start_here.ipynb" in line for line in handout.told(done))
    handed_in = submissions.read_all([tmp_path], NOTEBOOKS)
    assert {one.file.name for one in handed_in} == {hers.name, other.name}


def test_a_lesson_that_she_alone_has_changed_gets_no_other_laid_beside_it(tmp_path):
    handout.hand_out(tmp_path, ["00"])
    hers = tmp_path / "00_start_here.ipynb"
    change(hers, "exercise-1-stub", "my work")
    before = hers.read_bytes()
    for _ in range(2):
        done = handout.hand_out(tmp_path, ["00"])
        assert set(done.values()) == {handout.SAME}
        assert not list(tmp_path.rglob("*.new.*"))
    assert hers.read_bytes() == before
    assert "stays" not in " ".join(handout.told(done))


@pytest.mark.parametrize("spoilt", ["", "[]", "{", '{"00_start_here.ipynb": 7}'])
def test_without_its_list_nothing_that_was_worked_on_is_overwritten(tmp_path, spoilt):
    handout.hand_out(tmp_path, ["00"])
    hers = tmp_path / "00_start_here.ipynb"
    change(hers, "exercise-1-stub", "my work")
    before = hers.read_bytes()
    (tmp_path / handout.KEPT).write_text(spoilt, encoding="utf-8")
    handout.hand_out(tmp_path, ["00"])
    assert hers.read_bytes() == before


def test_what_lay_there_before_or_was_taken_away_is_the_students(tmp_path):
    (tmp_path / "README.md").write_text("my notes")
    handout.hand_out(tmp_path, ["00"])
    assert (tmp_path / "README.md").read_text() == "my notes"
    (tmp_path / "00_start_here.ipynb").unlink()
    handout.hand_out(tmp_path, ["00"])
    assert not (tmp_path / "00_start_here.ipynb").exists()


@pytest.mark.parametrize("inside", [".", "mine", ".."])
def test_nothing_is_handed_out_into_the_course_itself(inside):
    with pytest.raises(BadInputError, match="the course's own"):
        handout.hand_out(NOTEBOOKS / inside, ["00"])


@pytest.mark.parametrize("path", lessons.paths(NOTEBOOKS), ids=lambda path: path.name[:2])
def test_nbgraders_cells_are_marked_as_it_wants_them(path):
    tasks = [one for one in submissions.tasks(lessons.load(path)) if one.check is not None]
    notebook = way_out.for_nbgrader(lessons.load(path), path.stem)
    nbformat.validate(nbformat.from_dict(notebook))
    marked = [c["metadata"]["nbgrader"] for c in notebook["cells"] if "nbgrader" in c["metadata"]]
    assert sum(one["grade"] for one in marked) == len(tasks)
    assert sum(one["solution"] for one in marked) == len(tasks)
    names = [one["grade_id"] for one in marked]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", lessons.paths(NOTEBOOKS), ids=lambda path: path.name[:2])
def test_otters_blocks_are_opened_and_closed(path):
    notebook = way_out.for_otter(lessons.load(path), path.stem)
    nbformat.validate(nbformat.from_dict(notebook))
    open_blocks: list[str] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "raw" and (
            told := re.match(r"# (BEGIN|END) (\w+)", cell["source"])
        ):
            if told[1] == "BEGIN":
                open_blocks.append(told[2])
            else:
                assert open_blocks.pop() == told[2]
    assert open_blocks == []


@pytest.mark.parametrize("path", lessons.paths(NOTEBOOKS), ids=lambda path: path.name[:2])
@pytest.mark.parametrize("made", [way_out.for_nbgrader, way_out.for_otter])
def test_what_the_tools_assert_is_the_answer_of_the_check_and_no_line_before_it(path, made):
    tasks = [one for one in submissions.tasks(lessons.load(path)) if one.check is not None]
    notebook = made(lessons.load(path), path.stem)
    sources = [cell["source"] for cell in notebook["cells"] if "assert _answer" in cell["source"]]
    assert len(sources) == len(tasks)
    for source in sources:
        answers = [
            ast.unparse(one.value)
            for one in ast.walk(ast.parse(source))
            if isinstance(one, ast.Assign) and "_answer" in map(ast.unparse, one.targets)
        ]
        assert len(answers) == 1
        assert answers[0].startswith("check.")


@pytest.mark.parametrize("path", lessons.paths(NOTEBOOKS), ids=lambda path: path.name[:2])
@pytest.mark.parametrize(
    ("made", "begin", "end"),
    [
        (way_out.for_nbgrader, "### BEGIN SOLUTION", "### END SOLUTION"),
        (way_out.for_otter, "# BEGIN SOLUTION NO PROMPT", "# END SOLUTION"),
    ],
    ids=["nbgrader", "otter"],
)
def test_what_the_tools_take_out_leaves_the_stub_and_no_solution(path, made, begin, end):
    whole = lessons.load(path)
    solutions = [one.solution for one in lessons.exercises(whole) + lessons.steps(whole)]
    notebook = made(lessons.load(path), path.stem)
    code = {cell["id"]: cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"}
    region = re.compile(rf"^{begin}$.*?^{end}$", re.DOTALL | re.MULTILINE)
    for task in submissions.tasks(whole):
        if task.check is not None:
            compile(code[task.id], task.id, "exec")
            assert region.sub("", code[task.id]).strip() == task.stub.strip()
    text = region.sub("", "\n".join(cell["source"] for cell in notebook["cells"]))
    assert not [one for one in solutions if one in text]

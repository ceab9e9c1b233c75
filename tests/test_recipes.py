"""Which layers of a recipe are made anew, and what a cell shows where no engine can be used."""

import nbformat
import pytest
import record_lesson_12
from lesson import NOTEBOOKS

from lab_env.around import containers, recorded
from lab_env.ground.errors import BadInputError

BELOW = "FROM python:3.13-slim\nWORKDIR /app\n"
GOOD = f"{BELOW}COPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY board.py .\n"
RECIPES = {
    GOOD: 1,
    GOOD + 'USER 65534\nCMD ["python", "board.py"]\n': 1,  # these only change settings
    f"{BELOW}COPY . .\nRUN pip install -r requirements.txt\n": 2,
    f"{BELOW}COPY *.py requirements.txt ./\nRUN pip install -r requirements.txt\n": 2,
    "FROM x\nCOPY . .\nWORKDIR /app\nRUN true\n": 3,
    f"{BELOW}COPY ./board.py ./\nCOPY requirements.txt .\nRUN pip \\\n -r requirements.txt\n": 3,
    f"{BELOW}COPY requirements.txt .\n": 0,
    "# COPY board.py .\nFROM x\n\nadd board.py .\n": 1,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name in ("board.py", "requirements.txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("text", RECIPES)
def test_the_layer_with_the_file_and_each_after_it_are_made_anew(folder, text):
    (folder / "Dockerfile").write_text(text)
    assert containers.remade(folder / "Dockerfile", "board.py") == RECIPES[text]


def test_a_file_that_is_used_before_it_is_there_is_told(folder):
    text = GOOD.replace("COPY requirements.txt .\n", "")
    (folder / "Dockerfile").write_text(text)
    with pytest.raises(BadInputError, match=r"needs requirements\.txt"):
        containers.remade(folder / "Dockerfile", "board.py")


@pytest.fixture
def none(monkeypatch):
    """What a lesson gets where no engine answers."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/engine.sock")
    return containers.engine()


def test_without_an_engine_an_answer_is_marked_as_recorded(none, capsys):
    assert not none.runs("overhear")
    assert capsys.readouterr().out.startswith("Recorded")
    assert none.found["overhear"] is False
    assert not none.runs("no-such-cell")
    assert capsys.readouterr().out == ""


def test_what_a_cell_printed_elsewhere_is_shown_and_marked(none, capsys, monkeypatch):
    monkeypatch.setattr(recorded, "output", {"list": "Names\n[/airport-kafka-1]"}.get)
    monkeypatch.setattr(recorded, "machine", lambda: "Linux, Docker 29.1")
    assert not none.runs("list")
    first, *more = capsys.readouterr().out.splitlines()
    assert first == "Recorded (Linux, Docker 29.1), since no engine can be used here:"
    assert more == ["Names", "[/airport-kafka-1]"]


def test_each_cell_that_needs_an_engine_is_recorded_under_its_own_name():
    (path,) = NOTEBOOKS.glob("12_*.ipynb")
    cells = nbformat.read(path, 4).cells
    names = set(record_lesson_12.named(cells))
    assert len(names) > 12
    answers = {cell.id for cell in cells if "engine.found[" in cell.source}
    assert set(recorded.found()) == answers <= names
    assert "display(check.foreseen" not in "".join(cell.source for cell in cells)


def test_what_is_recorded_of_a_cell_is_without_its_answer_to_a_prediction():
    stream = nbformat.v4.new_output("stream", text="GET /containers/json\n")
    answer = nbformat.v4.new_output(
        "execute_result", {"text/plain": "… Nobody said. It was False."}
    )
    table = nbformat.v4.new_output("display_data", {"text/plain": "  Names\n0 [/kafka]"})
    cell = nbformat.v4.new_code_cell("", outputs=[stream, table, answer])
    assert record_lesson_12.shown(cell) == "GET /containers/json\n  Names\n0 [/kafka]"

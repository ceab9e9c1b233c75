"""`lab run FILE` runs that file, wherever it is, and never the lesson whose name it bears."""

import contextlib
import socket

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_cli import lab, lesson

from lab_env.course import kernel_client, lessons, runner
from lab_env.ground.errors import BadInputError
from lab_env.messages import say


def notebook(path, *sources):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(one) for one in sources]), path)
    return path


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Return a folder with two lessons, and another to stand in."""
    for name in ("01_good.ipynb", "02_point_to_point.ipynb"):
        notebook(tmp_path / "notebooks" / name, "1")
    monkeypatch.setattr(lessons, "folder", lambda: tmp_path / "notebooks")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.usefixtures("programs")
def test_the_students_file_runs_and_not_the_lesson_of_the_same_name(tmp_path):
    (tmp_path / "notebooks").mkdir()
    lesson(tmp_path)
    notebook(tmp_path / "ana" / "01_good.ipynb", "'this is ' + 'her own'", "open('beside', 'w')")
    code, out, err = lab(tmp_path, "run", str(tmp_path / "ana" / "01_good.ipynb"))
    assert code == 0, out + err
    page = (tmp_path / "01_good.html").read_text(encoding="utf-8")
    assert "this is her own" in page
    assert "verdict" not in page
    assert (tmp_path / "ana" / "beside").exists()  # it runs where it lies


@pytest.mark.usefixtures("programs")
def test_an_error_in_the_students_file_that_is_not_meant_exits_with_1(tmp_path):
    (tmp_path / "notebooks").mkdir()
    lesson(tmp_path)
    path = notebook(tmp_path / "ana" / "anything.ipynb", "{}['gate']")
    code, out, _ = lab(tmp_path, "run", str(path), "--output", str(tmp_path / "ana"))
    assert code == 1
    assert "KeyError: 'gate'" in out
    assert (tmp_path / "ana" / "anything.html").exists()  # her folder is not the lessons'


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("1", "notebooks/01_good.ipynb"),
        ("01_good", "notebooks/01_good.ipynb"),
        ("01_good.ipynb", "notebooks/01_good.ipynb"),
        ("point_to_point", "notebooks/02_point_to_point.ipynb"),
        ("02_point_to_point.ipynb", "here/02_point_to_point.ipynb"),
        ("../ana/01_good.ipynb", "ana/01_good.ipynb"),
        ("./mine.ipynb", "here/mine.ipynb"),
    ],
)
def test_a_file_that_is_there_is_itself_and_any_other_name_is_a_lesson(course, wanted, found):
    for name in ("here/02_point_to_point.ipynb", "ana/01_good.ipynb", "here/mine.ipynb"):
        notebook(course / name, "1")
    (course / "here" / "1").mkdir()  # a name without a notebook's ending is a lesson's
    (course / "here" / "01_good").touch()
    assert lessons.locate(wanted) == course / found


@pytest.mark.parametrize("wanted", ["../ana/01_good.ipynb", "./01_good.ipynb", "../ana"])
def test_a_file_that_is_not_there_is_never_the_lesson_of_that_name(course, wanted):
    with pytest.raises(BadInputError, match="There is no notebook"):
        lessons.locate(wanted)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cells": [1]}'])
def test_a_file_that_is_no_notebook_is_a_sentence(course, text):
    from lab_env.course import runner

    (course / "here" / "odd.ipynb").write_text(text)
    with pytest.raises(BadInputError, match="cannot be read as a notebook"):
        runner.run(course / "here" / "odd.ipynb")


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("times", [kernel_client.STARTS - 1, kernel_client.STARTS])
def test_a_port_that_was_taken_before_the_kernel_had_it_is_another_start(
    tmp_path, monkeypatch, times
):
    made = kernel_client.PatientClient.create_kernel_manager
    starts = []
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:

        def late(client):
            manager = made(client)
            if len(starts) < times:
                manager.cache_ports = False  # the ports that it was given, and no others
                manager.shell_port = taken.getsockname()[1]
            starts.append(manager)
            return manager

        monkeypatch.setattr(kernel_client.PatientClient, "create_kernel_manager", late)
        path = notebook(tmp_path / "any.ipynb", "1 + 1")
        ran, failures = runner.run(path)
    if times < kernel_client.STARTS:
        assert not failures
        assert ran.cells[0].outputs[0].data["text/plain"] == "2"
    else:
        assert [failure.why for failure in failures] == [say("runner.dead")]
    assert len(starts) == kernel_client.STARTS
    own = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert not [words for words in own if "ipykernel_launcher" in words]

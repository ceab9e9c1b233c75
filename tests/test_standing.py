"""The index beside the lessons shows what a student has foreseen and passed, and starts nothing."""

import json
import shutil

import browser
import nbformat
import pytest
from lesson import NOTEBOOKS
from playwright.sync_api import expect, sync_playwright

from lab_env.checks import progress
from lab_env.course import lessons, standing

INDEX = NOTEBOOKS / "index.ipynb"
KEPT = {
    "03": {
        progress.PREDICTIONS: {"three": True, "slow": False, "late": None},
        progress.STEPS: {"schema": True},
        progress.EXERCISES: {"agrees_with_table": True},
    }
}


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """A file with what somebody has done in lesson 03."""
    file = tmp_path / "progress.json"
    file.write_text(json.dumps(KEPT), encoding="utf-8")
    monkeypatch.setenv(progress.VARIABLE, str(file))
    return file


def shown():
    """Return what the last line of the index's code cell is."""
    (code,) = (cell.source for cell in nbformat.read(INDEX, 4).cells if cell.cell_type == "code")
    *before, last = code.splitlines()
    names: dict = {}
    exec("\n".join(before), names)
    return eval(last, names)


@pytest.mark.fast
def test_the_index_shows_a_row_for_each_lesson_with_what_is_kept_of_it(kept):
    *rows, _, where = repr(shown()).splitlines()
    assert len(rows) == 1 + len(lessons.paths())
    (third,) = (row for row in rows if row.startswith("03"))
    assert " ".join(third.split()).endswith("1 of 3 1 of 3 1 of 2"), third
    (fourth,) = (row for row in rows if row.startswith("04"))
    assert " of " not in fourth
    assert str(kept) in where


@pytest.mark.fast
def test_the_table_links_each_lesson_and_a_spoilt_file_shows_as_nothing(kept):
    page = shown()._repr_html_()
    for path in lessons.paths():
        assert f'<a href="{path.name}">' in page
    assert "1 of 2" in page
    kept.write_text("{", encoding="utf-8")
    assert " of " not in "".join(cell for row in shown().rows for cell in row[1:])


@pytest.mark.fast
def test_the_index_starts_no_kafka_and_is_committed_as_a_lesson_is(kept):
    notebook = nbformat.read(INDEX, 4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert INDEX not in lessons.paths()
    shown()
    (code,) = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "Lab" not in code
    assert "open(" not in code


@pytest.mark.fast
def test_a_name_with_a_sign_of_html_in_it_is_shown_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "<b>" / "progress.json"))
    assert "&lt;b&gt;" in standing.Standings([])._repr_html_()


@pytest.mark.landing
def test_a_student_reads_in_the_browser_where_she_stands_and_a_click_opens_the_lesson(
    kept, own_home, chromium, tmp_path
):
    root = tmp_path / "lessons"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    with (
        browser.jupyter(root, tmp_path / "home") as jupyter,
        sync_playwright() as driver,
        browser.student(driver, tmp_path / "profile", tmp_path) as student,
    ):
        student.open(jupyter.address(INDEX.name))
        student.choose(1)
        student.start(1)
        student.finish()
        row = student.output(1).locator("tr", has_text="03 publish")
        expect(row).to_contain_text("1 of 2")
        row.locator("a").click()
        title = lessons.read(next(root.glob("03_*.ipynb"))).title
        expect(student.page.locator(".jp-Notebook h1", has_text=title[:30]).first).to_be_visible()
        jupyter.end_kernels()

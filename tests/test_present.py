"""`lab present`: what it says, and a lesson walked through as slides in a real browser."""

import shutil

import browser
import pytest
from click.testing import CliRunner
from lesson import NOTEBOOKS
from playwright.sync_api import sync_playwright
from slides import Look, Presenter

from lab_env.course import cli, lessons, presenting
from lab_env.figures.engine import size
from lab_env.ground.errors import BadInputError

# two at each landing, all in the night
PRESENTED = [
    pytest.param(
        path.name[:2],
        marks=pytest.mark.landing if path.name[:2] in ("03", "05") else pytest.mark.nightly,
    )
    for path in lessons.paths()
]
SIZES = ({"width": 1280, "height": 720}, {"width": 1920, "height": 1080})
ROUNDING = 0.005  # of the screen's height
SCROLLED = 0.6  # of a screen: a slide that goes on below is read with one press of the Down key
LONG_TEXT = 1.6  # the same, where one cell alone is on the slide


# -- what the command says ----------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Run the command in a folder with one lesson; returns what was said, and to JupyterLab."""
    place = tmp_path / "notebooks"
    place.mkdir()
    shutil.copy(NOTEBOOKS / "00_start_here.ipynb", place)
    started: list[list[str]] = []
    monkeypatch.setattr(lessons, "folder", lambda: place)
    monkeypatch.setattr(cli, "_prepare", lambda: None)
    monkeypatch.setattr(cli, "_open_jupyter", started.append)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv(size.VARIABLE, "")  # so that it is as before, after the test
    monkeypatch.delenv(size.VARIABLE)

    def run(*words: str):
        result = CliRunner().invoke(cli.lab, ["present", *words])
        return result, started

    run.place = place
    return run


def test_the_notes_are_shown_in_the_terminal_and_the_lesson_is_opened(opened):
    notes = opened.place / "for_instructors" / "00_start_here.md"
    notes.parent.mkdir()
    notes.write_text("# Say this\n\n- first **slowly**\n", encoding="utf-8")
    result, ((*arguments,),) = opened("0", "--no-browser", "--port", "9999")
    assert result.exit_code == 0, result.output
    assert "Say this" in result.output
    assert "slowly" in result.output
    assert "**" not in result.output
    assert str(notes) in result.output
    assert "Alt+R" in result.output
    assert "--LabApp.default_url=/doc/tree/00_start_here.ipynb" in arguments
    assert {"--ServerApp.port=9999", "--ServerApp.open_browser=False"} <= set(arguments)


def test_without_notes_it_says_where_they_would_be(opened):
    result, started = opened("start")
    assert result.exit_code == 0
    assert f"no notes for instructors on {'00_start_here'} yet" in result.output
    assert str(presenting.notes(opened.place / "00_start_here.ipynb")) in result.output
    assert len(started) == 1


def test_an_unknown_lesson_is_refused_with_the_known_ones(opened):
    result, started = opened("55")
    assert isinstance(result.exception, BadInputError)
    assert "00_start_here" in str(result.exception)
    assert started == []


@pytest.mark.parametrize("word", ["huge", "0", "9", "nan", "-1"])
def test_a_scale_that_is_none_is_refused(opened, monkeypatch, word):
    monkeypatch.setenv(size.VARIABLE, word)
    result, started = opened("0")
    assert isinstance(result.exception, BadInputError)
    assert word in str(result.exception)
    assert started == []


def test_pictures_are_larger_when_presented_and_the_presenter_may_choose(monkeypatch):
    monkeypatch.setenv(size.VARIABLE, "")
    monkeypatch.delenv(size.VARIABLE)
    assert size.scale() == 1.0
    presenting.enlarge()
    assert size.scale() == 1.5
    monkeypatch.setenv(size.VARIABLE, "2")
    presenting.enlarge()
    assert size.scale() == 2.0


# -- the slides ---------------------------------------------------------------------------------


def faults(look: Look) -> list[str]:
    """Return what is wrong with a slide, in words."""
    found = [f"cannot be read from the back: {text}" for text in look.small]
    if look.wide:
        found.append(f"{look.wide} px stick out at the side")
    most = LONG_TEXT if len(look.cells) == 1 else SCROLLED
    if look.over > most:
        found.append(f"{look.over:.0%} of a screen below the screen, {most:.0%} is the most")
    for place, cell in enumerate(look.cells):
        if cell["pictureTop"] is None:
            continue
        if cell["pictureEnd"] - cell["top"] > 1 + ROUNDING:
            found.append(f"code and picture do not fit one screen: {cell['says']}")
        feeding = next((later for later in look.cells[place + 1 :] if later["code"]), None)
        if feeding and feeding["inputEnd"] - cell["pictureTop"] > 1 + ROUNDING:
            found.append(f"the picture is out of sight while one feeds it: {feeding['says']}")
    return [f"{fault}\n  {look}" for fault in found]


@pytest.mark.timeout(480)
@pytest.mark.parametrize("number", PRESENTED)
def test_a_lesson_is_presented(number, own_home, chromium, tmp_path):
    """Every cell runs on its slide with Shift+Enter, at 1280x720; then all is seen at 1920x1080."""
    root = tmp_path / "lessons"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    wrong: list[str] = []
    with (
        browser.jupyter(root, tmp_path / "home", present=number) as jupyter,
        sync_playwright() as driver,
        browser.student(driver, tmp_path / "profile", tmp_path, SIZES[0]) as student,
    ):
        student.open(jupyter.url)
        presenter = Presenter(student)
        presenter.start()
        seen: list[Look] = []
        try:
            slides = presenter.walk(seen.append)
        finally:  # what was seen is told, also when the walk comes to no end
            wrong += [f"{SIZES[0]}: {fault}" for look in seen for fault in faults(look)]
            print(*dict.fromkeys(wrong), sep="\n\n")
        pictures = [cell for look in seen for cell in look.cells if cell["pictureTop"] is not None]

        student.page.set_viewport_size(SIZES[1])
        student.page.wait_for_timeout(500)
        presenter.back_to_the_first()
        again: list[Look] = []
        assert presenter.walk(again.append, run=False) == slides
        wrong += [f"{SIZES[1]}: {fault}" for look in again for fault in faults(look)]
        jupyter.end_kernels()
    assert not wrong, "\n\n".join(dict.fromkeys(wrong))
    # a picture that is on the page with a cell after it moves while that cell runs; the account's
    # (lesson 14) is drawn once for each change, and no cell of a slide makes three
    least = 1 if number == "14" else 3
    assert not pictures or max(presenter.moved.values()) >= least, presenter.moved


@pytest.mark.landing
def test_slides_begin_however_early_they_are_asked_for(own_home, chromium, tmp_path):
    """A page that has just come has not drawn every cell, and must not hang for that."""
    root = tmp_path / "lessons"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    with (
        browser.jupyter(root, tmp_path / "home", present="02") as jupyter,
        sync_playwright() as driver,
        browser.student(driver, tmp_path / "profile", tmp_path, SIZES[0]) as student,
    ):
        student.page.goto(jupyter.url)
        student.page.locator(".jp-Notebook h1").first.wait_for()
        presenter = Presenter(student)
        presenter.start()
        assert presenter.at == 0
        assert student.page.evaluate("1 + 1") == 2
        student.press("Escape")  # in a window; in full screen the browser itself takes this key
        jupyter.end_kernels()

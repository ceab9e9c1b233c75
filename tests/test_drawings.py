"""The still drawings: as their code makes them, readable, in words too, and each in a lesson."""

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import notebook_rules
import pytest

from lab_env import messages
from lab_env.course import lessons, runner
from lab_env.drawings import gallery, request_reply
from lab_env.drawings.sheet import ROOM, WIDTH, Sheet, Stroke, TextLine
from lab_env.messages import say

LESSONS = lessons.paths(gallery.FOLDER.parent)
HIGHEST = 380  # fits beside its text in a JupyterLab window of 1280x800
LEAST = 14  # px of text, when the drawing is 860 px wide
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def in_english(monkeypatch):
    monkeypatch.delenv("KAFKA_LAB_LANG", raising=False)


def shown() -> list[tuple[Path, str, str]]:
    """Return each place of a drawing: the lesson, the text alternative there, and its name."""
    found = []
    for path in LESSONS:
        for cell in lessons.load(path)["cells"]:
            if cell["cell_type"] == "markdown":
                for alt, place in notebook_rules.PICTURE.findall(cell["source"]):
                    if place.startswith("drawings/"):
                        found.append((path, alt, Path(place).stem))
    return found


# -- whether it can be read ---------------------------------------------------------------------


def faults(sheet: Sheet) -> list[str]:
    """Return what a reader of a drawing would trip over."""
    found = []
    if sheet.height > HIGHEST:
        found.append(f"{sheet.height} px high, {HIGHEST} is the most")
    for one in sheet.words:
        if one.size < LEAST:
            found.append(f"small: {one.text}")
        if one.width * ROOM > one.room:
            found.append(f"no room in another font: {one.text}")
        left, top, right, low = edges(one)
        if left < 4 or right > WIDTH - 4 or top < 4 or low > sheet.height - 4:
            found.append(f"sticks out: {one.text}")
        found += [f"struck through: {one.text}" for line in sheet.strokes if strikes(line, one)]
    for one, other in itertools.combinations(sheet.words, 2):
        left, top, right, low = edges(one)
        a, b, c, d = edges(other)
        if left < c and a < right and top < d and b < low:
            found.append(f"on each other: {one.text}, {other.text}")
    return found


def edges(one: TextLine) -> tuple[float, float, float, float]:
    """Return left, top, right and low of a line of text."""
    return one.x, one.y - 0.73 * one.size, one.x + one.width, one.y + 0.2 * one.size


def strikes(line: Stroke, one: TextLine) -> bool:
    """Return whether a line runs through a text: a point of it is in the text's box."""
    left, top, right, low = edges(one)
    steps = int(max(abs(line.x2 - line.x1), abs(line.y2 - line.y1))) + 1
    for step in range(steps + 1):
        x = line.x1 + (line.x2 - line.x1) * step / steps
        y = line.y1 + (line.y2 - line.y1) * step / steps
        if left < x < right and top < y < low:
            return True
    return False


@pytest.mark.parametrize("name", gallery.DRAWINGS)
def test_the_words_of_a_drawing_are_large_fit_and_do_not_cover_each_other(name):
    assert faults(gallery.drawn(name)) == []


def draw_wide(sheet):
    sheet.box(100, 100, 80, 40, "committed offset")


def draw_small(sheet):
    sheet.text(100, 100, "committed offset", size=13)


def draw_out(sheet):
    sheet.text(840, 100, "offset", room=100)


def draw_struck(sheet):
    sheet.text(100, 100, "offset")
    sheet.arrow((90, 95), (300, 95))


def draw_covered(sheet):
    sheet.text(100, 100, "committed")
    sheet.text(130, 108, "offset")


@pytest.mark.parametrize(
    ("draw", "fault"),
    [
        (draw_wide, "no room in another font: committed offset"),
        (draw_small, "small: committed offset"),
        (draw_out, "sticks out: offset"),
        (draw_struck, "struck through: offset"),
        (draw_covered, "on each other: committed, offset"),
    ],
)
def test_a_drawing_that_cannot_be_read_is_noticed(draw, fault):
    sheet = Sheet("bad", 200, "Bad", "A bad drawing.")
    assert faults(sheet) == []
    draw(sheet)
    assert fault in faults(sheet)


def test_a_drawing_that_is_too_high_is_noticed():
    assert faults(Sheet("bad", HIGHEST + 1, "Bad", "A bad drawing."))


# -- the files ----------------------------------------------------------------------------------


def test_the_drawings_beside_the_lessons_are_what_their_code_makes():
    stale = [file.name for file in gallery.outdated()]
    assert not stale, f"python -m lab_env.drawings brings these up to date: {stale}"
    left_over = {file.stem for file in gallery.FOLDER.iterdir()} - set(gallery.DRAWINGS)
    assert not left_over, "nobody makes these any more"


def test_a_drawing_is_the_same_in_every_process(tmp_path):
    code = f"""
from pathlib import Path
from lab_env.drawings import gallery
for file, text in gallery.outdated(Path({str(tmp_path)!r})).items():
    file.write_text(text, encoding="utf-8", newline="\\n")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    made = {file.stem: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert made == {name: gallery.drawn(name).svg() for name in gallery.DRAWINGS}


def test_a_drawing_that_was_changed_by_hand_is_noticed(tmp_path):
    for file, text in gallery.outdated(tmp_path).items():
        file.write_text(text, encoding="utf-8")
    assert gallery.outdated(tmp_path) == {}
    (tmp_path / "offsets.svg").write_text("<svg/>", encoding="utf-8")
    assert list(gallery.outdated(tmp_path)) == [tmp_path / "offsets.svg"]


@pytest.mark.parametrize("name", gallery.DRAWINGS)
def test_a_drawing_says_in_words_what_it_shows_and_loads_nothing(name):
    text = (gallery.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    svg = ElementTree.fromstring(text)
    assert svg.get("role") == "img"
    title, told = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert svg.get("aria-labelledby").split() == [title.get("id"), told.get("id")]
    assert title.text == say(f"drawings.{name}_title")
    assert told.text == say(f"drawings.{name}_alt")
    assert told.text.startswith("Drawing")
    assert told.text.endswith(".")
    assert len(told.text) > 150, "enough words to know what is on it"
    assert int(svg.get("width")) == WIDTH
    assert "href" not in text
    assert "url(" not in text
    ground = svg.find(f"{SVG}rect")  # white below everything: read on a dark page, too
    assert (ground.get("width"), ground.get("height")) == (svg.get("width"), svg.get("height"))
    assert ground.get("fill") == "#ffffff"


def test_a_drawing_speaks_the_language_in_use(tmp_path, monkeypatch):
    (tmp_path / "en").symlink_to(messages.FOLDER / "en")
    (tmp_path / "es").mkdir()
    words = 'leader = "líder"\nreplication_title = "Líder y seguidores"\n'
    (tmp_path / "es" / "drawings.toml").write_text(words, "utf-8")
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    monkeypatch.setenv("KAFKA_LAB_LANG", "es")
    messages.catalogue.cache_clear()
    try:
        text = gallery.drawn("replication").svg()
    finally:
        messages.catalogue.cache_clear()
    assert "Líder y seguidores</title>" in text
    assert ">líder</text>" in text
    assert ">leader</text>" not in text


# -- in the lessons -----------------------------------------------------------------------------


def test_each_drawing_is_in_a_lesson_with_its_text_alternative():
    places = shown()
    assert {name for *_, name in places} == set(gallery.DRAWINGS)
    for path, alt, name in places:
        assert alt == say(f"drawings.{name}_alt"), f"{path.name}: the words of {name} are others"


def test_a_drawing_is_the_last_on_its_slide():
    """It is as wide as the screen: what came below it would be below the screen."""
    for path in LESSONS:
        for cell, below in itertools.pairwise(lessons.load(path)["cells"]):
            if "](drawings/" in cell["source"]:
                kind = below["metadata"]["slideshow"]["slide_type"]
                assert kind in ("slide", "subslide"), f"{path.name}: {below['id']} is below it"


def test_the_topics_and_addresses_of_a_drawing_are_those_of_its_lesson():
    for path, _, name in shown():
        source = "".join(cell["source"] for cell in lessons.load(path)["cells"])
        for one in gallery.drawn(name).words[1:]:
            for word in re.findall(r"[a-z0-9]+[.][a-z][a-z0-9-]+|\S+:\d{4,}", one.text):
                # billing.retry-1s is made by an f-string
                known = word in source or re.sub(r"\d+s$", "{seconds}s", word) in source
                assert known, f"{path.name} does not know {word} of {name}"


def test_the_gates_of_a_drawing_are_those_that_the_desk_of_lesson_01_gives():
    for flight, gate, _ in request_reply.ASKED.values():
        assert gate == f"B{int(flight[2:]) % 30 + 1}"


def test_the_page_of_a_lesson_carries_its_drawings():
    path, alt, name = shown()[0]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [one for one in notebook.cells if f"drawings/{name}.svg" in one.source]
    page = runner.page(notebook, path)
    assert f'src="drawings/{name}.svg"' not in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert f'alt="{alt}"' in page

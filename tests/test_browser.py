"""JupyterLab in a real browser, as a student uses it: run, watch, interrupt, restart, save."""

import base64
import hashlib
import json
import os
import re
import shutil

import browser
import in_sight
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import javas, wait_until
from lesson import NOTEBOOKS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import expect, sync_playwright

from lab_env.course.lessons import exercises, load, paths

START = "00_start_here.ipynb"
OWN = "own.ipynb"

# Pictures that go on while no cell runs need somebody who sends: a service, which is a process.
OWN_CELLS = {
    "title": "# Pictures",
    "lab": """
from contextlib import closing
from kafka import KafkaConsumer, KafkaProducer
from lab_env import Lab

lab = Lab()
topic = lab.topic("flights")
""",
    "throughput": 'throughput = lab.show.throughput(topic, "readers")',
    "lag": 'lag = lab.show.lag(topic, "readers")',
    "send": """
def send(service, topic):
    with closing(KafkaProducer(**lab.connection)) as producer:
        while service.running:
            producer.send(topic, b"a flight").get(timeout=5)
            service.wait(0.02)


sender = lab.service(send, topic)
""",
    "consumer": """
consumer = KafkaConsumer(topic, group_id="readers", auto_offset_reset="earliest", **lab.connection)
""",
    "read": """
read = 0
while True:
    for records in consumer.poll(timeout_ms=1000).values():
        read += len(records)
""",
    "after": """
more = sum(map(len, consumer.poll(timeout_ms=5000).values()))
print("still here:", lab.nodes, more > 0)
""",
    "close": """
consumer.close()
lab.close()
""",
    "hashes": """
import hashlib
print(*(hashlib.sha256(picture.png).hexdigest() for picture in (throughput, lag)))
""",
}
AT = {name: index for index, name in enumerate(OWN_CELLS)}


@pytest.fixture(scope="module")
def jupyter(own_home, chromium, tmp_path_factory):
    """A JupyterLab over a copy of the lessons, for a student whose folder has a telling name."""
    root = tmp_path_factory.mktemp("students") / "Jörg's Übungen"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    cells = [
        (new_markdown_cell if name == "title" else new_code_cell)(source.strip())
        for name, source in OWN_CELLS.items()
    ]
    metadata = load(root / START)["metadata"]  # names the kernel: JupyterLab would ask for it
    nbformat.write(new_notebook(cells=cells, metadata=metadata), root / OWN)
    with browser.jupyter(root, tmp_path_factory.mktemp("first time")) as one:
        one.root = root
        yield one
    if os.name != "nt":  # there a process cannot be asked to end, only be ended
        assert one.process.returncode == 0, "".join(one.lines[-20:])


@pytest.fixture(scope="module")
def driver():
    with sync_playwright() as one:
        yield one


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return tmp_path_factory.mktemp("profile")


@pytest.fixture
def student(jupyter, driver, profile, tmp_path):
    """Open a browser with ``with student() as one``; the kernels end with the test."""
    yield lambda: browser.student(driver, profile, tmp_path)
    jupyter.end_kernels()


def serious(page, *ours: str) -> list[str]:
    """Return what axe-core finds in parts of a page that keeps somebody out, in words."""
    found = Axe().run(page, context={"include": [[one] for one in ours]}).response
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_the_course_opens_at_lesson_00_and_asks_nothing(jupyter, student):
    title = load(jupyter.root / START)["cells"][0]["source"].split("\n")[0].removeprefix("# ")
    with student() as one:
        one.open(jupyter.url)
        expect(one.cell(0).locator("h1")).to_contain_text(title)
        files = one.page.locator(".jp-DirListing-item .jp-DirListing-itemText")
        assert {path.name for path in paths(jupyter.root)} <= set(files.all_inner_texts())
        assert one.page.locator(".jp-Dialog").count() == 0
        assert one.page.locator(".jp-Notebook").evaluate("n => n.scrollWidth <= n.clientWidth")
        one.page.wait_for_timeout(2000)  # a question would come when the page has settled
        assert one.page.locator(".Toastify__toast").all_inner_texts() == []


def test_lesson_00_as_a_student_runs_it(jupyter, student):
    notebook = load(jupyter.root / START)
    code = {c["id"]: i for i, c in enumerate(notebook["cells"]) if c["cell_type"] == "code"}
    exercise = exercises(notebook)[0]
    with student() as one:
        one.open(jupyter.address(START))

        # the stub, and then the right answer
        one.run(0, exercise.check)
        assert "Not yet" in one.text(exercise.check)
        one.write(exercise.cell, exercise.solution)
        one.run(exercise.cell, exercise.check)
        assert "Done" in one.text(exercise.check)
        assert "Not yet" not in one.text(exercise.check)

        # the picture moves while the cell that feeds it runs
        one.run(exercise.check + 1, code["replay"] - 1)
        image = one.image(code["picture"])
        expect(image).to_be_visible()
        one.watch_picture(code["picture"])
        one.start(code["replay"])
        one.wait_for_frames(5)
        busy = one.cell(code["replay"]).locator(".jp-InputPrompt").first.inner_text()
        assert busy == "[*]:", "the frames must come while the cell runs"
        # and the student, who is sent on to the next cell, sees them
        seen = one.cell(code["replay"]).evaluate(in_sight.SEEN)
        assert [picture["share"] >= in_sight.LEAST for picture in seen["pictures"]] == [True]
        one.finish()
        assert image.count() == 1
        assert one.image(code["replay"]).count() == 0
        # who cannot see it hears what it shows, once
        sentence = one.output(code["picture"]).locator(".kafka-lab-picture")
        expect(sentence).to_have_attribute("aria-hidden", "true")
        expect(image).to_have_attribute("alt", re.compile("flights.departed"))
        assert serious(one.page, ".jp-OutputArea-output", ".jp-MarkdownOutput") == []


def test_a_picture_goes_on_while_nothing_runs_and_after_an_interrupt(jupyter, student):
    with student() as one:
        one.open(jupyter.address(OWN))
        one.run(0, AT["consumer"])
        one.watch_picture(AT["throughput"])
        one.wait_for_frames(5)  # no cell runs: the service sends, the thread draws

        one.start(AT["read"])
        one.wait_for_frames(5)
        assert one.cell(AT["read"]).locator(".jp-InputPrompt").first.inner_text() == "[*]:"
        one.press("Escape", "i", "i")
        one.finish()
        assert "KeyboardInterrupt" in one.text(AT["read"])

        one.run(AT["after"])
        assert one.text(AT["after"]).strip() == "still here: {1: 'running'} True"
        one.wait_for_frames(5)


@pytest.mark.landing
def test_the_saved_notebook_holds_the_last_frame_once(jupyter, student):
    with student() as one:
        one.open(jupyter.address(OWN))
        one.run(0, AT["consumer"])
        one.choose(AT["after"])
        one.run(AT["after"], AT["hashes"])
        told = one.text(AT["hashes"]).split()
        one.save()
    cells = json.loads((jupyter.root / OWN).read_text(encoding="utf-8"))["cells"]
    pictures = {
        index: [output for output in cell["outputs"] if "image/png" in output.get("data", ())]
        for index, cell in enumerate(cells)
        if "image/png" in json.dumps(cell.get("outputs", ()))
    }
    assert sorted(pictures) == [AT["throughput"], AT["lag"]]
    for name, expected in zip(("throughput", "lag"), told, strict=True):
        (output,) = pictures[AT[name]]
        png = base64.b64decode(output["data"]["image/png"])
        assert hashlib.sha256(png).hexdigest() == expected, f"not the last frame: {name}"
        # JupyterLab gives its images no alt text: the sentence stands beside the image
        assert "flights" in "".join(output["data"]["text/plain"])
        spoken = cells[AT[name]]["outputs"][0]["data"]
        assert "text/html" in spoken
        assert spoken["text/plain"] == output["data"]["text/plain"]
    assert javas() == set()


@pytest.mark.landing
def test_after_a_reload_a_picture_says_that_it_has_stopped_and_its_cell_brings_it_back(
    jupyter, student
):
    with student() as one:
        one.open(jupyter.address(OWN))
        one.run(0, AT["lag"])
        one.page.wait_for_timeout(4000)  # longer than the page waits between two signs of life
        still = one.page.locator(".kafka-lab-still")
        assert still.count() == 0
        one.save()
        one.page.reload()
        expect(still).to_have_count(2, timeout=60_000)
        told = still.first.evaluate("n => getComputedStyle(n, '::after').content")
        assert "run this cell again" in told
        one.choose(AT["throughput"])
        one.run(AT["throughput"])
        expect(still).to_have_count(1)  # the other cell has not been run again
        one.watch_picture(AT["throughput"])
        one.wait_for_frames(3)


@pytest.mark.landing
def test_after_a_restart_a_skipped_cell_is_named(jupyter, student):
    with student() as one:
        one.open(jupyter.address(OWN))
        one.choose(AT["throughput"])
        one.run(AT["throughput"])
        told = one.text(AT["throughput"])
        assert "Run All Above Selected Cell" in told
        assert "from contextlib import closing" in told
        assert "Traceback" not in told


@pytest.mark.landing
def test_restarting_the_kernel_and_ending_jupyterlab_both_end_kafka(jupyter, student):
    """The last test of this file, since it ends the JupyterLab that the others use."""
    before = javas()
    with student() as one:
        one.open(jupyter.address(OWN))
        one.run(0, AT["send"])
        first = javas() - before
        assert len(first) == 1

        one.press("Escape", "0", "0")
        one.page.locator(".jp-Dialog button.jp-mod-accept").click()
        wait_until(lambda: not first & javas(), seconds=5)

        one.choose(AT["lab"])
        one.run(AT["lab"], AT["send"])
        assert len(javas() - before) == 1
        expect(one.image(AT["throughput"])).to_have_count(1)
        one.watch_picture(AT["throughput"])
        one.wait_for_frames(3)
    jupyter.end()
    wait_until(lambda: not javas() - before, seconds=5)

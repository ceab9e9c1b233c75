"""A class at two screens, on the cluster with TLS, passwords and rights: a student, the projector.

What each of them looked like is left beside the test: student.png, projector.png, revealed.png.
"""

import contextlib

import browser
import nbformat
import pytest
from click.testing import CliRunner
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaProducer
from lesson import NOTEBOOKS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import sync_playwright
from test_classroom import prediction
from test_classroom_live import TEACHER, WORD, class_cluster

from lab_env.classroom import membership, records, sending
from lab_env.course import cli, lessons
from lab_env.processes import folders

pytestmark = pytest.mark.landing
LESSON = {
    "title": "# Three trucks",
    "start": "print('the lab is here')",
    "prediction-three": "prediction = 60  # how many?",
    "three-trucks": "from lab_env import check\n\ncheck.foreseen('02 three', prediction, 20)",
}
ROOM = {
    "title": "# The class",
    "class": f"from lab_env.classroom import show\n\nroom = show({WORD!r})",
    "reveal": "room.reveal()",
}
AT = {name: index for index, name in enumerate([*LESSON])}
NAMES = ("Ben", "Cem", "Dora", "Eli", "Gül", "Hanna", "Ines", "Jo", "Kim")
HINTS = ("point_to_point.drain_early", "point_to_point.drain_partition")


@pytest.fixture
def cluster(own_home, tmp_path):
    (tmp_path / "certificates").mkdir()
    with class_cluster(tmp_path / "certificates") as one:
        yield one


def notebook(folder, name: str, cells: dict[str, str]):
    """Write a notebook, whose kernel is the lessons' own, and return its folder."""
    folder.mkdir()
    made = [
        new_markdown_cell(source, id=one) if one == "title" else new_code_cell(source, id=one)
        for one, source in cells.items()
    ]
    metadata = lessons.load(NOTEBOOKS / "00_start_here.ipynb")["metadata"]
    nbformat.write(new_notebook(cells=made, metadata=metadata), folder / name)
    return folder


def others(cluster) -> None:
    """Let nine more be there, as whoever runs the cluster can write it."""
    with (
        contextlib.closing(KafkaAdminClient(**cluster.own)) as admin,
        contextlib.closing(KafkaProducer(**cluster.own)) as producer,
    ):
        for number, name in enumerate(NAMES):
            topic = records.student_topic(f"student-{number}", WORD)
            membership.make(admin, topic, 1)
            cell = ("three-trucks", "prediction-three", "exercise-drained")[number % 3]
            said = ("60", "20", "30")[number % 3]
            told = {
                "name": {"name": name},
                "at": {"lesson": "02", "cell": cell},
                "prediction 02 three": prediction(said, "60" if number < 6 else said),
                "hand": {"up": number == 4},
            }
            if number % 3 == 2:
                why = HINTS[number == 8]
                told["exercise 02 drained"] = {"passed": False, "tries": 2, "why": why}
            for key, value in told.items():
                producer.send(topic, records.written(value), key=key.encode())


def says(page, *wanted: str) -> None:
    """Wait until what a picture says to those who hear the page has all of these words."""

    def heard() -> bool:
        found = " ".join(page.locator(".kafka-lab-picture").all_text_contents())
        return all(one in found for one in wanted)

    wait_until(heard, 60)


def be(patch, cluster, user: str, home) -> None:
    """Give this process, and all that it starts from now on, a user's variables."""
    sending.close()
    for name, value in cluster.variables(user).items():
        patch.setenv(name, value)
    patch.setenv(folders.HOME_VARIABLE, str(home))


def test_a_student_and_the_projector_see_one_class(
    own_home,
    cluster,
    chromium,
    tmp_path,
    monkeypatch,
):
    homes = {user: tmp_path / f"home-{user}" for user in ("ana", TEACHER)}
    for home in homes.values():
        home.mkdir()
        (home / "kafka").symlink_to(own_home / "kafka")  # what `lab` would fetch
    lesson = notebook(tmp_path / "lesson", "02_point_to_point.ipynb", LESSON)
    room = notebook(tmp_path / "room", "class.ipynb", ROOM)
    with contextlib.ExitStack() as stack:

        def screen(user: str, folder, name: str):
            be(monkeypatch, cluster, user, homes[user])
            (tmp_path / f"first-{user}").mkdir()
            jupyter = stack.enter_context(browser.jupyter(folder, tmp_path / f"first-{user}"))
            one = stack.enter_context(browser.student(driver, tmp_path / f"p-{user}", tmp_path))
            one.open(jupyter.address(name))
            return one

        driver = stack.enter_context(sync_playwright())
        projector = screen(TEACHER, room, "class.ipynb")
        projector.choose(1)
        projector.run(1)
        says(projector.page, "0 joined")
        others(cluster)
        be(monkeypatch, cluster, "ana", homes["ana"])
        done = CliRunner().invoke(cli.lab, ["join", WORD, "--name", "Ana"])
        assert done.exit_code == 0, done.output
        student = screen("ana", lesson, "02_point_to_point.ipynb")
        student.choose(1)
        student.run(1)
        assert "tells the class kilo-27, as Ana" in student.text(1)
        student.run(2)
        says(projector.page, "10 joined", "Hand up: Gül", "4 at 02 prediction-three")
        says(projector.page, "4 say 60 (8 at first)")
        student.run(3)
        projector.page.screenshot(path=tmp_path / "projector.png")
        student.page.screenshot(path=tmp_path / "student.png")
        says(projector.page, "4 at 02 three-trucks")
        assert "It was" not in projector.page.content()
        projector.run(2)
        says(projector.page, "It was: 20")
        projector.page.screenshot(path=tmp_path / "revealed.png")

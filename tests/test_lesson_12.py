"""Lesson 12: what its prose claims is true, with an engine and without one; its checks tell why."""

import ast
import shutil
from contextlib import ExitStack

import pytest
import record_lesson_12
from conftest import wait_until
from foreseen import asked
from lesson import lesson_to_its_end, some
from mended_files import RIGHT_FILES, WRONG_FILES, changed
from test_containers import left

from lab_env.around import recorded
from lab_env.clusters import docker_cli

NUMBER = "12"
NOWHERE = "unix:///no/such/engine.sock"
QUESTIONS = ["api", "layers", "listeners", "inside", "scale", "depends", "down", "down"]


@pytest.fixture(scope="module")
def contained(docker_engine, own_home):
    """The lesson on a machine with an engine; nothing of it may be left behind."""
    with lesson_to_its_end(NUMBER) as opened:
        name = opened.value("compose.name")
        yield opened
    wait_until(lambda: not left(name), 60)


@pytest.fixture(scope="module")
def without(own_home):
    """The lesson on a machine on which no engine answers."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # the kernel keeps what it was started with
            patch.setenv("DOCKER_HOST", NOWHERE)
            opened = stack.enter_context(lesson_to_its_end(NUMBER))
        opened.asks_each_step()
        yield opened


def broken(lesson) -> str:
    """Return code that writes the broken file of exercise 2 as it stands."""
    source = lesson.client.cells[lesson.index("broken")].source
    return f"{source}\nmended.write_text(broken);"


def needs_engine(cell) -> bool:
    """Return whether all that a cell shows needs an engine."""
    last = ast.parse(cell.source).body[-1]
    return isinstance(last, ast.If) and bool(record_lesson_12.NAMES.search(cell.source))


# -- without an engine ----------------------------------------------------------------------


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_without_an_engine_the_lesson_says_so_once_and_goes_on(without):
    assert not without.errors
    cells = [cell for cell in without.client.cells if cell.cell_type == "code"]
    told = [without.output(without.index(cell.id)) for cell in cells]
    assert sum("No Docker engine here" in one for one in told) == 1
    # what cells that need one show is marked as recorded, the others show all that they claim
    unmarked = [
        cell.id
        for cell, said in zip(cells, told, strict=True)
        if needs_engine(cell) and said and not said.startswith("Recorded")
    ]
    assert unmarked == []
    assert any(map(needs_engine, cells))
    assert without.value("came") == {"connects": True, "sends": False}
    assert without.value("airport is lab") is True
    assert without.value("shared['notebook']") in (1, 2)
    assert "It was some." in without.output(without.index("scale"))
    assert "program" in without.output(without.index("change"))
    assert len(without.told) == 1


@pytest.mark.shares_a_lab
def test_without_an_engine_each_prediction_is_answered_by_what_was_recorded(without):
    """They never met what happened, and six questions stood there without an answer."""
    without.misses_each_prediction()
    assert asked(without) == QUESTIONS
    for name in ("overhear", "rebuild", "inside", "down", "after-down", "after-volumes"):
        assert "Recorded" in without.output(without.index(name)), name


STEPS = {
    "layers": (
        "recipe.write_text('FROM python:3.13-slim\\nCOPY board.py requirements.txt ./\\n"
        "RUN pip install -r requirements.txt\\n')",
        "that layer and each one after it",
    ),
    "advertise": ('mine = listeners.Broker(advertised="127.0.0.1:9")', "seen from this machine?"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_told_what_is_missing_and_passes(without, name):
    code, hint = STEPS[name]
    without.refuses_step(name, code, hint)
    without.accepts_step(name)


@pytest.mark.shares_a_lab
def test_a_recipe_that_could_not_be_built_is_no_answer(without):
    code = "recipe.write_text('FROM x\\nRUN pip install -r requirements.txt\\nCOPY board.py .\\n')"
    assert "Copy it first" in without.takes_step("layers", code).text
    assert without.takes_step("layers").passed


@pytest.mark.shares_a_lab
def test_without_an_engine_exercise_1_is_neither_passed_nor_failed(without):
    answer = without.attempt(1, without.solution(1))
    assert "○" in answer.text
    assert "✓" not in answer.text
    assert "✗" not in answer.text
    assert "This one needs an engine: " in answer.text
    why = "does not answer" if shutil.which("docker") else "There is no docker command"
    assert why in answer.text


# -- exercise 2, the file: needs no engine ----------------------------------------------------


def written(pieces: dict[str, str]) -> str:
    """Return code that writes the right file with some pieces changed."""
    return f"mended.write_text({changed(pieces)!r});"


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_FILES))
def test_a_file_that_is_not_mended_is_told_what_is_wrong(without, wrong):
    pieces, hint = WRONG_FILES[wrong]
    without.refuses(2, written(pieces), hint)


@pytest.mark.shares_a_lab
def test_the_broken_file_has_five_mistakes_one_after_the_other(without):
    assert broken(without).count("\n") < 25
    hints = ["latest is a tag", "past the firewall", "does not know", "localhost is that", "`down`"]
    mends = [
        ("kafka:latest", "kafka:4.3.1"),
        ('"${KAFKA_PORT', '"127.0.0.1:${KAFKA_PORT'),
        ("HOST://kafka:9092", "HOST://127.0.0.1:${KAFKA_PORT:-9092}"),
        ("DOCKER://localhost", "DOCKER://kafka"),
    ]
    code = broken(without)
    for number, hint in enumerate(hints):
        without.refuses(2, code, hint)
        code = code.replace(*mends[number]) if number < len(mends) else code


@pytest.mark.shares_a_lab
def test_the_solution_is_accepted_without_an_engine(without):
    without.accepts_its_solution(2)
    assert "an engine would be needed" in without.output(without.exercises[1].check)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_FILES, 1))
def test_another_right_file_is_accepted(without, right):
    without.accepts(2, written(RIGHT_FILES[right]))


# -- with an engine -------------------------------------------------------------------------


@pytest.mark.shares_a_lab
@pytest.mark.timeout(600)
def test_what_the_prose_claims_happens(contained):
    lesson, value = contained, contained.value
    assert not lesson.errors
    for exercise in lesson.exercises:
        assert "✗" in lesson.output(exercise.check)
    # a client, and no more
    heard = value("heard")
    assert [one for one in heard if "/containers/json" in one]
    assert all(one.startswith(("HEAD", "GET")) for one in heard)
    # one layer of all is made anew
    assert value("len(fresh)") == 1
    # what a client is told decides, and not what it was given
    assert value("came") == {"connects": True, "sends": False}
    assert "kafka:" in lesson.output(lesson.index("told-wrong"))
    assert value("engine.found") == recorded.found(), "record it anew: tests/record_lesson_12.py"
    recorded_cells = set(record_lesson_12.named(lesson.client.cells))
    assert {id for id in recorded_cells if recorded.output(id)} in (set(), recorded_cells)
    # why: the container's own localhost, and where the listener for this machine leads
    inside = lesson.output(lesson.index("inside"))
    assert "nobody answers at 127.0.0.1:9092" in inside
    assert "kafka:9092 answers, but the way goes on" in inside


@pytest.mark.shares_a_lab
def test_containers_and_the_notebook_share_the_group(contained):
    assert contained.value("shared['notebook']") in (1, 2)
    assert "It was some." in contained.output(contained.index("scale"))
    (picture,) = contained.told
    assert "board-" in picture
    seconds = float(contained.output(contained.index("shrink")).splitlines()[-1].split()[0])
    assert seconds < 30  # against hanging only; a dead member is waited for


@pytest.mark.shares_a_lab
def test_what_survives(contained):
    kept, lost = (
        contained.output(contained.index(name)) for name in ("after-down", "after-volumes")
    )
    before, after = (line.split()[1:] for line in kept.splitlines() if " passed" in line)
    assert before == after
    assert int(before[0]) > 100
    assert "It was starting." in contained.output(contained.index("down"))
    assert "Kafka was healthy" in lost
    assert "after  0 records, 0 passed" in lost
    assert "It was down: True, down --volumes: False." in lost


@pytest.mark.shares_a_lab
def test_each_prediction_answers_a_wrong_guess_with_what_it_would_mean(contained):
    contained.misses_each_prediction()
    assert asked(contained) == QUESTIONS


# -- exercise 1 -----------------------------------------------------------------------------

SERVICE = """
plan["services"]["baggage"] = {
    "build": "./board",
    "environment": {"BOOTSTRAP": "kafka:19092", "TOPIC": topic, "GROUP": bags},
    "depends_on": {"kafka": {"condition": "service_healthy"}},
}
baggage = plan["services"]["baggage"]
CHANGE
put_to_work(plan)
"""


def service(change: str = "", end: str = "put_to_work(plan)") -> str:
    return SERVICE.replace("CHANGE", change).replace("put_to_work(plan)", end)


def told(variable: str, text: str) -> str:
    return service(f"baggage['environment']['{variable}'] = {text}")


MINE = """
plan["services"].pop("baggage", None)
put_to_work(plan)
airport.service(desk, topic, bags, name="baggage")
"""
WRONG_SERVICES = {
    "the notebook's address": (told("BOOTSTRAP", "compose.address"), "the container itself"),
    "localhost": (told("BOOTSTRAP", "'localhost:19092'"), "the container itself"),
    "0.0.0.0": (told("BOOTSTRAP", "'0.0.0.0:19092'"), "is no place"),
    "the listener of the host": (told("BOOTSTRAP", "'kafka:9092'"), "Somebody answers there"),
    "another name": (told("BOOTSTRAP", "'broker:19092'"), "it may begin there"),
    "the board's group": (told("GROUP", "group"), "the flights are shared"),
    "a typo in the topic": (told("TOPIC", "'flights.departd'"), "nobody complains"),
    "not told": (service("del baggage['environment']['GROUP']"), "sees no variable"),
    "depends, and no more": (service("baggage['depends_on'] = ['kafka']"), "service_healthy"),
    "does not depend": (service("del baggage['depends_on']"), "depends_on takes a dict"),
    "only a dict": (service(end="pass"), "only a dict in the notebook"),
    "only a file": (
        service(end="compose.file.write_text(yaml.safe_dump(plan))"), "A file starts nothing"),
    "a process of the notebook": (MINE, "only a dict in the notebook"),
    "the file is no plan": (
        service(end="compose.file.write_text('services: [kafka]')"), "with a colon"),
    "another program": (
        service("baggage['command'] = ['python', '-c', 'print(\"no board\")']"), "no board"),
}  # fmt: skip
RIGHT_SERVICES = {
    "a name of its own, which nobody asked to scale": service(
        "baggage['container_name'] = f'{compose.name}-bags'"
    ),
    "the board's image, twice": service(
        "del baggage['build']; baggage['image'] = f'{compose.name}-board'; baggage['scale'] = 2"
    ),
    "variables as a list": service(
        "told = baggage['environment']; baggage['environment'] = [f'{k}={told[k]}' for k in told]"
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_SERVICES))
def test_a_wrong_service_is_told_what_is_wrong(contained, wrong):
    if wrong.startswith(("only a", "a process")):  # what stands there of an attempt before
        contained.execute("plan['services'].pop('baggage', None); put_to_work(plan)")
    contained.refuses(1, *WRONG_SERVICES[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_the_solution_joins_and_may_be_checked_twice(contained):
    contained.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("right", some(RIGHT_SERVICES, 1))
def test_another_right_service_joins(contained, right):
    contained.accepts(1, RIGHT_SERVICES[right])


# -- exercise 2, started --------------------------------------------------------------------

WRONG_LIVES = {
    "a node that has no vote": ({"KAFKA_NODE_ID: 1": "KAFKA_NODE_ID: 2"}, "log says why"),
    "an unknown key": ({"    mem_limit": "    memory: 1g\n    mem_limit"}, "Compose"),
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_LIVES))
def test_a_file_that_does_not_live_is_told_why(contained, wrong):
    contained.execute("import lab_env.checks.docker_and_compose as _check")
    contained.execute("_check.TRIP_SECONDS = 8.0")
    pieces, hint = WRONG_LIVES[wrong]
    contained.refuses(2, written(pieces), hint)
    contained.execute("_check.TRIP_SECONDS = 40.0")


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_the_mended_file_is_started_and_gone_again(contained):
    contained.accepts(2, contained.solution(2))
    assert "sent and read back" in contained.output(contained.exercises[1].check)
    label = "label=com.docker.compose.project"
    wait_until(lambda: "mended-" not in docker_cli.asked("ps", "--all", "--filter", label), 60)


# -- what the lesson has to bear ------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_experiments_can_be_run_again(contained):
    cells = "overhear change build rebuild wrong try-wrong told-wrong inside topic"
    for cell in f"{cells} picture alone joins scale shrink picture-stop".split():
        contained.again(contained.index(cell))
    assert not contained.errors
    assert contained.value("engine.found['inside']")["kafka:19092"] is True

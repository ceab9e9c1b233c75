"""Docker for a lesson: the engine's API, and Compose projects that end with the notebook."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import yaml
from conftest import wait_until
from kafka import KafkaProducer

from lab_env import Lab
from lab_env.around import containers, listeners
from lab_env.clusters import docker_cli as command
from lab_env.ground.errors import BadInputError, BrokerError, ClosedError
from lab_env.ground.project import file
from lab_env.processes import folders

NOWHERE = "unix:///no/such/engine.sock"


@pytest.fixture
def no_engine(monkeypatch):
    """Let no engine answer, as on a machine without Docker."""
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


@pytest.fixture
def engine(docker_engine):
    """A real engine, as a lesson gets it."""
    return containers.engine()


def left(name: str) -> list[str]:
    """Return what the engine holds of a project: containers, volumes, networks, images."""
    label = f"label={command.PROJECT_LABEL}={name}"
    kinds = [(*kind, label) for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))]
    kinds.append(("image", "ls", f"reference={name}-*"))
    return [
        found for *kind, own in kinds for found in command.asked(*kind, "-q", "-f", own).split()
    ]


# -- without an engine ----------------------------------------------------------------------


def test_without_an_engine_it_is_false_and_says_why_once(no_engine):
    none = containers.engine()
    assert not none
    why = (
        "Docker's engine does not answer"
        if shutil.which("docker")
        else "There is no docker command"
    )
    assert repr(none).startswith(f"No Docker engine here: {why}")
    assert repr(none).endswith("show what they showed elsewhere; all others work.")
    for ask in (lambda: none.get("/version"), lambda: none.overhear("docker ps")):
        with pytest.raises(BrokerError, match="No Docker engine here"):
            ask()


def test_no_docker_command_is_no_engine(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "There is no docker command" in repr(containers.engine())


def test_a_project_has_its_files_without_an_engine_too(no_engine, capsys):
    with contextlib.closing(containers.project("airport")) as compose:
        plan = yaml.safe_load(compose.file.read_text(encoding="utf-8"))
        assert list(plan["services"]) == ["kafka"]
        assert (compose.folder / "board" / "board.py").is_file()
        port = compose.address.rpartition(":")[2]
        assert f"KAFKA_PORT={port}\n" in (compose.folder / ".env").read_text(encoding="utf-8")
        if shutil.which("docker"):
            assert not compose("up --detach")
            assert "docker" in capsys.readouterr().out.lower()
        else:
            with pytest.raises(BrokerError, match="There is no docker command"):
                compose("up --detach")
        folder = compose.folder
    wait_until(lambda: not folder.exists(), 20)
    with pytest.raises(ClosedError, match="is closed"):
        compose("ps")


@pytest.mark.parametrize("name", ["", "Airport", "air port", "air-port", 7, None])
def test_a_name_that_compose_would_refuse(name):
    with pytest.raises(BadInputError, match="one word of small letters"):
        containers.project(name)


# -- advertised listeners -------------------------------------------------------------------


def test_a_broker_advertises_what_it_is_told(own_home):
    with listeners.Broker(advertised="kafka") as wrong:
        assert listeners.told_by(wrong.address) == [f"kafka:{wrong.address.rpartition(':')[2]}"]
        wrong.close()
    with listeners.Broker(advertised="127.0.0.1:1") as closed:
        assert listeners.told_by(closed.address) == ["127.0.0.1:1"]


def test_who_cannot_be_asked_what_he_tells_is_told():
    with pytest.raises(BrokerError, match=r"Nobody answers at 127.0.0.1:1 within 1 s"):
        listeners.told_by("127.0.0.1:1", seconds=1)


def test_a_broker_that_advertises_what_is_right_can_be_used(own_home):
    with (
        listeners.Broker() as right,
        contextlib.closing(KafkaProducer(bootstrap_servers=right.address)) as producer,
    ):
        assert producer.send("flights.departed", b"UA1545").get(timeout=10).offset == 0


@pytest.mark.parametrize("place", ["", "a b", "kafka:port", "one,two", "http://kafka", 9092])
def test_what_is_no_address_is_refused_before_anything_starts(place):
    with pytest.raises(BadInputError, match="advertises a host"):
        listeners.Broker(advertised=place)


# -- a lab at an address --------------------------------------------------------------------


def test_a_lab_watches_a_kafka_of_your_own_and_leaves_what_it_holds(own_home):
    with listeners.Broker() as own:
        with Lab(own.address) as lab:
            topic = lab.topic("flights.departed", partitions=3)
            assert topic == "flights.departed"
            with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
                producer.send(topic, b"UA1545").get(timeout=10)
        with Lab(own.address) as lab:
            assert len(lab.records(topic)) == 1


@pytest.mark.parametrize("place", ["kafka.example:9092", "127.0.0.1:", "0.0.0.0:9092", ":9092"])
def test_a_kafka_elsewhere_is_not_taken_for_your_own(place):
    with pytest.raises(BadInputError, match="KAFKA_LAB_BOOTSTRAP"):
        Lab(place)


# -- the board, as a process of this machine --------------------------------------------------


def board(**variables: str) -> subprocess.Popen:
    """Start the program that is in the image."""
    return subprocess.Popen(
        [sys.executable, "-u", str(file("services/board/board.py"))],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_board_leaves_its_group_when_it_is_asked_to_stop(own_home):
    with Lab() as lab:
        topic = lab.topic("flights.departed", partitions=2)
        with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
            flight = {"departed": "2013-01-01T05:17", "flight": "UA1545", "destination": "IAH"}
            cancelled = flight | {"departed": None, "flight": "UA1"}
            for value in (json.dumps(flight), json.dumps(cancelled), "typed by hand"):
                producer.send(topic, value.encode(), partition=0)
        where = {"BOOTSTRAP": lab.connection["bootstrap_servers"][0], "TOPIC": topic}
        with board(**where) as running:
            said = [next(running.stdout).strip() for _ in range(4)]
            assert said[1:] == [
                "05:17 UA1545 to IAH",
                "cancelled UA1 to IAH",
                "no flight: partition 0, offset 2",
            ]
            watch = lab.watch(topic, groups=["board"])
            assert lab.until(lambda: watch.samples[-1].consumed(topic, "board") == 3)
            running.terminate()
            assert running.wait(10) == 0
            assert "has left the group" in running.stdout.read()
        # long before the session timeout of 6 s
        assert lab.until(lambda: watch.samples[-1].groups["board"].state == "Empty", 3)


def test_the_board_gives_up_with_the_reason(own_home):
    with board(BOOTSTRAP="127.0.0.1:1", PATIENCE="1") as running:
        assert running.wait(20) == 1
        assert "gives up after 1 s: nobody answers at 127.0.0.1:1" in running.stdout.read()
    with (
        listeners.Broker(advertised="127.0.0.1:1") as wrong,
        board(BOOTSTRAP=wrong.address, PATIENCE="2") as running,
    ):
        assert running.wait(20) == 1
        assert "the way goes on to where nobody does" in running.stdout.read()


# -- the API --------------------------------------------------------------------------------


def test_the_engine_is_asked_and_refuses_in_a_sentence(engine):
    assert engine
    assert "answers at" in repr(engine)
    assert engine.get("/version")["ApiVersion"]
    assert isinstance(engine.get("/containers/json", all=True, filters={"label": ["a=b"]}), list)
    with pytest.raises(BrokerError, match=r"refused /containers/none/json: .*No such container"):
        engine.get("/containers/none/json")


def test_what_the_docker_command_asks_is_overheard(engine):
    heard = engine.overhear("docker ps --all")
    assert any(one.startswith("HEAD /_ping") for one in heard)
    assert any("/containers/json?all=1" in one for one in heard)
    with pytest.raises(BrokerError, match="failed"):
        engine.overhear("docker inspect no-such-thing")
    assert not [one for one in threading.enumerate() if "serve_forever" in one.name]


# -- projects -------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_project_is_made_and_leaves_nothing(engine, capsys):
    with contextlib.closing(containers.project("airport")) as compose:
        assert compose("up --detach --wait")
        said = capsys.readouterr().out
        assert f"{compose.name}-kafka-1" in said
        assert "Creating" not in said
        with Lab(compose.address) as lab:
            assert lab.topic("flights.departed")
        assert not compose("up --no-such-flag")
        assert "unknown flag" in capsys.readouterr().out
        assert left(compose.name)
    wait_until(lambda: not left(compose.name), 60)


def test_a_deadline_is_kept(engine):
    with contextlib.closing(containers.project("airport")) as compose:
        began = time.monotonic()
        with pytest.raises(BrokerError, match="compose events"):
            compose("events", seconds=2)
        assert time.monotonic() - began < 20


def test_an_interrupt_ends_the_command_and_the_project_goes_on(engine):
    with contextlib.closing(containers.project("airport")) as compose:
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            compose("events")
        assert compose("ps")


@pytest.mark.timeout(300)
def test_the_notebook_is_killed_and_nothing_stays(engine):
    body = """
        from lab_env.around import containers
        compose = containers.project("airport")
        board = "services:\\n  board:\\n    build: ./board\\n"
        compose.file.write_text(compose.file.read_text().replace("services:\\n", board))
        assert compose("build board")
        assert compose("up --detach")
        print("name", compose.name, flush=True)
        input()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        line = next(line for line in process.stdout if line.startswith("name "))
        name = line.split()[1]
        assert len(left(name)) >= 5  # two containers, a volume, a network, an image
        process.kill()
    wait_until(lambda: not left(name) and not any(folders.labs().glob("*/board")), 90)

"""What a lesson on Kubernetes stands on: a loop in the background, a forward, a disk that goes."""

import json
import socket
import socketserver
import threading
from contextlib import closing, suppress

import pytest
from conftest import wait_until
from kafka import KafkaProducer

from lab_env import Lab
from lab_env.around.port_forward import Forward
from lab_env.ground.errors import BadInputError, ClosedError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.processes.control_loop import Repeats

# -- a loop -----------------------------------------------------------------------------------


@pytest.fixture
def repeats():
    made = Repeats(Journal(), Reports())
    yield made
    made.close()


def threads(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == f"lab-repeat-{name}"]


def test_a_function_is_called_again_and_again_until_it_is_stopped(repeats):
    calls = []
    loop = repeats.start(lambda: calls.append(1), 0.05, "look")
    wait_until(lambda: len(calls) >= 3, 10)
    assert loop.running
    assert "look" in repr(loop)
    loop.stop()
    loop.stop()
    assert not loop.running
    assert not threads("look")
    before = len(calls)
    assert not threads("look")
    assert len(calls) == before == loop.calls


def test_one_of_the_same_name_is_replaced(repeats):
    first, second = [], []

    def look():
        first.append(1)

    old = repeats.start(look, 0.05, None)
    wait_until(lambda: first, 10)

    def look():
        second.append(1)

    new = repeats.start(look, 0.05, None)
    assert not old.running
    assert len(threads("look")) == 1
    wait_until(lambda: second, 10)
    assert list(repeats.by_name.values()) == [new]


def test_what_it_returns_is_a_report_when_it_has_changed(repeats):
    wanted = iter([3, 3, 3, 5, 5])
    seen = []

    def reconcile():
        seen.append(next(wanted, 5))
        return {"wanted": seen[-1], "running": 3}

    repeats.start(reconcile, 0.05, None)
    wait_until(lambda: len(seen) > 6, 10)
    rows = repeats._parts[1].rows
    assert [(row["service"], row["wanted"]) for row in rows] == [("reconcile", 3), ("reconcile", 5)]
    assert all(isinstance(row["time"], float) for row in rows)


def test_an_error_ends_it_and_is_told_with_the_line(repeats):
    def reconcile():
        return 1 / 0

    loop = repeats.start(reconcile, 0.05, None)
    wait_until(lambda: loop.error, 10)
    assert "ZeroDivisionError" in loop.error
    assert "line 2 of reconcile: `return 1 / 0`" in loop.error
    assert not loop.running
    assert "reconcile" in repr(loop)
    assert "Traceback" not in repr(loop)


def test_a_loop_may_stop_itself(repeats):
    def once():
        repeats.by_name["once"].stop()

    loop = repeats.start(once, 0.3, None)
    wait_until(lambda: not loop.running, 10)
    wait_until(lambda: not threads("once"), 10)
    assert loop.error is None or "KeyError" in loop.error  # it was quicker than its own name


@pytest.mark.parametrize(
    ("function", "every"), [(3, 1), (print, 0), (print, "soon"), (print, True)]
)
def test_what_cannot_be_repeated_is_refused(repeats, function, every):
    with pytest.raises(BadInputError, match="wants a function"):
        repeats.start(function, every, "x")


@pytest.mark.timeout(120)
def test_a_lab_ends_with_its_loops_and_starts_nothing_after(own_home):
    lab = Lab()

    def work(service):
        service.wait(60)

    def keep():
        lab.service(work, name="work")

    lab.repeat(keep, every=0.05)
    assert list(lab.loops) == ["keep"]
    wait_until(lambda: "work" in lab.services, 20)
    lab.close()
    lab.close()
    wait_until(lambda: not threads("keep"), 10)
    with pytest.raises(ClosedError):
        lab.repeat(keep)


# -- a forward --------------------------------------------------------------------------------


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data.upper())


@pytest.fixture
def echo():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def connected(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def test_a_forward_hands_on_both_ways_and_counts(echo):
    with Forward(echo) as forward:
        for text in (b"ua1545", b"x" * 300_000):
            with connected(forward.address) as client:
                client.sendall(text)
                got = b""
                while len(got) < len(text):
                    got += client.recv(65536)
                assert got == text.upper()
        assert forward.connections == 2
        assert forward.to == echo
    with pytest.raises(ConnectionRefusedError):
        connected(forward.address)
    forward.close()


def test_a_forward_that_leads_nowhere_hangs_up(echo):
    with Forward() as forward:
        assert forward.to is None
        for place in (None, "127.0.0.1:1"):
            forward.to = place
            with connected(forward.address) as client, suppress(ConnectionError):
                assert client.recv(10) == b""
        forward.to = echo
        with connected(forward.address) as client:
            client.sendall(b"a")
            assert client.recv(10) == b"A"


def test_a_forward_that_closes_hangs_up_on_who_is_connected(echo):
    forward = Forward(echo)
    with connected(forward.address) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"A"
        forward.close()
        with suppress(ConnectionError):
            assert client.recv(10) == b""


@pytest.mark.parametrize("place", ["kafka", "kafka:", ":", 9092, "kafka:x", ""])
def test_a_place_that_is_none_is_refused(place):
    with pytest.raises(BadInputError, match="host:port"):
        Forward(place)


# -- a disk -----------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_disk_that_is_taken_away_takes_the_topics_along_and_the_broker_starts_anew(own_home):
    with Lab("embedded") as lab:
        topic = lab.topic("flights.departed")

        def send(count):
            with closing(KafkaProducer(**lab.connection)) as producer:
                for number in range(count):
                    producer.send(topic, json.dumps({"id": number}).encode())
                producer.flush(timeout=20)

        send(10)
        with pytest.raises(BadInputError, match="running"):
            lab.wipe(1)
        lab.kill(1)
        lab.start(1)
        assert len(lab.records(topic)) == 10
        lab.kill(1)
        lab.wipe(1)
        lab.start(1)
        with pytest.raises(BadInputError, match="There is no topic"):
            lab.records(topic)
        assert lab.topic("flights.departed") == topic
        send(3)
        assert len(lab.records(topic)) == 3
        assert [mark.text for mark in lab.journal.marks].count("disk of broker 1 is gone") == 1

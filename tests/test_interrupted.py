"""Interrupt in the middle of a call: what is left can be used by the next one; a real broker."""

import contextlib
import os
import signal
import threading
import time

import psutil
import pytest
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaProducer

from lab_env import Lab
from lab_env.clusters import readiness
from lab_env.ground.errors import BadInputError, BrokerError

pytestmark = [
    pytest.mark.shares_a_lab,
    pytest.mark.skipif(os.name == "nt", reason="an Interrupt is POSIX's SIGINT here"),
]
END = 300  # s, a bound against hanging


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab of one broker, which every test leaves running."""
    with Lab("embedded") as one:
        yield one


def interrupted(call, moment) -> bool:
    """Make a call, press Interrupt once ``moment()`` is true; return whether that came first."""
    over = threading.Event()

    def press() -> None:
        while not moment() and not over.is_set():
            time.sleep(0.001)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    try:
        thread.start()
        call()
        over.set()
        thread.join()
        time.sleep(0.05)  # it may have been on its way
    except KeyboardInterrupt:
        return True
    finally:
        over.set()
        thread.join()
    return False


def works(lab: Lab, name: str) -> bool:
    """Return whether the lab's Kafka makes a topic."""
    return lab.topic(name) == name


def node(lab: Lab):
    return lab._cluster._nodes[1]


def has_logged(node) -> bool:
    """Return whether a broker has written into its log since it was started last."""
    log = node.logs[0]
    return log.exists() and log.stat().st_size > node.log_read.get(log, 0)


@pytest.mark.parametrize(
    "moment",
    [
        lambda lab: True,
        lambda lab: not node(lab).ended.is_set(),
        lambda lab: node(lab).pid is not None,
        lambda lab: node(lab).pid is not None and has_logged(node(lab)),
    ],
    ids=["at once", "launched", "has a process", "logs"],
)
def test_a_start_that_is_interrupted_goes_on_and_the_state_says_so(lab, moment):
    lab.kill(1)
    assert interrupted(lambda: lab.start(1), lambda: moment(lab))
    if lab.nodes[1] != "dead":  # else the Interrupt came before the launch: nothing has happened
        wait_until(lambda: lab.nodes == {1: "running"}, END)
        assert works(lab, "after.a.start")
    lab.start(1)  # what was interrupted can be done again, and is told then
    assert works(lab, "after.another.start")
    assert lab.journal.marks[-1].text == "broker 1 back"
    with pytest.raises(BadInputError, match="running"):
        lab.start(1)


def test_a_broker_whose_start_was_interrupted_can_be_killed_and_started(lab):
    lab.kill(1)
    assert interrupted(lambda: lab.start(1), lambda: node(lab).pid is not None)
    if lab.nodes != {1: "dead"}:  # before the launch nothing has happened
        lab.kill(1)
    assert lab.nodes == {1: "dead"}
    assert interrupted(lambda: lab.start(1), lambda: node(lab).pid is not None)
    lab.start(1)  # waits for the one that is starting
    assert lab.nodes == {1: "running"}
    assert works(lab, "after.two.starts")


@pytest.mark.parametrize(("verb", "state"), [("kill", "dead"), ("stop", "stopped")])
@pytest.mark.parametrize("asked", [False, True], ids=["at once", "asked"])
def test_an_end_that_is_interrupted_comes_and_is_told(lab, verb, state, asked):
    moment = (lambda: node(lab).asked == verb) if asked else (lambda: True)
    interrupted(lambda: getattr(lab, verb)(1), moment)
    with contextlib.suppress(BadInputError):  # it was asked, and is already gone
        getattr(lab, verb)(1)
    wait_until(lambda: lab.nodes == {1: state}, END)
    assert lab.journal.marks[-1].kind == verb
    lab.wipe(1)  # it is down, so this is allowed
    lab.start(1)
    assert lab.nodes == {1: "running"}


def test_pause_resume_and_wipe_are_done_as_a_whole(lab):
    interrupted(lambda: lab.pause(1), lambda: True)
    with contextlib.suppress(BadInputError):
        lab.pause(1)
    assert lab.nodes == {1: "paused"}
    assert psutil.Process(lab._cluster.pids[1]).status() == psutil.STATUS_STOPPED
    interrupted(lambda: lab.resume(1), lambda: True)
    with contextlib.suppress(BadInputError):
        lab.resume(1)
    assert lab.nodes == {1: "running"}
    lab.kill(1)
    disk = node(lab).folder / "data"
    interrupted(lambda: lab.wipe(1), lambda: not disk.exists())
    lab.wipe(1)
    lab.start(1)
    assert works(lab, "after.a.wipe")


def test_a_start_goes_on_though_kafkas_client_never_comes_to_an_end(lab, monkeypatch):
    ends = threading.Event()
    trips, late, real = [], [], readiness._trip

    def first_one_hangs(*args):
        trips.append(args)
        if len(trips) == 1:
            ends.wait()
            late.append(real(*args))
        else:
            real(*args)

    monkeypatch.setattr(readiness, "_trip", first_one_hangs)
    monkeypatch.setattr(readiness, "STUCK_SECONDS", 0.5)
    readiness.round_trip(lab.connection, brokers=1)
    ends.set()
    assert len(trips) >= 2
    gone = {one[1] for one in trips}
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        wait_until(lambda: len(late) == 1 and not gone & set(admin.list_topics()), END)


def test_a_broker_that_somebody_else_freezes_is_paused(lab):
    process = psutil.Process(lab._cluster.pids[1])
    process.suspend()
    wait_until(lambda: lab.nodes == {1: "paused"}, END)
    lab.resume(1)
    assert lab.nodes == {1: "running"}


def test_a_start_that_fails_is_dead_and_can_be_tried_again(lab):
    lab.kill(1)
    settings = node(lab).folder / "server.properties"
    good = settings.read_bytes()
    settings.write_bytes(good + b"process.roles=nonsense\n")
    with pytest.raises(BrokerError, match=r"nonsense"):  # the reason is among the last lines
        lab.start(1)
    assert lab.nodes == {1: "dead"}
    settings.write_bytes(good)
    lab.start(1)
    assert works(lab, "after.a.failure")


def test_a_broker_that_is_added_in_vain_leaves_nothing(lab):
    assert interrupted(lab.add_broker, lambda: len(lab._cluster._nodes) == 2)
    assert lab.nodes == {1: "running"}
    assert not any("2" in mark.subject for mark in lab.journal.marks)
    assert lab.add_broker() == 2
    assert lab.nodes == {1: "running", 2: "running"}


def test_three_brokers_that_die_at_once_come_back_by_the_call_that_the_lab_names(own_home, capsys):
    with Lab("embedded", brokers=3) as lab:
        notices = []
        tell = lab._cluster.on_event
        lab._cluster.on_event = lambda *event: (notices.append(event[3:]), tell(*event))
        topic = lab.topic("kept", partitions=3, replication=3)
        with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
            for number in range(30):
                producer.send(topic, str(number).encode())
            producer.flush(timeout=END)
        for pid in list(lab._cluster.pids.values()):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: set(lab.nodes.values()) == {"dead"}, END)
        wait_until(lambda: len(notices) == 3, END)
        assert "lab.start()" in notices[-1][0]
        assert "memory" in notices[-1][0]  # nobody here sent that signal
        with pytest.raises(BrokerError, match=r"Brokers 1, 2 and 3 do not run. lab\.start\(\)"):
            lab.topic("other")
        lab.start(1)  # one of three cannot answer: it is launched, and that is said
        assert "2 of the 3 controllers have to run, and 1 does" in capsys.readouterr().out
        assert lab.nodes == {1: "starting", 2: "dead", 3: "dead"}
        lab.start()
        assert set(lab.nodes.values()) == {"running"}
        assert len(lab.records(topic)) == 30
        assert [mark.text for mark in lab.journal.marks[-3:]] == [
            "broker 1 back", "broker 2 back", "broker 3 back"
        ]  # fmt: skip
        lab.start()
        assert "All brokers run" in capsys.readouterr().out


def test_a_supervisor_that_is_killed_is_told_in_a_notice(lab):
    notices = []
    tell = lab._cluster.on_event
    lab._cluster.on_event = lambda *event: (notices.append(event[3:]), tell(*event))
    psutil.Process(lab._cluster._supervised.pid).kill()
    wait_until(lambda: notices, END)
    assert "Run the cell with Lab() again" in notices[-1][0]
    assert set(lab.nodes.values()) == {"dead"}
    lab.close()
    assert not lab._cluster.folder.exists()

"""The lab's life, from outside: starts, faults, interrupts, kills, leftovers; real brokers only."""

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest
from conftest import javas, lab_folders, wait_until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from lab_env import Lab
from lab_env.clusters import embedded
from lab_env.course import cleaning
from lab_env.ground import loopback
from lab_env.ground.errors import BadInputError, BrokerError, ClosedError, LabError
from lab_env.processes import folders

pytestmark = pytest.mark.usefixtures("own_home")

posix = pytest.mark.skipif(os.name == "nt", reason="signals and forks are POSIX's")


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab for the tests that leave it as they found it."""
    with Lab() as one:
        yield one


def produce(lab: Lab, topic: str, count: int) -> None:
    """Send ``count`` records, and wait until they are acknowledged."""
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        for number in range(count):
            producer.send(topic, str(number).encode(), key=str(number).encode())
        producer.flush(timeout=20)


def script(body: str) -> subprocess.Popen:
    """Run Python in a process of its own, as a notebook's kernel would be."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def line_of(process: subprocess.Popen) -> str:
    """Return the next line that a script prints."""
    return process.stdout.readline().strip()


def interrupt_after(seconds: float) -> threading.Timer:
    """Press Interrupt in this process after a while."""
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    return timer


# -- using it ---------------------------------------------------------------------------------


@pytest.mark.shares_a_lab
def test_a_record_goes_out_and_comes_back(lab):
    topic = lab.topic("flights.departed", partitions=3)
    produce(lab, topic, 30)
    records = lab.records(topic)
    assert sorted(map(int, records.key)) == list(range(30))
    assert set(records.partition) == {0, 1, 2}
    assert list(records.columns) == [
        "partition", "offset", "timestamp", "key", "value", "headers"
    ]  # fmt: skip


@pytest.mark.shares_a_lab
def test_only_the_loopback_listens(lab):
    (pid,) = lab._cluster.pids.values()
    listening = [c for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"]
    assert listening
    assert {c.laddr.ip.replace("::ffff:", "") for c in listening} == {"127.0.0.1"}


@pytest.mark.shares_a_lab
def test_a_topic_made_again_is_fresh(lab):
    topic = lab.topic("again", partitions=2)
    produce(lab, topic, 5)
    with contextlib.closing(
        KafkaConsumer(topic, group_id="g", auto_offset_reset="earliest", **lab.connection)
    ) as consumer:
        wait_until(lambda: consumer.poll(timeout_ms=500))
        consumer.commit()
    assert lab.topic("again", partitions=4) == topic
    assert len(lab.records(topic)) == 0
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        assert len(admin.describe_topics([topic])[0]["partitions"]) == 4
        # the group begins anew as well: its offsets went with the topic
        wait_until(lambda: not admin.list_group_offsets("g")["g"])


@pytest.mark.shares_a_lab
def test_a_topic_made_again_while_it_is_consumed(lab):
    topic = lab.topic("busy", partitions=2)
    with contextlib.closing(KafkaConsumer(topic, group_id="busy", **lab.connection)) as consumer:
        consumer.poll(timeout_ms=500)
        for _ in range(3):
            lab.topic("busy", partitions=3)
            consumer.poll(timeout_ms=100)
    assert len(lab.records(topic)) == 0


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lab: lab.topic("bad topic!"), ["bad topic!", "bad-topic"]),
        (lambda lab: lab.topic(""), ["1 to 249"]),
        (lambda lab: lab.topic(None), ["1 to 249"]),
        (lambda lab: lab.topic(".."), [".."]),
        (lambda lab: lab.topic("x" * 250), ["249"]),
        (lambda lab: lab.topic("t", partitions=0), ["partitions", "not 0"]),
        (lambda lab: lab.topic("t", partitions="six"), ["partitions"]),
        (lambda lab: lab.topic("t", partitions=True), ["partitions"]),
        (lambda lab: lab.topic("t", replication=3), ["3 brokers", "Lab(brokers=3)"]),
        (lambda lab: lab.topic("t", replication=0), ["at least 1"]),
        (lambda lab: lab.topic("t", nonsense=1), ["nonsense"]),
        (lambda lab: lab.topic("t", retention_ms="soon"), ["retention.ms"]),
        (lambda lab: lab.group(""), ["name"]),
        (lambda lab: lab.records("no.such.topic"), ["no.such.topic", "lab.topic"]),
        (lambda lab: lab.kill(7), ["no broker 7", "1"]),
        (lambda lab: lab.start(1), ["running", "stopped"]),
        (lambda lab: lab.resume(1), ["running", "paused"]),
        (lambda lab: lab.show.throughput("t", by="colour"), ["group", "member"]),
        (lambda lab: lab.service("truck"), ["function"]),
    ],
)
def test_bad_input_is_answered_in_a_sentence(lab, call, words):
    with pytest.raises(BadInputError) as error:
        call(lab)
    for word in words:
        assert word in str(error.value)
    assert lab.nodes == {1: "running"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: Lab("docker"),
        lambda: Lab(brokers=0),
        lambda: Lab(brokers=99),
        lambda: Lab(brokers="three"),
        lambda: Lab(""" """),
    ],
)
def test_bad_arguments_start_nothing(call):
    before = javas(), lab_folders()
    with pytest.raises(BadInputError):
        call()
    assert (javas(), lab_folders()) == before


def test_an_error_shows_its_sentence_and_no_stack_trace():
    error = BadInputError("lab.brokers", brokers=99)
    assert error._render_traceback_() == [f"BadInputError: {error}"]


def test_a_closed_lab_says_so_and_can_be_closed_again():
    with Lab() as lab:
        pids = list(lab._cluster.pids.values())
        folder = lab._cluster.folder
    began = time.monotonic()
    lab.close()
    assert time.monotonic() - began < 2
    for call in (lambda: lab.topic("t"), lambda: lab.connection, lambda: lab.kill(1)):
        with pytest.raises(ClosedError, match=r"Lab\(\)"):
            call()
    assert not any(map(psutil.pid_exists, pids))
    assert not folder.exists()
    assert "closed" in repr(lab)


def test_a_forgotten_lab_cleans_up():
    lab = Lab()
    lab.show.throughput(lab.topic("t"))
    folder = lab._cluster.folder
    del lab
    wait_until(lambda: gc.collect() >= 0 and not folder.exists(), 10)  # whenever Python looks


# -- three brokers ----------------------------------------------------------------------------


def test_three_brokers_survive_faults_and_grow():
    with Lab(brokers=3) as lab:
        topic = lab.topic("kept", partitions=3, replication=3, min_insync_replicas=2)
        produce(lab, topic, 30)
        watch = lab.watch(topic)
        lab.kill(2)
        assert lab.nodes == {1: "running", 2: "dead", 3: "running"}
        wait_until(lambda: all(r.leader != 2 for r in watch.samples[-1].leaders.values()), 20)
        produce(lab, topic, 30)
        lab.start(2)
        wait_until(lambda: all(len(r.isr) == 3 for r in watch.samples[-1].leaders.values()), 30)
        lab.stop(3)
        produce(lab, topic, 30)
        lab.start(3)
        assert lab.add_broker() == 4
        with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
            wait_until(lambda: len(admin.describe_cluster()["brokers"]) == 4, 20)
        assert len(lab.records(topic)) == 90
        texts = [mark.text for mark in lab.journal.marks]
        assert texts == [
            "broker 2 killed", "broker 2 back", "broker 3 stopped", "broker 3 back",
            "broker 4 added",
        ]  # fmt: skip
        assert len(lab.topic("wide", partitions=4, replication=4)) == 4


@posix
def test_a_paused_broker_goes_on_where_it_was():
    with Lab() as lab:
        topic = lab.topic("t")
        produce(lab, topic, 3)
        lab.pause(1)
        with pytest.raises(BrokerError, match=r"lab\.resume\(1\)"):
            lab.topic("u")
        lab.resume(1)
        produce(lab, topic, 3)
        assert len(lab.records(topic)) == 6


def test_a_broker_that_dies_by_itself_is_told_and_comes_back():
    with Lab() as lab:
        topic = lab.topic("t")
        produce(lab, topic, 7)
        figure = lab.show.throughput(topic)
        psutil.Process(lab._cluster.pids[1]).kill()
        wait_until(lambda: lab.nodes == {1: "dead"}, 5)
        with pytest.raises(BrokerError, match=r"Broker 1 is dead.*lab\.start\(1\)"):
            lab.topic("u")
        assert [mark.kind for mark in lab.journal.marks] == ["fail"]
        wait_until(lambda: lab._observer().silence > 3, 20)
        frames = figure.frames
        wait_until(lambda: figure.frames > frames, 10)  # the silence is a picture that moves
        lab.start(1)
        assert len(lab.records(topic)) == 7
        wait_until(lambda: lab._observer().silence < 1, 10)


# -- the notebook goes away -------------------------------------------------------------------

KERNEL = """
    import os, sys, time
    from lab_env import Lab
    lab = Lab(brokers={brokers})
    def work(service):
        while service.wait(0.1):
            pass
    worker = lab.service(work)
    print(*lab._cluster.pids.values(), worker.pid, lab._cluster._supervised.pid, flush=True)
    print(*(n.port for n in lab._cluster._nodes.values()), flush=True)
    print(lab._cluster.folder, flush=True)
    {then}
    time.sleep(100)
"""


@pytest.mark.parametrize(
    ("brokers", "then", "end"),
    [
        (1, "", signal.SIGKILL if os.name != "nt" else signal.SIGTERM),
        (3, "", signal.SIGKILL if os.name != "nt" else signal.SIGTERM),
        pytest.param(1, "os.abort()", None, marks=pytest.mark.landing),
        pytest.param(1, "os._exit(3)", None, marks=pytest.mark.landing),
        pytest.param(1, "sys.exit()", None, marks=pytest.mark.landing),
        (1, "raise ValueError('a bug of the student')", None),
        pytest.param(1, "", signal.SIGTERM, marks=pytest.mark.landing),
        pytest.param(
            # a child that the kernel forked holds every pipe open
            1, "pid = os.fork(); print(pid or '', flush=True)", signal.SIGKILL,
            marks=posix, id="forked",
        ),
    ],
)  # fmt: skip
def test_nothing_outlives_the_notebook(brokers, then, end):
    kernel = script(KERNEL.format(brokers=brokers, then=then))
    child = None
    try:
        pids = [int(pid) for pid in line_of(kernel).split()]
        ports = [int(port) for port in line_of(kernel).split()]
        folder = line_of(kernel)
        assert len(pids) == brokers + 2
        if "fork" in then:
            child = wait_until(lambda: int(line_of(kernel) or 0))
        if end is not None:
            kernel.send_signal(end)
        kernel.wait(timeout=10)
        wait_until(lambda: not any(alive(pid) for pid in pids), 60)
        wait_until(lambda: not os.path.exists(folder), 60)
        assert not any(loopback.answers(port) for port in ports)
    finally:
        kernel.kill()
        if child:
            os.kill(child, signal.SIGKILL)
        kernel.stdout.close()
        kernel.wait()


def alive(pid: int) -> bool:
    """Return whether a process runs (one that only waits to be read off does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_supervisor_is_told_and_the_next_start_cleans_up():
    lab = Lab()
    folder, pid = lab._cluster.folder, lab._cluster.pids[1]
    psutil.Process(lab._cluster._supervised.pid).kill()
    wait_until(lambda: lab.nodes == {1: "dead"}, 5)
    assert alive(pid)
    with pytest.raises(LabError, match=r"Lab\(\)"):
        lab.topic("t")
    with Lab() as other:
        assert not alive(pid)
        assert not folder.exists()
        other.topic("t")
    lab.close()


def test_closing_after_the_supervisor_was_killed_leaves_nothing():
    lab = Lab()
    psutil.Process(lab._cluster._supervised.pid).kill()
    lab.close()
    assert not lab._cluster.folder.exists()


def test_a_living_labs_folder_is_never_swept():
    with Lab() as lab:
        topic = lab.topic("t")
        assert folders.sweep() == []
        dead = folders.labs() / "000000-deadbeef"
        (dead / "node-1").mkdir(parents=True)
        assert folders.sweep() == [dead]
        cleaning.clean()
        produce(lab, topic, 3)
        assert lab._cluster.folder.exists()


@pytest.mark.landing
def test_five_labs_at_once_do_not_meet():
    with contextlib.ExitStack() as stack:
        labs = [stack.enter_context(Lab()) for _ in range(5)]
        for number, lab in enumerate(labs):
            produce(lab, lab.topic("same.name"), number + 1)
        assert [len(lab.records("same.name")) for lab in labs] == [1, 2, 3, 4, 5]


def test_two_notebooks_start_at_the_same_moment():
    body = """
        from lab_env import Lab
        with Lab() as lab:
            print(lab.topic("t"), flush=True)
    """
    both = [script(body), script(body)]
    for process in both:
        assert process.communicate(timeout=60)[0].strip() == "t"


# -- interrupts ---------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("seconds", [0.02, 0.15, 0.4, 0.8, 1.2])
def test_interrupt_while_a_lab_starts(seconds):
    timer = interrupt_after(seconds)
    try:
        with Lab(brokers=1):
            time.sleep(5)
        pytest.fail("not interrupted")
    except KeyboardInterrupt:
        pass
    timer.join()


@posix
@pytest.mark.shares_a_lab
@pytest.mark.parametrize("seconds", [0.003, 0.02, 0.06, 0.2])
def test_interrupt_in_a_call_leaves_the_lab_usable(lab, seconds):
    def busy():
        topic = lab.topic("interrupted", partitions=12)
        produce(lab, topic, 100)
        lab.records(topic)
        service = lab.service(lambda service: service.wait(60), name="sleeper")
        lab.show.throughput(topic)
        service.stop()

    timer = interrupt_after(seconds)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            busy()
    timer.join()
    assert lab.nodes == {1: "running"}
    topic = lab.topic("interrupted", partitions=2)
    produce(lab, topic, 5)
    assert len(lab.records(topic)) == 5


@posix
def test_interrupt_of_the_whole_process_group_reaches_no_broker():
    kernel = script("""
        import time
        from lab_env import Lab
        lab = Lab()
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print(lab.topic("t"), lab.nodes[1], flush=True)
            lab.close()
    """)
    assert line_of(kernel) == "ready"
    os.killpg(kernel.pid, signal.SIGINT)
    assert line_of(kernel) == "t running"
    kernel.stdout.close()
    assert kernel.wait(timeout=10) == 0


# -- ports --------------------------------------------------------------------------------------


def test_a_taken_port_is_replaced(monkeypatch):
    real, taken = loopback.free_ports, socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    calls = []

    def first_a_taken_one(count):
        calls.append(count)
        ports = real(count)
        # the clients' port answers at once (it is somebody else's), the controller's cannot bind
        return [*ports[:-1], taken.getsockname()[1]] if len(calls) == 1 else ports

    monkeypatch.setattr(embedded, "free_ports", first_a_taken_one)
    with taken, Lab() as lab:
        assert len(calls) == 2
        produce(lab, lab.topic("t"), 1)


def test_somebody_else_on_the_clients_port_is_not_taken_for_kafka(monkeypatch):
    real, taken = loopback.free_ports, socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    calls = []

    def first_a_taken_one(count):
        calls.append(count)
        ports = real(count)
        return [taken.getsockname()[1], *ports[1:]] if len(calls) == 1 else ports

    monkeypatch.setattr(embedded, "free_ports", first_a_taken_one)
    with taken, Lab() as lab:
        assert len(calls) == 2
        produce(lab, lab.topic("t"), 1)

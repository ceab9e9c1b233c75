"""RabbitMQ beside Kafka: its queues, the same Spring application on it, and its end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import wait_until

from lab_env import Lab, flights
from lab_env.around import rabbitmq
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.spring import app as spring_app
from lab_env.spring import yaml as spring_yaml

ROOT = Path(__file__).parent.parent
EVENTS = flights.events(flights.table(day="2013-01-01").head(30))
installed = pytest.mark.usefixtures("rabbit_server")
YAML = """
spring.cloud.function.definition: delay|category;statistics
spring.cloud.stream:
  default-binder: rabbit
  bindings:
    delaycategory-in-0: {destination: departed, group: delays, consumer: {max-attempts: 1}}
    delaycategory-out-0: {destination: delayed}
    statistics-in-0: {destination: delayed, group: statistics}
  rabbit.bindings.delaycategory-in-0.consumer.auto-bind-dlq: true
"""


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab() as lab:
        yield lab


def test_where_there_is_none_it_says_what_to_do_and_the_lesson_goes_on(monkeypatch):
    monkeypatch.setattr(rabbitmq, "PLACES", ())
    monkeypatch.setattr(rabbitmq.shutil, "which", lambda name: None)
    rabbit = rabbitmq.start()
    assert not rabbit
    assert "apt install rabbitmq-server" in repr(rabbit)
    rabbit.close()


@pytest.mark.shares_a_lab
def test_a_yaml_that_wants_it_before_it_runs_says_so(lab):
    with pytest.raises(BadInputError, match=r"rabbit = lab\.rabbitmq\(\)"):
        lab.spring(YAML)


@pytest.mark.parametrize(
    ("properties", "wanted"),
    [
        ({"spring.cloud.stream.default-binder": "rabbit"}, True),
        ({"spring.cloud.stream.default-binder": "kafka"}, False),
        ({"spring.cloud.stream.bindings.x-out-0.binder": "rabbit"}, True),
        ({"spring.cloud.stream.bindings.rabbit.destination": "rabbit"}, False),
        ({}, False),
    ],
)
def test_the_yaml_says_which_binder(properties, wanted):
    assert spring_yaml.wants_rabbit(properties) is wanted


def test_its_lock_was_made_of_this_pom_and_holds_what_the_other_has_not():
    lines = spring_app.RABBIT_LOCK.read_text(encoding="utf-8").splitlines()
    assert lines[1].endswith(spring_app.pom_hash()), "run .ci/make_spring_lock.py"
    both = {(j.group, j.artifact) for j in spring_app.STORE.read_lock()}
    assert not both & {(j.group, j.artifact) for j in spring_app.RABBIT_STORE.read_lock()}
    assert any(j.artifact.endswith("binder-rabbit") for j in spring_app.RABBIT_STORE.read_lock())


@installed
@pytest.mark.shares_a_lab
def test_the_same_application_on_another_broker(lab):
    rabbit = lab.rabbitmq()
    assert rabbit
    assert lab.rabbitmq() is rabbit
    app = lab.spring(YAML, name="amqp")
    exchanges = rabbit.exchanges().set_index("name")["type"]
    assert exchanges[["departed", "delayed"]].to_list() == ["topic", "topic"]
    queues = rabbit.queues().set_index("name")
    assert {"departed.delays", "delayed.statistics", "departed.delays.dlq"} <= set(queues.index)
    assert queues["durable"].all()
    assert str(queues["messages"].dtype) == "int64"
    bound = {tuple(row) for row in rabbit.bindings()[["exchange", "queue"]].itertuples(index=False)}
    assert ("departed", "departed.delays") in bound
    assert all(rabbit.publish("departed", "departed", json.dumps(event)) for event in EVENTS)
    flown = [event for event in EVENTS if event["departed"]]
    assert lab.until(lambda: app.get("/actuator/statistics")["flights"] == len(flown), 20)
    (parked,) = (e for e in EVENTS if not e["departed"])
    assert lab.until(lambda: len(rabbit.messages("departed.delays.dlq")) == 1, 10)
    assert json.loads(rabbit.messages("departed.delays.dlq")[0]) == parked
    assert psutil.Process(app.pid).memory_info().rss < 300e6
    words = " ".join(psutil.Process(app.pid).cmdline())
    files = "".join(f.read_text() for f in Path(psutil.Process(app.pid).cwd()).glob("*.yml"))
    assert rabbit.password.reveal() not in words + files + app.log + repr(rabbit)
    # Kafka in, RabbitMQ out: two brokers in one application
    source = lab.topic("bridge.in")
    bridge = YAML.replace("default-binder: rabbit", "default-binder: kafka").replace(
        "{destination: delayed}", "{destination: delayed, binder: rabbit}"
    )
    bridge = bridge.replace("statistics}", "statistics, binder: rabbit}")
    app.restart(bridge.replace("destination: departed", f"destination: {source}"))
    from kafka import KafkaProducer

    producer = KafkaProducer(**lab.connection)
    for event in flown[:5]:
        producer.send(source, json.dumps(event).encode())
    producer.close()
    assert lab.until(lambda: app.get("/actuator/statistics")["flights"] == 5, 20)
    app.stop()
    with pytest.raises(BrokerError, match="does not answer"):
        rabbit.messages("nothing")


@installed
def test_it_listens_on_the_loopback_alone_and_ends_with_the_lab(own_home):
    with Lab() as lab:
        rabbit = lab.rabbitmq()
        names = {"beam.smp", "epmd"}
        folder = rabbit._folder  # another test's lab may have one too
        below = [p for p in psutil.Process().children(recursive=True) if p.name() in names]
        ours = [p for p in below if Path(p.cwd()) == folder.resolve()]
        assert {p.name() for p in ours} == names
        listening = [
            connection.laddr.ip
            for process in ours
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert set(listening) <= {"127.0.0.1", "::1"}
    assert not rabbit
    assert "ended" in repr(rabbit)
    assert not folder.exists()
    psutil.wait_procs(ours, timeout=5)
    left = [p for p in ours if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not left


@installed
def test_one_that_does_not_start_says_why(own_home, tmp_path, monkeypatch):
    broken = tmp_path / "rabbitmq-server"
    broken.write_text("#!/bin/sh\necho no cookie for you\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(rabbitmq, "PLACES", (str(tmp_path),))
    with pytest.raises(BrokerError, match=r"(?s)ended before it was up.*no cookie"):
        rabbitmq.start()


@installed
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_killed_kernel_leaves_no_rabbit(own_home):
    script = (
        "import time; from lab_env import Lab; lab = Lab(); r = lab.rabbitmq()\n"
        "print(r._folder, flush=True); time.sleep(600)"
    )
    kernel = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with kernel.stdout:
        folder = Path(kernel.stdout.readline().strip())
    below = psutil.Process(kernel.pid).children(recursive=True)
    assert any(process.name() == "beam.smp" for process in below)
    kernel.kill()
    kernel.wait(timeout=10)
    wait_until(lambda: not folder.exists())
    _, alive = psutil.wait_procs(below, timeout=8)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_debian_is_where_the_sentence_says():
    """The sentence names a package: the machine of these tests can say whether it exists."""
    if not shutil.which("apt-cache"):
        pytest.skip("no Debian")
    shown = subprocess.run(["apt-cache", "show", "rabbitmq-server"], capture_output=True, text=True)
    if shown.returncode:
        pytest.skip("no lists of packages here")
    assert "Package: rabbitmq-server" in shown.stdout

"""The Spring application: built, started, broken, and on the same topics as Python."""

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from airport_image import take_the_jar
from conftest import maven, wait_until
from kafka import KafkaConsumer, KafkaProducer
from secure import shared_cluster

from lab_env import Lab, flights, spring
from lab_env.clusters import docker_cli
from lab_env.ground import loopback
from lab_env.ground.errors import BadInputError, DownloadError, ServiceError
from lab_env.processes import jars
from lab_env.spring import SpringFleet
from lab_env.spring import app as spring_app
from lab_env.spring import log_diagnosis as spring_said
from lab_env.spring import yaml as spring_yaml

ROOT = Path(__file__).parent.parent
KERNEL_ENDS = pytest.mark.skipif(os.name != "posix", reason="kills by signal")
TESTS_TIMEOUT = pytest.mark.timeout(300)
EVENTS = flights.events(flights.table(day="2013-01-01").head(40))
FLOWN = [event for event in EVENTS if event["departed"]]
CANCELLED = next(event for event in EVENTS if not event["departed"])
BINDER = "spring.cloud.stream.kafka.binder."


@pytest.fixture(scope="module")
def lab(trained):
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def producer(lab):
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        yield producer


def composed(source: str, target: str, group: str = "delays", more: str = "") -> str:
    """Return the YAML of delay|category between two topics."""
    return (
        textwrap.dedent(f"""\
        spring.cloud.function.definition: delay|category
        spring.cloud.stream.bindings:
          delaycategory-in-0:
            destination: {source}
            group: {group}
          delaycategory-out-0:
            destination: {target}
        """)
        + more
    )


def publish(producer, topic: str, events, **options) -> None:
    for event in events:
        key = event["tail_number"].encode()
        producer.send(topic, json.dumps(event).encode(), key=key, **options)
    producer.flush()


def ends(process: psutil.Process, seconds: float = 8.0) -> bool:
    """Return whether a process that may be nobody's child has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


# -- the lock and the pom -----------------------------------------------------------------------


def test_the_lock_was_made_of_this_pom():
    head = spring_app.LOCK.read_text(encoding="utf-8").splitlines()[1]
    assert head == jars.POM_MARK + spring_app.pom_hash(), "run .ci/make_spring_lock.py"


def test_another_version_in_the_pom_is_another_hash(tmp_path, monkeypatch):
    before = spring_app.pom_hash()
    text = spring_app.POM.read_text(encoding="utf-8")
    pom = tmp_path / "pom.xml"
    monkeypatch.setattr(spring_app, "POM", pom)
    for old, new in (
        ("<version>4.0.7</version>", "<version>4.0.6</version>"),
        ("<spring-cloud.version>2025.1.4", "<spring-cloud.version>2025.1.3"),
        ("<artifactId>spring-boot-jackson", "<artifactId>spring-boot-json"),
    ):
        assert old in text
        pom.write_text(text.replace(old, new), encoding="utf-8")
        assert spring_app.pom_hash() != before
    pom.write_text(text.replace("<description>", "<description>New: "), encoding="utf-8")
    assert spring_app.pom_hash() == before


@TESTS_TIMEOUT
def test_maven_agrees_with_the_lock(mvn):
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "make_spring_lock.py", "--check"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(lab, mvn, tmp_path_factory):
    """A copy of the project, built by Maven with all its tests against this lab's broker."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "deploy" / "compose", folder / "deploy" / "compose")
    shutil.copy(ROOT / "docker-compose.yml", folder)
    address = lab.connection["bootstrap_servers"][0]
    done = maven(folder / "services" / "airport", "verify", f"-Dkafka.brokers={address}")
    assert done.returncode == 0, done.stdout[-4000:]
    take_the_jar(folder / "services" / "airport")
    (folder / "said.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@TESTS_TIMEOUT
@pytest.mark.shares_a_lab
def test_maven_builds_it_and_its_own_tests_pass_on_this_broker(project):
    said = (project / "said.txt").read_text(encoding="utf-8")
    assert "Tests run: 1, Failures: 0, Errors: 0, Skipped: 0" in said  # the whole way
    jar = project / "services" / "airport" / "target" / "airport.jar"
    assert jar.stat().st_size > 30e6


@TESTS_TIMEOUT
@pytest.mark.shares_a_lab
def test_as_containers_it_shares_a_group_and_is_seen_from_here(project, temurin):
    port = loopback.free_ports(1)[0]
    files = [project / "docker-compose.yml", project / "deploy" / "compose" / "airport.yml"]
    compose = docker_cli.Project(f"airport-{port}", files, {"KAFKA_PORT": str(port)})
    assert compose.configuration()["services"].keys() == {"kafka", "airport"}
    try:
        compose.asked("up", "--build", "--wait", "--scale", "airport=2", seconds=240)
        with Lab(f"127.0.0.1:{port}") as outside:
            observer = outside.watch("flights.departed", groups=["delays"])
            assert outside.until(lambda: len(owners(outside, "delays")) == 2, 30)
            wait_until(lambda: observer.members["member"].nunique() == 2)
            assert outside.until(lambda: len(outside.records("flights.delayed")) > 3, 30)
            assert all(name.startswith("airport-delays-") for name in owners(outside, "delays"))
    finally:
        compose.run("down", "--volumes", "--rmi", "local", seconds=60)


# -- the YAML -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spring:\n  cloud: [", "Line"),
        ("spring:\n\tcloud: 1", "Line 2.*tab"),
        ("spring: cloud: 1", "Line 1"),
        ("- spring", "is a list"),
        ("sprnig:\n  cloud: 1", "Did you mean spring"),
        ("srping.cloud.function.definition: gates", "Did you mean spring"),
        ("serverr.port: 1", "Did you mean server"),
    ],
)
def test_a_yaml_that_cannot_work_is_told_before_anything_starts(text, said):
    with pytest.raises(BadInputError, match=said):
        spring_yaml.read(text)


def test_flat_and_nested_names_are_the_same():
    nested = "spring:\n  cloud:\n    function:\n      definition: gates\n"
    flat = "spring.cloud.function:\n  definition: gates\n"
    assert (
        spring_yaml.read(nested)
        == spring_yaml.read(flat)
        == {"spring.cloud.function.definition": "gates"}
    )
    assert spring_yaml.read("") == {}
    assert spring_yaml.read("airport.work: 200ms\nmanagement.x: 1\nmyown: 2")  # not our business


@pytest.mark.parametrize(
    ("definition", "bindings"),
    [
        ("departures", {"departures-out-0"}),
        ("statistics;gates", {"statistics-in-0", "gates-in-0"}),
        ("delay|category", {"delaycategory-in-0", "delaycategory-out-0"}),
        ("delay,category", {"delaycategory-in-0", "delaycategory-out-0"}),
        ("departures|delay", {"departuresdelay-out-0"}),
        ("delay|statistics", {"delaystatistics-in-0"}),
        ("nothing", set()),
        ("", set()),
    ],
)
def test_the_names_of_bindings_follow_from_the_definition(definition, bindings):
    properties = {spring_yaml.DEFINITION: definition}
    assert set(spring_yaml.expected(properties)) == bindings


def test_what_spring_passes_over_in_silence_is_told():
    def warned(**properties):
        return spring_yaml.warnings({k.replace("__", "."): v for k, v in properties.items()})

    binding = spring_yaml.BINDINGS
    delays = {spring_yaml.DEFINITION: "delay|category"}
    right = {f"{binding}delaycategory-in-0.group": "g", f"{binding}delaycategory-out-0.group": "g"}
    assert warned(**delays, **right) == []
    assert (
        warned(**delays, **{f"{spring_yaml.KAFKA_BINDINGS}delaycategory-in-0.consumer.x": 1}) == []
    )
    renamed = {f"{spring_yaml.RENAMED}delaycategory-in-0": "flights", f"{binding}flights.group": 1}
    assert warned(**delays, **renamed) == []
    assert (
        warned(**delays, **{"spring.cloud.stream.output-bindings": "x", f"{binding}x.group": 1})
        == []
    )
    (said,) = warned(**delays, **{f"{binding}delaycategory-in-1.group": "g"})
    assert "delaycategory-in-1" in said
    assert "Did you mean delaycategory-in-0?" in said
    (said,) = warned(**delays, **{f"{binding}input.destination": "t", f"{binding}input.group": "g"})
    assert "There are: delaycategory-in-0, delaycategory-out-0" in said
    (said,) = warned(**right)
    assert "no spring.cloud.function.definition" in said
    (said,) = warned(**{spring_yaml.DEFINITION: "dellay"})
    assert "Did you mean delay?" in said


# -- one instance, and Python beside it ---------------------------------------------------------


@pytest.mark.shares_a_lab
def test_keys_headers_null_values_and_partitions_come_through_both_ways(lab, producer):
    source, target = lab.topic("way.in", partitions=6), lab.topic("way.out", partitions=6)
    publish(producer, source, FLOWN, headers=[("source", b"python"), ("bytes", b"\x00\xff")])
    producer.send(source, None, key=b"N00000")  # deletes a key: there is no flight to tell of
    producer.flush()
    app = lab.spring(composed(source, target, "way"), name="way")
    assert lab.until(lambda: len(lab.records(target)) == len(FLOWN), 20)
    before, after = lab.records(source), lab.records(target)
    placed = dict(zip(before["key"], before["partition"], strict=True))
    for record in after.itertuples():
        assert record.partition == placed[record.key]  # murmur2 on both sides
        assert record.key == record.value["tail_number"]
        assert record.headers["source"] == "python"
        assert record.headers["bytes"] == b"\x00\xff"
        event = {k: v for k, v in record.value.items() if k not in ("delay", "category")}
        assert event in FLOWN  # the very shape that Python wrote
        assert record.value["delay"] == event["delay_minutes"]
        late = record.value["delay"] > 15
        assert record.value["category"] == ("late" if late else record.value["category"])
    # the null value was taken, and brought nobody down
    assert lab.until(lambda: committed(lab, "way") == len(FLOWN) + 1, 10)
    assert "ERROR" not in app.log
    app.stop()


def committed(lab, group: str) -> int:
    """Return the sum of a group's committed offsets."""
    from kafka import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        return sum(o.offset for o in admin.list_group_offsets([group])[group].values())


@pytest.mark.shares_a_lab
def test_springs_own_hash_places_a_key_elsewhere_and_its_key_stays(lab, producer):
    source, target = lab.topic("hash.in", partitions=6), lab.topic("hash.out", partitions=6)
    publish(producer, source, FLOWN)
    more = (
        "spring.cloud.stream.bindings.delaycategory-out-0.producer:\n"
        "  partition-key-expression: payload.tailNumber\n"
        "  partition-count: 6\n"
    )
    app = lab.spring(composed(source, target, "hash", more), name="hash")
    assert lab.until(lambda: len(lab.records(target)) == len(FLOWN), 20)
    placed = {r.key: r.partition for r in lab.records(source).itertuples()}
    moved = {r.key: r.partition for r in lab.records(target).itertuples()}
    assert moved.keys() == placed.keys()
    assert any(placed[key] != moved[key] for key in placed)
    text = {key: java_hash(key) % 6 for key in placed}
    assert moved == text  # String.hashCode, as the framework says
    app.stop()


def java_hash(text: str) -> int:
    """Return the absolute value of Java's String.hashCode."""
    value = 0
    for sign in text:
        value = (31 * value + ord(sign)) & 0xFFFFFFFF
    return abs(value - (1 << 32) if value >= 1 << 31 else value)


@pytest.mark.shares_a_lab
def test_a_supplier_publishes_real_flights_and_statistics_are_kept(lab):
    topic = lab.topic("supplied", partitions=3)
    yaml = f"""
spring.cloud.function.definition: departures;statistics
spring.cloud.stream.bindings:
  departures-out-0:
    destination: {topic}
    producer.poller.fixed-delay: 50
  statistics-in-0: {{destination: {topic}, group: statistics}}
"""
    app = lab.spring(yaml, name="supplier")
    assert lab.until(lambda: app.get("/actuator/statistics")["flights"] >= 30, 20)
    app.stop()
    records = lab.records(topic).sort_values("timestamp", kind="stable")
    published = sorted(value["id"] for value in records["value"].head(20))
    assert set(published) <= {event["id"] for event in EVENTS}
    assert all(r.key == r.value["tail_number"] for r in records.itertuples())


@pytest.mark.shares_a_lab
def test_a_gate_is_answered_where_the_request_says(lab, producer):
    requests, replies = lab.topic("gates.in"), lab.topic("gates.out")
    yaml = f"""
spring.cloud.function.definition: gates
spring.cloud.stream.bindings.gates-in-0: {{destination: {requests}, group: desk}}
"""
    headers = [("reply-topic", replies.encode()), ("correlation-id", b"42")]
    producer.send(requests, b'{"flight": "UA1545"}', headers=headers)
    producer.flush()
    app = lab.spring(yaml, name="gates")
    assert lab.until(lambda: len(lab.records(replies)) == 1, 20)
    (reply,) = lab.records(replies).itertuples()
    assert reply.value == {"flight": "UA1545", "gate": "B16"}
    assert reply.headers["correlation-id"] == "42"
    app.stop()


@pytest.mark.shares_a_lab
def test_a_poison_record_is_tried_again_and_put_aside_with_its_cause(lab, producer):
    source, target = lab.topic("poison.in", partitions=6), lab.topic("poison.out", partitions=6)
    parked = lab.topic("poison.parked", partitions=6)
    publish(producer, source, [FLOWN[0], CANCELLED, *FLOWN[1:5]])
    more = f"""\
spring.cloud.stream.bindings.delaycategory-in-0.consumer:
  max-attempts: 2
  back-off-initial-interval: 100
spring.cloud.stream.kafka.bindings.delaycategory-in-0.consumer:
  enable-dlq: true
  dlq-name: {parked}
"""
    app = lab.spring(composed(source, target, "poison", more), name="poison")
    assert lab.until(lambda: len(lab.records(target)) == 5 and len(lab.records(parked)), 20)
    consumer = KafkaConsumer(
        parked, **lab.connection, auto_offset_reset="earliest", consumer_timeout_ms=5000
    )
    with contextlib.closing(consumer):
        record = next(consumer)
    headers = dict(record.headers)
    (origin,) = (r for r in lab.records(source).itertuples() if not r.value["departed"])
    assert record.key == CANCELLED["tail_number"].encode()
    assert json.loads(record.value) == CANCELLED
    assert record.partition == origin.partition
    assert headers["x-original-topic"] == source.encode()
    assert int.from_bytes(headers["x-original-partition"], "big") == origin.partition
    assert int.from_bytes(headers["x-original-offset"], "big") == origin.offset
    assert b"has no departure time" in headers["x-exception-message"]
    assert b"airport.DelaysConfiguration" in headers["x-exception-stacktrace"]
    # the log can be read in class: the cause, and no 170 lines of frames
    assert "has no departure time" in app.log
    assert "\tat " not in app.log
    assert len(app.log.splitlines()) < 30
    app.stop()


@pytest.mark.shares_a_lab
def test_two_functions_without_a_definition_bind_nothing_and_it_is_told(lab, capsys):
    app = lab.spring(composed("none.in", "none.out").split("\n", 1)[1], name="silent")
    assert app.bindings().empty
    assert "no spring.cloud.function.definition" in capsys.readouterr().out
    # what the lesson shows: a typo in a binding's name binds the function to a topic of its name
    app.restart(composed("typo.in", "typo.out").replace("delaycategory-in-0", "delaycategory-in-1"))
    assert "Did you mean delaycategory-in-0?" in capsys.readouterr().out
    destinations = app.bindings().set_index("binding")["destination"]
    assert destinations["delaycategory-in-0"] == "delaycategory-in-0"
    app.stop()


@pytest.mark.shares_a_lab
def test_a_binding_that_cannot_be_made_is_told_though_the_health_is_up(lab, capsys):
    source, target = lab.topic("unbound.in"), lab.topic("unbound.out")
    text = composed(source, target).replace("    group: delays\n", "")
    more = "spring.cloud.stream.kafka.bindings.delaycategory-in-0.consumer.enable-dlq: true\n"
    app = lab.spring(text + more, name="unbound")
    assert "dead letter topic belongs to a group" in capsys.readouterr().out
    assert app.bindings().set_index("binding")["state"]["delaycategory-in-0"] == "failed"
    app.stop()
    more = (
        "spring.cloud.stream.bindings.delaycategory-out-0.producer: "
        "{partition-key-expression: payload.tailNumber, partition-count: 4}\n"
    )
    app.restart(text + more)
    assert f"wants 4 partitions and the topic {target} has 1" in capsys.readouterr().out
    app.stop()


@pytest.mark.shares_a_lab
def test_bindings_are_paused_stopped_and_started_at_run_time(lab, producer):
    source, target = lab.topic("control.in"), lab.topic("control.out")
    app = lab.spring(composed(source, target, "control"), name="control")
    bindings = app.bindings().set_index("binding")
    assert bindings.loc["delaycategory-in-0"].to_dict() == {
        "destination": source, "group": "control", "state": "running", "input": True
    }  # fmt: skip
    assert bindings["input"].dtype == bool
    assert not bindings.loc["delaycategory-out-0", "input"]

    def state():
        return app.bindings().set_index("binding")["state"]["delaycategory-in-0"]

    publish(producer, source, FLOWN[:1])
    assert lab.until(lambda: len(lab.records(target)) == 1, 20)
    app.pause("delaycategory-in-0")
    assert lab.until(lambda: state() == "paused", 5)
    publish(producer, source, FLOWN[1:2])
    app.resume("delaycategory-in-0")
    assert lab.until(lambda: len(lab.records(target)) == 2, 20)
    app.stop_binding("delaycategory-in-0")
    assert state() == "stopped"
    publish(producer, source, FLOWN[2:3])
    app.start_binding("delaycategory-in-0")  # after bindings(): the bug of Stream's 5.0.4
    assert lab.until(lambda: len(lab.records(target)) == 3, 20)
    with pytest.raises(ServiceError, match=r"no binding 'delay-in-0'\. It has: delaycategory-in-0"):
        app.pause("delay-in-0")
    with pytest.raises(ServiceError, match="nothing at /nowhere"):
        app.get("/nowhere")
    assert app.get("actuator/health")["status"] == "UP"
    marks = [mark.text for mark in lab.journal.marks if mark.subject == "control"]
    assert "control stops delaycategory-in-0" in marks
    app.stop()
    with pytest.raises(ServiceError, match="control is stopped"):
        app.bindings()


# -- several instances --------------------------------------------------------------------------


def owners(lab, group: str) -> dict[str, int]:
    """Return client id -> how many partitions it owns."""
    from kafka import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        members = admin.describe_groups([group])[group]["members"]
    return {
        member["client_id"]: sum(
            len(one["partitions"])
            for one in (member["member_assignment"] or {}).get("assigned_partitions", ())
        )
        for member in members
    }


@pytest.mark.shares_a_lab
def test_a_fleet_shares_the_partitions_with_a_consumer_in_python(lab):
    source, target = lab.topic("fleet.in", partitions=6), lab.topic("fleet.out")
    fleet = lab.spring(composed(source, target, "fleet"), name="fleet", copies=2)
    assert isinstance(fleet, SpringFleet)
    assert [one.name for one in fleet] == ["fleet-1", "fleet-2"]
    assert {"fleet-1", "fleet-2"} <= set(lab.services)
    assert lab.until(lambda: owners(lab, "fleet") == {"fleet-1-0": 3, "fleet-2-0": 3}, 15)
    consumer = KafkaConsumer(source, **lab.connection, group_id="fleet", client_id="python")
    with contextlib.closing(consumer):
        wait_until(lambda: consumer.poll(500) or len(consumer.assignment()) == 2, 20)
        assert owners(lab, "fleet") == {"fleet-1-0": 2, "fleet-2-0": 2, "python": 2}
    fleet["fleet-2"].crash()
    assert fleet["fleet-2"].state == "crashed"
    assert lab.until(lambda: owners(lab, "fleet") == {"fleet-1-0": 6}, 15)
    fleet.restart(composed(source, target, "fleet-2"))
    assert lab.until(lambda: owners(lab, "fleet-2") == {"fleet-1-0": 3, "fleet-2-0": 3}, 15)
    kinds = [mark.kind for mark in lab.journal.marks if mark.subject == "fleet-2"]
    assert kinds == ["start", "crash", "start"]
    for one in fleet:
        assert psutil.Process(one.pid).memory_info().rss < 300e6
    fleet.stop()
    assert {one.state for one in fleet} == {"stopped"}


@pytest.mark.shares_a_lab
def test_two_threads_may_start_at_once(lab):
    source, target = lab.topic("threads.in"), lab.topic("threads.out")

    def start(name):
        return lab.spring(composed(source, target, name), name=name)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, ("thread-a", "thread-b"))
    assert (first.state, second.state) == ("running", "running")
    assert first.port != second.port
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: one.stop(), (first, second)))


@pytest.mark.shares_a_lab
def test_the_same_name_again_replaces_the_first(lab):
    yaml = composed(lab.topic("again.in"), lab.topic("again.out"), "again")
    first = lab.spring(yaml, name="again")
    old = psutil.Process(first.pid)
    second = lab.spring(yaml, name="again")
    assert ends(old)
    assert lab.services["again"] is second
    with pytest.raises(ServiceError, match="Another service has been started"):
        first.restart()
    with pytest.raises(ServiceError, match=r"restart\(yaml\)"):
        second.set(work=1)
    second.stop()


# -- what must be survived ----------------------------------------------------------------------


@pytest.mark.shares_a_lab
def test_killed_in_the_middle_of_a_record_it_comes_again_and_is_counted(lab, producer):
    source, target = lab.topic("crash.in"), lab.topic("crash.out")
    publish(producer, source, FLOWN[:4])
    more = "spring.cloud.stream.kafka.bindings.delaycategory-in-0.consumer.ack-mode: RECORD\n"
    slow = {"airport.work": "700ms"}
    app = lab.spring(composed(source, target, "crash", more), name="crash", **slow)
    assert lab.until(lambda: len(lab.records(target)) >= 2, 20)  # in the middle of the third
    app.crash()
    done = len(lab.records(target))
    assert app.state == "crashed"
    assert done < 4
    app.restart(**{"airport.work": "0ms"})
    assert lab.until(lambda: committed(lab, "crash") == 4, 20)
    sent = [value["id"] for value in lab.records(target)["value"]]
    assert set(sent) == {event["id"] for event in FLOWN[:4]}  # none is lost
    assert 4 <= len(sent) <= 5  # at the most the one in between came twice
    app.stop()


def test_a_broker_restarted_under_it(trained):
    with Lab() as lab, contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        source, target = lab.topic("in"), lab.topic("out")
        app = lab.spring(composed(source, target), name="patient")
        publish(producer, source, FLOWN[:3])
        assert lab.until(lambda: len(lab.records(target)) == 3, 20)
        lab.kill(1)
        lab.start(1)
        publish(producer, source, FLOWN[3:6])
        assert lab.until(lambda: len(lab.records(target)) >= 6, 40)
        assert app.state == "running"
        assert app.get("/actuator/health")["status"] == "UP"


def test_no_broker_is_told_with_the_address(trained, monkeypatch):
    with Lab() as lab:
        nobody = {BINDER + "brokers": "127.0.0.1:1"}
        with pytest.raises(ServiceError, match=r"cannot reach Kafka at /127\.0\.0\.1:1"):
            lab.spring(composed("a", "b"), **nobody)
        assert lab.services["spring"].state == "crashed"


@pytest.mark.shares_a_lab
def test_a_port_that_is_taken_is_told_before_and_by_spring_itself(lab):
    yaml = composed(lab.topic("port.in"), lab.topic("port.out"), "port")
    first = lab.spring(yaml, name="first")
    with pytest.raises(ServiceError, match=f"something else listens on port {first.port}"):
        lab.spring(yaml, name="second", **{"server.port": first.port})
    lab.service(lambda service: None, name="plain")  # whose name it is to take
    with pytest.raises(ServiceError, match=f"something else listens on port {first.port}"):
        lab.spring(yaml, name="plain", **{"server.port": first.port})
    first.stop(seconds=None)  # as every other service
    port = loopback.free_ports(1)[0]
    third = lab.spring(yaml + f"server.port: {port}\n", name="third")
    assert third.port == port
    third.stop()
    with pytest.raises(BadInputError, match="no port"):
        lab.spring(yaml + "server.port: many\n", name="third")


@pytest.mark.shares_a_lab
def test_a_value_that_spring_refuses_is_told_by_its_name(lab):
    more = "spring.cloud.stream.bindings.delaycategory-in-0.consumer.max-attempts: many\n"
    with pytest.raises(ServiceError, match=r"max-attempts, is not what that property takes.*many"):
        lab.spring(composed("a", "b", "g", more), name="refused")


@pytest.mark.shares_a_lab
def test_one_that_is_killed_by_others_is_told(lab):
    app = lab.spring(composed(lab.topic("k.in"), lab.topic("k.out"), "k"), name="victim")
    psutil.Process(app.pid).kill()
    with pytest.warns(RuntimeWarning, match="victim ended by itself. It was ended by SIGKILL"):
        wait_until(lambda: app.state == "failed")
    assert "memory" in app.error  # who else sends it


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("Web server failed to start. Port 8080 was already in use.", "port 8080 is in use"),
        ("java.lang.OutOfMemoryError: Java heap space", "out of memory"),
        ("x.SaslAuthenticationException: bad login", "refused its login"),
        ("x.TopicAuthorizationException: Not authorized", "refused it a right"),
        ("Dispatcher has no subscribers for channel 'a.b'", "Nothing listens to a.b"),
        ("java.lang.IllegalStateException: Unknown binder configuration: rabbit", "binder rabbit"),
        ("10:00:00.000 ERROR Odd (X)\njava.lang.Odd: so odd\n", "most: java.lang.Odd: so odd"),
        ("", "is empty"),
    ],
)
def test_known_messages_become_a_sentence(log, says):
    assert says in spring_said.why(log)


# -- the jars and the cache ---------------------------------------------------------------------


@pytest.fixture
def copied(trained, own_home, tmp_path, monkeypatch):
    """A home of its own with copies of Spring's files, and the broker's jars."""
    home = tmp_path / "home"
    (home / "kafka").mkdir(parents=True)
    kafka, mine = jars.folder(), spring_app.STORE.folder()
    shutil.copytree(mine, home / "kafka" / mine.name, ignore=shutil.ignore_patterns("*.aot"))
    (home / "kafka" / kafka.name).symlink_to(kafka)
    monkeypatch.setenv("KAFKA_LAB_HOME", str(home))
    monkeypatch.setenv("KAFKA_LAB_AOT", "off")
    return spring_app.STORE.jar_folder()


def test_a_second_run_needs_no_network(copied, monkeypatch):
    monkeypatch.setenv(jars.MIRROR_VARIABLE, "http://127.0.0.1:1/")
    with Lab() as lab:
        app = lab.spring(composed(lab.topic("in"), lab.topic("out")))
        assert app.state == "running"


def test_a_jar_that_is_missing_without_a_network_says_what_to_do(copied, monkeypatch):
    monkeypatch.setenv(jars.MIRROR_VARIABLE, "http://127.0.0.1:1/")
    next(copied.glob("spring-core-*.jar")).unlink()
    with (
        Lab() as lab,
        pytest.raises(DownloadError, match=r"Spring's files.*network.*KAFKA_LAB_MIRROR"),
    ):
        lab.spring(composed("a", "b"))


def test_a_jar_damaged_behind_the_stamp_is_fetched_again(copied):
    file = next(copied.glob("spring-boot-4*.jar"))
    stat = file.stat()
    file.write_bytes(b"\0" * stat.st_size)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not spring_app.STORE.bad_jars()  # the stamp cannot know
    with Lab() as lab:
        app = lab.spring(composed(lab.topic("in"), lab.topic("out")))
        assert app.state == "running"
    assert not spring_app.STORE.bad_jars(deep=True)


def test_sources_that_do_not_compile_show_what_the_compiler_says(copied, tmp_path, monkeypatch):
    sources = tmp_path / "airport"
    shutil.copytree(ROOT / "services" / "airport", sources, ignore=lambda *_: ["target"])
    (sources / "src/main/java/airport/Flight.java").write_text("package airport; class {}")
    monkeypatch.setattr(spring_app, "SOURCES", sources)
    with pytest.raises(ServiceError, match=r"(?s)does not compile.*\.java \(at line"):
        spring_app.ensure(progress=False)


def test_the_first_run_compiles_once_and_says_so(copied, capsys):
    for made in spring_app.STORE.folder().glob("airport-*.jar"):
        made.unlink()
    spring_app.ensure()
    assert "Compiling services/airport" in capsys.readouterr().out
    spring_app.ensure()
    assert capsys.readouterr().out == ""


def test_the_java_can_be_read():
    assert "Function<Flight, Flight> delay" in spring.source("Delays")
    assert "record Flight(" in spring.source("Flight")
    with pytest.raises(BadInputError, match="It has: AirportApplication"):
        spring.source("Nothing")


# -- secrets, and the end -----------------------------------------------------------------------


@TESTS_TIMEOUT
def test_a_shared_cluster_with_tls_and_a_password_that_stands_nowhere(
    trained, tmp_path, monkeypatch, capsys
):
    with shared_cluster(tmp_path) as shared:
        for name, value in shared.variables("ana").items():
            monkeypatch.setenv(name, value)
        with Lab() as lab, contextlib.closing(KafkaProducer(**lab.connection)) as producer:
            source, target = lab.topic("in", partitions=2), lab.topic("out", partitions=2)
            publish(producer, source, FLOWN[:3])
            app = lab.spring(composed(source, target, lab.group("delays")))
            assert lab.until(lambda: len(lab.records(target)) == 3, 20)
            password = "ana's password"
            assert password not in " ".join(psutil.Process(app.pid).cmdline())
            folder = Path(psutil.Process(app.pid).cwd())
            for file in folder.rglob("*.yml"):
                assert password not in file.read_text(encoding="utf-8")
            assert password not in app.log
            lab.spring(composed("foreign", "topics", "group"), name="foreign")
            assert "refused it a right (Topic" in capsys.readouterr().out


def test_the_end_of_the_lab_is_the_end_of_all(trained):
    lab = Lab()
    app = lab.spring(composed(lab.topic("in"), lab.topic("out")))
    process, folder = psutil.Process(app.pid), Path(psutil.Process(app.pid).cwd())
    began = time.monotonic()
    lab.close()
    assert time.monotonic() - began < 10  # against hanging
    assert ends(process)
    assert not folder.exists()
    assert app.state in ("stopped", "crashed")
    assert "Started AirportApplication" in app.log  # kept


@KERNEL_ENDS
def test_a_killed_kernel_leaves_no_jvm(trained, tmp_path):
    script = tmp_path / "kernel.py"
    script.write_text(
        "import time\n"
        "from lab_env import Lab\n"
        "lab = Lab()\n"
        'app = lab.spring("spring.cloud.function.definition: departures")\n'
        "print(app.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    kernel = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with kernel.stdout:
        jvm = psutil.Process(int(kernel.stdout.readline()))
        folder = Path(jvm.cwd())
        assert spring_app.MAIN in jvm.cmdline()
        kernel.send_signal(signal.SIGKILL)
        kernel.wait(timeout=10)
    assert ends(jvm)
    wait_until(lambda: not folder.parent.exists())


def test_a_training_ends_with_the_lab(copied, monkeypatch):
    monkeypatch.setenv("KAFKA_LAB_AOT", "on")
    with Lab() as lab:
        lab.spring(composed(lab.topic("in"), lab.topic("out")))
        wait_until(lambda: any(t.name == "lab-spring-training" for t in threading.enumerate()))
    assert not list(spring_app.STORE.folder().glob("*.tmp"))

"""Kafka as containers: starts, faults, leftovers; a real engine, real containers."""

import contextlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import yaml
from conftest import wait_until
from kafka import KafkaConsumer, KafkaProducer

from lab_env import Lab, clusters
from lab_env.clusters import compose, docker_cli, node
from lab_env.course import doctor
from lab_env.ground.errors import BadInputError, BrokerError, NotYoursError
from lab_env.processes import folders

pytestmark = pytest.mark.shares_a_lab
ROOT = Path(__file__).parent.parent
LABEL = docker_cli.PROJECT_LABEL


def containers(*more: str) -> dict[str, str]:
    """Return the containers of labs that are there: name to project."""
    told = docker_cli.asked(
        "ps", "--all", "--filter", f"label={LABEL}", *more, "--format",
        f'{{{{.Names}}}}\t{{{{.Label "{LABEL}"}}}}',
    )  # fmt: skip
    return dict(line.split("\t") for line in told.splitlines())


@pytest.fixture(autouse=True, scope="module")
def no_container_stays(docker_engine, own_home):
    """Fail if a container, a network or a volume of a lab is left when all has been run."""

    def left() -> list[str]:
        volumes = docker_cli.asked("volume", "ls", "--filter", f"label={LABEL}", "--quiet").split()
        networks = docker_cli.asked(
            "network", "ls", "--filter", f"label={LABEL}", "--quiet"
        ).split()
        return [*containers(), *volumes, *networks]

    before = left()
    yield
    wait_until(lambda: not set(left()) - set(before), 60)


@pytest.fixture(scope="module")
def lab():
    """One lab for the tests that leave it as they found it."""
    with Lab("compose") as one:
        yield one


def produce(lab: Lab, topic: str, count: int, **more) -> None:
    with contextlib.closing(KafkaProducer(**lab.connection, **more)) as producer:
        futures = [producer.send(topic, str(n).encode()) for n in range(count)]
        for future in futures:
            future.get(timeout=30)


def compose_up(project: str, port: int, *words: str) -> subprocess.CompletedProcess:
    """Do what a student does by hand: ``docker compose ...`` with the project's own file."""
    return subprocess.run(
        ["docker", "compose", "--project-name", project, *words],
        cwd=ROOT,
        env={**os.environ, "KAFKA_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=240,
    )


@contextlib.contextmanager
def by_hand(project: str, port: int):
    """Have a project that the student started herself."""
    done = compose_up(project, port, "up", "--wait")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        assert compose_up(project, port, "down", "--volumes").returncode == 0


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


def test_records_groups_and_topics(lab):
    assert "compose: broker 1 running" in repr(lab)
    topic = lab.topic("flights.departed", partitions=3)
    produce(lab, topic, 30)
    assert len(lab.records(topic)) == 30
    options = {"group_id": "board", "auto_offset_reset": "earliest"}
    with contextlib.closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
        found = []
        wait_until(lambda: found.extend(consumer.poll(500)) or found, 20)


def test_faults_are_the_containers(lab):
    topic = lab.topic("flights.kept")
    produce(lab, topic, 5)
    (name,) = containers("--filter", "status=running", "--filter", f"label={LABEL}={project(lab)}")
    for fault, state, seen in (
        (lab.kill, "dead", "exited"),
        (lab.start, "running", "running"),
        (lab.stop, "stopped", "exited"),
        (lab.start, "running", "running"),
        (lab.pause, "paused", "paused"),
        (lab.resume, "running", "running"),
    ):
        fault(1)
        assert lab.nodes == {1: state}
        assert docker_cli.asked("inspect", "--format", "{{.State.Status}}", name).strip() == seen
    wait_until(lambda: len(lab.records(topic)) == 5, 30)
    with pytest.raises(BadInputError, match="has to be"):
        lab.resume(1)
    assert "Kafka Server started" in lab.log(1, 200)


def project(lab: Lab) -> str:
    return lab._cluster._project.name


def test_a_container_that_is_killed_from_outside_is_told(lab):
    (name,) = containers("--filter", "status=running", "--filter", f"label={LABEL}={project(lab)}")
    docker_cli.asked("kill", name)
    wait_until(lambda: lab.nodes[1] == "dead")
    assert any("broker 1 died" in mark.text for mark in lab.journal.marks)
    with pytest.raises(BrokerError, match=r"lab\.start\(1\)"):
        lab.topic("flights.late")
    lab.start(1)
    assert lab.topic("flights.late") == "flights.late"


def test_a_second_lab_has_containers_of_its_own(lab):
    assert compose.OWN.fullmatch(project(lab))
    with Lab("compose") as second:
        assert project(second) != project(lab)
        second.topic("flights.departed")
    assert lab.nodes == {1: "running"}


def test_a_broker_is_added(lab):
    node = lab.add_broker()
    assert node == 2
    topic = lab.topic("flights.spread", partitions=4, replication=2)
    produce(lab, topic, 8)
    assert lab.nodes == {1: "running", 2: "running"}
    lab.kill(2)
    lab.start(2)
    assert len(lab.records(topic)) == 8


def test_the_kernel_is_killed_and_nothing_stays():
    body = """
        import time
        from lab_env import Lab
        lab = Lab("compose")
        print(lab._cluster._project.name, flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body)], stdout=subprocess.PIPE, text=True
    )
    with process:
        name = process.stdout.readline().strip()
        assert name in containers().values()
        process.kill()
    wait_until(lambda: name not in containers().values(), 90)


def test_a_supervisor_that_is_killed_too_leaves_it_to_the_next_start():
    import psutil

    lab = Lab("compose")
    name, supervisor = project(lab), lab._cluster._supervised.pid
    psutil.Process(supervisor).kill()
    lab.close()
    assert name in containers().values()
    wait_until(lambda: folders.sweep() or name not in containers().values(), 30)
    assert name not in containers().values()


def test_what_runs_already_is_joined_and_stays(tmp_path):
    port = free_port()
    with by_hand("kafka-lab-by-hand", port):
        with contextlib.closing(KafkaProducer(bootstrap_servers=f"127.0.0.1:{port}")) as hers:
            hers.send("flights.hers", b"UA1545").get(timeout=60)
        with Lab("compose") as joined:
            assert joined.connection["bootstrap_servers"] == [f"127.0.0.1:{port}"]
            assert project(joined) == "kafka-lab-by-hand"
            with Lab("compose") as second:  # two labs would delete each other's topics
                assert project(second) != "kafka-lab-by-hand"
            topic = joined.topic("flights.stay")
            produce(joined, topic, 3)
        with Lab("compose") as again:
            assert project(again) == "kafka-lab-by-hand"
            assert len(again.records("flights.stay")) == 3
            with pytest.raises(NotYoursError, match="no lab of yours has made it"):
                again.topic("flights.hers")
            assert len(again.records("flights.hers")) == 1
            again.topic("flights.stay")
            assert len(again.records("flights.stay")) == 0


def test_two_checkouts_at_once_and_a_client_in_a_container(tmp_path):
    one, two = free_port(), free_port()
    with by_hand("checkout-one", one), by_hand("checkout-two", two):
        for port in (one, two):
            with contextlib.closing(KafkaProducer(bootstrap_servers=f"127.0.0.1:{port}")) as p:
                p.send("flights.departed", b"UA1545").get(timeout=20)
        # from a container the broker has another name, and says so itself
        tool = [
            "run", "--rm", "--network", "checkout-one_default", "--entrypoint", "/bin/bash",
            "apache/kafka:4.3.1", "-c", "exec 3<>/dev/tcp/kafka/19092 && echo reached",
        ]  # fmt: skip
        assert docker_cli.asked(*tool, seconds=60).strip() == "reached"


def test_a_port_that_is_taken_is_told(monkeypatch):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("KAFKA_PORT", str(port))
        with pytest.raises(BrokerError, match=rf"port .* is taken \({port}\).*KAFKA_PORT"):
            Lab("compose")


def test_an_image_that_cannot_be_fetched_is_told(monkeypatch, tmp_path):
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    file = tmp_path / "docker-compose.yml"
    file.write_text(text.replace("apache/kafka:4.3.1", "127.0.0.1:1/no/such:1"), encoding="utf-8")
    monkeypatch.setattr(compose, "file", lambda name: file)
    with pytest.raises(BrokerError, match=r"127.0.0.1:1/no/such:1 .* could not be fetched"):
        Lab("compose")


def test_too_little_memory_is_told(monkeypatch):
    monkeypatch.setattr(docker_cli, "memory", lambda: 300_000_000)
    with pytest.raises(BrokerError, match=r"has 0.3 GB of memory"):
        Lab("compose")


def test_the_volume_of_another_cluster_is_told(monkeypatch):
    name, port = "kafka-lab-other-cluster", free_port()
    with by_hand(name, port):
        compose_up(name, port, "down")
        docker_cli.asked(
            "run", "--rm", "--user", "0", "--volume", f"{name}_kafka-data:/data",
            "--entrypoint", "/bin/sh", "apache/kafka:4.3.1", "-c",
            "sed -i s/cluster.id=.*/cluster.id=AAAAAAAAAAAAAAAAAAAAAA/ /data/meta.properties",
            seconds=60,
        )  # fmt: skip
        started = docker_cli.Project(name, [ROOT / "docker-compose.yml"], {"KAFKA_PORT": str(port)})
        one = object.__new__(compose.Compose)
        one._project = started
        with pytest.raises(BrokerError, match=rf"another Kafka cluster.*{name} down --volumes"):
            one._up("kafka")


@pytest.mark.parametrize("brokers", [2, 4])
def test_other_numbers_of_brokers_are_refused_at_once(brokers):
    with pytest.raises(BadInputError, match="one broker or three"):
        Lab("compose", brokers=brokers)


@pytest.mark.timeout(400)
def test_three_brokers_lose_no_acknowledged_record_though_all_are_killed():
    with Lab("compose", brokers=3) as lab:
        topic = lab.topic("flights.safe", partitions=3, replication=3, min_insync_replicas=2)
        produce(lab, topic, 300, acks="all")
        for node in (1, 2, 3):
            lab.kill(node)
        for node in (1, 2, 3):
            lab._cluster._project.run("start", f"kafka-{node}")
            lab._cluster._states[node] = "running"
        wait_until(lambda: len(_records(lab, topic)) == 300, 90)


def _records(lab: Lab, topic: str) -> list:
    with contextlib.suppress(BrokerError):
        return lab.records(topic)["value"].tolist()
    return []


def test_brokers_that_come_back_with_each_others_address_are_told_apart():
    """The engine gives addresses anew at each start; Java would believe in the old ones."""

    def address(node: int) -> str:
        labels = f"project={lab._cluster._project.name}", f"service=kafka-{node}"
        filters = [
            word for one in labels for word in ("--filter", f"label=com.docker.compose.{one}")
        ]
        (id,) = docker_cli.asked("ps", "--quiet", *filters).split()
        return docker_cli.asked(
            "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id
        ).strip()  # fmt: skip

    with Lab("compose", brokers=3) as lab:
        topic = lab.topic("flights.safe", partitions=3, replication=3)
        watch = lab.watch(topic)
        produce(lab, topic, 30, acks="all")
        before = {node: address(node) for node in (2, 3)}
        for node in before:
            lab.kill(node)
        # who starts first gets the lowest address that is free
        low, high = sorted(before, key=lambda node: ipaddress.ip_address(before[node]))
        for node in (high, low):
            lab._cluster._project.run("start", f"kafka-{node}")
            lab._cluster._states[node] = "running"
        assert (address(low), address(high)) == (before[high], before[low])

        def at_home() -> bool:
            kept = watch.samples[-1].leaders.values()
            return sorted(one.leader for one in kept) == [1, 2, 3]

        wait_until(at_home, 60)
        patience = {"request_timeout_ms": 5000, "delivery_timeout_ms": 60_000}
        with KafkaProducer(**lab.connection, acks="all", **patience) as producer:
            sent = [producer.send(topic, b"late", partition=number) for number in range(3)]
            assert [one.get(timeout=70).partition for one in sent] == [0, 1, 2]


def test_the_engine_is_chosen_by_itself_and_else_told_why(monkeypatch, capsys):
    monkeypatch.delenv("KAFKA_LAB")
    with Lab() as lab:
        assert "compose" in repr(lab)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with Lab() as lab:
        assert "embedded" in repr(lab)
    assert "Docker's engine does not answer" in capsys.readouterr().out
    with pytest.raises(BadInputError, match=r"compose cannot be used here: Docker's engine"):
        Lab("compose")


def test_no_docker_at_all_is_told_in_a_line(monkeypatch, capsys):
    monkeypatch.delenv("KAFKA_LAB")
    monkeypatch.setenv("PATH", "")
    assert clusters.choose() is None
    with Lab() as lab:
        assert "embedded" in repr(lab)
    assert "There is no docker command" in capsys.readouterr().out


def test_the_doctor_tells_of_engine_and_image():
    found = [finding.what for finding in doctor.docker()]
    assert any("Docker answers" in what for what in found)
    assert any("apache/kafka:4.3.1 is here" in what for what in found)


# -- the files ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [compose.ONE, compose.THREE])
def test_the_files_are_what_a_careful_owner_would_copy(name):
    told = docker_cli.Project("look", [ROOT / name], {}).configuration()
    for service in told["services"].values():
        assert service["image"] == "apache/kafka:4.3.1"
        assert "container_name" not in service
        assert service["mem_limit"]
        assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
        assert service["volumes"][0]["type"] == "volume"
        assert "zookeeper" not in json.dumps(service).lower()
        assert "dev/tcp" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize(("name", "brokers"), [(compose.ONE, 1), (compose.THREE, 3)])
def test_a_container_is_set_as_the_embedded_kafka_is(name, brokers):
    """The same lesson takes the same time: what one waits for, the other does not wait longer."""
    own = {"listeners", "advertised.listeners", "listener.security.protocol.map", "node.id",
           "inter.broker.listener.name", "controller.quorum.voters", "log.dirs"}  # fmt: skip
    embedded_settings = {
        f"KAFKA_{key.upper().replace('.', '_')}": str(value)
        for key, value in node.server_properties(
            1, "broker,controller", 1, 2, "1@x:2", brokers
        ).items()
        if key not in own
    }
    services = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"]
    assert len(services) == brokers
    for service in services.values():
        theirs = {key: str(value) for key, value in service["environment"].items()}
        both = embedded_settings.keys() & theirs.keys()
        assert {key: theirs[key] for key in both} == {key: embedded_settings[key] for key in both}
        waited_for = [
            key for key in embedded_settings if key.startswith(("KAFKA_GROUP", "KAFKA_LOG"))
        ]
        assert set(waited_for) <= theirs.keys()


def test_plain_up_starts_one_broker():
    told = docker_cli.Project("look", [ROOT / "docker-compose.yml"], {}).configuration()
    assert list(told["services"]) == ["kafka"]


def test_the_engine_is_stopped_in_the_middle():
    """An engine of its own, so that nobody else's containers stop with it."""
    bridge = Path("/sys/class/net/docker0")
    had_one = bridge.exists()
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder:
        stop_an_engine(Path(folder))  # a socket's path has 100 signs at the most
    assert bridge.exists() == had_one


def stop_an_engine(tmp_path: Path) -> None:
    dockerd = shutil.which("dockerd")
    assert dockerd, "this test starts an engine of its own: install docker.io"
    host = f"unix://{tmp_path}/engine.sock"
    # in a network of its own: an engine without a bridge removes that of the engine which is there
    words = ["unshare", "--net", dockerd, "--host", host, "--bridge", "none", "--iptables=false",
             "--ip-masq=false", "--storage-driver", "vfs", "--data-root", tmp_path / "data",
             "--exec-root", tmp_path / "exec", "--pidfile", tmp_path / "pid"]  # fmt: skip
    with open(tmp_path / "log", "w") as log:
        started = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", host)
            wait_until(lambda: docker_cli.unavailable() is None, 40)
            assert docker_cli.memory() > 0
            started.terminate()
            started.wait(30)
            assert "does not answer" in docker_cli.unavailable()
            assert [f.good for f in doctor.docker()] == [None]
    finally:
        started.kill()
        started.wait()


def test_an_engine_that_goes_is_told_by_the_lab(lab, monkeypatch):
    """The stream of events ends with the engine; what the lab says then."""
    cluster = lab._cluster
    with monkeypatch.context() as patch:
        patch.setattr(docker_cli, "unavailable", lambda: "gone")
        cluster._events.kill()
        wait_until(lambda: lab.nodes[1] == "dead")
        with pytest.raises(BrokerError, match="Docker's engine does not answer any more"):
            lab.topic("flights.gone")
    lab.start(1)
    assert lab.topic("flights.back") == "flights.back"

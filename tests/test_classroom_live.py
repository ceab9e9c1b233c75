"""A class, live, on a real cluster with TLS, passwords and rights: told, read, kept apart, left."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError, TopicAuthorizationFailedError
from secure import NOBODY, shared_cluster

from lab_env import classroom
from lab_env.classroom import membership, records, sending, watching
from lab_env.clusters import client_config
from lab_env.course import cli
from lab_env.ground.errors import BrokerError
from lab_env.processes import folders

pytestmark = [pytest.mark.shares_a_lab, pytest.mark.usefixtures("own_home")]
WORD = "kilo-27"
TEACHER = NOBODY[0]  # a user who has no right but those of whoever teaches


@contextlib.contextmanager
def class_cluster(folder):
    """Start a cluster with the rights that docs/class_on_a_cluster.md names.

    Args:
        folder: for the certificates.
    """
    with shared_cluster(folder) as one:
        everyone = ResourcePattern(ResourceType.TOPIC, "class.", ACLResourcePatternType.PREFIXED)
        every_topic = ResourcePattern(ResourceType.TOPIC, "*")
        rights = [
            ("User:*", ACLOperation.DESCRIBE, everyone),
            (f"User:{TEACHER}", ACLOperation.ALL, everyone),
            (f"User:{TEACHER}", ACLOperation.READ, every_topic),
        ]
        with contextlib.closing(KafkaAdminClient(**one.own)) as admin:
            admin.create_acls(
                [
                    ACL(who, "*", operation, ACLPermissionType.ALLOW, pattern)
                    for who, operation, pattern in rights
                ]
            )
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One cluster for all these tests."""
    with class_cluster(tmp_path_factory.mktemp("certificates")) as one:
        yield one


@pytest.fixture
def student(shared, monkeypatch, tmp_path):
    """Return what makes this process the notebook of a student, each with a home of her own."""

    def be(user: str) -> None:
        sending.close()
        for name, value in shared.variables(user).items():
            monkeypatch.setenv(name, value)
        (tmp_path / user).mkdir(exist_ok=True)
        monkeypatch.setenv(folders.HOME_VARIABLE, str(tmp_path / user))

    yield be
    sending.close()


@pytest.fixture
def course(shared, student):
    """A class on the cluster, made by whoever teaches; and what she sees of it, up to date."""
    student(TEACHER)
    membership.open_class(WORD)
    with (
        contextlib.closing(KafkaAdminClient(**shared.own)) as admin,
        watching.Watcher(client_config.of_class().connection, WORD) as watcher,
    ):

        def sees(condition):
            def look():
                watcher.look(0.2)
                return condition(watcher.gathering)

            return wait_until(look, 60)

        yield sees
        names = admin.list_topics()
        for name in names:
            if records.student_of(name, WORD) or name == records.class_topic(WORD):
                membership.remove(admin, name)


def lab(*words: str, answer: str | None = None) -> str:
    """Return what a command says."""
    done = CliRunner().invoke(cli.lab, words, input=answer)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def lines_of(shared, topic: str) -> list[tuple[bytes, bytes]]:
    """Return all that was written into a topic, as whoever runs the cluster reads it."""
    place = TopicPartition(topic, 0)
    with contextlib.closing(KafkaConsumer(**shared.own, auto_offset_reset="earliest")) as consumer:
        consumer.assign([place])
        end, found = consumer.end_offsets([place])[place], []
        while consumer.position(place) < end:
            for batch in consumer.poll(timeout_ms=200).values():
                found += [(record.key, record.value) for record in batch]
    return found


def test_what_a_notebook_tells_is_seen_and_the_student_can_read_each_record(
    shared, student, course
):
    student("ana")
    said = lab("join", WORD.upper(), "--name", "Ana B.")
    assert "ana.lab-class.kilo-27" in said
    assert "Never your code" in said
    sending.at("02", "three-trucks")
    sending.predicted("02", "three", "60")
    course(lambda seen: seen.votes("02 three").now == {"60": 1})
    sending.predicted("02", "three", "20")
    sending.happened("02", "three", "20", "20")
    sending.tried(records.EXERCISE, "02", "drained", False, "point_to_point.slow")
    lab("hand")
    seen = course(lambda seen: seen.hands() == ["Ana B."] and seen.held_up() and seen)
    assert seen.places() == {("02", "three-trucks"): ["Ana B."]}
    votes = seen.votes("02 three")
    assert (votes.first, votes.now, votes.was) == ({"60": 1}, {"20": 1}, "20")
    assert seen.held_up()[0].why == [("point_to_point.slow", 1)]
    lab("hand", "--down")
    course(lambda seen: seen.hands() == [])
    # what the command shows is what went out: no more, no less
    told = lab("join").splitlines()[1:]
    sent = [
        (key.decode(), json.loads(value))
        for key, value in lines_of(shared, "ana.lab-class.kilo-27")
    ]
    assert [(key, json.loads(value)) for _, key, value in (one.split("  ") for one in told)] == sent
    assert {key.partition(" ")[0] for key, _ in sent} <= records.FIELDS.keys()


def test_a_word_that_nobody_has_opened_is_told(student):
    student("ana")
    with pytest.raises(BrokerError, match="no class nobody-has"):
        membership.join("nobody-has", "Ana")
    assert membership.kept() is None


def test_nobody_writes_in_anothers_name_reads_another_or_erases_a_class(shared, student, course):
    for user in ("ana", "ben"):
        student(user)
        lab("join", WORD, "--name", user)
    anas = records.student_topic("ana", WORD)
    connection = client_config.of_class().connection  # ben's

    def writes(topic: str) -> None:
        plain = {"enable_idempotence": False, "max_block_ms": 5000}
        with contextlib.closing(KafkaProducer(**connection, **plain)) as producer:
            producer.send(topic, b'{"up": true}', key=b"hand").get(timeout=10)

    for topic in (anas, records.class_topic(WORD)):
        with pytest.raises(TopicAuthorizationFailedError):
            writes(topic)
    writes(records.student_topic("ben", WORD))
    with contextlib.closing(KafkaConsumer(**connection)) as consumer:
        consumer.assign([TopicPartition(anas, 0)])
        with pytest.raises(KafkaError):
            consumer.end_offsets([TopicPartition(anas, 0)], timeout_ms=5000)
        consumer.seek(TopicPartition(anas, 0), 0)
        with contextlib.suppress(TopicAuthorizationFailedError):
            assert not consumer.poll(timeout_ms=5000)
    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        for topic in (anas, records.class_topic(WORD)):
            with pytest.raises(KafkaError):
                admin.delete_topics([topic])
            with pytest.raises(KafkaError):
                admin.create_topics({f"{topic}-2": {"num_partitions": 1}})
        assert anas not in admin.list_topics()
    forged = membership.Joined(WORD, "Ana", "ana", "")  # her place in the class, ben's password
    with pytest.raises(BrokerError, match="did not take"):
        sending.now(forged, records.HAND, {"up": True})
    seen = course(lambda seen: seen.students.keys() == {"ana", "ben"} and seen)
    assert seen.hands() == ["ben"]
    assert [key for key, _ in lines_of(shared, anas)] == [b"name"]
    assert lines_of(shared, records.class_topic(WORD)) == []
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        there = {name for name in admin.list_topics() if WORD in name}
    assert there == {anas, records.student_topic("ben", WORD), records.class_topic(WORD)}


def test_who_leaves_is_gone_from_the_cluster_and_from_the_projector(shared, student, course):
    student("ana")
    lab("join", WORD, "--name", "Ana")
    sending.at("02", "start")
    course(lambda seen: seen.places())
    sender = sending._sender
    assert "is gone" in lab("leave")
    sending.at("02", "later")  # nothing is told any more
    assert not sender._goes_on()
    assert membership.kept() is None
    assert not membership.sent_file().exists()
    course(lambda seen: not seen.students)
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        assert records.student_topic("ana", WORD) not in admin.list_topics()
    assert "in no class" in lab("leave")
    lab("join", WORD, "--name", "Ana")  # and may come back, with nothing from before
    seen = course(lambda seen: seen.names() == {"ana": "Ana"} and seen)
    assert seen.places() == {}
    sending.at("02", "start")  # from the notebook that was open all the while
    course(lambda seen: seen.places() == {("02", "start"): ["Ana"]})


def test_a_lost_cluster_costs_a_student_nothing_and_what_counts_arrives_later(
    student, course, monkeypatch, capfd
):
    student("ana")
    lab("join", WORD, "--name", "Ana")
    address = client_config.of_class().connection["bootstrap_servers"][0]
    monkeypatch.setattr(sending, "DELIVERY", 1.0)
    monkeypatch.setattr(sending, "LOST", (0.2, 0.2))
    monkeypatch.setenv(client_config.BOOTSTRAP, "127.0.0.1:9")  # nobody listens there
    capfd.readouterr()
    began = time.monotonic()
    for number in range(20_000):
        sending.at("02", f"cell-{number}")
    for number in range(2 * sending.MOST):
        sending.tried(records.STEP, "02", f"s{number}", False, "x" * 100)
    assert time.monotonic() - began < 60  # a bound against hanging
    sender = sending._sender
    wait_until(lambda: sender._producer is not None, 60)
    wait_until(lambda: sender._producer is None, 60)  # it has given up, and will try again
    assert not sender.sent
    assert len(sender._waiting) <= sending.MOST
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv(client_config.BOOTSTRAP, address)  # the network is back
    sending.at("02", "three-trucks")
    course(lambda seen: ("02", "three-trucks") in seen.places())
    assert capfd.readouterr() == ("", "")


def test_who_leaves_a_lost_cluster_sends_nothing_more_and_leaves_when_it_is_back(
    shared, student, course, monkeypatch
):
    student("ana")
    lab("join", WORD, "--name", "Ana")
    address = client_config.of_class().connection["bootstrap_servers"][0]
    monkeypatch.setenv(client_config.BOOTSTRAP, "127.0.0.1:9")
    with pytest.raises(BrokerError, match="Nothing is sent any more"):
        CliRunner().invoke(cli.lab, ["leave"], catch_exceptions=False)
    assert membership.current() is None
    monkeypatch.setenv(client_config.BOOTSTRAP, address)
    assert "is gone" in lab("leave")
    course(lambda seen: not seen.students)


@pytest.fixture
def kernel(student, monkeypatch):
    """A notebook's kernel of a student, as `lab` starts it; runs a cell by its id."""
    from jupyter_client import KernelManager

    student("ana")
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/02_point_to_point.ipynb")
    manager = KernelManager(kernel_name="python3")
    words = ["--IPKernelApp.log_level=50", "--IPKernelApp.extensions=lab_env.classroom.cells"]
    manager.start_kernel(extra_arguments=words)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(cell: str, code: str) -> str:
        content = {"code": code, "silent": False, "store_history": True}
        message = client.session.msg("execute_request", content, metadata={"cellId": cell})
        client.shell_channel.send(message)
        shown = ""
        while True:
            heard = client.get_iopub_msg(timeout=60)
            if heard["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            content = heard["content"]
            shown += content.get("text", "") + content.get("data", {}).get("text/plain", "")
            shown += "".join(content.get("traceback", []))
            if heard["msg_type"] == "status" and content["execution_state"] == "idle":
                return shown

    yield run
    client.stop_channels()
    manager.shutdown_kernel()


def test_a_notebook_tells_its_cell_and_its_prediction_and_never_its_code(shared, course, kernel):
    assert kernel("start", "1") == "1"  # in no class: nothing is told
    lab("join", WORD, "--name", "Ana")  # while the notebook runs
    assert "tells the class kilo-27, as Ana" in kernel("start", "secret = 'my code'")
    assert kernel("prediction-three", "prediction = ...  # what?") == ""
    assert kernel("prediction-three", "prediction = 60  # a secret remark") == ""
    seen = course(lambda seen: seen.votes("02 three").now == {"60": 1} and seen)
    assert seen.places() == {("02", "prediction-three"): ["Ana"]}
    kernel("three-trucks", "from lab_env import check\ncheck.foreseen('02 three', prediction, 20)")
    course(lambda seen: seen.votes("02 three").was == "20")
    for key, value in lines_of(shared, records.student_topic("ana", WORD)):
        assert not {b"secret", b"code", b"print"} & {*key.split(), *value.split()}
        assert b"secret" not in value


TEN = [f"student-{number}" for number in range(10)]
JOINS = """
import sys
from lab_env.classroom import membership, records, sending
from lab_env.course.cli import lab

lab(["join", sys.argv[1], "--name", "Kim"], standalone_mode=False)
sending.at("02", "three-trucks")
sending.predicted("02", "three", sys.argv[2])
while sending._sender.sent < 2:
    sending._sender._ended.wait(0.05)
"""


def test_ten_students_who_join_at_once_are_all_there_and_told_apart(
    shared, course, tmp_path, monkeypatch
):
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(one, ScramMechanism.SCRAM_SHA_256, one) for one in TEN]
        )
        rights = [
            ACL(
                f"User:{one}",
                "*",
                ACLOperation.ALL,
                ACLPermissionType.ALLOW,
                ResourcePattern(ResourceType.TOPIC, f"{one}.", ACLResourcePatternType.PREFIXED),
            )
            for one in TEN
        ]
        admin.create_acls(rights)
    joining = []
    for number, one in enumerate(TEN):
        own = shared.variables("ana") | {
            "KAFKA_LAB_USERNAME": one,
            "KAFKA_LAB_PASSWORD": one,
            "KAFKA_LAB_PREFIX": one,
            folders.HOME_VARIABLE: str(tmp_path / one),
        }
        words = [sys.executable, "-c", JOINS, WORD, str(number % 3)]
        joining.append(subprocess.Popen(words, env=os.environ | own))
    seen = course(lambda seen: sum(seen.votes("02 three").now.values()) == 10 and seen)
    assert [one.wait(60) for one in joining] == [0] * 10
    assert seen.votes("02 three").now == {"0": 4, "1": 3, "2": 3}
    assert sorted(seen.names().values()) == [f"Kim ({one})" for one in TEN]
    assert len(seen.places()["02", "three-trucks"]) == 10


def test_the_projector_shows_the_class_from_the_command_line(shared, student, monkeypatch):
    student("ben")
    for name in ("USERNAME", "PASSWORD", "SASL", "CA"):
        monkeypatch.delenv(f"KAFKA_LAB_{name}")
    monkeypatch.setenv(client_config.CLASS, shared.own["bootstrap_servers"])
    assert "lab join tango-42     0 joined" in lab("class", "tango-42", "--once")
    lab("join", "tango-42", answer="Ben\n")
    kept = json.loads(membership.file().read_text())
    assert kept["cluster"] == shared.own["bootstrap_servers"]
    assert "1 joined" in lab("class", "tango-42", "--once")
    monkeypatch.delenv(client_config.CLASS)  # a kernel that was started without it knows it too
    lab("hand")
    monkeypatch.setenv(client_config.CLASS, shared.own["bootstrap_servers"])
    assert "✋ Ben" in lab("class", "tango-42", "--once")
    lab("leave")
    assert "is over" in lab("class", "tango-42", "--end")
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        assert not [name for name in admin.list_topics() if "tango-42" in name]


def test_the_picture_of_a_notebook_shows_the_class_live_and_leaves_no_thread(student, course):
    student("ana")
    lab("join", WORD, "--name", "Ana")
    sending.at("02", "three-trucks")
    sending.predicted("02", "three", "60")
    course(lambda seen: seen.votes("02 three").now == {"60": 1})
    student(TEACHER)
    picture = classroom.show(WORD)
    wait_until(lambda: "1 at 02 three-trucks" in picture.sentence, 60)
    assert "1 joined" in picture.sentence
    assert "1 say 60" in picture.sentence
    student("ana")
    sending.predicted("02", "three", "20")
    lab("hand")
    wait_until(lambda: "1 say 20" in picture.sentence and "Hand up: Ana" in picture.sentence, 60)
    sending.happened("02", "three", "20", "20")
    course(lambda seen: seen.votes("02 three").was == "20")
    assert "It was" not in picture.sentence
    picture.reveal()
    wait_until(lambda: "It was: 20" in picture.sentence, 60)
    lab("leave")
    wait_until(lambda: "0 joined" in picture.sentence, 60)
    picture.stop()
    assert picture.error is None
    own = {"class-seen", "lab-pictures"}
    wait_until(lambda: not own & {one.name for one in threading.enumerate()}, 60)


def test_a_kernel_that_ends_while_the_cluster_is_lost_ends_at_once(student, course, monkeypatch):
    student("ana")
    lab("join", WORD, "--name", "Ana")
    monkeypatch.setenv(client_config.BOOTSTRAP, "127.0.0.1:9")
    code = (
        "from lab_env.classroom import sending\nimport time\n"
        "sending.at('02', 'start')\n"
        "while sending._sender._producer is None: time.sleep(0.05)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")

"""Observation: groups of both protocols, members with one name, and what vanishes meanwhile."""

import contextlib
import threading

import pytest
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from lab_env import Lab
from lab_env.observation import queries

SECONDS = 30
shares_a_lab = pytest.mark.shares_a_lab


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab() as lab:
        yield lab


@pytest.fixture
def admin(lab):
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        yield admin


class NewMember:
    """A member of a group of the new protocol (KIP-848), polling in a thread."""

    def __init__(self, lab, topic, group, name):
        import confluent_kafka

        self.consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": ",".join(lab.connection["bootstrap_servers"]),
                "group.id": group,
                "client.id": name,
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
            }
        )
        self.consumer.subscribe([topic])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ended.is_set():
            self.consumer.poll(0.1)
        self.consumer.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join(SECONDS)


class ClassicMember(NewMember):
    """A member that kafka-python makes, polling in a thread."""

    def __init__(self, lab, topic, group, name):
        options = lab.connection | {"auto_offset_reset": "earliest", "session_timeout_ms": 6000}
        options |= {"heartbeat_interval_ms": 300, "auto_commit_interval_ms": 300}
        self.consumer = KafkaConsumer(topic, group_id=group, client_id=name, **options)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ended.is_set():
            self.consumer.poll(timeout_ms=500)
        self.consumer.close()


def now(lab, group):
    """Return the newest sample of a group."""
    return lab._observer().samples[-1].groups[group]


def shares(lab, group):
    """Return how many partitions each member owns, if the group has settled, else {}."""
    seen = now(lab, group)
    owned = list(seen.owners.values())
    return {name: owned.count(name) for name in seen.members} if seen.state == "Stable" else {}


@shares_a_lab
def test_both_protocols_are_told_alike(lab):
    topic = lab.topic("both", partitions=6)
    lab.watch(topic, groups=("classic-group", "new-group"))
    with (
        ClassicMember(lab, topic, "classic-group", "kafka-python"),
        NewMember(lab, topic, "new-group", "librdkafka"),
    ):
        wait_until(lambda: shares(lab, "classic-group") == {"kafka-python": 6}, SECONDS)
        wait_until(lambda: shares(lab, "new-group") == {"librdkafka": 6}, SECONDS)
        assert now(lab, "classic-group").protocol == "classic"
        assert now(lab, "new-group").protocol == "consumer"
        assert now(lab, "new-group").generation > 0
        assert now(lab, "new-group").coordinator == now(lab, "classic-group").coordinator == 1
    rows = lab.watch().members
    assert set(rows["protocol"]) == {"classic", "consumer"}


@shares_a_lab
def test_a_classic_member_joins_a_group_of_the_new_protocol(lab):
    topic = lab.topic("mixed", partitions=6)
    lab.watch(topic, groups=["mixed"])
    with NewMember(lab, topic, "mixed", "new"):
        wait_until(lambda: shares(lab, "mixed") == {"new": 6}, SECONDS)
        with ClassicMember(lab, topic, "mixed", "old"):
            wait_until(lambda: shares(lab, "mixed") == {"new": 3, "old": 3}, SECONDS)


@shares_a_lab
@pytest.mark.parametrize("kind", [ClassicMember, NewMember])
def test_members_with_one_name_are_told_apart(lab, kind):
    topic = lab.topic("twins", partitions=6)
    lab.watch(topic, groups=[f"twins-{kind.__name__}"])
    group = f"twins-{kind.__name__}"
    with kind(lab, topic, group, "truck"):
        wait_until(lambda: shares(lab, group) == {"truck": 6}, SECONDS)
        with kind(lab, topic, group, "truck"):
            wait_until(lambda: shares(lab, group) == {"truck": 3, "truck (2)": 3}, SECONDS)
        # who stays keeps its name
        wait_until(lambda: shares(lab, group) == {"truck": 6}, SECONDS)


@shares_a_lab
def test_a_group_that_is_deleted_is_dead(lab, admin):
    topic = lab.topic("deleted-group")
    with KafkaProducer(**lab.connection) as producer:
        producer.send(topic, b"x").get(timeout=SECONDS)
    lab.watch(topic, groups=["mortal"])
    assert now(lab, "mortal").state == "Dead"
    with ClassicMember(lab, topic, "mortal", "one"):
        wait_until(lambda: shares(lab, "mortal") == {"one": 1}, SECONDS)
        wait_until(lambda: now(lab, "mortal").committed, SECONDS)
    wait_until(lambda: now(lab, "mortal").state == "Empty", SECONDS)
    admin.delete_groups(["mortal"])
    wait_until(lambda: now(lab, "mortal").state == "Dead", SECONDS)
    assert not now(lab, "mortal").members
    assert not now(lab, "mortal").committed


@shares_a_lab
def test_a_topic_that_grows_and_one_that_is_deleted(lab, admin):
    topic = lab.topic("growing", partitions=2)
    observer = lab.watch(topic)

    def partitions():
        return {p for name, p in observer.samples[-1].ends if name == topic}

    assert partitions() == {0, 1}
    admin.create_partitions({topic: 3})
    wait_until(lambda: partitions() == {0, 1, 2}, SECONDS)
    admin.delete_topics([topic])
    wait_until(lambda: not partitions(), SECONDS)
    wait_until(lambda: not observer.samples[-1].stale, SECONDS)


@shares_a_lab
def test_the_lag_of_the_picture_is_that_of_the_checks_also_after_old_records_have_gone(lab, admin):
    topic, group = lab.topic("kept", partitions=2), lab.group("late")
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        for number in range(20):
            producer.send(topic, b"x", partition=number % 2).get(timeout=20)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    admin.alter_group_offsets(group, {first: OffsetAndMetadata(2, "", -1)})
    admin.delete_records({first: 6, second: 3})
    lab.watch(topic, groups=[group])
    assert queries.lag(lab.connection, topic, group) == {0: 4, 1: 7}
    kept = {(topic, 0): 6, (topic, 1): 3}
    wait_until(lambda: kept.items() <= lab.watch().samples[-1].starts.items(), SECONDS)
    assert lab.watch().samples[-1].before(topic, group) == 11
    admin.alter_group_offsets(group, {second: OffsetAndMetadata(9, "", -1)})
    assert queries.lag(lab.connection, topic, group) == {0: 4, 1: 1}
    wait_until(lambda: lab.watch().samples[-1].lag(topic, group) == 5, SECONDS)
    assert queries.lag(lab.connection, "no-such-topic", group) == {}


def test_a_coordinator_that_dies_and_comes_back(own_home):
    with Lab(brokers=3) as lab:
        topic = lab.topic("flights", partitions=3, replication=3)
        lab.watch(topic, groups=["crew", "other"])
        with (
            ClassicMember(lab, topic, "crew", "one"),
            NewMember(lab, topic, "other", "two"),
        ):
            wait_until(lambda: shares(lab, "crew") == {"one": 3}, SECONDS)
            wait_until(lambda: shares(lab, "other") == {"two": 3}, SECONDS)
            dead = now(lab, "crew").coordinator
            lab.kill(dead)
            wait_until(
                lambda: (
                    now(lab, "crew").coordinator not in (-1, dead)
                    and not lab._observer().samples[-1].stale
                    and shares(lab, "crew") == {"one": 3}
                    and shares(lab, "other") == {"two": 3}
                ),
                60,
            )
            lab.start(dead)
            wait_until(lambda: not lab._observer().samples[-1].stale, SECONDS)

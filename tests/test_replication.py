"""Three brokers: kills, a frozen one, all of them at once; what is seen, and what is not lost."""

import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import KafkaError

from lab_env import Lab
from lab_env.ground.errors import BadInputError, BrokerError

pytestmark = pytest.mark.shares_a_lab
MOVED_SECONDS = 8.0  # a bound against hanging: calm, it takes 2 to 3


@pytest.fixture(scope="module")
def lab(own_home):
    """Three brokers for all tests here, each of which leaves them running and in sync."""
    with Lab(brokers=3) as one:
        yield one


@pytest.fixture
def topic(lab):
    name = lab.topic("flights.departed", partitions=3, replication=3, min_insync_replicas=2)
    lab.watch(name)
    yield name
    for node, state in lab.nodes.items():
        if state == "paused":
            lab.resume(node)
    dead = [node for node, state in lab.nodes.items() if state in ("dead", "stopped")]
    start_together(lab, dead)
    wait_until(lambda: in_sync(lab, name), 60)


def start_together(lab: Lab, nodes: list[int]) -> None:
    if nodes:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lab.start, nodes))


def last(lab: Lab, topic: str) -> dict:
    """Return the partitions as last seen."""
    sample = lab.watch(topic).samples[-1]
    return {p: kept for (name, p), kept in sample.leaders.items() if name == topic}


def in_sync(lab: Lab, topic: str) -> bool:
    return all(len(kept.isr) == 3 and kept.leader > 0 for kept in last(lab, topic).values())


class Operations:
    """A producer in a thread, that notes what was acknowledged and what failed."""

    def __init__(self, lab: Lab, topic: str, **settings):
        self.acknowledged: list[str] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._args = lab.connection | settings, topic
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection, topic = self._args
        with contextlib.closing(KafkaProducer(**connection)) as producer:
            number = 0
            while not self._stop.wait(0.005):
                number += 1
                flight = f"flight-{number}"
                future = producer.send(topic, json.dumps({"id": flight}).encode())
                future.add_callback(lambda _, flight=flight: self.acknowledged.append(flight))
                future.add_errback(lambda error: self.errors.append(repr(error)))
            producer.flush(timeout=60)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: len(self.acknowledged) > 50, 30)
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive()


def held(lab: Lab, topic: str) -> list[str]:
    return [value["id"] for value in lab.records(topic)["value"]]


def test_a_leader_is_killed_others_take_over_and_the_picture_shows_it(lab, topic):
    figure = lab.show.replicas(topic)
    with Operations(lab, topic) as operations:
        victim = last(lab, topic)[0].leader
        lab.kill(victim)
        killed = lab.journal.now()
        wait_until(lambda: victim not in figure.leaders.values(), MOVED_SECONDS)
        shown = lab.journal.now() - killed
        seen = next(
            sample.time
            for sample in lab.watch().samples
            if sample.time > killed
            and victim not in {kept.leader for at, kept in sample.leaders.items() if at[0] == topic}
        )
        print(f"leaders moved {seen - killed:.2f} s after the kill, shown after {shown:.2f} s")
        lab.start(victim)
        wait_until(lambda: in_sync(lab, topic), 30)
        wait_until(lambda: f"broker {victim} in sync" in str(figure._marks), 10)
    figure.stop()
    assert figure.error is None, figure.sentence
    assert not operations.errors
    found = held(lab, topic)
    assert set(operations.acknowledged) <= set(found)
    assert len(found) == len(set(found))


def test_all_three_are_killed_and_nothing_that_was_acknowledged_is_lost(lab, topic):
    with Operations(lab, topic, delivery_timeout_ms=120_000) as operations:
        for node in (1, 2, 3):
            lab.kill(node)
        start_together(lab, [1, 2, 3])
        wait_until(lambda: in_sync(lab, topic), 60)
        before = len(operations.acknowledged)
        wait_until(lambda: len(operations.acknowledged) > before, 60)
    assert not operations.errors
    assert set(operations.acknowledged) <= set(held(lab, topic))


@pytest.mark.skipif(os.name == "nt", reason="the embedded Kafka cannot be frozen there")
@pytest.mark.landing
def test_a_broker_that_is_frozen_is_taken_for_dead_and_comes_back(lab, topic):
    figure = lab.show.replicas(topic)
    with Operations(lab, topic, request_timeout_ms=3000) as operations:
        victim = last(lab, topic)[0].leader
        lab.pause(victim)
        assert lab.nodes[victim] == "paused"
        wait_until(lambda: victim not in figure.leaders.values(), 30)
        wait_until(lambda: f"broker {victim} is away" in figure.sentence, 10)
        # the next call goes on with the others, or says who is frozen and what to do
        told = ""
        try:
            lab.topic("flights.meanwhile", replication=2)
        except BrokerError as error:
            told = str(error)
        assert not told or f"lab.resume({victim})" in told
        with pytest.raises(BadInputError, match="paused"):
            lab.stop(victim)
        lab.resume(victim)
        wait_until(lambda: in_sync(lab, topic), 40)
        wait_until(lambda: "all replicas are in sync" in figure.sentence, 10)
    figure.stop()
    assert set(operations.acknowledged) <= set(held(lab, topic))


@pytest.mark.timeout(300)
def test_what_two_must_have_is_refused_by_one_alone(lab, topic):
    leader, *others = last(lab, topic)[0].replicas
    with contextlib.closing(
        KafkaProducer(**lab.connection, delivery_timeout_ms=120_000)
    ) as producer:
        producer.send(topic, b'{"id": "a"}', partition=0).get(timeout=10)
        for node in others:
            lab.stop(node)
        with (
            contextlib.closing(KafkaProducer(**lab.connection, retries=0)) as hasty,
            pytest.raises(KafkaError, match="NotEnoughReplicas"),
        ):
            hasty.send(topic, b'{"id": "b"}', partition=0).get(timeout=10)
        late = producer.send(topic, b'{"id": "c"}', partition=0)
        lab.kill(leader)
        start_together(lab, [leader, *others])
        late.get(timeout=120)  # it was kept, and is taken by whoever leads
    assert {"a", "c"} <= set(held(lab, topic))


def test_a_broker_that_was_added_gets_what_it_is_given(lab):
    topic = lab.topic("flights.grown", partitions=3, replication=3)
    node = lab.add_broker()
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        plan = {TopicPartition(topic, p): [node, 1, 2] for p in range(3)}
        assert not any(admin.alter_partition_reassignments(plan).values())
        lab.watch(topic)
        wait_until(lambda: {kept.leader for kept in last(lab, topic).values()} == {node}, 30)
    assert not lab.records(topic).shape[0]


def test_more_replicas_than_brokers_and_a_lab_too_small_are_told(lab):
    with pytest.raises(BadInputError, match="replicas of a partition need"):
        lab.topic("flights.many", replication=7)
    with pytest.raises((BadInputError, BrokerError)):
        Lab(brokers=10)


def test_a_topic_made_anew_has_nothing_of_the_one_before_though_a_broker_is_started_again(own_home):
    """What Kafka 4.3.1 does otherwise: a broker that reads its log gives it the old settings."""
    with Lab() as one:
        one.topic("flights.anew", unclean_leader_election_enable=True, retention_ms=12_345)
        topic = one.topic("flights.anew", min_insync_replicas=1)
        one.stop(1)
        one.start(1)
        with contextlib.closing(KafkaAdminClient(**one.connection)) as admin:
            resource = ConfigResource("TOPIC", topic)
            found = admin.describe_configs([resource], config_filter="all")["topic"][topic]
        assert found["unclean.leader.election.enable"]["value"] == "false"
        assert found["retention.ms"]["value"] != "12345"

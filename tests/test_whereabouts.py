"""What lesson 11 looks for on the broker: where flights lie, and who reads there."""

import json
from contextlib import closing

import pytest
from kafka import KafkaConsumer, KafkaProducer

from lab_env import Lab
from lab_env.experiments import whereabouts

pytestmark = pytest.mark.shares_a_lab
EVENTS = [{"id": f"flight-{number}"} for number in range(4)]


@pytest.fixture(scope="module")
def lab(own_home):
    """A lab: a.flights holds three flights, one of them twice, and b.none holds none."""
    with Lab("embedded", progress=False) as one:
        topic = one.topic("a.flights", partitions=2)
        one.topic("b.none")
        with closing(KafkaProducer(**one.connection)) as producer:
            for partition, number, key in [(0, 0, b"x"), (1, 1, b"x"), (0, 2, b"y"), (0, 2, None)]:
                body = json.dumps(EVENTS[number]).encode()
                producer.send(topic, body, key=key, partition=partition).get(timeout=20)
        yield one


def test_topics_are_counted_without_those_of_kafka(lab):
    assert whereabouts.topics(lab) == {"a.flights": 4, "b.none": 0}


def test_events_are_found_in_the_topics_that_hold_them(lab):
    assert whereabouts.holding(lab, EVENTS[:2]) == {"a.flights": 2}
    assert whereabouts.holding(lab, [EVENTS[3]]) == {}
    told = whereabouts.handled(lab, "a.flights", EVENTS)
    assert told == {"once": 2, "twice": 1, "never": 1}


def test_a_key_in_two_partitions_is_torn_and_none_is_no_key(lab):
    assert whereabouts.torn(lab, "a.flights") == 1


def test_a_group_that_reads_is_seen_with_its_partitions_and_has_passed_when_it_committed(lab):
    assert whereabouts.readers(lab, "a.flights") == {}
    group = lab.group("reader")
    begin = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    with closing(KafkaConsumer("a.flights", **lab.connection, group_id=group, **begin)) as reader:
        assert lab.until(lambda: reader.poll(timeout_ms=500) or reader.assignment(), 60)
        assert lab.until(lambda: whereabouts.readers(lab, "a.flights") == {group: 2}, 60)
        assert whereabouts.readers(lab, "b.none") == {}
        read = 0
        while read < 4 and reader.assignment():
            reader.poll(timeout_ms=500)
            read = sum(map(reader.position, reader.assignment()))
        reader.commit()
    assert whereabouts.passed(lab, "a.flights", group)

"""Groups that are neither classic nor of KIP-848: their type is told, and no false number."""

import threading
from dataclasses import replace

import pytest
from conftest import wait_until
from driven import GROUP, TOPIC, Drive

from lab_env import Lab
from lab_env.observation import queries
from lab_env.observation.sample import SharePosition

ENDS = {(TOPIC, 0): 30, (TOPIC, 1): 20}


@pytest.mark.parametrize("kind", ["ownership", "lag", "throughput", "queue"])
def test_a_share_group_is_named_and_not_blamed(monkeypatch, kind):
    drive = Drive(monkeypatch)
    picture = drive.picture(kind)
    drive.go(3, step=0.5, each=lambda time: drive.sample(ENDS, {}, protocol="share"))
    assert "share group" in picture.sentence
    for wrong in ("no such group", "nobody owns", "records wait", "not committed", "billing 0"):
        assert wrong not in picture.sentence
    drive.end(picture)


def test_the_lag_of_a_share_group_is_kafkas_own_number_in_each_picture(monkeypatch):
    drive = Drive(monkeypatch)
    pictures = [drive.picture(kind) for kind in ("ownership", "lag", "queue")]

    def each(time):
        drive.sample(ENDS, {}, ("anna", "ben"), protocol="share")
        last = drive.observer.samples[-1]
        shared = {place: SharePosition(2, 7) for place in ENDS}
        group = replace(last.groups[GROUP], owners={}, shared=shared)
        drive.observer.samples[-1] = replace(last, groups={GROUP: group})

    drive.go(3, step=0.5, each=each)
    for picture in pictures:
        assert "14 records wait" in picture.sentence
        drive.end(picture)
    assert "each of its members (2 now)" in pictures[0].sentence
    assert "idle" not in pictures[0].sentence


def test_a_group_of_streams_has_a_lag_and_owners(monkeypatch):
    drive = Drive(monkeypatch)
    picture = drive.picture("ownership")
    members = ("count-1", "count-2")
    drive.go(3, step=0.5, each=lambda time: drive.sample(ENDS, ENDS, members, protocol="streams"))
    assert "count-1 owns 0" in picture.sentence
    assert "count-2 owns 1" in picture.sentence
    assert "0 records wait" in picture.sentence
    drive.end(picture)


def test_of_a_group_of_a_type_that_nobody_knows_yet_the_type_is_told(monkeypatch):
    drive = Drive(monkeypatch)
    picture = drive.picture("ownership")
    drive.go(3, step=0.5, each=lambda time: drive.sample(ENDS, ENDS, protocol="quantum"))
    assert "quantum group" in picture.sentence
    assert "0 records wait" in picture.sentence
    assert "nobody owns" not in picture.sentence
    drive.end(picture)


class Reader:
    """A member of confluent-kafka's, which polls in a thread until the block ends."""

    def __init__(self, consumer, topic):
        self._consumer, self._topic, self._end = consumer, topic, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        self._consumer.subscribe([self._topic])
        while not self._end.is_set():
            self._consumer.poll(0.2)
        self._consumer.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join(30)


def test_a_share_group_and_one_of_the_new_protocol_are_there_for_all_who_look(own_home):
    from confluent_kafka import Consumer, ShareConsumer

    with Lab() as lab:
        topic = lab.topic(TOPIC, partitions=2)
        shared = ShareConsumer({**lab.librdkafka, "group.id": "crew"})
        new = Consumer({**lab.librdkafka, "group.id": "gates", "group.protocol": "consumer"})
        with Reader(shared, topic), Reader(new, topic):
            watch = lab.watch(topic, groups=["crew", "gates", "nobody"])
            wait_until(lambda: watch.samples[-1].groups["crew"].protocol == "share", 60)
            wait_until(lambda: watch.samples[-1].groups["gates"].owners, 60)
            sample = watch.samples[-1]
            assert sample.groups["crew"].state == "Stable"
            assert sample.groups["nobody"].state == "Dead"
            assert not sample.stale
            found = queries.groups(lab.connection)
            assert found["crew"]["group_type"] == "share"
            assert found["crew"]["group_state"] == "Stable"
            assert found["gates"]["group_type"] == "consumer"
            assert found["gates"]["group_state"] == "Stable"
            (member,) = found["gates"]["members"]
            (owned,) = member["member_assignment"]["assigned_partitions"]
            assert (owned["topic"], sorted(owned["partitions"])) == (topic, [0, 1])
            assert member["client_host"]

"""The picture of a share group: from samples and reports made by hand, and with a real lab."""

import numpy as np
import pytest
from driven import GROUP, TOPIC, Drive
from pictures import assert_readable, near, words_of_every_frame

from lab_env import Lab
from lab_env.figures.engine import style
from lab_env.ground.errors import BadInputError
from lab_env.observation.facts.sharing import BACK, ShareLedger
from lab_env.observation.sample import GroupSample, Sample, SharePosition


def sample(time, end, start=None, lag=None, members=("anna", "ben"), protocol="share"):
    """Return a sample of a topic with one partition; without a lag the group has not begun."""
    shared = {} if lag is None else {(TOPIC, 0): SharePosition(start, lag)}
    group = GroupSample("Stable", members=members, protocol=protocol, shared=shared)
    return Sample(time, {(TOPIC, 0): end}, {(TOPIC, 0): 0}, {}, {GROUP: group}, {})


class Story:
    """A picture, or a ledger, that is told by hand what happens."""

    def __init__(self, drive):
        self.drive = drive

    def say(self, service, share, offset, **more):
        row = {"time": self.drive.clock.time, "service": service, "share": share}
        self.drive.reports.append(row | {"partition": 0, "offset": offset} | more)

    def tell(self, *args, **more):
        self.drive.observer.samples.append(sample(self.drive.clock.time, *args, **more))

    def go(self, seconds, *args, **more):
        self.drive.go(seconds, each=lambda time: self.tell(*args, **more))


@pytest.fixture
def drive(monkeypatch):
    return Drive(monkeypatch)


# -- the accounts -----------------------------------------------------------------------------


def report(ledger, time, service, share, offset, **more):
    row = {"time": time, "service": service, "share": share, "partition": 0, "offset": offset}
    return ledger.report(row | more)


def test_a_record_that_another_acquires_has_come_back_and_a_late_word_of_it_does_not_count():
    ledger = ShareLedger(TOPIC, GROUP)
    assert report(ledger, 1, "anna", "acquired", 4, deliveries=1)
    assert report(ledger, 3, "ben", "acquired", 4, deliveries=2)
    assert [one.outcome for one in ledger.flights["anna"]] == [BACK]
    assert (ledger.came_back, ledger.most) == (1, 2)
    report(ledger, 4, "anna", "accepted", 4)  # her lock is gone: it is ben's to say
    assert (ledger.accepted, len(ledger.in_flight("ben"))) == (0, 1)
    report(ledger, 4, "anna", "refused", 4)
    report(ledger, 5, "ben", "accepted", 4)
    assert (ledger.accepted, ledger.refused, ledger.in_flight()) == (1, 1, [])


def test_archived_is_what_kafka_is_done_with_and_nobody_has_accepted():
    ledger = ShareLedger(TOPIC, GROUP)
    ledger.take(sample(0.0, 10, 0, 10))
    for offset in range(4):
        report(ledger, 0.1, "anna", "acquired", offset, deliveries=1)
        report(ledger, 0.2, "anna", "rejected" if offset == 3 else "accepted", offset)
    for time in np.arange(0.25, 2.0, 0.25):
        ledger.take(sample(time, 10, 4, 6))
    assert (ledger.accepted, ledger.rejected, ledger.archived, ledger.waiting) == (3, 1, 1, 6)


def test_a_moment_between_the_brokers_word_and_the_report_archives_nothing():
    ledger = ShareLedger(TOPIC, GROUP)
    ledger.take(sample(0.0, 40, 0, 40))
    for offset in range(40):
        time = 0.25 * offset
        report(ledger, time, "anna", "acquired", offset, deliveries=1)
        ledger.take(sample(time + 0.1, 40, offset + 1, 39 - offset))
        assert ledger.archived == 0
        report(ledger, time + 0.2, "anna", "accepted", offset)
    assert (ledger.accepted, ledger.completed, ledger.came_back) == (40, 40, 0)


def test_what_was_archived_stays_so_while_others_are_accepted():
    ledger = ShareLedger(TOPIC, GROUP)
    for time in np.arange(0, 2, 0.25):
        ledger.take(sample(time, 90, 0, 89))
        report(ledger, 0.1, "anna", "acquired", 0, deliveries=5)
    assert ledger.archived == 1  # given up after the last delivery
    for step in range(40):
        offset, time = step + 1, 2 + 0.25 * step
        report(ledger, time, "anna", "acquired", offset, deliveries=1)
        report(ledger, time + 0.05, "anna", "accepted", offset)
        ledger.take(sample(time + 0.1, 90, offset + 1, 89 - offset))
        assert ledger.archived == 1
    assert ledger.accepted == 40


def test_a_group_that_begins_at_the_latest_has_not_done_what_lies_before_it():
    ledger = ShareLedger(TOPIC, GROUP)
    ledger.take(sample(0.0, 100))
    assert (ledger.lag, ledger.completed, ledger.waiting) == (None, None, None)
    ledger.take(sample(1.0, 104, 100, 4))
    assert (ledger.lag, ledger.completed) == (4, 0)


def test_rows_of_other_groups_and_topics_do_not_count():
    ledger = ShareLedger(TOPIC, GROUP)
    assert not report(ledger, 1, "anna", "acquired", 4, group="other")
    assert not report(ledger, 1, "anna", "acquired", 4, topic="other")
    assert not report(ledger, 1, "anna", "lent out", 4)
    assert not ledger.report({"time": 1, "service": "anna", "handled": 4})
    assert not ledger.report({"time": 1, "service": "a", "share": "acquired", "partition": None})
    assert not ledger.reported


# -- the picture ------------------------------------------------------------------------------


def test_the_picture_says_who_holds_what_and_what_became_of_all(drive):
    story, picture = Story(drive), drive.picture("share_group")
    frames = words_of_every_frame(picture)
    story.go(1, 6, 0, 6)
    story.say("anna", "acquired", 0, deliveries=1)
    story.say("ben", "acquired", 1, deliveries=1)
    story.go(1, 6, 0, 6)
    assert "4 records wait, 2 in flight, 0 acknowledged, 0 archived" in picture.sentence
    story.say("anna", "accepted", 0)
    story.say("ben", "released", 1)
    story.say("anna", "acquired", 1, deliveries=2)
    story.go(2, 6, 1, 5)
    assert "anna has accepted 1 and holds 1 in flight (delivered up to 2 times)" in picture.sentence
    story.say("anna", "rejected", 1)
    story.go(2, 6, 2, 4)
    drive.end(picture)
    for told in ("share group billing has 2 members", "ben has accepted 0", "released 1 times",
                 "rejected: 1", "1 acknowledged, 1 archived", "delivered 2 times"):  # fmt: skip
        assert told in picture.sentence
    words = [text for text, _ in frames[-1]]
    assert {"2", "1 accepted", "0 accepted", "anna", "ben"} <= set(words)
    assert_readable(picture, frames[-1])


def test_what_nobody_reports_the_broker_tells(drive):
    story, picture = Story(drive), drive.picture("share_group")
    story.go(2, 9)
    assert "Kafka does not tell yet how far the group is" in picture.sentence
    story.go(2, 9, 0, 9)
    story.go(2, 9, 3, 4)
    drive.end(picture)
    assert "5 records are done with and 4 are not" in picture.sentence
    assert "archived" not in picture.sentence


@pytest.mark.parametrize(
    ("protocol", "words"), [("classic", "is a classic group and no share"), ("", "no data yet")]
)
def test_another_kind_of_group_is_named(drive, protocol, words):
    story, picture = Story(drive), drive.picture("share_group")
    if protocol:
        story.go(2, 9, protocol=protocol)
    drive.end(picture)
    assert words in picture.sentence


def test_a_service_that_dies_holds_nothing_any_more(drive):
    story, picture = Story(drive), drive.picture("share_group")
    drive.clock.mark("anna starts", "start", "anna")
    story.say("anna", "acquired", 0, deliveries=1)
    story.go(1, 3, 0, 3)
    assert "2 records wait, 1 in flight" in picture.sentence
    drive.clock.mark("anna crashes", "crash", "anna")
    story.go(1, 3, 0, 3, members=("ben",))
    drive.end(picture)
    assert "3 records wait, 0 in flight" in picture.sentence
    assert "came back without an acknowledgement: 1" in picture.sentence
    assert near(picture, style.GONE, 4).sum() > 200


def test_twelve_members_and_hundreds_of_records_stay_readable(drive):
    names = tuple(f"truck-{number}" for number in range(1, 13))
    story, picture = Story(drive), drive.picture("share_group")
    frames = words_of_every_frame(picture)
    done = 0

    def each(time):
        nonlocal done
        for name in names:
            story.say(name, "acquired", done, deliveries=1 + done % 3)
            story.say(name, "accepted", done)
            done += 1
        story.tell(2000, done, 2000 - done, members=names)

    drive.go(20, each=each)
    drive.end(picture)
    assert_readable(picture, frames[-1])
    assert "and 2 more members" in picture.sentence


def test_a_topic_that_is_made_anew_begins_at_zero(drive):
    story, picture = Story(drive), drive.picture("share_group")
    story.say("anna", "acquired", 0, deliveries=1)
    story.go(1, 6, 0, 6)
    story.say("anna", "accepted", 0)
    story.go(1, 6, 1, 5)
    story.go(1, 0)
    story.go(1, 2, 0, 2)
    drive.end(picture)
    assert "2 records are done with" not in picture.sentence
    assert "0 records are done with and 2 are not" in picture.sentence


@pytest.mark.parametrize("wrong", [(TOPIC, None), (TOPIC, ""), (None, GROUP), ("", GROUP)])
def test_what_is_no_name_is_refused(drive, wrong):
    with pytest.raises(BadInputError):
        drive.show.share_group(*wrong)


def hand(service, connection, topic, group):
    from confluent_kafka import ShareConsumer

    own = {"group.id": group, "client.id": service.name, "max.poll.records": 1}
    own |= {"share.acknowledgement.mode": "explicit"}
    with ShareConsumer(connection | own) as consumer:
        consumer.subscribe([topic])
        while service.running:
            for record in consumer.poll(0.3):
                place = {"partition": record.partition(), "offset": record.offset()}
                deliveries = record.delivery_count()
                service.report(share="acquired", deliveries=deliveries, **place)
                consumer.acknowledge(record)
                service.report(share="accepted", **place)


@pytest.mark.landing
def test_a_real_share_group_is_seen_as_it_is(own_home):
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import ConfigResource

    with Lab("embedded") as lab:
        topic, group = lab.topic("commands", partitions=1), lab.group("crew")
        with KafkaAdminClient(**lab.connection) as admin:
            earliest = {"share.auto.offset.reset": "earliest"}
            admin.alter_configs([ConfigResource("GROUP", group, earliest)])
        picture = lab.show.share_group(topic, group)
        crew = lab.service(hand, lab.librdkafka, topic, group, name="hand", copies=3)
        lab.assignment(group, members=3)
        with KafkaProducer(**lab.connection, batch_size=0) as producer:
            for number in range(60):
                producer.send(topic, str(number).encode())
            producer.flush()
        told = "0 records wait, 0 in flight, 60 acknowledged, 0 archived"
        assert lab.until(lambda: told in picture.sentence, seconds=60), picture.sentence
        assert "has 3 members" in picture.sentence
        assert picture.error is None
        crew.stop()

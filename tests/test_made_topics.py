"""What `lab.topic` may delete, whom it names, and what a refusal of Kafka's is called."""

import contextlib

import pytest
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    PolicyViolationError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)

from lab_env import Lab
from lab_env.checks.result import graded
from lab_env.ground.errors import BadInputError, BrokerError, NotYoursError
from lab_env.ground.refusals import refusal

pytestmark = pytest.mark.shares_a_lab


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab for all these tests."""
    with Lab("embedded") as one:
        yield one


@pytest.fixture
def hers(lab):
    """The address of a Kafka that no lab has started, as far as a lab that goes there knows."""
    return lab.connection["bootstrap_servers"][0]


def produce(lab: Lab, topic: str, *values: str) -> None:
    """Send records, and wait until they are acknowledged."""
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        for value in values:
            producer.send(topic, value.encode())
        producer.flush(timeout=30)


# -- a Kafka that the lab has not started ------------------------------------------------------


def test_a_topic_that_no_lab_has_made_is_not_deleted(lab, hers):
    produce(lab, lab.topic("hers.precious"), "a", "b")
    with Lab(hers) as guest:
        with pytest.raises(NotYoursError, match=r"no lab of yours has made it.*delete_topics"):
            guest.topic("hers.precious", partitions=6)
        assert len(guest.records("hers.precious")) == 2
        assert guest.topic("guest.own") == "guest.own"


def test_what_a_lab_has_made_it_makes_anew_and_so_does_the_next_lab(lab, hers):
    with Lab(hers) as guest:
        produce(guest, guest.topic("guest.again"), "a")
        guest.topic("guest.again", partitions=2)
        assert len(guest.records("guest.again")) == 0
        with Lab(hers) as other, pytest.raises(NotYoursError, match="another lab of yours"):
            other.topic("guest.again")
    with Lab(hers) as later:
        produce(later, later.topic("guest.again"), "a")
        with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
            admin.delete_topics(["guest.again"])
            admin.create_topics({"guest.again": {}}, wait_for_metadata=True)
        with pytest.raises(NotYoursError):  # another topic, under the same name
            later.topic("guest.again")


def test_a_topic_is_the_labs_though_it_was_interrupted_before_the_leaders_were_there(
    hers, monkeypatch
):
    with Lab(hers) as guest:
        real = KafkaAdminClient.describe_topics
        calls = []

        def interrupted(self, *args):
            calls.append(args)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return real(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(KafkaAdminClient, "describe_topics", interrupted)
            with pytest.raises(KeyboardInterrupt):
                guest.topic("guest.interrupted")
        assert guest.topic("guest.interrupted") == "guest.interrupted"


def test_a_topic_of_hers_that_is_called_like_the_labs_round_trip_stays(lab, hers):
    produce(lab, lab.topic("lab-ready"), "a")
    with Lab(hers) as guest:
        assert len(guest.records("lab-ready")) == 1


@pytest.mark.parametrize("name", ["__consumer_offsets", "__transaction_state", "__mine", "__"])
def test_kafkas_own_topics_are_refused_on_every_way(lab, hers, name):
    with pytest.raises(BadInputError, match="Kafka's own"):
        lab.topic(name)
    with Lab(hers) as guest, pytest.raises(BadInputError, match="Kafka's own"):
        guest.topic(name)


# -- who is left behind ------------------------------------------------------------------------


def test_services_that_read_a_topic_hear_all_of_the_new_one(lab, capsys):
    def reader(service, topic):
        options = {"group_id": service.name, "auto_offset_reset": "earliest"}
        options |= {"client_id": service.name, "heartbeat_interval_ms": 300}
        with contextlib.closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
            while service.running:
                for batch in consumer.poll(timeout_ms=300).values():
                    for record in batch:
                        service.report(value=record.value.decode())

    def writer(service, topic):
        with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
            producer.send(topic, b"by the writer").get(timeout=30)
            service.report(value="written")
            service.wait(600)

    def heard(name):
        return set(lab.services[name].reports.get("value", ()))

    topic = lab.topic("read", partitions=2)
    names = ["left-board", "left-baggage"]
    for name in names:
        lab.service(reader, topic, name=name)
    idle = lab.service(lambda service: service.wait(600), name="left-idle")
    lab.service(writer, topic, name="left-writer")
    wait_until(lambda: all("by the writer" in heard(name) for name in names), 90)
    capsys.readouterr()
    lab.topic("read", partitions=2)
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith("heard nothing of it: left-board, left-baggage.")
    assert "may still have the old one: left-writer." in told[1]
    assert idle.name not in str(told)
    # the first records of each partition: places of the old topic would pass over them
    fresh = [f"new {number}" for number in range(10)]
    produce(lab, topic, *fresh)
    wait_until(lambda: all({*fresh} <= heard(name) for name in names), 90)
    for name in [*names, idle.name, "left-writer"]:
        lab.services[name].stop()
    lab.topic("read", partitions=2)
    assert capsys.readouterr().out == ""


def test_consumers_of_the_notebook_are_named_by_their_group(lab, capsys):
    topic = lab.topic("read.here")
    with contextlib.closing(
        KafkaConsumer(topic, group_id="left-here", **lab.connection)
    ) as consumer:
        wait_until(lambda: consumer.poll(timeout_ms=300) or consumer.assignment(), 60)
        lab.topic("read.here")
        assert "in the groups left-here still" in capsys.readouterr().out


def test_fewer_partitions_are_told_for_the_sake_of_producers(lab, capsys):
    lab.topic("shrinks", partitions=6)
    lab.topic("shrinks", partitions=6)
    assert capsys.readouterr().out == ""
    lab.topic("shrinks", partitions=2)
    assert "has 2 partitions now, and had 6" in capsys.readouterr().out
    lab.topic("shrinks", partitions=3)
    assert capsys.readouterr().out == ""


# -- silence and refusal -----------------------------------------------------------------------


def test_a_refusal_of_kafka_is_told_with_its_reason(lab):
    lab.topic("collides.here")
    with pytest.raises(BrokerError, match=r"answers.*collides with existing topic") as told:
        lab.topic("collides_here")
    assert "does not answer" not in str(told.value)


REASON = 'r(error_code=44, error_message="it\'s the rule", topic_config_error_code=0)'


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PolicyViolationError(REASON), "PolicyViolationError: it's the rule"),
        (TopicAuthorizationFailedError(), "not authorized"),
        (KafkaTimeoutError("x"), None),
        (KafkaConnectionError("x"), None),
        (NodeNotReadyError(1), None),
        (RequestTimedOutError("x"), None),
        (ConnectionRefusedError("x"), None),
    ],
)
def test_only_who_gives_no_answer_does_not_answer(error, told):
    if told is None:
        assert refusal(error) is None
    else:
        assert told in refusal(error)


def test_a_check_tells_a_refusal_from_silence():
    def check(error):
        raise error

    assert "no right" not in str(graded(check)(KafkaTimeoutError("x")))
    assert "not authorized" in str(graded(check)(TopicAuthorizationFailedError()))

"""A queue of RabbitMQ's that services consume from: a message is one's until it is done."""

import pytest

from lab_env import Lab
from lab_env.ground.errors import BadInputError, BrokerError

pytestmark = [pytest.mark.shares_a_lab, pytest.mark.usefixtures("rabbit_server")]
SECONDS = 60


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def rabbit(lab):
    return lab.rabbitmq()


def waits(lab, rabbit, name, count):
    """Return whether so many messages come to wait; RabbitMQ counts about once a second."""
    queues = lambda: rabbit.queues().set_index("name")  # noqa: E731
    return lab.until(lambda: queues()["messages"].get(name) == count, seconds=SECONDS)


def test_a_message_that_was_not_acknowledged_comes_back_and_one_that_was_is_gone(lab, rabbit):
    queue = rabbit.queue("fuel")
    queue.put(["first", "second"])
    with queue.consumer() as dying:
        mine = dying.get(SECONDS)
        assert (mine.text, mine.redelivered) == ("first", False)
        with queue.consumer() as other:
            theirs = other.get(SECONDS)
            assert (theirs.text, theirs.redelivered) == ("second", False)
            assert other.get(0.3) is None  # one at a time: until its word, there is no other
            other.acknowledge(theirs)
    with queue.consumer() as heir:
        again = heir.get(SECONDS)
        assert (again.text, again.redelivered) == ("first", True)
        heir.acknowledge(again)
        assert heir.get(0.3) is None
    assert waits(lab, rabbit, "fuel", 0)


def test_a_message_of_any_size_comes_whole(rabbit):
    queue = rabbit.queue("large")
    sizes = [0, 1, 100_000, 300_000]  # a frame of RabbitMQ's holds 128 KiB
    queue.put("x" * size for size in sizes)
    with queue.consumer() as consumer:
        for size in sizes:
            message = consumer.get(SECONDS)
            assert len(message.text) == size
            consumer.acknowledge(message)


def test_a_queue_is_made_new_and_empty(lab, rabbit):
    rabbit.queue("again").put(["old"])
    assert waits(lab, rabbit, "again", 1)
    with rabbit.queue("again").consumer() as consumer:
        assert consumer.get(0.5) is None


def test_services_compete_for_the_messages(lab, rabbit):
    queue = rabbit.queue("commands")

    def taker(service, queue):
        with queue.consumer() as consumer:
            service.report(ready=True)
            while service.running:
                if message := consumer.get(0.5):
                    service.wait(0.005)
                    consumer.acknowledge(message)
                    service.report(taken=message.text)

    takers = lab.service(taker, queue, copies=3, name="taker")
    for one in takers:
        one.first("ready", seconds=SECONDS)
    queue.put(str(number) for number in range(60))

    def taken():
        return lab.reports.reindex(columns=["service", "taken"]).dropna()

    assert lab.until(lambda: len(taken()) >= 60, seconds=SECONDS)
    assert sorted(map(int, taken()["taken"])) == list(range(60))
    assert taken()["service"].nunique() == 3
    lab.services.stop()


def test_a_queue_that_is_taken_away_is_told_in_a_sentence(rabbit):
    queue = rabbit.queue("gone")
    with queue.consumer() as consumer:
        queue.renew()
        with pytest.raises(BrokerError, match=r"does not answer.*lab\.rabbitmq"):
            consumer.get(SECONDS)


def test_an_error_of_the_students_own_stays_hers(rabbit):
    with (
        pytest.raises(FileNotFoundError, match="no such bill"),
        rabbit.queue("hers").consumer(),
    ):
        raise FileNotFoundError("no such bill")


@pytest.mark.parametrize("name", ["", 7, "x" * 256])
def test_a_name_that_is_none_is_told(rabbit, name):
    with pytest.raises(BadInputError, match="1 to 255 letters"):
        rabbit.queue(name)


def test_a_broker_that_has_ended_is_told(lab, rabbit):
    """The last of this file: it ends RabbitMQ."""
    queue = rabbit.queue("last")
    rabbit.close()
    with pytest.raises(BrokerError, match="does not answer"):
        queue.renew()

"""A queue of RabbitMQ's for services, spoken to by pika, RabbitMQ's client for Python."""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lab_env.ground.errors import BrokerError
from lab_env.ground.secrets import Secret

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

ANSWER_SECONDS = 30.0  # a bound against hanging: RabbitMQ's answer


class Message(NamedTuple):
    """A message in a consumer's hands, which is its own until it is acknowledged."""

    tag: int
    text: str
    redelivered: bool


@dataclass(frozen=True)
class RabbitQueue:
    """A queue of a RabbitMQ; a service may be handed it.

    Attributes:
        address: host:port.
        user: the name to log in with.
        password: and its password.
        name: of the queue.
    """

    address: str
    user: str
    password: Secret
    name: str

    def renew(self) -> None:
        """Make the queue, new and empty.

        Raises:
            BrokerError: RabbitMQ does not answer, or refuses.
        """
        with _channel(self) as channel, _told(self):
            channel.queue_delete(self.name)
            channel.queue_declare(self.name, durable=True)

    def put(self, texts: Iterable[str]) -> None:
        """Publish texts, a message each, and return when RabbitMQ has confirmed all.

        Raises:
            BrokerError: it does not answer, or refuses.
        """
        from pika import BasicProperties, DeliveryMode

        on_the_disk = BasicProperties(delivery_mode=DeliveryMode.Persistent)
        with _channel(self) as channel, _told(self):
            channel.confirm_delivery()
            for text in texts:
                channel.basic_publish("", self.name, text.encode(), on_the_disk)

    @contextlib.contextmanager
    def consumer(self) -> "Generator[RabbitConsumer]":
        """Consume from the queue while the block lasts; one message at a time.

        Raises:
            BrokerError: RabbitMQ does not answer, or has no such queue.
        """
        with _channel(self) as channel:
            with _told(self):
                consumer = RabbitConsumer(channel, self)
            yield consumer


class RabbitConsumer:
    """What `RabbitQueue.consumer` gives.

    Args:
        channel: to RabbitMQ.
        queue: to consume from.
    """

    def __init__(self, channel: "BlockingChannel", queue: RabbitQueue):
        self._channel = channel
        self._queue = queue
        self._come: deque[Message] = deque()
        self._cancelled = False
        channel.basic_qos(prefetch_count=1)  # one at a time: no other until its word
        channel.add_on_cancel_callback(self._cancel)
        channel.basic_consume(queue.name, self._take)

    def _cancel(self, _method) -> None:
        self._cancelled = True  # the queue was deleted

    def _take(self, _channel, method, _properties, body: bytes) -> None:
        self._come.append(Message(method.delivery_tag, body.decode(), method.redelivered))

    def get(self, seconds: float) -> Message | None:
        """Return the next message, or None if none has come.

        Args:
            seconds: to wait for one.

        Raises:
            BrokerError: the connection is gone, or the queue is.
        """
        deadline = time.monotonic() + seconds
        while not self._come and (left := deadline - time.monotonic()) > 0:
            with _told(self._queue):
                self._channel.connection.process_data_events(left)
            if self._cancelled:
                told = {"address": self._queue.address, "why": "basic.cancel"}
                raise BrokerError("rabbitmq.no_answer", **told)
        return self._come.popleft() if self._come else None

    def acknowledge(self, message: Message) -> None:
        """Say that the work at a message is done: RabbitMQ deletes it.

        Raises:
            BrokerError: the connection is gone; RabbitMQ gives the message to another consumer.
        """
        with _told(self._queue):
            self._channel.basic_ack(message.tag)


@contextlib.contextmanager
def _told(queue: RabbitQueue) -> Generator[None]:
    """Say in a sentence what pika raises."""
    from pika.exceptions import AMQPError

    try:
        yield
    except (AMQPError, OSError) as error:
        why = " ".join(map(str, error.args)) or type(error).__name__
        raise BrokerError("rabbitmq.no_answer", address=queue.address, why=why) from None


@contextlib.contextmanager
def _channel(queue: RabbitQueue) -> "Generator[BlockingChannel]":
    """Give a channel of a connection that ends with the block; what the block raises stays its own.

    RabbitMQ gives what was not acknowledged to another consumer when the connection ends.
    """
    import pika

    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it says there is raised as well
    host, _, port = queue.address.rpartition(":")
    parameters = pika.ConnectionParameters(
        host,
        int(port),
        credentials=pika.PlainCredentials(queue.user, queue.password.reveal()),
        heartbeat=0,  # who works at a message for long does not speak meanwhile
        socket_timeout=ANSWER_SECONDS,
        stack_timeout=ANSWER_SECONDS,
        blocked_connection_timeout=ANSWER_SECONDS,
    )
    with _told(queue):
        connection = pika.BlockingConnection(parameters)
    try:
        with _told(queue):
            channel = connection.channel()
        yield channel
    finally:
        with contextlib.suppress(Exception):  # it may be gone already
            connection.close()

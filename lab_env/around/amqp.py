"""A queue of RabbitMQ's for services, in the few words of AMQP 0-9-1 that it needs."""

import contextlib
import socket
import struct
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lab_env.ground.errors import BrokerError
from lab_env.ground.secrets import Secret

METHOD, HEADER, BODY, HEARTBEAT, END = 1, 2, 3, 8, b"\xce"
# (class, method) as the specification numbers them
START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK, CLOSE, CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (20, 10), (20, 11), (20, 40)
DECLARE, DECLARE_OK, DELETE, DELETE_OK = (50, 10), (50, 11), (50, 40), (50, 41)
QOS, QOS_OK, CONSUME, CONSUME_OK = (60, 10), (60, 11), (60, 20), (60, 21)
PUBLISH, DELIVER, ACK, CANCEL = (60, 40), (60, 60), (60, 80), (60, 30)
CONFIRM, CONFIRM_OK = (85, 10), (85, 11)
DURABLE = 2  # a bit of Declare
KEPT = b"\x10\x00\x02"  # properties: the delivery mode alone, and it is "on the disk"
ANSWER_SECONDS = 30.0  # a bound against hanging: an answer, or the rest of a message


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

        Raises BrokerError: RabbitMQ does not answer, or refuses.
        """
        with _channel(self) as channel:
            channel.call(DELETE, b"\0\0" + _short(self.name) + b"\0", DELETE_OK)
            declared = b"\0\0" + _short(self.name) + bytes([DURABLE]) + b"\0\0\0\0"
            channel.call(DECLARE, declared, DECLARE_OK)

    def put(self, texts: Iterable[str]) -> None:
        """Publish texts, a message each, and return when RabbitMQ has confirmed all.

        Raises BrokerError: it does not answer, or refuses.
        """
        with _channel(self) as channel:
            channel.call(CONFIRM, b"\0", CONFIRM_OK)
            bodies = [text.encode() for text in texts]
            for body in bodies:
                channel.publish(self.name, body)
            done = 0
            while done < len(bodies):
                tag, several = struct.unpack("!Q?", channel.wait(ACK))
                done = tag if several else done + 1

    @contextlib.contextmanager
    def consumer(self) -> "Generator[RabbitConsumer]":
        """Consume from the queue while the block lasts; one message at a time.

        Raises BrokerError: RabbitMQ does not answer, or has no such queue.
        """
        with _channel(self) as channel:
            channel.call(QOS, struct.pack("!IH?", 0, 1, False), QOS_OK)
            wanted = b"\0\0" + _short(self.name) + b"\0" + b"\0" + b"\0\0\0\0"
            channel.call(CONSUME, wanted, CONSUME_OK)
            yield RabbitConsumer(channel)


class RabbitConsumer:
    """What `RabbitQueue.consumer` gives."""

    def __init__(self, channel: "_Channel"):
        self._channel = channel

    def get(self, seconds: float) -> Message | None:
        """Return the next message, or None if none has come.

        Args:
            seconds: to wait for one.

        Raises BrokerError: the connection is gone, or the queue is.
        """
        told = self._channel.method(DELIVER, seconds)
        if told is None:
            return None
        at = 1 + told[0]  # behind the consumer's tag
        tag, again = struct.unpack_from("!Q?", told, at)
        return Message(tag, self._channel.content().decode(), again)

    def acknowledge(self, message: Message) -> None:
        """Say that the work at a message is done: RabbitMQ deletes it."""
        self._channel.send(ACK, struct.pack("!Q?", message.tag, False))


class _Channel:
    """A connection with one channel: frames out, frames in."""

    def __init__(self, wire: socket.socket, address: str):
        self._wire = wire
        self._address = address
        self._read = b""
        self._most = 4096  # bytes of a frame, until RabbitMQ has told

    def log_in(self, queue: RabbitQueue) -> None:
        self._write(b"AMQP\0\0\x09\x01")
        self.wait(START)
        login = f"\0{queue.user}\0".encode() + queue.password.reveal().encode()
        # else nobody is told that the queue has been deleted
        able = _long(_short("consumer_cancel_notify") + b"t\x01")
        told = _long(_short("capabilities") + b"F" + able)
        self.send(START_OK, told + _short("PLAIN") + _long(login) + _short("en_US"), 0)
        limits = self.wait(TUNE)
        (self._most,) = struct.unpack_from("!I", limits, 2)
        self.send(TUNE_OK, limits[:6] + b"\0\0", 0)  # and no heartbeats
        self.send(OPEN, _short("/") + b"\0\0", 0)
        self.wait(OPEN_OK)
        self.call(CHANNEL_OPEN, b"\0", CHANNEL_OPEN_OK)

    def log_out(self) -> None:
        with contextlib.suppress(BrokerError):
            self.send(CLOSE, struct.pack("!H", 200) + b"\0" + b"\0\0\0\0", 0)
            self.wait(CLOSE_OK)

    def call(self, method: tuple[int, int], arguments: bytes, answer: tuple[int, int]) -> bytes:
        self.send(method, arguments)
        return self.wait(answer)

    def send(self, method: tuple[int, int], arguments: bytes, channel: int = 1) -> None:
        self._write(_frame(METHOD, channel, struct.pack("!HH", *method) + arguments))

    def publish(self, queue: str, body: bytes) -> None:
        """Send a message to a queue, through the exchange without a name."""
        self.send(PUBLISH, b"\0\0" + b"\0" + _short(queue) + b"\0")
        self._write(_frame(HEADER, 1, struct.pack("!HHQ", PUBLISH[0], 0, len(body)) + KEPT))
        part = self._most - 8 if self._most else max(len(body), 1)  # 0: no limit
        for begin in range(0, len(body), part):
            self._write(_frame(BODY, 1, body[begin : begin + part]))

    def wait(self, method: tuple[int, int]) -> bytes:
        """Return the arguments of a method that has to come."""
        if (told := self.method(method, ANSWER_SECONDS)) is None:
            raise self._error("TimeoutError")
        return told

    def method(self, method: tuple[int, int], seconds: float) -> bytes | None:
        """Return the arguments of the next such method, or None if it does not come."""
        deadline = time.monotonic() + seconds
        while (frame := self._next(deadline)) is not None:
            kind, payload = frame
            if kind != METHOD:
                continue
            told, arguments = struct.unpack_from("!HH", payload), payload[4:]
            if told in (CLOSE, CHANNEL_CLOSE):  # a code, and why
                raise self._error(arguments[3 : 3 + arguments[2]].decode())
            if told == CANCEL:
                raise self._error("basic.cancel")
            if told == method:
                return arguments
        return None

    def content(self) -> bytes:
        """Return the body of the message that was just announced."""
        deadline = time.monotonic() + ANSWER_SECONDS
        body, size = b"", None
        while size is None or len(body) < size:
            if (frame := self._next(deadline)) is None:
                raise self._error("TimeoutError")
            kind, payload = frame
            if kind == HEADER:
                (size,) = struct.unpack_from("!Q", payload, 4)
            elif kind == BODY:
                body += payload
        return body

    def _next(self, deadline: float) -> tuple[int, bytes] | None:
        """Return the next frame, or None at the deadline; what has come of one is kept."""
        while True:
            if len(self._read) >= 7:
                kind, _, size = struct.unpack_from("!BHI", self._read)
                if len(self._read) >= size + 8:
                    payload = self._read[7 : 7 + size]
                    self._read = self._read[size + 8 :]
                    return kind, payload
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                self._wire.settimeout(left)
                some = self._wire.recv(65536)
            except TimeoutError:
                return None
            except OSError as error:
                raise self._error(error) from None
            if not some:
                raise self._error("EOF")
            self._read += some

    def _write(self, data: bytes) -> None:
        try:
            self._wire.settimeout(ANSWER_SECONDS)
            self._wire.sendall(data)
        except OSError as error:
            raise self._error(error) from None

    def _error(self, why: object) -> BrokerError:
        return BrokerError("rabbitmq.no_answer", address=self._address, why=why)


@contextlib.contextmanager
def _channel(queue: RabbitQueue) -> Generator[_Channel]:
    host, _, port = queue.address.rpartition(":")
    try:
        wire = socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)
    except OSError as error:
        raise BrokerError("rabbitmq.no_answer", address=queue.address, why=error) from None
    with wire:
        channel = _Channel(wire, queue.address)
        channel.log_in(queue)
        try:
            yield channel
        finally:
            channel.log_out()


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + END


def _short(text: str) -> bytes:
    return bytes([len(text.encode())]) + text.encode()


def _long(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data

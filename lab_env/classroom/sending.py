"""A notebook tells its class where the student is: in the background, and never in her way.

What is to be sent waits in a dictionary, of each key the newest alone, so it cannot grow. A thread
of its own sends it; a cluster that is lost costs her nothing, not even a line in a cell.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from lab_env.classroom import membership, records
from lab_env.clusters import client_config
from lab_env.clusters.librdkafka import librdkafka
from lab_env.ground import notices
from lab_env.ground.errors import BrokerError
from lab_env.messages import say

MOST = 200  # keys that wait
GATHER = 0.5  # s in which what comes is sent together
LOST = (2.0, 60.0)  # s after which a lost cluster is tried again: at first, and at the most
DELIVERY = 10.0  # s for a record to arrive
LOOK = 0.2  # s between two looks whether the student has left
_still = logging.Logger("still")  # nothing of what the client logs is a student's business
_still.addHandler(logging.NullHandler())


class Sender:
    """Sends a student's records in the background.

    Args:
        member: the student's place in a class.
        stays: says whether she still is there.
    """

    def __init__(self, member: membership.Joined, stays: Callable[[], bool]):
        self.member = member
        self.sent = 0  # records that have arrived
        self._stays = stays
        self._waiting: dict[str, dict] = {}
        self._last: dict[str, dict] = {}  # of each key, as long as this notebook runs
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._producer: Any = None
        self._thread: threading.Thread | None = None

    def tell(self, key: str, make: Callable[[dict], dict]) -> None:
        """Have a record sent; returns at once.

        Args:
            key: of the record.
            make: gets the last value of this key ({} at first), and returns the next.
        """
        with self._news:
            before = self._last.get(key, {})
            value = make(before)
            if value == before:
                return
            if key not in self._last and len(self._last) >= MOST:
                self._last.pop(next(iter(self._last)))
            self._last[key] = self._waiting[key] = value
            if len(self._waiting) > MOST:
                self._waiting.pop(next(iter(self._waiting)))
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="class", daemon=True)
                self._thread.start()
            self._news.notify()

    def close(self) -> None:
        """End; what has not been sent is not sent any more."""
        self._ended.set()
        with self._news:
            self._news.notify()
            thread = self._thread
        if thread is not None:
            thread.join(DELIVERY)

    def _run(self) -> None:
        pause = LOST[0]
        while not self._ended.is_set():
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._ended.is_set())
            self._ended.wait(GATHER)
            with self._news:
                batch = dict(self._waiting)
            arrived: set[str] = set()
            with contextlib.suppress(Exception):  # whatever it is, the lesson goes on
                arrived = self._deliver(batch)
            with self._news:
                for key in arrived:
                    if self._waiting.get(key) is batch[key]:
                        del self._waiting[key]
            if len(arrived) == len(batch):
                pause = LOST[0]
            elif not self._stays():
                break
            else:
                self._producer = None
                self._ended.wait(pause)
                pause = min(2 * pause, LOST[1])
        self._producer = None

    def _deliver(self, batch: dict[str, dict]) -> set[str]:
        """Send records, and return the keys of those that have arrived."""
        if not self._stays():
            return set()
        if self._producer is None:
            self._producer = producer(self.member)
        return deliver(self._producer, self.member, batch, self._goes_on, self._arrived)

    def _goes_on(self) -> bool:
        return self._stays() and not self._ended.is_set()

    def _arrived(self) -> None:
        self.sent += 1


def producer(member: membership.Joined) -> Any:
    """Return a producer for the class."""
    from confluent_kafka import Producer

    return Producer(settings(member))


def settings(member: membership.Joined) -> dict:
    """Return a producer's settings: it logs nothing."""
    own = {
        "logger": _still,
        "error_cb": lambda error: None,
        "log.connection.close": False,
        "enable.metrics.push": False,  # of KIP-714 nobody here asks
        "acks": "all",
        "max.in.flight": 1,  # of a key the newest has to stay the last
        "message.timeout.ms": int(1000 * DELIVERY),
    }
    connection = client_config.of_class(member.cluster).connection
    return librdkafka(connection) | own


def deliver(
    client: Any,
    member: membership.Joined,
    batch: dict[str, dict],
    goes_on: Callable[[], bool] = lambda: True,
    arrived: Callable[[], None] = lambda: None,
) -> set[str]:
    """Send records and wait until each has arrived or not; return the keys of those that have.

    Args:
        client: a producer.
        member: whose records these are.
        batch: value by key.
        goes_on: asked again and again; when it says no, what has not left is thrown away.
        arrived: called for each record that has arrived.
    """
    done: dict[str, str] = {}

    def told(key: str) -> Callable:
        def answer(error: object, message: object) -> None:
            if error is None:
                done[key] = f"{time.strftime('%H:%M:%S')}  {key}  {json.dumps(batch[key])}"
                arrived()

        return answer

    for key, value in batch.items():
        client.produce(
            member.topic, key=key.encode(), value=records.written(value), on_delivery=told(key)
        )
    while len(client):
        client.poll(LOOK)
        if not goes_on():
            client.purge()
            client.poll(0)
            break
    membership.note_sent(list(done.values()))
    return set(done)


def now(member: membership.Joined, key: str, value: dict) -> None:
    """Send one record, and wait for it.

    Raises:
        BrokerError: it did not arrive.
    """
    if not deliver(producer(member), member, {key: value}):
        raise BrokerError("classroom.not_sent")


# -- of this notebook -------------------------------------------------------------------------

_sender: Sender | None = None
_choosing = threading.Lock()


def tell(key: str, make: Callable[[dict], dict]) -> None:
    """Have a record of this notebook sent, if its student is in a class; see `Sender.tell`."""
    with contextlib.suppress(Exception):  # a lesson never fails because of its class
        if (member := membership.current()) is not None:
            _of(member).tell(key, make)


def _of(member: membership.Joined) -> Sender:
    """Return what sends for a member; the student is told once in which class her notebook is."""
    global _sender
    with _choosing:
        if _sender is None or _sender.member != member:
            old, _sender = _sender, Sender(member, lambda: membership.current() == member)
            if old is not None:
                threading.Thread(target=old.close, daemon=True).start()
            notices.post(say("classroom.notice", word=member.word, name=member.name))
        return _sender


def close() -> None:
    """End what sends for this notebook."""
    global _sender
    with _choosing:
        old, _sender = _sender, None
    if old is not None:
        old.close()


def at(lesson: str, cell: str) -> None:
    """Tell at which cell the student is.

    Args:
        lesson: its number, "02".
        cell: its id.
    """
    tell(records.AT, lambda _: {"lesson": lesson, "cell": cell})


def predicted(lesson: str, question: str, said: str) -> None:
    """Tell a prediction; the first one is kept beside one that comes later."""
    tell(
        f"{records.PREDICTION} {lesson} {question}",
        lambda before: before | {"said": said, "first": before.get("first") or said},
    )


def happened(lesson: str, question: str, said: str, was: str) -> None:
    """Tell what happened after a prediction; ``said`` is "" if none was made."""
    if said:
        predicted(lesson, question, said)
        tell(f"{records.PREDICTION} {lesson} {question}", lambda before: before | {"was": was})


def tried(kind: str, lesson: str, name: str, passed: bool, why: str) -> None:
    """Tell what a check has answered.

    Args:
        kind: `records.EXERCISE` or `records.STEP`.
        lesson: its number, "02".
        name: of the check or the step.
        passed: whether it has.
        why: of an exercise that has not, the key of the hint; of a step, the course's sentence.
    """

    def make(before: dict) -> dict:
        return {"passed": passed, "tries": before.get("tries", 0) + 1, "why": why}

    tell(f"{kind} {lesson} {name}", make)

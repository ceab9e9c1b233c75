"""Reads the topics of a class, for whoever teaches; asks seldom, for much at once."""

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from lab_env.classroom import records
from lab_env.classroom.gathering import Gathering, Sight
from lab_env.ground.kafka_compat import quiet_kafka

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer

FIND = (5.0, 60.0)  # s from one search for students to the next: at the least, and at the most
TOPICS = 50  # a second that a search may cost: a large cluster is searched less often
LOOK = 1.0  # s that a look waits for news, and from one sight of a small class to the next
MANY = 200  # students, whose sights come half as often
AGAIN = 2.0  # s after which a cluster that does not answer is asked again
# one student's records must not keep the others' away, and idle topics cost nothing (KIP-227)
READING = {
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
    "auto_offset_reset": "earliest",
    "fetch_max_wait_ms": 1000,
    "fetch_min_bytes": 65_536,
    "max_partition_fetch_bytes": 65_536,
    "max_poll_records": 2000,
}


class Watcher:
    """Keeps a `Gathering` up to date; a context manager.

    Args:
        connection: keyword arguments for any kafka-python client; it may read the class's topics.
        word: of the class.

    Attributes:
        gathering: the class.
        answers: whether the cluster has answered at the last look.
    """

    def __init__(self, connection: dict, word: str):
        self.gathering = Gathering()
        self.answers = True
        self._connection, self._word = connection, word
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._there: dict[str, str] = {}  # topic -> student
        self._next = 0.0

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def look(self, seconds: float = 1.0) -> None:
        """Take in what has come; returns after ``seconds`` at the latest if nothing does.

        A cluster that is lost for a while is asked again; what is known stays.
        """
        try:
            with quiet_kafka():
                self._open()
                if time.monotonic() >= self._next:
                    self._find()
                self._read(seconds)
            self.answers = True
        except Exception:  # whatever it is, the next look begins with a client of its own
            self.answers = False
            self.close()
            time.sleep(min(seconds, AGAIN))

    def close(self) -> None:
        """Close the clients."""
        clients: list[Any] = [self._consumer, self._admin]
        self._consumer = self._admin = None
        self._there, self._next = {}, 0.0
        for client in clients:
            if client is not None:
                with contextlib.suppress(Exception), quiet_kafka():
                    client.close()

    def _open(self) -> None:
        from kafka import KafkaAdminClient, KafkaConsumer

        if self._consumer is None:
            self._consumer = KafkaConsumer(**self._connection, **READING)
        if self._admin is None:
            self._admin = KafkaAdminClient(**self._connection)

    def _find(self) -> None:
        """Look who is there: a student is a topic."""
        from kafka import TopicPartition

        assert self._admin is not None
        assert self._consumer is not None
        names = self._admin.list_topics()
        found = {n: one for n in names if (one := records.student_of(n, self._word))}
        if found != self._there:
            self._consumer.assign([TopicPartition(name, 0) for name in sorted(found)])
            self._there = found
        for one in self.gathering.students.keys() - set(found.values()):
            self.gathering.forget(one)
        self._next = time.monotonic() + min(max(FIND[0], len(names) / TOPICS), FIND[1])

    def _read(self, seconds: float) -> None:
        assert self._consumer is not None
        if not self._there:
            time.sleep(seconds)
            return
        for place, batch in self._consumer.poll(timeout_ms=int(1000 * seconds)).items():
            student = self._there[place.topic]
            for record in batch:
                if record.offset == 0:  # the topic is a new one: she has left and joined again
                    self.gathering.forget(student)
                self.gathering.take(student, record.key, record.value, record.timestamp / 1000)


class Following:
    """Keeps what is seen of a class up to date, in a thread of its own.

    Args:
        connection: as of a `Watcher`.
        word: of the class.

    Attributes:
        seen: the class at the last look; None before the first one.
    """

    def __init__(self, connection: dict, word: str):
        self.seen: Sight | None = None
        self._ended = threading.Event()
        self._watcher = Watcher(connection, word)
        self._thread = threading.Thread(target=self._follow, name="class-seen", daemon=True)
        self._thread.start()

    def end(self, seconds: float = 0.0) -> None:
        """Have it end after the look that it is at; can be called again.

        Args:
            seconds: to wait for that, at the most.
        """
        self._ended.set()
        if seconds:
            self._thread.join(seconds)

    def _follow(self) -> None:
        known: tuple = ()
        with self._watcher as watcher:
            while not self._ended.is_set():
                began = time.monotonic()
                watcher.look(LOOK)
                if (now := (watcher.gathering.changes, watcher.answers)) != known:
                    self.seen, known = watcher.gathering.sight(watcher.answers), now
                # the records of many come all the time, and are looked at together
                pause = LOOK * (1 + len(watcher.gathering.students) / MANY)
                self._ended.wait(pause - (time.monotonic() - began))

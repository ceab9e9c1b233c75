"""What the services of the airport share: the contract's names, the way to Kafka, and the loop.

What a service has to know comes from outside, by variables:

    BOOTSTRAP   where Kafka is: 127.0.0.1:9092
    LOGIN       how to log in there: further arguments of kafka-python's clients, as JSON; or none
    PREFIX      what the names of topics and groups begin with; nothing
    FOLDER      where the databases are: the current folder
    INSTANCE    the name of this copy, the same after each restart: the host's name
"""

import json
import logging
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaConnectionError, KafkaError

PREFIX = os.environ.get("PREFIX", "")
FOLDER = Path(os.environ.get("FOLDER", "."))
INSTANCE = os.environ.get("INSTANCE") or socket.gethostname()

REPORTS = PREFIX + "tower.reports"
EVENTS = PREFIX + "airport.events"
COMMANDS = PREFIX + "gates.commands"
REPLIES = PREFIX + "gates.replies"
LETTERS = PREFIX + "dead.letters"

KINDS = ("departed", "landed", "cancelled")
FLIGHT = {"report": str, "event": str, "flight": str, "origin": str, "destination": str,
          "time": str, "bags": int}  # fmt: skip
AGAIN = 0.3  # s between two tries while Kafka, or a database, does not answer
CLOSING = 1.0  # s for what a producer has still under way
LOCKED = 5.0  # s for which a database that somebody else holds is waited for
HANGS = 15.0  # s without a round of the loop: the client waits for an answer that never comes

stopping = threading.Event()
alive = [0.0]  # when the loop has last gone round (s, monotonic)


class MalformedError(Exception):
    """A record that no later try makes better: it goes to the dead letters."""


def connection() -> dict:
    """Return the arguments with which every client reaches Kafka."""
    login = json.loads(os.environ.get("LOGIN") or "{}")
    address = os.environ.get("BOOTSTRAP", "127.0.0.1:9092")
    return {"bootstrap_servers": address, "bootstrap_timeout_ms": 5000, **login}


def run(service: Callable[[], None]) -> None:
    """Run a service until SIGTERM; begin it again when Kafka or its database was not there.

    One that hangs ends itself, and whoever has started it starts it again: a crash is harmless
    here, and a member that only heartbeats would keep its partitions for ever.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it says much while a broker is down
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    alive[0] = time.monotonic()
    threading.Thread(target=watch, daemon=True).start()
    while not stopping.is_set():
        alive[0] = time.monotonic()
        try:
            service()
        except (KafkaError, sqlite3.OperationalError, OSError) as error:
            print(f"{INSTANCE} begins again: {type(error).__name__}: {error}", flush=True)
            stopping.wait(AGAIN)


def watch() -> None:
    """End the process when its loop does not go round any more."""
    while time.monotonic() - alive[0] < HANGS:
        time.sleep(0.5)
    print(f"{INSTANCE} hangs, and ends itself", flush=True)
    os._exit(1)


# -- Kafka ----------------------------------------------------------------------------------


def consumer(group: str, topic: str) -> KafkaConsumer:
    """Return a member of a group that commits only what it is told to."""
    member = KafkaConsumer(
        **connection(),
        group_id=PREFIX + group,
        client_id=INSTANCE,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        heartbeat_interval_ms=500,
        session_timeout_ms=6000,
        metadata_max_age_ms=2000,  # partitions that are added are found soon
        isolation_level="read_committed",
    )
    member.subscribe([topic])
    return member


@contextmanager
def sending(**settings: object) -> Iterator[KafkaProducer]:
    """Yield a producer whose records are kept by all replicas, once, in order.

    Who sends waits for each answer. What is still unanswered at the end of the block is of work
    that has failed and comes again: nobody waits for it.
    """
    safe: dict = {"acks": "all", "enable_idempotence": True, "delivery_timeout_ms": 60_000}
    producer = KafkaProducer(**connection() | safe | settings)
    try:
        yield producer
    finally:
        producer.close(timeout=CLOSING)


def batches(member: KafkaConsumer, most: int = 50) -> Iterable[list[ConsumerRecord]]:
    """Yield what a member reads until the service is asked to stop; each batch is not empty.

    Raises:
        KafkaConnectionError: some records wait and this member gets none: it only looks alive.
    """
    read = time.monotonic()
    while not stopping.is_set():
        alive[0] = time.monotonic()
        found = member.poll(timeout_ms=500, max_records=most)
        if batch := [record for records in found.values() for record in records]:
            yield batch
        elif time.monotonic() - read < HANGS:
            continue
        elif waits(member):
            raise KafkaConnectionError("records wait, and none comes")
        read = time.monotonic()


def waits(member: KafkaConsumer) -> bool:
    """Return whether something waits for a member: in its partitions, or anywhere if it has none.

    A group may have more members than partitions. The others of a spare one are at work then, and
    it joins once more in vain, which does no harm.
    """
    topics = member.subscription()
    every = [TopicPartition(t, p) for t in topics for p in member.partitions_for_topic(t) or ()]
    places = list(member.assignment()) or every
    ends = member.end_offsets(places)
    return any(end > (member.committed(place) or 0) for place, end in ends.items())


def subscribe(group: str, topic: str, handle: Callable[[list[ConsumerRecord]], None]) -> None:
    """Hand the records of a topic to ``handle``, batch by batch, and commit what it has done.

    The commit comes after the work: who dies in between gets the batch again. An error leaves the
    group without a commit, and `run` begins again with the same batch.
    """
    with closing(consumer(group, topic)) as member:
        for batch in batches(member):
            handle(batch)
            try:
                member.commit()
            except KafkaError as error:  # a rebalance came first: the batch comes again, somewhere
                print(f"{INSTANCE} could not commit: {type(error).__name__}", flush=True)


def positions(batch: list[ConsumerRecord]) -> dict[TopicPartition, int]:
    """Return where to go on after a batch: the next offset in each partition."""
    return {TopicPartition(one.topic, one.partition): one.offset + 1 for one in batch}


# -- what a record holds --------------------------------------------------------------------


def parse(record: ConsumerRecord, fields: dict[str, type]) -> dict:
    """Return the value of a record.

    Raises:
        MalformedError: it is no JSON object, or lacks one of the fields.
    """
    try:
        value = json.loads(record.value)
    except (ValueError, TypeError) as error:
        raise MalformedError(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedError("no JSON object")
    wrong = [name for name, kind in fields.items() if type(value.get(name)) is not kind]
    if wrong:
        raise MalformedError(f"missing or of another type: {', '.join(wrong)}")
    return value


def flight(record: ConsumerRecord, **more: type) -> dict:
    """Return the report or the event that a record holds.

    Raises:
        MalformedError: it is none.
    """
    value = parse(record, FLIGHT | more)
    if value["event"] not in KINDS:
        raise MalformedError(f"no such event: {value['event']}")
    return value


def header(record: ConsumerRecord, name: str) -> bytes:
    """Return a header.

    Raises:
        MalformedError: the record has none of that name.
    """
    found = dict(record.headers or ()).get(name)
    if not found:
        raise MalformedError(f"no header {name}")
    return found


def letter(record: ConsumerRecord, error: Exception, attempts: int = 1) -> dict:
    """Return a record as a dead letter: as it was, with where it came from and what was wrong."""
    origin = {
        "origin-topic": record.topic,
        "origin-partition": record.partition,
        "origin-offset": record.offset,
        "error": error,
        "attempts": attempts,
        "service": INSTANCE,
    }
    headers = [*(record.headers or ()), *((k, str(v).encode()) for k, v in origin.items())]
    return {"topic": LETTERS, "key": record.key, "value": record.value, "headers": headers}


def sorted_out(batch: list[ConsumerRecord], **more: type) -> tuple[list[dict], list[dict]]:
    """Return the reports or events that a batch holds, and a dead letter for each other record."""
    found, letters = [], []
    for record in batch:
        try:
            found.append(flight(record, **more))
        except MalformedError as error:
            letters.append(letter(record, error))
    return found, letters


def bury(sender: KafkaProducer, letters: list[dict]) -> None:
    """Send dead letters, and return when Kafka has them: only then may their offsets go by."""
    for sent in [sender.send(**one) for one in letters]:
        sent.get(timeout=60)


# -- databases ------------------------------------------------------------------------------


def database(name: str, schema: str) -> sqlite3.Connection:
    """Open a database of the airport, and make its tables if they are not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    opened = sqlite3.connect(FOLDER / f"{name}.sqlite", timeout=LOCKED, isolation_level=None)
    deadline = time.monotonic() + LOCKED
    while True:
        try:
            opened.executescript(schema)
            return opened
        except sqlite3.OperationalError:  # a copy of this service makes them at this moment
            if time.monotonic() > deadline:
                opened.close()
                raise
            time.sleep(0.05)


class transaction:
    """All of a block, or nothing: begun with the lock, so that two copies do not mix."""

    def __init__(self, opened: sqlite3.Connection):
        self._database = opened

    def __enter__(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self._database.execute("COMMIT")
        else:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")

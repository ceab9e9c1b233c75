"""What is there at midnight: the broker's records and offsets, the services' tables, the faults.

It is gathered once, and is plain data: it can be written as JSON, and judged again years later.
"""

import contextlib
import json
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab_env.day.contract import READS, TOPICS, Airport
from lab_env.observation import queries

if TYPE_CHECKING:
    from collections.abc import Iterable

# service -> the question to its database; gates keeps what it likes
QUESTIONS = {
    "operations": "SELECT flight, aircraft, state FROM flights",
    "baggage": "SELECT airport, bags FROM belts",
    "board": "SELECT aircraft, flight, state, departures FROM board",
}


class DayRecord(NamedTuple):
    """A record of a topic: ``time`` is Kafka's timestamp of it (s since 1970).

    ``value`` is what its JSON says, or its text.
    """

    partition: int
    offset: int
    time: float
    key: str | None
    value: dict | str | None
    headers: dict[str, str]

    @property
    def place(self) -> tuple[int, int]:
        return self.partition, self.offset


@dataclass(frozen=True)
class Moment:
    """Something that happened in the day.

    Attributes:
        kind: of a fault; or "restart", "begin", "midnight".
        target: the service, topic or broker that it happened to; "" if none.
        begin, end: s since 1970; equal where it was over at once.
        told: why a fault was left out, or what a service has failed with; "" if there is nothing.
    """

    kind: str
    target: str
    begin: float
    end: float
    told: str = ""


@dataclass(frozen=True)
class AtMidnight:
    """All that a verdict may look at.

    Attributes:
        day, flights, level, seed: which day was played, and what went wrong.
        services: those that took part, and are judged.
        topics: name in the contract -> its records.
        tables: service -> rows; None where they cannot be read.
        committed: service -> partition -> offset, of the group that the contract names.
        timeline: what happened, in order.
        slack: s that a service of this machine is given, beyond the fault, to go on after it.
        help: service -> the deepest help that was taken, see `lab_env.day.helping`.
    """

    day: str
    flights: int | None
    level: str
    seed: int
    services: tuple[str, ...]
    topics: dict[str, list[DayRecord]]
    tables: dict[str, list[tuple] | None]
    committed: dict[str, dict[int, int]]
    timeline: list[Moment] = field(default_factory=list)
    slack: float = 20.0
    help: dict[str, int] = field(default_factory=dict)

    def faults(self) -> list[Moment]:
        """Return the faults that really happened."""
        own = ("restart", "begin", "midnight", "left out")
        return [one for one in self.timeline if one.kind not in own]

    def dumps(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def loads(text: str) -> AtMidnight:
    """Return the evidence that a text holds, as `AtMidnight.dumps` has written it."""
    told = json.loads(text)
    told["services"] = tuple(told["services"])
    told["topics"] = {
        name: [DayRecord(*record) for record in records] for name, records in told["topics"].items()
    }
    told["tables"] = {
        name: None if rows is None else [tuple(row) for row in rows]
        for name, rows in told["tables"].items()
    }
    told["committed"] = {
        name: {int(partition): at for partition, at in places.items()}
        for name, places in told["committed"].items()
    }
    told["timeline"] = [Moment(**moment) for moment in told["timeline"]]
    return AtMidnight(**told)


def topics(airport: Airport) -> dict[str, list[DayRecord]]:
    """Return the records of every topic of the contract, as a reader of committed ones sees them.

    Raises:
        BrokerError: Kafka does not answer.
    """
    reader = airport.connection | {"isolation_level": "read_committed"}
    return {name: list(_seen(reader, airport.topic(name))) for name in TOPICS}


def _seen(connection: dict, topic: str) -> "Iterable[DayRecord]":
    found = [
        DayRecord(
            record.partition,
            record.offset,
            record.timestamp / 1000,
            _text(record.key),
            _value(record.value),
            {name: _text(value) or "" for name, value in record.headers or ()},
        )
        for record in queries.raw(connection, topic)
    ]
    return sorted(found, key=lambda one: one.place)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _value(data: bytes | None) -> dict | str | None:
    try:
        value = json.loads(data or b"")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else _text(data)


def tables(airport: Airport, services: "Iterable[str]") -> dict[str, list[tuple] | None]:
    """Return what the services' databases answer; None for one that does not."""
    found: dict[str, list[tuple] | None] = {}
    for service in services:
        if service not in QUESTIONS:
            continue
        file = Path(airport.folder, f"{service}.sqlite")
        try:
            address = f"{file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=5)) as opened:
                found[service] = opened.execute(QUESTIONS[service]).fetchall()
        except sqlite3.Error:
            found[service] = None
    return found


def committed(airport: Airport, services: "Iterable[str]") -> dict[str, dict[int, int]]:
    """Return how far the group of each service has come.

    Raises:
        KafkaError: Kafka does not answer.
    """
    return {
        name: queries.committed(airport.connection, airport.group(name), airport.topic(READS[name]))
        for name in services
    }

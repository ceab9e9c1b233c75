"""Checks of lesson 09: a producer that is fast and loses nothing, a record that is too large."""

import hashlib
import inspect
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab_env.checks import races
from lab_env.checks.evidence import until
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env.lab import Lab

MOST_VALUES = 8000  # that a run may be given
RACES = 3  # a race that another program has disturbed is run again
READ_SECONDS = 8.0
REFUSED = "increase receive.message.max.bytes"  # what librdkafka logs when a reader refuses
BROKER_LIMIT = 1_048_588  # max.message.bytes of a topic that says nothing else


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Race:
    """What came of a race between a function and a producer that waits for each record.

    Attributes:
        failed: the error of a side that has failed, by its name, "yours" or "naive"; no other
            attribute is set then.
        rates: the best run of each side, in which it was disturbed least, records/s.
        unconfirmed: whether a producer of the function asked for no confirmation.
        late: how many records were not there when the function came back, in its worst run.
        sent: how many values it was given in all its runs.
        there: how many records are on its topic.
        strange: how many different values are there that it was never given.
        example: the beginning of one of them.
        lost, twice: how many records are missing, and how many are too many.
    """

    failed: dict[str, str]
    rates: dict[str, float] = field(default_factory=dict)
    unconfirmed: bool = False
    late: int = 0
    sent: int = 0
    there: int = 0
    strange: int = 0
    example: str = ""
    lost: int = 0
    twice: int = 0

    @property
    def times(self) -> float:
        """How many times as fast as the other side the function was."""
        return self.rates["yours"] / self.rates["naive"]


@graded
def faster(lab: "Lab", function, factor: float = 10.0) -> Result:
    """Check that a function sends values much faster than one by one, and that all are there.

    It runs in a process of its own, by turns with a producer that waits for each record.

    Args:
        lab: the lab.
        function: ``function(topic, values)``; sends the values (bytes) as they are.
        factor: how many times as fast it has to be.
    """
    from lab_env import flights

    if (wrong := _wrong_function(function)) is not None:
        return wrong
    events = flights.events(flights.table(month=2).head(MOST_VALUES))
    values = [f"{event['id']} {event['scheduled']} {event}".encode() for event in events]
    for _ in range(RACES):
        naive, topic = (lab.topic(f"check.{name}", races.PARTITIONS) for name in ("naive", "fast"))
        rows, failures = races.run(lab, function, naive, topic, values)
        if failures:
            failed = {name: str(error) for name, error in failures.items()}
            return judge_race(Race(failed), factor)
        race = _measured(rows)
        if not factor / 4 <= race.times < factor:  # far from it: no disturbance does that
            break
    counts = [int(row["records"]) for row in rows if row["what"] == "yours"]
    return judge_race(replace(race, **races.compared(lab, topic, values, counts)), factor)


def _measured(rows: list[dict]) -> Race:
    mine = [row for row in rows if row["what"] == "yours"]
    rates = {
        what: max(float(row["records_per_second"]) for row in rows if row["what"] == what)
        for what in ("yours", "naive")
    }
    unconfirmed = any(row["unconfirmed"] for row in mine)
    late = int(max(row["missing"] for row in mine))
    return Race({}, rates, unconfirmed=unconfirmed, late=late)


@judge
def judge_race(race: Race, factor: float) -> Result:
    """Return the answer to a race: passed, or the first thing that is wrong.

    Args:
        race: what came of it.
        factor: how many times as fast the function has to be.
    """
    if race.failed:
        first = next(iter(race.failed.values()))
        return _wrong("faster_failed", error=race.failed.get("yours", first))
    found = {"times": f"{race.times:.1f}", "factor": f"{factor:g}"}
    found |= {f"rate_{what}": f"{value:,.0f}" for what, value in race.rates.items()}
    if race.unconfirmed:  # what is on the broker is a matter of luck then
        return _wrong("faster_unconfirmed", **found)
    counted = found | {"sent": f"{race.sent:,}", "there": f"{race.there:,}"}
    if race.strange:
        strange = f"{race.strange:,}"
        return _wrong("faster_changed", strange=strange, example=race.example, **counted)
    if race.lost:
        return _wrong("faster_lost", lost=f"{race.lost:,}", **counted)
    if race.twice:
        return _wrong("faster_twice", twice=f"{race.twice:,}", **counted)
    if race.late:
        return _wrong("faster_early", late=f"{race.late:,}", **counted)
    if race.times < 0.7:
        return _wrong("faster_slower", **counted)
    if race.times < 2:
        return _wrong("faster_waits", **counted)
    if race.times < factor:
        return _wrong("faster_not_enough", **counted)
    return _passed("faster", **counted)


def _wrong_function(function: object) -> Result | None:
    if not callable(function):
        return _wrong("faster_no_function", got=type(function).__name__)
    try:
        inspect.signature(function).bind("topic", [])
    except TypeError as error:
        return _wrong("faster_arguments", reason=error)
    return None


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class LargeRecord:
    """How far a large value has come.

    Attributes:
        topic, group: real names.
        wanted: size (bytes) and SHA-256 of the value.
        sizes: size and SHA-256 of each value on the topic.
        limit: how many bytes a batch may have there; 0 unless the topic is empty.
        committed, end: of all partitions; 0 unless the value, and nothing else, is there.
        failed: name and error of a service that has failed, or None.
        is_read: whether a service runs.
    """

    topic: str
    group: str
    wanted: tuple[int, str]
    sizes: list[tuple[int, str]]
    limit: int
    committed: int
    end: int
    failed: dict[str, str] | None
    is_read: bool


@graded
def got_through(lab: "Lab", topic: str, group: str, value: bytes) -> Result:
    """Check that a large value is one record on a topic, and that a group has committed it.

    Args:
        lab: the lab.
        topic: real name.
        group: real name of the readers' group.
        value: what has to lie there.
    """
    wanted = (len(value), hashlib.sha256(value).hexdigest())
    sizes = _sizes(lab, topic)
    committed, end = _awaited(lab, topic, group) if sizes == [wanted] else (0, 0)
    services = lab.services.values()
    failed = [{"name": s.name, "error": str(s.error)} for s in services if s.state == "failed"]
    return judge_large(
        LargeRecord(
            topic=topic,
            group=group,
            wanted=wanted,
            sizes=sizes,
            limit=0 if sizes else _limit(lab, topic),
            committed=committed,
            end=end,
            failed=failed[0] if failed else None,
            is_read=any(s.state == "running" for s in services),
        )
    )


@judge
def judge_large(large: LargeRecord) -> Result:
    """Return the answer for a large value: passed, or the limit at which it stays."""
    size, _ = large.wanted
    found = {"topic": large.topic, "group": large.group, "size": f"{size:,}"}
    if not large.sizes:
        key = "large_topic" if large.limit < size else "large_client"
        return _wrong(key, limit=f"{large.limit:,}", **found)
    if len(large.sizes) > 1:
        return _wrong("large_parts", count=f"{len(large.sizes):,}", **found)
    if large.sizes[0] != large.wanted:
        return _wrong("large_changed", there=f"{large.sizes[0][0]:,}", **found)
    if large.committed >= large.end:
        return _passed("large", **found)
    if large.failed:
        return _wrong("large_failed", **large.failed, **found)
    return _wrong("large_unread" if large.is_read else "large_nobody", **found)


def _awaited(lab: "Lab", topic: str, group: str) -> tuple[int, int]:
    """Wait for the group to commit the end of a topic; return what it has, and where that is."""

    def committed() -> int:
        return sum(queries.committed(lab.connection, group, topic).values())

    end = sum(queries.end_offsets(lab.connection, topic).values())

    def over() -> bool:
        running = [s for s in lab.services.values() if s.state == "running"]
        return not running or any(REFUSED in s.log for s in running) or committed() >= end

    until(over, READ_SECONDS, committed)
    return committed(), end


def _sizes(lab: "Lab", topic: str) -> list[tuple[int, str]]:
    """Return size and SHA-256 of each value on a topic."""
    found = []
    with suppress(BadInputError, BrokerError):  # none, or not all in time: what is there is told
        for record in queries.raw(lab.connection, topic, seconds=READ_SECONDS):
            value = record.value or b""
            found.append((len(value), hashlib.sha256(value).hexdigest()))
    return found


def _limit(lab: "Lab", topic: str) -> int:
    """Return how many bytes a batch on this topic may have."""
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    with closing(KafkaAdminClient(**lab.connection)) as admin:
        settings = admin.describe_configs([resource])["topic"][topic]
    return int(settings.get("max.message.bytes", {}).get("value", BROKER_LIMIT))


def _wrong(key: str, /, **values: object) -> Result:
    return not_yet(f"throughput.{key}", **values)


def _passed(key: str, /, **values: object) -> Result:
    return passed(f"throughput.{key}", **values)

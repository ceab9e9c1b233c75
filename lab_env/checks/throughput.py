"""Checks of lesson 09: a producer that is fast and loses nothing, a record that is too large."""

import functools
import hashlib
import inspect
import time
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from lab_env.checks.evidence import until
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.patience import Patience
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env.lab import Lab

MOST_VALUES, LEAST_VALUES = 8000, 60
TURN_SECONDS = 0.5  # so many values are given as a function sends in about that time
TRIALS = 50, 200  # values of the first runs, which show how long one more takes
RUNS, PARTITIONS = 2, 6
RACES = 3  # a race that another program has disturbed is run again
ARRIVE_SECONDS = 2.0  # within which what was sent too late may still arrive
READ_SECONDS = 8.0
REFUSED = "increase receive.message.max.bytes"  # what librdkafka logs when a reader refuses
BROKER_LIMIT = 1_048_588  # max.message.bytes of a topic that says nothing else


# -- exercise 1 -----------------------------------------------------------------------------


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
        naive, topic = (lab.topic(f"check.{name}", PARTITIONS) for name in ("naive", "fast"))
        rows, failures = _race(lab, function, naive, topic, values)
        if "yours" in failures:
            return _wrong("faster_failed", error=failures["yours"])
        if failures:
            return _wrong("faster_failed", error=next(iter(failures.values())))
        rate = {  # of each side its best run, in which it was disturbed least
            what: max(row["records_per_second"] for row in rows if row["what"] == what)
            for what in ("yours", "naive")
        }
        times = rate["yours"] / rate["naive"]
        if not factor / 4 <= times < factor:  # far from it: no disturbance does that
            break
    mine = [row for row in rows if row["what"] == "yours"]
    found = {"times": f"{times:.1f}", "factor": f"{factor:g}"}
    found |= {f"rate_{what}": f"{value:,.0f}" for what, value in rate.items()}
    if any(row["unconfirmed"] for row in mine):  # what is on the broker is a matter of luck then
        return _wrong("faster_unconfirmed", **found)
    if (wrong := _wrong_content(lab, topic, values, mine, found)) is not None:
        return wrong
    if late := int(max(row["missing"] for row in mine)):
        return _wrong("faster_early", late=f"{late:,}", **found)
    if times < 0.7:
        return _wrong("faster_slower", **found)
    if times < 2:
        return _wrong("faster_waits", **found)
    return _wrong("faster_not_enough", **found) if times < factor else _passed("faster", **found)


def _wrong_function(function: object) -> Result | None:
    if not callable(function):
        return _wrong("faster_no_function", got=type(function).__name__)
    try:
        inspect.signature(function).bind("topic", [])
    except TypeError as error:
        return _wrong("faster_arguments", reason=error)
    return None


def _race(lab: "Lab", function, naive: str, topic: str, values: list[bytes]):
    """Return the rows of what was measured, and what failed, by name."""
    from lab_env.experiments.meter import by_turns
    from lab_env.ground.reports import Reports

    cases = {
        "naive": (_Timed(partial(_one_by_one, lab.connection), lab.connection), naive, values),
        "yours": (_Timed(function, lab.connection), topic, values),
    }
    return by_turns(
        cases,
        runs=RUNS,
        seconds=TURN_SECONDS,
        folder=lab.folder,
        journal=lab.journal,
        reports=Reports(),
    )


class _Timed:
    """Runs a function, and looks at once whether all that it was given is on the broker.

    The warm-up has few values, and shows how many a run may have: what starts slowly may still be
    fast, so two trials tell what each value takes that is added.
    """

    def __init__(self, function, connection: dict):
        self._function, self._connection = function, connection
        self._count = LEAST_VALUES
        self._acks: list[str] | None = None  # of the producers made so far, once it is known

    def __call__(self, meter, topic: str, values: list[bytes]) -> None:
        if self._acks is None:
            self._acks = _overhear()
        if not meter.warming:
            seconds, missing = self._run(topic, values[: self._count])
            unconfirmed = self._acks.count("0")
            meter.tell(
                records=self._count, seconds=seconds, missing=missing, unconfirmed=unconfirmed
            )
            return
        short, long = (self._run(topic, values[:count])[0] for count in TRIALS)
        each = max(long - short, 0.0) / (TRIALS[1] - TRIALS[0])
        fit = TURN_SECONDS / each if each > TURN_SECONDS / len(values) else len(values)
        self._count = round(max(fit, LEAST_VALUES))

    def _run(self, topic: str, values: list[bytes]) -> tuple[float, int]:
        """Return how long a run took (s), and how many records were not there at its end."""
        from kafka import KafkaConsumer, TopicPartition

        places = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        with closing(KafkaConsumer(**self._connection)) as looker:
            before = sum(looker.end_offsets(places).values())
            began = time.monotonic()
            self._function(topic, values)
            seconds = time.monotonic() - began
            missing = len(values) - (sum(looker.end_offsets(places).values()) - before)
        return seconds, max(missing, 0)


def _overhear() -> list[str]:
    """Return a list that gets the acks of each producer made in this process from now on.

    That a producer asks for no confirmation shows in nothing that is on the broker afterwards: on
    a good day all of it is there.
    """
    from kafka import KafkaProducer

    acks: list[str] = []
    make = KafkaProducer.__init__

    @functools.wraps(make)
    def overheard(producer, **settings):
        make(producer, **settings)
        acks.append(str(producer.config["acks"]))

    places = ((KafkaProducer, "__init__", overheard),)
    with suppress(ImportError):
        import confluent_kafka

        class Producer(confluent_kafka.Producer):
            def __init__(self, *given, **settings):
                super().__init__(*given, **settings)
                told = dict(*given) | settings if given else settings
                acks.append(str(told.get("acks", told.get("request.required.acks", "all"))))

        places += ((confluent_kafka, "Producer", Producer),)
    for where, name, ours in places:
        setattr(where, name, ours)
    return acks


def _one_by_one(connection: dict, topic: str, values: list[bytes]) -> None:
    from kafka import KafkaProducer

    with closing(KafkaProducer(**connection)) as producer:
        for value in values:
            producer.send(topic, value).get(timeout=30)


def _wrong_content(
    lab: "Lab", topic: str, values: list[bytes], mine: list[dict], found: dict
) -> Result | None:
    """Compare what is on the broker with what was given to the function."""
    wanted: Counter[str] = Counter()
    for count in [*TRIALS, *(int(row["records"]) for row in mine)]:
        wanted.update(value.decode() for value in values[:count])
    there = _content(lab, topic)
    wait = Patience(ARRIVE_SECONDS, pause=0.3)
    while there.total() < wanted.total() and not wait.over:
        time.sleep(0.3)
        there = _content(lab, topic)
        wait.look(there.total())
    found |= {"sent": f"{wanted.total():,}", "there": f"{there.total():,}"}
    if strange := there.keys() - wanted.keys():
        example = str(next(iter(strange)))[:60]
        return _wrong("faster_changed", strange=f"{len(strange):,}", example=example, **found)
    if lost := (wanted - there).total():
        return _wrong("faster_lost", lost=f"{lost:,}", **found)
    if twice := (there - wanted).total():
        return _wrong("faster_twice", twice=f"{twice:,}", **found)
    return None


def _content(lab: "Lab", topic: str) -> Counter[str]:
    return Counter(str(value) for value in lab.records(topic)["value"])


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def got_through(lab: "Lab", topic: str, group: str, value: bytes) -> Result:
    """Check that a large value is one record on a topic, and that a group has committed it.

    Args:
        lab: the lab.
        topic: real name.
        group: real name of the readers' group.
        value: what has to lie there.
    """
    found = {"topic": topic, "group": group, "size": f"{len(value):,}"}
    sizes = _sizes(lab, topic)
    if not sizes:
        limit = _limit(lab, topic)
        found["limit"] = f"{limit:,}"
        return _wrong("large_topic" if limit < len(value) else "large_client", **found)
    if len(sizes) > 1:
        return _wrong("large_parts", count=f"{len(sizes):,}", **found)
    if sizes[0] != (len(value), hashlib.sha256(value).hexdigest()):
        return _wrong("large_changed", there=f"{sizes[0][0]:,}", **found)

    def committed() -> int:
        return sum(queries.committed(lab.connection, group, topic).values())

    end = sum(queries.end_offsets(lab.connection, topic).values())

    def over() -> bool:
        running = [s for s in lab.services.values() if s.state == "running"]
        return not running or any(REFUSED in s.log for s in running) or committed() >= end

    until(over, READ_SECONDS, committed)
    if committed() >= end:
        return _passed("large", **found)
    for service in lab.services.values():
        if service.state == "failed":
            return _wrong("large_failed", name=service.name, error=service.error, **found)
    if not any(s.state == "running" for s in lab.services.values()):
        return _wrong("large_nobody", **found)
    return _wrong("large_unread", **found)


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

"""Grades lesson 00: three flights sent as records, and one record passed on as it came."""

import ast
import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from lab_env import flights
from lab_env.checks import attempts
from lab_env.checks.evidence import settle, start_seconds
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.observation import queries
from lab_env.observation.queries import text_of, value_of

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

    from lab_env.lab import Lab

SECONDS = 20.0
QUIET_SECONDS = 2.5  # a service that sends has sent something new by then
SETTLE_SECONDS = 0.5  # a service that sends too many has done so by then
WANTED_HEADERS = {"source": "operations", "type": "departed"}
FLIGHT_FIELDS = {"id", "flight", "tail_number"}  # enough to know a flight's event by
FLIGHTS = slice(1, 4)  # which of the departures of January the lesson calls `three`
MARK = "checked-by"


@dataclass(frozen=True)
class SentRecords:
    """What lies in the topic of an exercise.

    Attributes:
        topic: real name.
        records: byte for byte.
        failed: name and error of a service whose function has raised, or None.
    """

    topic: str
    records: "list[ConsumerRecord]"
    failed: dict[str, str] | None


@graded
def three_flights(lab: "Lab", topic: str) -> Result:
    """Check that ``topic`` holds the three flights, each with key, headers and a JSON body."""
    return judge_three(_sent(lab, topic, 3))


@judge
def judge_three(sent: SentRecords) -> Result:
    """Return the answer to what lies in the topic of exercise 1."""
    records, topic = sent.records, sent.topic
    if not records and sent.failed:
        return not_yet("start_here.failed", **sent.failed)
    if not records:
        return not_yet("start_here.no_records", topic=topic)
    names = Counter(_name(record) for record in records if record.value is not None)
    name, times = names.most_common(1)[0] if names else ("", 0)
    if times > 1:
        values = {"topic": topic, "count": len(records), "flight": name, "times": times}
        return not_yet("start_here.sent_twice", **values)
    if len(records) != 3:
        key = "start_here.too_few" if len(records) < 3 else "start_here.too_many"
        return not_yet(key, topic=topic, count=len(records))
    for record in records:
        for wrong in (_wrong_body, _wrong_key, _wrong_header, _wrong_flight):
            if (answer := wrong(record)) is not None:
                return answer
    keys = ", ".join(text_of(record.key) for record in records)
    return passed("start_here.three_flights", topic=topic, keys=keys)


@graded
def passed_on(lab: "Lab", source: str, target: str) -> Result:
    """Check that ``target`` holds the most delayed flight of ``source``, unchanged but marked."""
    if source == target:
        return not_yet("start_here.same_topic", topic=source)
    originals = _records(lab, source)
    wanted = _most_delayed(originals)
    if not wanted:
        return not_yet("start_here.nothing_to_pass", source=source)
    sent = _sent(lab, target, 1)
    copies = sent.records
    if sent.failed and not copies:
        return not_yet("start_here.failed", **sent.failed)
    if not copies:
        went_back = any(MARK in dict(record.headers) for record in originals)
        key = "start_here.went_back" if went_back else "start_here.nothing_passed"
        return not_yet(key, source=source, target=target)
    if len(copies) > 1:
        same = len({copy.value for copy in copies}) == 1
        key = "start_here.passed_twice" if same else "start_here.passed_many"
        return not_yet(key, target=target, count=len(copies))
    copy = copies[0]
    if (answer := _wrong_copy(copy, originals, wanted)) is not None:
        return answer
    if (answer := _wrong_marks(copy, wanted[0])) is not None:
        return answer
    by = text_of(dict(copy.headers)[MARK])
    values = {"flight": _name(copy), "source": source, "target": target, "by": by}
    return passed("start_here.passed_on", **values)


def _sent(lab: "Lab", topic: str, wanted: int) -> SentRecords:
    """Return what lies in a topic, when the services that may still send to it have done so."""
    if attempts.users(lab, topic):

        def patience(count: int) -> float:
            return SETTLE_SECONDS if count >= wanted else start_seconds(lab, QUIET_SECONDS)

        settle(
            lambda: sum(queries.end_offsets(lab.connection, topic).values()),
            patience,
            most=SECONDS,
        )
    return SentRecords(topic, _records(lab, topic), attempts.failed(lab, 0.0, topic))


@cache
def _three() -> dict[str, dict]:
    """Return the three flights of exercise 1 by their ids."""
    rows = flights.table(month=1).dropna(subset=["departed"]).head(FLIGHTS.stop)
    return {one["id"]: one for one in flights.events(rows)[FLIGHTS]}


def _records(lab: "Lab", topic: str) -> "list[ConsumerRecord]":
    """Return the records of ``topic`` byte for byte, which a frame of decoded values is not.

    Raises:
        BadInputError: there is no such topic.
        BrokerError: no further record has come for so long.
    """
    records = queries.raw(lab.connection, topic, seconds=SECONDS)
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _name(record: "ConsumerRecord") -> str:
    """Return what to call a record: the flight's id, else the beginning of its body."""
    body = value_of(record.value)
    if isinstance(body, dict) and "id" in body:
        return str(body["id"])
    return _short(text_of(record.value))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


# -- exercise 1 -----------------------------------------------------------------------------


def _wrong_body(record: "ConsumerRecord") -> Result | None:
    body, offset = value_of(record.value), record.offset
    if isinstance(body, dict):
        if set(body) >= FLIGHT_FIELDS:
            return _missing_fields(body, offset)
        fields = ", ".join(map(str, body)) or "-"
        return not_yet("start_here.body_no_flight", offset=offset, fields=_short(fields))
    key = f"start_here.body_{_written_as(record.value)}"
    return not_yet(key, offset=offset, body=_short(text_of(record.value)))


def _missing_fields(body: dict, offset: int) -> Result | None:
    missing = [name for name in next(iter(_three().values())) if name not in body]
    if not missing:
        return None
    return not_yet("start_here.fields_missing", offset=offset, missing=", ".join(missing))


def _wrong_flight(record: "ConsumerRecord") -> Result | None:
    """Return what is wrong with a flight that is told well: it is another one, or was changed."""
    body = value_of(record.value)
    values = {"offset": record.offset, "wanted": ", ".join(_three())}
    if (event := _three().get(str(body["id"]))) is None:
        return not_yet("start_here.not_of_three", flight=_short(body["id"]), **values)
    if changed := [str(name) for name in body if name not in event or body[name] != event[name]]:
        return not_yet("start_here.body_other_values", names=", ".join(changed), **values)
    return None


def _written_as(value: bytes | None) -> str:
    """Return what made a body that is no JSON object: none, twice, bytes, python or other."""
    if value is None:
        return "none"
    body = value_of(value)
    if isinstance(body, str):
        if isinstance(value_of(body.encode()), dict):
            return "twice"
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            kind = type(ast.literal_eval(body))
            return {dict: "python", bytes: "bytes"}.get(kind, "other")
    return "other"


def _wrong_key(record: "ConsumerRecord") -> Result | None:
    body = value_of(record.value)
    tail, key = str(body["tail_number"]), text_of(record.key)
    values = {"offset": record.offset, "tail": tail, "got": _short(key)}
    if key is None:
        name = "key_in_body" if "key" in body else "no_key"
        return not_yet(f"start_here.{name}", **values)
    if key == tail:
        return None
    name = "key_quoted" if key == json.dumps(tail) else "wrong_key"
    return not_yet(f"start_here.{name}", **values)


def _wrong_header(record: "ConsumerRecord") -> Result | None:
    body, headers = value_of(record.value), dict(record.headers)
    for name, wanted in WANTED_HEADERS.items():
        values = {"offset": record.offset, "header": name, "wanted": wanted}
        if name not in headers:
            key = "header_in_body" if name in body or "headers" in body else "no_header"
            return not_yet(f"start_here.{key}", **values)
        if (got := text_of(headers[name])) != wanted:
            return not_yet("start_here.wrong_header", got=_short(got), **values)
    return None


# -- exercise 2 -----------------------------------------------------------------------------


def _delay(record: "ConsumerRecord") -> int | None:
    body = value_of(record.value)
    delay = body.get("delay_minutes") if isinstance(body, dict) else None
    return delay if isinstance(delay, int) else None


def _most_delayed(records: "list[ConsumerRecord]") -> "list[ConsumerRecord]":
    """Return the records of the greatest delay: several if a flight was sent more than once."""
    delays = [(delay, record) for record in records if (delay := _delay(record)) is not None]
    greatest = max((delay for delay, _ in delays), default=None)
    return [record for delay, record in delays if delay == greatest]


def _wrong_copy(
    copy: "ConsumerRecord", originals: "list[ConsumerRecord]", wanted: "list[ConsumerRecord]"
) -> Result | None:
    """Return what is wrong with a copy's body or key, or with the choice of the record."""
    if not any(copy.value == original.value for original in originals):
        return _wrong_bytes(copy, originals)
    if not any(copy.value == original.value for original in wanted):
        values = {"flight": _name(copy), "delay": _delay(copy), "most": _delay(wanted[0])}
        return not_yet("start_here.other_flight", **values)
    if copy.key == wanted[0].key:
        return None
    values = {"flight": _name(copy), "wanted": text_of(wanted[0].key)}
    if copy.key is None:
        return not_yet("start_here.key_lost", **values)
    return not_yet("start_here.key_changed", got=_short(text_of(copy.key)), **values)


def _wrong_bytes(copy: "ConsumerRecord", originals: "list[ConsumerRecord]") -> Result:
    """Return how a body that is nobody's differs."""
    body = value_of(copy.value)
    values = {"body": _short(text_of(copy.value)), "size": len(copy.value or b"")}
    if not isinstance(body, dict):
        key = f"copy_{_written_as(copy.value)}"
    elif any(body == value_of(original.value) for original in originals):
        key = "re_encoded"
    elif {MARK, MARK.replace("-", "_")} & set(body):
        key = "mark_in_body"
    else:
        key = "body_changed"
    return not_yet(f"start_here.{key}", **values)


def _wrong_marks(copy: "ConsumerRecord", original: "ConsumerRecord") -> Result | None:
    """Return what is wrong with a copy's headers: the original's, and one more."""
    values = {"flight": _name(copy)}
    marks = [value for name, value in copy.headers if name == MARK]
    others = Counter((name, value) for name, value in copy.headers if name != MARK)
    given = Counter((name, value) for name, value in original.headers if name != MARK)
    if lost := given - others:
        names = ", ".join(name for name, _ in lost)
        return not_yet("start_here.headers_lost", names=names, **values)
    if added := others - given:
        names = ", ".join(name for name, _ in added)
        return not_yet("start_here.headers_added", names=names, **values)
    if not marks:
        return not_yet("start_here.no_mark", **values)
    if len(marks) > 1:
        return not_yet("start_here.marked_twice", count=len(marks), **values)
    if not (text_of(marks[0]) or "").strip():
        return not_yet("start_here.empty_mark", **values)
    return None

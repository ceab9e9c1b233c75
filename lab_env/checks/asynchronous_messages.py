"""The checks of lesson 01: replies that find their request, and a sender that is safe to kill."""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lab_env.checks import attempts, judging
from lab_env.checks.evidence import settle, start_seconds, until
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.errors import BadInputError, ServiceError
from lab_env.observation import queries
from lab_env.observation.facts.rebalances import REBALANCING
from lab_env.processes.services import Service

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.lab import Lab
    from lab_env.processes.runs import Run

ANSWER_SECONDS = 15.0  # a bound against hanging; a desk answers twelve requests in a moment
QUIET_SECONDS = 2.5  # no new reply for so long: no more will come
SETTLE_SECONDS = 0.8  # a desk that answers twice has done so by then
ID, REPLY_TO = "correlation-id", "reply-to"


@dataclass(frozen=True)
class Request:
    """A request: the topic that it wants its reply on, and the gate of its flight ("" if none)."""

    reply_to: str
    flight: str
    gate: str


@dataclass(frozen=True)
class Exchange:
    """What was asked and what was answered.

    Attributes:
        asked: the requests, by their correlation id.
        found: the replies: topic, headers and value of each.
        strays: how many records among the requests are none.
        failed: name and error of a service that has failed since the requests were sent, or None.
        desks: the names of the services that run and know one of the topics.
        moving: the groups that are in a rebalance.
    """

    asked: dict[str, Request]
    found: list[tuple[str, dict, Any]]
    strays: int
    failed: dict[str, str] | None
    desks: list[str]
    moving: list[str]


@graded
def answered(lab, requests_topic: str, reply_topics: Sequence[str]) -> Result:
    """Check that each request has one reply, on its own reply topic, under its own id.

    Args:
        lab: the lab.
        requests_topic: real name of the topic with the requests; each has the headers
            correlation-id and reply-to.
        reply_topics: real names of the topics that the requests ask their replies on.

    Returns:
        Passed, or the first thing that is wrong.
    """
    requests = queries.records(lab.connection, requests_topic)
    asked = {
        headers[ID]: _request(headers[REPLY_TO], value)
        for headers, value in _pairs(requests)
        if ID in headers and headers.get(REPLY_TO) in reply_topics
    }
    if not asked:
        return not_yet("asynchronous_messages.no_requests", topic=requests_topic)
    sent = attempts.moment(lab, requests["timestamp"].min())

    def replies() -> list[tuple[str, dict, object]]:
        return [
            (topic, headers, value)
            for topic in reply_topics
            for headers, value in _pairs(queries.records(lab.connection, topic))
        ]

    def complete(rows: list) -> bool:
        # as many replies as requests, right or wrong: no need to wait for more than a second one
        return len(rows) >= len(asked) or attempts.failed(lab, sent) is not None

    found = _when_settled(lab, replies, complete)
    groups = {} if found else queries.groups(lab.connection)
    return judge(
        Exchange(
            asked=asked,
            found=found,
            strays=len(queries.records(lab.connection, requests_topic)) - len(asked),
            failed=attempts.failed(lab, sent),
            desks=[one.name for one in attempts.users(lab, requests_topic, *reply_topics)],
            moving=[name for name, one in groups.items() if one["group_state"] in REBALANCING],
        )
    )


@judging.judge
def judge(exchange: Exchange) -> Result:
    """Return the answer to an exchange: passed, or the first thing that is wrong."""
    asked, found = exchange.asked, exchange.found
    wanted = len(asked)

    def wrong(key: str, **values: object) -> Result:
        return not_yet(f"asynchronous_messages.{key}", wanted=wanted, got=len(found), **values)

    if exchange.failed and len(found) < wanted:
        return wrong("failed", **exchange.failed)
    if not found:
        return _nothing(exchange, wrong)
    without = [value for _, headers, value in found if ID not in headers]
    if without:
        inside = any(one in str(value) for value in without for one in asked)
        return wrong("id_in_body" if inside else "no_id", count=len(without))
    foreign = [headers[ID] for _, headers, _ in found if headers[ID] not in asked]
    if foreign:
        return wrong("foreign_id", count=len(foreign), example=foreign[0])
    strayed = [(topic, id_) for topic, id_, _ in _by_id(found) if topic != asked[id_].reply_to]
    if strayed:
        topic, identity = strayed[0]
        right = asked[identity].reply_to
        return wrong("wrong_topic", count=len(strayed), topic=topic, right=right)
    times = Counter(identity for _, identity, _ in _by_id(found))
    if len(times) < wanted:
        return wrong("unanswered", count=wanted - len(times))
    if len(found) > wanted:
        key = "two_desks" if len(exchange.desks) > 1 else "twice"
        count = sum(count > 1 for count in times.values())
        return wrong(key, count=count, names=", ".join(exchange.desks))
    if (answer := _gates(exchange, wrong)) is not None:
        return answer
    topics = len({one.reply_to for one in asked.values()})
    return passed("asynchronous_messages.answered", wanted=wanted, topics=topics)


def _nothing(exchange: Exchange, wrong: Callable[..., Result]) -> Result:
    """Return what to say where nothing has come."""
    if exchange.strays:
        return wrong("to_requests", strays=exchange.strays)
    if exchange.moving:
        return wrong("rebalancing", group=exchange.moving[0])
    return wrong("no_reply")


def _gates(exchange: Exchange, wrong: Callable[..., Result]) -> Result | None:
    """Return what is wrong with the bodies of replies that have all come where they should."""
    bare = [v for _, _, v in exchange.found if not (isinstance(v, dict) and v.get("gate"))]
    if bare:
        return wrong("no_gate", count=len(bare), example=_short(bare[0]))
    pairs = [(exchange.asked[id_], value["gate"]) for _, id_, value in _by_id(exchange.found)]
    other = [(request, gate) for request, gate in pairs if request.gate and gate != request.gate]
    if other:
        request, gate = other[0]
        told = {"flight": request.flight, "right": request.gate, "gate": _short(gate)}
        return wrong("other_gate", count=len(other), **told)
    return None


def _by_id(found: list[tuple[str, dict, Any]]) -> list[tuple[str, str, Any]]:
    return [(topic, headers[ID], value) for topic, headers, value in found]


def _request(reply_to: str, value: object) -> Request:
    flight = str(value.get("flight")) if isinstance(value, dict) else ""
    number = flight[2:]
    # the desk's rule, as gate_of() has it in the lesson
    gate = f"B{int(number) % 30 + 1}" if number.isdecimal() else ""
    return Request(reply_to, flight, gate)


# -- exercise 2 -----------------------------------------------------------------------------

MINUTE = 60_000  # ms for which the producer gathers, when the check runs the function once more
END_SECONDS = 10.0  # until a process that has crashed itself is gone; it takes a moment
BEGIN_SECONDS = 30.0  # until a process has begun, on a machine that does other things
PATIENCE = 10.0  # s in which it may report then; one that waits for longer has said nothing untrue
# of a run that was told to be right: what the topic held then, and what came of a second run
_seconds: "WeakKeyDictionary[Run, tuple[dict[int, int], Second]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Second:
    """What came of a second run, with a producer that gathers for a minute.

    Attributes:
        said: what it has reported as sent; None if nothing.
        there: how many records had arrived.
    """

    said: object
    there: int


@dataclass(frozen=True)
class Announced:
    """What a service that announced has reported, and what has outlived it.

    Attributes:
        said: what it reported as sent; None if nothing.
        state: of the service.
        failed: its name and error if its function has raised, or None.
        there, different: the records on the broker, and how many different ones.
        older: how many of them were sent before the service began.
        others: the names of other services that run and know the topic.
    """

    said: object
    state: str
    failed: dict[str, str] | None
    there: int
    different: int
    older: int
    others: list[str]


@graded
def announced(lab, topic: str, service, n: int) -> Result:
    """Check that ``n`` records outlived the process that sent them, and not by good luck.

    What looks right is run a second time, with a producer that gathers for a minute, and killed
    at its report: a wait of some seconds is no confirmation.

    Args:
        lab: the lab.
        topic: real name of the topic.
        service: the service that reported ``sent`` and was killed; the handle or its name.
        n: how many different records must be there.

    Returns:
        Passed, or the first thing that is wrong.
    """
    if isinstance(service, str):
        service = lab.services[service]
    if not hasattr(service, "first"):
        raise BadInputError("asynchronous_messages.no_service", got=type(service).__name__)
    run = service._run
    if "sent" in run.first:  # it ends itself at its report
        run.wait(END_SECONDS if service._uses("crash") else 0.0)
    frame = queries.records(lab.connection, topic)
    if known := _seconds.get(run):
        frame = frame[frame["offset"] < frame["partition"].map(known[0])]  # not of a second run
    wrong = judge_announced(_announced(lab, topic, service, frame), n)
    if wrong is not None:
        return wrong
    if known is None:
        ends = queries.end_offsets(lab.connection, topic)
        known = _seconds[run] = ends, _run_again(lab, topic, service, ends)
    return judge_second(known[1], n)


@judging.judge
def judge_announced(found: Announced, n: int) -> Result | None:
    """Return the first thing that is wrong with an announcement, or None."""

    def wrong(key: str, **values: object) -> Result:
        told = {"said": _short(found.said), "there": found.there, "different": found.different}
        return not_yet(f"asynchronous_messages.{key}", wanted=n, **told, **values)

    if found.failed:
        return wrong("announcer_failed", **found.failed)
    if found.said is None:
        return wrong("said_nothing", state=found.state)
    if found.state != "crashed":
        return wrong("not_killed")
    is_number = isinstance(found.said, int | float) and not isinstance(found.said, bool)
    if not is_number:
        return wrong("said_no_number", kind=type(found.said).__name__)
    if found.there < found.said:
        return wrong("promised_too_much")
    if found.different < n:
        return wrong("too_few")
    if found.there > n:
        if found.older or found.others:
            names = ", ".join(found.others) or "-"
            return wrong("older_attempt", older=found.older, names=names)
        return wrong("too_many")
    return None if found.said == n else wrong("said_too_little")


@judging.judge
def judge_second(second: Second, n: int) -> Result:
    """Return the answer to a second run: false only if it has reported what had not arrived."""
    if second.said is not None and second.there < n:
        told = {"said": _short(second.said), "there": second.there, "wanted": n}
        return not_yet("asynchronous_messages.guessed", **told)
    return passed("asynchronous_messages.announced", there=n)


def _announced(lab: "Lab", topic: str, service: "Service", frame: "pd.DataFrame") -> Announced:
    began, _ = attempts.run_of(lab, service)
    values = [str(value) for value in frame["value"]]
    others = [one.name for one in attempts.users(lab, topic) if one.name != service.name]
    said = None
    if service.state != "failed" and "sent" in service._run.first:  # of this run alone
        said = service.first("sent", seconds=0)
    failed = service.state == "failed"
    return Announced(
        said=said,
        state=service.state,
        failed={"name": service.name, "error": str(service.error)} if failed else None,
        there=len(values),
        different=len(set(values)),
        older=sum(attempts.moment(lab, one) < began for one in frame["timestamp"]),
        others=others,
    )


def _run_again(lab: "Lab", topic: str, service: "Service", ends: dict[int, int]) -> Second:
    """Run a service's function once more, with a producer that gathers, and kill it."""
    settings, payload = service.settings | {"linger_ms": MINUTE}, service._payload
    name = f"{service.name}-again"
    lab.services.take([name], lambda name: Service(name, service._home, payload, settings))
    again = lab.services[name]
    said = None
    until(lambda: again._run.begun is not None or again.state != "running", BEGIN_SECONDS)
    # it has not reported, or has failed: then nothing untrue was said
    with contextlib.suppress(ServiceError):
        said = again.first("sent", seconds=start_seconds(lab, PATIENCE))
    again.crash()
    now = queries.end_offsets(lab.connection, topic)
    return Second(said, sum(now.values()) - sum(ends.values()))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    text = repr(text) if isinstance(value, str) else text
    return text if len(text) <= 80 else text[:77] + "..."


def _pairs(frame: "pd.DataFrame") -> list[tuple[dict, object]]:
    return list(zip(frame["headers"], frame["value"], strict=True))


def _when_settled(lab: "Lab", read: Callable[[], list], complete: Callable[[list], bool]) -> list:
    """Read until no more rows come: for a moment if they are complete, else for longer."""

    def patience(rows: list) -> float:
        # a desk that has just been started may still be on its way
        return SETTLE_SECONDS if complete(rows) else start_seconds(lab, QUIET_SECONDS)

    rows, _ = settle(read, patience, most=ANSWER_SECONDS)
    return rows

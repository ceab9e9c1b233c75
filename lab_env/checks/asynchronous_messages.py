"""The checks of lesson 01: replies that find their request, and a sender that is safe to kill."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lab_env.checks.evidence import settle, start_seconds
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.errors import BadInputError
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env.lab import Lab

ANSWER_SECONDS = 15.0  # a bound against hanging; a desk answers twelve requests in a moment
QUIET_SECONDS = 2.5  # no new reply for so long: no more will come
SETTLE_SECONDS = 0.8  # a desk that answers twice has done so by then
ID, REPLY_TO = "correlation-id", "reply-to"


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
        headers[ID]: headers[REPLY_TO]
        for headers in requests["headers"]
        if ID in headers and headers.get(REPLY_TO) in reply_topics
    }
    if not asked:
        return not_yet("asynchronous_messages.no_requests", topic=requests_topic)

    def replies() -> list[tuple[str, dict, object]]:
        return [
            (topic, headers, value)
            for topic in reply_topics
            for headers, value in _pairs(queries.records(lab.connection, topic))
        ]

    # as many replies as requests, right or wrong: no need to wait for more than a second one
    found = _when_settled(lab, replies, lambda rows: len(rows) >= len(asked))
    strays = len(queries.records(lab.connection, requests_topic)) - len(asked)
    return _grade(found, asked, strays)


def _grade(found: list[tuple[str, dict, object]], asked: dict[str, str], strays: int) -> Result:
    """Return the answer for replies (topic, headers, value), given the topic for each id.

    ``strays`` is how many records among the requests are none.
    """
    wanted = len(asked)

    def wrong(key: str, **values: object) -> Result:
        return not_yet(f"asynchronous_messages.{key}", wanted=wanted, got=len(found), **values)

    if not found:
        return wrong("to_requests", strays=strays) if strays else wrong("no_reply")
    without = [value for _, headers, value in found if ID not in headers]
    if without:
        inside = any(one in str(value) for value in without for one in asked)
        return wrong("id_in_body" if inside else "no_id", count=len(without))
    foreign = [headers[ID] for _, headers, _ in found if headers[ID] not in asked]
    if foreign:
        return wrong("foreign_id", count=len(foreign), example=foreign[0])
    strayed = [(topic, headers[ID]) for topic, headers, _ in found if topic != asked[headers[ID]]]
    if strayed:
        topic, identity = strayed[0]
        return wrong("wrong_topic", count=len(strayed), topic=topic, right=asked[identity])
    times = Counter(headers[ID] for _, headers, _ in found)
    if len(times) < wanted:
        return wrong("unanswered", count=wanted - len(times))
    if len(found) > wanted:
        return wrong("twice", count=sum(count > 1 for count in times.values()))
    bare = [value for _, _, value in found if not (isinstance(value, dict) and value.get("gate"))]
    if bare:
        return wrong("no_gate", count=len(bare), example=repr(bare[0])[:80])
    return passed("asynchronous_messages.answered", wanted=wanted, topics=len(set(asked.values())))


@graded
def announced(lab, topic: str, service, n: int) -> Result:
    """Check that ``n`` records outlived the process that sent them.

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
    said = service.first("sent", seconds=0)  # of this run, not of an earlier one
    values = [str(value) for value in queries.records(lab.connection, topic)["value"]]
    there, different = len(values), len(set(values))

    def wrong(key: str) -> Result:
        return not_yet(
            f"asynchronous_messages.{key}", said=said, there=there, different=different, wanted=n
        )

    if service.state != "crashed":
        return wrong("not_killed")
    if isinstance(said, int) and there < said:
        return wrong("promised_too_much")
    if different < n:
        return wrong("too_few")
    if there > n:
        return wrong("too_many")
    if said != n:
        return wrong("said_too_little")
    return passed("asynchronous_messages.announced", there=there)


def _pairs(frame) -> list[tuple[dict, object]]:
    return list(zip(frame["headers"], frame["value"], strict=True))


def _when_settled(lab: "Lab", read: Callable[[], list], complete: Callable[[list], bool]) -> list:
    """Read until no more rows come: for a moment if they are complete, else for longer."""

    def patience(rows: list) -> float:
        # a desk that has just been started may still be on its way
        return SETTLE_SECONDS if complete(rows) else start_seconds(lab, QUIET_SECONDS)

    rows, _ = settle(read, patience, most=ANSWER_SECONDS)
    return rows

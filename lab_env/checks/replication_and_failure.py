"""Checks of lesson 10: what was acknowledged survives, and a topic with one copy is mended."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from lab_env.checks.evidence import until
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, misused, not_yet, passed
from lab_env.ground.errors import BadInputError
from lab_env.observation import queries

if TYPE_CHECKING:
    import pandas as pd

    from lab_env import Lab
    from lab_env.ground.journal import Mark

COPIES = 3
LEAST, UNCLEAN = "min.insync.replicas", "unclean.leader.election.enable"
AWAY_SECONDS = 0.7  # an answer so soon after a broker left may be of a record from before
MOST_SECONDS = 15.0  # for replicas to come in sync, and leaders to come home


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"replication_and_failure.{key}", **found)


def _partitions(lab: "Lab", topic: str) -> list[dict]:
    """Return the partitions of a topic as the cluster describes them, in order."""
    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(**lab.connection)) as admin:
        if topic not in admin.list_topics():
            raise BadInputError("lab.no_such_topic", topic=topic)
        found = admin.describe_topics([topic])[0]["partitions"]
    return sorted(found, key=lambda one: one["partition_index"])


def _listed(numbers: Iterable[object]) -> str:
    return ", ".join(map(str, numbers))


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Night:
    """What there is to see of a night, read at one moment.

    Attributes:
        topic, copies, least: of the topic.
        senders: services that still send into it.
        down: brokers that keep it and do not run.
        there: how many of the flights that were sent are there.
        sent, acknowledged: how many flights the services have reported.
        is_whole: whether a broker was killed in it.
        early: flights that were acknowledged before any broker left, and are not there.
        lost: flights that were acknowledged, and are not there.
        meanwhile: how many were acknowledged while one broker was away.
        twice: how many are there more than once.
    """

    topic: str
    copies: int
    least: int
    senders: tuple[str, ...]
    down: tuple[int, ...]
    there: int = 0
    sent: int = 0
    acknowledged: int = 0
    is_whole: bool = False
    early: int = 0
    lost: int = 0
    meanwhile: int = 0
    twice: int = 0


@graded
def survived_the_night(lab: "Lab", topic: str) -> Result:
    """Check that a topic's settings are safe, and what was acknowledged through a night is there.

    Args:
        lab: the lab; services report ``topic``, ``flight`` and ``error`` for each answer.
        topic: real name of the topic.
    """
    (first, *_) = _partitions(lab, topic)
    settings = queries.settings(lab.connection, topic)
    copies, least = len(first["replica_nodes"]), int(settings[LEAST])
    if (wrong := _unsafe({"topic": topic, "copies": copies, "least": least}, settings)) is not None:
        return wrong
    return _judge_night(_look_at_night(lab, topic, least, first["replica_nodes"]))


def _look_at_night(lab: "Lab", topic: str, least: int, replicas: list[int]) -> _Night:
    answers = _answers(lab, topic)
    names = sorted(set(answers["service"]))
    senders = tuple(one for one in names if lab.services[one].state == "running")
    down = tuple(one for one in replicas if lab.nodes.get(one, "running") != "running")
    night = _Night(topic, len(replicas), least, senders, down)
    if senders or down:  # it goes on: what is there now is not what will be there
        return night
    held = Counter(
        one["id"] for one in queries.records(lab.connection, topic)["value"] if _is_flight(one)
    )
    good = answers[answers["error"].isna()]
    gone = ~good["flight"].isin(held.keys())
    begin, end = _one_away(lab, answers, replicas)
    early, late = good["time"] < begin - AWAY_SECONDS, good["time"] > begin + AWAY_SECONDS
    return replace(
        night,
        there=len(set(answers["flight"]) & held.keys()),
        sent=len(answers),
        acknowledged=len(good),
        is_whole=_was_killed(lab, answers, replicas),
        early=good[gone & early]["flight"].nunique(),
        lost=good[gone]["flight"].nunique(),
        meanwhile=int((late & (good["time"] < end)).sum()),
        twice=sum(count > 1 for count in held.values()),
    )


@judge
def _judge_night(night: _Night) -> Result:
    """Return what a night says of the settings; no clock, no network."""
    found = asdict(night)
    if night.senders or night.down:
        who = [*night.senders, *(f"broker {node}" for node in night.down)]
        return _wrong("night_goes_on", who=_listed(who), **found)
    if not night.there:  # perhaps of a night before it was made anew
        return _wrong("night_none", **found)
    if not night.is_whole:
        return _wrong("night_no_kill", **found)
    if night.early:  # all was well then: these went into the topic that had the name before
        return _wrong("night_of_another", **found)
    if night.lost:
        return _wrong("night_lost", **found)
    if not night.meanwhile:
        return _wrong("night_refused", **found)
    if night.twice:
        return _wrong("night_twice", **found)
    return passed("replication_and_failure.night", **found)


def _unsafe(found: dict, settings: dict[str, str]) -> Result | None:
    """Return what is wrong with the settings of the topic, or None."""
    copies, least = found["copies"], found["least"]
    if copies == 1:
        return _wrong("night_one_copy", **found)
    if copies < COPIES:
        return _wrong("night_two_copies", **found)
    if settings[UNCLEAN] == "true":
        return _wrong("night_unclean", **found)
    if least == 1:
        return _wrong("night_least_low", **found)
    if least >= copies:
        return _wrong("night_least_high", **found)
    return None


def _answers(lab: "Lab", topic: str) -> "pd.DataFrame":
    """Return what services have reported of the topic since the last of them was started."""
    columns = ["time", "service", "topic", "flight", "error"]
    reports = lab.reports.reindex(columns=columns)
    reports = reports[reports["topic"] == topic]
    senders = set(reports["service"])
    starts = [m.time for m in lab.journal.marks if m.kind == "start" and m.subject in senders]
    return reports[reports["time"] >= max(starts, default=0.0)]


def _is_flight(value: object) -> bool:
    return queries.id_of(value) is not None


def _marks(lab: "Lab", answers: "pd.DataFrame", replicas: list[int]) -> "list[Mark]":
    """Return what happened to the brokers of a topic since the first answer."""
    begin = answers["time"].min()
    names = {f"broker {node}" for node in replicas}
    return [m for m in lab.journal.marks if m.time >= begin and m.subject in names]


def _was_killed(lab: "Lab", answers: "pd.DataFrame", replicas: list[int]) -> bool:
    return any(mark.kind in ("kill", "fail") for mark in _marks(lab, answers, replicas))


def _one_away(lab: "Lab", answers: "pd.DataFrame", replicas: list[int]) -> tuple[float, float]:
    """Return from when to when exactly one broker of the topic was away (s, the lab's clock)."""
    left = ("stop", "kill", "fail")
    gone = [mark.time for mark in _marks(lab, answers, replicas) if mark.kind in left]
    last = answers["time"].max()
    return gone[0] if gone else last, gone[1] if len(gone) > 1 else last


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def mended(lab: "Lab", topic: str, flights: list[dict]) -> Result:
    """Check that a topic has three replicas in sync, leaders that are spread, and all its flights.

    Reads alone. Waits for a reassignment that is under way, then for replicas to come in sync and
    leaders to come home: each until nothing has moved for 15 s.

    Args:
        lab: the lab.
        topic: real name of the topic.
        flights: what it has to hold, each once: JSON objects with an ``id``.

    Returns:
        Passed with who leads how many partitions, or the first thing that is wrong: records, the
        number of replicas, who would lead, who is in sync, who leads.
    """
    if not all(map(_is_flight, flights)):
        return misused("mended", "flights", flights)
    found = {"topic": topic, "copies": COPIES, "flights": len(flights)}
    if (wrong := _wrong_records(lab, topic, flights, found)) is not None:
        return wrong
    until(lambda: not _on_their_way(lab, topic), MOST_SECONDS, lambda: _on_their_way(lab, topic))
    if way := _on_their_way(lab, topic):
        return _wrong("mend_on_its_way", partitions=_listed(way), **found)
    parts = _partitions(lab, topic)
    few = [one["partition_index"] for one in parts if len(one["replica_nodes"]) < COPIES]
    if len(few) == len(parts):
        return _wrong("mend_none", **found)
    if few:
        return _wrong("mend_some", partitions=_listed(few), **found)
    if (wrong := _wrong_spread(lab, parts, found)) is not None:
        return wrong
    until(lambda: _is_home(lab, topic), MOST_SECONDS, lambda: str(_partitions(lab, topic)))
    parts = _partitions(lab, topic)
    late = [one["partition_index"] for one in parts if _is_late(one)]
    if late:
        return _wrong("mend_not_in_sync", partitions=_listed(late), **found)
    leads = Counter(one["leader_id"] for one in parts)
    told = _listed(f"{leads[node]} by broker {node}" for node in sorted(_alive(lab)))
    if not _is_even(leads, lab):
        return _wrong("mend_leaders", leads=told, **found)
    return passed("replication_and_failure.mend", leads=told, **found)


def _wrong_records(lab: "Lab", topic: str, flights: list[dict], found: dict) -> Result | None:
    wanted = {flight["id"] for flight in flights}
    parts = _partitions(lab, topic)
    if any(one["leader_id"] < 0 for one in parts):
        return _wrong("mend_no_leader", **found)
    held = [one["id"] for one in queries.records(lab.connection, topic)["value"] if _is_flight(one)]
    found["there"] = len(wanted & set(held))
    if found["there"] < len(wanted):
        return _wrong("mend_lost", **found)
    if len(held) > len(wanted):
        return _wrong("mend_twice", records=len(held), **found)
    return None


def _on_their_way(lab: "Lab", topic: str) -> list[int]:
    """Return the partitions that are being reassigned."""
    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(**lab.connection)) as admin:
        going_on = admin.list_partition_reassignments()
    return sorted(place.partition for place in going_on if place.topic == topic)


def _alive(lab: "Lab") -> list[int]:
    return [node for node, state in lab.nodes.items() if state == "running"]


def _is_even(counts: Counter, lab: "Lab") -> bool:
    """Return whether every broker has as many as any other, but for one."""
    shares = [counts[node] for node in _alive(lab)]
    return max(shares) - min(shares) <= 1


def _wrong_spread(lab: "Lab", parts: list[dict], found: dict) -> Result | None:
    preferred = Counter(one["replica_nodes"][0] for one in parts)
    if _is_even(preferred, lab):
        return None
    told = _listed(f"{preferred[node]} by broker {node}" for node in sorted(_alive(lab)))
    return _wrong("mend_preferred", leads=told, **found)


def _is_late(one: dict) -> bool:
    return set(one["isr_nodes"]) != set(one["replica_nodes"])


def _is_home(lab: "Lab", topic: str) -> bool:
    """Return whether all replicas are in sync, and each leader is the preferred one."""
    return all(
        not _is_late(one) and one["leader_id"] == one["replica_nodes"][0]
        for one in _partitions(lab, topic)
    )

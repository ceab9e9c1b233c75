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


@dataclass(frozen=True)
class Partition:
    """A partition as the cluster describes it.

    Attributes:
        number: of the partition.
        replicas, in_sync: the brokers' numbers; the first replica is the preferred leader.
        leader: the broker's number, -1 if there is none.
    """

    number: int
    replicas: list[int]
    in_sync: list[int]
    leader: int

    @property
    def is_late(self) -> bool:
        """Whether some replica is not in sync, or one is that should not be there."""
        return set(self.in_sync) != set(self.replicas)

    @property
    def is_home(self) -> bool:
        """Whether all replicas are in sync, and the preferred leader leads."""
        return not self.is_late and self.leader == self.replicas[0]


def _partitions(lab: "Lab", topic: str) -> list[Partition]:
    """Return the partitions of a topic, in order."""
    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(**lab.connection)) as admin:
        if topic not in admin.list_topics():
            raise BadInputError("lab.no_such_topic", topic=topic)
        found = admin.describe_topics([topic])[0]["partitions"]
    names = "partition_index", "replica_nodes", "isr_nodes", "leader_id"
    parts = (Partition(*(one[name] for name in names)) for one in found)
    return sorted(parts, key=lambda one: one.number)


def _listed(numbers: Iterable[object]) -> str:
    return ", ".join(map(str, numbers))


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What keeps the records of a topic.

    Attributes:
        topic: real name.
        copies: the number of replicas of each partition.
        least: its min.insync.replicas.
        is_unclean: whether a replica that is not in sync may become leader.
    """

    topic: str
    copies: int
    least: int
    is_unclean: bool


@dataclass(frozen=True)
class Night:
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
    told = queries.settings(lab.connection, topic)
    least = int(told[LEAST])
    settings = Settings(topic, len(first.replicas), least, told[UNCLEAN] == "true")
    if (wrong := judge_settings(settings)) is not None:
        return wrong
    return judge_night(_look_at_night(lab, topic, least, first.replicas))


def _look_at_night(lab: "Lab", topic: str, least: int, replicas: list[int]) -> Night:
    answers = _answers(lab, topic)
    names = sorted(set(answers["service"]))
    senders = tuple(one for one in names if lab.services[one].state == "running")
    down = tuple(one for one in replicas if lab.nodes.get(one, "running") != "running")
    night = Night(topic, len(replicas), least, senders, down)
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
def judge_settings(settings: Settings) -> Result | None:
    """Return what is wrong with the settings of the topic, or None."""
    found = asdict(settings)
    if settings.copies == 1:
        return _wrong("night_one_copy", **found)
    if settings.copies < COPIES:
        return _wrong("night_two_copies", **found)
    if settings.is_unclean:
        return _wrong("night_unclean", **found)
    if settings.least == 1:
        return _wrong("night_least_low", **found)
    if settings.least >= settings.copies:
        return _wrong("night_least_high", **found)
    return None


@judge
def judge_night(night: Night) -> Result:
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


@dataclass(frozen=True)
class Archive:
    """A topic that was to be mended, with what it holds.

    Attributes:
        topic: real name.
        flights, different: how many it has to hold, and how many different ones.
        there: how many of them it holds; 0 while a partition has no leader, as for all below.
        records: how many records with a flight it holds.
        way: the partitions that are still being reassigned.
        parts: its partitions.
        alive: the brokers that run.
    """

    topic: str
    flights: int
    different: int
    there: int
    records: int
    way: list[int]
    parts: list[Partition]
    alive: list[int]


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
    return judge_archive(_look_at_archive(lab, topic, flights))


def _look_at_archive(lab: "Lab", topic: str, flights: list[dict]) -> Archive:
    """Return what there is of a topic, as soon as it will not change by itself."""
    wanted = {flight["id"] for flight in flights}
    parts = _partitions(lab, topic)
    alive = sorted(node for node, state in lab.nodes.items() if state == "running")
    if any(one.leader < 0 for one in parts):
        return Archive(topic, len(flights), len(wanted), 0, 0, [], parts, alive)
    held = [one["id"] for one in queries.records(lab.connection, topic)["value"] if _is_flight(one)]
    until(lambda: not _on_their_way(lab, topic), MOST_SECONDS, lambda: _on_their_way(lab, topic))
    way, parts = _on_their_way(lab, topic), _partitions(lab, topic)
    if not way and not _few(parts) and _is_even(_preferred(parts), alive):
        until(lambda: _is_home(lab, topic), MOST_SECONDS, lambda: str(_partitions(lab, topic)))
    return Archive(
        topic=topic,
        flights=len(flights),
        different=len(wanted),
        there=len(wanted & set(held)),
        records=len(held),
        way=way,
        parts=_partitions(lab, topic),
        alive=alive,
    )


@judge
def judge_archive(archive: Archive) -> Result:
    """Return the answer for a topic that was to be mended: who leads, or what is wrong."""
    found = {"topic": archive.topic, "copies": COPIES, "flights": archive.flights}
    parts, alive = archive.parts, archive.alive
    if any(one.leader < 0 for one in parts):
        return _wrong("mend_no_leader", **found)
    found["there"] = archive.there
    if archive.there < archive.different:
        return _wrong("mend_lost", **found)
    if archive.records > archive.different:
        return _wrong("mend_twice", records=archive.records, **found)
    if archive.way:
        return _wrong("mend_on_its_way", partitions=_listed(archive.way), **found)
    few = _few(parts)
    if len(few) == len(parts):
        return _wrong("mend_none", **found)
    if few:
        return _wrong("mend_some", partitions=_listed(few), **found)
    preferred = _preferred(parts)
    if not _is_even(preferred, alive):
        return _wrong("mend_preferred", leads=_leads(preferred, alive), **found)
    late = [one.number for one in parts if one.is_late]
    if late:
        return _wrong("mend_not_in_sync", partitions=_listed(late), **found)
    leads = Counter(one.leader for one in parts)
    told = _leads(leads, alive)
    if not _is_even(leads, alive):
        return _wrong("mend_leaders", leads=told, **found)
    return passed("replication_and_failure.mend", leads=told, **found)


def _on_their_way(lab: "Lab", topic: str) -> list[int]:
    """Return the partitions that are being reassigned."""
    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(**lab.connection)) as admin:
        going_on = admin.list_partition_reassignments()
    return sorted(place.partition for place in going_on if place.topic == topic)


def _is_home(lab: "Lab", topic: str) -> bool:
    return all(one.is_home for one in _partitions(lab, topic))


def _few(parts: list[Partition]) -> list[int]:
    """Return the partitions that have too few replicas."""
    return [one.number for one in parts if len(one.replicas) < COPIES]


def _preferred(parts: list[Partition]) -> Counter:
    """Return how many partitions each broker would lead."""
    return Counter(one.replicas[0] for one in parts)


def _is_even(counts: Counter, alive: list[int]) -> bool:
    """Return whether every broker has as many as any other, but for one."""
    shares = [counts[node] for node in alive]
    return max(shares) - min(shares) <= 1


def _leads(counts: Counter, alive: list[int]) -> str:
    return _listed(f"{counts[node]} by broker {node}" for node in alive)

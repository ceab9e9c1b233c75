"""Checks of lesson 08: every flight is billed or parked with its cause, and replayed once."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lab_env.checks import attempts
from lab_env.checks.dead_letters import (
    Books,
    FlightRecord,
    Place,
    Replayed,
    judge_books,
    judge_replay,
    number_of,
)
from lab_env.checks.evidence import settle
from lab_env.checks.result import Result, graded
from lab_env.experiments.power_cuts import UNDER_WAY
from lab_env.observation import queries
from lab_env.observation.facts.progress import BLOCKED_AFTER
from lab_env.observation.sample import waiting

if TYPE_CHECKING:
    import pandas as pd

    from lab_env import Lab
    from lab_env.observation.sample import Sample

STEADY_SECONDS = 6.0  # what has not changed for so long will not change by itself
IDLE_SECONDS = 3.0  # the same when nothing waits, but something is missing
CALM_SECONDS = 1.5  # the same when nothing waits and nothing is missing
MOST_SECONDS = 30.0  # for all that a check waits for
GAP_SECONDS = 0.5  # between two samples, at the most
OTHERS = ("tariff", "operations", "watchman")  # services that never read the topic


@graded
def accounted_for(
    lab: "Lab", topic: str, bills: str, dead: str, group: str, retries: Iterable[str] = ()
) -> Result:
    """Check that all flights that departed have one bill, and the others are parked with a cause.

    Waits while the group is at it, and has an answer within half a minute.

    Args:
        lab: the lab; its observer watches ``topic`` and ``group``.
        topic: real name of the topic of the flights.
        bills: real name of the topic with a bill, {"flight": id}, for each flight.
        dead: real name of the topic of the dead letters.
        group: real name of the group that handles ``topic`` and ``retries``.
        retries: real names of the retry topics.
    """
    where = topic, bills, dead, group, tuple(retries), _begun(lab, topic, group)
    books = _read(lab, *where)
    if not books.records:
        return judge_books(books)

    def facts() -> tuple:
        nonlocal books
        books = _read(lab, *where)
        return books.facts

    def patience(_: object) -> float:
        if books.is_hopeless:
            return 0.0
        if books.waits or books.detours_wait:
            return STEADY_SECONDS
        return CALM_SECONDS if books.accounted else IDLE_SECONDS

    _, settled = settle(facts, patience, most=MOST_SECONDS)
    running = [one.name for one in lab.services.values() if one.state == "running"]
    return judge_books(
        replace(
            books,
            settled=settled,
            failed=_failed(lab, topic, group),
            read=any(name not in OTHERS for name in running),
            held=_held(lab, topic, group),
        )
    )


@graded
def replayed_once(lab: "Lab", dead: str, retry: str, bills: str, group: str) -> Result:
    """Check that each flight among the dead letters was repaired, replayed and billed once.

    Args:
        lab: the lab; a service of it handles what comes to ``retry``.
        dead: real name of the topic of the dead letters.
        retry: real name of the topic into which they are replayed.
        bills: real name of the topic with the bills, {"flight": id}.
        group: real name of the group that reads the dead letters to repair them.
    """

    def read() -> Replayed:
        letters, sent = _rows(lab, dead), _rows(lab, retry)
        return Replayed(dead, retry, bills, group, letters, sent, _billed(lab, bills))

    def facts() -> tuple:
        nonlocal replay
        replay = read()
        return len(replay.letters), len(replay.sent), sum(replay.made.values())

    def patience(_: object) -> float:
        handled = sum(replay.made.values()) + len(replay.again)
        return CALM_SECONDS if handled >= len(replay.sent) else STEADY_SECONDS

    replay = read()
    _, settled = settle(facts, patience, most=MOST_SECONDS)
    behind = sum(_waits(lab, dead, group).values())
    failed = _failed(lab, dead, group)
    return judge_replay(replace(replay, settled=settled, behind=behind, failed=failed))


def _read(
    lab: "Lab",
    topic: str,
    bills: str,
    dead: str,
    group: str,
    retries: tuple[str, ...],
    begun: float,
) -> Books:
    """Return what the broker holds now."""
    waits = _waits(lab, topic, group)
    detours_wait = sum(sum(_waits(lab, retry, group).values()) for retry in retries)
    rows = queries.records(lab.connection, topic)
    places = zip(rows["partition"].tolist(), rows["offset"].tolist(), strict=True)
    detours = (one for retry in retries for one in _rows(lab, retry))
    return Books(
        topic,
        dead,
        group,
        records=dict(zip(places, _records(rows), strict=True)),
        bills=_billed(lab, bills),
        letters=_rows(lab, dead),
        detours=tuple(number_of(one.headers.get("attempts")) for one in detours),
        waits=waits,
        detours_wait=detours_wait,
        lost_under_way=_lost_under_way(lab, begun),
    )


def _rows(lab: "Lab", topic: str) -> tuple[FlightRecord, ...]:
    return _records(queries.records(lab.connection, topic))


def _records(frame: "pd.DataFrame") -> tuple[FlightRecord, ...]:
    rows = zip(frame["key"], frame["value"], frame["headers"], strict=True)
    # a frame says nan where a record of several has no key
    return tuple(FlightRecord(None if key != key else key, *more) for key, *more in rows)


def _billed(lab: "Lab", bills: str) -> dict[str, int]:
    """Return how many bills there are, by the flight's id."""
    values = queries.records(lab.connection, bills)["value"]
    return dict(Counter(str(one.get("flight")) for one in values if isinstance(one, dict)))


def _waits(lab: "Lab", topic: str, group: str) -> dict[Place, int]:
    """Return where a group stands in the partitions in which records wait, and how many do."""
    ends, positions = queries.positions(lab.connection, topic, group)
    return {(p, positions[p]): count for p, count in waiting(ends, positions).items() if count}


def _lost_under_way(lab: "Lab", begun: float) -> dict[str, int]:
    """Return how many records were on their way when a clerk's power failed in this attempt."""
    told = lab.reports
    if UNDER_WAY not in told:
        return {}
    rows = told[told[UNDER_WAY].notna() & (told["time"] > begun)]
    return {row["service"]: int(row[UNDER_WAY]) for _, row in rows.iterrows()}


def _failed(lab: "Lab", topic: str, group: str) -> tuple[tuple[str, str], ...]:
    """Return name and error of each service that has failed in this attempt."""
    failed = attempts.all_failed(lab, _begun(lab, topic, group))
    return tuple((one.name, str(one.error)) for one in failed)


def _begun(lab: "Lab", topic: str, group: str) -> float:
    """Return when this attempt began, as far as it was seen (s, the lab's clock)."""
    samples = _since_filled(list(lab.watch(topic, groups=[group]).samples), topic, group)
    return samples[0].time if samples else 0.0


def _held(lab: "Lab", topic: str, group: str) -> float:
    """Return for how long (s) in all the worst member was blocked: it had work and got nowhere.

    By member, not by partition: one that has several may well work on one after the other.
    """
    stands: dict[str, tuple] = {}  # member -> (how far it is in its partitions, since when)
    blocked: Counter = Counter()
    now, last = 0.0, None  # s; a machine that comes to no sample blocks nobody
    for sample in _since_filled(list(lab.watch(topic, groups=[group]).samples), topic, group):
        now += min(sample.time - last.time, GAP_SECONDS) if last else 0.0
        seen, last = sample.groups[group], sample
        for member in {*stands, *seen.owners.values()}:
            own = [at for at, owner in seen.owners.items() if owner == member and at[0] == topic]
            far = {place: seen.committed.get(place, 0) for place in own}
            before, since = stands.get(member, (None, now))
            if far != before:
                if now - since > BLOCKED_AFTER:
                    blocked[member] += now - since
                stands.pop(member, None)
                if any(sample.ends.get(place, 0) > offset for place, offset in far.items()):
                    stands[member] = far, now
    return max(blocked.values(), default=0.0)


def _since_filled(samples: "list[Sample]", topic: str, group: str) -> "list[Sample]":
    """Return the samples since the topic was last empty: those of this attempt."""
    begin = 0
    for number, sample in enumerate(samples):
        if not sample.produced(topic):
            begin = number
    return [one for one in samples[begin:] if group in one.groups and not one.stale]

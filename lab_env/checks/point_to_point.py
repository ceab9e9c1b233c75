"""The checks of lesson 02: a backlog drained by one group, an audit. Long: both act."""

import contextlib
import json
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.checks import attempts
from lab_env.checks.evidence import start_seconds
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import TIMES, Patience
from lab_env.observation import queries
from lab_env.observation.facts.rebalances import REBALANCING
from lab_env.observation.groups import describe

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.lab import Lab
    from lab_env.processes.services import Service

START_SECONDS = 10.0  # a process that imports kafka on a busy machine has begun by then
ALONE_SECONDS = 3.0  # services are started in a cell, and the check's cell comes after it
COMMIT_SECONDS = 7.0  # who commits by the client's own timer does so every 5 s
SETTLE_SECONDS = 0.5  # a report travels by a pipe, a commit by the broker
LEAST_WORK = 0.8  # of the seconds that the work takes; less than that was not worked
MORE = 100  # commands that the check sends, about, to kill a truck at them
BEGUN = 3  # of these a truck has handled so many when it is killed
KILL_PERIOD = 0.05  # s between two looks for the moment to kill
MARK = "check-"  # how the ids of these commands begin
AIRPORTS = ("EWR", "JFK", "LGA")
SEAL = "sealed"


@graded
def drained(
    lab: "Lab",
    topic: str,
    group: str,
    *,
    commands: int = 300,
    work: float = 0.04,
    seconds: float = 10.0,
) -> Result:
    """Check that a group has handled every command of a topic once, in time, and committed.

    Waits while services are at it. The time runs from the first report to the last. What looks
    right gets more commands, and one of its trucks is killed at them: nothing may be lost.

    Args:
        lab: the lab; its services report ``handled``, the id of a command.
        topic: real name of the topic with the commands, JSON objects with an ``id``.
        group: real name of the group that may handle them.
        commands: how many wait in the topic.
        work: seconds that one command takes.
        seconds: the bound.
    """
    backlog = queries.records(lab.connection, topic)
    ours = [str(queries.id_of(value)).startswith(MARK) for value in backlog["value"]]
    backlog = backlog[[not one for one in ours]]
    ids = {queries.id_of(value) for value in backlog["value"]} - {None}
    if len(ids) != commands or len(backlog) != commands:
        return _wrong("drain_topic", topic=topic, count=len(backlog), commands=commands)
    if len(queries.end_offsets(lab.connection, topic)) < 2:
        return _wrong("drain_partition", topic=topic)
    filled = attempts.moment(lab, backlog["timestamp"].max())
    _wait_for_trucks(lab, backlog, topic, group, ids, seconds)
    reports = _reports(lab, ids)
    found = {
        "topic": topic,
        "group": group,
        "commands": commands,
        "seconds": seconds,
        "alone": commands * work,  # seconds of work for one truck
        "filled": filled,
        "count": reports["handled"].nunique(),
        "trucks": reports["service"].nunique(),
        "took": reports["time"].max() - reports["time"].min() if len(reports) else 0.0,
        "lag": _waiting(lab, backlog, topic, group),
    }
    judges = (_wrong_start, _wrong_group, _wrong_count, _wrong_time)
    answers = (judge(lab, reports, found) for judge in judges)
    # not with `or`: a Result that has not passed is false
    wrong = next((answer for answer in answers if answer is not None), None)
    return _judge_killed(_kill_one(lab, backlog, topic, group), found) if wrong is None else wrong


def _waiting(lab: "Lab", backlog: "pd.DataFrame", topic: str, group: str) -> int:
    """Return how many of the records lie before a group; without a commit all of them do."""
    kept = queries.committed(lab.connection, group, topic)
    return int((backlog["offset"] >= backlog["partition"].map(kept).fillna(0)).sum())


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"point_to_point.{name}", **values)


def _wrong_start(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    failed = attempts.failed(lab, found["filled"])
    if failed and found["count"] < found["commands"]:
        return _wrong("drain_failed", **failed)
    if found["count"] == 0 and found["lag"] == found["commands"]:
        told = queries.groups(lab.connection).get(found["group"], {})
        if told.get("group_state") in REBALANCING:
            return _wrong("drain_rebalancing", **found)
        running = sum(service.state == "running" for service in lab.services.values())
        return _wrong("drain_idle" if running else "drain_nobody", running=running, **found)
    return None


def _wrong_group(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    at_it = _groups_at(lab, found["topic"])
    if not at_it:
        return _wrong("drain_no_group", **found)
    if len(at_it) > 1:
        return _wrong("drain_groups", names=", ".join(sorted(at_it)), number=len(at_it), **found)
    if found["group"] not in at_it:
        return _wrong("drain_other_group", name=next(iter(at_it)), **found)
    if found["lag"] == found["count"] == found["commands"]:
        return _wrong("drain_uncommitted", **found)
    return None


def _wrong_count(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    if found["lag"] == 0 and found["count"] < found["commands"]:
        return _wrong("drain_skipped", missing=found["commands"] - found["count"], **found)
    if found["count"] < found["commands"]:
        return _wrong("drain_slow" if found["trucks"] > 1 else "drain_one", **found)
    twice = int(reports["handled"].duplicated().sum())
    if twice:
        return _wrong("drain_twice", twice=twice, **found)
    return _wrong("drain_uncommitted", **found) if found["lag"] else None


def _wrong_time(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    times = reports.groupby("service")["time"]
    if (times.max() - times.min()).sum() < LEAST_WORK * found["alone"]:
        return _wrong("drain_no_work", **found)
    if found["trucks"] < 2:
        return _wrong("drain_one", **found)
    return _wrong("drain_slow", **found) if found["took"] > found["seconds"] else None


def _wait_for_trucks(
    lab: "Lab", backlog: "pd.DataFrame", topic: str, group: str, ids: set, seconds: float
) -> None:
    """Return when all is handled and committed, or when nothing more can change the answer."""
    wait = Patience(START_SECONDS, pause=0.2, most=TIMES * max(START_SECONDS, seconds))
    while True:
        at_work = any(service.state == "running" for service in lab.services.values())
        reports, now = _reports(lab, ids), lab.journal.now()
        lag = _waiting(lab, backlog, topic, group)
        wait.look((len(reports), lag))
        if not at_work or lag == 0:
            time.sleep(SETTLE_SECONDS)
            return
        done = reports["handled"].nunique() == len(ids)
        wait.seconds = COMMIT_SECONDS if done else start_seconds(lab, START_SECONDS)
        if wait.over or _is_too_few(lab, reports, now) or _groups_at(lab, topic) - {group}:
            return
        time.sleep(0.2)


def _is_too_few(lab: "Lab", reports: "pd.DataFrame", now: float) -> bool:
    """Return whether one truck alone has been at work for so long that no other will come."""
    running = sum(service.state == "running" for service in lab.services.values())
    return running == 1 and len(reports) > 0 and now - reports["time"].min() > ALONE_SECONDS


def _reports(lab: "Lab", ids: set) -> "pd.DataFrame":
    """Return who has handled which of the commands, and when."""
    reports = lab.reports.reindex(columns=["time", "service", "handled"])
    return reports.loc[[queries.is_id(value) and value in ids for value in reports["handled"]]]


def _groups_at(lab: "Lab", topic: str) -> set[str]:
    """Return the groups that have committed offsets of the topic, or have members that own it."""
    return {
        name
        for name, group in queries.groups(lab.connection).items()
        if any(_owns(member, topic) for member in group["members"])
        or queries.committed(lab.connection, name, topic)
    }


def _owns(member: dict, topic: str) -> bool:
    assigned = (member["member_assignment"] or {}).get("assigned_partitions", ())
    return any(one["topic"] == topic and one["partitions"] for one in assigned)


# -- a truck that is killed at its work -----------------------------------------------------


@dataclass(frozen=True)
class Killed:
    """What came of more commands, and of a truck that was killed at them.

    Attributes:
        name: of the truck; "" if none was killed.
        handled: how many of the check's commands it had reported.
        lost: how many more its group had committed, so that they never come again.
        early: how many were seen committed before they were handled.
    """

    name: str
    handled: int
    lost: int
    early: int


@judge
def _judge_killed(killed: Killed | None, found: dict) -> Result:
    """Return the answer to a backlog that was drained as asked, given what a kill has shown."""
    if killed is None:
        return passed("point_to_point.drained", **found)
    values = {"name": killed.name, "handled": killed.handled, "lost": killed.lost}
    if killed.lost:
        return _wrong("drain_at_most_once", **found, **values)
    if killed.early:
        return _wrong("drain_early", early=killed.early, **found)
    key = "point_to_point.drained_killed" if killed.name else "point_to_point.drained"
    return passed(key, **found, **values)


def _kill_one(lab: "Lab", backlog: "pd.DataFrame", topic: str, group: str) -> Killed | None:
    """Send more commands, and kill a truck that has begun with them; None if there are no trucks.

    The moment is one at which the group has committed what nobody has handled yet, if there is
    such a moment; else one in the middle of a truck's work.
    """
    names = set(_reports(lab, {queries.id_of(value) for value in backlog["value"]})["service"])
    trucks = [one for one in lab.services.values() if one.name in names and one.state == "running"]
    if len(trucks) < 2:
        return None
    places = _send_more(lab, backlog, topic)
    places |= {  # who owns a partition is known from the commands before, too
        queries.id_of(value): (partition, -1)
        for value, partition in zip(backlog["value"], backlog["partition"], strict=True)
    }
    looks: list[tuple[float, dict[int, int]]] = []  # when, and what was committed then
    wait = Patience(START_SECONDS, pause=KILL_PERIOD, most=TIMES * START_SECONDS)
    while not wait.over:
        kept = queries.committed(lab.connection, group, topic)
        looks.append((lab.journal.now(), kept))
        reports = _reports(lab, set(places))  # read after the commits: they are no older
        wait.look(len(reports))
        victim = _victim(trucks, places, reports, kept)
        if victim is not None:
            victim.crash()
            killed = _after(lab, victim, places, looks, topic, group)
            _remove(lab, group, topic, _owned(places, reports, victim.name))
            return killed
        if set(places) <= set(reports["handled"]):
            break
        time.sleep(KILL_PERIOD)
    return _after(lab, None, places, looks, topic, group)


def _send_more(lab: "Lab", backlog: "pd.DataFrame", topic: str) -> dict:
    """Send commands as they are in a backlog, with new ids; return partition and offset of each."""
    from kafka import KafkaProducer

    futures = {}
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        some = backlog.iloc[:: max(len(backlog) // MORE, 1)]  # of each partition
        for key, value in zip(some["key"], some["value"], strict=True):
            identity = f"{MARK}{uuid.uuid4().hex}"
            body = json.dumps(value | {"id": identity}).encode()
            key = key.encode() if isinstance(key, str) else None
            futures[identity] = producer.send(topic, body, key=key)
        receipts = {identity: one.get(timeout=10) for identity, one in futures.items()}
    return {identity: (one.partition, one.offset) for identity, one in receipts.items()}


def _victim(
    trucks: "list[Service]", places: dict, reports: "pd.DataFrame", kept: dict[int, int]
) -> "Service | None":
    """Return the truck to be killed now, or None."""
    owners = _owners(places, reports)
    done = set(reports["handled"])
    waiting = {p for identity, (p, at) in places.items() if at >= 0 and identity not in done}
    ahead = [
        partition
        for identity, (partition, at) in places.items()
        if 0 <= at < kept.get(partition, 0) and identity not in done
    ]
    ours = reports[[places[one][1] >= 0 for one in reports["handled"]]]  # of the new ones
    begun = {name for name, count in ours["service"].value_counts().items() if count >= BEGUN}
    at_work = {owners.get(partition) for partition in waiting} & begun
    names = [owners.get(partition) for partition in ahead] + sorted(filter(None, at_work))
    return next((one for name in names for one in trucks if one.name == name), None)


def _owners(places: dict, reports: "pd.DataFrame") -> dict[int, str]:
    """Return who has last handled something of each partition."""
    rows = reports.sort_values("time")
    pairs = zip(rows["handled"], rows["service"], strict=True)
    return {places[identity][0]: service for identity, service in pairs}


def _owned(places: dict, reports: "pd.DataFrame", name: str) -> set[int]:
    return {partition for partition, one in _owners(places, reports).items() if one == name}


def _remove(lab: "Lab", group: str, topic: str, partitions: set[int]) -> None:
    """Take the member that owns some of these partitions out of a group: it is dead.

    Else the next try would wait for it until its session times out: 45 s by default.
    """
    from kafka import KafkaAdminClient
    from kafka.admin import MemberToRemove
    from kafka.errors import KafkaError

    places = {(topic, partition) for partition in partitions}
    with (
        contextlib.suppress(KafkaError),  # a courtesy: without it the next try waits
        contextlib.closing(KafkaAdminClient(**lab.connection)) as admin,
    ):
        dead = [one.id for one in describe(admin, [group])[group].members if places & set(one.owns)]
        if dead:
            admin.remove_group_members(group, [MemberToRemove(member_id=one) for one in dead])


def _after(
    lab: "Lab", victim: "Service | None", places: dict, looks: list, topic: str, group: str
) -> Killed:
    """Return what came of it: what a service has said before its end is all there."""
    reports, kept = _reports(lab, set(places)), queries.committed(lab.connection, group, topic)
    first = reports.groupby("handled")["time"].min().to_dict()
    new = {identity: at for identity, at in places.items() if at[1] >= 0}
    early = sum(
        any(at < then.get(partition, 0) and first[identity] > moment for moment, then in looks)
        for identity, (partition, at) in new.items()
        if identity in first
    )
    if victim is None:
        return Killed("", 0, 0, early)
    owners = _owners(places, reports)
    lost = sum(
        at < kept.get(partition, 0) and identity not in first
        for identity, (partition, at) in new.items()
        if owners.get(partition) == victim.name
    )
    ours = reports[reports["handled"].isin(new) & (reports["service"] == victim.name)]
    return Killed(victim.name, len(ours), lost, early)


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def audited(lab: "Lab", topic: str, audit: str, group: str) -> Result:
    """Check that the last record of ``audit`` counts the commands, and that no queue was moved.

    Args:
        lab: the lab.
        topic: real name of the topic with the commands, JSON objects with an ``airport``.
        audit: real name of the topic with the answer.
        group: real name of the group whose committed offsets bear a seal.
    """
    if (wrong := _wrong_queue(lab, topic, group)) is not None:
        return wrong
    commands = queries.records(lab.connection, topic)
    commands["airport"] = [_airport(value) for value in commands["value"]]
    truth = _count(commands)
    answers = list(queries.records(lab.connection, audit)["value"])
    if not answers:
        return _wrong("audit_nothing", audit=audit)
    if not _is_count(answers[-1]):
        return _wrong("audit_shape", audit=audit, answer=repr(answers[-1])[:80])
    told = {airport: answers[-1][airport] for airport in AIRPORTS}
    found = {
        "topic": topic,
        "group": group,
        "told": _in_words(told),
        "count": sum(told.values()),
        "commands": sum(truth.values()),
    }
    if told == truth:
        return passed("point_to_point.audited", **found)
    if not any(told.values()):
        return _wrong("audit_zero", **found)
    for partition, part in commands.groupby("partition"):
        if told == _count(part):
            return _wrong("audit_partition", partition=partition, **found)
    if sum(told.values()) == sum(truth.values()):
        return _wrong("audit_mixed", **found)
    few = sum(told.values()) < sum(truth.values())
    return _wrong("audit_few" if few else "audit_many", **found)


def _wrong_queue(lab: "Lab", topic: str, group: str) -> Result | None:
    from kafka import KafkaAdminClient

    found = queries.groups(lab.connection).get(group)
    if members := [member["client_id"] for member in (found or {}).get("members", ())]:
        return _wrong("audit_member", group=group, names=", ".join(sorted(members)))
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        offsets = admin.list_group_offsets(group)[group] if found else {}
    notes = {at.partition: one for at, one in offsets.items() if at.topic == topic}
    ends = queries.end_offsets(lab.connection, topic)
    broken = [p for p in ends if p not in notes or notes[p].metadata != SEAL]
    if not broken:
        return None
    back = sum(end - notes[p].offset for p, end in ends.items() if p in notes)
    return _wrong("audit_moved", group=group, number=len(broken), of=len(ends), back=back)


def _airport(value: object) -> str | None:
    return value.get("airport") if isinstance(value, dict) else None


def _count(commands: "pd.DataFrame") -> dict[str, int]:
    counted = Counter(commands["airport"])
    return {airport: counted[airport] for airport in AIRPORTS}


def _is_count(answer: object) -> bool:
    return (
        isinstance(answer, dict)
        and set(answer) == set(AIRPORTS)
        and all(type(number) is int for number in answer.values())
    )


def _in_words(count: dict[str, int]) -> str:
    return ", ".join(f"{airport} {number}" for airport, number in count.items())

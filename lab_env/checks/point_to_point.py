"""The checks of lesson 02: a backlog drained in time by one group, an audit that moved no queue."""

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from lab_env.checks.evidence import start_seconds
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import TIMES, Patience
from lab_env.observation import queries

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.lab import Lab

START_SECONDS = 10.0  # a process that imports kafka on a busy machine has begun by then
ALONE_SECONDS = 3.0  # services are started in a cell, and the check's cell comes after it
COMMIT_SECONDS = 7.0  # who commits by the client's own timer does so every 5 s
SETTLE_SECONDS = 0.5  # a report travels by a pipe, a commit by the broker
LEAST_WORK = 0.5  # of the seconds that the work takes; less than that was not worked
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

    Waits while services are at it. The time runs from the first report to the last.

    Args:
        lab: the lab; its services report ``handled``, the id of a command.
        topic: real name of the topic with the commands, JSON objects with an ``id``.
        group: real name of the group that may handle them.
        commands: how many wait in the topic.
        work: seconds that one command takes.
        seconds: the bound.
    """
    backlog = queries.records(lab.connection, topic)
    ids = {queries.id_of(value) for value in backlog["value"]} - {None}
    if len(ids) != commands or len(backlog) != commands:
        return _wrong("drain_topic", topic=topic, count=len(backlog), commands=commands)
    if len(queries.end_offsets(lab.connection, topic)) < 2:
        return _wrong("drain_partition", topic=topic)
    filled = lab.journal.now() - (time.time() - backlog["timestamp"].max().timestamp())
    _wait_for_trucks(lab, topic, group, ids, seconds)
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
        "lag": sum(queries.lag(lab.connection, topic, group).values()),
    }
    judges = (_wrong_start, _wrong_group, _wrong_count, _wrong_time)
    answers = (judge(lab, reports, found) for judge in judges)
    # not with `or`: a Result that has not passed is false
    wrong = next((answer for answer in answers if answer is not None), None)
    return passed("point_to_point.drained", **found) if wrong is None else wrong


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"point_to_point.{name}", **values)


def _wrong_start(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    marks = [m for m in lab.journal.marks if m.kind == "fail" and m.time > found["filled"]]
    if marks and found["count"] < found["commands"]:
        name = marks[-1].subject
        return _wrong("drain_failed", name=name, error=lab.services[name].error)
    if found["count"] == 0 and found["lag"] == found["commands"]:
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


def _wait_for_trucks(lab: "Lab", topic: str, group: str, ids: set, seconds: float) -> None:
    """Return when all is handled and committed, or when nothing more can change the answer."""
    wait = Patience(START_SECONDS, pause=0.2, most=TIMES * max(START_SECONDS, seconds))
    while True:
        at_work = any(service.state == "running" for service in lab.services.values())
        reports, now = _reports(lab, ids), lab.journal.now()
        lag = sum(queries.lag(lab.connection, topic, group).values())
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

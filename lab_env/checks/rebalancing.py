"""Checks of lesson 06: who stays in a group, and who can be restarted without moving anything."""

import contextlib
import json
import time
from typing import TYPE_CHECKING

from lab_env.checks import attempts
from lab_env.checks.evidence import start_seconds, until
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import Patience
from lab_env.observation import queries
from lab_env.observation.facts.rebalances import CLASSIC, REBALANCING, is_calm

if TYPE_CHECKING:
    import pandas as pd

    from lab_env import Lab
    from lab_env.observation.sample import Sample
    from lab_env.processes.services import Service

START_SECONDS = 6.0  # until a service has joined, or has worked after it joined
MOST_SECONDS = 30.0  # for all that a check waits for
TOLD_SECONDS = 0.6  # a commit may be seen so much earlier than the report of its record
WORK_SHARE = 0.8  # of the time that the work takes: clocks are not exact
LATE = 10  # departures that come while the gate works
LATE_SECONDS = 0.15  # between two of them: a little longer than one takes
GOODBYE_SECONDS = 2.0  # who says goodbye is missed sooner, who only falls silent later


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"rebalancing.{key}", **found)


def _history(lab: "Lab", topic: str, group: str) -> "list[Sample]":
    """Return the samples in which the group could be read."""
    samples = list(lab.watch(topic, groups=[group]).samples)
    return [one for one in samples if group in one.groups and not one.stale.get(group)]


def _name(member: str) -> str:
    """Return a member's client id: "gate" for "gate (2)"."""
    return member.split(" (")[0]


# -- exercise 1 -----------------------------------------------------------------------------


@graded
def kept_in_group(lab: "Lab", topic: str, group: str, work: float) -> Result:
    """Check that all records of ``topic`` were handled once, and nobody was evicted meanwhile.

    It sends some more while they are handled: a gate that polls has to handle what it is given.

    Args:
        lab: the lab.
        topic: real name of the topic, JSON objects with an ``id``.
        group: real name of the group, which the observer has watched from its begin.
        work: seconds that one record takes.
    """
    if not (ids := _ids(lab, topic)):
        return _wrong("kept_topic", topic=topic)
    if _is_at_work(lab, topic, group, ids):
        _send_late(lab, topic)
        ids = _ids(lab, topic)
    _wait_for_work(lab, topic, group, ids)
    reports = _reports(lab, topic, group, ids)
    found = {
        "topic": topic,
        "group": group,
        "records": len(ids),
        "count": int(reports["handled"].nunique()),
        "work": work,
    }
    found["committed"] = sum(queries.committed(lab.connection, group, topic).values())
    for look_for in (_wrong_service, _wrong_eviction, _wrong_outcome):
        if (wrong := look_for(lab, reports, found)) is not None:
            return wrong
    return passed("rebalancing.kept", **found)


def _ids(lab: "Lab", topic: str) -> set:
    values = queries.records(lab.connection, topic)["value"]
    return {queries.id_of(value) for value in values} - {None}


def _is_at_work(lab: "Lab", topic: str, group: str, ids: set) -> bool:
    """Wait until something was handled, and return whether a service is there for more."""

    def at_work() -> bool:
        return bool(len(_reports(lab, topic, group, ids))) or not _runs(lab)

    until(at_work, start_seconds(lab, START_SECONDS), lambda: len(lab.reports))
    return _runs(lab) and len(_reports(lab, topic, group, ids)) > 0


def _runs(lab: "Lab") -> bool:
    return any(service.state == "running" for service in lab.services.values())


def _send_late(lab: "Lab", topic: str) -> None:
    """Send some more departures, one after the other."""
    from kafka import KafkaProducer

    values = [v for v in queries.records(lab.connection, topic)["value"] if queries.id_of(v)]
    partitions = len(queries.end_offsets(lab.connection, topic))
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        for number, value in enumerate(values[:LATE]):
            late = value | {"id": f"{value['id']}-late-{len(values)}"}  # new at each check
            data = json.dumps(late).encode()
            producer.send(topic, data, partition=number % partitions).get(timeout=10)
            time.sleep(LATE_SECONDS)


def _failed(lab: "Lab", topic: str, group: str) -> "list[Service]":
    """Return the services that have failed since the group was first looked at."""
    begin = next((sample.time for sample in _history(lab, topic, group)), 0.0)
    return attempts.all_failed(lab, begin)


def _reports(lab: "Lab", topic: str, group: str, ids: set) -> "pd.DataFrame":
    """Return what was handled since the group was first looked at: not in an earlier attempt."""
    begin = next((sample.time for sample in _history(lab, topic, group)), 0.0)
    reports = lab.reports.reindex(columns=["time", "service", "handled"])
    reports = reports[reports["time"] >= begin]
    # .loc, since an empty list of choices would choose columns
    return reports.loc[[isinstance(one, str) and one in ids for one in reports["handled"]]]


def _wait_for_work(lab: "Lab", topic: str, group: str, ids: set) -> None:
    """Return when all is committed and the group is stable, or nothing can change the answer."""
    began = lab.journal.now()
    wait = Patience(START_SECONDS)

    def over() -> bool:
        history = _history(lab, topic, group)
        now, reports = lab.journal.now(), _reports(lab, topic, group, ids)
        wait.seconds = start_seconds(lab, START_SECONDS)
        wait.look(len(reports))
        if not _runs(lab):
            return True
        if len(reports) and now > began + 2.0 and not _has_had_members(history, group):
            return True
        if _was_evicted(lab, history, group, reports):
            # what came of it shows when the batch is through
            return bool(reports["handled"].duplicated().any()) or wait.total > wait.seconds
        if history and history[-1].time > began and _is_done(history[-1], topic, group):
            return is_calm(history, group)
        return wait.over

    def handled() -> int:
        return len(lab.reports)

    until(over, MOST_SECONDS, handled)


def _is_done(sample: "Sample", topic: str, group: str) -> bool:
    return sample.produced(topic) > 0 and sample.lag(topic, group) == 0


def _has_had_members(history: "list[Sample]", group: str) -> bool:
    return any(sample.groups[group].members for sample in history)


def _was_evicted(lab: "Lab", history: "list[Sample]", group: str, reports: "pd.DataFrame") -> bool:
    """Return whether a member was gone from the group while its process went on."""
    seen: set[str] = set()
    running = {s.name for s in lab.services.values() if s.state == "running"}
    own = set(reports["service"]) & running
    for sample in history:
        members = {_name(member) for member in sample.groups[group].members}
        gone = seen - members
        # a consumer without a client_id bears the client's name: then the number has to do
        if gone & own or (gone and not gone & set(lab.services) and len(members) < len(own)):
            return True
        seen |= members
    return False


def _wrong_service(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    group = found["group"]
    failed = _failed(lab, found["topic"], group)
    if failed and "CommitFailed" in str(failed[0].error):
        return _wrong("kept_evicted_failed", name=failed[0].name, **found)
    if failed:
        return _wrong("kept_failed", name=failed[0].name, error=failed[0].error)
    if found["count"] and not _has_had_members(_history(lab, found["topic"], group), group):
        return _wrong("kept_assigned" if found["committed"] else "kept_other_group", **found)
    if reports.empty and not _runs(lab):
        return _wrong("kept_nobody", **found)
    return None


def _wrong_eviction(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    topic, group = found["topic"], found["group"]
    history = _history(lab, topic, group)
    evicted = _was_evicted(lab, history, group, reports)
    first = reports.drop_duplicates("handled")["time"]
    nexts = [*(sample.time for sample in history[1:]), lab.journal.now()]
    for sample, following in zip(history, nexts, strict=True):
        # a busy machine takes its time over a sample, and what it read last is the newest
        told = max(sample.time + TOLD_SECONDS, following)
        ahead = sample.consumed(topic, group) - int((first <= told).sum())
        if ahead > 0 and evicted:
            return _wrong("kept_commit_first", ahead=ahead, **found)
    twice = int(reports["handled"].duplicated().sum())
    if evicted:
        return _wrong("kept_evicted", twice=twice, **found)
    return _wrong("kept_twice", twice=twice, **found) if twice else None


def _wrong_outcome(lab: "Lab", reports: "pd.DataFrame", found: dict) -> Result | None:
    topic, group = found["topic"], found["group"]
    history = _history(lab, topic, group)
    if found["count"] == 0:
        return _wrong("kept_idle", **found)
    if found["committed"] < found["records"]:
        key = "kept_uncommitted" if found["count"] == found["records"] else "kept_unfinished"
        return _wrong(key, **found)
    if found["count"] < found["records"]:
        return _wrong("kept_skipped", missing=found["records"] - found["count"], **found)
    times = reports.groupby("service")["time"]
    took = float((times.max() - times.min()).sum())
    if took < WORK_SHARE * found["work"] * (found["records"] - 2 * times.ngroups):
        return _wrong("kept_no_work", took=took, **found)
    if not history[-1].groups[group].members:
        return _wrong("kept_left", **found)
    if not is_calm(history, group):
        return _wrong("kept_rebalancing", state=history[-1].groups[group].state, **found)
    return None


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def restarted_in_place(lab: "Lab", topic: str, group: str, members: int) -> Result:
    """Check that a member was restarted and no partition has had another owner meanwhile.

    Args:
        lab: the lab.
        topic: real name of a topic to which records go all the time.
        group: real name of the group, which the observer has watched from its begin.
        members: how many the group has to have.
    """
    found = {"topic": topic, "group": group, "members": members}

    def moves() -> object:
        history = _history(lab, topic, group)
        if not history:
            return None
        seen = history[-1].groups[group]
        return seen.state, seen.members, seen.owners

    until(lambda: _settled_at(lab, topic, group, members) is not None, START_SECONDS, moves)
    if (begin := _settled_at(lab, topic, group, members)) is None:
        return _wrong_crew(lab, topic, group, found)
    lab.until(lambda: _restart(lab, topic, group, begin.time), 2.0)
    restart = _restart(lab, topic, group, begin.time)
    if restart is None:
        return _wrong("place_no_restart", **found)
    found["name"], stopped, started = restart
    found["away"] = started - stopped

    def over() -> bool:
        history = _history(lab, topic, group)
        return _moved(history, group, begin) is not None or _grows(history, topic, group, started)

    until(over, 15.0, moves)
    if lab.services[found["name"]].state == "failed":
        return _wrong("place_failed", error=lab.services[found["name"]].error, **found)
    history = _history(lab, topic, group)
    if moved := _moved(history, group, begin):
        # whether the old member still counts shows when the group has its members together
        until(lambda: is_calm(_history(lab, topic, group), group), START_SECONDS, moves)
        history = _history(lab, topic, group)
        found["number"] = _partitions_moved(history, group, begin)
        late = moved.time - stopped
        if late < 0:
            return _wrong("place_before", **found)
        if _has_stranger(history, group, found["name"]):
            return _wrong("place_stranger", **found)
        key = "place_late" if late > GOODBYE_SECONDS else "place_left"
        return _wrong(key, late=late, **found)
    if not _grows(history, topic, group, started):
        return _wrong("place_not_back", **found)
    return passed("rebalancing.place", **found)


def _wrong_crew(lab: "Lab", topic: str, group: str, found: dict) -> Result:
    for service in _failed(lab, topic, group):
        return _wrong("place_failed", **found | {"name": service.name, "error": service.error})
    now = _history(lab, topic, group)[-1:]
    seen = now[0].groups[group] if now else None
    if seen is None or not seen.members:
        return _wrong("place_nobody", **found)
    if seen.state in REBALANCING:
        return _wrong("place_rebalancing", state=seen.state, **found)
    found["names"] = ", ".join(sorted(seen.members))
    if len(seen.members) > found["members"]:
        return _wrong("place_many", **found)
    desks = [one for one in lab.services.values() if one._reads(topic, seen.members)]
    found["running"] = sum(one.state == "running" for one in desks)
    return _wrong("place_desks" if found["running"] < found["members"] else "place_few", **found)


def _settled_at(lab: "Lab", topic: str, group: str, members: int) -> "Sample | None":
    """Return the first sample in which so many members shared all partitions, or None."""
    for sample in _history(lab, topic, group):
        owners = sample.groups[group].owners
        places = [place for place in sample.ends if place[0] == topic]
        complete = places and all(place in owners for place in places)
        if complete and len(set(owners.values())) == len(sample.groups[group].members) == members:
            return sample
    return None


def _restart(lab: "Lab", topic: str, group: str, begin: float) -> tuple[str, float, float] | None:
    """Return which member's process ended and began again after ``begin``, and when, or None."""
    ended: dict[str, float] = {}
    for mark in list(lab.journal.marks):
        if mark.kind in ("stop", "crash", "kill", "fail") and mark.time > begin:
            ended.setdefault(mark.subject, mark.time)
        elif mark.kind == "start" and mark.subject in ended:
            return mark.subject, ended[mark.subject], mark.time
    return None


def _moved(history: "list[Sample]", group: str, begin: "Sample") -> "Sample | None":
    """Return the first sample after ``begin`` that tells of a rebalance or of other owners."""
    owners = begin.groups[group].owners
    for sample in history:
        seen = sample.groups[group]
        if sample.time > begin.time and (seen.state in CLASSIC or seen.owners != owners):
            return sample
    return None


def _has_stranger(history: "list[Sample]", group: str, name: str) -> bool:
    """Return whether there were two members with this name at once: one of them was dead."""
    return any(f"{name} (2)" in sample.groups[group].members for sample in history)


def _partitions_moved(history: "list[Sample]", group: str, begin: "Sample") -> int:
    """Return how many partitions have had another owner since then, or none for a while."""
    owners = begin.groups[group].owners
    after = [one.groups[group] for one in history if one.time > begin.time]
    if any(seen.state in CLASSIC for seen in after):  # in which nobody's partitions are read
        return len(owners)
    moved = [place for seen in after for place in owners if seen.owners.get(place) != owners[place]]
    return len(set(moved))


def _grows(history: "list[Sample]", topic: str, group: str, since: float) -> bool:
    """Return whether the group has committed something in every partition, well after ``since``."""
    after = [one for one in history if one.time > since]
    if len(after) < 2:
        return False
    then, now = after[0].groups[group].committed, after[-1].groups[group].committed
    places = [place for place in after[-1].ends if place[0] == topic]
    return all(now.get(place, 0) > then.get(place, 0) for place in places)

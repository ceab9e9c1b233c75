"""Checks of lesson 13: names kept by a loop, a load carried while it rolls. Long: both act."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.checks.evidence import start_seconds, until
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.observation import queries
from lab_env.observation.facts.rebalances import is_calm
from lab_env.observation.sample import positions, waiting

if TYPE_CHECKING:
    import pandas as pd

    from lab_env import Lab
    from lab_env.observation.sample import GroupSample, Sample

START_SECONDS = 15.0  # until a group has settled, on a machine that is busy
IDLE_SECONDS = 2.0  # nobody has begun to do anything in so long
BACK_SECONDS = 12.0  # until one that was killed is back, or one that is too much is gone
ROLL_SECONDS = 15.0  # for each restart
HOLD_SECONDS = 0.8  # well below a session timeout
HELD_RECORDS = 4  # handled of what waited, before the stop comes
REPORT_SECONDS = 3.0  # that a report may be later than the commit of its record
DRAIN_SECONDS = 20.0  # until all that has come up to now is committed


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"kubernetes_lesson.{key}", **found)


def _passed(key: str, **found: object) -> Result:
    return passed(f"kubernetes_lesson.{key}", **found)


def _first_wrong(steps, key: str, found: dict) -> Result:
    """Return what the first step finds wrong, else that the exercise is done."""
    wrong = next((said for step in steps if (said := step()) is not None), None)
    return _passed(key, **found) if wrong is None else wrong


def _now(lab: "Lab", topic: str, group: str) -> "tuple[Sample, GroupSample]":
    """Return the newest sample of the observer, and the group in it."""
    sample = lab.watch(topic, groups=[group]).samples[-1]
    return sample, sample.groups[group]


def _settled(lab: "Lab", topic: str, group: str, since: float) -> set[str] | None:
    """Return the members of a group that has been seen to be settled since then, or None."""
    sample, seen = _now(lab, topic, group)
    places = {place for place in sample.ends if place[0] == topic}
    owned = {place: name for place, name in seen.owners.items() if place in places}
    fresh = sample.time > since and not sample.stale.get(group) and not sample.stale.get("topics")
    whole = seen.state == "Stable" and seen.members and places and set(owned) == places
    return _plain(seen.members) if fresh and whole else None


def _plain(members) -> set[str]:
    """Return members' client ids: "gate-1" also for "gate-1 (2)", beside one that has died."""
    return {member.split(" (")[0] for member in members}


def _names(members) -> str:
    return ", ".join(sorted(members)) or "-"


def _alive(lab: "Lab", members) -> list:
    """Return the services that run under the names of members."""
    there = [lab.services.get(name) for name in sorted(members)]
    return [one for one in there if one is not None and one.state == "running"]


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Crew:
    """What is known at one moment of the members that a loop keeps.

    Attributes:
        wanted: their names.
        members: of the group, by client id, as the broker tells them.
        running: names of services of the set that run.
        ended: how others of the wanted ones ended, by name: "stopped", "crashed" or "failed".
        again: whether a member was started a second time.
        other: a group of which a running one is a member in place of this one, or "".
        error: what a service, or the loop itself, has raised last, or "".
        loop_failed: whether it was the loop.
    """

    wanted: frozenset[str]
    members: frozenset[str]
    running: frozenset[str]
    ended: Mapping[str, str]
    again: bool = False
    other: str = ""
    error: str = ""
    loop_failed: bool = False

    @property
    def is_right(self) -> bool:
        """Whether these and no others are members, and run."""
        return self.members == self.wanted and self.wanted <= self.running


@graded
def keeps_ordinals(lab: "Lab", topic: str, group: str, stateful_set: dict) -> Result:
    """Check that a loop keeps members NAME-0, NAME-1, ... of a group: one is killed, one too many.

    The check does what happens to a StatefulSet: it kills a pod, and it scales, which changes
    ``stateful_set["spec"]["replicas"]``; in the end that is as it was.

    Args:
        lab: the lab.
        topic: real name of the topic.
        group: real name of the group.
        stateful_set: what the loop reads: metadata.name, and spec.replicas of 2 or more.
    """
    try:
        name, wanted = stateful_set["metadata"]["name"], stateful_set["spec"]["replicas"]
    except (KeyError, TypeError):
        return _wrong("loop_manifest")
    if not isinstance(wanted, int) or not 2 <= wanted <= 6:
        return _wrong("loop_replicas", replicas=wanted)
    found = {"group": group, "name": name, "wanted": wanted}
    began = lab.journal.now()
    try:
        steps = (
            lambda: _wrong_start(lab, topic, began, found),
            lambda: _wrong_return(lab, topic, found),
            lambda: _wrong_scale(lab, topic, stateful_set, found),
        )
        return _first_wrong(steps, "loop", found)
    finally:
        stateful_set["spec"]["replicas"] = wanted


def _ordinals(name: str, count: int) -> frozenset[str]:
    return frozenset(f"{name}-{number}" for number in range(count))


def _crew_after(
    lab: "Lab", topic: str, found: dict, wanted: frozenset[str], since: float, seconds: float
) -> Crew:
    """Wait until these and no others are members, and run; return what there is in the end."""
    group = found["group"]

    def is_so() -> bool:
        there = _settled(lab, topic, group, since)
        return there == wanted and len(_alive(lab, wanted)) == len(wanted)

    until(is_so, start_seconds(lab, seconds))
    if is_so():
        return Crew(wanted, wanted, wanted, {})
    return _crew(lab, topic, found, wanted)


def _crew(lab: "Lab", topic: str, found: dict, wanted: frozenset[str]) -> Crew:
    group, stem = found["group"], f"{found['name']}-"
    members = frozenset(_plain(_now(lab, topic, group)[1].members))
    services = list(lab.services.values())
    running = frozenset(
        one.name for one in services if one.state == "running" and one.name.startswith(stem)
    )
    failed = [
        one.error or "" for one in services if one.state == "failed" and one.name.startswith(stem)
    ]
    loops = list(lab.loops.values())
    # the loops of earlier parts of the lesson have ended, one way or another
    raised = [one.error for one in loops if one.error] if not any(o.running for o in loops) else []
    others = {
        other
        for other, told in queries.groups(lab.connection).items()
        for one in told["members"]
        if other != group and one["client_id"] in running - members
    }
    return Crew(
        wanted,
        members,
        running,
        {one.name: one.state for one in services if one.name in wanted - running},
        again=_came_back(lab, members),
        other=min(others, default=""),
        error=(raised or failed or [""])[-1],
        loop_failed=bool(raised),
    )


def _came_back(lab: "Lab", members: Iterable[str]) -> bool:
    """Return whether any of these was started a second time."""
    started = [one.subject for one in list(lab.journal.marks) if one.kind == "start"]
    return any(started.count(name) > 1 for name in members)


def _wrong_start(lab: "Lab", topic: str, began: float, found: dict) -> Result | None:
    name, wanted = found["name"], _ordinals(found["name"], found["wanted"])

    def begun() -> bool:
        return bool(_now(lab, topic, found["group"])[1].members) or any(
            one.state == "running" and one.name.startswith(name) for one in lab.services.values()
        )

    if not until(begun, IDLE_SECONDS):
        crew = _crew(lab, topic, found, wanted)
        key = "loop_raised" if crew.loop_failed else "loop_nobody"
        return _wrong(key, error=crew.error, **found)
    return _judge_start(_crew_after(lab, topic, found, wanted, began, START_SECONDS), found)


@judge
def _judge_start(crew: Crew, found: dict) -> Result | None:
    """Say what is wrong with the members that a loop has started."""
    if crew.is_right:
        return None
    there, wanted = crew.members, crew.wanted
    if crew.error:
        key = "loop_raised" if crew.loop_failed else "loop_failed"
        return _wrong(key, error=crew.error, **found)
    values = found | {"there": _names(there), "right": _names(wanted), "other": crew.other}
    if crew.other:
        # new_shift gives the groups of an exercise one name, and each an ending of its own
        same = crew.other.rpartition("-")[0] == found["group"].rpartition("-")[0]
        return _wrong("loop_old_group" if same else "loop_other_group", **values)
    if not there:
        return _wrong("loop_other_group", **values | {"other": "-"})
    # a loop that starts stopped ones again may pass dead ones over
    ended = [name for name, how in crew.ended.items() if not (crew.again and how == "stopped")]
    if ended and len(there) < len(wanted):
        return _wrong("loop_ended", ended=_names(ended), **values)
    key = "loop_many" if len(there) > len(wanted) else "loop_few"
    key = "loop_names" if len(there) == len(wanted) else key
    return _wrong(key, **values)


def _wrong_return(lab: "Lab", topic: str, found: dict) -> Result | None:
    """Kill the one before the last, and see who comes."""
    wanted = _ordinals(found["name"], found["wanted"])
    victim = f"{found['name']}-{found['wanted'] - 2}"
    lab.services[victim].crash()
    killed = lab.journal.now()

    def somebody_came() -> bool:
        marks = list(lab.journal.marks)
        return any(one.kind == "start" and one.time >= killed for one in marks)

    found = found | {"victim": victim}
    if not until(somebody_came, BACK_SECONDS / 2):
        crew = _crew(lab, topic, found, wanted)
        key = "loop_raised" if crew.loop_failed else "loop_once"
        return _wrong(key, error=crew.error, **found)
    crew = _crew_after(lab, topic, found, wanted, killed, BACK_SECONDS)
    if crew.is_right:
        return None
    if crew.loop_failed:
        return _wrong("loop_raised", error=crew.error, **found)
    return _wrong("loop_stranger", there=_names(crew.members), right=_names(wanted), **found)


def _wrong_scale(lab: "Lab", topic: str, stateful_set: dict, found: dict) -> Result | None:
    """Want one less, and see who goes, how, and what the loop tells of it."""
    fewer = found["wanted"] - 1
    wanted, surplus = _ordinals(found["name"], fewer), f"{found['name']}-{fewer}"
    stateful_set["spec"]["replicas"] = fewer
    since = lab.journal.now()
    crew = _crew_after(lab, topic, found, wanted, since, BACK_SECONDS)
    until(lambda: (fewer, fewer) in _told(lab, since), IDLE_SECONDS)
    killed = any(
        one.kind in ("crash", "kill") and one.subject == surplus and one.time >= since
        for one in list(lab.journal.marks)
    )
    values = found | {"fewer": fewer, "surplus": surplus}
    return _judge_scale(crew, killed, _told(lab, since), values)


def _told(lab: "Lab", since: float) -> list[tuple[int, int]]:
    """Return what loops have returned since then: (wanted, running), in their order."""
    rows = lab.reports.reindex(columns=["time", "wanted", "running"]).dropna()
    rows = rows[rows["time"] >= since]
    return list(zip(rows["wanted"], rows["running"], strict=True))


@judge
def _judge_scale(
    crew: Crew, killed: bool, told: list[tuple[int, int]], found: dict
) -> Result | None:
    """Say what is wrong once one less is wanted.

    Args:
        crew: what there is.
        killed: whether the one that was too much was killed.
        told: what the loop has returned since: (wanted, running).
        found: for the sentences.
    """
    values = found | {"there": _names(crew.members), "right": _names(crew.wanted)}
    if not crew.is_right:
        if crew.loop_failed:
            return _wrong("loop_raised", error=crew.error, **values)
        surplus_runs = found["surplus"] in crew.running and crew.wanted <= crew.running
        return _wrong("loop_never_stops" if surplus_runs else "loop_wrong_one", **values)
    if killed:
        return _wrong("loop_killed", **values)
    if (found["fewer"], found["fewer"]) not in told:
        words = ", ".join(f"{wanted:g} and {running:g}" for wanted, running in told) or "-"
        return _wrong("loop_silent", told=words, **values)
    return None


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def carries_load(
    lab: "Lab", topic: str, group: str, rate: float, work: float, busy: float = 0.75
) -> Result:
    """Check that a group carries a load, and loses no record while its members are restarted.

    The check restarts each member's service itself, one after the other.

    Args:
        lab: the lab.
        topic: real name of the topic, into which the load goes evenly.
        group: real name of the group; each member's client_id is its service's name.
        rate: of the whole topic, records/s.
        work: seconds that one record takes a member.
        busy: how busy a member may be at the most, from 0 to 1.
    """
    found = {"topic": topic, "group": group, "rate": rate, "most": round(100 * busy)}
    began = lab.journal.now()
    if not until(lambda: _now(lab, topic, group)[1].members, _join_seconds(lab, topic)):
        return _wrong("load_nobody", **found)
    until(lambda: _is_whole(lab, topic, group, began), start_seconds(lab, START_SECONDS))
    sample, seen = _now(lab, topic, group)
    if _settled(lab, topic, group, began) is None:
        return _wrong("load_unsettled", state=seen.state or "-", **found)
    places = [place for place in sample.ends if place[0] == topic]
    found |= {"members": len(seen.members), "partitions": len(places), "work": work}
    steps = (
        lambda: _wrong_size(seen, places, work, found),
        lambda: _wrong_roll(lab, seen.members, found),
    )
    return _first_wrong(steps, "load", found)


def _join_seconds(lab: "Lab", topic: str) -> float:
    """Return how long a group may stay without a member: a service that reads is on its way."""
    services = [one for one in lab.services.values() if one.state == "running"]
    reads = any(one._reads(topic, ()) for one in services)
    return start_seconds(lab, START_SECONDS) if reads else 2 * IDLE_SECONDS


def _is_whole(lab: "Lab", topic: str, group: str, since: float) -> bool:
    """Return whether a group has settled, with all copies of a service that has joined it."""
    there = _settled(lab, topic, group, since)
    if there is None or not is_calm(lab.watch(groups=[group]).samples, group, members=False):
        return False
    stems = {name.rpartition("-")[0] for name in there}
    copies = {one.name for one in lab.services.values() if one.state == "running"}
    return {name for name in copies if name.rpartition("-")[0] in stems} <= there


def _wrong_size(seen: "GroupSample", places: list, work: float, found: dict) -> Result | None:
    shares = dict.fromkeys(seen.members, 0)
    for place in places:
        shares[seen.owners[place]] += 1
    idle = [name for name, share in shares.items() if not share]
    if idle:
        return _wrong("load_idle", idle=len(idle), **found)
    most = max(shares.values())
    share = most * found["rate"] / len(places)
    found |= {"share": share, "can": 1 / work, "percent": round(100 * share * work)}
    found |= {"owned": most, "least": min(shares.values())}
    if share * work <= found["most"] / 100 + 1e-9:
        return None
    even = found["rate"] / len(shares) * work <= found["most"] / 100 + 1e-9
    if even:
        return _wrong("load_uneven", **found)
    if len(places) == len(shares):
        return _wrong("load_few_partitions", **found)
    needs = math.ceil(found["rate"] * work / (found["most"] / 100))
    return _wrong("load_few", needs=needs, **found)


def _wrong_roll(lab: "Lab", members, found: dict) -> Result | None:
    topic, group = found["topic"], found["group"]
    services = [lab.services.get(name) for name in sorted(members)]
    if None in services:
        return _wrong("load_names", there=_names(members), **found)
    if not until(lambda: not _handled(lab, group).empty, 2 * IDLE_SECONDS):
        return _wrong("load_unreported", **found)
    for service in services:
        _hold(lab, service)
        service.restart()
        began = lab.journal.now()

        def is_back(service=service, began=began) -> bool:
            there = _settled(lab, topic, group, began)
            rows = service.reports
            works = not rows.empty and bool(rows["time"].iloc[-1] > began)
            return service.state == "failed" or (there == _plain(members) and works)

        back = until(is_back, ROLL_SECONDS)
        if service.state == "failed":
            return _wrong("load_failed", error=service.error, **found)
        if not back:
            there = _names(_now(lab, topic, group)[1].members)
            return _wrong("load_not_back", name=service.name, there=there, **found)
    ends = queries.end_offsets(lab.connection, topic)
    return _wrong_outcome(lab, ends, found)


def _hold(lab: "Lab", service) -> None:
    """Freeze a board for a moment, as a busy node does, and return when it works on what waited.

    So it has a batch in its hands when it is asked to stop, however quick the machine is.
    """
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(service.pid)
        process.suspend()
        try:
            lab.until(lambda: False, HOLD_SECONDS)
        finally:
            process.resume()
    before = len(service.reports)
    until(lambda: len(service.reports) >= before + HELD_RECORDS, 2 * IDLE_SECONDS)


def _wrong_outcome(lab: "Lab", ends: dict[int, int], found: dict) -> Result | None:
    """Compare what the group has committed with what was handled."""
    topic, group = found["topic"], found["group"]

    def committed() -> dict[int, int]:
        told = _now(lab, topic, group)[1].committed
        return {place[1]: offset for place, offset in told.items() if place[0] == topic}

    def behind() -> int:
        return sum(waiting(ends, positions(ends, committed(), {})).values())

    until(lambda: not behind(), DRAIN_SECONDS)
    # first what is committed: what is handled meanwhile may only make it better
    there = committed()
    until(lambda: not _lost(there, _handled(lab, group)), REPORT_SECONDS)
    rows = _handled(lab, group)
    if rows.empty:
        return _wrong("load_unreported", **found)
    lost = _lost(there, rows)
    found |= {"count": sum(there.values()), "lost": lost, "behind": behind()}
    found |= {"twice": int(rows.duplicated(["partition", "handled"]).sum())}
    if lost:
        return _wrong("load_lost", **found)
    if not found["count"]:
        return _wrong("load_uncommitted", **found)
    return _wrong("load_behind", **found) if found["behind"] else None


def _handled(lab: "Lab", group: str) -> "pd.DataFrame":
    """Return what the running services handled since the group was first looked at.

    Those of an earlier try bore the same names, and handled the same places of another topic.
    """
    samples = list(lab.watch(groups=[group]).samples)
    begin = next((one.time for one in samples if group in one.groups), 0.0)
    running = {one.name for one in lab.services.values() if one.state == "running"}
    rows = lab.reports.reindex(columns=["time", "service", "partition", "handled"])
    rows = rows[(rows["time"] >= begin) & rows["service"].isin(running)]
    return rows[["service", "partition", "handled"]].dropna()


def _lost(committed: dict[int, int], rows: "pd.DataFrame") -> int:
    """Return how many offsets were committed that nobody has handled."""
    seen = set(zip(rows["partition"], rows["handled"], strict=True))
    return sum((p, o) not in seen for p, end in committed.items() for o in range(end))

"""Checks of lesson 11: a function is bound, instances share, two languages agree on places."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab_env.checks.evidence import settle
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.errors import BadInputError
from lab_env.observation import queries
from lab_env.observation.groups import Member, describe

if TYPE_CHECKING:
    from lab_env.lab import Lab

PERIOD = 0.3  # seconds between looks
STEADY_SECONDS = 4.0  # what has not changed for so long will not change by itself
HELD_SECONDS = 1.0  # a right state that lasts for so long is not one in passing
START_SECONDS = 6.0  # an application that has just been started may still be on its way
MOST_SECONDS = 25.0
STRAY = re.compile(r"(\w+-(in|out)-\d+|input|output)")  # topics that bear the name of a binding
SPRING = "contentType"  # a header that Spring's converter gives each record that it writes
CAUSE = ("x-original-topic", "x-exception-message")
# Spring reads a name with dashes and one with capital letters as the same
BY_ITSELF = r"auto-?rebalance-?enabled[\"']?\s*[:=]\s*[\"']?false"
FEW = 4  # an aircraft each or not: with so few partitions in use, a topic is not spread


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"spring_cloud_stream.{key}", **found)


def _settled(lab: "Lab", read: Callable[[], tuple], good: Callable[[tuple], bool]) -> tuple:
    """Return what was read as soon as it is as asked, or will not change by itself."""

    def patience(found: tuple) -> float:
        return HELD_SECONDS if good(found) else _patience(lab)

    found, _ = settle(read, patience, most=MOST_SECONDS, period=PERIOD)
    return found


def _patience(lab: "Lab") -> float:
    """Return for how long nothing may have changed: longer if a start was a moment ago."""
    if not any(one.state == "running" for one in lab.services.values()):
        return HELD_SECONDS
    starts = [mark.time for mark in lab.journal.marks if mark.kind == "start"]
    fresh = starts and lab.journal.now() - starts[-1] < START_SECONDS
    return START_SECONDS if fresh else STEADY_SECONDS


def _groups(lab: "Lab") -> dict[str, list[Member]]:
    """Return the members of every group that the broker knows, by the group's name."""
    from contextlib import closing

    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(**lab.connection)) as admin:
        names = [one["group_id"] for one in admin.list_groups()]
        return {name: one.members for name, one in describe(admin, names).items()}


def _readers(groups: dict[str, list[Member]], topic: str) -> dict[str, dict[str, int]]:
    """Return which groups read a topic: by group and client, how many partitions it owns."""
    found: dict[str, dict[str, int]] = {}
    for group, members in groups.items():
        shares = {one.client: sum(place[0] == topic for place in one.owns) for one in members}
        if any(shares.values()):
            found[group] = shares
    return found


def _strays(groups: dict[str, list[Member]]) -> list[str]:
    """Return the topics that are read and bear the name of a binding."""
    read = {place[0] for members in groups.values() for one in members for place in one.owns}
    return sorted(topic for topic in read if STRAY.fullmatch(topic))


def _topics(lab: "Lab") -> set[str]:
    from contextlib import closing

    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(**lab.connection)) as admin:
        return set(admin.list_topics())


def _rows(lab: "Lab", topic: str) -> list[dict]:
    """Return the records of a topic; [] if there is no such topic."""
    try:
        return queries.records(lab.connection, topic).to_dict("records")
    except BadInputError:
        return []


def _ids(rows: Iterable[dict]) -> set[str]:
    return {one["value"]["id"] for one in rows if _is_flight(one["value"])}


def _is_flight(value: object) -> bool:
    return isinstance(queries.id_of(value), str)


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Desk:
    """What the broker holds of exercise 1, read at one moment."""

    readers: dict[str, dict[str, int]]
    waiting: int  # records that the group has not passed
    ready: list[dict] = field(repr=False)
    parked: list[dict] = field(repr=False)

    @property
    def facts(self) -> tuple:
        return str(self.readers), self.waiting, len(self.ready), len(self.parked)


@graded
def bound(lab: "Lab", topic: str, group: str, ready: str, parked: str) -> Result:
    """Check that a composed function is bound to a topic, in a group, with dead letters.

    Reads alone, and looks until all is as asked for 1 s, or nothing has changed for 4 s (6 s after
    a start); it has an answer within half a minute.

    Args:
        lab: the lab.
        topic: real name of the topic with the flights, of which some were cancelled.
        group: real name of the group that has to read it.
        ready: real name of the topic for the flights with delay and category.
        parked: real name of the topic for the dead letters.

    Returns:
        Passed with how many flights are ready and parked, or the first thing that is wrong: who
        reads the topic, what is ready, what is parked.
    """
    sent = _rows(lab, topic)
    good = _ids(one for one in sent if _is_flight(one["value"]) and one["value"].get("departed"))
    bad = _ids(sent) - good
    if not bad:
        return _wrong("bound_topic", topic=topic)
    desk = _Desk({}, 0, [], [])  # before the first look

    def read() -> tuple:
        nonlocal desk
        waits = sum(queries.lag(lab.connection, topic, group).values())
        readers = _readers(_groups(lab), topic)
        desk = _Desk(readers, waits, _rows(lab, ready), _rows(lab, parked))
        return desk.facts

    def is_right(_: tuple) -> bool:
        there = good <= _ids(desk.ready) and bad <= _ids(desk.parked)
        return there and group in desk.readers and not desk.waiting

    _settled(lab, read, is_right)
    where = {"topic": topic, "group": group, "ready": ready, "parked": parked}
    for look_for in (_wrong_group, _wrong_results, _wrong_letters):
        if (wrong := look_for(lab, desk, good, bad, where)) is not None:
            return wrong
    counts = {"good": len(good), "bad": len(bad)}
    return passed("spring_cloud_stream.bound", **counts, **where)


def _wrong_group(lab: "Lab", desk: _Desk, good: set, bad: set, where: dict) -> Result | None:
    """Return what is wrong with who reads the topic."""
    group = where["group"]
    if group not in desk.readers:
        others = [name for name in desk.readers if name != group]
        if any(name.startswith("anonymous.") for name in others):
            return _wrong("bound_anonymous", **where)
        if others:
            return _wrong("bound_other_group", others=", ".join(sorted(others)), **where)
        if strays := _strays(_groups(lab)):
            return _wrong("bound_stray", strays=", ".join(strays), **where)
        if error := _failure(lab):
            return _wrong("bound_failed", error=error, **where)
        running = [name for name, one in lab.services.items() if one.state == "running"]
        key = "bound_deaf" if running else "bound_nobody"
        return _wrong(key, running=", ".join(running), **where)
    if desk.waiting:
        return _wrong("bound_behind", waiting=desk.waiting, **where)
    return None


def _failure(lab: "Lab") -> str | None:
    """Return why the service that was started last has failed, or None."""
    services = list(lab.services.values())
    return services[-1].error if services and services[-1].state == "failed" else None


def _wrong_results(lab: "Lab", desk: _Desk, good: set, bad: set, where: dict) -> Result | None:
    """Return what is wrong with the flights that departed."""
    ready = [one["value"] for one in desk.ready if _is_flight(one["value"])]
    values = {"good": len(good), "there": len(good & _ids(desk.ready)), **where}
    if not ready:
        for stray in sorted(_topics(lab)):
            if STRAY.fullmatch(stray) and good & _ids(_rows(lab, stray)):
                return _wrong("bound_stray_out", stray=stray, **values)
        return _wrong("bound_no_results", **values)
    for name in ("delay", "category"):
        if any(name not in one for one in ready):
            other = "category" if name == "delay" else "delay"
            return _wrong("bound_half", missing=name, only=other, **values)
    if not good <= _ids(desk.ready):
        return _wrong("bound_missing", **values)
    return None


def _wrong_letters(lab: "Lab", desk: _Desk, good: set, bad: set, where: dict) -> Result | None:
    """Return what is wrong with the cancelled flights."""
    usual = f"error.{where['topic']}.{where['group']}"
    values = {"bad": len(bad), "usual": usual, **where}
    if not bad <= _ids(desk.parked):
        if bad & _ids(_rows(lab, usual)):
            return _wrong("bound_usual_name", **values)
        return _wrong("bound_lost", there=len(bad & _ids(desk.parked)), **values)
    letters = [one for one in desk.parked if _ids([one]) & bad]
    if any(not set(CAUSE) <= set(one["headers"]) for one in letters):
        return _wrong("bound_riddle", **values)
    if good & _ids(desk.parked):
        return _wrong("bound_too_much", much=len(good & _ids(desk.parked)), **values)
    return None


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def shared_by_instances(lab: "Lab", topic: str, group: str, instances: int = 3) -> Result:
    """Check that so many instances share a topic, each with as many partitions as the others.

    An instance may have several members, one a thread. Waits at most half a minute.

    Args:
        lab: the lab; its services' names tell which member belongs to which instance.
        topic: real name of the topic.
        group: real name of the group.
        instances: how many processes, each with its own name.
    """
    count = len(queries.end_offsets(lab.connection, topic))
    share, rest = divmod(count, instances) if instances else (0, 0)
    if not share or rest:
        return _wrong("shared_topic", topic=topic, count=count, instances=instances)
    wanted = [share] * instances
    groups: dict[str, list[Member]] = {}

    def read() -> tuple:
        nonlocal groups
        groups = _groups(lab)
        return tuple(sorted(_shares(lab, groups.get(group, []), topic).items()))

    def is_right(shares: tuple) -> bool:
        return [number for _, number in shares] == wanted

    found = dict(_settled(lab, read, is_right))
    values: dict[str, Any] = {"topic": topic, "group": group, "wanted": share}
    values["instances"] = instances
    values |= {"count": count, "shares": _in_words(found), "members": len(groups.get(group, []))}
    if list(found.values()) == wanted:
        return passed("spring_cloud_stream.shared", **values)
    others = _readers(groups, topic)
    others.pop(group, None)
    if not found:
        return _not_shared(lab, groups, others, values)
    if others:
        return _wrong("shared_apart", others=", ".join(sorted(others)), **values)
    if len(found) == 1 and values["members"] > 1:
        return _wrong("shared_threads", **values)
    if len(found) < instances:
        return _wrong("shared_too_few", found=len(found), **values)
    if len(found) > instances:
        return _wrong("shared_too_many", found=len(found), **values)
    return _wrong("shared_unevenly", **values)


def _shares(lab: "Lab", members: Iterable[Member], topic: str) -> dict[str, int]:
    """Return how many partitions each instance owns; a member's client id begins with its name."""
    running = [name for name, one in lab.services.items() if one.state == "running"]
    names = sorted(running, key=len, reverse=True)
    shares: dict[str, int] = defaultdict(int)
    for one in members:
        # spring-1-0 is a thread of spring-1; who is no service of the lab counts under its own id
        name = next((n for n in names if re.fullmatch(f"{re.escape(n)}(-\\d+)?", one.client)), None)
        shares[name or one.client] += sum(place[0] == topic for place in one.owns)
    return dict(shares)


def _not_shared(lab: "Lab", groups: dict, others: dict, values: dict) -> Result:
    """Return what to say of a group without a member."""
    if any(name.startswith("anonymous.") for name in others):
        return _wrong("shared_anonymous", number=len(others), **values)
    if others:
        return _wrong("shared_other_group", others=", ".join(sorted(others)), **values)
    if strays := _strays(groups):
        return _wrong("shared_stray", strays=", ".join(strays), **values)
    running = [name for name, one in lab.services.items() if one.state == "running"]
    fixed = [name for name in running if _by_itself(lab.services[name])]
    if fixed:  # they read, and share if their indexes differ; no group knows of them
        return _wrong("shared_fixed", fixed=_listed(fixed), **values)
    return _wrong("shared_nobody", running=", ".join(running) or "-", **values)


def _by_itself(service: object) -> bool:
    """Return whether a service is an application that takes its partitions without the group."""
    says = getattr(service, "says", None)
    return says is not None and says(BY_ITSELF)


def _listed(words: list) -> str:
    return " and ".join(map(str, words))


def _in_words(shares: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in sorted(shares.items())) or "-"


# -- exercise 3 -----------------------------------------------------------------------------


@graded
def same_places(lab: "Lab", topic: str, least: int = 20) -> Result:
    """Check that each aircraft's records lie in one partition, whether Java or Python wrote them.

    Whose record it is tells a header that Spring's converter gives each one. Looks until there are
    records enough for 1 s, or no more have come for 4 s (6 s after a start), 25 s at the most.

    Args:
        lab: the lab.
        topic: real name of the topic to which both have written.
        least: how many aircraft both must have written of.

    Returns:
        Passed with how many aircraft, or the first thing that is wrong: a side that wrote nothing,
        too few aircraft that both wrote of, an aircraft in two partitions, all in a few of them.
    """

    def read() -> tuple:
        return tuple(sorted(queries.end_offsets(lab.connection, topic).items()))

    _settled(lab, read, lambda ends: sum(end for _, end in ends) > 4 * least)
    rows = [one for one in _rows(lab, topic) if _is_flight(one["value"])]
    rows = [one for one in rows if one["value"].get("tail_number")]
    count = len(queries.end_offsets(lab.connection, topic))
    by_spring: dict[str, set[int]] = defaultdict(set)
    by_python: dict[str, set[int]] = defaultdict(set)
    for one in rows:
        side = by_spring if SPRING in one["headers"] else by_python
        side[one["value"]["tail_number"]].add(one["partition"])
    both = sorted(set(by_spring) & set(by_python))
    values = {"topic": topic, "both": len(both), "least": least, "count": count}
    for side, name in ((by_spring, "Spring"), (by_python, "Python")):
        if not side:
            return _wrong("places_one_side", silent=name, **values)
    if len(both) < least:
        return _wrong("places_few", **values)
    return _wrong_places(rows, by_spring, by_python, both, values)


def _wrong_places(
    rows: list[dict], by_spring: dict, by_python: dict, both: list[str], values: dict
) -> Result:
    torn = [tail for tail in both if len(by_spring[tail] | by_python[tail]) > 1]
    if torn:
        tail = torn[0]
        here, there = (sorted(side[tail]) for side in (by_spring, by_python))
        told = {"torn": len(torn), "tail": tail, "spring": _listed(here), "python": _listed(there)}
        keys = {one["key"] for one in rows if one["value"]["tail_number"] == tail}
        if any(not isinstance(key, str) for key in keys):
            return _wrong("places_no_key", **told, **values)
        key = "places_keys" if len(keys) > 1 else "places_hash"
        return _wrong(key, keys=" and ".join(sorted(map(repr, keys))), **told, **values)
    used = {place for side in (by_spring, by_python) for one in both for place in side[one]}
    if len(used) < min(FEW, values["count"]) or values["count"] < FEW:
        return _wrong("places_heap", used=len(used), **values)
    return passed("spring_cloud_stream.places", **values)

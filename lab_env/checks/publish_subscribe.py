"""The checks of lesson 03: an audit that agrees with the flight table, screens that show all."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.checks.evidence import start_seconds
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import TIMES, Patience
from lab_env.observation import queries
from lab_env.observation.facts.rebalances import REBALANCING

if TYPE_CHECKING:
    from lab_env.lab import Lab

START_SECONDS = 8.0  # a process that imports kafka on a busy machine has joined by then
STEADY_SECONDS = 3.0  # what has not changed for so long will not change by itself
DONE_SECONDS = 1.0  # the same, when all groups have read to the end
COMMIT_SECONDS = 7.0  # who commits by the client's own timer does so every 5 s
MOST_SECONDS = 25.0


@dataclass(frozen=True)
class Audit:
    """What an audit is judged by.

    Attributes:
        topic, audit, group: real names.
        ids: of the topic's events; None for a record without one.
        answers: what the audit's records say, oldest first.
        state: of the group, "" if there is none.
        committed: in how many partitions it has committed an offset.
        lag: records that wait for it.
    """

    topic: str
    audit: str
    group: str
    ids: tuple
    answers: tuple = ()
    state: str = ""
    committed: int = 0
    lag: int = 0


@graded
def agrees_with_table(lab: "Lab", topic: str, audit: str, group: str) -> Result:
    """Check that the last record of ``audit`` counts a topic's flights by carrier as pandas does.

    And that the group has read the topic to its end. Waits while the group is at it.

    Args:
        lab: the lab.
        topic: real name of the topic with the events.
        audit: real name of the topic with the answer, a JSON object of carrier to number.
        group: real name of the group that was to count.
    """
    events = list(queries.records(lab.connection, topic)["value"])
    ids = tuple(queries.id_of(event) for event in events)
    found, carriers = Audit(topic, audit, group, ids), _carriers(set(ids)) if ids else {}
    if ids and all(one in carriers for one in ids):  # else nothing is worth waiting for
        found = Audit(topic, audit, group, ids, *_wait_for_audit(lab, topic, audit, group))
    return judge_audit(found, carriers)


@judge
def judge_audit(evidence: Audit, carriers: Mapping[str, str]) -> Result:
    """Return the answer to what was found, without another look.

    Args:
        evidence: what was found.
        carriers: the carrier of each flight of these days, by its event's id.
    """
    topic, ids = evidence.topic, evidence.ids
    if not ids:
        return _wrong("audit_no_flights", topic=topic)
    if strangers := [one for one in ids if one not in carriers]:
        return _wrong("audit_strangers", topic=topic, count=len(strangers), one=strangers[0])
    truth = Counter(carriers[one] for one in ids)
    found: dict = {
        "topic": topic,
        "audit": evidence.audit,
        "group": evidence.group,
        "flights": len(ids),
        "state": evidence.state,
        "committed": evidence.committed,
        "lag": evidence.lag,
    }
    if evidence.state in REBALANCING:
        return _wrong("audit_rebalancing", **found)
    if not evidence.answers:
        return _wrong("audit_no_answer" if evidence.committed else "audit_nothing", **found)
    if not _is_count(evidence.answers[-1]):
        return _wrong("audit_shape", answer=repr(evidence.answers[-1])[:80], **found)
    told = Counter(evidence.answers[-1])
    found["count"] = told.total()
    if +told != truth:
        return _wrong_audit(told, truth, found)
    if not evidence.committed:
        return _wrong("audit_no_commit", **found)
    if evidence.lag:
        return _wrong("audit_behind", **found)
    return passed("publish_subscribe.audit_agrees", carriers=len(truth), **found)


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"publish_subscribe.{name}", **values)


def _wrong_audit(told: Counter, truth: Counter, found: dict) -> Result:
    """Return what is wrong with a count that does not agree with the table."""
    if found["count"] == 0:
        return _wrong("audit_zero", **found)
    if found["count"] == found["flights"]:
        one = next(carrier for carrier in truth if told[carrier] != truth[carrier])
        values = {"carrier": one, "told": told[one], "truth": truth[one]}
        return _wrong("audit_mixed", **values, **found)
    return _wrong("audit_few" if found["count"] < found["flights"] else "audit_many", **found)


def _wait_for_audit(lab: "Lab", topic: str, audit: str, group: str) -> tuple[tuple, str, int, int]:
    """Return the answers, and the group's state, commits and lag, when no more is to come."""
    wait = Patience(COMMIT_SECONDS, pause=0.2, most=TIMES * COMMIT_SECONDS)
    while True:
        state, members = _state(lab, group)
        answers = list(queries.records(lab.connection, audit)["value"])
        committed = queries.committed(lab.connection, group, topic)
        lag = sum(queries.lag(lab.connection, topic, group).values())
        at_work = members or state in REBALANCING or _just_started(lab)
        if (answers and committed and lag == 0) or not at_work:
            break
        wait.look((len(answers), lag))
        if wait.over:
            break
        time.sleep(0.2)
    return tuple(answers), state, len(committed), lag


def _carriers(ids: set) -> dict[str, str]:
    """Return the carrier of each of these events by its id, as far as the table has it."""
    import pandas as pd

    from lab_env import flights

    days = list({one[-10:] for one in ids if isinstance(one, str)})
    rows = flights.table()
    on_days = rows["scheduled"].dt.normalize().isin(pd.to_datetime(days, errors="coerce"))
    rows = rows[on_days].dropna(subset=["departed"])
    return {e["id"]: e["carrier"] for e in flights.events(rows) if e["id"] in ids}


def _is_count(answer: object) -> bool:
    return isinstance(answer, dict) and all(type(number) is int for number in answer.values())


# -- the broker's word ----------------------------------------------------------------------


def _state(lab: "Lab", group: str) -> tuple[str, tuple[str, ...]]:
    """Return Kafka's name for the state of a group ("" if there is none), and its members."""
    found = queries.groups(lab.connection).get(group)
    if found is None:
        return "", ()
    return found["group_state"], tuple(member["client_id"] for member in found["members"])


def _just_started(lab: "Lab") -> bool:
    """Return whether a service that runs was started so late that it may not have joined yet."""
    since = lab.journal.now() - start_seconds(lab, START_SECONDS)
    return any(
        mark.kind == "start"
        and mark.time > since
        and mark.subject in lab.services
        and lab.services[mark.subject].state == "running"
        for mark in lab.journal.marks
    )


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Screens:
    """What two screens are judged by.

    Attributes:
        topic: real name.
        records: that it holds; ``ids`` is how many different flights these are.
        shown: by screen, how many of the flights it has reported.
        groups: those at the topic, by name; each with ``state``, ``members`` and ``lag``.
        states: of the services, by screen; none if there is no such service.
        errors: by screen, what its function has raised.
    """

    topic: str
    records: int
    ids: int
    shown: Mapping[str, int]
    groups: Mapping[str, dict]
    states: Mapping[str, str]
    errors: Mapping[str, str]


@graded
def each_shows_all(
    lab: "Lab",
    topic: str,
    *,
    flights: int = 120,
    screens: tuple[str, str] = ("screen-A", "screen-B"),
) -> Result:
    """Check that each of two services has shown every flight of a topic, in a group of its own.

    Waits as long as something still changes.

    Args:
        lab: the lab; its services report ``event``, the id of a flight.
        topic: real name of the topic with the events.
        flights: how many there are.
        screens: the names of the two services.
    """
    values = queries.records(lab.connection, topic)["value"]
    ids = {queries.id_of(value) for value in values} - {None}
    shown, groups = dict.fromkeys(screens, 0), {}
    if len(values) == len(ids) == flights:
        shown, groups = _wait_for_screens(lab, topic, ids, screens)
    there = {name: lab.services[name] for name in screens if name in lab.services}
    states = {name: one.state for name, one in there.items()}
    errors = {name: str(one.error) for name, one in there.items() if one.error}
    found = Screens(topic, len(values), len(ids), shown, groups, states, errors)
    return judge_screens(found, flights)


@judge
def judge_screens(evidence: Screens, flights: int) -> Result:
    """Return the answer to what was found, without another look.

    Args:
        evidence: what was found.
        flights: how many each screen is to show.
    """
    topic, shown, groups = evidence.topic, dict(evidence.shown), dict(evidence.groups)
    if evidence.records != flights or evidence.ids != flights:
        return _wrong("screens_topic", topic=topic, count=evidence.records, flights=flights)
    first, second = shown
    found = {
        "topic": topic,
        "flights": flights,
        "first": first,
        "second": second,
        "shown_first": shown[first],
        "shown_second": shown[second],
        "names": ", ".join(sorted(groups)),
    }
    if any(group["state"] in REBALANCING for group in groups.values()):
        return _wrong("screens_rebalancing", **found)
    for name in shown:
        if evidence.states.get(name) == "failed":
            return _wrong("screens_failed", name=name, error=evidence.errors.get(name))
        if evidence.states.get(name) != "running":
            return _wrong("screens_missing", name=name, **found)
    if min(shown.values()) < flights:
        return _wrong_screens(shown, groups, found)
    if not groups:
        return _wrong("screens_no_group", **found)
    behind = {name: group["lag"] for name, group in groups.items() if group["lag"]}
    if behind or len(groups) < 2:
        return _wrong("screens_uncommitted", number=len(groups) - len(behind), **found)
    return passed("publish_subscribe.screens_show_all", **found)


def _wrong_screens(shown: dict[str, int], groups: dict[str, dict], found: dict) -> Result:
    """Return what is wrong when a screen has not shown every flight."""
    if len(groups) == 1:
        (group,) = groups.values()
        if len(group["members"]) > 1:
            return _wrong("screens_share", group=found["names"], **found)
    name = min(shown, key=lambda screen: shown[screen])
    few = {"name": name, "count": shown[name]}
    return _wrong("screens_few" if shown[name] else "screens_none", **few, **found)


def _wait_for_screens(
    lab: "Lab", topic: str, ids: set, screens: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, dict]]:
    """Return what each screen has shown and the groups, when all is done or nothing changes."""
    wait = Patience(MOST_SECONDS, pause=0.2, most=MOST_SECONDS)
    while True:
        facts = _shown(lab, ids, screens), _groups_at(lab, topic)
        shown, groups = facts
        # the flights come to an end: as long as screens get on, there is no deadline
        wait.look(facts, sure=shown)
        complete = min(shown.values()) == len(ids)
        joined = sum(len(group["members"]) for group in groups.values()) >= len(screens)
        at_end = joined and not any(group["lag"] for group in groups.values())
        if complete and at_end and len(groups) > 1:
            return facts
        steady = wait.quiet > (DONE_SECONDS if at_end else STEADY_SECONDS)
        unsettled = any(group["state"] in REBALANCING for group in groups.values())
        starting = not joined and not complete and _just_started(lab)
        nobody = not any(name in lab.services for name in screens)
        if (nobody or (steady and not unsettled and not starting)) or wait.over:
            return facts
        time.sleep(0.2)


def _shown(lab: "Lab", ids: set, screens: tuple[str, ...]) -> dict[str, int]:
    """Return how many of the flights each screen has reported."""
    reports = lab.reports.reindex(columns=["service", "event"])
    reports = reports.loc[[queries.is_id(value) and value in ids for value in reports["event"]]]
    counts = reports.groupby("service")["event"].nunique()
    return {name: int(counts.get(name, 0)) for name in screens}


def _groups_at(lab: "Lab", topic: str) -> dict[str, dict]:
    """Return the groups that have members or committed offsets at the topic.

    By name, each with its ``state``, the client ids of its ``members`` and its ``lag``.
    """
    found = {}
    for name, group in queries.groups(lab.connection).items():
        members = [m["client_id"] for m in group["members"] if _reads(m, topic)]
        if members or queries.committed(lab.connection, name, topic):
            found[name] = {
                "state": group["group_state"],
                "members": members,
                "lag": sum(queries.lag(lab.connection, topic, name).values()),
            }
    return found


def _reads(member: dict, topic: str) -> bool:
    assigned = (member["member_assignment"] or {}).get("assigned_partitions", ())
    return any(one["topic"] == topic and one["partitions"] for one in assigned)

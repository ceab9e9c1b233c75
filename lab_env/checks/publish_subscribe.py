"""The checks of lesson 03: an audit that agrees with the flight table, screens that show all."""

import time
from collections import Counter
from typing import TYPE_CHECKING

from lab_env.checks.evidence import start_seconds
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
    ids = [queries.id_of(event) for event in events]
    if not ids:
        return _wrong("audit_no_flights", topic=topic)
    carriers = _carriers(ids)
    if strangers := [one for one in ids if one not in carriers]:
        return _wrong("audit_strangers", topic=topic, count=len(strangers), one=strangers[0])
    truth = Counter(carriers[one] for one in ids if isinstance(one, str))
    answers, found = _wait_for_audit(lab, topic, audit, group)
    found |= {"topic": topic, "audit": audit, "group": group, "flights": len(ids)}
    if found["state"] in REBALANCING:
        return _wrong("audit_rebalancing", **found)
    if not answers:
        key = "audit_no_answer" if found["committed"] else "audit_nothing"
        return _wrong(key, **found)
    if not _is_count(answers[-1]):
        return _wrong("audit_shape", answer=repr(answers[-1])[:80], **found)
    told = Counter(answers[-1])
    found["count"] = told.total()
    if +told != truth:
        return _wrong_audit(told, truth, found)
    if not found["committed"]:
        return _wrong("audit_no_commit", **found)
    if found["lag"]:
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


def _wait_for_audit(lab: "Lab", topic: str, audit: str, group: str) -> tuple[list, dict]:
    """Return the answers, and how far the group is, when nothing more can be expected."""
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
    return answers, {"state": state, "committed": len(committed), "lag": lag}


def _carriers(ids: list) -> dict[str, str]:
    """Return the carrier of each flight that departed on the days of the ids, by the table."""
    import pandas as pd

    from lab_env import flights

    days = list({one[-10:] for one in ids if isinstance(one, str)})
    rows = flights.table()
    on_days = rows["scheduled"].dt.normalize().isin(pd.to_datetime(days, errors="coerce"))
    rows = rows[on_days].dropna(subset=["departed"])
    return {event["id"]: event["carrier"] for event in flights.events(rows)}


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
    if len(values) != flights or len(ids) != flights:
        return _wrong("screens_topic", topic=topic, count=len(values), flights=flights)
    shown, groups = _wait_for_screens(lab, topic, ids, screens)
    first, second = screens
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
    for name in screens:
        if name in lab.services and lab.services[name].state == "failed":
            return _wrong("screens_failed", name=name, error=lab.services[name].error)
        if name not in lab.services or lab.services[name].state != "running":
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

"""The checks of lesson 15: a backlog drained by a share group, and a poison record isolated."""

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.checks import attempts
from lab_env.checks.evidence import settle, start_seconds
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import TIMES
from lab_env.observation import queries
from lab_env.observation.groups import Description, describe
from lab_env.observation.share_groups import SHARE

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.lab import Lab

START_SECONDS = 6.0  # a process that joins a share group on a busy machine has begun by then
HELD_SECONDS = 0.6  # what is right for so long is not right in passing
LEAST_WORK = 0.5  # of the seconds that the work takes; less than that was not worked
COLUMNS = ["time", "service", "share", "topic", "partition", "offset", "deliveries"]
COPIES_TOLD = 3  # records that a sentence names


@dataclass(frozen=True)
class Work:
    """What a share group has made of a topic, by the broker and by what the services report.

    Attributes:
        kind: of the group, as Kafka names its type; "" if there is none.
        state: of the group, in Kafka's words.
        members: how many there are now.
        lag: records that are not done with; None where the group has not begun, or Kafka does not
            tell it.
        accepted: how many different records were accepted.
        twice: how many more times a record was accepted.
        trucks: how many services have accepted something.
        took: s from the first report to the last.
        worked: s from acquired to accepted, summed over all.
        others: other groups that have members at the topic, or offsets of it.
        failed: name and error of a service that has ended with an error, else None.
        running: services that run now.
        busiest: how many records the truck has accepted that accepted most.
        side_by_side: how many trucks were at work at once while most records were accepted.
    """

    kind: str = ""
    state: str = ""
    members: int = 0
    lag: int | None = None
    accepted: int = 0
    twice: int = 0
    trucks: int = 0
    took: float = 0.0
    worked: float = 0.0
    others: tuple[str, ...] = ()
    failed: tuple[str, str] | None = None
    running: int = 0
    busiest: int = 0
    side_by_side: float = 0.0


@graded
def share_drained(
    lab: "Lab",
    topic: str,
    group: str,
    *,
    commands: int = 200,
    work: float = 0.04,
    seconds: float = 3.0,
) -> Result:
    """Check that a share group has handled every command of a topic once, in time.

    Args:
        lab: the lab; its services report ``share``, "acquired" and "accepted", with the topic, the
            partition and the offset.
        topic: real name of the topic, of one partition.
        group: real name of the share group.
        commands: how many wait in the topic.
        work: seconds that one command takes.
        seconds: the bound, from the first report to the last.
    """
    ends = queries.end_offsets(lab.connection, topic)
    if len(ends) != 1 or sum(ends.values()) != commands:
        return _wrong("drain_topic", topic=topic, count=sum(ends.values()), commands=commands)
    found = _settled(lab, topic, group, commands)
    known = {"topic": topic, "group": group, "commands": commands, "seconds": seconds}
    known |= {"alone": commands * work}
    return judge_drain(found, known)


@judge
def judge_drain(found: Work, known: dict) -> Result:
    """Judge how a backlog was drained: nothing but the evidence decides."""
    told = vars_of(found) | known
    if (wrong := _wrong_group(found, told)) is not None:
        return wrong
    if found.accepted < known["commands"]:
        if found.lag == 0:
            return _wrong("drain_lost", missing=known["commands"] - found.accepted, **told)
        return _wrong("drain_one" if found.trucks < 2 else "drain_slow", **told)
    if found.lag:
        return _wrong("drain_unacknowledged", **told)
    if found.twice:
        return _wrong("drain_twice", **told)
    if found.worked < LEAST_WORK * known["alone"]:
        return _wrong("drain_no_work", **told)
    if found.took > known["seconds"] and not _divided_well(found, known):
        return _wrong("drain_one" if found.trucks < 2 else "drain_slow", **told)
    return passed("share_groups.drained", **told)


def _divided_well(found: Work, known: dict) -> bool:
    """Return whether trucks divided the work so that it takes no longer, but for a slow machine."""
    enough = math.ceil(known["alone"] / known["seconds"])
    longest = found.busiest * known["alone"] / known["commands"]
    return longest <= known["seconds"] and found.side_by_side >= enough


@graded
def isolated(lab: "Lab", topic: str, group: str, dead: str) -> Result:
    """Check that a share group has accepted each good command once, and kept each poison record.

    Args:
        lab: the lab; its services report as for `share_drained`.
        topic: real name of the topic; a command without an aircraft is poison.
        group: real name of the share group.
        dead: real name of the topic for dead letters.
    """
    records = queries.records(lab.connection, topic)
    poison = {
        (row["partition"], row["offset"]): json.dumps(row["value"], sort_keys=True)
        for row in records.to_dict("records")
        if not (isinstance(row["value"], dict) and row["value"].get("aircraft"))
    }
    if not poison or len(poison) == len(records):
        return _wrong("poison_topic", topic=topic, count=len(records), poison=len(poison))
    good = len(records) - len(poison)
    found = _settled(lab, topic, group, good)
    letters = [
        json.dumps(value, sort_keys=True)
        for value in queries.records(lab.connection, dead)["value"]
    ]
    swallowed = _accepted(lab, topic).intersection(poison)
    known = {"topic": topic, "group": group, "dead": dead, "good": good, "poison": len(poison)}
    return judge_isolation(found, list(poison.values()), letters, len(swallowed), known)


@judge
def judge_isolation(
    found: Work, poison: list[str], letters: list[str], swallowed: int, known: dict
) -> Result:
    """Judge what became of poison records: nothing but the evidence decides.

    Args:
        found: of the group.
        poison: the values of the poison records, as JSON.
        letters: the values in the topic of dead letters.
        swallowed: how many poison records were accepted.
        known: the names, and how many records are good and how many are poison.
    """
    told = vars_of(found) | known | {"letters": len(letters)}
    if (wrong := _wrong_group(found, told)) is not None:
        return wrong
    if found.lag is None or found.lag > 0:
        return _wrong("poison_waits", **told)
    good = found.accepted - swallowed
    if good < known["good"]:
        return _wrong("poison_lost", missing=known["good"] - good, **told)
    if found.twice:
        return _wrong("poison_twice", **told)
    if set(letters) - set(poison):
        return _wrong("poison_others", strange=len(set(letters) - set(poison)), **told)
    if missing := len(set(poison) - set(letters)):
        key = "poison_swallowed" if swallowed else "poison_gone"
        return _wrong(key, missing=missing, swallowed=swallowed, **told)
    if len(letters) > len(poison):
        return _wrong("poison_dead_twice", **told)
    if swallowed:
        return _wrong("poison_accepted", swallowed=swallowed, **told)
    return passed("share_groups.isolated", **told)


def vars_of(found: Work) -> dict:
    """Return the evidence as placeholders of sentences."""
    names = ("kind", "state", "members", "accepted", "twice", "trucks", "took", "running")
    waits = "?" if found.lag is None else found.lag
    return {name: getattr(found, name) for name in names} | {"lag": waits}


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"share_groups.{name}", **values)


def _wrong_group(found: Work, told: dict) -> Result | None:
    """Return what is wrong before anything was handled, or with who has handled it."""
    if found.failed is not None and (found.lag is None or found.lag > 0 or not found.running):
        name, error = found.failed
        return _wrong("failed", name=name, error=error, **told)
    if found.kind not in ("", SHARE):
        return _wrong("not_share", **told)
    if found.others:
        others = ", ".join(found.others[:COPIES_TOLD])
        return _wrong("other_groups", others=others, **told)
    if not found.kind:
        return _wrong("nobody", **told)
    if not found.accepted:
        return _wrong("nothing", **told)
    return None


# -- the evidence ---------------------------------------------------------------------------


def _settled(lab: "Lab", topic: str, group: str, wanted: int) -> Work:
    """Return what is found when it is all there, or does not change any more."""
    seconds = start_seconds(lab, START_SECONDS)
    filled = _filled(lab, topic)

    def patience(found: Work) -> float:
        done = found.lag == 0 and found.accepted >= wanted
        lost = found.failed is not None and not found.running
        return HELD_SECONDS if done or lost or not found.running else seconds

    found, _ = settle(lambda: _look(lab, topic, group, filled), patience, most=TIMES * 2 * seconds)
    return found


def _filled(lab: "Lab", topic: str) -> float:
    """Return when the newest record of a topic was sent, on the lab's clock: what failed before
    has nothing to do with it.
    """
    newest = queries.records(lab.connection, topic)["timestamp"].max()
    return lab.journal.now() - (time.time() - newest.timestamp())


def _look(lab: "Lab", topic: str, group: str, filled: float) -> Work:
    """Return the evidence as it is now; a service that failed before ``filled`` (s) is none."""
    from kafka import KafkaAdminClient

    with KafkaAdminClient(**lab.connection) as admin:
        names = [one["group_id"] for one in admin.list_groups()]
        groups = describe(admin, sorted({*names, group}))
    told = groups[group]
    lags = queries.shared(lab.connection, topic, group) if told.protocol == SHARE else {}
    rows = _reports(lab, topic)
    accepted = rows[rows["share"] == "accepted"]
    spots = accepted[["partition", "offset"]].drop_duplicates()
    services = list(lab.services.values())
    failed = [(one.name, str(one.error)) for one in attempts.all_failed(lab, filled)]
    return Work(
        told.protocol,
        told.state,
        len(told.members),
        sum(one.lag for one in lags.values()) if lags else None,
        len(spots),
        len(accepted) - len(spots),
        int(accepted["service"].nunique()),
        float(rows["time"].max() - rows["time"].min()) if len(rows) else 0.0,
        _worked(rows),
        tuple(sorted(name for name, one in groups.items() if name != group and _is_at(one, topic))),
        failed[-1] if failed else None,
        sum(one.state == "running" for one in services),
        int(accepted["service"].value_counts().max()) if len(accepted) else 0,
        _side_by_side(rows),
    )


def _is_at(group: Description, topic: str) -> bool:
    return any(name == topic for member in group.members for name, _ in member.owns)


def _reports(lab: "Lab", topic: str) -> "pd.DataFrame":
    rows = lab.reports.reindex(columns=COLUMNS)
    return rows[(rows["topic"] == topic) & rows["share"].notna()]


def _accepted(lab: "Lab", topic: str) -> set[tuple[int, int]]:
    """Return the records that were accepted, as (partition, offset)."""
    rows = _reports(lab, topic)
    rows = rows[rows["share"] == "accepted"]
    return {(int(p), int(o)) for p, o in zip(rows["partition"], rows["offset"], strict=True)}


def _side_by_side(rows: "pd.DataFrame") -> float:
    """Return how many trucks were between their first and last report, at the median record."""
    if not (rows["share"] == "accepted").any():
        return 0.0
    spans = rows.groupby("service")["time"].agg(["min", "max"])
    times = rows.loc[rows["share"] == "accepted", "time"]
    at_work = times.map(lambda at: ((spans["min"] <= at) & (at <= spans["max"])).sum())
    return float(at_work.median())


def _worked(rows: "pd.DataFrame") -> float:
    """Return the seconds between acquired and accepted, summed over all records."""
    begun: dict[tuple, float] = {}
    worked = 0.0
    for row in rows.to_dict("records"):
        key = row["service"], row["partition"], row["offset"]
        if row["share"] == "acquired":
            begun[key] = row["time"]
        elif row["share"] == "accepted" and key in begun:
            worked += row["time"] - begun.pop(key)
    return worked

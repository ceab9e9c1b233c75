"""Checks of lesson 07: totals that survive three power cuts, and a group set back to a time."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lab_env.checks.evidence import start_seconds
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.journal import Mark
from lab_env.ground.patience import TIMES, Patience
from lab_env.messages import say
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env import Lab

MOST_SECONDS = 25.0  # until a counter that works has counted everything
IDLE_SECONDS = 4.0  # without a step forward, nothing more is expected
LATE_SECONDS = 1.0  # totals may be sent a little after the commit
CUTS = 3
NEW_YORK = "America/New_York"


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"offsets_and_delivery.{key}", **found)


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Totals:
    """What exercise 1 is judged by.

    Attributes:
        topic, totals, group: real names.
        truth: how many flights of each carrier departed.
        name: of the service whose power was cut; "" if none was.
        state: of this service.
        error: what it has raised.
        cuts: at how many different moments its power was cut.
        told: the last total of each carrier.
        odd: a value among the totals that is none, or "".
        behind: how many records wait for the group, by partition.
        open: whether a transaction that nobody has ended hides totals.
    """

    topic: str
    totals: str
    group: str
    truth: Mapping[str, int]
    name: str = ""
    state: str = ""
    error: str = ""
    cuts: int = 0
    told: Mapping[str, int] = field(default_factory=dict)
    odd: str = ""
    behind: Mapping[int, int] = field(default_factory=dict)
    open: bool = False


@graded
def totals_right(lab: "Lab", topic: str, totals: str, group: str) -> Result:
    """Check that the last total of each carrier is right, though its counter was killed.

    Args:
        lab: the lab.
        topic: real name of the topic of departures, JSON objects with ``id`` and ``carrier``.
        totals: real name of the topic of totals: the key a carrier, the value a number, or an
            object whose ``count`` it is.
        group: real name of the group that counts.
    """
    values = [v for v in queries.records(lab.connection, topic)["value"] if _is_departure(v)]
    carriers = {value["id"]: value["carrier"] for value in values}
    found = Totals(topic, totals, group, dict(Counter(carriers.values())))
    if not carriers:
        return judge_totals(found)
    _wait_for_commit(lab, topic, group)
    if (cuts := _power_cuts(lab, group)) is None:
        return judge_totals(found)
    service = lab.services[cuts.subject.split(", ")[0]]
    name, state, moments = service.name, service.state, _moments(lab, cuts, service.name)
    found = replace(found, name=name, state=state, error=str(service.error), cuts=moments)
    if state == "failed":
        return judge_totals(found)
    told, odd = _totals(lab, totals, found.truth)
    behind = queries.lag(lab.connection, topic, group)
    return judge_totals(
        replace(found, told=told, odd=odd, behind=behind, open=_is_open(lab, totals))
    )


@judge
def judge_totals(evidence: Totals) -> Result:
    """Return the answer to what was found, without another look."""
    truth, told = evidence.truth, evidence.told
    found: dict[str, Any] = {
        "topic": evidence.topic,
        "totals": evidence.totals,
        "group": evidence.group,
        "flights": sum(truth.values()),
    }
    if not truth:
        return _wrong("totals_topic", **found)
    if not evidence.name:
        return _wrong("totals_no_cuts", **found)
    found |= {"name": evidence.name, "cuts": evidence.cuts}
    if evidence.state == "failed":
        return _wrong("totals_failed", error=evidence.error, **found)
    if evidence.odd:
        return _wrong("totals_odd", value=evidence.odd, **found)
    wrong = {c: (told.get(c, 0), count) for c, count in truth.items() if told.get(c, 0) != count}
    found |= {"wrong": _written(wrong), "sum": sum(told.values())}
    if any(evidence.behind.values()):
        found["waiting"] = sum(evidence.behind.values())
        one_each = set(evidence.behind.values()) <= {0, 1}
        return _wrong("totals_one_behind" if one_each else "totals_behind", **found)
    if evidence.cuts < CUTS:
        return _wrong("totals_few_cuts", state=evidence.state, **found)
    if (wrong or not told) and evidence.open:
        return _wrong("totals_open", **found)
    if not told:
        return _wrong("totals_none", **found)
    if extra := sorted(set(told) - set(truth)):
        return _wrong("totals_strange", names=", ".join(extra), **found)
    if wrong:
        return _wrong(_difference(wrong), **found)
    return passed("offsets_and_delivery.totals", carriers=len(truth), **found)


def _is_departure(value: object) -> bool:
    fields = (value.get("id"), value.get("carrier")) if isinstance(value, dict) else (None,)
    return all(isinstance(field, str) for field in fields)


def _power_cuts(lab: "Lab", group: str) -> Mark | None:
    """Return the newest stretch of power cuts of a service that was given this group."""
    text = say("offsets_and_delivery.power_cuts")
    for mark in reversed(lab.journal.marks):
        if mark.kind == "span" and mark.text == text and group in mark.subject.split(", "):
            return mark
    return None


def _moments(lab: "Lab", cuts: Mark, name: str) -> int:
    """Return at how many different moments the power was cut, as the dying process told."""
    rows = lab.reports.reindex(columns=["time", "service", "power_cut"])
    rows = rows[(rows["time"] >= cuts.time) & (rows["service"] == name)]
    return int(rows["power_cut"].nunique())


def _wait_for_commit(lab: "Lab", topic: str, group: str) -> None:
    """Return when the group has committed everything, or gets no further."""
    wait = Patience(start_seconds(lab, IDLE_SECONDS), pause=0.2, most=TIMES * MOST_SECONDS)
    while not wait.over:
        behind = queries.lag(lab.connection, topic, group)
        running = [s for s in lab.services.values() if s.state == "running"]
        if not sum(behind.values()) or not running:
            return
        wait.look(behind)
        time.sleep(0.2)


def _totals(lab: "Lab", totals: str, truth: Mapping[str, int]) -> tuple[dict[str, int], str]:
    """Return the last total of each carrier, and a value that is none, or ""."""
    connection = lab.connection | {"isolation_level": "read_committed"}
    wait = Patience(LATE_SECONDS, pause=0.2, most=TIMES * LATE_SECONDS)
    while True:
        told: dict[str, int] = {}
        records = queries.records(connection, totals)
        for key, value in zip(records["key"], records["value"], strict=True):
            count = value.get("count") if isinstance(value, dict) else value
            if type(count) is not int or not isinstance(key, str):
                return {}, f"{key!r}: {value!r}"[:80]
            told[key] = count
        wait.look(told)
        if told == truth or wait.over:
            return told, ""
        time.sleep(0.2)


def _is_open(lab: "Lab", topic: str) -> bool:
    """Return whether a transaction that nobody has ended hides records."""
    levels = ({"isolation_level": f"read_{level}"} for level in ("committed", "uncommitted"))
    stable, all_ = (queries.end_offsets(lab.connection | level, topic) for level in levels)
    return stable != all_


def _difference(wrong: dict[str, tuple[int, int]]) -> str:
    more = any(told > count for told, count in wrong.values())
    less = any(told < count for told, count in wrong.values())
    return "totals_mixed" if more and less else "totals_more" if more else "totals_less"


def _written(wrong: dict[str, tuple[int, int]]) -> str:
    """Return the first totals that are wrong, in words."""
    parts = [
        say("offsets_and_delivery.totals_of", carrier=carrier, told=told, count=count)
        for carrier, (told, count) in sorted(wrong.items(), key=lambda one: -one[1][1])
    ]
    more = say("offsets_and_delivery.totals_others", more=len(parts) - 4) if len(parts) > 4 else ""
    return ", ".join(parts[:4]) + more


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Back:
    """What the broker has of a group that is to be set back.

    Attributes:
        topic, group: real names.
        times: when the record of each offset was (ms since 1970), by partition.
        ends: the end offset of each partition.
        committed: the committed offset of each partition that has one.
        members: the client ids of the group's members.
        running: the names of services that run.
    """

    topic: str
    group: str
    times: Mapping[int, Mapping[int, int]]
    ends: Mapping[int, int]
    committed: Mapping[int, int]
    members: tuple[str, ...]
    running: tuple[str, ...]

    def begins(self, moment: float) -> dict[int, int]:
        """Return the first offset at a time (ms) or later by partition; the end if none is."""
        found = dict(self.ends)
        for partition, times in self.times.items():
            later = [offset for offset, time in times.items() if time >= moment]
            found[partition] = min(later, default=self.ends[partition])
        return found

    @property
    def first(self) -> dict[int, int]:
        """The oldest offset of each partition."""
        return {**self.ends, **{p: min(times) for p, times in self.times.items()}}

    def written(self) -> str:
        """Return the committed offsets, each with the time of its record: "0: 75 (10:58)"."""
        import pandas as pd

        parts = []
        for partition, offset in sorted(self.committed.items()):
            time = self.times.get(partition, {}).get(offset)
            place = say("offsets_and_delivery.no_record")
            if time is not None:
                place = f"{pd.Timestamp(time, unit='ms', tz=NEW_YORK):%H:%M}"
            parts.append(f"{partition}: {offset} ({place})")
        return ", ".join(parts) or say("offsets_and_delivery.no_offset")


@graded
def set_back(lab: "Lab", topic: str, group: str, local: str) -> Result:
    """Check that a group will begin with the first record of a time or later, in each partition.

    Args:
        lab: the lab.
        topic: real name of the topic, whose records bear the time of their event.
        group: real name of the group.
        local: a time in New York, such as "2013-01-01 08:00".
    """
    records = queries.records(lab.connection, topic)
    records["ms"] = records["timestamp"].dt.as_unit("ms").astype("int64")
    members = queries.groups(lab.connection).get(group, {}).get("members", [])
    times: dict[int, dict[int, int]] = {}
    columns = (records[name].tolist() for name in ("partition", "offset", "ms"))
    for partition, offset, time_ in zip(*columns, strict=True):
        times.setdefault(partition, {})[offset] = time_
    found = Back(
        topic,
        group,
        times=times,
        ends=queries.end_offsets(lab.connection, topic),
        committed=queries.committed(lab.connection, group, topic),
        members=tuple(member["client_id"] for member in members),
        running=tuple(name for name, one in lab.services.items() if one.state == "running"),
    )
    return judge_back(found, local)


@judge
def judge_back(back: Back, local: str) -> Result:
    """Return the answer to where a group stands that should begin with a time.

    Args:
        back: its topic and its offsets.
        local: the time, in New York.
    """
    key, committed = _where(back, local), back.written()
    found = {"topic": back.topic, "group": back.group, "time": local, "committed": committed}
    if key == "back":
        return passed("offsets_and_delivery.back", **found)
    wanted = back.begins(_at(local))
    apart = [str(p) for p, at in wanted.items() if back.committed.get(p) != at]
    return _wrong(key, partitions=", ".join(apart), count=len(back.members), **found)


def _where(back: Back, local: str) -> str:
    """Return the name of what is to be said of a group that should begin with a time."""
    committed, ends = back.committed, back.ends
    if not back.times:
        return "back_topic"
    right, naive = _at(local), _at(local, "UTC")
    wanted = back.begins(right)
    if back.members:
        own = committed == wanted and not back.running
        return "back_own_member" if own else "back_members"
    if committed == wanted:
        return "back"
    if not committed:
        return "back_nothing"
    if committed == ends:
        return "back_unmoved"
    if committed == back.first:
        return "back_begin"
    if committed in (back.begins(at) for at in (naive, right + (right - naive))):
        return "back_zone"
    if {committed.get(p, -9) - at for p, at in wanted.items()} in ({-1}, {1}):
        return "back_by_one"
    if any(committed.get(p) == at for p, at in wanted.items()):
        return "back_some"
    early = any(committed.get(p, 0) < at for p, at in wanted.items())
    return "back_early" if early else "back_late"


def _at(local: str, zone: str = NEW_YORK) -> float:
    """Return a local time as ms since 1970."""
    import pandas as pd

    return pd.Timestamp(local, tz=zone).value / 1_000_000

"""Checks of lesson 07: totals that survive three power cuts, and a group set back to a time."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from lab_env.checks.evidence import start_seconds
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.journal import Mark
from lab_env.ground.patience import TIMES, Patience
from lab_env.messages import say
from lab_env.observation import queries

if TYPE_CHECKING:
    import pandas as pd
    from pandas.api.typing import NaTType

    from lab_env import Lab

MOST_SECONDS = 25.0  # until a counter that works has counted everything
IDLE_SECONDS = 4.0  # without a step forward, nothing more is expected
LATE_SECONDS = 1.0  # totals may be sent a little after the commit
CUTS = 3
NEW_YORK = "America/New_York"


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"offsets_and_delivery.{key}", **found)


# -- exercise 1 -----------------------------------------------------------------------------


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
    flights = {value["id"]: value["carrier"] for value in values}
    found: dict[str, Any] = {
        "topic": topic,
        "totals": totals,
        "group": group,
        "flights": len(flights),
    }
    if not flights:
        return _wrong("totals_topic", **found)
    _wait_for_commit(lab, topic, group)
    if (cuts := _power_cuts(lab, group)) is None:
        return _wrong("totals_no_cuts", **found)
    service = lab.services[cuts.subject.split(", ")[0]]
    found |= {"name": service.name, "cuts": _moments(lab, cuts, service.name)}
    if service.state == "failed":
        return _wrong("totals_failed", error=service.error, **found)
    truth = dict(Counter(flights.values()))
    told, odd = _totals(lab, totals, truth)
    if odd:
        return _wrong("totals_odd", value=odd, **found)
    wrong = {c: (told.get(c, 0), count) for c, count in truth.items() if told.get(c, 0) != count}
    found["wrong"] = _written(wrong)
    found["sum"] = sum(told.values())
    behind = queries.lag(lab.connection, topic, group)
    if any(behind.values()):
        found["waiting"] = sum(behind.values())
        one_each = set(behind.values()) <= {0, 1}
        return _wrong("totals_one_behind" if one_each else "totals_behind", **found)
    if found["cuts"] < CUTS:
        return _wrong("totals_few_cuts", state=service.state, **found)
    if not told:
        return _wrong("totals_none", **found)
    if extra := sorted(set(told) - set(truth)):
        return _wrong("totals_strange", names=", ".join(extra), **found)
    if wrong and _is_open(lab, totals):
        return _wrong("totals_open", **found)
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


def _totals(lab: "Lab", totals: str, truth: dict[str, int]) -> tuple[dict[str, int], str]:
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


@graded
def set_back(lab: "Lab", topic: str, group: str, local: str) -> Result:
    """Check that a group will begin with the first record of a time or later, in each partition.

    Args:
        lab: the lab.
        topic: real name of the topic, whose records bear the time of their event.
        group: real name of the group.
        local: a time in New York, such as "2013-01-01 08:00".
    """
    import pandas as pd

    found = {"topic": topic, "group": group, "time": local}
    records = queries.records(lab.connection, topic)
    if records.empty:
        return _wrong("back_topic", **found)
    ends = queries.end_offsets(lab.connection, topic)
    wanted = _begins(records, ends, pd.Timestamp(local, tz=NEW_YORK))
    committed = queries.committed(lab.connection, group, topic)
    found |= {"committed": _places(committed), "wanted": _places(wanted)}
    members = queries.groups(lab.connection).get(group, {}).get("members", [])
    if members:
        return _wrong("back_members", count=len(members), **found)
    if committed == wanted:
        return passed("offsets_and_delivery.back", **found)
    if not committed:
        return _wrong("back_nothing", **found)
    if committed == ends:
        return _wrong("back_unmoved", **found)
    if committed == dict.fromkeys(ends, 0):
        return _wrong("back_begin", **found)
    right, naive = pd.Timestamp(local, tz=NEW_YORK), pd.Timestamp(local, tz="UTC")
    if committed in (_begins(records, ends, at) for at in (naive, right + (right - naive))):
        return _wrong("back_zone", **found)
    off = {committed.get(p, -9) - at for p, at in wanted.items()}
    if off in ({-1}, {1}):
        return _wrong("back_by_one", **found)
    some = sorted(p for p, at in wanted.items() if committed.get(p) == at)
    if some:
        found["partitions"] = ", ".join(str(p) for p in wanted if p not in some)
        return _wrong("back_some", **found)
    early = [p for p, at in wanted.items() if committed.get(p, 0) < at]
    return _wrong("back_early" if early else "back_late", **found)


def _begins(
    records: "pd.DataFrame", ends: dict[int, int], moment: "pd.Timestamp | NaTType"
) -> dict[int, int]:
    """Return the first offset at a time or later by partition, the end if there is none."""
    later = records[records["timestamp"] >= moment]
    return ends | {int(p): int(at) for p, at in later.groupby("partition")["offset"].min().items()}


def _places(offsets: dict[int, int]) -> str:
    return ", ".join(f"{p}: {offset}" for p, offset in sorted(offsets.items())) or "-"

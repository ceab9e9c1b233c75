"""The checks of lesson 04: a key that keeps order and spreads load, a topic of latest records."""

import time
from typing import TYPE_CHECKING

from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import Patience
from lab_env.observation import queries

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.lab import Lab

SECONDS = 8.0  # compaction of a small closed segment takes under one on a quiet machine
SOON_MS = 60_000  # a segment.ms above that closes no segment while a student waits


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"topics_and_partitions.{name}", **values)


@graded
def keyed(lab: "Lab", topic: str, *, day: str, partitions: int = 6, most: float = 0.25) -> Result:
    """Check that the legs of each aircraft lie in order in one partition, and none is hot.

    Args:
        lab: the lab.
        topic: real name of the topic with the departures, JSON objects with an ``id``.
        day: whose departures they are, such as "2013-02-09".
        partitions: how many the topic must have.
        most: the share of all records that one partition may hold.
    """
    found = len(queries.end_offsets(lab.connection, topic))
    if found != partitions:
        return _wrong("key_partitions", topic=topic, found=found, partitions=partitions)
    truth = _events(day)
    records = _with_ids(queries.records(lab.connection, topic))
    known = records[records["id"].isin([event["id"] for event in truth])]
    counts = {
        "topic": topic,
        "count": len(records),
        "known": len(known),
        "distinct": known["id"].nunique(),
        "total": len(truth),
        "twice": int(known["id"].duplicated().sum()),
    }
    if counts["distinct"] < len(truth):
        return _wrong("key_missing" if len(records) else "key_nothing", **counts)
    if counts["twice"] or len(records) > len(known):
        return _wrong("key_twice", **counts)
    if (wrong := _wrong_order(known, truth)) is not None:
        return wrong
    shares = known["partition"].value_counts(normalize=True)
    facts = {
        "partition": shares.index[0],
        "share": f"{100 * shares.iloc[0]:.0f}",
        "most": f"{100 * most:.0f}",
        "aircraft": len({event["tail_number"] for event in truth} - {None}),
        "total": len(truth),
    }
    if shares.iloc[0] <= most:
        return passed("topics_and_partitions.keyed", **facts)
    return _wrong_share(known, truth, facts)


def _events(day: str) -> list[dict]:
    from lab_env import flights

    return flights.events(flights.table(day=day))


def _with_ids(records: "pd.DataFrame") -> "pd.DataFrame":
    return records.assign(id=[_text(value, "id") for value in records["value"]])


def _wrong_order(records: "pd.DataFrame", truth: list[dict]) -> Result | None:
    """Return what is wrong with the legs of the aircraft, None if nothing is."""
    turn = {event["id"]: number for number, event in enumerate(truth)}
    tails = {event["id"]: event["tail_number"] for event in truth}
    records = records.assign(turn=records["id"].map(turn), tail=records["id"].map(tails))
    named = records.dropna(subset=["tail"])
    homes = named.groupby("tail")["partition"].nunique()
    if (homes > 1).any():
        tail = homes.idxmax()
        where = sorted(named.loc[named["tail"] == tail, "partition"].unique())
        values = {
            "number": len(homes[homes > 1]),
            "total": len(homes),
            "tail": tail,
            "where": ", ".join(map(str, where)),
        }
        if records["key"].isna().all():
            return _wrong("key_none", **values)
        return _wrong("key_split", **values)
    for tail, legs in named.sort_values("offset").groupby("tail"):
        if not legs["turn"].is_monotonic_increasing:
            return _wrong("key_order", tail=tail)
    return None


def _wrong_share(records: "pd.DataFrame", truth: list[dict], facts: dict) -> Result:
    """Say why one partition is too full: one key for all that have no aircraft, or few keys."""
    nameless = {event["id"] for event in truth if event["tail_number"] is None}
    keys = records.loc[records["id"].isin(nameless), "key"]
    if records["partition"].nunique() == 1:
        return _wrong("key_one_partition", **facts)
    if keys.nunique(dropna=False) == 1 and keys.notna().all():
        return _wrong("key_nameless", key=repr(keys.iloc[0]), number=len(keys), **facts)
    return _wrong("key_hot", keys=records["key"].nunique(), **facts)


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def latest(lab: "Lab", topic: str, *, day: str) -> Result:
    """Check that a topic compacts, and has only the latest departure to each destination.

    Waits some seconds for compaction if the topic's settings let it come so soon.

    Args:
        lab: the lab.
        topic: real name of the topic with the departures of ``day``, keyed by destination.
        day: such as "2013-01-15"; records of a later day may follow.
    """
    truth = {event["destination"]: event["id"] for event in _events(day)}
    settings = queries.settings(lab.connection, topic)
    policy = settings["cleanup.policy"]
    # whichever is shorter closes the active segment
    age = min(int(settings["segment.ms"]), int(settings["max.compaction.lag.ms"]))
    soon = age <= SOON_MS and int(settings["min.compaction.lag.ms"]) == 0
    wait = Patience(SECONDS if soon and policy == "compact" else 0, pause=0.2)
    while True:
        records = _with_ids(queries.records(lab.connection, topic))
        records["destination"] = [_text(v, "destination") for v in records["value"]]
        of_day = records[records["id"].map(lambda name: name.endswith(day)).astype(bool)]
        extra = of_day[~of_day["id"].isin(list(truth.values()))]
        if extra.empty and not of_day["id"].duplicated().any():
            break
        wait.look(len(records))
        if wait.over:
            break
        time.sleep(0.2)
    missing = sorted(set(truth) - set(records["destination"]))
    values = {
        "topic": topic,
        "policy": policy,
        "segment": f"{age:,}",
        "extra": len(extra) + int(of_day["id"].duplicated().sum()),
        "count": len(records),
        "total": len(truth),
        "missing": len(missing),
        "names": ", ".join(missing[:3]),
    }
    if missing:
        return _wrong("board_empty" if records.empty else "board_missing", **values)
    if "compact" not in policy:
        return _wrong("board_policy", **values)
    if "delete" in policy:
        return _wrong("board_both", **values)
    if not values["extra"]:
        return passed("topics_and_partitions.latest", **values)
    if int(settings["min.compaction.lag.ms"]) > 0:
        return _wrong("board_lag", lag=settings["min.compaction.lag.ms"], **values)
    if not soon:
        return _wrong("board_active", **values)
    if set(records["key"]) != set(records["destination"]):
        return _wrong("board_key", **values)
    followed = not records.sort_values("offset")["id"].iloc[-1].endswith(day)
    return _wrong("board_dirty" if followed else "board_waiting", **values)


def _text(value: object, name: str) -> str:
    """Return a field of a record's body, "" if it has none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""

"""The checks of lesson 04: a key that keeps order and spreads load, a topic of latest records."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lab_env.checks.evidence import start_seconds, until
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import Patience
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env.lab import Lab

SECONDS = 8.0  # compaction of a small closed segment takes under one on a quiet machine
SOON_MS = 60_000  # a segment.ms above that closes no segment while a student waits
SEND_SECONDS = 10.0  # in which a producer in a process of its own has begun, or sent something more
TOMORROW = "tomorrow"  # the service that sends the day once more


class Sent(NamedTuple):
    """A record: its key as a text, and the ``id`` of the event in its body ("" if it has none)."""

    partition: int
    offset: int
    key: str | None
    id: str


@dataclass(frozen=True)
class Keyed:
    """What a key is judged by.

    Attributes:
        topic: real name.
        partitions: how many it has.
        records: all that it holds, oldest first in each partition.
        again: what another process has sent by the same function; None: it was not asked.
        error: what that process has raised, or None.
    """

    topic: str
    partitions: int
    records: tuple[Sent, ...]
    again: tuple[Sent, ...] | None = None
    error: str | None = None


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"topics_and_partitions.{name}", **values)


@graded
def keyed(
    lab: "Lab",
    topic: str,
    send_day: Callable[[str], object],
    *,
    day: str,
    partitions: int = 6,
    most: float = 0.25,
) -> Result:
    """Check that the legs of each aircraft lie in order in one partition, and none is hot.

    Where that is so, another process sends the day once more, to a topic of its own: each aircraft
    must come to the same partition there.

    Args:
        lab: the lab.
        topic: real name of the topic with the departures, JSON objects with an ``id``.
        send_day: the function that has sent them; takes the name of a topic.
        day: whose departures they are, such as "2013-02-09".
        partitions: how many the topic must have.
        most: the share that one partition may hold of the records that have a key or an aircraft.
    """
    truth = _events(day)
    found = Keyed(topic, len(queries.end_offsets(lab.connection, topic)), _sent(lab, topic))
    answer = judge_key(found, truth, partitions=partitions, most=most)
    if not answer:
        return answer
    again, error = _sent_again(lab, topic, send_day, partitions)
    found = Keyed(topic, found.partitions, found.records, again, error)
    return judge_key(found, truth, partitions=partitions, most=most)


def _sent(lab: "Lab", topic: str) -> tuple[Sent, ...]:
    frame = queries.records(lab.connection, topic)
    columns = (frame[name] for name in ("partition", "offset", "key", "value"))
    return tuple(
        # a frame says nan where a record of several has no key
        Sent(int(partition), int(offset), key if isinstance(key, str) else None, _text(value, "id"))
        for partition, offset, key, value in zip(*columns, strict=True)
    )


def _sent_again(
    lab: "Lab", topic: str, send_day: Callable[[str], object], partitions: int
) -> tuple[tuple[Sent, ...], str | None]:
    """Let another process send the day; return what it has sent, and its error if it raised."""
    other = lab.topic(f"{topic}-{TOMORROW}", partitions=partitions)
    service = lab.service(_send_once, send_day, other, name=TOMORROW)

    def moves() -> int:
        return sum(queries.end_offsets(lab.connection, other).values())

    until(lambda: service.state != "running", start_seconds(lab, SEND_SECONDS), moves)
    service.stop()
    return _sent(lab, other), service.error


def _send_once(service: object, send_day: Callable[[str], object], topic: str) -> None:
    send_day(topic)


@judge
def judge_key(
    found: Keyed, truth: list[dict], *, partitions: int = 6, most: float = 0.25
) -> Result:
    """Return the answer to what was found, without another look.

    Args:
        found: what the topic holds.
        truth: the day's departures, in their order.
        partitions, most: as of `keyed`.
    """
    topic = found.topic
    if found.partitions != partitions:
        return _wrong("key_partitions", topic=topic, found=found.partitions, partitions=partitions)
    turn = {event["id"]: number for number, event in enumerate(truth)}
    tails = {event["id"]: event["tail_number"] for event in truth}
    known = [one for one in found.records if one.id in turn]
    ids = Counter(one.id for one in known)
    counts = {
        "topic": topic,
        "count": len(found.records),
        "distinct": len(ids),
        "total": len(truth),
        "twice": sum(ids.values()) - len(ids),
    }
    if len(ids) < len(truth):
        return _wrong("key_missing" if found.records else "key_nothing", **counts)
    if counts["twice"] or len(found.records) > len(known):
        return _wrong("key_twice", **counts)
    if (wrong := _wrong_order(known, turn, tails)) is not None:
        return wrong
    # a record without key and aircraft may lie anywhere: that is its producer's choice or chance
    graded_ones = [one for one in known if one.key is not None or tails[one.id]]
    fullest, number = Counter(one.partition for one in graded_ones).most_common(1)[0]
    facts = {
        "partition": fullest,
        "share": f"{100 * number / len(graded_ones):.0f}",
        "most": f"{100 * most:.0f}",
        "aircraft": len(set(tails.values()) - {None}),
        "total": len(truth),
        "graded": len(graded_ones),
        "free": len(known) - len(graded_ones),
    }
    if number > most * len(graded_ones):
        return _wrong_share(known, tails, facts)
    if (wrong := _wrong_again(found, tails)) is not None:
        return wrong
    return passed("topics_and_partitions.keyed", **facts)


def _events(day: str) -> list[dict]:
    from lab_env import flights

    return flights.events(flights.table(day=day))


def _homes(records: "list[Sent] | tuple[Sent, ...]", tails: Mapping) -> dict[str, set[int]]:
    """Return the partitions in which each aircraft has records."""
    homes = defaultdict(set)
    for one in records:
        if tail := tails.get(one.id):
            homes[tail].add(one.partition)
    return homes


def _wrong_order(known: list[Sent], turn: Mapping, tails: Mapping) -> Result | None:
    """Return what is wrong with the legs of the aircraft, None if nothing is."""
    homes = _homes(known, tails)
    if split := sorted(tail for tail, where in homes.items() if len(where) > 1):
        values = {
            "number": len(split),
            "total": len(homes),
            "tail": split[0],
            "where": ", ".join(map(str, sorted(homes[split[0]]))),
        }
        no_key = all(one.key is None for one in known)
        return _wrong("key_none" if no_key else "key_split", **values)
    last: dict[str, int] = {}
    for one in sorted(known, key=lambda record: record.offset):
        if tail := tails[one.id]:
            if turn[one.id] < last.get(tail, -1):
                return _wrong("key_order", tail=tail)
            last[tail] = turn[one.id]
    return None


def _wrong_share(known: list[Sent], tails: Mapping, facts: dict) -> Result:
    """Say why one partition is too full: one key for all that have no aircraft, or few keys."""
    keys = {one.key for one in known if not tails[one.id]}
    if len({one.partition for one in known}) == 1:
        return _wrong("key_one_partition", **facts)
    if len(keys) == 1 and None not in keys:
        number = sum(not tails[one.id] for one in known)
        return _wrong("key_nameless", key=repr(keys.pop()), number=number, **facts)
    return _wrong("key_hot", keys=len({one.key for one in known} - {None}), **facts)


def _wrong_again(found: Keyed, tails: Mapping) -> Result | None:
    """Return what is wrong with what another process has sent, None if nothing is."""
    if found.again is None:
        return None
    if found.error:
        return _wrong("key_again_failed", error=found.error)
    today, tomorrow = _homes(found.records, tails), _homes(found.again, tails)
    if missing := [tail for tail in today if tail not in tomorrow]:
        return _wrong("key_again_few", number=len(missing), total=len(today))
    if moved := sorted(tail for tail in today if tomorrow[tail] != today[tail]):
        one = moved[0]
        values = {"tail": one, "today": _listed(today[one]), "tomorrow": _listed(tomorrow[one])}
        return _wrong("key_again_moved", number=len(moved), total=len(today), **values)
    return None


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Board:
    """What the board of destinations is judged by.

    Attributes:
        topic: real name.
        policy: ``cleanup.policy``.
        age: ms after which the active segment may be closed.
        lag: ms that a record is protected from compaction.
        records: (key, destination, id of the event), in the order of their offsets.
    """

    topic: str
    policy: str
    age: int
    lag: int
    records: tuple[tuple[str | None, str, str], ...]

    @property
    def soon(self) -> bool:
        """Whether the settings let compaction come while a student waits."""
        return self.age <= SOON_MS and self.lag == 0


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
    found = _board(lab, topic)
    wait = Patience(SECONDS if found.soon and found.policy == "compact" else 0, pause=0.2)
    while _superseded(found, truth, day):
        wait.look(len(found.records))
        if wait.over:
            break
        time.sleep(0.2)
        found = _board(lab, topic)
    return judge_board(found, truth, day)


def _board(lab: "Lab", topic: str) -> Board:
    settings = queries.settings(lab.connection, topic)
    frame = queries.records(lab.connection, topic).sort_values("offset")
    records = [
        (key, _text(value, "destination"), _text(value, "id"))
        for key, value in zip(frame["key"], frame["value"], strict=True)
    ]
    # whichever is shorter closes the active segment
    age = min(int(settings["segment.ms"]), int(settings["max.compaction.lag.ms"]))
    lag = int(settings["min.compaction.lag.ms"])
    return Board(topic, settings["cleanup.policy"], age, lag, tuple(records))


def _superseded(found: Board, truth: Mapping, day: str) -> int:
    """Return how many departures of the day are there that have a successor, or are there twice."""
    of_day = [name for _, _, name in found.records if name.endswith(day)]
    kept = set(of_day) & set(truth.values())
    return len(of_day) - len(kept)


@judge
def judge_board(found: Board, truth: Mapping[str, str], day: str) -> Result:
    """Return the answer to what was found, without another look.

    Args:
        found: the topic's settings and records.
        truth: the id of the latest departure to each destination.
        day: of these departures.
    """
    missing = sorted(set(truth) - {destination for _, destination, _ in found.records})
    values = {
        "topic": found.topic,
        "policy": found.policy,
        "segment": f"{found.age:,}",
        "lag": found.lag,
        "extra": _superseded(found, truth, day),
        "count": len(found.records),
        "total": len(truth),
        "missing": len(missing),
        "names": ", ".join(missing[:3]),
    }
    if missing:
        return _wrong("board_missing" if found.records else "board_empty", **values)
    if "compact" not in found.policy:
        return _wrong("board_policy", **values)
    if "delete" in found.policy:
        return _wrong("board_both", **values)
    if not values["extra"]:
        return passed("topics_and_partitions.latest", **values)
    if found.lag > 0:
        return _wrong("board_lag", **values)
    if not found.soon:
        return _wrong("board_active", **values)
    if {key for key, _, _ in found.records} != {where for _, where, _ in found.records}:
        return _wrong("board_key", **values)
    followed = not found.records[-1][2].endswith(day)
    return _wrong("board_dirty" if followed else "board_waiting", **values)


def _text(value: object, name: str) -> str:
    """Return a field of a record's body, "" if it has none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""

"""Checks of lesson 08: every flight is billed or parked with its cause, and replayed once."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab_env.checks import attempts
from lab_env.checks.evidence import settle
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.experiments.power_cuts import UNDER_WAY
from lab_env.observation import queries
from lab_env.observation.facts.progress import BLOCKED_AFTER
from lab_env.observation.sample import waiting

if TYPE_CHECKING:
    from lab_env import Lab
    from lab_env.observation.sample import Sample

Place = tuple[int, int]  # (partition, offset)

STEADY_SECONDS = 6.0  # what has not changed for so long will not change by itself
IDLE_SECONDS = 3.0  # the same when nothing waits, but something is missing
CALM_SECONDS = 1.5  # the same when nothing waits and nothing is missing
MOST_SECONDS = 30.0  # for all that a check waits for
GAP_SECONDS = 0.5  # between two samples, at the most
HELD_SECONDS = 5.0  # in all: a busy machine may stand still for a moment as well
MOST_ATTEMPTS = 15  # who has been tried more often goes round and round
ORIGIN = ("origin-topic", "origin-partition", "origin-offset")
CAUSE = ("error", "attempts")


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"retries_and_dead_letters.{key}", **found)


def _ids(values: Iterable[object]) -> list:
    """Return the ids of flights; a value that is no flight stands for itself."""
    return [str(one.get("id", one)) if isinstance(one, dict) else _text(one) for one in values]


def _text(value: object) -> str:
    return str(value)[:80]


def _first(values: Iterable[str], most: int = 2) -> str:
    """Return the first of some names for a sentence."""
    names = sorted(values)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass
class _Books:
    """What the broker holds of an exercise, read at one moment."""

    records: dict[Place, dict]  # the topic: partition and offset to key, value, headers
    bills: Counter = field(default_factory=Counter)  # by the flight's id
    letters: list[dict] = field(default_factory=list)
    detours: list[dict] = field(default_factory=list)  # what stands in retry topics
    waits: dict[Place, int] = field(default_factory=dict)  # first unread record: how many wait
    detours_wait: int = 0
    lost_under_way: dict[str, int] = field(
        default_factory=dict
    )  # by a power cut: service -> how many

    @property
    def back_again(self) -> list[str]:
        """Ids (or texts) of what stands in the topic more than once: somebody has sent it back."""
        counts = Counter(_ids(one["value"] for one in self.records.values()))
        return [name for name, count in counts.items() if count > 1]

    @property
    def good(self) -> set[str]:
        """Ids of the flights that departed."""
        return {one["value"]["id"] for one in self.records.values() if _departed(one["value"])}

    @property
    def bad(self) -> list[str]:
        """Ids (or texts) of all other records."""
        return [
            _ids([one["value"]])[0] for one in self.records.values() if not _departed(one["value"])
        ]

    @property
    def most_attempts(self) -> int:
        """How often the record in the retry topics that was tried most was tried."""
        tries = (_number(one["headers"].get("attempts")) for one in self.detours)
        return max(tries, default=0)

    @property
    def is_hopeless(self) -> bool:
        """Whether something is wrong whatever comes: there is nothing to wait for."""
        goes_round = self.most_attempts > MOST_ATTEMPTS
        return goes_round or bool(self.back_again or self.lost_under_way)

    @property
    def facts(self) -> tuple:
        """What changes as long as somebody gets on."""
        counts = len(self.records), len(self.letters), len(self.detours), self.detours_wait
        return self.bills.total(), *counts, tuple(sorted(self.waits.items()))


def _departed(value: object) -> bool:
    if not isinstance(value, dict) or queries.id_of(value) is None:
        return False
    return value.get("departed") is not None


def _rows(lab: "Lab", topic: str) -> list[dict]:
    return queries.records(lab.connection, topic).to_dict("records")


def _waits(lab: "Lab", topic: str, group: str) -> dict[Place, int]:
    """Return where a group stands in the partitions in which records wait, and how many do."""
    ends, positions = queries.positions(lab.connection, topic, group)
    return {(p, positions[p]): count for p, count in waiting(ends, positions).items() if count}


def _read(
    lab: "Lab",
    topic: str,
    bills: str,
    dead: str,
    group: str,
    retries: tuple[str, ...],
    begun: float,
) -> _Books:
    waits = _waits(lab, topic, group)
    detours_wait = sum(sum(_waits(lab, retry, group).values()) for retry in retries)
    return _Books(
        {(one["partition"], one["offset"]): one for one in _rows(lab, topic)},
        Counter(
            str(one["value"].get("flight"))
            for one in _rows(lab, bills)
            if isinstance(one["value"], dict)
        ),
        _rows(lab, dead),
        [one for retry in retries for one in _rows(lab, retry)],
        waits,
        detours_wait,
        _lost_under_way(lab, begun),
    )


def _lost_under_way(lab: "Lab", begun: float) -> dict[str, int]:
    """Return how many records were on their way when a clerk's power failed in this attempt."""
    told = lab.reports
    if UNDER_WAY not in told:
        return {}
    rows = told[told[UNDER_WAY].notna() & (told["time"] > begun)]
    return {row["service"]: int(row[UNDER_WAY]) for _, row in rows.iterrows()}


@graded
def accounted_for(
    lab: "Lab", topic: str, bills: str, dead: str, group: str, retries: Iterable[str] = ()
) -> Result:
    """Check that all flights that departed have one bill, and the others are parked with a cause.

    Waits while the group is at it, and has an answer within half a minute.

    Args:
        lab: the lab; its observer watches ``topic`` and ``group``.
        topic: real name of the topic of the flights.
        bills: real name of the topic with a bill, {"flight": id}, for each flight.
        dead: real name of the topic of the dead letters.
        group: real name of the group that handles ``topic`` and ``retries``.
        retries: real names of the retry topics.
    """
    where = topic, bills, dead, group, tuple(retries), _begun(lab, topic, group)
    books = _read(lab, *where)
    if not books.records:
        return _wrong("books_topic", topic=topic)

    def facts() -> tuple:
        nonlocal books
        books = _read(lab, *where)
        return books.facts

    def patience(_: object) -> float:
        if books.is_hopeless:
            return 0.0
        if books.waits or books.detours_wait:
            return STEADY_SECONDS
        return CALM_SECONDS if _accounted(books) else IDLE_SECONDS

    _, settled = settle(facts, patience, most=MOST_SECONDS)
    found = {
        "topic": topic,
        "dead": dead,
        "group": group,
        "good": len(books.good),
        "bad": len(books.bad),
        "count": len(books.bills),
    }
    for look_for in (_wrong_roads, _wrong_waits, _wrong_books, _wrong_letters):
        if (wrong := look_for(lab, books, found, settled)) is not None:
            return wrong
    held = _held(lab, topic, group)
    if held > HELD_SECONDS:
        return _wrong("books_held", seconds=held, **found)
    return passed("retries_and_dead_letters.books", **found)


def _accounted(books: _Books) -> bool:
    """Return whether each record has a bill or is among the dead letters."""
    parked = _ids(one["value"] for one in books.letters)
    return {*books.bills, *parked} >= {*books.good, *books.bad}


def _wrong_roads(lab: "Lab", books: _Books, found: dict, settled: bool) -> Result | None:
    """Return what is wrong when records went back, or were lost on their way."""
    if books.lost_under_way:
        names, number = _first(books.lost_under_way), sum(books.lost_under_way.values())
        return _wrong("books_under_way", names=names, number=number, **found)
    if again := books.back_again:
        holds, number = len(books.records), len(again)
        return _wrong("books_back", holds=holds, number=number, one=_first(again), **found)
    return None


def _wrong_waits(lab: "Lab", books: _Books, found: dict, settled: bool) -> Result | None:
    """Return what is wrong when records still wait."""
    failed = _failed(lab, found["topic"], found["group"])
    waits = sum(books.waits.values())
    if failed and (waits or books.detours_wait):
        names = _first(one.name for one in failed)
        return _wrong("books_failed", names=names, error=failed[0].error, waits=waits, **found)
    if books.most_attempts > MOST_ATTEMPTS:
        return _wrong("books_round", attempts=books.most_attempts, **found)
    if not settled:
        return _wrong("books_slow", waits=waits + books.detours_wait, **found)
    if waits:
        # what is hopeless blocks; the rest may only wait for the same clerk
        (partition, offset), value = max(
            ((place, books.records.get(place, {}).get("value")) for place in books.waits),
            key=lambda one: (not _departed(one[1]), books.waits[one[0]]),
        )
        place = {"partition": partition, "offset": offset, "waits": books.waits[partition, offset]}
        if not any(one.state == "running" for one in lab.services.values() if _is_reader(one)):
            return _wrong("books_nobody", **place, **found)
        if not _departed(value):
            return _wrong("books_blocked", one=_ids([value])[0], **place, **found)
        if not books.bills and not books.letters and not books.detours:
            return _wrong("books_idle", **place, **found)
        return _wrong("books_stuck", one=_ids([value])[0], **place, **found)
    if books.detours_wait:
        return _wrong("books_detour", waits=books.detours_wait, **found)
    return None


def _failed(lab: "Lab", topic: str, group: str) -> list:
    """Return the services that have failed in this attempt."""
    return attempts.all_failed(lab, _begun(lab, topic, group))


def _begun(lab: "Lab", topic: str, group: str) -> float:
    """Return when this attempt began, as far as it was seen (s, the lab's clock)."""
    samples = _since_filled(list(lab.watch(topic, groups=[group]).samples), topic, group)
    return samples[0].time if samples else 0.0


def _is_reader(service: Any) -> bool:
    """Return whether a service can be one that reads the topic: not the tariff, not operations."""
    return service.name not in ("tariff", "operations", "watchman")


def _wrong_books(lab: "Lab", books: _Books, found: dict, settled: bool) -> Result | None:
    """Return what is wrong with the bills, and with what is missing."""
    parked = Counter(_ids(one["value"] for one in books.letters))
    if wrongly := books.good & parked.keys() - books.bills.keys():
        errors = {
            str(one["headers"].get("error", "?"))
            for one in books.letters
            if _ids([one["value"]])[0] in wrongly
        }
        number = len(wrongly)
        return _wrong("books_good_parked", number=number, error=_first(errors), **found)
    if lost := books.good - books.bills.keys() - parked.keys():
        return _wrong("books_good_lost", number=len(lost), one=_first(lost), **found)
    if invented := set(books.bad) & books.bills.keys():
        return _wrong("books_bad_billed", number=len(invented), one=_first(invented), **found)
    if lost := set(books.bad) - parked.keys():
        return _wrong("books_bad_lost", number=len(lost), one=_first(lost), **found)
    if both := books.good & parked.keys():
        return _wrong("books_both", number=len(both), one=_first(both), **found)
    if twice := [one for one, count in books.bills.items() if count > 1]:
        return _wrong("books_twice", number=len(twice), one=_first(twice), **found)
    if twice := [one for one, count in parked.items() if count > books.bad.count(one)]:
        return _wrong("books_parked_twice", number=len(twice), one=_first(twice), **found)
    return None


def _wrong_letters(lab: "Lab", books: _Books, found: dict, settled: bool) -> Result | None:
    """Return what is wrong with the headers, keys and values of the dead letters."""
    for letter in books.letters:
        headers = letter["headers"]
        missing = [name for name in (*ORIGIN, *CAUSE) if not str(headers.get(name) or "").strip()]
        if missing:
            return _wrong("books_headers", names=", ".join(missing), **found)
        place = _number(headers["origin-partition"]), _number(headers["origin-offset"])
        origin = books.records.get(place)
        same = origin is not None and _ids([origin["value"]]) == _ids([letter["value"]])
        if headers["origin-topic"] != found["topic"] or not same:
            told = f"{headers['origin-topic']}, partition {place[0]}, offset {place[1]}"
            key = "books_origin" if books.detours else "books_origin_here"
            return _wrong(key, told=told, **found)
        if origin["value"] != letter["value"]:
            return _wrong("books_changed", what="value", **found)
        if origin["key"] != letter["key"]:
            return _wrong("books_changed", what="key", **found)
        if _number(headers["attempts"]) < 1:
            return _wrong("books_attempts", told=headers["attempts"], **found)
    return None


def _number(text: object) -> int:
    """Return a header as a whole number, -1 if it is none."""
    try:
        return int(str(text))
    except ValueError:
        return -1


def _held(lab: "Lab", topic: str, group: str) -> float:
    """Return for how long (s) in all the worst member was blocked: it had work and got nowhere.

    By member, not by partition: one that has several may well work on one after the other.
    """
    stands: dict[str, tuple] = {}  # member -> (how far it is in its partitions, since when)
    blocked: Counter = Counter()
    now, last = 0.0, None  # s; a machine that comes to no sample blocks nobody
    for sample in _since_filled(list(lab.watch(topic, groups=[group]).samples), topic, group):
        now += min(sample.time - last.time, GAP_SECONDS) if last else 0.0
        seen, last = sample.groups[group], sample
        for member in {*stands, *seen.owners.values()}:
            own = [at for at, owner in seen.owners.items() if owner == member and at[0] == topic]
            far = {place: seen.committed.get(place, 0) for place in own}
            before, since = stands.get(member, (None, now))
            if far != before:
                if now - since > BLOCKED_AFTER:
                    blocked[member] += now - since
                stands.pop(member, None)
                if any(sample.ends.get(place, 0) > offset for place, offset in far.items()):
                    stands[member] = far, now
    return max(blocked.values(), default=0.0)


def _since_filled(samples: "list[Sample]", topic: str, group: str) -> "list[Sample]":
    """Return the samples since the topic was last empty: those of this attempt."""
    begin = 0
    for number, sample in enumerate(samples):
        if not sample.produced(topic):
            begin = number
    return [one for one in samples[begin:] if group in one.groups and not one.stale]


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def replayed_once(lab: "Lab", dead: str, retry: str, bills: str, group: str) -> Result:
    """Check that each flight among the dead letters was repaired, replayed and billed once.

    Args:
        lab: the lab; a service of it handles what comes to ``retry``.
        dead: real name of the topic of the dead letters.
        retry: real name of the topic into which they are replayed.
        bills: real name of the topic with the bills, {"flight": id}.
        group: real name of the group that reads the dead letters to repair them.
    """
    letters, sent, made = [], [], Counter()

    def facts() -> tuple:
        nonlocal letters, sent, made
        letters, sent = _rows(lab, dead), _rows(lab, retry)
        values = [one["value"] for one in _rows(lab, bills)]
        made = Counter(str(one.get("flight")) for one in values if isinstance(one, dict))
        return len(letters), len(sent), made.total()

    def patience(_: object) -> float:
        handled = made.total() + len(_again(letters, retry))
        return CALM_SECONDS if handled >= len(sent) else STEADY_SECONDS

    _, settled = settle(facts, patience, most=MOST_SECONDS)
    again = _again(letters, retry)
    first = [one for one in letters if one not in again]
    # as text, as in the bills: an id may be a number
    flights = {str(name): one for one in first if (name := queries.id_of(one["value"])) is not None}
    if not flights:
        return _wrong("replay_topic", dead=dead)
    behind = sum(_waits(lab, dead, group).values())
    found = {
        "dead": dead,
        "retry": retry,
        "bills": bills,
        "group": group,
        "flights": len(flights),
        "sent": len(sent),
        "count": len(made.keys() & flights.keys()),
    }
    if failed := _failed(lab, dead, group):
        return _wrong("replay_failed", name=failed[0].name, error=failed[0].error)
    if not settled:
        return _wrong("replay_round", number=len(again), **found)
    if not sent:
        return _wrong("replay_bypassed" if made else "replay_nothing", **found)
    if again:
        return _wrong("replay_again", number=len(again), one=_first(_causes(again)), **found)
    twice = [one for one, count in made.items() if count > 1]
    if twice:
        return _wrong("replay_twice", number=len(twice), one=_first(twice), **found)
    if missing := flights.keys() - made.keys():
        return _wrong("replay_missing", number=len(missing), one=_first(missing), **found)
    if (wrong := _wrong_replays(sent, flights, found)) is not None:
        return wrong
    if behind:
        return _wrong("replay_uncommitted", behind=behind, **found)
    return passed("retries_and_dead_letters.replay", **found)


def _again(letters: list[dict], retry: str) -> list[dict]:
    """Return the dead letters that were parked by the replay itself."""
    return [
        one
        for one in letters
        if _number(one["headers"].get("attempts")) > 1
        or one["headers"].get("origin-topic") == retry
    ]


def _causes(letters: list[dict]) -> set[str]:
    return {str(one["headers"].get("error", "?")) for one in letters}


def _wrong_replays(sent: list[dict], flights: dict[str, dict], found: dict) -> Result | None:
    """Return what is wrong with the records that were replayed."""
    for one in sent:
        (name,) = _ids([one["value"]])
        letter = flights.get(name)
        if letter is None:
            return _wrong("replay_stranger", one=name, **found)
        if any(one["headers"].get(header) != letter["headers"].get(header) for header in ORIGIN):
            return _wrong("replay_headers", **found)
        if one["key"] != letter["key"]:
            return _wrong("replay_key", one=name, **found)
    return None

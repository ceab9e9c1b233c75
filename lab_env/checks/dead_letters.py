"""What lesson 08's checks say of their evidence: all flights accounted for, and replayed once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab_env.checks.judging import judge
from lab_env.checks.result import Result, not_yet, passed
from lab_env.observation import queries

Place = tuple[int, int]  # (partition, offset)

HELD_SECONDS = 5.0  # in all: a busy machine may stand still for a moment as well
MOST_ATTEMPTS = 15  # who has been tried more often goes round and round
ORIGIN = ("origin-topic", "origin-partition", "origin-offset")
CAUSE = ("error", "attempts")


@dataclass(frozen=True)
class FlightRecord:
    """A record: its key (None if it has none), what its value says, and its headers."""

    key: Any
    value: Any
    headers: Mapping[str, Any]


def number_of(text: object) -> int:
    """Return a header as a whole number, -1 if it is none."""
    try:
        return int(str(text))
    except ValueError:
        return -1


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


def _departed(value: object) -> bool:
    if not isinstance(value, dict) or queries.id_of(value) is None:
        return False
    return value.get("departed") is not None


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Books:
    """What exercise 1 is judged by: what the broker held at one moment, and how it came to that.

    Attributes:
        topic, dead, group: real names.
        records: of the topic, by partition and offset.
        bills: how many, by the flight's id.
        letters: the dead letters.
        detours: how often each record in a retry topic was tried; -1 where it does not say so.
        waits: the first unread record of a partition, and how many wait there with it.
        detours_wait: how many wait in the retry topics.
        lost_under_way: by a power cut: how many, by the service's name.
        settled: whether nothing has changed any more.
        failed: name and error of each service that has failed in this attempt.
        read: whether a service runs that may be one that reads the topic.
        held: for how long the worst member of the group was blocked, in all (s).
    """

    topic: str
    dead: str
    group: str
    records: Mapping[Place, FlightRecord]
    bills: Mapping[str, int] = field(default_factory=dict)
    letters: Sequence[FlightRecord] = ()
    detours: Sequence[int] = ()
    waits: Mapping[Place, int] = field(default_factory=dict)
    detours_wait: int = 0
    lost_under_way: Mapping[str, int] = field(default_factory=dict)
    settled: bool = True
    failed: Sequence[tuple[str, str]] = ()
    read: bool = True
    held: float = 0.0

    @property
    def back_again(self) -> list[str]:
        """Ids (or texts) of what stands in the topic more than once: somebody has sent it back."""
        counts = Counter(_ids(one.value for one in self.records.values()))
        return [name for name, count in counts.items() if count > 1]

    @property
    def good(self) -> set[str]:
        """Ids of the flights that departed."""
        return {one.value["id"] for one in self.records.values() if _departed(one.value)}

    @property
    def bad(self) -> list[str]:
        """Ids (or texts) of all other records."""
        return _ids(one.value for one in self.records.values() if not _departed(one.value))

    @property
    def parked(self) -> Counter:
        """How many dead letters there are, by the flight's id (or the text)."""
        return Counter(_ids(one.value for one in self.letters))

    @property
    def accounted(self) -> bool:
        """Whether each record has a bill or is among the dead letters."""
        return {*self.bills, *self.parked} >= {*self.good, *self.bad}

    @property
    def most_attempts(self) -> int:
        """How often the record in the retry topics that was tried most was tried."""
        return max(self.detours, default=0)

    @property
    def is_hopeless(self) -> bool:
        """Whether something is wrong whatever comes: there is nothing to wait for."""
        goes_round = self.most_attempts > MOST_ATTEMPTS
        return goes_round or bool(self.back_again or self.lost_under_way)

    @property
    def facts(self) -> tuple:
        """What changes as long as somebody gets on."""
        counts = len(self.records), len(self.letters), len(self.detours), self.detours_wait
        return sum(self.bills.values()), *counts, tuple(sorted(self.waits.items()))


@judge
def judge_books(books: Books) -> Result:
    """Return the answer to what was found, without another look."""
    if not books.records:
        return _wrong("books_topic", topic=books.topic)
    found = {
        "topic": books.topic,
        "dead": books.dead,
        "group": books.group,
        "good": len(books.good),
        "bad": len(books.bad),
        "count": len(books.bills),
    }
    for look_for in (_wrong_roads, _wrong_waits, _wrong_books, _wrong_letters):
        if (wrong := look_for(books, found)) is not None:
            return wrong
    if books.held > HELD_SECONDS:
        return _wrong("books_held", seconds=books.held, **found)
    return passed("retries_and_dead_letters.books", **found)


def _wrong_roads(books: Books, found: dict) -> Result | None:
    """Return what is wrong when records went back, or were lost on their way."""
    if books.lost_under_way:
        names, number = _first(books.lost_under_way), sum(books.lost_under_way.values())
        return _wrong("books_under_way", names=names, number=number, **found)
    if again := books.back_again:
        holds, number = len(books.records), len(again)
        return _wrong("books_back", holds=holds, number=number, one=_first(again), **found)
    return None


def _wrong_waits(books: Books, found: dict) -> Result | None:
    """Return what is wrong when records still wait."""
    waits = sum(books.waits.values())
    if books.failed and (waits or books.detours_wait):
        names, error = _first(name for name, _ in books.failed), books.failed[0][1]
        return _wrong("books_failed", names=names, error=error, waits=waits, **found)
    if books.most_attempts > MOST_ATTEMPTS:
        return _wrong("books_round", attempts=books.most_attempts, **found)
    if not books.settled:
        return _wrong("books_slow", waits=waits + books.detours_wait, **found)
    if waits:
        # what is hopeless blocks; the rest may only wait for the same clerk
        (partition, offset), value = max(
            ((at, books.records[at].value if at in books.records else None) for at in books.waits),
            key=lambda one: (not _departed(one[1]), books.waits[one[0]]),
        )
        place = {"partition": partition, "offset": offset, "waits": books.waits[partition, offset]}
        if not books.read:
            return _wrong("books_nobody", **place, **found)
        if not _departed(value):
            return _wrong("books_blocked", one=_ids([value])[0], **place, **found)
        if not books.bills and not books.letters and not books.detours:
            return _wrong("books_idle", **place, **found)
        return _wrong("books_stuck", one=_ids([value])[0], **place, **found)
    if books.detours_wait:
        return _wrong("books_detour", waits=books.detours_wait, **found)
    return None


def _wrong_books(books: Books, found: dict) -> Result | None:
    """Return what is wrong with the bills, and with what is missing."""
    parked = books.parked
    if wrongly := books.good & parked.keys() - books.bills.keys():
        errors = {
            str(one.headers.get("error", "?"))
            for one in books.letters
            if _ids([one.value])[0] in wrongly
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


def _wrong_letters(books: Books, found: dict) -> Result | None:
    """Return what is wrong with the headers, keys and values of the dead letters."""
    for letter in books.letters:
        headers = letter.headers
        missing = [name for name in (*ORIGIN, *CAUSE) if not str(headers.get(name) or "").strip()]
        if missing:
            return _wrong("books_headers", names=", ".join(missing), **found)
        place = number_of(headers["origin-partition"]), number_of(headers["origin-offset"])
        origin = books.records.get(place)
        same = origin is not None and _ids([origin.value]) == _ids([letter.value])
        if headers["origin-topic"] != found["topic"] or not same:
            told = f"{headers['origin-topic']}, partition {place[0]}, offset {place[1]}"
            key = "books_origin" if books.detours else "books_origin_here"
            return _wrong(key, told=told, **found)
        if origin.value != letter.value:
            return _wrong("books_changed", what="value", **found)
        if origin.key != letter.key:
            return _wrong("books_changed", what="key", **found)
        if number_of(headers["attempts"]) < 1:
            return _wrong("books_attempts", told=headers["attempts"], **found)
    return None


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Replayed:
    """What exercise 2 is judged by.

    Attributes:
        dead, retry, bills, group: real names.
        letters: the dead letters.
        sent: what stands in the retry topic.
        made: how many bills, by the flight's id.
        settled: whether nothing has changed any more.
        behind: how many dead letters the group that repairs them has not committed.
        failed: name and error of each service that has failed in this attempt.
    """

    dead: str
    retry: str
    bills: str
    group: str
    letters: Sequence[FlightRecord]
    sent: Sequence[FlightRecord]
    made: Mapping[str, int]
    settled: bool = True
    behind: int = 0
    failed: Sequence[tuple[str, str]] = ()

    @property
    def again(self) -> list[FlightRecord]:
        """The dead letters that were parked by the replay itself."""
        return [
            one
            for one in self.letters
            if number_of(one.headers.get("attempts")) > 1
            or one.headers.get("origin-topic") == self.retry
        ]

    @property
    def flights(self) -> dict[str, FlightRecord]:
        """The dead letters that were there before, by the flight's id."""
        again = self.again
        # as text, as in the bills: an id may be a number
        return {
            str(name): one
            for one in self.letters
            if one not in again and (name := queries.id_of(one.value)) is not None
        }


@judge
def judge_replay(replay: Replayed) -> Result:
    """Return the answer to what was found, without another look."""
    flights, made, again = replay.flights, replay.made, replay.again
    if not flights:
        return _wrong("replay_topic", dead=replay.dead)
    found = {
        "dead": replay.dead,
        "retry": replay.retry,
        "bills": replay.bills,
        "group": replay.group,
        "flights": len(flights),
        "sent": len(replay.sent),
        "count": len(made.keys() & flights.keys()),
    }
    for name, error in replay.failed:
        return _wrong("replay_failed", name=name, error=error)
    if not replay.settled:
        return _wrong("replay_round", number=len(again), **found)
    if not replay.sent:
        return _wrong("replay_bypassed" if made else "replay_nothing", **found)
    if again:
        causes = {str(one.headers.get("error", "?")) for one in again}
        return _wrong("replay_again", number=len(again), one=_first(causes), **found)
    if twice := [one for one, count in made.items() if count > 1]:
        return _wrong("replay_twice", number=len(twice), one=_first(twice), **found)
    if missing := flights.keys() - made.keys():
        return _wrong("replay_missing", number=len(missing), one=_first(missing), **found)
    if (wrong := _wrong_replays(replay.sent, flights, found)) is not None:
        return wrong
    if replay.behind:
        return _wrong("replay_uncommitted", behind=replay.behind, **found)
    return passed("retries_and_dead_letters.replay", **found)


def _wrong_replays(sent: Sequence[FlightRecord], flights: dict, found: dict) -> Result | None:
    """Return what is wrong with the records that were replayed."""
    for one in sent:
        (name,) = _ids([one.value])
        letter = flights.get(name)
        if letter is None:
            return _wrong("replay_stranger", one=name, **found)
        if any(one.headers.get(header) != letter.headers.get(header) for header in ORIGIN):
            return _wrong("replay_headers", **found)
        if one.key != letter.key:
            return _wrong("replay_key", one=name, **found)
    return None

"""The verdict of a day: what was promised, and what is there at midnight.

Nothing here looks at a clock or at the network: the same evidence is judged the same, always.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab_env.day import waits
from lab_env.day.contract import BELT, READS
from lab_env.day.evidence import AtMidnight, DayRecord, Moment
from lab_env.day.findings import Findings, look
from lab_env.day.promises import BrokenPromise, some
from lab_env.day.script import Truth

ORIGIN = ("origin-topic", "origin-partition", "origin-offset", "error")
STUCK = ("blocked", "never_began", "stands_still")


@dataclass(frozen=True)
class DayVerdict:
    """What became of a day; ``bool(verdict)`` is whether all that was promised is true.

    Attributes:
        failures: the most telling first.
        numbers: flights, events, replies, letters (counts), reply_p95 and longest_wait (s; None
            where nobody has answered), allowed_wait (s).
        recoveries: for each fault, s from its end to the first work that is newer; None where
            there was no such work to do.
    """

    failures: tuple[BrokenPromise, ...]
    numbers: dict[str, float | int | None]
    recoveries: tuple[tuple[Moment, float | None], ...] = ()

    def __bool__(self) -> bool:
        return not self.failures


def judge(evidence: AtMidnight, true: Truth) -> DayVerdict:
    """Judge a day.

    Args:
        evidence: what was there at midnight.
        true: what should have been.
    """
    found = look(evidence, true)
    failures: list[BrokenPromise] = []
    for side in (_operations, _gates, _subscribers, _letters, waits.broken_waits):
        failures += side(found)
    # a service that is stuck explains what it has not done
    stuck = {one.service for one in failures if one.name in STUCK}
    effects = ("events_lost", "not_told", "no_reply", "bags_lost", "board_lacks", "letters_lacking")
    kept = [one for one in failures if one.service not in stuck or one.name not in effects]
    return DayVerdict(tuple(kept), waits.numbers(found), tuple(waits.recoveries(found)))


# -- the promises, service by service -------------------------------------------------------


def _operations(found: Findings) -> Iterator[BrokenPromise]:
    if not found.plays("operations"):
        return
    if stuck := _stuck(found, "operations"):
        yield stuck
    true, rows = found.true.events, found.evidence.tables.get("operations")
    missing = [report for report in true if report not in found.events]
    states = {row[0]: row[2] for row in rows or ()}
    # the truth has it and nobody was told: the two were not one step
    untold = [one for one in missing if states.get(true[one]["flight"]) == true[one]["event"]]
    lost = [one for one in missing if one not in set(untold)]
    yield from some("not_told", "07", "operations", untold)
    yield from some("events_lost", "07", "operations", lost)
    last = {event["flight"]: event["event"] for event in true.values()}
    if rows is None:
        yield BrokenPromise("no_table", "07", "operations", 1, ("operations.sqlite",))
    else:
        wrong = [
            flight
            for flight, state in last.items()
            if states.get(flight) != state and f"{flight}/{state}" in found.events
        ]
        yield from some("told_untrue", "07", "operations", wrong)
    yield from some(
        "invented", "07", "operations", [one for one in found.events if one not in true]
    )
    yield from _told_twice(found)
    yield from _keys_and_order(found)


def _told_twice(found: Findings) -> Iterator[BrokenPromise]:
    """A report that came twice is one event; an event that is sent twice is the same."""
    twice = [
        report
        for report, records in found.events.items()
        if len({one.value.get("sequence") for one in records if isinstance(one.value, dict)}) > 1
    ]
    yield from some("events_twice", "07", "operations", twice)
    wrong = [
        report
        for report, records in found.events.items()
        if report in found.true.events
        and report not in set(twice)
        and any(_differs(record, found.true.events[report]) for record in records)
    ]
    # one that is lost, or counted twice, moves all the sequences behind it
    if not twice and len(found.events) >= len(found.true.events):
        yield from some("events_wrong", "04", "operations", wrong)


def _differs(record: DayRecord, true: dict) -> bool:
    value = record.value if isinstance(record.value, dict) else {}
    return any(value.get(name) != told for name, told in true.items()) or (
        record.headers.get("event-id") != true["report"]
    )


def _keys_and_order(found: Findings) -> Iterator[BrokenPromise]:
    true = found.true.events
    keyless = [
        report
        for report, records in found.events.items()
        if report in true and any(record.key != true[report]["aircraft"] for record in records)
    ]
    yield from some("wrong_key", "04", "operations", keyless)
    if keyless:
        return  # without a key there is no order that could be kept
    newest: dict[tuple[str, int], int] = {}
    seen, wrong = set(), []
    for record in found.records("airport.events"):  # partition by partition, in order
        if not isinstance(record.value, dict) or record.value.get("report") not in true:
            continue
        event = true[record.value["report"]]
        place = event["aircraft"], record.partition
        if event["report"] not in seen and event["sequence"] < newest.get(place, 0):
            wrong.append(event["report"])
        seen.add(event["report"])
        newest[place] = max(newest.get(place, 0), event["sequence"])
    yield from some("out_of_order", "04", "operations", wrong)


def _gates(found: Findings) -> Iterator[BrokenPromise]:
    if not found.plays("gates"):
        return
    commands = found.true.commands
    twice = [one for one in commands if len(found.replies.get(one, ())) > 1]
    each = len(twice) > len(commands) / 2  # not now and then: each copy has received it
    stuck = _stuck(found, "gates")
    if stuck and not (each and stuck.name == "other_group"):
        yield stuck
    uncorrelated = sum(len(one) for name, one in found.replies.items() if name not in commands)
    if uncorrelated:
        yield BrokenPromise("no_correlation", "01", "gates", uncorrelated)
    none = [one for one in commands if one not in found.replies]
    if not (uncorrelated and len(none) == len(commands)):
        yield from some("no_reply", "07", "gates", none)
    if each:
        yield from some("two_receivers", "02", "gates", twice)
    else:
        yield from some("replies_twice", "07", "gates", twice)
    wrong = [
        command
        for command, replies in found.replies.items()
        if command in commands and not all(_fits(one, found.asked.get(command)) for one in replies)
    ]
    yield from some("reply_wrong", "01", "gates", wrong)


def _fits(reply: DayRecord, command: DayRecord | None) -> bool:
    value, asked = reply.value, command and command.value
    if not isinstance(value, dict) or not isinstance(asked, dict):
        return False
    origin, _, number = str(value.get("gate")).partition("-")
    same = all(value.get(name) == asked[name] for name in ("command", "flight"))
    gate = number.isdigit() and 1 <= int(number) <= 30
    return same and origin == asked["origin"] and gate


def _subscribers(found: Findings) -> Iterator[BrokenPromise]:
    """Judge those who hear the events by the table that each keeps."""
    sides: dict[str, Callable[[Findings, list], Iterator[BrokenPromise]]]
    sides = {"baggage": _baggage, "board": _board}
    for service, side in sides.items():
        if not found.plays(service):
            continue
        if stuck := _stuck(found, service):
            yield stuck
        rows = found.evidence.tables.get(service)
        if rows is None:
            yield BrokenPromise("no_table", "07", service, 1, (f"{service}.sqlite",))
        else:
            yield from side(found, rows)


def _baggage(found: Findings, rows: list) -> Iterator[BrokenPromise]:
    belts = dict(rows)
    # what nobody told baggage is not its fault
    true = _belts(found)
    apart = {one: belts.get(one, 0) - true.get(one, 0) for one in {**belts, **true}}
    more = [f"{one} {bags:+}" for one, bags in apart.items() if bags > 0]
    less = [f"{one} {bags:+}" for one, bags in apart.items() if bags < 0]
    yield from some("bags_twice", "07", "baggage", more)
    if _half_heard(found):
        yield from some("half_heard", "03", "baggage", less)
    else:
        yield from some("bags_lost", "07", "baggage", less)


def _belts(found: Findings) -> dict[str, int]:
    belts: Counter[str] = Counter()
    for report, event in found.true.events.items():
        if event["event"] in BELT and report in found.events:
            belts[event[BELT[event["event"]]]] += event["bags"]
    return dict(belts)


def _board(found: Findings, rows: list) -> Iterator[BrokenPromise]:
    shown, true = {row[0]: row[1:] for row in rows}, _aircraft(found)
    lacking = [one for one in true if one not in shown]
    if _half_heard(found):
        yield from some("half_heard", "03", "board", lacking)
        return
    there = [one for one in true if one in shown]
    yield from some(
        "board_counts_twice", "07", "board", [one for one in there if shown[one][2] > true[one][2]]
    )
    old = [one for one in there if tuple(shown[one][:2]) != true[one][:2]]
    fewer = [one for one in there if shown[one][2] < true[one][2]]
    lost = [one for one in fewer if one not in old]
    # an older event that came later has overwritten the last one, or the last one is not there
    yield from some("board_lacks", "07", "board", lacking + lost)
    yield from some("board_is_old", "04", "board", old)


def _aircraft(found: Findings) -> dict[str, tuple[str, str, int]]:
    """Return what the board must show, of the events that it could hear."""
    board: dict[str, tuple[str, str, int]] = {}
    for report, event in found.true.events.items():
        if report in found.events:
            before = board.get(event["aircraft"], ("", "", 0))[2]
            departed = before + (event["event"] == "departed")
            board[event["aircraft"]] = event["flight"], event["event"], departed
    return board


def _letters(found: Findings) -> Iterator[BrokenPromise]:
    read = {READS[service] for service in found.evidence.services}
    wanted = {place for place in found.poison if place[0] in read}
    letters = found.records("dead.letters")
    bare = sum(any(name not in one.headers for name in ORIGIN) for one in letters)
    if bare:
        yield BrokenPromise("letters_bare", "08", "", bare)
    origins = _parked(found)
    strange = sorted(f"{o[0]} {o[1]}/{o[2]}" for o in origins if o not in wanted)
    yield from some("letters_strange", "08", "", strange)
    if bare:  # whose they are cannot be told
        return
    for topic, partition, offset in sorted(wanted - origins):
        service = next(one for one in found.evidence.services if READS[one] == topic)
        place = f"{topic} {partition}/{offset}"
        yield BrokenPromise("letters_lacking", "08", service, 1, (place,))


def _parked(found: Findings) -> set[tuple[str, int, int]]:
    """Return which records have a dead letter that says where it comes from."""
    letters = found.records("dead.letters")
    return {_origin(one) for one in letters if not set(ORIGIN) - set(one.headers)}


def _origin(letter: DayRecord) -> tuple[str, int, int]:
    """Return where a dead letter comes from, by the contract's names."""
    told = letter.headers
    topic = told["origin-topic"]
    known = next((name for name in dict.fromkeys(READS.values()) if topic.endswith(name)), topic)
    try:
        return known, int(told["origin-partition"]), int(told["origin-offset"])
    except ValueError:
        return known, -1, -1


# -- whether at all --------------------------------------------------------------------------


def _stuck(found: Findings, service: str) -> BrokenPromise | None:
    """Return why a service has not come to the end of its topic, if it has not."""
    topic = READS[service]
    at = found.evidence.committed.get(service, {})
    records = found.records(topic)
    if records and not at:
        if _has_worked(found, service):  # in a group of another name, or without a commit
            return BrokenPromise("other_group", "03", service, len(records), (service,))
        return BrokenPromise("never_began", "05", service, len(records), (topic,))
    parked = _parked(found)  # what has its dead letter is not what a service stands before
    blocked = [
        place
        for place in found.poison - parked
        if place[0] == topic
        and at.get(place[1], 0) <= place[2]
        and any(one.partition == place[1] and one.offset > place[2] for one in records)
    ]
    if blocked:
        _, partition, offset = min(blocked)
        return BrokenPromise(
            "blocked", "08", service, len(blocked), (f"{topic} {partition}/{offset}",)
        )
    waiting = [one for one in records if one.offset >= at.get(one.partition, 0)]
    if waiting:
        first = f"{topic} {waiting[0].partition}/{waiting[0].offset}"
        return BrokenPromise("stands_still", "06", service, len(waiting), (first,))
    return None


def _has_worked(found: Findings, service: str) -> bool:
    outcome = {"operations": found.events, "gates": found.replies}
    return bool(outcome.get(service, found.evidence.tables.get(service)))


def _half_heard(found: Findings) -> bool:
    """Return whether the two subscribers have divided the events between them: one group id."""
    both = ("baggage", "board")
    groups = [found.evidence.committed.get(one) for one in both if found.plays(one)]
    return len(groups) == len(both) and not all(groups) and any(groups)

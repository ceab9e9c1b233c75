"""How long a day's desks and flights have waited, and how much of that no fault explains."""

from collections.abc import Iterable, Iterator

from lab_env.day.evidence import AtMidnight, Moment
from lab_env.day.findings import Findings
from lab_env.day.promises import BrokenPromise, some

AT_ONCE = 0.25  # of the slack: what a desk waits for at the most while nothing is wrong
ENOUGH = 20  # replies, of which one in twenty may be late


def _unexplained(evidence: AtMidnight, asked: float, seconds: float) -> float:
    """Return how much of a wait no fault explains (s).

    Args:
        evidence: tells the faults.
        asked: when it began, s since 1970.
        seconds: how long it took.
    """
    faults = sorted((one.begin, one.end) for one in evidence.faults())
    explained, until = 0.0, asked
    for begin, end in faults:  # each second once, also where two faults overlap
        begin, end = max(begin, until), min(end, asked + seconds)
        if end > begin:
            explained, until = explained + end - begin, end
    return seconds - explained


def _undisturbed(evidence: AtMidnight, asked: float) -> bool:
    """Return whether nothing was wrong at a moment, or had been shortly before."""
    return not any(
        one.begin - AT_ONCE * evidence.slack <= asked <= one.end + evidence.slack
        for one in evidence.timeline
        if one.kind not in ("begin", "midnight")
    )


def _answered(found: Findings, service: str) -> dict[str, tuple[float, float]]:
    """Return when each thing was asked of a service, and when it was done first (s since 1970).

    Args:
        found: of the day.
        service: operations, asked by a report; gates, asked by a command.
    """
    if not found.plays(service):
        return {}
    asked, done = {
        "operations": (found.reported, found.events),
        "gates": (found.asked, found.replies),
    }[service]
    return {
        name: (asked[name].time, min(one.time for one in records))
        for name, records in done.items()
        if name in asked
    }


def _seconds(answered: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {name: max(done - asked, 0.0) for name, (asked, done) in answered.items()}


def broken_waits(found: Findings) -> Iterator[BrokenPromise]:
    """Yield which waits were longer than the faults explain."""
    evidence = found.evidence
    for service in ("operations", "gates"):
        answered = _answered(found, service)
        late = [
            one
            for one, seconds in _seconds(answered).items()
            if _unexplained(evidence, answered[one][0], seconds) > evidence.slack
        ]
        yield from some("waited_long", "08", service, late)
    replies = _answered(found, "gates")
    calm = {one: at for one, at in replies.items() if _undisturbed(evidence, at[0])}
    if len(calm) >= ENOUGH and (p95 := _p95(_seconds(calm).values())) > AT_ONCE * evidence.slack:
        yield BrokenPromise("slow_replies", "09", "gates", len(calm), (f"{p95:.1f} s",))


def _p95(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[max(-(-95 * len(ordered) // 100) - 1, 0)]


def numbers(found: Findings) -> dict[str, float | int | None]:
    """Return the day in numbers: see `DayVerdict.numbers`."""
    replies = _seconds(_answered(found, "gates")).values()
    waits = [*replies, *_seconds(_answered(found, "operations")).values()]
    return {
        "flights": len(found.true.commands),
        "events": len(found.events),
        "replies": len(found.replies),
        "letters": len(found.records("dead.letters")),
        "poison": len(found.poison),
        "reply_p95": _p95(replies) if replies else None,
        "longest_wait": max(waits, default=None),
        "allowed_wait": found.evidence.slack,
    }


def recoveries(found: Findings) -> Iterator[tuple[Moment, float | None]]:
    """Yield each fault, and how long after its end (s) something was done; None if nothing was."""
    done = [
        at for service in ("gates", "operations") for _, at in _answered(found, service).values()
    ]
    for fault in found.evidence.faults():
        yield fault, min((at - fault.end for at in done if at > fault.end), default=None)

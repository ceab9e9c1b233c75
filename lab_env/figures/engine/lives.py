"""When a service was alive, by the journal's marks: the rows of pictures with a row a member."""

from collections.abc import Iterable

from lab_env.ground.journal import Mark

ENDS = ("crash", "stop", "kill", "fail")  # kinds of marks after which a worker is gone


def lives(marks: Iterable[Mark], name: str, origin: float, now: float) -> tuple[list, list]:
    """Return the stretches in which a worker was alive, and in which it was gone.

    Args:
        marks: the journal's.
        name: of the worker.
        origin: when the picture began, s.
        now: s.
    """
    alive: list[tuple[float, float]] = []
    gone: list[tuple[float, float]] = []
    since, is_alive = origin, True
    for mark in marks:
        if mark.subject != name or mark.time < origin:
            continue
        ends = mark.kind in ENDS
        if ends == is_alive:
            (alive if is_alive else gone).append((since, mark.time))
            since, is_alive = mark.time, not is_alive
        elif mark.kind == "start" and is_alive and not alive and since == origin:
            since = mark.time  # it began after the picture did
    (alive if is_alive else gone).append((since, now))
    return alive, gone


def broken(stretches: Iterable[tuple[float, float]], row: float) -> tuple[list, list]:
    """Return the points of a line that is there only in some stretches."""
    times = [t for begin, end in stretches for t in (begin, end, float("nan"))]
    return times, [row] * len(times)

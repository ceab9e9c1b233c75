"""What a check knows of an attempt: when it began, which of its services fail, run, or use what."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.lab import Lab
    from lab_env.processes.services import Service

_answered: dict[str, float] = {}  # what a lesson has asked, and when it was answered (monotonic, s)
SLACK = 1.0  # s by which the clock of records and that of the lab may have moved apart


def moment(lab: "Lab", timestamp: "pd.Timestamp") -> float:
    """Return when a record was made, as seconds of the lab's clock."""
    return lab.journal.now() - (time.time() - timestamp.timestamp())


def failed(lab: "Lab", since: float, *topics: str) -> dict[str, str] | None:
    """Return name and error of the service that has failed last, or None.

    Args:
        lab: the lab.
        since: seconds of the lab's clock: what failed before is not of this attempt.
        *topics: real names; with some, only services that were given one of them, or speak of it.
    """
    for mark in reversed(lab.journal.marks):
        if mark.time < since - SLACK:
            break
        service = lab.services.get(mark.subject) if mark.kind == "fail" else None
        if service is None or service.state != "failed":
            continue
        if not topics or any(map(service._uses, topics)):
            return {"name": service.name, "error": str(service.error)}
    return None


def answered(name: str) -> None:
    """Note that what a lesson asks under this name has been answered just now."""
    _answered[name] = time.monotonic()


def since_another(lab: "Lab", name: str) -> float:
    """Return when something else was answered last (s, the lab's clock): older is another's.

    Args:
        lab: the lab.
        name: of what is asked now; it may have been asked before.
    """
    times = [one for other, one in _answered.items() if other != name]
    return lab.journal.now() - (time.monotonic() - max(times)) if times else 0.0


def all_failed(lab: "Lab", since: float) -> "list[Service]":
    """Return the services that have failed after ``since`` (s) and were not started again."""
    fails = (mark for mark in lab.journal.marks if mark.kind == "fail")
    names = {mark.subject for mark in fails if mark.time > since}
    return [one for one in lab.services.values() if one.state == "failed" and one.name in names]


def newest_start(lab: "Lab") -> float:
    """Return when a service was last started (s, the lab's clock); 0 if none was."""
    starts = (mark.time for mark in lab.journal.marks if mark.kind == "start")
    return max(starts, default=0.0)


def users(lab: "Lab", *topics: str) -> "list[Service]":
    """Return the services that run and were given one of these topics, or speak of it."""
    running = [one for one in lab.services.values() if one.state == "running"]
    return [one for one in running if any(map(one._uses, topics))]


def run_of(lab: "Lab", service: "Service") -> tuple[float, float | None]:
    """Return when a service began last, and when it was killed since (s, the lab's clock)."""
    began, killed = 0.0, None
    for mark in lab.journal.marks:
        if mark.subject == service.name and mark.kind == "start":
            began, killed = mark.time, None
        elif mark.subject == service.name and mark.kind == "crash":
            killed = mark.time
    return began, killed

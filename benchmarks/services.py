"""Services: how long a student's function takes to run in a process of its own."""

import time

from benchmarks.apart import fresh
from benchmarks.rows import Row

TWELVE = 12


def measure(quick: bool) -> list[Row]:
    """Measure the way from ``lab.service()`` to the first report."""
    times = fresh(first_reports, *((1, 1) if quick else (9, 5)))
    return [
        Row("`lab.service()` to its first report", times["plain"], "s", most=0.2),
        Row("the same when it imports kafka first", times["with_kafka"], "s"),
        Row("twelve at once that import kafka, all have reported", times["twelve"], "s", most=6),
    ]


def first_reports(rounds: int, twelves: int) -> dict[str, list[float]]:
    """Return the seconds to the first report: of a plain one, one with kafka, twelve."""
    from lab_env import Lab

    times: dict[str, list[float]] = {"plain": [], "with_kafka": [], "twelve": []}
    with Lab() as lab:
        lab.service(plain).first("ready")  # the first one imports what packs a function
        for _ in range(rounds):
            for function in (plain, with_kafka):
                began = time.monotonic()
                service = lab.service(function)
                service.first("ready", seconds=60)
                times[function.__name__].append(time.monotonic() - began)
                service.stop()
        for _ in range(twelves):
            began = time.monotonic()
            services = lab.service(with_kafka, name="truck", copies=TWELVE)
            for service in services:
                service.first("ready", seconds=60)
            times["twelve"].append(time.monotonic() - began)
            for service in services:
                service.stop()
    return times


# -- as services ------------------------------------------------------------------------------


def plain(service) -> None:
    """Report at once."""
    service.report(ready=True)
    while service.wait(1):
        pass


def with_kafka(service) -> None:
    """Report when kafka is imported."""
    import kafka  # noqa: F401

    plain(service)

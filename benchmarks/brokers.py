"""Three brokers: how long until a client can use them, and how even that is."""

import time

from benchmarks.apart import fresh
from benchmarks.rows import Row


def measure(quick: bool) -> list[Row]:
    """Measure starts and ends of labs with three brokers."""
    times = [fresh(start_and_end) for _ in range(1 if quick else 10)]
    starts = [start for start, _ in times]
    return [
        Row("`Lab(brokers=3)` until it is ready", starts, "s", most=4),
        Row("the slowest of them", [max(starts)], "s", most=8),
        Row("its `close()`", [end for _, end in times], "s", most=2, worst=True),
    ]


def start_and_end() -> tuple[float, float]:
    """Return how long three brokers took to be ready, and to close (s)."""
    from lab_env import Lab

    began = time.monotonic()
    lab = Lab(brokers=3)
    ready = time.monotonic()
    lab.close()
    return ready - began, time.monotonic() - ready

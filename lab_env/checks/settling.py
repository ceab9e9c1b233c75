"""Waits until what a check reads does not change any more."""

import time
from collections.abc import Callable


def settle(
    read: Callable[[], object],
    patience: Callable[[object], float],
    *,
    most: float,
    period: float = 0.2,
) -> tuple[object, bool]:
    """Read again and again until nothing has changed for long enough.

    Args:
        read: returns what can be compared.
        patience: for how long what was read must have been the same, s.
        most: the deadline, s.
        period: between two looks, s.

    Returns:
        What was read last, and whether it had settled before the deadline.
    """
    began = since = time.monotonic()
    last = read()
    while True:
        time.sleep(period)
        found, now = read(), time.monotonic()
        if found != last:
            last, since = found, now
        if now - since >= patience(found):
            return found, True
        if now - began >= most:
            return found, False

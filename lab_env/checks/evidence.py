"""Waits of the checks: until what is read does not change any more, or is as asked.

All of them count looks (see `lab_env.ground.patience`): on a slow machine they take as much longer.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lab_env.ground.patience import PAUSE, TIMES, Patience

if TYPE_CHECKING:
    from lab_env.lab import Lab

Found = TypeVar("Found")
STARTS = 10  # so many times as long as a service took to begin it has to join and to work


def settle(
    read: Callable[[], Found],
    patience: Callable[[Found], float],
    *,
    most: float,
    period: float = 0.2,
) -> tuple[Found, bool]:
    """Read again and again until nothing has changed for long enough.

    Args:
        read: returns what can be compared.
        patience: for how long what was read must have been the same, s.
        most: the deadline, s.
        period: between two looks, s.

    Returns:
        What was read last, and whether it had settled before the deadline.
    """
    wait = Patience(most, pause=period, most=most)
    wait.look(read())
    while True:
        time.sleep(period)
        found = read()
        wait.look(found)
        if wait.quiet >= patience(found):
            return found, True
        if wait.over:
            return found, False


def until(
    condition: Callable[[], object],
    seconds: float,
    moves: Callable[[], object] = lambda: None,
) -> bool:
    """Wait for ``condition()`` to come true, and return whether it did.

    Args:
        condition: called ten times a second.
        seconds: in which nothing has moved, s.
        moves: returns what can be compared, and changes while the work goes on.
    """
    wait = Patience(seconds, pause=PAUSE, most=TIMES * seconds)
    while not (met := bool(condition())):
        wait.look(moves())
        if wait.over:
            break
        time.sleep(PAUSE)
    return met


def start_seconds(lab: "Lab", seconds: float) -> float:
    """Return how long a service may take to join and to work: ``seconds``, or more.

    More is where services took long to begin: there everything takes long. One that has not begun
    yet, and is on its way, is as slow as the slowest.
    """
    begun = [one._run.begun for one in lab.services.values() if one.state == "running"]
    return max(seconds, STARTS * max((one for one in begun if one is not None), default=0.0))

"""How far the work at hand has come, told by whoever does it to whoever waits for it.

In a service's process `lab_env.processes.worker` listens, and passes it on to the notebook.
"""

import time
from collections.abc import Callable

PERIOD = 0.25  # s between two steps that are told

listener: Callable[[int, int | None, float | None], None] | None = None


class Steps:
    """Tells of steps, four times a second and at the end.

    Args:
        of: how many there will be; None if nobody knows.
        rate: how many a second were asked for, or None.
    """

    def __init__(self, of: int | None, rate: float | None):
        self._of, self._rate = of, rate
        self._due = 0.0

    def done(self, count: int, *, last: bool = False) -> None:
        """So many are done by now."""
        if listener is not None and (last or time.monotonic() >= self._due):
            self._due = time.monotonic() + PERIOD
            listener(count, self._of, self._rate)

"""Looks into an account again and again for as long as somebody is shown what exists."""

import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from lab_env.aws.inventory import Thing
from lab_env.ground.errors import LabError
from lab_env.ground.journal import Journal

LOOK_EMBEDDED, LOOK_REAL = 2.0, 20.0  # s between looks when nothing was called
SOON = 0.3  # s from a call that changes something to the look


class Seen(NamedTuple):
    """What was seen at ``time`` (s, on the journal's clock); the same object while it is equal."""

    time: float
    things: tuple[Thing, ...]


class Watch:
    """Samples of an account, taken in a thread; a picture reads them.

    Args:
        look: returns what exists.
        changed: set when a call may have changed what exists.
        journal: the clock, and the marks.
        real: whether to ask a real account, which minds being asked often.

    Attributes:
        seen: in order of time; the newest tells up to when it was so.
    """

    def __init__(
        self,
        look: Callable[[], list[Thing]],
        changed: threading.Event,
        journal: Journal,
        real: bool,
    ):
        self.journal = journal
        self.seen: list[Seen] = []
        self._look = weakref.WeakMethod(look)  # a forgotten account is to end
        self._changed, self._pause = changed, LOOK_REAL if real else LOOK_EMBEDDED
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look once, here; then again and again in a thread, until `stop`.

        Raises:
            AccountError: the account does not answer.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        self.take()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="lab-account", daemon=True)
        self._thread.start()

    def take(self) -> bool:
        """Look now; return whether there was still an account to look at."""
        look = self._look()
        if look is None:
            return False
        mine = tuple(one for one in look() if one.mine)
        if self.seen and self.seen[-1].things == mine:
            mine = self.seen[-1].things
        self.seen.append(Seen(self.journal.now(), mine))
        return True

    def stop(self) -> None:
        """End the thread; can be called again."""
        self._stop.set()
        self._changed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._changed.wait(self._pause)
            self._changed.clear()
            if self._stop.wait(SOON):
                return
            try:
                if not self.take():
                    return
            except LabError:  # the next call of the student's says it in a sentence
                time.sleep(SOON)

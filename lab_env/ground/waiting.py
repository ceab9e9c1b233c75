"""Waiting as long as something goes on: no fixed number of seconds knows how busy a machine is."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from pathlib import Path

from lab_env.ground.notices import shell

STILL_SECONDS = 120.0  # without any sign of work: then it hangs
MOST_SECONDS = 900.0  # a bound against one that works for ever and gets nowhere
TELL_SECONDS = 3.0  # who waits for longer is told what for
STEP_SECONDS = 1.0  # what one look may count: a machine that slept has not waited


class Progress:
    """Says when waiting is useless: nothing goes on any more, or it goes on for ever.

    Args:
        signs: returns something that changes as the work goes on.
        still: s without a change that are too many.
        most: s in all that are too many.
    """

    def __init__(
        self,
        signs: Callable[[], object] = lambda: None,
        *,
        still: float = STILL_SECONDS,
        most: float = MOST_SECONDS,
    ):
        self._signs = signs
        self._still, self._most = still, most
        self._seen = signs()
        self._looked = time.monotonic()
        self._quiet = 0.0
        self.waited = 0.0  # s, without those that the machine slept

    def over(self) -> bool:
        """Return whether waiting is useless; called again and again."""
        now = time.monotonic()
        step, self._looked = min(now - self._looked, STEP_SECONDS), now
        self.waited += step
        if (seen := self._signs()) != self._seen:
            self._seen, self._quiet = seen, 0.0
        else:
            self._quiet += step
        return self._quiet > self._still or self.waited > self._most


def signs_of(pids: Iterable[int | None], logs: Iterable[Path]) -> tuple:
    """Return what changes while processes work: tenths of s of processor time, sizes of logs.

    Args:
        pids: of the processes; None is one that has none yet.
        logs: the files that they write.
    """
    import psutil

    used, size = 0.0, 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times() if pid else None
            used += times.user + times.system if times else 0.0
    for log in logs:
        with contextlib.suppress(OSError):
            size += log.stat().st_size
    return round(used, 1), size


class ProgressLine:
    """Says what is waited for, in one line that is written anew, once that takes a while.

    Only the main thread says anything: another one's words would land in any cell.

    Args:
        quiet: say nothing.
    """

    def __init__(self, *, quiet: bool = False):
        self._began = time.monotonic()
        self._next = TELL_SECONDS
        self._said = ""
        self._handle = None
        self._quiet = quiet or threading.current_thread() is not threading.main_thread()

    def __call__(self, text: Callable[[int], str]) -> None:
        """Say ``text(seconds so far)``, at most once a second."""
        seconds = time.monotonic() - self._began
        if not self._quiet and seconds >= self._next:
            self._say(text(int(seconds)))

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle is not None:  # what has come needs no line any more
            self._handle.update({"text/plain": ""}, raw=True)
        elif self._said and sys.stderr.isatty():
            print("\r" + " " * len(self._said), end="\r", file=sys.stderr, flush=True)
        self._said, self._handle = "", None

    def _say(self, text: str) -> None:
        self._next = time.monotonic() - self._began + 1.0
        if shell() is not None:
            from IPython.display import display

            if self._handle is None:
                self._handle = display({"text/plain": text}, raw=True, display_id=True)
            else:
                self._handle.update({"text/plain": text}, raw=True)
        elif sys.stderr.isatty():
            print("\r" + text.ljust(len(self._said)), end="", file=sys.stderr, flush=True)
        else:  # a file keeps every line: once will do
            print(text, file=sys.stderr, flush=True)
            self._next = float("inf")
        self._said = text


def beside(work: Callable, *args: object) -> Future:
    """Begin ``work`` in a thread of its own, which nobody has to wait for; return its future."""
    done: Future = Future()
    _begin(done, work, args)
    return done


def whole(work: Callable, *args: object):
    """Do ``work`` to its end, and return what it returns, whatever becomes of who waits for it.

    Python interrupts the main thread alone. In a thread of its own a piece of work is done as a
    whole, or has not begun: nothing is left between two states. An Interrupt waits for the work's
    end, a second one does not.
    """
    done: Future = Future()
    try:
        _begin(done, work, args)
        return done.result()
    except BaseException:
        if not done.cancel():  # it has begun
            wait([done])
        raise


def _begin(done: Future, work: Callable, args: tuple) -> None:
    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work(*args))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()

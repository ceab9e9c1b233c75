"""A function that is called again and again in the background, as a controller does its work."""

import linecache
import threading
from collections.abc import Callable

from lab_env.ground import arguments, notices
from lab_env.ground.errors import BadInputError, ClosedError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.messages import say
from lab_env.processes import worker
from lab_env.processes.runs import LIBRARIES

STOP_SECONDS = 30.0  # a call that is just stopping a service takes as long as that
CLOSE_SECONDS = 0.5
LEAST = 0.05  # seconds between two calls


class Repeat:
    """A function that is called again and again, in a thread of its own; made by ``lab.repeat``.

    Attributes:
        name: the function's.
        calls: how often it has been called.
        error: why it was not called any more, in a sentence, or None.
    """

    def __init__(
        self, function: Callable, every: float, name: str, journal: Journal, reports: Reports
    ):
        self.name = name
        self.calls = 0
        self.error: str | None = None
        self._function, self._every = function, every
        self._journal, self._reports = journal, reports
        self._last: dict | None = None  # what it returned last
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lab-repeat-{name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still called."""
        return not self._stop.is_set() and self.error is None

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Let it not be called any more, and wait for a call that goes on. Can be called again."""
        arguments.seconds(seconds)
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def __repr__(self) -> str:
        key = "failed" if self.error else "running" if self.running else "stopped"
        return say(f"repeating.{key}", name=self.name, calls=self.calls, error=self.error)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._tell(self._function())
            except ClosedError:  # the lab has ended meanwhile
                return
            except Exception as error:  # the student's own mistake: told where she looks
                self.error = _sentence(error)
                if not self._stop.is_set():
                    notices.post(repr(self))
                return
            self.calls += 1
            self._stop.wait(self._every)

    def _tell(self, returned: object) -> None:
        """Keep what the function returned as a report, when it has changed."""
        if isinstance(returned, dict) and returned != self._last:
            self._last = dict(returned)
            told = {key: value for key, value in returned.items() if isinstance(key, str)}
            row = {**told, "time": self._journal.now(), "service": self.name}
            self._reports.append(row)


class Repeats:
    """The repeated functions of one lab, by name.

    Args:
        journal: the clock.
        reports: gets what the functions return.

    Attributes:
        by_name: each of them, also those that are not called any more.
    """

    def __init__(self, journal: Journal, reports: Reports):
        self._parts = journal, reports
        self.by_name: dict[str, Repeat] = {}

    def start(self, function: Callable, every: float, name: str | None) -> Repeat:
        """Call a function every so many seconds, in place of one of the same name.

        Raises BadInputError: no function, or no number of seconds.
        """
        name = getattr(function, "__name__", "function").strip("<>") if name is None else name
        good = arguments.is_number(every, LEAST, arguments.A_DAY)
        if not callable(function) or not isinstance(name, str) or not good:
            raise BadInputError("repeating.bad", name=name, every=every, least=LEAST)
        if name in self.by_name:
            self.by_name[name].stop()
        notices.watch_cells()
        self.by_name[name] = Repeat(function, float(every), name, *self._parts)
        return self.by_name[name]

    def close(self) -> None:
        """Let nothing be called any more."""
        for one in self.by_name.values():
            one._stop.set()
        for one in self.by_name.values():
            one.stop(CLOSE_SECONDS)


def _sentence(error: Exception) -> str:
    """Return what a call raised, with the innermost line that is the student's own."""
    told = worker.failure(error)
    text = f"{told['kind']}: {told['text']}" if told["text"] else told["kind"]
    for file, number, function, begin in reversed(told["frames"]):
        if not file.startswith(LIBRARIES):
            source = linecache.getline(file, number).strip()
            place = {"line": number - begin + 1, "function": function, "source": source}
            return say("repeating.error_at", error=text, **place)
    return text

"""A service's process, from its start to its end: what it reports, and what its end was."""

import io
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab_env.ground import notices
from lab_env.ground.journal import Journal
from lab_env.ground.limits import why_ended
from lab_env.ground.reports import Reports
from lab_env.messages import say
from lab_env.processes import worker

LOG_LINES = 200
HEAR_SECONDS = 20.0  # for a process that is on its way to take what it is told
POSIX = os.name == "posix"
# Jupyter's Interrupt is for the notebook's own cell, not for its services
NEW_GROUP = 0 if POSIX else getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
LIBRARIES = tuple(
    {*(sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib"))}
    | {str(Path(__file__).parents[1]), "<frozen "}
)


@dataclass
class Home:
    """What the services of one lab share."""

    journal: Journal
    reports: Reports
    folder: Path
    owner: int = field(default_factory=os.getpid)  # a forked child must not end our services
    closed: bool = False
    started: int = 0
    reported: Counter = field(default_factory=Counter)


class Run:
    """One process of a service, from its start to its end: what every kind of process has."""

    def __init__(self, name: str, home: Home, log: Path):
        self.name = name
        self.home = home
        self.state = "running"
        self.first: dict[str, object] = {}  # the first value of each reported field
        self.notice: notices.Notice | None = None  # why it failed
        self.ended = threading.Event()
        self.step: tuple[int, int | None, float | None] = (0, None, None)  # done, of, a second
        self.begun: float | None = None  # seconds from the start to the function's first line
        self.asked = False  # whether the function knows that it should stop
        self._started = time.monotonic()
        self._expected = ""  # how it was asked to end: stop or crash
        self._log = log
        self._lock = threading.Lock()  # one writer to stdin at a time, and one who ends the run

    @property
    def pid(self) -> int | None:
        """The process's id; None if it could not be started."""
        raise NotImplementedError

    def send(self, message: dict, seconds: float = 2.0) -> bool:
        """Write a line to the process; return whether it took it within ``seconds``."""
        return False

    def ask(self, seconds: float) -> None:
        """Ask the process to stop within ``seconds``; return at once."""
        raise NotImplementedError

    def kill(self) -> None:
        """End the process, and what it has started, with a real SIGKILL."""
        raise NotImplementedError

    def fail(self, kind: str, text: str) -> None:
        """Write a failure into the pictures, and leave it for the notebook to be shown."""
        self.mark(kind)
        notice = notices.post if not self.home.closed else notices.Notice
        self.notice = notice(text)

    def mark(self, kind: str) -> None:
        """Write the run's end into the pictures: once, but a failure always."""
        with self._lock:
            if self._expected and kind != "fail":
                return
            self._expected = kind
        if not self.home.closed:
            text = say(f"service.mark_{kind}", name=self.name)
            self.home.journal.mark(text, kind, self.name)

    def wait(self, seconds: float) -> bool:
        """Return whether the process has ended within ``seconds``."""
        return wait_until(self.ended.is_set, seconds, self.ended.wait)

    def tail(self, lines: int) -> str:
        """Return the last lines of the log."""
        try:
            with open(self._log, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - 400 * lines - 4000, 0))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


class FunctionRun(Run):
    """A process that runs a student's function."""

    def __init__(self, name: str, home: Home, payload: bytes, settings: dict, log: Path):
        super().__init__(name, home, log)
        self._returned = False
        self._sent = threading.Event()
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                # as a file, so that it needs neither sys.path nor the rest of the package
                [sys.executable, "-P", worker.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                bufsize=0,
                start_new_session=POSIX,
                creationflags=NEW_GROUP,
            )
        assert self.process.stdin is not None  # pipes, both, and not buffered
        assert isinstance(self.process.stdout, io.RawIOBase)
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        order = {
            "name": name,
            "settings": settings,
            "epoch": home.journal.epoch,
            "parent": os.getpid(),
            "log": str(log.absolute()),
            "path": sys.path,
            "size": len(payload),
        }
        try:
            self._thread = threading.Thread(
                target=self._attend, args=(worker.line(order) + payload,), daemon=True
            )
            self._thread.start()
        except BaseException:  # no thread left, or an interrupt
            self._expected = "stop"  # the thread may be there, and tells of an end by others alone
            self.process.kill()
            raise

    # From here on in the run's own thread, which displays nothing

    def _attend(self, order: bytes) -> None:
        with suppress(OSError):  # it has died already; its end is told below
            rest = memoryview(order)
            while rest:
                rest = rest[self._stdin.write(rest) :]
            if POSIX:  # a frozen process must not freeze the notebook
                os.set_blocking(self._stdin.fileno(), False)
        self._sent.set()
        with io.BufferedReader(self._stdout, 1 << 16) as lines:
            for data in lines:
                if data.endswith(b"\n"):  # else it was killed in the middle of a line
                    self._hear(json.loads(data))
        self._end_group()
        self._finish(self.process.wait())

    def _end_group(self) -> None:
        """Wait for the process's end, and end what it has started: nothing of it goes on alone."""
        if not POSIX:
            return
        if hasattr(os, "waitid"):  # not yet reaped, its number and its group are nobody else's
            with suppress(OSError):
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self.process.wait()
        with suppress(OSError):  # there is nobody else in it
            os.killpg(self.process.pid, signal.SIGKILL)

    def _hear(self, message: dict) -> None:
        if row := message.get("row"):
            self.home.reports.append(row)
            self.home.reported[self.name] += 1
            for key, value in row.items():
                if key not in self.first:
                    self.first[key] = value
        elif failed := message.get("failed"):
            self.state = "failed"
            self.fail("fail", _sentence(self.name, "failed", **failed))
        elif stumbled := message.get("stumbled"):
            if not self.home.closed:
                self.home.journal.mark(
                    say("service.mark_stumbled", name=self.name), "fail", self.name
                )
                notices.post(_sentence(self.name, "stumbled", **stumbled))
        elif step := message.get("step"):
            self.step = tuple(step)
        elif message.get("begun"):
            self.begun = time.monotonic() - self._started
            if self._expected == "stop":  # it was asked before it could take it
                self.send({"stop": HEAR_SECONDS}, 0.5)
        elif message.get("asked"):
            self.asked = True
        elif message.get("returned"):
            self._returned = True
        elif message.get("crash"):  # the function has asked for it: no failure to be told of
            self.mark("crash")

    def _finish(self, status: int) -> None:
        if self.state == "running":
            if self._expected == "crash":
                self.state = "crashed"
            elif self._returned or self._expected:
                self.mark("stop")
                self.state = "stopped"
            else:
                self.state = "crashed"
                self.fail("crash", self._obituary(status))
        with self._lock:
            self._stdin.close()
        self.ended.set()

    def _obituary(self, status: int) -> str:
        """Return how the process ended though nobody asked it to, and the student's own line."""
        ends = {"name": self.name, "status": abs(status)}
        if why := why_ended(status):
            return say("service.died_killed", why=why, **ends)
        log = self.tail(LOG_LINES)
        if status < 0 and (place := _own_line(log)):
            return say("service.died_at", signal=_signal_name(-status), **place, **ends)
        key = "service.died" if status >= 0 else "service.died_signal"
        last = "\n".join(log.splitlines()[-3:]) or say("service.empty_log")
        return say(key, log=last, **ends)

    # From here on in anyone's thread

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def send(self, message: dict, seconds: float = 2.0) -> bool:
        """Write a line to the process; return whether it took it within ``seconds``."""
        deadline = time.monotonic() + seconds
        # it begins with a line's end, so that a line that was cut short does no harm
        rest = memoryview(b"\n" + worker.line(message))
        if not self._sent.wait(seconds):
            return False
        while time.monotonic() < deadline:
            with self._lock:
                if self._stdin.closed:
                    return False
                try:
                    rest = rest[self._stdin.write(rest) or 0 :]
                except OSError:
                    return False
            if not rest:
                return True
            time.sleep(0.01)
        return False

    def ask(self, seconds: float) -> None:
        """Ask the function to stop; the process ends itself if this notebook cannot see to it."""
        if not self.ended.is_set():
            self.mark("stop")
            self.send({"stop": seconds}, min(seconds, 0.5))

    def kill(self) -> None:
        """End the process, and what it has started, with a real SIGKILL."""
        if self.process.poll() is not None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL) if POSIX else self.process.kill()
        except OSError:  # it went in between
            self.process.kill()


def wait_until(there: Callable[[], bool], seconds: float, pause=time.sleep) -> bool:
    """Return whether ``there()`` became true within ``seconds``; Interrupt ends it."""
    deadline = time.monotonic() + seconds
    while not there():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        pause(min(left, 0.01 if pause is time.sleep else 0.1))
    return True


def _sentence(name: str, what: str, kind: str, text: str, frames: list) -> str:
    """Return what stopped the function, with the innermost line that is the student's own.

    Args:
        name: the service's.
        what: "failed", or "stumbled": an answer of it has failed, and it goes on.
        kind, text, frames: as `worker.failure` tells them.
    """
    error = f"{kind}: {text}" if text else kind
    for file, number, function, begin in reversed(frames):
        if file.startswith(LIBRARIES):
            continue
        source = linecache.getline(file, number).strip()  # a cell's text is known here alone
        key = f"service.{what}_at" if source else f"service.{what}_at_line"
        place = {"line": number - begin + 1, "function": function, "source": source}
        return say(key, name=name, error=error, **place)
    return say(f"service.{what}", name=name, error=error)


# what Python writes of each frame when its process is ended by a fault
FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>.+)$')


def _own_line(log: str) -> dict[str, object] | None:
    """Return the student's innermost line out of what Python writes when a fault ends it."""
    _, found, trace = log.rpartition("Fatal Python error: ")
    _, _, trace = trace.partition("most recent call first")
    for frame in filter(None, map(FRAME.match, trace.splitlines() if found else ())):
        if not frame["file"].startswith(LIBRARIES):
            number = int(frame["line"])
            source = linecache.getline(frame["file"], number).strip()
            place = {"line": number, "function": frame["function"]}
            return place | {"source": source or say("service.no_source", file=frame["file"])}
    return None


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return f"{signal.Signals(number).name}, {signal.strsignal(number)}"
    return str(number)

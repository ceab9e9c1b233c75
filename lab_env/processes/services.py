"""Runs a student's function in a real process of its own: the notebook's side."""

import html
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
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from lab_env.ground import arguments, notices
from lab_env.ground.errors import BadInputError, ClosedError, ServiceError, StorageError
from lab_env.ground.journal import Journal
from lab_env.ground.limits import why_ended
from lab_env.ground.patience import QUIET, TIMES, Patience, Telling
from lab_env.ground.reports import Reports
from lab_env.messages import say
from lab_env.processes import pickling, worker

if TYPE_CHECKING:
    import pandas as pd

MOST_COPIES = 50  # more would bring down the student's machine, not Kafka
LOG_LINES = 200
CONSUMERS = ("KafkaConsumer", "Consumer", "ShareConsumer", "AIOKafkaConsumer")
STOP_SECONDS = 2.0  # that a function has to end, once it knows that it should
STARTS = 5  # so many times as long as it took to begin it has at least: machines differ
BEGIN_SECONDS = 60.0  # from the start to the function's first line, on a machine that is full
HEAR_SECONDS = 20.0  # for a process that is on its way to take what it is told
POSIX = os.name == "posix"
# Jupyter's Interrupt is for the notebook's own cell, not for its services
NEW_GROUP = 0 if POSIX else getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
LIBRARIES = tuple(
    {*(sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib"))}
    | {str(Path(__file__).parents[1]), "<frozen "}
)


@dataclass
class _Home:
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

    def __init__(self, name: str, home: _Home, log: Path):
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
        return _wait(self.ended.is_set, seconds, self.ended.wait)

    def tail(self, lines: int) -> str:
        """Return the last lines of the log."""
        try:
            with open(self._log, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - 400 * lines - 4000, 0))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


class _Run(Run):
    """A process that runs a student's function."""

    def __init__(self, name: str, home: _Home, payload: bytes, settings: dict, log: Path):
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


class Service:
    """A student's function that runs in a process of its own; made by ``lab.service``.

    Attributes:
        name: its name, which also stands in every report.
    """

    _run: Run

    def __init__(self, name: str, home: _Home, payload: bytes, settings: dict):
        self.name = name
        self._home = home
        self._payload = payload
        self._settings = settings
        home.started += 1
        self._log = home.folder / f"{home.started:03d}-{name}.log"
        self._kept_log: str | None = None
        self._start()

    def _start(self) -> None:
        if self._home.closed:
            raise ClosedError("service.closed")
        try:
            self._home.folder.mkdir(parents=True, exist_ok=True)
            self._log.touch(mode=0o600)
        except OSError as error:
            raise StorageError(
                "service.no_folder", folder=self._home.folder, reason=error.strerror
            ) from error
        try:
            self._run = self._launch()
        except (OSError, RuntimeError) as error:  # no memory, no process or no thread left
            raise ServiceError("service.not_started", name=self.name, reason=error) from error
        self._home.journal.mark(say("service.mark_start", name=self.name), "start", self.name)

    def _launch(self) -> Run:
        return _Run(self.name, self._home, self._payload, self._settings, self._log)

    def _tell(self) -> None:
        """Where there are no cells, warn of a failure at the next call."""
        if self._run.notice:
            notices.warn(self._run.notice, 2)

    @property
    def pid(self) -> int | None:
        """The process's id; None if a JVM could not be started."""
        return self._run.pid

    @property
    def state(self) -> str:
        """One of "running", "stopped", "crashed" (killed) and "failed" (its function raised)."""
        self._tell()
        return self._run.state

    @property
    def error(self) -> str | None:
        """What the function raised and in which line, or None."""
        return self._run.notice.text if self._run.notice else None

    @property
    def settings(self) -> dict:
        """A copy of the settings that the function sees."""
        return dict(self._settings)

    @property
    def log(self) -> str:
        """The last 200 lines that the function has printed."""
        self._tell()
        return self._run.tail(LOG_LINES) if self._kept_log is None else self._kept_log

    @property
    def reports(self) -> "pd.DataFrame":
        """The reports under this name: time float64 (s), service str, then a column a field."""
        self._tell()
        return self._home.reports.frame(lambda row: row["service"] == self.name)

    def _uses(self, text: str) -> bool:
        """Return whether the function, or what it was given, has ``text`` as a string or a name."""
        data = text.encode()
        return b"\x8c" + bytes([len(data)]) + data in self._payload  # as pickle writes it

    def _reads(self, topic: str, clients: Iterable[str]) -> bool:
        """Return whether the function consumes a topic, as far as it can be known from outside.

        Args:
            topic: real name.
            clients: the client ids of the members of the groups that read it now.
        """
        consumes = any(map(self._uses, CONSUMERS))
        return self.name in clients or (consumes and self._uses(topic))

    def set(self, **settings: object) -> None:
        """Change settings while the function runs; it sees them in ``service.settings``.

        Raises ServiceError if the process does not take them.
        """
        self._tell()
        changes = _plain_settings(settings)
        self._settings |= changes
        if self._run.ended.is_set():
            return  # the next start will see them
        text = ", ".join(f"{key} = {value}" for key, value in changes.items())
        self._home.journal.mark(
            say("service.mark_setting", name=self.name, settings=text), "setting", self.name
        )
        seconds = HEAR_SECONDS if self._run.begun is None else 2.0
        if not self._run.send({"settings": changes}, seconds) and not self._run.wait(0.5):
            raise ServiceError("service.not_listening", name=self.name)

    @contextmanager
    def changed(self, **settings: object) -> "Generator[Service]":
        """Change settings while a with block lasts; what they were before comes back with its end.

        Also if the block ends by an error or an Interrupt: a slow service never stays slow in
        silence.

        Yields:
            The service.

        Raises:
            BadInputError: a setting that cannot travel to the service.
            ServiceError: the process does not take them.
        """
        before = {name: self._settings[name] for name in settings if name in self._settings}
        try:
            self.set(**settings)
            yield self
        finally:
            self._take_back(before, settings.keys() - before.keys())

    def _take_back(self, before: dict, added: Iterable[str]) -> None:
        with suppress(ServiceError):  # it has ended meanwhile: its next start knows
            if before:
                self.set(**before)
        for name in (added := sorted(added)):
            self._settings.pop(name, None)
        if added and not self._run.ended.is_set():
            self._run.send({"unset": added})

    def stop(self, seconds: float | None = None) -> None:
        """Ask the function to stop, give it ``seconds``, then kill it.

        None is 2 s from when the function knows of it, and more where it was slow to begin.
        """
        stop_all([self], seconds)
        self._tell()

    def crash(self) -> None:
        """Kill the process as a power cut would: it leaves no group and commits nothing."""
        run = self._run
        if not run.ended.is_set():
            run.mark("crash")
            run.kill()
            run.wait(60.0)  # nobody survives it; a machine that swaps may take its time
        self._tell()

    def restart(self) -> None:
        """Stop the service if it runs, and start the same function with its settings again.

        Raises ServiceError if another service has taken its name.
        """
        if self._kept_log is not None and not self._home.closed:
            raise ServiceError("service.replaced", name=self.name)
        self.stop()
        self._start()

    def first(self, field: str, seconds: float | None = None) -> object:
        """Return the first value of ``field`` reported since the start, and wait for it.

        Args:
            field: as in the service's report.
            seconds: a deadline of your own; None waits as long as the service gets on.

        Raises ServiceError, with the end of the log, if the function fails or does not report it.
        """
        run = self._run
        arguments.name(field, "field")
        over = False

        def there() -> bool:
            nonlocal over
            over = run.notice is not None or run.ended.is_set()  # before looking: no report is lost
            return field in run.first or over

        _, waited = self._await(there, seconds, time.sleep, say("service.field", field=field))
        if field in run.first:
            return run.first[field]
        self._raise_failure()
        key = "service.ended_unreported" if over else "service.no_report"
        raise ServiceError(
            key,
            name=self.name,
            field=field,
            seconds=waited,
            state=say(f"service.state_{run.state}"),
            log=run.tail(5) or say("service.empty_log"),
        )

    def join(self, seconds: float | None = None) -> None:
        """Wait until the function has returned and its process has ended.

        Args:
            seconds: a deadline of your own; None waits as long as the service gets on: as events
                leave a `flights.replay`, or as it reports (that, for a minute or so).

        Raises ServiceError if the function fails, or does not return in time.
        """
        run = self._run
        ended, waited = self._await(run.ended.is_set, seconds, run.ended.wait, say("service.end"))
        self._raise_failure()
        if not ended:
            log = run.tail(5) or say("service.empty_log")
            told = {"name": self.name, "seconds": waited, "done": self._done(), "log": log}
            raise ServiceError("service.still_running", **told)

    def _await(
        self, there: Callable[[], bool], seconds: float | None, pause, what: str
    ) -> tuple[bool, float]:
        """Wait for ``there()``; return whether it is true, and the seconds that it took.

        Args:
            there: is asked again and again.
            seconds: a deadline, or None for as long as the service gets on.
            pause: as in `_wait`.
            what: is waited for, in words.
        """
        if seconds is not None:
            arguments.seconds(seconds)
            return _wait(there, seconds, pause), seconds
        run, patience = self._run, Patience(QUIET, most=BEGIN_SECONDS + QUIET * TIMES)

        def told(seconds: float) -> str:
            done = self._done()
            return say("service.waiting", name=self.name, what=what, seconds=seconds, done=done)

        telling = Telling(told)
        while not there():
            count, of, rate = run.step
            quiet = max(QUIET, 3 / rate) if rate else QUIET
            patience.seconds = quiet if run.begun is not None else BEGIN_SECONDS
            seen = (run.begun, self._home.reported[self.name], count)
            patience.look(seen, sure=None if of is None else count)
            if patience.over:
                return there(), telling.seconds
            telling.look()
            pause(0.01 if pause is time.sleep else 0.1)
        return True, telling.seconds

    def _done(self) -> str:
        """Say how far the service has come."""
        count, of, _ = self._run.step
        reports = self._home.reported[self.name]
        if self._run.begun is None and not reports:
            return say("service.not_begun")
        key = "service.done_of" if of is not None else "service.done"
        return say(key, count=count, of=of, reports=reports)

    def _raise_failure(self) -> None:
        if notice := self._run.notice:
            notice.told = True
            before, found, _ = self._run.tail(LOG_LINES).rpartition("Traceback (most recent call")
            if found and before:  # the stack trace says in many lines what the error says in one
                log = "\n".join(before.splitlines()[-5:])
                raise ServiceError("service.failed_log", error=notice.text, log=log)
            raise ServiceError("service.failed_only", error=notice.text)

    def _forget(self) -> None:
        """Keep the end of the log, which others may now delete."""
        self._kept_log = self._run.tail(LOG_LINES)

    def __repr__(self) -> str:
        return _plain_table([self])

    def _repr_html_(self) -> str:
        return _html_table([self])


Copy = TypeVar("Copy", bound=Service)


class Fleet(list[Copy]):
    """Several copies of a service: a list of `Service` that can also be asked by name."""

    @overload
    def __getitem__(self, key: SupportsIndex | str) -> Copy: ...

    @overload
    def __getitem__(self, key: slice) -> list[Copy]: ...

    def __getitem__(self, key):
        return _named(self, key) if isinstance(key, str) else super().__getitem__(key)

    def stop(self, seconds: float | None = None) -> None:
        """Ask all to stop at once, give them ``seconds``, then kill who still runs.

        None is as in `Service.stop`.
        """
        stop_all(self, seconds)

    def set(self, **settings: object) -> None:
        """Change settings of all; see `Service.set`."""
        for service in self:
            service.set(**settings)

    @contextmanager
    def changed(self, **settings: object) -> "Generator[Fleet]":
        """Change settings of all while a with block lasts; see `Service.changed`."""
        with ExitStack() as stack:
            for service in self:
                stack.enter_context(service.changed(**settings))
            yield self

    def join(self, seconds: float | None = None) -> None:
        """Wait until all have returned; see `Service.join`."""
        deadline = None if seconds is None else time.monotonic() + arguments.seconds(seconds)
        for service in self:
            service.join(None if deadline is None else max(deadline - time.monotonic(), 0.0))

    @property
    def reports(self) -> "pd.DataFrame":
        """The reports of all: time float64 (s), service str, then a column a field."""
        names = {service.name for service in self}
        home = self[0]._home
        return home.reports.frame(lambda row: row["service"] in names)

    def __repr__(self) -> str:
        return _plain_table(self)

    def _repr_html_(self) -> str:
        return _html_table(self)


class Services(Mapping[str, Service]):
    """The services of one lab by name; shows itself as a table.

    Args:
        journal: gets a mark when a service starts, stops, crashes, fails or is set.
        reports: gets the rows that the services report.
        folder: where their logs are kept while the lab is open; made when needed.
    """

    def __init__(self, journal: Journal, reports: Reports, folder: Path):
        self._home = _Home(journal, reports, Path(folder))
        self._services: dict[str, Service] = {}
        # at exit, and when the lab is forgotten; knows the parts, for it must not keep this object
        self._forgotten = weakref.finalize(self, _close, self._home, self._services)

    def start(
        self,
        function: Callable,
        *args: object,
        name: str | None = None,
        copies: int = 1,
        settings: dict | None = None,
    ) -> Service | Fleet:
        """Run ``function(service, *args)`` in a process of its own, and return at once.

        What the function uses from the notebook is copied as it is now. A service of the same name
        that still runs is stopped first, so that a cell that is run twice doubles nothing.

        Args:
            function: takes the service (`lab_env.processes.worker.ServiceContext`) and ``args``.
            *args: plain values; they are copied too.
            name: "truck-1"; without one the function's own name.
            copies: how many; their names count on: truck-1, truck-2, ...
            settings: what the function finds in ``service.settings``, changed by ``.set()``.

        Returns: the service, or a `Fleet` of them if ``copies`` is more than 1.

        Raises:
            BadInputError: for what cannot work, such as a client that was made outside of it.
            ServiceError: the machine has no room for another process.
        """
        if self._home.closed:
            raise ClosedError("service.closed")
        called = getattr(function, "__name__", "service").strip("<>")
        names = names_of(called.strip("_").replace("_", "-") if name is None else name, copies)
        pickling.check(function, args, called)
        settings = _plain_settings({} if settings is None else settings)
        payload = pickling.pack(function, args, called)
        notices.watch_cells()

        return self.take(names, lambda name: Service(name, self._home, payload, dict(settings)))

    def take(self, names: list[str], make: Callable[[str], Copy]) -> Copy | Fleet[Copy]:
        """Start a service a name by ``make``, in place of those that have the names already.

        Args:
            names: of one service, or of a fleet.
            make: starts one and returns it at once.
        """
        old = [self._services[name] for name in names if name in self._services]
        if replaced := [one.name for one in old if one.state == "running"]:
            print(say("service.ran_already", names=", ".join(replaced)))
        stop_all(old)
        for service in old:
            service._forget()
            with suppress(OSError):  # Windows keeps a file that someone still reads
                service._log.unlink()
        fleet: Fleet[Copy] = Fleet()
        try:
            for name in names:
                fleet.append(make(name))
                self._services[name] = fleet[-1]
        except BaseException:  # half a fleet helps nobody
            for service in fleet:
                service._run.kill()
            raise
        return fleet[0] if len(names) == 1 else fleet

    def stop(self, *but: Service) -> None:
        """Stop every service that runs, all at once; ``but`` go on."""
        stop_all([one for one in self._services.values() if one not in but])

    def close(self) -> None:
        """End all services within 2 s; whoever has not stopped after 1 s is killed."""
        _close(self._home, self._services)
        self._forgotten.detach()  # only now: an interrupt may have come in between

    def __getitem__(self, name: str) -> Service:
        return _named(self._services.values(), name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._services

    def get(self, key: object, default: Any = None) -> "Service | Any":
        return self._services.get(key, default) if isinstance(key, str) else default

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._services))

    def __len__(self) -> int:
        return len(self._services)

    def __repr__(self) -> str:
        return _plain_table(self._services.values())

    def _repr_html_(self) -> str:
        return _html_table(self._services.values())


def _close(home: _Home, services: dict[str, Service]) -> None:
    if os.getpid() != home.owner:
        return
    home.closed = True
    stop_all(list(services.values()), 1.0)
    for service in services.values():
        service._forget()


def stop_all(services: Iterable[Service], seconds: float | None = None) -> None:
    """Stop services side by side: ask all, wait for ``seconds`` altogether, kill the rest.

    None is 2 s from when a function knows of it, and more where it was slow to begin.
    """
    if seconds is not None:
        arguments.seconds(seconds)
    runs = [service._run for service in services]
    began = time.monotonic()
    for run in runs:
        run.ask(HEAR_SECONDS if seconds is None else seconds)
    if seconds is None:
        late = [run for run in runs if not _ends(run)]
    else:
        deadline = began + seconds
        late = [run for run in runs if not run.wait(max(deadline - time.monotonic(), 0.0))]
    for run in late:
        if not run.home.closed:
            text = say("service.mark_kill", name=run.name, seconds=time.monotonic() - began)
            run.home.journal.mark(text, "kill", run.name)
        run.kill()
    deadline = time.monotonic() + 0.8
    for run in late:
        run.wait(max(deadline - time.monotonic(), 0.0))


def _ends(run: Run) -> bool:
    """Return whether a process that was asked to stop does so in its time."""
    patience = Patience(STOP_SECONDS)
    while not run.wait(0.1):
        begun = run.begun
        patience.seconds = HEAR_SECONDS if begun is None else max(STOP_SECONDS, STARTS * begun)
        patience.look((run.begun, run.asked))
        if patience.over:
            return False
    return True


def _wait(there: Callable[[], bool], seconds: float, pause=time.sleep) -> bool:
    """Return whether ``there()`` became true within ``seconds``; Interrupt ends it."""
    deadline = time.monotonic() + seconds
    while not there():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        pause(min(left, 0.01 if pause is time.sleep else 0.1))
    return True


def names_of(name: object, copies: object) -> list[str]:
    """Return the names of ``copies`` services: "truck-3" counts on from 3, "truck" from 1."""
    whole = isinstance(copies, int) and not isinstance(copies, bool)
    if not whole or not 1 <= copies <= MOST_COPIES:
        raise BadInputError("service.bad_copies", copies=copies, most=MOST_COPIES)
    if not isinstance(name, str) or not re.fullmatch(r"[^\W_][\w.-]{0,49}", name):
        raise BadInputError("service.bad_name", name=name)
    if copies == 1:
        return [name]
    [(stem, number)] = re.findall(r"\A(.*?)(\d*)\Z", name)
    stem, begin = (stem, int(number)) if number else (f"{name}-", 1)
    return [f"{stem}{begin + n}" for n in range(copies)]


def _plain_settings(settings: object) -> dict:
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise BadInputError("service.bad_settings", got=type(settings).__name__)
    return json.loads(worker.line(settings))


def _named(services: Iterable[Copy], name: str) -> Copy:
    known = {service.name: service for service in services}
    if not isinstance(name, str) or name not in known:
        names = ", ".join(known) or say("service.none_yet")
        raise BadInputError("service.unknown", name=name, known=names)
    return known[name]


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


def _table(services: Iterable[Service]) -> list[tuple[str, ...]]:
    columns = ("name", "state", "pid", "reports", "log")
    return [tuple(say(f"service.column_{column}") for column in columns)] + [
        (
            service.name,
            say(f"service.state_{service.state}"),
            str(service.pid),
            f"{service._home.reported[service.name]:,}",
            "".join(service.log.splitlines()[-1:])[:80],
        )
        for service in services
    ]


def _plain_table(services: Iterable[Service]) -> str:
    rows = _table(services)
    if len(rows) == 1:
        return say("service.no_services")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _html_table(services: Iterable[Service]) -> str:
    head, *rows = _table(services)
    if not rows:
        return f"<p>{html.escape(say('service.no_services'))}</p>"

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "".join(
            f'<{tag} style="text-align: left">{html.escape(cell)}</{tag}>' for cell in cells
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"

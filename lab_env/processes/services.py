"""Runs a student's function as a service in a real process of its own: the notebook's side."""

import json
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lab_env.ground import arguments, notices
from lab_env.ground.errors import BadInputError, ClosedError, ServiceError, StorageError
from lab_env.ground.patience import QUIET, TIMES, Patience, Telling
from lab_env.messages import say
from lab_env.processes import worker
from lab_env.processes.runs import HEAR_SECONDS, LOG_LINES, FunctionRun, Home, Run, wait_until
from lab_env.processes.service_table import html_table, plain_table

if TYPE_CHECKING:
    import pandas as pd

CONSUMERS = ("KafkaConsumer", "Consumer", "ShareConsumer", "AIOKafkaConsumer")
STOP_SECONDS = 2.0  # that a function has to end, once it knows that it should
STARTS = 5  # so many times as long as it took to begin it has at least: machines differ
BEGIN_SECONDS = 60.0  # from the start to the function's first line, on a machine that is full


class Service:
    """A student's function that runs in a process of its own; made by ``lab.service``.

    Attributes:
        name: its name, which also stands in every report.
    """

    _run: Run

    def __init__(self, name: str, home: Home, payload: bytes, settings: dict):
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
        return FunctionRun(self.name, self._home, self._payload, self._settings, self._log)

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
        changes = plain_settings(settings)
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
            pause: as in `wait_until`.
            what: is waited for, in words.
        """
        if seconds is not None:
            arguments.seconds(seconds)
            return wait_until(there, seconds, pause), seconds
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
        return plain_table([self])

    def _repr_html_(self) -> str:
        return html_table([self])


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


def plain_settings(settings: object) -> dict:
    """Return settings as the process gets them; refuse what is no dict of texts."""
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise BadInputError("service.bad_settings", got=type(settings).__name__)
    return json.loads(worker.line(settings))

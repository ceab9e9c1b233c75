"""Plays a day: starts the services, sends what the world sends, lets things go wrong, looks."""

import contextlib
import io
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lab_env import flights
from lab_env.day import evidence, helping, programs
from lab_env.day.contract import READS, SERVICES, TOPICS, Airport
from lab_env.day.evidence import AtMidnight, Moment
from lab_env.day.faults import Fault
from lab_env.day.injection import Injector
from lab_env.day.script import Line, truth
from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, BrokerError, LabError
from lab_env.ground.patience import PAUSE, QUIET, TIMES, Patience, Telling
from lab_env.messages import say

AGAIN = 20  # reports that a duplicate sender sends a second time
COPIES = {"gates": 2}  # more than one receiver, so that one command can go to two
RESTARTS = 20  # of a copy that ends by itself; then it is left as it is
STARTS = 10  # so many times as long as it took to begin a service has to go on after a fault
HELD = 1.5  # s for which all must have been done, before it is midnight
SAFE = {"acks": "all", "delivery_timeout_ms": 240_000, "max_block_ms": 240_000}


def checked(services: Mapping[str, object]) -> dict[str, Callable | str]:
    """Return the services that were given, in the contract's order.

    Raises:
        BadInputError: none, or what is neither a function nor a program.
    """
    found: dict[str, Callable | str] = {}
    for name in SERVICES:
        given = services.get(name)
        if given is None:
            continue
        if isinstance(given, str | Path):
            if not os.path.isfile(given):  # Path raises for a name that is too long
                raise BadInputError("day.no_program", service=name, got=given)
            found[name] = str(Path(given).absolute())
        elif callable(given):
            found[name] = given
        else:
            raise BadInputError("day.bad_service", service=name, got=type(given).__name__)
    if not found:
        raise BadInputError("day.no_services", known=", ".join(SERVICES))
    return found


class Day:
    """A day that is played once.

    Args:
        lab: gives topics, services, Kafka's address and its brokers.
        cluster: the brokers themselves.
        services: name -> function or program, as `checked` returns them.
        lines: what the world sends.
        faults: in order.
        seconds: how long the world takes to send it, if nothing holds it up (s).
        left_out: faults of the level that this Kafka has too few brokers for.
        show: whether the running day is shown, as a dashboard.
    """

    def __init__(
        self,
        lab: Any,
        cluster: Any,
        services: dict[str, Callable | str],
        lines: list[Line],
        faults: list[Fault],
        seconds: float,
        *,
        left_out: Iterable[Fault] = (),
        show: bool = False,
    ):
        self._lab, self._cluster = lab, cluster
        self._given, self._lines = services, lines
        self._faults = [fault for fault in faults if self._hits(fault)]
        self._events = truth(lines).events
        self._rate = len(lines) / arguments.seconds(seconds)
        self._folder = tempfile.mkdtemp(prefix="day-", dir=_made(lab.folder))
        self.airport = Airport(dict(lab.connection), cluster.prefix, self._folder)
        self._running: dict[str, list] = {}
        self._timeline: list[Moment] = []
        self._left_out = tuple(left_out)
        self._show = show
        self._restarts: dict[str, int] = {}
        self._reports: deque[tuple] = deque(maxlen=AGAIN)

    def play(self, named: dict) -> AtMidnight:
        """Play it, and return what is there at midnight; the services are stopped then.

        Args:
            named: what the evidence is called: day, flights, level, seed.

        Raises:
            BrokerError, ServiceError: Kafka, or a service, does not start.
        """
        from kafka import KafkaProducer

        replication = min(3, len(self._lab.nodes) or 1)
        durable = {"min_insync_replicas": 2} if replication > 2 else {}
        # who was killed on the day before may still be in a group: that is no advice for a student
        with contextlib.redirect_stdout(io.StringIO()):
            for name, partitions in TOPICS.items():
                self._lab.topic(name, partitions, replication, **durable)
        with contextlib.ExitStack() as opened:
            sender = KafkaProducer(**self.airport.connection | SAFE)
            opened.callback(sender.close, 5)
            if self._show:
                for picture in self._pictures():
                    opened.callback(picture.stop)
            opened.callback(self._stop)
            for name in self._given:
                copies = range(1, COPIES.get(name, 1) + 1)
                self._running[name] = [self._start(name, f"{name}-{copy}") for copy in copies]
            self._wait_for_members()
            self._at("begin")
            self._say_what_is_left_out()
            self._send_all(sender)
            self._wait_for_midnight()
            self._at("midnight")
            last = evidence.committed(self.airport, self._given)
        return AtMidnight(
            **named,
            services=tuple(self._given),
            topics=evidence.topics(self.airport),
            tables=evidence.tables(self.airport, self._given),
            committed=last,
            timeline=sorted(self._timeline, key=lambda moment: moment.begin),
            slack=self._slack(),
            help=helping.taken(),
        )

    def _hits(self, fault: Fault) -> bool:
        """Return whether a fault is about a service that takes part, or about all of them."""
        readers = [name for name, topic in READS.items() if topic == fault.target]
        return not fault.target or any(one in self._given for one in (fault.target, *readers))

    def _pictures(self) -> tuple:
        """Show the running day as a dashboard: throughput, lag, owners, dead letters."""
        reads = {self.airport.group(n): self.airport.topic(READS[n]) for n in self._given}
        topics = list(reads.values())
        most = max(topics, key=topics.count)  # of the topic that most of them read
        # owners are those of the service that runs in several copies, where it takes part
        first = self.airport.group(max(self._given, key=lambda name: COPIES.get(name, 1)))
        show = self._lab.show
        with show.dashboard():
            return (
                show.throughput(most, [group for group, topic in reads.items() if topic == most]),
                show.lag(reads),
                show.ownership(reads[first], first, lag=False),
                show.dead_letters(self.airport.topic("dead.letters")),
            )

    def _start(self, name: str, copy: str) -> Any:
        given = self._given[name]
        if isinstance(given, str):
            return self._lab.service(programs.run, given, self.airport, name=copy)
        return self._lab.service(given, self.airport, name=copy)

    def _wait_for_members(self) -> None:
        """Return when each service has joined its group, or when none joins any more."""
        from kafka.errors import KafkaError

        from lab_env.observation import queries

        wanted = {self.airport.group(name) for name in self._given}
        patience = Patience(QUIET, most=QUIET * TIMES)
        joined: set[str] = set()
        while not patience.over and joined != wanted:
            with contextlib.suppress(LabError, KafkaError):
                there = queries.groups(self.airport.connection)
                joined = {one for one in wanted if there.get(one, {}).get("members")}
            begun = [copy._run.begun for copies in self._running.values() for copy in copies]
            patience.look((joined, begun))
            time.sleep(PAUSE)

    def _stop(self) -> None:
        for copies in self._running.values():
            for copy in copies:
                copy.stop()

    def _send_all(self, sender: Any) -> None:
        """Send the day, each record at its time, while the faults come and go.

        Raises:
            BrokerError: Kafka did not take it.
        """
        from kafka.errors import KafkaError

        sent: list = []

        def send(topic: str, key: str | None, value: bytes, headers: dict) -> None:
            told = [(name, text.encode()) for name, text in headers.items()]
            data = None if key is None else key.encode()
            sent.append(sender.send(self.airport.topic(topic), value, key=data, headers=told))

        def again() -> None:
            for record in list(self._reports):
                send(*record)

        def extra(name: str) -> Any:
            copy = self._start(name, f"{name}-extra")
            self._running[name].append(copy)
            return copy

        injector = Injector(
            self._faults, self.airport, self._cluster, self._lab.journal, self._running, send,
            again, extra,
        )  # fmt: skip
        try:
            for number, line in enumerate(flights.replay(self._lines, self._rate)):
                injector.played(number / len(self._lines))
                record = self._record(line)
                if line.topic == "tower.reports":
                    self._reports.append(record)  # or the event, where it stands in for operations
                send(*record)
                self._look_after(injector.held)
            injector.played(1.0)
            injector.join()
        finally:
            injector.close()
            self._timeline += injector.timeline
        try:
            sender.flush(240)
            for one in sent:
                one.get(timeout=1)  # what was not sent at all would be blamed on the services
        except KafkaError as error:
            raise BrokerError("day.not_sent", error=type(error).__name__) from error

    def _record(self, line: Line) -> tuple[str, str | None, bytes, dict]:
        headers = dict(line.headers)
        stands_in = line.topic == "tower.reports" and "operations" not in self._given
        if stands_in and isinstance(line.value, dict):
            event = self._events[line.value["report"]]  # the world does operations' work
            value, headers = json.dumps(event).encode(), {"event-id": event["report"]}
            return "airport.events", event["aircraft"], value, headers
        if line.topic == "gates.commands":
            headers["reply-to"] = self.airport.topic("gates.replies")
        return line.topic, line.key, json.dumps(line.value).encode(), headers

    def _look_after(self, held: set[str]) -> None:
        """Start again who has ended by itself, as Kubernetes and Compose do."""
        for copies in self._running.values():
            for copy in copies:
                run = copy._run
                ended = run.ended.is_set() and copy.name not in held
                if not ended or copy.name.endswith("-extra"):
                    continue
                if self._restarts.get(copy.name, 0) >= RESTARTS:
                    continue
                self._restarts[copy.name] = self._restarts.get(copy.name, 0) + 1
                told = run.notice.text if run.notice else say("day.returned")
                self._at("restart", copy.name, " ".join(told.split())[:300])
                with contextlib.suppress(LabError):
                    copy.restart()

    def _at(self, kind: str, target: str = "", told: str = "") -> None:
        self._timeline.append(Moment(kind, target, time.time(), time.time(), told))
        if kind != "restart":
            self._lab.mark(say(f"day.mark_{kind}"))

    def _say_what_is_left_out(self) -> None:
        told, now = say("day.no_brokers", brokers=len(self._lab.nodes)), time.time()
        for fault in self._left_out:
            self._timeline.append(Moment("left out", fault.kind, now, now, told))

    def _wait_for_midnight(self) -> None:
        """Return when every service is done, or when nothing has moved for long."""
        from kafka.errors import KafkaError

        patience = Patience(QUIET, most=QUIET * TIMES)
        telling = Telling(lambda seconds: say("day.waiting", seconds=seconds))
        done_since: float | None = None
        seen: object = None
        while not patience.over:
            self._look_after(set())
            with contextlib.suppress(LabError, KafkaError):
                seen, lags = self._progress()
                if lags:
                    done_since = None
                elif done_since is None:
                    done_since = patience.total
                elif patience.total - done_since >= HELD:
                    return
            patience.look(seen)
            telling.look()
            time.sleep(PAUSE)

    def _progress(self) -> tuple[object, int]:
        """Return what changes while the services work, and how many records they have before them.

        Records at the end of a partition that are markers of transactions are nobody's work.
        """
        from lab_env.observation import queries

        found, lag = [], 0
        for name in self._given:
            topic = self.airport.topic(READS[name])
            ends = queries.end_offsets(self.airport.connection, topic)
            at = queries.committed(self.airport.connection, self.airport.group(name), topic)
            lag += sum(max(end - at.get(place, 0), 0) for place, end in ends.items())
            found.append((ends, at))
        return found, lag

    def _slack(self) -> float:
        begun = [c._run.begun for copies in self._running.values() for c in copies]
        return max(QUIET, STARTS * max((one for one in begun if one is not None), default=0.0))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder

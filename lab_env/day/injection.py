"""Injects the faults of a day, one after the other, each when so much of the day was sent."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from lab_env.day.contract import Airport
from lab_env.day.evidence import Moment
from lab_env.day.faults import Fault, partitions_after
from lab_env.ground.errors import LabError
from lab_env.ground.journal import Journal
from lab_env.messages import say

SLOWED = 0.99, 0.01  # s that a slow service is held, and s that it runs: a hundred times slower
EXTRA = 1.5  # s that a member of a rebalance storm stays
HANGS = 120.0  # s after which the day goes on without a fault that does not begin


class Injector:
    """Injects faults in a thread of its own, and writes down what happened when.

    Args:
        faults: in order.
        airport: of the day.
        cluster: Kafka's brokers, by which they are killed and paused.
        journal: where the pictures find what happened.
        services: name -> its copies.
        send: sends a record of the world: topic, key, value as bytes, headers.
        again: sends the newest reports once more.
        extra: starts one more copy of a service, and returns it.
    """

    def __init__(
        self,
        faults: list[Fault],
        airport: Airport,
        cluster: Any,
        journal: Journal,
        services: dict[str, list],
        send: Callable,
        again: Callable[[], None],
        extra: Callable[[str], Any],
    ):
        self.timeline: list[Moment] = []
        self.held: set[str] = set()  # services that are down by a fault: nobody restarts them
        self._faults = faults
        self._airport, self._cluster, self._journal = airport, cluster, journal
        self._services, self._send, self._again, self._extra = services, send, again, extra
        self._played = 0.0
        self._begun = 0
        self._stopped = False
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="lab-day-faults", daemon=True)
        self._thread.start()

    def played(self, share: float) -> None:
        """Say how much of the day was sent; return when each fault that is due has begun."""
        due = sum(fault.at <= share for fault in self._faults)
        with self._moved:
            self._played = share
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._begun >= due or self._stopped, HANGS)

    def join(self) -> None:
        """Return when the last fault is over."""
        self._thread.join()

    def close(self) -> None:
        """Begin no further fault, and end the one that lasts."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()
        self._thread.join(HANGS)

    def _run(self) -> None:
        for number, fault in enumerate(self._faults, 1):
            with self._moved:
                self._moved.wait_for(lambda at=fault.at: self._played >= at or self._stopped)
                if self._stopped:
                    return
            self._inject(fault, number)

    def _inject(self, fault: Fault, number: int) -> None:
        begin = time.time()
        name = say("day.fault_on", kind=fault.kind, target=fault.target).strip()
        try:
            with self._journal.span(name, fault.target), _KINDS[fault.kind](self, fault):
                self._has_begun(number)
                self._wait(fault.lasts)
        except (LabError, OSError, psutil.Error, sqlite3.Error, _kafka_error()) as error:
            told = " ".join(str(error).split())
            self.timeline.append(Moment("left out", name, begin, time.time(), told))
        else:
            self.timeline.append(Moment(fault.kind, fault.target, begin, time.time()))
        self._has_begun(number)

    def _has_begun(self, number: int) -> None:
        """Let the world send on: so many faults have begun, or are left out."""
        with self._moved:
            self._begun = number
            self._moved.notify_all()

    def _wait(self, seconds: float) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._stopped, seconds)

    def _copy(self, service: str) -> Any:
        """Return the copy of a service that is hit."""
        copies = self._services.get(service)
        if not copies:
            raise LabError("day.no_service", service=service)
        return copies[0]

    # -- the faults: the block is as long as they last --------------------------------------

    @contextmanager
    def _kill_service(self, fault: Fault) -> Generator[None]:
        copy = self._copy(fault.target)
        self.held.add(copy.name)
        try:
            copy.crash()
            yield
            copy.restart()
        finally:
            self.held.discard(copy.name)

    @contextmanager
    def _hang_service(self, fault: Fault) -> Generator[None]:
        with _frozen(self._copy(fault.target).pid):
            yield

    @contextmanager
    def _slow_service(self, fault: Fault) -> Generator[None]:
        process = self._copy(fault.target).pid

        def slow(ended: threading.Event) -> None:
            while not ended.is_set():
                with contextlib.suppress(psutil.Error), _frozen(process):
                    ended.wait(SLOWED[0])
                time.sleep(SLOWED[1])

        with _beside("lab-day-slow", slow):
            yield

    @contextmanager
    def _rebalance_storm(self, fault: Fault) -> Generator[None]:
        self._copy(fault.target)

        def storm(ended: threading.Event) -> None:
            with contextlib.suppress(LabError):  # the lab was closed meanwhile
                extra = self._extra(fault.target)
                while not ended.wait(EXTRA):
                    extra.crash() if extra.state == "running" else extra.restart()
                extra.stop()

        with _beside("lab-day-storm", storm):
            yield

    @contextmanager
    def _lock_database(self, fault: Fault) -> Generator[None]:
        file = Path(self._airport.folder, f"{fault.target}.sqlite")
        if not file.exists():
            raise LabError("day.no_database", file=file.name)
        opened = sqlite3.connect(file, timeout=10, isolation_level=None)
        with contextlib.closing(opened):
            opened.execute("BEGIN EXCLUSIVE")
            yield

    @contextmanager
    def _poison(self, fault: Fault) -> Generator[None]:
        headers = {"poison": "1"}
        self._send(fault.target, "poison", b'{"flight": "\xff\xfe no flight', headers)
        yield

    @contextmanager
    def _duplicates(self, fault: Fault) -> Generator[None]:
        self._again()
        yield

    @contextmanager
    def _add_partitions(self, fault: Fault) -> Generator[None]:
        from kafka import KafkaAdminClient

        wanted = partitions_after([fault])
        with contextlib.closing(KafkaAdminClient(**self._airport.connection)) as admin:
            admin.create_partitions({self._airport.topic("airport.events"): wanted})
        yield

    @contextmanager
    def _kill_broker(self, fault: Fault) -> Generator[None]:
        node = max(self._running())
        self._cluster.kill(node)
        try:
            yield
        finally:
            self._cluster.start(node)

    @contextmanager
    def _pause_leader(self, fault: Fault) -> Generator[None]:
        with self._paused([self._leader()]):
            yield

    @contextmanager
    def _no_coordinator(self, fault: Fault) -> Generator[None]:
        with self._paused(self._running()):
            yield

    @contextmanager
    def _paused(self, nodes: list[int]) -> Generator[None]:
        paused = []
        try:
            for node in nodes:
                self._cluster.pause(node)
                paused.append(node)
            yield
        finally:
            for node in paused:
                self._cluster.resume(node)

    def _running(self) -> list[int]:
        return [node for node, state in self._cluster.nodes.items() if state == "running"]

    def _leader(self) -> int:
        from kafka import KafkaAdminClient

        with contextlib.closing(KafkaAdminClient(**self._airport.connection)) as admin:
            (told,) = admin.describe_topics([self._airport.topic("airport.events")])
        return told["partitions"][0]["leader_id"]


_KINDS: dict[str, Callable] = {
    "kill service": Injector._kill_service,
    "hang service": Injector._hang_service,
    "slow service": Injector._slow_service,
    "rebalance storm": Injector._rebalance_storm,
    "lock database": Injector._lock_database,
    "poison": Injector._poison,
    "duplicates": Injector._duplicates,
    "add partitions": Injector._add_partitions,
    "kill broker": Injector._kill_broker,
    "pause leader": Injector._pause_leader,
    "no coordinator": Injector._no_coordinator,
}


def _kafka_error() -> type[Exception]:
    from kafka.errors import KafkaError

    return KafkaError


@contextmanager
def _beside(name: str, work: Callable[[threading.Event], None]) -> Generator[None]:
    """Do something in a thread while a block lasts; it is told when the block has ended."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _frozen(pid: int) -> Generator[None]:
    """Freeze a process, and what it has started, while a block lasts."""
    first = psutil.Process(pid)
    processes = [first, *first.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.resume()

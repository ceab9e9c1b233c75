"""Measures a client by turns, in processes of its own. Long: both sides of one measurement."""

import inspect
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, ServiceError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "what": "str",
    "run": "int64",
    "asked": "float64",
    "records": "int64",
    "bytes": "int64",
    "seconds": "float64",
    "records_per_second": "float64",
    "megabytes_per_second": "float64",
    "p50_ms": "float64",
    "p99_ms": "float64",
    "client_cpu": "float64",
    "broker_cpu": "float64",
}
LASTING = 0.4  # s for which a run goes on at the most
BOUND = 60.0  # s that a run may take, with what is waited for at its end
HANGING = 10 * BOUND  # s after which a process is taken to hang: until then it may be busy
WARM_SHARE = 10  # the warm-up is a tenth of a run
LATE = 0.005  # s; a record that is handed out later than that after it was due has waited
TIMED = 1000  # records of a run whose time is taken; all others cost nothing
ORDER = ("warming", "rate", "seconds")  # what a process is told of its turn
MOST_CASES, MOST_RUNS = 30, 100
NO_CODEC = re.compile(r"Libraries for (\w+) compression codec not found")
PACKAGES = {"zstd": "zstandard", "snappy": "python-snappy"}  # the others are called like the codec


class Latencies:
    """How long many things took, in steps of 2 %: small, and two of them can be added.

    Args:
        steps: what another one's ``steps`` holds.
    """

    STEP = math.log(1.02)
    SHORTEST = 1e-6  # s

    def __init__(self, steps: Iterable[tuple[int, int]] = ()):
        self.steps = Counter({int(step): count for step, count in steps})

    def add(self, seconds: float) -> None:
        """Note that something took so long (s)."""
        self.steps[round(math.log(max(seconds, self.SHORTEST)) / self.STEP)] += 1

    def update(self, other: "Latencies") -> None:
        """Add all that another one holds."""
        self.steps.update(other.steps)

    def __len__(self) -> int:
        return self.steps.total()

    def percentile(self, percent: float) -> float:
        """Return the time (s) within which so many percent were done; NaN of nothing."""
        left = len(self) * percent / 100
        for step in sorted(self.steps):
            left -= self.steps[step]
            if left <= 1e-9:
                return math.exp(step * self.STEP)
        return math.nan


class Meter:
    """What a measured function gets as its first argument: it counts, and takes the time.

    The time runs from the first record, asked for or read, to the function's return: an
    acknowledgement that matters is waited for within the function.

    Attributes:
        copy, copies: which of so many processes this is, from 0.
        warming: whether this run is only the warm-up, and shorter.
        records, bytes: counted so far.
    """

    def __init__(
        self,
        *,
        warming: bool = False,
        rate: float | None = None,
        seconds: float | None = LASTING,
        copy: int = 0,
        copies: int = 1,
    ):
        self.warming, self.copy, self.copies = warming, copy, copies
        self.records = self.bytes = 0
        self.began: float | None = None
        self._began_fine = 0.0
        self._end = self._bound = math.inf
        self.told: dict[str, float] = {}
        self._rate, self._seconds = rate, seconds
        self._latencies = Latencies()
        self._every = self._until_next = 1

    def __call__(self, values: Iterable[bytes]) -> Iterator[bytes]:
        """Hand out the values until they or the run's seconds are over, and count them."""
        values = self._paced(values)
        self.start()
        for value in values:
            if time.monotonic() > self._end:
                return
            self.records += 1
            self.bytes += len(value)
            yield value

    def _paced(self, values: Iterable[bytes]) -> Iterable[bytes]:
        size = len(values) if isinstance(values, Sized) else TIMED
        if self._rate is None:
            self._every = max(size // TIMED, 1)
            return islice(values, max(size // WARM_SHARE, 1)) if self.warming else values
        from lab_env import flights

        rate, seconds = self._rate / self.copies, self._seconds or LASTING
        self._every = max(int(rate * seconds) // TIMED, 1)
        return flights.replay(
            cycle(values), rate, seconds / WARM_SHARE if self.warming else seconds
        )

    def start(self) -> None:
        """Start the clock, if it does not run yet."""
        if self.began is None:
            self.began, self._began_fine = time.monotonic(), time.perf_counter()
            self._bound = self.began + BOUND
            # one at a given rate ends by itself, at its last record and not before it
            limited = self._seconds is not None and self._rate is None
            self._end = self.began + self._seconds if limited else math.inf

    def short_of(self, records: int) -> bool:
        """Return whether a reader should go on: it has counted fewer records, and has time."""
        self.start()
        if self.warming:
            records = max(records // WARM_SHARE, 1)
        return self.records < records and time.monotonic() < min(self._end, self._bound)

    def add(self, value: bytes) -> None:
        """Count a record that was read."""
        self.records += 1
        self.bytes += len(value)

    def acknowledged(self, future):
        """Take the time until a kafka-python producer's future is done; return the future.

        At a rate that is asked for it counts from when the record was due.
        """
        if self._is_timed():
            future.add_callback(self._done, self._due())
        return future

    def ticket(self) -> Callable | None:
        """Return a callback that stops the clock of one record, or None: not every one is timed.

        For confluent-kafka: ``producer.produce(topic, value, on_delivery=meter.ticket())``.
        """
        if not self._is_timed():
            return None
        due = self._due()
        return lambda error, _: None if error else self._done(due, None)

    def took(self, seconds: float) -> None:
        """Note a latency that was measured otherwise (s)."""
        self._latencies.add(seconds)

    def tell(self, **values: float) -> None:
        """Say what another tool has measured (records, bytes, seconds, p50_ms, p99_ms), or more.

        What has another name becomes a column of its own.
        """
        self.start()
        self.told.update(values)

    def _is_timed(self) -> bool:
        self._until_next -= 1
        if self._until_next:
            return False
        self._until_next = self._every
        return True

    def _due(self) -> float:
        """Return since when the current record has been waiting.

        At a rate that cannot be kept a record waits before it is sent, too: who counts from the
        send alone overlooks the longest waits.
        """
        now = time.perf_counter()
        if self._rate is None:
            return now
        due = self._began_fine + (self.records - 1) * self.copies / self._rate
        return now if now - due < LATE else due

    def _done(self, due: float, _: object) -> None:
        self._latencies.add(time.perf_counter() - due)

    def report(self) -> dict:
        """Return what was measured, as plain values; the run ends now."""
        end = time.monotonic()
        return {
            "records": self.records,
            "bytes": self.bytes,
            "begin": end if self.began is None else self.began,
            "end": end,
            "latencies": list(self._latencies.steps.items()),
            "told": self.told,
        }


def measure(
    cases: Mapping[str, tuple],
    *,
    runs: int = 3,
    copies: int | Mapping[str, int] = 1,
    rates: Iterable[float] = (),
    seconds: float | None = LASTING,
    folder: Path,
    journal: Journal,
    reports: Reports,
    brokers: Iterable[int] = (),
) -> "pd.DataFrame":
    """Measure functions side by side: each in processes of its own, warmed up, all by turns.

    A case that fails is told in a sentence and left out; the others go on.

    Args:
        cases: name -> (function, \\*args); ``function(meter, *args)`` does one run, see `Meter`.
        runs: how often each is measured.
        copies: in how many processes at once: one number, or a number a case.
        rates: records/s at which each case is measured; none is once, as fast as it goes.
        seconds: a run hands out no more values after so long; None is until they end.
        folder: for the processes' logs.
        journal: the lab's clock.
        reports: gets a row a run while it goes on: the frame's, with ``measured`` for ``what``.
        brokers: ids of the brokers' processes, as far as they run here.

    Returns:
        DataFrame, a row a run: what str, run int64 (from 1), asked float64 (records/s, NaN for as
        fast as it goes), records, bytes int64 (of the values), seconds, records_per_second,
        megabytes_per_second, p50_ms, p99_ms, client_cpu, broker_cpu float64 (% of one core).
        NaN is what is not known.

    Raises:
        BadInputError: an argument that cannot work.
        ServiceError: every case failed; the first one's reason.
    """
    rows, failures = by_turns(
        cases,
        runs=runs,
        copies=copies,
        rates=rates,
        seconds=seconds,
        folder=folder,
        journal=journal,
        reports=reports,
        brokers=brokers,
    )
    if failures and not rows:
        raise next(iter(failures.values()))
    for what, error in failures.items():
        print(_sentence(what, error))
    return frame(rows)


def by_turns(
    cases: Mapping[str, tuple],
    *,
    runs: int,
    copies: int | Mapping[str, int] = 1,
    rates: Iterable[float] = (),
    seconds: float | None,
    folder: Path,
    journal: Journal,
    reports: Reports,
    brokers: Iterable[int] = (),
) -> tuple[list[dict], dict[str, ServiceError]]:
    """Do what `measure` does; return the rows of its frame, and why a case failed, by name."""
    from lab_env.processes.fleets import Services

    rates = _numbers(rates)
    _check(cases, runs, copies, rates, seconds)
    clock = Journal()  # a private one: the turns are no news for the lab's pictures
    clock.epoch = journal.epoch
    rows, failures = [], {}
    with (
        journal.measured(),
        closing(Services(clock, Reports(), folder / "measuring")) as services,
    ):
        running = {}
        for number, (what, (function, *args)) in enumerate(cases.items()):
            many = copies.get(what, 1) if isinstance(copies, Mapping) else copies
            name = f"{re.sub('[^A-Za-z0-9]+', '-', str(what)).strip('-')[:30] or 'case'}.{number}"
            running[what] = [
                services.start(
                    _work, function, args, copy, many, list(brokers), name=f"{name}.{copy}"
                )
                for copy in range(many)
            ]
        for turn, (run, rate) in enumerate(_turns(runs, rates), start=1):
            for what in [one for one in running if one not in failures]:
                try:
                    order = {"warming": not run, "rate": rate, "seconds": seconds}
                    parts = _one_turn(running[what], turn, order)
                except ServiceError as error:
                    failures[what] = error
                    continue
                if run:
                    row = _row(str(what), run, rate, parts)
                    rows.append(row)
                    told = {"time": journal.now(), "service": str(what), "measured": str(what)}
                    reports.append(told | {k: v for k, v in row.items() if k != "what"})
    return rows, failures


def _turns(runs: int, rates: list[float]) -> Iterator[tuple[int, float | None]]:
    """Yield (run, rate) of each turn; run 0 is the warm-up."""
    yield 0, rates[0] if rates else None
    for run in range(1, runs + 1):
        for rate in rates or [None]:
            yield run, rate


def _one_turn(processes: list, turn: int, order: dict) -> list[dict]:
    for one in processes:
        one.set(turn=turn, **order)
    bound = HANGING if order["seconds"] else arguments.A_DAY
    return [one.first(f"turn_{turn}", seconds=bound) for one in processes]


def _row(what: str, run: int, rate: float | None, parts: list[dict]) -> dict:
    """Return a row of the frame, made of what each copy said."""
    latencies = Latencies()
    for part in parts:
        latencies.update(Latencies(part["latencies"]))
    seconds = max(part["end"] for part in parts) - min(part["begin"] for part in parts)
    row: dict[str, Any] = {
        "what": what,
        "run": run,
        "asked": math.nan if rate is None else rate,
        "records": sum(part["records"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
        "seconds": seconds,
        "p50_ms": 1000 * latencies.percentile(50),
        "p99_ms": 1000 * latencies.percentile(99),
    }
    for part in parts:
        row |= part["told"]
    seconds = max(row["seconds"], 1e-9)
    row["records_per_second"] = row["records"] / seconds
    row["megabytes_per_second"] = row["bytes"] / seconds / 1e6
    row["client_cpu"] = 100 * sum(part["client"] for part in parts) / seconds
    # each copy has seen the same brokers: the one that looked longest knows best
    row["broker_cpu"] = 100 * max(part["broker"] for part in parts) / seconds
    if any("seconds" in part["told"] for part in parts):
        row["client_cpu"] = math.nan  # another process did the work
    return row


def frame(rows: list[dict]) -> "pd.DataFrame":
    """Return rows of runs as `measure` does; what else was told (`Meter.tell`) follows."""
    import pandas as pd

    columns = list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
    return pd.DataFrame(rows, columns=columns).astype(COLUMNS)


def _sentence(what: object, error: ServiceError) -> str:
    if codec := NO_CODEC.search(str(error)):
        package = PACKAGES.get(codec[1], codec[1])
        return say("measuring.no_codec", what=what, codec=codec[1], package=package)
    return say("measuring.left_out", what=what, error=error)


def _numbers(rates: Iterable[float]) -> list[float]:
    try:
        numbers = list(rates)
    except TypeError:
        raise BadInputError("measuring.bad_rates", got=rates) from None
    good = all(arguments.is_number(rate) and rate > 0 for rate in numbers)
    if not good or isinstance(rates, str | bytes):  # whose characters could be numbers
        raise BadInputError("measuring.bad_rates", got=rates)
    return [float(rate) for rate in numbers]


def _check(
    cases: object, runs: object, copies: object, rates: list[float], seconds: object
) -> None:
    if not isinstance(cases, Mapping) or not 1 <= len(cases) <= MOST_CASES:
        raise BadInputError("measuring.bad_cases", most=MOST_CASES)
    if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MOST_RUNS:
        raise BadInputError("measuring.bad_runs", got=runs, most=MOST_RUNS)
    numbers = copies.values() if isinstance(copies, Mapping) else [copies]
    if not all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 16 for n in numbers):
        raise BadInputError("measuring.bad_copies", got=copies)
    if seconds is not None and not (arguments.is_number(seconds) and 0 < seconds < BOUND):
        raise BadInputError("measuring.bad_seconds", got=seconds, most=f"{BOUND:.0f}")
    for what, case in cases.items():
        if not isinstance(case, tuple) or not case or not callable(case[0]):
            raise BadInputError("measuring.bad_case", what=what)
        try:
            inspect.signature(case[0]).bind(object(), *case[1:])
        except TypeError as error:
            raise BadInputError("measuring.bad_arguments", what=what, reason=error) from None


# -- in the measured process ------------------------------------------------------------------


def _work(service, function, args: list, copy: int, copies: int, brokers: list[int]) -> None:
    """Do a run whenever it is this process's turn, and report what was measured."""
    done = 0
    while service.running:
        order = dict(service.settings)
        if (turn := order.get("turn", 0)) == done:
            service.wait(0.01)
            continue
        done = turn
        meter = Meter(copy=copy, copies=copies, **{k: order[k] for k in ORDER})
        own, theirs = time.process_time(), _cpu_seconds(brokers)
        function(meter, *args)
        report = meter.report()
        report["client"] = time.process_time() - own
        report["broker"] = _cpu_seconds(brokers) - theirs
        service.report(**{f"turn_{turn}": report})


def _cpu_seconds(processes: list[int]) -> float:
    """Return how long these processes have computed so far (s), NaN if that is not known."""
    import psutil

    total = 0.0 if processes else math.nan
    for pid in processes:
        try:
            used = psutil.Process(pid).cpu_times()
            total += used.user + used.system
        except psutil.Error:  # it has been killed, or belongs to somebody else
            return math.nan
    return total


def java_producer(
    meter: Meter, connection: dict, topic: str, values: list[bytes], settings: dict
) -> None:
    """Measure Kafka's own Java producer; see `lab_env.clusters.perf_tools.producer`."""
    from lab_env.clusters import perf_tools

    if meter.warming:  # a JVM that ends is not warmer afterwards: it warms up within each run
        return
    size = sum(map(len, values)) / len(values)
    told = perf_tools.producer(connection, topic, values, warm_up=len(values), **settings)
    meter.tell(**told, bytes=round(told["records"] * size))


def java_consumer(meter: Meter, connection: dict, topic: str, records: int, settings: dict) -> None:
    """Measure Kafka's own Java consumer; see `lab_env.clusters.perf_tools.consumer`."""
    from lab_env.clusters import perf_tools

    if meter.warming:
        return
    meter.tell(**perf_tools.consumer(connection, topic, records, **settings))


def ceilings(seconds: float = 0.3) -> dict[str, float]:
    """Return what this machine carries without Kafka, MB/s: ``disk`` and ``network`` (loopback).

    Args:
        seconds: for each of the two.

    Raises:
        BadInputError: it is no number of seconds up to a day.
        StorageError: the disk that holds the labs is full, or cannot be written.
    """
    from lab_env.processes import folders

    arguments.seconds(seconds)

    folder = folders.labs()
    with folders.disk_errors(folder):
        disk = _disk(folder, seconds)
    return {"disk": disk, "network": _network(seconds)}


def _disk(folder: Path, seconds: float) -> float:
    import os
    import tempfile

    block, written = bytes(1 << 20), 0
    began = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        while time.perf_counter() - began < seconds:
            written += file.write(block)
        file.flush()
        os.fsync(file.fileno())  # else it is memory that was measured
        return written / (time.perf_counter() - began) / 1e6


def _network(seconds: float) -> float:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def swallow() -> None:
            taker, _ = server.accept()
            with taker:
                while taker.recv(1 << 16):
                    pass

        threading.Thread(target=swallow, daemon=True).start()
        block, sent = bytes(1 << 16), 0
        with socket.create_connection(server.getsockname(), timeout=10) as sender:
            began = time.perf_counter()
            while time.perf_counter() - began < seconds:
                sender.sendall(block)
                sent += len(block)
            return sent / (time.perf_counter() - began) / 1e6

"""Several services: the copies of one, and all that a lab has started, by their names."""

import os
import re
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from lab_env.ground import arguments, notices
from lab_env.ground.errors import BadInputError, ClosedError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.messages import say
from lab_env.processes import pickling
from lab_env.processes.runs import Home
from lab_env.processes.service_table import html_table, plain_table
from lab_env.processes.services import Service, plain_settings, stop_all

if TYPE_CHECKING:
    import pandas as pd

MOST_COPIES = 50  # more would bring down the student's machine, not Kafka

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
        return plain_table(self)

    def _repr_html_(self) -> str:
        return html_table(self)


class Services(Mapping[str, Service]):
    """The services of one lab by name; shows itself as a table.

    Args:
        journal: gets a mark when a service starts, stops, crashes, fails or is set.
        reports: gets the rows that the services report.
        folder: where their logs are kept while the lab is open; made when needed.
    """

    def __init__(self, journal: Journal, reports: Reports, folder: Path):
        self._home = Home(journal, reports, Path(folder))
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
        settings = plain_settings({} if settings is None else settings)
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
        return plain_table(self._services.values())

    def _repr_html_(self) -> str:
        return html_table(self._services.values())


def _close(home: Home, services: dict[str, Service]) -> None:
    if os.getpid() != home.owner:
        return
    home.closed = True
    stop_all(list(services.values()), 1.0)
    for service in services.values():
        service._forget()


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


def _named(services: Iterable[Copy], name: str) -> Copy:
    known = {service.name: service for service in services}
    if not isinstance(name, str) or name not in known:
        names = ", ".join(known) or say("service.none_yet")
        raise BadInputError("service.unknown", name=name, known=names)
    return known[name]

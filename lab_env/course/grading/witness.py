"""Judges an exercise in a process in which no student's code ever runs: it asks the same broker.

The check is the course's own, and so is all that it calls. It sees the broker itself, by a client
of its own. What it cannot see there (which services run, what they reported) it is told by the
student's process. A check that needs more than that, such as the student's function, or what was
seen of a group before, is not judged here: the answer is then None, with the reason.
"""

import json
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab_env.course.grading import inside
from lab_env.ground.errors import LabError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.reports import Reports
from lab_env.lab import Lab, _close_parts

FRESH = 0.25  # s: what was told longer ago is asked again


class CannotSee(Exception):
    """What a check needs is within the student's process alone."""


class Teller:
    """Asks the student's process, by the worker, what it holds now.

    Args:
        ask: called with the number of reports that are known; returns what `inside.tell` wrote.
    """

    def __init__(self, ask: Callable[[int], dict]):
        self._ask = ask
        self._when = 0.0
        self.journal = Journal()
        self.reports = Reports()
        self.nodes: dict[int, str] = {}
        self.prefix = ""
        self.services: dict[str, SeenService] = {}
        self.values: dict[str, list] = {}
        self.missing: list[str] = []
        self.unseen: list[str] = []

    def refresh(self, fresh: float = FRESH) -> None:
        """Ask again, unless that was done less than ``fresh`` seconds ago."""
        if time.monotonic() - self._when < fresh:
            return
        told = self._ask(len(self.reports.rows))
        if "too_much" in told:
            raise CannotSee("reports")
        self.values, self.missing, self.unseen = told["values"], told["missing"], told["unseen"]
        if lab := told.get("lab"):
            self._take(lab)
        self._when = time.monotonic()

    def _take(self, lab: dict) -> None:
        self.journal.epoch = time.monotonic() - float(lab["now"])
        self.journal.marks[:] = [Mark(*mark) for mark in lab["marks"]]
        self.nodes = {node: str(state) for node, state in lab["nodes"]}
        self.prefix = str(lab["prefix"])
        for row in lab["reports"]:
            self.reports.append({key: decode(value, {}) for key, value in row.items()})
        self.services = {one["name"]: SeenService(one, self.reports) for one in lab["services"]}


class SeenService:
    """A service as the student's process tells it."""

    def __init__(self, told: dict, reports: Reports):
        self.name = str(told["name"])
        self.state = str(told["state"])
        self.error = told["error"]
        self.log = str(told["log"])
        first = {key: decode(value, {}) for key, value in told["first"].items()}
        self._run = SimpleNamespace(begun=told["begun"], first=first)
        self._reports = reports

    @property
    def reports(self):
        """Its reports as a frame."""
        return self._reports.frame(lambda row: row["service"] == self.name)

    def first(self, name: str, seconds: float | None = None) -> object:
        """Return the first value of a field that it has reported, or None."""
        return self._run.first.get(name)


class SeenServices(Mapping):
    """The services as they are now, by name."""

    def __init__(self, teller: Teller):
        self._teller = teller

    def _now(self) -> dict[str, SeenService]:
        self._teller.refresh()
        return self._teller.services

    def __getitem__(self, name: str) -> SeenService:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


class SeenLab(Lab):
    """A lab whose Kafka is asked itself, and whose services are told.

    Args:
        connection: for clients, taken before the student's first line ran.
        teller: tells the rest.
    """

    def __init__(self, connection: dict, teller: Teller):
        self._teller = teller
        self.journal = teller.journal
        self._reports = teller.reports
        self._cluster: Any = SeenCluster(connection, teller)
        self._parts = {}
        self._making = threading.Lock()
        self._finalizer = weakref.finalize(self, _close_parts, self._parts)
        self._seen = SeenServices(teller)

    @property
    def services(self) -> Any:
        """What the student's process says that runs."""
        return self._seen

    @property
    def reports(self):
        """What the services have reported, as the student's process tells it."""
        self._teller.refresh(fresh=0.0)  # they are compared with what the broker says now
        return self._reports.frame()

    def watch(self, *topics: str, groups: Any = ()) -> Any:
        """Say that a check looks back: who comes when all is over has not seen what went before."""
        raise CannotSee("watch")

    def _observer(self) -> Any:
        raise CannotSee("what was seen before")  # rebalances, and whatever else looks back


class SeenCluster:
    """Of a cluster only where it is, and how its brokers are said to be."""

    way = "witness"

    def __init__(self, connection: dict, teller: Teller):
        self.connection = connection
        self._teller = teller

    @property
    def prefix(self) -> str:
        """What names begin with."""
        return self._teller.prefix

    @property
    def nodes(self) -> dict[int, str]:
        """The state of each broker."""
        self._teller.refresh()
        return self._teller.nodes

    def trouble(self) -> None:
        """Return nothing: whoever started the brokers knows."""

    def signs(self) -> None:
        """Return nothing: whoever started the brokers sees them."""

    def __getattr__(self, name: str):
        raise CannotSee(f"lab.{name}")


def decode(told: list, services: Mapping[str, SeenService]) -> Any:
    """Return the value that `inside.encode` has made plain."""
    kind, value = told
    if kind in ("plain", "unseen"):
        return value
    if kind == "bytes":
        return bytes.fromhex(value)
    if kind == "path":
        return Path(value)
    if kind == "service":
        return services[value]
    if kind == "fleet":
        return [services[name] for name in value]
    if kind == "dict":
        return {decode(key, services): decode(one, services) for key, one in value}
    return {"list": list, "tuple": tuple, "set": set}[kind](decode(o, services) for o in value)


def judge(source: str, connection: dict, ask: Callable[[int], dict]) -> dict:
    """Ask a check, and return what it answers.

    Args:
        source: of the check's cell, as the course has it.
        connection: for clients of the student's Kafka.
        ask: as in `Teller`.

    Returns:
        ``answer`` as `inside.answer_of` has it, or None, and then ``why`` it cannot be judged here;
        ``same`` names two names that mean one thing and should not.
    """
    from lab_env.checks import check
    from lab_env.checks.result import Result

    teller = Teller(ask)
    lab = SeenLab(connection, teller)
    try:
        teller.refresh()
        if teller.missing:
            return {"answer": None, "missing": teller.missing}
        if teller.unseen:
            raise CannotSee(", ".join(teller.unseen))
        values = {name: decode(one, teller.services) for name, one in teller.values.items()}
        space = {**values, "lab": lab, "check": check}
        answer = inside.value_of(source, space)
        if not isinstance(answer, Result):
            raise CannotSee(type(answer).__name__)
        return {"answer": inside.answer_of(answer), "same": _same(values)}
    except LabError as error:
        return {"answer": None, "why": str(error)}
    except Exception as error:
        return {"answer": None, "why": f"{type(error).__name__}: {error}"}
    finally:
        lab.close()


def _same(values: Mapping[str, object]) -> list[str]:
    """Return names of topics or groups that bear one name: a check counts them as two."""
    seen: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, str) and seen.setdefault(value, name) != name:
            return [seen[value], name]
    return []


def main() -> None:
    """Answer the worker: a line of JSON in, lines that ask, and one that answers."""
    inward, outward = sys.stdin, sys.stdout
    sys.stdout = sys.stderr  # what a check prints is no answer

    def send(told: dict) -> None:
        outward.write(json.dumps(told) + "\n")
        outward.flush()

    def ask(after: int) -> dict:
        send({"ask": after})
        return json.loads(inward.readline())

    for line in inward:
        task = json.loads(line)
        send({"judged": judge(task["source"], task["connection"], ask)})


if __name__ == "__main__":
    main()

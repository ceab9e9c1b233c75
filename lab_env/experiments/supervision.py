"""Starts services again after a crash, and tells what the crash has lost or repeated."""

import builtins
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lab_env.ground.errors import ServiceError
from lab_env.ground.patience import Named
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.processes.services import Service

COLUMNS = ["time", "handled", "offset", "group"]
ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b")


class Supervises(Protocol):
    """A lab: it waits, knows what services reported, and reads topics."""

    @property
    def reports(self) -> "pd.DataFrame":
        """See `lab_env.Lab.reports`."""

    def until(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        """See `lab_env.Lab.until`."""

    def records(self, topic: str, *, limit: int = 1_000_000) -> "pd.DataFrame":
        """See `lab_env.Lab.records`."""


def supervise(lab: Supervises, service: "Service", over: Callable[[], object]) -> bool:
    """Wait until ``over()`` is true, start the service again whenever it fails; return if it was.

    Args:
        lab: the lab.
        service: a service; one that was killed is left as it is.
        over: called ten times a second.

    Raises:
        ServiceError: the same mistake in its code has ended it twice: it would do so for ever.
    """
    failed: set[str] = set()

    def look() -> object:
        if service.state == "failed":
            error = str(service.error)
            if error in failed:
                raise ServiceError("offsets_and_delivery.fails_again", name=service.name)
            if _is_mistake(error):  # a broker that is away comes back; a typo does not
                failed.add(error)
            service.restart()
        return over()

    return lab.until(Named(say("lab.until_over", name=service.name), look))


def _is_mistake(error: str) -> bool:
    """Return whether an error is one of Python's own, such as a name that does not exist."""
    named = ERROR.search(error)
    kind = getattr(builtins, named[0], None) if named else None
    return isinstance(kind, type) and not issubclass(kind, OSError)


def power_back(lab: Supervises, service: "Service", **settings: object) -> None:
    """Wait until a service's power has failed, and start it again.

    Args:
        lab: the lab.
        service: a service that will call its own ``crash()``.
        **settings: what it finds in ``service.settings`` from then on.

    Raises:
        ServiceError: as `supervise`.
    """
    if supervise(lab, service, lambda: service.state == "crashed"):
        service.set(**settings)
        service.restart()


def handled(lab: Supervises, group: str, since: float) -> "pd.DataFrame":
    """Return what services have reported as handled for a group.

    Args:
        lab: the lab.
        group: real name, which the reports give as ``group``.
        since: of the lab's clock, s.

    Returns:
        DataFrame: time float64 (s), handled, offset and group as reported.
    """
    rows = lab.reports.reindex(columns=COLUMNS)
    return rows[(rows["group"] == group) & (rows["time"] > since)]


def account(lab: Supervises, topic: str, group: str, since: float) -> dict[str, list[str]]:
    """Return the ids that nobody of a group has handled ("lost"), and those handled "twice".

    Args:
        lab: the lab.
        topic: real name; its values are JSON objects with an ``id``.
        group: real name.
        since: of the lab's clock, s.
    """
    sent = [value["id"] for value in lab.records(topic)["value"]]
    shown = handled(lab, group, since)["handled"]
    return {
        "lost": sorted(set(sent) - set(shown)),
        "twice": sorted(set(shown[shown.duplicated()])),
    }

"""The check of lesson 16: a service of the airport keeps its promises, played alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab_env.checks.result import Result, graded, not_yet, passed

if TYPE_CHECKING:
    from lab_env.lab import Lab

FLIGHTS, SECONDS = 32, 6.0  # a short day: long enough for a crash, a second report, a poison record


@graded
def plays_alone(
    lab: "Lab",
    services: Mapping,
    *,
    date: str = "2013-02-08",
    level: str = "windy",
    seed: int = 1,
) -> Result:
    """Check that services keep their promises, each played alone on a short day.

    The day stands in for the services that are not given. Each service is killed once, hears
    something twice, and meets a poison record.

    Args:
        lab: the lab.
        services: name -> function or path of a program; None for one that is not built yet.
        date: the day of 2013.
        level, seed: as of ``lab.day``.
    """
    missing = [name for name, given in services.items() if given is None]
    if len(missing) == len(services):
        return not_yet("capstone.nothing", services=" and ".join(missing), first=missing[0])
    for name, given in services.items():
        if given is None:
            continue
        card = lab.day(
            date, level=level, seed=seed, flights=FLIGHTS, seconds=SECONDS, **{name: given}
        )
        if not card:
            first, *more = card.failures
            told = {"service": name, "told": first.told, "hint": first.hint, "more": len(more)}
            return not_yet("capstone.broken_more" if more else "capstone.broken", **told)
    if missing:
        return not_yet("capstone.half", services=" and ".join(missing), first=missing[0])
    return passed("capstone.kept", services=" and ".join(services), flights=FLIGHTS)

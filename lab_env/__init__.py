"""A laboratory for asynchronous messaging on a real Apache Kafka, started from a notebook cell.

The front page is three names: `Lab` (starts Kafka, runs services, watches, draws, breaks things),
`check` (grades an exercise by the broker's state) and `flights` (the data of the course's story).

The map, from the top down: each part may use those below it and none above, and a test holds it.

    course        all that a person types: the ``lab`` command, the list of lessons, the doctor,
                  slides, what is freed on disk; course/grading: a class is graded, fenced in
    checks        gather evidence from the broker and the reports, then judge it: pass, or what was
                  found and a hint; a module a lesson
    lab           the object that a lesson holds; it knows the parts below, and they not it
    aws, kubernetes   an AWS account, embedded or real; manifests, and a cluster that the student
                  names: each with its own clean-up
    spring, around, experiments   the Spring application as a service; what stands beside Kafka
                  (containers, RabbitMQ, listeners, forwarded ports); functions measured side by
                  side, and killed at their worst moments
    day           a day of 2013 at the whole airport, with its faults, and what is true at midnight
    drawings      still drawings of the mechanisms, kept as SVG beside the lessons
    figures       live pictures of facts; figures/engine keeps one alive; knows no broker
    classroom     a class, live: what a notebook tells it, who is in it, what the projector shows
    topics        made, made anew, and who used them meanwhile
    observation   samples of the broker, through clients alone; observation/facts: what happened
                  (owners, leaders, pauses, ...), each defined once
    clusters      where Kafka comes from: one interface, one module a way
    processes     the supervisor, a student's function as a process, Java and its jars, folders
    flights       the data of the course's story
    ground        errors, the clock and its marks, reports, waiting, secrets, what this machine has
    messages      everything said to a person, in one catalogue
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_env import flights
    from lab_env.checks import check
    from lab_env.lab import Lab

__all__ = ["Lab", "check", "flights"]

_FRONT_PAGE = {"Lab": ("lab_env.lab", "Lab"), "check": ("lab_env.checks", "check")}


def __getattr__(name: str):
    """Import a name of the front page when it is first used."""
    if name == "flights":
        return import_module("lab_env.flights")
    if name in _FRONT_PAGE:
        module, attribute = _FRONT_PAGE[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

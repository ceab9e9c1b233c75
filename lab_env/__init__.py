"""A laboratory for asynchronous messaging on a real Apache Kafka, started from a notebook cell.

The front page is three names: `Lab` (starts Kafka, runs services, watches, draws, breaks things),
`check` (grades an exercise by the broker's state) and `flights` (the data of the course's story).

The map, in the order in which one part may use another:

    lab           the object that a lesson holds
    lessons, cli  the list of lessons, the ``lab`` command
    checks        observation and reports -> pass, or what was found and a hint
    figures       observation and reports -> live pictures; knows no broker and no process
    measuring, power_cuts   functions measured side by side, and killed at their worst moments
    aws           an AWS account, embedded or real: clients, what exists and costs, its clean-up
    kubernetes    manifests read and checked; a cluster that the student names, never guessed
    repeating     a function that is called again and again: a control loop of the student's
    forwarding    a port that leads to another one, as `kubectl port-forward` does
    spring, rabbitmq   the Spring application of services/airport as a service; the other broker
    service       a student's function as a process (its other side is ``worker``)
    observation   the broker, sampled through clients alone
    containers, listeners   Docker's engine and a student's Compose project; where a broker sends
                  its clients
    clusters      where Kafka comes from: one interface, one module a way
    storage, project   folders on disk, and what is swept; the project's files, also in a wheel
    client_log    what a client on librdkafka logs
    waiting       waiting as long as something goes on, and telling so
    patience, steps   when a wait ends: when nothing moves any more; how far the work has come
    journal, reports   the clock, the marks in the time axis, what services reported
    packages, certificates, limits   what this machine has: the right packages, whom a download
                  trusts, memory and cores
    arguments     what a call was given, looked at first
    errors, messages   what is said to a person, from one catalogue
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

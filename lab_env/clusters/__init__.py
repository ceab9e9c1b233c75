"""Where Kafka comes from: one interface (`cluster`), one module a way, the choice among them."""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module

from lab_env.clusters.cluster import Cluster
from lab_env.ground.errors import BadInputError, LabError
from lab_env.messages import say

WHERE_VARIABLE = "KAFKA_LAB"

# In the order of the automatic choice. Adding a way is adding a module and its line here.
WAYS = {
    "external": "lab_env.clusters.external:External",
    "compose": "lab_env.clusters.compose:Compose",
    "embedded": "lab_env.clusters.embedded:Embedded",
}


def way(name: str) -> type[Cluster]:
    """Return the class of a way to Kafka.

    Raises:
        BadInputError: there is no such way; names those that there are.
    """
    if name not in WAYS:
        raise BadInputError("clusters.no_such_way", where=name, known=", ".join(WAYS))
    module, _, kind = WAYS[name].partition(":")
    return getattr(import_module(module), kind)


def choose(where: str | None = None) -> Callable[..., Cluster] | None:
    """Return the way named ``where``, else by ``KAFKA_LAB``; None if nobody names one.

    An address in place of a name is that of a Kafka which the student runs on this machine.

    Raises:
        BadInputError: no such way, or the named one is not at hand here.
    """
    named = where if where is not None else os.environ.get(WHERE_VARIABLE)
    if named is not None and not isinstance(named, str):
        raise BadInputError("clusters.where_no_text", where=named)
    if not named:
        return None
    if ":" in named:
        return partial(way("external"), address=named)
    chosen = way(named)
    if why := chosen.unavailable():
        raise BadInputError("clusters.way_unavailable", where=named, why=why)
    return chosen


def start(kind: Callable[..., Cluster] | None, brokers: int, *, progress: bool = True) -> Cluster:
    """Start Kafka in the way that was chosen, else in the first that works here.

    A cluster that was named in a variable is meant: if it cannot be used, that is an error. If
    containers cannot be started, that is said in a line, and Kafka runs embedded.

    Args:
        kind: what `choose` returned.
        brokers: how many.
        progress: show downloads.

    Raises:
        LabError: Kafka cannot start; each with the remedy.
    """
    if kind is not None:
        return kind(brokers, progress=progress)
    if way("external").unavailable() is None:
        return way("external")(brokers, progress=progress)
    compose, embedded = way("compose"), way("embedded")
    if not (why := compose.unavailable()):
        try:
            return compose(brokers, progress=progress)
        except LabError as error:
            why = str(error).splitlines()[0]
    print(say("clusters.fell_back", why=why))
    return embedded(brokers, progress=progress)

"""Where Kafka comes from: one interface (`cluster`), one module a way, the choice among them."""

import os
from importlib import import_module

from lab_env.clusters.cluster import Cluster
from lab_env.errors import BadInputError

WHERE_VARIABLE = "KAFKA_LAB"

# In the order of the automatic choice. Adding a way is adding a module and its line here.
WAYS = {
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


def choose(where: str | None = None) -> type[Cluster]:
    """Return the way named ``where``, else by ``KAFKA_LAB``, else the first that is at hand.

    Raises:
        BadInputError: no such way, or the named one is not at hand here.
    """
    named = where if where is not None else os.environ.get(WHERE_VARIABLE)
    if named:
        chosen = way(named)
        if why := chosen.unavailable():
            raise BadInputError("clusters.way_unavailable", where=named, why=why)
        return chosen
    return next(kind for kind in map(way, WAYS) if kind.unavailable() is None)

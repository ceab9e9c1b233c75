"""The one interface of every way to Kafka; nothing above this folder asks which way it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from lab_env import arguments
from lab_env.clusters.made import Made
from lab_env.errors import BadInputError, LabError, NotYoursError
from lab_env.messages import say


class Cluster(ABC):
    """A running Kafka.

    A way to Kafka is a module of this folder with a subclass, named in `lab_env.clusters.WAYS`.
    An instance is ready when its constructor returns: its brokers answer on their ports.

    Attributes:
        way: the way's name, as in ``Lab("embedded")``.
        connection: the keyword arguments for any kafka-python client.
        folder: a folder of this lab on this machine, removed when the lab ends.
        prefix: what the real names of this student's topics and groups begin with; "" on a
            cluster that is hers alone.
        replication: of a topic, at the least: some clusters take no topic with less.
        made: which topics the lab may delete; on a Kafka that it started, all.
        on_event: called with (kind, node id, text) when a broker dies by itself or a fault is
            injected; kinds are those of `lab_env.journal.Mark`.
    """

    way: str
    connection: dict
    folder: Path
    prefix: str = ""
    replication: int = 1
    made: Made = Made()
    on_event: Callable[[str, int, str], None] = staticmethod(lambda kind, node, text: None)

    @classmethod
    @abstractmethod
    def unavailable(cls) -> str | None:
        """Return why this way is not at hand here, in a sentence, or None if it is."""

    @property
    @abstractmethod
    def nodes(self) -> dict[int, str]:
        """The state of each broker by node id: "running", "paused", "stopped" or "dead"."""

    @abstractmethod
    def kill(self, node: int) -> None:
        """End a broker without warning, as a power cut does."""

    @abstractmethod
    def stop(self, node: int) -> None:
        """Let a broker leave in good order (a controlled shutdown)."""

    @abstractmethod
    def start(self, node: int) -> None:
        """Start a broker again that was killed or stopped; returns when its port answers."""

    @abstractmethod
    def pause(self, node: int) -> None:
        """Freeze a broker: not dead, and not alive."""

    @abstractmethod
    def resume(self, node: int) -> None:
        """Let a frozen broker go on."""

    @abstractmethod
    def add_broker(self) -> int:
        """Add a broker to the cluster and return its node id."""

    @abstractmethod
    def log(self, node: int, lines: int = 20) -> str:
        """Return the last lines of a broker's log."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back, in under 2 seconds; idempotent."""

    def wipe(self, node: int) -> None:
        """Take away what a broker that does not run has on its disk.

        Raises NotYoursError: the disk is not this lab's to take away.
        """
        raise NotYoursError("clusters.no_wipe", node=node)

    def trouble(self) -> str | None:
        """Return what is wrong with the cluster, in a sentence, or None as far as it knows."""
        return None

    def explain(self, error: LabError) -> LabError:
        """Return what a failed round trip means here, in place of what the client said."""
        return error

    def train_in_background(self) -> None:  # noqa: B027 - most ways have nothing to do
        """Do in the background what makes the next start faster, if anything does."""

    def check_node(self, node: int, *states: str) -> None:
        """Raise BadInputError unless ``node`` is a broker of this cluster, in one of ``states``."""
        nodes = self.nodes
        if not arguments.is_whole(node) or node not in nodes:
            known = ", ".join(map(str, sorted(nodes)))
            raise BadInputError("clusters.no_such_node", node=node, known=known)
        if states and nodes[node] not in states:
            raise BadInputError(
                "clusters.wrong_state",
                node=node,
                state=say(f"clusters.state_{nodes[node]}"),
                states=" / ".join(say(f"clusters.state_{state}") for state in states),
            )

    def down(self) -> str | None:
        """Return which broker is not running, and what brings it back; None if all run."""
        for node, state in self.nodes.items():
            if state != "running":
                key = "trouble_paused" if state == "paused" else "trouble_down"
                return say(f"clusters.{key}", node=node, state=say(f"clusters.state_{state}"))
        return None

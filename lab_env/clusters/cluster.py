"""The one interface of every way to Kafka; nothing above this folder asks which way it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from lab_env.clusters.made import Made
from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, LabError, NotYoursError
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
            injected; kinds are those of `lab_env.ground.journal.Mark`. When nobody asked for it, a
            fourth argument is the sentence that the notebook must not miss.
    """

    way: str
    connection: dict
    folder: Path
    prefix: str = ""
    replication: int = 1
    made: Made = Made()
    on_event: Callable[..., None] = staticmethod(lambda kind, node, text, notice="": None)

    @abstractmethod
    def __init__(self, brokers: int = 1, *, progress: bool = True):
        """Start Kafka, or find the one that runs; return when its brokers answer.

        Args:
            brokers: how many, at the least.
            progress: show downloads.

        Raises:
            LabError: Kafka cannot be used; each with the remedy.
        """

    @classmethod
    @abstractmethod
    def unavailable(cls) -> str | None:
        """Return why this way is not at hand here, in a sentence, or None if it is."""

    @property
    @abstractmethod
    def nodes(self) -> dict[int, str]:
        """The state of each broker: "running", "starting", "paused", "stopped" or "dead"."""

    @abstractmethod
    def kill(self, node: int) -> None:
        """End a broker without warning, as a power cut does."""

    @abstractmethod
    def stop(self, node: int) -> None:
        """Let a broker leave in good order (a controlled shutdown)."""

    @abstractmethod
    def start(self, *nodes: int) -> None:
        """Start brokers again that were killed or stopped, all of them without a number.

        Returns when they answer; while too few controllers live for that, with a sentence.
        """

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

    def signs(self) -> object:
        """Return something that changes while the cluster works, as far as it can be seen."""
        return None

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
        """Return which brokers are not running, and what brings them back; None if all run."""
        states = {node: state for node, state in self.nodes.items() if state != "running"}
        down = [node for node, state in states.items() if state in ("stopped", "dead")]
        if len(down) > 1:
            return say("clusters.trouble_several", nodes=listed(down))
        for node in down or states:
            told = states[node] if states[node] in ("paused", "starting") else "down"
            state = say(f"clusters.state_{states[node]}")
            return say(f"clusters.trouble_{told}", node=node, state=state)
        return None

    def died(self, nodes: list[int], why: str = "") -> str:
        """Return that brokers have died by themselves, why, and the call that starts them again.

        Args:
            nodes: all that are dead by now.
            why: a sentence, if the reason is known.
        """
        key = "died_one" if len(nodes) == 1 else "died_several"
        first = nodes[0] if nodes else 1
        return " ".join(filter(None, (
            say(f"clusters.{key}", nodes=listed(nodes), node=first), why,
            say(f"clusters.{key}_remedy", node=first),
        )))  # fmt: skip


def listed(nodes: list[int]) -> str:
    """Return node ids as a sentence names them: "1, 2 and 3"."""
    *first, last = map(str, nodes or ["?"])
    return say("clusters.and", first=", ".join(first), last=last) if first else last

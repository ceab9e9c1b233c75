"""A Kafka that sends its clients where you say: to see what becomes of them if it is wrong."""

import weakref

from lab_env.clusters.embedded import Embedded
from lab_env.clusters.first_question import FirstQuestion
from lab_env.clusters.node import write_properties
from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.refusals import refusal


class Broker:
    """One broker of this machine, which can be reached, and advertises the address that it is told.

    It has no topics and no records, and ends with the notebook.

    Args:
        advertised: host, or host:port, as in ``advertised.listeners``; a host alone goes with the
            port on which the broker really listens; None for the address that is right.

    Attributes:
        address: where it really listens, host:port: what a client takes as its bootstrap server.

    Raises:
        BadInputError: what is advertised is no host, and no host:port.
        DownloadError, StorageError, BrokerError: Kafka cannot start here; each with the remedy.
    """

    def __init__(self, advertised: str | None = None):
        if advertised is not None and not _is_place(advertised):
            raise BadInputError("listeners.bad_advertised", got=advertised)
        cluster = _Advertising(advertised)
        self._finalizer = weakref.finalize(self, cluster.close)
        (self.address,) = cluster.connection["bootstrap_servers"]

    def close(self) -> None:
        """End the broker; can be called again."""
        self._finalizer()

    def __enter__(self) -> "Broker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def told_by(address: str, seconds: float = 5.0) -> list[str]:
    """Return the addresses that a broker tells its clients: the brokers of its metadata, host:port.

    It is asked as each client asks at its beginning, and nobody goes to where it points.

    Args:
        address: of the broker, host:port.
        seconds: the deadline.

    Raises:
        BrokerError: nobody answers at the address; or who answers there does not tell.
        BadInputError: the address or the deadline is none.
    """
    from kafka.errors import KafkaError

    if not _is_place(address) or ":" not in address:
        raise BadInputError("listeners.bad_address", got=address)
    arguments.seconds(seconds)
    patience = {"bootstrap_timeout_ms": int(1000 * seconds)}
    question = FirstQuestion()
    try:
        with question.asked(bootstrap_servers=address, **patience) as admin:
            # a question of the client's own would go where it was told, which may lead nowhere
            brokers = admin._manager.cluster.brokers()
    except (KafkaError, OSError) as error:
        if why := question.refusal or refusal(error):
            raise BrokerError("listeners.refused", address=address, why=why) from error
        key = "listeners.hung_up" if question.hung_up else "listeners.no_answer"
        raise BrokerError(key, address=address, seconds=f"{seconds:g}") from error
    return [f"{one.host}:{one.port}" for one in brokers]


def _is_place(text: object) -> bool:
    if not isinstance(text, str):
        return False
    host, colon, port = text.partition(":")
    return bool(host) and not set(host) & set(" /,") and (not colon or port.isdigit())


class _Advertising(Embedded):
    """An embedded Kafka of one broker whose advertised listener is replaced."""

    def __init__(self, advertised: str | None):
        self._advertised = advertised
        super().__init__(1)

    def _lay_out(self) -> None:
        super()._lay_out()
        if self._advertised is None:
            return
        for node in self._nodes.values():
            place = (
                self._advertised if ":" in self._advertised else f"{self._advertised}:{node.port}"
            )
            node.settings["advertised.listeners"] = f"CLIENT://{place}"
            write_properties(node.folder / "server.properties", node.settings)

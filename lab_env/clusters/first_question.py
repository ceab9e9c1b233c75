"""What became of a client's first question, of which kafka-python itself says only "timeout"."""

import contextlib
from typing import TYPE_CHECKING

from lab_env.ground.kafka_compat import quiet_kafka
from lab_env.ground.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Generator

    from kafka import KafkaAdminClient

# by name: kafka-python is imported late
LOGIN_ERRORS = ("SaslAuthenticationFailedError", "UnsupportedSaslMechanismError")


class FirstQuestion:
    """Knows why a client got no answer: ``with question.asked(**connection) as admin:``.

    A broker can refuse, refuse the login, or close the connection; only who does none of these is
    silent.
    """

    def __init__(self):
        self._answers: list[Exception] = []  # to the question itself
        self._ends: list[Exception] = []  # of connections that came to no question
        self._connections, self._logs_in = [], False

    @contextlib.contextmanager
    def asked(self, **connection: object) -> "Generator[KafkaAdminClient]":
        """Have an admin client, which keeps still about what does not answer.

        Args:
            **connection: settings of a ``KafkaAdminClient``.

        Raises:
            KafkaError, OSError: as the client does; what became of the question is known then.
        """
        from kafka import KafkaAdminClient

        with (
            quiet_kafka(),
            contextlib.closing(KafkaAdminClient(kafka_client=self._client, **connection)) as admin,
        ):
            yield admin

    def _client(self, **configs: object) -> object:
        """Make the network part of a client, as its setting ``kafka_client`` asks for it."""
        from kafka.net.compat import KafkaNetClient

        client = KafkaNetClient(**configs)
        self._logs_in = str(configs.get("security_protocol", "")).startswith("SASL")
        cluster, manager = client.cluster, client._manager
        usual = cluster.failed_update

        def failed(error: Exception) -> None:
            self._answers.append(error)
            usual(error)

        cluster.failed_update = failed
        connects = manager.get_connection

        def connecting(*args: object, **kwargs: object) -> object:
            connection = connects(*args, **kwargs)
            if connection not in self._connections:  # a login that is refused is told to it alone
                self._connections.append(connection)
                connection.init_future.add_errback(self._ends.append)
            return connection

        manager.get_connection = connecting
        return client

    @property
    def refusal(self) -> str | None:
        """Kafka's reason, if the last answer was a refusal."""
        return refusal(self._answers[-1], besides=LOGIN_ERRORS) if self._answers else None

    @property
    def login_refused(self) -> bool:
        """Whether a broker has said no to the login; some only close the connection instead."""
        errors = [*self._answers, *self._ends]
        return any(map(is_login_error, errors)) or (self._logs_in and self.hung_up)

    @property
    def hung_up(self) -> bool:
        """Whether a Kafka has told its version, and then closed the connection."""
        from kafka.errors import KafkaConnectionError

        known = any(one.broker_version_data is not None for one in self._connections)
        last = (self._answers or self._ends)[-1:]
        return known and any(isinstance(error, KafkaConnectionError) for error in last)


def is_login_error(error: Exception) -> bool:
    """Return whether a client's error says that the login was refused."""
    return type(error).__name__ in LOGIN_ERRORS

"""What became of a client's first question, of which kafka-python itself says only "timeout"."""

from lab_env.ground.refusals import refusal

# by name: kafka-python is imported late
LOGIN_ERRORS = ("SaslAuthenticationFailedError", "UnsupportedSaslMechanismError")


class FirstQuestion:
    """Knows why a client got no answer: ``KafkaAdminClient(kafka_client=question.client)``.

    A broker can refuse, refuse the login, or close the connection; only who does none of these is
    silent.
    """

    def __init__(self):
        self._client, self._errors = None, []

    def client(self, **configs: object):
        """Make the network part of a client, as its setting ``kafka_client`` asks for it."""
        from kafka.net.compat import KafkaNetClient

        self._client = KafkaNetClient(**configs)
        cluster = self._client.cluster
        usual = cluster.failed_update

        def failed(error: Exception) -> None:
            self._errors.append(error)
            usual(error)

        cluster.failed_update = failed
        return self._client

    @property
    def refusal(self) -> str | None:
        """Kafka's reason, if the last answer was a refusal."""
        return refusal(self._errors[-1], besides=LOGIN_ERRORS) if self._errors else None

    @property
    def login_refused(self) -> bool:
        """Whether a broker has said no to the login."""
        errors = list(self._errors)
        if self._client is not None:
            errors += self._client._manager._auth_failures.values()
        return any(is_login_error(error) for error in errors)

    @property
    def hung_up(self) -> bool:
        """Whether a Kafka has told its version, and then closed the connection."""
        from kafka.errors import KafkaConnectionError

        known = self._client is not None and self._client._manager.broker_version is not None
        return known and bool(self._errors) and isinstance(self._errors[-1], KafkaConnectionError)


def is_login_error(error: Exception) -> bool:
    """Return whether a client's error says that the login was refused."""
    return type(error).__name__ in LOGIN_ERRORS

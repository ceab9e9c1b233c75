"""What an error of a Kafka client means: that nobody answered, or that Kafka has refused."""

import re

REASON = re.compile(r"error_message=(['\"])(.+?)\1, ")
# an answer too, but one that says: ask again, or ask another
NOBODY = ("NetworkExceptionError", "RequestTimedOutError", "UnknownServerError")


def refusal(error: Exception, *, besides: tuple[str, ...] = ()) -> str | None:
    """Return Kafka's own reason for what it refused; None if nobody answered.

    Args:
        error: of a Kafka client, or the system's.
        besides: names of errors that the caller tells in its own words.
    """
    from kafka.errors import BrokerResponseError, KafkaError, RetriableError

    name = type(error).__name__
    if not isinstance(error, KafkaError) or name in (*NOBODY, *besides):
        return None
    if isinstance(error, RetriableError) and not isinstance(error, BrokerResponseError):
        return None  # no connection, no leader known, a deadline that passed
    return f"{name}: {reason(error)}"


def reason(error: Exception) -> str:
    """Return what the broker has written to an error, else what the client says of it."""
    if found := REASON.search(str(error)):
        return found.group(2)
    described = getattr(error, "description", "")
    return described or str(error).partition(": ")[2] or str(error)

"""Readiness is a round trip: what a client can do, not what a log says."""

import contextlib
import logging
import time
from collections.abc import Callable

from lab_env.errors import BrokerError
from lab_env.messages import say

TOPIC = "lab-ready"


@contextlib.contextmanager
def quiet_kafka():
    """Keep kafka-python's log still while refused connections are expected."""
    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def round_trip(
    connection: dict,
    *,
    brokers: int,
    prefix: str = "",
    seconds: float = 60.0,
    trouble: Callable[[], str | None] = lambda: None,
) -> None:
    """Return when a record has been produced, and consumed by a member of a group.

    Args:
        connection: keyword arguments for any kafka-python client.
        brokers: how many brokers must be in the cluster first.
        prefix: what topics and groups must begin with here.
        seconds: the deadline for all of it.
        trouble: says why waiting is useless, or None; asked again and again.

    Raises:
        BrokerError: the deadline passed, or there is trouble.
    """
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    from kafka.errors import KafkaError

    name = f"{prefix}{TOPIC}"
    deadline = time.monotonic() + seconds
    quick = {**connection, "reconnect_backoff_ms": 50, "reconnect_backoff_max_ms": 300}
    last: Exception | None = None
    with quiet_kafka():
        while time.monotonic() < deadline:
            if problem := trouble():
                raise BrokerError("clusters.no_round_trip", why=problem)
            try:
                with contextlib.closing(KafkaAdminClient(**quick)) as admin:
                    if len(admin.describe_cluster()["brokers"]) < brokers:
                        time.sleep(0.05)
                        continue
                    with contextlib.suppress(KafkaError):  # of an attempt before
                        admin.delete_topics([name])
                    admin.create_topics(
                        {name: {"num_partitions": 1, "replication_factor": min(brokers, 3)}},
                        wait_for_metadata=True,
                    )
                    with contextlib.closing(KafkaProducer(**quick)) as producer:
                        producer.send(name, b"ready").get(timeout=10)
                    consumer = KafkaConsumer(
                        name, group_id=name, auto_offset_reset="earliest", **quick
                    )
                    try:
                        while not consumer.poll(timeout_ms=200):
                            if time.monotonic() > deadline:
                                raise TimeoutError(say("clusters.empty_poll"))
                            if problem := trouble():
                                raise BrokerError("clusters.no_round_trip", why=problem)
                    finally:
                        consumer.close()
                    admin.delete_topics([name])
                    with contextlib.suppress(KafkaError):
                        admin.delete_groups([name])
                return
            except (KafkaError, OSError) as error:
                last = error
                time.sleep(0.05)
    raise BrokerError(
        "clusters.no_round_trip",
        why=say("clusters.timeout", seconds=f"{seconds:.0f}", error=repr(last)),
    )

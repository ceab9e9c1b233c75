"""Readiness is a round trip: what a client can do, not what a log says."""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from lab_env.errors import BrokerError
from lab_env.messages import say
from lab_env.waiting import Progress, ProgressLine

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
    signs: Callable[[], object] = lambda: None,
    quiet: bool = True,
) -> None:
    """Return when a record has been produced, and consumed by a member of a group.

    Args:
        connection: keyword arguments for any kafka-python client.
        brokers: how many brokers must be in the cluster first.
        prefix: what topics and groups must begin with here.
        seconds: the deadline for all of it; as long as ``signs`` change it does not pass.
        trouble: says why waiting is useless, or None; asked again and again.
        signs: returns something that changes while the brokers work.
        quiet: do not say that it takes long.

    Raises:
        BrokerError: the deadline passed, or there is trouble.
    """
    from concurrent.futures import ThreadPoolExecutor

    from kafka import KafkaAdminClient, KafkaConsumer
    from kafka.errors import AuthorizationError, KafkaError

    # two labs may be at it at once, and a topic that is not ours must not be in the way
    name = f"{prefix}{TOPIC}-{secrets.token_hex(3)}"
    patience = Progress(signs, still=seconds)
    # a young broker is not ready for the first request of a kind: it is asked again soon
    soon = {"reconnect_backoff_ms": 50, "reconnect_backoff_max_ms": 300, "retry_backoff_ms": 20}
    quick = {**connection, **soon}
    last: Exception | None = None
    with quiet_kafka(), ProgressLine(quiet=quiet) as telling:

        def late() -> bool:
            telling(lambda so_far: say("clusters.waiting_round_trip", seconds=so_far))
            return patience.over()

        while not late():
            if problem := trouble():
                raise BrokerError("clusters.no_round_trip", why=problem)
            try:
                with contextlib.closing(KafkaAdminClient(**quick)) as admin:
                    if len(admin.describe_cluster()["brokers"]) < brokers:
                        time.sleep(0.05)
                        continue
                    _make_topic(admin, name, brokers)
                    # the record goes out while the group forms: each takes a broker 0.2 s at first
                    with ThreadPoolExecutor(1) as pool:
                        sent = pool.submit(_send, name, quick)
                        consumer = KafkaConsumer(
                            name, group_id=name, auto_offset_reset="earliest", **quick
                        )
                        with contextlib.closing(consumer):
                            # a shorter poll can strand the join of kafka-python 3.0.12
                            while not consumer.poll(timeout_ms=1000):
                                if late():
                                    raise TimeoutError(say("clusters.empty_poll"))
                                if problem := trouble():
                                    raise BrokerError("clusters.no_round_trip", why=problem)
                        sent.result()
                    admin.delete_topics([name])
                    with contextlib.suppress(KafkaError):
                        admin.delete_groups([name])
                return
            except AuthorizationError as error:  # waiting brings no rights
                last = error
                break
            except (KafkaError, OSError) as error:
                last = error
                time.sleep(0.05)
    raise BrokerError(
        "clusters.no_round_trip",
        why=say("clusters.timeout", seconds=f"{patience.waited:.0f}", error=repr(last)),
    )


def _make_topic(admin, name: str, brokers: int) -> None:
    """Make the topic of the round trip, in place of one that an attempt before has left."""
    from kafka.errors import TopicAlreadyExistsError

    spec = {name: {"num_partitions": 1, "replication_factor": min(brokers, 3)}}
    try:
        admin.create_topics(spec, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        admin.delete_topics([name])
        admin.create_topics(spec, wait_for_metadata=True)


def _send(topic: str, connection: dict) -> None:
    """Return when a record has been acknowledged."""
    from kafka import KafkaProducer

    with contextlib.closing(KafkaProducer(**connection)) as producer:
        producer.send(topic, b"ready").get(timeout=10)

"""Readiness is a round trip: what a client can do, not what a log says."""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait

from lab_env.ground.errors import BrokerError
from lab_env.ground.kafka_compat import quiet_kafka
from lab_env.ground.patience import Patience
from lab_env.ground.waiting import Progress, ProgressLine, beside
from lab_env.messages import say

TOPIC = "lab-ready"
LOOK = 0.05  # s between two looks
# kafka-python 3.0.12 was seen to wait for ever for its own thread: after so long (s, counted in
# looks) another attempt is made beside the first, and whichever comes to its end is taken
STUCK_SECONDS = 15.0


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
    from kafka.errors import AuthorizationError, KafkaError

    patience = Progress(signs, still=seconds)
    # a young broker is not ready for the first request of a kind: it is asked again soon
    soon = {"reconnect_backoff_ms": 50, "reconnect_backoff_max_ms": 300, "retry_backoff_ms": 20}
    quick = {**connection, **soon}
    over = threading.Event()
    attempts: dict[Future, str] = {}  # and the names of their topics
    left: list[str] = []  # topics that an attempt which failed may have left, for the next one
    stuck = Patience(STUCK_SECONDS, pause=LOOK)
    last: Exception = TimeoutError(say("clusters.empty_poll"))
    with quiet_kafka(), ProgressLine(quiet=quiet) as telling:
        try:
            while not patience.over():
                telling(lambda so_far: say("clusters.waiting_round_trip", seconds=so_far))
                if problem := trouble():
                    raise BrokerError("clusters.no_round_trip", why=problem)
                if not attempts or stuck.over:
                    # two labs may be at it, and a topic that is not ours must not be in the way
                    name = left.pop() if left else f"{prefix}{TOPIC}-{secrets.token_hex(3)}"
                    attempts[beside(_trip, quick, name, brokers, over)] = name
                    stuck = Patience(STUCK_SECONDS, pause=LOOK)
                done, _ = wait(attempts, timeout=LOOK, return_when=FIRST_COMPLETED)
                stuck.look()
                for attempt in done:
                    left.append(attempts.pop(attempt))
                    error = attempt.exception()
                    if error is None:
                        return
                    if not isinstance(error, KafkaError | OSError):
                        raise error
                    last = error
                    if isinstance(error, AuthorizationError):  # waiting brings no rights
                        raise _no_round_trip(patience, last)
                    time.sleep(LOOK)
        finally:
            over.set()
    raise _no_round_trip(patience, last)


def _no_round_trip(patience: Progress, error: Exception) -> BrokerError:
    why = say("clusters.timeout", seconds=f"{patience.waited:.0f}", error=repr(error))
    return BrokerError("clusters.no_round_trip", why=why)


def _trip(connection: dict, name: str, brokers: int, over: threading.Event) -> None:
    """Produce a record and consume it in a group, once.

    Args:
        connection: keyword arguments for any kafka-python client.
        name: of the topic and of the group.
        brokers: how many must be in the cluster first.
        over: set when nobody waits for it any more.

    Raises:
        KafkaError, OSError: it has not worked; another attempt may.
    """
    from concurrent.futures import ThreadPoolExecutor

    from kafka import KafkaAdminClient, KafkaConsumer
    from kafka.errors import KafkaError

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        while len(admin.describe_cluster()["brokers"]) < brokers:
            if over.wait(0.05):
                return
        _make_topic(admin, name, brokers)
        # the record goes out while the group forms: each takes a broker 0.2 s at first
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(_send, name, connection)
            consumer = KafkaConsumer(
                name, group_id=name, auto_offset_reset="earliest", **connection
            )
            with contextlib.closing(consumer):
                # a shorter poll can strand the join of kafka-python 3.0.12
                while not consumer.poll(timeout_ms=1000):
                    if over.is_set():  # nobody waits for it; what it has made goes all the same
                        break
            sent.result()
        admin.delete_topics([name])
        with contextlib.suppress(KafkaError):
            admin.delete_groups([name])


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

"""Making topics: fresh, and ready when the caller hears of them."""

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.patience import Patience
from lab_env.ground.refusals import reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab_env.clusters.made import Made

SECONDS = 20.0  # without any partition more that has a leader
IMPATIENT = {"request_timeout_ms": 5000, "bootstrap_timeout_ms": 5000}


class Before(NamedTuple):
    """The topic that had the name before: how many partitions, and who read it.

    ``readers`` are the client ids of the members of each group, by the group's real name.
    """

    partitions: int
    readers: dict[str, list[str]]


def make_fresh(
    connection: dict,
    name: str,
    partitions: int,
    replication: int,
    configs: dict[str, str],
    made: "Made",
    leaving: "Callable[[Before], None]" = lambda before: None,
) -> Before | None:
    """Delete the topic if it exists, make it, and return when every partition has a leader.

    Args:
        connection: keyword arguments for any kafka-python client.
        name: real name.
        partitions, replication: as Kafka means them.
        configs: settings by Kafka's names.
        made: says whether one that is there may be deleted, and keeps what is made.
        leaving: called before one that is there is deleted.

    Returns:
        What was there before; None if there was no such topic.

    Raises:
        BadInputError: Kafka refused a setting.
        NotYoursError: the topic is there, and may not be deleted.
        BrokerError: it does not become ready.
        KafkaError: Kafka does not answer, or refuses.
    """
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource
    from kafka.errors import (
        InvalidConfigurationError,
        TopicAlreadyExistsError,
        UnknownTopicOrPartitionError,
    )

    wanted = {
        "num_partitions": partitions,
        "replication_factor": replication,
        "configs": configs,
    }
    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        old = admin.describe_topics([name])[0]
        there = not old["error_code"]
        made.begin(name, old["topic_id"] if there else None)
        before = None
        if there:
            readers = _readers(connection, name, made.prefix)
            before = Before(len(old["partitions"]), readers)
            leaving(before)
        patience = Patience(SECONDS, pause=0.05)
        while True:
            with contextlib.suppress(UnknownTopicOrPartitionError):
                # Kafka 4.3.1 gives the settings of a deleted topic to the next one of its name,
                # when a broker is started again: so take them from it first
                admin.reset_configs([ConfigResource("TOPIC", name, [])], raise_on_unknown=False)
                admin.delete_topics([name])
            try:
                new = admin.create_topics({name: wanted})["topics"][0]
                made.end(name, str(new["topic_id"]))  # at once: an Interrupt may come
                break
            except InvalidConfigurationError as error:
                raise BadInputError("lab.topic_config", name=name, why=reason(error)) from error
            except TopicAlreadyExistsError as error:
                # a client that still asks for the old topic made Kafka create it again
                patience.look()
                if patience.over:
                    raise BrokerError(
                        "lab.topic_timeout", name=name, seconds=f"{SECONDS:.0f}", why=error
                    ) from error
                time.sleep(0.05)
        while True:
            found = admin.describe_topics([name])[0]["partitions"]
            led = sum(p["leader_id"] >= 0 for p in found)
            if len(found) == led == partitions:
                return before
            patience.look(led)
            if patience.over:
                raise BrokerError(
                    "lab.topic_timeout", name=name, seconds=f"{SECONDS:.0f}", why=found
                )
            time.sleep(0.05)


def _readers(connection: dict, name: str, prefix: str) -> dict[str, list[str]]:
    """Return the client ids of who reads a topic now, by group; nothing if it cannot be found out.

    Args:
        connection: keyword arguments for any kafka-python client.
        name: of the topic.
        prefix: what the groups begin with that may be looked at.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    from lab_env.observation.groups import describe

    # a group whose coordinator is down must not keep the topic waiting
    with (
        contextlib.suppress(KafkaError),
        contextlib.closing(KafkaAdminClient(**connection | IMPATIENT)) as admin,
    ):
        groups = [one["group_id"] for one in admin.list_groups()]
        found = describe(admin, [group for group in groups if group.startswith(prefix)])
        return {
            group: sorted({member.client for member in told.members})
            for group, told in found.items()
            if any(topic == name for one in told.members for topic, _ in one.owns)
        }
    return {}

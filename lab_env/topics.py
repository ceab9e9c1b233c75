"""Making topics: fresh, and ready when the caller hears of them."""

import contextlib
import re
import time

from lab_env.errors import BadInputError, BrokerError
from lab_env.patience import Patience

SECONDS = 20.0  # without any partition more that has a leader


def make_fresh(
    connection: dict, name: str, partitions: int, replication: int, configs: dict[str, str]
) -> None:
    """Delete the topic if it exists, make it, and return when every partition has a leader.

    Args:
        connection: keyword arguments for any kafka-python client.
        name: real name.
        partitions, replication: as Kafka means them.
        configs: settings by Kafka's names.

    Raises:
        BadInputError: Kafka refused a setting.
        BrokerError: it does not become ready.
        KafkaError: Kafka does not answer.
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
    patience = Patience(SECONDS, pause=0.05)
    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        while True:
            with contextlib.suppress(UnknownTopicOrPartitionError):
                # Kafka 4.3.1 gives the settings of a deleted topic to the next one of its name,
                # when a broker is started again: so take them from it first
                admin.reset_configs([ConfigResource("TOPIC", name, [])], raise_on_unknown=False)
                admin.delete_topics([name])
            try:
                admin.create_topics({name: wanted}, wait_for_metadata=True)
                break
            except InvalidConfigurationError as error:
                found = re.search(r"error_message=(['\"])(.*?)\1, topic_config", str(error))
                why = found.group(2) if found else "?"
                raise BadInputError("lab.topic_config", name=name, why=why) from error
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
                return
            patience.look(led)
            if patience.over:
                raise BrokerError(
                    "lab.topic_timeout", name=name, seconds=f"{SECONDS:.0f}", why=found
                )
            time.sleep(0.05)

"""What was set on the brokers, beside Kafka's own defaults: told by the brokers themselves."""

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["setting", "here", "default"]
# addresses, identity and folders have to be set anywhere: they change nothing that a lesson says
PLUMBING = (
    "advertised.", "broker.id", "controller.listener", "controller.quorum", "early.start.",
    "inter.broker.", "listener.", "listeners", "log.dir", "metadata.log.dir", "node.id",
    "process.roles", "sasl.", "ssl.", "security.", "zookeeper.",
)  # fmt: skip


def changed(connection: dict) -> "pd.DataFrame":
    """Return the settings of the brokers that are not Kafka's defaults.

    Asks one broker, by DescribeConfigs with its synonyms, in which the default is the last one.

    Args:
        connection: keyword arguments for any kafka-python client.

    Returns:
        DataFrame, a row a setting, by name: setting, here, default (all str; "" where Kafka has
        none, or tells none).

    Raises:
        KafkaError: the broker does not answer, or refuses.
    """
    import pandas as pd
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        node = str(min(one["broker_id"] for one in admin.describe_cluster()["brokers"]))
        broker = ConfigResource("BROKER", node)
        answer = admin.describe_configs([broker], include_synonyms=True, config_filter="all")
        told = answer["broker"][node]
    rows = []
    for name, one in sorted(told.items()):
        defaults = [s["value"] for s in one["synonyms"] if s["source"] == "DEFAULT_CONFIG"]
        here, default = one["value"] or "", (defaults or [None])[0] or ""
        if here != default and not name.startswith(PLUMBING):
            rows.append((name, here, default))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)

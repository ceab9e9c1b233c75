"""Single looks at the broker, for checks and for a student who asks: records, groups, topics."""

import contextlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard

from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.patience import Patience, Telling
from lab_env.messages import say
from lab_env.observation import sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from kafka import KafkaConsumer
    from kafka.consumer.fetcher import ConsumerRecord

    from lab_env.observation.groups import Description

SILENT = 30.0  # s in which a broker that is there hands out some record, however busy it is
TRIES = (10, 30)  # s for an answer: at first, and then
RECORD_COLUMNS = ["partition", "offset", "timestamp", "key", "value", "headers"]


def records(
    connection: dict, topic: str, *, limit: int = 1_000_000, seconds: float = SILENT
) -> "pd.DataFrame":
    """Return the records that ``topic`` holds now, oldest first in each partition.

    Reads without a group, so nothing is committed and nobody's partitions move.

    Args:
        connection: keyword arguments for any kafka-python client.
        topic: real name of the topic.
        limit: how many records at the most.
        seconds: after which it gives up if no further record has come (s).

    Returns:
        DataFrame: partition int64, offset int64, timestamp datetime64[ms, UTC], key (str or None),
        value (what the JSON says, else str, else bytes, None for a tombstone), headers (dict of
        str to str).

    Raises:
        BadInputError: there is no such topic.
        BrokerError: no further record has come for so long.
    """
    import pandas as pd

    rows = [
        (
            r.partition,
            r.offset,
            r.timestamp,
            text_of(r.key),
            value_of(r.value),
            {name: text_of(value) for name, value in r.headers or ()},
        )
        for r in islice(raw(connection, topic, seconds=seconds), limit)
    ]
    frame = pd.DataFrame(rows, columns=RECORD_COLUMNS)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
    frame = frame.astype({"partition": "int64", "offset": "int64"})
    return frame.sort_values(["partition", "offset"], ignore_index=True)


def raw(connection: dict, topic: str, *, seconds: float = SILENT) -> "Iterator[ConsumerRecord]":
    """Yield the records that ``topic`` holds now byte for byte, in order in each partition.

    Args:
        connection: keyword arguments for any kafka-python client.
        topic: real name of the topic.
        seconds: after which it gives up if no further record has come (s).

    Raises:
        BadInputError: there is no such topic.
        BrokerError: no further record has come for so long.
    """
    consumer, starts, ends = _opened(connection, topic)
    with contextlib.closing(consumer):
        places = list(ends)
        count, wanted = 0, sum(ends.values()) - sum(starts.values())
        patience = Patience(seconds, pause=0.2)
        telling = Telling(
            lambda s: say("lab.reading", topic=topic, seconds=s, count=count, wanted=wanted)
        )
        # the position and not the count of records: markers and compaction leave gaps
        while any(consumer.position(place) < ends[place] for place in places):
            if patience.over:
                raise BrokerError(
                    "lab.read_timeout", topic=topic, seconds=seconds, count=count, wanted=wanted
                )
            for place, batch in consumer.poll(timeout_ms=200).items():
                count += len(batch)
                yield from (record for record in batch if record.offset < ends[place])
            patience.look([consumer.position(place) for place in places])
            telling.look()


def _opened(connection: dict, topic: str) -> "tuple[KafkaConsumer, dict, dict]":
    """Return a consumer at the beginning of a topic, and where its partitions begin and end.

    Who finds no answer asks again, with more time: on a busy machine one answer can be lost.
    """
    from kafka.errors import KafkaError

    with contextlib.suppress(KafkaError):
        return _open(connection, topic, TRIES[0])
    return _open(connection, topic, TRIES[1])


def _open(connection: dict, topic: str, seconds: int) -> "tuple[KafkaConsumer, dict, dict]":
    from kafka import KafkaConsumer, TopicPartition

    own: dict[str, object] = {"request_timeout_ms": 1000 * seconds}
    own |= {"bootstrap_timeout_ms": 1000 * seconds}
    own |= {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
    with contextlib.ExitStack() as opened:
        consumer = opened.enter_context(contextlib.closing(KafkaConsumer(**connection | own)))
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            raise BadInputError("lab.no_such_topic", topic=topic)
        places = [TopicPartition(topic, partition) for partition in sorted(partitions)]
        consumer.assign(places)
        starts, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        opened.pop_all()  # it stays open
    return consumer, starts, ends


def text_of(data: bytes | None) -> Any:
    """Return bytes as text, or as they are if they are no text."""
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def value_of(data: bytes | None) -> Any:
    """Return what the JSON in ``data`` says, else its text, else the bytes."""
    text = text_of(data)
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def is_id(value: object) -> TypeGuard[str | int | float]:
    """Return whether a value can be an id: a text or a number; JSON knows lists and objects too."""
    return isinstance(value, str | int | float)


def id_of(value: object) -> str | int | float | None:
    """Return the ``id`` of a record's value, or None: it has none, or one that cannot be one."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if is_id(found) else None


def settings(connection: dict, topic: str) -> dict[str, str]:
    """Return the settings of ``topic`` that are in force, its own and the defaults, by name.

    Raises:
        BadInputError: there is no such topic.
    """
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        found = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
    if not (settings := found["topic"][topic]):
        raise BadInputError("lab.no_such_topic", topic=topic)
    return {name: one["value"] for name, one in settings.items()}


def committed(connection: dict, group: str, topic: str) -> dict[int, int]:
    """Return what ``group`` has committed of ``topic``: the next offset to read by partition."""
    from kafka import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        offsets = admin.list_group_offsets(group)[group]
    return {p.partition: o.offset for p, o in offsets.items() if p.topic == topic and o.offset >= 0}


def end_offsets(connection: dict, topic: str) -> dict[int, int]:
    """Return the offset that the next record will get, by partition; empty if no such topic."""
    return _offsets(connection, topic, "end_offsets")[0]


def lag(connection: dict, topic: str, group: str) -> dict[int, int]:
    """Return how many records of a topic lie before a group, by partition; empty if no such topic.

    Where it has committed nothing, all that are kept count: as for one that reads from the
    beginning. Of a share group it is Kafka's own number, where the group has begun.
    """
    waits = sample.waiting(*positions(connection, topic, group))
    return waits | {p: one.lag for p, one in shared(connection, topic, group).items()}


def shared(connection: dict, topic: str, group: str) -> "dict[int, sample.SharePosition]":
    """Return how far a share group is in a topic, by partition; empty if there is no such group."""
    from kafka import KafkaAdminClient

    from lab_env.observation import share_groups

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        found = share_groups.positions(admin, [group])[group]
    return {p: one for (name, p), one in found.items() if name == topic and one.lag >= 0}


def positions(connection: dict, topic: str, group: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return the end offsets of a topic, and where a group goes on, both by partition."""
    ends, beginnings = _offsets(connection, topic, "end_offsets", "beginning_offsets")
    return ends, sample.positions(ends, committed(connection, group, topic), beginnings)


def _offsets(connection: dict, topic: str, *which: str) -> list[dict[int, int]]:
    from kafka import KafkaConsumer, TopicPartition

    with contextlib.closing(KafkaConsumer(**connection)) as consumer:
        partitions = consumer.partitions_for_topic(topic) or ()
        places = [TopicPartition(topic, p) for p in partitions]
        found = [getattr(consumer, one)(places) for one in which]
    return [{place.partition: offset for place, offset in one.items()} for one in found]


def groups(connection: dict) -> dict[str, dict]:
    """Return every group that the cluster knows, by name: classic, consumer, share, Streams.

    Returns:
        For each a dict in kafka-python's words: group_state, and members, a list of dicts of
        member_id, client_id, client_host and member_assignment (assigned_partitions: topic,
        partitions); and group_type as Kafka names it. In a share group one partition is told of
        every member that reads it.
    """
    from kafka import KafkaAdminClient

    from lab_env.observation.groups import describe

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        names = [group["group_id"] for group in admin.list_groups()]
        found = describe(admin, names)
        classic = [name for name in names if found[name].protocol in ("classic", "")]
        told = admin.describe_groups(classic) if classic else {}
    told = {name: group | {"group_type": "classic"} for name, group in told.items()}
    return told | {name: _as_dict(found[name]) for name in names if name not in told}


def _as_dict(group: "Description") -> dict:
    members = []
    for member in group.members:
        topics: dict[str, list[int]] = {}
        for topic, partition in member.owns:
            topics.setdefault(topic, []).append(partition)
        owned = [{"topic": topic, "partitions": some} for topic, some in topics.items()]
        members.append(
            {
                "member_id": member.id,
                "client_id": member.client,
                "client_host": member.host,
                "member_assignment": {"assigned_partitions": owned},
            }
        )
    return {"group_state": group.state, "group_type": group.protocol, "members": members}

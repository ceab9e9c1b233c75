"""What a cell asks of a group, as frames: who owns what, and how far it has come."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from lab_env.ground.errors import BadInputError
from lab_env.observation import queries, share_groups
from lab_env.observation.groups import Description, describe, named_members

if TYPE_CHECKING:
    import pandas as pd

ASSIGNMENT_COLUMNS = {"member": "object", "topic": "object", "partition": "Int64"}
LAG_COLUMNS = {
    "topic": "object",
    "partition": "int64",
    "committed_offset": "Int64",
    "end_offset": "int64",
    "lag": "Int64",
}


@contextlib.contextmanager
def looking_at(connection: dict, group: str) -> Generator[Callable[[], Description]]:
    """Give a function that returns a group as its coordinator tells it now; one client asks.

    Args:
        connection: keyword arguments for any kafka-python client.
        group: real name.

    Raises:
        KafkaError: the coordinator does not answer, or refuses.
    """
    from kafka import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        yield lambda: describe(admin, [group])[group]


def is_settled(group: Description, members: int) -> bool:
    """Return whether a group is stable, with so many members, of which some own something.

    In a share group, where nobody has to be idle, all of them.
    """
    enough = all if group.protocol == share_groups.SHARE else any
    owns = enough(member.owns for member in group.members)
    return group.state == "Stable" and len(group.members) == members and (owns or not members)


def members(group: Description) -> list[str]:
    """Return the names of a group's members, as `assignment` has them."""
    return [name for name, _ in named_members(group.members)]


def assignment(group: Description) -> "pd.DataFrame":
    """Return who owns what: a row a partition, and a row without one for an idle member.

    In a share group it is who reads what: a row for each member and partition.
    """
    import pandas as pd

    rows = [
        (name, topic, partition)
        for name, member in named_members(group.members)
        for topic, partition in sorted(member.owns) or [(None, None)]
    ]
    return pd.DataFrame(rows, columns=list(ASSIGNMENT_COLUMNS)).astype(ASSIGNMENT_COLUMNS)


def lag(connection: dict, group: str, topics: Iterable[str] = ()) -> "pd.DataFrame":
    """Return how far a group has come: a row a partition; see `lab_env.lab.Lab.lag`.

    Of a share group the start offset stands as the committed one, and the lag is Kafka's own: what
    is not done with from there on. It may be less than the distance of the two offsets.

    Raises:
        BadInputError: a topic that is named does not exist.
    """
    import pandas as pd
    from kafka import KafkaAdminClient

    lags = {}
    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        if describe(admin, [group])[group].protocol == share_groups.SHARE:
            shared = share_groups.positions(admin, [group])[group]
            offsets = {place: one.start for place, one in shared.items()}
            lags = {place: one.lag for place, one in shared.items() if one.lag >= 0}
        else:
            told = admin.list_group_offsets(group)[group]
            offsets = {
                (p.topic, p.partition): one.offset for p, one in told.items() if one.offset >= 0
            }
    asked = sorted(set(topics) or {topic for topic, _ in offsets})
    rows = []
    for topic in asked:
        if not (ends := queries.end_offsets(connection, topic)):
            raise BadInputError("lab.no_such_topic", topic=topic)
        for partition, end in sorted(ends.items()):
            offset = offsets.get((topic, partition))
            behind = None if offset is None else max(end - offset, 0)
            behind = lags.get((topic, partition), behind)
            rows.append((topic, partition, offset, end, behind))
    return pd.DataFrame(rows, columns=list(LAG_COLUMNS)).astype(LAG_COLUMNS)

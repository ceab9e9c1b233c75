"""What a broker tells of share groups (KIP-932) alone: how far they are, and their lag."""

from typing import TYPE_CHECKING

from lab_env.observation.protocol import groups_in, message
from lab_env.observation.sample import Place, SharePosition

if TYPE_CHECKING:
    from collections.abc import Iterable

SHARE = "share"


def positions(admin, groups: "Iterable[str]") -> dict[str, dict[Place, SharePosition]]:
    """Return how far each share group is, by partition.

    A partition in which nobody of the group has read yet is left out: where it will begin is
    decided then (``share.auto.offset.reset``).

    Args:
        admin: a KafkaAdminClient.
        groups: real names of share groups; of one that does not exist nothing is told.

    Raises:
        KafkaError: a coordinator does not answer, or refuses.
    """
    names = list(groups)
    return admin._manager.run(_positions, admin, names) if names else {}


async def _positions(admin, groups: list[str]) -> dict[str, dict[Place, SharePosition]]:
    found: dict[str, dict[Place, SharePosition]] = {name: {} for name in groups}
    for name, node in (await admin._find_coordinator_ids(groups)).items():
        asked = message("DescribeShareGroupOffsetsRequest").AskedGroup(group_id=name, topics=None)
        # None: all its topics
        for group in await groups_in(admin, node, "DescribeShareGroupOffsets", groups=[asked]):
            found[name] = {
                (topic.topic_name, one.partition_index): SharePosition(one.start_offset, one.lag)
                for topic in group.topics
                for one in topic.partitions
                if not one.error_code and one.start_offset >= 0
            }
    return found

"""What a broker tells of share groups (KIP-932): their members, how far they are, and their lag."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.observation.protocol import message, request
from lab_env.observation.sample import Place, SharePosition

if TYPE_CHECKING:
    from collections.abc import Iterable

SHARE = "share"


@dataclass(frozen=True, slots=True)
class ShareDescription:
    """A share group as its coordinator describes it; ``members`` are the protocol's own."""

    state: str
    epoch: int
    members: list


async def describe(admin, node: int, groups: list[str]) -> dict[str, ShareDescription]:
    """Return those of ``groups`` that are share groups.

    Args:
        admin: a KafkaAdminClient.
        node: their coordinator.
        groups: real names.

    Raises:
        KafkaError: the coordinator does not answer, or refuses.
    """
    from kafka.errors import GroupIdNotFoundError, UnsupportedVersionError, for_code

    question = request("ShareGroupDescribe", group_ids=groups, include_authorized_operations=False)
    try:
        response = await admin._manager.send(question, node_id=node)
    except UnsupportedVersionError:  # a broker before 4.1, or one whose share groups are off
        return {}
    found = {}
    for group in response.groups:
        if group.error_code == GroupIdNotFoundError.errno:
            continue
        if group.error_code:
            raise for_code(group.error_code)(group.error_message)
        found[group.group_id] = ShareDescription(
            group.group_state, group.group_epoch, list(group.members)
        )
    return found


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
    from kafka.errors import GroupIdNotFoundError, UnsupportedVersionError, for_code

    found: dict[str, dict[Place, SharePosition]] = {name: {} for name in groups}
    for name, node in (await admin._find_coordinator_ids(groups)).items():
        asked = message("DescribeShareGroupOffsetsRequest").AskedGroup(group_id=name, topics=None)
        question = request("DescribeShareGroupOffsets", groups=[asked])  # None: all its topics
        try:
            response = await admin._manager.send(question, node_id=node)
        except UnsupportedVersionError:  # as above
            continue
        for group in response.groups:
            if group.error_code == GroupIdNotFoundError.errno:
                continue
            if group.error_code:
                raise for_code(group.error_code)(group.error_message)
            found[name] = {
                (topic.topic_name, one.partition_index): SharePosition(one.start_offset, one.lag)
                for topic in group.topics
                for one in topic.partitions
                if not one.error_code and one.start_offset >= 0
            }
    return found

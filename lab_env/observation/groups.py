"""What a broker tells of groups: classic, of the new protocol (KIP-848), share, Streams, others."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lab_env.observation.protocol import groups_in
from lab_env.observation.sample import Place

DEAD = "Dead"
NOBODY: Mapping[str, str] = {}
# the question by the protocol of a group in which the broker assigns
STREAMS = "streams"
QUESTIONS = {
    "consumer": "ConsumerGroupDescribe",
    "share": "ShareGroupDescribe",
    STREAMS: "StreamsGroupDescribe",
}
# kinds that are described wherever they are listed; a broker may list others, and not describe them
DESCRIBED = ("classic", "consumer", "share")


@dataclass(frozen=True, slots=True)
class Member:
    """A member: the ids that Kafka knows it by, and the partitions that it owns.

    In a share group nobody owns a partition: several members may read one, and it is told of each.
    A member of a Streams group owns what its active tasks read, repartitioned records with them.
    """

    id: str
    client: str
    owns: tuple[Place, ...] = ()
    host: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """A group as its coordinator tells it.

    ``state`` in Kafka's words; ``protocol`` "classic", "consumer", "share" or "streams", "" of a
    group that does not exist; of a type that is not described here, Kafka's word for it: of such a
    group there is a state, and nothing is told of members; ``generation`` the group's epoch, -1 in
    the classic protocol, whose description has none; ``coordinator`` the node id of the broker that
    looks after the group.
    """

    state: str = DEAD
    protocol: str = ""
    generation: int = -1
    coordinator: int = -1
    members: list[Member] = field(default_factory=list)


def names_of(members: Iterable[Member], known: Mapping[str, str] = NOBODY) -> dict[str, str]:
    """Return a name for each member id: its client id, numbered where several have the same.

    Args:
        members: of one group, now.
        known: the names by member id of the sample before; who had a name keeps it.
    """
    members = list(members)
    names = {member.id: known[member.id] for member in members if member.id in known}
    for member in members:
        if member.id not in names:
            taken, name, number = set(names.values()), member.client, 2
            while name in taken:
                name, number = f"{member.client} ({number})", number + 1
            names[member.id] = name
    return names


def named_members(members: Iterable[Member]) -> list[tuple[str, Member]]:
    """Return members with their names, in the order of their client ids."""
    ordered = sorted(members, key=lambda member: (member.client, member.id))
    return list(zip(names_of(ordered).values(), ordered, strict=True))


def describe(admin, groups: list[str]) -> dict[str, Description]:
    """Return a description of each group; one that does not exist has state "Dead".

    Args:
        admin: a KafkaAdminClient.
        groups: real names.

    Raises:
        KafkaError: a coordinator does not answer, or refuses.
    """
    return admin._manager.run(_describe, admin, groups) if groups else {}


async def _describe(admin, groups: list[str]) -> dict[str, Description]:
    found: dict[str, Description] = {}
    by_coordinator = defaultdict(list)
    for group, node in (await admin._find_coordinator_ids(groups)).items():
        by_coordinator[node].append(group)
    for node, names in by_coordinator.items():
        response = await admin._manager.send(admin._describe_groups_request(names), node_id=node)
        for name, group in admin._describe_groups_process_response(response).items():
            found[name] = Description(
                group["group_state"],
                "" if group["group_state"] == DEAD else "classic",
                coordinator=node,
                members=[
                    Member(
                        m["member_id"],
                        m["client_id"],
                        _classic(m["member_assignment"]),
                        m["client_host"],
                    )
                    for m in group["members"]
                ],
            )
        # to the question of one protocol the broker answers that groups of others do not exist
        for protocol in QUESTIONS:
            if unknown := [name for name in names if found[name].state == DEAD]:
                found |= await _describe_as(admin, node, unknown, protocol)
        # and to all four that one of a kind does not which nobody knew when this was written
        if unknown := [name for name in names if found[name].state == DEAD]:
            found |= await _list_others(admin, node, unknown)
    return found


async def _list_others(admin, node: int, groups: list[str]) -> dict[str, Description]:
    """Return the groups that their coordinator lists, though it does not describe them."""
    listed = {one["group_id"]: one for one in await admin._async_list_groups([node])}
    return {
        name: Description(listed[name]["group_state"], kind, coordinator=node)
        for name in groups
        if name in listed and (kind := _kind(listed[name])) not in DESCRIBED
    }


def _kind(listed: dict) -> str:
    """Return the type of a group in a list; before Kafka 4.0 there was but one."""
    return (listed.get("group_type") or "classic").lower()


async def _describe_as(admin, node: int, groups: list[str], protocol: str) -> dict:
    """Return those groups that are of a protocol in which the broker assigns, described."""
    asked = {"group_ids": groups, "include_authorized_operations": False}
    return {
        group.group_id: Description(
            group.group_state, protocol, group.group_epoch, node, _members(group, protocol)
        )
        for group in await groups_in(admin, node, QUESTIONS[protocol], **asked)
    }


def _members(group, protocol: str) -> list[Member]:
    """Return the members as the protocols tell them in which the broker assigns."""
    read = _read_by_tasks(group) if protocol == STREAMS else {}
    found = []
    for told in group.members:
        if protocol == STREAMS:
            parts = [
                (topic, task.partitions)
                for task in told.assignment.active_tasks
                for topic in read.get(task.subtopology_id, ())
            ]
        else:
            parts = [(one.topic_name, one.partitions) for one in told.assignment.topic_partitions]
        owns = tuple((topic, partition) for topic, some in parts for partition in some)
        found.append(Member(told.member_id, told.client_id, owns, told.client_host))
    return found


def _read_by_tasks(group) -> dict[str, list[str]]:
    """Return the topics that a task of each subtopology of a Streams group reads, by its id.

    Those of one subtopology have as many partitions; until they are there, nothing is told.
    """
    subtopologies = (group.topology and group.topology.subtopologies) or ()
    return {
        one.subtopology_id: [
            *one.source_topics,
            *(topic.name for topic in one.repartition_source_topics),
        ]
        for one in subtopologies
    }


def _classic(assignment) -> tuple[Place, ...]:
    topics = (assignment or {}).get("assigned_partitions", ())
    return tuple((topic["topic"], p) for topic in topics for p in topic["partitions"])

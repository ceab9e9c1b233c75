"""What exists in an account, of this lesson or of anybody: a row a thing, with its cost a day."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from lab_env.aws import costs
from lab_env.aws.errors import told

TAG = "kafka-lab"
ROLES = f"/{TAG}/"  # the path of the lesson's roles
PREFIX = "airport"  # what the lesson's log groups and task definitions begin with
PUBLIC = "/aws/service/"  # parameters of Amazon's own
LIVING = ("pending", "running", "stopping", "stopped")  # an instance that is more than a memory
MOST_DEFINITIONS = 100  # the newest; an old account can have thousands
PAGE = 100  # of what ECS describes in one call


class Thing(NamedTuple):
    """Something that exists in an account.

    ``name`` is what a person calls it, ``mine`` how it is known to be of this lesson: "tag",
    "session" (created here, without the tag), "part" (it comes and goes with one that is), or "".
    """

    kind: str
    id: str
    name: str
    state: str
    mine: str
    usd_a_day: float = 0.0
    of: str = ""  # the id of what it is a part of


Client = Callable[[str], Any]  # boto3 makes its clients, and their calls, at runtime


def things(client: Client, owner: str, noted: set[str]) -> list[Thing]:
    """Return what exists, in the order in which it is deleted.

    Of log groups and task definitions the tags are asked for only if their names begin with
    `PREFIX`, or if they were created here; of snapshots only those are asked for that bear `TAG`,
    or were created here: an emulator has a thousand of Amazon's.

    Args:
        client: returns the client of a service by its name.
        owner: the value of the tag.
        noted: ids that were created through this account's clients.

    Raises:
        AccountError: the account does not answer, or does not let us look.
    """
    look = _Look(client, owner, noted)
    with told():
        return [
            *look.services_and_tasks(),
            *look.clusters(),
            *look.definitions(),
            *look.instances(),
            *look.addresses(),
            *look.volumes(),
            *look.snapshots(),
            *look.groups(),
            *look.key_pairs(),
            *look.log_groups(),
            *look.parameters(),
            *look.roles(),
        ]


def pages(client: Any, operation: str, field: str, **params: object) -> Iterator[Any]:
    """Return what a call lists, over all its pages."""
    if not client.can_paginate(operation):
        yield from getattr(client, operation)(**params)[field]
        return
    for page in client.get_paginator(operation).paginate(**params):
        yield from page[field]


def instances(ec2: Any, **params: object) -> Iterator[dict]:
    """Return the instances that are more than a memory."""
    for one in pages(ec2, "describe_instances", "Reservations", **params):
        yield from (i for i in one["Instances"] if i["State"]["Name"] in LIVING)


class _Look:
    def __init__(self, client: Client, owner: str, noted: set[str]):
        self.client, self.owner, self.noted = client, owner, noted
        self._instances: set[str] = set()  # those that are ours
        self._clusters: list[dict] | None = None

    def mine(self, id: str, tags: dict[str, str]) -> str:
        if tags.get(TAG) == self.owner:
            return "tag"
        return "session" if id in self.noted else ""

    def _may_be_ours(self, name: str, id: str) -> bool:
        """Return whether a thing is worth a call for its tags: an old account has thousands."""
        return name.startswith(PREFIX) or id in self.noted

    # -- EC2 ------------------------------------------------------------------------------------

    def instances(self) -> Iterator[Thing]:
        for one in instances(self.client("ec2")):
            id, state, tags = one["InstanceId"], one["State"]["Name"], tags_of(one.get("Tags"))
            mine = self.mine(id, tags)
            if mine:
                self._instances.add(id)
            cost = costs.instance(one["InstanceType"]) if state == "running" else 0.0
            yield Thing("instance", id, tags.get("Name", one["InstanceType"]), state, mine, cost)
            if address := one.get("PublicIpAddress"):
                part = "part" if mine else ""
                yield Thing(
                    "public address", address, address, "in use", part, costs.public_address(), id
                )

    def addresses(self) -> Iterator[Thing]:
        for one in self.client("ec2").describe_addresses()["Addresses"]:
            id, tags = one.get("AllocationId", one["PublicIp"]), tags_of(one.get("Tags"))
            state = "in use" if one.get("AssociationId") else "unused"
            # one that is in use is counted with its instance
            cost = 0.0 if one.get("InstanceId") else costs.public_address()
            name = tags.get("Name", one["PublicIp"])
            yield Thing("elastic address", id, name, state, self.mine(id, tags), cost)

    def volumes(self) -> Iterator[Thing]:
        for one in pages(self.client("ec2"), "describe_volumes", "Volumes"):
            id, tags = one["VolumeId"], tags_of(one.get("Tags"))
            at = next((a["InstanceId"] for a in one.get("Attachments", ())), "")
            mine = self.mine(id, tags)
            part = next((a.get("DeleteOnTermination") for a in one.get("Attachments", ())), False)
            if at in self._instances and (part or not mine):
                mine = mine or "part"
            of = at if part else ""
            name = tags.get("Name", f"{one['Size']} GiB")
            yield Thing("volume", id, name, one["State"], mine, costs.disk(one["Size"]), of)

    def snapshots(self) -> Iterator[Thing]:
        ec2, found = self.client("ec2"), {}
        created = sorted(id for id in self.noted if id.startswith("snap-"))
        for name, values in (("tag-key", [TAG]), ("snapshot-id", created)):
            if values:
                some = [{"Name": name, "Values": values}]
                for one in pages(ec2, "describe_snapshots", "Snapshots", Filters=some):
                    found[one["SnapshotId"]] = one
        for id, one in found.items():
            tags, gib = tags_of(one.get("Tags")), one["VolumeSize"]
            name, mine = tags.get("Name", f"{gib} GiB"), self.mine(id, tags)
            yield Thing("snapshot", id, name, one["State"], mine, costs.snapshot(gib))

    def groups(self) -> Iterator[Thing]:
        for one in pages(self.client("ec2"), "describe_security_groups", "SecurityGroups"):
            if one["GroupName"] != "default":  # each network has one that cannot be deleted
                mine = self.mine(one["GroupId"], tags_of(one.get("Tags")))
                yield Thing("security group", one["GroupId"], one["GroupName"], "", mine)

    def key_pairs(self) -> Iterator[Thing]:
        for one in self.client("ec2").describe_key_pairs()["KeyPairs"]:
            mine = self.mine(one["KeyPairId"], tags_of(one.get("Tags")))
            yield Thing("key pair", one["KeyPairId"], one["KeyName"], "", mine)

    # -- ECS ------------------------------------------------------------------------------------

    def _known_clusters(self) -> list[dict]:
        if self._clusters is None:
            ecs = self.client("ecs")
            arns = list(pages(ecs, "list_clusters", "clusterArns"))
            told = [ecs.describe_clusters(clusters=some, include=["TAGS"]) for some in _some(arns)]
            # a deleted cluster is remembered as INACTIVE
            self._clusters = [
                one for page in told for one in page["clusters"] if one["status"] == "ACTIVE"
            ]
        return self._clusters

    def clusters(self) -> Iterator[Thing]:
        for one in self._known_clusters():
            mine = self.mine(one["clusterArn"], tags_of(one.get("tags")))
            yield Thing("cluster", one["clusterArn"], one["clusterName"], one["status"], mine)

    def services_and_tasks(self) -> Iterator[Thing]:
        ecs = self.client("ecs")
        for cluster in self._known_clusters():
            arn = cluster["clusterArn"]
            found = list(pages(ecs, "list_services", "serviceArns", cluster=arn))
            for some in _some(found, 10):
                answer = ecs.describe_services(cluster=arn, services=some, include=["TAGS"])
                for one in answer["services"]:
                    if one["status"] != "INACTIVE":
                        mine = self.mine(one["serviceArn"], tags_of(one.get("tags")))
                        id, name, state = one["serviceArn"], one["serviceName"], one["status"]
                        yield Thing("service", id, name, state, mine, 0.0, arn)
            found = list(pages(ecs, "list_tasks", "taskArns", cluster=arn))
            for some in _some(found):
                answer = ecs.describe_tasks(cluster=arn, tasks=some, include=["TAGS"])
                for one in answer["tasks"]:
                    yield (task := self._task(one, arn))
                    yield from self._address_of(one, task)

    def _task(self, one: dict, cluster: str) -> Thing:
        name = one.get("group", one["taskArn"]).rpartition(":")[2]
        size = one
        if not size.get("cpu"):  # the emulator tells it of the definition alone
            arn = one["taskDefinitionArn"]
            size = self.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
        cost = costs.task(int(size.get("cpu") or 0), int(size.get("memory") or 0))
        mine = self.mine(one["taskArn"], tags_of(one.get("tags")))
        return Thing("task", one["taskArn"], name, one["lastStatus"], mine, cost, cluster)

    def _address_of(self, one: dict, task: Thing) -> Iterator[Thing]:
        """Return the public address of a task, which its network interface has."""
        if not (interface := interface_of(one)):
            return
        filters = [{"Name": "network-interface-id", "Values": [interface]}]
        told = self.client("ec2").describe_network_interfaces(Filters=filters)
        found = [i.get("Association", {}).get("PublicIp") for i in told["NetworkInterfaces"]]
        address = next(filter(None, found), None)
        if address is None and interface in self.noted:
            address = interface  # an emulator assigns none, however it is asked to
        if address is not None:
            part = "part" if task.mine else ""
            cost = costs.public_address()
            yield Thing("public address", address, address, "in use", part, cost, task.id)

    def definitions(self) -> Iterator[Thing]:
        ecs = self.client("ecs")
        answer = ecs.list_task_definitions(
            status="ACTIVE", sort="DESC", maxResults=MOST_DEFINITIONS
        )
        for arn in answer["taskDefinitionArns"]:
            tags = None
            if self._may_be_ours(arn.rpartition("/")[2], arn):
                one = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
                tags = one.get("tags")
            mine = self.mine(arn, tags_of(tags))
            yield Thing("task definition", arn, arn.rpartition("/")[2], "ACTIVE", mine)

    # -- the rest -------------------------------------------------------------------------------

    def log_groups(self) -> Iterator[Thing]:
        logs = self.client("logs")
        for one in pages(logs, "describe_log_groups", "logGroups"):
            name, arn, tags = one["logGroupName"], one["arn"].removesuffix(":*"), {}
            if self._may_be_ours(name.strip("/"), name):
                tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
            yield Thing("log group", name, name, "", self.mine(name, tags))

    def parameters(self) -> Iterator[Thing]:
        ssm = self.client("ssm")
        tagged = [{"Key": f"tag:{TAG}", "Values": [self.owner]}]
        by_tag = {
            one["Name"]
            for one in pages(ssm, "describe_parameters", "Parameters", ParameterFilters=tagged)
        }
        for one in pages(ssm, "describe_parameters", "Parameters"):
            if one["Name"].startswith(PUBLIC):  # an emulator lists Amazon's as well
                continue
            mine = "tag" if one["Name"] in by_tag else self.mine(one["Name"], {})
            yield Thing("parameter", one["Name"], one["Name"], one["Type"], mine)

    def roles(self) -> Iterator[Thing]:
        iam = self.client("iam")
        for one in pages(iam, "list_roles", "Roles", PathPrefix=ROLES):
            name = one["RoleName"]
            tags = tags_of(iam.list_role_tags(RoleName=name)["Tags"])
            yield Thing("role", name, name, "", self.mine(name, tags))


def interface_of(task: dict) -> str | None:
    """Return the id of the network interface that a task of ECS has, or None."""
    for one in task.get("attachments", ()):
        for detail in one.get("details", ()):
            if detail["name"] == "networkInterfaceId":
                return detail["value"]
    return None


def tags_of(tags: Iterable[dict] | None) -> dict[str, str]:
    """Return tags as a dict; EC2 writes Key and Value, ECS key and value."""
    return {
        one.get("Key", one.get("key", "")): one.get("Value", one.get("value", ""))
        for one in tags or ()
    }


def _some(ids: list[str], most: int = PAGE) -> Iterator[list[str]]:
    return (ids[i : i + most] for i in range(0, len(ids), most))

"""Checks of lesson 14: who gets in, what a task is told, and what a clean-up has forgotten."""

import base64
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lab_env.aws import costs, inventory
from lab_env.aws.errors import told
from lab_env.aws.practice_account import FORGOTTEN_GIB, KEPT
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, misused, not_yet, passed
from lab_env.checks.rights import Need, Statement, denied, lacking, statements, too_much
from lab_env.messages import say

if TYPE_CHECKING:
    from lab_env.aws import Account

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SSH, KAFKA, OUTSIDE = 22, 9092, 9094
WORLD = ("0.0.0.0/0", "::/0")
HERE = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")
LEAST_SECRET = 6  # characters; a shorter value is found in many a text by chance
# what Fargate has of memory (MiB) for each size of processor (units); from the page of
# "Amazon ECS task size" (docs.aws.amazon.com, Fargate task definition parameters)
FARGATE = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16385, 1024)),
    4096: tuple(range(8192, 30721, 1024)),
}


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"aws_ec2_and_ecs.{key}", **found)


# -- exercise 1 -----------------------------------------------------------------------------


class _Rule(NamedTuple):
    """One way in: protocol, ports, and from where."""

    protocol: str
    low: int
    high: int
    source: str

    @property
    def only(self) -> int | None:
        """The port, if it is exactly one of TCP."""
        one = self.protocol in ("tcp", "6") and self.low == self.high
        return self.low if one else None

    def lets_in(self, port: int) -> bool:
        """Return whether it opens a port of TCP, among others or alone."""
        if self.protocol == "-1":
            return True
        return self.protocol in ("tcp", "6") and self.low <= port <= self.high

    @property
    def ports(self) -> str:
        if self.protocol == "-1":
            return say("aws_ec2_and_ecs.ports_all")
        key = "ports_one" if self.low == self.high else "ports_many"
        told = {"protocol": self.protocol, "low": self.low, "high": self.high}
        return say(f"aws_ec2_and_ecs.{key}", **told)

    @property
    def is_world(self) -> bool:
        return self.source in WORLD


@graded
def group_lets_in(account: "Account", name: str, ssh_from: str) -> Result:
    """Check that a security group lets in ssh from one address, Kafka from its VPC, nothing else.

    Args:
        account: in which the group is.
        name: of the group.
        ssh_from: the one address, as a network: "203.0.113.25/32".
    """
    if _network(ssh_from) is None:
        return misused("group_lets_in", "ssh_from", ssh_from)
    with told():
        ec2 = account.client("ec2")
        wanted = {"Filters": [{"Name": "group-name", "Values": [name]}]}
        groups = ec2.describe_security_groups(**wanted)["SecurityGroups"]
        if not groups:
            return _wrong("group_missing", name=name)
        (group, *_) = groups
        (vpc,) = ec2.describe_vpcs(VpcIds=[group["VpcId"]])["Vpcs"]
    networks = [one["CidrBlock"] for one in vpc.get("CidrBlockAssociationSet", ())]
    found = {"name": name, "ssh_from": ssh_from, "vpc": vpc["CidrBlock"]}
    rules = [rule for one in group["IpPermissions"] for rule in _rules(one)]
    for look in (_too_wide, _wrong_ssh, _wrong_kafka):
        if (wrong := look(rules, networks or [vpc["CidrBlock"]], found)) is not None:
            return wrong
    return passed("aws_ec2_and_ecs.group", **found)


def _rules(permission: dict) -> list[_Rule]:
    sources = [one["CidrIp"] for one in permission.get("IpRanges", ())]
    sources += [one["CidrIpv6"] for one in permission.get("Ipv6Ranges", ())]
    sources += [one["GroupId"] for one in permission.get("UserIdGroupPairs", ())]
    sources += [one["PrefixListId"] for one in permission.get("PrefixListIds", ())]
    low, high = permission.get("FromPort", 0), permission.get("ToPort", 65535)
    return [_Rule(permission["IpProtocol"], low, high, source) for source in sources]


def _too_wide(rules: list[_Rule], networks: list[str], found: dict) -> Result | None:
    for rule in rules:
        told = {"ports": rule.ports, "source": rule.source, **found}
        if rule.only == SSH and rule.is_world:
            return _wrong("group_ssh_world", **told)
        if rule.only == KAFKA and rule.is_world:
            return _wrong("group_kafka_world", **told)
        if rule.only == OUTSIDE:
            return _wrong("group_outside", **told)
        if rule.low == rule.high and rule.protocol in ("udp", "17"):
            return _wrong("group_udp", **told)
        if rule.only is None:
            return _wrong("group_range", **told)
        if rule.only not in (SSH, KAFKA):
            return _wrong("group_other_port", **told)
    return None


def _network(source: str) -> Network | None:
    try:
        return ipaddress.ip_network(source, strict=False)
    except ValueError:
        return None


def _wrong_ssh(rules: list[_Rule], networks: list[str], found: dict) -> Result | None:
    sources = [rule.source for rule in rules if rule.only == SSH]
    if not sources:
        return _wrong("group_no_ssh", **found)
    wanted = _network(found["ssh_from"])
    for source in sources:
        network = _network(source)
        if network == wanted:
            continue
        wide = (
            isinstance(network, ipaddress.IPv4Network)
            and isinstance(wanted, ipaddress.IPv4Network)
            and wanted.subnet_of(network)
        )
        return _wrong("group_ssh_wide" if wide else "group_ssh_other", source=source, **found)
    return None


def _wrong_kafka(rules: list[_Rule], networks: list[str], found: dict) -> Result | None:
    sources = [rule.source for rule in rules if rule.only == KAFKA]
    if not sources:
        return _wrong("group_no_kafka", **found)
    let_in = [_network(source) for source in sources]
    if None in let_in:
        source = next(s for s in sources if _network(s) is None)
        return _wrong("group_kafka_group", source=source, **found)
    wanted = set(ipaddress.collapse_addresses(map(ipaddress.ip_network, networks)))
    four = [one for one in let_in if isinstance(one, ipaddress.IPv4Network)]
    if len(four) == len(let_in) and set(ipaddress.collapse_addresses(four)) == wanted:
        return None
    return _wrong("group_kafka_other", source=", ".join(sources), **found)


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskEvidence:
    """What an account knows of a task, of its role, its secret and the instance with Kafka.

    Attributes:
        task: the newest revision of the task definition, as AWS tells it.
        kafka: the instance, as AWS tells it.
        open_to: networks that its security groups let in to Kafka's port; and groups, by id.
        vpc: networks of the instance's VPC.
        parameter: Name, ARN and Value of the secret.
        rights: the statements of all policies of the execution role, of its own and attached ones;
            None if there is no such role.
    """

    task: dict
    kafka: dict
    open_to: tuple[str, ...]
    vpc: tuple[str, ...]
    parameter: dict
    rights: tuple[Statement, ...] | None


@graded
def task_is_told(account: "Account", family: str, instance: str, secret: str) -> Result:
    """Check that a task definition knows the broker, and gets its secret without showing it.

    Args:
        account: in which all of it is.
        family: of the task definition; its newest revision counts.
        instance: name of the instance on which Kafka runs.
        secret: name of the parameter that holds the password.
    """
    found = {"family": family, "secret": secret}
    with told():
        kafka = _instance(account, instance)
        if kafka is None:
            return _wrong("task_no_instance", instance=instance, **found)
        task = _task(account, family)
        if task is None:
            return _wrong("task_missing", **found)
        ec2 = account.client("ec2")
        ids = [one["GroupId"] for one in kafka.get("SecurityGroups", ())]
        groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"] if ids else []
        (vpc,) = ec2.describe_vpcs(VpcIds=[kafka["VpcId"]])["Vpcs"]
        networks = [one["CidrBlock"] for one in vpc.get("CidrBlockAssociationSet", ())]
        rules = [rule for one in groups for way in one["IpPermissions"] for rule in _rules(way)]
        everything = TaskEvidence(
            task,
            kafka,
            tuple(rule.source for rule in rules if rule.lets_in(KAFKA)),
            tuple(networks or [vpc["CidrBlock"]]),
            account.client("ssm").get_parameter(Name=secret, WithDecryption=True)["Parameter"],
            statements(account.client("iam"), task.get("executionRoleArn", "")),
        )
    return judge_task(everything, found | {"revision": task["revision"]})


@judge
def judge_task(told: TaskEvidence, found: dict) -> Result:
    """Say what is wrong with a task, or that it is told what it needs.

    Args:
        told: what was gathered.
        found: family, revision and secret, for the sentences.
    """
    container = told.task["containerDefinitions"][0]
    plain = {one["name"]: one["value"] for one in container.get("environment", ())}
    hidden = {one["name"]: one["valueFrom"] for one in container.get("secrets", ())}
    place = plain.get("BOOTSTRAP")
    for wrong in (
        _wrong_address(place, told.kafka, found),
        _wrong_secret(told.task, hidden, told.parameter, found),
        _wrong_role(told, found),
        _wrong_shape(told.task, found),
        _wrong_way(told, found),
    ):
        if wrong is not None:
            return wrong
    return passed("aws_ec2_and_ecs.task", address=place, **found)


def _instance(account: "Account", name: str) -> dict | None:
    named = [{"Name": "tag:Name", "Values": [name]}]
    return next(inventory.instances(account.client("ec2"), Filters=named), None)


def _task(account: "Account", family: str) -> dict | None:
    """Return the newest revision of a task definition."""
    ecs = account.client("ecs")
    known = ecs.list_task_definitions(familyPrefix=family, status="ACTIVE", sort="DESC")
    arns = [a for a in known["taskDefinitionArns"] if f"/{family}:" in a]
    if not arns:
        return None
    newest = max(arns, key=lambda arn: int(arn.rpartition(":")[2]))
    return ecs.describe_task_definition(taskDefinition=newest)["taskDefinition"]


def _wrong_address(place: str | None, kafka: dict, found: dict) -> Result | None:
    if not place:
        return _wrong("task_untold", **found)
    # a client may be told several brokers, and tries one after the other
    for one in place.split(","):
        if (wrong := _wrong_broker(one.strip(), kafka, found)) is not None:
            return wrong
    return None


def _wrong_broker(place: str, kafka: dict, found: dict) -> Result | None:
    host, colon, port = place.rpartition(":")
    host = host if colon else place
    told = {"place": place, "private": kafka["PrivateIpAddress"], **found}
    if host in HERE:
        return _wrong("task_localhost", **told)
    if host == "kafka":
        return _wrong("task_compose_name", **told)
    if host in (kafka.get("PublicIpAddress"), kafka.get("PublicDnsName")):
        return _wrong("task_public", **told)
    if host not in (kafka["PrivateIpAddress"], kafka.get("PrivateDnsName")):
        return _wrong("task_elsewhere", **told)
    if not colon:
        return _wrong("task_no_port", **told)
    if port != str(KAFKA):
        return _wrong("task_port", port=port, **told)
    return None


def _wrong_secret(task: dict, hidden: dict, parameter: dict, found: dict) -> Result | None:
    place = hidden.get("PASSWORD")
    if place is not None and _shows(place, parameter["Value"]):
        return _wrong("task_value", **found)
    for way, text in _texts(task):
        if way.endswith("environment.PASSWORD") or _shows(text, parameter["Value"]):
            return _wrong("task_plain", way=way, **found)
    if place is None:
        return _wrong("task_no_secret", **found)
    if place not in (parameter["ARN"], parameter["Name"]):
        return _wrong("task_other_secret", place=place, arn=parameter["ARN"], **found)
    return None


def _shows(text: str, value: str) -> bool:
    """Return whether a text holds a secret's value, as it is or encoded in base 64."""
    if len(value) < LEAST_SECRET:
        return bool(value) and text == value
    # of a value in the middle of a longer text, the letters depend on where it begins
    encoded = [base64.b64encode(b" " * n + value.encode()).decode()[4:-4] for n in range(3)]
    return value in text or (len(value) >= 2 * LEAST_SECRET and any(e in text for e in encoded))


def _texts(part: object, way: str = "") -> Iterator[tuple[str, str]]:
    """Find every text at any depth, with the way to it; a named one by its name."""
    if isinstance(part, str):
        yield way, part
    elif isinstance(part, dict):
        if "name" in part and "value" in part:
            yield f"{way}.{part['name']}".removeprefix("."), str(part["value"])
            return
        for key, value in part.items():
            yield from _texts(value, f"{way}.{key}".removeprefix("."))
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _texts(one, way)


def _needs(task: dict, parameter: dict) -> list[Need]:
    """Return what the execution role needs: the image, the log, and the one secret."""
    _, partition, _, region, number, _ = parameter["ARN"].split(":", 5)
    at = f"arn:{partition}:{{}}:{region}:{number}:"
    needs = [
        Need("task_role_secret", "ssm:GetParameters", (parameter["ARN"],)),
        Need("", "ssm:GetParameter", (parameter["ARN"],)),
        Need("task_role_image", "ecr:GetAuthorizationToken", ("*",)),
    ]
    for container in task["containerDefinitions"]:
        registry, _, image = container.get("image", "").partition("/")
        if ".dkr.ecr." in registry:
            name = image.partition("@")[0].partition(":")[0]
            here = at.format("ecr") + f"repository/{name}"
            for action in ("BatchGetImage", "GetDownloadUrlForLayer"):
                needs.append(Need("task_role_image", f"ecr:{action}", (here,)))
            needs.append(Need("", "ecr:BatchCheckLayerAvailability", (here,)))
        options = container.get("logConfiguration", {}).get("options", {})
        if group := options.get("awslogs-group"):
            here = at.format("logs") + f"log-group:{group}"
            places = (f"{here}:*", here)
            needs.append(Need("task_role_log", "logs:CreateLogStream", places))
            needs.append(Need("task_role_log", "logs:PutLogEvents", places))
            if options.get("awslogs-create-group") == "true":
                needs.append(Need("task_role_log", "logs:CreateLogGroup", places))
    return needs


def _wrong_role(told: TaskEvidence, found: dict) -> Result | None:
    if told.rights is None:
        return _wrong("task_no_role", **found)
    needs = _needs(told.task, told.parameter)
    if wide := too_much(told.rights, needs):
        return _wrong("task_wide_role", action=wide.action, place=wide.place, **found)
    values = found | {"arn": told.parameter["ARN"]}
    if need := denied(told.rights, needs) or lacking(told.rights, needs):
        return _wrong(need.key, action=need.action, **values)
    return None


def _wrong_shape(task: dict, found: dict) -> Result | None:
    if "FARGATE" not in task.get("requiresCompatibilities", ()) or (
        task.get("networkMode") != "awsvpc"
    ):
        return _wrong("task_fargate", **found)
    cpu, memory = int(task.get("cpu") or 0), int(task.get("memory") or 0)
    if memory not in FARGATE.get(cpu, ()):
        return _wrong("task_size", cpu=cpu, memory=memory, **found)
    return None


def _wrong_way(told: TaskEvidence, found: dict) -> Result | None:
    """Say whether the instance lets nobody of its VPC in to Kafka; a group may be the tasks'."""
    networks = [_network(source) for source in told.open_to]
    wanted = [ipaddress.ip_network(one) for one in told.vpc]
    if any(network is None or any(_within(one, network) for one in wanted) for network in networks):
        return None
    return _wrong("task_closed", vpc=", ".join(told.vpc), **found)


def _within(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return one.subnet_of(other)
    return False


# -- exercise 3 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What is left of the account in which somebody worked last term.

    Attributes:
        kept: names of the disks that bear one.
        tower: state of the neighbours' instance.
        disks: those of the forgotten one's size.
        snapshots: of such a disk.
    """

    kept: frozenset[str]
    tower: str
    disks: tuple[dict, ...]
    snapshots: int


@graded
def nothing_forgotten(account: "Account") -> Result:
    """Check that the forgotten disk is gone, and that what belongs to others is still there.

    Args:
        account: as `aws.practice` returned it.
    """
    size = [{"Name": "volume-size", "Values": [str(FORGOTTEN_GIB)]}]
    with told():
        ec2 = account.client("ec2")
        running = {
            inventory.tags_of(one.get("Tags")).get("Name", ""): one["State"]["Name"]
            for one in inventory.instances(ec2)
        }
        volumes = ec2.describe_volumes()["Volumes"]
        snapshots = ec2.describe_snapshots(Filters=size)["Snapshots"]
    return judge_left(
        Left(
            frozenset(inventory.tags_of(one.get("Tags")).get("Name", "") for one in volumes),
            running.get("tower", "gone"),
            tuple(one for one in volumes if one["Size"] == FORGOTTEN_GIB),
            len(snapshots),
        )
    )


@judge
def judge_left(left: Left) -> Result:
    """Say what is still there, or gone and should not be; or that all is as it should be."""
    if lost := sorted(KEPT - left.kept):
        return _wrong("forgotten_neighbour", lost=", ".join(lost))
    if left.tower != "running":
        return _wrong("forgotten_instance", state=left.tower)
    snapshot = costs.usd(costs.snapshot(left.snapshots * FORGOTTEN_GIB))
    if not left.disks:
        key = "forgotten_kept" if left.snapshots else "forgotten"
        return passed(f"aws_ec2_and_ecs.{key}", count=left.snapshots, usd=snapshot)
    (disk, *_) = left.disks
    key = "forgotten_tagged" if disk.get("Tags") else "forgotten_there"
    key = "forgotten_attached" if disk.get("Attachments") else key
    return _wrong(key, usd=costs.usd(costs.disk(FORGOTTEN_GIB)))

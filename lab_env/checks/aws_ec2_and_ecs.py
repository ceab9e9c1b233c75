"""Checks of lesson 14: who gets in, what a task is told, and what a clean-up has forgotten."""

import fnmatch
import ipaddress
import json
from typing import TYPE_CHECKING, NamedTuple

from lab_env.aws import costs, inventory
from lab_env.aws.errors import told
from lab_env.aws.practice_account import FORGOTTEN_GIB, KEPT
from lab_env.checks.result import Result, graded, misused, not_yet, passed
from lab_env.messages import say

if TYPE_CHECKING:
    from lab_env.aws import Account

SSH, KAFKA, OUTSIDE = 22, 9092, 9094
WORLD = ("0.0.0.0/0", "::/0")
HERE = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")
# what Fargate has of memory (MiB) for each size of processor (units); from the page of
# "Amazon ECS task size" (docs.aws.amazon.com, Fargate task definition parameters)
TOKEN = "ecr:GetAuthorizationToken"  # an action that knows no resource but "*"
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
        if rule.only is None:
            return _wrong("group_range", **told)
        if rule.only not in (SSH, KAFKA):
            return _wrong("group_other_port", **told)
    return None


def _network(source: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
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
        ecs = account.client("ecs")
        known = ecs.list_task_definitions(familyPrefix=family, status="ACTIVE", sort="DESC")
        arns = [a for a in known["taskDefinitionArns"] if f"/{family}:" in a]
        if not arns:
            return _wrong("task_missing", **found)
        newest = max(arns, key=lambda arn: int(arn.rpartition(":")[2]))
        task = ecs.describe_task_definition(taskDefinition=newest)["taskDefinition"]
        parameter = _parameter(account, secret)
        rights = _rights(account, task.get("executionRoleArn", ""))
    found["revision"] = task["revision"]
    container = task["containerDefinitions"][0]
    plain = {one["name"]: one["value"] for one in container.get("environment", ())}
    hidden = {one["name"]: one["valueFrom"] for one in container.get("secrets", ())}
    for wrong in (
        _wrong_address(plain.get("BOOTSTRAP"), kafka, found),
        _wrong_secret(plain, hidden, parameter, found),
        _wrong_role(rights, parameter, found),
        _wrong_shape(task, found),
    ):
        if wrong is not None:
            return wrong
    return passed("aws_ec2_and_ecs.task", address=plain["BOOTSTRAP"], **found)


def _instance(account: "Account", name: str) -> dict | None:
    named = [{"Name": "tag:Name", "Values": [name]}]
    return next(inventory.instances(account.client("ec2"), Filters=named), None)


def _parameter(account: "Account", name: str) -> dict:
    """Return a parameter: its ARN and its name; its value is asked for to recognise it alone."""
    ssm = account.client("ssm")
    return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]


def _rights(account: "Account", arn: str) -> list[dict] | None:
    """Return the statements of a role's own policies; None if there is no such role."""
    from botocore.exceptions import ClientError

    iam, name = account.client("iam"), arn.rpartition("/")[2]
    if not name:
        return None
    try:
        names = iam.list_role_policies(RoleName=name)["PolicyNames"]
        documents = [
            iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in names
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            return None
        raise
    documents = [json.loads(one) if isinstance(one, str) else one for one in documents]
    return [statement for one in documents for statement in _listed(one["Statement"])]


def _listed(one: object) -> list:
    return one if isinstance(one, list) else [one]


def _wrong_address(place: str | None, kafka: dict, found: dict) -> Result | None:
    if not place:
        return _wrong("task_untold", **found)
    host, _, port = place.rpartition(":")
    told = {"place": place, "private": kafka["PrivateIpAddress"], **found}
    if host in HERE:
        return _wrong("task_localhost", **told)
    if host == "kafka":
        return _wrong("task_compose_name", **told)
    if host in (kafka.get("PublicIpAddress"), kafka.get("PublicDnsName")):
        return _wrong("task_public", **told)
    if host not in (kafka["PrivateIpAddress"], kafka.get("PrivateDnsName")):
        return _wrong("task_elsewhere", **told)
    if port != str(KAFKA):
        return _wrong("task_port", port=port, **told)
    return None


def _wrong_secret(plain: dict, hidden: dict, parameter: dict, found: dict) -> Result | None:
    if "PASSWORD" in plain or parameter["Value"] in plain.values():
        return _wrong("task_plain", **found)
    place = hidden.get("PASSWORD")
    if place is None:
        return _wrong("task_no_secret", **found)
    if parameter["Value"] and parameter["Value"] in place:
        return _wrong("task_value", **found)
    if place not in (parameter["ARN"], parameter["Name"]):
        return _wrong("task_other_secret", place=place, arn=parameter["ARN"], **found)
    return None


def _wrong_role(rights: list[dict] | None, parameter: dict, found: dict) -> Result | None:
    if rights is None:
        return _wrong("task_no_role", **found)
    wide = [
        one
        for one in rights
        if one.get("Effect") == "Allow"
        and ("*" in _listed(one.get("Action", ())) or "*" in _listed(one.get("Resource", ())))
        and _listed(one.get("Action", ())) != [TOKEN]
    ]
    if wide:
        return _wrong("task_wide_role", **found)
    for one in rights:
        may = any(fnmatch.fnmatch("ssm:GetParameters", a) for a in _listed(one.get("Action", ())))
        this = any(fnmatch.fnmatch(parameter["ARN"], r) for r in _listed(one.get("Resource", ())))
        if one.get("Effect") == "Allow" and may and this:
            return None
    return _wrong("task_weak_role", arn=parameter["ARN"], **found)


def _wrong_shape(task: dict, found: dict) -> Result | None:
    if "FARGATE" not in task.get("requiresCompatibilities", ()) or (
        task.get("networkMode") != "awsvpc"
    ):
        return _wrong("task_fargate", **found)
    cpu, memory = int(task.get("cpu") or 0), int(task.get("memory") or 0)
    if memory not in FARGATE.get(cpu, ()):
        return _wrong("task_size", cpu=cpu, memory=memory, **found)
    return None


# -- exercise 3 -----------------------------------------------------------------------------


@graded
def nothing_forgotten(account: "Account") -> Result:
    """Check that the forgotten disk is gone, and that what belongs to others is still there.

    Args:
        account: as `aws.practice` returned it.
    """
    with told():
        ec2 = account.client("ec2")
        running = {
            inventory.tags_of(one.get("Tags")).get("Name", ""): one["State"]["Name"]
            for one in inventory.instances(ec2)
        }
        volumes = ec2.describe_volumes()["Volumes"]
    kept = {inventory.tags_of(one.get("Tags")).get("Name", "") for one in volumes}
    if lost := sorted(KEPT - kept):
        return _wrong("forgotten_neighbour", lost=", ".join(lost))
    if running.get("tower") != "running":
        return _wrong("forgotten_instance", state=running.get("tower", "gone"))
    left = [one for one in volumes if one["Size"] == FORGOTTEN_GIB and not one.get("Attachments")]
    if not left:
        return passed("aws_ec2_and_ecs.forgotten")
    key = "forgotten_tagged" if left[0].get("Tags") else "forgotten_there"
    return _wrong(key, usd=costs.usd(costs.disk(FORGOTTEN_GIB)))

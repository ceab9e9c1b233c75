"""Checks of lesson 14: who gets in, what a task is told, and what a clean-up has forgotten."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab_env.aws import costs, inventory
from lab_env.aws.errors import told
from lab_env.aws.practice_account import FORGOTTEN_GIB, KEPT
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, misused, not_yet, passed
from lab_env.checks.rights import statements
from lab_env.checks.task_definitions import PLACES, TaskEvidence, judge_task
from lab_env.checks.ways_in import KAFKA, Group, Rule, judge_group, network, rules

if TYPE_CHECKING:
    from lab_env.aws import Account


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"aws_ec2_and_ecs.{key}", **found)


# -- exercise 1 -----------------------------------------------------------------------------


@graded
def group_lets_in(account: "Account", name: str, ssh_from: str) -> Result:
    """Check that a security group lets in ssh from one address, Kafka from its VPC, nothing else.

    Args:
        account: in which the group is.
        name: of the group.
        ssh_from: the one address, as a network: "203.0.113.25/32".
    """
    if network(ssh_from) is None:
        return misused("group_lets_in", "ssh_from", ssh_from)
    with told():
        ec2 = account.client("ec2")
        wanted = {"Filters": [{"Name": "group-name", "Values": [name]}]}
        groups = ec2.describe_security_groups(**wanted)["SecurityGroups"]
        if not groups:
            return judge_group(Group(name, ssh_from))
        (group, *_) = groups
        networks = _networks(ec2, group["VpcId"])
    return judge_group(Group(name, ssh_from, networks, _rules([group])))


def _networks(ec2: Any, vpc: str) -> tuple[str, ...]:
    """Return the networks of a VPC, its own first."""
    (told,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    others = [one["CidrBlock"] for one in told.get("CidrBlockAssociationSet", ())]
    return tuple(dict.fromkeys([told["CidrBlock"], *others]))


def _rules(groups: list[dict]) -> tuple[Rule, ...]:
    return tuple(rule for group in groups for way in group["IpPermissions"] for rule in rules(way))


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
    found = {"family": family, "secret": secret, "instance": instance}
    with told():
        kafka = _instance(account, instance)
        task = _task(account, family) if kafka is not None else None
        if kafka is None or task is None:
            return judge_task(TaskEvidence(kafka={} if kafka is None else _places(kafka)), found)
        ec2 = account.client("ec2")
        ids = [one["GroupId"] for one in kafka.get("SecurityGroups", ())]
        groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"] if ids else []
        known = account.client("ssm").get_parameter(Name=secret, WithDecryption=True)["Parameter"]
        everything = TaskEvidence(
            # not when it was registered
            task={key: one for key, one in task.items() if not isinstance(one, datetime)},
            kafka=_places(kafka),
            open_to=tuple(rule.source for rule in _rules(groups) if rule.lets_in(KAFKA)),
            vpc=_networks(ec2, kafka["VpcId"]),
            parameter={key: known[key] for key in ("Name", "ARN", "Value")},
            rights=statements(account.client("iam"), task.get("executionRoleArn", "")),
        )
    return judge_task(everything, found | {"revision": task["revision"]})


def _places(instance: dict) -> dict[str, str]:
    return {key: instance[key] for key in PLACES if key in instance}


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


# -- exercise 3 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What is left of the account in which somebody worked last term.

    Attributes:
        kept: names of the disks that bear one.
        tower: state of the neighbours' instance.
        disks: those of the forgotten one's size: "Tags", and "Attachments": ids of instances.
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
            tuple(_disk(one) for one in volumes if one["Size"] == FORGOTTEN_GIB),
            len(snapshots),
        )
    )


def _disk(volume: dict) -> dict:
    attached = [one["InstanceId"] for one in volume.get("Attachments", ())]
    return {"Tags": volume.get("Tags", []), "Attachments": attached}


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

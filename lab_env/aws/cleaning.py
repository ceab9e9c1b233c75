"""How everything of a lesson is deleted, in an order in which nothing holds anything else."""

import time
from collections.abc import Callable

from lab_env.aws import errors, inventory
from lab_env.aws.inventory import Client, Thing
from lab_env.ground.patience import Patience

DEADLINE_EMBEDDED, DEADLINE_REAL = 15.0, 300.0  # s; a real instance takes a minute to end
TICK_EMBEDDED, TICK_REAL = 0.2, 5.0
PARTS = ("public address", "volume")  # that an instance takes with it
# what is gone already: somebody was quicker, or this is the second time
GONE = ("NotFound", "NoSuchEntity", "ResourceNotFound", "NotFoundException", "DoesNotExist")
HELD = ("DependencyViolation", "VolumeInUse", "ClusterContains", "DeleteConflict", "UpdateInProgr")


def clean(
    client: Client,
    look: Callable[[], list[Thing]],
    *,
    real: bool,
    tell: Callable[[Thing], None] = lambda thing: None,
    seconds: float | None = None,
) -> list[tuple[Thing, str]]:
    """Delete what is ours, look again until nothing is left, and return what could not go.

    Args:
        client: returns the client of a service by its name.
        look: returns what exists and is ours, in the order of deletion.
        real: whether to ask a real account, which is slow, and minds being asked.
        tell: is told of each thing when it is asked to go.
        seconds: in which nothing has gone; None for what is long enough.

    Returns:
        What is left: (thing, why), the newest refusal.

    Raises:
        AccountError: the account does not answer.
    """
    if seconds is None:
        seconds = DEADLINE_REAL if real else DEADLINE_EMBEDDED
    tick = TICK_REAL if real else TICK_EMBEDDED
    wait = Patience(seconds, pause=tick)
    why: dict[str, str] = {}
    asked: set[str] = set()
    while left := look():
        ids = {one.id for one in left}
        for one in left:
            if one.kind in PARTS and one.of in ids:
                continue  # goes with what it is a part of
            refusal = _delete(client, one)
            why[one.id] = refusal
            if not refusal and one.id not in asked:
                asked.add(one.id)
                tell(one)
        rest = look()
        held = any(not why.get(one.id) or _is_held(why[one.id]) for one in rest)
        wait.look({one.id for one in rest})
        if not rest or not held or wait.over:
            return [(one, why.get(one.id, "")) for one in rest]
        time.sleep(tick)
    return []


def _is_held(refusal: str) -> bool:
    return any(word in refusal for word in HELD)


def _delete(client: Client, thing: Thing) -> str:
    """Ask for a thing's deletion; return why it was refused, or ""."""
    from botocore.exceptions import ClientError

    act = DELETE.get(thing.kind)
    if act is None:
        return ""
    try:
        act(client, thing)
    except ClientError as error:
        if any(word in error.response["Error"]["Code"] for word in GONE):
            return ""
        return f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"
    except errors.AccountError as error:
        if error.key != "aws.forbidden":
            raise
        return str(error)
    return ""


def _role(client: Client, thing: Thing) -> None:
    iam = client("iam")
    for name in inventory.pages(iam, "list_role_policies", "PolicyNames", RoleName=thing.id):
        iam.delete_role_policy(RoleName=thing.id, PolicyName=name)
    attached = inventory.pages(
        iam, "list_attached_role_policies", "AttachedPolicies", RoleName=thing.id
    )
    for one in attached:
        iam.detach_role_policy(RoleName=thing.id, PolicyArn=one["PolicyArn"])
    iam.delete_role(RoleName=thing.id)


def _address(client: Client, thing: Thing) -> None:
    ec2 = client("ec2")
    for one in ec2.describe_addresses(AllocationIds=[thing.id])["Addresses"]:
        if one.get("AssociationId"):
            ec2.disassociate_address(AssociationId=one["AssociationId"])
    ec2.release_address(AllocationId=thing.id)


DELETE: dict[str, Callable[[Client, Thing], object]] = {
    "service": lambda c, t: c("ecs").delete_service(cluster=t.of, service=t.id, force=True),
    "task": lambda c, t: c("ecs").stop_task(cluster=t.of, task=t.id),
    "cluster": lambda c, t: c("ecs").delete_cluster(cluster=t.id),
    "task definition": lambda c, t: c("ecs").deregister_task_definition(taskDefinition=t.id),
    "instance": lambda c, t: c("ec2").terminate_instances(InstanceIds=[t.id]),
    "elastic address": _address,
    "volume": lambda c, t: c("ec2").delete_volume(VolumeId=t.id),
    "snapshot": lambda c, t: c("ec2").delete_snapshot(SnapshotId=t.id),
    "security group": lambda c, t: c("ec2").delete_security_group(GroupId=t.id),
    "key pair": lambda c, t: c("ec2").delete_key_pair(KeyName=t.name),
    "log group": lambda c, t: c("logs").delete_log_group(logGroupName=t.id),
    "parameter": lambda c, t: c("ssm").delete_parameter(Name=t.id),
    "role": _role,
}

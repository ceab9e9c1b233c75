"""What a real account will be asked for: its cost a day, and the words that allow it."""

from typing import NamedTuple

from lab_env.aws import costs
from lab_env.messages import say

INSTANCE, DISK_GIB = "t3.small", 20
CREDITS = "standard"  # slowed down beyond its baseline, and never billed for it
TASK_UNITS, TASK_MIB = 256, 512
# what the lesson creates; any other call that creates something is not made on a real account
CREATES = frozenset(
    {
        *("RunInstances", "CreateSecurityGroup", "CreateKeyPair", "CreateTags"),
        *("AuthorizeSecurityGroupIngress", "CreateRole", "PutRolePolicy", "PutParameter"),
        *("CreateLogGroup", "PutRetentionPolicy", "CreateCluster", "RegisterTaskDefinition"),
        *("CreateService", "RunTask", "StartInstances", "UpdateService"),
    }
)
CREATING = (
    "Create",
    "Run",
    "Start",
    "Register",
    "Allocate",
    "Put",
    "Import",
    "Request",
    "Purchase",
)


class Item(NamedTuple):
    """A line of the plan: what, and USD a day."""

    what: str
    usd_a_day: float


def items() -> list[Item]:
    """Return what the lesson creates, with what it costs while it exists."""
    return [
        Item(say("aws.plan_instance", kind=INSTANCE), costs.instance(INSTANCE)),
        Item(say("aws.plan_credits", mode=CREDITS), 0.0),
        Item(say("aws.plan_disk", gib=DISK_GIB), costs.disk(DISK_GIB)),
        # the instance has one, and the task has one
        Item(say("aws.plan_addresses"), 2 * costs.public_address()),
        Item(say("aws.plan_task"), costs.task(TASK_UNITS, TASK_MIB)),
        Item(say("aws.plan_free"), 0.0),
    ]


def total() -> float:
    """Return what all of it costs, USD a day."""
    return sum(item.usd_a_day for item in items())


def words(profile: str, region: str) -> str:
    """Return the words that allow the plan, typed by whoever pays for it."""
    return say("aws.plan_words", usd=costs.usd(total()), profile=profile, region=region)


def told(profile: str, region: str) -> str:
    """Return the plan as a text."""
    rows = [(item.what, costs.usd(item.usd_a_day)) for item in items()]
    rows.append((say("aws.plan_total"), costs.usd(total())))
    wide = max(len(what) for what, _ in rows)
    lines = [f"  {what:<{wide}}  {usd:>6}" for what, usd in rows]
    head = say("aws.plan_head", profile=profile, region=region)
    foot = say("aws.plan_foot", region=costs.REGION, date=costs.DATE, source=costs.SOURCES[0])
    return "\n".join([head, *lines, foot])


def allows(operation: str, params: dict) -> bool:
    """Return whether a call stays within the plan."""
    if not operation.startswith(CREATING):
        return True
    if operation == "RunInstances":
        kind, count = params.get("InstanceType", ""), params.get("MaxCount", 1)
        cheap = 0 < costs.instance(kind) <= costs.instance(INSTANCE)
        mode = (params.get("CreditSpecification") or {}).get("CpuCredits")
        return cheap and count == 1 and (mode == CREDITS or not costs.credits(kind))
    return operation in CREATES

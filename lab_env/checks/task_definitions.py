"""A task definition: what it is told of Kafka and its secret; its role; its size."""

import base64
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab_env.checks.judging import judge
from lab_env.checks.result import Result, not_yet, passed
from lab_env.checks.rights import Need, Statement, denied, lacking, too_much
from lab_env.checks.ways_in import KAFKA, Network, network

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
PLACES = ("PrivateIpAddress", "PrivateDnsName", "PublicIpAddress", "PublicDnsName")


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"aws_ec2_and_ecs.{key}", **found)


@dataclass(frozen=True)
class TaskEvidence:
    """What an account knows of a task, of its role, its secret and the instance with Kafka.

    Attributes:
        task: the newest revision of the task definition, as AWS tells it; {} if there is none.
        kafka: the names and addresses of the instance, by PLACES; {} if there is none.
        open_to: networks that its security groups let in to Kafka's port; and groups, by id.
        vpc: networks of the instance's VPC.
        parameter: Name, ARN and Value of the secret.
        rights: the statements of all policies of the execution role, of its own and attached ones;
            None if there is no such role.
    """

    task: dict = field(default_factory=dict)
    kafka: dict[str, str] = field(default_factory=dict)
    open_to: tuple[str, ...] = ()
    vpc: tuple[str, ...] = ()
    parameter: dict[str, str] = field(default_factory=dict)
    rights: tuple[Statement, ...] | None = None


@judge
def judge_task(told: TaskEvidence, found: dict) -> Result:
    """Say what is wrong with a task, or that it is told what it needs.

    Args:
        told: what was gathered.
        found: family, revision, secret and instance, for the sentences.
    """
    if not told.kafka:
        return _wrong("task_no_instance", **found)
    if not told.task:
        return _wrong("task_missing", **found)
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
    ways = [network(source) for source in told.open_to]
    wanted = [ipaddress.ip_network(one) for one in told.vpc]
    if any(way is None or any(_within(one, way) for one in wanted) for way in ways):
        return None
    return _wrong("task_closed", vpc=", ".join(told.vpc), **found)


def _within(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return one.subnet_of(other)
    return False

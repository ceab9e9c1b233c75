"""What things cost a day: AWS's list prices in one table. Look them up before you rely on them."""

from typing import NamedTuple

REGION = "us-east-1"
DATE = "2025"  # when these were the prices on the pages below; nothing here looks them up
SOURCES = (
    "https://aws.amazon.com/ec2/pricing/on-demand/",
    "https://aws.amazon.com/ebs/pricing/",
    "https://aws.amazon.com/vpc/pricing/",
    "https://aws.amazon.com/fargate/pricing/",
    "https://aws.amazon.com/msk/pricing/",
)
HOURS, DAYS = 24, 30.4  # of a day, of a month


class Instance(NamedTuple):
    """An instance type: USD an hour (Linux, on demand), its memory in GiB, its processors."""

    usd_an_hour: float
    memory: float
    processors: int


INSTANCES = {
    "t3.nano": Instance(0.0052, 0.5, 2),
    "t3.micro": Instance(0.0104, 1, 2),
    "t3.small": Instance(0.0208, 2, 2),
    "t3.medium": Instance(0.0416, 4, 2),
    "t3.large": Instance(0.0832, 8, 2),
    "m5.large": Instance(0.096, 8, 2),
}
# of each processor of a type that saves credits, what it may use on average without any
BASELINES = {"t3.nano": 0.05, "t3.micro": 0.1, "t3.small": 0.2, "t3.medium": 0.2, "t3.large": 0.3}
CREDITS_AN_HOUR = 0.05  # of a processor beyond that, in the mode "unlimited"; Linux, T3
DISK_GIB_A_MONTH = 0.08  # gp3
SNAPSHOT_GIB_A_MONTH = 0.05  # standard tier, of what is written
PUBLIC_ADDRESS_AN_HOUR = 0.005  # IPv4, used or not, since February 2024
NAT_GATEWAY_AN_HOUR = 0.045  # and as much again for each GB
FARGATE_PROCESSOR_AN_HOUR, FARGATE_GIB_AN_HOUR = 0.04048, 0.004445  # Linux, x86
MSK_AN_HOUR = {"kafka.t3.small": 0.0456, "kafka.m5.large": 0.21}  # a broker
MSK_GIB_A_MONTH = 0.10


def instance(kind: str) -> float:
    """Return what a running instance costs, USD a day; 0 for a type that the table lacks."""
    return INSTANCES[kind].usd_an_hour * HOURS if kind in INSTANCES else 0.0


def credits(kind: str) -> float:
    """Return what a type can cost beyond its price, USD a day: at work all day, "unlimited".

    0 for a type without credits; and in the mode "standard", which slows it down, for each.
    """
    if kind not in BASELINES:
        return 0.0
    return INSTANCES[kind].processors * (1 - BASELINES[kind]) * CREDITS_AN_HOUR * HOURS


def disk(gib: float) -> float:
    """Return what a gp3 volume costs, USD a day, attached or not."""
    return gib * DISK_GIB_A_MONTH / DAYS


def snapshot(gib: float) -> float:
    """Return what a snapshot of a full disk costs, USD a day."""
    return gib * SNAPSHOT_GIB_A_MONTH / DAYS


def public_address() -> float:
    """Return what a public IPv4 address costs, USD a day."""
    return PUBLIC_ADDRESS_AN_HOUR * HOURS


def task(units: int, mib: int) -> float:
    """Return what a running Fargate task costs, USD a day: 1024 units are one processor."""
    an_hour = units / 1024 * FARGATE_PROCESSOR_AN_HOUR + mib / 1024 * FARGATE_GIB_AN_HOUR
    return an_hour * HOURS


def msk(kind: str, brokers: int, gib: float) -> float:
    """Return what a provisioned MSK cluster costs, USD a day.

    Args:
        kind: of a broker, "kafka.t3.small".
        brokers: how many; MSK wants one in each of two or three zones.
        gib: the disk of each.
    """
    return brokers * (MSK_AN_HOUR[kind] * HOURS + gib * MSK_GIB_A_MONTH / DAYS)


def usd(amount: float) -> str:
    """Return an amount as it is read out: 0.62."""
    return f"{amount:,.2f}"

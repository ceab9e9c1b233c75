"""A security group: who gets in at which port, and what is wrong with that."""

import ipaddress
from dataclasses import dataclass

from lab_env.checks.judging import judge
from lab_env.checks.result import Result, not_yet, passed
from lab_env.messages import say

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SSH, KAFKA, OUTSIDE = 22, 9092, 9094
WORLD = ("0.0.0.0/0", "::/0")


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"aws_ec2_and_ecs.{key}", **found)


@dataclass(frozen=True)
class Rule:
    """One way in: protocol, the first and the last port, and from where."""

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
        """The ports, in words."""
        if self.protocol == "-1":
            return say("aws_ec2_and_ecs.ports_all")
        key = "ports_one" if self.low == self.high else "ports_many"
        told = {"protocol": self.protocol, "low": self.low, "high": self.high}
        return say(f"aws_ec2_and_ecs.{key}", **told)

    @property
    def is_world(self) -> bool:
        """Whether it lets in everybody."""
        return self.source in WORLD


@dataclass(frozen=True)
class Group:
    """What an account knows of a security group.

    Attributes:
        name: of the group.
        ssh_from: the one address that ssh is meant for, as a network.
        networks: of the group's VPC, its own first; () if there is no such group.
        rules: its ways in.
    """

    name: str
    ssh_from: str
    networks: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


@judge
def judge_group(group: Group) -> Result:
    """Return the answer for a group: passed, or the first way in that is wrong or missing."""
    if not group.networks:
        return _wrong("group_missing", name=group.name)
    found = {"name": group.name, "ssh_from": group.ssh_from, "vpc": group.networks[0]}
    for look in (_too_wide, _wrong_ssh, _wrong_kafka):
        if (wrong := look(group.rules, group.networks, found)) is not None:
            return wrong
    return passed("aws_ec2_and_ecs.group", **found)


def rules(permission: dict) -> list[Rule]:
    """Return the ways in that a permission of a security group opens, as AWS tells it."""
    sources = [one["CidrIp"] for one in permission.get("IpRanges", ())]
    sources += [one["CidrIpv6"] for one in permission.get("Ipv6Ranges", ())]
    sources += [one["GroupId"] for one in permission.get("UserIdGroupPairs", ())]
    sources += [one["PrefixListId"] for one in permission.get("PrefixListIds", ())]
    low, high = permission.get("FromPort", 0), permission.get("ToPort", 65535)
    return [Rule(permission["IpProtocol"], low, high, source) for source in sources]


def _too_wide(rules: tuple[Rule, ...], networks: tuple[str, ...], found: dict) -> Result | None:
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


def network(source: str) -> Network | None:
    """Return what a text names, None if it is no network."""
    try:
        return ipaddress.ip_network(source, strict=False)
    except ValueError:
        return None


def _wrong_ssh(rules: tuple[Rule, ...], networks: tuple[str, ...], found: dict) -> Result | None:
    sources = [rule.source for rule in rules if rule.only == SSH]
    if not sources:
        return _wrong("group_no_ssh", **found)
    wanted = network(found["ssh_from"])
    for source in sources:
        told = network(source)
        if told == wanted:
            continue
        wide = (
            isinstance(told, ipaddress.IPv4Network)
            and isinstance(wanted, ipaddress.IPv4Network)
            and wanted.subnet_of(told)
        )
        return _wrong("group_ssh_wide" if wide else "group_ssh_other", source=source, **found)
    return None


def _wrong_kafka(rules: tuple[Rule, ...], networks: tuple[str, ...], found: dict) -> Result | None:
    sources = [rule.source for rule in rules if rule.only == KAFKA]
    if not sources:
        return _wrong("group_no_kafka", **found)
    let_in = [network(source) for source in sources]
    if None in let_in:
        source = next(s for s in sources if network(s) is None)
        return _wrong("group_kafka_group", source=source, **found)
    wanted = set(ipaddress.collapse_addresses(map(ipaddress.ip_network, networks)))
    four = [one for one in let_in if isinstance(one, ipaddress.IPv4Network)]
    if len(four) == len(let_in) and set(ipaddress.collapse_addresses(four)) == wanted:
        return None
    return _wrong("group_kafka_other", source=", ".join(sources), **found)

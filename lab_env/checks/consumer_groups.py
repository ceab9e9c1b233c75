"""The checks of lesson 05: partitions divided among the members of groups, as asked."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.checks import attempts, judging
from lab_env.checks.evidence import start_seconds, until
from lab_env.checks.result import Result, graded, not_yet, passed
from lab_env.ground.patience import Patience
from lab_env.observation import queries
from lab_env.observation.facts.rebalances import REBALANCING
from lab_env.observation.groups import DEAD, describe, named_members

if TYPE_CHECKING:
    from lab_env.lab import Lab

PERIOD = 0.2  # seconds between looks
TOLD_SECONDS = 2.0  # until a broker that is busy tells a client of a topic that was just made
HELD_SECONDS = 0.6  # a right assignment that lasts for so long is not one in passing
STEADY_SECONDS = 1.5  # what has not changed for so long will not change by itself
START_SECONDS = 6.0  # a service that runs and is in no group may still be on its way
COMMIT_SECONDS = 7.0  # who commits by the client's own timer does so every 5 s
ROUND_SECONDS = 4.0  # between the two rounds of a cooperative rebalance lies a heartbeat, 3 s
MOST_SECONDS = 18.0


@dataclass(frozen=True)
class Found:
    """A group as the broker tells it.

    ``shares`` is how many partitions of the topics each member owns, by the member's name;
    ``read`` whether the group has committed anything of them, ``lag`` the records before it.
    """

    state: str
    shares: dict[str, int]
    read: bool
    lag: int


@dataclass(frozen=True)
class Evidence:
    """What an answer is judged by.

    Attributes:
        topics: real names, in a text.
        count: partitions of these topics.
        records: in these topics.
        groups: those that were asked for, by name.
        others: names of other groups whose members own something of the topics.
        running: how many services run.
        failed: name and error of a service of this attempt whose function has raised, or None.
    """

    topics: str
    count: int
    records: int
    groups: Mapping[str, Found]
    others: tuple[str, ...] = ()
    running: int = 0
    failed: tuple[str, str] | None = None


@graded
def divided(
    lab: "Lab",
    topics: str | Iterable[str],
    groups: Mapping[str, Iterable[int]],
    *,
    committed: bool = False,
) -> Result:
    """Check that groups divide the partitions of topics among their members as asked.

    Waits until the groups are stable and members that are on their way have come.

    Args:
        lab: the lab.
        topics: the real name of a topic, or of several.
        groups: by a group's real name, how many partitions each member is to own, in any order:
            ``{"crew": [2, 2, 2]}`` is three members with two each.
        committed: whether the groups must also have committed all records.
    """
    topics = [topics] if isinstance(topics, str) else list(topics)
    wanted = {group: sorted(shares, reverse=True) for group, shares in groups.items()}
    return judge(_gather(lab, topics, wanted, committed), wanted, committed=committed)


def _gather(lab: "Lab", topics: list[str], wanted: dict, committed: bool) -> Evidence:
    """Read the groups as soon as they are as asked, or will not change by themselves."""
    ends: dict[str, dict[int, int]] = {}

    def is_whole() -> bool:
        ends.update({topic: queries.end_offsets(lab.connection, topic) for topic in topics})
        return all(sum(map(len, ends.values())) == sum(shares) for shares in wanted.values())

    whole = until(is_whole, TOLD_SECONDS)
    named, count = ", ".join(topics), sum(map(len, ends.values()))
    records = sum(sum(one.values()) for one in ends.values())
    if not whole or (committed and not records):
        return Evidence(named, count, records, {})
    found = _wait(lab, ends, wanted, committed)
    others = sorted(
        name
        for name, group in queries.groups(lab.connection).items()
        if name not in wanted and any(_owns(member, topics) for member in group["members"])
    )
    failed = attempts.failed(lab, attempts.newest_start(lab))
    last = (failed["name"], failed["error"]) if failed else None
    return Evidence(named, count, records, found, tuple(others), _running(lab), last)


@judging.judge
def judge(evidence: Evidence, wanted: Mapping[str, list[int]], *, committed: bool) -> Result:
    """Return the answer to what was found, without another look.

    Args:
        evidence: what was found.
        wanted: by group, how many partitions each member is to own, the largest first.
        committed: whether the groups must have committed all records.
    """
    for shares in wanted.values():
        if evidence.count != sum(shares):
            topics, count = evidence.topics, evidence.count
            return _wrong("topic", topics=topics, count=count, wanted=sum(shares))
    if committed and not evidence.records:
        return _wrong("empty", topics=evidence.topics)
    for group, one in evidence.groups.items():
        if not _fits(one, wanted[group], committed):
            return _what_is_wrong(evidence, group, wanted[group])
    told = "; ".join(f"{group} ({_in_words(one.shares)})" for group, one in evidence.groups.items())
    return passed(
        "consumer_groups.divided_all" if committed else "consumer_groups.divided", told=told
    )


def _wrong(name: str, /, **values: object) -> Result:
    return not_yet(f"consumer_groups.{name}", **values)


def _what_is_wrong(evidence: Evidence, group: str, wanted: list[int]) -> Result:
    one = evidence.groups[group]
    values = {
        "topics": evidence.topics,
        "group": group,
        "count": evidence.count,
        "members": len(one.shares),
        "wanted": _listed(wanted),
        "wanted_members": len(wanted),
        "shares": _in_words(one.shares),
        "lag": one.lag,
        "seconds": MOST_SECONDS,
        "running": evidence.running,
        "others": ", ".join(evidence.others),
    }
    if evidence.failed and len(one.shares) < len(wanted):
        name, error = evidence.failed
        return _wrong("failed", name=name, error=error, **values)
    if one.state in REBALANCING:
        return _wrong("rebalancing", **values)
    if not one.shares:
        return _wrong(_nobody(evidence, one), **values)
    return _wrong(_wrong_shares(one, wanted), **values)


def _nobody(evidence: Evidence, one: Found) -> str:
    """Return the name of what is wrong with a group without a member."""
    if evidence.others:
        return "other_group"
    if one.read:
        return "left"
    if not evidence.running:
        return "nobody"
    at_work = sum(len(group.shares) for group in evidence.groups.values())
    return "idle_services" if evidence.running > at_work else "elsewhere"


def _wrong_shares(one: Found, wanted: list[int]) -> str:
    """Return the name of what is wrong with the shares of a group that has members."""
    shares = list(one.shares.values())
    if sum(shares) < sum(wanted):
        return "unowned"
    if len(shares) > sum(wanted):
        return "idle"
    if len(shares) > len(wanted):
        return "each_one" if len(wanted) == 1 else "too_many"
    if len(shares) < len(wanted):
        return "too_few"
    return "behind" if sorted(shares, reverse=True) == wanted else "rule"


def _fits(one: Found, wanted: list[int], committed: bool) -> bool:
    shares = sorted(one.shares.values(), reverse=True)
    return one.state == "Stable" and shares == wanted and not (committed and one.lag)


def _wait(lab: "Lab", ends: dict, wanted: dict, committed: bool) -> dict[str, Found]:
    """Return the groups, as soon as they are as asked, or will not change by themselves."""
    from kafka import KafkaAdminClient

    wait = Patience(MOST_SECONDS, pause=PERIOD, most=MOST_SECONDS)
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        while True:
            found = _look(admin, list(wanted), ends)
            # what is committed comes to an end: as long as that gets on, there is no deadline
            waits = sum(one.lag for one in found.values()) if committed else None
            wait.look(found, sure=waits)
            if wait.quiet >= _patience(lab, found, wanted, committed) or wait.over:
                return found
            time.sleep(PERIOD)


def _patience(lab: "Lab", found: dict[str, Found], wanted: dict, committed: bool) -> float:
    """Return for how many seconds nothing may have changed before the check answers."""
    if all(_fits(one, wanted[group], committed) for group, one in found.items()):
        return HELD_SECONDS
    if any(one.state in REBALANCING for one in found.values()):
        return MOST_SECONDS
    if _running(lab) > sum(len(one.shares) for one in found.values()):
        return start_seconds(lab, START_SECONDS)
    if all(_fits(one, wanted[group], False) for group, one in found.items()):
        return COMMIT_SECONDS
    if any(one.shares and sum(one.shares.values()) < sum(wanted[g]) for g, one in found.items()):
        return ROUND_SECONDS
    return STEADY_SECONDS


def _look(admin, groups: list[str], ends: dict) -> dict[str, Found]:
    """Return the groups as they are now."""
    described = describe(admin, groups)
    found = {}
    for name in groups:
        group = described[name]
        notes = admin.list_group_offsets(name)[name] if group.state != DEAD else {}
        kept = {(p.topic, p.partition): one.offset for p, one in notes.items() if one.offset >= 0}
        places = {(topic, p): end for topic, one in ends.items() for p, end in one.items()}
        shares = {
            called: sum(place in places for place in member.owns)
            for called, member in named_members(group.members)
        }
        found[name] = Found(
            group.state,
            shares,
            any(place in kept for place in places),
            sum(max(end - kept.get(place, 0), 0) for place, end in places.items()),
        )
    return found


def _running(lab: "Lab") -> int:
    return sum(service.state == "running" for service in lab.services.values())


def _owns(member: dict, topics: list[str]) -> bool:
    assigned = (member["member_assignment"] or {}).get("assigned_partitions", ())
    return any(one["topic"] in topics and one["partitions"] for one in assigned)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _in_words(shares: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in shares.items())

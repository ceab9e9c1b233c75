"""Where events lie, and who reads there: what lesson 11 looks for on the broker."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

from kafka import KafkaAdminClient

from lab_env.ground.patience import Named
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.ground.journal import Journal


class HasEvents(Protocol):
    """A lab, as far as looking for events needs it: see `lab_env.Lab`."""

    journal: "Journal"

    @property
    def connection(self) -> dict[str, Any]:
        """What a client takes."""

    def records(self, topic: str, *, limit: int = 1_000_000) -> "pd.DataFrame":
        """Return what a topic holds."""

    def watch(self, *topics: str, groups: list[str]):
        """Return the observer of a topic and of groups."""

    def until(self, condition, seconds: float | None = None) -> bool:
        """Wait for a condition."""


def topics(lab: HasEvents) -> dict[str, int]:
    """Return how many records each topic holds; Kafka's own topics are left out."""
    with closing(KafkaAdminClient(**lab.connection)) as admin:
        names = [name for name in admin.list_topics() if not name.startswith("__")]
    return {name: len(lab.records(name)) for name in sorted(names)}


def readers(lab: HasEvents, topic: str) -> dict[str, int]:
    """Return the groups that read a topic now, and how many of its partitions they own."""
    with closing(KafkaAdminClient(**lab.connection)) as admin:
        described = admin.describe_groups([one["group_id"] for one in admin.list_groups()])
    owned: Counter[str] = Counter()
    for name, group in described.items():
        for member in group["members"]:
            places = (member["member_assignment"] or {}).get("assigned_partitions", ())
            owned[name] += sum(len(one["partitions"]) for one in places if one["topic"] == topic)
    return {name: number for name, number in owned.items() if number}


def holding(lab: HasEvents, events: Sequence[dict]) -> dict[str, int]:
    """Return how many of these events each topic holds; the topics that hold none are left out."""
    wanted = {event["id"] for event in events}
    held = {name: lab.records(name)["value"].str.get("id").isin(wanted) for name in topics(lab)}
    return {name: int(found.sum()) for name, found in held.items() if found.any()}


def handled(lab: HasEvents, topic: str, events: Sequence[dict]) -> dict[str, int]:
    """Return how many of the events a topic holds once, twice and never."""
    held = Counter(lab.records(topic)["value"].str.get("id"))
    times = Counter(held[event["id"]] for event in events)
    return {"once": times[1], "twice": times[2], "never": times[0]}


def torn(lab: HasEvents, topic: str) -> int:
    """Return how many keys have records in more than one partition of a topic."""
    found: dict[object, set[int]] = {}
    for _, record in lab.records(topic).iterrows():
        found.setdefault(record["key"], set()).add(record["partition"])
    found.pop(None, None)
    return sum(len(partitions) > 1 for partitions in found.values())


def passed(lab: HasEvents, topic: str, group: str) -> bool:
    """Wait until a group has committed all records of a topic; return whether it has.

    Args:
        lab: the lab.
        topic, group: their real names.
    """
    watch, asked = lab.watch(topic, groups=[group]), lab.journal.now()

    def is_done() -> bool:
        now = watch.samples[-1]
        return now.time > asked and now.groups[group].committed and not now.lag(topic, group)

    return lab.until(Named(say("lab.until_passed", group=group, topic=topic), is_done))

"""One look at the broker: plain data, so that pictures and frames can both be made of it."""

from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Partition = TypeVar("Partition")  # however the caller names a partition

Place = tuple[str, int]  # (topic, partition)
# groups in which a partition has one owner, and that is told; "" of a group that is not there
OWNING = ("", "classic", "consumer", "streams")


def positions(
    end_offsets: "Mapping[Partition, int]",
    committed: "Mapping[Partition, int]",
    beginning_offsets: "Mapping[Partition, int]",
) -> "dict[Partition, int]":
    """Return where a group goes on, by partition.

    That is its committed offset; where it has none, or the record at it is not kept any more, the
    oldest record.
    """
    return {
        place: max(committed.get(place, 0), beginning_offsets.get(place, 0))
        for place in end_offsets
    }


def waiting(
    end_offsets: "Mapping[Partition, int]", positions: "Mapping[Partition, int]"
) -> "dict[Partition, int]":
    """Return how many offsets lie before a group, by partition: what all mean by its lag."""
    return {place: max(end - positions[place], 0) for place, end in end_offsets.items()}


class Replicas(NamedTuple):
    """Who keeps a partition: node ids; ``leader`` is -1 while there is none."""

    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


class SharePosition(NamedTuple):
    """How far a share group is in a partition.

    All records before the offset ``start`` are done with: acknowledged, rejected or archived.
    ``lag`` is Kafka's own number (KIP-1226): the records from there on that are not, those in
    flight with them; -1 of a broker before 4.2, which does not tell it.
    """

    start: int
    lag: int


@dataclass(frozen=True, slots=True)
class GroupSample:
    """A consumer group at one moment.

    ``state`` as Kafka names it: Stable, Empty, Dead; PreparingRebalance and CompletingRebalance in
    the classic protocol, in which nothing is told of owners meanwhile; Assigning and Reconciling in
    the new one (KIP-848). ``committed`` is the offset by partition, ``owners`` the member's name by
    partition, ``members`` the names of all members, also of those that own nothing. A name is the
    client id; further members with the same one are "name (2)" and so on. ``protocol`` is
    "classic", "consumer" (the new one), "share" or "streams". A share group commits no offsets and
    nobody owns a partition in it: ``shared`` is how far it is by partition, as far as it has begun
    there. A member of Kafka Streams owns what its active tasks read. ``generation`` is the group's
    epoch, -1 in the classic protocol, and ``coordinator`` the node id of the broker that
    looks after the group.
    """

    state: str = ""
    committed: dict[Place, int] = field(default_factory=dict)
    owners: dict[Place, str] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    protocol: str = ""
    generation: int = -1
    coordinator: int = -1
    shared: dict[Place, SharePosition] = field(default_factory=dict)

    @property
    def is_other(self) -> bool:
        """Whether it is of a type in which no partition has an owner, or none that is told."""
        return self.protocol not in OWNING

    @property
    def is_share(self) -> bool:
        """Whether it is a share group."""
        return self.protocol == "share"


@dataclass(frozen=True, slots=True)
class Sample:
    """The watched topics and groups at ``time`` (seconds on the lab's clock).

    What could not be read this time keeps its last value, and ``stale`` says for how long
    (seconds): its keys are "topics" and the names of groups. ``error`` says why, or is "".
    """

    time: float
    ends: dict[Place, int]  # the offset that the next record will get
    starts: dict[Place, int]  # the offset of the oldest record that is kept
    leaders: dict[Place, Replicas]
    groups: dict[str, GroupSample]
    stale: dict[str, float]
    error: str = ""

    def has(self, topic: str) -> bool:
        """Return whether there is such a topic."""
        return any(name == topic for name, _ in self.ends)

    def produced(self, topic: str) -> int:
        """Return how many offsets of ``topic`` have been given out, over all partitions."""
        return sum(end for (name, _), end in self.ends.items() if name == topic)

    def led(self, broker: int, *topics: str) -> list[Place]:
        """Return the (topic, partition) of ``topics`` that a broker leads (-1: that nobody leads).

        What could not be read keeps its last value: who leads may have changed since.
        """
        places = self._kept(*topics).items()
        return [place for place, kept in places if kept.leader == broker]

    def in_sync(self, *topics: str) -> bool:
        """Return whether all ``topics`` have been seen, each with a leader and a whole ISR."""
        kept = self._kept(*topics)
        whole = all(one.leader >= 0 and len(one.isr) == len(one.replicas) for one in kept.values())
        return whole and {topic for topic, _ in kept} == set(topics)

    def _kept(self, *topics: str) -> dict[Place, Replicas]:
        return {place: kept for place, kept in sorted(self.leaders.items()) if place[0] in topics}

    def consumed(self, topic: str, group: str) -> int:
        """Return up to where ``group`` has committed ``topic``, summed over partitions.

        A partition in which it has committed nothing counts up to its oldest record, so that the
        sum of a group that reads from the beginning only grows.
        """
        return sum(self._positions(topic, group)[1].values())

    def before(self, topic: str, group: str) -> int:
        """Return how many records lie before ``group`` if it begins at the oldest where it has to.

        That is where it has committed nothing; everywhere else it goes on at its place.
        """
        return sum(waiting(*self._positions(topic, group)).values())

    def _positions(self, topic: str, group: str) -> tuple[dict[Place, int], dict[Place, int]]:
        """Return the end offsets of ``topic``, and where ``group`` goes on."""
        committed = self.groups.get(group, GroupSample()).committed
        ends = {place: end for place, end in self.ends.items() if place[0] == topic}
        return ends, positions(ends, committed, self.starts)

    def placeless(self, topic: str, group: str) -> list[int]:
        """Return the partitions of ``topic`` with records in which ``group`` has no offset."""
        committed = self.groups.get(group, GroupSample()).committed
        return [
            place[1]
            for place, end in sorted(self.ends.items())
            if place[0] == topic and place not in committed and end > self.starts.get(place, 0)
        ]

    def lag(self, topic: str, group: str) -> float:
        """Return how many records of ``topic`` the group has still before it; nan if nobody knows.

        Nobody knows it while a partition holds records and the group has committed nothing there:
        it has no place yet. With ``auto.offset.reset=earliest`` all of them wait for it, with
        ``latest``, Kafka's default, none: it will begin behind them. The setting is the consumer's,
        and no broker knows it; Kafka's own ``kafka-consumer-groups.sh`` shows a dash for such a
        partition. The lag of a share group is Kafka's own number, and nobody knows it either where
        the group has not begun. A group that is not watched has no lag, nor has one in a topic that
        does not exist. Nothing equals nan, and nothing is more or less: ``lag == 0`` and
        ``lag > 100`` are both False.

        Returns:
            A whole number (int), or ``math.nan``.
        """
        if not self.has(topic) or group not in self.groups:
            return nan
        if self.groups[group].is_share:
            lags = self._share_lags(topic, group).values()
            return nan if None in lags else sum(lag for lag in lags if lag is not None)
        if self.placeless(topic, group):
            return nan
        return self.before(topic, group)

    def completed(self, topic: str, group: str) -> int | None:
        """Return up to where a share group has done with ``topic``, over all partitions.

        That is the end offsets less the lag, so that what it skipped at its begin counts too: a
        rate, or a difference, is what to take of it. None where Kafka does not tell the lag.
        """
        lag = self.lag(topic, group)
        return None if lag != lag else self.produced(topic) - int(lag)

    def _share_lags(self, topic: str, group: str) -> dict[Place, int | None]:
        """Return the lag of a share group by partition; None where nobody can tell it.

        Where the group has not begun and a partition holds no record, nothing waits.
        """
        shared = self.groups[group].shared
        found: dict[Place, int | None] = {}
        for place, end in self.ends.items():
            if place[0] != topic:
                continue
            position = shared.get(place)
            if position is not None:
                found[place] = position.lag if position.lag >= 0 else None
            else:
                found[place] = None if end > self.starts.get(place, 0) else 0
        return found

"""Who led a topic's partitions when, who kept them and was in sync, as the samples tell it."""

from collections.abc import Iterable
from typing import NamedTuple

from lab_env.ground.journal import Mark
from lab_env.observation.facts.ownership import LATE, UNSEEN
from lab_env.observation.sample import Replicas, Sample

GONE = Replicas(-1, (), ())  # of a partition that is no more
ROLES = ("leader", "in_sync", "behind")
LEADER, IN_SYNC, BEHIND = range(3)
LEFT = ("kill", "stop", "fail", "pause")  # marks after which a broker is away, until one of these:
BACK = ("start", "resume")


class Spell(NamedTuple):
    """From ``begin`` on: who keeps a partition; None while nobody can say."""

    begin: float
    kept: Replicas | None


class LeaderChange(NamedTuple):
    """What a sample at ``time`` was the first to tell.

    ``kind`` is "leader" (of ``partition``, ``broker`` from now on), "behind" (``broker`` is no
    longer in sync somewhere) or "in_sync" (it is again, or for the first time, everywhere).
    """

    time: float
    kind: str
    broker: int
    partition: int = -1


class Leaderless(NamedTuple):
    """A stretch of time in which a partition was seen without a leader.

    ``last`` are the brokers that were in sync when it had one, as far as that is in sight.
    """

    partition: int
    begin: float
    end: float
    last: tuple[int, ...]


class Leadership:
    """Leaders and in-sync replicas of a topic's partitions over time.

    What a sample tells holds until the next one. While the broker does not answer for longer than
    `UNSEEN`, or is not asked for longer than `LATE`, nothing is known from the last answer on.

    Args:
        topic: real name.

    Attributes:
        spells: by partition, in order of time; only what differs from the one before.
        changes: in order of time.
        edge: up to where the spells reach, s.
        is_unanswered: whether the broker was asked since its last answer, and gave none.
    """

    def __init__(self, topic: str):
        self.topic = topic
        self.spells: dict[int, list[Spell]] = {}
        self.changes: list[LeaderChange] = []
        self.edge: float | None = None
        self.is_unanswered = False
        self._heard: float | None = None
        self._told: object = None  # what the last sample held, to see quickly that nothing changed
        self._behind: set[int] | None = None

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> bool:
        """Take in a sample that was answered; return whether anything but the time is new."""
        was_unknown = self.wait(sample.time) or self.is_unknown
        self._heard = self.edge = sample.time
        patience, self.is_unanswered = self._patience, False
        # one object for equal values is the observer's promise; the reference keeps its id
        if sample.leaders is self._told and not was_unknown:
            return False
        self._told = sample.leaders
        found = {p: kept for (topic, p), kept in sample.leaders.items() if topic == self.topic}
        for partition in {*found, *self.spells}:
            self._note(partition, sample.time, found.get(partition, GONE), patience)
        self._note_behind(sample.time)
        return True

    def wait(self, now: float, *, unanswered: bool = False) -> bool:
        """Note that ``now`` has come; return whether it has become unknown who leads.

        Args:
            now: s.
            unanswered: whether the broker was asked, and has not answered.
        """
        self.is_unanswered |= unanswered
        if self._heard is None or now - self._heard <= self._patience:
            return False
        self.edge = now
        if self.is_unknown:
            return False
        for spells in self.spells.values():
            spells.append(Spell(self._heard, None))
        return True

    @property
    def _patience(self) -> float:
        return UNSEEN if self.is_unanswered else LATE

    def _note(self, partition: int, time: float, kept: Replicas, patience: float) -> None:
        spells = self.spells.setdefault(partition, [])
        if spells and spells[-1].kept is None and time - spells[-1].begin <= patience:
            spells.pop()  # an answer that was long on its way: it was never unknown
        before = next((spell.kept for spell in reversed(spells) if spell.kept), None)
        if before and kept.leader not in (before.leader, -1):
            self.changes.append(LeaderChange(time, "leader", kept.leader, partition))
        if not spells or spells[-1].kept != kept:
            spells.append(Spell(time, kept))

    def _note_behind(self, time: float) -> None:
        now = self.behind
        if self._behind is not None:
            self.changes += [
                LeaderChange(time, "behind", one) for one in sorted(now - self._behind)
            ]
            again = {one for one in self._behind - now if one in self.brokers_now}
            self.changes += [LeaderChange(time, "in_sync", one) for one in sorted(again)]
        self._behind = now

    # -- for who draws ------------------------------------------------------------------------

    @property
    def now(self) -> dict[int, Replicas]:
        """The replicas of each partition that there is, as last told."""
        last = {
            partition: next((spell.kept for spell in reversed(spells) if spell.kept), GONE)
            for partition, spells in sorted(self.spells.items())
        }
        return {partition: kept for partition, kept in last.items() if kept.replicas}

    @property
    def is_unknown(self) -> bool:
        """Whether nothing has been told for so long that nobody knows who leads."""
        return any(spells[-1].kept is None for spells in self.spells.values())

    @property
    def behind(self) -> set[int]:
        """Brokers that keep a partition and are not in sync there, as last told."""
        return {one for kept in self.now.values() for one in kept.replicas if one not in kept.isr}

    @property
    def brokers_now(self) -> set[int]:
        """Brokers that keep a partition, as last told."""
        return {one for kept in self.now.values() for one in kept.replicas}

    def brokers(self, partition: int | None = None) -> list[int]:
        """Return the brokers that keep, or kept while it is in sight, a partition, or any."""
        wanted = self.spells if partition is None else (partition,)
        kept = (spell.kept for one in wanted for spell in self.spells[one] if spell.kept)
        return sorted({broker for one in kept for broker in one.replicas})

    def leaderless(self) -> list[Leaderless]:
        """Return the stretches in sight in which a partition was seen to have no leader."""
        found: list[Leaderless] = []
        for partition in sorted(self.spells):
            last: tuple[int, ...] = ()
            for spell, end in self.stretches(partition):
                if spell.kept and spell.kept.leader >= 0:
                    last = spell.kept.isr
                if not spell.kept or spell.kept.leader >= 0 or not spell.kept.replicas:
                    continue
                begin = spell.begin
                if found and found[-1].partition == partition and found[-1].end == begin:
                    begin = found.pop().begin  # only who is in sync has changed
                found.append(Leaderless(partition, begin, end, last))
        return found

    def stretches(self, partition: int) -> Iterable[tuple[Spell, float]]:
        """Yield the spells of a partition, each with its end (the last ends at the edge)."""
        spells = self.spells[partition]
        edge = 0.0 if self.edge is None else self.edge  # there is one wherever there are spells
        ends = [*(spell.begin for spell in spells[1:]), edge]
        return zip(spells, ends, strict=True)

    def roles(self, partition: int, broker: int) -> Iterable[tuple[int, float, float]]:
        """Yield what a broker was to a partition, as (role, begin, end); nothing if no replica.

        While nobody leads the partition, or nothing is known, it is nothing either.
        """
        last: tuple[int, float, float] | None = None
        for spell, end in self.stretches(partition):
            kept = spell.kept
            if kept is None or kept.leader < 0 or broker not in kept.replicas:
                continue
            role = IN_SYNC if broker in kept.isr else BEHIND
            role = LEADER if broker == kept.leader else role
            if last and last[0] == role and last[2] == spell.begin:
                last = (role, last[1], end)  # something else has changed
                continue
            if last:
                yield last
            last = (role, spell.begin, end)
        if last:
            yield last

    def trim(self, before: float) -> None:
        """Forget what lies before a time, but for the spells that hold then."""
        for partition, spells in list(self.spells.items()):
            keep = 0
            while keep + 1 < len(spells) and spells[keep + 1].begin <= before:
                keep += 1
            del spells[:keep]
            if len(spells) == 1 and spells[0].kept == GONE:
                del self.spells[partition]
        self.changes = [change for change in self.changes if change.time >= before]


def away(marks: Iterable[Mark]) -> dict[int, list[tuple[float, float | None]]]:
    """Return when each broker was away, as the journal has it: (begin, end or None) by node id.

    Observation alone knows only that a replica is not in sync. That its broker was killed, stopped
    or frozen is what the lab has done, or has been told.
    """
    found: dict[int, list[tuple[float, float | None]]] = {}
    for mark in marks:
        word, _, node = mark.subject.partition(" ")
        if word != "broker" or not node.isdigit():
            continue
        spans = found.setdefault(int(node), [])
        is_away = bool(spans) and spans[-1][1] is None
        if mark.kind in LEFT and not is_away:
            spans.append((mark.time, None))
        elif mark.kind in BACK and is_away:
            spans[-1] = (spans[-1][0], mark.time)
    return found

"""Who owned which partition of a topic when, as the samples of one group tell it."""

from typing import NamedTuple

import numpy as np

from lab_env.observation.facts.rebalances import CLASSIC, REBALANCING, Rebalance
from lab_env.observation.sample import GroupSample, Sample

ABSENT, NOBODY, UNTOLD, UNKNOWN, FIRST = range(5)  # codes of a partition; members' begin at FIRST
UNSEEN = 1.0  # seconds without an answer after which it is not known who owns what
LATE = 5.0  # the same where nobody has asked: the lab itself is slow, or was frozen


class State(NamedTuple):
    """From ``time`` on: the code of each partition, and whether the group is rebalancing."""

    time: float
    codes: np.ndarray
    rebalancing: bool


class Moved(NamedTuple):
    """Partitions that had changed hands by ``time`` without a rebalance having been seen."""

    time: float
    partitions: np.ndarray


class MemberChange(NamedTuple):
    """A member that was first seen, or no longer seen, at ``time``."""

    time: float
    name: str
    came: bool


class OwnershipHistory:
    """The owners of a topic's partitions in one group over time.

    What a sample tells holds until the next one. While the broker does not answer for longer than
    `UNSEEN`, or is not asked for longer than `LATE`, nothing is known from the last answer on. A
    rebalance that goes on before and after such a time is one.

    Args:
        topic, group: real names.

    Attributes:
        states: in order of time; only what differs from the one before.
        edge: up to where the states reach, s.
        rebalances: those in sight; ``count`` and ``seconds`` are of all that have ended.
        moves, changes: in order of time.
        names: of the members, by code less `FIRST`.
        members, idle: names, as last told; idle members own no partition of any topic.
        protocol, state: of the group, as last told; "" while nothing is known.
        version: changes when what was told of the past was taken back.
        is_unanswered: whether the broker was asked since its last answer, and gave none.
    """

    def __init__(self, topic: str, group: str):
        self.topic, self.group = topic, group
        self.states: list[State] = []
        self.edge: float | None = None
        self.rebalances: list[Rebalance] = []
        self.count, self.seconds = 0, 0.0
        self.moves: list[Moved] = []
        self.changes: list[MemberChange] = []
        self.names: list[str] = []
        self.members: tuple[str, ...] = ()
        self.idle: tuple[str, ...] = ()
        self.protocol = self.state = ""
        self.version = 0
        self.is_unanswered = False
        self._codes: dict[str, int] = {}
        self._heard: float | None = None
        self._told: tuple = ()  # what the last sample held, to see quickly that nothing changed
        self._cut: Rebalance | None = None  # the rebalance that a silence ended
        self._known = False  # whether members were told before

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> bool:
        """Take in a sample; return whether anything but the time is new."""
        time, group = sample.time, sample.groups.get(self.group)
        if group is None or self._stale(sample) > 0:
            self.is_unanswered |= group is not None
            return self.wait(time)
        late = self.edge is not None and time < self.edge  # an answer that was long on its way
        was_unknown = self.wait(time)
        if late:
            self._take_back(time)
        self._heard = self.edge = time
        self.is_unanswered = False
        rebalancing = group.state in REBALANCING
        if rebalancing:
            self._go_on()
        self._cut = None
        told = id(sample.ends), id(group)
        # one object for equal values is the observer's promise; the references keep ids from others
        if not was_unknown and told == self._told[:2] and not self.is_unknown:
            return False
        self._told = (*told, sample.ends, group)
        self._note_members(time, group)
        self._note_rebalance(time, rebalancing)
        codes = self._coded(sample, group)
        before = self.states[-1] if self.states else None
        if before is not None and not before.rebalancing and not rebalancing:
            self._note_moves(time, before.codes, codes)
        return self._append(State(time, codes, rebalancing)) or was_unknown

    def wait(self, now: float) -> bool:
        """Note that ``now`` has come; return whether it has become unknown who owns what."""
        if self._heard is None or now - self._heard <= self._patience:
            return False
        self.edge = now
        if self.is_unknown:
            return False
        self._cut = self.going_on  # for now: the next answer may say that it goes on
        self._note_rebalance(self._heard, False)
        width = max(len(self.states[-1].codes), 1)
        return self._append(State(self._heard, np.full(width, UNKNOWN, np.int32), False))

    def _take_back(self, time: float) -> None:
        """Let what was unknown end at ``time``; soon after the last answer it never was."""
        self.version += 1
        if not self.is_unknown or self._heard is None:
            return
        if time - self._heard > self._patience:
            return
        self.states.pop()
        self._go_on()

    def _go_on(self) -> None:
        """Let the rebalance that a silence ended go on: it was the same all the time."""
        last = self.rebalances[-1] if self.rebalances else None
        if last is not None and last is self._cut and last.end is not None:
            self.count -= 1
            self.seconds -= last.seconds(last.end)
            last.end = self._cut = None

    @property
    def _patience(self) -> float:
        return UNSEEN if self.is_unanswered else LATE

    @property
    def is_unknown(self) -> bool:
        """Whether nothing was told for so long that nobody knows who owns what."""
        return bool(self.states) and self.states[-1].codes[:1].tolist() == [UNKNOWN]

    def _stale(self, sample: Sample) -> float:
        return max(sample.stale.get("topics", 0.0), sample.stale.get(self.group, 0.0))

    def _append(self, state: State) -> bool:
        if self.states:
            last = self.states[-1]
            same = last.rebalancing == state.rebalancing
            if same and np.array_equal(last.codes, state.codes):
                return False
        self.states.append(state)
        return True

    def _coded(self, sample: Sample, group: GroupSample) -> np.ndarray:
        present = [partition for topic, partition in sample.ends if topic == self.topic]
        codes = np.full(max(present, default=-1) + 1, ABSENT, np.int32)
        if group.state in CLASSIC:
            codes[present] = UNTOLD  # the broker only repeats what was so before
            return codes
        if group.is_other:
            codes[present] = UNKNOWN
            return codes
        codes[present] = NOBODY
        for (topic, partition), name in group.owners.items():
            if topic == self.topic and partition < len(codes):
                codes[partition] = self._code(name)
        return codes

    def _code(self, name: str) -> int:
        if name not in self._codes:
            self._codes[name] = FIRST + len(self.names)
            self.names.append(name)
        return self._codes[name]

    def _note_members(self, time: float, group: GroupSample) -> None:
        if self._known:
            came = [name for name in group.members if name not in self.members]
            left = [name for name in self.members if name not in group.members]
            self.changes += [MemberChange(time, name, True) for name in came]
            self.changes += [MemberChange(time, name, False) for name in left]
        self._known = True
        self.members, self.protocol, self.state = group.members, group.protocol, group.state
        for name in self.members:
            self._code(name)
        if group.is_other:  # nobody owns a partition there, and whoever reads one is not idle
            self.idle = ()
        elif group.state not in CLASSIC:
            owners = set(group.owners.values())
            self.idle = tuple(name for name in self.members if name not in owners)
        else:  # nothing is told of owners: who was idle may still be, who has left is not
            self.idle = tuple(name for name in self.idle if name in self.members)

    def _note_rebalance(self, time: float, rebalancing: bool) -> None:
        last = self.rebalances[-1] if self.rebalances else None
        goes_on = last is not None and last.end is None
        if rebalancing and not goes_on:
            self.rebalances.append(Rebalance(time))
        elif goes_on and not rebalancing:
            last.end = time
            self.count += 1
            self.seconds += last.seconds(time)

    def _note_moves(self, time: float, before: np.ndarray, after: np.ndarray) -> None:
        size = min(len(before), len(after))
        old, new = before[:size], after[:size]
        (moved,) = np.nonzero((old >= FIRST) & (new >= FIRST) & (old != new))
        if len(moved):
            self.moves.append(Moved(time, moved))

    # -- for who draws ------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """How many partitions there are, or were in the states that are kept."""
        return max((len(state.codes) for state in self.states), default=0)

    @property
    def owned(self) -> dict[str, list[int]]:
        """The partitions of each owner as last told, in the order of the first partition."""
        found: dict[str, list[int]] = {}
        codes = self.states[-1].codes if self.states else ()
        for partition, code in enumerate(codes):
            if code >= FIRST:
                found.setdefault(self.names[code - FIRST], []).append(partition)
        return found

    @property
    def is_gone(self) -> bool:
        """Whether there is no such topic, as last told."""
        return bool(self.states) and not len(self.states[-1].codes)

    @property
    def unowned(self) -> list[int]:
        """The partitions that nobody owns, as last told."""
        codes = self.states[-1].codes if self.states else ()
        return [partition for partition, code in enumerate(codes) if code == NOBODY]

    @property
    def going_on(self) -> Rebalance | None:
        """The rebalance that has not ended, or None."""
        last = self.rebalances[-1] if self.rebalances else None
        return last if last is not None and last.end is None else None

    def trim(self, before: float) -> None:
        """Forget what lies before a time, but for the state that holds then."""
        keep = 0
        while keep + 1 < len(self.states) and self.states[keep + 1].time <= before:
            keep += 1
        del self.states[:keep]
        self.rebalances = [r for r in self.rebalances if r.end is None or r.end > before]
        self.moves = [moved for moved in self.moves if moved.time >= before]
        self.changes = [change for change in self.changes if change.time >= before]

"""What became of the records of a share group (KIP-932): in flight, acknowledged, archived."""

from collections import deque
from dataclasses import dataclass

from lab_env.observation.facts.delivery import SETTLE
from lab_env.observation.sample import GroupSample, Sample, SharePosition

ACQUIRED = "acquired"
ENDS = ("accepted", "released", "rejected", "refused")  # of a flight, as a service reports them
BACK = "back"  # and one that nobody reports: the group has the record again, its lock is gone
DONE = "done"  # or the broker says that it is done with
MOST_KEPT = 20_000  # records of which it is known who had them last, whether in sight or not
Spot = tuple[int, int]  # (partition, offset)


@dataclass(slots=True)
class Flight:
    """A record in the hands of a member, from ``begin`` to ``end`` (s); ``end`` None: it still is.

    ``deliveries`` is the record's delivery count, ``outcome`` one of `ENDS`, `BACK`, `DONE` or "".
    """

    member: str
    spot: Spot
    deliveries: int
    begin: float
    end: float | None = None
    outcome: str = ""


class ShareLedger:
    """The accounts of one share group in one topic, from the moment at which the picture began.

    The broker tells what is done with and what is not (its lag); who holds what, and what members
    have acknowledged, only their services can say. A record is **archived** when the broker is done
    with it and nobody has accepted it. Its word and theirs may be a second apart, so while much is
    accepted the number is only known to lie between two others, and stays where it was if it can.

    Args:
        topic, group: real names.

    Attributes:
        flights: by member, in order of time, those that are in sight.
        accepted, released, rejected, refused, came_back: how many, by what the services report:
            accepted counts different records; refused, what Kafka did not take any more because the
            lock had run out; came_back, records that their member has neither acknowledged nor
            released.
        done_by: by member, how many records it has accepted.
        most: the highest delivery count so far, 0 while nobody reports one.
        reported: whether any service has said what it acquires.
        lag: records that are not done with, by the broker; None while that is not known.
        completed: records that are done with since the picture began; None like ``lag``.
        archived: of these, those that nobody has accepted.
    """

    def __init__(self, topic: str, group: str):
        self._topic, self._group = topic, group
        self.reset()

    def reset(self) -> None:
        """Begin anew: the topic was made anew."""
        self.flights: dict[str, list[Flight]] = {}
        self.reported = False
        self.released = self.rejected = self.refused = self.came_back = self.most = 0
        self.lag: int | None = None
        self.completed: int | None = None
        self.archived = 0
        self.done_by: dict[str, int] = {}
        self._last: dict[Spot, Flight] = {}  # the last flight of each record
        self._accepted: set[Spot] = set()
        self._base: dict[int, int] = {}  # from here on the records of a partition are counted
        self._ends: dict[int, int] = {}
        self._recent: deque[tuple[float, int, int]] = deque()  # time, completed, accepted

    # -- what services say --------------------------------------------------------------------

    def report(self, row: dict) -> bool:
        """Take in a report, and return whether it belongs to this group and topic."""
        word, partition, offset = row.get("share"), row.get("partition"), row.get("offset")
        if word not in (ACQUIRED, *ENDS):
            return False
        if row.get("topic", self._topic) != self._topic:
            return False
        if row.get("group", self._group) != self._group:
            return False
        if type(partition) is not int or type(offset) is not int:
            return False
        self.reported = True
        spot, member, time = (partition, offset), row["service"], row["time"]
        if word == ACQUIRED:
            self._acquire(member, spot, row.get("deliveries"), time)
        else:
            self._finish(member, spot, word, time)
        return True

    def _acquire(self, member: str, spot: Spot, deliveries: object, time: float) -> None:
        before = self._last.get(spot)
        if before is not None and before.end is None:
            self._end(before, BACK, time)
        count = deliveries if type(deliveries) is int else 1
        flight = self._last[spot] = Flight(member, spot, count, time)
        self.flights.setdefault(member, []).append(flight)
        self.most = max(self.most, count)
        partition, offset = spot
        self._base[partition] = min(self._base.get(partition, offset), offset)

    def _finish(self, member: str, spot: Spot, word: str, time: float) -> None:
        flight = self._last.get(spot)
        own = flight is not None and flight.member == member and flight.outcome in ("", DONE)
        if word == "accepted" and (own or flight is None):
            self._accepted.add(spot)
            self.done_by[member] = self.done_by.get(member, 0) + 1
        elif word == "refused" or (word != "accepted" and own):
            setattr(self, word, getattr(self, word) + 1)
        if own and flight is not None:
            flight.end, flight.outcome = time if flight.end is None else flight.end, word

    def _end(self, flight: Flight, outcome: str, time: float) -> None:
        flight.end, flight.outcome = time, outcome
        self.came_back += outcome == BACK

    def leave(self, member: str, time: float) -> None:
        """Note that a member has ended: the broker gives what it held back to the group."""
        for flight in self.flights.get(member, ()):
            if flight.end is None and flight.begin <= time:
                self._end(flight, BACK, time)

    def trim(self, before: float) -> None:
        """Forget flights that ended before a time."""
        for member, flights in self.flights.items():
            self.flights[member] = [f for f in flights if f.end is None or f.end >= before]
        if len(self._last) > MOST_KEPT:
            self._last = {
                spot: f for spot, f in self._last.items() if f.end is None or f.end >= before
            }

    # -- what the broker tells ----------------------------------------------------------------

    def take(self, sample: Sample) -> None:
        """Take in a sample that was answered."""
        ends = {p: end for (topic, p), end in sample.ends.items() if topic == self._topic}
        if any(ends.get(p, 0) < end for p, end in self._ends.items()):
            self.reset()
        self._ends = ends
        group = sample.groups.get(self._group, GroupSample())
        lag = sample.lag(self._topic, self._group) if group.is_share else float("nan")
        if lag != lag:
            self.lag = self.completed = None
            return
        self.lag = int(lag)
        at = {p: told for (topic, p), told in group.shared.items() if topic == self._topic}
        done = 0
        for partition, told in at.items():
            base = self._base.get(partition, told.start)
            self._base[partition] = base = min(base, told.start)
            done += max(ends.get(partition, 0) - told.lag - base, 0)
        self.completed = done
        self._land(sample.time, at)
        self._note_archived(sample.time, done)

    def _note_archived(self, time: float, done: int) -> None:
        accepted = len(self._accepted)
        self._recent.append((time, done, accepted))
        while len(self._recent) > 1 and time - self._recent[1][0] >= SETTLE:
            self._recent.popleft()
        since, done_before, accepted_before = self._recent[0]
        if not self.reported or time - since < SETTLE:
            return
        most = max(done - accepted_before, 0)
        least = min(max(done_before - accepted, self.rejected), most)
        self.archived = min(max(self.archived, least), most)

    def _land(self, time: float, at: dict[int, SharePosition]) -> None:
        """End the flights of records that the broker says are done with."""
        for flights in self.flights.values():
            for flight in flights:
                told = at.get(flight.spot[0])
                if told is None or flight.end is not None or flight.begin >= time:
                    continue
                if flight.spot[1] < told.start or not told.lag:
                    self._end(flight, DONE, time)

    # -- for who draws ------------------------------------------------------------------------

    @property
    def accepted(self) -> int:
        """How many different records were accepted."""
        return len(self._accepted)

    def in_flight(self, member: str | None = None) -> list[Flight]:
        """Return what a member, or anybody, holds now."""
        lists = self.flights.values() if member is None else [self.flights.get(member, [])]
        return [flight for flights in lists for flight in flights if flight.end is None]

    @property
    def waiting(self) -> int | None:
        """How many records nobody holds and nobody has done; None while that is not known."""
        return None if self.lag is None else max(self.lag - len(self.in_flight()), 0)

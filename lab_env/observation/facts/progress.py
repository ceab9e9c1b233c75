"""Whether a group gets on in a partition, or is blocked there, and since when."""

BLOCKED_AFTER = 2.0  # seconds without a commit while records wait
IDLE, MOVES, BLOCKED = "idle", "moves", "blocked"


class PartitionProgress:
    """Whether a group gets on in one partition, from what the broker tells alone.

    Attributes:
        stretches: [begin, end, state] in the order of time; None where nothing is known.
        waits: how many records wait.
        read: whether a member owns the partition.
        longest: seconds of the longest block so far.
    """

    def __init__(self) -> None:
        self.stretches: list[list | None] = []
        self.waits = 0
        self.read = True
        self.longest = 0.0
        self._committed: int | None = None
        self._since: float | None = None  # since when records wait and nothing is committed

    def take(self, time: float, end: int, committed: int, owner: str | None) -> None:
        """Take in what the broker told at a time."""
        self.waits, self.read = max(end - committed, 0), owner is not None
        if not self.waits:
            self._since = None
        elif self._since is None or committed != self._committed:
            self._since = time
        self._committed = committed
        stands = self._since is not None and time - self._since > BLOCKED_AFTER
        if stands:
            self.longest = max(self.longest, time - self._since)
        self._put(time, BLOCKED if stands else MOVES if self.waits else IDLE)

    def lose(self) -> None:
        """Note that nothing is known from here on: a block would have to be seen anew."""
        self._since = None
        if self.stretches and self.stretches[-1] is not None:
            self.stretches.append(None)

    @property
    def state(self) -> str:
        """What the partition does now."""
        last = self.stretches[-1] if self.stretches else None
        return IDLE if last is None else last[2]

    @property
    def blocked_for(self) -> float:
        """For how long it has been blocked (s), 0 if it is not."""
        begin, end, state = (self.stretches[-1] if self.stretches else None) or (0.0, 0.0, IDLE)
        return end - begin if state == BLOCKED else 0.0

    def trim(self, before: float) -> None:
        """Forget stretches that ended before a time, but for the last."""
        while len(self.stretches) > 1:
            first = self.stretches[0]
            if first is not None and first[1] >= before:
                return
            del self.stretches[0]

    def _put(self, time: float, state: str) -> None:
        last = self.stretches[-1] if self.stretches else None
        if last is not None and last[2] == state:
            last[1] = time
            return
        begin = time if last is None else last[1]
        if state == BLOCKED and last is not None:  # it has been since its last commit
            since = time if self._since is None else self._since
            begin = max(min(since, last[1]), last[0])
            last[1] = begin
            if begin == last[0]:
                self.stretches.pop()
        self.stretches.append([begin, time, state])

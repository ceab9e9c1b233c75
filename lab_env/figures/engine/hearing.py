"""Whether Kafka leaves questions unanswered; that the lab asks late is no silence of Kafka's."""

SILENT = 1.5  # seconds without an answer that a picture speaks of
PENDING = 4.0  # seconds for which a question may be under way before that is a silence, too
STEP = 1.0  # seconds that count at the most between two looks: the lab itself may have stood still


class Hearing:
    """When the first question was asked that has no answer.

    A computer that is busy, asleep or frozen asks late, and hears late. So a silence begins with a
    question, and not with the last answer, and lasts while questions fail.

    Args:
        begin: what came before is nobody's business, s.

    Attributes:
        since: when the first of the unanswered questions was asked; None while Kafka answers.
        is_silent: whether that is long enough to speak of.
    """

    def __init__(self, begin: float):
        self.since: float | None = None
        self.is_silent = False
        self._begin, self._looked = begin, begin
        self._waited = 0.0  # awake, since the first question without an answer
        self._asked: float | None = None

    def hear(self, time: float, stale: float) -> None:
        """Take in a question asked at ``time``: answered, or nothing known for ``stale`` s."""
        if time < self._begin:
            return
        if not stale:
            self.since, self.is_silent, self._waited = None, False, 0.0
        elif self.since is None:
            self.since, self._waited = time, 0.0
        elif time - self.since > SILENT:
            self.is_silent = True

    def wait(self, now: float, asking: float | None) -> None:
        """Note that ``now`` has come; ``asking`` is when the question was asked that is open."""
        step = min(max(now - self._looked, 0.0), STEP)
        self._looked = now
        if self.since is None and (asking is None or asking != self._asked):
            self._asked, self._waited = asking, 0.0
            return
        self._waited += step
        if self._waited > (SILENT if self.since is not None else PENDING):
            self.is_silent = True
            if self.since is None and asking is not None:
                self.since = max(asking, self._begin)

    def silence(self, now: float) -> float:
        """Return for how long (s) Kafka has not answered, 0 if that is not worth a word."""
        if self.since is None or not self.is_silent:
            return 0.0
        return max(now - self.since, 0.0)

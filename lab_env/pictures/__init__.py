"""The live pictures: data frames and samples in, moving images out; knows no broker, no process."""

from typing import TYPE_CHECKING

from lab_env.errors import BadInputError, ClosedError
from lab_env.messages import say

if TYPE_CHECKING:
    from lab_env.journal import Journal
    from lab_env.observation.observer import Observer
    from lab_env.pictures.live import LiveFigure, Stage
    from lab_env.reports import Reports


class Show:
    """The live pictures of a lab: each call puts one on the page, where it goes on moving.

    Args:
        observer: gives samples of the broker.
        reports: gives what services reported.
        journal: gives the clock and the marks.

    Attributes:
        scale: the size of text and lines; 1 for a laptop, 1.5 for the back of a room.
    """

    def __init__(self, observer: "Observer", reports: "Reports", journal: "Journal"):
        self.scale = 1.0
        self._observer = observer
        self._reports = reports
        self._journal = journal
        self._stage: Stage | None = None
        self._closed = False

    def throughput(self, topic: str, groups=(), by: str = "group") -> "LiveFigure":
        """Show records/s: produced to a topic, and consumed by group or by member.

        Args:
            topic: real name.
            groups: real names of groups that consume it (one name, or several).
            by: "group" for a line a group, "member" for a line a member.
        """
        from lab_env.pictures.throughput import Throughput

        if by not in ("group", "member"):
            raise BadInputError("pictures.by", by=by)
        groups = _names(groups)
        return self._add(Throughput, topic, groups, by, topics=(topic,), groups=groups)

    def lag(self, topic: str, groups) -> "LiveFigure":
        """Show how many records of a topic each group has still before it.

        Args:
            topic: real name.
            groups: real names of groups (one name, or several).
        """
        from lab_env.pictures.lag import Lag

        groups = _names(groups)
        return self._add(Lag, topic, groups, topics=(topic,), groups=groups)

    def queue(self, topic: str, group: str) -> "LiveFigure":
        """Show who handled what, and how many commands wait.

        The rows come from reports that have a field ``handled``; where no service reports one,
        from what was committed, by the partition's owner.

        Args:
            topic: real name.
            group: real name of the group whose members are the workers.
        """
        from lab_env.pictures.queue import Queue

        return self._add(Queue, topic, group, topics=(topic,), groups=(group,))

    def response_time(self, title: str | None = None) -> "LiveFigure":
        """Show how long the one who asks waits, from reports with ``kind`` and ``seconds``.

        ``kind`` is "call", "message" or a name of your own; ``ok=False`` is drawn as a cross.

        Args:
            title: what is seen, or None for the usual words.
        """
        from lab_env.pictures.response import ResponseTime

        return self._add(ResponseTime, title)

    def _add(self, kind, *args, topics=(), groups=()) -> "LiveFigure":
        from lab_env.pictures.live import Stage

        if self._closed:
            raise ClosedError("lab.closed")
        if self._stage is None:
            self._stage = Stage(self._observer, self._reports, self._journal)
        self._observer.watch(topics=topics, groups=groups)
        picture = kind(*args, self._stage.palette, self._journal.now(), self.scale)
        return self._stage.add(picture, (kind.__name__, *args))

    def close(self) -> None:
        """End all figures, each with a last frame of how things stood."""
        self._closed = True
        if self._stage is not None:
            self._stage.close()

    def __repr__(self) -> str:
        return say("pictures.help")


def _names(groups) -> tuple[str, ...]:
    return (groups,) if isinstance(groups, str) else tuple(groups)

"""Live pictures of what the observer sees; none asks a broker. Long: one method a picture."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lab_env.figures.engine import size
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import plain
from lab_env.messages import say

if TYPE_CHECKING:
    from lab_env.figures.dead_letters import DeadLetters
    from lab_env.figures.delivery import Delivery
    from lab_env.figures.engine.live import LiveFigure, Stage
    from lab_env.figures.lag import Lag
    from lab_env.figures.latency import Latency
    from lab_env.figures.outcomes import Outcomes
    from lab_env.figures.ownership import Ownership
    from lab_env.figures.partitions import Partitions
    from lab_env.figures.pauses import Pauses
    from lab_env.figures.queue import Queue
    from lab_env.figures.rates import Rates
    from lab_env.figures.replicas import ReplicaTimeline
    from lab_env.figures.response import ResponseTime
    from lab_env.figures.scaling import Scaling
    from lab_env.figures.share_group import ShareGroup
    from lab_env.figures.throughput import Throughput
    from lab_env.ground.journal import Journal
    from lab_env.ground.reports import Reports
    from lab_env.observation.observer import Observer

KINDS = (
    "throughput",
    "lag",
    "dead_letters",
    "queue",
    "response_time",
    "partitions",
    "ownership",
    "pauses",
    "delivery",
    "outcomes",
    "latency",
    "rates",
    "replicas",
    "scaling",
    "share_group",
)

Picture = TypeVar("Picture", bound="LiveFigure")


class Show:
    """What ``lab.show`` is: each method shows a live picture below its cell and returns it.

    A picture goes on while other cells run, pauses when nothing happens, and leaves its last frame
    in the notebook. Call a method again with the same arguments, and the new picture replaces the
    old one. The picture that a method returns has ``stop()``, ``save(path)``, ``sentence`` (what it
    shows, in words) and ``png`` (bytes of the last frame).

    Args:
        observer: samples topics and groups.
        reports: what the services reported.
        journal: the clock and the marks.
        pause_after: seconds without news after which a picture pauses.

    Attributes:
        scale: of text and lines in pictures made from now on, 0.5 to 3: 1.0 for a laptop, 1.5 for
            the back of a room. At first it is what ``KAFKA_LAB_SCALE`` says, else 1.0.

    Raises:
        BadInputError: ``KAFKA_LAB_SCALE`` is no scale.
    """

    def __init__(
        self,
        observer: "Observer",
        reports: "Reports",
        journal: "Journal",
        pause_after: float = 60.0,
    ):
        self.scale = size.scale()
        self._detail = 1.0
        self._observer = observer
        self._parts = observer, reports, journal, pause_after
        self._stage: Stage | None = None
        self._closed = False

    @property
    def scale(self) -> float:
        """Of text and lines in pictures made from now on: 1.0 for a laptop, 1.5 for a room."""
        return self._scale

    @scale.setter
    def scale(self, scale: float) -> None:
        self._scale = size.checked(scale)

    def throughput(
        self, topic: str, groups: str | Iterable[str] = (), by: str = "group"
    ) -> "Throughput":
        """Show records/s: produced to a topic, and consumed (committed) by groups.

        Args:
            topic: real name, as `lab.topic` returned it.
            groups: a group's real name, or several.
            by: "group" for a line a group, "member" for a line a member of the groups, to whom
                the records of the partitions that it owns are counted.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        groups = self._names(topic, groups)
        if by not in ("group", "member"):
            raise BadInputError("figures.bad_by", by=by)
        from lab_env.figures.throughput import Throughput

        return self._on_stage(Throughput, topic, groups, by)

    def lag(self, topic: str | Mapping[str, str], groups: str | Iterable[str] = ()) -> "Lag":
        """Show how many records of a topic wait for each group.

        Args:
            topic: real name, as `lab.topic` returned it; or, in place of both arguments, a mapping:
                for each group the topic that it reads.
            groups: a group's real name, or several.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        if isinstance(topic, Mapping):
            topics, names = tuple(topic.values()), tuple(topic)
            for group, one in topic.items():
                self._names(one, (group,))
        else:
            topics, names = (topic,), self._names(topic, groups)
        if not names:
            raise BadInputError("figures.no_group")
        from lab_env.figures.lag import Lag

        return self._on_stage(Lag, topics, names)

    def dead_letters(self, topic: str) -> "DeadLetters":
        """Show how far a topic of dead letters has grown, as a stair.

        It is the end offset: the marker that ends a transaction takes one, as a record does.

        Args:
            topic: real name, as `lab.topic` returned it.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        self._names(topic, ())
        from lab_env.figures.dead_letters import DeadLetters

        return self._on_stage(DeadLetters, topic)

    def queue(self, topic: str, group: str) -> "Queue":
        """Show who of a group handles the records of a topic, and how many still wait.

        A record is handled when a service says so: ``service.report(handled=record.offset)``.
        While no service does, what is committed counts for the partition's owner. A row that has
        a field ``topic`` or ``group`` counts only where these agree.

        Args:
            topic: real name, as `lab.topic` returned it.
            group: real name of the group that shares the work.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        _check_group(group)
        self._names(topic, group)
        from lab_env.figures.queue import Queue

        return self._on_stage(Queue, topic, group)

    def response_time(self, title: str | None = None) -> "ResponseTime":
        """Show how long calls and messages take, from what the services report.

        A point is a report ``service.report(kind="call", seconds=0.8)``; ``ok=False`` makes it a
        cross. The kinds "call" and "message" keep their colours; any other word will do.

        Args:
            title: of the picture, in the students' words; None for the usual one.

        Raises:
            BadInputError: the title is no text.
            ClosedError: the lab is closed.
        """
        title = _checked_title(title)
        from lab_env.figures.response import ResponseTime

        return self._on_stage(ResponseTime, title)

    def partitions(self, topic: str) -> "Partitions":
        """Show how many records each partition of a topic holds, and how they fill.

        Args:
            topic: real name, as `lab.topic` returned it.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        self._names(topic, ())
        from lab_env.figures.partitions import Partitions

        return self._on_stage(Partitions, topic)

    @contextlib.contextmanager
    def dashboard(self) -> Generator[None]:
        """Put the pictures that are made in the with block beside each other, two in a row.

        They share what the observer samples and the budget of frames and bytes, so that four cost
        the broker and the kernel little more than one. Their words grow, since each has half of the
        page.

        Raises:
            ClosedError: the lab is closed.
        """
        from lab_env.figures.engine import dashboard

        usual, self.scale = self.scale, max(self.scale, dashboard.SCALE)
        self._detail = dashboard.DETAIL
        try:
            dashboard.begin()
            yield
        finally:
            self.scale, self._detail = usual, 1.0

    def ownership(
        self, topic: str | Iterable[str], groups: str | Iterable[str], lag: bool = True
    ) -> "Ownership":
        """Show which member of a group owns which partition of a topic, rebalances, and the lag.

        What is seen is what the broker tells, about four times a second: a rebalance lasts from
        the first sample that tells of it to the first that does not, and a shorter one goes
        unseen. In the classic protocol nobody can tell the owners meanwhile: the broker repeats
        what was so before, and this picture shows a grey gap.

        Args:
            topic: real name, as `lab.topic` returned it, or several that the groups read.
            groups: a group's real name, or several: each has its own block of rows, for each
                topic one.
            lag: show below how many records wait for each group; of several topics there is none.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        topics = tuple(topic) if isinstance(topic, list | tuple) else (topic,)
        if not topics:
            raise BadInputError("figures.bad_topic", got=topic)
        names = self._names(topics[0], groups)
        for one in topics[1:]:
            self._names(one, names)
        topics = tuple(dict.fromkeys(topics))
        if not names:
            raise BadInputError("figures.no_owners")
        from lab_env.figures.ownership import Ownership

        return self._on_stage(Ownership, topics, names, bool(lag) and len(topics) == 1)

    def pauses(
        self, services: "str | Iterable[str] | None" = None, longer_than: float = 0.3
    ) -> "Pauses":
        """Show when each member handled records, and how long it paused, as it says itself.

        A service says ``service.report(handled=record.key)``, or how many it has handled, for what
        it handles. A pause lasts from one such report to the next. Waiting for records is a pause
        too: use it under a steady replay, so that there is always work.

        Args:
            services: a service's name, or several; None for all that report ``handled``.
            longer_than: what is shorter is no pause, s.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        names = (services,) if isinstance(services, str) else services or ()
        try:
            names = tuple(dict.fromkeys(names))
        except TypeError:
            raise BadInputError("figures.bad_services", got=services) from None
        if not all(isinstance(name, str) and name for name in names):
            raise BadInputError("figures.bad_services", got=services)
        from lab_env.observation.facts.pauses import checked

        longer_than = checked(longer_than)
        from lab_env.figures.pauses import Pauses

        return self._on_stage(Pauses, names, longer_than)

    def delivery(self, topic: str, group: str) -> "Delivery":
        """Show what was produced, handled and committed, and what of it was lost or came twice.

        A record is handled when a service says so: ``service.report(handled=flight["id"],
        partition=record.partition, offset=record.offset)``. It is lost when the group has
        committed past it and nobody has said so: not at once, but when it has lasted for a second
        and no service is just at work on it. It came twice when it was reported more than once.
        A row that has a field ``topic`` or ``group`` counts only where these agree.

        Offsets are counted as records: in a topic that is compacted or written by transactions,
        where some offsets hold none, they would be called lost.

        Args:
            topic: real name, as `lab.topic` returned it.
            group: real name of the group.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        _check_group(group)
        self._names(topic, group)
        from lab_env.figures.delivery import Delivery

        return self._on_stage(Delivery, topic, group)

    def outcomes(
        self,
        topic: str,
        group: str,
        retry: str | Iterable[str] = (),
        dead: str | None = None,
        repair: str | None = None,
    ) -> "Outcomes":
        """Show where a group is blocked, and how many records were retried, parked, replayed.

        Blocked is what the broker tells: records wait in a partition, and nothing was committed
        there for more than 2 s. So a group that commits seldom looks blocked. The broker also
        tells the records in retry and dead letter topics, and what the repairing group has
        committed. What else became of a record only a service knows:
        ``service.report(outcome="handled")``.

        Args:
            topic: real name, as `lab.topic` returned it.
            group: real name of the group.
            retry: real name of the group's retry topic, or several.
            dead: real name of the topic of its dead letters.
            repair: real name of the group that reads dead letters, to replay them.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        _check_group(group)
        if repair is not None and dead is None:
            raise BadInputError("figures_outcomes.no_dead")
        try:
            retry = (retry,) if isinstance(retry, str) else tuple(dict.fromkeys(retry))
        except TypeError:
            raise BadInputError("figures_outcomes.bad_retry", got=retry) from None
        for name in (topic, *retry, *(() if dead is None else (dead,))):
            self._names(name, [name for name in (group, repair) if name is not None])
        from lab_env.figures.outcomes import Outcomes

        return self._on_stage(Outcomes, topic, group, retry, dead, repair)

    def latency(self, title: str | None = None) -> "Latency":
        """Show how long a record takes against records/s: p50 and p99 of what `Lab.measure` runs.

        A point is the median of the runs of one setting at one rate, from now on.

        Args:
            title: of the picture, in the students' words; None for the usual one.

        Raises:
            BadInputError: the title is no text.
            ClosedError: the lab is closed.
        """
        title = _checked_title(title)
        from lab_env.figures.latency import Latency

        return self._on_stage(Latency, title)

    def rates(self, title: str | None = None) -> "Rates":
        """Show records/s and MB/s of each setting that `Lab.measure` runs, with their spread.

        A bar is the median of the runs, from now on; the line goes from the lowest to the highest.

        Args:
            title: of the picture, in the students' words; None for the usual one.

        Raises:
            BadInputError: the title is no text.
            ClosedError: the lab is closed.
        """
        title = _checked_title(title)
        from lab_env.figures.rates import Rates

        return self._on_stage(Rates, title)

    def replicas(self, topic: str) -> "ReplicaTimeline":
        """Show who leads each partition of a topic, which replicas are in sync, and records/s.

        What is seen is what the cluster tells, about four times a second: it takes a dead broker
        for a leader until it notices. Only that a broker is away is known from the lab's marks:
        then its replica, which is not in sync, is a gap.

        Args:
            topic: real name, as `lab.topic` returned it.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        self._names(topic, ())
        from lab_env.figures.replicas import ReplicaTimeline

        return self._on_stage(ReplicaTimeline, topic)

    def scaling(self, topic: str, group: str) -> "Scaling":
        """Show replicas: how many are wanted, run, and own partitions, against the partitions.

        Wanted and running is what a loop reports that `Lab.repeat` calls, in the dict that it
        returns: ``{"wanted": 3, "running": 2}``. Who owns something the broker tells.

        Args:
            topic: real name, as `lab.topic` returned it.
            group: real name of the group whose members the replicas are.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        _check_group(group)
        self._names(topic, group)
        from lab_env.figures.scaling import Scaling

        return self._on_stage(Scaling, topic, group)

    def share_group(self, topic: str, group: str) -> "ShareGroup":
        """Show the records of a share group (KIP-932): who holds which, and what became of all.

        How many are done with, and how many are not, the broker tells. Who holds what only the
        services can say: ``service.report(share="acquired", partition=record.partition(),
        offset=record.offset(), deliveries=record.delivery_count())``, and then the same with
        ``share="accepted"``, "released", "rejected", or "refused" for an acknowledgement that came
        too late. A record is archived when Kafka is done with it and nobody has accepted it. A row
        that has a field ``topic`` or ``group`` counts only where these agree.

        Args:
            topic: real name, as `lab.topic` returned it.
            group: real name of the share group.

        Raises:
            BadInputError: an argument that cannot work.
            ClosedError: the lab is closed.
        """
        _check_group(group)
        self._names(topic, group)
        from lab_env.figures.share_group import ShareGroup

        return self._on_stage(ShareGroup, topic, group)

    def close(self) -> None:
        """Draw a last frame of every picture and end them, in under a second."""
        self._closed = True
        if self._stage is not None:
            self._stage.close()

    def __repr__(self) -> str:
        kinds = "\n".join(say(f"figures.about_{kind}") for kind in KINDS)
        alive = len(self._stage.alive) if self._stage is not None else 0
        return say("figures.about", kinds=kinds, alive=alive)

    def _names(self, topic: object, groups: Iterable[str]) -> tuple[str, ...]:
        """Return the groups as a tuple, and have the observer sample them and the topic."""
        if not isinstance(topic, str) or not topic:
            raise BadInputError("figures.bad_topic", got=topic)
        names = (groups,) if isinstance(groups, str) else groups
        try:
            names = tuple(dict.fromkeys(names))
        except TypeError:
            raise BadInputError("figures.bad_group", got=groups) from None
        for name in names:
            _check_group(name)
        self._observer.watch(topics=[topic], groups=names)
        return names

    def _on_stage(self, kind: "Callable[..., Picture]", *args: Any) -> "Picture":
        """Make a picture, show it and return it; matplotlib is imported when the first is made."""
        if self._stage is None:
            from lab_env.figures.engine.live import Stage

            self._stage = Stage(*self._parts)
            if self._closed:
                self._stage.close()
        picture = kind(self._stage, *args, scale=self.scale)
        picture.detail = self._detail
        return self._stage.add(picture)


def _checked_title(title: object) -> str | None:
    if title is None:
        return None
    if not isinstance(title, str) or not title.strip():
        raise BadInputError("figures.bad_title", got=title)
    return plain(title)


def _check_group(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise BadInputError("figures.bad_group", got=name)

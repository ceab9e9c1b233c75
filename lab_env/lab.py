"""The laboratory: one object that starts Kafka and breaks it. Long: the front page."""

import contextlib
import linecache
import re
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from lab_env import clusters
from lab_env.classroom import cells
from lab_env.clusters.ledger import RESERVED
from lab_env.clusters.librdkafka import librdkafka
from lab_env.ground import arguments, notices, packages
from lab_env.ground.errors import BadInputError, BrokerError, ClosedError, NotYoursError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.patience import PAUSE, QUIET, TIMES, Named, Patience, Telling
from lab_env.ground.refusals import refusal
from lab_env.ground.reports import Reports
from lab_env.messages import say

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pandas as pd

    from lab_env.around.rabbitmq import NoRabbit, RabbitMQ
    from lab_env.clusters.cluster import Cluster
    from lab_env.day.card import Nobody, ReportCard
    from lab_env.day.faults import Fault
    from lab_env.figures import Show
    from lab_env.observation.observer import Observer
    from lab_env.processes.control_loop import Repeat, Repeats
    from lab_env.processes.fleets import Fleet, Services
    from lab_env.processes.services import Service
    from lab_env.spring import SpringFleet, Springs, SpringService

MOST_BROKERS = 9
MOST_PARTITIONS = 1000

T = TypeVar("T")


class Lab:
    """A running Kafka and all that a lesson does with it.

    ``lab = Lab()`` returns when a record has gone to the broker and come back. It is a context
    manager; one that is forgotten, or whose notebook is killed, cleans up after itself.

    Args:
        where: "embedded", "compose" or "external"; or the address of a Kafka that you run yourself
            on this machine ("127.0.0.1:9092"); None for the variable ``KAFKA_LAB``, else the
            first that is at hand: an existing cluster that a variable names, Docker Compose if an
            engine answers, and embedded everywhere.
        brokers: how many brokers, 1 to 9.
        progress: show the download at the first start, and what a slow start waits for.

    Attributes:
        connection: the keyword arguments for any kafka-python client:
            ``KafkaProducer(**lab.connection)``.
        services: what `service` started, by name.
        show: the live pictures.
        journal: what happened when, as marks.

    Raises:
        BadInputError: before anything is started.
        PackageError: Python finds another Kafka client, or a file of yours in place of a package.
        DownloadError, StorageError, BrokerError: Kafka cannot start here; each with the remedy.
    """

    def __init__(self, where: str | None = None, *, brokers: int = 1, progress: bool = True):
        began = time.monotonic()
        if not arguments.is_whole(brokers, 1, MOST_BROKERS):
            raise BadInputError("lab.brokers", brokers=brokers)
        kind = clusters.choose(where)
        packages.check()
        # the client's import takes as long as half a start: let the two overlap
        threading.Thread(target=_import_client, daemon=True).start()
        self.journal = Journal()
        self._cluster: Cluster = clusters.start(kind, brokers, progress=progress)
        notices.watch_cells()
        cells.watch()
        try:
            self._cluster.on_event = _marker(self.journal)
            _round_trip(self._cluster, brokers, quiet=not progress)
        except BaseException:
            self._cluster.close()
            raise
        self.ready_seconds = time.monotonic() - began
        self._reports = Reports()
        self._parts: dict[str, Any] = {"cluster": self._cluster}
        self._making = threading.Lock()
        self._finalizer = weakref.finalize(self, _close_parts, self._parts)
        self._cluster.train_in_background()

    # -- connecting, topics, groups ---------------------------------------------------------

    @property
    def connection(self) -> dict:
        """The keyword arguments for any kafka-python client (a copy)."""
        return dict(self._open().connection)

    @property
    def librdkafka(self) -> dict:
        """The same for a client on librdkafka: ``Consumer(lab.librdkafka | {"group.id": "g"})``."""
        return librdkafka(self.connection)

    def topic(self, name: str, partitions: int = 1, replication: int = 1, **configs: object) -> str:
        """Make a fresh topic, and return its real name when every partition has a leader.

        A topic that has the name already is deleted first, with its records and the offsets that
        groups committed for it, so that a cell can be run again. Services that read it are started
        again, and whoever else may still have the old one is named in a line. On a Kafka that the
        lab has not started, this goes only for a topic that a lab of yours has made.

        Args:
            name: 1 to 249 of a-z A-Z 0-9 . _ -
            partitions: how many, 1 to 1000.
            replication: replicas of each partition, at most the number of brokers.
            **configs: Kafka's settings of topics, _ for the dots: ``retention_ms=60000``.

        Returns:
            The name to give to clients; on a shared cluster it begins with your prefix.

        Raises:
            BadInputError: a name, a number or a setting that Kafka would refuse.
            NotYoursError: the topic is there, and is not the lab's to delete.
            BrokerError: Kafka does not answer, or refuses; with its reason.
        """
        cluster = self._open()
        real = self._real_topic(name)
        if isinstance(partitions, bool) or not isinstance(partitions, int):
            raise BadInputError("lab.topic_partitions", partitions=partitions)
        if not 1 <= partitions <= MOST_PARTITIONS:
            raise BadInputError("lab.topic_partitions", partitions=partitions)
        if isinstance(replication, bool) or not isinstance(replication, int) or replication < 1:
            raise BadInputError("lab.topic_replication_low", replication=replication)
        replication = max(replication, cluster.replication)
        brokers = len(cluster.nodes)
        if replication > brokers:
            raise BadInputError("lab.topic_replication", replication=replication, brokers=brokers)
        settings = {key.replace("_", "."): str(value) for key, value in configs.items()}
        from lab_env.topics.creation import make_fresh
        from lab_env.topics.users import Users

        users = Users(real, self.services.values())
        wanted = (partitions, replication, settings)
        try:
            with self._answers():
                make_fresh(self.connection, real, *wanted, cluster.made, users.stop)
        finally:
            users.start()
        if told := users.told(partitions):
            print(told)
        return real

    def group(self, name: str) -> str:
        """Return the real name of a consumer group: on a shared cluster it bears your prefix."""
        if not isinstance(name, str) or not name:
            raise BadInputError("lab.group_name", name=name)
        return self._with_prefix(name)

    def transactional_id(self, name: str) -> str:
        """Return the real ``transactional.id`` of a producer, which bears your prefix as well."""
        return self.group(name)

    def _real_topic(self, name: str) -> str:
        if not arguments.is_topic_name(name):
            proposal = re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)).strip("-.")[:249] or "flights"
            raise BadInputError("lab.topic_name", name=name, proposal=proposal)
        if name.startswith("__"):
            proposal = name.lstrip("_.") or "flights"
            raise BadInputError("lab.topic_internal", name=name, proposal=proposal)
        prefix = self._open().prefix
        return self._with_prefix(name.removeprefix(prefix) or name)

    def _with_prefix(self, name: str) -> str:
        prefix = self._open().prefix
        if prefix and name.startswith(RESERVED):
            raise BadInputError("lab.topic_reserved", name=name)
        return prefix + name

    def records(self, topic: str, *, limit: int = 1_000_000) -> "pd.DataFrame":
        """Return the records that a topic holds now, without a group and without a commit.

        Args:
            topic: the real name of the topic.
            limit: how many records at the most.

        Returns:
            DataFrame: partition int64, offset int64, timestamp datetime64[ms, UTC], key str, value
            (what its JSON says, else str, else bytes), headers dict.

        Raises:
            BadInputError: there is no such topic.
            BrokerError: Kafka does not answer.
        """
        from lab_env.observation import queries

        arguments.name(topic, "topic")
        arguments.count(limit, "limit")
        with self._answers():
            return queries.records(self.connection, topic, limit=limit)

    def assignment(self, group: str, members: int | None = None) -> "pd.DataFrame":
        """Return which member of a group owns which partition, as its coordinator tells it.

        Args:
            group: the real name of a group of any type.
            members: wait until the group is stable with so many members; None looks once.

        Returns:
            DataFrame, a row a partition that is owned, and a row without one for an idle member:
            member str (the client id), topic str, partition Int64.

        Raises:
            BadInputError: no name, or no number of members.
            BrokerError: Kafka does not answer.
        """
        from lab_env.observation import group_frames

        arguments.name(group, "group")
        wanted = members if members is None else arguments.count(members, "members")
        with self._answers(), group_frames.looking_at(self.connection, group) as look:
            found = [look()]
            if wanted is not None:

                def settled() -> bool:
                    found[0] = look()
                    return group_frames.is_settled(found[0], wanted)

                def words() -> str:
                    there = ", ".join(group_frames.members(found[0])) or say("lab.until_nobody")
                    return say("lab.until_members", group=group, count=wanted, there=there)

                self.until(Named(words, settled))
        return group_frames.assignment(found[0])

    def lag(self, group: str, *topics: str) -> "pd.DataFrame":
        """Return how far a group has come, partition by partition.

        Args:
            group: the real name of a group.
            *topics: real names; without one, those in which the group has committed something.

        Returns:
            DataFrame, a row a partition: topic str, partition int64, committed_offset Int64 (the
            offset of the next record to read; missing where the group has committed nothing),
            end_offset int64, lag Int64 (records; missing where nothing is committed).

        Raises:
            BadInputError: no name, or no such topic.
            BrokerError: Kafka does not answer.
        """
        from lab_env.observation import group_frames

        arguments.name(group, "group")
        with self._answers():
            return group_frames.lag(
                self.connection, group, [arguments.name(one, "topic") for one in topics]
            )

    def rebalances(self, group: str) -> "pd.DataFrame":
        """Return the rebalances of a group that is watched, or shown by a picture of ownership.

        Args:
            group: the real name of a group.

        Returns:
            DataFrame, a row a rebalance: begin float64, end float64 (s, the lab's clock; the end is
            missing while it lasts), seconds float64, members int64 and moved int64 (partitions
            that have another owner) when it ended.

        Raises:
            BadInputError: no name, or a group that nothing watches.
        """
        from lab_env.observation.facts.rebalances import rebalances

        samples = self._observer().samples
        if not samples or arguments.name(group, "group") not in samples[-1].groups:
            raise BadInputError("lab.not_watched", group=group)
        return rebalances(samples, group)

    def changed_settings(self, *words: str) -> "pd.DataFrame":
        """Return what was set on the brokers otherwise than Kafka does by itself.

        Addresses, identities and folders are left out. A broker tells it, so it is as true of a
        cluster that the lab has not started.

        Args:
            *words: parts of names, such as "retention"; only settings that contain one are told.

        Returns:
            DataFrame, a row a setting, by name: setting str, here str, default str.

        Raises:
            BadInputError: a word that is no text.
            BrokerError: Kafka does not answer, or refuses.
        """
        from lab_env.observation import broker_settings

        wanted = [arguments.name(word, "words") for word in words]
        with self._answers():
            found = broker_settings.changed(self.connection)
        if wanted:
            found = found[[any(w in name for w in wanted) for name in found["setting"]]]
        return found.reset_index(drop=True)

    # -- services ---------------------------------------------------------------------------

    @overload
    def service(
        self,
        function: "Callable",
        *args: object,
        name: str | None = None,
        copies: Literal[1] = 1,
        settings: dict | None = None,
    ) -> "Service": ...

    @overload
    def service(
        self,
        function: "Callable",
        *args: object,
        name: str | None = None,
        copies: int,
        settings: dict | None = None,
    ) -> "Service | Fleet": ...

    def service(
        self,
        function: "Callable",
        *args: object,
        name: str | None = None,
        copies: int = 1,
        settings: dict | None = None,
    ) -> "Service | Fleet":
        """Run your function as a service: a real process of its own that shares only messages.

        What the function starts (subprocess, os.fork, multiprocessing) ends with the service,
        however that ends; a program that calls setsid (``start_new_session=True``) outlives it.

        Args:
            function: ``function(service, *args)``; ``service.running`` turns False when it is
                asked to stop, ``service.report(**fields)`` adds a row to `reports`,
                ``service.settings`` is what ``handle.set(...)`` changes while it runs.
            *args: handed to the function; they travel, so they must be plain data.
            name: the service's name, else the function's. One that runs already is replaced.
            copies: how many to start: name-1, name-2, ...
            settings: the first values of ``service.settings``.

        Returns:
            The service (with stop, crash, restart, log, reports), or the list of copies.

        Raises:
            BadInputError: no such function, or something that cannot travel, named.
        """
        self._open()
        return self.services.start(function, *args, name=name, copies=copies, settings=settings)

    def spring(
        self,
        yaml: str | None = None,
        *,
        name: str = "spring",
        copies: int = 1,
        **properties: object,
    ) -> "SpringService | SpringFleet":
        """Run the Spring application of services/airport as a service; returns when it is up.

        The first start on a machine fetches Spring (50 MB) and compiles the application.

        Args:
            yaml: the text of its application.yml, in place of the one that it brings; None for
                that one. Where Kafka is, and a port, it need not say.
            name: the service's name; its consumers have it in their client ids. One that runs
                already is replaced.
            copies: how many to start: name-1, name-2, ...
            **properties: Spring's names, before what the YAML says:
                ``**{"spring.cloud.function.definition": "statistics"}``.

        Returns:
            The service (with stop, crash, restart, log, bindings, get), or the list of copies.

        Raises:
            BadInputError: the YAML cannot work.
            DownloadError, StorageError: Spring is not here, and cannot be fetched or kept.
            ServiceError: it ends, hangs or is not well; with the reason out of its log.
        """
        services = self.services
        springs = self._part("spring", lambda: self._make_springs(services))
        return springs.start(yaml, name, copies, properties)

    def _make_springs(self, services: "Services") -> "Springs":
        from lab_env.spring import Springs

        parts = self._parts  # and not the lab, which may be forgotten
        return Springs(self._cluster, services, lambda: parts.get("rabbitmq"))

    def repeat(
        self, function: "Callable[[], object]", *, every: float = 0.25, name: str | None = None
    ) -> "Repeat":
        """Call a function again and again in the background, as a controller does its work.

        When the dict that it returns changes, that is a row of `reports`: ``{"wanted": 3,
        "running": 2}`` is what `show.scaling` draws. What it raises ends it, and is shown.

        Args:
            function: called without arguments; it must not print.
            every: seconds from the end of one call to the next.
            name: of its reports; None for the function's. One of the same name is replaced.

        Returns:
            An object with ``stop()``, ``running``, ``calls`` and ``error``.

        Raises:
            BadInputError: no function, or no number of seconds.
            ClosedError: the lab is closed.
        """
        self._open()
        return self._part("repeats", self._make_repeats).start(function, every, name)

    @property
    def loops(self) -> "dict[str, Repeat]":
        """What `repeat` calls or has called, by name."""
        return dict(self._part("repeats", self._make_repeats).by_name)

    def _make_repeats(self) -> "Repeats":
        from lab_env.processes.control_loop import Repeats

        return Repeats(self.journal, self._reports)

    def rabbitmq(self) -> "RabbitMQ | NoRabbit":
        """Start a RabbitMQ beside Kafka, or return the one that runs; it ends with the lab.

        Returns:
            The RabbitMQ (with queue, queues, exchanges, bindings, publish, messages); where none is
            installed, something that is false and says what to do.

        Raises:
            BrokerError: it is installed, and does not start.
        """
        from lab_env.around import rabbitmq

        self._open()
        with self._making:
            there = self._parts.get("rabbitmq")
            if not there:  # none yet, or one that has died
                if there is not None:
                    there.close()
                self._parts["rabbitmq"] = rabbitmq.start()
            return self._parts["rabbitmq"]

    @property
    def services(self) -> "Services":
        """What `service` and `spring` started, by name."""
        return self._part("services", self._make_services)

    def _make_services(self) -> "Services":
        from lab_env.processes.fleets import Services

        return Services(self.journal, self._reports, self.folder / "services")

    @property
    def reports(self) -> "pd.DataFrame":
        """What all services reported: time float64 (s), service str, then a column a field."""
        return self._reports.frame()

    def pauses(self, longer_than: float = 0.3) -> "pd.DataFrame":
        """When services that report ``handled`` handled nothing: a row a pause.

        Waiting for records is a pause too: measure under a steady replay.

        Args:
            longer_than: shorter ones are left out, s.

        Returns:
            DataFrame: member str, begin float64, end float64 (s, lab's clock), seconds float64.

        Raises:
            BadInputError: ``longer_than`` is no number of seconds.
        """
        from lab_env.observation.facts.pauses import pauses

        return pauses(self._reports.rows, longer_than)

    def measure(
        self,
        cases: "Mapping[str, tuple]",
        *,
        runs: int = 3,
        copies: "int | Mapping[str, int]" = 1,
        rates: "Iterable[float]" = (),
        seconds: float | None = 0.4,
    ) -> "pd.DataFrame":
        """Measure functions side by side: each in processes of its own, warmed up, all by turns.

        Args:
            cases: name -> (function, \\*args); ``function(meter, *args)`` does one run, see
                `lab_env.experiments.meter.Meter`.
            runs: how often each is measured.
            copies: in how many processes at once: one number, or a number a case.
            rates: records/s at which each case is measured; none is once, as fast as it goes.
            seconds: a run hands out no more values after so long; None is until they end.

        Returns:
            DataFrame, a row a run: what str, run int64, asked float64 (records/s), records, bytes
            int64, seconds, records_per_second, megabytes_per_second, p50_ms, p99_ms, client_cpu,
            broker_cpu float64 (% of one core).

        Raises:
            BadInputError: an argument that cannot work.
            ServiceError: every case failed; one that fails alone is told, and left out.
        """
        from lab_env.experiments.meter import measure

        cluster = self._open()
        pids = getattr(cluster, "pids", {})  # a cluster elsewhere has none that we could look at
        return measure(
            cases,
            runs=runs,
            copies=copies,
            rates=rates,
            seconds=seconds,
            folder=cluster.folder,
            journal=self.journal,
            reports=self._reports,
            brokers=[pid for pid in pids.values() if pid],
        )

    # -- watching and drawing ---------------------------------------------------------------

    def watch(self, *topics: str, groups: tuple[str, ...] | list[str] = ()) -> "Observer":
        """Sample topics and groups four times a second, from now on.

        Args:
            *topics: real names of topics.
            groups: real names of consumer groups.

        Returns:
            The observer; its ``offsets``, ``commits``, ``members`` and ``leaders`` are frames.

        Raises:
            BadInputError: what no topic, or no group, can be called.
        """
        return self._observer().watch(topics, groups)

    def _observer(self) -> "Observer":
        def make():
            from lab_env.observation.observer import Observer

            return Observer(self._cluster.connection, self.journal)

        return self._part("observer", make)

    @property
    def show(self) -> "Show":
        """The live pictures: ``lab.show.throughput(...)``, ``.lag(...)`` and so on."""
        observer = self._observer()

        def make():
            from lab_env.figures import Show

            return Show(observer, self._reports, self.journal)

        return self._part("show", make)

    def mark(self, text: str) -> Mark:
        """Write ``text`` into the time axis of every picture, at this moment.

        Raises:
            BadInputError: ``text`` is no text.
        """
        return self.journal.mark(text)

    def span(self, text: str) -> "AbstractContextManager[Mark]":
        """Shade the time axis of every picture, with ``text``, as long as the with block lasts.

        Yields:
            The `Mark`, whose ``end`` is set when the block ends.

        Raises:
            BadInputError: ``text`` is no text.
        """
        return self.journal.span(text)

    @contextlib.contextmanager
    def fault(self, text: str, service: "Service | Fleet", **settings: object) -> "Generator[Mark]":
        """Put a fault into a service while a with block lasts: pictures are shaded with ``text``.

        What was set before comes back with the end of the block, also by an error or an Interrupt.

        Args:
            text: what is wrong, in a few words.
            service: a service, or several that ``lab.service(..., copies=n)`` has started.
            **settings: what they find in ``service.settings`` meanwhile.

        Yields:
            The mark: its ``time`` and, afterwards, its ``end`` (s of the lab's clock).

        Raises:
            BadInputError: no text, no service, or a setting that cannot travel to it.
            ServiceError: the process does not take the settings.
        """
        if not hasattr(service, "changed"):
            raise BadInputError("lab.fault_service", got=type(service).__name__)
        of_it = [service] if hasattr(service, "state") else list(service)
        if idle := [one.name for one in of_it if one.state != "running"]:
            print(say("lab.fault_idle", names=", ".join(idle)))
        with self.span(text) as mark, service.changed(**settings):
            yield mark

    def until(self, condition: "Callable[[], object]", seconds: float | None = None) -> bool:
        """Wait for ``condition()`` to come true, and return whether it did.

        Args:
            condition: called ten times a second; what it raises ends the waiting, and is raised.
            seconds: a deadline of your own. None waits as long as something moves in the lab (a
                report, or what is watched), and says so: it gives up when nothing has moved for
                20 s, and after a minute; four times that on a quarter of a core.

        Raises:
            BadInputError: no function, or no number of seconds.
        """
        arguments.function(condition, "condition")
        if seconds is not None:
            deadline = time.monotonic() + arguments.seconds(seconds)
            while not (met := bool(condition())) and time.monotonic() < deadline:
                time.sleep(PAUSE)
            return met
        began = len(self._reports.rows)

        def told(key: str, seconds: float) -> str:
            reports = len(self._reports.rows) - began
            return say(f"lab.{key}", what=_words(condition), seconds=seconds, reports=reports)

        patience = Patience(QUIET, most=QUIET * TIMES)
        telling = Telling(lambda seconds: told("waiting", seconds))
        while not (met := bool(condition())):
            patience.look(self._moves())
            if patience.over:
                print(told("gave_up", telling.seconds))
                break
            telling.look()
            notices.tell()  # a service that has failed is what she waits for in vain
            time.sleep(PAUSE)
        return met

    def _moves(self) -> tuple:
        """Return what changes while services work, brokers answer and groups share out."""
        observer = self._parts.get("observer")
        last = observer.samples[-1] if observer is not None and observer.samples else None
        watched = last and (last.ends, last.starts, last.leaders, last.groups)
        return len(self._reports.rows), len(self.journal.marks), watched

    # -- faults and growth ------------------------------------------------------------------

    @property
    def nodes(self) -> dict[int, str]:
        """The state of each broker: "running", "starting", "paused", "stopped" or "dead"."""
        return self._cluster.nodes

    def kill(self, node: int) -> None:
        """End a broker without warning, as a power cut does; returns when its process is gone.

        On a cluster that is not yours alone this and the other faults say so, and do nothing.

        Args:
            node: its id, as in `nodes`.

        Raises:
            BadInputError: there is no such broker, or it does not run.
            BrokerError: nobody looks after the brokers any more: a new lab is needed.
            ClosedError: the lab is closed.
        """
        self._fault(self._open().kill, node)

    def stop(self, node: int) -> None:
        """Let a broker hand over its leaderships and leave; returns when its process is gone.

        That takes 1 to 3 s. One that shows no sign of work for 15 s (in a container: that is there
        after 15 s), or is not gone after a minute, is killed.

        Args:
            node: its id, as in `nodes`.

        Raises:
            BadInputError: there is no such broker, or it does not run.
            BrokerError: nobody looks after the brokers any more: a new lab is needed.
            ClosedError: the lab is closed.
        """
        self._fault(self._open().stop, node)

    def start(self, *nodes: int) -> None:
        """Start brokers again, with what they had on disk; returns when they answer.

        ``lab.start(2)`` starts one, ``lab.start()`` all that are down, together. A broker can
        answer once the majority of the controllers (the first three brokers) runs: while it does
        not, the broker is launched, and a sentence says what is missing.

        That takes some seconds. A busy machine is given its time: a start hangs when nothing has
        gone on for 2 minutes, or after 15.

        Args:
            *nodes: node ids; none is all that are stopped or dead.

        Raises:
            BadInputError: there is no such broker, or it runs.
            BrokerError: it ends while it starts, or hangs; with its log's last lines.
            StorageError: the disk is full.
            ClosedError: the lab is closed.
        """
        self._fault(self._open().start, *nodes)

    def pause(self, node: int) -> None:
        """Freeze a broker at once: not dead, and not alive.

        Args:
            node: its id, as in `nodes`.

        Raises:
            BadInputError: there is no such broker, it does not run, or the lab cannot freeze
                processes here (embedded Kafka on Windows).
            BrokerError: nobody looks after the brokers any more: a new lab is needed.
            ClosedError: the lab is closed.
        """
        self._fault(self._open().pause, node)

    def resume(self, node: int) -> None:
        """Let a frozen broker go on, at once.

        Args:
            node: its id, as in `nodes`.

        Raises:
            BadInputError: there is no such broker, or it is not frozen.
            BrokerError: nobody looks after the brokers any more: a new lab is needed.
            ClosedError: the lab is closed.
        """
        self._fault(self._open().resume, node)

    def wipe(self, node: int) -> None:
        """Give a broker that does not run an empty disk, as a new pod with an emptyDir gets.

        It is done when the call returns, in well under a second. Where the disk is not the lab's,
        as a container's volume, a sentence says so, and nothing is done.

        Args:
            node: its id, as in `nodes`.

        Raises:
            BadInputError: there is no such broker, or it runs.
            BrokerError: nobody looks after the brokers any more: a new lab is needed.
            StorageError: the new disk cannot be written.
            ClosedError: the lab is closed.
        """
        self._fault(self._open().wipe, node)

    def add_broker(self) -> int | None:
        """Add a broker to the cluster and return its node id; None where that is not possible."""
        return self._fault(self._open().add_broker)

    @staticmethod
    def _fault(fault: "Callable[..., T]", *nodes: int) -> "T | None":
        try:
            return fault(*nodes)
        except NotYoursError as error:  # the lesson goes on
            print(error)
        return None

    def log(self, node: int = 1, lines: int = 20) -> str:
        """Return the last lines of a broker's log."""
        arguments.count(lines, "lines", 1)
        return self._open().log(node, lines)

    # -- the whole airport ------------------------------------------------------------------

    def day(
        self,
        date: str = "2013-02-08",
        *,
        level: str = "calm",
        seed: int = 1,
        faults: "Iterable[Fault] | None" = None,
        seconds: float = 120.0,
        flights: int | None = None,
        show: bool = False,
        operations: "Callable | str | None" = None,
        gates: "Callable | str | None" = None,
        baggage: "Callable | str | None" = None,
        board: "Callable | str | None" = None,
    ) -> "ReportCard | Nobody":
        """Play a day of 2013 at the whole airport, and judge it at midnight.

        The services are yours: functions ``function(service, airport)``, as ``lab.service`` runs
        them, or paths of Python programs. What is left out is not judged; without operations the
        day itself tells the events. services/capstone/SPECIFICATION.md says what each must do.

        Args:
            date: the day whose flights are played, such as "2013-02-08".
            level: "calm", "windy" or "storm": which faults there are.
            seed: when they come; the same seed makes the same day.
            faults: a list of your own, in place of what the level and the seed make.
            seconds: how long the day takes to be sent, if no fault holds it up (s).
            flights: only so many of the day's flights; None is all.
            show: whether the running day is shown below the cell, as a dashboard.
            operations, gates, baggage, board: the services; without any the day is over at once.

        Returns:
            The report card: true if all was kept; ``save(folder)`` writes it as a page.

        Raises:
            BadInputError: an argument that cannot work.
            BrokerError, ServiceError: Kafka does not answer, or a service cannot be started.
        """
        from lab_env.day import card, play, script, verdict
        from lab_env.day.faults import all_checked
        from lab_env.day.faults import faults as from_seed

        cluster = self._open()
        services = {"operations": operations, "gates": gates, "baggage": baggage, "board": board}
        wanted = from_seed(level, seed, len(self.nodes))
        left_out = [one for one in from_seed(level, seed, 3) if one not in wanted]
        if faults is not None:
            wanted, left_out = all_checked(faults), []
        lines = script.script(date, flights)
        if not any(one is not None for one in services.values()):
            return card.Nobody()
        given = play.checked(services)
        told = level if faults is None else say("day.own_faults")
        named = {"day": date, "flights": flights, "level": told, "seed": seed}
        played = play.Day(
            self, cluster, given, lines, wanted, seconds, left_out=left_out, show=show
        )
        evidence = played.play(named)
        return card.ReportCard(evidence, verdict.judge(evidence, script.truth(lines)))

    # -- life -------------------------------------------------------------------------------

    @property
    def folder(self) -> "Path":
        """Where this lab keeps its files as long as it lives: logs, and its own brokers' disks."""
        return self._cluster.folder

    @property
    def closed(self) -> bool:
        """Whether the lab has been closed."""
        return not self._finalizer.alive

    def close(self) -> None:
        """End everything the lab started, in under 2 seconds. Can be called again."""
        self._finalizer()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self):
        # a service's function may name `lab`: what travels is the connection alone
        return LabInService, (self.connection, self._cluster.prefix)

    def __repr__(self) -> str:
        if self.closed:
            return say("lab.summary_closed", way=self._cluster.way)
        brokers = ", ".join(
            say("lab.summary_broker", node=node, state=say(f"clusters.state_{state}"))
            for node, state in self.nodes.items()
        )
        return say(
            "lab.summary",
            way=self._cluster.way,
            brokers=brokers,
            address=",".join(self._cluster.connection["bootstrap_servers"]),
            seconds=f"{self.ready_seconds:.1f}",
        )

    def _open(self) -> "Cluster":
        if self.closed:
            raise ClosedError("lab.closed")
        return self._cluster

    def _part(self, name: str, make: "Callable[[], T]") -> T:
        """Return a part of the lab, made when it is first used."""
        with self._making:
            if name not in self._parts:
                self._open()
                self._parts[name] = make()
            return self._parts[name]

    @contextlib.contextmanager
    def _answers(self) -> "Generator[None]":
        """Say in a sentence what is wrong when Kafka does not answer, or refuses, in the block."""
        from kafka.errors import KafkaError

        states = set(self.nodes.values())
        if "running" not in states:  # nobody is there to ask: do not wait for a timeout
            raise BrokerError("lab.no_answer", why=self._cluster.trouble())
        try:
            yield
        except (KafkaError, OSError) as error:
            trouble = self._cluster.trouble()
            if why := refusal(error):
                told = f"{why} {trouble}" if trouble else why
                raise BrokerError("lab.refused", why=told) from error
            why = trouble or say("lab.no_answer_unknown")
            raise BrokerError("lab.no_answer", why=why) from error


class LabInService:
    """What a service's process sees of the lab: how to connect, and how things are called.

    Args:
        connection: keyword arguments for any kafka-python client.
        prefix: what topics and groups begin with.
    """

    def __init__(self, connection: dict, prefix: str):
        self.connection = connection
        self._prefix = prefix

    @property
    def librdkafka(self) -> dict:
        """How to connect a client on librdkafka."""
        return librdkafka(self.connection)

    def group(self, name: str) -> str:
        """Return the real name of a consumer group."""
        return self._prefix + name

    transactional_id = group

    def __reduce__(self):
        return LabInService, (self.connection, self._prefix)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise BadInputError("lab.in_service")


def _words(condition: object) -> str:
    """Return the line of a condition as the student wrote it, where it is known."""
    if isinstance(condition, Named):
        return condition.words
    code = getattr(condition, "__code__", None)
    line = code and linecache.getline(code.co_filename, code.co_firstlineno).strip()
    if line and line.startswith("def "):
        line = f"{getattr(condition, '__name__', '')}()"
    return f"`{line}`" if line else say("lab.a_condition")


def _import_client() -> None:
    with contextlib.suppress(Exception):  # the same error comes again where it can be told
        import kafka  # noqa: F401


def _marker(journal: Journal):
    """Return what writes a cluster's events into a journal, and holds nothing else."""

    last = notices.Notice("")
    last.told = True

    def mark(kind: str, node: int, text: str, notice: str = "") -> None:
        nonlocal last
        journal.mark(text, kind, f"broker {node}")
        if notice and not last.told:  # one that nobody has seen yet: the newest says all of it
            last.text = notice
        elif notice:  # nobody asked for it, so the notebook tells it by itself
            last = notices.post(notice)

    return mark


def _round_trip(cluster: "Cluster", brokers: int, *, quiet: bool) -> None:
    from lab_env.clusters.readiness import round_trip

    try:
        round_trip(
            cluster.connection,
            brokers=brokers,
            prefix=cluster.prefix,
            trouble=cluster.trouble,
            signs=cluster.signs,
            quiet=quiet,
        )
    except BrokerError as error:
        raise cluster.explain(error) from error


def _close_parts(parts: dict[str, Any]) -> None:
    """Close what a lab made, pictures first (they draw a last frame), the cluster last."""
    for name in ("show", "repeats", "services", "spring", "rabbitmq", "observer", "cluster"):
        part = parts.get(name)
        if part is not None:
            with contextlib.suppress(Exception):  # one that fails must not keep the others open
                part.close()

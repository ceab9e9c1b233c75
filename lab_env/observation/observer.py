"""The observer: a thread that samples topics and groups four times a second. Long: one thread."""

import contextlib
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab_env.ground.arguments import is_topic_name
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal
from lab_env.ground.kafka_compat import quiet_kafka
from lab_env.observation import share_groups
from lab_env.observation.groups import DEAD, describe, names_of
from lab_env.observation.sample import GroupSample, Place, Replicas, Sample

if TYPE_CHECKING:
    import pandas as pd

PERIOD = 0.23  # seconds between samples: a little over four a second
STARTS_EVERY = 4  # the oldest offsets move seldom: read them once a second
FIRST_SECONDS = 20.0  # how long a new interest is waited for: who does not answer is told by calls
CALL_MS = 2000  # a broker that is silent for longer is not answering
MOST_ALONE = 12  # partitions of one leader that are asked for one by one, after trouble
FROZEN = 0.5  # seconds after which who gives no answer will give none for its other partitions


class Observer:
    """Samples the broker through an admin client of its own, in a thread of its own.

    Args:
        connection: keyword arguments for any kafka-python client.
        journal: gives the clock.

    Attributes:
        samples: in order of time; a sample's time is that at which its questions were asked.
        asking: when the questions were asked that are under way (s), else None.
    """

    def __init__(self, connection: dict, journal: Journal):
        self._connection = connection
        self._journal = journal
        self._topics: list[str] = []
        self._groups: list[str] = []
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.samples: list[Sample] = []
        self.asking: float | None = None

    def watch(self, topics: Iterable[str] = (), groups: Iterable[str] = ()) -> "Observer":
        """Add topics and groups to what is sampled, and return when they have been sampled once.

        A broker that does not answer is waited for some seconds at the most.

        Args:
            topics: real names of topics; one that does not exist (yet) is left out of the samples.
            groups: real names of consumer groups; one that does not exist (yet) has state "Dead".

        Returns:
            This observer.

        Raises:
            BadInputError: what no topic, or no group, can be called: asked for it, Kafka would
                answer about nothing else either.
        """
        topics, groups = _names(topics, "lab.watch_topic"), _names(groups, "lab.watch_group")
        for name in topics:
            if not is_topic_name(name):
                raise BadInputError("lab.watch_topic", got=name)
        with self._lock:
            self._topics += [name for name in topics if name not in self._topics]
            self._groups += [name for name in groups if name not in self._groups]
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="lab-observer", daemon=True)
                self._thread.start()
        self._wake.set()
        asked = self._journal.now()
        while not (self.samples and self.samples[-1].time >= asked):
            if self._stop.is_set() or self._journal.now() > asked + FIRST_SECONDS:
                break
            time.sleep(0.005)
        return self

    def after(self, count: int) -> list[Sample]:
        """Return the samples after the first ``count``, so that a picture reads only the new."""
        return self.samples[count:]

    @property
    def silence(self) -> float:
        """Seconds since the broker last answered about topics; 0 while nothing was sampled."""
        if not self.samples:
            return 0.0
        last = self.samples[-1]
        return self._journal.now() - last.time + last.stale.get("topics", 0.0)

    def close(self, seconds: float = 1.0) -> None:
        """End the thread; a call that hangs is left to its own timeout (the thread is a daemon)."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    # -- sampling, in the thread ------------------------------------------------------------

    def _run(self) -> None:
        with quiet_kafka():
            look = _Look(self._connection)
            count = 0
            while not self._stop.is_set():
                began = self.asking = self._journal.now()
                with self._lock:
                    topics, groups = list(self._topics), list(self._groups)
                last = self.samples[-1] if self.samples else None
                sample = look.sample(
                    began, topics, groups, last, with_starts=count % STARTS_EVERY == 0
                )
                if not self._stop.is_set():
                    self.samples.append(sample)
                self.asking = None
                count += 1
                self._wake.wait(max(PERIOD - (self._journal.now() - began), 0.02))
                self._wake.clear()
            look.close()

    # -- histories, built on read -----------------------------------------------------------

    @property
    def offsets(self) -> "pd.DataFrame":
        """End offsets: time float64 (s), topic str, partition int64, end_offset int64 (records),
        stale_for float64 (s since it was really read; 0 is fresh).
        """
        return _frame(
            ["time", "topic", "partition", "end_offset", "stale_for"],
            (
                (s.time, topic, partition, end, s.stale.get("topics", 0.0))
                for s in list(self.samples)
                for (topic, partition), end in s.ends.items()
            ),
        )

    @property
    def commits(self) -> "pd.DataFrame":
        """Committed offsets: time float64 (s), group str, topic str, partition int64,
        committed int64, lag int64 (records), member str ("" if nobody owns the partition),
        stale_for float64 (s). Of a share group ``committed`` is its start offset, and the lag is
        Kafka's own.
        """
        return _frame(
            ["time", "group", "topic", "partition", "committed", "lag", "member", "stale_for"],
            (
                (
                    s.time,
                    name,
                    *place,
                    offset,
                    lag,
                    group.owners.get(place, ""),
                    s.stale.get(name, 0.0),
                )
                for s in list(self.samples)
                for name, group in s.groups.items()
                for place, offset, lag in _places_of(group, s.ends)
            ),
        )

    @property
    def members(self) -> "pd.DataFrame":
        """Groups' members: time float64 (s), group str, state str (Kafka's name), member str,
        partitions int64 (how many it owns), protocol str (Kafka's type of the group),
        generation int64 (the epoch, -1 in the classic protocol), coordinator int64 (node id),
        stale_for float64 (s). A row a member.
        """
        return _frame(
            [
                "time",
                "group",
                "state",
                "member",
                "partitions",
                "protocol",
                "generation",
                "coordinator",
                "stale_for",
            ],
            (
                (
                    s.time,
                    name,
                    group.state,
                    member,
                    sum(owner == member for owner in group.owners.values()),
                    group.protocol,
                    group.generation,
                    group.coordinator,
                    s.stale.get(name, 0.0),
                )
                for s in list(self.samples)
                for name, group in s.groups.items()
                for member in group.members
            ),
        )

    @property
    def leaders(self) -> "pd.DataFrame":
        """Replicas: time float64 (s), topic str, partition int64, leader int64 (node id, -1 none),
        replicas tuple of int, isr tuple of int (the in-sync replicas), stale_for float64 (s).
        """
        return _frame(
            ["time", "topic", "partition", "leader", "replicas", "isr", "stale_for"],
            (
                (s.time, topic, partition, *replicas, s.stale.get("topics", 0.0))
                for s in list(self.samples)
                for (topic, partition), replicas in s.leaders.items()
            ),
        )


def _places_of(group: GroupSample, ends: dict[Place, int]) -> Iterable[tuple[Place, int, int]]:
    """Yield where a group is in each partition, and its lag there."""
    for place, offset in group.committed.items():
        yield place, offset, max(ends.get(place, offset) - offset, 0)
    for place, position in group.shared.items():
        if position.lag >= 0:
            yield place, position.start, position.lag


def _frame(columns, rows) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns)


class _Look:
    """One admin client and what it can tell; made anew after any error.

    A client goes on failing for a group as long as the broker is down that coordinated it, even
    when another has taken over; a new client finds the new coordinator.
    """

    def __init__(self, connection: dict):
        self._connection = connection
        self._admin = None
        self._names: dict[str, dict[str, str]] = {}  # of members by id, by group
        self._mute: dict[int, float] = {}  # leaders that are not asked until then (monotonic)
        self._trouble = ""  # why some offsets could not be read

    def close(self) -> None:
        if self._admin is not None:
            with contextlib.suppress(Exception):
                self._admin.close()
        self._admin = None

    def _client(self):
        if self._admin is None:
            from kafka import KafkaAdminClient

            self._admin = KafkaAdminClient(
                **self._connection
                | {
                    "client_id": "lab-observer",
                    "request_timeout_ms": CALL_MS,
                    "bootstrap_timeout_ms": CALL_MS,
                    "reconnect_backoff_ms": 50,
                    "reconnect_backoff_max_ms": 300,
                }
            )
        return self._admin

    def sample(
        self,
        now: float,
        topics: list[str],
        groups: list[str],
        last: Sample | None,
        *,
        with_starts: bool,
    ) -> Sample:
        """Look at all that is watched; keep the last value of what cannot be read."""
        stale: dict[str, float] = {}
        self._trouble = error = ""
        try:
            leaders, ends, starts = self._read_topics(topics, last, with_starts)
            error = self._trouble
        except Exception as caught:  # any failure is a fact to show, never an end of sampling
            self.close()
            error = repr(caught)
            leaders, ends, starts = (last.leaders, last.ends, last.starts) if last else ({},) * 3
            stale["topics"] = _age("topics", now, last)
        read: dict[str, GroupSample] = {}
        if "topics" not in stale:  # else no broker answers: do not wait for the groups as well
            try:
                read = self._read_groups(groups)
            except Exception as caught:
                self.close()
                error = repr(caught)
                read = self._read_one_by_one(groups)
        for group in groups:
            if group not in read:
                read[group] = last.groups.get(group, GroupSample()) if last else GroupSample()
                stale[group] = _age(group, now, last)
        if last is not None:  # equal values share one object: an hour of samples stays small
            leaders = last.leaders if leaders == last.leaders else leaders
            ends = last.ends if ends == last.ends else ends
            starts = last.starts if starts == last.starts else starts
            read = {
                name: last.groups[name] if last.groups.get(name) == group else group
                for name, group in read.items()
            }
        return Sample(now, ends, starts, leaders, read, stale, error)

    def _read_topics(
        self, topics: list[str], last: Sample | None, with_starts: bool
    ) -> tuple[dict[Place, Replicas], dict[Place, int], dict[Place, int]]:
        from kafka import TopicPartition
        from kafka.admin import OffsetSpec

        if not topics:
            return {}, {}, {}
        leaders: dict[Place, Replicas] = {}
        for topic in self._client().describe_topics(topics):
            for p in topic["partitions"]:
                leaders[topic["name"], p["partition_index"]] = Replicas(
                    p["leader_id"], tuple(p["replica_nodes"]), tuple(sorted(p["isr_nodes"]))
                )
        # a partition without a leader makes the whole call fail: ask for the others
        led: dict[int, list[TopicPartition]] = {}
        for place, replicas in leaders.items():
            if replicas.leader >= 0:
                led.setdefault(replicas.leader, []).append(TopicPartition(*place))
        known_ends = last.ends if last else {}
        known_starts = last.starts if last else {}
        ends = self._offsets(led, OffsetSpec.LATEST)
        starts = self._offsets(led, OffsetSpec.EARLIEST) if with_starts else {}
        return (
            leaders,
            {place: ends.get(place, known_ends.get(place, 0)) for place in leaders},
            {place: starts.get(place, known_starts.get(place, 0)) for place in leaders},
        )

    def _offsets(self, led: dict[int, list], spec) -> dict[Place, int]:
        """Return the offsets of partitions, as many as their leaders tell.

        Each leader is asked by itself: one that is dead or frozen, or that leads a partition whose
        end it does not know yet, must not hide the others. Who did not answer is left in peace for
        a while, which is longer the longer it kept us waiting; then asked partition by partition.

        Args:
            led: partitions by the node id of their leader.
            spec: which offset.
        """
        from kafka.errors import KafkaError, UnknownBrokerIdError

        found: dict[Place, int] = {}
        for node, places in led.items():
            if self._mute.get(node, 0.0) > time.monotonic():
                continue
            alone = node in self._mute and len(places) <= MOST_ALONE
            for some in [[place] for place in places] if alone else [places]:
                began = time.monotonic()
                try:
                    told = self._client().list_partition_offsets(dict.fromkeys(some, spec))
                except KafkaError as caught:
                    self._trouble = repr(caught)
                    took = time.monotonic() - began
                    self._mute[node] = time.monotonic() + 3 * took
                    if isinstance(caught, UnknownBrokerIdError):
                        self.close()  # one that was added: only a new client knows it
                    if took > FROZEN:
                        break
                else:
                    found |= {(place.topic, place.partition): o.offset for place, o in told.items()}
                    self._mute.pop(node, None)
        return found

    def _read_one_by_one(self, groups: list[str]) -> dict[str, GroupSample]:
        """Return those groups that can be read: one dead coordinator must not hide the others."""
        read = {}
        for group in groups if len(groups) > 1 else ():
            try:
                read |= self._read_groups([group])
            except Exception:
                self.close()
        return read

    def _read_groups(self, groups: list[str]) -> dict[str, GroupSample]:
        found = describe(self._client(), groups)
        # a share group has no committed offsets: its records are acknowledged one by one
        share = [name for name in groups if found[name].protocol == share_groups.SHARE]
        alive = [name for name in groups if found[name].state != DEAD and name not in share]
        committed = self._client().list_group_offsets(alive) if alive else {}
        shared = share_groups.positions(self._client(), share)
        read = {}
        for name in groups:
            group = found[name]
            names = self._names[name] = names_of(group.members, self._names.get(name, {}))
            read[name] = GroupSample(
                group.state,
                {
                    (place.topic, place.partition): kept.offset
                    for place, kept in committed.get(name, {}).items()
                    if kept.offset >= 0
                },
                {}  # several members read one partition
                if name in shared
                else {place: names[member.id] for member in group.members for place in member.owns},
                tuple(sorted(names.values())),
                group.protocol,
                group.generation,
                group.coordinator,
                shared.get(name, {}),
            )
        return read


def _names(names: object, refusal: str) -> list[str]:
    """Return names, each once; one alone may be given as it is."""
    found = [names] if isinstance(names, str) else names
    if not isinstance(found, Iterable) or isinstance(found, bytes):
        raise BadInputError(refusal, got=names)
    found = list(found)
    for name in found:
        if not isinstance(name, str) or not name:
            raise BadInputError(refusal, got=name)
    return list(dict.fromkeys(found))


def _age(key: str, now: float, last: Sample | None) -> float:
    """Return for how long ``key`` has not been read."""
    if last is None:
        return 0.001
    return now - last.time + last.stale.get(key, 0.0)

"""Power cuts at the moments at which a crash can do harm: in a service, made by the service."""

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Protocol

from lab_env.ground.patience import PAUSE, TIMES, Patience
from lab_env.messages import say
from lab_env.processes import pickling
from lab_env.processes.services import BEGIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafka.producer.future import FutureRecordMetadata

    from lab_env.ground.journal import Journal
    from lab_env.processes.services import Service

BEFORE, AFTER, BETWEEN = "before a commit", "after a commit", "after a send"
UNDER_WAY = "under_way"  # the field of a report: how many records were lost by a cut
SLOW_MS = 1000  # of a network on which a record that nobody waits for takes its time
SECONDS = 8.0  # a function that does not come to such a moment has the power cut then
STARTS = 10  # or when so many times as long has passed as it took to begin: machines differ


class RunsServices(Protocol):
    """A lab: it starts services, and its journal has what happened when."""

    journal: "Journal"

    def service(self, function, *args, **options) -> "Service":
        """See `lab_env.Lab.service`."""


def three_power_cuts(lab: RunsServices, function, *args) -> None:
    """Run a function as a service, and cut its power three times; leave it running.

    It dies right before it commits what it has read, right after that, and right after it has sent
    the first record since it read. What it has sent by then is on the broker. To commit is
    ``commit`` and ``commit_async`` of a KafkaConsumer and its auto-commit, ``commit_transaction``
    of a KafkaProducer, and the same calls of confluent-kafka's two classes (but for its
    auto-commit, which no call shows). A function that returns or fails is not started again.

    Args:
        lab: the lab.
        function: as for `Lab.service`; the service bears its name.
        *args: handed to the function.
    """
    name = getattr(function, "__name__", "service").strip("<>_").replace("_", "-")
    pickling.check(function, args, name)
    with lab.journal.span(say("offsets_and_delivery.power_cuts"), subject(name, *args)):
        settings = {"power_cut": BEFORE}
        service = lab.service(_wired, function, args, name=name, settings=settings)
        for following in (AFTER, BETWEEN, ""):
            _wait_for_the_cut(service)
            if service.state not in ("running", "crashed"):
                break
            service.crash()
            service.set(power_cut=following)
            service.restart()


def _wait_for_the_cut(service: "Service") -> None:
    wait = Patience(SECONDS, most=TIMES * SECONDS)
    while service.state == "running" and not wait.over:
        begun = service._run.begun
        wait.seconds = BEGIN_SECONDS if begun is None else max(SECONDS, STARTS * begun)
        wait.look(begun)
        time.sleep(PAUSE)


def unlucky(function):
    """Return a function for `Lab.service` whose power fails where a commit came too early.

    That is right after a commit while a record that was sent is still under way, for its network
    is slow: nobody waits for less than a second, and whoever asks for an answer, or flushes, has
    it at once. A function that commits what is safe never notices.

    Args:
        function: as for `Lab.service`; its clients are kafka-python's.
    """

    @functools.wraps(function)
    def with_bad_luck(service, *args):
        _BadLuck(service).put_in()
        function(service, *args)

    return with_bad_luck


def subject(*names: object) -> str:
    """Return what the stretch of power cuts in the journal is about: the service and its args."""
    return ", ".join(map(str, names))


# From here on in the service's process


def _wired(service, function, args) -> None:
    fuse = _Fuse(service, getattr(function, "__globals__", {}))
    fuse.put_in()
    function(service, *args)


class _Fuse:
    """Ends the process at the moment that the setting names, if there is something to lose."""

    def __init__(self, service, names: dict):
        self._service = service
        self._names = names  # of the function's notebook
        self._read = 0  # records
        self._open = 0  # of them not committed
        self._sent: list[Callable[[], object]] = []  # waits for what was sent since the commit

    def put_in(self) -> None:
        """Have the clients of this process tell what they do."""
        from kafka import KafkaConsumer, KafkaProducer

        def count(records: object) -> None:
            self._count(sum(map(len, records.values())) if isinstance(records, dict) else 1)

        def sent(future: "FutureRecordMetadata") -> None:
            self._has_sent(lambda: future.get(timeout=5))

        _around(KafkaConsumer, "poll", after=count)
        _around(KafkaConsumer, "__next__", after=count)
        _around(KafkaProducer, "send", after=sent)
        _around_commits(lambda: self.blow(BEFORE), lambda _: self._commits())
        with contextlib.suppress(ImportError):
            self._put_into_confluent()

    def _put_into_confluent(self) -> None:
        """Put classes that tell what they do in the place of confluent-kafka's, which are C."""
        import confluent_kafka

        fuse = self

        class Consumer(confluent_kafka.Consumer):
            def poll(self, *args, **kwargs):
                message = super().poll(*args, **kwargs)
                fuse._count(int(message is not None and message.error() is None))
                return message

            def consume(self, *args, **kwargs):
                messages = super().consume(*args, **kwargs)
                fuse._count(sum(message.error() is None for message in messages))
                return messages

            def commit(self, *args, **kwargs):
                fuse.blow(BEFORE)
                done = super().commit(*args, **kwargs)
                fuse._commits()
                return done

        class Producer(confluent_kafka.Producer):
            def produce(self, *args, **kwargs):
                super().produce(*args, **kwargs)
                fuse._has_sent(lambda: self.flush(5))

            def commit_transaction(self, *args, **kwargs):
                fuse.blow(BEFORE)
                super().commit_transaction(*args, **kwargs)
                fuse._commits()

        theirs = {confluent_kafka.Consumer: Consumer, confluent_kafka.Producer: Producer}
        vars(confluent_kafka).update(Consumer=Consumer, Producer=Producer)
        for name, value in list(self._names.items()):  # who has imported the classes themselves
            if isinstance(value, type) and value in theirs:
                self._names[name] = theirs[value]

    def _count(self, records: int) -> None:
        self._read += records
        self._open += records

    def _has_sent(self, wait: "Callable[[], object]") -> None:
        self._sent.append(wait)
        self.blow(BETWEEN)

    def _commits(self) -> None:
        self.blow(AFTER)
        self._open = 0
        self._sent.clear()

    def blow(self, moment: str) -> None:
        """End the process if this is the moment."""
        risk = self._read if moment == BETWEEN else self._open
        if not risk or self._service.settings["power_cut"] != moment:
            return
        for wait in self._sent:
            with contextlib.suppress(Exception):  # what cannot be sent is not our business
                wait()
        if moment == AFTER:
            time.sleep(0.2)  # one that does not wait for its commit has it all the same
        self._service.report(power_cut=moment)
        self._service.crash()


class _BadLuck:
    """Ends the process at a commit that comes before what was sent is on the broker."""

    def __init__(self, service):
        self._service = service
        self._sent: list = []  # futures
        self._producers: list = []

    def put_in(self) -> None:
        """Have the clients of this process tell what they do, and send what nobody awaits late."""
        from kafka import KafkaProducer
        from kafka.producer.future import FutureRecordMetadata

        make, get = KafkaProducer.__init__, FutureRecordMetadata.get

        @functools.wraps(make)
        def slowly(producer, **configs):
            make(producer, **configs | {"linger_ms": max(configs.get("linger_ms", 0), SLOW_MS)})
            self._producers.append(producer)

        @functools.wraps(get)
        def at_once(future, timeout=None):
            for producer in self._producers:
                producer.flush(timeout)
            return get(future, timeout)

        for kind, name, ours in (
            (KafkaProducer, "__init__", slowly),
            (FutureRecordMetadata, "get", at_once),
        ):
            setattr(kind, name, ours)
        _around(KafkaProducer, "send", after=self._sent.append)
        _around_commits(lambda: None, self._look)

    def _look(self, _: object) -> None:
        under_way = [one for one in self._sent if not one.is_done]
        self._sent[:] = under_way
        if under_way:
            time.sleep(0.2)  # one that does not wait for its commit has it all the same
            self._service.report(**{UNDER_WAY: len(under_way)})
            self._service.crash()


def _around_commits(before, after) -> None:
    """Have functions called before and after whatever commits offsets."""
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.coordinator.consumer import ConsumerCoordinator

    for kind, name in (
        (KafkaConsumer, "commit"),
        (KafkaConsumer, "commit_async"),
        (KafkaProducer, "commit_transaction"),
        (ConsumerCoordinator, "_do_auto_commit_offsets_async"),
    ):
        _around(kind, name, before=before, after=after)


def _around(kind: type, name: str, *, before=lambda: None, after=lambda result: None) -> None:
    """Have functions called before and after a method, for all objects of a class."""
    method = getattr(kind, name)

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        before()
        result = method(self, *args, **kwargs)
        after(result)
        return result

    setattr(kind, name, wrapped)

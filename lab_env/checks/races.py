"""A race: a student's producer by turns with one that waits for each record, and what is left."""

import functools
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from lab_env.ground.patience import Patience

if TYPE_CHECKING:
    from lab_env.lab import Lab

LEAST_VALUES = 60
TURN_SECONDS = 0.5  # so many values are given as a function sends in about that time
TRIALS = 50, 200  # values of the first runs, which show how long one more takes
RUNS, PARTITIONS = 2, 6
ARRIVE_SECONDS = 2.0  # within which what was sent too late may still arrive


def run(
    lab: "Lab", function: Callable, naive: str, topic: str, values: list[bytes]
) -> tuple[list[dict], dict]:
    """Run a function by turns with a producer that waits for each record.

    Args:
        lab: the lab.
        function: ``function(topic, values)``, "yours" in what is returned.
        naive: real name of the topic that the other producer, "naive", sends to.
        topic: real name of the function's own topic.
        values: from which each run takes as many as are sent in about half a second.

    Returns:
        A row for each run, as `lab_env.experiments.meter` has it, and what failed, by name.
    """
    from lab_env.experiments.meter import by_turns
    from lab_env.ground.reports import Reports

    cases = {
        "naive": (_Timed(partial(_one_by_one, lab.connection), lab.connection), naive, values),
        "yours": (_Timed(function, lab.connection), topic, values),
    }
    return by_turns(
        cases,
        runs=RUNS,
        seconds=TURN_SECONDS,
        folder=lab.folder,
        journal=lab.journal,
        reports=Reports(),
    )


class _Timed:
    """Runs a function, and looks at once whether all that it was given is on the broker.

    The warm-up has few values, and shows how many a run may have: what starts slowly may still be
    fast, so two trials tell what each value takes that is added.
    """

    def __init__(self, function, connection: dict):
        self._function, self._connection = function, connection
        self._count = LEAST_VALUES
        self._acks: list[str] | None = None  # of the producers made so far, once it is known

    def __call__(self, meter, topic: str, values: list[bytes]) -> None:
        if self._acks is None:
            self._acks = _overhear()
        if not meter.warming:
            seconds, missing = self._run(topic, values[: self._count])
            unconfirmed = self._acks.count("0")
            meter.tell(
                records=self._count, seconds=seconds, missing=missing, unconfirmed=unconfirmed
            )
            return
        short, long = (self._run(topic, values[:count])[0] for count in TRIALS)
        each = max(long - short, 0.0) / (TRIALS[1] - TRIALS[0])
        fit = TURN_SECONDS / each if each > TURN_SECONDS / len(values) else len(values)
        self._count = round(max(fit, LEAST_VALUES))

    def _run(self, topic: str, values: list[bytes]) -> tuple[float, int]:
        """Return how long a run took (s), and how many records were not there at its end."""
        from kafka import KafkaConsumer, TopicPartition

        places = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        with closing(KafkaConsumer(**self._connection)) as looker:
            before = sum(looker.end_offsets(places).values())
            began = time.monotonic()
            self._function(topic, values)
            seconds = time.monotonic() - began
            missing = len(values) - (sum(looker.end_offsets(places).values()) - before)
        return seconds, max(missing, 0)


def _overhear() -> list[str]:
    """Return a list that gets the acks of each producer made in this process from now on.

    That a producer asks for no confirmation shows in nothing that is on the broker afterwards: on
    a good day all of it is there.
    """
    from kafka import KafkaProducer

    acks: list[str] = []
    make = KafkaProducer.__init__

    @functools.wraps(make)
    def overheard(producer, **settings):
        make(producer, **settings)
        acks.append(str(producer.config["acks"]))

    places = ((KafkaProducer, "__init__", overheard),)
    with suppress(ImportError):
        import confluent_kafka

        class Producer(confluent_kafka.Producer):
            def __init__(self, *given, **settings):
                super().__init__(*given, **settings)
                told = dict(*given) | settings if given else settings
                acks.append(str(told.get("acks", told.get("request.required.acks", "all"))))

        places += ((confluent_kafka, "Producer", Producer),)
    for where, name, ours in places:
        setattr(where, name, ours)
    return acks


def _one_by_one(connection: dict, topic: str, values: list[bytes]) -> None:
    from kafka import KafkaProducer

    with closing(KafkaProducer(**connection)) as producer:
        for value in values:
            producer.send(topic, value).get(timeout=30)


def compared(lab: "Lab", topic: str, values: list[bytes], counts: list[int]) -> dict:
    """Compare what is on the broker with what a function was given: `counts` values in each run."""
    wanted: Counter[str] = Counter()
    for count in [*TRIALS, *counts]:
        wanted.update(value.decode() for value in values[:count])
    there = _content(lab, topic)
    wait = Patience(ARRIVE_SECONDS, pause=0.3)
    while there.total() < wanted.total() and not wait.over:
        time.sleep(0.3)
        there = _content(lab, topic)
        wait.look(there.total())
    strange = there.keys() - wanted.keys()
    return {
        "sent": wanted.total(),
        "there": there.total(),
        "strange": len(strange),
        "example": str(next(iter(strange), ""))[:60],
        "lost": (wanted - there).total(),
        "twice": (there - wanted).total(),
    }


def _content(lab: "Lab", topic: str) -> Counter[str]:
    return Counter(str(value) for value in lab.records(topic)["value"])

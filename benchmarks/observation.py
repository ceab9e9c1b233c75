"""Observation: what a producer loses to it, and what a sample costs."""

import time

from benchmarks.apart import Kernel, fresh
from benchmarks.rows import Row

VALUE = b"x" * 200
TUNED = {"linger_ms": 20, "batch_size": 128 * 1024}
STEADY = 5000  # records/s
GROUPS = ("billing", "mail", "seats")

lab = producer = None  # the kernel's
turns = 0


def measure(quick: bool) -> list[Row]:
    """Measure a producer with and without the figure, by turns, and the observer's samples."""
    rounds, seconds = (1, 0.5) if quick else (5, 4.0)
    with Kernel() as kernel:
        kernel.call(begin)
        kernel.call(turn, None, seconds / 2, False)  # the JVM compiles what is hot,
        kernel.call(turn, None, seconds / 2, True)  # the kernel imports what draws
        without, with_figure = [], []
        for number in range(rounds):
            # whoever comes first may find another machine than whoever comes second
            for watched in (False, True) if number % 2 else (True, False):
                rate = kernel.call(turn, None, seconds, watched)
                (with_figure if watched else without).append(rate)
        steady = [kernel.call(turn, STEADY, seconds, True) for _ in range(rounds // 2 + 1)]
        kernel.call(end)
    loss = [100 * (1 - a / b) for a, b in zip(with_figure, without, strict=True)]
    samples, share = fresh(samples_of, 1.0 if quick else 15.0)
    return [
        Row("producer at full speed, nobody looks", without, "records/s"),
        Row("the same with a live figure", with_figure, "records/s"),
        Row("loss", loss, "%", most=5),
        Row(
            f"producer of {STEADY:,} records/s with a live figure, achieved",
            [100 * rate / STEADY for rate in steady],
            "%",
            least=99,
        ),
        Row("a sample of 6 partitions and 3 groups", samples, "ms"),
        Row("four samples a second", [share], "% of a core"),
    ]


# -- in the kernel ----------------------------------------------------------------------------


def begin() -> None:
    """Start a lab and a producer that waits for its turns."""
    global lab, producer
    from lab_env import Lab

    lab = Lab()
    # full speed would fill a disk: old segments go
    topic = lab.topic("flights", partitions=6, retention_bytes=2**25, segment_bytes=2**24)
    settings = {"rate": None, "seconds": 0, "turn": 0}
    producer = lab.service(produce, lab.connection, topic, name="producer", settings=settings)
    producer.first("ready")


def turn(rate: float | None, seconds: float, watched: bool) -> float:
    """Let the producer work for ``seconds``, watched or not; return its records/s."""
    global turns
    from lab_env.observation.observer import Observer

    # not the lab's own, which goes on observing when its figures have stopped
    observer = Observer(lab.connection, lab.journal)
    show = type(lab.show)(observer, lab._reports, lab.journal)
    if watched:
        show.throughput("flights")
        time.sleep(1)  # its first frames are dearer than the others
    turns += 1
    producer.set(rate=rate, seconds=seconds, turn=turns)
    time.sleep(seconds)  # asking all the while would be work for this process
    achieved = producer.first(f"rate_{turns}", seconds=30)
    show.close()
    observer.close()
    return achieved


def end() -> None:
    """Close the lab."""
    lab.close()


# -- as a service, and in a process of its own ------------------------------------------------


def produce(service, connection: dict, topic: str) -> None:
    """Take turns: send for so many seconds, then report the records/s."""
    from kafka import KafkaProducer

    done = 0
    with KafkaProducer(**connection, **TUNED) as producer:
        producer.send(topic, VALUE).get(timeout=30)
        service.report(ready=True)
        while service.wait(0.02):
            if service.settings["turn"] == done:
                continue
            done, rate = service.settings["turn"], service.settings["rate"]
            pace = _steadily if rate else _at_full_speed
            achieved = pace(producer, topic, service.settings["seconds"], rate)
            service.report(**{f"rate_{done}": achieved})


def _at_full_speed(producer, topic: str, seconds: float, rate: None) -> float:
    """Send without a pause, flush, and return the records/s that were acknowledged."""
    sent, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        for _ in range(100):
            producer.send(topic, VALUE)
        sent += 100
    producer.flush()
    return sent / (time.monotonic() - began)


def _steadily(producer, topic: str, seconds: float, rate: float) -> float:
    """Send at a rate and return the records/s that came of it."""
    from itertools import repeat

    from lab_env import flights

    replay = flights.replay(repeat(VALUE), rate, seconds)
    for value in replay:
        producer.send(topic, value)
    producer.flush()
    return replay.achieved


def samples_of(seconds: float) -> tuple[list[float], float]:
    """Return how long the observer's samples took (ms), and its thread's share of a core (%)."""
    from kafka import KafkaConsumer, KafkaProducer

    from lab_env import Lab
    from lab_env.observation import observer

    times, used = [], []
    plain = observer._Look.sample

    def timed(*args, **kwargs):
        began, busy = time.perf_counter(), time.thread_time()
        try:
            return plain(*args, **kwargs)
        finally:
            times.append(1000 * (time.perf_counter() - began))
            used.append(time.thread_time() - busy)

    observer._Look.sample = timed
    with Lab() as lab:
        topic = lab.topic("flights", partitions=6)
        with KafkaProducer(**lab.connection) as producer:
            for partition in range(6):
                producer.send(topic, VALUE, partition=partition)
        options = {**lab.connection, "auto_offset_reset": "earliest"}
        consumers = [KafkaConsumer(topic, group_id=group, **options) for group in GROUPS]
        for consumer in consumers:
            while not consumer.poll(timeout_ms=500):
                pass
            consumer.commit()
        lab.watch(topic, groups=GROUPS)
        time.sleep(1)  # the first samples find their coordinators
        times.clear()
        used.clear()
        time.sleep(seconds)
        for consumer in consumers:
            consumer.close()
        return list(times), 100 * sum(used) / seconds

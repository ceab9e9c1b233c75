"""Live figures in a real kernel: their rate, their size, and their share of a core."""

import time

from benchmarks.apart import Kernel
from benchmarks.rows import Row

RATE = 1000  # records/s
WORKERS = 2
REPORTS = 20  # a second, of each worker

lab = None  # the kernel's


def measure(quick: bool) -> list[Row]:
    """Measure one figure while the main thread sleeps, polls and spins; then four figures."""
    # a figure's first frames are dearer than the others: let it settle
    rounds, seconds, settle = (1, 1.0, 0.5) if quick else (4, 2.5, 2.0)
    found: dict[str, list[dict[str, float]]] = {}

    def note(name: str, function, kernel: Kernel) -> None:
        found.setdefault(name, []).append(kernel.measure(function, seconds))

    with Kernel() as kernel:
        kernel.call(begin)
        kernel.call(sleep, settle)
        for _ in range(rounds):
            note("observed", sleep, kernel)
        kernel.call(show, 1)
        kernel.call(sleep, settle)
        for _ in range(rounds):
            note("sleeping", sleep, kernel)
            note("polling", poll, kernel)
            note("spinning", spin, kernel)
        kernel.call(show, 4)
        kernel.call(sleep, settle)
        for _ in range(rounds):
            note("four", sleep, kernel)
        closing = kernel.call(end)

    def values(name: str, key: str, scale: float = 1.0) -> list[float]:
        return [one[key] / scale for one in found[name]]

    one = ("sleeping", "polling", "spinning")
    largest = [size for name in (*one, "four") for size in values(name, "largest", 1000)]
    return [
        Row("observation alone", values("observed", "cpu"), "% of a core"),
        Row("one figure and observation", values("sleeping", "cpu"), "% of a core", most=20),
        Row("four figures and observation", values("four", "cpu"), "% of a core"),
        *(
            Row(f"one figure, main thread {name}", values(name, "rate"), "frames/s", least=least)
            for name, least in zip(one, (4, 4, 3), strict=True)
        ),
        Row("each of four figures", values("four", "rate"), "frames/s"),
        Row("the largest frame", [max(largest)], "kB", most=60),
        Row("one figure, to the notebook", values("sleeping", "sent", 1000), "kB/s"),
        Row("four figures, to the notebook", values("four", "sent", 1000), "kB/s", most=250),
        Row("`lab.close()` with four figures and three services", [closing], "s", most=2),
    ]


# -- in the kernel ----------------------------------------------------------------------------


def begin() -> None:
    """Start a lab with a producer and workers as services, and observe it."""
    global lab
    from lab_env import Lab

    lab = Lab()
    topic = lab.topic("billing.commands", partitions=6)
    lab.service(produce, lab.connection, topic, name="producer")
    lab.service(work, lab.connection, topic, name="worker", copies=WORKERS)
    lab.watch(topic, groups=["billing"])


def show(count: int) -> None:
    """Have ``count`` live figures."""
    show, topic = lab.show, "billing.commands"
    show.throughput(topic, groups="billing")
    if count > 1:
        show.lag(topic, groups="billing")
        show.queue(topic, group="billing")
        show.response_time()


def sleep(seconds: float) -> None:
    """Leave the main thread to others."""
    time.sleep(seconds)


def poll(seconds: float) -> None:
    """Poll a consumer, as a student's cell does."""
    from kafka import KafkaConsumer

    until = time.monotonic() + seconds
    consumer = KafkaConsumer("billing.commands", **lab.connection)
    while time.monotonic() < until:
        consumer.poll(timeout_ms=200)
    consumer.close()


def spin(seconds: float) -> None:
    """Compute in Python without a pause."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def end() -> float:
    """Close the lab with all that runs in it; return how long it took (s)."""
    began = time.monotonic()
    lab.close()
    return time.monotonic() - began


# -- as services ------------------------------------------------------------------------------


def produce(service, connection: dict, topic: str) -> None:
    """Send records at a steady rate until asked to stop."""
    from itertools import repeat

    from kafka import KafkaProducer

    from lab_env import flights

    with KafkaProducer(**connection, linger_ms=20) as producer:
        for value in flights.replay(repeat(b"x" * 200), rate=RATE):
            if not service.running:
                break
            producer.send(topic, value)


def work(service, connection: dict, topic: str) -> None:
    """Consume in a group, commit, and report as many handled as a figure may get to draw."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(topic, group_id="billing", client_id=service.name, **connection)
    due = 0.0
    while service.running:
        records = sum(map(len, consumer.poll(timeout_ms=500).values()))
        if records and time.monotonic() >= due:
            due = time.monotonic() + 1 / REPORTS
            consumer.commit_async()
            service.report(handled=records, kind="message", seconds=0.01)
    consumer.close()

"""Throughput: what clients and settings carry side by side, and what a record costs as it grows."""

import re
import subprocess
import sys
import time

from benchmarks.apart import Kernel, environment, fresh
from benchmarks.rows import Row

SIZE = 275  # bytes, about a departure in JSON
TUNED = {"linger_ms": 20, "batch_size": 128 * 1024}
BYTES = 20_000_000  # of values in a run, whatever their size
TOOK = re.compile(r"Execution time: ([\d.]+) secs")

lab = None  # the kernel's


def measure(quick: bool) -> list[Row]:
    """Measure the lesson's best producer beside others, then records, partitions and sizes."""
    runs, records = (1, 2000) if quick else (5, 50_000)
    beside = fresh(side_by_side, runs, records)
    shown = with_a_picture(*((1, records) if quick else (12, 3 * records)))
    grown = fresh(growth, 1 if quick else 2, quick)
    rates = beside["rates"]
    best, naive, script = (rates[name] for name in ("piped, tuned", "one by one", "script"))
    return [
        *(Row(f"{name}, {SIZE} B", rates[name], "records/s") for name in rates),
        Row(
            "piped, tuned / one by one",
            [a / b for a, b in zip(best, naive, strict=True)],
            least=20,
        ),
        Row(
            "piped, tuned / kafka-python's own script, same settings",
            [a / b for a, b in zip(best, script, strict=True)],
            least=0.9,
        ),
        Row(
            "what observation and a live picture take from it",
            [100 * (1 - with_it / without) for without, with_it in shown],
            "%",
            most=3,
        ),
        Row(
            "`flights.replay` through it, of 20,000 records/s asked for",
            [100 * rate / 20_000 for rate in beside["replayed"]],
            "%",
            least=99,
        ),
        *(Row(what, values, unit) for what, values, unit in grown),
    ]


def with_a_picture(rounds: int, records: int) -> list[tuple[float, float]]:
    """Return the records/s of a producer without a live picture and with one, of each round."""
    shown = []
    with Kernel() as kernel:
        kernel.call(begin)
        kernel.call(turn, records, False)  # the JVM compiles what is hot,
        kernel.call(turn, records, True)  # the kernel imports what draws
        for number in range(rounds):
            # whoever comes first may find another machine than whoever comes second
            order = (False, True) if number % 2 else (True, False)
            rates = {watched: kernel.call(turn, records, watched) for watched in order}
            shown.append((rates[False], rates[True]))
        kernel.call(end)
    return shown


# -- in the kernel ----------------------------------------------------------------------------


def begin() -> None:
    """Start a lab with a topic."""
    global lab
    from lab_env import Lab

    lab = Lab()
    lab.topic("flights.departed", partitions=6, retention_bytes=2**26, segment_bytes=2**24)


def turn(records: int, watched: bool) -> float:
    """Return the records/s of the tuned producer, watched or not."""
    from lab_env.observation.observer import Observer

    # not the lab's own, which goes on observing when its figures have stopped
    observer = Observer(lab.connection, lab.journal)
    show = type(lab.show)(observer, lab._reports, lab.journal)
    if watched:
        show.throughput("flights.departed")
        time.sleep(1)  # its first frames are dearer than the others
    case = (piped, lab.connection, "flights.departed", [bytes(SIZE)] * records, TUNED)
    found = lab.measure({"piped": case}, runs=1, seconds=None)
    show.close()
    observer.close()
    return float(found["records_per_second"].iloc[0])


def end() -> None:
    """Close the lab."""
    lab.close()


# -- in processes of their own ----------------------------------------------------------------


def side_by_side(runs: int, records: int) -> dict:
    """Return records/s, a list a client, all by turns; and what a replay at 20,000 achieved."""
    from lab_env import Lab
    from lab_env.experiments.meter import java_producer

    values = [bytes(SIZE)] * records
    letters = [b"x" * SIZE] * records  # Java's tool reads text
    rates: dict[str, list[float]] = {}
    with Lab() as lab:
        topic = lab.topic("flights.departed", partitions=6)
        in_c = {name.replace("_", "."): value for name, value in TUNED.items()}
        cases = {
            "one by one": (one_by_one, lab.connection, topic, values),
            "piped": (piped, lab.connection, topic, values, {}),
            "piped, tuned": (piped, lab.connection, topic, values, TUNED),
            "confluent-kafka, tuned": (confluent, lab.connection, topic, values, in_c),
            "Java, tuned": (java_producer, lab.connection, topic, letters, TUNED),
        }
        for _ in range(runs):
            frame = lab.measure(cases, runs=1, seconds=3)
            for what, value in zip(frame["what"], frame["records_per_second"], strict=True):
                rates.setdefault(what, []).append(float(value))
            rates.setdefault("script", []).append(own_script(lab.connection, topic, records))
        case = {"piped, tuned": cases["piped, tuned"]}
        seconds = 0.5 if runs == 1 else 5.0
        replayed = lab.measure(case, runs=runs, rates=[20_000], seconds=seconds)
    return {"rates": rates, "replayed": list(map(float, replayed["records_per_second"]))}


def own_script(connection: dict, topic: str, records: int) -> float:
    """Return the records/s of the producer benchmark that kafka-python brings along."""
    words = [
        *("-m", "kafka.benchmarks.producer_performance", "-b", *connection["bootstrap_servers"]),
        *("-t", topic, "--num-records", str(records), "--record-size", str(SIZE)),
        *("-c", *(f"{name}={value}" for name, value in TUNED.items())),
    ]
    done = subprocess.run(
        [sys.executable, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        timeout=300,
        check=True,
    )
    return records / float(TOOK.search(done.stdout)[1])


def growth(runs: int, quick: bool) -> list[tuple[str, list[float], str]]:
    """Return rows for ever more records, partitions and bytes: (what, values, unit)."""
    from lab_env import Lab

    counts = (1000, 2000) if quick else (10_000, 100_000, 1_000_000)
    sizes = (100, 10_000) if quick else (100, 1000, 10_000, 100_000)
    usual = 2000 if quick else 50_000
    rows = []

    def grown(frame, what: str, *, bandwidth: bool = False) -> None:
        micros = [1e6 * one for one in frame["seconds"] / frame["records"]]
        rows.append((what, micros, "µs a record"))
        if bandwidth:
            rows.append((what, list(map(float, frame["megabytes_per_second"])), "MB/s"))

    with Lab() as lab:

        def run(records: int, partitions: int, size: int):
            topic = lab.topic("grown", partitions=partitions)
            case = (piped, lab.connection, topic, [bytes(size)] * records, TUNED)
            return lab.measure({"piped": case}, runs=runs, seconds=None)

        for count in counts:
            grown(run(count, 6, SIZE), f"{count:,} records of {SIZE} B")
        for partitions in (1, 6, 24):
            grown(run(usual, partitions, SIZE), f"into {partitions} partitions")
        for size in sizes:
            many = max(min(BYTES // size, usual), 20)
            grown(run(many, 6, size), f"records of {size:,} B", bandwidth=True)
    return rows


# -- measured ---------------------------------------------------------------------------------


def one_by_one(meter, connection: dict, topic: str, values: list[bytes]) -> None:
    """Send a record, wait for it, send the next."""
    from kafka import KafkaProducer

    with KafkaProducer(**connection) as producer:
        for value in meter(values):
            meter.acknowledged(producer.send(topic, value)).get(timeout=30)


def piped(meter, connection: dict, topic: str, values: list[bytes], settings: dict) -> None:
    """Send all, and wait once."""
    from kafka import KafkaProducer

    with KafkaProducer(**connection, **settings) as producer:
        for value in meter(values):
            meter.acknowledged(producer.send(topic, value))
        producer.flush(timeout=200)


def confluent(meter, connection: dict, topic: str, values: list[bytes], settings: dict) -> None:
    """Do the same with librdkafka."""
    import confluent_kafka

    servers = {"bootstrap.servers": ",".join(connection["bootstrap_servers"])}
    producer = confluent_kafka.Producer(servers | settings)
    for value in meter(values):
        producer.produce(topic, value, on_delivery=meter.ticket())
        producer.poll(0)
    producer.flush(200)

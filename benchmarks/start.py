"""Starting: from `Lab()` to the first acknowledged record, with the AOT cache and without it."""

import time

from benchmarks.apart import fresh, python
from benchmarks.rows import Row

IMPORT = """
import time
began = time.perf_counter()
from lab_env.clusters import node
from lab_env.clusters import training
from lab_env import Lab, check, flights
print(1000 * (time.perf_counter() - began))
"""


def measure(quick: bool) -> list[Row]:
    """Measure starts, ends, the memory of a broker and the import of the package."""
    rounds, records = (1, 1000) if quick else (7, 100_000)
    fresh(prepare)
    if not quick:
        fresh(start_and_end)  # compiles the bytecode
    pairs = [
        (fresh(start_and_end), fresh(start_and_end, KAFKA_LAB_AOT="off")) for _ in range(rounds)
    ]
    seconds = [first for (first, _), _ in pairs]
    plain = [first for _, (first, _) in pairs]
    memory = [fresh(memory_of_a_broker, records) for _ in range(rounds // 2 + 1)]
    imports = [python("-c", IMPORT) for _ in range(rounds)]
    return [
        Row("`Lab()` to the first acknowledged record", seconds, "s", most=1.5),
        Row("the same without the AOT cache", plain, "s"),
        Row(
            "with the cache / without it",
            [a / b for a, b in zip(seconds, plain, strict=True)],
            most=0.5,
        ),
        Row("`lab.close()`", [end for pair in pairs for _, end in pair], "s", most=2, worst=True),
        Row(f"a broker after {records:,} records, RSS", [m["rss"] for m in memory], "MB", most=260),
        *(
            Row(f"the same, {kind.upper()}", [m[kind] for m in memory], "MB")
            for kind in ("pss", "uss")
            if kind in memory[0]
        ),
        Row("`from lab_env import Lab, check, flights`", imports, "ms", most=300),
    ]


# -- in processes of their own ----------------------------------------------------------------


def prepare() -> bool:
    """Fetch the jars and make the AOT cache, so that every start is a warm one."""
    from lab_env.clusters import embedded, training
    from lab_env.processes import folders

    embedded.prepare(progress=False)
    folders.home().mkdir(parents=True, exist_ok=True)
    return training.aot_cache().exists() or training.train()


def start_and_end(where: str = "embedded", brokers: int = 1) -> tuple[float, float]:
    """Return how long a lab took to the first acknowledged record, and to close (s)."""
    from lab_env import Lab

    began = time.monotonic()
    lab = Lab(where, brokers=brokers)
    from kafka import KafkaProducer

    topic = lab.topic("first")
    with KafkaProducer(**lab.connection) as producer:
        producer.send(topic, b"record").get(timeout=30)
        acknowledged = time.monotonic()
    closing = time.monotonic()
    lab.close()
    return acknowledged - began, time.monotonic() - closing


def memory_of_a_broker(records: int) -> dict[str, float]:
    """Return the memory of a broker that took ``records`` records of 200 bytes (MB)."""
    import psutil
    from kafka import KafkaProducer

    from lab_env import Lab

    with Lab() as lab:
        topic = lab.topic("flights.departed", partitions=6)
        with KafkaProducer(**lab.connection, linger_ms=20, batch_size=128 * 1024) as producer:
            for _ in range(records):
                producer.send(topic, b"x" * 200)
            producer.flush()
        found = psutil.Process(lab._cluster.pids[1]).memory_full_info()._asdict()
        return {kind: found[kind] / 1e6 for kind in ("rss", "pss", "uss") if kind in found}

"""Ways to Kafka: embedded and Docker Compose side by side, one broker and three."""

from benchmarks import start
from benchmarks.apart import NotHere, fresh
from benchmarks.rows import Row

MOST = {1: 7, 3: 20}  # seconds from `Lab("compose")` to the first acknowledged record


def measure(quick: bool) -> list[Row]:
    """Measure starts on both ways by turns; without an engine there is nothing to compare.

    Raises:
        NotHere: no engine answers.
    """
    from lab_env.clusters import docker_cli

    if why := docker_cli.unavailable():
        raise NotHere(f"It compares the embedded Kafka with Docker Compose: {why}")
    for way in ("embedded", "compose"):  # what is fetched and made once is no start
        fresh(start.start_and_end, way)
    rows = []
    for brokers in (1,) if quick else (1, 3):
        embedded, containers = [], []
        for _ in range(1 if quick else 5):
            for way, times in (("embedded", embedded), ("compose", containers)):
                first, _ = fresh(start.start_and_end, way, brokers)
                times.append(first)
        ratios = [b / a for a, b in zip(embedded, containers, strict=True)]
        several = "" if brokers == 1 else f", brokers={brokers}"
        rows += [
            Row(f'`Lab("embedded"{several})` to the first acknowledged record', embedded, "s"),
            Row(f'the same, `Lab("compose"{several})`', containers, "s", most=MOST[brokers]),
            Row("Compose / embedded", ratios),
        ]
    return rows

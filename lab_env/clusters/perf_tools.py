"""Kafka's own performance tools, on the Java and the jars that the embedded Kafka uses."""

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lab_env.clusters import training
from lab_env.ground.errors import LabError
from lab_env.processes import jars, java

QUICK = "-XX:TieredStopAtLevel=1"  # the broker's: soon fast, and never as fast as without it,
PATIENCE = 10_000  # ms without a record after which a reader ends
MANY = 200_000  # which pays off from so many records on
SECONDS = 120.0  # a bound against hanging, no measure
STEADY = re.compile(
    r"^(?P<records>\d+) (?P<steady>steady state )?records sent, (?P<rate>[\d.]+) records/sec "
    r"\((?P<megabytes>[\d.]+) MB/sec\).*?(?P<p50>\d+) ms 50th, .*?(?P<p99>\d+) ms 99th",
    re.MULTILINE,
)


def producer(
    connection: dict, topic: str, values: Iterable[bytes], warm_up: int = 0, **settings: object
) -> dict[str, float]:
    """Send as many records as there are values with Kafka's own Java producer, fast as it goes.

    The tool draws each record at random from the values, so their sizes are spread alike.

    Args:
        connection: keyword arguments for any kafka-python client.
        topic: real name.
        values: without line ends.
        warm_up: so many records go first, and are not in the figures.
        **settings: Java's names with _ for the dots: ``linger_ms=20``.

    Returns:
        records, seconds, p50_ms, p99_ms, as the tool says them.

    Raises:
        DownloadError, StorageError: the tools cannot be fetched.
        LabError: the tool failed, with what it said.
    """
    values = list(values)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values"
        file.write_bytes(b"\n".join(values))
        said = _run(
            "ProducerPerformance",
            len(values) + warm_up,
            *("--topic", topic, "--num-records", str(len(values) + warm_up), "--throughput", "-1"),
            *("--payload-file", str(file), "--warmup-records", str(warm_up)),
            *("--bootstrap-server", _address(connection)),
            *(["--command-property", *_properties(settings)] if settings else ()),
        )
    totals = [found.groupdict() for found in STEADY.finditer(said)]
    totals = [one for one in totals if bool(one["steady"]) == bool(warm_up)]
    if not totals:
        raise LabError("measuring.java", tool="ProducerPerformance", said=said[-500:])
    told = totals[-1]
    records = int(told["records"])
    return {
        "records": records,
        "seconds": records / float(told["rate"]),
        "p50_ms": float(told["p50"]),
        "p99_ms": float(told["p99"]),
    }


def consumer(connection: dict, topic: str, records: int, **settings: object) -> dict[str, float]:
    """Read records with Kafka's own Java consumer, from the beginning, fast as it goes.

    Args:
        connection: keyword arguments for any kafka-python client.
        topic: real name.
        records: how many; the tool may read a few more.
        **settings: Java's names with _ for the dots: ``fetch_min_bytes=100_000``.

    Returns:
        records, bytes, seconds (from the first assignment of partitions on), as the tool says them.

    Raises:
        DownloadError, StorageError: the tools cannot be fetched.
        LabError: the tool failed, with what it said.
    """
    said = _run(
        "ConsumerPerformance",
        records,
        *("--topic", topic, "--num-records", str(records), "--hide-header"),
        *("--timeout", str(PATIENCE)),
        *("--bootstrap-server", _address(connection)),
        *(word for one in _properties(settings) for word in ("--command-property", one)),
    )
    # begin, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    fields = said.strip().splitlines()[-1].split(", ") if said.strip() else []
    if len(fields) != 10 or not int(fields[4]):
        raise LabError("measuring.java", tool="ConsumerPerformance", said=said[-500:])
    return {
        "records": int(fields[4]),
        "bytes": int(float(fields[2]) * 1024 * 1024),
        "seconds": max(int(fields[7]), 1) / 1000,
    }


def _address(connection: dict) -> str:
    servers = connection["bootstrap_servers"]
    return servers if isinstance(servers, str) else ",".join(servers)


def _properties(settings: dict) -> list[str]:
    return [f"{name.replace('_', '.')}={value}" for name, value in settings.items()]


def _run(tool: str, records: int, *words: str) -> str:
    """Run a tool to its end and return what it printed."""

    jars.ensure()
    # the broker's AOT cache fits, since its class path is ours
    cache = training.aot_cache()
    start = [*java.JVM, *([f"-XX:AOTCache={cache}"] if cache.exists() else ())]
    command = [
        *(one for one in start if one != QUICK or records < MANY),
        *("-cp", jars.class_path()),
        *(f"org.apache.kafka.tools.{tool}", *words),
    ]
    try:
        done = java.run_java(*command, seconds=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise LabError("measuring.java", tool=tool, said=str(error)) from error
    if done.returncode:
        raise LabError("measuring.java", tool=tool, said=done.stdout[-500:])
    return done.stdout

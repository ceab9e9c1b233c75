"""The AOT cache of Kafka's JVM, made by a throwaway node: later starts take half as long."""

import contextlib
import threading
import time
from pathlib import Path

from lab_env.clusters.node import LOG4J, java_command, lay_out_node, server_properties
from lab_env.clusters.readiness import round_trip
from lab_env.ground.loopback import HOST, answers, free_ports
from lab_env.processes import folders, jars
from lab_env.processes.java import java_environment, jvm, put_cache
from lab_env.processes.supervisor_client import Supervised


def aot_cache() -> Path:
    """Return the file of the AOT cache, made for one Java, class path and set of options."""
    import hashlib

    fits = "\n".join((*jvm(), LOG4J, str(jars.jar_folder())))
    return jars.folder() / f"kafka-{hashlib.sha256(fits.encode()).hexdigest()[:8]}.aot"


def train(*, stopped=lambda: False, seconds: float = 120.0) -> bool:
    """Make the AOT cache: run a throwaway node and let its JVM write the file.

    The node has a supervisor of its own, so it is gone when this process is.

    Args:
        stopped: asked again and again; when it says True the training ends without a cache.
        seconds: the deadline.

    Returns:
        Whether the cache exists now.
    """
    from filelock import FileLock, Timeout

    if aot_cache().exists():
        return True
    ended = threading.Event()

    def hear(event: dict) -> None:
        if event["event"] != "started":
            ended.set()

    try:
        with (
            FileLock(jars.folder() / "training.lock", timeout=0),
            contextlib.closing(Supervised(folders.new_lab_folder(), hear)) as supervised,
        ):
            if aot_cache().exists():
                return True
            place = supervised.folder / "training"
            port, controller = free_ports(2)
            settings = server_properties(
                1, "broker,controller", port, controller, f"1@{HOST}:{controller}", 1
            )
            lay_out_node(place, 1, settings)
            output = place / "cache.aot"
            command = java_command(place, aot=(f"-XX:AOTCacheOutput={output}",))
            supervised.start("training", command, place, java_environment(), place / "console.log")
            deadline = time.monotonic() + seconds

            def going_on() -> bool:
                return not (ended.is_set() or time.monotonic() > deadline or stopped())

            while going_on() and not answers(port):
                time.sleep(0.1)
            if going_on():
                _use_once(port)
            if going_on():
                # the JVM writes the cache while it exits
                supervised.tell(op="stop", name="training")
            while going_on():
                time.sleep(0.1)
            if not ended.is_set() or not output.exists():
                return False
            put_cache(output, aot_cache())
            return True
    except Timeout:
        return False  # another lab is at it


def _use_once(port: int) -> None:
    """Let a training node do what every lab does first, so that the cache holds those classes."""
    with contextlib.suppress(Exception):
        connection = {"bootstrap_servers": f"{HOST}:{port}", "bootstrap_timeout_ms": 10_000}
        round_trip(connection, brokers=1, seconds=20)

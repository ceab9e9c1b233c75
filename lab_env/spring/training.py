"""Makes the AOT cache of the Spring application: a throwaway instance whose JVM writes the file."""

import contextlib
import threading
import time
from collections.abc import Callable

from lab_env.clusters import embedded
from lab_env.ground import loopback
from lab_env.ground.errors import LabError
from lab_env.processes import folders, jars, java
from lab_env.processes.supervisor_client import Supervised
from lab_env.spring import app, settings

SECONDS = 120.0
USE_SECONDS = 15.0


def train(*, stopped: Callable[[], bool] = lambda: False, seconds: float = SECONDS) -> bool:
    """Make the AOT cache, with a broker and a supervisor of its own; both are gone at the end.

    Args:
        stopped: asked again and again; when it says True the training ends without a cache.
        seconds: the deadline.

    Returns:
        Whether the cache exists now.
    """
    from filelock import FileLock, Timeout

    with contextlib.suppress(LabError, OSError, Timeout):
        class_path = app.ensure(progress=False)
        cache = app.aot_cache(class_path)
        if cache.exists() or not java.aot_is_on():
            return cache.exists()
        with FileLock(app.STORE.folder() / "training.lock", timeout=0):
            if not cache.exists():
                _train(class_path, stopped, time.monotonic() + seconds)
        return cache.exists()
    return False


def _train(class_path: str, stopped: Callable[[], bool], deadline: float) -> None:
    ended = threading.Event()

    def hear(event: dict) -> None:
        if event["event"] != "started":
            ended.set()

    def going_on() -> bool:
        return not (ended.is_set() or stopped() or time.monotonic() > deadline)

    with contextlib.ExitStack() as stack:
        broker = None
        if not jars.bad_jars():  # on a way without the embedded Kafka: with no broker at all
            broker = stack.enter_context(contextlib.closing(embedded.Embedded(progress=False)))
        connection = broker.connection if broker else {"bootstrap_servers": ["127.0.0.1:1"]}
        supervised = stack.enter_context(
            contextlib.closing(Supervised(folders.new_lab_folder(), hear))
        )
        folder = supervised.folder / "training"
        port = loopback.free_ports(1)[0]
        settings.lay_out(folder, settings.settings("training", port, connection, {}), None, {})
        output = folder / "cache.aot"
        argv = app.command(
            class_path, folder, settings.locations(None), f"-XX:AOTCacheOutput={output}"
        )
        supervised.start("training", argv, folder, settings.environment(), folder / "log")
        while going_on() and not loopback.answers(port):
            time.sleep(0.1)
        until = time.monotonic() + USE_SECONDS
        # a flight goes all the way once, so that the cache holds what handles it
        while going_on() and time.monotonic() < until and not (broker and _counted(port)):
            time.sleep(0.2)
        if going_on():
            supervised.tell(op="stop", name="training")  # the JVM writes the cache while it exits
        while going_on():
            time.sleep(0.1)
        if ended.is_set() and output.exists():
            cache = app.aot_cache(class_path)
            java.put_cache(output, cache)
            for stale in cache.parent.glob("spring-*.aot"):
                if stale != cache:
                    with contextlib.suppress(OSError):  # Windows keeps one that is in use
                        stale.unlink()


def _counted(port: int) -> bool:
    with contextlib.suppress(OSError, ValueError, KeyError):
        loopback.ask(port, "/actuator/health")
        return loopback.ask(port, "/actuator/statistics")["flights"] > 0
    return False

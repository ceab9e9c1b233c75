"""What the tests share: one cache for all, and a watch over what a test leaves behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from lesson import lesson_to_its_end

from lab_env import storage
from lab_env.clusters import embedded, jars


def pytest_addoption(parser):
    """Let the lessons run on Kafka wherever it comes from: ``pytest --where compose``."""
    parser.addoption("--where", default="embedded", choices=("embedded", "compose", "external"))


def pytest_configure(config):
    """Name what runs in a pass of its own, when the control plane has been built."""
    config.addinivalue_line("markers", "control_plane: needs a real Kubernetes control plane")


def missing(what: str) -> None:
    """Skip a test for want of a part of this machine; in CI nothing may be missing: fail it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


def maven(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Copy the Spring application to a new folder and run Maven there; say what came of it."""
    if not shutil.which("mvn"):
        missing("Maven is not on the PATH")
    sources = Path(__file__).parent.parent / "services" / "airport"
    shutil.copytree(sources, folder, ignore=lambda *_: ["target"])
    return subprocess.run(
        ["mvn", "-B", "-f", folder / "pom.xml", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory, request):
    """Give the tests a home of their own that shares the user's jars and AOT cache.

    Both are fetched and made first, so that no test is about a slow first start; and what is left
    in this home can only have been left by a test.
    """
    jars.ensure()
    home = tmp_path_factory.mktemp("home")
    embedded.train()
    (home / "kafka").symlink_to(storage.home() / "kafka")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(storage.HOME_VARIABLE, str(home))
        # a developer's own choice, or an engine that happens to run, is not what is tested
        where = request.config.getoption("--where")
        patch.setenv("KAFKA_LAB", where)
        with contextlib.ExitStack() as stack:
            if where == "external":  # a cluster as a class shares it
                from secure import shared_cluster

                shared = stack.enter_context(shared_cluster(tmp_path_factory.mktemp("shared")))
                for name, value in shared.variables("ana").items():
                    patch.setenv(name, value)
            yield home


@pytest.fixture(scope="session")
def control_plane(own_home):
    """A real Kubernetes, with a node that runs pods as containers; the test is marked likewise."""
    import control_plane

    from lab_env.clusters import engine

    if why := control_plane.unavailable() or engine.unavailable():
        missing(why)
    with control_plane.cluster() as plane:
        yield plane
        assert plane.agent.errors == []


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Let an Interrupt reach the tests: what a shell starts in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def lesson(request, own_home):
    """The lesson that a module names, as it is committed, to its end but for the last cell.

    The module says ``NUMBER``, and ``EACH_CELL_TWICE = True`` to have each cell run twice.
    """
    module = request.module
    twice = getattr(module, "EACH_CELL_TWICE", False)
    with lesson_to_its_end(module.NUMBER, twice=twice) as opened:
        yield opened


def ours() -> set[int]:
    """Return the processes that descend from this one and live."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except psutil.Error:
            pass
    return found


def javas() -> set[int]:
    """Return every JVM of these tests that lives, whoever its parent is."""
    found = set()
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or ("",)
        if (
            process.info["status"] != psutil.STATUS_ZOMBIE
            and Path(words[0]).stem == "java"
            and any(str(storage.labs()) in word for word in words)  # Kafka, or Spring
        ):
            found.add(process.pid)
    return found


def lab_folders() -> set[Path]:
    """Return the folders of labs that are on disk."""
    return set(storage.labs().glob("*-*/"))


def wait_until(condition, seconds: float = 10.0):
    """Return the condition's first true value; fail after a generous deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s: {condition}")


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Fail a test that leaves a process, a thread, a folder or a JVM (with its ports) behind."""
    before = ours(), javas(), lab_folders(), set(threading.enumerate())
    yield
    if request.node.get_closest_marker("shares_a_lab"):
        return

    def left():
        threads = {t for t in threading.enumerate() if not t.daemon or t.name.startswith("lab-")}
        return [
            *(ours() - before[0]),
            *(javas() - before[1]),
            *(lab_folders() - before[2]),
            *(threads - before[3]),
        ]

    deadline = time.monotonic() + 6
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left(), f"left behind: {left()}"

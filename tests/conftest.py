"""What the tests share: a lesson that has run, and a watch over what a test leaves behind."""

import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from lesson import lesson_to_its_end

from lab_env.processes import folders

pytest_plugins = ["parts", "sizes"]


def maven(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Copy the Spring application to a new folder and run Maven there; say what came of it."""
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
def interruptible():
    """Let an Interrupt reach the tests: what a shell starts in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def lesson(request, own_home):
    """The lesson that a module names, as it is committed, to its end but for the last cell.

    The module says ``NUMBER``, and ``EACH_CELL_TWICE = True`` where the nightly run may run each
    cell twice and all that the module claims still holds.
    """
    module = request.module
    twice = getattr(module, "EACH_CELL_TWICE", False) and request.config.option.nightly
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
            and any(str(folders.labs()) in word for word in words)  # Kafka, or Spring
        ):
            found.add(process.pid)
    return found


def lab_folders() -> set[Path]:
    """Return the folders of labs that are on disk."""
    return set(folders.labs().glob("*-*/"))


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
    # who has no Kafka can leave no JVM: nobody looks through all of the machine's processes
    java = javas if "own_home" in request.fixturenames else set
    before = ours(), java(), lab_folders(), set(threading.enumerate())
    yield
    if request.node.get_closest_marker("shares_a_lab"):
        return

    def left():
        threads = {t for t in threading.enumerate() if not t.daemon or t.name.startswith("lab-")}
        return [
            *(ours() - before[0]),
            *(java() - before[1]),
            *(lab_folders() - before[2]),
            *(threads - before[3]),
        ]

    deadline = time.monotonic() + 30  # a bound against hanging: a busy machine reaps late
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left(), f"left behind: {left()}"

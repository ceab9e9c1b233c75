"""Hub: what a student needs of a machine, by lesson: memory at the most, and processor time.

``python -m benchmarks.hub [NN ...]`` runs lessons with their solutions and prints a row each, for
docs/where_it_runs.md. Counted is every process of the lesson (kernel, Kafka, services, RabbitMQ);
memory as PSS where the system tells it (a page that several share is divided among them), else RSS.
JupyterLab, which each student of a hub has besides, is measured first.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import click
import psutil

from lab_env.course import lessons, runner
from lab_env.ground import loopback

MARK = "KAFKA_LAB_MEASURED"  # in the environment of whatever is counted, which passes it on
PERIOD = 0.25  # s between two looks
SERVER_SECONDS = 60  # that JupyterLab has to answer


class Watch:
    """Counts the processes that bear a mark, in a thread of its own, while a block lasts.

    Attributes:
        most: MB that all had together at the most.
        processes: how many there were then.
        spent: s of a processor that they used, but for what came after the last look at each.
    """

    def __init__(self, mark: str):
        self._mark = mark
        self._used: dict[int, float] = {}
        self._marked: dict[psutil.Process, bool] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.most, self.processes = 0.0, 0

    @property
    def spent(self) -> float:
        """Processor time of all (s)."""
        return sum(self._used.values())

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            self.look()

    def look(self) -> None:
        """Look once at all that bear the mark; this process is none of them."""
        memory, count = 0.0, 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid == os.getpid() or not self._bears(process):
                    continue
                told = process.memory_full_info()
                memory += getattr(told, "pss", told.rss) / 1e6
                times = process.cpu_times()
                self._used[process.pid] = times.user + times.system
                count += 1
        if memory > self.most:
            self.most, self.processes = memory, count

    def _bears(self, process: psutil.Process) -> bool:
        if not self._marked.get(process):  # a fork has its parent's environment until it is itself
            self._marked[process] = process.environ().get(MARK) == self._mark
        return self._marked[process]


def server() -> Watch:
    """Return what JupyterLab itself takes when it has answered."""
    mark, port = secrets.token_hex(8), loopback.free_ports(1)[0]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--port",
        f"{port}",
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=os.environ | {MARK: mark}, **quiet)
    watch, deadline = Watch(mark), time.monotonic() + SERVER_SECONDS
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{loopback.HOST}:{port}/api", timeout=5).close()
                break
            time.sleep(PERIOD)
        watch.look()
    finally:
        process.terminate()
        process.wait()
    return watch


def lesson(path) -> tuple[Watch, float, int]:
    """Run a lesson with its solutions; return what it took, the seconds, and the failed cells."""
    mark = os.environ[MARK] = secrets.token_hex(8)
    began = time.monotonic()
    with Watch(mark) as watch:
        _, failures = runner.run(path, solutions=True)
    return watch, time.monotonic() - began, len(failures)


@click.command()
@click.argument("numbers", nargs=-1)
def main(numbers: tuple[str, ...]) -> None:
    """Print a row for each lesson, or for those of these NUMBERS."""
    click.echo("| Lesson | Memory at the most | Processes then | Processor time | Took |")
    click.echo("|--|--:|--:|--:|--:|")
    itself = server()
    click.echo(f"| JupyterLab itself | {itself.most:.0f} MB | {itself.processes} | | |")
    for path in lessons.paths():
        if numbers and path.name[:2] not in numbers:
            continue
        watch, took, failures = lesson(path)
        wrong = f", **{failures} cells failed**" if failures else ""
        click.echo(
            f"| {path.stem}{wrong} | {watch.most:.0f} MB | {watch.processes} "
            f"| {watch.spent:.0f} s | {took:.0f} s |"
        )


if __name__ == "__main__":
    main()

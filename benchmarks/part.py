"""A part of a processor core, for a command and all that it starts; ends all of it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.apart import ROOT, NotHere

PERIOD = 100_000  # µs over which Linux counts a part
LOOP = "while True: pass"
MARK = "KAFKA_LAB_PART"  # in the environment of all that is started, also of what changes parents
LEAVE_SECONDS = 20.0  # that what was interrupted has for its own way out


class Quota:
    """A part of a core as Linux's scheduler gives it: a control group of our own.

    Args:
        part: of one core, such as 0.25.

    Raises OSError: no such group can be made here.
    """

    def __init__(self, part: float):
        self.how = f"{part:g} of a core (cgroup)"
        self._folder, limit = _control_group()
        self._files = []
        try:
            if limit == "cpu.max":
                self._files.append((limit, f"{int(part * PERIOD)} {PERIOD}", f"max {PERIOD}"))
            else:
                self._files.append(("cpu.cfs_period_us", f"{PERIOD}", f"{PERIOD}"))
                self._files.append((limit, f"{int(part * PERIOD)}", "-1"))
            for name, slow, _ in self._files:
                (self._folder / name).write_text(slow)
            # it shall get its part even where others have more to do than the machine can
            weight, most = ("cpu.weight", 10_000) if limit == "cpu.max" else ("cpu.shares", 262_144)
            (self._folder / weight).write_text(str(most))
        except OSError:
            self._folder.rmdir()
            raise

    def enter(self) -> None:
        """Put the calling process there, and so all that it starts."""
        (self._folder / "cgroup.procs").write_text("0")

    def lift(self) -> None:
        """Take the limit away, so that what is being ended ends soon."""
        for name, _, free in self._files:
            (self._folder / name).write_text(free)

    def close(self) -> None:
        """Remove the group, once nothing is in it."""
        for wait in (0.05,) * 100:
            with contextlib.suppress(OSError):  # a process that has just ended is still counted
                self._folder.rmdir()
                return
            time.sleep(wait)


class Neighbours:
    """A part of a core where no quota can be had: one core, with endless loops beside it.

    Every process of the command competes with the loops, so the part is about so large, no more.

    Args:
        part: of one core; 1 / (loops + 1) is what a command of one process gets.

    Raises NotHere: this system binds no process to a core.
    """

    def __init__(self, part: float):
        if not hasattr(psutil.Process, "cpu_affinity"):
            raise NotHere("A part of a core needs Linux's control groups, or a system that binds "
                          "a process to a core (Linux, Windows).")  # fmt: skip
        count = max(round(1 / part) - 1, 1)
        self.how = f"about {1 / (count + 1):g} of a core ({count} loops beside it)"
        self._all = psutil.Process().cpu_affinity()
        self._core = self._all[-1]
        self._loops = []
        for _ in range(count):
            self._loops.append(subprocess.Popen([sys.executable, "-c", LOOP]))
            psutil.Process(self._loops[-1].pid).cpu_affinity([self._core])

    def enter(self) -> None:
        """Bind the calling process, and so all that it starts, to the core."""
        psutil.Process().cpu_affinity([self._core])

    def lift(self) -> None:
        """End the loops, so that what is being ended ends soon."""
        for loop in self._loops:
            loop.kill()
            loop.wait()

    def close(self) -> None:
        """Nothing is left to do."""


@contextmanager
def part_of_a_core(part: float) -> "Iterator[Quota | Neighbours]":
    """Hand out a part of a core, and take it back whatever happens."""
    try:
        given = Quota(part)
    except OSError:
        given = Neighbours(part)
    try:
        yield given
    finally:
        given.lift()
        given.close()


def run(words: list[str], given: "Quota | Neighbours", **popen: object) -> str:
    """Run a command with a part of a core, and end whatever it has left, also on Interrupt.

    Args:
        words: the command.
        given: the part.
        **popen: as for `subprocess.Popen`.

    Returns: what it wrote to its stdout.

    Raises subprocess.CalledProcessError: it failed.
    """
    mark = uuid.uuid4().hex
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:  # a pipe ends with its last owner
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdout=out,
            # a thread of ours may hold a lock at the fork, but the child only writes to a file
            preexec_fn=given.enter if os.name == "posix" else None,
            **popen | {"env": (popen.get("env") or dict(os.environ)) | {MARK: mark}},
        )
        if os.name != "posix":
            psutil.Process(process.pid).cpu_affinity([given._core])
        try:
            process.wait()
        except BaseException:
            given.lift()
            _interrupt(process)
            raise
        finally:
            given.lift()
            _end(mark)
        out.seek(0)
        text = out.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words, text)
    return text


def _interrupt(process: subprocess.Popen) -> None:
    """Let the command end in its own way; an Interrupt of a terminal has reached it already."""
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        if os.name == "posix" and process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(LEAVE_SECONDS)
    process.kill()
    process.wait()


def _end(mark: str) -> None:
    """Kill what carries the mark, until nothing does."""
    for _ in range(100):
        left = [process for process in psutil.process_iter() if _carries(process, mark)]
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=1)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def _control_group() -> tuple[Path, str]:
    """Make a control group below our own; return its folder, and the file of its limit.

    Raises OSError: none can be made.
    """
    name = f"kafka-lab-slow-{os.getpid()}"
    for place, limit in _places():
        folder = place / name
        with contextlib.suppress(OSError):
            folder.mkdir()
            if not (folder / limit).exists():  # version 2 hands the processor out when asked to
                with contextlib.suppress(OSError):
                    (place / "cgroup.subtree_control").write_text("+cpu")
            if (folder / limit).exists():
                return folder, limit
            folder.rmdir()
    raise OSError("no control group can be made here")


def _places() -> Iterator[tuple[Path, str]]:
    """Return the folders below which a group could be made, and the file of its limit there."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    own = {}  # controller, "" for version 2 -> our own group
    for _, controllers, path in (line.split(":", 2) for line in lines):
        own |= dict.fromkeys(controllers.split(","), path.strip("/"))
    for _, folder, kind, options, *_ in map(str.split, mounts):
        if kind == "cgroup2" and "" in own:
            yield Path(folder, own[""]), "cpu.max"
        elif kind == "cgroup" and "cpu" in options.split(",") and "cpu" in own:
            yield Path(folder, own["cpu"]), "cpu.cfs_quota_us"

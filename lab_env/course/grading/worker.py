"""Works through one submission in a process of its own, and tells what came of it, in JSON lines.

The course's own lesson runs in a kernel behind the fence, with the student's cells in the place of
theirs. The kernel's words are the student's: what this process tells is what the `witness` found.
"""

import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from lab_env.course import lessons
from lab_env.course.grading import fence, inside, submissions

COURSE_SECONDS = 600  # a bound against hanging of a cell of the course's own
START_SECONDS = 180  # of a kernel, on a machine that is full
STARTS = 3  # of a kernel: its ports are free when they are chosen, and may not be when it begins
TELL_SECONDS = 60  # until the student's process has told what it holds
OUTPUT_BYTES = 20_000_000  # of one cell: the liveliest of the course's own has 3 MB
ASKED = 2  # times that a check which says "not yet" is asked: in class she asks it as she likes
LOOK = 0.5  # s between two looks at what a submission uses
PICTURES = "from lab_env.figures.engine import live as _live; _live.PERIOD = 5.0; del _live"


class Ended(Exception):
    """A submission that cannot go on, with the name of the reason in the catalogue."""

    def __init__(self, why: str, **values: object):
        super().__init__(why)
        self.why, self.values = why, values


class Kernel:
    """The student's process, behind the fence, and how it is asked.

    Args:
        task: as `runs` writes it.
        folder: the working folder of this submission.
    """

    def __init__(self, task: dict, folder: Path):
        from jupyter_client.blocking.client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        self._limits, self._folder = task["limits"], folder
        self._looked = 0.0
        name = f"kernel-{secrets.token_hex(4)}.json"
        file, _ = write_connection_file(str(folder / "tmp" / name), ip="127.0.0.1")
        words = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", file]
        words += ["--IPKernelApp.log_level=50"]
        behind = fence.words(**task["fence"]) if os.name == "posix" else []
        self.process = subprocess.Popen(
            [*behind, *words],
            cwd=folder / "work",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # else a student could write into what we tell
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._client = BlockingKernelClient(connection_file=file)
        self._client.load_connection_file()
        self._client.start_channels()
        self._started()

    def close(self) -> None:
        """End the process, and let go of it."""
        self.process.kill()
        self.process.wait()
        self._client.stop_channels()

    def _started(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(RuntimeError):  # not yet; it says no more than that
                self._client.wait_for_ready(timeout=5)
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise Ended("no_kernel")

    def run(self, source: str, seconds: float, *, silent: bool = False) -> str:
        """Run a cell to its end, and return the error that it raised, or "".

        Raises:
            Ended: it takes too long, prints too much, uses too much, or the process is gone.
        """
        deadline = time.monotonic() + seconds
        asked = self._client.execute(
            source, silent=silent, store_history=not silent, allow_stdin=False, stop_on_error=False
        )
        size, error = 0, ""
        while True:
            self._look()
            if time.monotonic() > deadline:
                raise Ended("endless", seconds=round(seconds))
            try:
                message = self._client.get_iopub_msg(timeout=LOOK)
            except queue.Empty:
                continue
            content = message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind = message["msg_type"]
            if kind in ("stream", "display_data", "execute_result", "update_display_data", "error"):
                size += len(str(content))
            if size > OUTPUT_BYTES:
                raise Ended("output", megabytes=OUTPUT_BYTES // 10**6)
            if kind == "error":
                error = f"{content.get('ename')}: {content.get('evalue')}"
            if kind == "status" and content.get("execution_state") == "idle":
                return submissions.plain(error)[:500]

    def told(self, call: str, *values: object, seconds: float = TELL_SECONDS) -> dict:
        """Call a function of `inside` there, and return what it wrote.

        Raises:
            Ended: it did not write it.
        """
        token = secrets.token_hex(16)
        file = self._folder / "tmp" / f"told-{token[:8]}.json"
        given = ", ".join(map(repr, (*values, str(file), token)))
        module = f"__import__({inside.__name__!r}, fromlist=['_'])"
        source = f"{module}.{call}(get_ipython().user_ns, {given})"
        error = self.run(source, seconds, silent=True)
        try:
            about = file.lstat()
            if file.is_symlink() or about.st_size > inside.MOST_BYTES * 2:
                raise Ended("not_told", error="")
            told = json.loads(file.read_text(encoding="utf-8"))
            file.unlink()
        except (OSError, ValueError):
            raise Ended("not_told", error=error) from None
        if not isinstance(told, dict) or told.get("token") != token:
            raise Ended("not_told", error=error)
        return told

    def _look(self) -> None:
        """Look at what the submission uses of the machine."""
        if self.process.poll() is not None:
            raise Ended("died")
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        used = _disk(self._folder, self._limits["disk"])
        if used > self._limits["disk"]:
            raise Ended("disk", megabytes=self._limits["disk"] // 10**6)
        if shutil.disk_usage(self._folder).free < self._limits["free"]:
            raise Ended("disk_of_all", megabytes=self._limits["free"] // 10**6)
        processes, memory = _processes()
        if processes > self._limits["processes"]:
            raise Ended("processes", count=self._limits["processes"])
        if memory > self._limits["memory"]:
            raise Ended("memory", megabytes=self._limits["memory"] // 10**6)


def begun(task: dict, folder: Path) -> Kernel:
    """Return a student's process that answers; nobody has run a line in it.

    Args:
        task: as `runs` writes it.
        folder: the working folder of this submission.

    Raises:
        Ended: none has started, however often it was tried.
    """
    for _ in range(STARTS - 1):
        with contextlib.suppress(Ended):
            return Kernel(task, folder)
    return Kernel(task, folder)


class Witness:
    """The process that judges."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def judge(self, source: str, connection: dict, kernel: Kernel, seconds: float) -> dict:
        """Have a check asked; see `witness.judge`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lab_env.course.grading.witness"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        wanted = inside.names(source)
        self._send({"source": source, "connection": connection})
        deadline = time.monotonic() + seconds
        while line := self._line(deadline):
            said = json.loads(line)
            if "judged" in said:
                return said["judged"]
            self._send(kernel.told("tell", wanted, said["ask"]))
        return {"answer": None, "why": "the witness has ended"}

    def _send(self, told: dict) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()

    def _line(self, deadline: float) -> str:
        import select

        assert self._process is not None
        assert self._process.stdout is not None
        if os.name == "nt":  # there a pipe cannot be waited for
            return self._process.stdout.readline()
        while time.monotonic() < deadline:
            if select.select([self._process.stdout], [], [], 1.0)[0]:
                return self._process.stdout.readline()
        self._process.kill()
        self._process = None
        return ""


class Working:
    """Runs a lesson with a student's cells, and tells the verdicts as they come.

    Args:
        task: lesson, answers, left_out, seconds, limits, fence, folder.
    """

    def __init__(self, task: dict):
        self.task = task
        self.notebook = lessons.load(Path(task["lesson"]))
        self.tasks = submissions.tasks(self.notebook)
        self.connection: dict | None = None
        self.raised: dict[str, str] = {}
        self.around = ""  # the first error of a cell of the course's own, and which cell it was
        self.witness = Witness()
        self.at = ""

    def run(self) -> None:
        """Run every cell up to the last check that is asked for."""
        wanted = [one for one in self.tasks if self._is_judged(one)]
        if not wanted:
            return
        last = max(one.check for one in wanted if one.check is not None)
        self.kernel = begun(self.task, Path(self.task["folder"]))
        self.kernel.run(PICTURES, COURSE_SECONDS, silent=True)
        own = {one.cell: one for one in self.tasks}
        checks = {one.check: one for one in self.tasks}
        for index, cell in enumerate(self.notebook["cells"][: last + 1]):
            if cell["cell_type"] != "code":
                continue
            tell(event="cell", cell=index, of=last)
            if index in checks:
                if checks[index] in wanted:
                    self._judge(checks[index], cell["source"])
            elif index in own:
                self._let_her(own[index])
            else:
                self._let_course(cell)

    def _is_judged(self, task) -> bool:
        source = self.task["answers"].get(task.id)
        return (
            task.check is not None
            and task.id not in self.task["left_out"]
            and source is not None
            and submissions.touched(task, source)
        )

    def _let_course(self, cell: dict) -> None:
        """Run a cell of the course's own."""
        error = self.kernel.run(cell["source"], COURSE_SECONDS)
        if not error or "raises-exception" in lessons.tags(cell):
            return
        if not self.at:
            raise Ended("course", error=error)  # nobody but the course has run a line
        self.around = self.around or f"{cell['id']}: {error}"

    def _let_her(self, task) -> None:
        """Run what the student wrote; a prediction that raises is as if none were made."""
        if self.connection is None:
            self._connect()
        source = self.task["answers"].get(task.id, task.stub)
        if task.id in self.task["left_out"]:
            source = task.stub
        self.at = task.id
        tell(event="at", id=task.id)
        error = self.kernel.run(source, self.task["seconds"])
        self.raised[task.id] = error
        if error and task.kind == submissions.PREDICTION:
            self.kernel.run(task.stub, COURSE_SECONDS)

    def _connect(self) -> None:
        """Take the address of Kafka while nobody but the course has run a line."""
        file = str(Path(self.task["folder"]) / "tmp" / "connection.json")
        self.kernel.run(
            f"__import__('json').dump(__import__({inside.__name__!r}, fromlist=['_'])"
            f".connection(globals().get('lab')), open({file!r}, 'w'))",
            TELL_SECONDS,
            silent=True,
        )
        with contextlib.suppress(OSError, ValueError):
            self.connection = json.loads(Path(file).read_text(encoding="utf-8"))

    def _judge(self, task, source: str) -> None:
        began = time.monotonic()
        found: dict = {"answer": None, "why": ""}
        # a right answer may be on its way still, on a machine that grades several at once
        for _ in range(ASKED if self.connection is not None else 0):
            found = self.witness.judge(source, self.connection or {}, self.kernel, COURSE_SECONDS)
            answer = found["answer"]
            if not answer or answer["passed"] or not answer["possible"]:
                break
        by = "witness"
        if found["answer"] is None and not found.get("missing"):
            unseen = found.get("why", "")
            by = "kernel"
            found = self.kernel.told("ask", source.strip(), seconds=COURSE_SECONDS)
            found["unseen"] = unseen
        tell(
            event="verdict",
            id=task.id,
            by=by,
            seconds=round(time.monotonic() - began, 2),
            raised=self.raised.get(task.id, ""),
            around=self.around,
            **{key: found.get(key) for key in ("answer", "missing", "same", "replaced", "error")},
        )


def tell(**event: object) -> None:
    """Write a line for whoever grades."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _disk(folder: Path, most: int) -> int:
    """Return how many bytes lie in a folder, or some number above ``most``."""
    total, places = 0, [str(folder)]
    while places and total <= most:
        with contextlib.suppress(OSError), os.scandir(places.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    places.append(entry.path)
                    total += 4096
                else:
                    with contextlib.suppress(OSError):
                        about = entry.stat(follow_symlinks=False)
                        # a file with holes, such as Kafka's indexes, takes what it has
                        total += getattr(about, "st_blocks", about.st_size // 512) * 512 + 512
    return total


def _processes() -> tuple[int, int]:
    """Return how many processes this one has started, and how much memory they take (bytes)."""
    import psutil

    count, memory = 0, 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            count, memory = count + 1, memory + process.memory_info().rss
    return count, memory


def main() -> NoReturn:
    """Read a task, work through it, and leave nothing to those who wait for this process."""
    task = json.loads(sys.stdin.readline())
    working = Working(task)
    try:
        working.run()
        tell(event="done")
    except Ended as error:
        tell(event="ended", why=error.why, values=error.values, at=working.at)
    except Exception as error:
        tell(event="ended", why="failed", values={"error": repr(error)[:500]}, at=working.at)
    os._exit(0)


if __name__ == "__main__":
    main()

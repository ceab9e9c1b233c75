"""Has submissions worked through, several at a time, each behind a fence that nothing gets out of.

What a submission needs of the machine is bounded from outside: its processes end together, its
working folder is removed, and a worker that is silent for too long is ended.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from lab_env.course import lessons
from lab_env.course.grading import fence, submissions, verdicts, worker
from lab_env.course.grading.submissions import PREDICTION, Submission, Task
from lab_env.course.grading.verdicts import Verdict
from lab_env.ground import limits
from lab_env.messages import say
from lab_env.processes import folders, jars

SECONDS = 120  # that a cell of a student may take: the slowest solution of the course takes 20
SILENT_SECONDS = worker.COURSE_SECONDS + 120  # a worker tells every cell; the slowest ends before
MOST_SECONDS = 3600  # of a submission, whatever it says
MOST_LINES, MOST_LINE = 5_000, 2_000_000  # of a worker, and signs of a line
ATTEMPTS = 3  # what ended a submission is left out, for the other exercises to be graded
PER_CORE = 2  # at a time: most of a lesson is waiting
MEMORY = 1.5e9  # bytes that a lesson takes, with its Kafka and its services
DISK = 3_000_000_000
FREE = 300_000_000
PROCESSES = 400
# nothing that names a cluster, an account or a login is handed on to a student's code
PASSED_ON = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONUTF8",
    "KAFKA_LAB_LANG", "KAFKA_LAB_AOT", "KAFKA_LAB_MIRROR", "LD_LIBRARY_PATH",
)  # fmt: skip
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev",
          "/opt", "/nix", "/run/systemd/resolve")  # fmt: skip
PROBE = "import ipykernel, kafka, lab_env.lab, matplotlib.pyplot, pandas"

_Progress = Callable[[Submission, int, int], None]


class Grader:
    """Grades submissions, several at a time.

    Args:
        seconds: that one cell of a student may take.
        jobs: how many at a time; None for as many as the machine carries.
        disk: bytes that one submission may fill.

    Attributes:
        fenced: the parts of the fence that this machine has: "processes", "files", "reading".
    """

    def __init__(self, *, seconds: float = SECONDS, jobs: int | None = None, disk: int = DISK):
        self.seconds = seconds
        memory = limits.free_memory()[0]
        most = min(PER_CORE * limits.cores()[0], memory / MEMORY)
        self.jobs = jobs or max(1, round(most))
        self._limits = {
            "disk": disk,
            "free": FREE,
            "processes": PROCESSES,
            "memory": int(min(max(2 * MEMORY, memory / 2), 4 * MEMORY)),
        }
        self._base = Path(tempfile.mkdtemp(prefix="kafka-lab-grade-"))
        self._apart = fence.namespace()
        self._reads: dict[str, list[str]] | None = None
        self.fenced: list[str] = ["processes"] if self._apart else []
        self._running: set[subprocess.Popen] = set()
        self._closed = False
        self._find_fence()

    def grade(
        self, found: list[Submission], on_cell: _Progress = lambda submission, cell, of: None
    ) -> Iterator[list[Verdict]]:
        """Yield the verdicts of each submission, as they come.

        Args:
            found: what `submissions.read_all` returned.
            on_cell: called with the submission, the cell it is at, and how many there are.
        """
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [
                pool.submit(self._one, number, one, on_cell) for number, one in enumerate(found)
            ]
            try:
                for one in as_completed(waiting):
                    yield one.result()
            finally:
                for one in waiting:
                    one.cancel()
                if not all(one.done() for one in waiting):
                    self.close()

    def close(self) -> None:
        """End whatever runs, and remove what was written; can be called again."""
        self._closed = True
        for process in list(self._running):
            _kill(process)  # its own thread sees that it has ended, and does the rest
        shutil.rmtree(self._base, ignore_errors=True)

    # -- one submission -----------------------------------------------------------------------

    def _one(self, number: int, one: Submission, on_cell: _Progress) -> list[Verdict]:
        if one.lesson is None:
            row = Verdict(
                one.student, str(one.file), "", "", "exercise", verdicts.UNREADABLE, one.why
            )
            return [row]
        tasks = submissions.tasks(lessons.load(one.lesson))
        rows = {task.id: self._without_running(one, task) for task in tasks}
        left = [task for task in tasks if rows[task.id] is None]
        out: list[str] = []
        for attempt in range(ATTEMPTS):
            open_tasks = [task for task in left if rows[task.id] is None]
            if not open_tasks or self._closed:
                break
            folder = self._base / f"{number}-{attempt}"
            try:
                ended = self._attempt(one, folder, out, rows, on_cell)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if ended is None:
                break
            at, why = ended
            if at in rows and rows[at] is None:
                rows[at] = self._row(one, _task(tasks, at), verdicts.STOPPED, why)
            if not at or at in out or attempt == ATTEMPTS - 1:
                for task in open_tasks:
                    if rows[task.id] is None:
                        rows[task.id] = self._row(one, task, verdicts.STOPPED, why)
            out.append(at)
        return [
            row or self._row(one, _task(tasks, name), verdicts.STOPPED, say("grading.not_reached"))
            for name, row in rows.items()
        ]

    def _without_running(self, one: Submission, task: Task) -> Verdict | None:
        """Return the verdict on a cell that need not run, or None."""
        source = one.answers.get(task.id)
        is_prediction = task.kind == PREDICTION
        if source is None:
            return self._row(one, task, verdicts.MISSING, say("grading.missing"))
        if not submissions.touched(task, source):
            return self._row(one, task, verdicts.UNTOUCHED, say("grading.untouched"))
        return self._row(one, task, verdicts.MADE, source.strip()) if is_prediction else None

    def _attempt(
        self, one: Submission, folder: Path, out: list[str], rows: dict, on_cell: _Progress
    ) -> tuple[str, str] | None:
        """Run a submission once, and fill in its rows; return at which cell it ended, and why."""
        for name in ("work", "home", "tmp"):
            (folder / name).mkdir(parents=True, mode=0o700)
        _take_fonts_along(folder / "home")
        assert one.lesson is not None
        tasks = {task.id: task for task in submissions.tasks(lessons.load(one.lesson))}
        task = {
            "lesson": str(one.lesson),
            "answers": one.answers,
            "left_out": [*out, *(name for name, row in rows.items() if row and name not in out
                                 and tasks[name].kind != PREDICTION)],
            "seconds": self.seconds,
            "limits": self._limits,
            "fence": self._fence(folder),
            "folder": str(folder),
        }  # fmt: skip
        at, ended = "", None
        for event in self._events(folder, task):
            kind = event.get("event")
            if kind == "cell":
                on_cell(one, event["cell"], event["of"])
            elif kind == "at":
                at = str(event["id"])
            elif kind == "verdict" and event["id"] in tasks:
                rows[event["id"]] = self._judged(one, tasks[event["id"]], event)
            elif kind == "ended":
                return at, say(f"grading.ended_{event['why']}", **event["values"])
            elif kind == "done":
                return None
            elif kind == "silent":
                ended = say("grading.ended_silent", minutes=SILENT_SECONDS // 60)
        return at, ended or say("grading.ended_died")

    def _judged(self, one: Submission, task: Task, event: dict) -> Verdict:
        """Return the verdict that a worker's words mean."""
        answer, seconds, by = event.get("answer"), float(event["seconds"]), str(event["by"])
        raised = f" {say('grading.raised', error=event['raised'])}" if event["raised"] else ""
        around = f"{say('grading.around', error=event['around'])} " if event["around"] else ""
        if event.get("missing"):
            told = around + say("grading.no_name", names=", ".join(event["missing"]))
            return self._row(one, task, verdicts.NOT_YET, told + raised, seconds, by)
        if event.get("replaced"):
            told = say("grading.replaced", names=", ".join(event["replaced"][:3]))
            return self._row(one, task, verdicts.REFUSED, told, seconds, by)
        if event.get("same"):
            first, second = event["same"]
            told = say("grading.same", first=first, second=second)
            return self._row(one, task, verdicts.REFUSED, told, seconds, by)
        if not answer:
            told = say("grading.no_answer", error=submissions.plain(str(event.get("error")))[:300])
            told = around + told
            return self._row(one, task, verdicts.NOT_YET, told + raised, seconds, by)
        verdict = verdicts.PASSED if answer["passed"] else verdicts.NOT_YET
        if not answer["possible"]:
            verdict = verdicts.NOT_HERE
        told = verdicts.in_words(answer)
        if verdict == verdicts.NOT_YET:
            told = f"{around}{told}{raised}"
        return self._row(one, task, verdict, told, seconds, by)

    def _row(
        self, one: Submission, task: Task, verdict: str, words: str, seconds=0.0, by=""
    ) -> Verdict:
        lesson = one.lesson.stem if one.lesson else ""
        return Verdict(
            one.student, str(one.file), lesson, task.id, task.kind, verdict, words, seconds, by
        )

    # -- its process --------------------------------------------------------------------------

    def _events(self, folder: Path, task: dict) -> Iterator[dict]:
        """Start a worker and yield what it tells; whatever becomes of it, nothing of it is left."""
        process = subprocess.Popen(
            [*self._apart, sys.executable, "-P", "-m", worker.__name__],
            cwd=folder / "work",
            env=self._environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(task).encode() + b"\n")
                process.stdin.close()
            yield from _lines(process)
        finally:
            _end(process, folder)
            self._running.discard(process)

    def _environment(self, folder: Path) -> dict[str, str]:
        given = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        temporary = str(folder / "tmp")
        return given | {
            "HOME": str(folder / "home"),
            "USERPROFILE": str(folder / "home"),
            "TMPDIR": temporary,
            "TEMP": temporary,
            "KAFKA_LAB": "embedded",
            "KAFKA_LAB_HOME": str(folders.home()),
            "KAFKA_LAB_PROGRESS": "",
            "DOCKER_HOST": f"unix://{folder / 'no-engine'}",  # an engine would be a way out
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _fence(self, folder: Path) -> dict[str, list[str]]:
        if self._reads is None:
            return {"write": [], "read": [], "names": []}
        return {"write": [str(folder), "/dev/null"], **self._reads}

    def _find_fence(self) -> None:
        """Find out which of the fence stands on this machine, by trying it."""
        if not fence.landlock():
            return
        root = lessons.folder().parent
        package = Path(__file__).parents[2]
        beside = ("services", "deploy", "docker-compose.yml", "constraints.txt", "pyproject.toml")
        read = [*SYSTEM, sys.prefix, sys.base_prefix, str(folders.home()), str(package)]
        read += [str(root / name) for name in beside]
        read.append(str(jars.folder().resolve()))  # the home may have it from elsewhere
        read += [place for place in sys.path if Path(place).name == "site-packages"]
        folder = self._base / "probe"
        (folder / "home").mkdir(parents=True)
        (folder / "tmp").mkdir()
        _take_fonts_along(folder / "home")
        for reads, parts in (
            ({"read": read, "names": [str(package.parent)]}, ["files", "reading"]),
            ({"read": [], "names": []}, ["files"]),
        ):
            self._reads = reads
            words = fence.words(**self._fence(folder))
            words += [sys.executable, "-P", "-c", PROBE]
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                done = subprocess.run(
                    words,
                    env=self._environment(folder),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=120,
                )
                if done.returncode == 0:
                    self.fenced += parts
                    return
        self._reads = None


def _lines(process: subprocess.Popen) -> Iterator[dict]:
    """Yield what a worker writes, until it ends, is silent for too long, or says too much."""
    assert process.stdout is not None
    until, buffer, count = time.monotonic() + MOST_SECONDS, b"", 0
    if os.name == "nt":
        for line in process.stdout:
            yield json.loads(line)
        return
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < until and count < MOST_LINES and len(buffer) < MOST_LINE:
            if not ready.select(SILENT_SECONDS):
                break
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            *whole, buffer = (buffer + data).split(b"\n")
            for line in whole:
                count += 1
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    if isinstance(told, dict):
                        yield told
    yield {"event": "silent"}


def _end(process: subprocess.Popen, folder: Path) -> None:
    """End a worker and every process that it, or a student's code, has started."""
    import psutil

    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    _kill(process)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    for child in [*children, *_of_folder(folder)]:
        with contextlib.suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(children, timeout=10)


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # the first of a namespace takes all with it
        else:
            process.kill()


def _of_folder(folder: Path) -> Iterator:
    """Yield the processes that bear a submission's own folder in their environment."""
    import psutil

    wanted = str(folder / "home")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("HOME", "").startswith(wanted):
                yield process


def _task(tasks: list[Task], name: str) -> Task:
    return next(task for task in tasks if task.id == name)


def _take_fonts_along(home: Path) -> None:
    """Copy what matplotlib knows of the fonts, which it would find out anew each time."""
    import matplotlib

    target = home / ".cache" / "matplotlib"
    target.mkdir(parents=True)
    for file in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
        with contextlib.suppress(OSError):
            shutil.copy(file, target)

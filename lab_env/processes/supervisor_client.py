"""The notebook's side of the supervisor: starts it, tells it what to do, hears what happened."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from lab_env.ground.errors import BrokerError, StorageError
from lab_env.ground.waiting import whole
from lab_env.processes import folders, supervisor

MOST_START_SECONDS = 300.0  # a bound; it needs 30 ms, on a busy machine some seconds
END_SECONDS = 5.0
RELEASE_SECONDS = 1.5


class Supervised:
    """A folder whose processes end, and which is removed, when this process is gone.

    Args:
        folder: made by the supervisor once it holds the lock beside it.
        on_event: called in a thread with {"event": "started" | "exit" | "gone", ...}.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, on_event: Callable[[dict], None]):
        self.folder = folder
        self._answers: queue.Queue[str] = queue.Queue()
        self._telling = threading.Lock()
        python = getattr(sys, "_base_executable", None) or sys.executable
        self._process = subprocess.Popen(
            # the base interpreter, without site: 30 ms to start, and no venv that may vanish
            [python, "-S", "-E", "-s", supervisor.__file__, str(folder), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdin is not None  # a pipe
        self._commands = self._process.stdin
        threading.Thread(
            target=_listen, args=(self._process.stdout, self._answers, on_event), daemon=True
        ).start()
        try:
            # it says "gone" as soon as the process has ended
            answer = self._answers.get(timeout=MOST_START_SECONDS)
        except queue.Empty:
            answer = "silent"
        except BaseException:
            self.close()
            raise
        if answer != "ready":
            self.close()
            raise StorageError(
                "storage.not_writable", folder=folder.parent, variable=folders.HOME_VARIABLE
            )

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self._process.poll() is None

    def start(self, name: str, argv: list[str], cwd: Path, env: dict, log: Path) -> None:
        """Start a process under a name; its events come by that name."""
        self.tell(op="start", name=name, argv=argv, cwd=str(cwd), env=env, log=str(log))

    def tell(self, **command: object) -> None:
        """Send a command: start, or kill, stop, pause, resume with a name.

        Raises:
            BrokerError: the supervisor is gone.
        """
        whole(self._tell, json.dumps(command) + "\n")  # an Interrupt leaves no half of a line

    def _tell(self, line: str) -> None:
        try:
            with self._telling:
                self._commands.write(line)
                self._commands.flush()
        except (OSError, ValueError) as error:
            raise BrokerError("clusters.gone") from error

    def close(self) -> None:
        """End all processes and remove the folder; idempotent."""
        with contextlib.suppress(OSError, ValueError):
            self._commands.close()
        try:
            self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=END_SECONDS)
        if self.folder.exists():  # the supervisor was killed: end what it left
            folders.sweep()

    def release(self) -> None:
        """Let the supervisor end all in its own time, which may be some seconds; idempotent."""
        with contextlib.suppress(OSError, ValueError):
            self._commands.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=RELEASE_SECONDS)


def _listen(pipe, answers: queue.Queue, on_event: Callable[[dict], None]) -> None:
    """Hand the supervisor's events on until it is gone."""
    with pipe:
        for line in pipe:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event["event"] in ("ready", "refused"):
                    answers.put(event["event"])
                else:
                    on_event(event)
    answers.put("gone")
    on_event({"event": "gone"})

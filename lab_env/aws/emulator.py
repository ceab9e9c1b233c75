"""The notebook's side of the embedded account: starts its process, knows its port, ends it."""

import os
import sys
import time
from pathlib import Path

from lab_env.aws import serve
from lab_env.aws.errors import AccountError
from lab_env.ground.waiting import Progress, signs_of
from lab_env.processes import folders
from lab_env.processes.supervisor_client import Supervised

NAME = "aws"
LAST_BYTES = 600  # of its log, in an error


class Emulator:
    """An AWS account in a process of this machine, empty at first; it ends with the notebook.

    Attributes:
        endpoint: where it answers: "http://127.0.0.1:PORT".
        folder: of this account; removed with it.

    Raises:
        StorageError: the folder cannot be made.
        AccountError: it did not start, with the last lines of its log.
    """

    def __init__(self):
        folders.sweep()
        self._exit: str | None = None
        self._pid: int | None = None
        self._supervised = Supervised(folders.new_lab_folder(), self._on_event)
        self.folder = self._supervised.folder
        try:
            self.endpoint = f"http://127.0.0.1:{self._start()}"
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._exit is None and self._supervised.alive

    def close(self) -> None:
        """End the process, and remove the folder; can be called again."""
        self._supervised.close()

    def _on_event(self, event: dict) -> None:
        if event["event"] == "started":
            self._pid = event["pid"]
        if event["event"] in ("exit", "gone"):
            self._exit = event.get("why") or f"{event.get('code')}"

    def _start(self) -> int:
        folder = self.folder / NAME
        folder.mkdir()
        log = self.folder / "aws.log"
        # -P: a module of ours must not be taken for one of moto's
        argv = [sys.executable, "-P", serve.__file__, str(folder) + os.sep]
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MOTO_"))}
        self._supervised.start(NAME, argv, folder, plain, log)
        patience = Progress(lambda: signs_of([self._pid], [log]))
        while self.alive and not patience.over():
            port = _read(folder / "port")
            if port:
                return int(port)
            time.sleep(0.02)
        raise AccountError("aws.no_start", log=_read(log)[-LAST_BYTES:].strip() or "-")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""The process's side of a service: takes a student's function from stdin, runs it, reports back.

Speaks with `lab_env.processes.runs`: on stdin a line of JSON that says what to do, the
pickled function, then a line of JSON for each setting and for the stop; on stdout a line of JSON
for each report.
Imports only the standard library, because every service waits for what is imported here.
"""

import atexit
import contextlib
import faulthandler
import io
import json
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback

GRACE = 2.0  # s that a function has to end, once it was asked to or its notebook is gone
LONGEST = 86_400.0  # s; of a wait: `arguments.A_DAY`, which is not imported here
LOG_LIMIT = 1_000_000  # bytes of log on the disk
LOG_KEPT = 500_000  # bytes that stay when the limit is reached


def plain(value: object) -> object:
    """Return ``value`` as something that JSON knows: numpy and dates plain, the rest as text."""
    if isinstance(value, bytes | bytearray):  # keys and values of records are bytes
        return bytes(value).decode(errors="backslashreplace")
    if isinstance(value, set | frozenset):
        return list(value)
    for method in ("tolist", "isoformat"):  # numpy's scalars and arrays, dates and times
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    return str(value)


def line(message: dict) -> bytes:
    """Return ``message`` as a line of JSON."""
    try:
        text = json.dumps(message, default=plain)
    except (TypeError, ValueError):  # a key that is no text, a list that holds itself
        text = json.dumps({key: _keyed(value) for key, value in message.items()}, default=plain)
    return text.encode() + b"\n"


def _keyed(value: object) -> object:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else str(value)


class Log(io.RawIOBase):
    """What the function prints: a file that forgets its beginning, so that it never fills a disk.

    Args:
        path: the file; it also becomes the process's stdout and stderr.
    """

    def __init__(self, path: str):
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o600)
        self._lock = threading.Lock()
        self._size = os.fstat(self._fd).st_size
        for fd in (1, 2):  # C libraries and child processes write there
            os.dup2(self._fd, fd)
        sys.stdout, sys.stderr = self._text(), self._text()
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr

    def _text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(
            io.BufferedWriter(self), "utf-8", errors="backslashreplace", line_buffering=True
        )

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        with self._lock:
            try:
                count = os.write(self._fd, data)
            except OSError:  # a full disk must not stop a service that only wanted to print
                return len(data)
            self._size += count
            if self._size > LOG_LIMIT:
                self._trim()
        return count

    def trim(self) -> None:
        """Forget the beginning if others (C libraries, children) have written too much."""
        with self._lock:
            if os.fstat(self._fd).st_size > LOG_LIMIT:
                self._trim()

    def _trim(self) -> None:
        os.lseek(self._fd, -LOG_KEPT, os.SEEK_END)
        kept = os.read(self._fd, LOG_KEPT).partition(b"\n")[2]
        os.ftruncate(self._fd, 0)
        os.write(self._fd, kept)
        self._size = len(kept)


class Channel:
    """The way back to the notebook.

    Args:
        fd: where the lines are written; nobody else may know it.
    """

    def __init__(self, fd: int):
        self._file = open(fd, "wb")  # noqa: SIM115  (open as long as the process lives)
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._mute)

    def _mute(self) -> None:
        """In a forked child: let go of the pipe, so that the notebook sees the service's end."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._file.fileno(), inheritable=False)
        os.close(nothing)
        self._lock = threading.Lock()

    def send(self, **message: object) -> None:
        """Send one message; when the notebook is gone, nothing happens."""
        data = line(message)
        with self._lock:
            try:
                self._file.write(data)
                self._file.flush()
            except (OSError, ValueError):
                pass


class ServiceContext:
    """What a student's function gets as its first argument.

    Attributes:
        name: the service's name.
        settings: a dict that the notebook can change while the function runs.
    """

    def __init__(self, name: str, settings: dict, epoch: float, channel: Channel):
        self.name = name
        self.settings = settings
        self._epoch = epoch
        self._channel = channel
        self._stop = threading.Event()
        self._stumbled: set[tuple] = set()

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def running(self) -> bool:
        """False once the service was asked to stop."""
        return not self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds``; return True, or False at once when asked to stop.

        Args:
            seconds: up to a day; below 0 is 0: the moment has passed.

        Raises:
            BadInputError: it is no such number.
        """
        if not isinstance(seconds, int | float) or not seconds <= LONGEST:
            from lab_env.ground import arguments

            seconds = arguments.seconds(seconds)
        return not self._stop.wait(max(seconds, 0.0))

    def report(self, **fields: object) -> None:
        """Send a row for the notebook's data frame: lab's time, this service's name, ``fields``."""
        for name in ("time", "service"):
            if name in fields:
                from lab_env.ground.errors import (
                    BadInputError,  # here: only the one who errs waits for it
                )

                raise BadInputError("service.reserved_field", field=name)
        row = {"time": time.monotonic() - self._epoch, "service": self.name, **fields}
        self._channel.send(row=row)

    def crash(self) -> None:
        """End here as a power cut would: no leave, no commit, nothing that stands after this line.

        What was reported and printed before is told; what a client has not sent yet is lost. The
        notebook shows it as it shows its own ``.crash()``: the state and the mark of a crash.
        """
        self._channel.send(crash=True)
        die()

    def serve_http(self, answer) -> None:
        """Serve HTTP on a free port of 127.0.0.1 until asked to stop; report ``url`` once.

        Args:
            answer: is called with the JSON object of each POST; what it returns is the reply
                (status 200). What it raises is the reply of status 500, and goes to the log.
        """
        from lab_env.processes.http_endpoint import serve  # here: most services serve nothing

        serve(self, answer, plain)

    def stumbled(self, error: Exception) -> None:
        """Let the notebook tell of an error that does not end the service: each place once."""
        told = failure(error)
        place = (told["kind"], *map(tuple, told["frames"][-1:]))
        if place not in self._stumbled:
            self._stumbled.add(place)
            self._channel.send(stumbled=told)


class Keeper:
    """Ends the process when its time is over: the stop's deadline, or the notebook's death."""

    def __init__(self, service: ServiceContext, log: Log, parent: int):
        self._service = service
        self._channel = service._channel
        self._log = log
        self._deadline = float("inf")
        self._parent = parent  # as it said itself: it may have died before we could look

    def ask(self, seconds: float) -> None:
        """Ask the function to stop, and give it ``seconds``."""
        self.limit(seconds)
        self._service._stop.set()

    def limit(self, seconds: float) -> None:
        """Let the process live for ``seconds`` at most."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def listen(self, control: io.BufferedReader) -> None:
        """Do what the notebook says; its end is a stop too."""
        for data in control:
            try:
                message = json.loads(data)
            except ValueError:  # an interrupted line; the next one is whole
                continue
            self._service.settings.update(message.get("settings", {}))
            for name in message.get("unset", ()):
                self._service.settings.pop(name, None)
            if "stop" in message:
                self._channel.send(asked=True)
                # the notebook kills at its deadline; this is for a notebook that cannot
                self.ask(message["stop"] + 1.0)
        self.ask(GRACE)

    def watch(self) -> None:
        """Look around four times a second: a forked child of the notebook can hide its end."""
        while time.monotonic() < self._deadline:
            time.sleep(0.25)
            if os.name == "posix" and os.getppid() != self._parent:
                self.ask(GRACE)
            self._log.trim()
        die()


def die() -> None:
    """End the process at once, with whatever the function has started; nothing is tidied up."""
    if os.name == "posix":
        # a child that was forked is in its parent's group, and must not take it along
        end = os.killpg if os.getpgrp() == os.getpid() else os.kill
        end(os.getpid(), signal.SIGKILL)
    os._exit(1)


def failure(error: BaseException) -> dict:
    """Return what the notebook must know of ``error``: its text, and where it passed."""
    frames, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        frames.append([code.co_filename, trace.tb_lineno, code.co_name, code.co_firstlineno])
        trace = trace.tb_next
    return {"kind": type(error).__name__, "text": _text(error)[:2000], "frames": frames}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a student's own exception may have a __str__ that raises
        return ""


def leave(parent: int) -> None:
    """End here: a thread that still prints could abort the interpreter's own way out.

    The notebook ends what the function has started; without a notebook it ends here, too.

    Args:
        parent: the notebook's process.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.name == "posix" and os.getpid() == os.getpgrp() and os.getppid() != parent:
        die()
    os._exit(0)


def thread(target, *args) -> None:
    """Run ``target`` in a thread that nobody waits for."""
    threading.Thread(target=target, args=args, daemon=True).start()


def main() -> None:
    """Run one service: from the first line of stdin to the end of the function."""
    control, channel = os.fdopen(os.dup(0), "rb"), Channel(os.dup(1))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # input() and children must not read what is meant for us
    order = json.loads(control.readline() or "null")
    if order is None:  # the notebook was interrupted before it said anything
        return
    atexit.register(leave, order["parent"])  # the first one registered is the last one called
    log = Log(order["log"])
    faulthandler.enable(2)
    sys.path[:] = order["path"]
    payload = control.read(order["size"])
    service = ServiceContext(order["name"], order["settings"], order["epoch"], channel)
    keeper = Keeper(service, log, order["parent"])
    thread(keeper.listen, control)
    thread(keeper.watch)

    try:
        run(service, payload, channel)
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            return
        for _ in range(2):  # main's and run's frames say nothing to a student
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        traceback.print_exception(error)
        channel.send(failed=failure(error))
        keeper.limit(GRACE)  # threads that the function left behind must not go on for it
    else:
        channel.send(returned=True)


def run(service: ServiceContext, payload: bytes, channel: Channel) -> None:
    """Unpack the function and call it; tell that it begins, and how far it comes."""
    with contextlib.suppress(ImportError):  # a path that has not the rest of the package
        from lab_env.ground import kafka_compat, steps

        kafka_compat.let_client_in()
        steps.listener = lambda done, of, rate: channel.send(step=(done, of, rate))
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it says much while a broker is down
    function, args = pickle.loads(payload)
    channel.send(begun=True)
    function(service, *args)


if __name__ == "__main__":
    main()

"""Docker's engine and Compose, by their own command line, which knows the user's contexts."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

from lab_env.ground.errors import BrokerError
from lab_env.ground.waiting import Progress, ProgressLine
from lab_env.messages import say

PULL_SECONDS = 1800
QUICK_SECONDS = 5.0  # for a question; an engine that is starting or broken may never answer
PROJECT_LABEL = "com.docker.compose.project"  # what Compose puts on all that it makes


def begin(
    *words: str,
    stderr: int = subprocess.DEVNULL,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[str]:
    """Start ``docker``, and return the process, whose output is read line by line.

    Args:
        *words: the rest of the command line.
        stderr: where its errors go, as `subprocess.Popen` takes it; they are thrown away.
        env: the process's environment; None is this one's.
        cwd: the process's folder; None is this one's.

    Raises:
        BrokerError: there is no such command.
    """
    return subprocess.Popen(
        [_command(), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # an Interrupt in the notebook is for the notebook
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        stderr=stderr,
        env=env,
        cwd=cwd,
    )


def _command() -> str:
    if (found := shutil.which("docker")) is None:
        raise BrokerError("compose.no_docker")
    return found


def docker(
    *words: str, seconds: float = QUICK_SECONDS, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run ``docker`` and return what came of it, whatever its exit code.

    Args:
        *words: the rest of the command line.
        seconds: the deadline.
        env: variables beside those of this process.

    Raises:
        BrokerError: there is no such command, or it did not answer in time.
    """
    command = _command()
    try:
        return subprocess.run(
            [command, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            env={**os.environ, **(env or {})},
            start_new_session=True,  # an Interrupt in the notebook is for the notebook
        )
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            "compose.silent", command=" ".join(words[:3]), seconds=f"{seconds:.0f}"
        ) from error


def asked(*words: str, seconds: float = QUICK_SECONDS, env: dict[str, str] | None = None) -> str:
    """Return what ``docker`` prints.

    Raises:
        BrokerError: it fails; with its last line.
    """
    done = docker(*words, seconds=seconds, env=env)
    if done.returncode:
        raise BrokerError("compose.refused", command=" ".join(words[:2]), why=last_line(done))
    return done.stdout


def last_line(done: subprocess.CompletedProcess) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines()]
    return next((line for line in reversed(lines) if line), "")


def unavailable() -> str | None:
    """Return why no container can be started here, in a sentence, or None if one can."""
    if shutil.which("docker") is None:
        return say("compose.no_docker")
    try:
        done = docker("version", "--format", "{{.Server.Version}}")
        if done.returncode or not done.stdout.strip():
            return say("compose.no_engine", why=last_line(done))
        done = docker("compose", "version", "--short")
        if done.returncode:
            return say("compose.no_compose")
    except BrokerError as error:
        return str(error)
    return None


def memory() -> int:
    """Return how much memory the engine may use (bytes): less than the machine's, on a desktop."""
    with contextlib.suppress(ValueError):
        return int(asked("info", "--format", "{{.MemTotal}}"))
    return 0


def has_image(image: str) -> bool:
    """Return whether the engine holds an image."""
    return docker("image", "inspect", "--format", "ok", image).returncode == 0


# what an engine says of an image that it cannot fetch -> the text that says what to do
REFUSALS = (
    (re.compile(r"toomanyrequests|rate limit|429", re.I), "limit"),
    (re.compile(r"unauthorized|denied|not found|manifest unknown|does not exist", re.I), "unknown"),
    (
        re.compile(
            r"no such host|dial |timeout|timed out|unreachable|refused|resolv|TLS|x509|EOF"
            r"|server misbehaving|connection reset|deadline",
            re.I,
        ),
        "network",
    ),
)


def fetch(image: str, *, aloud: bool = True) -> str | None:
    """Fetch an image that the engine does not hold, and say what comes.

    Args:
        image: its name.
        aloud: say it.

    Returns:
        None when it is here; else why it cannot be had and what to do, in sentences.
    """
    if has_image(image):
        return None
    if aloud:
        print(say("compose.pulling", image=image), file=sys.stderr)
    done = docker("pull", "--quiet", image, seconds=PULL_SECONDS)
    return None if done.returncode == 0 else refusal(image, last_line(done))


def refusal(image: str, said: str) -> str:
    """Return why an image cannot be had, and what to do, from what the engine says of it."""
    kind = next((kind for pattern, kind in REFUSALS if pattern.search(said)), "other")
    why = say(f"compose.image_{kind}", image=image, said=said)
    return say("compose.image", image=image, why=why)


def events(project: str) -> subprocess.Popen[str]:
    """Follow what happens to the containers of a project: a process that prints JSON lines.

    It ends by itself with the next event once nobody reads it.
    """
    return begin(
        "events",
        "--filter", "type=container",
        "--filter", f"label={PROJECT_LABEL}={project}",
        "--format", "{{json .}}",
    )  # fmt: skip


def happened(lines: Iterable[str]) -> Iterator[tuple[str, str, int | None]]:
    """Yield (service, what happened: start, die, pause, unpause; exit code) of `events`' lines."""
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            name = event["Actor"]["Attributes"]["com.docker.compose.service"]
            code = event["Actor"]["Attributes"].get("exitCode", "")
            what = str(event.get("Action") or event.get("status"))
            yield name, what, int(code) if code.isdigit() else None


class Project:
    """A Compose project: its name, its files, and the variables that fill them.

    Args:
        name: of the project; containers and volumes bear it.
        files: Compose files, later ones add to earlier ones.
        variables: what stands for ``${...}`` in the files.
    """

    def __init__(self, name: str, files: Iterable[Path], variables: dict[str, str]):
        self.name = name
        self.files = list(files)
        self.variables = variables

    def words(self) -> list[str]:
        """Return the beginning of each command of this project."""
        files = (word for file in self.files for word in ("--file", str(file)))
        return ["compose", "--project-name", self.name, *files]

    def run(self, *words: str, seconds: float = 60.0) -> subprocess.CompletedProcess:
        """Run a Compose command and return what came of it."""
        return docker(*self.words(), *words, seconds=seconds, env=self.variables)

    def run_aloud(
        self,
        *words: str,
        seconds: float,
        telling: Callable[[int], str],
        quiet: bool = False,
    ) -> subprocess.CompletedProcess:
        """Run a long Compose command, and say what it is about once that takes a while.

        An Interrupt ends the command, not what the engine has begun for it.

        Args:
            *words: the rest of the command line.
            seconds: a bound against hanging.
            telling: returns what is said after so many seconds.
            quiet: say nothing.
        """
        over = threading.Event()
        made: Future = Future()
        process = begin(
            *self.words(),
            *words,
            stderr=subprocess.PIPE,
            env={**os.environ, **self.variables},
        )

        def read() -> None:
            try:
                made.set_result(process.communicate())
            except BaseException as error:
                made.set_exception(error)
            over.set()

        threading.Thread(target=read, daemon=True).start()
        patience = Progress(still=seconds, most=seconds)
        try:
            with ProgressLine(quiet=quiet) as say_it:
                while not over.wait(0.1):
                    say_it(telling)
                    if patience.over():
                        raise BrokerError(
                            "compose.silent",
                            command=f"compose {words[0]}",
                            seconds=f"{seconds:.0f}",
                        )
        finally:
            if process.poll() is None:
                process.kill()
        out, err = made.result()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def asked(self, *words: str, seconds: float = 60.0) -> str:
        """Return what a Compose command prints.

        Raises:
            BrokerError: it fails; with its last line.
        """
        done = self.run(*words, seconds=seconds)
        if done.returncode:
            raise BrokerError("compose.refused", command=f"compose {words[0]}", why=last_line(done))
        return done.stdout

    def configuration(self) -> dict:
        """Return the project as Compose understands it."""
        return json.loads(self.asked("config", "--format", "json"))

    def images(self) -> list[str]:
        """Return the images that the project needs."""
        return self.asked("config", "--images").split()

"""Docker for a lesson: engine, API, Compose projects. Long: a lesson imports one module.

engine = containers.engine(images=True)     what answers, or why nobody does
engine.runs("list")                         where none does: what the cell showed elsewhere
engine.get("/containers/json")              a question to its REST API
compose = containers.project("airport")     a folder with a Compose file
compose("up --detach --wait")               what `docker compose ...` does in that folder
"""

import contextlib
import http.server
import os
import queue
import re
import secrets
import shlex
import shutil
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lab_env.around import recorded
from lab_env.clusters import compose
from lab_env.clusters import docker_cli as command
from lab_env.clusters.made import thrown_away
from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, BrokerError, ClosedError
from lab_env.ground.loopback import HOST, free_ports
from lab_env.ground.project import file
from lab_env.messages import say
from lab_env.processes import folders
from lab_env.processes.supervisor import NAMES
from lab_env.processes.supervisor_client import Supervised

API_SECONDS = 20.0  # for an answer; what an engine counts over a second takes it some more
COMPOSE_SECONDS = 300.0
BOARD = "services/board"
LAST_LINES = 8  # of a command that fails
TICK = 0.2
LAYERS = ("WORKDIR", "COPY", "ADD", "RUN")  # lines of a recipe that make a layer each
HEADER = 8  # bytes before each piece of a container's output, which begin with its channel
CHANNELS = (b"\0\0\0\0", b"\1\0\0\0", b"\2\0\0\0")
VOLUMES = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
NAMELESS = re.compile(r"[0-9a-f]{64}")  # how the engine calls a volume that nobody has named
# what is printed of all that Compose and its builder say: how each step ends, not that it has begun
NOISE = re.compile(
    r"(Container|Network|Volume|Image) \S+ +\w+ing$|time=.* level=warning"
    r"|Sending build context|--->|#\d+ |Removing intermediate|Success|Looking in|Processing"
    r"|Installing collected|$"
)
STEP = re.compile(r"Step \d+/\d+ :|---> Using cache|#\d+ (\[\s*\d|\[\w+ \d+/|CACHED)")


class Engine:
    """Docker's engine, by its REST API; false where none answers, or images cannot be had.

    Args:
        images: those that have to be there; the ones that are missing are fetched.

    Attributes:
        why: why it cannot be used, in a sentence; "" if it can.
        host: where it listens, as in ``DOCKER_HOST``; "" if none answers.
        found: what cells of the lesson have found, by the cell's name; where no engine can be
            used, what they found on a machine with one.
    """

    def __init__(self, images: Iterable[str] = ()):
        self._told = "containers.no_engine"
        self.why = command.unavailable() or ""
        self.host = "" if self.why else _host()
        self._client = None
        if not self.why:
            try:
                self._client = _client(self.host)
            except Exception as error:  # of a dozen kinds: a transport that is not installed, TLS
                self.why = say("containers.no_api", host=self.host, why=error)
        for image in images if not self.why else ():
            if why := command.fetch(image):
                self.why, self._told, self._client = why, "containers.no_images", None
                break
        self.found: dict[str, Any] = recorded.found() if self.why else {}

    def __bool__(self) -> bool:
        return not self.why

    def __repr__(self) -> str:
        if self.why:
            return say(self._told, why=self.why)
        version = self.get("/version")
        return say(
            "containers.engine",
            version=version.get("Version", "?"),
            api=version.get("ApiVersion", "?"),
            host=self.host,
        )

    def runs(self, cell: str) -> bool:
        """Return whether a cell can be run here; else show what it showed where it could.

        What is shown so is marked as recorded.

        Args:
            cell: its name.
        """
        if not self.why:
            return True
        if said := recorded.output(cell):
            where = recorded.machine() or say("containers.elsewhere")
            print(say("containers.recorded", where=where), said, sep="\n")
        elif cell in self.found:
            print(say("containers.recorded_answer"))
        return False

    def get(self, path: str, **query: object):
        """Ask the engine: an HTTP request with the method GET.

        Args:
            path: as in the API's documentation, without the version: "/containers/json".
            **query: what stands behind the question mark; a dict travels as JSON.

        Returns:
            What the answer's JSON says, else its text.

        Raises:
            BrokerError: no engine answers, or it refuses.
        """
        return _content(self._ask("GET", path, query))

    def _ask(self, method: str, path: str, query: dict):
        import json

        import requests

        if self._client is None:
            raise BrokerError(self._told, why=self.why)
        plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
        url = f"{self._client.base_url}/v{self._client.api_version}{path}"
        try:
            answer = self._client.request(method, url, params=plain, timeout=API_SECONDS)
        except requests.RequestException as error:
            raise BrokerError("containers.no_answer", path=path, why=error) from error
        if answer.status_code >= 400:
            raise BrokerError("containers.refused", path=path, why=_content(answer))
        return answer

    def overhear(self, line: str) -> list[str]:
        """Run a ``docker`` command, and return the requests that it sends to the engine.

        It is sent through an address of our own, which hands everything on and listens.

        Args:
            line: as in a terminal: "docker ps --all". Commands that ask a question; those that
                keep a connection open (exec, attach, logs --follow) do not work this way.

        Raises:
            BrokerError: no engine answers, or the command fails.
        """
        if self._client is None:
            raise BrokerError(self._told, why=self.why)
        words = shlex.split(line)
        heard: list[str] = []
        server = _Listening(self._client, heard)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            # the address of a server of this machine, without TLS, whatever the user's context is
            plain = {"DOCKER_TLS_VERIFY": "", "DOCKER_CONTEXT": ""}
            address = f"tcp://{HOST}:{server.server_port}"
            done = command.docker("--host", address, *words[1:], seconds=API_SECONDS, env=plain)
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)
        if done.returncode:
            raise BrokerError(
                "compose.refused", command=" ".join(words[1:3]), why=command.last_line(done)
            )
        return heard


def engine(*, images: bool = False) -> Engine:
    """Return Docker's engine; it is false, and says why, where none answers.

    Args:
        images: the lesson's images have to be there, too; those that are missing are fetched.
    """
    return Engine(needed() if images else ())


def needed() -> list[str]:
    """Return the images that the course's containers are made from."""
    import yaml

    services = yaml.safe_load(file(compose.ONE).read_text(encoding="utf-8"))["services"]
    recipe = (file(BOARD) / "Dockerfile").read_text(encoding="utf-8")
    below = re.findall(r"^FROM (\S+)", recipe, re.MULTILINE)
    return [*(service["image"] for service in services.values()), *below]


def unavailable() -> str | None:
    """Return why no container of the course can be started here, in sentences; None if one can."""
    if why := command.unavailable():
        return why
    missing = next((image for image in needed() if not command.has_image(image)), None)
    return say("containers.no_such_image", image=missing) if missing else None


def _host() -> str:
    """Return where the engine listens: what DOCKER_HOST says, else the docker command's context."""
    if named := os.environ.get("DOCKER_HOST"):
        return named
    with contextlib.suppress(BrokerError):
        wanted = "{{.Endpoints.docker.Host}}"
        if told := command.asked("context", "inspect", "--format", wanted).strip():
            return told
    return "npipe:////./pipe/docker_engine" if os.name == "nt" else "unix:///var/run/docker.sock"


def _client(host: str):
    import docker
    from docker.utils import kwargs_from_env

    options: dict[str, Any] = {"base_url": host}
    if os.environ.get("DOCKER_HOST"):
        options = kwargs_from_env()
    if host.startswith("ssh://"):
        options["use_ssh_client"] = True  # the user's own ssh knows her keys
    return docker.APIClient(version="auto", timeout=API_SECONDS, **options)


def _content(answer):
    """Return what an answer says: its JSON, else its text."""
    if answer.content[:4] in CHANNELS:
        return _joined(answer.content).decode("utf-8", "replace")
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _joined(stream: bytes) -> bytes:
    """Return a container's output without what stands before each piece: its channel, its size."""
    pieces = []
    while len(stream) >= HEADER:
        size = int.from_bytes(stream[4:HEADER], "big")
        pieces.append(stream[HEADER : HEADER + size])
        stream = stream[HEADER + size :]
    return b"".join(pieces)


class _Listening(http.server.ThreadingHTTPServer):
    """Hands requests on to the engine, and notes them."""

    daemon_threads = True

    def __init__(self, client, heard: list[str]):
        self.client, self.heard = client, heard
        super().__init__((HOST, 0), _HandOn)


class _HandOn(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def _hand_on(self) -> None:
        server = self.server
        assert isinstance(server, _Listening)
        server.heard.append(f"{self.command} {self.path}")
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else None
        kind = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        answer = server.client.request(
            self.command, server.client.base_url + self.path, data=body, headers=kind
        )
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _hand_on

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a server's log has no place below a cell."""


# -- recipes of images ----------------------------------------------------------------------


def remade(recipe: str | Path, changed: str) -> int:
    """Return how many layers are made anew when one file has changed, as Docker's cache decides.

    The first layer into which the file is copied is made anew, and so is each one after it.

    Args:
        recipe: a Dockerfile of one stage; what it copies is beside it.
        changed: name of the file in that folder.

    Returns:
        The number of layers on top of the image below; 0 if the file is in none of them.

    Raises:
        BadInputError: a RUN reads a file that no COPY has brought yet, so it would fail.
        OSError: the recipe cannot be read.
    """
    folder = Path(recipe).parent
    text = Path(recipe).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [words for line in text.splitlines() if (words := line.split())]
    layers = [words for words in lines if words[0].upper() in LAYERS]
    there: set[str] = set()
    first = None
    for number, (kind, *words) in enumerate(layers):
        if kind.upper() in ("COPY", "ADD"):
            brought = {name for word in words[:-1] for name in _named(folder, word)}
            if changed in brought and first is None:
                first = number
            there |= brought
        elif kind.upper() == "RUN":
            for name in words:
                if (folder / name).is_file() and name not in there:
                    raise BadInputError("containers.not_copied", line=" ".join(words), name=name)
    return 0 if first is None else len(layers) - first


def _named(folder: Path, word: str) -> set[str]:
    """Return the files of a folder that a word of COPY brings: a name, a pattern, or all of it."""
    if word in (".", "./", "*"):
        return {path.name for path in folder.iterdir()}
    return {path.name for path in folder.glob(word.removeprefix("./"))}


# -- Compose projects -----------------------------------------------------------------------


class ComposeProject:
    """A folder with a Compose file, and the containers that are made of it.

    The folder begins with the course's own ``docker-compose.yml``, with ``.env`` (a free port), and
    with the folder ``board`` of a small service. Containers, networks, volumes and the images that
    were built here are gone when the project is closed, or when the notebook is gone.

    Args:
        name: of the project; four signs are added, so that yours is nobody else's.

    Attributes:
        name: the project's real name: containers, networks and volumes bear it.
        folder: where its files are.
        file: its Compose file.
        address: where its Kafka can be reached from this machine.

    Raises:
        BadInputError: a name that Compose would refuse.
        StorageError: the folder cannot be made.
    """

    def __init__(self, name: str):
        if not isinstance(name, str) or not name.isalnum() or not name.islower():
            raise BadInputError("containers.bad_name", name=name)
        folders.sweep()
        self.name = f"{name}-{secrets.token_hex(2)}"
        self.folder = folders.new_lab_folder()
        self._images: set[str] = set()
        self._volumes: set[str] = set()
        supervised = Supervised(self.folder, lambda event: None)
        self._finalizer = weakref.finalize(self, supervised.release)
        try:
            self._lay_out()
        except BaseException:
            self.close()
            raise

    def _lay_out(self) -> None:
        (port,) = free_ports(1)
        self.address = f"{HOST}:{port}"
        thrown_away.add(self.address)  # all that is there goes with this project
        self.variables = {compose.PORT_VARIABLE: str(port), "COMPOSE_PROJECT_NAME": self.name}
        self.file = self.folder / compose.ONE
        shutil.copyfile(file(compose.ONE), self.file)
        lines = (f"{name}={value}\n" for name, value in self.variables.items())
        (self.folder / ".env").write_text("".join(lines), encoding="utf-8")
        shutil.copytree(file(BOARD), self.folder / Path(BOARD).name)

    def __repr__(self) -> str:
        return say("containers.project", name=self.name, folder=self.folder, address=self.address)

    def __call__(self, line: str, seconds: float = COMPOSE_SECONDS) -> bool:
        """Do what ``docker compose ...`` does in a terminal, in this folder.

        What becomes of containers, volumes and networks is printed as it happens, and what the
        command itself prints; where it fails, the last lines of what it says.

        Args:
            line: what stands behind ``docker compose``: "up --detach --wait".
            seconds: the deadline.

        Returns:
            Whether it went well.

        Raises:
            BadInputError: the deadline is no number of seconds up to a day.
            BrokerError: there is no docker command, or the deadline has passed.
            ClosedError: the project has been closed.
        """
        arguments.seconds(seconds)
        unsaid: deque[str] = deque(maxlen=LAST_LINES)
        last = ""
        process = self._begin(shlex.split(line))
        try:
            for text in map(str.strip, _lines(process, seconds)):
                if STEP.match(text) or not NOISE.match(text):
                    if text != last:  # some steps are told twice
                        print(text)
                    last = text
                    unsaid.clear()
                else:
                    unsaid.append(text)
        except TimeoutError:
            short = " ".join(line.split()[:2])
            raise BrokerError(
                "compose.silent", command=f"compose {short}", seconds=f"{seconds:.0f}"
            ) from None
        finally:  # an Interrupt too: what has been begun stays as it is, and can be gone on with
            _end(process)
            self._note_what_is_ours()
        if process.returncode:
            print(*unsaid, sep="\n")
        return process.returncode == 0

    def quietly(self, line: str, seconds: float = COMPOSE_SECONDS) -> str | None:
        """Do the same without printing; return None if it went well, else what it says last."""
        self._note_what_is_ours()
        done = self._project.run(*shlex.split(line), seconds=seconds)
        return command.last_line(done) if done.returncode else None

    def _begin(self, words: list[str]) -> subprocess.Popen:
        if not self._finalizer.alive:
            raise ClosedError("containers.closed", name=self.name)
        self._note_what_is_ours()
        return command.begin(
            *self._project.words(), "--ansi", "never", "--progress", "plain", *words,
            cwd=self.folder,
            env={**os.environ, **self.variables},
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def _say_how_it_ends(self) -> None:
        """Leave in the folder what its supervisor does when the notebook is gone."""
        images = sorted(filter(NAMES["images"].fullmatch, self._images))
        # those without a name belong to nobody any more once a `down` has removed a container
        compose.leave_at_end(
            self.folder,
            compose_project=self.name,
            images=images,
            volumes=sorted(self._volumes),
        )

    def _note_what_is_ours(self) -> None:
        """Note images that are built here and volumes without a name, before and after commands."""
        import yaml

        with contextlib.suppress(OSError, AttributeError, TypeError, yaml.YAMLError):
            plan = yaml.safe_load(self.file.read_text(encoding="utf-8"))
            self._images |= {f"{self.name}-{service}" for service in plan["services"]}
        with contextlib.suppress(BrokerError):
            own = f"reference={self.name}-*"
            self._images |= set(command.asked("image", "ls", "-q", "--filter", own).split())
            label = f"label={command.PROJECT_LABEL}={self.name}"
            if there := command.asked("ps", "--all", "-q", "--filter", label).split():
                names = command.asked("inspect", "--format", VOLUMES, *there).split()
                self._volumes |= set(filter(NAMELESS.fullmatch, names))
        self._say_how_it_ends()

    @property
    def _project(self) -> command.Project:
        return command.Project(self.name, [self.file], self.variables)

    def configuration(self) -> dict:
        """Return the project as Compose understands it.

        Raises:
            BrokerError: no engine answers, or Compose does not understand the file.
        """
        return self._project.configuration()

    def close(self) -> None:
        """Let all that belongs to the project end, in the background; can be called again."""
        self._finalizer()
        thrown_away.discard(getattr(self, "address", ""))


def project(name: str) -> ComposeProject:
    """Return a new Compose project of yours; see `ComposeProject`."""
    return ComposeProject(name)


def _lines(process: subprocess.Popen, seconds: float) -> Iterator[str]:
    """Yield what a process prints, line by line, until it ends.

    Raises:
        TimeoutError: it has not ended after so long.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout or ():
                lines.put(line.rstrip())
        lines.put(None)

    # a thread reads and prints nothing: a pipe has no deadline, and on Windows no Interrupt
    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            line = lines.get(timeout=TICK)
        except queue.Empty:
            continue
        if line is None:
            process.wait(max(deadline - time.monotonic(), TICK))
            return
        yield line
    raise TimeoutError


def _end(process: subprocess.Popen) -> None:
    """End a command that still runs."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()

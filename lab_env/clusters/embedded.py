"""Kafka as processes of this machine, Java from a package. Long: one way to Kafka."""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterable

from lab_env.clusters import training
from lab_env.clusters.cluster import Cluster
from lab_env.clusters.node import (
    Node,
    is_frozen,
    java_command,
    last_lines,
    lay_out_node,
    server_properties,
)
from lab_env.ground import loopback
from lab_env.ground.errors import BadInputError, BrokerError, StorageError
from lab_env.ground.limits import why_ended
from lab_env.ground.loopback import HOST, free_ports
from lab_env.ground.waiting import Progress, ProgressLine, signs_of, whole
from lab_env.messages import say
from lab_env.processes import folders, jars
from lab_env.processes.java import aot_is_on, java_environment
from lab_env.processes.supervisor_client import Supervised

STOP_SECONDS = 15.0  # without a sign of work; a broker that leaves in good order needs 1 to 3
MOST_STOP_SECONDS = 60.0
OTHERS_SECONDS = 2.0  # for another thread that is just starting the next controller
LEAST_ROOM = 1 << 20  # bytes; a disk with less is full: Kafka stops at the first refused write


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
        self._training: threading.Thread | None = None
        self._verb = threading.Lock()  # one change of the processes at a time
        self._quiet = not progress
        if why := loopback.trouble():  # else a minute of waiting would end in a wrong guess
            raise BrokerError("clusters.no_loopback", why=why)
        jars.ensure(progress=progress)
        folders.sweep()
        self.folder = folders.new_lab_folder()
        self.brokers = brokers
        with folders.disk_errors(self.folder):
            self._supervised = Supervised(self.folder, self._on_event)
            try:
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
        cache = training.aot_cache()
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
        with self._verb, folders.disk_errors(self.folder):
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
            with folders.disk_errors(self.folder):
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
        if not dead or folders.free(self.folder) > LEAST_ROOM:
            return None
        variable = folders.HOME_VARIABLE
        return say("clusters.trouble_full", node=dead[0], folder=self.folder, variable=variable)

    # -- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """End all brokers and remove the lab's folder."""
        if self._closed:
            return
        self._closed = True
        self._supervised.close()

    # -- the AOT cache ----------------------------------------------------------------------

    def _drop_stale_aot(self) -> None:
        """Throw away an AOT cache that the JVM would not load, so that it is made anew."""
        console = next(iter(self._nodes.values())).folder / "console.log"
        with contextlib.suppress(OSError):
            if "[error][aot]" in console.read_text(encoding="utf-8", errors="replace"):
                training.aot_cache().unlink(missing_ok=True)

    def train_in_background(self) -> None:
        """Make the AOT cache from a throwaway node, if there is none, without anyone waiting."""
        if training.aot_cache().exists() or not aot_is_on():
            return
        self._training = threading.Thread(target=self._train_quietly, daemon=True)
        self._training.start()

    def _train_quietly(self) -> None:
        with contextlib.suppress(Exception):  # it only makes the next start faster
            for _ in range(30):  # first let the student's own first seconds pass
                time.sleep(0.1)
                if self._closed:
                    return
            training.train(stopped=lambda: self._closed)


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
    if training.aot_cache().exists():
        rows.append((True, say("clusters.status_aot"), ""))
    else:
        rows.append((None, say("clusters.status_no_aot"), say("clusters.status_no_aot_remedy")))
    return rows

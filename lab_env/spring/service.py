"""Runs the Spring application as a service, the notebook's side. Long: a run, a copy, all."""

import contextlib
import itertools
import json
import re
import threading
import time
import urllib.error
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_env.clusters.java_client import kafka_configuration
from lab_env.ground import arguments, loopback
from lab_env.ground.errors import BadInputError, BrokerError, ServiceError
from lab_env.ground.limits import why_ended
from lab_env.ground.waiting import Progress, ProgressLine, signs_of
from lab_env.messages import say
from lab_env.processes import folders
from lab_env.processes.fleets import Fleet, Services, names_of
from lab_env.processes.runs import Run
from lab_env.processes.services import Service, stop_all
from lab_env.processes.supervisor_client import Supervised
from lab_env.spring import app, log_diagnosis, training
from lab_env.spring import yaml as texts
from lab_env.spring.settings import (
    environment,
    lay_out,
    locations,
    rabbit_settings,
    settings,
)

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.around.rabbitmq import RabbitMQ
    from lab_env.clusters.cluster import Cluster

WELL_SECONDS = 12.0  # from its first answer on; what is wrong then stays wrong
WELL_SHARE = 2.0  # of the time up to its first answer, which says how busy the machine is
STOP_SECONDS = 5.0  # to finish the record at hand and to leave the group
CLOSE_SECONDS = 0.8  # for a training to notice


class _JavaRun(Run):
    """A JVM under the supervisor, from its start to its end."""

    def __init__(self, name: str, home, log: Path, key: str, supervised: Supervised):
        super().__init__(name, home, log)
        self.key = key
        self.up = False  # its health has answered
        self.begin = log.stat().st_size  # where the log of this start begins
        self._supervised = supervised
        self._pid: int | None = None
        self._known = threading.Event()

    # In the supervisor's listening thread

    def started(self, pid: int) -> None:
        """Hear the process's id."""
        self._pid = pid
        self._known.set()

    def finish(self, status: int | None) -> None:
        """Hear that the process has ended."""
        if self._expected == "crash":
            self.state = "crashed"
        elif self._expected:
            self.state = "stopped"
        else:
            self.state = "failed"
            if self.up:  # else whoever waits for it tells
                key = "spring.died_signal" if status is not None and status < 0 else "spring.died"
                if why := why_ended(status):
                    key = "spring.died_killed"
                else:
                    why = log_diagnosis.why(self.said())
                shown = abs(status) if status is not None else "?"
                self.fail("crash", say(key, name=self.name, status=shown, why=why))
            else:
                self.mark("fail")
        self._known.set()
        self.ended.set()

    # In anyone's thread

    @property
    def pid_so_far(self) -> int | None:
        """The process's id, None if it is not known yet."""
        return self._pid

    @property
    def pid(self) -> int | None:
        """The process's id, None if it could not be started."""
        self._known.wait(2.0)
        return self._pid

    def said(self) -> str:
        """Return the log of this start."""
        try:
            with open(self._log, "rb") as file:
                file.seek(self.begin)
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def ask(self, seconds: float) -> None:
        """Ask it to stop; its shutdown hook lets it finish and leave its groups."""
        if not self.ended.is_set():
            self.mark("stop")
            self._tell("stop")

    def kill(self) -> None:
        """End it with a real SIGKILL."""
        if not self.ended.is_set():
            self._tell("kill")

    def _tell(self, op: str) -> None:
        with contextlib.suppress(BrokerError):  # the supervisor is gone, and all with it
            self._supervised.tell(op=op, name=self.key)


class SpringService(Service):
    """An instance of the Spring application; made by ``lab.spring``.

    Attributes:
        name: its name, which its consumers have in their client ids as well.
        port: where its health and its control answer, on this machine.
    """

    def __init__(self, name: str, springs: "Springs", yaml: str | None, properties: dict):
        self._springs = springs
        self._yaml = yaml
        self._properties = properties
        self.port = 0
        super().__init__(name, springs.home, b"", {})

    def _launch(self) -> _JavaRun:
        wanted = (self._yaml, self._properties)
        self._java, self.port = self._springs.launch(self.name, self._log, *wanted)
        return self._java

    def _uses(self, text: str) -> bool:
        """Return whether its configuration names ``text``."""
        return text in f"{self._yaml} {self._properties}"

    def says(self, pattern: str) -> bool:
        """Return whether its configuration, YAML and properties, has a text that fits a pattern.

        Args:
            pattern: a regular expression; capital and small letters are the same.
        """
        lines = (f"{name}: {value}" for name, value in self._properties.items())
        return re.search(pattern, "\n".join([self._yaml or "", *lines]), re.IGNORECASE) is not None

    def _reads(self, topic: str, clients: "Iterable[str]") -> bool:
        """Return False: to start it again takes long, so a student is told to do it."""
        return False

    def wait_until_up(self, telling: ProgressLine) -> None:
        """Return when its health answers; waits as long as something goes on.

        Args:
            telling: says what is waited for.

        Raises:
            ServiceError: it has ended, hangs or is not well; with the reason out of its log.
        """
        run, health, patience = self._java, None, None
        hanging = Progress(lambda: signs_of([run.pid_so_far], [self._log]))
        while True:
            if run.ended.is_set():
                raise ServiceError(
                    "spring.ended_at_start", name=self.name, why=log_diagnosis.why(run.said())
                )
            health = self._health() or health
            if health and health["status"] == "UP":
                run.up = True
                for note in log_diagnosis.notes(self.name, run.said()):
                    print(note)
                self._springs.train()
                return
            if health and patience is None:
                patience = Progress(still=max(WELL_SECONDS, WELL_SHARE * hanging.waited))
            if hanging.over() or (patience and patience.over()) or log_diagnosis.nobody(run.said()):
                break
            telling(lambda so_far: say("spring.waiting", name=self.name, seconds=so_far))
            time.sleep(0.05)
        seconds = round((patience or hanging).waited)
        self.crash()
        why = log_diagnosis.why(run.said())
        key = "spring.not_up" if health is None else "spring.not_well"
        parts = (health or {}).get("components", {})
        bad = ", ".join(name for name, part in parts.items() if part["status"] != "UP")
        raise ServiceError(key, name=self.name, seconds=seconds, why=why, parts=bad or "-")

    def _health(self) -> dict | None:
        try:
            return self._ask("/actuator/health")
        except urllib.error.HTTPError as error:  # 503: it is up, and says that it is not well
            try:
                return json.load(error)
            except ValueError:
                return None
        except (OSError, ValueError):
            return None

    def stop(self, seconds: float | None = None) -> None:
        """Ask the application to stop, give it ``seconds`` (None is 5 s), then kill it."""
        super().stop(STOP_SECONDS if seconds is None else arguments.seconds(seconds))

    def restart(self, yaml: str | None = None, **properties: object) -> None:
        """Stop the application if it runs, and start it again; returns when it is up.

        Args:
            yaml: another configuration; None is the same as before.
            **properties: go before what the YAML says, and before those of the start.

        Raises:
            BadInputError: the YAML cannot work.
            ServiceError: it does not come up, or another service has taken its name.
        """
        _restart([self], yaml, properties)

    def change(self, yaml: str | None, properties: Mapping[str, object]) -> None:
        """Have another configuration from the next start on; see `restart`."""
        if self._kept_log is not None and not self._home.closed:
            raise ServiceError("service.replaced", name=self.name)
        yaml = self._yaml if yaml is None else yaml
        wanted = {**self._properties, **properties}
        self._springs.look(yaml, wanted)
        self._yaml, self._properties = yaml, wanted

    def set(self, **settings: object) -> None:
        """Say that a Spring application is changed by its YAML.

        Raises ServiceError.
        """
        raise ServiceError("spring.no_settings", name=self.name)

    def __reduce__(self):
        raise TypeError(say("spring.cannot_travel", name=self.name))

    # -- the actuator -----------------------------------------------------------------------

    def _ask(self, path: str, body: dict | None = None) -> Any:
        return loopback.ask(self.port, path, body)

    def get(self, path: str) -> Any:
        """Return what the application answers at ``path``, such as "/actuator/statistics".

        Returns:
            What its JSON says.

        Raises:
            ServiceError: it is not running, or has no such path.
        """
        return self._asked(path)

    def _asked(self, path: str, body: dict | None = None) -> Any:
        self._tell()
        if self._run.ended.is_set():
            state = say(f"service.state_{self._run.state}")
            raise ServiceError("spring.not_running", name=self.name, state=state)
        path = "/" + path.lstrip("/")
        try:
            return self._ask(path, body)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503 and path.startswith("/actuator/health"):
                    return json.load(error)
                key = "spring.no_path" if error.code == 404 else "spring.refused"
                raise ServiceError(key, name=self.name, path=path, code=error.code) from None
        except (OSError, ValueError) as error:
            raise ServiceError("spring.no_answer", name=self.name, path=path, why=error) from None

    def bindings(self) -> "pd.DataFrame":
        """Return what the application has bound.

        Returns:
            DataFrame: binding, destination, group str (missing: anonymous, or none), state str
            ("running", "paused", "stopped"; "failed" is tried again), input bool.

        Raises:
            ServiceError: it is not running.
        """
        import pandas as pd

        columns = ["binding", "destination", "group", "state", "input"]
        # not /actuator/bindings: once it is read, a binding that is stopped cannot be started again
        rows = [[one[column] for column in columns] for one in self.get("/actuator/bound")]
        return pd.DataFrame(rows, columns=columns).astype({"input": bool})

    def pause(self, binding: str) -> None:
        """Let a binding fetch no more records; its partitions stay with it.

        Raises ServiceError: no such binding, or the application is not running.
        """
        self._control(binding, "PAUSED")

    def resume(self, binding: str) -> None:
        """Let a paused binding go on; see `pause`."""
        self._control(binding, "RESUMED")

    def stop_binding(self, binding: str) -> None:
        """Let a binding leave its group; see `pause`."""
        self._control(binding, "STOPPED")

    def start_binding(self, binding: str) -> None:
        """Let a stopped binding join its group again; see `pause`."""
        self._control(binding, "STARTED")

    def _control(self, binding: str, state: str) -> None:
        known = list(self.bindings()["binding"])
        if binding not in known:
            names = ", ".join(known) or say("spring.nothing")
            raise ServiceError("spring.unknown_binding", name=self.name, got=binding, known=names)
        self._asked(f"/actuator/bindings/{binding}", {"state": state})
        self._home.journal.mark(
            say(f"spring.mark_{state.lower()}", name=self.name, binding=binding),
            "setting",
            self.name,
        )


class SpringFleet(Fleet[SpringService]):
    """Several instances of the application: a list of `SpringService`, also asked by name."""

    def stop(self, seconds: float | None = None) -> None:
        """Ask all to stop at once, give them ``seconds`` (None: 5 s), then kill who still runs."""
        super().stop(STOP_SECONDS if seconds is None else arguments.seconds(seconds))

    def restart(self, yaml: str | None = None, **properties: object) -> None:
        """Stop all, and start them again side by side; see `SpringService.restart`."""
        _restart(self, yaml, properties)


def _restart(services: list[SpringService], yaml: str | None, properties: Mapping) -> None:
    with contextlib.redirect_stdout(None) if len(services) > 1 else contextlib.nullcontext():
        for service in services[1:]:  # what the first says holds for all
            service.change(yaml, properties)
    services[0].change(yaml, properties)
    stop_all(services, STOP_SECONDS)
    for service in services:
        service._start()
    with ProgressLine() as telling:
        for service in services:
            service.wait_until_up(telling)


class Springs:
    """The Spring applications of one lab, under a supervisor of their own.

    Args:
        cluster: where Kafka is.
        services: where the instances are listed.
        rabbit: returns the lab's RabbitMQ, if one was started.
    """

    def __init__(
        self,
        cluster: "Cluster",
        services: Services,
        rabbit: "Callable[[], RabbitMQ | None]" = lambda: None,
    ):
        self._rabbit = rabbit
        self.home = services._home
        self._cluster = cluster
        self._services = services
        self._runs: dict[str, _JavaRun] = {}
        self._count = itertools.count(1)
        self._telling = threading.Lock()
        self._training: threading.Thread | None = None
        self._closed = threading.Event()
        folder = folders.new_lab_folder()
        with folders.disk_errors(folder):
            self._supervised = Supervised(folder, _listener(self._runs))

    def start(
        self, yaml: str | None, name: str, copies: int, properties: dict[str, object]
    ) -> SpringService | SpringFleet:
        """Start instances of the application; see `lab_env.lab.Lab.spring`."""
        names = names_of(name, copies)
        self.look(yaml, properties)
        rabbit = texts.wants_rabbit(texts.read("" if yaml is None else yaml) | properties)
        app.ensure(rabbit=rabbit)
        try:
            return self._start_all(names, yaml, properties)
        except ServiceError:
            there = [self._services[one] for one in names if one in self._services]
            # a name may still be that of a service that is no application
            log = "".join(one._java.said() for one in there if isinstance(one, SpringService))
            if not log_diagnosis.damaged(log):
                raise
        app.ensure(rabbit=rabbit, deep=True)
        return self._start_all(names, yaml, properties)

    def _start_all(
        self, names: list[str], yaml: str | None, properties: dict[str, object]
    ) -> SpringService | SpringFleet:
        made = self._services.take(
            names, lambda one: SpringService(one, self, yaml, dict(properties))
        )
        fleet = SpringFleet([made] if isinstance(made, SpringService) else made)
        try:
            with ProgressLine() as telling:
                for service in fleet:
                    service.wait_until_up(telling)
        except BaseException:  # half a fleet helps nobody
            for service in fleet:
                service.crash()
            raise
        return made if isinstance(made, SpringService) else fleet

    def look(self, yaml: str | None, properties: Mapping[str, object]) -> None:
        """Print what Spring would pass over in silence.

        Raises BadInputError: the YAML cannot work, or wants a RabbitMQ that nobody has started.
        """
        wanted = {**texts.read("" if yaml is None else yaml), **properties}
        if texts.wants_rabbit(wanted) and not self._rabbit():
            raise BadInputError("spring.no_rabbit")
        if yaml is not None:
            for warning in texts.warnings(wanted):
                print(warning)

    def launch(
        self, name: str, log: Path, yaml: str | None, properties: dict[str, object]
    ) -> tuple[_JavaRun, int]:
        """Start a JVM, and return its run and the port of its actuator at once."""
        wanted = texts.read("" if yaml is None else yaml) | properties
        port, properties = _port(name, wanted, properties)
        rabbit = self._rabbit() if texts.wants_rabbit(wanted) else None
        class_path = app.ensure(rabbit=rabbit is not None)
        configuration, env = kafka_configuration(self._cluster.connection)
        told = settings(name, port, self._cluster.connection, configuration)
        if rabbit is not None:
            told |= rabbit_settings(rabbit)
            env["LAB_RABBIT"] = rabbit.password.reveal()
        folder = self._supervised.folder / f"{next(self._count)}-{name}"
        key = folder.name
        lay_out(folder, told, yaml, properties)
        run = self._runs[key] = _JavaRun(name, self.home, log, key, self._supervised)
        argv = app.command(class_path, folder, locations(yaml))
        try:
            with self._telling:
                self._supervised.start(key, argv, folder, environment() | env, log)
        except BaseException:  # an Interrupt: nobody would know of it
            run.kill()
            raise
        return run, port

    def train(self) -> None:
        """Make the next starts faster, in the background, if nobody has done so yet."""
        with self._telling:
            if self._training is None:
                self._training = threading.Thread(
                    target=training.train,
                    kwargs={"stopped": self._closed.is_set},
                    name="lab-spring-training",
                    daemon=True,
                )
                self._training.start()

    def close(self) -> None:
        """End all instances and remove their folder; idempotent."""
        self._closed.set()
        self._supervised.close()
        if self._training is not None:
            self._training.join(CLOSE_SECONDS)


def _listener(runs: dict[str, _JavaRun]):
    """Return what hands the supervisor's events to the runs, and holds nothing else."""

    def hear(event: dict) -> None:
        if event["event"] == "gone":
            for run in list(runs.values()):
                if not run.ended.is_set():
                    run.finish(None)
        elif run := runs.get(event["name"]):
            if event["event"] == "started":
                run.started(event["pid"])
            else:
                run.finish(event["code"])

    return hear


def _port(name: str, wanted: Mapping, properties: dict) -> tuple[int, dict]:
    """Return the port of the actuator, and the properties: the student's, else a free one."""
    asked = wanted.get("server.port")
    if not asked:  # 0 is Spring's word for any free one, and nobody would know which
        port = loopback.free_ports(1)[0]
        return port, properties if asked is None else properties | {"server.port": port}
    if not str(asked).isdigit() or not 0 < int(asked) < 65536:
        raise BadInputError("spring.bad_port", got=asked)
    if loopback.answers(int(asked)):
        raise ServiceError("spring.port_taken", name=name, port=asked)
    return int(asked), properties

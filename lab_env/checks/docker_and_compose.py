"""Checks of lesson 12: a service of the Compose file is in its group; a broken file is mended."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.checks import compose_file
from lab_env.checks.compose_file import HERE
from lab_env.checks.judging import judge
from lab_env.checks.result import Result, graded, not_here, not_yet, passed
from lab_env.ground.errors import BrokerError
from lab_env.ground.patience import Patience
from lab_env.ground.waiting import Progress
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env.around.containers import ComposeProject
    from lab_env.lab import Lab

JOIN_SECONDS = 15.0  # for a container to begin, and to join
CALM_SECONDS = 2.0  # a service that has been away for so long is not just being started again
TRIP_SECONDS = 40.0
INSIDE = "kafka:19092"
JUDGED = ("environment", "depends_on")  # parts of a service
STARTED = "Kafka Server started"  # in its log


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"docker_and_compose.{key}", **found)


def _needs_engine() -> Result | None:
    from lab_env.around import containers

    if why := containers.unavailable():
        return not_here("docker_and_compose.needs_engine", why=why)
    return None


# -- exercise 1 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Planned:
    """What a Compose file says of a service.

    Attributes:
        name: of the service.
        topic, group: real names: what it has to read, and the group that it has to join.
        refused: why Compose does not take the file, or "".
        known: the names of all services of the file.
        service: what Compose makes of this one, the parts that are JUDGED; {} if there is none.
    """

    name: str
    topic: str
    group: str
    refused: str = ""
    known: tuple[str, ...] = ()
    service: dict = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """For the sentences."""
        return {"name": self.name, "topic": self.topic, "group": self.group}


@dataclass(frozen=True)
class Container:
    """A container of a project: its service, its state, and its addresses in networks."""

    service: str
    id: str
    state: str
    addresses: frozenset[str]


@dataclass(frozen=True)
class Joining:
    """Who is in a group, and what there is of the service that has to join it.

    Attributes:
        own: the containers of the service.
        hosts: the addresses from which the group's members come.
        is_late: whether there was time enough to join; else it has joined, or its end was seen.
        log: the last line of the first container's log.
    """

    own: tuple[Container, ...]
    hosts: frozenset[str]
    is_late: bool
    log: str = "-"

    @property
    def is_member(self) -> bool:
        """Whether a member comes from a container of the service."""
        return any(one.addresses & self.hosts for one in self.own)


@graded
def service_joins(
    lab: "Lab", compose: "ComposeProject", name: str, topic: str, group: str
) -> Result:
    """Check that a service of a Compose project has joined a group from its container.

    Args:
        lab: watches the project's Kafka.
        compose: the project.
        name: of the service.
        topic: real name of the topic that it has to read.
        group: real name of the group that it has to join.
    """
    if (nowhere := _needs_engine()) is not None:
        return nowhere
    planned = Planned(name, topic, group)
    try:
        services = compose.configuration()["services"]
        told = {part: one for part, one in services.get(name, {}).items() if part in JUDGED}
        planned = replace(planned, known=tuple(services), service=told)
    except BrokerError as error:
        planned = replace(planned, refused=str(error))
    if (wrong := judge_planned(planned)) is not None:
        return wrong
    return judge_joining(_joining(lab, compose, planned), planned)


@judge
def judge_planned(planned: Planned) -> Result | None:
    """Return what is wrong with what a file says of a service, or None."""
    found = planned.names
    if planned.refused:
        return _wrong("joins_file", why=planned.refused, **found)
    if planned.name not in planned.known:
        return _wrong("joins_missing", known=", ".join(planned.known), **found)
    told = planned.service.get("environment") or {}
    for look_for in (_wrong_wait, _wrong_place, _wrong_words):
        if (wrong := look_for(planned.service, told, found)) is not None:
            return wrong
    return None


@judge
def judge_joining(joining: Joining, planned: Planned) -> Result:
    """Return the answer for a service that is planned as it should be: whether it has joined."""
    found = planned.names
    if joining.is_member:
        return passed("docker_and_compose.joins", **found)
    if not joining.own:
        return _wrong("joins_not_started", **found)
    if joining.is_late and joining.hosts:
        return _wrong("joins_elsewhere", hosts=", ".join(sorted(joining.hosts)), **found)
    return _wrong("joins_nobody", state=joining.own[0].state, log=joining.log, **found)


def _wrong_wait(service: dict, told: dict, found: dict) -> Result | None:
    """Return what is wrong with what the service waits for."""
    waits = (service.get("depends_on") or {}).get("kafka")
    if waits is None:
        return _wrong("joins_depends", **found)
    if waits.get("condition") != "service_healthy":
        return _wrong("joins_started", condition=waits.get("condition"), **found)
    return None


def _wrong_place(service: dict, told: dict, found: dict) -> Result | None:
    """Return what is wrong with the address that the service is told."""
    place = str(told.get("BOOTSTRAP") or INSIDE)  # what the program takes if nobody says anything
    host = place.rpartition(":")[0]
    if host in HERE:
        return _wrong("joins_localhost", place=place, **found)
    if host == "0.0.0.0":
        return _wrong("joins_zero", place=place, **found)
    if place == "kafka:9092":
        return _wrong("joins_listener", place=place, **found)
    if place != INSIDE:
        return _wrong("joins_place", place=place, **found)
    return None


def _wrong_words(service: dict, told: dict, found: dict) -> Result | None:
    """Return what is wrong with the topic and the group that the service is told."""
    for variable, wanted in (("TOPIC", found["topic"]), ("GROUP", found["group"])):
        got = told.get(variable)
        if got is None:
            return _wrong("joins_untold", variable=variable, wanted=wanted, **found)
        if str(got) != wanted:
            key = "joins_same_group" if str(got).endswith("board") else "joins_word"
            return _wrong(key, variable=variable, wanted=wanted, got=got, **found)
    return None


def _containers(compose: "ComposeProject") -> list[Container]:
    from lab_env.around import containers
    from lab_env.clusters.docker_cli import PROJECT_LABEL

    label = f"{PROJECT_LABEL}={compose.name}"
    told = containers.engine().get("/containers/json", all="true", filters={"label": [label]})
    return [
        Container(
            one["Labels"].get("com.docker.compose.service", ""),
            one["Id"],
            one["State"],
            frozenset(
                net["IPAddress"]
                for net in one["NetworkSettings"]["Networks"].values()
                if net["IPAddress"]
            ),
        )
        for one in told
    ]


def _joining(lab: "Lab", compose: "ComposeProject", planned: Planned) -> Joining:
    """Wait until the group has a member that comes from a container of the service."""
    wait, gone = Patience(JOIN_SECONDS, pause=0.3), Patience(CALM_SECONDS, pause=0.3)
    while True:
        own = tuple(one for one in _containers(compose) if one.service == planned.name)
        group = queries.groups(lab.connection).get(planned.group) or {}
        members = group.get("members") or ()
        hosts = frozenset(str(member["client_host"]).lstrip("/") for member in members)
        joining = Joining(own, hosts, is_late=wait.over)
        if joining.is_member or not own:
            return joining
        runs = any(one.state in ("running", "created", "restarting") for one in own)
        wait.look([(one.id, one.state) for one in own])
        gone.look(time.monotonic() if runs else None)
        if wait.over or gone.over:
            return replace(joining, is_late=wait.over, log=_last_line(own[0]))
        time.sleep(0.3)


def _last_line(container: Container) -> str:
    from lab_env.around import containers

    words = {"stdout": "true", "stderr": "true", "tail": "1"}
    return containers.engine().get(f"/containers/{container.id}/logs", **words).strip() or "-"


# -- exercise 2 -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """What became of a Compose file for Kafka that was started.

    Attributes:
        refused: why Compose does not take it, or "".
        dead: why its containers do not run, or "".
        address: where this machine gets in.
        came_back: whether a record that was sent there was read again.
    """

    refused: str = ""
    dead: str = ""
    address: str = ""
    came_back: bool = False


@graded
def compose_mended(lab: "Lab", file: str | Path) -> Result:
    """Check that a Compose file for Kafka is as it should be; start it, where an engine answers.

    Args:
        lab: not used: the file has a Kafka of its own.
        file: the Compose file.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # a ValueError: it is no text
        return _wrong("mended_gone", why=error)
    if (wrong := judge_file(text)) is not None:
        return wrong
    return judge_life(None if _needs_engine() is not None else _life(text))


@judge
def judge_file(text: str) -> Result | None:
    """Return what is wrong with the text of a Compose file, or None."""
    try:
        return compose_file.wrong(compose_file.read(text))
    except compose_file.UnreadableError as error:
        return _wrong(error.key, **error.found)
    except ValueError as error:  # YAML that is none, such as a day that no month has
        return _wrong("mended_gone", why=error)


@judge
def judge_life(life: Life | None) -> Result:
    """Return the answer for a file that is right as it stands; None: no engine has started it."""
    if life is None:
        return passed("docker_and_compose.mended_file")
    if life.refused:
        return _wrong("mended_refused", why=life.refused)
    if life.dead:
        return _wrong("mended_dead", why=life.dead)
    if not life.came_back:
        return _wrong("mended_no_trip", address=life.address)
    return passed("docker_and_compose.mended")


def _life(text: str) -> Life:
    """Start the file in a project of its own, and send a record there and back."""
    from lab_env.around import containers
    from lab_env.clusters import readiness

    compose = containers.project("mended")
    try:
        compose.file.write_text(text, encoding="utf-8")
        try:
            compose.configuration()
        except BrokerError as error:
            return Life(refused=str(error))
        said = compose.quietly("up --detach --wait")
        if said is not None:
            return Life(dead=str(said) or "-")
        address = _published(compose)
        connection = {"bootstrap_servers": [address], "bootstrap_timeout_ms": 5000}
        try:
            if not _has_started(compose):
                return Life(dead=_last_line(_containers(compose)[0]))
            readiness.round_trip(connection, brokers=1, seconds=TRIP_SECONDS)
        except BrokerError:
            return Life(address=address)
    finally:
        compose.close()
    return Life(address=address, came_back=True)


def _published(compose: "ComposeProject") -> str:
    """Return where the file itself lets this machine in: it may name a port of its own."""
    for one in compose.configuration()["services"]["kafka"].get("ports") or ():
        if one.get("published"):
            return f"127.0.0.1:{one['published']}"
    return compose.address


def _has_started(compose: "ComposeProject") -> bool:
    """Wait until Kafka says that it has started, as long as its log grows; without a health check
    Compose does not wait, and a Java that is starting is not yet a Kafka that does not answer."""
    from lab_env.around import containers

    def log() -> str:
        words = {"stdout": "true", "stderr": "true"}
        return "".join(
            str(containers.engine().get(f"/containers/{one.id}/logs", **words))
            for one in _containers(compose)
        )

    said = log()
    patience = Progress(lambda: len(said), still=TRIP_SECONDS)
    while STARTED not in said:
        if patience.over() or not any(one.state == "running" for one in _containers(compose)):
            return False
        time.sleep(0.5)
        said = log()
    return True

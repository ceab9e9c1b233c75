"""Checks of lesson 12: a service of the Compose file is in its group; a broken file is mended."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab_env.checks.result import Result, graded, not_here, not_yet, passed
from lab_env.ground.errors import BrokerError
from lab_env.ground.patience import Patience
from lab_env.observation import queries

if TYPE_CHECKING:
    from lab_env.around.containers import ComposeProject
    from lab_env.lab import Lab

JOIN_SECONDS = 15.0  # for a container to begin, and to join
CALM_SECONDS = 2.0  # a service that has been away for so long is not just being started again
TRIP_SECONDS = 40.0
INSIDE = "kafka:19092"
HERE = ("127.0.0.1", "localhost", "[::1]")
HEAP = re.compile(r"-Xm[sx]\S+")
SIZE = re.compile(r"-Xmx(\d+)([kmgKMG])")
UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
VARIABLE = re.compile(r"\$\{?(\w+)(?::?-([^}]*))?\}?")


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"docker_and_compose.{key}", **found)


def _needs_engine() -> Result | None:
    from lab_env.around import containers

    if why := containers.unavailable():
        return not_here("docker_and_compose.needs_engine", why=why)
    return None


# -- exercise 1 -----------------------------------------------------------------------------


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
    found = {"name": name, "topic": topic, "group": group}
    try:
        services = compose.configuration()["services"]
    except BrokerError as error:
        return _wrong("joins_file", why=error, **found)
    if name not in services:
        return _wrong("joins_missing", known=", ".join(services), **found)
    service = services[name]
    told = service.get("environment") or {}
    for look_for in (_wrong_wait, _wrong_place, _wrong_words):
        if (wrong := look_for(service, told, found)) is not None:
            return wrong
    wrong = _wrong_group(lab, compose, found)
    return passed("docker_and_compose.joins", **found) if wrong is None else wrong


def _wrong_wait(service: dict, told: dict, found: dict) -> Result | None:
    """Return what is wrong with what the service waits for."""
    if service.get("container_name"):
        return _wrong("joins_named", **found)
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


class _Container(NamedTuple):
    """A container of a project: its service, its state, and its addresses in networks."""

    service: str
    id: str
    state: str
    addresses: frozenset[str]


def _containers(compose: "ComposeProject") -> list[_Container]:
    from lab_env.around import containers
    from lab_env.clusters.docker_cli import PROJECT_LABEL

    label = f"{PROJECT_LABEL}={compose.name}"
    told = containers.engine().get("/containers/json", all="true", filters={"label": [label]})
    return [
        _Container(
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


def _wrong_group(lab: "Lab", compose: "ComposeProject", found: dict) -> Result | None:
    """Wait until the group has a member that comes from a container of the service."""
    wait, gone = Patience(JOIN_SECONDS, pause=0.3), Patience(CALM_SECONDS, pause=0.3)
    while True:
        own = [one for one in _containers(compose) if one.service == found["name"]]
        group = queries.groups(lab.connection).get(found["group"]) or {}
        members = group.get("members") or ()
        hosts = {str(member["client_host"]).lstrip("/") for member in members}
        if any(one.addresses & hosts for one in own):
            return None
        if not own:
            return _wrong("joins_not_started", **found)
        runs = any(one.state in ("running", "created", "restarting") for one in own)
        wait.look([(one.id, one.state) for one in own])
        gone.look(time.monotonic() if runs else None)
        if wait.over and hosts:
            return _wrong("joins_elsewhere", hosts=", ".join(sorted(hosts)), **found)
        if wait.over or gone.over:
            log = _last_line(own[0])
            return _wrong("joins_nobody", state=own[0].state, log=log, **found)
        time.sleep(0.3)


def _last_line(container: _Container) -> str:
    from lab_env.around import containers

    words = {"stdout": "true", "stderr": "true", "tail": "1"}
    return containers.engine().get(f"/containers/{container.id}/logs", **words).strip() or "-"


# -- exercise 2 -----------------------------------------------------------------------------


@graded
def compose_mended(lab: "Lab", file: str | Path) -> Result:
    """Check that a Compose file for Kafka is as it should be; start it, where an engine answers.

    Args:
        lab: not used: the file has a Kafka of its own.
        file: the Compose file.
    """
    import yaml

    try:
        text = Path(file).read_text(encoding="utf-8")
        plan = yaml.safe_load(text)
        service = plan["services"]["kafka"]
        settings = _as_dict(service["environment"])
        told = _File(service, settings, set(plan.get("volumes") or ()))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError: it is no text
        return _wrong("mended_yaml", why=str(error).splitlines()[-1])
    except (KeyError, TypeError, AttributeError):
        return _wrong("mended_shape")
    for look_for in (_wrong_image, _wrong_ports, _wrong_listeners, _wrong_volume, _wrong_memory):
        if (wrong := look_for(told)) is not None:
            return wrong
    if _needs_engine() is not None:
        return passed("docker_and_compose.mended_file")
    wrong = _wrong_life(text)
    return passed("docker_and_compose.mended") if wrong is None else wrong


class _File(NamedTuple):
    """What a Compose file says of Kafka: the service, its variables, and the declared volumes."""

    service: dict
    settings: dict[str, str]
    volumes: set[str]


def _as_dict(environment: dict | list) -> dict[str, str]:
    """Return variables as a dict; a file may have them as a list of NAME=value."""
    if isinstance(environment, list):
        environment = dict(line.partition("=")[::2] for line in environment)
    return {name: "" if value is None else str(value) for name, value in environment.items()}


def _filled(text: object) -> str:
    """Return a text in which what stands for a variable is its default."""
    return VARIABLE.sub(lambda match: match[2] or f"({match[1]})", str(text))


def _wrong_image(file: _File) -> Result | None:
    image = _filled(file.service.get("image", ""))
    repository, _, tag = image.partition(":")
    if not tag or tag == "latest":
        return _wrong("mended_latest", image=image)
    if repository != "apache/kafka":
        return _wrong("mended_image", image=image)
    if not re.match(r"\d+\.\d+\.\d+", tag):
        return _wrong("mended_tag", image=image)
    return None


def _published(service: dict) -> list[tuple[str, str, str]]:
    """Return what is published: (address or "", port of this machine, port of the container)."""
    found = []
    for one in service.get("ports") or ():
        if isinstance(one, dict):
            address, outside = one.get("host_ip", ""), one.get("published", "")
            inside = one.get("target", "")
        else:
            host, _, inside = _filled(one).rpartition(":")
            address, _, outside = host.rpartition(":")
            inside = inside.partition("/")[0]
        found.append((_filled(address), _filled(outside), _filled(inside)))
    return found


def _wrong_ports(file: _File) -> Result | None:
    ports = _published(file.service)
    if not any(inside == "9092" for _, _, inside in ports):
        return _wrong("mended_unpublished")
    for address, outside, inside in ports:
        if address not in HERE:
            return _wrong("mended_open", port=f"{outside}:{inside}", address=address or "0.0.0.0")
    return None


def _listeners(text: str) -> dict[str, str]:
    """Return the address of each listener by its name."""
    pairs = (one.strip().partition("://") for one in _filled(text).split(",") if one.strip())
    return {name: place for name, _, place in pairs}


def _wrong_listeners(file: _File) -> Result | None:
    told = _listeners(file.settings.get("KAFKA_ADVERTISED_LISTENERS", ""))
    ports = {outside for _, outside, inside in _published(file.service) if inside == "9092"}
    here, inside = told.get("HOST", ""), told.get("DOCKER", "")
    for name, place in (("HOST", here), ("DOCKER", inside)):
        if not place:
            return _wrong("mended_silent", listener=name)
        if place.startswith("0.0.0.0"):
            return _wrong("mended_zero", listener=name)
    host, _, port = here.rpartition(":")
    if host not in HERE:
        return _wrong("mended_here", place=here)
    if port not in ports:
        return _wrong("mended_port", place=here, ports=", ".join(sorted(ports)))
    host, _, port = inside.rpartition(":")
    if host in HERE:
        return _wrong("mended_inside", place=inside)
    if host not in ("kafka", file.service.get("hostname")) or port != "19092":
        return _wrong("mended_name", place=inside)
    return None


def _wrong_volume(file: _File) -> Result | None:
    place = file.settings.get("KAFKA_LOG_DIRS", "")
    mounts = dict(map(_mount, file.service.get("volumes") or ()))
    if not mounts:
        return _wrong("mended_volume")
    holds = [mounts[at] for at in mounts if f"{place}/".startswith(f"{at.rstrip('/')}/")]
    if not place or not holds:
        return _wrong("mended_elsewhere", mounts=", ".join(mounts), place=place or "-")
    (name, *_) = holds
    if not name:
        return _wrong("mended_anonymous")
    if re.match(r"[./~]|[A-Za-z]:[\\/]", name):
        return _wrong("mended_folder", folder=name)
    if name not in file.volumes:
        return _wrong("mended_undeclared", volume=name)
    return None


def _mount(one: dict | str) -> tuple[str, str]:
    """Return (place in the container, name of the volume or folder; "" if it has none)."""
    if isinstance(one, dict):
        return str(one.get("target", "")), str(one.get("source") or "")
    match = re.fullmatch(r"(?:((?:[A-Za-z]:[\\/])?[^:]+):)?([^:]+)(?::[^:/]*)?", str(one))
    return (match[2], match[1] or "") if match else ("", str(one))


def _bytes(text: object) -> int:
    match = re.fullmatch(r"(\d+)\s*([bkmg]?)b?", str(text).lower())
    return int(match[1]) * UNITS[match[2]] if match else 0


def _wrong_memory(file: _File) -> Result | None:
    if HEAP.search(file.settings.get("KAFKA_OPTS", "")):
        return _wrong("mended_opts")
    heap = SIZE.search(file.settings.get("KAFKA_HEAP_OPTS", ""))
    if heap is None:
        return _wrong("mended_heap")
    limit = _bytes(file.service.get("mem_limit", 0))
    if not limit:
        return _wrong("mended_limit")
    if limit < 1.5 * _bytes(heap[1] + heap[2]):
        return _wrong("mended_tight", heap=heap[0], limit=file.service["mem_limit"])
    return None


def _wrong_life(text: str) -> Result | None:
    """Start the file in a project of its own, and send a record there and back."""
    from lab_env.around import containers
    from lab_env.clusters import readiness

    compose = containers.project("mended")
    try:
        compose.file.write_text(text, encoding="utf-8")
        try:
            compose.configuration()
        except BrokerError as error:
            return _wrong("mended_refused", why=error)
        said = compose.quietly("up --detach --wait")
        if said is not None:
            return _wrong("mended_dead", why=said)
        connection = {"bootstrap_servers": [compose.address], "bootstrap_timeout_ms": 5000}
        try:
            readiness.round_trip(connection, brokers=1, seconds=TRIP_SECONDS)
        except BrokerError:
            return _wrong("mended_no_trip", address=compose.address)
    finally:
        compose.close()
    return None

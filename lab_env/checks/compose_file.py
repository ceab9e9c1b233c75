"""What a Compose file says of its Kafka, and what is wrong with that: read, and never started."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lab_env.checks.result import Result, not_yet
from lab_env.messages import say

HERE = ("127.0.0.1", "localhost", "[::1]")
ANYWHERE = ("", "0.0.0.0", "[::]")  # listened at: at each address of its own
NAME, PORT = "kafka", "9092"
HEAP = re.compile(r"-Xm[sx]\S+|-XX:(?:Max|Initial)RAMPercentage=\S+")
SIZE = re.compile(r"-Xmx(\d+)([kmgKMG]?)")
SHARE = re.compile(r"-XX:MaxRAMPercentage=(\d+(?:\.\d+)?)")
MOST_SHARE = 100 / 1.5  # % of the limit: a JVM is more than its heap
UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
VARIABLE = re.compile(r"\$\{?(\w+)(?::?-([^}]*))?\}?")
# a variable while its text is taken apart: its own signs would be taken for those between parts
MARK = re.compile("\x01(\\w+)\x02([^\x03]*)\x03")


class UnreadableError(Exception):
    """The text is no file that says what Kafka is; its arguments are an answer's."""

    def __init__(self, key: str, **found: object):
        super().__init__(key)
        self.key, self.found = key, found


@dataclass(frozen=True)
class Port:
    """A port of this machine that leads into the container, each as the file writes it."""

    address: str
    outside: str
    inside: str


@dataclass(frozen=True)
class KafkaFile:
    """What a Compose file says of the service kafka.

    Attributes:
        service: all of it.
        settings: its variables.
        volumes: those that the file declares, with their options.
        ports: those that are published.
        listens, advertised: by the listener's name (host, port).
    """

    service: Mapping
    settings: Mapping[str, str]
    volumes: Mapping[str, Mapping]
    ports: tuple[Port, ...]
    listens: Mapping[str, tuple[str, str]]
    advertised: Mapping[str, tuple[str, str]]

    @property
    def clients(self) -> list[str]:
        """The listeners that are not the controllers'."""
        others = self.settings.get("KAFKA_CONTROLLER_LISTENER_NAMES", "").split(",")
        return [name for name in self.listens if name not in {one.strip() for one in others}]

    @property
    def here(self) -> str | None:
        """The listener to which a published port leads, None if there is none."""
        inside = {_plain(one.inside) for one in self.ports}
        found = [name for name in self.clients if self.listens[name][1] in inside]
        # where both are published, the one that sends its clients to this machine
        found.sort(key=lambda name: self.advertised.get(name, ("", ""))[0] not in HERE)
        return found[0] if found else None


def read(text: str) -> KafkaFile:
    """Return what a file says.

    Raises:
        UnreadableError: it is no YAML, or says nothing of a service kafka.
    """
    import yaml

    try:
        plan = yaml.load(text, _loader())
    except yaml.YAMLError as error:
        raise _unreadable(error, text) from None
    try:
        service = plan["services"][NAME]
        settings = _as_dict(service["environment"])
        declared = {name: one or {} for name, one in (plan.get("volumes") or {}).items()}
        return KafkaFile(
            service, settings, declared,
            tuple(map(_port, service.get("ports") or ())),
            _places(settings.get("KAFKA_LISTENERS", "")),
            _places(settings.get("KAFKA_ADVERTISED_LISTENERS", "")),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UnreadableError("mended_shape") from None


def _loader() -> type:
    """Return what reads YAML as Compose does, which takes no key twice."""
    import yaml
    from yaml.constructor import ConstructorError

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    twice = say("docker_and_compose.yaml_twice", key=key.value)
                    raise ConstructorError(None, None, twice, key.start_mark)
                seen.add(key.value if isinstance(key.value, str) else id(key))
            return super().construct_mapping(node, deep)

    return Loader


def _unreadable(error: Exception, text: str) -> UnreadableError:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    line = min(mark.line + 1, len(lines)) if mark else 1
    source = lines[line - 1] if lines else ""
    why = getattr(error, "problem", None) or str(error).splitlines()[0]
    if "\t" in source:
        why = say("docker_and_compose.yaml_tab")
    return UnreadableError("mended_yaml", line=line, source=source.strip(), why=why)


def wrong(file: KafkaFile) -> Result | None:
    """Return what is wrong with a file, the first of it, or None."""
    for look_for in (_image, _network, _ports, _listeners, _names, _volume, _offsets, _memory):
        if (found := look_for(file)) is not None:
            return found
    return None


def _wrong(key: str, **found: object) -> Result:
    return not_yet(f"docker_and_compose.{key}", **found)


# -- variables --------------------------------------------------------------------------------


def _marked(text: object) -> str:
    return VARIABLE.sub(lambda one: f"\x01{one[1]}\x02{one[2] or ''}\x03", str(text))


def _plain(marked: str) -> str:
    """Return a text in which what stands for a variable is its default."""
    return MARK.sub(lambda one: one[2] or f"({one[1]})", marked)


def _filled(text: object) -> str:
    return _plain(_marked(text))


def _as_dict(environment: Mapping | list) -> dict[str, str]:
    """Return variables as a dict; a file may have them as a list of NAME=value."""
    if isinstance(environment, list):
        environment = dict(line.partition("=")[::2] for line in environment)
    return {name: "" if value is None else str(value) for name, value in environment.items()}


# -- the image, the ways in ---------------------------------------------------------------------


def _image(file: KafkaFile) -> Result | None:
    image = _filled(file.service.get("image", ""))
    name, _, digest = image.partition("@")
    repository, tag = name, ""
    if ":" in name.rpartition("/")[2]:
        repository, _, tag = name.rpartition(":")
    if tag == "latest" or not (tag or digest):
        return _wrong("mended_latest", image=image)
    registry, _, rest = repository.partition("/")
    if "." in registry or ":" in registry or registry == "localhost":
        repository = rest  # the same image, by the name of the registry that holds it
    if repository != "apache/kafka":
        return _wrong("mended_image", image=image)
    if not digest and not re.match(r"\d+\.\d+\.\d+", tag):
        return _wrong("mended_tag", image=image)
    return None


def _network(file: KafkaFile) -> Result | None:
    if mode := file.service.get("network_mode"):
        return _wrong("mended_network", mode=mode)
    return None


def _port(one: Mapping | str) -> Port:
    if isinstance(one, Mapping):
        parts = (one.get("host_ip", ""), one.get("published", ""), one.get("target", ""))
        return Port(*map(_marked, parts))
    host, _, inside = _marked(one).rpartition(":")
    address, _, outside = host.rpartition(":")
    return Port(address, outside, inside.partition("/")[0])


def _ports(file: KafkaFile) -> Result | None:
    if file.here is None and not any(_plain(one.inside) == PORT for one in file.ports):
        return _wrong("mended_unpublished")
    for one in file.ports:
        if _plain(one.address) not in HERE:
            port = f"{_plain(one.outside)}:{_plain(one.inside)}"
            return _wrong("mended_open", port=port, address=_plain(one.address) or "0.0.0.0")
    return None


# -- where the broker listens, and where it sends its clients ----------------------------------


def _places(text: str) -> dict[str, tuple[str, str]]:
    """Return host and port of each listener by its name; a port as the file writes it."""
    pairs = (one.strip().partition("://") for one in _marked(text).split(",") if one.strip())
    found = {}
    for name, _, place in pairs:
        host, _, port = place.rpartition(":")
        found[_plain(name)] = (_plain(host), port)
    return found


def _told(place: tuple[str, str]) -> str:
    return f"{place[0]}:{_plain(place[1])}"


def _listeners(file: KafkaFile) -> Result | None:
    here = file.here
    if here is None:
        return _wrong(
            "mended_nobody_listens", ports=", ".join(_plain(p.inside) for p in file.ports)
        )
    inside = next((name for name in file.clients if name != here), None)
    for name in file.clients:
        if (place := file.listens[name])[0] in HERE:
            return _wrong("mended_deaf", listener=name, place=_told(place))
    for name in (here, inside):
        if name is None or not file.advertised.get(name, ("", ""))[0]:
            return _wrong("mended_silent", listener=name or say("docker_and_compose.second"))
        if file.advertised[name][0] == "0.0.0.0":
            return _wrong("mended_zero", listener=name)
    assert inside is not None
    wrong_here = _here(file, here)  # which is false, as each answer is that does not pass
    return wrong_here if wrong_here is not None else _inside(file, inside)


def _here(file: KafkaFile, name: str) -> Result | None:
    host, port = file.advertised[name]
    place = _told((host, port))
    if host not in HERE:
        return _wrong("mended_here", listener=name, place=place)
    at = {one.outside for one in file.ports if _plain(one.inside) == file.listens[name][1]}
    if port in at:
        return None
    ports = ", ".join(sorted(map(_plain, at)))
    if _plain(port) in set(map(_plain, at)):  # the same by chance, until somebody sets the variable
        names = ", ".join(sorted({one[1] for each in (*at, port) for one in MARK.finditer(each)}))
        return _wrong("mended_fixed", listener=name, place=place, variable=names)
    return _wrong("mended_port", listener=name, place=place, ports=ports)


def _inside(file: KafkaFile, name: str) -> Result | None:
    host, port = file.advertised[name]
    place = _told((host, port))
    if host in HERE:
        return _wrong("mended_inside", listener=name, place=place)
    listens = _plain(file.listens[name][1])
    if host not in (NAME, file.service.get("hostname")) or _plain(port) != listens:
        return _wrong("mended_name", listener=name, place=place)
    return None


def _names(file: KafkaFile) -> Result | None:
    """Look whether each setting speaks of the listeners by the same names."""
    protocols = file.settings.get("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "")
    known = {one.partition(":")[0].strip() for one in protocols.split(",")}
    missing = [name for name in file.listens if name not in known]
    if missing:
        setting = "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"
        return _wrong("mended_renamed", setting=setting, listeners=", ".join(missing))
    between = file.settings.get("KAFKA_INTER_BROKER_LISTENER_NAME", "")
    if between not in file.clients:
        setting = "KAFKA_INTER_BROKER_LISTENER_NAME"
        return _wrong("mended_renamed", setting=setting, listeners=", ".join(file.clients))
    return None


# -- what survives, and how much it may take -----------------------------------------------------


def _volume(file: KafkaFile) -> Result | None:
    place = file.settings.get("KAFKA_LOG_DIRS", "")
    mounts = dict(map(_mount, file.service.get("volumes") or ()))
    if not mounts:
        return _wrong("mended_volume")
    holds = [mounts[at] for at in mounts if _lies_in(place, at)]
    if not place or not holds:
        return _wrong("mended_elsewhere", mounts=", ".join(mounts), place=place or "-")
    in_memory = file.service.get("tmpfs") or ()
    for one in [in_memory] if isinstance(in_memory, str) else in_memory:
        if _lies_in(place, str(one).partition(":")[0]):
            return _wrong("mended_memory", place=place)
    (name, *_) = holds
    if not name:
        return _wrong("mended_anonymous")
    if re.match(r"[./~]|[A-Za-z]:[\\/]", name):
        return _wrong("mended_folder", folder=name)
    if name not in file.volumes:
        return _wrong("mended_undeclared", volume=name)
    options = file.volumes[name].get("driver_opts") or {}
    if "tmpfs" in (options.get("type"), options.get("device")):
        return _wrong("mended_memory", place=place)
    return None


def _lies_in(place: str, folder: str) -> bool:
    return f"{place.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _mount(one: Mapping | str) -> tuple[str, str]:
    """Return (place in the container, name of the volume or folder; "" if it has none)."""
    if isinstance(one, Mapping):
        return str(one.get("target", "")), str(one.get("source") or "")
    match = re.fullmatch(r"(?:((?:[A-Za-z]:[\\/])?[^:]+):)?([^:]+)(?::[^:/]*)?", str(one))
    return (match[2], match[1] or "") if match else ("", str(one))


def _offsets(file: KafkaFile) -> Result | None:
    copies = _filled(file.settings.get("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "")).strip()
    return None if copies == "1" else _wrong("mended_offsets", copies=copies or "3")


def _bytes(text: object) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([bkmg]?)i?b?", str(text).strip().lower())
    return float(match[1]) * UNITS[match[2]] if match else 0


def _limit(service: Mapping) -> object:
    """Return how much memory the container may take, wherever the file says it; "" if nowhere."""
    found = service.get("deploy") or {}
    for key in ("resources", "limits", "memory"):
        found = (found.get(key) or {}) if isinstance(found, Mapping) else {}
    return _filled(service.get("mem_limit") or found or "")


def _memory(file: KafkaFile) -> Result | None:
    if HEAP.search(file.settings.get("KAFKA_OPTS", "")):
        return _wrong("mended_opts")
    options = file.settings.get("KAFKA_HEAP_OPTS", "")
    heap, share = SIZE.search(options), SHARE.search(options)
    if heap is None and share is None:
        return _wrong("mended_heap")
    limit = _limit(file.service)
    if not _bytes(limit):
        return _wrong("mended_limit")
    if share is not None and float(share[1]) > MOST_SHARE:
        return _wrong("mended_tight", heap=f"{share[1]} %", limit=limit)
    if heap is not None and _bytes(limit) < 1.5 * _bytes(heap[1] + heap[2]):
        return _wrong("mended_tight", heap=heap[0], limit=limit)
    return None

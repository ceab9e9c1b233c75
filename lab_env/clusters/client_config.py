"""How an existing cluster is named: variables, or a file of the kind that Java clients use."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from lab_env.ground.errors import BadInputError
from lab_env.ground.secrets import Secret

BOOTSTRAP = "KAFKA_LAB_BOOTSTRAP"
FILE = "KAFKA_LAB_PROPERTIES"
CLASS = "KAFKA_LAB_CLASS"
ADDRESSES = re.compile(r"[^,\s]+:\d{1,5}(,[^,\s]+:\d{1,5})*")
# variable, Kafka's name in a properties file, kafka-python's name
NAMES = (
    (BOOTSTRAP, "bootstrap.servers", "bootstrap_servers"),
    ("KAFKA_LAB_SECURITY", "security.protocol", "security_protocol"),
    ("KAFKA_LAB_SASL", "sasl.mechanism", "sasl_mechanism"),
    ("KAFKA_LAB_USERNAME", "username", "sasl_plain_username"),
    ("KAFKA_LAB_PASSWORD", "password", "sasl_plain_password"),
    ("KAFKA_LAB_CA", "ssl.truststore.location", "ssl_cafile"),
    ("KAFKA_LAB_CERTIFICATE", "ssl.keystore.location", "ssl_certfile"),
    ("KAFKA_LAB_KEY", "ssl.key.location", "ssl_keyfile"),
)
REPLICATION = "KAFKA_LAB_REPLICATION"
HERE = ("127.0.0.1", "localhost", "[::1]")  # this machine
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
LOGIN = re.compile(r"""(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')""")


class ClientConfig(NamedTuple):
    """What is known of a cluster: how to connect, and how many replicas it wants at the least."""

    connection: dict
    replication: int


def named() -> bool:
    """Return whether a cluster is named at all."""
    return bool(os.environ.get(BOOTSTRAP) or os.environ.get(FILE))


def read() -> ClientConfig:
    """Return the settings; a variable goes before what the file says.

    Raises:
        BadInputError: something that cannot work, with the variable that says it.
    """
    found = _of_file(os.environ[FILE]) if os.environ.get(FILE) else {}
    for variable, _, name in NAMES:
        if value := os.environ.get(variable):
            found[name] = value
    return _settings(found, BOOTSTRAP)


def of_class(cluster: str = "") -> ClientConfig:
    """Return the settings of the cluster that a class meets on.

    It is named by ``KAFKA_LAB_CLASS``: an address without a login and TLS, or a properties file.
    Without it, it is the cluster that the other variables name.

    Args:
        cluster: what takes the place of the variable where that is not set.

    Raises:
        BadInputError: no cluster is named, or something that cannot work.
    """
    if where := os.environ.get(CLASS) or cluster:
        if ADDRESSES.fullmatch(where):
            return _settings({"bootstrap_servers": where}, CLASS)
        return _settings(_of_file(where, CLASS), CLASS)
    if not named():
        raise BadInputError("classroom.no_cluster", variable=CLASS, other=BOOTSTRAP)
    return read()


def _settings(found: dict, variable: str) -> ClientConfig:
    servers = [one.strip() for one in found.get("bootstrap_servers", "").split(",") if one.strip()]
    if not servers or not all(re.fullmatch(r".+:\d{1,5}", one) for one in servers):
        got = found.get("bootstrap_servers", "")
        raise BadInputError("external.bad_bootstrap", got=got, variable=variable)
    if "sasl_plain_password" in found:
        found["sasl_plain_password"] = Secret(found["sasl_plain_password"])
    _check(found)
    return ClientConfig(
        {**found, "bootstrap_servers": servers, "bootstrap_timeout_ms": 10_000}, _replication()
    )


def plain(address: str) -> ClientConfig:
    """Return the settings of a Kafka on this machine, without a login and without TLS.

    Raises:
        BadInputError: not an address of this machine: elsewhere a lab needs a prefix.
    """
    host, _, port = address.rpartition(":")
    if host not in HERE or not re.fullmatch(r"\d{1,5}", port):
        raise BadInputError("external.bad_address", got=address, variable=BOOTSTRAP)
    connection = {"bootstrap_servers": [address], "security_protocol": "PLAINTEXT"}
    return ClientConfig({**connection, "bootstrap_timeout_ms": 10_000}, 1)


def _check(found: dict) -> None:
    """Fill in what follows from the rest, and refuse what cannot work."""
    has_login = "sasl_plain_username" in found or "sasl_plain_password" in found
    if has_login:
        found.setdefault("sasl_mechanism", "PLAIN")
    if "sasl_mechanism" in found:
        found.setdefault("security_protocol", "SASL_SSL")
    elif found.keys() & set(FILES):
        found.setdefault("security_protocol", "SSL")
    found.setdefault("security_protocol", "PLAINTEXT")
    for name, known in (("security_protocol", PROTOCOLS), ("sasl_mechanism", MECHANISMS)):
        if name in found:
            found[name] = found[name].upper()
            if found[name] not in known:
                variable = next(v for v, _, n in NAMES if n == name)
                raise BadInputError(
                    "external.unknown", got=found[name], variable=variable, known=", ".join(known)
                )
    if found["security_protocol"].startswith("SASL"):
        for name in ("sasl_plain_username", "sasl_plain_password"):
            if not found.get(name):
                variable = next(v for v, _, n in NAMES if n == name)
                raise BadInputError("external.missing", variable=variable)
    for name in FILES:
        if name in found and not Path(found[name]).expanduser().is_file():
            variable = next(v for v, _, n in NAMES if n == name)
            raise BadInputError("external.no_file", file=found[name], variable=variable)
        if name in found:
            found[name] = str(Path(found[name]).expanduser().absolute())


def _replication() -> int:
    wanted = os.environ.get(REPLICATION, "1")
    if not wanted.isdigit() or not 1 <= int(wanted) <= 9:
        raise BadInputError("external.bad_replication", got=wanted, variable=REPLICATION)
    return int(wanted)


def _of_file(path: str, variable: str = FILE) -> dict[str, str]:
    """Return what a Java client's properties file says, in kafka-python's names."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInputError("external.bad_file", file=path, variable=variable, why=error) from None
    text = re.sub(r"\\\r?\n\s*", "", text)  # a line that goes on in the next
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*([^#!\s=:][^\s=:]*)\s*[=:\s]\s*(.*?)\s*$", line)
        if match:
            found[match[1]] = match[2]
    for name, quoted, single in LOGIN.findall(found.pop("sasl.jaas.config", "")):
        found[name] = re.sub(r"\\(.)", r"\1", quoted) if quoted else single
    kind = found.get("ssl.truststore.type", "PEM" if "pem" in str(found).lower() else "JKS")
    if "ssl.truststore.location" in found and kind.upper() != "PEM":
        raise BadInputError("external.jks", file=found["ssl.truststore.location"])
    return {name: found[key] for _, key, name in NAMES if found.get(key)}

"""A Kafka that somebody else runs: a class's, a company's, a cloud's; named by variables."""

import contextlib
import getpass
import os
import re
import socket
import ssl
import time

from lab_env import storage
from lab_env.clusters import properties
from lab_env.clusters.cluster import Cluster
from lab_env.clusters.supervised import Supervised
from lab_env.clusters.supervisor import try_lock, unlock
from lab_env.errors import BadInputError, BrokerError, LabError, NotYoursError
from lab_env.messages import say

PREFIX_VARIABLE = "KAFKA_LAB_PREFIX"
PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,60}")
ASK_SECONDS = 10.0
SWEEP_SECONDS = 1.5  # what is not gone by then is gone at the next start, or by `lab clean`
MOST_LABS = 9  # of one student at once
FRESH = 1.0  # s for which an answer about brokers is good


class External(Cluster):
    """A cluster that is shared: the lab makes topics and groups under a prefix, and nothing else.

    Args:
        brokers: how many the lesson needs.
        progress: not used.
        address: of a Kafka that the student runs herself on this machine, in place of the cluster
            that variables name; hers alone, so there is no prefix, and nothing is deleted at the
            end.

    Raises:
        BadInputError: a variable or the properties file that it names cannot work.
        BrokerError: the cluster does not answer, refuses the password, the certificate or the
            rights that a lesson needs, or has too few brokers.
        StorageError: the lab's folder cannot be written.
    """

    way = "external"

    def __init__(self, brokers: int = 1, *, progress: bool = True, address: str | None = None):
        self._closed = False
        self._lock = None
        self._supervised: Supervised | None = None
        settings = properties.read() if address is None else properties.plain(address)
        self.connection = settings.connection
        self.replication = settings.replication
        storage.sweep()
        self.folder = storage.new_lab_folder()
        try:
            self._known = brokers_of(self.connection)
            if len(self._known) < brokers:
                raise BrokerError("external.too_few", has=len(self._known), wants=brokers)
            self._asked_at = time.monotonic()
            self._alive = set(self._known)
            self._supervised = Supervised(self.folder, lambda event: None)
            if address is None:
                self._take_prefix()
                remove(self.connection, self.prefix)  # what a lab that died has left
        except BaseException:
            self.close()
            raise

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why there is no such cluster: nobody names one."""
        return None if properties.named() else say("external.not_named")

    # -- who is there -----------------------------------------------------------------------

    @property
    def nodes(self) -> dict[int, str]:
        """The state of each broker by node id: "running", or "dead" if the others miss it."""
        if not self._closed and time.monotonic() - self._asked_at > FRESH:
            self._asked_at = time.monotonic()
            with contextlib.suppress(BrokerError):
                now = brokers_of(self.connection)
                self._known |= now
                self._alive = set(now)
        return {node: "running" if node in self._alive else "dead" for node in sorted(self._known)}

    def _take_prefix(self) -> None:
        """Choose the prefix of this lab: the student's, with a number while another lab uses it."""
        wanted = student()
        for prefix in prefixes(wanted):
            self._lock = try_lock(storage.labs().parent / f"prefix-{prefix}lock")
            if self._lock is not None:
                self.prefix = prefix
                return
        raise BrokerError("external.no_prefix", prefix=wanted)

    def explain(self, error: LabError) -> LabError:
        """Return which right is missing, if one is."""
        if "Authorization" not in str(error):
            return error
        return BrokerError(
            "external.no_right",
            address=",".join(self.connection["bootstrap_servers"]),
            user=self.connection.get("sasl_plain_username", "-"),
            prefix=self.prefix,
        )

    # -- faults -----------------------------------------------------------------------------

    def _refuse(self, node: int) -> None:
        self.check_node(node)
        raise NotYoursError("clusters.not_yours", node=node)

    def kill(self, node: int) -> None:
        """Refuse."""
        self._refuse(node)

    stop = start = pause = resume = kill

    def add_broker(self) -> int:
        """Refuse."""
        raise NotYoursError("clusters.no_growth")

    def log(self, node: int, lines: int = 20) -> str:
        """Say where the logs are."""
        self.check_node(node)
        return say("clusters.no_log")

    # -- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Remove what the lab made on the cluster, and nothing else."""
        if self._closed:
            return
        self._closed = True
        if self.prefix:
            with contextlib.suppress(Exception):  # `lab clean` and the next start do it as well
                remove(self.connection, self.prefix, seconds=SWEEP_SECONDS)
        if self._supervised is not None:
            self._supervised.close()
        if self._lock is not None:
            unlock(self._lock)


def brokers_of(connection: dict) -> dict[int, str]:
    """Return the address of each broker by node id, or say what stands in the way.

    Raises:
        BrokerError: nobody answers, or the certificate or the login is refused.
    """
    _reach(connection)
    with _admin(connection) as admin:
        found = admin.describe_cluster()["brokers"]
    return {one["broker_id"]: f"{one['host']}:{one['port']}" for one in found}


@contextlib.contextmanager
def _admin(connection: dict):
    """Have an admin client, whose errors are told in a sentence."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    from lab_env.clusters.ready import quiet_kafka

    try:
        with quiet_kafka(), contextlib.closing(KafkaAdminClient(**connection)) as admin:
            yield admin
    except (KafkaError, OSError) as error:
        raise _refused(connection) from error


def student() -> str:
    """Return what this student's names begin with: ``KAFKA_LAB_PREFIX``, else the login.

    Raises:
        BadInputError: a prefix that Kafka would refuse in a topic's name.
    """
    if named := os.environ.get(PREFIX_VARIABLE):
        wanted = named.rstrip(".")
        if not PREFIX.fullmatch(wanted):
            raise BadInputError("external.bad_prefix", prefix=named, variable=PREFIX_VARIABLE)
        return wanted
    return f"{_login()}-{_token()}"


def prefixes(wanted: str) -> list[str]:
    """Return the prefix of a student's lab, and those of more labs that she has at once.

    All begin with the first, so that rights on that one are enough.
    """
    return [f"{wanted}.", *(f"{wanted}.{number}." for number in range(2, MOST_LABS + 1))]


def ours(name: str, prefix: str) -> bool:
    """Return whether a name is of the lab with this prefix, and of no other lab."""
    return name.startswith(prefix) and not re.match(r"\d+\.", name[len(prefix) :])


def _login() -> str:
    try:
        name = getpass.getuser()
    except Exception:  # a container may run as a user that has no name
        name = "student"
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:30] or "student"


def _token() -> str:
    """Return four signs of this user's own: in a hub all students may have the same login."""
    import secrets

    file = storage.home() / "student"
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8").strip()
    token = secrets.token_hex(2)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8") as new:  # two labs at once agree on the first
            new.write(token)
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8").strip()
    return token


def remove(connection: dict, prefix: str, *, seconds: float = ASK_SECONDS) -> list[str]:
    """Delete the groups and topics that bear a prefix, and return their names.

    Args:
        connection: keyword arguments for any kafka-python client.
        prefix: at least two characters, the last of them a dot.
        seconds: after so long, what is left stays.

    Raises:
        BrokerError: the cluster does not answer.
    """
    from kafka.errors import KafkaError

    if len(prefix) < 2 or not prefix.endswith("."):  # never everything
        raise ValueError(prefix)
    deadline = time.monotonic() + seconds
    gone = []
    options = {**connection, "bootstrap_timeout_ms": max(int(1000 * seconds), 500)}
    with _admin(options) as admin:
        with contextlib.suppress(KafkaError):
            groups = [g["group_id"] for g in admin.list_groups()]
            found = [group for group in groups if ours(group, prefix)]
            if found and time.monotonic() < deadline:
                admin.delete_groups(found)  # one that has members stays; it ends with them
                gone += found
        topics = [topic for topic in admin.list_topics() if ours(topic, prefix)]
        for topic in topics:
            if time.monotonic() > deadline:
                break
            with contextlib.suppress(KafkaError):
                admin.delete_topics([topic])
                gone.append(topic)
    return gone


def clean() -> list[str]:
    """Delete what this student's dead labs left on the cluster, if one is named; return the names.

    A lab that lives keeps what it has.

    Raises:
        BadInputError, BrokerError: the cluster cannot be used.
    """
    if not properties.named():
        return []
    connection, gone = properties.read().connection, []
    _reach(connection)
    for prefix in prefixes(student()):
        lock = try_lock(storage.labs().parent / f"prefix-{prefix}lock")
        if lock is None:
            continue
        try:
            gone += remove(connection, prefix)
        finally:
            unlock(lock)
    return gone


def _reach(connection: dict) -> None:
    """Go step by step as a client goes, which itself says nothing but "timeout" after a while.

    Raises:
        BrokerError: none of the addresses answers, or their certificates cannot be trusted.
    """
    first = None
    for address in connection["bootstrap_servers"]:
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as plain:
                if connection["security_protocol"].endswith("SSL"):
                    with _tls(connection).wrap_socket(plain, server_hostname=host):
                        pass
            return
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message or str(error)
            first = first or BrokerError("external.no_trust", address=address, why=why)
        except (OSError, ValueError) as error:
            first = first or _no_answer(address, error)
    raise first


def _refused(connection: dict) -> BrokerError:
    """Return what it means that a cluster that can be reached does not talk to the client."""
    address = ",".join(connection["bootstrap_servers"])
    if connection["security_protocol"].startswith("SASL"):
        user = connection["sasl_plain_username"]
        return BrokerError("external.no_login", address=address, user=user)
    return _no_answer(address, say("external.silent"))


def _no_answer(address: str, why: object) -> BrokerError:
    """Return that nobody answers: on this machine no network is in between."""
    here = all(one.rpartition(":")[0] in properties.HERE for one in address.split(","))
    return BrokerError(
        "external.no_answer_here" if here else "external.no_answer", address=address, why=why
    )


def _tls(connection: dict) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=connection.get("ssl_cafile"))
    if certificate := connection.get("ssl_certfile"):
        context.load_cert_chain(certificate, connection.get("ssl_keyfile"))
    return context


def status() -> list[tuple[bool | None, str, str]]:
    """Return what `lab doctor` says of this way: (good, what, remedy); None is for mere news."""
    if not properties.named():
        return []
    try:
        connection, prefix = properties.read().connection, student()
        count = len(brokers_of(connection))
    except (BadInputError, BrokerError) as error:
        return [(False, say("external.status_bad"), str(error))]
    address = ",".join(connection["bootstrap_servers"])
    what = say("external.status_good", address=address, count=count, prefix=f"{prefix}.")
    return [(True, what, "")]

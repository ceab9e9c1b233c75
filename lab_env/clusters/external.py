"""A Kafka that somebody else runs: a class's, a company's, a cloud's; named by variables."""

import contextlib
import getpass
import os
import re
import socket
import ssl
import time
from collections.abc import Callable

from lab_env.clusters import client_config, ledger
from lab_env.clusters.cluster import Cluster
from lab_env.clusters.first_question import FirstQuestion, is_login_error
from lab_env.clusters.made import MadeOnFile, thrown_away
from lab_env.ground.errors import BadInputError, BrokerError, LabError, NotYoursError
from lab_env.ground.kafka_compat import quiet_kafka
from lab_env.ground.refusals import refusal
from lab_env.messages import say
from lab_env.processes import folders
from lab_env.processes.supervisor_client import Supervised

PREFIX_VARIABLE = "KAFKA_LAB_PREFIX"
# no dot: "ana." must not begin what is of "ana.maria."; two underscores are Kafka's own
PREFIX = re.compile(r"(?!__)[A-Za-z0-9_][A-Za-z0-9_-]{0,59}")
TOKEN = re.compile(r"[0-9a-f]{8}")
SWEEP_SECONDS = 1.5  # what is not gone by then goes on in the background
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
        self._ledger: ledger.Ledger | None = None
        self._supervised: Supervised | None = None
        settings = client_config.read() if address is None else client_config.plain(address)
        self.connection = settings.connection
        self.replication = settings.replication
        folders.sweep()
        self.folder = folders.new_lab_folder()
        try:
            self._known = brokers_of(self.connection)
            if len(self._known) < brokers:
                raise BrokerError("external.too_few", has=len(self._known), wants=brokers)
            self._asked_at = time.monotonic()
            self._alive = set(self._known)
            self._supervised = Supervised(self.folder, lambda event: None)
            if address is None:
                self._take_prefix()
            elif address not in thrown_away:
                self.made = MadeOnFile(self.folder)
        except BaseException:
            self.close()
            raise

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why there is no such cluster: nobody names one."""
        return None if client_config.named() else say("external.not_named")

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
        """Choose the prefix of this lab, and remove what labs of the student that died have left.

        The prefix is the student's, with a number while another lab uses it, on any machine.
        """
        from kafka.errors import AuthorizationError, KafkaError

        wanted = student()
        self.prefix = ledger.prefix_of(wanted, 1)
        try:
            with quiet_kafka():
                self._ledger = ledger.Ledger(self.connection, wanted, self.folder, token())
        except AuthorizationError as error:
            raise self._no_right() from error
        except (KafkaError, OSError) as error:
            raise _refused(self.connection, error) from error
        self.made, self.prefix = self._ledger, self._ledger.prefix
        if removed := self._ledger.removed:
            names = ", ".join(removed)
            print(say("external.removed", count=len(removed), names=names))

    def explain(self, error: LabError) -> LabError:
        """Return which right is missing, if one is."""
        return self._no_right() if "Authorization" in str(error) else error

    def _no_right(self) -> BrokerError:
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

    stop = pause = resume = kill

    def start(self, *nodes: int) -> None:
        """Refuse."""
        for node in nodes:
            self._refuse(node)
        raise NotYoursError("clusters.no_start")

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
        if self._ledger is not None:  # the record stays with what could not be removed
            self._ledger.close(SWEEP_SECONDS)
        if self._supervised is not None:
            self._supervised.close()


def brokers_of(connection: dict) -> dict[int, str]:
    """Return the address of each broker by node id, or say what stands in the way.

    Raises:
        BrokerError: nobody answers, or the certificate or the login is refused.
    """
    from kafka.errors import KafkaError

    _reach(connection)
    question = FirstQuestion()
    try:
        with question.asked(**connection) as admin:
            found = admin.describe_cluster()["brokers"]
    except (KafkaError, OSError) as error:
        raise _refused(connection, error, question) from error
    return {one["broker_id"]: f"{one['host']}:{one['port']}" for one in found}


def student() -> str:
    """Return what this student's names begin with: ``KAFKA_LAB_PREFIX``, else the login.

    Raises:
        BadInputError: a prefix that Kafka would refuse in a topic's name.
    """
    if named := os.environ.get(PREFIX_VARIABLE):
        wanted = named.removesuffix(".")
        if not PREFIX.fullmatch(wanted):
            raise BadInputError("external.bad_prefix", prefix=named, variable=PREFIX_VARIABLE)
        return wanted
    return f"{_login()}-{token()}"


def _login() -> str:
    try:
        name = getpass.getuser()
    except Exception:  # a container may run as a user that has no name
        name = "student"
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:30] or "student"


def token() -> str:
    """Return eight signs of this user's own: in a hub all students may have the same login."""
    import secrets

    file = folders.home() / "student"

    def kept() -> str | None:
        with contextlib.suppress(OSError, ValueError):
            text = file.read_text(encoding="utf-8").strip()
            return text if TOKEN.fullmatch(text) else None
        return None

    if found := kept():
        return found
    new = secrets.token_hex(4)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():  # of a lab that took four signs: too few for a class of hundreds
            file.unlink()
        with open(file, "x", encoding="utf-8") as fresh:  # two labs at once agree on the first
            fresh.write(new)
    return kept() or new


def clean(tell: Callable[[str], None] = lambda text: None) -> list[str]:
    """Delete what this student's dead labs left on the cluster, if one is named; return the names.

    A lab that lives, on whatever machine, keeps what it has; so does whoever is no lab.

    Args:
        tell: called with a sentence on what stays, and why.

    Raises:
        BadInputError, BrokerError: the cluster cannot be used.
    """
    from kafka.errors import KafkaError

    if not client_config.named():
        return []
    connection = client_config.read().connection
    wanted = student()
    brokers_of(connection)  # which says what stands in the way of a client
    try:
        with quiet_kafka():
            return ledger.clean(connection, wanted, token(), tell)
    except (KafkaError, OSError) as error:
        raise _refused(connection, error) from error


def _reach(connection: dict) -> None:
    """Go step by step as a client goes, which itself says nothing but "timeout" after a while.

    Raises:
        BrokerError: none of the addresses answers, or their certificates cannot be trusted.
    """
    first: BrokerError | None = None
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
    raise first or _no_answer(",".join(connection["bootstrap_servers"]), say("external.silent"))


def _refused(
    connection: dict, error: Exception, question: FirstQuestion | None = None
) -> BrokerError:
    """Return what it means that a cluster that can be reached does not do what it is asked."""

    address = ",".join(connection["bootstrap_servers"])
    if is_login_error(error) or (question and question.login_refused):
        user = connection.get("sasl_plain_username", "-")
        return BrokerError("external.no_login", address=address, user=user)
    if why := (question and question.refusal) or refusal(error):
        return BrokerError("external.refused", address=address, why=why)
    return _no_answer(address, say("external.silent"))


def _no_answer(address: str, why: object) -> BrokerError:
    """Return that nobody answers: on this machine no network is in between."""
    hosts = {one.rpartition(":")[0] for one in address.split(",")}
    here = not client_config.named() and hosts <= set(client_config.HERE)
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
    if not client_config.named():
        return []
    try:
        connection, prefix = client_config.read().connection, student()
        count = len(brokers_of(connection))
    except (BadInputError, BrokerError) as error:
        return [(False, say("external.status_bad"), str(error))]
    address = ",".join(connection["bootstrap_servers"])
    what = say("external.status_good", address=address, count=count, prefix=f"{prefix}.")
    return [(True, what, "")]

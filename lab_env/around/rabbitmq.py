"""A RabbitMQ of the lab's own: the other kind of broker, by the package that is installed here."""

import contextlib
import os
import secrets
import shutil
import threading
import time
import urllib.parse
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_env.ground import extras, loopback
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.secrets import Secret
from lab_env.ground.waiting import Progress, ProgressLine, signs_of
from lab_env.messages import say
from lab_env.processes import folders
from lab_env.processes.supervisor_client import Supervised

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.around.amqp import RabbitQueue

USER = "lab"
# where packages put the script that runs in the foreground as whoever calls it; a wrapper of that
# name on the PATH may insist on a user of its own
PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
LOGGED = 12  # lines


class NoRabbit:
    """What stands in for a RabbitMQ that is not at hand: false, and it says why."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return say("rabbitmq.none")

    def close(self) -> None:
        """There is nothing to end."""


class RabbitMQ:
    """A RabbitMQ on loopback ports, in a folder of its own; both are gone with the lab.

    Attributes:
        address: host:port for clients of AMQP.
        user: the name to log in with.
        password: and its password, which shows itself as stars.

    Raises:
        BrokerError: it does not start; with the end of its log.
    """

    def __init__(self, server: Path):
        self.user = USER
        self.password = Secret(secrets.token_hex(16))
        self._ended = threading.Event()
        self._pid: int | None = None
        folder = folders.new_lab_folder()
        self._folder = folder / "rabbitmq"
        amqp, self._management, names, between = loopback.free_ports(4)
        self.address = f"{loopback.HOST}:{amqp}"
        with folders.disk_errors(folder):
            self._supervised = Supervised(folder, self._hear)
        try:
            with folders.disk_errors(folder):
                self._folder.mkdir()
            self._start(server, amqp, names, between)
            self._wait_until_up()
        except BaseException:
            self.close()
            raise

    def _hear(self, event: dict) -> None:
        if event.get("name") == "names":
            return
        if event["event"] == "started":
            self._pid = event["pid"]
        else:
            self._ended.set()

    def _start(self, server: Path, amqp: int, names: int, between: int) -> None:
        """Lay out its folder, and start Erlang's register of names and the server."""
        settings = (
            f"listeners.tcp.1 = {loopback.HOST}:{amqp}\n"
            f"management.tcp.ip = {loopback.HOST}\n"
            f"management.tcp.port = {self._management}\n"
            f"default_user = {self.user}\n"
            f"default_pass = {self.password.reveal()}\n"
            # the queues are looked at about once a second
            "collect_statistics_interval = 1000\n"
            "vm_memory_high_watermark.absolute = 256MB\n"
            "disk_free_limit.absolute = 50MB\n"
        )
        conf = self._folder / "server.conf"
        conf.touch(mode=0o600)
        conf.write_text(settings, encoding="utf-8")
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="utf-8")
        (self._folder / "environment").touch()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("RABBITMQ_", "ERL_"))}
        # nothing of Erlang's listens beyond this machine, and nothing outlives its supervisor
        env |= {
            "HOME": str(self._folder),  # of Erlang's cookie
            "ERL_EPMD_ADDRESS": loopback.HOST,
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_ALLOW_INPUT": "1",  # the script becomes the server: no shell in between
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
            "RABBITMQ_DIST_PORT": str(between),
            "RABBITMQ_NODENAME": f"lab-{amqp}@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "environment"),
            "RABBITMQ_CONFIG_FILE": str(conf),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }
        if epmd := _find("epmd"):
            register = [str(epmd), "-port", str(names), "-address", loopback.HOST]
            log = self._folder / "names.log"
            self._supervised.start("names", register, self._folder, env, log)
        log = self._folder / "rabbitmq.log"
        self._supervised.start("rabbitmq", [str(server)], self._folder, env, log)

    def _wait_until_up(self) -> None:
        patience = Progress(lambda: signs_of([self._pid], [self._folder / "rabbitmq.log"]))
        with ProgressLine() as telling:
            while True:
                if self._ended.is_set():
                    raise BrokerError("rabbitmq.ended", log=self.log)
                with contextlib.suppress(OSError, ValueError):
                    self._ask("overview")
                    return
                if patience.over():
                    raise BrokerError("rabbitmq.not_up", seconds=patience.waited, log=self.log)
                telling(lambda seconds: say("rabbitmq.waiting", seconds=seconds))
                time.sleep(0.1)

    def __bool__(self) -> bool:
        return not self._ended.is_set()

    def __repr__(self) -> str:
        return say("rabbitmq.summary" if self else "rabbitmq.summary_ended", address=self.address)

    @property
    def log(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            text = (self._folder / "rabbitmq.log").read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-LOGGED:])
        return ""

    def _ask(self, path: str, body: dict | None = None) -> Any:
        login = b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode()
        headers = {"Authorization": f"Basic {login}"}
        return loopback.ask(self._management, f"/api/{path}", body, headers=headers)

    def _asked(self, path: str, body: dict | None = None) -> Any:
        try:
            return self._ask(path, body)
        except (OSError, ValueError) as error:
            raise BrokerError("rabbitmq.no_answer", address=self.address, why=error) from None

    def _frame(self, path: str, columns: dict[str, str], names: dict[str, str]) -> "pd.DataFrame":
        import pandas as pd

        rows = self._asked(path)
        made = [{column: row.get(names.get(column, column)) for column in columns} for row in rows]
        frame = pd.DataFrame(made, columns=list(columns))
        for column, kind in columns.items():
            if kind == "int64":
                frame[column] = frame[column].fillna(0)
        return frame.astype(columns)

    def queues(self) -> "pd.DataFrame":
        """Return the queues.

        Returns:
            DataFrame: name str, messages, consumers int64, durable, auto_delete bool.

        Raises:
            BrokerError: it does not answer.
        """
        columns = {"name": "str", "messages": "int64", "consumers": "int64"}
        return self._frame("queues/%2F", columns | {"durable": "bool", "auto_delete": "bool"}, {})

    def exchanges(self) -> "pd.DataFrame":
        """Return the exchanges, without those that every RabbitMQ has.

        Returns:
            DataFrame: name, type str, durable bool.

        Raises:
            BrokerError: it does not answer.
        """
        columns = {"name": "str", "type": "str", "durable": "bool"}
        frame = self._frame("exchanges/%2F", columns, {})
        own = (frame["name"] == "") | frame["name"].str.startswith("amq.")
        return frame[~own].reset_index(drop=True)

    def bindings(self) -> "pd.DataFrame":
        """Return which exchange gives what to which queue, without the nameless exchange's.

        Returns:
            DataFrame: exchange, queue, routing_key str.

        Raises:
            BrokerError: it does not answer.
        """
        columns = {"exchange": "str", "queue": "str", "routing_key": "str"}
        names = {"exchange": "source", "queue": "destination"}
        frame = self._frame("bindings/%2F", columns, names)
        return frame[frame["exchange"] != ""].reset_index(drop=True)

    def queue(self, name: str) -> "RabbitQueue":
        """Make a queue, new and empty, that services can be handed, to consume from it.

        Args:
            name: 1 to 255 letters; a queue of that name is deleted first, with its messages.

        Returns:
            The queue: ``put(texts)``, and ``with queue.consumer() as consumer:`` with its
            ``get(seconds)`` and ``acknowledge(message)``.

        Raises:
            BadInputError: no such name.
            PackageError: its client could not be fetched.
            BrokerError: RabbitMQ does not answer, or refuses.
        """
        from lab_env.around.amqp import RabbitQueue

        extras.need("rabbitmq")
        if not isinstance(name, str) or not 0 < len(name.encode()) < 256:
            raise BadInputError("rabbitmq.queue_name", name=name)
        made = RabbitQueue(self.address, self.user, self.password, name)
        made.renew()
        return made

    def publish(self, exchange: str, routing_key: str, body: str) -> bool:
        """Publish a text, as JSON, and return whether a queue took it.

        Raises BrokerError: it does not answer, or has no such exchange.
        """
        name = urllib.parse.quote(exchange, safe="")
        message = {
            "properties": {"content_type": "application/json"},
            "routing_key": routing_key,
            "payload": body,
            "payload_encoding": "string",
        }
        return bool(self._asked(f"exchanges/%2F/{name}/publish", message)["routed"])

    def messages(self, queue: str, count: int = 100) -> list[str]:
        """Return the texts that wait in a queue; they stay there.

        Raises BrokerError: it does not answer, or has no such queue.
        """
        name = urllib.parse.quote(queue, safe="")
        wanted = {"count": count, "ackmode": "ack_requeue_true", "encoding": "auto"}
        return [one["payload"] for one in self._asked(f"queues/%2F/{name}/get", wanted)]

    def close(self) -> None:
        """End it and remove its folder; idempotent."""
        self._ended.set()
        self._supervised.close()


def start() -> RabbitMQ | NoRabbit:
    """Start a RabbitMQ, or return what says why there is none.

    Raises:
        BrokerError: it is installed, and does not start.
    """
    server = _find("rabbitmq-server")
    return RabbitMQ(server) if server is not None and start_is_possible() else NoRabbit()


def start_is_possible() -> bool:
    """Return whether a RabbitMQ is installed here, in a way that we can start."""
    return os.name == "posix" and _find("rabbitmq-server") is not None


def _find(program: str) -> Path | None:
    for place in PLACES:
        if (found := Path(place) / program).exists():
            return found
    found = shutil.which(program)
    return Path(found) if found else None

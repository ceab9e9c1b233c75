"""A port of this machine that leads to another address: what ``kubectl port-forward`` makes."""

import contextlib
import selectors
import socket
import socketserver
import threading
import weakref

from lab_env.ground.errors import BadInputError
from lab_env.ground.loopback import HOST

CONNECT_SECONDS = 2.0
LOOK_SECONDS = 0.2  # between two looks whether it was closed
AT_ONCE = 1 << 16  # bytes


class Forward:
    """Hands on every connection to one port of this machine; it reads nothing of what it carries.

    Args:
        to: where it leads, host:port; None to say so later, by `to`.

    Attributes:
        address: where it listens, host:port.
        to: where it leads, host:port; None while it leads nowhere.
        connections: how many have come in.

    Raises:
        BadInputError: ``to`` is no host:port.
    """

    def __init__(self, to: str | None = None):
        self._server = _Server((HOST, 0), _Carrier)
        self.to = to
        port = self._server.server_address[1]
        self.address = f"{HOST}:{port}"
        threading.Thread(
            target=self._server.serve_forever,
            args=(LOOK_SECONDS,),
            name=f"lab-forward-{port}",
            daemon=True,
        ).start()
        self._finalizer = weakref.finalize(self, _end, self._server)

    @property
    def to(self) -> str | None:
        """Where it leads, host:port."""
        return self._server.to and "{}:{}".format(*self._server.to)

    @to.setter
    def to(self, place: str | None) -> None:
        self._server.to = None if place is None else _place(place)

    @property
    def connections(self) -> int:
        """How many connections have come in so far."""
        return self._server.came

    def close(self) -> None:
        """Hang up, and give the port back; can be called again."""
        self._finalizer()

    def __enter__(self) -> "Forward":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _place(text: object) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not host or not port.isdecimal():
        raise BadInputError("listeners.bad_forward", got=text)
    return host, int(port)


def _end(server: "_Server") -> None:
    server.ended.set()
    server.shutdown()
    server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args):
        super().__init__(*args)
        self.to: tuple[str, int] | None = None
        self.came = 0
        self.ended = threading.Event()

    def handle_error(self, request, client_address) -> None:
        """Say nothing: whoever was hung up on sees it at his own end."""


class _Carrier(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Carry bytes both ways until one side hangs up."""
        server = self.server
        assert isinstance(server, _Server)
        server.came += 1
        if server.to is None:
            return
        with (
            contextlib.suppress(OSError),
            socket.create_connection(server.to, CONNECT_SECONDS) as other,
            selectors.DefaultSelector() as both,
        ):
            other.settimeout(None)
            both.register(self.request, selectors.EVENT_READ, (self.request, other))
            both.register(other, selectors.EVENT_READ, (other, self.request))
            while not server.ended.is_set():
                for key, _ in both.select(LOOK_SECONDS):
                    source, target = key.data
                    data = source.recv(AT_ONCE)
                    if not data:
                        return
                    target.sendall(data)

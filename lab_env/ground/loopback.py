"""The loopback: whether it works, and questions to servers there, never by way of a proxy."""

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any

HOST = "127.0.0.1"  # not localhost, which is ::1 on some systems
ASK_SECONDS = 5.0
TRIP_SECONDS = 10.0  # a bound; a byte to oneself takes no time, even on a busy machine


def trouble() -> str | None:
    """Return why programs of this machine cannot reach each other, or None if they can."""
    try:
        with contextlib.closing(socket.create_server((HOST, 0))) as server:
            server.settimeout(TRIP_SECONDS)
            address = server.getsockname()
            with contextlib.closing(socket.create_connection(address, TRIP_SECONDS)) as client:
                other, _ = server.accept()
                with contextlib.closing(other):
                    other.settimeout(TRIP_SECONDS)
                    client.sendall(b"?")
                    if other.recv(1) != b"?":
                        raise OSError("?")
    except OSError as error:
        return str(error)
    return None


def ask(
    port: int, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
) -> Any:
    """Return what a server on the loopback answers.

    Args:
        port: where it listens.
        path: begins with a slash.
        body: sent as JSON; without one it is a GET.
        headers: in addition to the content type.

    Returns:
        What its JSON says; None when it says nothing.

    Raises:
        urllib.error.HTTPError: it answers with an error.
        OSError: it does not answer within five seconds.
        ValueError: its answer is no JSON.
    """
    import urllib.request  # here, because every lab needs HOST and hardly one this

    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Accept": "application/json",
            **(headers or {}),
        },
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=ASK_SECONDS) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def free_ports(count: int) -> list[int]:
    """Return ``count`` ports of the loopback that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def answers(port: int) -> bool:
    """Return whether something listens on the port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False

"""What a client on librdkafka says of a broker that is dead, and of other trouble."""

import contextlib
import pickle
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing

import trustme

from lab_env.clusters.librdkafka_log import ClientLog
from lab_env.lab import librdkafka

CLIENT = """
import sys, time
from confluent_kafka import Consumer, Producer
from lab_env.lab import librdkafka
conf = librdkafka({"bootstrap_servers": [sys.argv[1]]}) | eval(sys.argv[2])
asked = {"count": 0}
def count(error):
    asked["count"] += 1
client = Consumer({"group.id": "board", "error_cb": count, "reconnect.backoff.max.ms": 100, **conf})
deadline = time.monotonic() + 60
while asked["count"] < 5 and time.monotonic() < deadline:
    client.poll(0.1)
print(asked["count"])
"""


def said(port: int, more: dict) -> list[str]:
    """Return the lines of a consumer's log, after the client has tried at least some times."""
    words = [sys.executable, "-c", CLIENT, f"127.0.0.1:{port}", repr(more)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert int(done.stdout) >= 5, done.stderr
    return done.stderr.splitlines()


def test_a_dead_broker_is_told_of_once_and_not_again_and_again():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    refused = [line for line in said(port, {}) if "Connection refused" in line]
    assert len(refused) == 1


def test_other_trouble_is_still_told():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    over = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(0.2)

        def answer():
            while not over.is_set():
                with contextlib.suppress(OSError):  # nobody has come, or the client has hung up
                    one, _ = server.accept()
                    with closing(one):
                        one.settimeout(5)
                        context.wrap_socket(one, server_side=True).close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        lines = said(server.getsockname()[1], {"security.protocol": "ssl"})
        over.set()
        thread.join()
    assert any("certificate verify failed" in line for line in lines), lines


def test_the_settings_can_travel_to_a_service():
    settings = librdkafka({"bootstrap_servers": ["127.0.0.1:9092"]})
    assert isinstance(pickle.loads(pickle.dumps(settings))["logger"], ClientLog)

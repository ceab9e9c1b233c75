"""An engine whose images cannot be had: the reason with its own remedy; a real engine is asked."""

import http.server
import json
import threading

import pytest

from lab_env.around import containers
from lab_env.clusters import docker_cli

pytestmark = pytest.mark.shares_a_lab


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry that answers every question with its server's refusal."""

    def do_GET(self) -> None:
        code, error = self.server.refusal
        data = json.dumps({"errors": [error]}).encode()
        self.send_response(200 if self.path == "/v2/" else code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(docker_engine):
    """A registry of this machine, which an engine asks without TLS."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        ((429, {"code": "TOOMANYREQUESTS", "message": "pull rate limit"}), "share"),
        ((404, {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}), "typo"),
    ],
)
def test_a_registry_that_refuses_is_told_with_what_to_do(registry, refusal, remedy):
    registry.refusal = refusal
    image = f"127.0.0.1:{registry.server_port}/kafka:1"
    told = containers.Engine([image])
    assert not told
    assert image in repr(told)
    assert remedy in repr(told)
    assert repr(told).endswith("show what they showed elsewhere; all others work.")
    with pytest.raises(docker_cli.BrokerError, match="could not be fetched"):
        told.get("/version")


def test_a_registry_that_is_out_of_reach_is_told_as_the_network(registry):
    told = containers.Engine(["127.0.0.1:1/kafka:1"])
    assert not told
    assert "Check the network" in repr(told)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            'Error response from daemon: Get "https://registry/v2/": dial tcp: lookup registry on '
            "127.0.0.53:53: no such host",
            "Check the network",
        ),
        (
            "toomanyrequests: You have reached your unauthenticated pull rate limit.",
            "docker login",
        ),
        ("net/http: TLS handshake timeout", "Check the network"),
        ("no space left on device", "no space left on device"),
    ],
)
def test_what_engines_say_of_an_image_leads_to_its_remedy(said, remedy):
    told = docker_cli.refusal("apache/kafka:4.3.1", said)
    assert remedy in told
    assert told.startswith("The image apache/kafka:4.3.1 is not on this machine")


def test_the_images_of_the_course_are_those_of_its_files():
    assert containers.needed() == ["apache/kafka:4.3.1", "python:3.13-slim"]

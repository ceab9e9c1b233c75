"""What is said where something else than a Kafka is at an address of this machine; warnings."""

import socket
import subprocess
import sys
from contextlib import closing

import pytest

from lab_env import Lab
from lab_env.ground.errors import BrokerError
from lab_env.processes import folders


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Have a home of one's own, where nothing is."""
    monkeypatch.setenv(folders.HOME_VARIABLE, str(tmp_path / "home"))


def told_of(port: int) -> str:
    with pytest.raises(BrokerError) as raised:
        Lab(f"127.0.0.1:{port}")
    return str(raised.value)


def test_a_port_of_this_machine_where_nobody_is_has_nothing_to_do_with_a_vpn():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    told = told_of(port)
    assert f"No Kafka answers at 127.0.0.1:{port} on this machine" in told
    assert "VPN" not in told


def test_kafka_can_be_imported_where_every_warning_is_an_error():
    code = (
        "from lab_env.ground import packages; packages.check(); import kafka; print(kafka.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "kafka\n", done.stderr

"""`uvx kafka-lab`: in an empty folder, with nothing installed, the wheel brings and opens all."""

import os
import socket
import subprocess
import tomllib
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from conftest import wait_until

ROOT = Path(__file__).parent.parent
FIRST = "00_start_here.ipynb"


def test_uvx_finds_a_program_that_is_called_as_the_package_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"][project["name"]] == project["scripts"]["lab"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(["uv", "build", "-q", "--wheel", "-o", str(folder), str(ROOT)], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.landing
@pytest.mark.timeout(900)
def test_by_the_wheel_alone_the_first_lesson_opens_and_her_changes_stay(own_home, wheel, tmp_path):
    home, empty = tmp_path / "home", tmp_path / "empty"
    home.mkdir()
    empty.mkdir()
    found = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True)
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    # a student's home, but the packages need not be fetched twice; nobody listens at the mirror
    env |= {"HOME": str(home), "USERPROFILE": str(home), "UV_CACHE_DIR": found.stdout.strip()}
    env["KAFKA_LAB_MIRROR"] = "http://127.0.0.1:9/"
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    words = ["--no-browser", "--port", str(port), "--", "--IdentityProvider.token=secret"]
    log = tmp_path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["uvx", str(wheel), *words], cwd=empty, env=env, stdout=out, stderr=out
        )
        told = lambda: log.read_text(encoding="utf-8", errors="replace")  # noqa: E731
        try:
            over = lambda: process.poll() is not None  # noqa: E731
            assert wait_until(lambda: f":{port}/lab" in told() or over(), 600)
            address = f"http://127.0.0.1:{port}/?token=secret"
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert f"/lab/tree/{FIRST}" in answer.geturl(), told()
        finally:
            process.terminate()
            process.wait(60)
    assert "What you write in them is yours" in told()
    hers = empty / "notebooks" / FIRST
    hers.write_text("my answer", encoding="utf-8")
    again = ["uvx", str(wheel), "get"]
    subprocess.run(again, cwd=empty, env=env, check=True, capture_output=True, timeout=300)
    assert hers.read_text(encoding="utf-8") == "my answer"

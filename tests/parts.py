"""What a test may need of this machine, a fixture each: Kafka, a browser, an engine, Maven, ...

A test asks for what it needs by naming the fixture. From that follows which size it belongs to
(`sizes.py`), that it is left out where the part is missing, and what is said of that at the end;
in CI nothing may be missing: there the test fails.
"""

import contextlib
import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lab_env.around import rabbitmq
from lab_env.checks import progress
from lab_env.clusters import docker_cli, training
from lab_env.processes import folders, jars

USERS_HOME = folders.home()  # before a test chooses another
LEFT_OUT = "left out for want of "
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
NOWHERE = "http://127.0.0.1:9"  # nobody listens at the port "discard"


@dataclass(frozen=True)
class Part:
    """A part of a machine that some tests need.

    Attributes:
        what: its name in a sentence.
        how: how to have it.
        there: says whether it is there.
    """

    what: str
    how: str
    there: Callable[[], bool]

    def need(self) -> None:
        """Leave the test out where the part is missing."""
        if not self.there():
            self.leave_out()

    def leave_out(self) -> None:
        """Leave the test out for want of this part; in CI, where all has to be there, fail it."""
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{LEFT_OUT}{self.what}. {self.how}")


def browser() -> str | None:
    """Return the path of a browser that can be driven, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def rendering() -> list[str] | None:
    """Return the command that renders a folder of manifests, or None."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def _control_plane_is_there() -> bool:
    import control_plane

    return control_plane.unavailable() is None


@functools.cache
def _has_image(name: str) -> bool:
    return docker_cli.unavailable() is None and docker_cli.has_image(name)


CHROMIUM = Part(
    "a browser",
    "`apt-get install chromium` on Debian and Ubuntu, `brew install --cask chromium` on macOS; "
    "on Windows put the folder of chrome.exe or msedge.exe on the PATH.",
    lambda: browser() is not None,
)
ENGINE = Part(
    "Docker's engine with Compose",
    "Start Docker Desktop, or install docker.io and docker-compose-plugin.",
    lambda: docker_cli.unavailable() is None,
)
TEMURIN = Part(
    "the image eclipse-temurin:25-jre",
    "`docker pull eclipse-temurin:25-jre`.",
    lambda: _has_image("eclipse-temurin:25-jre"),
)
MAVEN = Part(
    "Maven",
    "`apt-get install maven default-jdk-headless`, or `brew install maven`.",
    lambda: shutil.which("mvn") is not None,
)
RABBITMQ = Part(
    "RabbitMQ",
    "`apt-get install rabbitmq-server`, or `brew install rabbitmq`.",
    rabbitmq.start_is_possible,
)
KUSTOMIZE = Part(
    "kustomize",
    "Install kubectl, which contains it, or kustomize itself.",
    lambda: rendering() is not None,
)
UV = Part("uv", "`pip install uv`: it fetches and runs a linter.", lambda: bool(shutil.which("uv")))
CONTROL_PLANE = Part(
    "a Kubernetes control plane",
    "`apt-get install etcd-server`, then `bash .ci/kubernetes/build` (ten minutes).",
    _control_plane_is_there,
)


@pytest.fixture(scope="session", autouse=True)
def tests_home(tmp_path_factory, request):
    """A home of the tests' own, and Kafka where the command line says, whoever's machine it is."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(folders.HOME_VARIABLE, str(home))
        patch.setenv(progress.VARIABLE, str(home / "progress.json"))
        # a developer's own choice, or an engine that happens to run, is not what is tested
        patch.setenv("KAFKA_LAB", request.config.getoption("--where"))
        yield home


@pytest.fixture(scope="session")
def own_home(tests_home, tmp_path_factory, request):
    """Kafka itself: the user's jars and AOT cache, in the home of the tests.

    Both are fetched and made first, so that no test is about a slow first start; and what is left
    in this home can only have been left by a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(folders.HOME_VARIABLE, str(USERS_HOME))
        jars.ensure()
        training.train()
    (tests_home / "kafka").symlink_to(USERS_HOME / "kafka")
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--where") == "external":  # a cluster as a class shares it
            from secure import shared_cluster

            shared = stack.enter_context(shared_cluster(tmp_path_factory.mktemp("shared")))
            for name, value in shared.variables("ana").items():
                patch.setenv(name, value)
        yield tests_home


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory):
    """A home without Kafka's files."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def kafka_only_if_asked_for(request, empty_home, monkeypatch):
    """A test that does not name the fixture ``own_home`` finds no Kafka and can fetch none."""
    if "own_home" not in request.fixturenames:
        monkeypatch.setenv(folders.HOME_VARIABLE, str(empty_home))
        monkeypatch.setenv(jars.MIRROR_VARIABLE, NOWHERE)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser."""
    CHROMIUM.need()
    return browser()


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """Docker's engine, with Compose and Kafka's image."""
    ENGINE.need()


@pytest.fixture(scope="session")
def temurin(docker_engine) -> None:
    """The image in which Spring applications run."""
    TEMURIN.need()


@pytest.fixture(scope="session")
def mvn() -> None:
    """Maven, with a compiler of Java."""
    MAVEN.need()


@pytest.fixture(scope="session")
def trained(own_home) -> None:
    """The Spring application, compiled and trained: no test is about a slow first start."""
    from lab_env.spring import app, training

    app.ensure(progress=False)
    assert training.train()


@pytest.fixture(scope="session")
def rabbit_server() -> None:
    """RabbitMQ's programs."""
    RABBITMQ.need()


@pytest.fixture(scope="session")
def kustomize() -> list[str]:
    """The command that renders a folder of manifests."""
    KUSTOMIZE.need()
    return rendering()


@pytest.fixture(scope="session")
def uv_tool() -> None:
    """``uv tool run``, which fetches a linter of its own."""
    UV.need()


@pytest.fixture(scope="session")
def programs() -> None:
    """Programs of other kinds that take seconds: a kernel, JupyterLab, an account in a process."""


@pytest.fixture(scope="session")
def control_plane_built(own_home, docker_engine) -> None:
    """The programs of a Kubernetes control plane, and an engine for its node."""
    CONTROL_PLANE.need()


@pytest.fixture(scope="session")
def control_plane(control_plane_built):
    """A real Kubernetes, with a node that runs pods as containers."""
    import control_plane

    with control_plane.cluster() as plane:
        yield plane
        assert plane.agent.errors == []

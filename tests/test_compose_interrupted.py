"""Interrupt in the middle of a call to containers: the next call works; nothing is left of them."""

import contextlib
import os

import pytest
from conftest import wait_until
from test_interrupted import END, interrupted

from lab_env import Lab
from lab_env.around import containers
from lab_env.clusters import docker_cli
from lab_env.ground.errors import BadInputError

pytestmark = pytest.mark.shares_a_lab
posix = pytest.mark.skipif(os.name == "nt", reason="an Interrupt is POSIX's SIGINT here")


def volumes() -> set[str]:
    """Return the engine's volumes, those without a name of their own as well."""
    return set(docker_cli.asked("volume", "ls", "--quiet").split())


@pytest.fixture(scope="module")
def lab(own_home, docker_engine):
    """One lab of one broker in a container; its volumes are gone when it is closed."""
    with Lab("compose") as one:
        yield one


def own_volumes(project: str) -> set[str]:
    """Return the volumes that a project's containers use."""
    label = f"label={docker_cli.PROJECT_LABEL}={project}"
    told = docker_cli.asked("ps", "--all", "--quiet", "--filter", label)
    form = "{{range .Mounts}}{{.Name}} {{end}}"
    return set(docker_cli.asked("inspect", "--format", form, *told.split()).split())


@posix
@pytest.mark.parametrize(("verb", "state"), [("kill", "dead"), ("stop", "stopped")])
def test_an_end_that_is_interrupted_and_a_start_that_is(lab, verb, state):
    interrupted(lambda: getattr(lab, verb)(1), lambda: 1 in lab._cluster._asked)
    with contextlib.suppress(BadInputError):  # it was asked, and is already gone
        getattr(lab, verb)(1)
    assert lab.nodes == {1: state}
    interrupted(lambda: lab.start(1), lambda: lab.nodes == {1: "starting"})
    with contextlib.suppress(BadInputError):  # it may be up by now
        lab.start(1)
    wait_until(lambda: lab.nodes == {1: "running"}, END)
    assert lab.topic(f"after.{verb}") == f"after.{verb}"


@posix
def test_a_pause_that_is_interrupted(lab):
    interrupted(lambda: lab.pause(1), lambda: True)
    with contextlib.suppress(BadInputError):
        lab.pause(1)
    assert lab.nodes == {1: "paused"}
    lab.resume(1)
    assert lab.nodes == {1: "running"}


def test_no_volume_is_left_not_even_one_without_a_name(lab):
    own = own_volumes(lab._cluster._project.name)
    named = {name for name in own if name.startswith("kafka-lab-")}
    assert named
    assert own == named  # the image wants some more, which the file keeps in memory
    lab.close()
    wait_until(lambda: not own & volumes(), END)


def test_no_volume_is_left_of_a_project_that_was_down_in_between(own_home, docker_engine):
    with contextlib.closing(containers.project("airport")) as compose:
        own = set()
        for _ in range(2):
            assert compose("up --detach kafka")
            own |= own_volumes(compose.name)
            assert compose("down --timeout 0")
        assert own & volumes()  # a mere `down` leaves them
    wait_until(lambda: not own & volumes(), END)

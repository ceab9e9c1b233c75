"""Seconds that nobody can wait for are refused at once, wherever seconds are asked for."""

import threading

import pytest

from lab_env import Lab, check, flights
from lab_env.around import containers, listeners
from lab_env.aws.accounts import Account
from lab_env.experiments import meter
from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError
from lab_env.kubernetes.cluster import KubernetesCluster
from lab_env.observation.facts import pauses
from lab_env.processes import worker
from lab_env.spring.service import SpringFleet, SpringService

pytestmark = [pytest.mark.shares_a_lab, pytest.mark.timeout(300)]

FOREVER = [float("inf"), float("nan"), 10**12, arguments.A_DAY + 1, "5"]
forever = pytest.mark.parametrize("seconds", FOREVER, ids=str)


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab for all calls."""
    with Lab(progress=False) as one:
        yield one


@pytest.fixture(scope="module")
def services(lab):
    """A service and a fleet, which go on until they are asked to stop."""

    def sleeps(service):
        service.wait(600)

    one, fleet = lab.service(sleeps, name="one"), lab.service(sleeps, name="fleet", copies=2)
    yield one, fleet
    one.stop()
    fleet.stop()


@forever
def test_no_service_is_waited_for_forever(lab, services, seconds):
    one, fleet = services
    loop = lab.repeat(lambda: None, every=1, name="loop")
    for wait in (
        lambda: one.join(seconds),
        lambda: one.stop(seconds),
        lambda: one.first("handled", seconds),
        lambda: fleet.join(seconds),
        lambda: fleet.stop(seconds),
        lambda: loop.stop(seconds),
        lambda: lab.repeat(lambda: None, every=seconds),
        lambda: lab.until(lambda: False, seconds),
        lambda: lab.pauses(seconds),
        lambda: lab.show.pauses(longer_than=seconds),
        lambda: lab.measure({"nothing": (lambda meter: None,)}, seconds=seconds),
    ):
        with pytest.raises(BadInputError, match=r"seconds|longer|every"):
            wait()
    assert one.state == fleet[0].state == fleet[1].state == "running"
    assert loop.running
    loop.stop()
    said = check.drained(lab, "none", "none", seconds=seconds)
    assert "called in another way" in said.found


def bare(kind: type):
    """Return an object that has nothing: whatever is asked of it has to look at its words first."""
    return kind.__new__(kind)


@forever
def test_seconds_are_looked_at_before_anything_else(seconds):
    for wait in (
        lambda: bare(SpringService).stop(seconds),
        lambda: bare(SpringFleet).stop(seconds),
        lambda: bare(containers.ComposeProject)("ps", seconds),
        lambda: bare(KubernetesCluster).ready("Deployment", "board", seconds),
        lambda: bare(Account).clean_up(seconds),
        lambda: listeners.told_by("127.0.0.1:1", seconds),
        lambda: meter.ceilings(seconds),
        lambda: flights.replay([1], 1, seconds),
        lambda: pauses.checked(seconds),
    ):
        with pytest.raises(BadInputError, match=r"seconds|longer"):
            wait()


def test_a_day_can_be_waited_for():
    assert arguments.seconds(arguments.A_DAY) == arguments.A_DAY
    assert flights.replay([1], 1, arguments.A_DAY)
    assert pauses.checked(arguments.A_DAY) == arguments.A_DAY == worker.LONGEST


@pytest.fixture
def stopped():
    """What a function is given, when it has been asked to stop already."""
    service = bare(worker.ServiceContext)
    service._stop = threading.Event()
    service._stop.set()
    return service


@pytest.mark.parametrize("seconds", [*FOREVER, None, [1]], ids=str)
def test_a_service_does_not_sleep_forever(stopped, seconds):
    with pytest.raises(BadInputError, match="seconds"):
        stopped.wait(seconds)


def test_a_service_does_not_sleep_for_what_has_passed(stopped):
    assert stopped.wait(-5) is stopped.wait(0) is stopped.wait(600) is False

"""What lesson 12's checks say of a service and of a started file: judged without an engine."""

import pytest

from lab_env.checks.docker_and_compose import (
    Container,
    Joining,
    Life,
    Planned,
    judge_joining,
    judge_life,
    judge_planned,
)

pytestmark = pytest.mark.fast
TOLD = {"BOOTSTRAP": "kafka:19092", "TOPIC": "flights.departed", "GROUP": "bags"}
HEALTHY = {"kafka": {"condition": "service_healthy", "required": True}}


def planned(*, without: str = "", waits: object = HEALTHY, **told: str) -> Planned:
    """Return what a right file plans, with changes to what the service is told."""
    environment = {name: word for name, word in (TOLD | told).items() if name != without}
    service = {"environment": environment, "depends_on": waits}
    return Planned("baggage", TOLD["TOPIC"], TOLD["GROUP"], "", ("kafka", "baggage"), service)


def test_a_service_that_waits_and_is_told_what_it_needs_is_planned_as_it_should_be():
    assert judge_planned(planned()) is None
    assert judge_planned(planned(without="BOOTSTRAP")) is None  # the program's own default


@pytest.mark.parametrize(
    ("plan", "hint"),
    [
        (Planned("baggage", "t", "g", refused="services must be a mapping"), "with a colon"),
        (Planned("baggage", "t", "g", known=("kafka",)), "only a dict in the notebook"),
        (planned(waits=None), "depends_on takes a dict"),
        (planned(waits={"kafka": {"condition": "service_started"}}), "service_healthy"),
        (planned(BOOTSTRAP="127.0.0.1:9092"), "the container itself"),
        (planned(BOOTSTRAP="0.0.0.0:19092"), "is no place"),
        (planned(BOOTSTRAP="kafka:9092"), "Somebody answers there"),
        (planned(BOOTSTRAP="broker:19092"), "it may begin there"),
        (planned(GROUP="airport-board"), "the flights are shared"),
        (planned(TOPIC="flights.departd"), "nobody complains"),
        (planned(without="GROUP"), "sees no variable"),
    ],
)
def test_a_wrong_plan_gets_the_hint_that_its_service_would_get_live(plan, hint):
    answer = judge_planned(plan)
    assert answer is not None
    assert hint in repr(answer)


def container(state: str = "running", *addresses: str) -> Container:
    return Container("baggage", "c1", state, frozenset(addresses))


def joined(own: tuple[Container, ...], *hosts: str, late: bool = False, log: str = "-") -> str:
    return repr(judge_joining(Joining(own, frozenset(hosts), late, log), planned()))


def test_a_member_that_comes_from_a_container_of_the_service_is_what_was_asked_for():
    assert "✓" in joined((container("running", "172.20.0.3"),), "172.20.0.3", "172.20.0.4")
    assert "✓" not in joined((container("running", "172.20.0.3"),), "172.20.0.4", late=True)


def test_a_service_that_has_not_joined_is_told_why():
    away = container("exited")
    assert "A file starts nothing" in joined(())
    assert "172.20.0.1" in joined((container(),), "172.20.0.1", late=True)
    # it has ended: whoever else is in the group is not the reason
    assert "no board" in joined((away,), "172.20.0.1", log="no board")
    assert "no board" in joined((away,), late=True, log="no board")


def test_a_started_file_is_judged_by_the_record_that_came_back():
    assert "an engine would be needed" in repr(judge_life(None))
    assert "sent and read back" in repr(judge_life(Life(address="127.0.0.1:9092", came_back=True)))
    assert "memory" in repr(judge_life(Life(refused="additional property memory")))
    assert "no voter" in repr(judge_life(Life(dead="no voter")))
    assert "127.0.0.1:9092" in repr(judge_life(Life(address="127.0.0.1:9092")))

"""Interrupt while the lab starts what runs beside Kafka: nothing is left, the next call works."""

import os

import pytest
from conftest import ours, wait_until
from test_interrupted import END, interrupted

from lab_env import Lab

pytestmark = [
    pytest.mark.shares_a_lab,
    pytest.mark.skipif(os.name == "nt", reason="an Interrupt is POSIX's SIGINT here"),
]


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab of one broker."""
    with Lab("embedded") as one:
        yield one


def work(service):
    """Wait until asked to stop."""
    service.report(began=True)
    while service.wait(0.05):
        pass


@pytest.mark.parametrize("copies", [1, 3])
def test_a_service_that_is_interrupted_leaves_nobody_behind(lab, copies):
    before = ours()
    lab.services  # noqa: B018 - what the first one makes stays
    interrupted(lambda: lab.service(work, copies=copies), lambda: ours() - before)
    started = lab.service(work, copies=copies)
    for one in [started] if copies == 1 else started:
        one.first("began", END)
    assert len(ours() - before) == copies
    started.stop()
    wait_until(lambda: not ours() - before, END)


def test_a_rabbitmq_that_is_interrupted_ends_and_the_next_one_works(lab, rabbit_server):
    before = ours()
    interrupted(lab.rabbitmq, lambda: len(ours() - before) > 1)
    wait_until(lambda: not ours() - before, END)
    assert lab.rabbitmq()
    assert lab.rabbitmq().queues().empty


def test_a_spring_application_that_is_interrupted_ends_and_the_next_one_works(lab, trained):
    yaml = (
        "spring.cloud.function.definition: statistics\n"
        "spring.cloud.stream.bindings.statistics-in-0.destination: " + lab.topic("delayed")
    )
    services = lab.services
    lab._part("spring", lambda: lab._make_springs(services))
    before = ours()
    assert interrupted(lambda: lab.spring(yaml), lambda: ours() - before)
    wait_until(lambda: not ours() - before, END)
    spring = lab.spring(yaml)
    assert not spring.bindings().empty
    running = ours()
    assert interrupted(spring.restart, lambda: ours() - running)  # the new one has begun
    spring.restart()
    assert spring.state == "running"
    spring.stop()

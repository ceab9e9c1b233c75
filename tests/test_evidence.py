"""What the checks say of each answer, judged again from what a real Kafka held after it."""

import socket
import time

import pytest
from witness import recorded

from lab_env.checks.result import Result

pytestmark = pytest.mark.fast
RECORDED = recorded()


@pytest.fixture
def _no_clock_and_no_network(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a judge asks for more than its evidence")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(time, "sleep", refused)


@pytest.mark.usefixtures("_no_clock_and_no_network")
@pytest.mark.parametrize("one", RECORDED, ids=[one.name for one in RECORDED])
def test_an_answer_is_judged_again_as_it_was(one):
    said = [answer for answer in one.judged() if answer is not None][-1]
    assert isinstance(said, Result)
    assert said.passed is (not one.hint), said
    assert one.hint in repr(said)


def test_what_is_recorded_holds_right_and_wrong_answers():
    for lesson in {one.lesson for one in RECORDED}:
        assert {bool(one.hint) for one in RECORDED if one.lesson == lesson} == {True, False}, lesson

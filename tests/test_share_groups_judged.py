"""The checks of lesson 15 judge evidence: no Kafka, each wrong answer has its sentence."""

from dataclasses import replace

import pytest

from lab_env.checks.share_groups import Work, judge_drain, judge_isolation

DONE = Work("share", "Stable", 6, 0, 200, 0, 6, 1.5, 8.2, (), None, 6)
DRAIN = {"topic": "rush", "group": "crew", "commands": 200, "seconds": 3.0, "alone": 8.0}
NIGHT = Work("share", "Stable", 3, 0, 28, 0, 3, 1.0, 0.5, (), None, 3)
KNOWN = {"topic": "night", "group": "crew", "dead": "dead", "good": 28, "poison": 2}
POISON = ['{"id": 7}', '{"id": 19}']


def test_a_slow_machine_is_no_wrong_answer_and_few_trucks_or_one_after_the_other_are():
    slow = replace(DONE, took=9.0, worked=30.0, busiest=40, side_by_side=6.0)
    assert judge_drain(slow, DRAIN)
    assert not judge_drain(replace(slow, busiest=90), DRAIN)  # 3.6 s of work for one truck
    assert not judge_drain(replace(slow, side_by_side=2.0), DRAIN)


def test_what_is_done_passes():
    assert judge_drain(DONE, DRAIN)
    assert judge_isolation(NIGHT, POISON, POISON[::-1], 0, KNOWN)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"failed": ("rush-1", "KeyError: 'x'"), "lag": 3}, "Correct that line"),
        ({"kind": "classic"}, "joins a consumer group"),
        ({"kind": "consumer"}, "joins a consumer group"),
        ({"others": ("mine",)}, "same group"),
        ({"kind": "", "accepted": 0, "lag": None}, "Start trucks"),
        ({"accepted": 0, "lag": None}, "begin by default"),
        ({"accepted": 150, "lag": 0}, "archived"),
        ({"accepted": 60, "trucks": 1, "lag": 140}, "more members than"),
        ({"accepted": 150, "lag": 50}, "some room"),
        ({"lag": 200}, "A report is no acknowledgement"),
        ({"twice": 3}, "shorter than the work"),
        ({"worked": 0.3}, "without fuel"),
        ({"took": 8.4, "trucks": 1}, "more members than"),
        ({"took": 4.4, "trucks": 2}, "some room"),
    ],
)
def test_a_wrong_drain_is_told(change, hint):
    answer = judge_drain(replace(DONE, **change), DRAIN)
    assert not answer
    assert hint in answer.hint


def test_a_truck_that_ended_with_an_error_is_no_harm_where_all_is_done():
    assert judge_drain(replace(DONE, failed=("old", "KeyError")), DRAIN)


@pytest.mark.parametrize(
    ("change", "letters", "swallowed", "hint"),
    [
        ({"lag": 3}, [], 0, "Has each record got a word"),
        ({"lag": None}, [], 0, "Has each record got a word"),
        ({"accepted": 25}, POISON, 0, "what your work returns"),
        ({"twice": 1}, POISON, 0, "one after the other"),
        ({}, [*POISON, '{"id": 1}'], 0, "Send record.value() as it is"),
        ({}, [], 0, "has no topic for dead letters"),
        ({"accepted": 30}, [], 2, "Accepted says that the work is done"),
        ({}, [*POISON, POISON[0]], 0, "parks it again"),
        ({"accepted": 30}, POISON, 2, "both words end"),
    ],
)
def test_a_wrong_isolation_is_told(change, letters, swallowed, hint):
    answer = judge_isolation(replace(NIGHT, **change), POISON, letters, swallowed, KNOWN)
    assert not answer
    assert hint in answer.hint

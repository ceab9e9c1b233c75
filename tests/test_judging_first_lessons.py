"""What the checks of lessons 00 to 02 say of evidence: judged without a broker or a clock."""

from types import SimpleNamespace

import pytest

from lab_env.checks import asynchronous_messages as messages
from lab_env.checks import point_to_point as commands
from lab_env.checks import start_here as start

pytestmark = pytest.mark.fast
ASKED = {
    "a": messages.Request("board", "UA1", "B2"),
    "b": messages.Request("crew", "UA2", "B3"),
}
RIGHT = [
    ("board", {"correlation-id": "a"}, {"gate": "B2"}),
    ("crew", {"correlation-id": "b"}, {"gate": "B3"}),
]


def exchange(found, **others) -> messages.Exchange:
    usual = {"strays": 0, "failed": None, "desks": ["desk"], "moving": []}
    return messages.Exchange(asked=ASKED, found=found, **usual | others)


def gates(*told: str) -> list:
    return [
        (topic, headers, {"gate": one})
        for (topic, headers, _), one in zip(RIGHT, told, strict=True)
    ]


def test_replies_that_find_their_request_with_the_gate_of_its_flight_pass():
    assert messages.judge(exchange(RIGHT))
    assert messages.judge(exchange(RIGHT[::-1], desks=["old", "new"]))


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (exchange(gates("B2", "B2")), "'B2' to a request for UA2"),
        (exchange(gates("??", "??")), "2 of 2 replies name the gate of another flight"),
        (exchange(gates("B2", "")), "have no gate in the body"),
        (exchange([*RIGHT, RIGHT[0]], desks=["one", "two"]), "one, two"),
        (exchange([*RIGHT, RIGHT[0]]), "answered more than once"),
        (exchange([], failed={"name": "desk", "error": "KeyError, line 9"}), "KeyError, line 9"),
        (exchange([], moving=["desk"]), "without consumer.close()"),
        (exchange([]), "Did your cell end with an error?"),
        (exchange(RIGHT[:1]), "1 of 2 requests have no reply"),
    ],
)
def test_a_reply_that_is_wrong_is_told_what_is_wrong_with_it(evidence, told):
    answer = messages.judge(evidence)
    assert not answer
    assert told in repr(answer)


def test_the_gate_of_a_request_is_the_one_that_the_desk_of_the_lesson_gives():
    assert messages._request("board", {"flight": "UA1545"}).gate == "B16"
    assert messages._request("board", {"flight": "UAx"}).gate == ""
    assert messages._request("board", "UA1545").gate == ""


def announced(**others) -> messages.Announced:
    usual = {"said": 2, "state": "crashed", "failed": None, "there": 2, "different": 2}
    return messages.Announced(**usual | {"older": 0, "others": []} | others)


def test_a_report_that_was_true_has_nothing_wrong():
    assert messages.judge_announced(announced(), 2) is None
    assert messages.judge_announced(announced(said=2.0), 2) is None


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (announced(there=0, different=0), "0 are on the broker"),
        (announced(said="2"), "of the type str"),
        (announced(said=True), "of the type bool"),
        (announced(said=None, state="running"), "has reported nothing"),
        (announced(state="stopped"), "has outlived its report"),
        (announced(failed={"name": "a", "error": "TypeError in line 3"}), "TypeError in line 3"),
        (announced(there=3, older=1), "1 were sent before this service began"),
        (announced(there=3, others=["old-one"]), "old-one"),
        (announced(there=4), "Calling send() twice"),
        (announced(said=1), "would send the others again"),
        (announced(there=2, different=1), "events are missing"),
    ],
)
def test_a_report_that_was_not_true_is_told(evidence, told):
    answer = messages.judge_announced(evidence, 2)
    assert answer is not None
    assert told in repr(answer)


def test_a_second_run_is_wrong_only_if_it_reports_what_has_not_arrived():
    assert messages.judge_second(messages.Second(2, 2), 2)
    assert messages.judge_second(messages.Second(None, 0), 2), "it still waits: nothing untrue"
    answer = messages.judge_second(messages.Second(2, 0), 2)
    assert not answer
    assert "no confirmation" in answer.hint


DRAINED = {"trucks": 3, "group": "g", "commands": 9, "took": 2.0, "alone": 12.0}


def test_a_truck_that_commits_before_its_work_is_caught_by_a_kill_or_by_a_look():
    judge = commands._judge_killed
    assert judge(None, DRAINED)
    assert judge(commands.Killed("", 0, 0, 0), DRAINED)
    assert "killed truck-2" in judge(commands.Killed("truck-2", 5, 0, 0), DRAINED).found
    lost = judge(commands.Killed("truck-2", 5, 4, 0), DRAINED)
    assert not lost
    assert "4 more are lost" in lost.found
    seen = judge(commands.Killed("", 0, 0, 7), DRAINED)
    assert not seen
    assert "7 of them were committed before they were handled" in seen.found


def test_too_little_work_is_told_whoever_did_it():
    import pandas as pd

    half = pd.DataFrame(
        {"service": ["a"] * 2 + ["b"] * 2, "time": [0.0, 3.0, 0.0, 3.0], "handled": list("wxyz")}
    )
    found = DRAINED | {"count": 300, "seconds": 10}
    answer = commands._wrong_time(SimpleNamespace(), half, found)
    assert "settings of an earlier cell" in answer.hint
    whole = half.assign(time=[0.0, 6.0, 0.0, 6.0])
    assert commands._wrong_time(SimpleNamespace(), whole, found) is None


def test_of_three_flights_the_bodies_are_compared_with_what_was_to_be_sent():
    import json

    def sent(*bodies: dict, failed=None) -> start.SentRecords:
        headers = [("source", b"operations"), ("type", b"departed")]
        records = [
            SimpleNamespace(
                offset=offset,
                key=str(body.get("tail_number")).encode(),
                value=json.dumps(body).encode(),
                headers=headers,
            )
            for offset, body in enumerate(bodies)
        ]
        return start.SentRecords("mine", records, failed)

    three = list(start._three().values())
    assert start.judge_three(sent(*three))
    assert start.judge_three(sent(*three[::-1]))
    few = [{name: one[name] for name in ("id", "flight", "tail_number")} for one in three]
    assert "These are missing: event" in start.judge_three(sent(*few)).found
    other = {**three[0], "id": "UA1-EWR-2013-01-09"}
    assert "the flights in `three`" in start.judge_three(sent(other, *three[1:])).expected
    changed = {**three[0], "delay_minutes": -99}
    assert "delay_minutes" in start.judge_three(sent(changed, *three[1:])).found
    failed = {"name": "sender", "error": "TypeError"}
    assert "sender has failed" in start.judge_three(sent(failed=failed)).found

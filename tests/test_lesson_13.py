"""Lesson 13: what its prose claims is true, and its checks tell right answers from wrong ones."""

import json
import re

import pytest
from conftest import wait_until
from foreseen import asked
from lesson import NOTEBOOKS, some

from lab_env.checks.kubernetes import Crew, _judge_scale, _judge_start

NUMBER = "13"
# the field's words, which stand in bold where the thing first happens
TERMS = (
    "Kubernetes", "platform as a service", "container runtime", "Docker Engine", "kubeconfig",
    "contexts", "manifest", "Deployment", "declarative", "desired state", "pod", "ReplicaSet",
    "API server", "control plane", "controller", "actual state", "static membership", "probe",
    "Readiness", "Liveness", "eviction", "HorizontalPodAutoscaler", "StatefulSet",
)  # fmt: skip
# what the deck says, and what has changed since
DECK = ("Google", "Docker *and others* (Rocket)", "since version 1.24", "run as before")


def prose() -> str:
    cells = json.loads((NOTEBOOKS / "13_kubernetes.ipynb").read_text("utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.fast
def test_the_lesson_says_what_the_deck_says_in_the_fields_words():
    text = prose()
    assert [term for term in TERMS if f"**{term}**" not in text] == []
    assert [words for words in DECK if words not in text] == []
    assert "`CrashLoopBackOff`" in text
    assert "kafka-nodes" not in text


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    lesson.asks_each_step()
    # the schemas find a word that is not known, and no name that leads nowhere; the rules do
    assert value("found") == {"typo in a field": True, "typo in a name": False}
    out = {cell.id: lesson.output(lesson.index(cell.id)) for cell in lesson.client.cells}
    assert "replica" in out["schema-answer"].partition("No prediction")[0]
    assert len(re.findall("StatefulSet", out["faults"])) == 1
    assert "start 3" in out["by-hand"]
    # the loop is quicker than the group, which waits for the dead one's session
    assert value("after_kill") == {"same name": False, "owned within 1.5 s": False}
    assert value("back")
    assert 1.5 < value("idle") < 20
    assert value("came") < value("idle")
    # replicas beyond partitions are idle
    assert value("owning") == 6
    # a rebalance for each that comes and each that goes; none where names last
    counted = value("counted")
    assert counted["Deployment"] >= 6
    assert counted["StatefulSet"] == 0
    assert f"It was Deployment: {counted['Deployment']}, StatefulSet: 0." in out["roll-answer"]
    assert out["lost-answer"].strip() == "{'Deployment': 0, 'StatefulSet': 0}"
    # an open port is no answer
    assert "at work   {'port opens': True, 'broker answers': True}" in out["probe-answer"]
    assert value("frozen") == {"port opens": True, "broker answers": False}
    # an emptyDir is files, and goes with the pod
    assert value("kept_in") == {"in memory": False, "claim": 5000, "emptyDir": 0}
    # a forwarded port
    assert value("came_forward") == {"connects": True, "sends": False}
    assert "kafka-1.kafka-brokers.flights" in out["forward-answer"]
    assert "'sends': True} 1 connection" in out["around"]
    assert value("mended") == {"connects": True, "sends": True}
    # idle boards, and a lag that grows; by lag it goes away, and never beyond the partitions
    assert value("done") == {"by CPU": "adds none", "by lag": "adds boards"}
    ends = value("ends")
    assert ends["by CPU"][1] < 250  # millicores: half of what each requests
    of = re.findall(r"of a request of (\d+)m: (\d+)%, .*HPA wants (\d+)", out["autoscale-answer"])
    assert [request for request, *_ in of] == ["500", "50"]
    for request, share, wants in of:  # HPA's share is one of the request, and of nothing else
        assert int(share) == round(100 * ends["by CPU"][1] / int(request))
        assert int(wants) == max(-(-2 * 100 * ends["by CPU"][1] // (int(request) * 50)), 1)
    assert ends["by CPU"][2] > ends["by lag"][2]
    assert 2 < ends["by lag"][0] <= 6


@pytest.mark.shares_a_lab
def test_each_prediction_answers_a_wrong_guess_with_what_it_would_mean(lesson):
    ended = lesson.output(lesson.index("surprises"))
    assert "You foresaw 0 of 8, and made no prediction for 8." in ended
    questions = ["schema", "kill", "scale", "roll", "probe", "disk", "forward", "cpu"]
    assert asked(lesson) == questions


@pytest.mark.shares_a_lab
def test_each_cell_for_a_cluster_says_that_there_is_none(lesson):
    for name in ("apply", "kill", "scale", "roll", "end"):
        assert "No cluster is named" in lesson.output(lesson.index(f"cluster-{name}"))


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    told = lesson.told
    assert len(told) == 5
    assert all(word in told[0] for word in ("3 wanted", "3 running", "own partitions"))
    assert "6 partitions" in told[0]
    assert "board-by-name" in told[2]
    wait_until(lambda: "6 wanted" in lesson.value("numbers.sentence"), 10)


# -- small steps ----------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_two_boards_go_on_when_two_are_wanted_and_three_when_one_is_stopped(lesson):
    lesson.accepts_step("fewer")
    stub = lesson.client.cells[lesson.steps["fewer"].cell].source
    lesson.refuses_step("fewer", stub, "the loop starts another one")
    told = lesson.takes_step("fewer", stub.replace("lab.services", "loop.stop()\nlab.services"))
    assert "nobody brings back a board" in told.text


@pytest.mark.shares_a_lab
def test_the_group_does_not_notice_a_static_members_restart_and_does_a_strangers(lesson):
    lesson.accepts_step("names")
    stub = lesson.client.cells[lesson.steps["names"].cell].source
    lesson.refuses_step("names", stub, "came back as a stranger")
    lesson.execute("loop.stop(); lab.services.stop()")


# -- exercise 1 -----------------------------------------------------------------------------

KEEP = """
night, night_crew = new_shift("night", partitions=6)
gates = {"kind": "StatefulSet", "metadata": {"name": "gate"}, "spec": {"replicas": 3}}


def start(name):
    lab.service(board, night, night_crew, True, name=name, settings={"work": 0})


def keep():
    wanted, there = gates["spec"]["replicas"], running("gate-")
PASS
    return {"wanted": wanted, "running": len(there)}


LAST
"""
REPEAT = "gate_loop = lab.repeat(keep, every=0.3)"


def keep(code: str, last: str = REPEAT) -> str:
    lines = "\n".join(f"    {line}" for line in code.strip("\n").splitlines())
    return KEEP.replace("PASS", lines).replace("LAST", last)


START_MISSING = """
for number in range(wanted):
    if f"gate-{number}" not in there:
        start(f"gate-{number}")
"""
STOP_OTHERS = """
for name in there:
    if name not in [f"gate-{number}" for number in range(wanted)]:
        lab.services[name].stop()
"""
GOOD = START_MISSING + STOP_OTHERS
WRONG_LOOPS = {
    "kills what is too much": (keep(GOOD.replace(".stop()", ".crash()")), "crash() is a power cut"),
    "returns nothing": (
        keep(GOOD).replace('    return {"wanted": wanted, "running": len(there)}\n', ""),
        "writes what it has seen",
    ),
    "raises an error": (keep("start(f'gate-{numero}')"), "run the whole cell again"),
    "never stops one": (keep(START_MISSING), "works in both directions"),
    "the next free number": (
        keep(
            """
for _ in range(wanted - len(there)):
    start(f"gate-{next(numbers)}")
for name in there[wanted:]:
    lab.services[name].stop()
""",
            "from itertools import count\nnumbers = count()\n" + REPEAT,
        ),
        "Go by names",
    ),
    "the oldest goes": (
        keep(
            START_MISSING.replace("range(wanted)", "range(wanted if len(there) < wanted else 0)")
            + """
for name in sorted(there)[: max(len(there) - wanted, 0)]:
    lab.services[name].stop()
"""
        ),
        "highest number goes first",
    ),
    "acts only once": (
        keep(START_MISSING + STOP_OTHERS, "keep()"),
        "what was started, or what runs",
    ),
    "counts what was started": (
        keep(
            """
for number in range(wanted):
    if f"gate-{number}" not in lab.services or lab.services[f"gate-{number}"].state == "stopped":
        start(f"gate-{number}")
"""
        ),
        "what was started, or what runs",
    ),
    "names from 1 on": (
        keep(
            """
for number in range(1, wanted + 1):
    if f"gate-{number}" not in there:
        start(f"gate-{number}")
"""
        ),
        "a number of its own, from 0 on",
    ),
    "one too few": (
        keep(START_MISSING.replace("range(wanted)", "range(wanted - 1)")),
        "How many names does your loop go through",
    ),
}
RIGHT_LOOPS = {
    "restarts the service": keep(
        """
for number in range(wanted):
    name = f"gate-{number}"
    if name not in lab.services:
        start(name)
    elif name not in there:
        lab.services[name].restart()
"""
        + STOP_OTHERS
    )
    # a name of its own: a service that is restarted has the topic that it had
    .replace("gate-", "pier-")
    .replace('"gate"', '"pier"'),
    "one step in each pass, with ordinary members": keep(
        (START_MISSING + STOP_OTHERS).replace("start(f", "begin(f"),
        """
def begin(name):
    lab.service(board, night, night_crew, name=name, settings={"work": 0})


"""
        + REPEAT,
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_LOOPS, 1))
def test_a_wrong_loop_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(1, *WRONG_LOOPS[wrong], wrong)
    assert lesson.value("gates")["spec"]["replicas"] == 3


@pytest.mark.shares_a_lab
def test_the_solution_keeps_names_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_a_gate_that_is_restarted_is_told_to_be_of_an_earlier_try(lesson):
    """After the solution: gate-0 and the others are known, with their topic and group."""
    again = """
for name in [f"gate-{number}" for number in range(wanted)]:
    if name not in there:
        lab.services[name].restart() if name in lab.services else start(name)
"""
    lesson.accepts_its_solution(1)
    lesson.refuses(1, keep(again + STOP_OTHERS), "Is there a restart() in your loop")


NAMES = frozenset({"gate-0", "gate-1", "gate-2"})
FOUND = {"group": "night-b", "name": "gate", "wanted": 3}
LESS = FOUND | {"fewer": 2, "surplus": "gate-2"}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("crew", "hint"),
    [
        (Crew(NAMES, frozenset(), NAMES, {}, other="night-a"), "restart()"),
        (Crew(NAMES, frozenset(), NAMES, {}, other="board"), "night and night_crew"),
        (Crew(NAMES, frozenset(), NAMES, {}), "night and night_crew"),
        (Crew(NAMES, frozenset(), frozenset(), {}, error="NameError", loop_failed=True), "line"),
        (Crew(NAMES, NAMES - {"gate-2"}, NAMES - {"gate-2"}, {"gate-2": "crashed"}), "anew"),
        (Crew(NAMES, NAMES | {"gate-3"}, NAMES, {}), "each pass"),
        (Crew(NAMES, NAMES - {"gate-0"} | {"gate-3"}, NAMES, {}), "number of its own"),
    ],
)
def test_a_crew_is_judged_by_what_was_gathered(crew, hint):
    assert hint in _judge_start(crew, FOUND).hint


@pytest.mark.fast
def test_one_less_is_judged_by_who_went_and_how_and_what_was_told():
    right = Crew(NAMES - {"gate-2"}, NAMES - {"gate-2"}, NAMES - {"gate-2"}, {})
    assert _judge_start(Crew(NAMES, NAMES, NAMES, {}), FOUND) is None
    assert _judge_scale(right, False, [(2, 3), (2, 2)], LESS) is None
    assert "power cut" in _judge_scale(right, True, [(2, 2)], LESS).hint
    assert "status" in _judge_scale(right, False, [(3, 3)], LESS).hint
    stays = Crew(NAMES - {"gate-2"}, NAMES, NAMES, {})
    assert "both directions" in _judge_scale(stays, False, [], LESS).hint
    wrong = Crew(NAMES - {"gate-2"}, NAMES - {"gate-0"}, NAMES - {"gate-0"}, {})
    assert "names are wanted" in _judge_scale(wrong, False, [], LESS).hint


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_LOOPS, 1))
@pytest.mark.landing
def test_another_right_way_keeps_names(lesson, right):
    lesson.accepts(1, RIGHT_LOOPS[right], right)


# -- exercise 2 -----------------------------------------------------------------------------

STORM = """
partitions, replicas = PARTITIONS, REPLICAS
storm_topic, storm_crew = new_shift("storm", partitions)
lab.service(operations, storm_topic, 100, partitions, name="weather")


def storm_board(service, topic, group):
    names = {"client_id": NAME, "group_id": group, "auto_offset_reset": "earliest"}
    names |= {MORE}
    with closing(KafkaConsumer(topic, **lab.connection, **CLOCKS, **names)) as consumer:
        while service.running:
            batch = consumer.poll(timeout_ms=500, max_records=20)
            with suppress(CommitFailedError, RebalanceInProgressError):
                BEFORE
            for record in chain(*batch.values()):
                if not service.wait(0.025):
                    ASKED
                REPORT
            with suppress(CommitFailedError, RebalanceInProgressError):
                AFTER


lab.service(storm_board, storm_topic, storm_crew, name="storm-1", copies=replicas)
"""


def storm(partitions=4, replicas=4, **changes) -> str:
    parts = {
        "PARTITIONS": partitions,
        "REPLICAS": replicas,
        "NAME": "service.name",
        "MORE": "'enable_auto_commit': False",
        "BEFORE": "pass",
        "ASKED": "pass",
        "REPORT": "service.report(partition=record.partition, handled=record.offset)",
        "AFTER": "consumer.commit()",
    } | changes
    code = STORM
    for name, part in parts.items():
        code = code.replace(name, str(part))
    return code


WRONG_STORMS = {
    "more replicas than partitions": (storm(4, 6), "no more boards than partitions"),
    "too few replicas": (storm(6, 3), "at least 4 boards"),
    "too few partitions": (storm(3, 3), "Both numbers have to grow"),
    "does not divide": (storm(6, 4), "a partition cannot be cut in two"),
    "close commits what was handed out": (
        storm(MORE="", ASKED="return", AFTER="pass"),
        "what does close() commit",
    ),
    "commits before the work": (
        storm(BEFORE="consumer.commit()", ASKED="return", AFTER="pass"),
        "Commit yourself after the work",
    ),
    "never commits": (storm(AFTER="pass"), "a commit after the work"),
    "without a name": (storm(NAME="'somebody'"), "Keep client_id=service.name"),
    "without a report": (storm(REPORT="pass"), "Keep that line"),
    "nobody": (storm().rpartition("\nlab.service")[0], "Start them with lab.service"),
}
RIGHT_STORMS = {
    "six and six": storm(6, 6, ASKED="return"),
    "eight for four, static": storm(
        8, 4, MORE="'group_instance_id': service.name, 'enable_auto_commit': False"
    ),
    "auto-commit, and the batch is finished": storm(MORE="", AFTER="pass"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_STORMS, 1))
def test_a_wrong_storm_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(2, *WRONG_STORMS[wrong], wrong)


@pytest.mark.shares_a_lab
def test_the_solution_carries_the_storm_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_STORMS, 1))
@pytest.mark.landing
def test_another_right_way_carries_the_storm(lesson, right):
    lesson.accepts(2, RIGHT_STORMS[right], right)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_experiments_can_be_run_again(lesson):
    """After the last exercise: the boards are started again, and the lesson's cells with them."""
    lesson.execute("new_shift('end', 1); work = 0.0")
    lesson.execute("deployment['spec']['replicas'] = 3")
    for cell in ("operations", "repeat", "kill", "kill-answer", "scale", "scale-back", "loop-ends"):
        lesson.again(lesson.index(cell))
    assert not lesson.errors
    assert lesson.value("owning") == 6

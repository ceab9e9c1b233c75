"""The capstone's day: its faults follow from a seed, and its verdict from what is there."""

import _thread
import json
import re
import threading
from pathlib import Path

import pytest
from capstone_faulty import DAY, FAULTY, FLIGHTS, recorded
from conftest import wait_until

from lab_env.course import lessons
from lab_env.day import card, faults, play
from lab_env.day.contract import READS
from lab_env.day.evidence import DayRecord, Moment, loads
from lab_env.day.faults import Fault
from lab_env.day.script import script, truth
from lab_env.day.verdict import judge
from lab_env.ground.errors import BadInputError

LINES = script(DAY, FLIGHTS)
TRUE = truth(LINES)


@pytest.fixture(scope="module")
def known() -> dict:
    return recorded()


# -- the script ------------------------------------------------------------------------------


def test_a_whole_day_has_every_flight_and_all_its_trouble():
    day = truth(script("2013-02-08"))
    kinds = {event["event"] for event in day.events.values()}
    assert kinds == {"departed", "landed", "cancelled"}
    assert len(day.commands) == 930
    assert any(aircraft == shown[0] for aircraft, shown in day.board.items())  # no tail number
    assert max(departures for *_, departures in day.board.values()) > 1


def test_a_few_flights_have_the_trouble_of_the_whole_day():
    few = truth(script("2013-02-08", 24))
    assert len(few.commands) == 24
    assert max(departures for *_, departures in few.board.values()) > 1
    assert any(aircraft == shown[0] for aircraft, shown in few.board.items())


# -- the faults ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", faults.LEVELS)
def test_the_same_seed_makes_the_same_faults_and_another_one_makes_others(level):
    made = [faults.faults(level, seed, 3) for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert (made[0] == made[2]) == (level == "calm")


def test_a_storm_has_every_kind_of_fault_and_each_is_one_that_a_student_could_write():
    for seed in range(20):
        storm = faults.faults("storm", seed, 3)
        assert {fault.kind for fault in storm} == set(faults.KINDS)
        assert storm == sorted(map(faults.checked, storm), key=lambda fault: fault.at)


def test_of_one_broker_none_is_killed():
    kinds = {fault.kind for seed in range(20) for fault in faults.faults("storm", seed, 1)}
    assert not kinds & set(faults.SEVERAL)


@pytest.mark.parametrize(
    "wrong",
    [
        "kill service",
        Fault(0.5, "flood"),
        Fault(1.5, "duplicates"),
        Fault(0.5, "kill service"),
        Fault(0.5, "kill service", "tower"),
        Fault(0.5, "lock database", "gates"),
        Fault(0.5, "poison", "gates.replies"),
        Fault(0.5, "duplicates", seconds=-1),
    ],
    ids=repr,
)
def test_a_fault_that_cannot_be_is_refused_with_a_sentence(wrong):
    with pytest.raises(BadInputError):
        faults.checked(wrong)


@pytest.mark.parametrize("given", ["", "x" * 300, "a\0b", 7, b"board.py"], ids=repr)
def test_what_is_no_service_is_refused_before_anything_is_started(given):
    with pytest.raises(BadInputError):
        play.checked({"board": given})
    with pytest.raises(BadInputError, match="operations, gates, baggage, board"):
        play.checked({"board": None})


# -- the verdict, by what was recorded live --------------------------------------------------


def test_the_model_keeps_every_promise(known):
    verdict = judge(known["model"], TRUE)
    assert verdict, verdict.failures
    assert verdict.numbers["letters"] >= verdict.numbers["poison"] == 1
    assert all(seconds is not None for _, seconds in verdict.recoveries)


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda one: one.name)
def test_a_faulty_solution_is_judged_wrong_and_sent_to_its_lesson(known, faulty):
    verdict = judge(known[faulty.name], TRUE)
    found = {one.name: one for one in verdict.failures}
    assert faulty.found in found, verdict.failures
    promise = found[faulty.found]
    assert promise.lesson == faulty.lesson
    assert f"Lesson {faulty.lesson}" in promise.hint
    assert promise.told


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda one: one.name)
def test_a_service_is_not_blamed_for_what_another_one_did(known, faulty):
    blamed = {one.service for one in judge(known[faulty.name], TRUE).failures if one.service}
    assert blamed <= set(faulty.services)


def test_every_lesson_that_a_verdict_names_is_there():
    named = {faulty.lesson for faulty in FAULTY}
    assert named <= {path.name[:2] for path in lessons.paths()}
    assert len(FAULTY) >= 12


def test_the_evidence_is_judged_the_same_after_it_was_written_down(known):
    for evidence in known.values():
        again = loads(evidence.dumps())
        assert again == evidence
        assert judge(again, TRUE) == judge(evidence, TRUE)


# -- single promises, by taking from what the model did --------------------------------------


def changed(evidence, **topics):
    """Return evidence with other records; each group has committed behind the last of them."""
    told = loads(evidence.dumps())
    told.topics.update(topics)
    for service, places in told.committed.items():
        for record in topics.get(READS[service], ()):
            places[record.partition] = max(places.get(record.partition, 0), record.offset + 1)
    return told


def names(evidence) -> set[str]:
    return {one.name for one in judge(evidence, TRUE).failures}


def test_an_event_that_is_sent_twice_is_no_fault_but_one_out_of_order_is(known):
    events = known["model"].topics["airport.events"]
    last = max(record.offset for record in events if record.partition == events[0].partition)
    again = events[0]._replace(offset=last + 100)
    assert names(changed(known["model"], **{"airport.events": [*events, again]})) == set()
    order = {}
    for record in events:
        if isinstance(record.value, dict):
            order.setdefault((record.key, record.partition), []).append(record)
    first, second, *_ = next(records for records in order.values() if len(records) > 1)
    turned = {
        first.place: second._replace(offset=first.offset),
        second.place: first._replace(offset=second.offset),
    }
    moved = [turned.get(record.place, record) for record in events]
    assert "out_of_order" in names(changed(known["model"], **{"airport.events": moved}))


def test_a_service_is_not_said_to_stand_before_a_record_that_has_its_dead_letter(known):
    evidence = loads(known["model"].dumps())
    events = evidence.topics["airport.events"]
    (poison,) = [one for one in events if "poison" in one.headers]
    behind = [one for one in events if one.partition == poison.partition][-1]
    if behind == poison:
        events.append(behind := poison._replace(offset=poison.offset + 1, headers={}))
    evidence.committed["board"][poison.partition] = poison.offset
    found = {one.name: one for one in judge(evidence, TRUE).failures}
    assert "blocked" not in found
    assert (found["stands_still"].service, found["stands_still"].lesson) == ("board", "06")


def test_a_reply_with_a_gate_of_another_airport_does_not_fit(known):
    first, *others = known["model"].topics["gates.replies"]
    wrong = first._replace(value=first.value | {"gate": "SFO-1"})
    assert names(changed(known["model"], **{"gates.replies": [wrong, *others]})) == {"reply_wrong"}


def test_a_flight_that_waited_longer_than_any_fault_explains_is_told(known):
    first, *others = known["model"].topics["gates.replies"]
    late = first._replace(time=first.time + 1000)
    assert names(changed(known["model"], **{"gates.replies": [late, *others]})) == {"waited_long"}
    evidence = changed(known["model"], **{"gates.replies": [late, *others]})
    fault = Moment("hang service", "gates", first.time, first.time + 999)
    evidence.timeline.append(fault)
    assert names(evidence) == set()


def test_an_event_that_no_report_speaks_of_is_invented(known):
    events = known["model"].topics["airport.events"]
    value = events[0].value | {"report": "UFO/landed"}
    ufo = DayRecord(0, 10**6, events[0].time, "UFO", value, {"event-id": "UFO/landed"})
    assert names(changed(known["model"], **{"airport.events": [*events, ufo]})) == {"invented"}


# -- the report card -------------------------------------------------------------------------


def test_a_report_card_is_a_page_and_json_and_says_what_failed_and_where_it_is_taught(
    known, tmp_path
):
    faulty = FAULTY[0]
    evidence = known[faulty.name]
    made = card.ReportCard(evidence, judge(evidence, TRUE))
    assert not made
    page = made.save(tmp_path / "handed in").read_text(encoding="utf-8")
    assert f"Lesson {faulty.lesson}" in page
    assert page.count("<rect") == len(evidence.faults())
    assert not re.search(r"https?://|<script|src=", page), "it needs nothing else"
    told = json.loads((tmp_path / "handed in" / "report_card.json").read_text(encoding="utf-8"))
    assert told["passed"] is False
    assert told["failures"][0]["lesson"] == faulty.lesson
    assert loads(json.dumps(told["evidence"])) == evidence
    assert f"Lesson {faulty.lesson}" in repr(made)


def test_a_card_shows_what_a_student_wrote_as_text(known):
    evidence = loads(known["model"].dumps())
    evidence.timeline.append(Moment("restart", "gates-1", 0.0, 0.0, "<b>oh</b>"))
    evidence.timeline.sort(key=lambda moment: moment.begin)
    assert "<b>oh</b>" not in card.ReportCard(evidence, judge(evidence, TRUE)).html()


# -- live ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(own_home):
    from lab_env import Lab

    with Lab("embedded", progress=False) as lab:
        yield lab


def desk(service, airport):
    """A student's gates, in a cell: right as long as nobody dies."""
    from contextlib import closing

    from kafka import KafkaConsumer, KafkaProducer

    settings = {"group_id": airport.group("gates"), "auto_offset_reset": "earliest"}
    with (
        closing(KafkaProducer(**airport.connection)) as producer,
        closing(KafkaConsumer(**airport.connection | settings)) as consumer,
    ):
        consumer.subscribe([airport.topic("gates.commands")])
        while service.running:
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    headers, command = dict(record.headers), json.loads(record.value)
                    reply = command | {"gate": f"{command['origin']}-7"}
                    producer.send(
                        headers["reply-to"].decode(),
                        json.dumps(reply).encode(),
                        headers=[("correlation-id", headers["correlation-id"])],
                    )
            producer.flush()
            consumer.commit()


@pytest.mark.landing
@pytest.mark.timeout(200)
@pytest.mark.shares_a_lab
def test_a_function_of_a_cell_plays_alone_and_is_judged_alone(lab):
    made = lab.day(DAY, flights=FLIGHTS, seconds=2, gates=desk)
    assert made, made
    assert made.evidence.services == ("gates",)
    assert made.verdict.numbers["replies"] == FLIGHTS
    assert not [one for one in lab.services.values() if one.state == "running"]


@pytest.mark.landing
@pytest.mark.timeout(200)
@pytest.mark.shares_a_lab
def test_an_interrupt_in_the_middle_of_a_fault_leaves_no_broker_paused_and_no_service(lab):
    dark = Fault(0.1, "no coordinator", seconds=600)
    watch = threading.Thread(target=interrupt_when_paused, args=(lab,))
    watch.start()
    with pytest.raises(KeyboardInterrupt):
        lab.day(DAY, flights=FLIGHTS, seconds=2, faults=[dark], gates=desk)
    watch.join()
    assert set(lab.nodes.values()) == {"running"}
    assert not [one for one in lab.services.values() if one.state == "running"]
    assert not [one.name for one in threading.enumerate() if one.name.startswith("lab-day")]


def interrupt_when_paused(lab) -> None:
    wait_until(lambda: "paused" in lab.nodes.values(), 120)
    _thread.interrupt_main()


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("faulty", [None, *FAULTY], ids=lambda one: one.name if one else "model")
@pytest.mark.shares_a_lab
def test_a_solution_that_is_played_is_judged_as_the_recorded_one(lab, faulty):
    from capstone_faulty import play

    verdict = play(lab, faulty).verdict
    told = {(one.name, one.lesson) for one in verdict.failures}
    assert (faulty.found, faulty.lesson) in told if faulty else not told


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1, 11))
def test_the_model_passes_a_storm_on_three_brokers(own_home, seed, tmp_path):
    from lab_env import Lab

    capstone = Path(__file__).parent.parent / "services" / "capstone"
    model = {name: capstone / f"{name}.py" for name in ("operations", "gates", "baggage", "board")}
    with Lab("embedded", brokers=3, progress=False) as lab:
        told = lab.day("2013-02-08", level="storm", seed=seed, flights=300, seconds=60, **model)
        assert told, told.save(tmp_path).with_suffix(".json").read_text(encoding="utf-8")[:4000]
        happened = [fault.kind for fault in told.evidence.faults()]
        assert len(happened) == len(faults.faults("storm", seed, 3)), told.evidence.timeline

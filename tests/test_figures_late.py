"""A lab that looks late, on a busy computer or after its sleep, does not blame Kafka; no broker."""

import pytest
from driven import GROUP, TOPIC, Drive

from lab_env.figures.engine import hearing
from lab_env.observation.facts.delivery import DeliveryLedger
from lab_env.observation.facts.leadership import Leadership
from lab_env.observation.facts.ownership import OwnershipHistory
from lab_env.observation.sample import GroupSample, Replicas, Sample

# drawn as they are drawn for a student, which takes its time
pytestmark = pytest.mark.everyday

ENDS = {(TOPIC, partition): 40 for partition in range(3)}
LATE = 41.0  # seconds between two samples, all of which are answered
KINDS = ("throughput", "queue", "partitions", "ownership", "delivery", "outcomes", "replicas")


@pytest.fixture
def drive(monkeypatch):
    return Drive(monkeypatch)


def group(time: float, state: str = "Stable", stale: float = 0.0, **more) -> Sample:
    one = GroupSample(state, ENDS, dict.fromkeys(ENDS, "gate-1"), ("gate-1",), "classic")
    late = {"topics": stale, GROUP: stale} if stale else {}
    return Sample(time, ENDS, dict.fromkeys(ENDS, 0), {}, {GROUP: one}, late)


@pytest.mark.parametrize("apart", [1.3, 6.0, LATE])
def test_a_rebalance_is_one_however_late_the_samples_are(apart):
    tenure = OwnershipHistory(TOPIC, GROUP)
    tenure.take(group(0.0))
    for number in range(1, 5):
        time = number * apart
        for moment in range(int((number - 1) * apart) + 1, int(time) + 1):
            tenure.wait(moment)  # as a picture says with each frame
        tenure.take(group(time, "PreparingRebalance"))
    tenure.take(group(4 * apart + 0.25))
    assert tenure.count == 1
    (rebalance,) = tenure.rebalances
    assert (rebalance.begin, rebalance.end) == (apart, 4 * apart + 0.25)
    assert tenure.seconds == pytest.approx(3 * apart + 0.25)


def test_a_rebalance_during_which_a_broker_does_not_answer_is_one():
    tenure = OwnershipHistory(TOPIC, GROUP)
    tenure.take(group(0.0, "PreparingRebalance"))
    for time in range(1, 20):
        tenure.take(group(time, "PreparingRebalance", stale=time))
    assert tenure.is_unknown
    tenure.take(group(20, "PreparingRebalance"))
    tenure.take(group(21))
    assert (tenure.count, tenure.seconds) == (1, 21)


def test_a_rebalance_that_ended_while_nobody_answered_stays_ended_and_the_next_is_another():
    tenure = OwnershipHistory(TOPIC, GROUP)
    tenure.take(group(0.0, "PreparingRebalance"))
    tenure.take(group(9.0, "PreparingRebalance", stale=9.0))
    tenure.take(group(10))
    tenure.take(group(11, "PreparingRebalance"))
    tenure.take(group(12))
    assert tenure.count == 2


def test_owners_that_were_not_asked_for_soon_enough_are_still_known():
    tenure = OwnershipHistory(TOPIC, GROUP)
    tenure.take(group(0.0))
    assert not tenure.wait(4.0)  # nobody has asked: the lab is slow, and nothing is unknown
    assert not tenure.is_unknown
    assert tenure.wait(LATE)
    tenure.take(group(LATE + 1))
    tenure.take(group(LATE + 4, stale=3.0))  # asked, and no answer: soon unknown
    assert tenure.is_unknown


@pytest.mark.parametrize("kind", KINDS)
def test_a_kafka_that_was_not_asked_has_not_failed_to_answer(drive, kind):
    picture = drive.picture(kind)
    said = []
    for _ in range(2):
        drive.sample(ENDS, ENDS, ("gate-1",))
        for _ in range(5):
            drive.clock.time += LATE / 5
            drive.clock.mark(f"slide {drive.clock.time}")
            drive.frames()
            said.append(picture.sentence)
    drive.sample(ENDS, ENDS, ("gate-1",))
    said.append(drive.end(picture).sentence)
    assert not [words for words in said if "answer" in words]
    assert not getattr(picture, "_outages", [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_computer_finds_an_open_question_and_does_not_blame_kafka(drive, kind):
    picture = drive.picture(kind)
    drive.go(1, step=0.5, each=lambda time: drive.sample(ENDS, ENDS, ("gate-1",)))
    drive.observer.asking = drive.clock.time
    drive.frames()
    drive.clock.time += 60  # nothing ran, neither the question nor the pictures
    drive.clock.mark("awake")
    drive.frames()
    assert "answer" not in picture.sentence
    drive.sample(ENDS, ENDS, ("gate-1",), at=drive.observer.asking)
    drive.observer.asking = None
    assert "answer" not in drive.end(picture).sentence


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_without_an_answer_is_told(drive, kind):
    picture = drive.picture(kind)
    drive.go(1, step=0.5, each=lambda time: drive.sample(ENDS, ENDS, ("gate-1",)))
    stale = dict.fromkeys(("topics", GROUP, "repairs"), 0.25)
    drive.go(3, step=0.5, each=lambda time: drive.sample(ENDS, ENDS, ("gate-1",), stale=stale))
    assert "no answer from Kafka for" in picture.sentence


def test_a_question_that_stays_open_for_long_is_a_silence():
    heard = hearing.Hearing(0.0)
    heard.hear(1.0, 0.0)
    for tenth in range(10, 100):
        heard.wait(tenth / 10, 1.2)
    assert heard.silence(9.9) == pytest.approx(8.7)
    heard.hear(1.2, 0.0)  # the answer
    assert heard.silence(10) == 0


def test_late_leaders_are_unseen_and_not_unanswered():
    history = Leadership(TOPIC)
    kept = {(TOPIC, 0): Replicas(1, (1, 2), (1, 2))}
    history.take(Sample(0.0, ENDS, {}, kept, {}, {}))
    assert not history.wait(4.0)
    assert history.wait(LATE)
    assert not history.is_unanswered


# -- lost -----------------------------------------------------------------------------------------


def books(time: float, committed: int) -> Sample:
    one = GroupSample("Stable", {(TOPIC, 0): committed})
    return Sample(time, {(TOPIC, 0): 133}, {(TOPIC, 0): 0}, {}, {GROUP: one}, {})


def handled(time: float, offset: int) -> dict:
    return {"time": time, "service": "b", "handled": offset, "partition": 0, "offset": offset}


def test_one_gap_of_a_minute_is_no_second_in_which_a_record_was_missing():
    """A group was frozen between its commit and its reports, with all else."""
    ledger = DeliveryLedger(TOPIC, GROUP)
    ledger.take(books(0.0, 0))
    for offset in range(100):
        ledger.report(handled(0.2, offset))
    ledger.report(handled(0.2, 120))
    ledger.take(books(0.25, 133))  # eight and more are committed, and still to be reported
    assert ledger.lost == 0
    ledger.take(books(60.25, 133))  # awake: the reports are on their way
    assert ledger.lost == 0
    ledger.take(books(60.5, 133))
    assert ledger.lost == 0
    for offset in range(100, 133):
        ledger.report(handled(60.6, offset))
    for quarter in range(20):
        ledger.take(books(60.75 + quarter / 4, 133))
        assert ledger.lost == 0


def test_what_is_missing_for_a_second_of_samples_is_lost_even_where_they_are_late():
    ledger = DeliveryLedger(TOPIC, GROUP)
    ledger.take(books(0.0, 0))
    ledger.report(handled(0.1, 132))
    for number in range(1, 6):
        ledger.take(books(number * LATE, 133))
    assert ledger.lost == 132

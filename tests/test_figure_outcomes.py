"""The picture of blocked partitions and outcomes: from samples made by hand, and a real lab."""

import numpy as np
import pytest
from conftest import wait_until
from pictures import assert_readable, final, near, words_of_every_frame

from lab_env import Lab
from lab_env.figures import Show
from lab_env.figures.engine import style
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.observation.facts.progress import BLOCKED, PartitionProgress
from lab_env.observation.sample import GroupSample, Sample

TOPIC, GROUP, DEAD, RETRY, REPAIR = "flights", "billing", "dead", "retry", "repairs"


class Bench:
    """What feeds one picture: samples and reports made by hand."""

    def __init__(self):
        self.journal, self.reports = Journal(), Reports()
        self.samples: list[Sample] = []
        self.show = Show(self, self.reports, self.journal)

    def after(self, count):
        return self.samples[count:]

    def watch(self, topics=(), groups=()):
        return self

    def tell(self, time, ends, done, *, repaired=None, owners=True, stale=0.0) -> None:
        """Add a sample: ends and commits by partition of the topic, or by (topic, partition)."""
        at = {key if isinstance(key, tuple) else (TOPIC, key): v for key, v in ends.items()}
        committed = {key if isinstance(key, tuple) else (TOPIC, key): v for key, v in done.items()}
        owner = {place: "clerk" for place in at if place[0] == TOPIC} if owners else {}
        groups = {GROUP: GroupSample("Stable", committed, owner)}
        if repaired is not None:
            groups[REPAIR] = GroupSample("Empty", {(DEAD, 0): repaired})
        ages = {"topics": stale, GROUP: stale} if stale else {}
        self.samples.append(Sample(time, at, {}, {}, groups, ages))

    def end(self, figure, time: float):
        """Stop a picture at a time of the lab's clock, and wait for its last frame."""
        return final(figure, self.journal, time)


@pytest.fixture
def bench():
    made = Bench()
    made.start = made.journal.now() + 1.0
    yield made
    made.show.close()


def every(begin: float, end: float) -> np.ndarray:
    return np.arange(begin, end + 1e-9, 0.25)


# -- what is blocked --------------------------------------------------------------------------


def test_blocked_is_what_waits_and_is_not_committed_for_two_seconds():
    standing = PartitionProgress()
    for time in every(0, 10):
        standing.take(time, end=int(time) + 5, committed=3, owner="clerk")
    assert standing.state == BLOCKED
    assert standing.stretches[-1][:2] == [0, 10]  # it has been since its last commit
    assert standing.blocked_for == 10
    standing.take(10.25, 15, 4, "clerk")
    assert standing.state == "moves"
    assert standing.longest == 10


def test_who_gets_on_slowly_or_has_nothing_to_do_is_not_blocked():
    slow, idle = PartitionProgress(), PartitionProgress()
    for time in every(0, 10):
        slow.take(time, end=100, committed=int(time / 1.75), owner="clerk")
        idle.take(time, end=7, committed=7, owner="clerk")
    assert slow.longest == idle.longest == 0
    idle.take(11, 8, 7, "clerk")  # the time without work does not count
    assert idle.longest == 0


def test_what_nobody_could_read_is_no_block():
    standing = PartitionProgress()
    for time in (*every(0, 1), *every(8, 9.5)):
        if time == 8:
            standing.lose()
        standing.take(time, 10, 3, "clerk")
    assert standing.longest == 0
    standing.lose()
    standing.lose()
    assert standing.stretches.count(None) == 2


# -- the picture ------------------------------------------------------------------------------


def test_a_blocked_partition_is_told_by_the_broker_alone(bench):
    figure = bench.show.outcomes(TOPIC, GROUP)
    frames = words_of_every_frame(figure)
    begin = bench.start
    for time in every(begin, begin + 10):
        grown = int((time - begin) * 10)
        bench.tell(time, {0: grown, 1: grown + 4}, {0: grown, 1: 4})
    bench.end(figure, begin + 10.1)
    assert "partition 1 has been blocked for 10 s and 100 records wait in it" in figure.sentence
    assert "partition 0" not in figure.sentence
    words = [text for text, _ in frames[-1]]
    assert {"blocked 9.8 s", "100 wait", "0 wait"} <= set(words)


def test_a_block_has_its_colour_from_its_first_frame(bench):
    figure = bench.show.outcomes(TOPIC, GROUP)
    begin = bench.start
    bench.journal.epoch -= 1.5
    for time in every(begin, begin + 1):
        bench.tell(time, {0: 10}, {0: 3})
    wait_until(lambda: figure._standings and figure.frames > 1, 30)
    frames = figure.frames
    bench.tell(begin + 1.25, {0: 11}, {0: 3})
    wait_until(lambda: figure.frames > frames, 30)
    for time in every(begin + 1.5, begin + 10):
        bench.tell(time, {0: 11}, {0: 3})
    bench.end(figure, begin + 10.1)
    assert (
        near(figure, style.VERMILLION, 30).sum() > 500
    )  # pictures have few colours, and a new one needs its place


def test_a_block_that_is_over_and_one_that_nobody_reads(bench):
    figure = bench.show.outcomes(TOPIC, GROUP)
    begin = bench.start
    for time in every(begin, begin + 9):
        done = 3 if time < begin + 4 else 10
        bench.tell(time, {0: 10, 1: 10}, {0: done, 1: 2}, owners=time < begin + 5)
    bench.end(figure, begin + 9.1)
    assert "partition 0 was blocked for up to 4 s" in figure.sentence
    assert "nobody has read partition 1 for 9 s and 8 records wait in it" in figure.sentence


def test_a_silent_broker_blocks_nobody(bench):
    figure = bench.show.outcomes(TOPIC, GROUP)
    begin = bench.start
    for time in every(begin, begin + 8):
        stale = time - begin - 1 if begin + 1 < time < begin + 6.5 else 0.0
        bench.tell(time, {0: 10}, {0: 3}, stale=stale)
    bench.end(figure, begin + 8.1)
    assert "no partition has been blocked" in figure.sentence


def test_the_broker_counts_what_it_can_and_the_services_say_the_rest(bench):
    office = {"retry": [RETRY], "dead": DEAD, "repair": REPAIR}
    bench.tell(bench.journal.now(), {0: 5, (RETRY, 0): 2, (DEAD, 0): 3}, {0: 5}, repaired=1)
    figure = bench.show.outcomes(TOPIC, GROUP, **office)
    begin = bench.start
    for count in range(5):
        ends = {0: 9, (RETRY, 0): 2 + count, (DEAD, 0): 3 + 2 * count}
        bench.tell(begin + count, ends, {0: 9, (RETRY, 0): 3}, repaired=1 + count)
    for outcome in ("handled", "handled", "parked", "retried", "skipped", "lent out"):
        row = {"time": begin + 1, "service": "clerk", "outcome": outcome}
        bench.reports.append(row)
    bench.reports.append({"time": begin + 1, "service": "clerk", "handled": 3})
    bench.end(figure, begin + 4.5)
    for told in ("retried: 4", "parked: 8", "replayed: 4", "handled: 2", "skipped: 1",
                 "lent out: 1", "3 records wait in the retry topics"):  # fmt: skip
        assert told in figure.sentence


def test_a_topic_that_is_made_anew_begins_at_zero_and_what_was_stays(bench):
    figure = bench.show.outcomes(TOPIC, GROUP, dead=DEAD)
    begin = bench.start
    for time in every(begin, begin + 4):
        bench.tell(time, {0: 9, (DEAD, 0): 6}, {0: 2})
    bench.tell(begin + 4.25, {}, {})
    for time in every(begin + 4.5, begin + 8):
        bench.tell(time, {0: 4, (DEAD, 0): 1}, {0: 4})
    bench.end(figure, begin + 8.1)
    assert "partition 0 was blocked for up to 4 s" in figure.sentence
    assert "parked: 1" in figure.sentence


@pytest.mark.everyday
@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("partitions", [1, 3, 6, 12])
def test_words_do_not_touch_however_many_partitions(bench, partitions, scale):
    bench.show.scale = scale
    figure = bench.show.outcomes(TOPIC, GROUP, RETRY, DEAD, REPAIR)
    frames = words_of_every_frame(figure)
    begin = bench.start
    for time in every(begin, begin + 40):
        at = int((time - begin) * 20)
        stops = {n: int(at / (200 + 50 * n)) * (200 + 50 * n) for n in range(partitions)}
        ends = dict.fromkeys(range(partitions), at) | {(RETRY, 0): at, (DEAD, 0): at - 2}
        bench.tell(time, ends, stops, repaired=at - 4)
        bench.reports.append({"time": time, "service": "clerk", "outcome": "handled"})
        bench.reports.append({"time": time, "service": "clerk", "outcome": "skipped"})
    bench.end(figure, begin + 40.1)
    assert_readable(figure, frames[-1])


def test_what_is_out_of_sight_is_forgotten_and_still_counted(bench):
    figure = bench.show.outcomes(TOPIC, GROUP)
    begin = bench.start
    for time in every(begin, begin + 400):
        bench.tell(time, {0: 10_000}, {0: int((time - begin) / 3)})
    bench.end(figure, begin + 400.1)
    assert "has been blocked" in figure.sentence or "was blocked for up to 3 s" in figure.sentence
    assert len(figure._standings[TOPIC, 0].stretches) < 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": ""},
        {"group": None},
        {"retry": 3},
        {"retry": [""]},
        {"dead": 7},
        {"repair": "repairs"},
        {"dead": DEAD, "repair": ""},
    ],
)
def test_arguments_that_cannot_work_are_refused(bench, wrong):
    with pytest.raises(BadInputError):
        bench.show.outcomes(TOPIC, **{"group": GROUP} | wrong)


# -- with a real Kafka ------------------------------------------------------------------------


def clerk(service, connection, topic, group):
    from kafka import KafkaConsumer

    options = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    consumer = KafkaConsumer(topic, group_id=group, client_id="clerk", **options, **connection)
    while service.running:
        for records in consumer.poll(timeout_ms=500, max_records=1).values():
            while service.settings["stuck"] and records[0].value == b"bad" and service.wait(0.1):
                pass
            service.report(outcome="handled")
            consumer.commit()
    consumer.close()


@pytest.mark.landing  # on a real Kafka; without one it is tried above
def test_one_bad_record_blocks_its_partition_until_somebody_lets_it_go(own_home):
    from kafka import KafkaProducer

    with Lab() as lab:
        topic, group = lab.topic("flights", partitions=2), lab.group("billing")
        figure = lab.show.outcomes(topic, group)
        clerks = lab.service(
            clerk, lab.connection, topic, group, copies=2, settings={"stuck": True}
        )
        # a clerk who hangs lets nobody join: both have to be there before
        watch = lab.watch(topic, groups=[group])
        assert lab.until(lambda: len(set(watch.samples[-1].groups[group].owners.values())) == 2, 60)
        with KafkaProducer(**lab.connection) as producer:
            for number in range(20):
                producer.send(topic, b"bad" if number == 4 else b"good", partition=number % 2)

        def told() -> bool:
            words = figure.sentence
            blocked = "partition 0 has been blocked for" in words and "8 records wait" in words
            return blocked and "partition 1 has" not in words

        assert lab.until(told, 60), figure.sentence
        clerks.set(stuck=False)
        assert lab.until(lambda: "handled: 20" in figure.sentence, 60)
        assert lab.until(lambda: "partition 0 was blocked for up to" in figure.sentence, 60)
        final(figure)

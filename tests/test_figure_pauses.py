"""Pauses measured at the members: the frame, and its picture; one test with a real lab."""

import numpy as np
import pandas as pd
import pytest
from pictures import assert_readable, final, words_of_every_frame

from lab_env import Lab
from lab_env.figures import Show
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.reports import Reports
from lab_env.observation.facts.pauses import pauses


def rows(member: str, *times: float, handled: object = 1) -> list[dict]:
    return [{"time": at, "service": member, "handled": handled} for at in times]


# -- the frame --------------------------------------------------------------------------------


def test_a_pause_lasts_from_one_record_to_the_next():
    found = pauses(rows("b", 1.0, 1.2, 3.0, 3.1) + rows("a", 0.5, 0.9, 1.1, 5.0))
    assert found.columns.tolist() == ["member", "begin", "end", "seconds"]
    assert found.member.tolist() == ["a", "a", "b"]
    assert found.begin.tolist() == [0.5, 1.1, 1.2]
    assert found.end.tolist() == [0.9, 5.0, 3.0]
    assert found.seconds.tolist() == pytest.approx([0.4, 3.9, 1.8])
    assert pauses(rows("a", 0.0, 0.9, 2.0), longer_than=1.0).begin.tolist() == [0.9]
    assert found[["begin", "end", "seconds"]].dtypes.tolist() == ["float64"] * 3


def test_a_frame_and_rows_in_any_order_give_the_same():
    made = rows("a", 3.0, 1.0, 1.1) + rows("b", 2.0, 0.0) + [{"time": 2.0, "service": "a", "x": 1}]
    frame = pd.DataFrame(made)
    assert frame.handled.isna().any()  # the report of something else
    assert pauses(frame).equals(pauses(made))
    assert pauses(made).begin.tolist() == [0.0, 1.1]


def test_nothing_handled_is_no_record():
    made = rows("a", 0.0, 3.0) + rows("a", 1.0, 2.0, handled=0) + rows("a", 1.5, handled=None)
    assert pauses(made).seconds.tolist() == [3.0]
    assert pauses(rows("a", 0.0, 3.0, handled="order-7")).seconds.tolist() == [3.0]


@pytest.mark.parametrize(
    "nothing", [[], pd.DataFrame(), rows("a", 1.0), [{"time": 1, "service": "a"}]]
)
def test_no_pause_is_a_frame_with_the_same_columns(nothing):
    found = pauses(nothing)
    assert len(found) == 0
    assert found.columns.tolist() == ["member", "begin", "end", "seconds"]
    assert found.seconds.dtype == "float64"


@pytest.mark.parametrize("wrong", [0, -1, "soon", None, float("nan")])
def test_a_limit_that_cannot_work_is_refused(wrong):
    with pytest.raises(BadInputError):
        pauses([], wrong)


# -- the picture ------------------------------------------------------------------------------


class Bench:
    """What feeds one picture: reports and marks made by hand; no samples are needed."""

    def __init__(self):
        self.journal, self.reports = Journal(), Reports()
        self.samples: list = []
        self.show = Show(self, self.reports, self.journal)

    def after(self, count):
        return self.samples[count:]

    def report(self, member: str, begin: float, end: float, every: float = 0.1) -> None:
        for at in np.arange(begin, end + 1e-9, every):
            self.reports.append(rows(member, float(at))[0])

    def end(self, figure, time: float):
        """Stop a picture at a time of the lab's clock, and wait for its last frame."""
        return final(figure, self.journal, time)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def test_gaps_have_their_length_and_the_longest_stands_at_the_right(bench):
    figure = bench.show.pauses()
    frames = words_of_every_frame(figure)
    bench.report("truck-1", 1, 8)
    bench.report("truck-1", 10.5, 20)
    bench.report("truck-1", 21.4, 25)
    bench.report("truck-2", 2, 25)
    bench.report("truck-3", 2, 18)
    bench.end(figure, 25.2)
    words = [text for text, _ in frames[-1]]
    assert {"2.5 s", "1.4 s", "longest 2.5 s", "no pause", "truck-1", "truck-2"} <= {*words}
    assert any(text.startswith("7.") for text in words)  # what goes on
    assert "pauses of truck-1: 2, the longest 2.5 s" in figure.sentence
    assert "truck-2 has not paused" in figure.sentence
    assert "truck-3 has handled nothing for 7." in figure.sentence
    assert "2.5" in figure.sentence
    frame = pauses(bench.reports.rows)
    assert frame.seconds.max() == pytest.approx(2.5)  # the frame says what the picture does


def test_a_member_that_crashed_does_not_pause_for_ever(bench):
    figure = bench.show.pauses()
    bench.report("truck-1", 1, 5)
    bench.journal.marks.append(Mark(5.1, "truck-1 crashes", "crash", "truck-1"))
    bench.end(figure, 15)
    assert "truck-1 has not paused" in figure.sentence
    assert "now" not in figure.sentence
    again = bench.show.pauses()
    bench.journal.marks.append(Mark(16.0, "truck-1 starts", "start", "truck-1"))
    bench.report("truck-1", 17, 18)
    bench.end(again, 25)
    assert "truck-1 has handled nothing for 7." in again.sentence


def test_a_setting_of_a_service_without_a_row_is_not_marked(bench):
    figure = bench.show.pauses("truck-1")
    frames = words_of_every_frame(figure)
    bench.report("truck-1", 1, 9)
    bench.journal.marks.append(Mark(3.0, "truck-2: open = True", "setting", "truck-2"))
    bench.journal.marks.append(Mark(6.0, "truck-1: open = True", "setting", "truck-1"))
    bench.end(figure, 9.1)
    words = [text for text, _ in frames[-1]]
    assert "truck-1: open = True" in words
    assert not any("truck-2" in text for text in words)


def test_only_the_services_that_are_asked_for(bench):
    figure = bench.show.pauses("truck-1", longer_than=1.0)
    other = bench.show.pauses(["truck-2", "truck-3"])
    for name in ("truck-1", "truck-2"):
        bench.report(name, 1, 5)
        bench.report(name, 5.5, 9)
    bench.end(figure, 9.1)
    bench.end(other, 9.1)
    assert "truck-1 has not paused" in figure.sentence
    assert "truck-2" not in figure.sentence
    assert "pauses of truck-2: 1," in other.sentence
    assert "truck-3 has handled nothing yet" in other.sentence
    with pytest.raises(BadInputError):
        bench.show.pauses([7])
    with pytest.raises(BadInputError):
        bench.show.pauses(longer_than=0)


@pytest.mark.everyday
@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("members", [1, 3, 8, 12])
def test_words_do_not_touch_however_many_members(bench, members, scale):
    bench.show.scale = scale
    figure = bench.show.pauses()
    frames = words_of_every_frame(figure)
    for k in range(members):
        for begin in range(1, 50, 4):
            bench.report(f"truck-{k + 1}", begin, begin + 3.5 - 0.4 * (k % 5))
    bench.end(figure, 52)
    assert_readable(figure, frames[-1])


def test_what_is_out_of_sight_is_forgotten_and_still_counted(bench):
    figure = bench.show.pauses()
    for begin in range(1, 400):
        bench.report("truck-1", begin, begin + 0.5)
    bench.end(figure, 400)
    assert "pauses of truck-1: 398," in figure.sentence
    assert len(figure._members["truck-1"].ends) < 130


# -- with a real Kafka ------------------------------------------------------------------------


def produce(service, connection, topic):
    from kafka import KafkaProducer

    with KafkaProducer(**connection) as producer:
        while service.wait(0.02):
            producer.send(topic, b"flight")


def truck(service, connection, topic, group):
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        group_id=group,
        client_id=service.name,
        session_timeout_ms=3000,
        heartbeat_interval_ms=300,
        **connection,
    )
    while service.running:
        records = sum(map(len, consumer.poll(timeout_ms=500).values()))
        if records:
            service.report(handled=records)
    consumer.close()


@pytest.mark.landing  # on a real Kafka; without one it is tried above
def test_members_pause_while_a_crash_is_noticed(own_home):
    with Lab() as lab:
        topic, group = lab.topic("flights", partitions=6), lab.group("refuel")
        figure = lab.show.pauses()
        lab.service(produce, lab.connection, topic)
        lab.service(truck, lab.connection, topic, group, name="truck", copies=3)

        def working() -> set:
            recent = lab.journal.now() - 1.0
            return {row["service"] for row in lab._reports.rows if row["time"] > recent}

        assert lab.until(lambda: len(working()) == 3, 60)
        lab.services["truck-2"].crash()
        crash = lab.journal.now()
        # the others stand still while the group is rebalanced, and go on
        assert lab.until(lambda: (lab.pauses(0.2).end > crash + 1).any(), 60)
        assert lab.until(lambda: working() == {"truck-1", "truck-3"}, 60)
        found = lab.pauses()
        assert {*found.member} <= {"truck-1", "truck-2", "truck-3"}
        final(figure)
        for name in ("truck-1", "truck-2", "truck-3"):
            assert name in figure.sentence
        assert "truck-2 has handled nothing" not in figure.sentence  # it is dead, it does not pause
        assert "produce" not in figure.sentence

"""The picture of a topic's partitions, fed with samples by hand; no broker."""

import random

import pytest
from conftest import wait_until
from pictures import assert_readable, final, near, words_of_every_frame

from lab_env.figures import Show, partitions
from lab_env.figures.engine import style
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.observation.sample import Sample

TOPIC = "flights.departed"


class Bench:
    """What feeds one picture: offsets by partition, and samples made of them."""

    def __init__(self):
        self.journal = Journal()
        self.samples: list[Sample] = []
        self.watched: list[str] = []
        self.ends: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.show = Show(self, Reports(), self.journal)

    def watch(self, topics=(), groups=()):
        self.watched += [*topics, *groups]
        return self

    def after(self, count):
        return self.samples[count:]

    def sample(self, time: float | None = None, stale: float = 0.0) -> None:
        ends = {(TOPIC, p): end for p, end in self.ends.items()} | {("other", 0): 9}
        starts = {(TOPIC, p): start for p, start in self.starts.items()}
        age = {"topics": stale} if stale else {}
        now = self.journal.now() if time is None else time
        self.samples.append(Sample(now, ends, starts, {}, {}, age))

    def past(self, seconds: float, counts: dict[int, int]) -> None:
        """Let seconds pass in which so many records came to each partition, as samples saw it."""
        begin, before = self.journal.now(), dict(self.ends)
        self.journal.epoch -= seconds
        steps = int(seconds * 4)
        for step in range(steps + 1):
            for partition, more in counts.items():
                self.ends[partition] = before.get(partition, 0) + more * step // steps
            self.sample(begin + seconds * step / steps)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def area(figure, colour: str) -> int:
    """Return how many pixels of a picture have about this colour."""
    return int(near(figure, colour).sum())


def uneven(count: int) -> dict[int, int]:
    """Return numbers of records by partition: one hot partition, the others about alike."""
    chance = random.Random(count)
    sizes = {partition: chance.randint(800, 1600) for partition in range(count)}
    return sizes | {count // 3: 6000}


LOOKS = [(1.0, 0), (1.5, 300), (1.25, 50_000)]  # scale of text, records removed


@pytest.mark.everyday
@pytest.mark.parametrize(("scale", "removed"), LOOKS)
@pytest.mark.parametrize("count", [1, 6, 12, 24, 60, 600])
def test_words_do_not_touch_however_many_partitions(bench, count, scale, removed):
    bench.show.scale = scale
    bench.ends = dict.fromkeys(range(count), removed)
    bench.starts = dict.fromkeys(range(count), removed)
    figure = bench.show.partitions(TOPIC)
    frames = words_of_every_frame(figure)
    bench.past(20, uneven(count))
    final(figure)
    assert bench.watched == [TOPIC]
    assert_readable(figure, frames[-1])


def test_bars_are_as_long_as_the_partitions_are_full(bench):
    bench.ends = dict.fromkeys(range(3), 0)
    figure = bench.show.partitions(TOPIC)
    bench.past(20, {0: 1000, 1: 4000, 2: 0})
    bench.past(5, {})
    final(figure)
    ink = near(figure, style.BLUE)
    lengths = sorted({int(row.sum()) for row in ink} - {0}, key=int)
    shortest, longest = lengths[0], lengths[-1]
    assert 3.9 < longest / shortest < 4.1
    assert "partition 0 holds 1,000 (20%)" in figure.sentence
    assert "partition 1 holds 4,000 (80%)" in figure.sentence
    assert "partition 2 holds 0 (0%)" in figure.sentence
    assert "5,000 records in 3 partitions, 0 records/s now" in figure.sentence
    assert not area(figure, partitions.TIP)  # nothing came in the last second


def test_what_comes_now_is_a_light_tip_and_a_rate(bench):
    bench.ends = {0: 0, 1: 0}
    figure = bench.show.partitions(TOPIC)
    bench.past(10, {0: 1000, 1: 3000})
    final(figure)
    assert "400 records/s now" in figure.sentence
    tip, kept = area(figure, partitions.TIP), area(figure, style.BLUE)
    assert 0.08 < tip / (tip + kept) < 0.12  # a second of ten


def test_what_retention_has_removed_is_seen_and_told(bench):
    bench.ends = {0: 0, 1: 0}
    figure = bench.show.partitions(TOPIC)
    bench.past(10, {0: 1000, 1: 1000})
    bench.past(2, {})
    wait_until(lambda: "2,000 records in" in figure.sentence, 30)
    whole = area(figure, style.BLUE)
    bench.starts = {0: 600, 1: 0}
    bench.past(2, {})
    final(figure)
    assert "partition 0 holds 400 (29%)" in figure.sentence
    assert "600 offsets lie before the oldest records kept" in figure.sentence
    assert 0.6 < area(figure, style.BLUE) / whole < 0.8
    assert area(figure, partitions.REMOVED_FACE)


def test_after_long_retention_the_axis_begins_near_the_oldest_record(bench):
    bench.ends = dict.fromkeys(range(2), 1_000_000)
    bench.starts = dict.fromkeys(range(2), 1_000_000)
    figure = bench.show.partitions(TOPIC)
    bench.past(20, {0: 500, 1: 1000})
    bench.past(3, {})
    final(figure)
    assert figure._low > 900_000
    assert area(figure, style.BLUE) > 10_000
    assert "partition 1 holds 1,000 (67%)" in figure.sentence


def test_when_everything_is_removed_the_axis_still_begins_at_zero(bench):
    bench.ends = {0: 0}
    figure = bench.show.partitions(TOPIC)
    bench.past(5, {0: 894})
    bench.starts = {0: 894}
    bench.past(2, {})
    final(figure)
    assert figure._low == 0
    assert "0 records in 1 partition" in figure.sentence
    assert not area(figure, style.BLUE)
    assert area(figure, partitions.REMOVED_FACE) > 10_000


def test_a_hundred_partitions_and_more_are_summarised_in_words_and_bars(bench):
    bench.ends = dict.fromkeys(range(600), 0)
    figure = bench.show.partitions(TOPIC)
    frames = words_of_every_frame(figure)
    bench.past(20, uneven(600))
    final(figure)
    assert "a bar is the mean of 15 partitions" in figure.sentence
    assert "the fullest is partition 200 with 6,000" in figure.sentence
    words = [text for text, _ in frames[-1]]
    assert "0 to 14" in words
    assert len(words) < 60


def test_a_partition_that_is_added_appears(bench):
    bench.ends = {0: 0}
    figure = bench.show.partitions(TOPIC)
    bench.past(5, {0: 100})
    bench.past(5, {0: 100, 1: 50})
    final(figure)
    assert "partition 1 holds 50 (20%)" in figure.sentence


def test_a_topic_that_is_deleted_leaves_its_last_state_with_words(bench):
    bench.ends = {0: 0, 1: 0}
    figure = bench.show.partitions(TOPIC)
    bench.past(5, {0: 100, 1: 300})
    bench.ends = {}
    bench.past(2, {})
    wait_until(lambda: "topic is gone" in figure.sentence, 30)
    assert "400 records in 2 partitions" in figure.sentence
    assert area(figure, style.RULE)
    assert not area(figure, style.BLUE)
    # and one that is made anew under its name begins anew
    bench.ends = {0: 0}
    bench.past(3, {0: 20})
    final(figure)
    assert "20 records in 1 partition," in figure.sentence
    assert area(figure, style.BLUE)


def test_a_topic_that_does_not_exist_yet_is_no_error(bench):
    figure = bench.show.partitions(TOPIC)
    assert "no such topic yet" in figure.sentence
    bench.past(3, {0: 20})
    final(figure)
    assert "20 records" in figure.sentence


def test_a_silent_broker_is_told(bench):
    bench.ends = {0: 0}
    figure = bench.show.partitions(TOPIC)
    bench.past(5, {0: 100})
    bench.sample(stale=0.1)
    bench.journal.epoch -= 8
    bench.sample(stale=8.0)
    wait_until(lambda: "no answer from Kafka for 8 s" in figure.sentence, 30)
    bench.past(2, {0: 100})
    final(figure)
    assert "no answer" not in figure.sentence


def test_a_picture_needs_a_topic(bench):
    with pytest.raises(BadInputError):
        bench.show.partitions("")

"""The picture of replicas against partitions; made by hand, and once with a real loop and group."""

from contextlib import closing

import numpy as np
import pytest
from conftest import wait_until
from pictures import assert_readable, final, near, words_of_every_frame

from lab_env import Lab
from lab_env.figures import Show, scaling
from lab_env.figures.engine import style
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.observation.sample import GroupSample, Sample

TOPIC, GROUP = "flights.departed", "board"
PLACES = [(TOPIC, number) for number in range(6)]


class Bench:
    """What feeds one picture: samples, reports and marks made by hand."""

    def __init__(self):
        self.journal, self.reports = Journal(), Reports()
        self.samples: list[Sample] = []
        self.show = Show(self, self.reports, self.journal)

    def watch(self, topics=(), groups=()):
        return self

    def after(self, count):
        return self.samples[count:]

    def loop(self, time: float, wanted: int, running: int) -> None:
        row = {"time": time, "service": "reconcile", "wanted": wanted, "running": running}
        self.reports.append(row)

    def see(self, time: float, members: int, stale: dict | None = None) -> None:
        """Take a sample in which so many members share the partitions."""
        owners = {place: f"board-{place[1] % members}" for place in PLACES} if members else {}
        names = tuple(f"board-{number}" for number in range(members))
        group = GroupSample("Stable", {}, owners, names, "classic")
        ends = dict.fromkeys(PLACES, 0)
        self.samples.append(Sample(time, ends, ends, {}, {GROUP: group}, stale or {}))


def steps(picture, name: str) -> list[tuple[float, float]]:
    series = picture._steps[name]
    return list(zip(series.times, series.values, strict=True))


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def test_what_runs_and_what_owns_are_told_apart(bench):
    picture = bench.show.scaling(TOPIC, GROUP)
    bench.loop(1.0, wanted=8, running=3)
    bench.see(1.1, 3)
    bench.loop(2.0, wanted=8, running=8)
    for second in range(3, 12):
        bench.see(float(second), 8)  # of eight members, six own a partition
    final(picture, bench.journal, 12.0)
    assert picture.counts == {"wanted": 8, "running": 8, "owning": 6, "partitions": 6}
    for words in ("8 wanted", "8 running", "6 own partitions", "6 partitions", "group board"):
        assert words in picture.sentence
    assert steps(picture, "running") == [(1.0, 3), (2.0, 3), (2.0, 8)]
    assert steps(picture, "owning") == [(1.1, 3), (3.0, 3), (3.0, 6)]


def test_a_loop_that_has_told_before_is_drawn_from_the_beginning(bench):
    bench.loop(0.0, wanted=3, running=3)
    picture = bench.show.scaling(TOPIC, GROUP)
    bench.see(0.5, 3)
    final(picture, bench.journal, 5.0)
    assert "3 wanted, 3 running" in picture.sentence


def test_reports_of_something_else_are_no_counts(bench):
    picture = bench.show.scaling(TOPIC, GROUP)
    for wanted in (None, "three", True, -1, 2.5):
        bench.reports.append({"time": 1.0, "service": "x", "wanted": wanted, "handled": 3})
    bench.see(1.0, 2)
    final(picture, bench.journal, 3.0)
    assert picture.counts == {"owning": 2, "partitions": 6}
    assert picture.error is None


def test_what_cannot_be_read_is_a_gap(bench):
    picture = bench.show.scaling(TOPIC, GROUP)
    bench.see(1.0, 2)
    bench.see(4.0, 2, stale={GROUP: 3.0})
    bench.see(5.0, 2)
    final(picture, bench.journal, 6.0)
    values = [value for _, value in steps(picture, "owning")]
    assert np.isnan(values).any()
    assert picture.counts["owning"] == 2


def test_all_four_are_seen_where_all_are_equal_and_words_can_be_read(bench):
    picture = bench.show.scaling(TOPIC, GROUP)
    frames = words_of_every_frame(picture)
    bench.loop(1.0, wanted=6, running=6)
    for second in range(1, 26):
        bench.see(float(second), 6)
    bench.journal.mark("board-1a2b starts")
    final(picture, bench.journal, 25.0)
    for name, (colour, _, _) in scaling.LOOKS.items():
        assert near(picture, colour).sum() > 300, name
    written = [text for text, _ in frames[-1]]
    ends = [text.split()[0] for text in written if text.split()[0] in scaling.NAMES]
    assert set(ends) == set(scaling.NAMES)
    assert_readable(picture, frames[-1])


def test_the_colours_differ_in_brightness_too():
    def brightness(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    # wider below, thinner above; what touches differs in brightness for whoever sees no colours
    wide = [points for _, points, _ in scaling.LOOKS.values()]
    assert wide == sorted(wide, reverse=True)
    assert brightness(scaling.LOOKS["owning"][0]) < 0.03
    assert brightness(scaling.LOOKS["wanted"][0]) > brightness(scaling.LOOKS["partitions"][0]) + 0.2
    assert all(style.readable(ink) == ink for ink in scaling.INKS.values())


@pytest.mark.parametrize("wrong", [("", GROUP), (TOPIC, ""), (TOPIC, None), (None, GROUP)])
def test_arguments_that_cannot_work_are_refused(bench, wrong):
    with pytest.raises(BadInputError):
        bench.show.scaling(*wrong)


@pytest.mark.landing  # on a real Kafka; without one it is tried above
@pytest.mark.timeout(120)
def test_a_real_loop_and_a_real_group(own_home):
    def reader(service, topic, group):
        from kafka import KafkaConsumer

        with closing(KafkaConsumer(topic, **lab.connection, group_id=group)) as consumer:
            while service.running:
                consumer.poll(timeout_ms=500)

    with Lab() as lab:
        topic, group = lab.topic(TOPIC, partitions=2), lab.group(GROUP)
        picture = lab.show.scaling(topic, group)

        def loop():
            alive = [one for one in lab.services.values() if one.state == "running"]
            for number in range(3 - len(alive)):
                lab.service(reader, topic, group, name=f"reader-{number}")
            return {"wanted": 3, "running": len(alive)}

        lab.repeat(loop, every=0.3)
        wanted = {"wanted": 3, "running": 3, "owning": 2, "partitions": 2}
        wait_until(lambda: picture.counts == wanted, 30)
        assert len(lab.reports.dropna(subset=["wanted"])) <= 4  # a row a change, not a row a call

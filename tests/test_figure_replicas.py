"""The picture of leaders and in-sync replicas, fed with samples by hand; one test with brokers."""

import pytest
from pictures import assert_readable, final, near, words_of_every_frame

from lab_env.figures import Show, bars
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.reports import Reports
from lab_env.observation.facts.leadership import BEHIND, GONE, Leadership, away
from lab_env.observation.sample import Replicas, Sample

TOPIC = "flights.departed"
STEP = 0.23  # seconds between samples


def spread(partitions: int, brokers: int = 3, copies: int = 3) -> dict[int, Replicas]:
    """Return partitions whose leaders take turns, with all replicas in sync."""
    found = {}
    for partition in range(partitions):
        kept = tuple((partition + k) % brokers + 1 for k in range(copies))
        found[partition] = Replicas(kept[0], kept, tuple(sorted(kept)))
    return found


def without(kept: dict[int, Replicas], broker: int) -> dict[int, Replicas]:
    """Return what is left when a broker is gone: the next one in sync leads, or nobody."""
    found = {}
    for partition, (leader, replicas, isr) in kept.items():
        left = tuple(one for one in isr if one != broker)
        leads = leader if leader != broker else next((r for r in replicas if r in left), -1)
        found[partition] = Replicas(leads, replicas, left or isr)
    return found


class Bench:
    """What feeds one picture: partitions whose state can be changed, and samples made of it."""

    def __init__(self, partitions: int = 3, brokers: int = 3, copies: int = 3):
        self.journal = Journal()
        self.samples: list[Sample] = []
        self.kept = spread(partitions, brokers, copies)
        self.end = 0
        self.rate = 100
        self.stale: dict[str, float] = {}
        self.show = Show(self, Reports(), self.journal)
        self.time = 0.0

    def watch(self, topics=(), groups=()):
        return self

    def after(self, count):
        return self.samples[count:]

    def run(self, seconds: float) -> None:
        """Let seconds pass as samples saw them."""
        leaders = {(TOPIC, p): kept for p, kept in self.kept.items()}
        for _ in range(round(seconds / STEP)):
            self.time += STEP
            self.end += round(self.rate * STEP) * (not self.stale)
            self.stale = {key: value + STEP for key, value in self.stale.items()}
            ends = dict.fromkeys(leaders, 0) | {(TOPIC, 0): self.end}
            self.samples.append(Sample(self.time, ends, {}, leaders, {}, dict(self.stale)))

    def begin(self):
        """Make the picture; time runs by `run` from now on."""
        self.run(4 * STEP)
        figure = self.show.replicas(TOPIC)
        self.time = self.journal.now()
        figure.words = words_of_every_frame(figure)
        return figure

    def mark(self, kind: str, broker: int, text: str = "") -> None:
        words = text or f"broker {broker} {kind}"
        self.journal.marks.append(Mark(self.time, words, kind, f"broker {broker}"))

    def finish(self, figure):
        return final(figure, self.journal, self.time)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def texts(figure) -> list[str]:
    return [text for text, _ in figure.words[-1]]


def colour(bench, broker: int) -> str:
    return bench.show._stage.palette.look(f"broker {broker}").colour


# -- what is seen -----------------------------------------------------------------------------


def test_a_leader_is_killed_and_comes_back(bench):
    whole = bench.kept
    figure = bench.begin()
    bench.run(6)
    bench.mark("kill", 2)
    bench.rate = 60
    bench.run(2)  # the cluster has not noticed yet
    bench.kept, bench.rate = without(whole, 2), 100
    bench.run(6)
    bench.mark("start", 2)
    bench.run(1)
    bench.kept = {p: kept._replace(isr=(1, 2, 3)) for p, kept in bench.kept.items()}
    bench.run(3)
    bench.kept = whole
    bench.run(3)
    bench.finish(figure)
    told = [mark.text for mark in figure._marks]
    assert told == [
        "broker 2 kill",
        "broker 2 not in sync, P1 led by broker 3",
        "broker 2 start",
        "broker 2 in sync",
        "P1 led by broker 2",
    ]
    for words in ("leader", "in sync", "broker 1 leads 1", "broker 2 leads 1", "P0", "P2"):
        assert words in texts(figure)
    assert "broker 1 leads 0; broker 2 leads 1; broker 3 leads 2" in figure.sentence
    assert "all replicas are in sync" in figure.sentence
    assert "records/s" in figure.sentence
    assert "no leader" not in figure.sentence
    # broker 2 has led for 11 s of 21, and broker 1 all the time
    share = near(figure, colour(bench, 2)).sum() / near(figure, colour(bench, 1)).sum()
    assert 0.35 < share < 0.75
    # the dip is drawn: the lowest rate in sight is that of the seconds without a leader
    killed = figure._marks[0].time
    pairs = zip(figure._rates.times, figure._rates.values, strict=True)
    assert 50 < min(rate for time, rate in pairs if time > killed) < 75
    assert_readable(figure, figure.words[-1])


def test_a_partition_without_a_leader_is_grey_and_says_so(bench):
    figure = bench.begin()
    bench.run(4)
    bench.kept[0] = Replicas(1, (1, 2, 3), (1,))
    bench.run(1)
    bench.kept[0] = Replicas(-1, (1, 2, 3), ())
    bench.run(5)
    grey = near(bench.finish(figure), bars.NO_ONE).sum()
    assert grey > 4000
    assert any(text.startswith("no leader 4.") for text in texts(figure))
    assert any("last in sync: broker 1" in text for text in texts(figure))
    assert "partition 0 has had no leader for 4." in figure.sentence
    assert "(last in sync: broker 1)" in figure.sentence
    assert "all replicas are in sync" not in figure.sentence
    assert_readable(figure, figure.words[-1])


def test_when_it_has_one_again_the_words_stay_with_their_length(bench):
    figure = bench.begin()
    bench.run(2)
    bench.kept[1] = Replicas(-1, (1, 2, 3), (2,))
    bench.run(1)
    bench.kept[1] = Replicas(-1, (1, 2, 3), ())  # only who is in sync has changed
    bench.run(4)
    bench.kept[1] = Replicas(3, (1, 2, 3), (3,))
    bench.run(3)
    bench.finish(figure)
    assert any(text.startswith("no leader") for text in texts(figure))
    assert any(text.endswith(("4.8 s", "5.1 s")) for text in texts(figure))
    assert "partition 1 had no leader for" in figure.sentence
    assert "has had no leader" not in figure.sentence


def test_who_is_away_leaves_a_gap_and_who_is_back_but_late_is_hatched(bench):
    bench.kept = without(bench.kept, 3)
    figure = bench.begin()
    bench.mark("kill", 3)
    bench.run(10)
    assert "broker 3 away" in texts(bench.finish(figure))
    assert "not in sync" not in texts(figure)
    assert "broker 3 is away" in figure.sentence
    assert "broker 3 is not in sync in 0-2" in figure.sentence
    figure = bench.begin()
    bench.mark("start", 3)
    bench.run(10)
    bench.finish(figure)
    assert "broker 3 behind" in texts(figure)
    assert "not in sync" in texts(figure)
    assert "is away" not in figure.sentence
    assert_readable(figure, figure.words[-1])


def test_a_broker_that_is_added_gets_lanes_and_the_moved_replicas_end(bench):
    figure = bench.begin()
    bench.run(4)
    bench.kept[0] = Replicas(1, (4, 2, 3, 1), (1, 2, 3))
    bench.run(2)
    bench.kept[0] = Replicas(1, (4, 2, 3, 1), (1, 2, 3, 4))
    bench.run(1)
    bench.kept[0] = Replicas(4, (4, 2, 3), (2, 3, 4))
    bench.run(4)
    bench.finish(figure)
    assert "broker 4 leads 1" in texts(figure)
    told = [mark.text for mark in figure._marks]
    assert told == ["broker 4 not in sync", "broker 4 in sync", "P0 led by broker 4"]
    assert_readable(figure, figure.words[-1])


def test_what_is_not_told_is_unknown_and_no_broker_is_blamed(bench):
    figure = bench.begin()
    bench.run(4)
    bench.stale = {"topics": 0.1}
    bench.run(5)
    bench.finish(figure)
    assert "nobody can say who leads" in figure.sentence
    assert "broker 1 leads" not in figure.sentence
    assert near(figure, bars.HATCH[1]).sum() > 1000
    assert_readable(figure, figure.words[-1])


def test_a_topic_that_goes_and_partitions_that_come(bench):
    figure = bench.begin()
    bench.run(3)
    bench.kept = spread(5)
    bench.run(3)
    assert "P4" in texts(bench.finish(figure))
    assert "broker 1 leads 0, 3" in figure.sentence
    figure = bench.begin()
    bench.run(2)
    bench.kept = {}
    bench.run(2)
    bench.finish(figure)
    assert "there is no such topic" in figure.sentence
    assert "no such topic" in texts(figure)


# -- sizes ------------------------------------------------------------------------------------


@pytest.mark.everyday
@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize(
    ("partitions", "brokers", "copies"),
    [(1, 1, 1), (1, 3, 3), (3, 3, 3), (4, 4, 3), (6, 3, 2), (12, 5, 3), (60, 9, 3), (600, 3, 3)],
)
def test_words_do_not_touch_however_many(partitions, brokers, copies, scale):
    bench = Bench(partitions, brokers, copies)
    try:
        bench.show.scale = scale
        figure = bench.begin()
        bench.rate = 12_000
        bench.run(5)
        bench.mark("kill", 1)
        bench.run(2)
        bench.kept = without(bench.kept, 1)
        bench.run(6)
        bench.mark("start", 1)
        bench.run(2)
        bench.finish(figure)
        assert_readable(figure, figure.words[-1])
        if partitions == 600:
            assert any(" more partitions" in text for text in texts(figure))
    finally:
        bench.show.close()


def test_what_is_out_of_sight_is_forgotten(bench):
    figure = bench.begin()
    whole = bench.kept
    for _ in range(30):
        bench.kept = without(whole, 2)
        bench.run(4)
        bench.kept = whole
        bench.run(4)
    bench.finish(figure)
    spells = figure._history.spells
    assert all(len(one) <= 34 for one in spells.values())
    assert len(figure._history.changes) <= 140
    assert_readable(figure, figure.words[-1])


# -- what samples tell ------------------------------------------------------------------------


def sample(time: float, kept: dict[int, Replicas], stale: float = 0.0) -> Sample:
    leaders = {(TOPIC, p): one for p, one in kept.items()}
    return Sample(time, {}, {}, leaders, {}, {"topics": stale} if stale else {})


def test_a_change_is_drawn_from_the_first_sample_that_saw_it():
    history, whole = Leadership(TOPIC), spread(2)
    history.take(sample(0.0, whole))
    history.take(sample(0.25, whole))
    history.take(sample(0.5, without(whole, 1)))
    assert [spell.begin for spell in history.spells[0]] == [0.0, 0.5]
    assert [(c.time, c.kind, c.broker) for c in history.changes] == [
        (0.5, "leader", 2),
        (0.5, "behind", 1),
    ]
    assert history.edge == 0.5
    history.take(sample(0.75, {0: whole[0]}))
    assert history.spells[1][-1].kept == GONE
    assert list(history.now) == [0]


def test_a_short_silence_is_bridged_and_a_long_one_is_unknown_from_the_last_answer():
    history, whole = Leadership(TOPIC), spread(1)
    history.take(sample(0.0, whole))
    assert not history.wait(0.75)
    history.take(sample(0.9, whole))
    assert len(history.spells[0]) == 1
    assert not history.wait(2.4)  # nobody has asked
    assert history.wait(2.4, unanswered=True)
    assert history.is_unknown
    history.take(sample(3.0, whole))
    assert [(s.begin, s.kept is None) for s in history.spells[0]] == [
        (0.0, False), (0.9, True), (3.0, False),
    ]  # fmt: skip
    assert history.leaderless() == []
    # an answer that was long on its way: it was asked for soon after the one before
    assert history.wait(5.0, unanswered=True)
    history.take(sample(3.5, whole))
    assert not history.is_unknown
    assert history.edge == 3.5
    assert len(history.spells[0]) == 3


def test_when_a_broker_was_away_stands_in_the_journal():
    marks = [
        Mark(1.0, "", "kill", "broker 2"),
        Mark(2.0, "", "fail", "broker 2"),
        Mark(3.0, "", "start", "broker 2"),
        Mark(4.0, "", "pause", "broker 3"),
        Mark(5.0, "", "start", "broker 4"),
        Mark(6.0, "", "crash", "truck-1"),
    ]
    assert away(marks) == {2: [(1.0, 3.0)], 3: [(4.0, None)], 4: []}


@pytest.mark.parametrize("topic", ["", None, 7])
def test_arguments_that_cannot_work_are_refused(bench, topic):
    with pytest.raises(BadInputError):
        bench.show.replicas(topic)
    assert bench.show._stage is None


def test_what_nobody_knows_does_not_look_like_what_is_not_in_sync(bench):
    """Both were hatched: a night without an answer said "no replica in sync" by its legend."""
    figure = bench.begin()
    bench.run(4)
    bench.mark("kill", 1, "broker 1 killed")
    bench.stale = {"topics": 0.1}
    bench.run(8)
    bench.stale = {}
    bench.run(4)
    bench.finish(figure)
    assert figure._unknown.get_hatch() != figure._bars[BEHIND].get_hatch()
    assert "not known" in texts(figure)


def test_what_was_killed_is_named_and_not_hidden_by_the_silence_around_it(bench):
    figure = bench.begin()
    bench.run(6)
    bench.stale = {"topics": 0.1}  # no majority: the last broker does not answer either
    bench.run(2)
    bench.mark("kill", 1, "broker 1 killed")
    bench.run(1)
    bench.mark("start", 2, "broker 2 started")
    bench.mark("start", 3, "broker 3 started")
    bench.run(7)
    bench.stale = {}
    bench.run(1)
    bench.finish(figure)
    assert "broker 1 killed" in texts(figure)

"""The picture of who owns which partition, fed with samples by hand; one test with a real lab."""

import time

import numpy as np
import pytest
from conftest import wait_until
from pictures import assert_readable, final, near, words_of_every_frame

from lab_env import Lab
from lab_env.figures import Show, bars
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.reports import Reports
from lab_env.observation.facts.ownership import FIRST, NOBODY, UNKNOWN, UNTOLD, OwnershipHistory
from lab_env.observation.sample import GroupSample, Sample

TOPIC = "flights.departed"
STEP = 0.23  # seconds between samples


class Bench:
    """What feeds one picture: groups whose state can be changed, and samples made of them."""

    def __init__(self, partitions: int = 6):
        self.journal = Journal()
        self.samples: list[Sample] = []
        self.watched: list[str] = []
        self.ends = dict.fromkeys(range(partitions), 0)
        self.groups: dict[str, GroupSample] = {}
        self.stale: dict[str, float] = {}
        self.show = Show(self, Reports(), self.journal)
        self.time = 0.0

    def watch(self, topics=(), groups=()):
        self.watched += [*topics, *groups]
        return self

    def after(self, count):
        return self.samples[count:]

    def group(self, name="refuel", members=(), state="", protocol="classic", owners=None):
        """Say how a group is from now on; members share the partitions in ranges."""
        members, count = tuple(members), len(self.ends)
        if state in ("", "Stable", "Empty"):
            state = "Stable" if members else "Empty"
            if owners is None and members:
                several = min(len(members), count)
                owners = {p: members[p * several // count] for p in range(count)}
        places = {(TOPIC, p): owner for p, owner in (owners or {}).items()}
        self.groups[name] = GroupSample(state, {}, places, members, protocol)

    def run(self, seconds: float) -> float:
        """Let seconds pass as samples saw them; return when they begin."""
        began = self.time
        for _ in range(round(seconds / STEP)):
            self.time += STEP
            for partition in self.ends:
                self.ends[partition] += 2
            ends = {(TOPIC, p): end for p, end in self.ends.items()} | {("other", 0): 9}
            for key in self.stale:
                self.stale[key] += STEP
            self.samples.append(
                Sample(
                    self.time, ends, dict.fromkeys(ends, 0), {}, dict(self.groups), {**self.stale}
                )
            )
        return began

    def begin(self, groups=("refuel",), **more):
        """Make the picture; time runs by `run` from now on."""
        self.run(STEP)
        figure = self.show.ownership(TOPIC, groups, **more)
        self.time = self.journal.now()
        figure.words = words_of_every_frame(figure, words_on_bars(figure))
        return figure

    def mark(self, text: str, kind: str, subject: str) -> None:
        self.journal.marks.append(Mark(self.time, text, kind, subject))

    def end(self, figure):
        """Stop a picture at the time of the last sample, and wait for its last frame."""
        return final(figure, self.journal, self.time)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def words_on_bars(figure):
    """Return what tells the words on the bars, and their boxes in pixels."""

    def tell(fineness):
        for block in figure._blocks:
            top = block.artist.bottom + block.bars.pixels.shape[0] - block.bars._band / 2
            for text, left, width in block.bars.written:
                left += block.artist.left
                yield text, (left, top - 8, left + width, top + 8)

    return tell


def texts(figure) -> list[str]:
    return [text for text, _ in figure.words[-1]]


# -- what is seen -----------------------------------------------------------------------------


def test_bars_have_the_members_colours_and_are_as_long_as_they_owned(bench):
    bench.group(members=["truck-1"])
    figure = bench.begin()
    bench.run(10)
    bench.group(members=["truck-1", "truck-2"], state="PreparingRebalance")
    bench.run(2)
    bench.group(members=["truck-1", "truck-2"])
    bench.run(10)
    bench.end(figure)
    assert bench.watched == [TOPIC, "refuel"]
    first, second = (bench.show._stage.palette.look(f"truck-{k}").colour for k in (1, 2))
    area, other = near(figure, first).sum(), near(figure, second).sum()
    # six partitions for 10 s and three for another 10: names in the bars take a little of it
    assert 2.5 < area / other < 3.4
    assert "rebalance 2.1 s" in texts(figure)
    assert "truck-1 owns 0-2, truck-2 owns 3-5" in figure.sentence
    assert "rebalances so far: 1, 2.1 s in all" in figure.sentence
    assert "records wait" in figure.sentence
    assert "seen every 0.2 s" in figure.sentence
    assert "seconds (seen every 0.2 s)" in texts(figure)


def test_a_rebalance_that_goes_on_shows_its_growing_length(bench):
    bench.group(members=["truck-1"])
    figure = bench.begin()
    bench.run(5)
    bench.group(members=["truck-1", "truck-2"], state="PreparingRebalance")
    bench.run(4)
    bench.end(figure)
    assert any(text.startswith("rebalance 3.") for text in texts(figure))
    assert "a rebalance has been going on for 3." in figure.sentence
    assert "nobody owns" not in figure.sentence  # that is what the broker does not tell


def test_a_group_that_never_settles_keeps_a_readable_picture(bench):
    figure = bench.begin()
    bench.group(members=["truck-1", "truck-2"])
    bench.run(3)
    for _ in range(60):
        bench.group(members=["truck-1", "truck-2"], state="PreparingRebalance")
        bench.run(1)
        bench.group(members=["truck-1", "truck-2"])
        bench.run(0.5)
    bench.end(figure)
    assert "rebalances so far: 60" in figure.sentence
    assert any(text.startswith("truck-1") for text in texts(figure))  # no bar has room for it
    assert_readable(figure, figure.words[-1])


def test_partitions_that_nobody_owns_are_grey_and_idle_members_are_named(bench):
    figure = bench.begin()
    bench.group(members=[])
    bench.run(10)
    bench.group(members=[f"truck-{k}" for k in range(1, 8)])
    bench.run(10)
    bench.end(figure)
    assert near(figure, bars.NO_ONE).sum() > 5000
    assert "truck-7 is idle" in figure.sentence
    assert "idle: truck-7" in texts(figure)
    assert "nobody" not in figure.sentence


def test_marks_tell_who_came_and_went_unless_the_journal_does(bench):
    bench.group(members=["truck-1"])
    figure = bench.begin()
    bench.run(3)
    bench.mark("truck-2 starts", "start", "truck-2")
    bench.run(1)
    bench.group(members=["truck-1", "truck-2"])
    bench.run(7)
    bench.group(members=["truck-1", "truck-2", "java"])
    bench.run(7)
    bench.mark("truck-2 crashes", "crash", "truck-2")
    bench.run(5)
    bench.group(members=["truck-1", "java"])
    bench.run(5)
    bench.end(figure)
    told = [mark.text for mark in figure._marks]
    assert told == ["truck-2 starts", "+ java", "truck-2 crashes", "\u2212 truck-2"]


def test_a_mark_of_the_lesson_that_names_the_member_is_enough(bench):
    figure = bench.begin()
    bench.group(members=[])
    bench.run(3)
    bench.mark("truck-1 joins", "note", "")
    bench.run(1)
    bench.group(members=["truck-1", "truck-11"])
    bench.run(3)
    bench.end(figure)
    assert [mark.text for mark in figure._marks] == ["truck-1 joins", "+ truck-11"]


def test_what_the_broker_does_not_tell_is_unknown_and_not_nobody(bench):
    bench.group(members=["truck-1"])
    figure = bench.begin()
    bench.run(5)
    bench.stale = {"topics": 0.1, "refuel": 0.1}
    bench.group(members=[], state="Dead")  # as an observer's last value may look after trouble
    bench.run(6)
    bench.end(figure)
    assert "nobody can say who owns what" in figure.sentence
    assert "truck-1 owns" not in figure.sentence
    assert near(figure, bars.HATCH[1]).sum() > 2000
    states = figure._blocks[0].tenure.states
    assert [code for state in states for code in state.codes if code == NOBODY] == []
    assert [mark.text for mark in figure._marks] == []


def test_partitions_that_moved_without_a_rebalance_seen_have_a_tick(bench):
    bench.group(members=["truck-1", "truck-2"])
    figure = bench.begin()
    bench.run(8)
    bench.group(members=["truck-1", "truck-2"], owners=dict.fromkeys(range(6), "truck-1"))
    bench.run(8)
    bench.end(figure)
    assert "moved" in texts(figure)
    assert not any(text.startswith("rebalance") for text in texts(figure))


def test_a_topic_and_a_group_that_go_and_partitions_that_come(bench):
    bench.group(members=["truck-1"])
    figure = bench.begin()
    bench.run(5)
    bench.ends[6] = bench.ends[7] = 0
    bench.run(3)
    bench.group(members=["truck-1"])
    bench.run(3)
    assert "P7" in texts(bench.end(figure))
    assert "truck-1 owns 0-7" in figure.sentence
    figure = bench.begin()
    bench.run(3)
    bench.group(members=[], state="Dead", protocol="")
    bench.run(3)
    bench.end(figure)
    assert "no such group" in texts(figure)
    assert "nobody owns 0-7" in figure.sentence
    figure = bench.begin()
    bench.ends = {}
    bench.run(5)
    bench.end(figure)
    assert "no such topic" in texts(figure)
    assert "records wait" not in figure.sentence


def test_members_with_equal_names_and_a_deleted_topic_that_comes_back(bench):
    bench.group(members=["java", "java (2)"])
    figure = bench.begin()
    bench.run(4)
    before, bench.ends = bench.ends, {}
    bench.run(1)
    bench.ends = dict.fromkeys(list(before)[:3], 0)
    bench.group(members=["java", "java (2)"])
    bench.run(4)
    bench.end(figure)
    assert "java owns 0-1, java (2) owns 2" in figure.sentence


def test_the_new_protocol_shows_who_keeps_what_while_it_reconciles(bench):
    bench.group(members=["truck-1"], protocol="consumer")
    figure = bench.begin()
    bench.run(8)
    kept = dict.fromkeys(range(3), "truck-1")
    bench.group(
        members=["truck-1", "truck-2"], state="Reconciling", protocol="consumer", owners=kept
    )
    bench.run(2)
    bench.group(members=["truck-1", "truck-2"], protocol="consumer")
    bench.run(4)
    bench.end(figure)
    assert "rebalance 2.1 s" in texts(figure)
    assert "moved" not in texts(figure)
    assert "group refuel (new protocol)" in figure.sentence
    ink = near(figure, bench.show._stage.palette.look("truck-1").colour)
    longest = sorted(int(row.sum()) for row in ink if row.any())
    assert longest[-1] > 1.6 * longest[len(longest) // 4]  # P0 goes on, P5 ends where it began


def test_two_groups_have_a_block_each(bench):
    bench.group("refuel", members=["truck-1"])
    bench.group("board", members=["gate-1", "gate-2"], protocol="consumer")
    figure = bench.begin(("refuel", "board"))
    bench.run(12)
    bench.end(figure)
    for words in ("refuel", "classic protocol", "board", "new protocol"):
        assert words in texts(figure)
    assert "group refuel (classic protocol): truck-1 owns 0-5" in figure.sentence
    assert "group board (new protocol): gate-1 owns 0-2, gate-2 owns 3-5" in figure.sentence
    assert_readable(figure, figure.words[-1])


# -- sizes ------------------------------------------------------------------------------------


@pytest.mark.everyday
@pytest.mark.parametrize(("scale", "lag"), [(1.0, True), (1.5, True), (1.25, False)])
@pytest.mark.parametrize(
    ("partitions", "members", "groups"),
    [(1, 3, 1), (6, 7, 1), (6, 4, 2), (12, 5, 3), (24, 12, 3), (60, 8, 1), (600, 10, 2)],
)
def test_words_do_not_touch_however_many(partitions, members, groups, scale, lag):
    bench = Bench(partitions)
    try:
        bench.show.scale = scale
        names = ("refuel", "board", "billing")[:groups]
        figure = bench.begin(names, lag=lag)
        for name in names:
            bench.group(name, members=[f"{name}-{k + 1}" for k in range(members)])
        bench.run(9)
        for name in names:
            bench.group(
                name,
                members=[f"{name}-{k + 1}" for k in range(members)],
                state="PreparingRebalance",
            )
        bench.run(1)
        for name in names:
            bench.group(name, members=[f"{name}-{k + 2}" for k in range(members)])
        bench.run(9)
        bench.end(figure)
        assert_readable(figure, figure.words[-1])
        if partitions == 600:
            assert any("600 partitions, several to a line" in text for text in texts(figure))
    finally:
        bench.show.close()


def test_only_what_is_new_is_painted_and_what_is_out_of_sight_is_forgotten(bench):
    bench.group(members=["truck-1"])
    figure = bench.begin()
    for _ in range(30):
        bench.run(8)
        bench.group(members=["truck-1"], state="PreparingRebalance")
        bench.run(2)
        bench.group(members=["truck-1"])
    bench.run(1)
    bench.end(figure)
    (block,) = figure._blocks
    assert "rebalances so far: 30" in figure.sentence
    assert len(block.tenure.states) <= 30  # of 61, those of the last two minutes
    assert len(block.tenure.rebalances) <= 15


def test_a_picture_that_was_painted_bit_by_bit_is_the_one_that_is_painted_at_once():
    images = []
    for often in (True, False):
        bench = Bench()
        figure = bench.begin()
        figure.origin = bench.time = 10.0
        stage = bench.show._stage
        for k in range(8):
            names = [f"truck-{n + 1}" for n in range(1 + k % 3)]
            bench.group(members=names, state="PreparingRebalance")
            bench.run(0.7)
            bench.group(members=names)
            bench.run(2)
            if often:
                bench.journal.epoch -= bench.time - bench.journal.now()
                count = figure.frames
                wait_until(lambda f=figure, n=count: f.frames > n)
        assert stage.alive
        images.append(pixels_of_block(bench.end(figure)))
        bench.show.close()
    assert images[0].shape == images[1].shape
    assert (images[0] != images[1]).any(axis=2).mean() < 0.02  # names may begin elsewhere


def pixels_of_block(figure) -> np.ndarray:
    return figure._blocks[0].bars.pixels.copy()


# -- what samples tell ------------------------------------------------------------------------


def sample(time, owners=None, state="Stable", members=("a", "b"), stale=0.0, count=3, **more):
    owners = dict(enumerate("aab")) if owners is None else owners
    places = {(TOPIC, p): owner for p, owner in owners.items()}
    ends = {(TOPIC, p): 10 for p in range(count)}
    group = GroupSample(state, {}, places, members, **more)
    return Sample(time, ends, {}, {}, {"board": group}, {"board": stale} if stale else {})


def told(tenure) -> list[tuple[float, list[int]]]:
    return [(state.time, state.codes.tolist()) for state in tenure.states]


def test_a_change_is_drawn_from_the_first_sample_that_saw_it():
    tenure = OwnershipHistory(TOPIC, "board")
    for at in (0.0, 0.25, 0.5):
        tenure.take(sample(at))
    tenure.take(sample(0.75, {}, "PreparingRebalance"))
    tenure.take(sample(1.0, dict(enumerate("aab")), "CompletingRebalance"))  # what was before
    tenure.take(sample(1.25, dict(enumerate("abb"))))
    a, b = FIRST, FIRST + 1
    assert told(tenure) == [(0.0, [a, a, b]), (0.75, [UNTOLD] * 3), (1.25, [a, b, b])]
    (rebalance,) = tenure.rebalances
    assert (rebalance.begin, rebalance.end) == (0.75, 1.25)
    assert not tenure.moves


def test_a_short_silence_is_bridged_and_a_long_one_is_unknown_from_the_last_answer():
    tenure = OwnershipHistory(TOPIC, "board")
    tenure.take(sample(0.0))
    tenure.take(sample(0.5, stale=0.5))
    assert tenure.edge == 0.0  # nothing is drawn beyond what is known
    tenure.take(sample(0.75))
    assert len(tenure.states) == 1
    for at in (1.0, 1.5, 2.0, 2.5):
        tenure.take(sample(at, stale=at - 0.75))
    tenure.take(sample(3.0, {}, "Empty", ()))
    assert told(tenure)[1:] == [(0.75, [UNKNOWN] * 3), (3.0, [NOBODY] * 3)]
    assert not tenure.moves
    assert not tenure.wait(4.5)  # no sample at all: nobody has asked
    assert tenure.wait(8.5)
    assert told(tenure)[-1] == (3.0, [UNKNOWN] * 3)


def test_an_answer_that_was_long_on_its_way_is_taken_for_when_it_was_asked():
    tenure = OwnershipHistory(TOPIC, "board")
    tenure.take(sample(0.0, {}, "PreparingRebalance"))
    assert tenure.wait(6.0)
    assert tenure.count == 1
    tenure.take(sample(0.5, {}, "PreparingRebalance"))
    assert (tenure.count, tenure.seconds, tenure.edge) == (0, 0.0, 0.5)
    assert tenure.going_on.begin == 0.0
    assert told(tenure) == [(0.0, [UNTOLD] * 3)]
    assert tenure.wait(9.0)
    assert tenure.version == 1
    tenure.take(sample(6.5))
    assert [at for at, _ in told(tenure)] == [0.0, 0.5, 6.5]
    assert tenure.edge == 6.5
    assert tenure.version == 2


def test_generations_that_jump_and_members_between_two_samples():
    tenure = OwnershipHistory(TOPIC, "board")
    tenure.take(sample(0.0, generation=1, protocol="consumer"))
    tenure.take(sample(0.25, generation=9, protocol="consumer"))
    tenure.take(sample(0.5, dict(enumerate("bbb")), members=("b", "c"), generation=4))
    assert [(change.name, change.came) for change in tenure.changes] == [("c", True), ("a", False)]
    (moved,) = tenure.moves
    assert moved.partitions.tolist() == [0, 1]
    assert tenure.idle == ("c",)


@pytest.mark.parametrize(
    "call",
    [
        lambda show: show.ownership(TOPIC, ()),
        lambda show: show.ownership("", "board"),
        lambda show: show.ownership(TOPIC, [7]),
    ],
)
def test_arguments_that_cannot_work_are_refused(bench, call):
    with pytest.raises(BadInputError):
        call(bench.show)
    assert bench.show._stage is None


# -- with a real Kafka ------------------------------------------------------------------------


def truck(service, connection, topic, group):
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        group_id=group,
        client_id=service.name,
        session_timeout_ms=3000,
        heartbeat_interval_ms=300,
        auto_offset_reset="earliest",
        **connection,
    )
    while service.running:
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                service.report(handled=record.offset + 1)
    consumer.close()


@pytest.mark.landing  # on a real Kafka; without one it is tried above
def test_three_members_join_and_one_crashes(own_home):
    with Lab() as lab:
        topic, group = lab.topic("flights", partitions=6), lab.group("refuel")
        figure = lab.show.ownership(topic, group)
        lab.service(truck, lab.connection, topic, group, name="truck", copies=3)

        def owners() -> set:
            return set(figure._blocks[0].tenure.owned)

        assert lab.until(lambda: owners() == {"truck-1", "truck-2", "truck-3"}, 60)
        lab.services["truck-2"].crash()
        assert lab.until(lambda: owners() == {"truck-1", "truck-3"}, 60)
        time.sleep(1.5)
        final(figure)
        assert "truck-1 owns" in figure.sentence
        assert "truck-2" not in figure.sentence
        assert figure._blocks[0].tenure.count >= 1
        assert any("truck-2 crashes" in mark.text for mark in figure._marks)
        colours = [lab.show._stage.palette.look(f"truck-{k}").colour for k in (1, 2, 3)]
        assert all(near(figure, colour).sum() > 50 for colour in colours)

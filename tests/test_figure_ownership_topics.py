"""The picture of who owns which partition, where a group reads several topics."""

import pytest
from pictures import assert_readable, words_of_every_frame
from test_figure_ownership import TOPIC, Bench, texts, words_on_bars

from lab_env.ground.errors import BadInputError
from lab_env.observation.sample import GroupSample


@pytest.fixture
def bench():
    made = Bench(partitions=3)
    yield made
    made.show.close()


def share(bench: Bench, owners: dict, members=("desk-1", "desk-2")) -> None:
    """Say who owns what from now on; "other" is the second topic, of one partition."""
    bench.groups["desks"] = GroupSample("Stable", {}, owners, members, "classic")


def test_a_group_that_reads_two_topics_is_shown_with_both(bench):
    share(bench, {(TOPIC, 0): "desk-1", (TOPIC, 1): "desk-1", (TOPIC, 2): "desk-1"})
    figure = bench.show.ownership([TOPIC, "other"], "desks")
    figure.words = words_of_every_frame(figure, words_on_bars(figure))
    bench.time = bench.journal.now()
    bench.run(6)
    share(bench, {(TOPIC, 0): "desk-1", (TOPIC, 1): "desk-1", ("other", 0): "desk-2"})
    bench.run(6)
    bench.end(figure)
    assert {TOPIC, "other", "desks"} <= set(bench.watched)
    # a member that owns partitions of one topic alone is in sight
    assert f"{TOPIC}, group desks" in figure.sentence
    assert "other, group desks" in figure.sentence
    assert "desk-2 owns 0" in figure.sentence
    assert {TOPIC, "other"} <= set(texts(figure))
    assert figure.title.endswith(f"{TOPIC}, other")
    assert [mark.text for mark in figure._marks].count("+ desk-2") <= 1  # told once, not by both
    assert_readable(figure, figure.words[-1])


@pytest.mark.parametrize("topics", [[], [""], [TOPIC, 7], {}])
def test_what_are_no_topics_is_told(bench, topics):
    with pytest.raises(BadInputError):
        bench.show.ownership(topics, "desks")


def test_beside_the_bars_all_owners_are_listed_or_none(bench):
    """A list of those alone whose name is in no bar looked like a list of all."""
    bench.group(members=["truck-1", "truck-2"])
    figure = bench.begin()
    bench.run(8)
    bench.group(members=["truck-1", "truck-2", "truck-3"])
    bench.run(0.5)  # too short for a name in the new bar
    bench.end(figure)
    listed = [text for text in texts(figure) if text.startswith("truck-") and ":" in text]
    assert listed == ["truck-1: 1", "truck-2: 1", "truck-3: 1"]

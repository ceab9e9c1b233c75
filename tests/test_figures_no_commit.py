"""A group that has not committed: no picture and no number says how much waits for it; no broker.

Whether it begins at the oldest record or at the newest is the consumer's setting alone.
"""

from math import isnan

import numpy as np
import pytest
from driven import GROUP, TOPIC, Drive
from pictures import pixels

from lab_env.observation.facts.counts import OwnerCounts
from lab_env.observation.sample import GroupSample, Sample

ENDS = {(TOPIC, 0): 30, (TOPIC, 1): 20}
LINE = {"lag": "_lines", "ownership": "_lines", "queue": "_line"}


@pytest.fixture
def drive(monkeypatch):
    return Drive(monkeypatch)


def seen(committed: dict, ends: dict = ENDS, starts: int = 0) -> Sample:
    group = GroupSample("Stable", committed)
    return Sample(0.0, ends, dict.fromkeys(ends, starts), {}, {GROUP: group}, {})


def test_a_group_that_has_not_committed_has_no_lag():
    assert isnan(seen({}).lag(TOPIC, GROUP))
    assert isnan(seen({(TOPIC, 0): 30}).lag(TOPIC, GROUP))
    assert seen({(TOPIC, 0): 30}).placeless(TOPIC, GROUP) == [1]
    assert seen({(TOPIC, 0): 30, (TOPIC, 1): 5}).lag(TOPIC, GROUP) == 15


def test_where_nothing_is_kept_nothing_waits_for_anybody():
    assert seen({}, dict.fromkeys(ENDS, 0)).lag(TOPIC, GROUP) == 0
    assert seen({}, dict.fromkeys(ENDS, 7), starts=7).lag(TOPIC, GROUP) == 0


def test_a_group_or_a_topic_that_nobody_knows_has_no_lag():
    assert isnan(seen({}).lag(TOPIC, "nobody"))
    assert isnan(seen({}).lag("no.topic", GROUP))


def test_what_nobody_knows_ends_no_wait():
    """A lesson waits for ``not lag``, ``lag == 0`` or ``lag < 20``."""
    lag = seen({}).lag(TOPIC, GROUP)
    assert lag
    assert lag != 0
    assert not lag < 20
    assert not lag > 20


@pytest.mark.parametrize("kind", ["lag", "queue", "ownership"])
def test_a_newcomer_has_not_committed_yet_and_its_line_is_dashed(drive, kind):
    picture = drive.picture(kind)
    drive.go(10, each=lambda time: drive.sample(ENDS, {}, ("truck-1",)))
    assert "billing has not committed yet" in picture.sentence
    assert "50 records wait if it begins at the earliest, fewer" in picture.sentence
    assert "50 records wait for" not in picture.sentence
    assert "50 records wait;" not in picture.sentence
    line = getattr(picture, LINE[kind])
    line = line[0] if isinstance(line, list) else line
    assert not line._line.get_xdata()
    assert set(line._dashes.get_ydata()) == {50}
    assert line._dashes.is_dashed()
    assert not line._line.is_dashed()
    drive.go(3, each=lambda time: drive.sample(ENDS, ENDS, ("truck-1",)))
    assert "has not committed" not in picture.sentence
    assert "0 records wait" in picture.sentence
    assert set(line._line.get_ydata()[-3:]) == {0}
    drive.end(picture)


def test_dashes_are_seen_as_dashes(drive):
    picture = drive.picture("lag")
    drive.go(20, each=lambda time: drive.sample(ENDS, {}, ()))
    drive.end(picture)
    colour = [int(drive.stage.palette.look(GROUP).colour[i : i + 2], 16) for i in (1, 3, 5)]
    inked = (abs(pixels(picture) - colour).max(axis=2) <= 40).any(axis=0)
    changes = np.count_nonzero(np.diff(inked.astype(int)))
    assert changes > 20, "a line without a break has two ends"


def test_a_group_that_lacks_some_commits_names_the_partitions(drive):
    picture = drive.picture("lag")
    drive.go(3, each=lambda time: drive.sample(ENDS, {(TOPIC, 0): 30}, ("truck-1",)))
    assert "billing has not committed yet in partition 1" in picture.sentence
    assert "records wait for" not in picture.sentence


@pytest.mark.parametrize("by", ["group", "member"])
def test_what_a_first_commit_passes_is_no_record_consumed_in_that_moment(drive, by):
    """A consumer that begins at the latest commits 50 and has read none."""
    picture = drive.picture("throughput", by=by)
    drive.go(3, each=lambda time: drive.sample(ENDS, {}, ("truck-1",)))
    assert "billing has not committed yet" in picture.sentence
    assert "billing 0" not in picture.sentence
    drive.go(3, each=lambda time: drive.sample(ENDS, ENDS, ("truck-1",)))
    assert "has not committed" not in picture.sentence
    name = "billing" if by == "group" else "truck-1"
    assert f"{name} 0 records/s" in picture.sentence
    assert picture._values[name].highest() == 0


def test_what_is_committed_after_the_first_commit_counts(drive):
    picture = drive.picture("throughput")
    drive.go(3, each=lambda time: drive.sample({(TOPIC, 0): 900}, {(TOPIC, 0): int(time * 100)}))
    assert "billing 100 records/s" in picture.sentence


def test_by_owner_a_first_commit_counts_only_where_it_is_wanted():
    for first_counts, count in ((True, 50), (False, 0)):
        counts = OwnerCounts(TOPIC, GROUP, first_counts=first_counts)
        for committed in ({}, ENDS):
            group = GroupSample("Stable", committed, dict.fromkeys(ENDS, "truck-1"), ("truck-1",))
            one = Sample(0.0, ENDS, dict.fromkeys(ENDS, 0), {}, {GROUP: group}, {})
            found = counts.take(one)
        assert found == {"truck-1": count}

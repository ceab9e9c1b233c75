"""The pictures of a running day: the lag of services that read different topics, dead letters."""

import pytest
from driven import Drive
from pictures import assert_readable, words_of_every_frame

from lab_env.ground.errors import BadInputError
from lab_env.observation.sample import GroupSample, Sample

EVENTS, COMMANDS, LETTERS = "airport.events", "gates.commands", "dead.letters"
READS = {"gates": COMMANDS, "board": EVENTS}


@pytest.fixture
def drive(monkeypatch):
    return Drive(monkeypatch)


def sample(drive, waiting: dict[str, int], letters: int) -> None:
    """Append a sample: how many records wait for each group, how many dead letters there are."""
    ends = {(topic, 0): 100 for topic in READS.values()} | {(LETTERS, 0): letters}
    groups = {
        group: GroupSample(
            "Stable", {(topic, 0): 100 - waiting[group]}, {(topic, 0): group}, (group,), "classic"
        )
        for group, topic in READS.items()
    }
    starts = dict.fromkeys(ends, 0)
    drive.observer.samples.append(Sample(drive.clock.time, ends, starts, {}, groups, {}))


def test_the_lag_of_each_service_is_that_of_the_topic_that_it_reads(drive):
    picture = drive.show.lag(READS)
    frames = words_of_every_frame(picture)
    drive.pictures.append(picture)
    drive.go(4, each=lambda time: sample(drive, {"gates": 7, "board": 30}, 0))
    drive.end(picture)
    assert "gates" in picture.sentence
    assert "7" in picture.sentence
    assert "30" in picture.sentence
    assert_readable(picture, frames[-1])


def test_without_a_group_there_is_no_lag(drive):
    with pytest.raises(BadInputError):
        drive.show.lag({})
    with pytest.raises(BadInputError):
        drive.show.lag(EVENTS)
    with pytest.raises(BadInputError):
        drive.show.lag({"gates": None})


def test_dead_letters_are_counted_and_told(drive):
    picture = drive.show.dead_letters(LETTERS)
    frames = words_of_every_frame(picture)
    drive.pictures.append(picture)
    nobody = {"gates": 0, "board": 0}
    drive.go(2, each=lambda time: sample(drive, nobody, 0))
    assert "the end offset is 0 (" in picture.sentence
    drive.go(3, each=lambda time: sample(drive, nobody, 3))
    drive.end(picture)
    assert "the end offset is 3 (" in picture.sentence
    assert_readable(picture, frames[-1])

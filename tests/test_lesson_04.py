"""Lesson 04: what its prose claims is true, and its checks tell right answers from wrong ones."""

import struct

import pytest
from lesson import some

from lab_env.clusters import segments

NUMBER = "04"
EACH_CELL_TWICE = True


@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_a_record_has_an_address_and_lies_on_the_disk(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    # offsets: one after the other, and reading does not move them
    offsets = value("lab.records(log)['offset'].tolist()")
    assert offsets == list(range(len(offsets)))
    assert value("offset == len(lab.records(log)) - 1") is True
    # the segments: named after their first record, about as long as they may be, all there is
    assert value("len(logs)") > 2
    assert value("bool((logs['bytes'] <= 1024 * 1024).all())") is True
    sizes = value("int(logs['bytes'].sum())")
    assert f"'partition_size': {sizes}" in lesson.output(lesson.index("disk-size"))
    # the bytes: the batches follow each other, and end where the next segment begins
    assert "'magic': 2" in lesson.output(lesson.index("batch"))
    assert value("batches['base_offset'].shift(-1).dropna().eq((batches['base_offset']"
                 " + batches['count']).iloc[:-1]).all()") in (True, "True")  # fmt: skip
    assert value("int(batches['count'].sum())") == value("int(logs['base_offset'].iloc[1])")
    first = value("flights.events(january.head(1))[0]['id']")
    assert first in lesson.output(lesson.index("batch-text-bytes"))
    last = "batches['base_offset'] + batches['last_offset_delta']"
    assert value(f"int(({last}).iloc[-1])") == value("int(logs['base_offset'].iloc[1]) - 1")


@pytest.mark.shares_a_lab
def test_keys_place_records_and_keep_their_order(lesson):
    value = lesson.value
    times = 1 + lesson.twice  # that the cell has run
    assert "It was 100." in lesson.output(lesson.index("keys"))
    assert "It was True." in lesson.output(lesson.index("by-airport"))
    assert "It was 6." in lesson.output(lesson.index("null"))
    assert value(f"len(records) == int(right.sum()) == {times} * len(flown)") is True
    # the airport as key: landed before it departed, while each partition is in order
    assert 20 < value("len(wrong)") < value("len(whole)")
    assert value("mixed.groupby('partition')['offset'].apply(lambda o: o.is_monotonic_increasing)"
                 ".tolist()") == [True] * value("mixed['partition'].nunique()")  # fmt: skip
    assert value("len(mixed) == len(moves) == len(ordered)") is True
    two = value("mixed[mixed['id'] == wrong[0]]['partition'].tolist()")
    assert len(set(two)) == 2
    assert value("len(landed_first(ordered))") == 0
    # no key: everywhere, about evenly; all cancelled
    spread = value("lab.records(without_key).groupby('partition').size().tolist()")
    assert len(spread) == 6
    assert sum(spread) == 2512
    assert max(spread) < 0.25 * sum(spread)
    assert lesson.output(lesson.index("null-departed")) == "0"
    # carriers are a hot key, aircraft are not
    assert value("float(shares.max())") > 0.3
    assert value("float(records['partition'].value_counts(normalize=True).max())") < 0.25
    assert value("len(shares)") < 6  # a partition that no carrier leads to


@pytest.mark.shares_a_lab
def test_partitions_are_added_and_never_taken_away_and_a_typo_makes_a_topic(lesson):
    value = lesson.value
    assert 0.25 < value("float((homes > 1).mean())") < 0.75
    # the morning's records have stayed in the three old partitions
    old = "(lambda grown: grown[grown['partition'] < 3])(lab.records(growing))['value']"
    ids = value(f"[one['id'] for one in {old}]")
    assert set(value("[one['id'] for one in flown[:noon]]")) <= set(ids)
    shrink = lesson.output(lesson.index("shrink"))
    assert "InvalidPartitionsError" in shrink.strip().splitlines()[-1]
    assert "would not be an increase" in shrink
    assert "It was no error." in lesson.output(lesson.index("typo"))
    assert "departd: True" in lesson.output(lesson.index("typo-topic"))
    assert value("partitions(typo)") == 1
    assert value("partitions(topic)") == 6


@pytest.mark.shares_a_lab
def test_retention_deletes_and_compaction_keeps_the_latest(lesson):
    value = lesson.value
    first = int(lesson.output(lesson.index("retention")).split(" at first")[0].split()[-1])
    assert 0 < first <= value("len(day)")  # on a busy machine some may have gone by then
    assert "It was 0." in lesson.output(lesson.index("retention"))
    assert value("0 < oldest == end") is True
    assert value("before == len(legs)") is True  # the active segment is not compacted
    assert value("on_broker == last_leg") is True
    assert 0 <= value("len(kept) - len(last_leg)") <= 1
    assert value("int(kept['offset'].diff().max())") > 1  # gaps
    refused = lesson.execute(
        "with closing(KafkaProducer(**lab.connection)) as producer:\n"
        "    try:\n"
        "        producer.send(latest, b'no key').get(timeout=5)\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__)\n"
    )
    assert "InvalidRecordError" in refused


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("cell", "wrong", "hint"),
    [
        ("log-read", "0", "Reading takes nothing away"),
        ("disk-files", "1", "until the file has reached segment_bytes"),
        ("typo", "'An error at once.'", "cannot know that the name is a mistake"),
    ],
)
def test_a_wrong_prediction_is_told_what_it_means(lesson, cell, wrong, hint):
    lesson.corrects(cell, wrong, hint)


@pytest.mark.shares_a_lab
def test_the_end_asks_for_the_predictions_that_nobody_made(lesson):
    lesson.misses_each_prediction()


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    keys, carriers, growing, short = lesson.told
    assert "records in 6 partitions" in keys
    assert "partition 3 holds" in carriers
    assert "partition 5 holds" in growing
    assert "894 offsets lie before" in short.replace("1,788", "894")


SNOW = "snow = lab.topic('flights.snow', partitions=6)\n"


def by(expression: str) -> str:
    return f"snow = snow_day(lambda event: {expression})"


WRONG_KEYS = {
    "the carrier": (by("event['carrier']"), "A few large keys"),
    "the airport": (by("event['origin']"), "Which field is the same"),
    "the flight": (by("event['id']"), "Which field is the same"),
    "no key": (by("None"), "Without a key"),
    "str of None": (by("str(event['tail_number'])"), "str(None) is a text"),
    "an empty text": (by("event['tail_number'] or ''"), "str(None) is a text"),
    "the same for all": (by("'New York'"), "five partitions stand empty"),
    "an error in between": (
        SNOW + "from contextlib import suppress\n"
        "with suppress(AttributeError):\n"
        "    send(snow, snowy, lambda event: event['tail_number'].lower())",
        "Did the cell end with an error",
    ),
    "without the cancelled": (
        SNOW + "send(snow, [e for e in snowy if e['departed']], aircraft)",
        "A flight that is not in the topic is lost",
    ),
    "nothing sent": (SNOW, "None has no .encode()"),
    "twice": (SNOW + "send(snow, snowy * 2, aircraft)", "makes the topic anew"),
    "backwards": (SNOW + "send(snow, snowy[::-1], aircraft)", "in the order in which they were"),
    "one partition": (
        "snow = lab.topic('flights.snow')\nsend(snow, snowy, aircraft)",
        "One partition keeps every order",
    ),
}
RIGHT_KEYS = {
    "each nameless flight for itself": by("event['tail_number'] or event['id']"),
    "a partition of one's own choice": SNOW + "from itertools import cycle\n"
    "from zlib import crc32\n"
    "turns = cycle(range(6))\n"
    "with closing(KafkaProducer(**lab.connection)) as producer:\n"
    "    for event in snowy:\n"
    "        tail = event['tail_number']\n"
    "        at = crc32(tail.encode()) % 6 if tail else next(turns)\n"
    "        producer.send(snow, json.dumps(event).encode(), partition=at)\n"
    "    producer.flush(timeout=20)",
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_KEYS))
def test_exercise_1_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(1, *WRONG_KEYS[wrong])


@pytest.mark.shares_a_lab
def test_exercise_1_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_KEYS, 1))
def test_exercise_1_another_right_way_passes(lesson, right):
    lesson.accepts(1, RIGHT_KEYS[right], right)


def board(settings: dict, after: str = "next_departure(board)") -> str:
    return f"""
board = new_board()
settings = {settings}
with closing(KafkaAdminClient(**lab.connection)) as admin:
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, board, settings)])
{after}
"""


COMPACT, SOON = {"cleanup.policy": "compact"}, {"segment.ms": "100"}
ANEW = """
board = lab.topic("departures.board", cleanup_policy="compact", segment_ms=100,
    min_cleanable_dirty_ratio=0)
send(board, day, itemgetter(KEY))
next_departure(board)
"""
WRONG_BOARDS = {
    "the policy stays": (board(SOON), "Compaction goes by the key"),
    "a short retention": (
        board({"retention.ms": "100"}, "lab.until(lambda: lab.records(board).empty)"),
        "asks for no key",
    ),
    "deleted by hand": (
        "board = new_board()\n"
        "with closing(KafkaAdminClient(**lab.connection)) as admin:\n"
        "    admin.delete_records({TopicPartition(board, 0): 800})",
        "Something has deleted",
    ),
    "the active segment": (board(COMPACT), "that is never compacted"),
    "no record after it": (board(COMPACT | SOON, ""), "when the next record arrives"),
    "the next record came too early": (
        "board = new_board()\nnext_departure(board)\n"
        + board(COMPACT | SOON, "").replace("board = new_board()", ""),
        "come before you changed the settings",
    ),
    "compacts and deletes": (
        board({"cleanup.policy": "compact,delete"} | SOON),
        "served seldom vanishes",
    ),
    "protected": (board(COMPACT | SOON | {"min.compaction.lag.ms": "60000"}), "Leave it at 0"),
    "another key": (ANEW.replace("KEY", "'id'"), "byte by byte"),
}
RIGHT_BOARDS = {
    "made anew": ANEW.replace("KEY", "'destination'"),
    "by the longest wait": board(COMPACT | {"max.compaction.lag.ms": "100"}),
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(240)
@pytest.mark.parametrize("wrong", some(WRONG_BOARDS))
def test_exercise_2_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(2, *WRONG_BOARDS[wrong])


@pytest.mark.shares_a_lab
def test_exercise_2_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_BOARDS, 1))
def test_exercise_2_another_right_way_passes(lesson, right):
    lesson.accepts(2, RIGHT_BOARDS[right], right)


# -- the reader of segments, without a broker -----------------------------------------------


def batch(base_offset: int, count: int, body: bytes = b"xyz") -> bytes:
    length = segments.HEADER.size - segments.AFTER_LENGTH + len(body)
    numbers = (base_offset, length, 0, 2, 7, 0, count - 1, 5, 6, -1, -1, -1, count)
    return segments.HEADER.pack(*numbers) + body


def test_batches_are_read_and_what_is_cut_off_is_left_out():
    whole = batch(40, 3) + batch(43, 10, b"") + batch(60, 1)
    found = segments.batches(whole)
    assert found["base_offset"].tolist() == [40, 43, 60]
    assert found["count"].tolist() == [3, 10, 1]
    assert found["magic"].tolist() == [2, 2, 2]
    assert segments.batches(whole[:-1])["base_offset"].tolist() == [40, 43]
    assert segments.batches(b"").empty
    assert segments.batches(bytes(200)).empty  # room that was reserved and not written
    assert struct.calcsize(">qiibIhiqqqhii") == segments.HEADER.size == 61


def test_brokers_whose_disks_are_elsewhere_are_told_of(tmp_path, capsys):
    class Elsewhere:
        folder = tmp_path

    assert segments.files(Elsewhere, "flights").empty
    assert "somewhere else" in capsys.readouterr().out
    assert segments.read(Elsewhere, "flights") == b""

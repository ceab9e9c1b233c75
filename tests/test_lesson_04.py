"""Lesson 04: what its prose claims is true, and its checks tell right answers from wrong ones."""

import struct
from itertools import cycle

import pytest
from lesson import some

from lab_env.checks import topics_and_partitions as checks
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
    lesson.asks_each_step()
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
    # the offset of a record is base_offset plus the delta that is written before its body
    assert value("heads['offset'].tolist()") == list(range(value("len(heads)")))
    assert value("int(heads['offset_delta'].max())") > 0
    delta = value("raw[HEADER.size + 2 + int(heads['length'].iloc[0]):][:10].hex()")
    assert bytes.fromhex(delta)[2:][:3].count(2) >= 1  # the second record's delta: 1, zigzag


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
    # they are inside batches too: were it a record's place, there could be none
    inside = "segments.records(segments.read(lab, latest)).groupby('base_offset')['offset_delta']"
    assert value(f"int({inside}.diff().max())") > 1
    assert lesson.output(lesson.index("compact-config")) == "{'topic': {'aircraft.latest': 'OK'}}"
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


CHANGED = {"spread": ", partition=number % 6", "tombstone": "fleet, None"}
WRONG_STEPS = {
    "nothing, once more": ("spread", "", "Neither takes turns"),
    "the null of JSON": ("tombstone", "fleet, json.dumps(None).encode()", "four letters"),
    "a key in turns": ("spread", ", key=str(number % 6).encode()", "Neither takes turns"),
    "one key": ("spread", ", key=b'New York'", "one key for all"),
    "an empty body": ("tombstone", "fleet, b''", "An empty body is a body"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("step", CHANGED)
def test_a_small_step_is_taken_by_its_solution(lesson, step):
    lesson.accepts_step(step)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_STEPS, 2))
def test_a_wrong_small_step_is_told_what_it_comes_from(lesson, wrong):
    step, change, told = WRONG_STEPS[wrong]
    lesson.refuses_step(step, lesson.changed_step(step, CHANGED[step], change), told)


SNOW = """
snow = lab.topic("flights.snow", partitions=6)
snowy = flights.events(flights.table(day="2013-02-09"))


def send_day(topic):
    BODY


send_day(snow)
"""


def sent(body: str, before: str = "") -> str:
    """Return an answer to exercise 1: the body of send_day."""
    return before + SNOW.replace("BODY", body)


def by(expression: str) -> str:
    return sent(f"send(topic, snowy, lambda event: {expression})")


def placed(expression: str, before: str = "") -> str:
    """Return an answer that says the partition of each aircraft itself; the others take turns."""
    return sent(
        "turns = cycle(range(6))\n"
        "    with closing(KafkaProducer(**lab.connection)) as producer:\n"
        "        for event in snowy:\n"
        "            tail = event['tail_number']\n"
        f"            at = {expression} if tail else next(turns)\n"
        "            producer.send(topic, json.dumps(event).encode(), partition=at)\n"
        "        producer.flush(timeout=20)",
        "from itertools import cycle\nfrom zlib import crc32\n" + before,
    )


RDKAFKA = """from confluent_kafka import Producer

    producer = Producer(lab.librdkafka)
    producer.list_topics(topic)  # it knows the topic: all without a key go to one partition
    for event in snowy:
        producer.produce(topic, json.dumps(event), key=KEY)
    producer.flush(20)"""
WRONG_KEYS = {
    "Python's hash, other in each process": (placed("hash(tail) % 6"), "zlib.crc32"),
    "a key made by Python's hash": (
        by("event['tail_number'] and str(hash(event['tail_number']))"),
        "zlib.crc32",
    ),
    "sent beside send_day": (
        sent("pass") + "send(snow, snowy, aircraft)",
        "has to stand in send_day(topic)",
    ),
    "always to the same topic": (
        sent("send(snow, snowy, aircraft)"),
        "with topic in place of snow",
    ),
    "a producer of the notebook": (
        "today = {'first': True}\n"
        + sent(
            "if not today.pop('first', False):\n"
            "        raise RuntimeError('the door is locked')\n"
            "    send(topic, snowy, aircraft)"
        ),
        "wherever it runs",
    ),
    "the carrier": (by("event['carrier']"), "A few large keys"),
    "the airport": (by("event['origin']"), "Which field is the same"),
    "the flight": (by("event['id']"), "Which field is the same"),
    "no key": (by("None"), "Without a key"),
    "str of None": (by("str(event['tail_number'])"), "str(None) is a text"),
    "an empty text": (by("event['tail_number'] or ''"), "str(None) is a text"),
    "the same for all": (by("'New York'"), "five partitions stay empty"),
    "an error in between": (
        "from contextlib import suppress\n"
        + sent(
            "with suppress(AttributeError):\n"
            "        send(topic, snowy, lambda event: event['tail_number'].lower())"
        ),
        "Did the cell end with an error",
    ),
    "without the cancelled": (
        sent("send(topic, [e for e in snowy if e['departed']], aircraft)"),
        "A flight that is not in the topic is lost",
    ),
    "nothing sent": (sent("pass"), "None has no .encode()"),
    "twice": (sent("send(topic, snowy * 2, aircraft)"), "makes the topic anew"),
    "backwards": (sent("send(topic, snowy[::-1], aircraft)"), "in the order in which they were"),
    "one partition": (by("event['tail_number']").replace(", partitions=6", ""), "One partition"),
    "librdkafka, and the carrier": (sent(RDKAFKA.replace("KEY", "event['carrier']")), "A few"),
}
RIGHT_KEYS = {
    "librdkafka, which puts all without a key into one partition": sent(
        RDKAFKA.replace("KEY", "event['tail_number']")
    ),
    "each nameless flight for itself": by("event['tail_number'] or event['id']"),
    "a partition of one's own choice": placed("crc32(tail.encode()) % 6"),
    "a stable choice of one's own": placed("sum(map(ord, tail)) * 7 % 6"),
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


LATER = "send(board, later, itemgetter('destination'))"
MADE = """
later = flights.events(flights.table(day="2013-01-16").head(1))
board = lab.topic("departures.board", retention_ms=3_600_000)
send(board, day, itemgetter("destination"))
"""


def altered(settings: dict, after: str = LATER) -> str:
    return f"""
with closing(KafkaAdminClient(**lab.connection)) as admin:
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, board, {settings})])
{after}
"""


def board(settings: dict, after: str = LATER) -> str:
    return MADE + altered(settings, after)


COMPACT, SOON = {"cleanup.policy": "compact"}, {"segment.ms": "100"}
ANEW = """
board = lab.topic("departures.board", cleanup_policy="compact", segment_ms=100,
    min_cleanable_dirty_ratio=0)
send(board, day, itemgetter(KEY))
send(board, flights.events(flights.table(day="2013-01-16").head(1)), itemgetter("destination"))
"""
WRONG_BOARDS = {
    "refused, since a segment has at least a mebibyte": (
        board(COMPACT | {"segment.bytes": "100"}),
        "what alter_configs returns",
    ),
    "a policy that there is not": (
        board({"cleanup.policy": "compaction"} | SOON),
        "what alter_configs returns",
    ),
    "the policy stays": (board(SOON), "Compaction goes by the key"),
    "a short retention": (
        board({"retention.ms": "100"}, "lab.until(lambda: lab.records(board).empty)"),
        "asks for no key",
    ),
    "deleted by hand": (
        MADE + "with closing(KafkaAdminClient(**lab.connection)) as admin:\n"
        "    admin.delete_records({TopicPartition(board, 0): 800})",
        "Something has deleted",
    ),
    "the active segment": (board(COMPACT), "that is never compacted"),
    "no record after it": (board(COMPACT | SOON, ""), "when the next record arrives"),
    "the next record came too early": (
        MADE + LATER + altered(COMPACT | SOON, ""),
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
    "one setting after the other": board(COMPACT, "") + altered(SOON),
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


# -- what was found is judged without a broker ----------------------------------------------

TRUTH = [
    {"id": f"{n}", "tail_number": f"N{n % 40}" if n % 4 else None} for n in range(240)
]  # a quarter has no aircraft


def keyed_as(place, key=lambda event: event["tail_number"], again=None, **more):
    rows = [checks.Sent(place(e), n, key(e), e["id"]) for n, e in enumerate(TRUTH)]
    second = (
        None
        if again is None
        else tuple(checks.Sent(again(e), n, key(e), e["id"]) for n, e in enumerate(TRUTH))
    )
    found = checks.Keyed("snow", 6, tuple(rows), second, **more)
    return checks.judge_key(found, TRUTH)


def own(event, nameless=None) -> int:
    tail = event["tail_number"]
    return int(tail[1:]) % 6 if tail else next(nameless or cycle([0]))


def test_where_records_without_a_key_lie_is_not_judged():
    assert keyed_as(own)  # all in one partition, as a sticky producer may put them
    turns = cycle(range(6))
    assert keyed_as(lambda event: own(event, turns))
    assert not keyed_as(own, key=lambda event: event["tail_number"] or "none")


def test_another_process_must_find_the_same_partitions():
    assert keyed_as(own, again=own)
    moved = keyed_as(own, again=lambda event: (own(event) + 1) % 6)
    assert "hash()" in moved.hint
    assert "another process" in keyed_as(own, again=own, error="KeyError: 'x'").found.lower()
    assert "elsewhere" in moved.found


def test_a_board_whose_settings_were_refused_is_told_where_the_error_is():
    found = checks.Board("board", "delete", 604_800_000, 0, (("ORD", "ORD", "1 2013-01-15"),))
    answer = checks.judge_board(found, {"ORD": "1 2013-01-15"}, "2013-01-15")
    assert "what alter_configs returns" in answer.hint


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


def test_the_offset_of_each_record_is_read_from_its_delta():
    def record(delta: int, body: bytes = b"") -> bytes:
        rest = bytes([0, 14, 2 * delta]) + body  # attributes, timestamp delta 7, offset delta
        return bytes([2 * len(rest)]) + rest

    long = bytes([0, 0, 2]) + b"x" * 100  # its length takes two bytes: 103, zigzag 206
    kept = record(0) + record(3, b"abc") + b"\xce\x01" + long
    found = segments.records(batch(40, 3, kept) + batch(50, 1, record(0)))
    assert found["offset_delta"].tolist() == [0, 3, 1, 0]
    assert found["offset"].tolist() == [40, 43, 41, 50]
    assert found["timestamp_delta"].tolist() == [7, 7, 0, 7]
    assert found["length"].tolist() == [3, 6, 103, 3]
    squeezed = bytearray(batch(40, 1, b"?"))
    squeezed[22] = 4  # the attributes' last byte: zstd
    assert segments.records(bytes(squeezed)).empty

"""Lesson 07: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

NUMBER = "07"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    assert "has forgotten everything" in lesson.output(lesson.index("check-totals"))
    assert "UnknownMemberIdError" in lesson.output(lesson.index("check-back"))
    # a place is a record, the next offset; without the one, the last record comes again
    assert lesson.output(lesson.index("internal")).split()[-1] == "20"
    assert value("[one.offset for one in came_again]") == [59]
    # no place: latest skips all; none is an error; who has a place does not care
    assert value("[before, after]") == [60, 0]
    assert value("begins") == {
        "desk": [20, 20, 20],
        "forgetful": [0, "at the end", "NoOffsetForPartitionError"],
    }
    where = {"none": "OffsetOutOfRangeError", "earliest": 40, "latest": "at the end"}
    assert lesson.output(lesson.index("after-range")) == str(where)
    assert value("days") == 7
    assert "NoOffsetForPartitionError" in lesson.output(lesson.index("after-expiry"))
    # replay: each partition has an offset of its own
    assert value("len({one.offset for one in nine.values()})") == 2
    assert "'2013-01-01T09:00'" in lesson.output(lesson.index("times-first"))
    assert value("[one.offset for one in nine.values()]") == value(
        "[note.offset for note in noted.values()]"
    )


@pytest.mark.shares_a_lab
def test_a_crash_loses_or_repeats_by_the_order_of_work_and_commit(lesson):
    value = lesson.value
    assert value("all_through") == [True, True]
    assert value("counts") == {
        "first lost": 5, "first twice": 0, "last lost": 0, "last twice": 5,
    }  # fmt: skip
    names = value("[flight['id'] for flight in flown[:60]]")
    assert value("accounts['first']['lost']") == sorted(names[25:30])
    assert value("accounts['last']['twice']") == sorted(names[20:25])


@pytest.mark.shares_a_lab
def test_auto_commit_repeats_by_its_timer_and_loses_what_a_thread_has(lesson):
    value = lesson.value
    assert value("auto_through") == [True, True]
    plain, busy = (value(f"auto_accounts[{kind!r}]") for kind in ("plain", "busy"))
    assert (len(plain["lost"]), len(plain["twice"])) == (0, 25)
    assert len(busy["lost"]) > 20
    assert busy["twice"] == []
    assert value("auto_harm") == {"plain": "twice", "busy": "lost"}


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    first, last, plain, busy = lesson.told
    assert "group commit-first" in first
    assert "lost: 5" in first
    assert "handled twice: 0" in first
    assert "lost: 0" in last
    assert "handled twice: 5" in last
    assert "handled twice: 25" in plain
    lost = lesson.value("len(auto_accounts['busy']['lost'])")
    assert f"lost: {lost}" in busy
    assert all("110 records produced" in told for told in lesson.told)


@pytest.mark.shares_a_lab
def test_only_the_idempotent_producer_removes_its_retries(lesson):
    value = lesson.value
    assert value("stored") == {"off": 20, "on": 10}
    assert len(value("stored_twice")) == 10
    assert "It was 2" in lesson.output(lesson.index("twice"))


@pytest.mark.shares_a_lab
def test_a_prediction_answers_back(lesson):
    assert "of 9" in lesson.output(lesson.index("surprises"))
    told = "You said 1, and it was 2. 1: the broker recognises a retry"
    lesson.corrects("twice", "1", told)
    lesson.execute("prediction = ...")


@pytest.mark.shares_a_lab
def test_a_transaction_is_all_or_nothing_inside_of_kafka(lesson):
    value = lesson.value
    late = value("late_expected")
    assert value("seen_open") == {"read_uncommitted": 5, "read_committed": 2}
    assert "ONGOING" in lesson.output(lesson.index("open"))
    # the announcement waits behind the transaction that a dead producer has left open
    assert value("seen_stuck") == {"read_uncommitted": 6, "read_committed": 2}
    # the same transactional id ends it; the aborted ones stay for those who want to see them
    assert value("[crashed, done]") == [True, True]
    assert value("seen_closed") == {"read_uncommitted": late + 4, "read_committed": late + 1}
    assert value("len(values) - len(set(values))") == 0
    assert len(value("mailed_twice")) == 3
    assert value("end") > late + 4
    offsets = value("committed_offsets")
    assert offsets != list(range(len(offsets)))
    assert value("end") - (offsets[-1] + 1) == 1  # a lag of one, with nothing left to read
    assert "ProducerFencedError" in lesson.output(lesson.index("fenced"))
    assert "seen: False" in lesson.output(lesson.index("zombie-end"))


COUNTER = """
exam_topic, totals, counters = exam()


def counter(service, topic, totals, group):
    known = KNOWN
    producer = KafkaProducer(**lab.connection, PRODUCER)
    with closing(producer), closing(rejoin(service, topic, GROUP, AUTO)) as consumer:
        INIT
        while service.running:
            batch = consumer.poll(timeout_ms=500, max_records=20)
            if not batch:
                continue
            FIRST
            for record in chain(*batch.values()):
                carrier = json.loads(record.value)["carrier"]
                total = known.setdefault(carrier, {"count": 0})
                total["count"] += 1
                SEND
            AFTER
            producer.flush()
            LAST


RUN
"""
SEND = "producer.send(totals, json.dumps(total).encode(), key=carrier.encode())"
RUN = "three_power_cuts(lab, counter, exam_topic, totals, counters)"
OFFSETS = "{p: OffsetAndMetadata(consumer.position(p), '', -1) for p in batch}"
BY_TRANSACTION = f"producer.send_offsets_to_transaction({OFFSETS}, consumer.group_metadata())"
NOT_THE_NEXT = "{p: OffsetAndMetadata(consumer.position(p) - 1, '', -1) for p in batch}"


def counter(**changes) -> str:
    parts = {
        "KNOWN": "remembered(totals)",
        "PRODUCER": "",
        "GROUP": "group",
        "AUTO": "",
        "INIT": "pass",
        "FIRST": "pass",
        "SEND": SEND,
        "AFTER": "pass",
        "LAST": "consumer.commit()",
        "RUN": RUN,
    } | changes
    code = COUNTER
    for name, part in parts.items():
        code = code.replace(name, part)
    return code


TRANSACTION = {
    "PRODUCER": "transactional_id='counter'",
    "INIT": "producer.init_transactions()",
    "FIRST": "producer.begin_transaction()",
    "AFTER": BY_TRANSACTION,
    "LAST": "producer.commit_transaction()",
}
NEW_RECORDS = "they are new records"
# what the student wrote, and what the answer must speak of
WRONG_COUNTERS = {
    "an idempotent producer": (counter(PRODUCER="enable_idempotence=True"), NEW_RECORDS),
    "commits first": (
        counter(FIRST="consumer.commit()", LAST="pass"),
        "A commit before the work loses",
    ),
    "commits for each flight": (counter(SEND=SEND + "; producer.flush(); consumer.commit()"),
        "is anything committed before its total"),
    "a transaction without the offsets": (
        counter(**TRANSACTION | {"AFTER": "pass", "LAST": "producer.commit_transaction(); "
                                 "consumer.commit()"}),
        NEW_RECORDS,
    ),
    "a transaction, read back uncommitted": (
        counter(**TRANSACTION, KNOWN="{one.key.decode(): json.loads(one.value) "
                "for one in read(totals)}"),
        NEW_RECORDS,
    ),
    "commits the last offset": (
        counter(LAST=f"consumer.commit({NOT_THE_NEXT})"),
        "It is record.offset + 1",
    ),
    "auto-commit": (
        counter(AUTO="enable_auto_commit=True, auto_commit_interval_ms=100", LAST="pass"),
        NEW_RECORDS,
    ),
    "no power cut": (
        counter(RUN="lab.service(counter, exam_topic, totals, counters)"),
        "Without a crash every counter is right",
    ),
    "sends totals at the very end": (
        counter(SEND="pass", AFTER="""
            if sum(one["count"] for one in known.values()) < 300:
                consumer.commit()
                continue
            for carrier, total in known.items():
                producer.send(totals, json.dumps(total).encode(), key=carrier.encode())"""),
        "as you count, not at the very end",
    ),
    "fails": (counter(INIT="service.nothing()"), "Mend that line"),
}  # fmt: skip
RECOUNT = "consumer.poll(timeout_ms=5000, max_records=1); consumer.seek_to_beginning()"
RIGHT_COUNTERS = {
    "a transaction": counter(**TRANSACTION),
    "counts all from the beginning": counter(KNOWN="{}", INIT=RECOUNT),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_COUNTERS, 1))
def test_a_wrong_counter_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(1, *WRONG_COUNTERS[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_counts_right_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_COUNTERS, 1))
def test_another_right_way_counts_right(lesson, right):
    lesson.accepts(1, RIGHT_COUNTERS[right])


BACK = """
screens_topic, screens, screen = busy_screens()
screen_places = [TopicPartition(screens_topic, number) for number in range(3)]
FIRST
with closing(KafkaAdminClient(**lab.connection)) as admin:
    admin.reset_group_offsets(screens, {place: OFFSET for place in PLACES})
LAST
"""
ELEVEN = 'OffsetTimestamp(ms("2013-01-01 11:00"))'


def back(offset=ELEVEN, first="screen.stop()", last="", places="screen_places") -> str:
    code = BACK.replace("OFFSET", offset).replace("FIRST", first).replace("LAST", last)
    return code.replace("PLACES", places)


NAIVE = "OffsetTimestamp(int(pd.Timestamp('2013-01-01 11:00').timestamp() * 1000))"
SECONDS = "OffsetTimestamp(ms('2013-01-01 11:00') // 1000)"
ADD = """
    found = admin.list_group_offsets(screens)[screens]
    beside = {p: OffsetAndMetadata(one.offset - 1, "", -1) for p, one in found.items()}
    admin.alter_group_offsets(screens, beside)
"""
WRONG_BACK = {
    "the screen still runs": (back(first=""), "UnknownMemberIdError"),
    "stops it afterwards": (back(first="", last="screen.stop()"), "screen that is stopped later"),
    "the wrong time zone": (back(NAIVE), "five hours"),
    "seconds": (back(SECONDS), "milliseconds since 1970"),
    "from the beginning": (back("0"), "milliseconds since 1970"),
    "one before": (back(last=ADD), "next one to be read"),
    "one partition": (back(places="screen_places[:1]"), "Each partition has offsets of its own"),
    "deletes the group": (
        back(last="    admin.delete_groups([screens])"),
        "instead of deleting them",
    ),
    "an hour too early": (back(ELEVEN.replace("11:", "10:")), "would repeat departures"),
    "an hour too late": (back(ELEVEN.replace("11:", "12:")), "would leave out"),
}
WRONG_BACK["seek"] = (back("0", last="").split("with closing")[0] + """
looks = {"group_id": screens, "enable_auto_commit": False}
with closing(KafkaConsumer(**lab.connection, **looks)) as consumer:
    consumer.assign(screen_places)
    for place in screen_places:
        consumer.seek(place, 0)
""", "seek moves one consumer")  # fmt: skip
COMMITS = """
with closing(KafkaConsumer(**lab.connection, group_id=screens)) as consumer:
    consumer.assign(screen_places)
    found = consumer.offsets_for_times(dict.fromkeys(screen_places, ms("2013-01-01T11:00")))
    consumer.commit({p: OffsetAndMetadata(one.offset, "", -1) for p, one in found.items()})
"""
RIGHT_BACK = {
    "a consumer that commits": back().split("with closing")[0] + COMMITS,
    "seek and commit": back().split("with closing")[0] + COMMITS.split("    consumer.commit")[0]
    + "    for p, one in found.items():\n        consumer.seek(p, one.offset)\n"
    + "    consumer.commit()\n",
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_BACK, 1))
def test_a_wrong_reset_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(2, *WRONG_BACK[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_sets_the_group_back_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_BACK, 1))
def test_another_right_way_sets_the_group_back(lesson, right):
    lesson.accepts(2, RIGHT_BACK[right])


FAULT = """
import threading


def broker_dies():
    lab.until(lambda: (shown(groups["last"], begin)["offset"] > 40).any(), seconds=40)
    lab.kill(1)
    lab.start(1)


fault = threading.Thread(target=broker_dies)
fault.start()
"""


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_experiments_can_be_run_again_and_survive_the_broker_being_killed(lesson):
    """After the exercises: what is lost or came twice is named, and nothing else is wrong."""
    for cell in ("topic", "twenty", "careless", "again", "live"):
        lesson.again(lesson.index(cell))
    lesson.execute(FAULT)
    for cell in ("run", "run-end", "accounts", "names"):
        lesson.again(lesson.index(cell))
    lesson.execute("fault.join()")
    value = lesson.value
    assert value("all_through") == [True, True]
    names = set(value("[flight['id'] for flight in flown[:110]]"))
    for order in ("first", "last"):
        shown = value(f"sorted(set(shown(groups[{order!r}], begin)['handled']))")
        assert names - {*shown} == {*value(f"accounts[{order!r}]['lost']")}
    assert value("accounts['last']['lost']") == []
    assert len(value("accounts['last']['twice']")) >= 5
    assert len(value("accounts['first']['lost']")) >= 5
    # the transaction that a dead producer left open, once more
    for cell in ("late-run", "open", "stuck", "late-back", "closed", "mails", "old-and-new"):
        lesson.again(lesson.index(cell))
    assert not lesson.errors
    assert value("[crashed, done]") == [True, True]
    assert value("seen_closed['read_committed']") == value("late_expected") + 1

"""Lesson 07: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pandas as pd
import pytest
from lesson import some

from lab_env.checks.offsets_and_delivery import Back, judge_back

NUMBER = "07"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    assert "has forgotten everything" in lesson.output(lesson.index("check-totals"))
    told = lesson.output(lesson.index("check-back"))
    assert "UnknownMemberIdError" in told
    assert "begins, in each partition, with the first departure at 2013-01-01 11:00" in told
    lesson.asks_each_step()
    # a committed offset is a record, the next offset; without the one, the last record comes again
    assert lesson.output(lesson.index("internal")).split()[-1] == "20"
    assert value("[one.offset for one in came_again]") == [59]
    # no committed offset: latest skips all; none is an error; with one, all three are the same
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
        "lab.lag(gates, day)['committed_offset'].tolist()"
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
    assert "of 11" in lesson.output(lesson.index("surprises"))
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


@pytest.mark.shares_a_lab
def test_two_writes_disagree_and_an_outbox_with_an_idempotent_consumer_does_not(lesson):
    value = lesson.value
    # the power fails between the two writes of the seventh seat
    assert value("sold") == {
        "row first": {"rows": 7, "records": 6},
        "record first": {"rows": 6, "records": 7},
    }
    told = lesson.output(lesson.index("dual"))
    assert "It was row first: record, record first: row." in told
    # each of the three is killed: nothing lost, an event published twice, and counted once
    assert value("[published, counted]") == [True, True]
    assert value("[one for (one,) in ask(file, 'select id from bookings')]") == value(
        "[flight['id'] for flight in flown[:10]]"
    )
    records = value("[one['id'] for one in lab.records(announced)['value']]")
    assert len(records) == 11
    assert records.count(value("cut")) == 2
    assert value("[seats, events]") == [10, 18]  # seven before its death, and all eleven after it
    lesson.corrects("outbox-answer", "{'records': 10}", "died before it deleted the row")
    lesson.corrects("dual", "{'row first': 'nothing'}", "the process is dead")
    lesson.execute("prediction = ...")


STEPS = {
    "next": ("records[-1].offset + 1", "records[-1].offset", "59: this is the last record"),
    "begin": ('"earliest"', '"latest"', "60: with latest, the default"),
    "abort": ("abort_transaction()", "commit_transaction()", "The transaction was committed"),
}
MORE_WRONG_STEPS = {
    "one too many": ("next", "records[-1].offset + 1", "records[-1].offset + 2", "61: that is one"),
    "commits nothing": ("next", "consumer.commit(", "dict(", "0: the group has committed nothing"),
    "all sixty": ("begin", "max_records=20", "max_records=60", "60: with latest"),
    "none raises": ("begin", '"earliest"', '"none"', "0: nothing is committed"),
    "sends nothing": ("abort", "producer.send(", "dict(", "an abort deletes nothing"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_taken_and_its_typical_mistake_is_named(lesson, name):
    right, wrong, hint = STEPS[name]
    lesson.accepts_step(name)
    lesson.refuses_step(name, lesson.changed_step(name, right, wrong), hint)
    lesson.accepts_step(name)


@pytest.mark.shares_a_lab
@pytest.mark.nightly
@pytest.mark.parametrize("wrong", MORE_WRONG_STEPS)
def test_another_mistake_in_a_small_step_is_named_too(lesson, wrong):
    name, right, instead, hint = MORE_WRONG_STEPS[wrong]
    code = lesson.steps[name].solution.replace(right, instead).replace(").get(timeout=10)", ")")
    code = "from contextlib import suppress\nwith suppress(Exception):\n" + "".join(
        f"    {line}\n" for line in code.splitlines()
    )
    lesson.refuses_step(name, code, hint)


TYPO = """
def typo(service):
    service.setings


try:
    power_back(lab, lab.service(typo))
except Exception as error:
    print(error)
"""


@pytest.mark.shares_a_lab
def test_a_board_with_a_typo_is_not_started_again_for_ever(lesson):
    assert "has failed with the same error" in lesson.execute(TYPO)


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
CONFLUENT = """
exam_topic, totals, counters = exam()


def counter(service, topic, totals, group):
    import confluent_kafka

    known = remembered(totals)
    names = {"group.id": group, "group.instance.id": service.name, "session.timeout.ms": 6000}
    start = {"auto.offset.reset": "earliest", "enable.auto.commit": False}
    producer = confluent_kafka.Producer(lab.librdkafka | PRODUCER)
    INIT
    consumer = confluent_kafka.Consumer(lab.librdkafka | names | start)
    consumer.subscribe([topic])
    while service.running:
        batch = [one for one in consumer.consume(20, 0.5) if one.error() is None]
        if not batch:
            continue
        FIRST
        for record in batch:
            carrier = json.loads(record.value())["carrier"]
            total = known.setdefault(carrier, {"count": 0, "next": 0})
            if record.offset() < total["next"]:
                continue
            total = known[carrier] = {"count": total["count"] + 1, "next": NEXT}
            producer.produce(totals, json.dumps(total).encode(), carrier.encode())
        LAST
    consumer.close()


three_power_cuts(lab, counter, exam_topic, totals, counters)
"""


def confluent(**changes) -> str:
    code = CONFLUENT
    parts = {"PRODUCER": "{}", "INIT": "pass", "FIRST": "pass", "NEXT": "record.offset() + 1"}
    parts |= {"LAST": "producer.flush(5); consumer.commit(asynchronous=False)"} | changes
    for name, part in parts.items():
        code = code.replace(name, part)
    return code


CONFLUENT_TRANSACTION = {
    "PRODUCER": "{'transactional.id': 'counter'}",
    "INIT": "producer.init_transactions()",
    "FIRST": "producer.begin_transaction()",
    "NEXT": "0",
    "LAST": "producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), "
    "consumer.consumer_group_metadata()); producer.commit_transaction()",
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
    "a new transactional id at each start": (
        counter(**TRANSACTION | {"PRODUCER": "transactional_id=str(__import__('uuid').uuid4())"}),
        "Use the same transactional_id after the restart",
    ),
    "confluent-kafka, and nothing remembered of where it was": (
        confluent(NEXT="0"),
        NEW_RECORDS,
    ),
    "fails": (counter(INIT="service.nothing()"), "Correct that line"),
}  # fmt: skip
RECOUNT = "consumer.poll(timeout_ms=5000, max_records=1); consumer.seek_to_beginning()"
RIGHT_COUNTERS = {
    "confluent-kafka, in a transaction": confluent(**CONFLUENT_TRANSACTION),
    "confluent-kafka, idempotent": confluent(),
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
OPEN = """
mine = KafkaConsumer(screens_topic, **lab.connection, group_id=screens, enable_auto_commit=False)
mine.poll(timeout_ms=5000)
"""
WRONG_BACK["a consumer of one's own is still a member"] = (back(last=OPEN), "close it")
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
CONFLUENT_BACK = """
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as Part
from confluent_kafka.admin import AdminClient

with closing(KafkaConsumer(**lab.connection)) as consumer:
    found = consumer.offsets_for_times(dict.fromkeys(screen_places, ms("2013-01-01T11:00")))
wanted = [Part(p.topic, p.partition, one.offset) for p, one in found.items()]
admin = AdminClient(lab.librdkafka)
asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(screens, wanted)])
[future.result(timeout=10) for future in asked.values()]
"""
RIGHT_BACK = {
    "confluent-kafka's admin client": back().split("with closing")[0] + CONFLUENT_BACK,
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


# -- what the broker has of a group, judged without a broker ------------------------------------

LOCAL = "2013-01-01 11:00"
FIRST_AT = {0: 4, 1: 5}


def times(first: str, number: int) -> dict[int, int]:
    """Return the times of records (ms), an hour apart, by offset."""
    begin = int(pd.Timestamp(first, tz="America/New_York").timestamp())
    return {offset: 1000 * (begin + 3600 * offset) for offset in range(number)}


def evidence(committed: dict[int, int], **more) -> Back:
    more = {"members": (), "running": ()} | more
    records = {0: times("2013-01-01 07:00", 20), 1: times("2013-01-01 06:30", 21)}
    ends = {0: 20, 1: 21}
    return Back("day", "screens", times=records, ends=ends, committed=committed, **more)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("told", "found"),
    {
        "back": evidence(FIRST_AT),
        "back_own_member": evidence(FIRST_AT, members=("kafka-python",)),
        "back_members": evidence(FIRST_AT, members=("gate-screen",), running=("gate-screen",)),
        "back_nothing": evidence({}),
        "back_unmoved": evidence({0: 20, 1: 21}),
        "back_begin": evidence({0: 0, 1: 0}),
        "back_zone": evidence({0: 9, 1: 10}),
        "back_by_one": evidence({0: 3, 1: 4}),
        "back_some": evidence({0: 4, 1: 21}),
        "back_early": evidence({0: 1, 1: 1}),
        "back_late": evidence({0: 6, 1: 8}),
        "back_topic": Back("day", "screens", {}, {}, {}, (), ()),
    }.items(),
)
def test_what_the_broker_has_of_a_group_is_judged(told, found):
    assert judge_back(found, LOCAL).key == f"offsets_and_delivery.{told}"


@pytest.mark.fast
def test_offsets_that_were_typed_in_after_reading_them_are_no_wrong_answer():
    """The check tells times alone, so whoever types offsets has looked them up."""
    assert judge_back(evidence(dict(FIRST_AT)), LOCAL)
    assert evidence({0: 3, 1: 21}).written() == "0: 3 (10:00), 1: 21 (no record yet)"


FAULT = """
import threading

now = lab.journal.now()


def broker_dies():
    lab.until(lambda: (handled(lab, groups["last"], now)["offset"] > 40).any(), seconds=40)
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
    for cell in ("topic", "twenty", "careless", "again", "sell", "outbox", "outbox-read"):
        lesson.again(lesson.index(cell))
    lesson.execute(FAULT)
    for cell in ("live", "run-end", "accounts", "names"):
        lesson.again(lesson.index(cell))
    lesson.execute("fault.join()")
    value = lesson.value
    assert value("all_through") == [True, True]
    names = set(value("[flight['id'] for flight in flown[:110]]"))
    for order in ("first", "last"):
        shown = value(f"sorted(set(handled(lab, groups[{order!r}], begin)['handled']))")
        assert names - {*shown} == {*value(f"accounts[{order!r}]['lost']")}
    assert value("accounts['last']['lost']") == []
    assert len(value("accounts['last']['twice']")) >= 5
    assert len(value("accounts['first']['lost']")) >= 5
    # the transaction that a dead producer left open, once more
    cells = "late-run open stuck-send stuck late-back closed mails-count mails old-and-new"
    for cell in cells.split():
        lesson.again(lesson.index(cell))
    assert not lesson.errors
    assert value("[crashed, done]") == [True, True]
    assert value("seen_closed['read_committed']") == value("late_expected") + 1

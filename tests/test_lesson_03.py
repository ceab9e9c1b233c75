"""Lesson 03: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

from lab_env import flights
from lab_env.checks.publish_subscribe import (
    Audit,
    Screens,
    judge_audit,
    judge_screens,
)

NUMBER = "03"
EACH_CELL_TWICE = True
# the cells that answer a prediction, and what happens on every machine (None: all of the morning)
ANSWERS = {
    "each": None,
    "copies": "1",
    "slow-behind": "operations: False, board: False, baggage: True, statistics: False",
    "late-percent": "noise: 100, radio: 0",
    "again-count": "noise: 20, radio: 20",
    "same": "30",
    "none": "all, all, all, none",
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    assert not value("[s.error for s in lab.services.values() if s.state == 'failed']")
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    lesson.asks_each_step()
    # each has everything that was published before the newcomers, and pandas agrees
    assert value("(by_carrier['baggage'] == by_carrier['table']).all()") in (True, "True")
    difference = "float((by_airport['statistics'] - by_airport['table']).abs().max())"
    assert value(difference) < 1e-9
    assert value("all(seen(group) >= set(published()['id']) for group in groups)") is True
    # one copy serves all: no event lies in the topic twice
    assert value("lab.records(topic)['value'].map(lambda v: v['id']).is_unique") in (True, "True")
    # a slow one slows nobody
    waiting = value("waiting")
    assert waiting["baggage"] > 50
    assert max(waiting["board"], waiting["statistics"]) < waiting["baggage"] / 2
    assert value("recovered") is True
    assert value("rate") > 20
    # the late ones: from the beginning, or from the end on
    assert value("len(before - seen(noise))") == 0
    assert value("len(set(script['id'].head(morning)) & seen(radio))") == 0
    assert value("len(seen(radio))") > 20
    # the second time both go on where they were
    assert sorted(value("more").values()) == [20, 20]
    # one group id on two screens: each has a part, together they have all
    shown = value("shown")
    assert set(shown) == {"screen-1", "screen-2"}
    assert sum(shown.values()) == 60
    assert "screen-1" in lesson.output(lesson.index("same-why"))
    # a group that has committed nothing has no lag
    assert value("lag(lab.group('nobody'))") is None
    # no group: everything, every time, and no trace
    assert value("happened") == [value("held")] * 3 + [0]
    assert value("reader in known") is True
    readers = value("len([name for name in known if name.startswith('reader')])")
    assert readers == (2 if lesson.twice else 1)
    # what answers a prediction says so
    for cell, was in ANSWERS.items():
        was = was if isinstance(was, str) else value("morning")
        told = lesson.output(lesson.index(cell))
        assert f"No prediction: It was {was}." in told, (cell, told)
    assert "and made no prediction for 7" in lesson.output(lesson.index("surprises"))


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("cell", "wrong", "told"),
    [
        ("copies", "3", "as with a queue for each reader"),
        (
            "slow-behind",
            "dict.fromkeys(['operations', *reactions], True)",
            "Otherwise (operations): You said True, and it was False. That would be a call",
        ),
        ("late-percent", "{'noise': 0, 'radio': 0}", "that would be a call, or a queue"),
        ("again-count", "{'noise': len(everything) + 20}", "that would be a new group"),
    ],
)
def test_a_wrong_guess_is_told_what_it_would_mean(lesson, cell, wrong, told):
    lesson.corrects(cell, wrong, told)


def test_no_day_of_the_year_was_worse():
    table = flights.table()
    late = table.groupby(["month", "day"])["dep_delay"].mean()
    assert late.idxmax() == (3, 8)


@pytest.mark.shares_a_lab
def test_the_newcomers_lag_fell_to_zero_though_one_had_read_nothing(lesson):
    last = "lab.watch(topic, groups=[noise, radio]).samples[-1]"
    assert lesson.value(f"{last}.lag(topic, radio)") == 0
    assert lesson.value("len(set(published()['id']) - seen(radio))") > 0


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    told = {
        cell.id: output.data["text/plain"]
        for cell in lesson.client.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    }
    assert set(told) == {"picture-throughput", "picture-lag", "picture-late"}
    for name in ("board", "baggage", "statistics", "produced"):
        assert name in told["picture-throughput"]
    assert "records wait for baggage" in told["picture-lag"]


CHANGED = {"schema": 'event["carrier"]\n', "archive": '"earliest"', "diary": "read(diary)"}
WRONG_STEPS = {
    "renamed": ("schema", 'event.pop("carrier")\n', "operations never hears of it"),
    "at the end": ("archive", '"latest"', "With latest a new group begins at the end"),
    "no group": ("diary", "read()", "is in no group"),
    "the old name alone": ("schema", 'event["carrier"]; del event["airline"]\n', "new name is"),
    "another group": ("diary", "read(reader)", "hand it the group's name"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("step", CHANGED)
def test_a_small_step_is_taken_by_its_solution(lesson, step):
    lesson.accepts_step(step)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_STEPS, 3))
def test_a_wrong_small_step_is_told_what_it_comes_from(lesson, wrong):
    step, change, told = WRONG_STEPS[wrong]
    lesson.refuses_step(step, lesson.changed_step(step, CHANGED[step], change), told)


OPEN = """
audit, auditor = lab.topic("flights.audit"), new_group("auditor")
"""
COUNTING = (
    OPEN
    + """
counted = Counter()
options = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 8000, "group_id": auditor}
options |= dict(OPTIONS)
with closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
    for record in islice(consumer, LIMIT):
        counted[json.loads(record.value)["FIELD"]] += 1
    LAST
with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, VALUE).get(timeout=5)
"""
)


def counting(options="", limit="len(published())", field="carrier", last="pass", value=None) -> str:
    text = COUNTING.replace("OPTIONS", options).replace("LIMIT", limit).replace("FIELD", field)
    return text.replace("LAST", last).replace("VALUE", value or "json.dumps(counted).encode()")


ALL = "Counter(published()['carrier'])"
# what the student wrote, and what the answer must speak of
WRONG_AUDITS = {
    "nothing": (OPEN, "Make a consumer of topic"),
    "begins at the end": (
        counting("auto_offset_reset='latest', consumer_timeout_ms=2000"),
        "a new group begins at the end",
    ),
    "the board's group": (
        counting("group_id=board, consumer_timeout_ms=2000"),
        "the group of another subscriber",
    ),
    "no group": (counting("group_id=None"), "By default there is no group"),
    "never commits": (counting("enable_auto_commit=False"), "call consumer.commit()"),
    "stops too early": (counting(limit="30"), "One poll() brings"),
    "commits too early": (
        counting(limit="30", last=f"counted = {ALL}"),
        "The last commit came before",
    ),
    "twice": (counting(last="counted += counted"), "Begin with a fresh Counter"),
    "by airport": (counting(field="origin"), "for the carrier in its own body"),
    "not JSON": (counting(value="str(counted).encode()"), "json.dumps(counted) turns"),
    "nothing sent": (counting().split("with closing(KafkaProducer")[0], "Send json.dumps(counted)"),
}
RIGHT_AUDITS = {
    "polls, and commits itself": OPEN
    + """
counted = Counter()
options = {"group_id": auditor, "auto_offset_reset": "earliest", "enable_auto_commit": False}
with closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
    deadline = lab.journal.now() + 20
    while lag(auditor) != 0 and lab.journal.now() < deadline:
        if batch := consumer.poll(timeout_ms=500):
            counted.update(json.loads(r.value)["carrier"] for r in chain(*batch.values()))
            consumer.commit()
with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, b"a first try, and wrong")
    producer.send(audit, json.dumps(counted).encode()).get(timeout=5)
""",
    "librdkafka, from the table of the broker alone": OPEN
    + """
from confluent_kafka import Consumer, Producer

settings = {"group.id": auditor, "auto.offset.reset": "earliest", "enable.auto.commit": False}
consumer = Consumer(lab.librdkafka | settings)
consumer.subscribe([topic])
counted, held = Counter(), len(lab.records(topic))
deadline = lab.journal.now() + 30
while counted.total() < held and lab.journal.now() < deadline:
    if (record := consumer.poll(0.5)) is not None and not record.error():
        counted[json.loads(record.value())["carrier"]] += 1
consumer.commit(asynchronous=False)
consumer.close()
producer = Producer(lab.librdkafka)
producer.produce(audit, json.dumps(counted))
producer.flush(10)
""",
    "takes the partitions itself, and commits in the group": OPEN
    + """
from kafka import TopicPartition

counted = Counter()
options = {"group_id": auditor, "enable_auto_commit": False, "consumer_timeout_ms": 8000}
with closing(KafkaConsumer(**lab.connection, **options)) as consumer:
    consumer.assign([TopicPartition(topic, n) for n in range(6)])
    consumer.seek_to_beginning()
    for record in islice(consumer, len(published())):
        counted[json.loads(record.value)["carrier"]] += 1
    consumer.commit()
with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, json.dumps(counted).encode()).get(timeout=5)
""",
    "a service that goes on": OPEN
    + """
lab.service(subscriber, topic, auditor, close_baggage, name="auditor")
complete(auditor)
counted = reports_of(auditor)["carrier"].value_counts()
with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, counted.to_json().encode()).get(timeout=5)
""",
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_AUDITS))
def test_exercise_1_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(1, *WRONG_AUDITS[wrong])


@pytest.mark.shares_a_lab
def test_exercise_1_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_AUDITS, 1))
def test_exercise_1_another_right_way_passes(lesson, right):
    lesson.accepts(1, RIGHT_AUDITS[right], right)


START = """lab.services.stop()
evening = lab.topic("flights.evening", partitions=6)
publish(evening, 120).join()
"""
OWN_SCREEN = """
def own_screen(service, topic, group):
    options = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    with closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
        while service.running:
            batch = consumer.poll(timeout_ms=500)
            for record in chain(*batch.values()):
                service.report(event=json.loads(record.value)["id"])
            COMMIT


for name in ("screen-A", "screen-B"):
    lab.service(own_screen, evening, lab.group(name), name=name)
"""


def screens(first: str, second: str, react="show_line", start="'earliest'") -> str:
    return START + "".join(
        f"lab.service(subscriber, evening, {group}, {react}, {start}, name='screen-{name}')\n"
        for name, group in (("A", first), ("B", second))
    )


OWN = "new_group('a')", "new_group('b')"
WRONG_SCREENS = {
    "one group": (
        START + "group = new_group('both')\n" + screens("group", "group").removeprefix(START),
        "two members of one group share",
    ),
    "both under one name": (
        screens(*OWN).replace("screen-B", "screen-A"),
        "under a name of its own",
    ),
    "no group": (screens("None", "None"), "nobody remembers how far a screen has come"),
    "one without a group": (screens("new_group('a')", "None"), "A screen without a group"),
    "begin at the end": (screens(*OWN, start="'latest'"), "A new group begins at the end"),
    "one screen": ("\n".join(screens(*OWN).splitlines()[:-1]), "screen-B does not run"),
    "an error of its own": (screens(*OWN, react="json.loads"), "Correct that line"),
    "never commit": (START + OWN_SCREEN.replace("COMMIT", ""), "let it commit"),
    "filled twice": (screens(*OWN) + "publish(evening, 20).join()", "makes the topic fresh"),
}
ASSIGNED = OWN_SCREEN.replace("KafkaConsumer(topic, ", "KafkaConsumer(").replace(
    "        while service.running",
    "        consumer.assign([TopicPartition(topic, n) for n in range(6)])\n"
    "        while service.running",
)
RUSTY = """
def rusty(service, topic, group):
    from confluent_kafka import Consumer

    settings = {"group.id": group, "auto.offset.reset": "earliest"}
    settings["auto.commit.interval.ms"] = 500
    consumer = Consumer(lab.librdkafka | settings)
    consumer.subscribe([topic])
    while service.running:
        record = consumer.poll(0.5)
        if record is not None and not record.error():
            service.report(event=json.loads(record.value())["id"])
    consumer.close()


for name in ("screen-A", "screen-B"):
    lab.service(rusty, evening, lab.group(name), name=name)
"""
COMMITS = "if batch:\n                consumer.commit()"
RIGHT_SCREENS = {
    "librdkafka": START + RUSTY,
    "each takes all partitions itself": START
    + "from kafka import TopicPartition\n"
    + ASSIGNED.replace("COMMIT", COMMITS),
    "names of their own": screens("lab.group('screen-A')", "lab.group('screen-B')"),
    "a function of its own": START + OWN_SCREEN.replace("COMMIT", COMMITS),
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_SCREENS))
def test_exercise_2_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(2, *WRONG_SCREENS[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(240)
def test_exercise_2_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(240)
@pytest.mark.parametrize("right", some(RIGHT_SCREENS, 1))
def test_exercise_2_another_right_way_passes(lesson, right):
    lesson.accepts(2, RIGHT_SCREENS[right], right)


IDS = ("1", "2", "3")
CARRIERS = {"1": "UA", "2": "UA", "3": "B6"}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "Make a consumer of topic"),
        ({"committed": 6}, "Send json.dumps(counted)"),
        ({"answers": ({"UA": 2, "B6": 1},)}, "By default there is no group"),
        ({"answers": ({"UA": 2, "B6": 1},), "committed": 6, "lag": 2}, "The last commit came"),
        ({"answers": ({"UA": 1, "B6": 2},), "committed": 6}, "carrier in its own body"),
        ({"answers": ("UA",), "committed": 6}, "turns a dict"),
        ({"state": "PreparingRebalance"}, "in a few seconds"),
        ({"ids": ("1", None)}, "belongs in the topic audit"),
    ],
)
def test_an_audit_is_judged_without_a_broker(more, told):
    found = {"topic": "t", "audit": "a", "group": "g", "ids": IDS} | more
    answer = judge_audit(Audit(**found), CARRIERS)
    assert not answer
    assert told in f"{answer.expected} {answer.hint}"
    right = {"answers": ("a first try", {"UA": 2, "B6": 1}), "committed": 6}
    assert judge_audit(Audit("t", "a", "g", IDS, **right), CARRIERS)


@pytest.mark.fast
def test_screens_are_judged_without_a_broker():
    states = {"A": "running", "B": "running"}
    group = {"state": "Stable", "members": ["A"], "lag": 0}
    both = {"a": group, "b": group | {"members": ["B"]}}
    shared = {"a": group | {"members": ["A", "B"]}}

    def judged(shown, groups, states=states, errors=None):
        found = Screens("t", 9, 9, shown, groups, states, errors or {})
        return judge_screens(found, 9)

    assert judged({"A": 9, "B": 9}, both)
    assert "two members of one group" in judged({"A": 5, "B": 4}, shared).hint
    assert "a group id of its own" in judged({"A": 9, "B": 9}, {}).hint
    assert "under a name of its own" in judged({"A": 9, "B": 0}, both, {"A": "running"}).hint
    failed = judged({"A": 9, "B": 0}, both, states | {"B": "failed"}, {"B": "KeyError"})
    assert "KeyError" in failed.found
    assert "let it commit" in judged({"A": 9, "B": 9}, both | {"b": group | {"lag": 3}}).hint


@pytest.mark.shares_a_lab
def test_exercise_1_an_answer_among_the_events_is_told(lesson):
    """One of the last, because the topic of the events is spoilt by it."""
    answer = lesson.attempt(1, counting().replace("producer.send(audit", "producer.send(topic"))
    assert not answer.passed
    assert "An answer belongs in the topic audit" in answer.text


@pytest.mark.shares_a_lab
def test_the_morning_run_again_is_answered_as_the_first_time_and_a_new_topic_begins_anew(lesson):
    """The count grew with each run, and after a new topic the truth was another than the table."""
    morning = lesson.value("morning")
    runs = ["publish", "three", "morning"], ["morning"], ["day", "publish", "morning"]
    for cells in runs:
        for cell in cells:
            lesson.again(lesson.index(cell))
        assert lesson.value("set(got.values()) == {len(published())}") is True
        for cell in ("prediction-three", "each"):
            lesson.again(lesson.index(cell))
        assert f"It was {morning}." in lesson.output(lesson.index("each"))
        lesson.again(lesson.index("copies"))
        assert lesson.value("held == len(published())") is True
        lesson.again(lesson.index("truth-baggage"))
        same = lesson.value("bool((by_carrier['baggage'] == by_carrier['table']).all())")
        assert same is True


@pytest.mark.shares_a_lab
def test_newcomers_run_again_come_as_new_groups_and_what_an_interrupt_left_is_caught_up(lesson):
    """The radio had 27 percent the second time, and forty flights after an interrupted cell."""
    for cell in ("new-group", "prediction-late", "late", "late", "late-percent"):
        lesson.again(lesson.index(cell))
    assert "It was noise: 100, radio: 0." in lesson.output(lesson.index("late-percent"))
    lesson.execute("lab.services['radio'].stop(); publish(topic, 20).join()")
    for cell in ("prediction-again", "again", "again-count"):
        lesson.again(lesson.index(cell))
    assert "It was noise: 20, radio: 20." in lesson.output(lesson.index("again-count"))

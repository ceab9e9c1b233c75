"""Lesson 02: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import NOTEBOOKS, some

from lab_env.course import lessons

NUMBER = "02"
EACH_CELL_TWICE = True
# the cells that answer a prediction, and what happens on every machine
ANSWERS = {
    "three-trucks": "20",
    "alone-times": "3",
    "crash-count": "lost: 0, twice: 5",
    "crash-batch": "1",
    "stop-count": "less",
    "there": "all",
    "share-client": "False",
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    lesson.asks_each_step()
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    # competing: each of the three has some of the 60 commands, and no command goes to two
    assert "60 sent, 0 missing, 0 handled twice" in lesson.output(lesson.index("once"))
    assert lesson.output(lesson.index("three-trucks")).count("truck-") == 3
    assert lesson.output(lesson.index("why-shares")).count("refuel.commands") == 6
    # a group each: everybody handles everything
    assert set(value("trips").values()) == {value("len(in_topic)")}
    # a crash: nothing is lost, and no more comes again than a batch holds
    assert value("lost") == 0
    assert value("twice") == value("int(last_report['uncommitted'].iloc[0])") == 5
    assert value("twice_now") == 1
    # the dead are missed after the session timeout, the stopped at once
    assert value("after_crash") > 2.5
    assert value("after_stop") < value("after_crash")
    # reading removes nothing
    assert value("held") == value("sum(end.values())")
    assert value("all(offset == 0 for offset in oldest.values())") is True
    assert value("{at: committed[at] for at in places} == end") is True
    # what answers a prediction says so
    for cell, was in ANSWERS.items():
        assert f"No prediction: It was {was}." in lesson.output(lesson.index(cell)), cell
    assert "and made no prediction for 7" in lesson.output(lesson.index("surprises"))


@pytest.mark.shares_a_lab
def test_a_wrong_guess_is_told_what_it_would_mean(lesson):
    told = "Otherwise: You said none, and it was all. None: that would be a queue"
    lesson.corrects("there", "'none'", told)
    lesson.corrects("share-client", "True", "You said True, and it was False. The broker can")
    lesson.again(lesson.index("surprises"))
    told = lesson.output(lesson.index("surprises"))
    assert "What surprised you: there, share" in told


STEPS = {
    "one-group": ("other = step_group", 'other = lab.group("third")', "the name of the group"),
    "commit": ("OffsetAndMetadata(3", "OffsetAndMetadata(4", "the next command to read"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_taken_and_a_typical_wrong_one_is_told(lesson, name):
    right, wrong, told = STEPS[name]
    lesson.refuses_step(name, lesson.changed_step(name, right, wrong), told)
    lesson.accepts_step(name)


def test_it_does_not_say_again_what_was_wrong():
    """The broker does not divide the partitions; point to point does not limit the senders."""
    (path,) = NOTEBOOKS.glob(f"{NUMBER}_*.ipynb")
    cells = lessons.load(path)["cells"]
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert "the broker deals" not in text
    assert "one sender and one receiver" not in text
    assert "`ShareConsumer` of confluent-kafka" in text
    for term in ("at most once", "at least once", "idempotent", "competing consumers"):
        assert f"**{term}**" in text or f"**a receiver of commands must be {term}**" in text


@pytest.mark.shares_a_lab
def test_the_queue_of_the_broker_grew_while_the_dead_truck_was_missed(lesson):
    lag = lesson.value(
        "(lambda c: c[c['time'].between(crashed + 1, crashed + 2.8) & c['partition'].isin(orphans)"
        " & (c['group'] == group)].groupby('time')['lag'].sum().tolist())(lab.watch().commits)"
    )
    assert len(lag) >= 3
    assert lag == sorted(lag)
    assert lag[-1] > lag[0]


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    told = lesson.told
    assert len(told) == 3
    for name in ("truck-1", "truck-2", "truck-3", "refuel.commands"):
        assert name in told[1]


TRUCKS = "lab.service(truck, rush, rush_crew, name='rush-truck', copies=6, settings=rush_settings)"
START = """
rush, rush_crew = rush_hour()
rush_settings = {"work": 0.04, "batch": 10}
"""
OWN_TRUCK = """
def own_truck(service, topic, group):
    consumer = KafkaConsumer(topic, **lab.connection, client_id=service.name, OPTIONS)
    with closing(consumer):
        while service.running:
            batch = consumer.poll(timeout_ms=500)
            for record in chain(*batch.values()):
                service.wait(rush_settings["work"])
                service.report(handled=json.loads(record.value)["id"])
            LAST


lab.service(own_truck, rush, rush_crew, name="own-truck", copies=COPIES)
"""


def rush(code: str) -> str:
    return START + code


def own(copies=3, last="pass", **options) -> str:
    options = {"group_id": "group", "auto_offset_reset": "'earliest'"} | options
    text = ", ".join(f"{name}={value}" for name, value in options.items())
    return rush(
        OWN_TRUCK.replace("OPTIONS", text).replace("LAST", last).replace("COPIES", str(copies))
    )


BEFORE = "            for record in chain(*batch.values()):"
AT_MOST_ONCE = own(copies=4, enable_auto_commit=False, max_poll_records=10).replace(
    BEFORE, f"            consumer.commit()\n{BEFORE}"
)
# what the student wrote, and what the answer must speak of
WRONG_DRAINS = {
    "commits before the work": (AT_MOST_ONCE, "promises at most once"),
    "the settings of the lesson": (
        rush(TRUCKS.replace("rush_settings", "settings")),
        "not the settings of an earlier cell",
    ),
    "one name for all": (
        rush(
            "for n in range(3):\n"
            "    lab.service(truck, rush, rush_crew, name='truck', settings=rush_settings)"
        ),
        "each needs a name of its own",
    ),
    "commits one by one before the work": (
        AT_MOST_ONCE.replace("max_poll_records=10", "max_poll_records=1"),
        "promises at most once",
    ),
    "nothing": (rush("pass"), "needs a receiver"),
    "one truck": (rush(TRUCKS.replace("copies=6", "copies=1")), "Let several trucks compete"),
    "a group each": (
        rush(
            "for n in range(3):\n"
            "    lab.service(truck, rush, lab.group(f'rush-{n}'), name=f'rush-truck-{n}',"
            " settings=rush_settings)"
        ),
        "that is publish/subscribe",
    ),
    "another group": (
        rush(TRUCKS.replace("rush_crew", "lab.group('crew')")),
        "A group is known by its name",
    ),
    "one partition": (
        rush("lab.topic('refuel.rush')\nsend(rush, next_commands(300))\n" + TRUCKS),
        "In a group each partition belongs to one member",
    ),
    "never commits": (
        own(enable_auto_commit=False, max_poll_records=20).replace("0.04", "0.01"),
        "To handle is not to commit",
    ),
    "begins at the end": (own(auto_offset_reset="'latest'", copies=1), "begins at the end"),
    "skips the work": (
        rush(TRUCKS.replace("rush_settings", "{'work': 0, 'batch': 10}")),
        "A truck that skips the work",
    ),
    "commits what it skips": (
        own(
            copies=1,
            max_poll_records=10,
            last="consumer.seek_to_end() if batch else None; consumer.commit()",
        ),
        "Handle first, then commit",
    ),
    "an error of its own": (
        rush("lab.service(truck, rush, rush_crew, name='rush-truck')"),
        "Correct that line",
    ),
}
CONFLUENT = """
import confluent_kafka


def own_truck(service, topic, group):
    options = {"group.id": group, "auto.offset.reset": "earliest", "client.id": service.name}
    consumer = confluent_kafka.Consumer(lab.librdkafka | options | {"enable.auto.commit": False})
    consumer.subscribe([topic])
    while service.running:
        record = consumer.poll(0.5)
        if record is None or record.error():
            continue
        service.wait(rush_settings["work"])
        service.report(handled=json.loads(record.value())["id"])
        consumer.commit(record)
    consumer.close()


lab.service(own_truck, rush, rush_crew, name="own-truck", copies=3)
"""
RIGHT_DRAINS = {
    "on librdkafka": rush(CONFLUENT),
    "three with auto-commit": own(copies=3, auto_commit_interval_ms=500, max_poll_records=10),
    "four, started one by one": rush(
        "for n in range(4):\n"
        "    lab.service(truck, rush, rush_crew, name=f'helper-{n}', settings=rush_settings)"
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(240)
@pytest.mark.parametrize("wrong", some(WRONG_DRAINS))
def test_exercise_1_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(1, *WRONG_DRAINS[wrong])


@pytest.mark.shares_a_lab
def test_exercise_1_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)
    told = lesson.output(lesson.exercises[0].check)
    assert "killed rush-truck-" in told, "the check has taken one away, and nothing was lost"


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_DRAINS, 1))
def test_exercise_1_another_right_way_passes(lesson, right):
    lesson.accepts(1, RIGHT_DRAINS[right], right)


COUNTING = """
audit = closing_time()
count = {"EWR": 0, "JFK": 0, "LGA": 0}
from time import monotonic

deadline = monotonic() + 20
with closing(KafkaConsumer(**lab.connection, OPTIONS)) as consumer:
    BEGIN
    ends = consumer.end_offsets(places)
    for _ in range(TURNS):
        for record in chain(*consumer.poll(timeout_ms=WAIT).values()):
            count[json.loads(record.value)["airport"]] += 1

with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, VALUE).get(timeout=5)
"""
ASSIGNED = "consumer.assign(places); consumer.seek_to_beginning()"
SUBSCRIBED = "consumer.subscribe([topic])"


def counting(
    begin=ASSIGNED, options="", turns=4, wait="500", value="json.dumps(count).encode()"
) -> str:
    text = COUNTING.replace("OPTIONS", options).replace("BEGIN", begin).replace("WAIT", wait)
    return text.replace("TURNS", str(turns)).replace("VALUE", value)


IN_THE_GROUP = "group_id=group, auto_offset_reset='earliest'"
WRONG_AUDITS = {
    "the trucks' group": (counting(SUBSCRIBED, IN_THE_GROUP), "reading with that group_id"),
    "the trucks' group, set back": (
        counting(
            SUBSCRIBED + "; consumer.poll(timeout_ms=2000); consumer.seek_to_beginning()",
            IN_THE_GROUP,
        ),
        "The seal is broken",
    ),
    "the trucks' group, no commit": (
        counting(SUBSCRIBED, IN_THE_GROUP + ", enable_auto_commit=False"),
        "where the trucks have stopped",
    ),
    "begins at the end": (counting(SUBSCRIBED), "A new one begins at the end"),
    "does not wait": (counting(wait="0", turns=1), "poll() without timeout_ms does not wait"),
    "one partition": (
        counting("consumer.assign(places[:1]); consumer.seek_to_beginning()"),
        "A topic is the sum of its partitions",
    ),
    "stops too early": (counting(options="max_poll_records=50", turns=2), "Go on until"),
    "twice": (
        counting(value="json.dumps({k: 2 * v for k, v in count.items()}).encode()"),
        "Was something read twice",
    ),
    "not JSON": (counting(value="str(count).encode()"), "json.dumps(count) turns"),
    "airports mixed up": (
        counting(
            value="json.dumps(dict(zip(count, sorted(count.values()), strict=True))).encode()"
        ),
        "The sum is right",
    ),
    "nothing sent": ("audit = closing_time()", "Send json.dumps"),
    "still a member": (
        counting(SUBSCRIBED, IN_THE_GROUP)
        .replace("with closing(KafkaConsumer", "for consumer in (KafkaConsumer")
        .replace(") as consumer:", ",):"),
        "one more truck",
    ),
}
RIGHT_AUDITS = {
    "a group of its own": counting(
        SUBSCRIBED, "group_id=lab.group('auditor'), auto_offset_reset='earliest'", turns=8
    ),
    "with pandas": """
audit = closing_time()
airports = pd.json_normalize(lab.records(topic)["value"].tolist())["airport"]
with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, b"a first try, and wrong")
    producer.send(audit, airports.value_counts().to_json().encode()).get(timeout=5)
""",
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(240)
@pytest.mark.parametrize("wrong", some(WRONG_AUDITS))
def test_exercise_2_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(2, *WRONG_AUDITS[wrong])
    lesson.execute("consumer.close()")  # what the hint asks for


@pytest.mark.shares_a_lab
def test_exercise_2_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_AUDITS, 1))
def test_exercise_2_another_right_way_passes(lesson, right):
    lesson.accepts(2, RIGHT_AUDITS[right], right)

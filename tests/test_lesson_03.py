"""Lesson 03: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

from lab_env import flights

NUMBER = "03"
EACH_CELL_TWICE = True
# the cells that answer a prediction, and what happens on every machine (None: all of the morning)
ANSWERS = {
    "each": None,
    "copies": None,
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
    assert value("sorted(sum(shares(screens).values(), []))") in ([], [0, 1, 2, 3, 4, 5])
    # no group: everything, every time, and no trace
    assert value("happened") == [value("held")] * 3 + [0]
    assert value("reader in known") is True
    readers = value("len([name for name in known if name.startswith('reader')])")
    assert readers == (2 if lesson.twice else 1)
    # what answers a prediction says so
    for cell, was in ANSWERS.items():
        was = was if isinstance(was, str) else value("morning")
        told = lesson.output(lesson.index(cell))
        assert lesson.twice or f"No prediction: It was {was}." in told, (cell, told)
    assert "and made no prediction for 7" in lesson.output(lesson.index("surprises"))


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("cell", "wrong", "told"),
    [
        ("copies", "3 * morning", "as with a queue for each reader"),
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


COUNTING = """
audit, auditor = open_audit()
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


def counting(options="", limit="len(published())", field="carrier", last="pass", value=None) -> str:
    text = COUNTING.replace("OPTIONS", options).replace("LIMIT", limit).replace("FIELD", field)
    return text.replace("LAST", last).replace("VALUE", value or "json.dumps(counted).encode()")


ALL = "Counter(published()['carrier'])"
# what the student wrote, and what the answer must speak of
WRONG_AUDITS = {
    "nothing": ("audit, auditor = open_audit()", "Make a consumer of topic"),
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
    "polls, and commits itself": """
audit, auditor = open_audit()
counted = Counter()
options = {"group_id": auditor, "auto_offset_reset": "earliest", "enable_auto_commit": False}
with closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
    deadline = lab.journal.now() + 20
    while lag(auditor) > 0 and lab.journal.now() < deadline:
        if batch := consumer.poll(timeout_ms=500):
            counted.update(json.loads(r.value)["carrier"] for r in chain(*batch.values()))
            consumer.commit()
with closing(KafkaProducer(**lab.connection)) as producer:
    producer.send(audit, b"a first try, and wrong")
    producer.send(audit, json.dumps(counted).encode()).get(timeout=5)
""",
    "a service that goes on": """
audit, auditor = open_audit()
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


START = "evening = evening_flights()\n"
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
    "no group": (screens("None", "None"), "nobody remembers how far a screen has come"),
    "one without a group": (screens("new_group('a')", "None"), "A screen without a group"),
    "begin at the end": (screens(*OWN, start="'latest'"), "A new group begins at the end"),
    "one screen": ("\n".join(screens(*OWN).splitlines()[:-1]), "screen-B does not run"),
    "an error of its own": (screens(*OWN, react="json.loads"), "Mend that line"),
    "never commit": (START + OWN_SCREEN.replace("COMMIT", ""), "let it commit"),
    "filled twice": (screens(*OWN) + "publish(evening, 20).join()", "makes the topic fresh"),
}
RIGHT_SCREENS = {
    "names of their own": screens("lab.group('screen-A')", "lab.group('screen-B')"),
    "a function of its own": START
    + OWN_SCREEN.replace("COMMIT", "if batch:\n                consumer.commit()"),
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


@pytest.mark.shares_a_lab
def test_exercise_1_an_answer_among_the_events_is_told(lesson):
    """The last test, because the topic of the events is spoilt by it."""
    answer = lesson.attempt(1, counting().replace("producer.send(audit", "producer.send(topic"))
    assert not answer.passed
    assert "An answer belongs into the topic audit" in answer.text

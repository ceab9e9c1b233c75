"""Lesson 15: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

NUMBER = "15"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    lesson.asks_each_step()
    assert value("early") == 0
    assert value("twelve['service'].nunique()") == 12
    assert value("bool(spans[0] > spans[1])") is True  # how much faster is a benchmark's matter
    assert value("(again['service'], int(again['deliveries']), happened)") == [
        "colleague", 2, "some" if value("happened") == "some" else "at once",
    ]  # fmt: skip
    assert value("len(refused)") >= 1
    assert "RENEW" not in lesson.output(lesson.index("no-renew"))
    assert value("int(deliveries)") == 5
    assert value("len(lost)") == 1  # archived, and still in the topic
    assert value("int(landed_first)") > 0
    assert value("(len(shared), int(shared.sum()), len(owned), int(owned.sum()))") == [
        3, 100, 1, 100,
    ]  # fmt: skip
    mixed = value("handled(mixed)['service'].value_counts().to_dict()")
    assert sum(mixed.values()) == 60
    assert value("handled(mixed)['offset'].nunique()") == 60
    if value("bool(rabbit)"):  # else the lesson has said what to install, and shows two tables
        taken = value("taken()['service'].value_counts().tolist()")
        assert (len(taken), sum(taken)) == (3, 100)
        assert value("taken()['taken'].nunique()") == 100


@pytest.mark.shares_a_lab
def test_without_rabbitmq_it_says_what_to_install_and_shows_two_tables(lesson):
    before = lesson.value("list(tables)")
    assert before[:2] == ["share group", "consumer group"]
    lesson.execute("there, rabbit = rabbit, __import__('lab_env').around.rabbitmq.NoRabbit()")
    assert "apt install rabbitmq-server" in lesson.value("repr(rabbit)")
    lesson.again(lesson.index("tables"))
    assert lesson.value("list(tables)") == ["share group", "consumer group"]
    lesson.execute("rabbit = there")


@pytest.mark.shares_a_lab
def test_a_wrong_guess_is_told_what_it_would_mean(lesson):
    lesson.misses_each_prediction()
    lesson.corrects("at-work", "1", "a partition has one owner")
    lesson.corrects("poisoned", "float('inf')", "The broker counts here")
    lesson.corrects("order-lost", "'none'", "Here others go on")
    lesson.execute("prediction = ...")


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    crew, mixed, slow, sick = lesson.told
    assert "share group crew has 12 members" in crew
    assert "120 acknowledged" in crew
    assert "java has accepted" in mixed
    assert "python-1 has accepted" in mixed
    assert "acknowledgements that Kafka refused" in slow
    assert "came back without an acknowledgement" in slow
    assert "one record was delivered 5 times" in sick
    assert "19 acknowledged, 1 archived" in sick


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("name", "old", "new", "hint"),
    [
        ("earliest", "earliest", "latest", "a group never sees"),
        ("reject", '"rejected"', '"accepted"', "What can never go well is rejected"),
    ],
)
def test_a_step_passes_and_a_typical_wrong_one_is_told(lesson, name, old, new, hint):
    lesson.accepts_step(name)
    lesson.refuses_step(name, lesson.changed_step(name, old, new), hint)


# -- exercise 1 -----------------------------------------------------------------------------

BEGIN = 'rush = rush_hour()\nconfigure("rush-crew", share_auto_offset_reset="earliest")\n'
HIRE = 'hire(rush, rush_crew, copies=6, work=fuel_slowly, name="rush");'
WRONG_1 = {
    "from the latest": ("rush = rush_hour()\n" + HIRE, "Where does a share group begin"),
    "one truck": (BEGIN + HIRE.replace("copies=6", "copies=1"), "may have more members than"),
    "no work": (BEGIN + HIRE.replace("fuel_slowly", "lambda service, record: 'accepted'"),
                "Who skips the work is fast"),
    "rejects all": (BEGIN + HIRE.replace("fuel_slowly", "lambda service, record: 'rejected'"),
                    "has to return \"accepted\""),
    "a consumer group": (BEGIN + 'lab.service(classic, rush, rush_crew, copies=3, name="rush");',
                         "A KafkaConsumer joins a consumer group"),
    "another group": (BEGIN.replace("rush-crew", "mine") + HIRE.replace("rush_crew",
                      'lab.group("mine")'), "Give all trucks the same group"),
    "nobody": (BEGIN, "Start trucks with hire"),
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(["from the latest", "one truck", *list(WRONG_1)[2:]]))
def test_exercise_1_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    code, hint = WRONG_1[wrong]
    if wrong in ("a consumer group", "nobody"):  # a name that no group has yet
        lesson.execute(f'rush_crew = lab.group("{wrong.replace(" ", "-")}")')
    lesson.refuses(1, code, hint, wrong)
    lesson.execute('lab.services.stop(); rush_crew = lab.group("rush-crew")')


@pytest.mark.shares_a_lab
def test_exercise_1_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_exercise_1_another_right_way_passes(lesson):
    lesson.accepts(1, BEGIN + HIRE.replace("copies=6", "copies=12"))


# -- exercise 2 -----------------------------------------------------------------------------

WORK = """
night, dead = night_shift()


def mine(service, record):
    BODY


hire(night, night_crew, copies=3, work=mine, name="night");
"""
GOOD = """if json.loads(record.value())["aircraft"]:
        return "accepted"
    """
PARK = """with closing(KafkaProducer(**lab.connection)) as producer:
        producer.send(dead, record.value()).get(timeout=30)
    """
ALL = PARK + """return "accepted" """
WRONG_2 = {
    "rejects without parking": (GOOD + 'return "rejected"', "Send the record there yourself"),
    "parks and releases": (GOOD + PARK + 'return "released"', "parks it again, five times"),
    "accepts without parking": ('return "accepted"', "Accepted says that the work is done"),
    "parks and accepts": (GOOD + PARK + 'return "accepted"', 'Return "rejected"'),
    "rejects all": ('return "rejected"', "has to return"),
    "parks all": (ALL, "only where the command has no aircraft"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_2))
def test_exercise_2_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    body, hint = WRONG_2[wrong]
    lesson.refuses(2, WORK.replace("BODY", body), hint, wrong)


@pytest.mark.shares_a_lab
def test_exercise_2_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_exercise_2_another_right_way_passes(lesson):
    body = GOOD + """if record.delivery_count() < 3:
        return "released"
    """ + PARK + 'return "rejected"'  # fmt: skip
    lesson.accepts(2, WORK.replace("BODY", body))

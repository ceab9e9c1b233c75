"""Lesson 16: what its prose claims is true, and its check tells right services from wrong ones."""

import pytest
from lesson import some

NUMBER = "16"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(600)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    lesson.asks_each_step()
    assert value("replies") == 24
    assert "Lesson 07" in lesson.output(lesson.index("crash"))
    assert "have more than one reply" in lesson.output(lesson.index("crash"))
    assert "new, empty topic" not in lesson.output(lesson.index("twice"))
    assert "counted departures twice" in lesson.output(lesson.index("twice"))
    assert value("bool(card)") is False
    for played in ("calm-day", "windy-card", "storm-day", "card"):
        assert "Traceback" not in lesson.output(lesson.index(played))
    assert "Nobody has played" in lesson.output(lesson.index("card"))
    assert not value("[one for one in lab.services if lab.services[one].state == 'running']")


@pytest.mark.shares_a_lab
def test_a_wrong_guess_is_told_what_it_would_mean(lesson):
    lesson.misses_each_prediction()
    lesson.corrects("twice-answer", "'right'", "Kafka does not compare two records")
    lesson.execute("prediction = ...")


WRONG_STEPS = [
    ("once", 'database.execute("INSERT OR IGNORE INTO handled VALUES (?)", name).rowcount',
     "name not in seen and not seen.add(name)", "empty after a restart"),
    ("once", "if new and", "if", "Each event counts each time it comes"),
    ("newer", "excluded.sequence > shown.sequence", "excluded.sequence < shown.sequence",
     "between two partitions there is no order"),
]  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(("name", "old", "new", "told"), WRONG_STEPS)
def test_a_step_passes_and_a_typical_wrong_one_is_told(lesson, name, old, new, told):
    lesson.accepts_step(name)
    lesson.execute("seen = set()")
    lesson.refuses_step(name, lesson.changed_step(name, old, new), told)


# -- the exercises: a short day each -----------------------------------------------------------


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_a_desk_that_meets_a_poison_record_is_sent_to_lesson_08(lesson):
    lesson.refuses(1, "gates = desk", "Lesson 08", "ends at a poison record")
    lesson.execute("gates = None")


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_a_board_that_joins_nothing_is_sent_to_lesson_05(lesson):
    code = "def board(service, airport):\n    while service.running:\n        service.wait(1)"
    lesson.refuses(2, code, "Lesson 05", "joins nothing")
    lesson.execute("board = None")


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", some([1, 2, 3]))
def test_the_solution_passes_and_may_be_checked_twice(lesson, number):
    lesson.accepts_its_solution(number)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(120)
def test_an_exercise_of_two_services_asks_for_the_one_that_is_missing(lesson):
    lesson.refuses(3, 'baggage, operations = helping.model("baggage"), None', "no operations yet")
    lesson.execute("baggage = operations = None")


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(900)
def test_the_whole_day_is_played_with_what_there_is_and_the_card_is_saved(lesson, tmp_path):
    for number in (1, 2, 3):
        lesson.execute(lesson.solution(number))
    lesson.client.timeout = 600
    lesson.again(lesson.index("mine"))
    for played in ("calm-day", "windy-day", "storm-day"):
        lesson.again(lesson.index(played))
        assert lesson.value("[one.name for one in card.failures]") == [], played
    lesson.execute(f"page = card.save({str(tmp_path)!r})")
    page = (tmp_path / "report_card.html").read_text(encoding="utf-8")
    assert "the model solution" in page
    assert page.count("<rect") == lesson.value("len(card.evidence.faults())")
    lesson.execute("operations = gates = baggage = board = None")

"""The picture of a class in a notebook: what can be read on it, and what nobody sees too early."""

import random
import threading
import time
import warnings

import pytest
from pictures import assert_readable, final, near, words_of_every_frame
from test_classroom import gathered, prediction

from lab_env.classroom import picture, records, watching
from lab_env.classroom.gathering import Gathering
from lab_env.clusters import client_config
from lab_env.figures.engine.live import Stage
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports

WORD = "kilo-27"
NAMES = ("Ana B.", "Ben", "Hans-Peter Langenscheidt", "Gül", "Ines", "Jo")
CELLS = ("start", "three-trucks", "exercise-drained", "a-cell-of-a-rather-long-name", "end")
WORST = "exercise 02 drained"  # nobody has passed it
WHY = ("point_to_point.drain_early", "point_to_point.drain_partition", "")


class Told:
    """What is seen of a class, made by hand."""

    def __init__(self, gathering: Gathering):
        self.ended = False
        self.see(gathering)

    def see(self, gathering: Gathering, answers: bool = True) -> None:
        self.seen = gathering.sight(answers)

    def end(self, seconds: float = 0.0) -> None:
        self.ended = True


@pytest.fixture
def show():
    """Return what shows a picture of a gathering: the picture, and what it is told."""
    stage = Stage(picture.NoSamples(), Reports(), Journal(), picture.PAUSE_AFTER)

    def one(gathering: Gathering, scale: float = 1.5):
        told = Told(gathering)
        return stage.add(picture.ClassPicture(stage, WORD, told, scale)), told

    yield one
    stage.close()


def a_class(students: int, changed: bool = True) -> Gathering:
    """Return a class at work: somewhere, held up, having voted, some with a hand up."""
    chance, told = random.Random(students), []
    for number in range(students):
        name = NAMES[number % len(NAMES)] + f" {number}" * (number >= len(NAMES))
        told.append(("name", {"name": name}))
        told.append(("at", {"lesson": "02", "cell": chance.choice(CELLS)}))
        told.append(("hand", {"up": number < 4}))
        first = chance.choice(["20", "60", "a: 3, b: 4, and nothing else of them all", "60"])
        now = "20" if changed and chance.random() < 0.5 else first
        told.append(("prediction 02 three", prediction(now, first, "20")))
        for task in (WORST, "step 02 poll", "exercise 02 at-least-once"):
            value = {
                "passed": chance.random() < (0.5 if task != WORST else 0.0),
                "tries": 2,
                "why": chance.choice(WHY),
            }
            told.append((task, value))
    per = len(told) // max(students, 1)
    return gathered(*((f"s{n // per}", key, value) for n, (key, value) in enumerate(told)))


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("students", [1, 12, 200])
def test_all_that_stands_on_it_can_be_read(show, students, scale):
    one, told = show(a_class(students), scale)
    frames = words_of_every_frame(one)
    one.reveal()
    told.see(a_class(students), answers=False)  # with the line that says so, it is the fullest
    final(one)
    assert_readable(one, frames[-1])
    words = " ".join(text for text, _ in frames[-1])
    for wanted in ("lab join kilo-27", f"{students} joined", "Ana B.", "It was: 20", "✓ 20"):
        assert wanted in words
    assert "02 drained" in words or students == 1  # whom all hold up alike


def test_before_it_is_revealed_nothing_on_the_picture_depends_on_the_answer(show):
    votes = [("ana", "60"), ("ben", "20"), ("cem", "60")]
    seen = []
    for was in ("", "20"):
        one, _ = show(
            gathered(*((who, "prediction 02 three", prediction(s, was=was)) for who, s in votes))
        )
        final(one)
        seen.append((one.png, one.sentence))
    assert seen[0] == seen[1]
    assert "was" not in seen[0][1]


def test_the_right_answer_gets_its_sign_when_it_is_revealed_and_loses_it_when_it_is_hidden(show):
    one, _ = show(a_class(12))
    frames = words_of_every_frame(one)
    one.reveal()
    one.hide()
    one.reveal()
    final(one)
    assert {"✓ 20", "It was: 20"} <= {text for text, _ in frames[-1]}
    assert "It was: 20" in one.sentence
    other, _ = show(a_class(13))
    frames = words_of_every_frame(other)
    other.reveal()
    other.hide()
    final(other)
    assert not [text for text, _ in frames[-1] if "was" in text or "✓" in text]


def test_of_what_nobody_has_seen_no_answer_is_revealed(show):
    one, _ = show(gathered(("ana", "prediction 02 three", prediction("60"))))
    frames = words_of_every_frame(one)
    one.reveal()
    final(one)
    words = [text for text, _ in frames[-1]]
    assert not [text for text in words if text.startswith(("✓", "It was"))]
    assert [text for text in words if text.startswith("Nobody has seen it")]


def test_bars_are_as_long_as_there_are_votes_and_the_first_vote_shows_where_it_was_another(show):
    votes = {"20": 8, "40": 4, "60": 2}
    say = [answer for answer, count in votes.items() for _ in range(count)]
    first = [("60" if n < 6 else one) for n, one in enumerate(say)]

    def widths(colour, *told) -> list[int]:
        one, _ = show(gathered(*told))
        found = near(final(one), colour, 3)
        found = found[:, found.shape[1] // 2 :]
        rows = found.sum(axis=1)
        return sorted({int(row) for row in rows if row > 60}, reverse=True)

    same = [(f"s{n}", "prediction 02 three", prediction(one)) for n, one in enumerate(say)]
    longest, *others = widths(picture.FULL, *same)
    assert [round(8 * one / longest) for one in others] == [4, 2]
    assert not widths(picture.PALE, *same)
    moved = [
        (f"s{n}", "prediction 02 three", prediction(now, before))
        for n, (now, before) in enumerate(zip(say, first, strict=True))
    ]
    assert len(widths(picture.PALE, *moved)) == 3  # 2 at 20, 4 at 40, 8 at 60


def test_a_question_is_chosen_and_stays_whatever_is_predicted_next(show):
    asked = gathered(("ana", "prediction 02 three", prediction("60")))
    one, told = show(asked)
    with pytest.raises(BadInputError, match="02 three"):
        one.ask("02 four")
    one.ask("02 three")
    told.see(
        gathered(
            ("ana", "prediction 02 three", prediction("60")),
            ("ben", "prediction 02 four", prediction("7")),
        )
    )
    assert "02 three" in final(one).sentence
    other, _ = show(
        gathered(
            ("ana", "prediction 02 three", prediction("60")),
            ("ben", "prediction 02 four", prediction("7")),
        )
    )
    assert "02 four" in final(other).sentence


def test_names_in_a_script_that_the_house_font_has_not_are_drawn_without_a_warning(show):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = [("ana", "name", {"name": "王芳"}), ("ana", "hand", {"up": True})]
        one, more = show(gathered(*told))
        frames = words_of_every_frame(one)
        more.see(gathered(*told, ("ana", "at", {"lesson": "02", "cell": "start"})))
        final(one)
    assert {"Hand up: □□", "□□"} <= {text for text, _ in frames[-1]}
    assert "Hand up: 王芳" in one.sentence  # which is read aloud


def test_a_class_that_is_silent_keeps_what_was_known(show):
    one, told = show(gathered(("ana", "at", {"lesson": "02", "cell": "start"})))
    frames = words_of_every_frame(one)
    told.see(gathered(("ana", "at", {"lesson": "02", "cell": "start"})), answers=False)
    final(one)
    words = " ".join(text for text, _ in frames[-1])
    assert "Kafka does not answer" in words
    assert "02 start" in words


def test_what_follows_the_class_ends_with_its_picture(show):
    one, told = show(Gathering())
    final(one)
    assert told.ended


def test_following_a_cluster_that_is_lost_ends_when_it_is_told_to():
    nobody = {"bootstrap_servers": "127.0.0.1:9", "bootstrap_timeout_ms": 500}
    following = watching.Following(nobody, WORD)
    deadline = time.monotonic() + 60
    while following.seen is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert following.seen is not None
    assert not following.seen.answers
    following.end(60)
    assert not [one for one in threading.enumerate() if one.name == "class-seen" and one.is_alive()]


def test_a_class_without_a_cluster_is_a_sentence_and_leaves_nothing_behind(monkeypatch):
    from lab_env.classroom import show as of_a_notebook

    for name in (client_config.CLASS, client_config.BOOTSTRAP, client_config.FILE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInputError, match="No cluster is named for the class"):
        of_a_notebook(WORD)
    with pytest.raises(BadInputError):
        of_a_notebook(WORD, scale=99)
    assert not [one for one in threading.enumerate() if one.name == "class-seen" and one.is_alive()]


def test_a_sight_stays_as_it_was_whatever_comes_later():
    one = gathered(("ana", "at", {"lesson": "02", "cell": "start"}))
    before = one.sight()
    one.take("ben", b"at", records.written({"lesson": "02", "cell": "start"}), 9.0)
    assert before.places == {("02", "start"): ["ana"]}
    assert one.sight().places == {("02", "start"): ["ana", "ben"]}

"""A class, live, as its records tell of it: what may be said, what is shown, and what never is."""

import json
import types

import pytest
from rich.console import Console

from lab_env.checks import check
from lab_env.classroom import cells, membership, projector, records, sending
from lab_env.classroom.gathering import Gathering
from lab_env.clusters import client_config
from lab_env.course import joining
from lab_env.ground.errors import BadInputError
from lab_env.processes import folders

pytestmark = pytest.mark.fast


def gathered(*told: tuple[str, str, dict]) -> Gathering:
    """Return a class of (student, key, value), a second apart."""
    one = Gathering()
    for second, (student, key, value) in enumerate(told):
        one.take(student, key.encode(), records.written(value), float(second))
    return one


def printed(picture: projector.Projector, gathering: Gathering) -> str:
    """Return the picture as a terminal of 120 columns shows it."""
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        console.print(picture.draw(gathering))
    return capture.get()


def prediction(said: str, first: str = "", was: str = "") -> dict:
    return {"said": said, "first": first or said, "was": was}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"name", b"no json"),
        (b"name", b"[" * 100_000),
        (b"name", b'["a"]'),
        (b"name", b'{"name": 7}'),
        (b"code", b'{"code": "print()"}'),
        (b"exercise 02", b'{"passed": true}'),
        (b"exercise 02 a b", b'{"passed": true}'),
        (b"exercise 02 drained", b'{"passed": 1}'),
        (b"exercise 02 drained\n", b'{"passed": true}'),
        ("exercise 02 ä".encode(), b"{}"),
        (b"\xff", b"{}"),
        (None, None),
        (b"at", None),
    ],
)
def test_what_is_no_record_of_a_class_is_left_out(key, value):
    assert records.read(key, value) is None


def test_a_record_may_neither_move_the_projector_nor_fill_it():
    wild = "\x1b[2J[bold]Eve\n\r‮" + "x" * 10_000
    _, value = records.read(b"name", json.dumps({"name": wild, "code": "secret"}).encode())
    assert value.keys() == {"name"}
    assert value["name"].isprintable()
    assert len(value["name"]) <= records.NAME_LONG
    one = gathered(("eve", "name", {"name": "[red]Eve[/red]"}), ("eve", "hand", {"up": True}))
    assert "[red]Eve[/red]" in printed(projector.Projector("kilo-27"), one)


def test_a_student_who_sends_ever_new_keys_does_not_fill_the_memory():
    one = Gathering()
    for number in range(5000):
        one.take("eve", f"step 02 s{number}".encode(), b'{"passed": false}', 0.0)
    assert len(one.students["eve"].said) < 1000


def test_a_name_that_could_be_anothers_bears_what_the_rights_know_her_by():
    one = gathered(
        ("ana", "name", {"name": "Ana"}),
        ("eve", "name", {"name": "ana"}),
        ("zoe", "name", {"name": "Ben (ben)"}),
        ("ben", "name", {"name": "Benjamin"}),
        ("cem", "name", {"name": "BEN"}),
        ("k-1", "name", {"name": "Kim"}),
        ("k-2", "name", {"name": "kim"}),
    )
    assert one.names() == {
        "ana": "Ana",
        "eve": "ana (eve)",
        "zoe": "Ben ben",
        "ben": "Benjamin",
        "cem": "BEN (cem)",
        "k-1": "Kim (k-1)",
        "k-2": "kim (k-2)",
    }


@pytest.mark.parametrize(
    ("topic", "student"),
    [
        ("ana.lab-class.kilo-27", "ana"),
        ("ana-1.lab-class.kilo-27", "ana-1"),
        ("ana.bogus.lab-class.kilo-27", None),
        ("ana.lab-class.kilo-2", None),
        ("ana.lab-class.kilo-27.x", None),
        ("lab-class.kilo-27", None),
    ],
)
def test_a_student_has_one_topic_of_a_class_and_no_more(topic, student):
    assert records.student_of(topic, "kilo-27") == student


def test_it_is_seen_who_is_where_and_whose_hand_is_up():
    one = gathered(
        ("ana", "hand", {"up": True}),
        ("ana", "at", {"lesson": "02", "cell": "start"}),
        ("ana", "at", {"lesson": "02", "cell": "three-trucks"}),
        ("ben", "at", {"lesson": "02", "cell": "three-trucks"}),
        ("cem", "at", {"lesson": "01", "cell": "start"}),
        ("ben", "hand", {"up": True}),
        ("ana", "hand", {"up": False}),
        ("ana", "hand", {"up": True}),
    )
    assert one.places() == {("01", "start"): ["cem"], ("02", "three-trucks"): ["ana", "ben"]}
    assert one.hands() == ["ben", "ana"]  # the one who has waited longer first
    shown = printed(projector.Projector("kilo-27"), one)
    assert "lab join kilo-27     3 joined" in shown
    assert "✋ ben, ana" in shown
    one.forget("ben")
    assert one.hands() == ["ana"]


def test_it_is_seen_what_holds_most_of_them_up_and_by_which_misconception():
    why = "point_to_point.not_drained"
    no = {"passed": False, "tries": 2, "why": why}
    one = gathered(
        ("ana", "exercise 02 drained", no),
        ("ben", "exercise 02 drained", no),
        ("cem", "exercise 02 drained", no | {"why": "another"}),
        ("dan", "exercise 02 drained", {"passed": True, "tries": 1, "why": ""}),
        ("ana", "step 02 commit", {"passed": False, "tries": 1, "why": "5: the group will ..."}),
        ("ben", "step 02 commit", {"passed": False, "tries": 1, "why": ""}),
        ("ben", "step 02 commit", {"passed": True, "tries": 2, "why": ""}),
    )
    first, second = one.held_up()
    assert (first.key, first.held, first.passed) == ("exercise 02 drained", 3, 1)
    assert first.why == [(why, 2), ("another", 1)]
    assert (second.key, second.held, second.passed) == ("step 02 commit", 1, 1)
    assert "02 exercise drained" in printed(projector.Projector("kilo-27"), one)


def test_a_hint_is_shown_as_its_sentence_without_what_a_students_run_filled_in():
    keys = [key for key in projector.catalogue("en") if key.endswith("_hint")]
    for key in keys:
        shown = projector.meant(key.removesuffix("_hint"))
        assert shown
        assert "{" not in shown.replace("{{", ""), key
    assert projector.meant("some words") == "some words"


def test_a_class_votes_discusses_and_votes_again_before_the_answer_is_revealed():
    key = "prediction 02 three"
    one = gathered(
        ("ana", "prediction 01 other", prediction("7")),
        ("ana", key, prediction("60")),
        ("ben", key, prediction("60")),
        ("cem", key, prediction("20")),
        ("ben", key, prediction("20", first="60")),
        ("dan", "name", {"name": "Dan"}),
        ("cem", key, prediction("20", was="20")),
    )
    assert one.question() == "02 three"
    votes = one.votes("02 three")
    assert votes.first == {"60": 2, "20": 1}
    assert votes.now == {"60": 1, "20": 2}
    assert (votes.seen, votes.was) == (1, "20")
    picture = projector.Projector("kilo-27")
    hidden = printed(picture, one)
    assert "3 of 4 have voted" in hidden
    assert "✓" not in hidden
    assert "It was" not in hidden
    assert picture.press(projector.REVEAL, one)
    shown = printed(picture, one)
    assert "✓ 20" in shown
    assert "It was: 20" in shown
    assert picture.press(projector.NEXT, one)
    assert picture.question == "01 other"
    assert "It was" not in printed(picture, one)
    assert not picture.press(projector.END, one)


def test_many_names_leave_room_for_where_they_are():
    told = [(f"s{n}", "name", {"name": f"Student {n}"}) for n in range(60)]
    told += [(f"s{n}", "at", {"lesson": "02", "cell": "three-trucks"}) for n in range(60)]
    shown = printed(projector.Projector("kilo-27"), gathered(*told))
    (line,) = (line for line in shown.splitlines() if "three-trucks" in line)
    assert line.startswith("02 ")
    assert " 60 " in line
    assert "Student 0, Student 1" in line
    assert line.rstrip().endswith("…")


def test_an_empty_class_has_a_picture_too():
    assert "0 joined" in printed(projector.Projector("kilo-27"), Gathering())


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (..., ""),
        (None, ""),
        ("...", ""),
        (60, "60"),
        ("longer", "longer"),
        ({"lost": ..., "twice": ...}, ""),
        ({"lost": 0, "twice": ...}, "lost: 0"),
    ],
)
def test_a_prediction_travels_in_words_and_what_is_none_does_not(made, said):
    assert cells.said_of(made) == said


@pytest.fixture
def told(monkeypatch) -> dict[str, dict]:
    """What a notebook tells its class, by key."""
    kept: dict[str, dict] = {}

    def tell(key, make):
        kept[key] = make(kept.get(key, {}))

    monkeypatch.setattr(sending, "tell", tell)
    return kept


def test_a_check_tells_how_often_it_was_asked_and_which_hint_it_gave_and_no_more(told):
    lab = types.SimpleNamespace(connection={}, services={})
    for found in (60, 60, 20):
        check.step(lab, "02 three", found, 20, {60: "60 each: the topic is read by all"})
        if found == 60:
            assert told["step 02 three"]["why"] == "60 each: the topic is read by all"
    assert told.pop("step 02 three") == {"passed": True, "tries": 3, "why": ""}
    check.drained(lab, 7, "crew", commands=300, work=0.04, seconds=10)
    assert told == {
        "exercise 02 drained": {"passed": False, "tries": 1, "why": "checks.wrong_call"}
    }


def test_a_prediction_is_told_with_what_happened_and_none_is_not(told):
    check.foreseen("02 three", 60, 20)
    check.foreseen("02 alone", ..., 20)
    assert told == {"prediction 02 three": {"said": "60", "first": "60", "was": "20"}}


def test_where_nothing_is_kept_nothing_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv(folders.HOME_VARIABLE, str(tmp_path))
    membership._keep(membership.Joined("kilo-27", "Ana", "ana"))
    assert membership.current() is not None
    monkeypatch.setenv(membership.NOTHING_KEPT, "")
    assert membership.current() is None


def test_whoever_is_in_no_class_tells_nobody_anything(monkeypatch, tmp_path):
    monkeypatch.setenv(folders.HOME_VARIABLE, str(tmp_path))
    sending.at("02", "start")
    assert sending._sender is None


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"word": 1}', "null"])
def test_a_file_that_says_nothing_is_no_class(monkeypatch, tmp_path, text):
    monkeypatch.setenv(folders.HOME_VARIABLE, str(tmp_path))
    membership.file().write_text(text)
    sending.at("02", "start")
    assert sending._sender is None


@pytest.mark.parametrize("word", ["", "a", "Ä", "a.b", "a b", "-a", "x" * 40])
def test_a_word_that_can_be_none_is_told_before_anything_is_asked(word):
    with pytest.raises(BadInputError, match="word of a class"):
        membership.join(word, "Ana")


def test_a_new_word_is_one_that_can_be_typed():
    assert all(records.WORD.fullmatch(joining._new_word()) for _ in range(100))


def test_a_class_meets_where_its_own_variable_says_else_where_the_lessons_run(
    monkeypatch, tmp_path
):
    monkeypatch.delenv(client_config.BOOTSTRAP, raising=False)
    with pytest.raises(BadInputError, match="KAFKA_LAB_CLASS"):
        client_config.of_class()
    monkeypatch.setenv(client_config.BOOTSTRAP, "lessons:1")
    assert client_config.of_class().connection["bootstrap_servers"] == ["lessons:1"]
    monkeypatch.setenv(client_config.CLASS, "class:2,class:3")
    assert client_config.of_class().connection["bootstrap_servers"] == ["class:2", "class:3"]
    file = tmp_path / "class.properties"
    file.write_text("bootstrap.servers=class:4\nsecurity.protocol=SSL\n")
    monkeypatch.setenv(client_config.CLASS, str(file))
    found = client_config.of_class().connection
    assert (found["bootstrap_servers"], found["security_protocol"]) == (["class:4"], "SSL")
    monkeypatch.delenv(client_config.CLASS)
    assert client_config.of_class("kept:5").connection["bootstrap_servers"] == ["kept:5"]

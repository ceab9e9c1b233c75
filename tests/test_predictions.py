"""A prediction answers back: foreseen or not, part by part; an empty one is told kindly."""

import json

import numpy as np
import pandas as pd
import pytest

from lab_env import check
from lab_env.checks import predictions, progress
from lab_env.course import cli
from lab_env.ground.errors import BadInputError

pytestmark = pytest.mark.fast
TYPICAL = {60: "60 each: that would be publish/subscribe."}


@pytest.fixture(autouse=True)
def own_progress(monkeypatch, tmp_path):
    """Keep what is foreseen here, for this test alone."""
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "kept" / "progress.json"))
    monkeypatch.setattr(predictions, "_asked", {})
    return tmp_path / "kept" / "progress.json"


def kinds(prediction, happened, because=None, **more):
    answer = check.foreseen("02 three", prediction, happened, because, **more)
    return [part.kind for part in answer.parts]


@pytest.mark.parametrize("empty", [..., None, "", "...", "  "])
def test_an_empty_prediction_is_told_kindly_and_stops_nobody(empty):
    answer = check.foreseen("02 three", empty, 20, TYPICAL)
    assert answer.kind == "none"
    assert "It was 20" in repr(answer)
    assert "guess" in repr(answer)
    assert not answer


@pytest.mark.parametrize(
    ("said", "happened", "more"),
    [
        (20, 20, {}),
        (20.0, 20, {}),
        (18, 20, {"near": 0.2}),
        ("  No Error. ", "no error", {}),
        (True, True, {}),
        ([1, 2], (1, 2), {}),
        (["b", "a"], {"a", "b"}, {}),
        ({"lost": 20, "twice": 0}, {"twice": 0, "lost": 20}, {}),
    ],
)
def test_what_was_foreseen_is_told(said, happened, more):
    assert set(kinds(said, happened, **more)) == {"foreseen"}


@pytest.mark.parametrize(
    ("said", "happened"),
    [
        (60, 20),
        (20, "20"),
        ("20", 20),
        (1, True),
        (True, 1),
        ([2, 1], [1, 2]),
        ([1], 1),
        (object(), 1),
        ({"a": 1}, 1),
        (float("nan"), 1),
        (7, {"lost": 7}),
    ],
)
def test_what_was_not_foreseen_is_told(said, happened):
    assert kinds(said, happened) == ["otherwise"]


class Unspeakable:
    def __str__(self):
        raise RuntimeError

    def __eq__(self, other):
        raise RuntimeError

    __hash__ = object.__hash__


@pytest.mark.parametrize("happened", [20, 2.5, "a", True, [1], {1, 2}, {"a": 1}])
@pytest.mark.parametrize(
    "said",
    [[[1]], 10**400, -(10**5000), Unspeakable(), {1: 2}, {"a": {"b": ...}}, 1j, b"x", print,
     np.array([1, 2]), pd.DataFrame({"a": [1]}), float("inf")],
    ids=lambda said: type(said).__name__,
)  # fmt: skip
def test_whatever_is_written_as_a_prediction_ends_in_no_raw_error(said, happened):
    answer = check.foreseen("02 three", said, happened, TYPICAL)
    assert not answer
    assert repr(answer)
    assert "was" in answer._repr_html_()
    assert repr(check.surprises("02"))
    assert "three" in check.surprises("02")._repr_html_()


def test_a_typical_wrong_guess_gets_a_sentence_of_its_own():
    answer = check.foreseen("02 three", 60, 20, TYPICAL)
    assert "You said 60, and it was 20. 60 each: that would be publish/subscribe." in repr(answer)
    assert "publish" not in repr(check.foreseen("02 three", 61, 20, TYPICAL))


def test_each_part_has_its_own_answer_and_its_own_sentence():
    because = {"lost": {20: "A truck that dies has committed nothing yet."}}
    answer = check.foreseen(
        "02 crash", {"lost": 20, "twice": ...}, {"lost": 0, "twice": 7}, because
    )
    lost, twice = answer.parts
    assert (lost.kind, twice.kind) == ("otherwise", "none")
    assert lost.because == "A truck that dies has committed nothing yet."
    assert "(lost)" in repr(answer)


def test_who_has_foreseen_nothing_of_many_parts_reads_one_sentence():
    assert kinds({"lost": ..., "twice": ...}, {"lost": 0, "twice": 7}) == ["none"]
    assert kinds(..., {"lost": 0, "twice": 7}) == ["none"]


def test_what_a_student_wrote_is_no_part_of_the_page():
    page = check.foreseen("02 three", "<script>alert(1)</script>", 20)._repr_html_()
    assert "<script>" not in page


def test_the_end_of_a_lesson_says_what_surprised_and_where():
    check.foreseen("02 three", 20, 20)
    check.foreseen("02 crash", 1, 0)
    check.foreseen("02 there", ..., 0)
    check.foreseen("03 three", 1, 0)
    told = check.surprises("02")
    assert "You foresaw 1 of 3, and made no prediction for 1." in repr(told)
    assert 'href="#cell-id=prediction-crash"' in told._repr_html_()
    assert "prediction-three" not in told._repr_html_()
    assert "run the cells" in repr(check.surprises("09"))
    # the newest answer counts, and once
    check.foreseen("02 crash", 0, 0)
    assert "You foresaw 2 of 3" in repr(check.surprises("02"))


def test_it_is_kept_on_this_machine_and_lab_progress_shows_it(own_progress, capsys):
    check.foreseen("02 three", 20, 20)
    check.foreseen("02 crash", 1, 0)
    progress.keep("02", progress.EXERCISES, "drained", True)
    kept = json.loads(own_progress.read_text())
    assert kept["02"]["predictions"] == {"three": True, "crash": False}
    cli.lab(["progress"], standalone_mode=False)
    told = capsys.readouterr().out
    row = next(line for line in told.splitlines() if line.lstrip(" │|").startswith("02"))
    assert "1 of 2" in row
    assert "drained" not in row  # how many, of how many
    assert "1 of 2" in row.split("1 of 2", 1)[1] or "1 of" in row


@pytest.mark.parametrize("spoilt", ["", "[]", "{", '{"02": 7}', '{"02": {"predictions": []}}'])
def test_a_spoilt_file_is_as_if_nothing_were_kept(own_progress, spoilt):
    own_progress.parent.mkdir()
    own_progress.write_text(spoilt)
    check.foreseen("02 three", 20, 20)
    assert progress.read()["02"]["predictions"] == {"three": True}


def test_a_folder_that_cannot_be_written_stops_nobody(own_progress):
    own_progress.parent.write_text("a file where a folder should be")
    assert check.foreseen("02 three", 20, 20)
    assert progress.read() == {}


def test_nothing_is_kept_where_nothing_shall_be(monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, "")
    assert check.foreseen("02 three", 20, 20)
    assert progress.place() is None


@pytest.mark.parametrize("name", ["", "three", "2 three", "02", "02 Three", None, 7])
def test_a_prediction_without_a_name_is_refused(name):
    with pytest.raises(BadInputError, match="named by its lesson"):
        check.foreseen(name, 1, 1)

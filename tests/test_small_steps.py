"""A small step is judged by what is there; each typical wrong state gets its own sentence."""

import pytest
from lesson import Answer

from lab_env import Lab, check
from lab_env.checks import progress
from lab_env.course import cli

WHY = {60: "60 is half: the group has two members.", None: "Count the records of the group."}


class NoServices:
    """A lab in which no service was started."""

    services = {}  # noqa: RUF012 - as a lab has it, an attribute
    connection = {}  # noqa: RUF012


@pytest.fixture(autouse=True)
def own_progress(monkeypatch, tmp_path):
    """Keep what is done here for this test alone."""
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))


@pytest.fixture(scope="module")
def lab(own_home):
    """A lab for all tests of this file: no test harms it."""
    with Lab("embedded") as one:
        yield one


def step(found, wanted=120, because=WHY, **more):
    return check.step(NoServices(), "03 own-group", found, wanted, because, **more)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("found", "wanted"),
    [(120, 120), (lambda: 120, 120), ({"a": 1}, {"a": 1}), ([1, 2], [1, 2]), ({2, 1}, {1, 2})],
)
def test_what_is_as_wanted_passes(found, wanted):
    assert step(found, wanted)
    assert progress.read()["03"][progress.STEPS] == {"own-group": True}


@pytest.mark.fast
def test_a_typical_wrong_state_gets_its_own_sentence_and_any_other_the_common_one():
    assert "two members" in step(60).hint
    assert "Count" in step(7).hint
    assert "Count" in step("nothing").hint
    assert not progress.read()


@pytest.mark.fast
def test_of_a_mapping_the_first_part_that_is_wrong_is_told():
    because = {"a": {0: "a got nothing"}, "b": {None: "b is not as it should be"}}
    assert step({"a": 0, "b": 0}, {"a": 1, "b": 1}, because).hint == "a got nothing"
    assert step({"a": 1, "b": 0}, {"a": 1, "b": 1}, because).hint == "b is not as it should be"
    assert not step({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1}, because)
    assert not step(None, {"a": 1}, because)


@pytest.mark.fast
def test_infinity_is_infinity():
    assert step(float("inf"), float("inf"))


@pytest.mark.fast
def test_a_number_may_be_near():
    assert step(110, 100, near=0.1)
    assert not step(111, 100, near=0.1)


@pytest.mark.fast
def test_it_is_a_line_and_what_was_found_is_no_part_of_the_page():
    page = step("<script>")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "font-size" not in page


@pytest.mark.fast
def test_a_step_without_a_name_is_told():
    assert "own-group" in check.step(NoServices(), "group", 1, 1).found


@pytest.mark.fast
def test_lab_progress_shows_the_steps(capsys):
    step(120)
    cli.lab(["progress"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "Small steps" in shown


def late(service):
    service.wait(1)
    service.report(done=True)


def broken(service):
    raise ValueError("no such gate")


@pytest.mark.shares_a_lab
def test_it_waits_for_a_service_that_is_on_its_way(lab):
    service = lab.service(late, name="late")
    assert check.step(lab, "03 late", lambda: len(service.reports), 1)


@pytest.mark.shares_a_lab
def test_a_service_that_has_failed_is_told_first(lab):
    service = lab.service(broken, name="broken")
    answer = check.step(lab, "03 broken", lambda: len(service.reports), 1)
    assert not Answer(repr(answer)).passed
    assert "no such gate" in answer.found


@pytest.mark.shares_a_lab
def test_a_service_that_failed_before_the_newest_was_started_is_another_matter(lab):
    old = lab.service(broken, name="older")
    lab.until(lambda: old.state == "failed")
    lab.until(lambda: lab.journal.now() > lab.journal.marks[-1].time + 1.5, 10)
    late_one = lab.service(late, name="newest")
    assert check.step(lab, "03 late", lambda: len(late_one.reports), 1)


@pytest.mark.shares_a_lab
def test_a_failure_that_something_else_has_asked_about_is_another_matter(lab):
    meant = lab.service(broken, name="meant")
    lab.until(lambda: meant.state == "failed")
    assert "no such gate" in check.step(lab, "03 other", 2, 3, {None: "Add one."}).found
    assert check.step(lab, "03 other", 3, 3)  # right is right, whatever has failed
    check.foreseen("03 ends", 0, 0)
    wrong = check.step(lab, "03 another", 2, 3, {None: "Add one."})
    assert wrong.hint == "Add one."

"""What reading a Compose file can tell of its Kafka: lesson 12's second exercise, without Kafka."""

import pytest
import yaml
from mended_files import RIGHT, RIGHT_FILES, WRONG_FILES, changed

from lab_env import check
from lab_env.around import containers
from lab_env.checks import progress


@pytest.fixture(autouse=True)
def only_read(monkeypatch, tmp_path):
    """Let no engine answer: the file is read, and not started. Progress is this test's own."""
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))
    monkeypatch.setattr(containers, "unavailable", lambda: "No engine in this test.")


class NoServices:
    """A lab in which no service was started."""

    services = {}  # noqa: RUF012 - as a lab has it, an attribute
    connection = {}  # noqa: RUF012


def judged(tmp_path, text: str):
    file = tmp_path / "mended.yml"
    file.write_text(text, encoding="utf-8")
    return check.compose_mended(NoServices(), file)


@pytest.mark.parametrize("wrong", WRONG_FILES)
def test_a_wrong_file_is_told_what_is_wrong_with_it(tmp_path, wrong):
    pieces, hint = WRONG_FILES[wrong]
    answer = judged(tmp_path, changed(pieces))
    assert not answer.passed
    assert hint in str(answer), answer


@pytest.mark.parametrize("right", RIGHT_FILES)
def test_a_right_file_passes_however_it_is_written(tmp_path, right):
    answer = judged(tmp_path, changed(RIGHT_FILES[right]))
    assert answer.passed, answer


def test_variables_may_be_a_list(tmp_path):
    plan = yaml.safe_load(RIGHT)
    told = plan["services"]["kafka"]["environment"]
    plan["services"]["kafka"]["environment"] = [f"{key}={told[key]}" for key in told]
    assert judged(tmp_path, yaml.safe_dump(plan)).passed


def test_of_yaml_that_cannot_be_read_the_line_and_the_reason_are_told(tmp_path):
    """Its last line is a caret under a letter, and nobody's reason."""
    for wrong in ("not YAML", "a tab", "a key twice"):
        said = str(judged(tmp_path, changed(WRONG_FILES[wrong][0])))
        assert "Line " in said
        assert "^" not in said


@pytest.mark.parametrize("text", ["", "services: [kafka]", "services: {kafka: {}}", "- a", "7"])
def test_what_is_no_compose_file_is_told(tmp_path, text):
    assert "no service kafka" in str(judged(tmp_path, text))


def test_no_file_is_told(tmp_path):
    assert "cannot be read" in str(check.compose_mended(NoServices(), tmp_path / "nothing.yml"))

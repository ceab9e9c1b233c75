"""The sizes of the tests: which one a test has, which file comes first, what is left out."""

import json
import subprocess
import sys
from pathlib import Path

import changes
import pytest
from sizes import SIZES, SLOW, seconds_by_file

ROOT = Path(__file__).parent.parent
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=")
SAMPLE = """
import pytest

@pytest.fixture
def docker_engine(): pytest.skip("left out for want of an engine. Start one.")
@pytest.fixture
def own_home(): pass

def test_fast(): pass
def test_kafka(own_home): pass
def test_containers(docker_engine): pass
@pytest.mark.nightly
def test_long(): pass
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_answers(own_home, n): pass
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on a small file of tests with the plugin of the sizes alone."""
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "test_other.py").write_text("def test_more(): pass\n")

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *PLUGINS, "-p", "sizes", "-v", *words],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "tests"), "PATH": ""},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout + done.stderr

    return run


def ran(output: str) -> set[str]:
    return {
        line.split("::")[1].split()[0]
        for line in output.splitlines()
        if "::" in line and ("PASSED" in line or "SKIPPED" in line)
    }


FAST = {"test_fast", "test_more"}
EVERYDAY = FAST | {"test_kafka", "test_answers[1]"}
LANDING = EVERYDAY | {"test_containers"}
NIGHTLY = LANDING | {"test_long", "test_answers[2]"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-m", "fast"), FAST),
        ((), EVERYDAY),
        (("--landing",), LANDING),
        (("--nightly",), NIGHTLY),
        (("-m", "nightly"), {"test_long", "test_answers[2]"}),
        (("test_sample.py::test_long",), {"test_long"}),  # whoever names a test wants it
        (("--landing", "-m", "docker_engine"), {"test_containers"}),
    ],
    ids=["fast", "everyday", "landing", "nightly", "nightly alone", "named", "a part"],
)
def test_a_size_is_run_with_those_before_it(run, words, expected):
    assert ran(run(*words)) == expected


def test_what_is_left_out_is_said_in_a_line_with_how_to_have_it(run):
    told = run("--landing")
    assert "1 test left out for want of an engine. Start one." in told


def test_what_has_passed_once_is_not_run_again(run, tmp_path):
    passed = tmp_path / "passed"
    assert ran(run("--passed", str(passed))) == EVERYDAY
    assert ran(run("--passed", str(passed), "--landing")) == {"test_containers"}
    # what was left out has not passed: it is asked again
    assert ran(run("--passed", str(passed), "--landing")) == {"test_containers"}


KNOWN = """
import sizes

sizes.seconds_by_file = lambda: {"test_sample.py": SAMPLE, "test_other.py": {"fast": 5.0}}
"""


@pytest.mark.parametrize(
    ("words", "first"), [(("-m", "fast"), "other"), ((), "other"), (("--nightly",), "sample")]
)
def test_the_file_that_takes_longest_in_this_size_comes_first(run, tmp_path, words, first):
    known = KNOWN.replace("SAMPLE", "{'fast': 1.0, 'everyday': 3.0, 'nightly': 2.0}")
    (tmp_path / "conftest.py").write_text(known)
    told = run(*words)
    names = [line.split("::")[0] for line in told.splitlines() if "PASSED" in line]
    assert names[0] == f"test_{first}.py", told


def test_what_is_recorded_is_of_files_and_sizes_that_there_are():
    known = seconds_by_file()
    assert len(known) > 40
    assert set(known) <= {path.name for path in (ROOT / "tests").glob("*.py")}
    assert all(set(spent) <= set(SIZES) for spent in known.values())


def test_a_test_without_kafka_finds_none_and_can_fetch_none(empty_home):
    from lab_env.ground.errors import DownloadError
    from lab_env.processes import folders, jars

    assert folders.home() == empty_home
    with pytest.raises(DownloadError):
        jars.ensure(progress=False)


def test_the_table_of_changes_is_in_contributing_and_misses_no_file():
    page = changes.PAGE.read_text(encoding="utf-8")
    known = json.loads((ROOT / "tests" / "durations.json").read_text(encoding="utf-8"))
    assert changes.table(known) in page
    named = {name for change in changes.CHANGES for name in changes.files(change)}
    assert named == {path.name for path in (ROOT / "tests").glob("test_*.py")}
    for change in changes.CHANGES:
        assert all(list(ROOT.glob(pattern)) for pattern in change.where), change.what
        assert changes.files(change), change.what
    meant = {path for change in changes.CHANGES for w in change.where for path in ROOT.glob(w)}
    code = {path for path in (ROOT / "lab_env").rglob("*.py") if path.name != "__init__.py"}
    assert code <= meant


def test_every_part_that_makes_a_test_slow_is_a_fixture():
    import parts

    fixtures = {name for name, one in vars(parts).items() if hasattr(one, "_fixture_function")}
    assert fixtures >= SLOW

"""Another Kafka client, or a file under a package's name: told before Java starts."""

import os
import subprocess
import sys

import pytest

from lab_env.course import doctor
from lab_env.ground import packages

LAB = "from lab_env import Lab; Lab('embedded')"


def started(place, code=LAB, **variables):
    """Run a program as a kernel runs a notebook of a folder; return what it says at its end."""
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("KAFKA_LAB")}
    environment |= {"KAFKA_LAB_HOME": str(place / "home"), "PYTHONUTF8": "1"}
    environment |= {"KAFKA_LAB_MIRROR": "http://127.0.0.1:9", **variables}  # where nobody is
    done = subprocess.run(
        [sys.executable, "-c", code],  # its path begins with "", as a kernel's does
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert not (place / "home").exists(), "nothing was fetched, and no Java has started"
    return done.stderr.splitlines()[-1] if done.stderr else done.stdout


def package(place, name, version, module):
    """Make an installed package with a version in a folder that comes first on the path."""
    folder = place / "packages" / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (place / "packages" / module).mkdir()
    (place / "packages" / module / "__init__.py").write_text("def broken(self, async): pass\n")
    return {"PYTHONPATH": str(place / "packages")}


@pytest.mark.parametrize("file", ["kafka.py", "kafka/__init__.py", "pandas.py", "matplotlib.py"])
def test_a_file_beside_the_notebook_that_hides_a_package_is_named_before_java_starts(
    tmp_path, file
):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("flights = 263\n")
    told = started(tmp_path)
    assert told.startswith("lab_env.ground.errors.PackageError: ")
    assert str(tmp_path / file) in told
    assert "another name" in told


def test_a_file_that_was_imported_already_is_still_told_of(tmp_path):
    (tmp_path / "kafka.py").write_text("flights = 263\n")
    code = f"import kafka, os; os.remove('kafka.py'); {LAB}"
    assert "restart the kernel" in started(tmp_path, code)


def test_the_old_package_kafka_is_told_before_java_starts(tmp_path):
    told = started(tmp_path, **package(tmp_path, "kafka", "1.3.5", "kafka"))
    assert "The old package kafka 1.3.5" in told
    assert "pip uninstall" in told


def test_another_version_of_the_client_is_told_before_java_starts(tmp_path):
    told = started(tmp_path, **package(tmp_path, "kafka-python", "2.0.2", "kafka"))
    assert "kafka-python 2.0.2" in told
    assert str(tmp_path / "packages") in told
    wanted = str(packages.pinned()["kafka-python"].specifier).removeprefix("==")
    assert f"needs {wanted}" in told


def test_python_without_asserts_is_told_before_java_starts(tmp_path):
    assert "PYTHONOPTIMIZE" in started(tmp_path, PYTHONOPTIMIZE="1")


def test_files_that_hide_nothing_are_let_be(tmp_path):
    (tmp_path / "topics.py").write_text("")
    (tmp_path / "kafka").mkdir()  # a folder with data: Python prefers the package
    code = "from lab_env.ground import packages; packages.check(); print('fine')"
    assert started(tmp_path, code) == "fine\n"


@pytest.mark.skipif(os.name == "nt", reason="a path of Windows has no semicolon by itself")
def test_a_home_that_cuts_javas_class_path_is_told_before_anything_is_fetched(tmp_path):
    told = started(tmp_path, KAFKA_LAB_HOME=str(tmp_path / "a:b"))
    assert "KAFKA_LAB_HOME" in told
    assert not (tmp_path / "a:b").exists()


# -- the doctor ---------------------------------------------------------------------------------


def judged(place, check, **variables):
    """Return what a check of the doctor finds in a process of its own: (good, what, remedy)."""
    code = (
        "import json; from lab_env.course import doctor; "
        f"print(json.dumps([list(row) for row in doctor.{check}()]))"
    )
    import json

    return [doctor.Finding(*row) for row in json.loads(started(place, code, **variables))]


@pytest.mark.parametrize("file", ["kafka.py", "lab_env.py", "pandas.py"])
def test_the_doctor_finds_a_file_that_hides_a_package(tmp_path, monkeypatch, file):
    (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    (finding,) = doctor.client()
    assert finding.good is False
    assert str(tmp_path / file) in finding.remedy


def test_the_doctor_asks_whether_it_is_the_right_client(tmp_path):
    (finding,) = judged(tmp_path, "client", **package(tmp_path, "kafka-python", "2.0.2", "kafka"))
    assert finding.good is False
    assert "kafka-python 2.0.2" in finding.remedy


def test_the_doctor_knows_the_version_of_every_package_that_the_lab_asks_for(tmp_path):
    (finding,) = doctor.versions()
    assert finding.good is True
    variables = package(tmp_path, "pandas", "1.5.3", "pandas")
    (finding,) = judged(tmp_path, "versions", **variables)
    assert finding.good is None
    assert "pandas 1.5.3" in finding.what


def test_the_doctor_tells_of_python_without_asserts(tmp_path):
    (finding,) = judged(tmp_path, "client", PYTHONOPTIMIZE="2")
    assert finding.good is False
    assert "PYTHONOPTIMIZE" in finding.remedy


@pytest.mark.skipif(os.name == "nt", reason="a path of Windows has no semicolon by itself")
def test_the_doctor_tells_of_a_home_that_cuts_javas_class_path(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_LAB_HOME", str(tmp_path / "a:b"))
    good = {finding.good for finding in doctor.disk()}
    assert False in good


def test_a_scale_that_no_picture_can_use_is_bad_and_no_note(monkeypatch):
    monkeypatch.setenv("KAFKA_LAB_SCALE", "big")
    found = [finding for finding in doctor.variables() if finding.good is False]
    assert "KAFKA_LAB_SCALE" in found[0].what
    assert "big" in found[0].remedy


@pytest.mark.skipif(os.name == "nt", reason="Windows has other variables")
def test_a_temporary_folder_that_is_not_there_is_told(tmp_path):
    (finding, note) = judged(tmp_path, "temporary", TMPDIR=str(tmp_path / "none"))
    assert finding.good is True
    assert note.good is None
    assert str(tmp_path / "none") in note.what

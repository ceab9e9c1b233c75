"""What lessons 13 and 14 need besides is fetched when they are opened, and by nobody before."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from benchmarks import weight
from benchmarks.apart import NotHere
from lab_env.ground import extras
from lab_env.ground.project import file

ROOT = Path(__file__).parent.parent
NOWHERE = "http://127.0.0.1:9/simple"  # nobody listens at the port "discard"
NEEDED = """
from lab_env.ground import extras
extras.need("aws")
import lab_thing
print("imported", lab_thing.__version__)
extras.need("aws")
"""


def wheel(folder, version):
    """Make a package "lab-thing" that can be installed from a folder."""
    info = f"lab_thing-{version}.dist-info"
    with zipfile.ZipFile(folder / f"lab_thing-{version}-py3-none-any.whl", "w") as made:
        made.writestr("lab_thing.py", f"__version__ = '{version}'\n")
        made.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: lab-thing\nVersion: {version}\n"
        )
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")


class Student:
    """An environment without the packages of an extra: here the extra "aws" asks for lab-thing.

    Args:
        place: a folder for it.
        pip: whether pip is in it.
        uv: whether uv is found.
    """

    def __init__(self, place, *, pip=False, uv=False):
        self.place = place
        venv.create(place / "venv", with_pip=pip)
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.python = place / "venv" / scripts / ("python.exe" if os.name == "nt" else "python")
        info = place / "metadata" / "kafka_lab-9.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: kafka-lab\nVersion: 9\nProvides-Extra: aws\n"
            "Requires-Dist: lab-thing==1.0; extra == 'aws'\n"
        )
        self.wheels = place / "wheels"
        self.wheels.mkdir()
        for version in ("1.0", "2.0"):  # the newer one is not the one that is asked for
            wheel(self.wheels, version)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("UV", "PIP", "VIRTUAL"))}
        # what the lab itself imports; its pip is not this environment's
        packages = [path for path in sys.path if path.endswith("site-packages")]
        path = [str(place / "metadata"), str(ROOT), *packages]
        self.variables = kept | {
            "PYTHONPATH": os.pathsep.join(path),
            "PATH": str(Path(shutil.which("uv")).parent) if uv else str(place),
            "PYTHONUTF8": "1",
            "UV_CACHE_DIR": str(place / "cache"),
        }

    def opens(self, **variables):
        """Run what stands in a lesson's first cell; return what it says."""
        done = subprocess.run(
            [self.python, "-c", NEEDED],
            cwd=self.place,
            env=self.variables | variables,
            capture_output=True,
            encoding="utf-8",
            timeout=150,
        )
        lines = done.stdout.splitlines()
        return [*lines, done.stderr.splitlines()[-1]] if done.stderr else lines


@pytest.fixture(params=["uv", "pip"])
def student(request, tmp_path):
    if request.param == "uv" and shutil.which("uv") is None:
        pytest.skip("uv is not here")
    if request.param == "pip":
        pytest.importorskip("ensurepip")
    return Student(tmp_path, **{request.param: True})


def test_the_first_cell_fetches_what_is_missing_in_its_version_and_later_nothing_is_asked(student):
    found = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(student.wheels)}
    found |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(student.wheels)}
    fetching, fetched, imported = student.opens(**found)
    assert "Lesson 14 needs lab-thing" in fetching
    assert f"{extras.EXTRAS['aws'].megabytes} MB" in fetching
    assert "no network" in fetched
    assert imported == "imported 1.0"  # in the very process that has fetched it
    # and then without a network, and without anything that could fetch
    student.variables["PATH"] = str(student.place)
    offline = {"UV_DEFAULT_INDEX": NOWHERE, "PIP_INDEX_URL": NOWHERE}
    assert student.opens(**offline) == ["imported 1.0"]


def test_without_a_network_a_sentence_says_what_to_do(student):
    retries = {"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
    told = student.opens(UV_DEFAULT_INDEX=NOWHERE, PIP_INDEX_URL=NOWHERE, **retries)[-1]
    assert told.startswith("lab_env.ground.errors.PackageError: Lesson 14 needs lab-thing")
    assert "Check the network" in told
    assert "lab-thing==1.0" in told
    assert "constraints.txt" in told


def test_without_an_installer_a_sentence_says_so(tmp_path):
    (told,) = Student(tmp_path).opens()
    assert told.startswith("lab_env.ground.errors.PackageError: Lesson 14 needs lab-thing")
    assert "pip install uv" in told


def test_what_a_lesson_alone_needs_no_other_module_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) == set(extras.EXTRAS)
    owned = ["boto3", "botocore", "flask", "flask_cors", "kubernetes_validate", "moto", "werkzeug"]
    owned.append("pika")
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sorted((ROOT / "lab_env").rglob("*.py"))
    ]
    code = (
        "import importlib, json, sys\n"
        f"sys.modules.update(dict.fromkeys({owned}))\n"  # an import of them is an error
        f"for name in {modules}: importlib.import_module(name.removesuffix('.__init__'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_the_lesson_asks_for_its_packages_in_its_first_cell(name):
    (lesson,) = (ROOT / "notebooks").glob(f"{extras.EXTRAS[name].lesson}_*.ipynb")
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    if name == "rabbitmq":  # only where there is a RabbitMQ, so not before there is one
        first = (ROOT / "lab_env" / "around" / "rabbitmq.py").read_text(encoding="utf-8")
    assert f'extras.need("{name}")' in first
    assert not extras.missing(name), "uv sync --group dev"


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_the_size_that_is_told_is_the_size_that_is_fetched(name):
    try:
        sizes, more = weight.download(), weight.needed(name) - weight.needed()
    except NotHere as why:
        pytest.skip(str(why))
    megabytes = sum(map(sizes, more)) / weight.MB
    assert extras.EXTRAS[name].megabytes == pytest.approx(megabytes, abs=2)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = rf"lesson {extras.EXTRAS[name].lesson} \([^)]*: {extras.EXTRAS[name].megabytes} MB"
    assert re.search(told, readme.replace("\n", " "))


def test_the_students_command_brings_no_tests_and_no_lessons_extras():
    here = weight.needed()
    assert {"jupyterlab", "kafka-python"} <= here
    assert not here & {"pytest", "playwright", "ruff", "moto", "boto3", "kubernetes-validate"}
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    assert uv["default-groups"] == []


def test_the_versions_of_what_comes_along_are_settled_too():
    lines = file("constraints.txt").read_text(encoding="utf-8")
    for name in extras.EXTRAS:
        for one in weight.needed(name):
            assert re.search(rf"^{one}==", lines, re.MULTILINE), one

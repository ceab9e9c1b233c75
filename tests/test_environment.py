"""The set-up files agree: what conda and Binder get is what pyproject.toml says."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
OF_ANOTHER = {
    "jupyter_client": "jupyter-client",  # comes with that one
    "botocore": "boto3",
    "numpy": "pandas",
    "packaging": "jupyterlab",
    "requests": "pooch",
    "traitlets": "ipykernel",
    "werkzeug": "flask",
    "zmq": "ipykernel",
}


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.search(r"\d+(?:\.\d+)*", text)[0].split(".")))


def asked() -> list[str]:
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *itertools.chain.from_iterable(extras)]


def required() -> set[str]:
    return {re.match(r"[\w.-]+", line)[0].lower() for line in asked()}


def test_conda_takes_everything_from_pyproject():
    assert CONDA["name"] == PROJECT["name"]
    assert CONDA["channels"] == ["conda-forge"]
    names = [line for line in CONDA["dependencies"] if isinstance(line, str)]
    assert sorted(re.split("[=<>]", name)[0] for name in names) == ["pip", "python"]
    (pip,) = (line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict))
    assert pip == ["-c constraints.txt", "-e ."]


def test_two_students_get_the_same_and_no_address_stands_in_the_list():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; [\w' .*<>=!()]+)?", line) for line in lines)
    pins: dict[str, set[str]] = {}
    for line in lines:
        name, found = line.partition(" ; ")[0].split("==")
        pins.setdefault(name, set()).add(found)
    for there in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", there.metadata["Name"]).lower()
        if name not in ("kafka-lab", "pip", "setuptools", "wheel", "uv"):
            assert there.version in pins[name], "python .ci/make_constraints.py"
    # uv is told of them in pyproject.toml, but for what is settled there anyway
    check = [sys.executable, ROOT / ".ci" / "make_constraints.py", "--check"]
    assert subprocess.run(check, capture_output=True, text=True).stderr == ""


def test_the_list_holds_what_each_group_asks_for_whichever_is_installed_here():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    listed = {line.split("==")[0] for line in text.splitlines()}
    for name, lines in groups["dependency-groups"].items():
        wanted = {re.match(r"[\w.-]+", line)[0].lower() for line in lines} - {"kafka-lab"}
        assert wanted <= listed, f"{name}: python .ci/make_constraints.py"


def test_condas_python_is_one_that_pyproject_allows():
    (python,) = (line for line in CONDA["dependencies"] if str(line).startswith("python="))
    assert PROJECT["requires-python"].startswith(">=")
    assert version(python) >= version(PROJECT["requires-python"])


def test_every_version_is_settled():
    for line in asked():
        assert re.search(r"==\d|>=\d.*<\d", line), f"{line!r} lets in versions nobody has tried"


def test_what_the_package_imports_it_also_asks_for():
    owners = metadata.packages_distributions()
    for file in sorted((ROOT / "lab_env").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            for name in {module.split(".")[0] for module in modules}:
                if name in sys.stdlib_module_names or name == "lab_env":
                    continue
                owner = {OF_ANOTHER.get(name, name)} | set(owners.get(name, ()))
                told = f"{file.relative_to(ROOT)} imports {name}, which pyproject.toml lacks"
                assert {one.lower() for one in owner} & required(), told

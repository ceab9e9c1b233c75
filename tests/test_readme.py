"""The README is true: its commands, its variables, its links, and what CI runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import lab_env
from lab_env.course.cli import lab
from lab_env.spring import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_two_commands_stand_there_and_ci_runs_the_second():
    blocks = re.findall(r"^    (pip .*)$", README, re.MULTILINE)
    assert blocks == ["pip install uv && uv run lab", "pip install uv && uv run --group dev pytest"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    shown = ci[ci.index("command=") : ci.index('bash -c "${command%%')]
    # by its path: without it Windows takes the bash of its own folder, which starts a Linux
    bash = shutil.which("bash") or pytest.skip("there is no bash")
    found = subprocess.run([bash, "-c", shown], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.strip() == f"README: {blocks[1]}"
    # as it stands, on a bare machine; then what that left out, and what a landing needs besides
    assert 'twice bash .ci/bare bash -c "$command --passed=$passed/tests' in ci
    assert 'pytest --landing --passed="$passed/tests"\n' in ci


def test_what_lesson_11_fetches_is_told_with_its_size():
    size = sum(jar.size for jar in app.STORE.read_lock()) / 1e6
    assert f"lesson 11 (Spring: {size:.0f} MB, " in README
    assert "`uv run --all-extras python .binder/fetch.py`" in README
    assert (ROOT / ".binder" / "fetch.py").is_file()


def test_every_command_of_lab_is_listed():
    listed = set(re.findall(r"^\| `lab ?([a-z]*)", README, re.MULTILINE))
    assert listed == {"", *lab.commands}


def test_every_variable_is_listed():
    code = "".join(
        p.read_text(encoding="utf-8") for p in Path(lab_env.__file__).parent.rglob("*.py")
    )
    used = set(re.findall(r'"(KAFKA_LAB\w*)"', code))
    page = (ROOT / "docs" / "variables.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(KAFKA_LAB\w*)`", page, re.MULTILINE))
    assert used == listed


def test_the_example_is_python_that_the_front_page_carries():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(example, "README", "exec")
    for call in re.findall(r"lab\.(\w+)\(", example):
        assert hasattr(lab_env.Lab, call) or call == "show"


def test_links_lead_somewhere():
    for file in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_a_visitor_reads_it_to_its_end_and_finds_every_page():
    assert len(README.splitlines()) <= 120
    for page in PAGES[2:]:
        assert f"](docs/{page.name})" in README, page.name


def test_what_colab_would_have_to_replace_is_what_is_asked_for():
    page = (ROOT / "docs" / "where_it_runs.md").read_text(encoding="utf-8")
    asked = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = re.findall(r"^\| ([a-z]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for name, theirs, ours in rows:
        assert any(re.match(f"{name}=={re.escape(ours)}( ;|$)", line) for line in asked), name
        assert theirs != ours, f"{name} is no hindrance any more"


def test_the_top_level_stays_short():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    top = {name.split("/")[0] for name in tracked if name}
    assert top <= {
        "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "CITATION.cff", "CONTRIBUTING.md",
        "pyproject.toml", ".editorconfig", "constraints.txt",
        "environment.yml", "docker-compose.yml", ".ci", ".gitignore", ".pre-commit-config.yaml",
        ".github", "notebooks", "lab_env", "services", "deploy", "tests", "benchmarks", "docs",
        ".binder", ".devcontainer",
    }  # fmt: skip


def test_no_path_of_a_machine_and_no_debris_is_committed():
    found = subprocess.run(
        ["git", "grep", "-nIE", r"(^|[^A-Za-z0-9_.])/(work|root|farm|home)/", "--", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = [line for line in found.stdout.splitlines() if not line.startswith("tests/test_readme")]
    assert lines == []
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    assert not re.search(r"uv\.lock|\.ipynb_checkpoints|__pycache__|\.pyc$", tracked, re.MULTILINE)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)

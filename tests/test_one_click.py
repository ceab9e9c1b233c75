"""What an image of Binder or of Codespaces runs once: Kafka is in it before a student comes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab_env.clusters import training
from lab_env.ground import project
from lab_env.processes import folders, jars
from lab_env.spring import training as spring

ROOT = Path(__file__).parent.parent


def run(words, home: Path) -> subprocess.CompletedProcess:
    env = os.environ | {folders.HOME_VARIABLE: str(home)}
    return subprocess.run(
        words, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=390
    )


def test_each_image_fetches_kafka_and_then_looks_whether_a_lab_could_start():
    words = (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8")
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    for command in (words, container["postCreateCommand"]):
        assert re.search(r"python \.binder/fetch\.py\b.*\blab doctor", command, re.DOTALL)
    (copied,) = re.findall(r"^cp (\S+\.json) ", words, re.MULTILINE)
    assert project.file(copied).is_file()


@pytest.mark.landing
@pytest.mark.timeout(400)
def test_after_it_a_home_has_all_jars_and_the_caches(own_home, tmp_path, monkeypatch):
    there, home = folders.home() / "kafka", tmp_path / "home"
    # all but Kafka's smallest jar and the caches: the rest would only be fetched once more
    smallest = min(jars.jar_folder().iterdir(), key=lambda file: file.stat().st_size).name
    shutil.copytree(there, home / "kafka", ignore=shutil.ignore_patterns("*.aot", smallest))
    monkeypatch.setenv(folders.HOME_VARIABLE, str(home))
    assert not (jars.jar_folder() / smallest).exists()
    assert not training.aot_cache().exists()
    done = run([sys.executable, ".binder/fetch.py"], home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (jars.jar_folder() / smallest).exists()
    assert training.aot_cache().exists()
    assert spring.train(stopped=lambda: True)  # it is there: nothing is left to do

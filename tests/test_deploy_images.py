"""The images of services/: made from what is in the repository, and from nothing else."""

import fnmatch
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from airport_image import take_the_jar

ROOT = Path(__file__).parent.parent
IMAGES = [ROOT / "services" / name for name in ("airport", "board", "capstone")]
AIRPORT = IMAGES[0]


def committed(folder: Path) -> list[str]:
    """Return the files of a folder that git knows, or would take."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip("not a checkout of git")
    return done.stdout.split()


def sent(folder: Path) -> list[str]:
    """Return which of them the engine gets: the last line of .dockerignore that fits decides."""
    lines = (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
    found = []
    for name in committed(folder):
        hidden = False
        for line in lines:
            if line and not line.startswith("#"):
                pattern = line.removeprefix("!")
                if fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}/"):
                    hidden = not line.startswith("!")
        if not hidden:
            found.append(name)
    return found


def copied(folder: Path) -> list[str]:
    """Return what the Dockerfile copies from the folder."""
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in re.findall(r"^COPY (.+)", text, re.M)]
    return [word for words in lines if not words[0].startswith("--from") for word in words[:-1]]


@pytest.mark.parametrize("folder", IMAGES, ids=lambda folder: folder.name)
def test_an_image_is_made_of_what_is_committed(folder):
    """Else it can be built only where somebody has run Maven before."""
    there = sent(folder)
    for what in copied(folder):
        fitting = [name for name in there if name == what or name.startswith(f"{what}/")]
        assert fitting, f"{what} is not there in a fresh checkout"


def test_one_jar_is_copied_whichever_version_it_has():
    recipe = (AIRPORT / "Dockerfile").read_text(encoding="utf-8")
    assert "*" not in "".join(re.findall(r"^COPY (.+)", recipe, re.M))
    (name,) = re.findall(r"COPY --from=jar \S*/target/(\S+) ", recipe)
    pom = (AIRPORT / "pom.xml").read_text(encoding="utf-8")
    assert f"<finalName>{name.removesuffix('.jar')}</finalName>" in pom


@pytest.mark.timeout(300)
def test_mavens_step_of_the_dockerfile_makes_the_jar_from_what_is_sent(mvn, tmp_path):
    sources = tmp_path / "sources"
    for name in sent(AIRPORT):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(AIRPORT / name, sources / name)
    assert not (sources / "src" / "test").exists()
    recipe = (AIRPORT / "Dockerfile").read_text(encoding="utf-8")
    (words,) = re.findall(r"^RUN mvn (.* package .*)$", recipe, re.M)
    done = subprocess.run(
        ["mvn", *shlex.split(words)], cwd=sources, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (sources / "target" / "airport.jar").stat().st_size > 30e6


def test_the_stage_that_other_tests_put_in_the_place_of_maven_is_the_only_change(tmp_path):
    shutil.copytree(AIRPORT, tmp_path / "airport", ignore=lambda *_: ["target", "src"])
    before = (AIRPORT / "Dockerfile").read_text(encoding="utf-8")
    take_the_jar(tmp_path / "airport")
    after = (tmp_path / "airport" / "Dockerfile").read_text(encoding="utf-8")
    assert "maven" in before
    assert "FROM maven" not in after
    assert before[before.index("# The jar in layers") :] == after[after.index("# The jar in lay") :]

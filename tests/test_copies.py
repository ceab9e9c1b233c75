"""An installed package brings its lessons along; an update never overwrites a student's work."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lab_env.course import copies, lessons, updates
from lab_env.ground import project
from lab_env.ground.errors import StorageError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def ours(monkeypatch, tmp_path):
    """Two lessons and a drawing, as a package brings them."""
    source = tmp_path / "package" / "notebooks"
    (source / "drawings").mkdir(parents=True)
    (source / ".ipynb_checkpoints").mkdir()
    for name in ("00_a.ipynb", "01_b.ipynb", "drawings/log.svg", ".ipynb_checkpoints/x"):
        (source / name).write_text(f"{name}, version 1", encoding="utf-8")
    monkeypatch.setattr(project, "file", lambda name: source.parent / name)
    return source


def names(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_lessons_are_brought_once_with_all_that_belongs_to_them(ours, tmp_path):
    hers = tmp_path / "hers"
    assert copies.bring(hers).new == ["00_a.ipynb", "01_b.ipynb", "drawings/log.svg"]
    assert names(hers) == {"00_a.ipynb", "01_b.ipynb", "drawings/log.svg", copies.BROUGHT}
    again = copies.bring(hers)
    assert again == copies.Brought()
    assert "up to date" in copies.told(again, hers)[-1]


def test_what_she_has_not_touched_is_brought_up_to_date(ours, tmp_path):
    hers = tmp_path / "hers"
    copies.bring(hers)
    (ours / "01_b.ipynb").write_text("version 2", encoding="utf-8")
    (ours / "02_c.ipynb").write_text("version 1", encoding="utf-8")
    done = copies.bring(hers)
    assert (done.new, done.updated, done.kept) == (["02_c.ipynb"], ["01_b.ipynb"], [])
    assert (hers / "01_b.ipynb").read_text(encoding="utf-8") == "version 2"


def test_what_she_has_changed_stays_and_ours_stands_beside_it(ours, tmp_path):
    hers = tmp_path / "hers"
    copies.bring(hers)
    (hers / "01_b.ipynb").write_text("my answer", encoding="utf-8")
    assert copies.bring(hers) == copies.Brought()  # ours has not changed: nothing to tell
    (ours / "01_b.ipynb").write_text("version 2", encoding="utf-8")
    done = copies.bring(hers)
    assert done.kept == ["01_b.ipynb"]
    assert (hers / "01_b.ipynb").read_text(encoding="utf-8") == "my answer"
    assert (hers / "01_b.new.ipynb").read_text(encoding="utf-8") == "version 2"
    assert "01_b.new.ipynb" in " ".join(copies.told(done, hers))
    assert copies.bring(hers) == copies.Brought()


def test_a_lesson_that_she_has_only_run_is_brought_up_to_date(ours, tmp_path):
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell | {"source": "1 + 1"}], "metadata": {}}
    hers = tmp_path / "hers"
    (ours / "01_b.ipynb").write_bytes(updates.as_bytes(notebook))
    copies.bring(hers)
    ran = {"cells": [cell | {"source": "1 + 1", "execution_count": 7}], "metadata": {}}
    (hers / "01_b.ipynb").write_bytes(updates.as_bytes(ran))
    assert copies.bring(hers) == copies.Brought()  # and keeps what the run has shown
    assert (hers / "01_b.ipynb").read_bytes() == updates.as_bytes(ran)
    (ours / "01_b.ipynb").write_bytes(updates.as_bytes(notebook | {"new": True}))
    assert copies.bring(hers).updated == ["01_b.ipynb"]


def test_a_lesson_that_she_has_deleted_stays_away_until_it_is_another(ours, tmp_path):
    hers = tmp_path / "hers"
    copies.bring(hers)
    (hers / "00_a.ipynb").unlink()
    assert copies.bring(hers) == copies.Brought()
    assert not (hers / "00_a.ipynb").exists()


@pytest.mark.parametrize("spoilt", ["", "[]", "{", '{"00_a.ipynb": 7}'])
def test_without_its_list_nothing_of_hers_is_overwritten(ours, tmp_path, spoilt):
    hers = tmp_path / "hers"
    copies.bring(hers)
    (hers / "00_a.ipynb").write_text("my answer", encoding="utf-8")
    (hers / copies.BROUGHT).write_text(spoilt, encoding="utf-8")
    copies.bring(hers)
    assert (hers / "00_a.ipynb").read_text(encoding="utf-8") == "my answer"


def test_a_folder_that_cannot_be_made_is_told(ours, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="lab get"):
        copies.bring(tmp_path / "file" / "hers")


def test_a_checkouts_lessons_are_not_copied_onto_themselves():
    assert copies.bring(lessons.folder()) == copies.Brought()
    assert not (lessons.folder() / copies.BROUGHT).exists()


@pytest.mark.landing
@pytest.mark.timeout(600)
def test_the_wheel_opens_the_course_in_an_empty_folder(own_home, tmp_path):
    build = ["uv", "build", "-q", "--wheel", "--out-dir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        inside = packed.namelist()
    notebooks = {Path(name).name for name in inside if name.endswith(".ipynb")}
    assert notebooks == {path.name for path in lessons.paths()} | {"index.ipynb"}
    place, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    install = ["uv", "pip", "install", "-q", "--no-deps", "--target", str(place), str(wheel)]
    subprocess.run([*install, "--python", sys.executable], check=True)
    # the packages of this environment, and not this checkout
    env = os.environ | {"PYTHONPATH": str(place)}
    code = "from lab_env.course import cli, copies; print(cli._lessons_here()); print(cli.__file__)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=empty, env=env, capture_output=True, text=True, check=True
    ).stdout
    assert str(place) in told
    assert "What you write in them is yours" in told
    assert (empty / "notebooks" / "00_start_here.ipynb").exists()
    assert (empty / "notebooks" / "drawings").is_dir()

"""A student's own copies of the lessons that an installed package brings; hers are never lost."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lab_env.course import updates
from lab_env.ground import project
from lab_env.ground.errors import StorageError
from lab_env.messages import say

NAME = "notebooks"  # of the folder that is made where there is none
BROUGHT = ".kafka-lab.json"  # in it: file -> SHA-256 of what was brought
LEFT_OUT = {".ipynb_checkpoints", "__pycache__", BROUGHT}


@dataclass
class Brought:
    """What bringing the lessons has done, as names of files.

    Attributes:
        new: were not there.
        updated: were there as they had been brought, and have changed since.
        kept: a student has changed them, and so have we: ours stands beside, with another name.
    """

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def bring(folder: Path) -> Brought:
    """Copy the lessons into a folder, or bring them up to date there.

    A file that a student has changed stays as it is. If ours has changed as well, ours is written
    beside it, as ``05_consumer_groups.new.ipynb``.

    Args:
        folder: made if it is not there.

    Raises:
        StorageError: the package has no lessons, or the folder cannot be written.
    """
    source = project.file("notebooks")
    done = Brought()
    if source.resolve() == folder.resolve():
        return done  # a checkout: these are the lessons
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = updates.known(folder / BROUGHT)
        for ours in _files(source):
            name = ours.relative_to(source).as_posix()
            _bring(ours, folder / name, name, known, done)
        (folder / BROUGHT).write_text(json.dumps(known, indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageError("copies.not_written", folder=folder, why=error) from None
    return done


def told(done: Brought, folder: Path) -> list[str]:
    """Return what was done, in sentences.

    Args:
        done: what `bring` returned.
        folder: where.
    """
    lines = [say("copies.here", folder=folder)]
    if done.updated:
        lines.append(say("copies.updated", names=", ".join(done.updated)))
    if done.kept:
        new = ", ".join(updates.beside(Path(name)).name for name in done.kept)
        lines.append(say("copies.kept", names=", ".join(done.kept), new=new))
    if not (done.new or done.updated or done.kept):
        lines.append(say("copies.nothing"))
    return lines


def _bring(ours: Path, hers: Path, name: str, known: dict[str, str], done: Brought) -> None:
    data, before = ours.read_bytes(), known.get(name)
    what = updates.fate(hers.read_bytes() if hers.exists() else None, before, data)
    known[name] = updates.sum_of(data)
    if what == updates.BESIDE:
        done.kept.append(name)
        hers = updates.beside(hers)
    elif what == updates.BRING:
        (done.new if before is None else done.updated).append(name)
    else:
        return
    hers.parent.mkdir(parents=True, exist_ok=True)
    fresh = hers.with_name(hers.name + ".part")
    shutil.copyfile(ours, fresh)
    fresh.replace(hers)  # whole or not at all


def _files(source: Path) -> list[Path]:
    return [
        file
        for file in sorted(source.rglob("*"))
        if file.is_file() and not LEFT_OUT & set(file.relative_to(source).parts)
    ]

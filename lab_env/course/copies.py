"""A student's own copies of the lessons that an installed package brings; hers are never lost."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

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
        known = _known(folder)
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
        new = ", ".join(_beside(Path(name)).name for name in done.kept)
        lines.append(say("copies.kept", names=", ".join(done.kept), new=new))
    if not (done.new or done.updated or done.kept):
        lines.append(say("copies.nothing"))
    return lines


def _bring(ours: Path, hers: Path, name: str, known: dict[str, str], done: Brought) -> None:
    now = _hash(ours)
    before, known[name] = known.get(name), now
    if not hers.exists():
        if before is None:
            done.new.append(name)
        elif before == now:
            return  # she has deleted it, or renamed it
        else:
            done.updated.append(name)
    elif (there := _hash(hers)) == now:
        return
    elif there == before:
        done.updated.append(name)
    elif before == now:
        return  # hers alone has changed
    else:
        done.kept.append(name)
        hers = _beside(hers)
    hers.parent.mkdir(parents=True, exist_ok=True)
    fresh = hers.with_name(hers.name + ".part")
    shutil.copyfile(ours, fresh)
    fresh.replace(hers)  # whole or not at all


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.stem}.new{file.suffix}")


def _files(source: Path) -> list[Path]:
    return [
        file
        for file in sorted(source.rglob("*"))
        if file.is_file() and not LEFT_OUT & set(file.relative_to(source).parts)
    ]


def _known(folder: Path) -> dict[str, str]:
    """Return what was brought before; what cannot be read is as if nothing were."""
    try:
        found = json.loads((folder / BROUGHT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

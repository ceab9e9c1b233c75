"""What a single lesson needs besides: packages that are fetched when it is opened, once.

``extras.need("aws")`` stands in the lesson's first cell; which packages and which versions stands
in ``pyproject.toml``, under the extra of that name.
"""

import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from lab_env.ground.errors import PackageError
from lab_env.ground.packages import version
from lab_env.ground.project import file
from lab_env.messages import say

if TYPE_CHECKING:
    from packaging.requirements import Requirement

WHY_SIGNS = 400  # of an installer's own words, in an error


@dataclass(frozen=True)
class Extra:
    """What a lesson needs besides.

    Attributes:
        lesson: its number.
        megabytes: to download, with what the packages bring along.
    """

    lesson: str
    megabytes: int


# the sizes by `python -m benchmarks.weight`, which a test compares
EXTRAS = {
    "kubernetes": Extra("13", 23),
    "aws": Extra("14", 25),
    "rabbitmq": Extra("15", 1),
}


def need(name: str) -> None:
    """Have the packages of an extra: say what is missing and how large it is, and fetch it.

    Without a network it works where they were fetched before. Ends when the installer does, which
    gives up by itself on a network that is silent.

    Args:
        name: "kubernetes", "aws" or "rabbitmq".

    Raises:
        PackageError: they could not be fetched, or nothing here can fetch them.
    """
    if not (lacking := missing(name)):
        return
    told = {"lesson": EXTRAS[name].lesson, "packages": ", ".join(one.name for one in lacking)}
    command = _installer()
    if command is None:
        raise PackageError("packages.no_installer", megabytes=EXTRAS[name].megabytes, **told)
    command += ["--constraint", str(file("constraints.txt")), *map(_plain, lacking)]
    print(say("packages.fetching", megabytes=EXTRAS[name].megabytes, **told), flush=True)
    why = _run(command)
    importlib.invalidate_caches()
    if why or missing(name):
        shown = subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)
        raise PackageError("packages.not_fetched", why=why or "-", command=shown, **told)
    print(say("packages.fetched", **told), flush=True)


def missing(name: str) -> "list[Requirement]":
    """Return what an extra asks for and Python does not find, by the lab's own metadata."""
    from packaging.requirements import Requirement

    asked = (Requirement(line) for line in _lines(name))
    wanted = (one for one in asked if one.marker is None or one.marker.evaluate({"extra": name}))
    return [one for one in wanted if version(one.name) is None]


def _lines(name: str) -> list[str]:
    try:
        lines = metadata.requires("kafka-lab") or []
    except metadata.PackageNotFoundError:  # used from its sources, without being installed
        project = tomllib.loads(file("pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project["optional-dependencies"][name]
    return [line for line in lines if "extra ==" in line]


def _plain(wanted: "Requirement") -> str:
    some = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return f"{wanted.name}{some}{wanted.specifier}"


def _installer() -> list[str] | None:
    """Return the command that installs into this Python's environment; None if there is none."""
    # `uv run` names itself in this variable, also where it is not on the PATH
    if uv := shutil.which(os.environ.get("UV", "uv")) or shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    return None


def _run(command: list[str]) -> str:
    """Run an installer; return in a line what it says against it, or nothing."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        return str(error)
    if not done.returncode:
        return ""
    said = " ".join(done.stdout.split())
    first = said.lower().rfind("error:")  # before it stands what went well
    return said[max(first, 0) :][:WHY_SIGNS] or str(done.returncode)

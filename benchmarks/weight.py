"""Weight: what a student downloads before lesson 00, and has on disk then, by package.

``python -m benchmarks.weight`` prints a row a package, and what each extra adds. Sizes of downloads
are those that uv.lock names for this system; on disk is what the files take up that are here now.
Not counted: uv itself (18 MB), and the index's lists of versions, which uv reads at the first start
(some MB where they come compressed, about 45 MB where they do not).
"""

import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from benchmarks.apart import ROOT, NotHere
from benchmarks.rows import Row

PROJECT = "kafka-lab"
LOCK = ROOT / "uv.lock"
MB = 1e6
BLOCK = 512  # bytes: what `st_blocks` counts


def measure(quick: bool) -> list[Row]:
    """Weigh what the README's first command brings, Kafka and its AOT cache included."""
    loads, (jars, kafka) = download(), kafka_sizes()
    names = needed()
    rows = [
        row("downloaded before lesson 00, Kafka included", sum(map(loads, names)) + jars, 240),
        row("packages on disk", sum(map(on_disk, names)), 600),
        row("Kafka on disk, with the AOT cache of its Java", kafka),
    ]
    for extra in sorted(extras()):
        more = needed(extra) - names
        rows.append(row(f"the extra `{extra}`, downloaded when needed", sum(map(loads, more))))
        rows.append(row("the same on disk", sum(map(on_disk, more))))
    return rows


def row(what: str, size: int, most: float | None = None) -> Row:
    """Return the row of a size in bytes."""
    return Row(what, [size / MB], "MB", most=most)


def needed(extra: str = "") -> set[str]:
    """Return the names of all packages that the lab needs, directly or through others.

    Args:
        extra: of the project, whose packages count too.

    Raises NotHere: one of them is not installed.
    """
    found: set[str] = set()
    open_ends = [(PROJECT, frozenset({extra} - {""}))]
    seen = set()
    while open_ends:
        if (end := open_ends.pop()) in seen:
            continue
        seen.add(end)
        name, wanted = end
        found.add(name)
        for one in requirements(name):
            if one.marker is None or any(
                one.marker.evaluate({"extra": word}) for word in (wanted or {""})
            ):
                open_ends.append((canonicalize_name(one.name), frozenset(one.extras)))
    return found - {PROJECT}


def extras() -> list[str]:
    """Return the names of the project's extras."""
    return metadata.metadata(PROJECT).get_all("Provides-Extra") or []


def requirements(name: str) -> list[Requirement]:
    """Return what a package asks for."""
    try:
        return [Requirement(line) for line in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        raise NotHere(f"{name} is not installed: uv sync --group dev") from None


def download() -> Callable[[str], int]:
    """Return a function: the bytes of a package's file for this system, by its name.

    Raises NotHere: uv has not resolved the project here.
    """
    if not LOCK.exists():
        raise NotHere("The sizes of downloads stand in uv.lock, which uv makes: uv lock")
    order = {tag: place for place, tag in enumerate(sys_tags())}
    sizes = {}
    for package in tomllib.loads(LOCK.read_text(encoding="utf-8"))["package"]:
        fitting = {}
        for wheel in package.get("wheels", ()):
            tags = parse_wheel_filename(wheel["url"].rsplit("/", 1)[1])[3]
            if places := [order[tag] for tag in tags if tag in order]:
                fitting[min(places)] = wheel["size"]
        source = package.get("sdist", {}).get("size", 0)
        best = fitting[min(fitting)] if fitting else source
        sizes[package["name"], package.get("version")] = best
    return lambda name: sizes[name, metadata.version(name)]


def on_disk(name: str) -> int:
    """Return the bytes that a package's files take up, without the bytecode that Python adds."""
    files = (Path(one.locate()) for one in metadata.files(name) or ())
    return sum(map(taken, files))


def taken(file: Path) -> int:
    """Return the bytes that a file takes up, 0 for none."""
    if not file.is_file() or file.suffix == ".pyc":
        return 0
    told = file.stat()
    return getattr(told, "st_blocks", 0) * BLOCK or told.st_size


def kafka_sizes() -> tuple[int, int]:
    """Return the bytes of Kafka: to download, and on disk with the AOT cache of its Java."""
    from lab_env.clusters import embedded, training
    from lab_env.processes.jars import KAFKA

    embedded.prepare(progress=False)
    jars = [KAFKA.jar_folder() / jar.name for jar in KAFKA.read_lock()]
    return sum(jar.size for jar in KAFKA.read_lock()), sum(
        map(taken, [*jars, training.aot_cache()])
    )


def main() -> None:
    """Print the table by package."""
    loads, base = download(), needed()
    parts = {"": base} | {extra: needed(extra) - base for extra in sorted(extras())}
    print(
        "| Package | Version | For | To download, MB | On disk, MB |\n| -- | -- | -- | --: | --: |"
    )
    for extra, names in parts.items():
        for name in sorted(names, key=on_disk, reverse=True):
            sizes = f"{loads(name) / MB:.1f} | {on_disk(name) / MB:.1f}"
            print(f"| {name} | {metadata.version(name)} | {extra or 'all'} | {sizes} |")
    for extra, names in parts.items():
        sums = [sum(map(size, names)) / MB for size in (loads, on_disk)]
        print(f"{extra or 'all'}: {sums[0]:.0f} MB to download, {sums[1]:.0f} MB on disk")
    sums = [size / MB for size in kafka_sizes()]
    print(f"Kafka: {sums[0]:.0f} MB to download, {sums[1]:.0f} MB on disk with its AOT cache")


if __name__ == "__main__":
    main()

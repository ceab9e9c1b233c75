"""Compose files for exercise 2 of lesson 12: the mended one, and what becomes of it by a change."""

RIGHT = """
services:
  kafka:
    image: apache/kafka:4.3.1
    ports: ["127.0.0.1:${KAFKA_PORT:-9092}:9092"]
    environment:
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@kafka:9093
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_LISTENERS: HOST://:9092,DOCKER://:19092,CONTROLLER://:9093
      KAFKA_ADVERTISED_LISTENERS: HOST://127.0.0.1:${KAFKA_PORT:-9092},DOCKER://kafka:19092
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: HOST:PLAINTEXT,DOCKER:PLAINTEXT,CONTROLLER:PLAINTEXT
      KAFKA_INTER_BROKER_LISTENER_NAME: DOCKER
      KAFKA_LOG_DIRS: /var/lib/kafka/data
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 1
      KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE: 2097152
      KAFKA_HEAP_OPTS: -Xms128m -Xmx256m
    volumes: [kafka-data:/var/lib/kafka/data]
    mem_limit: 768m
volumes:
  kafka-data:
"""
PORTS = '["127.0.0.1:${KAFKA_PORT:-9092}:9092"]'
MOUNT = "[kafka-data:/var/lib/kafka/data]"
DECLARED = "volumes:\n  kafka-data:\n"
WRONG_FILES = {
    "latest": ({"4.3.1": "latest"}, "latest is a tag like any other"),
    "no tag": ({":4.3.1": ""}, "latest is a tag like any other"),
    "a short tag": ({"4.3.1": "4"}, "a label that can be moved"),
    "another publisher's image": ({"apache/kafka": "bitnami/kafka"}, "variables of its own"),
    "open to the network": ({PORTS: '["${KAFKA_PORT:-9092}:9092"]'}, "past the firewall"),
    "0.0.0.0 in front": ({'["127.0.0.1': '["0.0.0.0'}, "past the firewall"),
    "the other one is open": ({PORTS: f"{PORTS[:-1]}, '19092:19092']"}, "past the firewall"),
    "nothing published": ({f"    ports: {PORTS}\n": ""}, "a network of its own"),
    "advertises 0.0.0.0": ({"HOST://127.0.0.1": "HOST://0.0.0.0"}, "no client can go there"),
    "advertises the container": ({"HOST://127.0.0.1": "HOST://kafka"}, "does not know"),
    "another port": ({"HOST://127.0.0.1:${KAFKA_PORT:-9092}": "HOST://127.0.0.1:29092"},
        "the same variable in both places"),
    "localhost for containers": ({"DOCKER://kafka": "DOCKER://localhost"},
        "Inside a container localhost is that container"),
    "the listener of the host": ({"DOCKER://kafka:19092": "DOCKER://kafka:9092"},
        "At which port this listener listens"),
    "one listener": ({",DOCKER://kafka:19092": ""}, "from both sides of the wall"),
    "no volume": ({f"    volumes: {MOUNT}\n": ""}, "`down` removes the container"),
    "a volume elsewhere": ({"kafka-data:/var/lib/kafka/data": "kafka-data:/kafka"},
        "nothing else"),
    "the image's own place": ({"      KAFKA_LOG_DIRS: /var/lib/kafka/data\n": ""},
        "KAFKA_LOG_DIRS says where"),
    "no name": ({MOUNT: "[/var/lib/kafka/data]"}, "belongs to one container"),
    "a folder": ({MOUNT: "[./data:/var/lib/kafka/data]"}, "as another user"),
    "not declared": ({DECLARED: ""}, "beside its services"),
    "the wrong variable": ({"KAFKA_HEAP_OPTS": "KAFKA_OPTS"}, "two sizes meet"),
    "no heap": ({"      KAFKA_HEAP_OPTS: -Xms128m -Xmx256m\n": ""}, "a gigabyte by itself"),
    "no limit": ({"    mem_limit: 768m\n": ""}, "the memory of all others"),
    "a tight limit": ({"768m": "256m"}, "more than its heap"),
    "not YAML": ({"    ports": "   ports"}, "indentation"),
    "no service": ({"  kafka:\n    image": "  broker:\n    image"}, "only five pieces are wrong"),
    # what was taken for right
    "a fixed port beside a variable": (
        {"HOST://127.0.0.1:${KAFKA_PORT:-9092}": "HOST://127.0.0.1:9092"}, "until somebody sets"),
    "another variable": (
        {"HOST://127.0.0.1:${KAFKA_PORT:-9092}": "HOST://127.0.0.1:${PORT:-9092}"},
        "until somebody sets"),
    "a listener at the container's own localhost": (
        {"KAFKA_LISTENERS: HOST://:9092": "KAFKA_LISTENERS: HOST://127.0.0.1:9092"},
        "nothing from outside comes in"),
    "the network of the host": ({"    mem_limit": "    network_mode: host\n    mem_limit"},
        "nothing to publish"),
    "the records in memory": (
        {"    mem_limit": "    tmpfs: [/var/lib/kafka/data]\n    mem_limit"}, "folder in memory"),
    "a volume in memory": (
        {"  kafka-data:\n": "  kafka-data: {driver_opts: {type: tmpfs, device: tmpfs}}\n"},
        "folder in memory"),
    "a mount in memory": (
        {MOUNT: "[{type: tmpfs, target: /var/lib/kafka}, kafka-data:/kafka]"}, "one container"),
    "three copies of offsets": ({"      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 1\n": ""},
        "nowhere to keep its offsets"),
    "a published port at which nobody listens": ({":9092\"]": ":9095\"]"}, "a network of its own"),
    "renamed in two places of four": (
        {"KAFKA_LISTENERS: HOST": "KAFKA_LISTENERS: EXTERNAL",
         "KAFKA_ADVERTISED_LISTENERS: HOST": "KAFKA_ADVERTISED_LISTENERS: EXTERNAL"},
        "yours to choose"),
    "a share that leaves nothing": ({"-Xms128m -Xmx256m": "-XX:MaxRAMPercentage=90"},
        "more than its heap"),
    "a tab": ({"    image: apache": "\timage: apache"}, "Line 4 of the file"),
    "a key twice": (
        {"      KAFKA_HEAP_OPTS": "      KAFKA_HEAP_OPTS: -Xmx1g\n      KAFKA_HEAP_OPTS"},
        "the key KAFKA_HEAP_OPTS stands there a second time"),
}  # fmt: skip
RIGHT_FILES = {
    # what was refused
    "a limit as Swarm and Kubernetes name it": {
        "    mem_limit: 768m": "    deploy: {resources: {limits: {memory: 768M}}}",
    },
    "the registry's name in front": {"image: apache": "image: docker.io/apache"},
    "a digest": {"kafka:4.3.1": "kafka:4.3.1@sha256:" + 64 * "a"},
    "a share of the limit": {"-Xms128m -Xmx256m": "-XX:MaxRAMPercentage=50"},
    "other names of listeners": {"HOST": "EXTERNAL", "DOCKER": "INTERNAL"},
    "one port, without a variable": {
        PORTS: '["127.0.0.1:9092:9092"]',
        "127.0.0.1:${KAFKA_PORT:-9092},": "127.0.0.1:9092,",
    },
    "both published for this machine": {PORTS: PORTS[:-1] + ", '127.0.0.1:19092:19092']"},
    "listening at all addresses": {
        "HOST://:9092,DOCKER://:19092": "HOST://0.0.0.0:9092,DOCKER://0.0.0.0:19092",
    },
    "with localhost": {"HOST://127.0.0.1": "HOST://localhost"},
    "written at length": {
        PORTS: "[{target: 9092, published: '${KAFKA_PORT:-9092}', host_ip: 127.0.0.1}]",
        MOUNT: "[{type: volume, source: kafka-data, target: /var/lib/kafka/data}]",
        "768m": "1g",
    },
    "another place for the records": {"/var/lib/kafka/data": "/var/lib/kafka/data/"},
}


def changed(pieces: dict[str, str]) -> str:
    """Return the right file with some pieces changed."""
    text = RIGHT
    for old, new in pieces.items():
        assert old in text, old
        text = text.replace(old, new)
    return text

"""The tower: plays a short day without a lab, and says at midnight how much was answered.

It makes the topics, sends what is in day.jsonl at a steady RATE (records/s; 50), and waits until
every flight's event and every gate's reply is there. Exit code 0 says that they all are.
"""

import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path

from airport import COMMANDS, EVENTS, LETTERS, REPLIES, REPORTS, connection, sending
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError

PARTITIONS = {REPORTS: 1, EVENTS: 4, COMMANDS: 3, REPLIES: 1, LETTERS: 1}
NAMES = {"tower.reports": REPORTS, "gates.commands": COMMANDS}
DAY = Path(__file__).with_name("day.jsonl")
QUIET = 60.0  # s in which nothing more has come: then nothing comes any more


def main() -> int:
    """Play the day; return the exit code."""
    rate = float(os.environ.get("RATE", "50"))
    lines = [json.loads(line) for line in DAY.read_text(encoding="utf-8").splitlines()]
    make_topics()
    with sending() as sender:
        begin = time.monotonic()
        for number, line in enumerate(lines):
            time.sleep(max(begin + number / rate - time.monotonic(), 0))
            headers = line["headers"]
            if line["topic"] == "gates.commands":
                headers = headers | {"reply-to": REPLIES}
            sender.send(
                NAMES[line["topic"]],
                key=line["key"].encode(),
                value=json.dumps(line["value"]).encode(),
                headers=[(name, text.encode()) for name, text in headers.items()],
            )
        sender.flush(timeout=60)
    reports = {x["value"]["report"] for x in lines if x["topic"] == "tower.reports"}
    commands = {x["value"]["command"] for x in lines if x["topic"] == "gates.commands"}
    missing = wait_for(reports, EVENTS, "event-id") + wait_for(commands, REPLIES, "correlation-id")
    print(f"midnight: {len(reports)} reports, {len(commands)} commands, {missing} without answer")
    return 1 if missing else 0


def make_topics() -> None:
    """Make the topics that are not there; return when Kafka has answered."""
    deadline = time.monotonic() + QUIET
    while True:
        try:
            with closing(KafkaAdminClient(**connection())) as admin:
                for name, partitions in PARTITIONS.items():
                    wanted = {"num_partitions": partitions, "replication_factor": -1}
                    try:
                        admin.create_topics({name: wanted}, wait_for_metadata=True)
                    except TopicAlreadyExistsError:
                        continue
                return
        except KafkaError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def wait_for(wanted: set[str], topic: str, header: str) -> int:
    """Wait until a topic has a record for each of ``wanted``; return for how many it has none."""
    missing, last = set(wanted), time.monotonic()
    with closing(KafkaConsumer(**connection(), isolation_level="read_committed")) as reader:
        places = [TopicPartition(topic, one) for one in range(PARTITIONS[topic])]
        reader.assign(places)
        reader.seek_to_beginning(*places)
        while missing and time.monotonic() - last < QUIET:
            for records in reader.poll(timeout_ms=500).values():
                for record in records:
                    missing.discard(dict(record.headers).get(header, b"").decode())
                    last = time.monotonic()
    return len(missing)


if __name__ == "__main__":
    sys.exit(main())

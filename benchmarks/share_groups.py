"""Share groups: many members at one partition, a member that dies, and how far the picture is."""

import contextlib
import time

import psutil

from benchmarks.apart import fresh
from benchmarks.rows import Row

COMMANDS, WORK = 240, 0.02  # s a command
TWELVE = 12
LOCK = 2.0  # s
FAR = 10.0  # s after which a picture is called wrong


def measure(quick: bool) -> list[Row]:
    """Measure one member and twelve by turns, deaths, and the picture's delay."""
    rounds, steps = (1, 2) if quick else (5, 20)
    spans = fresh(drains, rounds, COMMANDS // 10 if quick else COMMANDS)
    deaths = fresh(died, rounds)
    delays = fresh(behind, steps)
    many = f"{COMMANDS} commands of {1000 * WORK:.0f} ms in one partition"
    return [
        Row(f"{many}, one member of a share group", spans["one"], "s"),
        Row(f"the same, {TWELVE} members", spans["twelve"], "s"),
        Row(
            "times as fast",
            [a / b for a, b in zip(spans["one"], spans["twelve"], strict=True)],
            least=3,
            worst=True,
        ),
        Row(
            f"a frozen member's record is another's (its lock lasts {LOCK:.0f} s)",
            deaths["frozen"],
            "s",
            most=LOCK + 2,
            worst=True,
        ),
        Row("a killed member's record is another's", deaths["killed"], "s", most=2, worst=True),
        Row("the picture shows what the broker tells, later", delays, "s", most=0.5, worst=True),
    ]


def drains(rounds: int, commands: int) -> dict[str, list[float]]:
    """Return the seconds from the first command acquired to the last accepted, by turns."""
    from lab_env import Lab

    spans: dict[str, list[float]] = {"one": [], "twelve": []}
    with Lab() as lab:
        group = begun(lab, "crew")
        for number in range(rounds):
            ways = [("one", 1), ("twelve", TWELVE)]
            for name, copies in ways if number % 2 else ways[::-1]:
                topic = lab.topic(f"fuel-{name}-{number}")
                lab.service(truck, lab, topic, group, WORK, copies=copies, name=f"{name}-{number}")
                lab.assignment(group, members=copies)
                send(lab, topic, commands)
                lab.until(lambda: len(told(lab, topic, "accepted")) == commands)  # noqa: B023
                rows = lab.reports[lab.reports["topic"] == topic]
                spans[name].append(float(rows["time"].max() - rows["time"].min()))
                lab.services.stop()
    return spans


def died(rounds: int) -> dict[str, list[float]]:
    """Return the seconds until the record of a member that froze, or was killed, was another's.

    Counted from then on; it has just acquired the record, and another member waits for one.
    """
    from lab_env import Lab

    found: dict[str, list[float]] = {"frozen": [], "killed": []}
    with Lab() as lab:
        group = begun(lab, "crew", share_record_lock_duration_ms=int(1000 * LOCK))
        for number in range(rounds):
            for way in found:
                topic = lab.topic(f"fuel-{way}-{number}")
                lab.service(truck, lab, topic, group, 600, copies=2, name=f"{way}-{number}")
                lab.assignment(group, members=2)
                send(lab, topic, 1)
                lab.until(lambda: len(told(lab, topic, "acquired")) == 1)  # noqa: B023
                holder = lab.services[told(lab, topic, "acquired")["service"].iloc[0]]
                process = psutil.Process(holder.pid)
                began = lab.journal.now()
                if way == "frozen":
                    process.suspend()
                else:
                    holder.crash()
                lab.until(lambda: len(told(lab, topic, "acquired")) == 2)  # noqa: B023
                found[way].append(float(told(lab, topic, "acquired")["time"].iloc[-1]) - began)
                if way == "frozen":
                    process.resume()
                lab.services.stop()
    return found


def behind(steps: int) -> list[float]:
    """Return by how much later than a client of Kafka's the picture tells a lag, in seconds."""
    from confluent_kafka import ShareConsumer
    from kafka import KafkaAdminClient

    from lab_env import Lab
    from lab_env.observation import share_groups

    delays = []
    with Lab() as lab, contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        group, topic = begun(lab, "seen"), lab.topic("fuel-seen")
        own = {"group.id": group, "share.acknowledgement.mode": "explicit"}
        with ShareConsumer(lab.librdkafka | own) as consumer:
            consumer.subscribe([topic])
            send(lab, topic, 1)
            take(consumer)
        picture = lab.show.share_group(topic, group)

        def lag() -> int:
            positions = share_groups.positions(admin, [group])[group]
            return positions[topic, 0].lag if positions else -1

        for number in range(1, steps + 1):
            send(lab, topic, 1)
            seen = {"broker": 0.0, "picture": 0.0}
            deadline = time.monotonic() + FAR
            while not all(seen.values()) and time.monotonic() < deadline:
                if not seen["picture"] and f" and {number} are not" in picture.sentence:
                    seen["picture"] = time.monotonic()
                if not seen["broker"] and lag() == number:
                    seen["broker"] = time.monotonic()
            late = seen["picture"] - seen["broker"] if all(seen.values()) else FAR
            delays.append(max(late, 0.0))
        picture.stop()
    return delays


def begun(lab, name: str, **settings: object) -> str:
    """Return a group that begins at the earliest record; ``_`` stands for a dot of a setting."""
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource

    wanted = {"share.auto.offset.reset": "earliest"}
    wanted |= {key.replace("_", "."): str(value) for key, value in settings.items()}
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as admin:
        answer = admin.alter_configs([ConfigResource("GROUP", lab.group(name), wanted)])
    assert set(answer["group"].values()) == {"OK"}, answer  # a refusal raises nothing
    return lab.group(name)


def send(lab, topic: str, count: int) -> None:
    """Send commands, a batch each: the preview takes whole batches."""
    from kafka import KafkaProducer

    with contextlib.closing(KafkaProducer(**lab.connection, batch_size=0)) as producer:
        for number in range(count):
            producer.send(topic, str(number).encode())
        producer.flush(timeout=60)


def take(consumer) -> None:
    """Accept the records of the next poll that has any."""
    while not (records := list(consumer.poll(0.5))):
        pass
    for record in records:
        consumer.acknowledge(record)
    consumer.commit_sync()


def told(lab, topic: str, word: str):
    """Return a row for each record of which a member has said this word."""
    rows = lab.reports.reindex(columns=["time", "service", "share", "topic"])
    return rows[(rows["share"] == word) & (rows["topic"] == topic)]


# -- as a service -----------------------------------------------------------------------------


def truck(service, lab, topic: str, group: str, work: float) -> None:
    """Take records one by one, work at each for so many seconds, and accept it."""
    from confluent_kafka import ShareConsumer

    own = {"group.id": group, "client.id": service.name, "max.poll.records": 1}
    own |= {"share.acknowledgement.mode": "explicit"}
    with ShareConsumer(lab.librdkafka | own) as consumer:
        consumer.subscribe([topic])
        while service.running:
            for record in consumer.poll(0.5):
                service.report(share="acquired", topic=topic)
                service.wait(work)
                consumer.acknowledge(record)
                if not any(consumer.commit_sync().values()):
                    service.report(share="accepted", topic=topic)

"""A class of two hundred: what its projector costs, and all that travels for it."""

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from benchmarks.apart import ROOT, environment, fresh
from benchmarks.rows import Row

STUDENTS = 200
WORD = "kilo-27"
EVERY = 20.0  # s from one cell of a student to her next, in the mean
LESSON = "02"
SCALE = 1.5  # as it is read from the back of a room
CELLS = [f"cell-{number}" for number in range(30)]


def measure(quick: bool) -> list[Row]:
    """Measure a class whose students each run a cell three times a minute, and its projector."""
    students, seconds, rounds = (20, 3.0, 1) if quick else (STUDENTS, 60.0, 3)
    measured = [fresh(a_class, students, seconds) for _ in range(rounds)]
    return [
        Row(
            f"`lab class` of {students} students, with its picture",
            [one["projector_cpu"] for one in measured],
            "% of a core",
            most=10,
        ),
        Row(
            f"the same class as a picture in a notebook, at {SCALE}",
            [one["picture_cpu"] for one in measured],
            "% of a core",
            most=10,
        ),
        Row(
            "all that the students and `lab class` send and are sent",
            [one["megabytes"] for one in measured],
            "MB/min",
            most=1,
        ),
        Row("records of the students", [one["records"] for one in measured], "records/min"),
        Row(
            "of that, what `lab class` sends and is sent",
            [one["projector_megabytes"] for one in measured],
            "MB/min",
        ),
        Row(
            "and once, when she connects (no TLS)",
            [one["student_begins"] for one in measured],
            "kB",
        ),
        Row("a student's sending", [one["student_cpu"] for one in measured], "% of a core"),
    ]


# -- in processes of their own ----------------------------------------------------------------


def a_class(students: int, seconds: float) -> dict[str, float]:
    """Have a class on a Kafka of its own, and return what it costs."""
    from lab_env import Lab

    with Lab("embedded", progress=False) as lab, tempfile.TemporaryDirectory() as home:
        address = lab.connection["bootstrap_servers"]
        address = address if isinstance(address, str) else ",".join(address)
        own = {"KAFKA_LAB_CLASS": address, "KAFKA_LAB_HOME": home, "KAFKA_LAB_PROGRESS": "kept"}
        with (
            beside(attend, students, seconds, **own) as said,
            beside(picture, students, seconds, KAFKA_LAB_CLASS=address) as pictured,
        ):
            projected = fresh(project, students, seconds, KAFKA_LAB_CLASS=address)
            said, pictured = said(), pictured()
    minutes = seconds / 60
    return {
        "projector_cpu": projected["cpu"],
        "picture_cpu": pictured["cpu"],
        "projector_megabytes": projected["bytes"] / 1e6 / minutes,
        "megabytes": (projected["bytes"] + said["bytes"]) / 1e6 / minutes,
        "records": said["records"] / minutes,
        "student_begins": said["begins"] / 1e3 / students,
        "student_cpu": said["cpu"] / students,
    }


@contextlib.contextmanager
def beside(function, *args, **variables: str) -> Iterator[Callable[[], dict]]:
    """Run a function in a fresh Python beside this one; have what waits for what it returns."""
    order = json.dumps([function.__module__, function.__name__, args])
    words = [sys.executable, "-m", "benchmarks.apart", order]
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment(**variables), stdout=subprocess.PIPE, encoding="utf-8"
    )
    try:
        yield lambda: json.loads(process.communicate()[0].splitlines()[-1])
    finally:
        process.kill()
        process.wait()


def attend(students: int, seconds: float) -> dict[str, float]:
    """Be the students: each connects, and then runs cells for ``seconds`` and a while longer."""
    from confluent_kafka import Producer
    from kafka import KafkaAdminClient

    from lab_env.classroom import membership, records, sending
    from lab_env.clusters import client_config

    travelled: dict[str, int] = {}

    def counted(member):
        def count(told: str) -> None:
            said = json.loads(told)
            travelled[member.student] = said["tx_bytes"] + said["rx_bytes"]

        more = {"statistics.interval.ms": 1000, "stats_cb": count}
        return Producer(sending.settings(member) | more)

    sending.producer = counted
    membership.open_class(WORD)
    members = [membership.Joined(WORD, f"Student {n}", f"s{n}") for n in range(students)]
    wanted = {one.topic: {"num_partitions": 1, "configs": records.CONFIGS} for one in members}
    admin = KafkaAdminClient(**client_config.of_class().connection)
    admin.create_topics(wanted, wait_for_metadata=True)
    admin.close()
    senders = [sending.Sender(one, lambda: True) for one in members]
    for one in senders:
        one.tell(records.NAME, lambda _, name=one.member.name: {"name": name})
    while not all(one.sent for one in senders):
        time.sleep(0.1)

    def so_far() -> tuple[float, int, int]:
        for one in senders:
            if one._producer is not None:
                one._producer.poll(0)
        return time.process_time(), sum(travelled.values()), sum(one.sent for one in senders)

    time.sleep(2)  # the figures of the connections' beginning have come
    before, began = so_far(), time.monotonic()
    work(senders, began + seconds)
    cpu, size, sent = (b - a for a, b in zip(before, so_far(), strict=True))
    lasted = time.monotonic() - began
    # those who read are a moment behind: the class goes on until they have measured as well
    work(senders, time.monotonic() + seconds / 4)
    share = seconds / lasted
    own = {"cpu": 100 * cpu / lasted, "begins": before[1]}
    return own | {"bytes": size * share, "records": sent * share}


def work(senders: list, until: float) -> None:
    """Have each student do something now and then, until a time of the monotonic clock."""
    from lab_env.classroom import records

    chance = random.Random(7)
    while time.monotonic() < until:
        one = chance.choice(senders)
        number = chance.randrange(len(CELLS))
        one.tell(records.AT, lambda _, n=number: {"lesson": LESSON, "cell": CELLS[n]})
        if chance.random() < 0.25:
            said = f"{chance.randrange(5) * 20}"
            key = f"{records.PREDICTION} {LESSON} q{number % 8}"
            one.tell(key, lambda old, s=said: {"said": s, "first": old.get("first") or s})
        elif chance.random() < 0.3:
            value = {"passed": chance.random() < 0.4, "why": "point_to_point.not_drained"}
            key = f"{records.EXERCISE} {LESSON} e{number % 4}"
            one.tell(key, lambda old, v=value: v | {"tries": old.get("tries", 0) + 1})
        time.sleep(EVERY / len(senders))


def project(students: int, seconds: float) -> dict[str, float]:
    """Be the projector: read the class and draw it as `lab class` does."""
    from kafka.metrics.stats import Total
    from rich.console import Console

    from lab_env.classroom import projector, watching
    from lab_env.clusters import client_config
    from lab_env.course import joining

    def bytes_of(watcher) -> float:
        """Count from now on what the clients send and are sent."""
        total = 0.0
        for client in (watcher._consumer, watcher._admin):
            metrics = client._metrics
            for way in ("bytes-sent", "bytes-received"):
                sensor, name = metrics.get_sensor(way), metrics.metric_name(f"all-{way}", "class")
                if name not in metrics.metrics:
                    sensor.add(name, Total())
                total += metrics.metrics[name].value()
        return total

    with (
        watching.Watcher(client_config.of_class().connection, WORD) as watcher,
        open(os.devnull, "w", encoding="utf-8") as nowhere,
    ):
        while len(watcher.gathering.students) < students:
            watcher.look(1.0)
        console = Console(file=nowhere, force_terminal=True, width=160, height=50)
        bytes_of(watcher)
        began, busy = time.monotonic(), time.process_time()
        over = began + seconds
        joining.live(console, projector.Projector(WORD), watcher, lambda: time.monotonic() < over)
        lasted = time.monotonic() - began
        return {
            "cpu": 100 * (time.process_time() - busy) / lasted,
            "bytes": bytes_of(watcher) * seconds / lasted,
        }


def picture(students: int, seconds: float) -> dict[str, float]:
    """Be a notebook that shows the class for whoever teaches."""
    from lab_env import classroom

    shown = classroom.show(WORD, SCALE)
    while f"{students} joined" not in shown.sentence:
        time.sleep(0.1)
    began, busy = time.monotonic(), time.process_time()
    frames = shown.frames
    time.sleep(seconds)
    lasted, cpu = time.monotonic() - began, time.process_time() - busy
    shown.stop()
    assert shown.error is None, shown.error
    return {"cpu": 100 * cpu / lasted, "frames": (shown.frames - frames) / lasted}

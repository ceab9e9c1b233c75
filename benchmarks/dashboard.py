"""A dashboard of four pictures; pictures and observation with ever more partitions and members."""

import time

from benchmarks.apart import Kernel
from benchmarks.rows import Row

GROUPS = ("board", "baggage", "statistics")
MEMBERS, PARTITIONS = 4, 24  # members of each group
RATE = 500  # records/s
GROWN = ((6, 4), (60, 12), (600, 40))  # partitions, members
SETTLED = 60.0  # seconds within which the groups of the dashboard must have settled
PATIENCE = 120.0  # seconds after which a large group is taken as it is
# what is measured is the picture, not 40 processes that empty 600 partitions on two cores
QUIET = {"fetch_max_wait_ms": 5000, "fetch_min_bytes": 1_000_000, "heartbeat_interval_ms": 3000}

lab = None  # the kernel's
times: list[float] = []  # how long samples took, ms


def measure(quick: bool) -> list[Row]:
    """Measure the dashboard, then one ownership picture on ever more partitions and members."""
    rounds, seconds, settle = (1, 1.0, 0.5) if quick else (4, 4.0, 3.0)
    with Kernel() as kernel:
        kernel.call(begin)
        kernel.call(show)
        kernel.call(sleep, settle)
        found = [kernel.measure(sleep, seconds) for _ in range(rounds)]
        samples = kernel.call(taken)
        seen = [kernel.call(seconds_to_the_picture) for _ in range(rounds)]
        kernel.call(end)
    rows = [
        Row(
            "each of four pictures, 3 groups, 12 members, 24 partitions",
            [one["rate"] for one in found],
            "frames/s",
            least=3,
        ),
        Row("the four and observation", [one["cpu"] for one in found], "% of a core", most=35),
        Row("the four, to the notebook", [one["sent"] / 1000 for one in found], "kB/s", most=250),
        Row("a sample of 24 partitions and 3 groups", samples, "ms", most=60),
        Row("from the broker's knowing of a rebalance to the picture", seen, "s", most=0.5),
    ]
    for partitions, members in GROWN[:1] if quick else GROWN:
        rows += _grown(partitions, members, rounds, seconds, settle)
    return rows


def _grown(partitions: int, members: int, rounds: int, seconds: float, settle: float) -> list[Row]:
    with Kernel() as kernel:
        settled = kernel.call(grow, partitions, members)
        kernel.call(sleep, settle)
        found = [kernel.measure(sleep, seconds) for _ in range(rounds)]
        samples = kernel.call(taken)
        kernel.call(end)
    of = f"{partitions} partitions, {members} members: "
    until = "until the group had settled" if settled < PATIENCE else "the group had not settled"
    return [
        Row(of + until, [settled], "s"),
        Row(of + "a sample", samples, "ms"),
        Row(of + "the ownership timeline", [one["rate"] for one in found], "frames/s"),
        Row(of + "it and observation", [one["cpu"] for one in found], "% of a core"),
    ]


# -- in the kernel ----------------------------------------------------------------------------


def begin() -> None:
    """Start a lab with a producer and the members of three groups."""
    global lab
    from lab_env import Lab

    lab = Lab()
    topic = lab.topic("flights.departed", partitions=PARTITIONS)
    lab.service(produce, lab.connection, topic, name="airport")
    for group in GROUPS:
        lab.service(consume, lab.connection, topic, group, name=group, copies=MEMBERS)
    if _settle(topic, GROUPS, MEMBERS, SETTLED) >= SETTLED:
        raise TimeoutError("the groups have not settled")


def grow(partitions: int, members: int) -> float:
    """Start a lab with one group, and show who owns what; return when it had settled (s)."""
    global lab
    from lab_env import Lab

    lab = Lab()
    topic = lab.topic("flights.departed", partitions=partitions)
    lab.service(produce, lab.connection, topic, RATE / 10, name="airport")
    lab.service(consume, lab.connection, topic, "board", QUIET, name="board", copies=members)
    settled = _settle(topic, ("board",), members, PATIENCE)
    lab.show.ownership(topic, "board")
    return settled


def _settle(topic: str, groups: tuple[str, ...], members: int, most: float) -> float:
    """Observe, time each sample, and return how long every group took to settle (s)."""
    from lab_env.observation import observer

    plain = observer._Look.sample

    def timed(*args, **kwargs):
        began = time.perf_counter()
        try:
            return plain(*args, **kwargs)
        finally:
            times.append(1000 * (time.perf_counter() - began))

    observer._Look.sample = timed
    seen = lab.watch(topic, groups=groups)

    def settled():
        now = seen.samples[-1].groups if seen.samples else {}
        if not set(groups) <= set(now):
            return False
        return all(now[g].state == "Stable" and len(now[g].members) == members for g in groups)

    began = time.monotonic()
    lab.until(settled, most)
    times.clear()
    return min(time.monotonic() - began, most)


def show() -> None:
    """Have a dashboard of four pictures."""
    topic = "flights.departed"
    with lab.show.dashboard():
        lab.show.ownership(topic, GROUPS)
        lab.show.lag(topic, GROUPS)
        lab.show.partitions(topic)
        lab.show.pauses()


def sleep(seconds: float) -> None:
    """Leave the main thread to others."""
    time.sleep(seconds)


def taken() -> list[float]:
    """Return how long the samples took so far (ms)."""
    return list(times)


def seconds_to_the_picture() -> float:
    """Let a member come and go; return how long after the broker's answer a picture had it."""
    from contextlib import closing

    from kafka import KafkaAdminClient

    topic, group = "flights.departed", GROUPS[0]
    picture = lab.show.ownership(topic, group)
    observer = lab.watch()
    guest = lab.service(consume, lab.connection, topic, group, name="guest")
    with closing(KafkaAdminClient(**lab.connection)) as admin:
        deadline = time.monotonic() + SETTLED
        while time.monotonic() < deadline:
            # a classic group tells of no member while it rebalances: its state is the news
            if admin.describe_groups([group])[group]["group_state"] != "Stable":
                break
        known = time.monotonic()
    asked = lab.journal.now()
    while time.monotonic() < deadline:
        after = [s.groups[group] for s in observer.samples if s.time >= asked - 0.02]
        if any(now.state != "Stable" or "guest" in now.members for now in after):
            break
        time.sleep(0.005)
    frames = picture.frames
    while picture.frames == frames and time.monotonic() < deadline:
        time.sleep(0.005)
    seconds = time.monotonic() - known
    picture.stop()
    guest.stop()
    lab.until(lambda: "guest" not in observer.samples[-1].groups[group].members)
    return seconds


def end() -> None:
    """Close the lab."""
    lab.close()


# -- as services ------------------------------------------------------------------------------


def produce(service, connection: dict, topic: str, rate: float = RATE) -> None:
    """Send records at a steady rate until asked to stop."""
    from itertools import count

    from kafka import KafkaProducer

    from lab_env import flights

    with KafkaProducer(**connection, linger_ms=20) as producer:
        for key in flights.replay(count(), rate=rate):
            if not service.running:
                break
            producer.send(topic, b"x" * 200, key=str(key).encode())


def consume(service, connection: dict, topic: str, group: str, more: dict | None = None) -> None:
    """Consume as a member of a group, commit twice a second, and report what was handled."""
    from kafka import KafkaConsumer

    options = {"client_id": service.name, "heartbeat_interval_ms": 300, **(more or {})}
    consumer = KafkaConsumer(
        topic, group_id=group, auto_commit_interval_ms=500, **options, **connection
    )
    while service.running:
        if records := sum(map(len, consumer.poll(timeout_ms=500).values())):
            service.report(handled=records)
            service.wait(0.1)
    consumer.close()

"""What a lab made on a shared cluster, and that it lives. Long: a record and its readers.

A lab takes a number of its student's, by making the topic ``ana.lab-1``: Kafka lets one of two who
try it at once succeed, on whatever machine they are. Into this topic the lab writes, as long as it
lives, who it is and which topics it has made, by Kafka's own ids. Nothing but these ids is ever
deleted for it: by itself when it closes, else by another lab of the student, once this one is known
to be dead. Dead is a lab that has said that it ends, one of this machine whose lock is free, and
one of another machine that has been silent for hours by the cluster's own clock: a laptop that
sleeps is silent too. Rights on names that begin with the student's prefix are enough for all this.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab_env.clusters.made import Made, lives
from lab_env.ground import notices
from lab_env.ground.errors import BrokerError, NotYoursError
from lab_env.ground.kafka_compat import quiet_kafka
from lab_env.ground.patience import PAUSE, Patience
from lab_env.messages import say
from lab_env.processes import folders

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

SIGN_SECONDS = 20.0  # from one sign of life to the next; a sign is a line of some hundred bytes
SILENT_HOURS = 12.0  # a lab of another machine that was silent for so long is dead
MOST_LABS = 20  # of one student at once
READ_SECONDS = 10.0
HELP_SECONDS = 60.0  # of a helper that removes what a lab had no time for
WRITE_SECONDS = 10.0
DELETE_SECONDS = 3.0  # without a topic less
RESERVED = "lab-"  # names behind the prefix that begin so are the lab's own
CLASS = f"{RESERVED}class."  # a class that the student is in: `lab leave` removes it
READY = re.compile(r"lab-ready-[0-9a-f]{6}")  # of the round trip at a lab's start


class Entry(NamedTuple):
    """A lab as its topic tells of it.

    ``number`` of the lab among its student's; ``topic`` and ``topic_id`` of its record; ``said``
    is the last line, None if there is none yet; ``at`` is the cluster's time of it, s.
    """

    number: int
    topic: str
    topic_id: str
    said: dict | None
    at: float

    @property
    def made(self) -> dict[str, str]:
        """The ids of the topics that the lab has made, by name; "" where it was about to."""
        return (self.said or {}).get("made", {})


def prefix_of(student: str, number: int) -> str:
    """Return what the names of a student's lab begin with; the first has the shortest."""
    return f"{student}." if number == 1 else f"{student}.{RESERVED}{number}."


def is_of(name: str, student: str, number: int) -> bool:
    """Return whether a name is one of this lab, and of no other lab of the student."""
    prefix = prefix_of(student, number)
    return name.startswith(prefix) and not (
        number == 1 and re.match(rf"{RESERVED}\d+\.", name[len(prefix) :])
    )


class Ledger(Made):
    """The record of one lab that lives; made, it holds the number, and writes by itself.

    Args:
        connection: keyword arguments for any kafka-python client.
        student: the prefix of all her labs, without the dot.
        lab: the folder of this lab, whose lock is held already.
        me: what tells this home from others.

    Attributes:
        prefix: what the names of this lab begin with.
        removed: the names that labs which are dead had left, and that are gone now.

    Raises:
        BrokerError: all numbers are taken.
        KafkaError: the cluster does not answer, or refuses.
    """

    def __init__(self, connection: dict, student: str, lab: Path, me: str):
        from kafka import KafkaAdminClient, KafkaProducer

        self._connection, self._student = connection, student
        self._said: dict[str, Any] = {"lab": lab.name, **_whereabouts(lab, me), "made": {}}
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._lost = False
        self._living: list[tuple[Entry, float]] = []  # other labs, and for how long (s) silent
        self._thread: threading.Thread | None = None
        self._admin = KafkaAdminClient(**connection)
        self._clients: list[KafkaAdminClient | KafkaProducer] = [self._admin]
        try:
            self._producer = KafkaProducer(**connection, allow_auto_create_topics=False)
            self._clients.insert(0, self._producer)
            found = read(connection, self._admin, student)
            dead = [one for one in found if not alive(one, self._said)]
            self.removed = [name for one in dead for name in remove(self._admin, student, one)]
            self._number = self._take_number()
            self.prefix = prefix_of(student, self._number)
            now = self._write()
            for one in found:
                if one in dead:
                    continue
                if one.said is None:  # somebody died at his very first step: his time begins now
                    with contextlib.suppress(Exception):
                        self._send(one.topic, {"lab": "", "host": "", "made": {}})
                elif not alive(one, self._said, now):
                    self.removed += remove(self._admin, student, one)
                else:
                    self._living.append((one, now - one.at))
            self._thread = threading.Thread(target=self._live, name="lab-sign", daemon=True)
            self._thread.start()
        except BaseException:
            self._close_clients()
            raise

    def _take_number(self) -> int:
        from kafka.errors import TopicAlreadyExistsError

        # the time of a line is the cluster's, as machines' clocks may be hours apart
        wanted = {"num_partitions": 1, "configs": {"message.timestamp.type": "LogAppendTime"}}
        for number in range(1, MOST_LABS + 1):
            self._topic = f"{self._student}.{RESERVED}{number}"
            with contextlib.suppress(TopicAlreadyExistsError):
                made = self._admin.create_topics({self._topic: wanted}, wait_for_metadata=True)
                # a broker that is asked may still know the one that was deleted just before
                self._id = str(made["topics"][0]["topic_id"])
                return number
        raise BrokerError("external.no_prefix", prefix=self._student, count=MOST_LABS)

    def silent(self) -> list[str]:
        """Return a sentence for each lab that was silent for a while, and may live all the same."""
        return [
            say(
                "external.stays",
                host=(one.said or {}).get("host", ""),
                count=len(one.made),
                minutes=f"{seconds / 60:.0f}",
                hours=f"{SILENT_HOURS:.0f}",
            )
            for one, seconds in self._living
            if seconds > 3 * SIGN_SECONDS
        ]

    # -- what the lab makes -----------------------------------------------------------------

    def begin(self, name: str, topic_id: str | None) -> None:
        """See `Made.begin`."""
        with self._writing:
            if self._lost:
                raise BrokerError("external.lost", hours=f"{SILENT_HOURS:.0f}")
            made = self._said["made"]
            if topic_id is not None and made.get(name) not in ("", topic_id):
                raise NotYoursError("lab.topic_not_made", name=name)
            made[name] = ""
            self._write()

    def end(self, name: str, topic_id: str) -> None:
        """See `Made.end`."""
        with self._writing:
            self._said["made"][name] = topic_id
            self._write()

    # -- the signs of life ------------------------------------------------------------------

    def _write(self) -> float:
        """Write the line of now, and return the cluster's time of it (s)."""
        return self._send(self._topic, self._said)

    def _send(self, topic: str, line: dict) -> float:
        sent = self._producer.send(topic, json.dumps(line).encode(), partition=0)
        return sent.get(timeout=WRITE_SECONDS).timestamp / 1000

    def _live(self) -> None:
        """Write a line again and again; find out when somebody took this lab for dead."""
        while not self._stop.wait(SIGN_SECONDS):
            # a cluster that is away for a while is no reason to end
            with contextlib.suppress(Exception), quiet_kafka():
                there = topics(self._admin, [self._topic]).get(self._topic)
                with self._writing:
                    if self._stop.is_set():
                        return
                    if there != self._id:
                        self._lost = True
                        notices.post(say("external.lost", hours=f"{SILENT_HOURS:.0f}"))
                        return
                    self._write()

    # -- the end ----------------------------------------------------------------------------

    def close(self, seconds: float) -> None:
        """Delete what the lab has made, and its record; what takes longer goes on without us.

        Args:
            seconds: for so long it is waited for.
        """
        self._stop.set()
        ending = threading.Thread(target=self._end, name="ending of a lab", daemon=True)
        ending.start()
        ending.join(seconds)
        if ending.is_alive() and not self._lost:
            self._hand_over()

    def _hand_over(self) -> None:
        """Leave the rest to a process of its own: this one may be gone in a moment."""
        with contextlib.suppress(OSError, ValueError):
            helper = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            connection = dict(self._connection)
            if secret := connection.get("sasl_plain_password"):
                connection["sasl_plain_password"] = secret.reveal()
            entry = self._entry()._asdict()
            # through a pipe, for a password is nothing that a process should be called with
            assert helper.stdin is not None
            with helper.stdin:
                order = {"connection": connection, "student": self._student, "entry": entry}
                helper.stdin.write(json.dumps(order).encode())

    def _entry(self) -> Entry:
        return Entry(self._number, self._topic, self._id, self._said, 0.0)

    def _end(self) -> None:
        with contextlib.suppress(Exception), quiet_kafka():
            if not self._lost:
                with self._writing:
                    self._said["ended"] = True  # from now on anybody may do the rest
                    self._write()
                remove(self._admin, self._student, self._entry())
        self._close_clients()

    def _close_clients(self) -> None:
        for client in self._clients:
            with contextlib.suppress(Exception):
                client.close()


def _whereabouts(lab: Path, me: str) -> dict[str, str]:
    return {"home": me, "host": socket.gethostname(), "folder": str(lab)}


def alive(entry: Entry, mine: dict, now: float | None = None) -> bool:
    """Return whether a lab lives, as far as can be known: one that may live counts as alive.

    Args:
        entry: of that lab.
        mine: what a lab of this machine says of itself: home and host.
        now: the cluster's time (s); None if it is not known yet.
    """
    said = entry.said
    if said is None:
        return True
    if said.get("ended"):
        return False
    folder = Path(said.get("folder", ""))
    here = all(said.get(key) == mine[key] for key in ("home", "host"))
    if here and folder.is_relative_to(folders.home()):  # a temporary folder is not the home's
        return lives(folder)
    return now is None or now - entry.at < SILENT_HOURS * 3600


def read(connection: dict, admin: "KafkaAdminClient", student: str) -> list[Entry]:
    """Return what the records of a student's labs tell.

    Args:
        connection: keyword arguments for any kafka-python client.
        admin: an admin client of the same cluster.
        student: the prefix of all her labs, without the dot.

    Raises:
        BrokerError: a record that is there could not be read.
    """
    from kafka import KafkaConsumer, TopicPartition

    record = re.compile(rf"{re.escape(student)}\.{RESERVED}\d+")
    there = topics(admin, [name for name in admin.list_topics() if record.fullmatch(name)])
    last: dict[str, tuple[dict | None, float]] = {}
    consumer = KafkaConsumer(**connection, enable_auto_commit=False, allow_auto_create_topics=False)
    with contextlib.closing(consumer):
        places = [TopicPartition(name, 0) for name in there]
        consumer.assign(places)
        ends = consumer.end_offsets(places) if places else {}
        for place in places:
            if not ends[place]:
                last[place.topic] = (None, 0.0)
            else:
                consumer.seek(place, ends[place] - 1)
        deadline = time.monotonic() + READ_SECONDS
        while missing := there.keys() - last.keys():
            if time.monotonic() > deadline:
                raise BrokerError("external.unread", topics=", ".join(sorted(missing)))
            batches = consumer.poll(timeout_ms=500)
            for place, records in batches.items():
                last[place.topic] = _line(records[-1].value), records[-1].timestamp / 1000
            if not batches:  # one that ends just now takes its record along
                still = topics(admin, [*missing])
                there = {name: i for name, i in there.items() if name in last or name in still}
    return sorted(
        Entry(int(name.removeprefix(f"{student}.{RESERVED}")), name, there[name], *told)
        for name, told in last.items()
    )


def _line(data: bytes) -> dict:
    """Return what a line says; one that is none of ours says nothing."""
    with contextlib.suppress(ValueError):
        if isinstance(said := json.loads(data), dict):
            return said
    return {}


def topics(admin: "KafkaAdminClient", names: list[str]) -> dict[str, str]:
    """Return the ids of those topics that exist, by name."""
    found = admin.describe_topics(names) if names else []
    return {one["name"]: one["topic_id"] for one in found if not one["error_code"]}


def remove(admin: "KafkaAdminClient", student: str, entry: Entry) -> list[str]:
    """Delete what a lab has made, then its record; return the names that are gone.

    A group is deleted if it is the lab's by its name, has no members, and knows no topic but those
    of the lab. If something stays, the record stays too, for the next who comes.

    Args:
        admin: an admin client.
        student: the prefix of all her labs, without the dot.
        entry: of a lab that is dead, or that is closing.
    """
    from kafka.errors import KafkaError

    def left() -> dict[str, str]:
        prefix = prefix_of(student, entry.number)
        ready = [
            name
            for name in admin.list_topics()
            if name.startswith(prefix) and READY.fullmatch(name[len(prefix) :])
        ]
        noted = [name for name in entry.made if is_of(name, student, entry.number)]
        there = topics(admin, [*noted, *ready])
        return {name: i for name, i in there.items() if entry.made.get(name) in (None, "", i)}

    found = left()
    gone = _remove_groups(admin, student, entry.number, {*entry.made, *found})
    if found:
        with contextlib.suppress(KafkaError):  # somebody else may be at it as well
            admin.delete_topics([uuid.UUID(one) for one in found.values()])
    stays, patience = left(), Patience(DELETE_SECONDS)
    while stays and not patience.over:  # a broker may know for a while yet what is deleted
        time.sleep(PAUSE)
        stays = left()
        patience.look(len(stays))
    if not stays:
        with contextlib.suppress(KafkaError):
            admin.delete_topics([uuid.UUID(entry.topic_id)])
    return sorted({*gone, *(found.keys() - stays.keys())})


def _remove_groups(
    admin: "KafkaAdminClient", student: str, number: int, known: set[str]
) -> list[str]:
    from kafka.errors import KafkaError

    gone = []
    with contextlib.suppress(KafkaError):
        names = [group["group_id"] for group in admin.list_groups()]
        for name in names:
            if not is_of(name, student, number):
                continue
            with contextlib.suppress(KafkaError):
                offsets = admin.list_group_offsets([name])[name]
                if {place.topic for place in offsets} <= known:
                    # one that has members stays
                    gone += [
                        one for one, what in admin.delete_groups([name]).items() if what == "OK"
                    ]
    return gone


def clean(connection: dict, student: str, me: str, tell: Callable[[str], None]) -> list[str]:
    """Delete what a student's dead labs have left, and return the names.

    Args:
        connection: keyword arguments for any kafka-python client.
        student: the prefix of all her labs, without the dot.
        me: what tells this home from others.
        tell: called with a sentence on what stays, and why.

    Raises:
        KafkaError, BrokerError: the cluster does not answer.
    """
    from kafka import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(**connection)) as admin:
        removed: list[str] = []
        if read(connection, admin, student):
            # as a lab among labs: only so the cluster tells its time
            ledger = Ledger(connection, student, folders.new_lab_folder(), me)
            ledger.close(READ_SECONDS)
            removed = ledger.removed
            for text in ledger.silent():
                tell(text)
        known = {
            name for one in read(connection, admin, student) for name in (one.topic, *one.made)
        }
        mine = [
            name
            for name in admin.list_topics()
            if name.startswith(f"{student}.") and not name.startswith(f"{student}.{CLASS}")
        ]
        ready = [name for name in mine if READY.fullmatch(name.rpartition(".")[2])]
        if strange := sorted({*mine} - known - {*ready}):
            tell(say("external.unclaimed", count=len(strange), names=", ".join(strange)))
    return removed


def main() -> None:
    """Do what a lab that has ended had no time for: the helper's side of `Ledger.close`."""
    from kafka import KafkaAdminClient

    order = json.load(sys.stdin)
    limit = threading.Timer(HELP_SECONDS, os._exit, (1,))
    limit.daemon = True
    limit.start()
    with contextlib.closing(KafkaAdminClient(**order["connection"])) as admin:
        remove(admin, order["student"], Entry(**order["entry"]))


if __name__ == "__main__":
    main()

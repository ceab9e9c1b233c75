"""Which class a student of this machine has joined, and under which name; joining and leaving."""

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.classroom import records
from lab_env.clusters import client_config
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.kafka_compat import quiet_kafka
from lab_env.ground.patience import PAUSE, Patience
from lab_env.processes import folders

if TYPE_CHECKING:
    from collections.abc import Generator

    from kafka import KafkaAdminClient

NOTHING_KEPT = "KAFKA_LAB_PROGRESS"  # empty: a machine that runs lessons is no student
GONE_SECONDS = 10.0  # without a change, for a topic to go
SENT_BYTES = 2_000_000  # of the list of what was sent


@dataclass(frozen=True)
class Joined:
    """A student's place in a class.

    Attributes:
        word: of the class.
        name: of her choice.
        student: her prefix, without the dot: what the cluster's rights know her by.
        cluster: what ``KAFKA_LAB_CLASS`` said when she joined.
        left: whether she has left, and the cluster could not be told yet.
        since: when she joined (s since 1970): whoever comes back begins anew.
    """

    word: str
    name: str
    student: str
    cluster: str = ""
    left: bool = False
    since: float = 0.0

    @property
    def topic(self) -> str:
        """The topic that is hers."""
        return records.student_topic(self.student, self.word)


def file() -> Path:
    """Return where it is kept: no password is in it."""
    return folders.home() / "class.json"


def sent_file() -> Path:
    """Return where each record that was sent is written down, a line each."""
    return folders.home() / "class-sent.txt"


def kept() -> Joined | None:
    """Return the student's place in a class, also one that she has left; None if there is none."""
    try:
        return Joined(**json.loads(file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def current() -> Joined | None:
    """Return the student's place in a class, None if nothing is to be sent."""
    if not os.environ.get(NOTHING_KEPT, "kept").strip():
        return None
    member = kept()
    return None if member is None or member.left else member


def join(word: str, name: str) -> Joined:
    """Join a class: make the student's topic there, and keep that she is in it.

    Args:
        word: that whoever teaches shows.
        name: of her choice.

    Raises:
        BadInputError: no cluster is named, the word or the name cannot be one, or she is in
            another class.
        BrokerError: the cluster cannot be used, or knows no such class.
    """
    from lab_env.clusters import external

    word = word.strip().lower()
    if not records.WORD.fullmatch(word):
        raise BadInputError("classroom.bad_word", word=word)
    name = records.shown(name, records.NAME_LONG)
    if not name:
        raise BadInputError("classroom.bad_name")
    if (before := kept()) and before.word != word:
        raise BadInputError("classroom.in_another", word=before.word)
    cluster = os.environ.get(client_config.CLASS, "")
    if cluster and not client_config.ADDRESSES.fullmatch(cluster):  # a file; from any folder
        cluster = str(Path(cluster).expanduser().absolute())
    member = Joined(word, name, external.student(), cluster, since=time.time())
    with _admin(client_config.of_class()) as (admin, replication):
        if not exists(admin, records.class_topic(word)):
            raise BrokerError("classroom.no_such", word=word)
        make(admin, member.topic, replication)
    _keep(member)
    return member


def leave() -> Joined | None:
    """Leave the class: from now on nothing is sent, and the student's records are deleted.

    Returns:
        The place that she had; None if she was in no class.

    Raises:
        BrokerError: the cluster could not be told; the next call does it.
    """
    member = kept()
    if member is None:
        return None
    _keep(replace(member, left=True))  # each notebook looks here before it sends
    with _admin(client_config.of_class(member.cluster)) as (admin, _):
        remove(admin, member.topic)
    for one in (file(), sent_file()):
        with contextlib.suppress(OSError):
            one.unlink()
    return member


def open_class(word: str) -> None:
    """Make a class that students can join; nothing if there is one of this word.

    Raises:
        BadInputError: no cluster is named, or the word cannot be one.
        BrokerError: the cluster cannot be used.
    """
    if not records.WORD.fullmatch(word):
        raise BadInputError("classroom.bad_word", word=word)
    with _admin(client_config.of_class()) as (admin, replication):
        make(admin, records.class_topic(word), replication)


def end_class(word: str) -> None:
    """Take the word of a class away: nobody can join any more.

    Raises:
        BrokerError: the cluster cannot be used.
    """
    with _admin(client_config.of_class()) as (admin, _):
        remove(admin, records.class_topic(word))


def note_sent(lines: list[str]) -> None:
    """Write down what was sent, so that the student can read each word of it."""
    if not lines:
        return
    place = sent_file()
    with contextlib.suppress(OSError):
        if place.exists() and place.stat().st_size > SENT_BYTES:
            place.unlink()
        with open(os.open(place, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600), "a") as out:
            out.writelines(f"{line}\n" for line in lines)


def exists(admin: "KafkaAdminClient", topic: str) -> bool:
    """Return whether there is a topic that this user can see."""
    (found,) = admin.describe_topics([topic])
    return not found["error_code"]


def make(admin: "KafkaAdminClient", topic: str, replication: int) -> None:
    """Make a topic of a class, unless it is there."""
    from kafka.errors import TopicAlreadyExistsError

    wanted = {
        "num_partitions": 1,
        "replication_factor": replication,
        "configs": records.CONFIGS,
    }
    with contextlib.suppress(TopicAlreadyExistsError):
        admin.create_topics({topic: wanted}, wait_for_metadata=True)


def remove(admin: "KafkaAdminClient", topic: str) -> None:
    """Delete a topic, and see that it is gone.

    Raises:
        BrokerError: it is still there.
    """
    from kafka.errors import UnknownTopicOrPartitionError

    patience = Patience(GONE_SECONDS)
    while exists(admin, topic):
        if patience.over:
            raise BrokerError("classroom.not_gone", topic=topic)
        with contextlib.suppress(UnknownTopicOrPartitionError):
            admin.delete_topics([topic])
        time.sleep(PAUSE)
        patience.look()


@contextlib.contextmanager
def _admin(settings: client_config.ClientConfig) -> "Generator[tuple[KafkaAdminClient, int]]":
    """Give an admin client of the class's cluster; what the cluster refuses is a sentence."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    from lab_env.clusters import external

    try:
        external.brokers_of(settings.connection)  # says what stands in the way of a client
        with quiet_kafka(), contextlib.closing(KafkaAdminClient(**settings.connection)) as admin:
            yield admin, settings.replication
    except KafkaError as error:
        why = f"{type(error).__name__}: {error}"
        raise BrokerError("classroom.refused", why=why) from error


def _keep(member: Joined) -> None:
    place = file()
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(member)), encoding="utf-8")
    fresh.replace(place)  # whole or not at all

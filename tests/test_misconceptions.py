"""What people get wrong about Kafka: where in the lessons a student meets each of it."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What people believe: (lesson, cell, what stands there). The cell is a prediction, an experiment or
# the explanation right after one; "check NAME" is a typical wrong answer that a check names.
MET = {
    "1 the package to install is kafka": ("00", "library", r"kafka\.__file__"),
    "2 my script may be called kafka.py": ("00", "library-answer", r"`kafka\.py`"),
    "4 the address is ZooKeeper's, localhost:2181": ("00", "timeout-error", "2181"),
    "5 when send() returns, the record is in Kafka": ("01", "send-ten", "10: for that, each send"),
    "6 a program that ends has delivered what it sent": ("01", "kill", "without flush"),
    "7 the broker pushes records to consumers": (
        "01",
        "check-step-pull",
        "The broker pushes nothing",
    ),
    "8 save, then publish, is safe": ("01", "explain-two", "`try` and `except` do not help"),
    "9 a reply is as simple as with HTTP": ("01", "by-order", "6: that would be so"),
    "10 reading a record removes it": ("02", "there", "None: that would be"),
    "11 single records can be acknowledged": (
        "02",
        "check-step-commit",
        "Kafka's groups cannot acknowledge",
    ),
    "12 any client can use Kafka's queues": ("02", "share-client", "KafkaShareConsumer"),
    "13 one group id on two instances: both get everything": ("03", "same", "60 each: that"),
    "14 one group, and both got the record: a bug": ("03", "none", r"read\(\), read\(\)"),
    "15 a new subscriber sees the history": ("03", "check-step-archive", "latest a new group"),
    "16 a topic is ordered": ("04", "by-airport", r"\{False: "),
    "17 a key keeps its partition for ever": ("04", "afternoon", r"\{0: \"A key keeps"),
    "18 partitions can be taken away again": ("04", "shrink", r"create_partitions\(.*: 3"),
    "19 without a key it goes round robin": ("04", "check-step-spread", "Neither takes turns"),
    "20 a typo in a topic's name fails": ("04", "typo", r"\{\"an error at once\": "),
    "21 more consumers are faster": ("05", "more-table", '7: "Seven could have work'),
    "22 fewer consumers leave partitions unread": ("05", "one-answer", r"\{1: \"One: a group"),
    "23 a consumer owns partitions once made": ("05", "check-step-seek", "while it polls"),
    "24 an empty poll means an empty topic": ("05", "poll", r"reader\.poll\(\)"),
    "25 threads may share a consumer": ("05", "threads-answer", r'"errors": \{True: '),
    "26 heartbeats keep a slow member in its group": (
        "06",
        "check kept_evicted_hint",
        "Heartbeats go out by themselves",
    ),
    "27 pause() lets a slow member stay": (
        "06",
        "check kept_evicted_hint",
        r"pause\(\) does not free a member",
    ),
    "28 a rebalance moves only what it must": ("06", "taken-join", r"eager = \{1: "),
    "29 a group rolls to another assignor": ("06", "mix-answer", r"\{\"cooperative-sticky\": "),
    "30 a dead process gives its partitions back at once": (
        "06",
        "leave-answer",
        r"longer = \{\"the same\": ",
    ),
    "32 the offset of the record just handled is committed": (
        "07",
        "again",
        "0: only if the committed offset is",
    ),
    "33 auto-commit commits after the work": ("07", "auto-answer", "does not ask the thread"),
    "34 without auto-commit a restart reads again": (
        "07",
        "forgetful-again",
        "60: that would be",
    ),
    "36 exactly once covers mails and databases": ("07", "mails", "0: the transaction was"),
    "37 an idempotent producer removes all duplicates": (
        "07",
        "twice",
        "1: the broker recognises",
    ),
    "38 offsets have no gaps": ("07", "gaps", '"the same": "It would be'),
    "40 Kafka delivers again and keeps dead letters": (
        "08",
        "help",
        '"attempts counted": {True',
    ),
    "41 retry topics keep the order": ("08", "storm-answer", '"none": "A key keeps'),
    "42 a bad record fails in the deserializer and is skipped": (
        "08",
        "silent-answer",
        '"returns": "The reader',
    ),
    "44 more partitions are faster": ("09", "partitions-answer", '"faster": "Partitions'),
    "45 acks=1 is much faster": ("09", "acks-answer", '"piped": {"faster"'),
    "46 one raised limit lets a large record through": (
        "09",
        "check large_topic_hint",
        "Raising one limit does not",
    ),
    "48 min.insync.replicas does not concern acks=1": (
        "10",
        "visible-now",
        '40: "40 were acknowledged',
    ),
    "49 min.insync.replicas above the replicas refuses all writes": (
        "10",
        "check night_one_copy_hint",
        "cannot be met by replicas that do not exist",
    ),
    "50 too few replicas are an error at once": ("10", "explain-errors", "NotEnoughReplicas"),
    "52 @EnableBinding and @StreamListener make it listen": (
        "11",
        "predict-program",
        "`@EnableBinding` and `@StreamListener`",
    ),
    "53 bindings are called input and output": (
        "11",
        "where-output",
        r'\{"flights.departed": ',
    ),
    "54 dead letters are on": ("11", "cancelled", r"\{2: .*dead letters"),
    "56 who reaches the bootstrap server is connected": (
        "12",
        "try-wrong",
        r'"sends": \{True: ',
    ),
    "57 localhost is the same inside a container": (
        "12",
        "inside",
        r'"127\.0\.0\.1:9092": \{True: ',
    ),
    "58 depends_on waits until Kafka is ready": (
        "12",
        "down",
        r'\{"healthy": ',
    ),
    "60 consumers are scaled by their CPU": ("13", "cpu-foreseen", '"by CPU": .*adds boards"'),
    "61 an emptyDir is memory, and harmless": (
        "13",
        "disk-foreseen",
        r'"in memory": \{True.*\n.*"emptyDir": \{5000',
    ),
    "62 the private address of EC2 serves a laptop": (
        "14",
        "try-private",
        r'"sends": \{True: ',
    ),
    "64 docker compose up deploys to ECS": ("14", "compose-answer", r"\{True: "),
    "65 MSK can be reached from home": ("14", "reach-msk", r'"from home": \{True: '),
}


def lesson(number: str) -> dict[str, str]:
    """Return the text of each cell of a lesson by the cell's id."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


def hints(number: str) -> dict[str, str]:
    """Return what the checks of a lesson say, by name."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    catalogue = ROOT / "lab_env" / "messages" / "en" / "checks" / f"{path.stem[3:]}.toml"
    return tomllib.loads(catalogue.read_text(encoding="utf-8"))


@pytest.mark.parametrize("belief", MET, ids=str)
def test_a_student_meets(belief):
    number, place, words = MET[belief]
    if place.startswith("check "):
        assert re.search(words, hints(number)[place.removeprefix("check ")])
    else:
        assert re.search(words, lesson(number)[place])


def test_none_is_missing():
    numbers = [int(belief.split()[0]) for belief in MET]
    wanted = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
    wanted += [25, 26, 27, 28, 29, 30]
    wanted += [32, 33, 34, 36, 37, 38, 40, 41, 42, 44, 45, 46]
    wanted += [48, 49, 50, 52, 53, 54, 56, 57, 58, 60, 61, 62, 64, 65]
    assert numbers == wanted

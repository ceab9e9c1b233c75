"""What the records of a class say, and where they lie; the newest record of a key counts.

Everything that is read here was written by somebody who may write anything: what is not of the
kinds below is no record of a class.
"""

import json
import re

from lab_env.clusters.ledger import CLASS

WORD = re.compile(r"[a-z0-9][a-z0-9-]{1,29}")
NAME, AT, HAND, PREDICTION, STEP, EXERCISE = (
    "name", "at", "hand", "prediction", "step", "exercise",
)  # fmt: skip
FIELDS: dict[str, dict[str, type]] = {
    NAME: {"name": str},
    AT: {"lesson": str, "cell": str},
    HAND: {"up": bool},
    PREDICTION: {"said": str, "first": str, "was": str},
    STEP: {"passed": bool, "tries": int, "why": str},
    EXERCISE: {"passed": bool, "tries": int, "why": str},
}
KEY = re.compile(r"(name|at|hand)|(prediction|step|exercise) \d\d [a-z0-9_-]{1,40}")
LONG = 120  # signs of a text
NAME_LONG = 24
STUDENT = "[A-Za-z0-9_-]+"  # as a prefix is: without a dot nobody has two topics
A_DAY = 24 * 3600 * 1000  # ms
CONFIGS = {
    "cleanup.policy": "compact,delete",
    "retention.ms": str(A_DAY),  # of whoever forgets to leave, nothing stays
    "message.timestamp.type": "LogAppendTime",  # clocks of students differ
}


def class_topic(word: str) -> str:
    """Return the topic that says that there is such a class; whoever teaches makes it."""
    return f"class.{word}"


def student_topic(student: str, word: str) -> str:
    """Return the topic of a student.

    Args:
        student: her prefix, without the dot.
        word: of the class.
    """
    return f"{student}.{CLASS}{word}"


def student_of(topic: str, word: str) -> str | None:
    """Return whose topic of this class it is, None if it is none."""
    found = re.fullmatch(rf"({STUDENT})\.{re.escape(CLASS + word)}", topic)
    return found[1] if found else None


def written(value: dict) -> bytes:
    """Return a value as it travels."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def read(key: bytes | None, value: bytes | None) -> tuple[str, dict] | None:
    """Return what a record says, None if it is none of a class's."""
    try:
        name = (key or b"").decode("ascii")
        said = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    if not KEY.fullmatch(name) or not isinstance(said, dict):
        return None
    kind = name.partition(" ")[0]
    kept = {}
    for field, wanted in FIELDS[kind].items():
        one = said.get(field, wanted())
        if type(one) is not wanted:
            return None
        kept[field] = one if wanted is not str else shown(one)
    if kind == NAME:  # what stands in brackets behind a name is said by the cluster alone
        kept["name"] = shown(re.sub(r"[()]", "", kept["name"]), NAME_LONG)
    return name, kept


def shown(text: str, long: int = LONG) -> str:
    """Return a text in one line, without what a terminal would obey."""
    kept = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * long])
    return " ".join(kept.split())[:long]

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
    "5 when send() returns, the record is in Kafka": ("01", "prediction-send", "prediction = 10"),
    "6 a program that ends has delivered what it sent": ("01", "kill", "without flush"),
    "8 save, then publish, is safe": ("01", "explain-two", "`try` and `except` do not help"),
    "9 a reply is as simple as with HTTP": ("01", "prediction-order", "prediction = 6"),
    "10 reading a record removes it": ("02", "prediction-there", "prediction = 0"),
    "12 any client can use Kafka's queues": ("02", "share-client", "KafkaShareConsumer"),
}


def lesson(number: str) -> dict[str, str]:
    """Return the text of each cell of a lesson by the cell's id."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


def hints(number: str) -> dict[str, str]:
    """Return what the checks of a lesson say, by name."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    catalogue = ROOT / "lab_env" / "messages" / "en" / f"{path.stem[3:]}.toml"
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
    wanted = [1, 2, 4, 5, 6, 8, 9, 10, 12]
    assert numbers == wanted

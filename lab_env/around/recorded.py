"""What lesson 12's cells show on a machine with an engine, for those who have none.

The file beside this one is written by ``tests/record_lesson_12.py``, on a machine with an engine.
"""

import functools
import json
from pathlib import Path

FILE = Path(__file__).with_name("recorded.json")


@functools.cache
def _all() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8"))


def found() -> dict[str, object]:
    """Return what was found by the cells that answer a prediction, by the cell's name."""
    return dict(_all()["found"])


def output(cell: str) -> str:
    """Return what a cell printed; "" if nothing of it is recorded."""
    return _all()["outputs"].get(cell, "")


def machine() -> str:
    """Return what machine it was, such as "Linux, Docker 29.1"; "" if that is unknown."""
    return _all()["machine"]

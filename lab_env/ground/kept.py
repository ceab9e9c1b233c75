"""Where what a student has done is kept on this machine: files of her own, side by side."""

import os
from pathlib import Path

VARIABLE = "KAFKA_LAB_PROGRESS"  # names the file of the lessons; empty: nothing is kept


def place(name: str | None = None) -> Path | None:
    """Return a file, or None if nothing is to be kept.

    Args:
        name: of one beside that of the lessons; None is that of the lessons itself.
    """
    named = os.environ.get(VARIABLE)
    if named is not None and not named.strip():
        return None
    if named is not None:
        file = Path(named).expanduser()
    else:
        from platformdirs import user_data_path

        file = user_data_path("kafka-lab", appauthor=False) / "progress.json"
    return file if name is None else file.with_name(name)

"""Lessons: how long each takes a machine that runs it from top to bottom."""

import json
import tempfile
import time
from pathlib import Path

from benchmarks.apart import fresh
from benchmarks.rows import Row


def measure(quick: bool) -> list[Row]:
    """Run every lesson once, with the solutions in the exercises; quick: the start of the first."""
    from lab_env.course import lessons

    with tempfile.TemporaryDirectory() as folder:
        paths = [_beginning(lessons.paths()[0], Path(folder))] if quick else lessons.paths()
        rows = []
        for path in paths:
            seconds, failures = fresh(run, str(path))
            wrong = f", **{failures} cells failed**" if failures else ""
            rows.append(Row(f"lesson {path.stem}{wrong}", [seconds], "s", most=60))
    return rows


def _beginning(path: Path, folder: Path) -> Path:
    """Return a copy of a lesson up to its first code cell."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    notebook["cells"] = notebook["cells"][: kinds.index("code") + 1]
    copy = folder / path.name
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    return copy


def run(path: str) -> tuple[float, int]:
    """Return how long a lesson took (s), and how many of its cells failed."""
    from lab_env.course import runner

    began = time.monotonic()
    _, failures = runner.run(Path(path), solutions=True)
    return time.monotonic() - began, len(failures)

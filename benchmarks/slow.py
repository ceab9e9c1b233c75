"""Lessons on a part of a core, as on a laptop in a full room: which cells fail, and how long."""

import json
import signal
import sys
import time
from pathlib import Path

import click

from benchmarks import part
from benchmarks.apart import environment
from benchmarks.rows import Row

CELL_SECONDS = 1200  # a bound against hanging for one cell, no measure


def end_on_any_signal() -> None:
    """Let the command's end be an Interrupt, also where a shell or `timeout` asks for it."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.default_int_handler)


def measure(paths: list[Path], parts: list[float], told=click.echo) -> list[Row]:
    """Run lessons with their solutions and checks, each with each part of a core.

    Args:
        paths: of the lessons.
        parts: of one core, such as 0.25.
        told: is given a sentence for each cell that failed.

    Returns: a row a lesson and part; its words say which cells failed.
    """
    rows = []
    for share in parts:
        for path in paths:
            with part.part_of_a_core(share) as given:
                words = [sys.executable, "-m", "benchmarks.slow", str(path)]
                out = part.run(words, given, env=environment())
            seconds, failures = json.loads(out.splitlines()[-1])
            for cell, why in failures:
                told(f"{path.stem} on {given.how}: cell {cell}: {why}")
            cells = ", ".join(str(cell) for cell, _ in failures)
            failed = f", **failed: cell {cells}**" if failures else ""
            rows.append(Row(f"lesson {path.stem} on {given.how}{failed}", [seconds], "s"))
    return rows


def run(path: Path) -> tuple[float, list[tuple[int, str]]]:
    """Return how long a lesson took (s), and the cells that failed: index and why.

    A check that does not find its exercise's solution right is a failure too. Traces go to stderr.
    """
    from lab_env.course import lessons, runner

    began = time.monotonic()
    notebook, failures = runner.run(path, solutions=True, keep_going=True, seconds=CELL_SECONDS)
    for failure in failures:
        click.echo(failure.trace, err=True)
    found = [(failure.cell, failure.why) for failure in failures]
    for exercise in lessons.exercises(notebook) + lessons.steps(notebook):
        if refused := _refused(notebook.cells[exercise.check].get("outputs", ())):
            found.append((exercise.check, refused))
    return time.monotonic() - began, sorted(found)


def _refused(outputs: list) -> str:
    """Return what a check said of an exercise that it did not find right, or nothing."""
    texts = [one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs]
    return " ".join(text for text in texts if "✗" in text)


if __name__ == "__main__":
    end_on_any_signal()
    print(json.dumps(run(Path(sys.argv[1]))))

"""What a student has foreseen and passed, kept on this machine: one small file, hers alone.

The variable ``KAFKA_LAB_PROGRESS`` names another file; empty, nothing is kept (a machine that runs
lessons learns nothing). What cannot be read or written is as if nothing were kept: a lesson never
fails because of it.
"""

import contextlib
import json
from pathlib import Path

from lab_env.ground import kept

VARIABLE = kept.VARIABLE
PREDICTIONS, STEPS, EXERCISES = "predictions", "steps", "exercises"
WAIT = 2.0  # s for another notebook that writes: then this once nothing is kept


def place() -> Path | None:
    """Return the file, or None if nothing is to be kept."""
    return kept.place()


def read() -> dict[str, dict[str, dict]]:
    """Return what is kept, by lesson ("02"): ``predictions``, ``steps``, ``exercises`` by name.

    A prediction is True (foreseen), False or None (none was made); a step or an exercise that is
    named has been passed.
    """
    file = place()
    if file is None:
        return {}
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {
                lesson: {
                    kind: dict(part)
                    for kind in (PREDICTIONS, STEPS, EXERCISES)
                    if isinstance(part := parts.get(kind), dict)
                }
                for lesson, parts in found.items()
                if isinstance(parts, dict)
            }
    return {}


def keep(lesson: str, kind: str, name: str, value: object) -> None:
    """Keep one thing of a lesson; the newest of a name stays."""
    file = place()
    if file is None:
        return
    from filelock import FileLock, Timeout

    with contextlib.suppress(OSError, Timeout):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock"), timeout=WAIT):
            found = read()
            if found.get(lesson, {}).get(kind, {}).get(name, ...) == value:
                return
            found.setdefault(lesson, {}).setdefault(kind, {})[name] = value
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(found, indent=1), encoding="utf-8")
            fresh.replace(file)  # whole or not at all

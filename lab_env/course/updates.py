"""What becomes of a file that students have, when ours is brought again: one policy for all ways.

What a student has made of it stays. Ours is laid beside it only if ours has changed as well.
"""

import hashlib
import json
from pathlib import Path

UPDATED = ".new"  # what a lesson is called that an update has laid beside a student's work
BRING, SAME, HERS, GONE, BESIDE = "bring", "same", "hers", "gone", "beside"


def fate(there: bytes | None, before: str | None, now: bytes) -> str:
    """Return what becomes of a file.

    Args:
        there: what the file is; None if there is none.
        before: the sum of ours when it was brought last; None if it never was.
        now: ours.

    Returns:
        BRING ours, which is new there or takes the place of one that nobody has worked on; SAME;
        HERS where she alone has changed it, and GONE where she has taken it away: both stay so;
        BESIDE where both have changed.
    """
    has_changed = before != sum_of(now)
    if there is None:
        return BRING if has_changed else GONE
    if there == now:
        return SAME
    if not has_changed:
        return HERS
    return BRING if before in (sum_of(there), sum_of(as_brought(there))) else BESIDE


def beside(file: Path) -> Path:
    """Return where ours is laid, beside a file of hers."""
    return file.with_name(f"{file.stem}{UPDATED}{file.suffix}")


def sum_of(data: bytes) -> str:
    """Return what a file is known by."""
    return hashlib.sha256(data).hexdigest()


def as_brought(data: bytes) -> bytes:
    """Return a notebook without what running it leaves in it: outputs and counts are no work."""
    try:
        notebook = json.loads(data)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
                cell["metadata"].pop("execution", None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return data
    return as_bytes(notebook)


def as_bytes(notebook: dict) -> bytes:
    """Return a notebook as its file has it."""
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def known(file: Path) -> dict[str, str]:
    """Return what was brought before, by name; what cannot be read is as if nothing were."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

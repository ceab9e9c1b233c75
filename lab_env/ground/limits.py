"""How much memory and how many cores this process may use, and why the system ends one."""

import contextlib
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from lab_env.messages import say

GROUPS = Path("/sys/fs/cgroup")  # Linux alone has it; elsewhere nothing is found there
OWN = Path("/proc/self/cgroup")
NONE_AT_ALL = 1 << 60  # bytes; version 1 writes "no limit" as a huge number
SIGKILL = getattr(signal, "SIGKILL", 9)
V2, V1 = "memory.max", "memory.limit_in_bytes"


def free_memory() -> tuple[float, bool]:
    """Return how many bytes may still be used, and whether a limit of ours decides that."""
    import psutil

    machine = psutil.virtual_memory().available
    ours = min((_room(group) for group in _groups("memory")), default=math.inf)
    return (max(ours, 0.0), True) if ours < machine else (machine, False)


def memory_limit() -> int | None:
    """Return how many bytes this process and its children may use at most; None without a limit."""
    found = []
    for group in _groups("memory"):
        for name in (V2, V1):
            with contextlib.suppress(OSError, ValueError):
                found.append(int(_read(group / name)))
    return min((limit for limit in found if limit < NONE_AT_ALL), default=None)


def killed() -> str:
    """Return what a SIGKILL that nobody sent nearly always means, with the limit if one is set."""
    limit = memory_limit()
    if limit is None:
        return say("clusters.killed")
    return say("clusters.killed_limit", limit=f"{limit / 1e9:.1f}")


def why_ended(code: int | None) -> str:
    """Return the same for an exit code, of a process or of a shell; "" if it is another one."""
    return killed() if code in (-SIGKILL, 128 + SIGKILL) else ""


def cores() -> tuple[float, bool]:
    """Return how many cores may be used, and whether a limit of ours decides that."""
    machine = os.cpu_count() or 1
    mine = machine
    if hasattr(os, "sched_getaffinity"):
        mine = len(os.sched_getaffinity(0))
    mine = min([mine, *(_share(group) for group in _groups("cpu"))])
    return mine, mine < machine


def _groups(controller: str) -> Iterator[Path]:
    """Yield the control groups of this process that may have limits, the innermost first.

    In a container the path that the kernel names is often one of the world outside, and what is
    at the top is our own.
    """
    lines = []
    with contextlib.suppress(OSError):
        lines = OWN.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, names, path = line.split(":", 2)
        tops = [GROUPS, GROUPS / "unified"] if not names else [GROUPS / names, GROUPS / controller]
        if names and controller not in names.split(","):
            continue
        for top in dict.fromkeys(tops):
            place = top / path.lstrip("/")
            yield place
            while place != top and top in place.parents:
                place = place.parent
                yield place


def _room(group: Path) -> float:
    """Return how many bytes fit into a group still; what it only caches is given back."""
    for limit, used, cache in (
        (V2, "memory.current", "inactive_file"),
        (V1, "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):
            most = float(_read(group / limit).replace("max", "inf"))
            stat = dict(line.split(" ") for line in _read(group / "memory.stat").splitlines())
            return most - float(_read(group / used)) + float(stat.get(cache, 0))
    return math.inf


def _share(group: Path) -> float:
    """Return how many cores a group may use at once."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = _read(group / "cpu.max").split()
        return float(quota.replace("max", "inf")) / float(period)
    with contextlib.suppress(OSError, ValueError):
        quota = float(_read(group / "cpu.cfs_quota_us"))
        return quota / float(_read(group / "cpu.cfs_period_us")) if quota > 0 else math.inf
    return math.inf


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()

"""The fence around a student's code: what it may write, read, signal and use of this machine.

Run as a script it takes on the fence and becomes another program: ``fence.py FENCE PROGRAM ...``,
where FENCE is JSON. The parts that a system has are used: on Linux a namespace of processes of
its own (all of them end with their first), and Landlock; elsewhere only the limits of a process.
"""

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys

LINUX = sys.platform == "linux"
FILE_BYTES = 512 * 2**20  # one file: Kafka's own are a tenth of that
# Landlock (the kernel's documentation, userspace-api/landlock): the numbers of its system calls,
# and of its rights, by the version that brought them
CREATE, ADD, RESTRICT = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
REFER, TRUNCATE, IOCTL = 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
SIGNALS = 2  # with version 6: none to whom stands outside the fence
NO_NEW_PRIVILEGES = 38


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scoped")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def namespace() -> list[str]:
    """Return the words that start a program in a namespace of processes of its own, or nothing."""
    if not (LINUX and shutil.which("unshare")):
        return []
    words = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child"]
    words += ["--mount-proc", "--"]
    return words if _runs([*words, "true"]) else []


def landlock() -> int:
    """Return the version of Landlock that the kernel has; 0 is none."""
    if not LINUX:
        return 0
    with contextlib.suppress(OSError, AttributeError):
        return max(ctypes.CDLL(None, use_errno=True).syscall(CREATE, None, 0, 1), 0)
    return 0


def words(write: list[str], read: list[str], names: list[str]) -> list[str]:
    """Return the words that stand before a program to run it behind the fence.

    Args:
        write: the folders and devices that it may write to, and read; nothing means everything.
        read: what else it may read; nothing means everything.
        names: folders of which it may read the names of the files, and no more.
    """
    fence = json.dumps({"write": write, "read": read, "names": names})
    return [sys.executable, "-P", __file__, fence]


def take_on(write: list[str], read: list[str], names: list[str]) -> None:
    """Put this process, and all that it will start, behind the fence for good."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    version = landlock()
    if not (version and write):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    changes = WRITE_FILE | MAKE_AND_REMOVE
    changes |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    rules = _Ruleset(changes | (READ if read else 0), 0, SIGNALS if version >= 6 else 0)
    size = ctypes.sizeof(rules) if version >= 6 else 16 if version >= 4 else 8
    ruleset = _call(libc, CREATE, ctypes.byref(rules), size, 0)
    for place in write:
        _allow(libc, ruleset, place, changes | (READ if read else 0))
    for place in read:
        _allow(libc, ruleset, place, READ)
    for place in names if read else ():
        _allow(libc, ruleset, place, READ_DIR)
    _call(libc, None, NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call(libc, RESTRICT, ruleset, 0)
    os.close(ruleset)


def _allow(libc, ruleset: int, place: str, rights: int) -> None:
    try:
        fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there cannot be reached either
    try:
        if not os.path.isdir(place):
            rights &= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
        rule = _Beneath(rights, fd)
        _call(libc, ADD, ruleset, 1, ctypes.byref(rule), 0)
    finally:
        os.close(fd)


def _call(libc, number: int | None, *values) -> int:
    done = libc.prctl(*values) if number is None else libc.syscall(number, *values)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done


def _runs(words: list[str]) -> bool:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def main() -> None:
    """Take on the fence, and become the program that the command line names."""
    fence, *program = sys.argv[1:]
    take_on(**json.loads(fence))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()

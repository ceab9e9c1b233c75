"""Where the lab keeps things on disk: one folder a user, one a running lab; and what is swept."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Generator
from pathlib import Path

from lab_env.ground.errors import StorageError
from lab_env.processes.supervisor import do_at_end, is_mine, try_lock, unlock

HOME_VARIABLE = "KAFKA_LAB_HOME"


def home() -> Path:
    """Return the lab's folder of this user: ``KAFKA_LAB_HOME``, or the system's cache folder."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("kafka-lab", appauthor=False)


def _spare() -> Path:
    """Return where the labs are that cannot be in the home: a folder a user, by her number."""
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""  # Windows: hers is the whole folder
    return Path(tempfile.gettempdir()) / f"kafka-lab{user}"


def is_own(folder: Path) -> bool:
    """Return whether this is a folder of this user's, and not a link to one."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and is_mine(found)


def make_private(folder: Path) -> bool:
    """Make a folder that no other user can enter, and return whether it is one now.

    What is there already may be another user's, who was quicker with a name that she could guess.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not hasattr(os, "O_DIRECTORY"):  # Windows
            return is_own(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if not is_mine(os.fstat(fd)):
                return False
            if os.fstat(fd).st_mode & 0o077:
                os.fchmod(fd, 0o700)
            return not os.fstat(fd).st_mode & 0o077  # some file systems know no modes
        finally:
            os.close(fd)
    except OSError:
        return False


def _holds_names(folder: Path) -> bool:
    """Return whether nobody but its owner can put another folder in the place of one in here."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return os.name == "nt" or not mode & stat.S_IWOTH or bool(mode & stat.S_ISVTX)


def stranger(folder: Path) -> str | None:
    """Return who owns a folder of programs, if it is nobody whose programs may run as this user.

    Those who may: she herself, the system's administrator, and the owner of the home: who names
    a home trusts its owner.
    """
    if not hasattr(os, "geteuid"):
        return None
    try:
        owner = folder.stat().st_uid
        if owner in (os.geteuid(), 0, home().stat().st_uid):
            return None
    except OSError:  # not there yet
        return None
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(owner).pw_name
    return str(owner)


def _writable(folder: Path) -> bool:
    try:
        probe = folder / f".probe-{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def labs() -> Path:
    """Return the folder that holds the running labs' folders.

    A home that cannot be written (read-only, full), or where the folder would not be this user's
    alone, is replaced by a folder of hers in the system's temporary one, so that jars that someone
    else has put into a shared home can still be used.
    """
    folder = home() / "labs"
    if make_private(folder) and _holds_names(folder.parent) and _writable(folder):
        return folder
    make_private(_spare())
    return _spare() / "labs"


def new_lab_folder() -> Path:
    """Return a path for a new lab; the supervisor makes the folder once it holds its lock.

    Raises:
        StorageError: not even the temporary folder can be written, or it is another user's.
    """
    folder = labs()
    if folder.parent == _spare() and not is_own(_spare()) and os.path.lexists(_spare()):
        raise StorageError("storage.not_yours", folder=_spare(), variable=HOME_VARIABLE)
    if not (make_private(folder) and _writable(folder)):
        raise StorageError("storage.not_writable", folder=folder, variable=HOME_VARIABLE)
    return folder / f"{time.strftime('%H%M%S')}-{uuid.uuid4().hex[:8]}"


def lock_of(folder: Path) -> Path:
    """Return the lock file beside a lab's folder, held by the lab's supervisor while it lives."""
    return folder.with_name(folder.name + ".lock")


def sweep() -> list[Path]:
    """Remove what dead labs left: processes that name their folder, containers, then the folder.

    Only this user's own folders whose lock is free are touched. A supervisor takes the lock before
    it makes the folder, so a living lab is never taken for a dead one.

    Returns:
        The folders that were removed.
    """
    removed = []
    # the temporary folder too: a lab may have had to go there
    for place in {labs(), _spare() / "labs"}:
        for folder in labs_in(place):
            lock = lock_of(folder)
            handle = try_lock(lock)
            if handle is None:
                continue
            try:
                end_processes_of(folder)
                do_at_end(folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                unlock(handle)
                with contextlib.suppress(OSError):
                    lock.unlink()
            removed.append(folder)
    return removed


def labs_in(place: Path) -> list[Path]:
    """Return the folders of labs, living and dead, in a folder that is this user's own."""
    if not (is_own(place.parent) or place.parent == home()) or not is_own(place):
        return []
    return [folder for folder in place.glob("*-*/") if is_own(folder)]


def end_processes_of(folder: Path) -> None:
    """Kill every process whose command line names ``folder``, and wait until they are gone."""
    import psutil

    mark = str(folder) + os.sep
    ended = []
    for process in psutil.process_iter(["cmdline"]):
        if any(mark in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.Error):
                process.kill()
                ended.append(process)
    psutil.wait_procs(ended, timeout=5)


def size(folder: Path) -> int:
    """Return how many bytes the files below ``folder`` take."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file():
                total += file.stat().st_size
    return total


def free(folder: Path) -> int:
    """Return how many bytes may still be written to the disk that holds ``folder``."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free
    return 0


@contextlib.contextmanager
def disk_errors(folder: Path) -> Generator[None]:
    """Turn the system's errors about a full or read-only disk into a `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise StorageError("storage.full", folder=folder, variable=HOME_VARIABLE) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise StorageError(
                "storage.not_writable", folder=folder, variable=HOME_VARIABLE
            ) from error
        raise

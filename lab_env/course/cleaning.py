"""What ``lab clean`` frees: what dead labs left on the disk, and programs that nobody needs."""

import shutil
from pathlib import Path

from lab_env.processes import folders, jars
from lab_env.processes.supervisor import try_lock, unlock
from lab_env.spring import app


def clean(*, everything: bool = False) -> list[tuple[Path, int]]:
    """Free what the lab keeps on disk and no living lab uses.

    Args:
        everything: also the jars and the AOT caches of the Kafka and the Spring in use, which the
            next start has to fetch and make again.

    Returns:
        What was removed: (path, bytes).
    """
    freed = []
    for folder in folders.labs_in(folders.labs()):
        handle = try_lock(folders.lock_of(folder))
        if handle is not None:
            freed.append((folder, folders.size(folder)))
            unlock(handle)
    folders.sweep()
    in_use = {jars.folder(), app.STORE.folder(), app.RABBIT_STORE.folder()}
    keep = set() if everything else in_use
    for folder in (folders.home() / "kafka").glob("*"):
        # resolved as the lab's own is: a home behind a link would else lose the Kafka in use
        if folder.is_dir() and folder.resolve() not in keep:
            freed.append((folder, folders.size(folder)))
            shutil.rmtree(folder, ignore_errors=True)
    return freed

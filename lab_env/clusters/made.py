"""What a lab has made on a Kafka, so that it deletes nothing that somebody else has made."""

import contextlib
from pathlib import Path

from lab_env.ground.errors import NotYoursError
from lab_env.processes import folders
from lab_env.processes.supervisor import try_lock, unlock

# addresses of projects that are thrown away with their lab, as the Kafka that a lab starts itself
thrown_away: set[str] = set()


class Made:
    """The record of a Kafka that is thrown away with its lab: all that is there is the lab's.

    Attributes:
        prefix: what the names of this lab begin with.
    """

    prefix = ""

    def begin(self, name: str, topic_id: str | None) -> None:
        """Note that the lab is about to make a topic, in place of one that may be there.

        Args:
            name: the topic's real name.
            topic_id: Kafka's own id of the topic that has the name now; None if there is none.

        Raises:
            NotYoursError: there is one, and this lab may not delete it.
        """

    def end(self, name: str, topic_id: str) -> None:
        """Note Kafka's id of the topic that was made."""


class MadeOnFile(Made):
    """The record of a Kafka that the student runs herself: a file a topic, in her own home.

    A topic's id is Kafka's own and never given twice, so a topic that somebody deleted and made
    anew under the same name is not taken for the lab's. What an earlier lab of this home has made
    counts as well, so that a lesson can be run again; what one that lives has made does not.

    Args:
        lab: the folder of this lab.
    """

    def __init__(self, lab: Path):
        self._lab = lab
        self._folder = folders.labs() / "made"  # where nobody else can write
        self._old: dict[str, str] = {}  # ids that go, by name

    def begin(self, name: str, topic_id: str | None) -> None:
        """See `Made.begin`."""
        if topic_id is None:
            return
        try:
            maker = Path((self._folder / topic_id).read_text(encoding="utf-8"))
        except OSError:
            raise NotYoursError("lab.topic_not_made", name=name) from None
        if maker != self._lab and lives(maker):
            raise NotYoursError("lab.topic_of_another", name=name)
        self._old[name] = topic_id

    def end(self, name: str, topic_id: str) -> None:
        """See `Made.end`."""
        with contextlib.suppress(KeyError, OSError):
            (self._folder / self._old.pop(name)).unlink()
        with folders.disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / topic_id).write_text(str(self._lab), encoding="utf-8")


def lives(lab: Path) -> bool:
    """Return whether the lab of this machine that has this folder lives: its lock is held."""
    lock = folders.lock_of(lab)
    if not lock.exists():
        return False
    handle = try_lock(lock)
    if handle is None:
        return True
    unlock(handle)
    return False

"""The lab's own errors: each says what happened, why, and what to do next."""

from typing import Any

from lab_env.messages import say


class LabError(Exception):
    """An error that a student can act on; a notebook shows its sentences, not a stack trace.

    Args:
        key: the text in the catalogue (`lab_env.messages`).
        **values: what fills the text's placeholders.
    """

    def __init__(self, key: str, **values: object):
        self.key = key
        self.values: dict[str, Any] = values
        super().__init__(say(key, **values))

    def __reduce__(self):
        return _rebuild, (type(self), self.key, self.values)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints in place of a stack trace."""
        return [f"{type(self).__name__}: {self}"]


def _rebuild(kind: type[LabError], key: str, values: dict) -> LabError:
    return kind(key, **values)


class BadInputError(LabError, ValueError):
    """An argument that cannot work; raised before anything is started."""


class StorageError(LabError):
    """The disk is full, or the lab's folder cannot be written."""


class DownloadError(LabError):
    """Kafka's jars could not be fetched, or are not what the lock says."""


class BrokerError(LabError):
    """Kafka did not start, died, or does not answer."""


class NotYoursError(LabError):
    """A fault that only the owner of a cluster may inject, or a topic that the lab has not made."""


class ClosedError(LabError):
    """The lab is closed."""


class ServiceError(LabError):
    """A student's service could not be started, or its function raised."""


class ClusterError(LabError):
    """A Kubernetes cluster cannot be used, refuses something, or does not get where it should."""


class PackageError(LabError):
    """Python finds something else than a package that the lab needs."""

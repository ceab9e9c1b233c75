"""Reading objects as the server keeps them: who made them, whether they are ready, since when."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lab_env.kubernetes.api import Api

MANAGER = "kafka-lab"  # who wrote a field, as the server keeps it of each


class Namespace(Protocol):
    """The lab's namespace in a cluster, as far as it can be looked at."""

    api: "Api"
    namespace: str

    def found(self, kind: str, labels: dict[str, str] | str | None = None) -> list[dict]:
        """Return the objects of a kind, as the server keeps them."""

    def log(self, pod: str, lines: int = 20, *, previous: bool = False) -> str:
        """Return the end of what a pod has printed."""


def made_here(there: dict) -> bool:
    """Return whether the lab has applied an object of the cluster."""
    return any(
        (one.get("manager"), one.get("operation")) == (MANAGER, "Apply")
        for one in there["metadata"].get("managedFields") or []
    )


def rolled_out(workload: dict) -> bool:
    """Return whether all pods of a workload are of its newest form and available."""
    spec, status = workload["spec"], workload.get("status", {})
    wanted = spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    numbers = [status.get(key, 0) for key in ("replicas", "readyReplicas", "availableReplicas")]
    if workload["kind"] == "StatefulSet":
        # updatedReplicas is left out when nothing is being updated
        newest = status.get("updateRevision") == status.get("currentRevision")
        return newest and numbers == [wanted] * 3
    return [*numbers, status.get("updatedReplicas", 0)] == [wanted] * 4


def when(event: dict) -> float:
    """Return the time of an event, seconds since 1970; 0 if it has none."""
    series = (event.get("series") or {}).get("lastObservedTime")
    found = series or event.get("lastTimestamp") or event.get("eventTime")
    return moment(found or event["metadata"].get("creationTimestamp"))


def moment(text: str | None) -> float:
    """Return a time of the server's, seconds since 1970; 0 for none."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def age(then: float) -> float:
    """Return how long ago a moment was, s, by the clock of this machine."""
    return max(0.0, round(time.time() - then, 1))


def ready(pod: dict) -> bool:
    """Return whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)

"""Where the API server keeps which kind of object, for the kinds that the lab knows."""

from typing import NamedTuple
from urllib.parse import quote

from lab_env.ground.errors import BadInputError


class Kind(NamedTuple):
    """A kind of object: its group and version, and its name in addresses."""

    version: str
    plural: str
    spaced: bool = True  # lives in a namespace

    @property
    def group(self) -> str:
        """The group's name, as rights are given for it; "" for the oldest kinds."""
        return self.version.rpartition("/")[0]


KINDS = {
    "Namespace": Kind("v1", "namespaces", spaced=False),
    "ConfigMap": Kind("v1", "configmaps"),
    "Secret": Kind("v1", "secrets"),
    "Service": Kind("v1", "services"),
    "Deployment": Kind("apps/v1", "deployments"),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "Pod": Kind("v1", "pods"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "ReplicaSet": Kind("apps/v1", "replicasets"),
    "Event": Kind("v1", "events"),
}
# in the order in which they are made: what others need comes first
APPLIED = tuple(KINDS)[:8]
ROLLED_OUT = ("Deployment", "StatefulSet")


def path(kind: str, space: str, name: str = "", part: str = "") -> str:
    """Return the address of objects of a kind, of one of them, or of a part of it (its log).

    Raises BadInputError: a kind that the lab does not know.
    """
    if kind not in KINDS:
        raise BadInputError("kubernetes.bad_kind", kind=kind, known=", ".join(APPLIED))
    version, plural, spaced = KINDS[kind]
    words = ["/api" if version == "v1" else "/apis", version]
    words += ["namespaces", quote(space, safe="")] if spaced else []
    words += [plural, quote(name, safe="") if name else "", part]
    return "/".join(word for word in words if word)


def title(document: dict) -> str:
    """Return how a person calls an object: its kind and its name."""
    return f"{document['kind']} {document['metadata']['name']}"

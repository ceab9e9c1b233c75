"""Finding one's way in documents: workloads, their pods, and what a pod's containers are given."""

import re
from collections.abc import Iterator
from typing import Any

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
UNKNOWN = "a-password"  # in place of what a Secret holds


def of(documents: list[dict], *kinds: str) -> list[dict]:
    """Return the documents of some kinds."""
    return [one for one in documents if one["kind"] in kinds]


def the(documents: list[dict], kind: str, name: str) -> dict:
    """Return the one document of a kind and a name.

    Raises LookupError: there is none, or more than one.
    """
    found = [one for one in of(documents, kind) if one["metadata"]["name"] == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} of {kind} {name}")
    return found[0]


def workloads(documents: list[dict]) -> list[dict]:
    """Return the documents that make pods."""
    return of(documents, *WORKLOADS)


def labels(workload: dict) -> dict:
    """Return the labels that a workload's pods get."""
    return workload["spec"]["template"]["metadata"]["labels"]


def spec(workload: dict) -> dict:
    """Return what a workload's pods are made from."""
    return workload["spec"]["template"]["spec"]


def containers(workload: dict) -> list[dict]:
    """Return the containers of a workload's pods, those that come first first."""
    return [*spec(workload).get("initContainers", []), *spec(workload)["containers"]]


def placed(workload: dict) -> Iterator[tuple[str, dict]]:
    """Return the same containers, each with the way to it."""
    for part in ("initContainers", "containers"):
        for number, container in enumerate(spec(workload).get(part, [])):
            yield f"spec.template.spec.{part}[{number}]", container


def selected(documents: list[dict], wanted: dict | None) -> list[dict]:
    """Return the workloads whose pods a selector means; none of them selects all."""
    return [one for one in workloads(documents) if (wanted or {}).items() <= labels(one).items()]


def ports(workload: dict) -> dict[str, int]:
    """Return the ports of a workload's containers, by name (by number, where they have none)."""
    return {
        port.get("name", str(port["containerPort"])): port["containerPort"]
        for container in containers(workload)
        for port in container.get("ports", [])
    }


def space(document: dict) -> str:
    """Return the namespace of a document."""
    return document["metadata"].get("namespace", "default")


def variables(documents: list[dict], workload: dict, container: dict, pod: str) -> dict[str, str]:
    """Return a container's variables as the kubelet makes them for a pod of this name.

    Raises LookupError: a ConfigMap that is not among the documents.
    """
    fields = {"metadata.name": pod, "metadata.namespace": space(workload)}
    found = {}
    for source in container.get("envFrom", []):
        found |= the(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", []):
        origin = one.get("valueFrom", {})
        if "fieldRef" in origin:
            value = fields[origin["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in origin:
            value = UNKNOWN
        else:
            value = re.sub(r"\$\((\w+)\)", lambda m: found.get(m[1], m[0]), one["value"])
        found[one["name"]] = value
    return found


def every(part: object, *names: str, way: str = "") -> Iterator[tuple[str, str, Any]]:
    """Find what has one of these names, at any depth: the way to it, its name, and itself."""
    if isinstance(part, dict):
        for key, value in part.items():
            here = f"{way}.{key}".removeprefix(".")
            if key in names:
                yield here, key, value
            yield from every(value, *names, way=here)
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from every(value, *names, way=f"{way}[{number}]")

"""What no schema sees: documents that Kubernetes takes, and that cannot work, or not safely."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab_env.kubernetes.kinds import title
from lab_env.kubernetes.manifests import frame, listed, named
from lab_env.kubernetes.parts import (  # fmt: skip
    containers,
    every,
    labels,
    of,
    placed,
    ports,
    selected,
    space,
    spec,
    variables,
    workloads,
)
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

Fault = tuple[str, str, str, str]
BY_HAND = {"kafka-broker-login": {"password"}}  # the Secret that README.md makes, for the base
TEMPLATE = "spec.template.spec"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def faults(documents: list[dict]) -> "pd.DataFrame":
    """Return what cannot work among documents that belong together, though no schema sees it.

    Args:
        documents: plain dicts, as `lab_env.kubernetes.documents` returns them: all that go to
            the cluster together, since most faults lie between two of them.

    Returns:
        DataFrame, a row a fault: kind, name, where, what str.
    """
    return frame([fault for rule in RULES for fault in _asked(rule, listed(documents))])


def _asked(rule, documents: list) -> list[Fault]:
    """Ask a rule; what it cannot read at all is a mistake, and for `mistakes` to say."""
    found = _read(rule, documents)
    if found is not None:
        return found
    broken = [one for one in documents if _read(rule, [one]) is None]
    # or it breaks only beside others: then it is the one without which the rule can read them
    broken += [
        one
        for number, one in enumerate(documents)
        if _read(rule, [*documents[:number], *documents[number + 1 :]]) is not None
    ]
    name = named(broken[0] if broken else None)
    return [(*name, "", say("kubernetes.fault_unread", rule=rule.__name__))]


def _read(rule, documents: list) -> list[Fault] | None:
    try:
        return list(rule(documents))
    except (LookupError, TypeError, AttributeError, ValueError):
        return None


def _fault(document: dict, where: str, text: str, /, **values: object) -> Fault:
    return *named(document), where, say(text, **values)


def selectors(documents: list[dict]) -> Iterator[Fault]:
    """Each selector means pods that there are, and a workload's its own."""
    for one in workloads(documents):
        if one["kind"] != "Job" and not one["spec"]["selector"]["matchLabels"].items() <= (
            labels(one).items()
        ):
            yield _fault(one, "spec.selector", "kubernetes.fault_other_pods")
    for one in documents:
        for way, _, wanted in every(one, "podSelector", "labelSelector"):
            if not selected(documents, wanted.get("matchLabels")):
                yield _fault(one, way, "kubernetes.fault_no_pod")
    for one in of(documents, "Service"):
        if not selected(documents, one["spec"].get("selector")):
            yield _fault(one, "spec.selector", "kubernetes.fault_no_pod")
    for one in of(documents, "PodDisruptionBudget"):
        if not selected(documents, one["spec"]["selector"]["matchLabels"]):
            yield _fault(one, "spec.selector", "kubernetes.fault_no_pod")


def service_names(documents: list[dict]) -> Iterator[Fault]:
    """The Service that a StatefulSet names is there, headless, and of its pods."""
    for one in of(documents, "StatefulSet"):
        name = one["spec"].get("serviceName", "")
        where = "spec.serviceName"
        for service in of(documents, "Service"):
            if service["metadata"]["name"] == name:
                if service["spec"].get("clusterIP") != "None":
                    yield _fault(one, where, "kubernetes.fault_not_headless", name=name)
                if one not in selected(documents, service["spec"].get("selector")):
                    yield _fault(one, where, "kubernetes.fault_other_service", name=name)
                break
        else:
            yield _fault(one, where, "kubernetes.fault_no_service", name=name)


def volumes(documents: list[dict]) -> Iterator[Fault]:
    """What is mounted is there, and what is there is mounted."""
    for one in workloads(documents):
        claims = one["spec"].get("volumeClaimTemplates", [])
        there = {volume["name"] for volume in spec(one).get("volumes", [])}
        there |= {claim["metadata"]["name"] for claim in claims}
        used = {
            mount["name"]
            for container in containers(one)
            for mount in container.get("volumeMounts", [])
        }
        where = f"{TEMPLATE}.volumes"
        for name in sorted(used - there):
            yield _fault(one, where, "kubernetes.fault_no_volume", name=name)
        for name in sorted(there - used):
            yield _fault(one, where, "kubernetes.fault_idle_volume", name=name)


REFERENCES = {
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "configMap": "ConfigMap",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
    "secret": "Secret",
}


def references(documents: list[dict], by_hand: dict[str, set] = BY_HAND) -> Iterator[Fault]:
    """Each ConfigMap and Secret that is asked for is there, with the key that is asked for."""
    there = {
        (one["kind"], one["metadata"]["name"]): {
            *one.get("data", {}),
            *one.get("stringData", {}),
            *one.get("binaryData", {}),
        }
        for one in of(documents, "ConfigMap", "Secret")
    }
    there |= {("Secret", name): keys for name, keys in by_hand.items()}
    for one in workloads(documents):
        for way, word, ref in every(spec(one), *REFERENCES, way=TEMPLATE):
            found = {"kind": REFERENCES[word], "name": ref.get("name") or ref.get("secretName")}
            keys = there.get((found["kind"], found["name"]))
            if keys is None:
                yield _fault(one, way, "kubernetes.fault_no_reference", **found)
            elif "key" in ref and ref["key"] not in keys:
                yield _fault(one, way, "kubernetes.fault_no_key", key=ref["key"], **found)
        for way, container in placed(one):
            where = f"{way}.env"
            yield from _too_late(one, container, where, there)


def _too_late(one: dict, container: dict, where: str, there: dict) -> Iterator[Fault]:
    earlier = {
        name
        for source in container.get("envFrom", [])
        for name in there.get(("ConfigMap", source.get("configMapRef", {}).get("name")), ())
    }
    for variable in container.get("env", []):
        for name in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
            if name not in earlier:
                values = {"variable": variable["name"], "name": name}
                yield _fault(one, where, "kubernetes.fault_too_late", **values)
        earlier.add(variable["name"])


def port_numbers(documents: list[dict]) -> Iterator[Fault]:
    """Probes, Services and policies mean ports that the containers open."""
    for one in workloads(documents):
        for way, container in placed(one):
            known = ports({"spec": {"template": {"spec": {"containers": [container]}}}})
            for probe in PROBES:
                how = container.get(probe, {})
                asked = [how[way]["port"] for way in ("httpGet", "tcpSocket") if way in how]
                words = how.get("exec", {}).get("command", ())
                asked += [int(word) for word in words if word.isdigit()]
                where = f"{way}.{probe}"
                for port in asked:
                    if port not in known and port not in known.values():
                        values = {"probe": probe, "port": port}
                        yield _fault(one, where, "kubernetes.fault_probe_port", **values)
    for one in of(documents, "Service"):
        for workload in selected(documents, one["spec"].get("selector")):
            for number, port in enumerate(one["spec"]["ports"]):
                target = port.get("targetPort", port["port"])
                if target not in ports(workload) and target not in ports(workload).values():
                    values = {"port": target, "workload": title(workload)}
                    where = f"spec.ports[{number}]"
                    yield _fault(one, where, "kubernetes.fault_port", **values)
    for one in of(documents, "NetworkPolicy"):
        for workload in selected(documents, one["spec"]["podSelector"].get("matchLabels")):
            for number, rule in enumerate(one["spec"].get("ingress", [])):
                for port in rule.get("ports", []):
                    if port["port"] not in ports(workload).values():
                        values = {"port": port["port"], "workload": title(workload)}
                        where = f"spec.ingress[{number}].ports"
                        yield _fault(one, where, "kubernetes.fault_port", **values)


def images(documents: list[dict]) -> Iterator[Fault]:
    """Each image is of a version that stays."""
    for one in workloads(documents):
        for way, container in placed(one):
            name, _, tag = container["image"].rpartition("/")[2].partition(":")
            if tag in ("", "latest") and "@sha256" not in name:
                where = f"{way}.image"
                image = container["image"]
                yield _fault(one, where, "kubernetes.fault_image", image=image)


def sizes(documents: list[dict]) -> Iterator[Fault]:
    """Each container says what it needs."""
    for one in workloads(documents):
        for way, container in placed(one):
            asked = container.get("resources", {}).get("requests", {})
            limit = container.get("resources", {}).get("limits", {})
            if not {"cpu", "memory"} <= set(asked) or "memory" not in limit:
                where = f"{way}.resources"
                yield _fault(one, where, "kubernetes.fault_size", name=container["name"])


def rights(documents: list[dict]) -> Iterator[Fault]:
    """No pod may do what it does not need."""
    for one in workloads(documents):
        pod = spec(one).get("securityContext", {})
        if spec(one).get("automountServiceAccountToken") is not False:
            yield _fault(one, TEMPLATE, "kubernetes.fault_token")
        if spec(one).get("enableServiceLinks") is not False:
            yield _fault(one, TEMPLATE, "kubernetes.fault_service_links")
        for way, container in placed(one):
            own = {**pod, **container.get("securityContext", {})}
            safe = (
                own.get("runAsNonRoot") is True,
                own.get("runAsUser", 0) > 0,
                own.get("allowPrivilegeEscalation") is False,
                own.get("readOnlyRootFilesystem") is True,
                own.get("capabilities", {}).get("drop") == ["ALL"],
                own.get("seccompProfile", {}).get("type") == "RuntimeDefault",
                not own.get("privileged"),
            )
            if not all(safe):
                where = f"{way}.securityContext"
                yield _fault(one, where, "kubernetes.fault_rights", name=container["name"])


def budgets(documents: list[dict]) -> Iterator[Fault]:
    """Several pods have a budget of disruptions, and one that lets a node be drained."""
    covered = []
    for one in of(documents, "PodDisruptionBudget"):
        for workload in selected(documents, one["spec"]["selector"]["matchLabels"]):
            covered.append(title(workload))
            pods = workload["spec"].get("replicas", 1)
            away = one["spec"].get("maxUnavailable", pods - one["spec"].get("minAvailable", 0))
            if away < 1:
                values = {"workload": title(workload)}
                yield _fault(one, "spec", "kubernetes.fault_no_drain", **values)
    for workload in of(documents, "Deployment", "StatefulSet"):
        if workload["spec"].get("replicas", 1) > 1 and title(workload) not in covered:
            yield _fault(workload, "spec.replicas", "kubernetes.fault_no_budget")


def advertised(documents: list[dict]) -> Iterator[Fault]:
    """Each broker's names are its pod's, below the headless service; the voters are the pods."""
    for one in of(documents, "StatefulSet"):
        if not any(word == "KAFKA_ADVERTISED_LISTENERS" for word in _variable_names(one)):
            continue
        settings = {}
        first = one["spec"].get("ordinals", {}).get("start", 0)
        service = one["spec"]["serviceName"]
        numbers = range(first, first + one["spec"].get("replicas", 1))
        where = f"{TEMPLATE}.containers[0].env"
        for number in numbers:
            pod = f"{one['metadata']['name']}-{number}"
            try:
                settings = variables(documents, one, spec(one)["containers"][0], pod)
            except LookupError:  # a ConfigMap that is not there: told already
                return
            open_ports = dict(re.findall(r"(\w+)://:(\d+)", settings["KAFKA_LISTENERS"]))
            if set(open_ports.values()) != {str(port) for port in ports(one).values()}:
                yield _fault(one, where, "kubernetes.fault_listeners")
            told = re.findall(r"(\w+)://([^:,]+):(\d+)", settings["KAFKA_ADVERTISED_LISTENERS"])
            for listener, host, port in told:
                right = f"{pod}.{service}.{space(one)}.svc"
                if host != right or open_ports.get(listener) != port:
                    values = {"pod": pod, "host": host, "port": port, "right": right}
                    yield _fault(one, where, "kubernetes.fault_advertised", **values)
            if {name for name, *_ in told} != set(open_ports) - {"CONTROLLER"}:
                yield _fault(one, where, "kubernetes.fault_unadvertised")
        voters = set(settings.get("KAFKA_CONTROLLER_QUORUM_VOTERS", "").split(","))
        if voters != {
            f"{number}@{one['metadata']['name']}-{number}.{service}:{ports(one)['controller']}"
            for number in numbers
        }:
            yield _fault(one, where, "kubernetes.fault_voters")


def _variable_names(workload: dict) -> list[str]:
    first = spec(workload)["containers"][0]
    return [variable["name"] for variable in first.get("env", [])]


RULES = (
    selectors, service_names, volumes, references, port_numbers, images, sizes, rights, budgets,
    advertised,
)  # fmt: skip

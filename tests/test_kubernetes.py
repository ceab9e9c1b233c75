"""deploy/kubernetes: rendered, validated, asked what no schema sees, and run on a real engine."""

import contextlib
import copy
import functools
import json
import re
import shutil
import socket
import subprocess
import textwrap
import uuid
from pathlib import Path

import kafka
import kubernetes_validate
import pytest
import yaml
from conftest import missing, wait_until

from lab_env import Lab
from lab_env.clusters import engine

ROOT = Path(__file__).parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
PLACES = {"base": KUBERNETES / "base", "laptop": KUBERNETES / "overlays" / "laptop"}
BY_HAND = {"kafka-broker-login": {"password"}}  # the Secret that README.md makes, for the base
PART = "app.kubernetes.io/name"


@functools.cache
def _rendered(place: str) -> str:
    tool = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if not shutil.which(tool[0]):
        missing("these tests need kustomize, or kubectl, which contains it")
    done = subprocess.run([*tool, PLACES[place]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return done.stdout


def rendered(place: str) -> list[dict]:
    """Return the documents as a cluster would get them."""
    return list(yaml.safe_load_all(_rendered(place)))


# --- reading documents


def of(documents: list[dict], *kinds: str) -> list[dict]:
    return [one for one in documents if one["kind"] in kinds]


def the(documents: list[dict], kind: str, name: str) -> dict:
    (found,) = (one for one in of(documents, kind) if one["metadata"]["name"] == name)
    return found


def workloads(documents: list[dict]) -> list[dict]:
    return of(documents, "Deployment", "StatefulSet", "DaemonSet", "Job")


def title(document: dict) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def labels(workload: dict) -> dict:
    return workload["spec"]["template"]["metadata"]["labels"]


def spec(workload: dict) -> dict:
    return workload["spec"]["template"]["spec"]


def containers(workload: dict) -> list[dict]:
    return [*spec(workload).get("initContainers", []), *spec(workload)["containers"]]


def selected(documents: list[dict], wanted: dict | None) -> list[dict]:
    """Return the workloads whose pods a selector means; none of them selects all."""
    return [one for one in workloads(documents) if (wanted or {}).items() <= labels(one).items()]


def ports(workload: dict) -> dict[str, int]:
    return {
        port.get("name", str(port["containerPort"])): port["containerPort"]
        for container in containers(workload)
        for port in container.get("ports", [])
    }


def variables(documents: list[dict], workload: dict, container: dict, pod: str) -> dict[str, str]:
    """Return a container's variables as the kubelet makes them for a pod of this name."""
    fields = {"metadata.name": pod, "metadata.namespace": workload["metadata"]["namespace"]}
    found = {}
    for source in container.get("envFrom", []):
        found |= the(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", []):
        origin = one.get("valueFrom", {})
        if "fieldRef" in origin:
            value = fields[origin["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in origin:
            value = "a-password"
        else:
            value = re.sub(r"\$\((\w+)\)", lambda m: found.get(m[1], m[0]), one["value"])
        found[one["name"]] = value
    return found


# --- what no schema sees: each rule says its faults, one sentence each


def selectors(documents):
    for one in workloads(documents):
        if one["kind"] != "Job" and not one["spec"]["selector"]["matchLabels"].items() <= (
            labels(one).items()
        ):
            yield f"{title(one)} selects other pods than those it makes"
    for one in documents:
        for where, wanted in every(one, "podSelector", "labelSelector"):
            if not selected(documents, wanted.get("matchLabels")):
                yield f"{title(one)}: its {where} matches no pod"
    for one in of(documents, "Service"):
        if not selected(documents, one["spec"].get("selector")):
            yield f"{title(one)}: its selector matches no pod"
    for one in of(documents, "PodDisruptionBudget"):
        if not selected(documents, one["spec"]["selector"]["matchLabels"]):
            yield f"{title(one)}: its selector matches no pod"


def every(part, *names: str):
    """Find what has one of these names, at any depth."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in names:
                yield key, value
            yield from every(value, *names)
    elif isinstance(part, list):
        for value in part:
            yield from every(value, *names)


def service_names(documents):
    for one in of(documents, "StatefulSet"):
        name = one["spec"]["serviceName"]
        for service in of(documents, "Service"):
            if service["metadata"]["name"] == name:
                if service["spec"].get("clusterIP") != "None":
                    yield f"{title(one)}: the Service {name} is not headless, its pods get no names"
                if one not in selected(documents, service["spec"]["selector"]):
                    yield f"{title(one)}: the Service {name} selects other pods"
                break
        else:
            yield f"{title(one)}: there is no Service {name}"


def volumes(documents):
    for one in workloads(documents):
        claims = one["spec"].get("volumeClaimTemplates", [])
        there = {volume["name"] for volume in spec(one).get("volumes", [])}
        there |= {claim["metadata"]["name"] for claim in claims}
        used = {
            mount["name"]
            for container in containers(one)
            for mount in container.get("volumeMounts", [])
        }
        for name in sorted(used - there):
            yield f"{title(one)} mounts a volume {name} that it does not have"
        for name in sorted(there - used):
            yield f"{title(one)} has a volume {name} that nothing mounts"


def references(documents, by_hand=BY_HAND):
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
        asked = [
            (kind, ref.get("name") or ref.get("secretName"), ref.get("key"))
            for word, kind in (
                ("configMapRef", "ConfigMap"),
                ("configMapKeyRef", "ConfigMap"),
                ("configMap", "ConfigMap"),
                ("secretRef", "Secret"),
                ("secretKeyRef", "Secret"),
                ("secret", "Secret"),
            )
            for _, ref in every(spec(one), word)
        ]
        for kind, name, key in asked:
            if (kind, name) not in there:
                yield f"{title(one)}: there is no {kind} {name}"
            elif key and key not in there[kind, name]:
                yield f"{title(one)}: {kind} {name} has no key {key}"
        for container in containers(one):
            earlier = {
                name
                for source in container.get("envFrom", [])
                for name in there.get(("ConfigMap", source["configMapRef"]["name"]), ())
            }
            for variable in container.get("env", []):
                for name in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                    if name not in earlier:
                        yield f"{title(one)}: {variable['name']} uses {name}, not set before it"
                earlier.add(variable["name"])


def port_numbers(documents):
    for one in workloads(documents):
        for container in containers(one):
            known = ports({"spec": {"template": {"spec": {"containers": [container]}}}})
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                how = container.get(probe, {})
                asked = [how[way]["port"] for way in ("httpGet", "tcpSocket") if way in how]
                asked += [
                    int(word) for word in how.get("exec", {}).get("command", ()) if word.isdigit()
                ]
                for port in asked:
                    if port not in known and port not in known.values():
                        yield f"{title(one)}: its {probe} asks port {port}, which is not its own"
    for one in of(documents, "Service"):
        for workload in selected(documents, one["spec"].get("selector")):
            for port in one["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                if target not in ports(workload) and target not in ports(workload).values():
                    yield f"{title(one)}: port {target} is none of {title(workload)}"
    for one in of(documents, "NetworkPolicy"):
        for workload in selected(documents, one["spec"]["podSelector"].get("matchLabels")):
            for rule in one["spec"].get("ingress", []):
                for port in rule.get("ports", []):
                    if port["port"] not in ports(workload).values():
                        yield f"{title(one)}: port {port['port']} is none of {title(workload)}"


def images(documents):
    for one in workloads(documents):
        for container in containers(one):
            name, _, tag = container["image"].rpartition("/")[2].partition(":")
            if tag in ("", "latest") and "@sha256" not in name:
                yield f"{title(one)}: the image {container['image']} may be another one tomorrow"


def sizes(documents):
    for one in workloads(documents):
        for container in containers(one):
            asked = container.get("resources", {}).get("requests", {})
            limit = container.get("resources", {}).get("limits", {})
            if not {"cpu", "memory"} <= set(asked) or "memory" not in limit:
                yield f"{title(one)}: {container['name']} does not say what it needs"


def rights(documents):
    for one in workloads(documents):
        pod = spec(one).get("securityContext", {})
        if spec(one).get("automountServiceAccountToken") is not False:
            yield f"{title(one)} gets a token for the cluster's API that it does not need"
        if spec(one).get("enableServiceLinks") is not False:
            yield f"{title(one)} gets the variables of Services, which may be settings of Kafka"
        for container in containers(one):
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
                yield f"{title(one)}: {container['name']} has more rights than it needs"


def budgets(documents):
    covered = []
    for one in of(documents, "PodDisruptionBudget"):
        for workload in selected(documents, one["spec"]["selector"]["matchLabels"]):
            covered.append(title(workload))
            pods = workload["spec"].get("replicas", 1)
            away = one["spec"].get("maxUnavailable", pods - one["spec"].get("minAvailable", 0))
            if away < 1:
                yield f"{title(one)} lets no pod of {title(workload)} go: no node can be drained"
    for workload in of(documents, "Deployment", "StatefulSet"):
        if workload["spec"].get("replicas", 1) > 1 and title(workload) not in covered:
            yield f"{title(workload)} has no disruption budget"


def advertised(documents):
    """Each broker's names are its pod's, below the headless service; the voters are the pods."""
    for one in of(documents, "StatefulSet"):
        settings = {}
        first = one["spec"].get("ordinals", {}).get("start", 0)
        service = one["spec"]["serviceName"]
        space = one["metadata"]["namespace"]
        numbers = range(first, first + one["spec"]["replicas"])
        for number in numbers:
            pod = f"{one['metadata']['name']}-{number}"
            settings = variables(documents, one, spec(one)["containers"][0], pod)
            open_ports = dict(re.findall(r"(\w+)://:(\d+)", settings["KAFKA_LISTENERS"]))
            if set(open_ports.values()) != {str(port) for port in ports(one).values()}:
                yield f"{title(one)}: Kafka listens on other ports than its container says"
            told = re.findall(r"(\w+)://([^:,]+):(\d+)", settings["KAFKA_ADVERTISED_LISTENERS"])
            for listener, host, port in told:
                if host != f"{pod}.{service}.{space}.svc" or open_ports.get(listener) != port:
                    yield f"{title(one)}: {pod} is advertised as {host}:{port}, where it is not"
            if {name for name, *_ in told} != set(open_ports) - {"CONTROLLER"}:
                yield f"{title(one)}: a listener has no advertised name"
        voters = set(settings["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(","))
        if voters != {
            f"{number}@{one['metadata']['name']}-{number}.{service}:{ports(one)['controller']}"
            for number in numbers
        }:
            yield f"{title(one)}: the voters are not its pods"


RULES = (
    selectors, service_names, volumes, references, port_numbers, images, sizes, rights, budgets,
    advertised,
)  # fmt: skip


def faults(documents: list[dict]) -> list[str]:
    return [fault for rule in RULES for fault in rule(documents)]


# --- the tests


@pytest.mark.parametrize("place", PLACES)
def test_each_document_is_what_kubernetes_knows(place):
    documents = rendered(place)
    assert {"StatefulSet", "Deployment", "Service", "NetworkPolicy"} <= {
        one["kind"] for one in documents
    }
    for one in documents:
        kubernetes_validate.validate(one, "1.37", strict=True)


def test_a_word_that_kubernetes_does_not_know_is_found():
    one = the(rendered("laptop"), "StatefulSet", "kafka")
    one["spec"]["replica"] = one["spec"].pop("replicas")
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(one, "1.37", strict=True)


@pytest.mark.parametrize("place", PLACES)
def test_what_no_schema_sees(place):
    assert faults(rendered(place)) == []


def test_the_laptop_needs_nothing_made_by_hand():
    assert list(references(rendered("laptop"), by_hand={})) == []
    assert list(references(rendered("base"), by_hand={})) == [
        "StatefulSet kafka: there is no Secret kafka-broker-login"
    ]


def test_all_is_in_one_namespace_and_has_one_name():
    for one in rendered("laptop"):
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == "flights", title(one)
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "flights", title(one)
    parts = [labels(one)[PART] for one in workloads(rendered("laptop"))]
    assert len(parts) == len(set(parts))


BROKEN = {
    "a selector of a Deployment": (
        "Deployment", "board", lambda d: d["spec"]["selector"]["matchLabels"].update(a="b"),
        "selects other pods",
    ),
    "a selector of a Service": (
        "Service", "kafka", lambda d: d["spec"]["selector"].update({PART: "kafak"}),
        "matches no pod",
    ),
    "a selector of a policy": (
        "NetworkPolicy", "kafka",
        lambda d: d["spec"]["podSelector"]["matchLabels"].update({PART: "brokers"}),
        "matches no pod",
    ),
    "a selector inside a policy": (
        "NetworkPolicy", "clients-to-kafka",
        lambda d: d["spec"]["egress"][0]["to"][0]["podSelector"]["matchLabels"].update(a="b"),
        "matches no pod",
    ),
    "a serviceName without a Service": (
        "StatefulSet", "kafka", lambda d: d["spec"].update(serviceName="kafka-headless"),
        "no Service kafka-headless|advertised|voters",
    ),
    "a serviceName of a Service with an address": (
        "Service", "kafka-brokers", lambda d: d["spec"].pop("clusterIP"), "not headless",
    ),
    "a mount without a volume": (
        "StatefulSet", "kafka",
        lambda d: spec(d)["volumes"].remove({"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}),
        "mounts a volume tmp",
    ),
    "a probe at another port": (
        "StatefulSet", "kafka",
        lambda d: containers(d)[0]["readinessProbe"]["exec"]["command"].__setitem__(-1, "29092"),
        "asks port 29092",
    ),
    "a probe at a port of another name": (
        "Deployment", "delays",
        lambda d: containers(d)[0]["livenessProbe"]["httpGet"].update(port="web"), "asks port web",
    ),
    "a Service to a port that is not open": (
        "Service", "kafka", lambda d: d["spec"]["ports"][0].update(targetPort=9094), "port 9094",
    ),
    "a policy for a port that is not open": (
        "NetworkPolicy", "kafka",
        lambda d: d["spec"]["ingress"][0]["ports"][0].update(port=19092), "port 19092",
    ),
    "a ConfigMap that is not there": (
        "Deployment", "board",
        lambda d: containers(d)[0]["envFrom"][0]["configMapRef"].update(name="settings"),
        "no ConfigMap settings",
    ),
    "a key that the Secret does not have": (
        "StatefulSet", "kafka",
        lambda d: containers(d)[0]["env"][3]["valueFrom"]["secretKeyRef"].update(key="pass"),
        "has no key pass",
    ),
    "a variable that comes too late": (
        "StatefulSet", "kafka",
        lambda d: containers(d)[0]["env"].insert(0, containers(d)[0]["env"].pop()),
        "not set before it",
    ),
    "the newest image": (
        "Deployment", "board", lambda d: containers(d)[0].update(image="board:latest"), "tomorrow",
    ),
    "an image of no version, behind a port": (
        "Deployment", "board", lambda d: containers(d)[0].update(image="here:5000/board"),
        "tomorrow",
    ),
    "no resources": (
        "Deployment", "delays", lambda d: containers(d)[0].pop("resources"), "what it needs",
    ),
    "root": (
        "Deployment", "board", lambda d: spec(d)["securityContext"].update(runAsUser=0),
        "more rights",
    ),
    "a file system that can be written": (
        "StatefulSet", "kafka",
        lambda d: containers(d)[0]["securityContext"].pop("readOnlyRootFilesystem"), "more rights",
    ),
    "the variables of Services": (
        "StatefulSet", "kafka", lambda d: spec(d).pop("enableServiceLinks"), "settings of Kafka",
    ),
    "a budget of nothing": (
        "PodDisruptionBudget", "kafka", lambda d: d["spec"].update(maxUnavailable=0), "drained",
    ),
    "a budget that wants all": (
        "PodDisruptionBudget", "delays",
        lambda d: d.update(spec={"minAvailable": 2, "selector": d["spec"]["selector"]}), "drained",
    ),
    "a broker advertised as the Service": (
        "StatefulSet", "kafka",
        lambda d: containers(d)[0]["env"][2].update(
            value="CLIENT://kafka.$(POD_NAMESPACE).svc:9092,BROKER://kafka:9091"
        ),
        "advertised as kafka",
    ),
    "a fourth broker without a vote": (
        "StatefulSet", "kafka", lambda d: d["spec"].update(replicas=4), "voters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_found(what):
    kind, name, breaks, said = BROKEN[what]
    documents = copy.deepcopy(rendered("laptop"))
    breaks(the(documents, kind, name))
    found = faults(documents)
    assert found, what
    assert all(re.search(said, fault) for fault in found), found


# --- a linter's opinion: what it finds here has a reason, and nothing else may be found

CHECKOV = (
    "checkov==3.3.30"  # its libraries do not go together with the lab's: in a place of its own
)
EVERYWHERE = {
    "CKV_K8S_43": "the tag is exact; an overlay adds the digest of its registry",
    "CKV_K8S_15": "an exact tag need not be pulled at each start, and a laptop has no registry",
}
ACCEPTED = {
    ("CKV_K8S_11", "StatefulSet kafka"): "throttled, a broker misses heartbeats",
    ("CKV_K8S_11", "Deployment delays"): "a JVM needs much CPU while it starts, little after",
    ("CKV_K8S_11", "Deployment departures"): "a JVM needs much CPU while it starts, little after",
    ("CKV_K8S_35", "StatefulSet kafka"): "the image takes its settings from variables",
    ("CKV_K8S_40", "StatefulSet kafka"): "1000 is the user to whom the image's files belong",
    ("CKV_K8S_8", "Deployment board"): "it opens no port, and ends by itself if it cannot work",
    ("CKV_K8S_9", "Deployment board"): "it opens no port, and nobody sends it anything",
}


def checkov(file: Path) -> set[tuple[str, str]]:
    """Return what the linter finds: the check's name and the document."""
    if not shutil.which("uv"):
        missing("uv fetches and runs the linter")
    done = subprocess.run(
        ["uv", "tool", "run", "--from", CHECKOV, "checkov", "--file", file.name, "--framework",
         "kubernetes", "--output", "json", "--skip-download", "--soft-fail"],
        cwd=file.parent, capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)["results"]
    assert len(found["passed_checks"]) > 50, "it has not looked at much"
    return {
        (one["check_id"], " ".join(one["resource"].split(".")[::2]))
        for one in found["failed_checks"]
    }


def test_a_linter_finds_nothing_that_has_no_reason(tmp_path):
    broken = rendered("base")
    containers(the(broken, "Deployment", "delays"))[0]["securityContext"]["privileged"] = True
    (tmp_path / "base.yaml").write_text(_rendered("base"))
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump_all(broken))
    found = checkov(tmp_path / "base.yaml")
    assert {one for one in found if one[0] not in EVERYWHERE} == set(ACCEPTED)
    assert checkov(tmp_path / "broken.yaml") - found == {("CKV_K8S_16", "Deployment delays")}


def settings(file: Path, service: str) -> dict[str, str]:
    """Return the variables of a service of a Compose file."""
    found = yaml.safe_load(file.read_text(encoding="utf-8"))["services"][service]["environment"]
    return {key: str(value) for key, value in found.items()}


def test_copies_are_as_many_as_in_the_compose_file_and_no_time_is_a_lessons():
    compose = settings(ROOT / "deploy" / "compose" / "three-brokers.yml", "kafka-1")
    for place in PLACES:
        documents = rendered(place)
        brokers = the(documents, "StatefulSet", "kafka")
        ours = variables(documents, brokers, containers(brokers)[0], "kafka-1")
        copies = {key for key in compose if key.endswith(("REPLICATION_FACTOR", "MIN_ISR"))}
        assert len(copies) == 5
        assert {key: ours.get(key) for key in copies} == {key: compose[key] for key in copies}
        times = [key for key in ours if key.endswith(("_MS", "_SECONDS"))]
        assert times == []


def test_a_pod_has_longer_to_end_than_the_application_takes():
    documents = rendered("base")
    for name in ("departures", "delays"):
        one = the(documents, "Deployment", name)
        ours = variables(documents, one, containers(one)[0], f"{name}-1")
        phase = int(ours["SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE"].removesuffix("s"))
        assert phase < spec(one)["terminationGracePeriodSeconds"]


def test_a_rolling_update_never_makes_a_group_smaller_and_never_doubles_a_source():
    documents = rendered("base")
    for name in ("board", "delays"):
        how = the(documents, "Deployment", name)["spec"]["strategy"]["rollingUpdate"]
        assert how == {"maxUnavailable": 0, "maxSurge": 1}
    assert the(documents, "Deployment", "departures")["spec"]["strategy"] == {"type": "Recreate"}


# --- the probe, asked on a real broker


ASK = KUBERNETES / "base" / "kafka" / "ask.sh"


def ask(port: int) -> int:
    return subprocess.run(["bash", ASK, str(port)], capture_output=True, timeout=30).returncode


@pytest.mark.skipif(not shutil.which("timeout"), reason="the probe runs on Linux")
def test_the_probe_wants_an_answer_and_not_an_open_port():
    with Lab("embedded") as lab:
        port = int(lab.connection["bootstrap_servers"][0].rpartition(":")[2])
        assert ask(port) == 0
        lab.pause(1)
        socket.create_connection(("127.0.0.1", port), 5).close()  # the port is open
        assert ask(port) != 0
        lab.resume(1)
        wait_until(lambda: ask(port) == 0)
    assert ask(port) != 0


# --- the StatefulSet's pods on a real engine, as a node would run them


WRITER = """
    import json, signal, time
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    TOPIC, stopping = "flights.departed", []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    admin = KafkaAdminClient(bootstrap_servers="kafka:9092")
    admin.create_topics({TOPIC: {"num_partitions": 6}}, wait_for_metadata=True)
    (topic,) = admin.describe_topics([TOPIC])
    copies = {len(one["replica_nodes"]) for one in topic["partitions"]}
    print("copies", copies, flush=True)
    producer = KafkaProducer(bootstrap_servers="kafka:9092")
    number = 0
    while not stopping:
        number += 1
        flight = {"flight": f"IB{number}", "departed": None, "destination": "MAD"}
        sent = producer.send(TOPIC, json.dumps(flight).encode(), key=str(number).encode())
        sent.get(timeout=120)
        print("confirmed", number, flush=True)
        time.sleep(0.05)
    producer.close()
    reader = KafkaConsumer(TOPIC, bootstrap_servers="kafka:9092", auto_offset_reset="earliest")
    seen, deadline = set(), time.monotonic() + 60
    while len(seen) < number and time.monotonic() < deadline:
        for records in reader.poll(timeout_ms=500).values():
            seen.update(record.key for record in records)
    print("seen", len(seen), "of", number, flush=True)
"""


class Node:
    """Runs pods of a rendered manifest as containers, as the kubelet of one node would.

    It does for a pod what these tests need of a kubelet: variables, volumes, rights, the grace
    period and the readiness probe. Names are given by the engine's own name service.
    """

    def __init__(self, documents: list[dict]) -> None:
        self.documents = documents
        self.name = f"kubernetes-test-{uuid.uuid4().hex[:8]}"
        self.images: dict[str, str] = {}  # what is made here, by the name that the manifest uses
        self.running: list[str] = []
        self.printed: dict[str, str] = {}  # by pods that have ended
        self.disks: set[str] = set()
        engine.asked("network", "create", self.name, seconds=30)

    def close(self) -> None:
        for container in self.running:
            engine.docker("rm", "--force", "--volumes", container, seconds=60)
        for disk in self.disks:
            engine.docker("volume", "rm", "--force", disk, seconds=60)
        for image in self.images.values():
            engine.docker("image", "rm", "--force", image, seconds=60)
        engine.docker("network", "rm", self.name, seconds=60)

    def build(self, image: str, folder: Path) -> None:
        self.images[image] = f"{self.name}-{image}"
        engine.asked("build", "--quiet", "--tag", self.images[image], str(folder), seconds=170)

    def start(self, workload: dict, pod: str, files: Path) -> str:
        """Start a pod, with the disk that it had if it had one."""
        files = files / pod
        files.mkdir(exist_ok=True)
        (container,) = containers(workload)
        name = f"{self.name}-{pod}"
        words = ["run", "--detach", "--name", name, "--hostname", pod, *self._rights(workload)]
        words += ["--network", self.name, *self._names(workload, pod)]
        settings = variables(self.documents, workload, container, pod)
        (files / "env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        words += ["--env-file", str(files / "env")]
        words += self._volumes(workload, container, name, files)
        command = container.get("command", [])
        words += ["--entrypoint", command[0]] if command else []
        words += [self.images.get(container["image"], container["image"]), *command[1:]]
        self.running.append(name)  # first: one that was made and did not start is removed as well
        engine.asked(*words, seconds=60)
        return name

    def _rights(self, workload: dict) -> list[str]:
        pod, (container,) = spec(workload)["securityContext"], containers(workload)
        own = container["securityContext"]
        memory = container["resources"]["limits"]["memory"].removesuffix("i").lower()
        words = ["--user", f"{pod['runAsUser']}:{pod['runAsGroup']}", "--memory", memory]
        words += ["--read-only"] if own["readOnlyRootFilesystem"] else []
        words += [] if own["allowPrivilegeEscalation"] else ["--security-opt", "no-new-privileges"]
        return [*words, *(f"--cap-drop={one}" for one in own["capabilities"]["drop"])]

    def _names(self, workload: dict, pod: str) -> list[str]:
        names, space = [], workload["metadata"]["namespace"]
        for service in of(self.documents, "Service"):
            if workload in selected(self.documents, service["spec"]["selector"]):
                own = service["metadata"]["name"]
                names += [own]
                if own == workload["spec"].get("serviceName"):
                    names += [f"{pod}.{own}", f"{pod}.{own}.{space}.svc"]
        return [f"--network-alias={name}" for name in names]

    def _volumes(self, workload: dict, container: dict, name: str, files: Path) -> list[str]:
        words, there = [], {one["name"]: one for one in spec(workload).get("volumes", [])}
        user = spec(workload)["securityContext"]["runAsUser"]
        for mount in container.get("volumeMounts", []):
            volume, path = there.get(mount["name"]), mount["mountPath"]
            if volume is None:  # a claim: the pod's own disk
                self.disks.add(f"{name}-{mount['name']}")
                words += ["--volume", f"{name}-{mount['name']}:{path}"]
            elif "emptyDir" in volume:
                size = volume["emptyDir"]["sizeLimit"].removesuffix("i").lower()
                words += ["--tmpfs", f"{path}:size={size},uid={user},exec"]
            else:
                data = the(self.documents, "ConfigMap", volume["configMap"]["name"])["data"]
                for key, text in data.items():
                    (files / key).write_text(text, encoding="utf-8")
                    words += ["--volume", f"{files / key}:{path}/{key}:ro"]
        return words

    def ready(self, workload: dict, pod: str) -> bool:
        command = containers(workload)[0]["readinessProbe"]["exec"]["command"]
        asked = engine.docker("exec", f"{self.name}-{pod}", *command, seconds=30)
        return asked.returncode == 0

    def stop(self, workload: dict, pod: str) -> int:
        """End a pod as a rolling update does, and return its exit code."""
        name, grace = f"{self.name}-{pod}", spec(workload)["terminationGracePeriodSeconds"]
        engine.asked("stop", "--time", str(grace), name, seconds=grace + 30)
        code = int(engine.asked("inspect", "--format", "{{.State.ExitCode}}", name))
        self.printed[pod] = self.said(name)
        engine.asked("rm", "--volumes", name, seconds=60)  # not its disk: that has a name
        self.running.remove(name)
        return code

    def said(self, container: str) -> str:
        done = engine.docker("logs", container, seconds=30)
        return done.stdout + done.stderr


@pytest.fixture
def node():
    if why := engine.unavailable():
        missing(f"this test starts containers: {why}")
    with contextlib.closing(Node(rendered("laptop"))) as one:
        yield one


@pytest.mark.shares_a_lab
@pytest.mark.timeout(600)
def test_rolling_restarts_of_brokers_and_of_a_group_lose_no_record(node, tmp_path):
    brokers = the(node.documents, "StatefulSet", "kafka")
    board = the(node.documents, "Deployment", "board")
    node.build("board:1", ROOT / "services" / "board")

    def begin(workload, pod):
        container = node.start(workload, pod, tmp_path)
        if workload is brokers:
            wait_until(lambda: node.ready(brokers, pod), 120)
        else:
            wait_until(lambda: "has joined the group" in node.said(container), 60)

    pods = ["kafka-1", "kafka-2", "kafka-3"]
    for pod in pods:
        node.start(brokers, pod, tmp_path)
    for pod in pods:
        wait_until(lambda pod=pod: node.ready(brokers, pod), 120)

    (tmp_path / "writer.py").write_text(textwrap.dedent(WRITER))
    writer = f"{node.name}-writer"
    engine.asked(
        "run", "--detach", "--name", writer, "--network", node.name,
        "--volume", f"{Path(kafka.__file__).parent}:/app/kafka:ro",
        "--volume", f"{tmp_path / 'writer.py'}:/app/writer.py:ro",
        "python:3.13-slim", "python", "/app/writer.py", seconds=60,
    )  # fmt: skip
    node.running.append(writer)
    wait_until(lambda: "confirmed 5\n" in node.said(writer), 60)
    assert "copies {3}\n" in node.said(writer)
    for number in (1, 2):
        begin(board, f"board-{number}")

    codes = []
    for pod in reversed(pods):  # the order of a StatefulSet
        codes.append(node.stop(brokers, pod))
        begin(brokers, pod)
    assert codes == [143] * 3  # ended by itself after SIGTERM; 137 is killed
    for number in (1, 2):  # one more, then one less
        begin(board, f"board-{number + 2}")
        assert node.stop(board, f"board-{number}") == 0

    engine.asked("kill", "--signal", "TERM", writer)
    wait_until(lambda: re.search(r"seen \d+|Error", node.said(writer)), 180)
    said = node.said(writer)
    seen, sent = map(int, re.search(r"seen (\d+) of (\d+)", said).groups())
    assert seen == sent, said[-2000:]

    def shown():
        now = [node.said(f"{node.name}-board-{number}") for number in (3, 4)]
        old = [node.printed[f"board-{number}"] for number in (1, 2)]
        return set(re.findall(r"IB(\d+) to MAD", "\n".join(old + now)))

    everything = {str(number) for number in range(1, sent + 1)}
    wait_until(lambda: shown() == everything, 60)

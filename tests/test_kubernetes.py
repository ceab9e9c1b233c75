"""deploy/kubernetes: rendered, validated, and asked what no schema sees."""

import copy
import functools
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import wait_until
from parts import rendering

from lab_env import Lab, kubernetes
from lab_env.kubernetes.kinds import title
from lab_env.kubernetes.lint import references
from lab_env.kubernetes.parts import containers, labels, spec, the, variables, workloads

ROOT = Path(__file__).parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
PLACES = {"base": KUBERNETES / "base", "laptop": KUBERNETES / "overlays" / "laptop"}
PART = "app.kubernetes.io/name"
pytestmark = pytest.mark.usefixtures("kustomize")


@functools.cache
def _rendered(place: str) -> str:
    done = subprocess.run([*rendering(), PLACES[place]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return done.stdout


def rendered(place: str) -> list[dict]:
    """Return the documents as a cluster would get them."""
    return list(yaml.safe_load_all(_rendered(place)))


# --- the tests


@pytest.mark.parametrize("place", PLACES)
def test_each_document_is_what_kubernetes_knows(place):
    documents = rendered(place)
    assert {"StatefulSet", "Deployment", "Service", "NetworkPolicy"} <= {
        one["kind"] for one in documents
    }
    assert kubernetes.mistakes(documents).empty


def test_a_word_that_kubernetes_does_not_know_is_found():
    one = the(rendered("laptop"), "StatefulSet", "kafka")
    one["spec"]["replica"] = one["spec"].pop("replicas")
    (found,) = kubernetes.mistakes([one]).itertuples(index=False)
    assert tuple(found)[:3] == ("StatefulSet", "kafka", "spec")
    assert found.what == "Kubernetes does not know: replica. Is replicas meant?"


@pytest.mark.parametrize("place", PLACES)
def test_what_no_schema_sees(place):
    assert kubernetes.faults(rendered(place)).empty


def test_the_laptop_needs_nothing_made_by_hand():
    assert list(references(rendered("laptop"), by_hand={})) == []
    (found,) = references(rendered("base"), by_hand={})
    assert found[:2] == ("StatefulSet", "kafka")
    assert found[3] == "there is no Secret kafka-broker-login"


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
    found = kubernetes.faults(documents)
    assert len(found), what
    assert all(re.search(said, fault) for fault in found["what"]), found.to_string()


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
    ("CKV_K8S_11", "Deployment board"): "throttled, it falls behind; its request keeps its share",
    ("CKV_K8S_9", "Deployment board"): "it opens no port, and nobody sends it anything",
}


def checkov(file: Path) -> set[tuple[str, str]]:
    """Return what the linter finds: the check's name and the document."""
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


def test_a_linter_finds_nothing_that_has_no_reason(uv_tool, tmp_path):
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
        copies = {
            key for key in compose if key.endswith(("REPLICATION_FACTOR", "MIN_ISR", "REPLICAS"))
        }
        assert len(copies) == 7
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
def test_the_probe_wants_an_answer_and_not_an_open_port(own_home):
    with Lab("embedded") as lab:
        port = int(lab.connection["bootstrap_servers"][0].rpartition(":")[2])
        assert ask(port) == 0
        lab.pause(1)
        socket.create_connection(("127.0.0.1", port), 5).close()  # the port is open
        assert ask(port) != 0
        lab.resume(1)
        wait_until(lambda: ask(port) == 0)
    assert ask(port) != 0

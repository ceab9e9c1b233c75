"""What a real Kubernetes does with deploy/kubernetes: server, controllers, scheduler, containers.

What is not tried here: no network of this node knows network policies, so they are accepted, and
part nobody; services are names that the engine gives, not addresses that kube-proxy makes.
"""

import contextlib
import copy
import re
import textwrap
import threading
import time
from pathlib import Path

import pytest
from airport_image import take_the_jar
from conftest import maven, wait_until
from control_plane import Refused, cluster

from lab_env import kubernetes
from lab_env.clusters import docker_cli

pytestmark = [
    pytest.mark.shares_a_lab,
    pytest.mark.timeout(400),
]
ROOT = Path(__file__).parent.parent
SPACE = "/api/v1/namespaces/flights"
APPS = "/apis/apps/v1/namespaces/flights"
BROKERS = ["kafka-1", "kafka-2", "kafka-3"]
PART = "app.kubernetes.io/name"


def laptop() -> list[dict]:
    """The laptop's system; its board takes its time, so that a restart finds it at work."""
    documents = kubernetes.documents("overlays/laptop")
    for one in documents:
        if (one["kind"], one["metadata"]["name"]) == ("Deployment", "board"):
            (container,) = one["spec"]["template"]["spec"]["containers"]
            container["env"] = [{"name": "WORK", "value": "0.1"}]
    return documents


def the(documents: list[dict], kind: str, name: str) -> dict:
    (found,) = (one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name)
    return copy.deepcopy(found)


class Flights:
    """The namespace as the server sees it."""

    def __init__(self, plane):
        self.plane = plane
        self.api = plane.api
        self.agent = plane.agent

    def pod(self, name: str) -> dict | None:
        return self.api.get(f"{SPACE}/pods/{name}")

    def pods(self, part: str) -> list[dict]:
        return self.api.items(f"{SPACE}/pods", labelSelector=f"{PART}={part}")

    def names(self, part: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.pods(part)}

    def stateful(self) -> dict:
        return self.api.get(f"{APPS}/statefulsets/kafka")

    def deployment(self, name: str = "board") -> dict:
        return self.api.get(f"{APPS}/deployments/{name}")

    def ready(self, name: str) -> bool:
        conditions = (self.pod(name) or {}).get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def wait_for_brokers(self, seconds: float = 120) -> None:
        wait_until(lambda: rolled_out(self.stateful()), seconds)

    def wait_for_board(self, seconds: float = 120) -> None:
        wait_until(lambda: rolled_out(self.deployment()), seconds)

    def restart(self, kind: str, name: str) -> None:
        """As `kubectl rollout restart` does it."""
        mark = {"kubectl.kubernetes.io/restartedAt": str(time.time())}
        template = {"metadata": {"annotations": mark}}
        self.api.patch(f"{APPS}/{kind}/{name}", {"spec": {"template": template}})

    def scale(self, name: str, replicas: int) -> None:
        """As `kubectl scale` does it."""
        self.api.patch(
            f"{APPS}/deployments/{name}/scale",
            {"spec": {"replicas": replicas}},
            "application/merge-patch+json",
        )

    def events(self, name: str) -> str:
        found = self.api.items(f"{SPACE}/events", fieldSelector=f"involvedObject.name={name}")
        return "\n".join(f"{one['reason']}: {one['message']}" for one in found)


def rolled_out(workload: dict) -> bool:
    """Return whether all wanted pods are of the newest template and ready, as `rollout status`."""
    status, wanted = workload["status"], workload["spec"]["replicas"]
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return status.get("observedGeneration") == workload["metadata"]["generation"] and all(
        status.get(one, 0) == wanted for one in counts
    )


@pytest.fixture(scope="module")
def flights(control_plane):
    """The laptop's system, applied for real; the image of the Spring application comes later."""
    control_plane.agent.build("board:1", ROOT / "services" / "board")
    for one in laptop():
        control_plane.api.apply(one)
    found = Flights(control_plane)
    found.wait_for_brokers(180)
    return found


@pytest.fixture
def api(control_plane):
    return control_plane.api


# --- what the server says


def test_the_server_accepts_each_document(api):
    documents = laptop()
    api.apply(the(documents, "Namespace", "flights"))
    assert {"StatefulSet", "Deployment", "NetworkPolicy"} <= {one["kind"] for one in documents}
    for one in documents:
        api.apply(one, dryRun="All", fieldValidation="Strict")


def refused(api, document: dict) -> str:
    """Return why the server refuses a document; fail if it does not."""
    document = copy.deepcopy(document)
    document["metadata"]["name"] += "-tried"
    with pytest.raises(Refused) as said:
        api.apply(document, dryRun="All", fieldValidation="Strict")
    return str(said.value)


def accepted(api, document: dict) -> None:
    document = copy.deepcopy(document)
    document["metadata"]["name"] += "-tried"
    api.apply(document, dryRun="All", fieldValidation="Strict")


def test_a_pod_that_is_root_is_refused_by_the_namespace(api, flights):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": "flights"}}
    board = the(laptop(), "Deployment", "board")["spec"]["template"]
    pod["spec"] = board["spec"]
    accepted(api, pod)
    pod["spec"]["securityContext"].pop("runAsNonRoot")
    said = refused(api, pod)
    assert said.startswith("403")
    assert 'violates PodSecurity "restricted' in said
    pod["spec"]["securityContext"] |= {"runAsNonRoot": True, "runAsUser": 0}
    assert "runAsUser=0" in refused(api, pod)


def test_what_the_server_sees_and_no_schema(api, flights):
    board = the(laptop(), "Deployment", "board")
    board["spec"]["selector"]["matchLabels"] = {PART: "boards"}
    assert kubernetes.mistakes([board]).empty
    assert "`selector` does not match template `labels`" in refused(api, board)

    brokers = the(laptop(), "StatefulSet", "kafka")
    brokers["spec"]["template"]["spec"]["volumes"].pop()
    assert kubernetes.mistakes([brokers]).empty
    assert "volumeMounts[4].name: Not found" in refused(api, brokers)


def test_what_not_even_the_server_sees_our_rules_see(api, flights):
    documents = laptop()
    service = next(
        one for one in documents
        if one["kind"] == "Service" and one["metadata"]["name"] == "kafka"
    )  # fmt: skip
    service["spec"]["selector"] = {PART: "kafak"}
    accepted(api, service)
    assert "Service" in set(kubernetes.faults(documents)["kind"])

    documents = laptop()
    brokers = next(one for one in documents if one["kind"] == "StatefulSet")
    brokers["spec"]["serviceName"] = "kafka-headless"
    accepted(api, brokers)
    assert kubernetes.faults(documents)["what"].str.contains("kafka-headless").any()


def test_who_has_no_rights_is_refused(control_plane):
    with contextlib.closing(control_plane.client("nobody")) as nobody:
        for way, path in (("GET", f"{SPACE}/pods"), ("DELETE", SPACE)):
            with pytest.raises(Refused, match=r'403: .*User "nobody" cannot'):
                nobody.ask(way, path)


# --- what the controllers do


def test_each_broker_has_a_name_and_a_disk_of_its_own(flights):
    assert flights.names("kafka") == set(BROKERS)
    disks = set()
    for name in BROKERS:
        claim = flights.api.get(f"{SPACE}/persistentvolumeclaims/data-{name}")
        assert claim["status"]["phase"] == "Bound"
        volume = flights.api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
        assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
        mounted = [
            one["persistentVolumeClaim"]["claimName"]
            for one in flights.pod(name)["spec"]["volumes"]
            if "persistentVolumeClaim" in one
        ]
        assert mounted == [f"data-{name}"]
        disks.add(volume["spec"]["hostPath"]["path"])
    assert len(disks) == 3


def test_they_were_started_together_and_are_ready_because_they_answer(flights):
    """One after the other the first would wait for ever: it is ready when a majority votes."""
    made = [one["metadata"]["creationTimestamp"] for one in flights.pods("kafka")]
    when = [time.mktime(time.strptime(one, "%Y-%m-%dT%H:%M:%SZ")) for one in made]
    first_ready = min(
        one["lastTransitionTime"]
        for pod in flights.pods("kafka")
        for one in pod["status"]["conditions"]
        if one["type"] == "Ready"
    )
    assert max(made) < first_ready
    assert max(when) - min(when) <= 5


def test_applied_a_second_time_nothing_changes(flights):
    before = flights.stateful(), flights.deployment()
    for one in laptop():
        flights.api.apply(one)
    after = flights.stateful(), flights.deployment()
    for old, new in zip(before, after, strict=True):
        assert old["metadata"]["generation"] == new["metadata"]["generation"]
        assert old["spec"] == new["spec"]


def test_a_pod_without_its_image_says_so(flights):
    (pod,) = flights.pods("departures")
    name = pod["metadata"]["name"]
    (status,) = wait_until(lambda: flights.pod(name)["status"].get("containerStatuses"), 20)
    wait_until(lambda: "Failed to pull image" in flights.events(name), 20)
    assert status["state"]["waiting"]["reason"] == "ErrImagePull"
    assert not rolled_out(flights.deployment("departures"))


def test_scaled_up_and_down_the_group_follows(flights):
    flights.wait_for_board()
    before = flights.names("board")
    flights.scale("board", 5)
    flights.wait_for_board()
    new = flights.names("board") - before
    assert len(new) == 2
    for name in new:
        wait_until(lambda name=name: "has joined the group board" in flights.agent.said(name), 30)
    flights.scale("board", 3)
    flights.wait_for_board()
    wait_until(lambda: len(flights.names("board")) == 3, 60)
    for name in (before | new) - flights.names("board"):
        wait_until(lambda name=name: "has left the group" in flights.agent.said(name), 30)


def broker_disk(flights, name: str) -> str:
    """Return what Kafka has written onto the disk: its cluster, its number, the disk's own id."""
    uid = flights.pod(name)["metadata"]["uid"]
    container = f"{flights.agent.own}-{name}-{uid[:8]}"
    told = docker_cli.asked("exec", container, "cat", "/var/lib/kafka/data/kraft/meta.properties")
    return "\n".join(line for line in told.splitlines() if not line.startswith("#"))


def test_a_deleted_broker_comes_back_with_its_name_and_its_disk(flights):
    flights.wait_for_brokers()
    before, disk = flights.pod("kafka-2"), broker_disk(flights, "kafka-2")
    assert "node.id=2" in disk
    flights.api.delete(f"{SPACE}/pods/kafka-2")

    def is_new():
        now = flights.pod("kafka-2")
        return now and now["metadata"]["uid"] != before["metadata"]["uid"] and now

    after = wait_until(is_new, 60)
    assert after["spec"]["volumes"][0] == before["spec"]["volumes"][0]
    assert "persistentVolumeClaim" in after["spec"]["volumes"][0]
    wait_until(lambda: flights.ready("kafka-2"), 90)
    assert broker_disk(flights, "kafka-2") == disk
    flights.wait_for_brokers()


def evict(flights, name: str) -> None:
    """As `kubectl drain` does it."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": "flights"},
    }
    flights.api.ask("POST", f"{SPACE}/pods/{name}/eviction", eviction)


def test_a_second_broker_may_not_be_drained_before_the_first_is_back(flights):
    flights.wait_for_brokers()
    budget = "/apis/policy/v1/namespaces/flights/poddisruptionbudgets/kafka"
    wait_until(lambda: flights.api.get(budget)["status"]["disruptionsAllowed"] == 1, 30)
    evict(flights, "kafka-3")
    with pytest.raises(Refused, match=r"429: .*violate the pod's disruption budget"):
        evict(flights, "kafka-1")
    assert "deletionTimestamp" not in flights.pod("kafka-1")["metadata"]
    flights.wait_for_brokers()
    wait_until(lambda: flights.api.get(budget)["status"]["disruptionsAllowed"] == 1, 30)


def test_a_broker_that_hangs_gets_no_new_clients(flights):
    """Its port is open all the time: only a probe that wants an answer sees it."""
    flights.wait_for_brokers()
    pod = flights.pod("kafka-1")
    container = f"{flights.agent.own}-kafka-1-{pod['metadata']['uid'][:8]}"

    def served():
        slices = flights.api.items(
            "/apis/discovery.k8s.io/v1/namespaces/flights/endpointslices",
            labelSelector="kubernetes.io/service-name=kafka",
        )
        return {
            one["targetRef"]["name"]
            for part in slices
            for one in part["endpoints"] or ()
            if one["conditions"]["ready"]
        }

    wait_until(lambda: served() == set(BROKERS), 30)
    docker_cli.asked("kill", "--signal", "STOP", container, seconds=30)
    try:
        wait_until(lambda: served() == {"kafka-2", "kafka-3"}, 60)
        assert "Unhealthy: Readiness probe failed" in flights.events("kafka-1")
    finally:
        docker_cli.asked("kill", "--signal", "CONT", container, seconds=30)
    wait_until(lambda: served() == set(BROKERS), 60)
    (status,) = flights.pod("kafka-1")["status"]["containerStatuses"]
    assert status["restartCount"] == 0


# --- rolling restarts, and no record lost

WRITER = """
    import json, signal, time
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    TOPIC, stopping = "flights.departed", []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    admin = KafkaAdminClient(bootstrap_servers="kafka:9092")
    if TOPIC not in admin.list_topics():
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
    missing, deadline = {str(sent).encode() for sent in range(1, number + 1)}, time.monotonic() + 60
    while missing and time.monotonic() < deadline:
        for records in reader.poll(timeout_ms=500).values():
            missing.difference_update(record.key for record in records)
    print("seen", number - len(missing), "of", number, flush=True)
"""


def program(name: str, code: str) -> list[dict]:
    """Return a pod that runs a program once, with the image and the rights of the board."""
    own = {"name": name, "namespace": "flights"}
    spec = the(laptop(), "Deployment", "board")["spec"]["template"]["spec"]
    spec |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 120}
    spec["volumes"] = [{"name": "program", "configMap": {"name": name}}]
    (container,) = spec["containers"]
    container |= {"name": name, "command": ["python", "-u", f"/program/{name}.py"]}
    container["volumeMounts"] = [{"name": "program", "mountPath": "/program"}]
    data = {f"{name}.py": textwrap.dedent(code)}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": own, "data": data},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**own, "labels": {"kafka-client": "yes"}},
            "spec": spec,
        },
    ]


class Fewest:
    """Counts a Deployment's ready pods as long as it is open, and keeps the smallest number."""

    def __init__(self, flights, name: str):
        self.flights, self.name, self.least = flights, name, 99
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def _count(self) -> None:
        while not self._end.wait(0.3):
            status = self.flights.deployment(self.name)["status"]
            self.least = min(self.least, status.get("readyReplicas", 0))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join(10)


READER = """
    import collections, json, time
    from kafka import KafkaConsumer
    IN, *OUT = TOPICS = ("flights.departed", "flights.delayed", "flights.failed")
    reader = KafkaConsumer(*TOPICS, bootstrap_servers="kafka:9092", auto_offset_reset="earliest")
    counts = {topic: collections.Counter() for topic in TOPICS}
    quiet, deadline = time.monotonic(), time.monotonic() + 60
    while time.monotonic() < min(quiet + 10, deadline):
        for place, records in reader.poll(timeout_ms=500).items():
            counts[place.topic].update(json.loads(record.value)["id"] for record in records)
            quiet = time.monotonic()
    departed, handled = counts[IN], sum((counts[topic] for topic in OUT), collections.Counter())
    print("departed", departed.total(), "left out", (departed - handled).total(), flush=True)
"""


@pytest.fixture
def airport(flights, mvn, tmp_path):
    """The Spring application's image, made while its pods are asking for it already."""
    folder = tmp_path / "airport"
    done = maven(folder, "package", "-DskipTests")
    assert done.returncode == 0, done.stdout[-4000:]
    take_the_jar(folder)
    flights.agent.build("airport:1", folder)
    yield
    for name in ("departures", "delays"):
        flights.scale(name, 0)


def test_the_spring_application_is_restarted_one_by_one_and_leaves_no_flight_out(flights, airport):
    flights.wait_for_brokers()
    wait_until(lambda: rolled_out(flights.deployment("delays")), 180)
    wait_until(lambda: rolled_out(flights.deployment("departures")), 120)
    wanted = flights.deployment("delays")["spec"]["replicas"]
    old = flights.names("delays")
    with Fewest(flights, "delays") as counted:
        flights.restart("deployments", "delays")
        wait_until(lambda: rolled_out(flights.deployment("delays")), 240)
    assert counted.least == wanted
    wait_until(lambda: not old & flights.names("delays"), 90)
    for name in old:  # Java itself got the signal, and had the time to leave its group
        assert "Resetting generation" in flights.agent.said(name), flights.agent.said(name)[-2000:]

    flights.scale("departures", 0)
    wait_until(lambda: not flights.names("departures"), 90)
    for one in program("reader", READER):
        flights.api.apply(one)
    told = r"departed (\d+) left out (\d+)"
    found = wait_until(lambda: re.search(told, flights.agent.said("reader")), 120)
    departed, left_out = map(int, found.groups())
    assert departed > 20
    assert left_out == 0
    flights.api.delete(f"{SPACE}/pods/reader")


def test_rolling_restarts_of_brokers_and_of_a_group_lose_no_record(flights):
    flights.wait_for_brokers()
    for one in program("writer", WRITER):
        flights.api.apply(one)

    def said():
        return flights.agent.said("writer")

    wait_until(lambda: "confirmed 5\n" in said(), 60)
    assert "copies {3}\n" in said()
    flights.wait_for_board()
    old = flights.names("board")

    flights.restart("statefulsets", "kafka")
    begun = set()

    def all_new():
        waiting = [name for name in BROKERS if not flights.ready(name)]
        begun.update(waiting)
        assert len(waiting) <= 1, waiting  # one at a time
        return rolled_out(flights.stateful())

    wait_until(all_new, 240)
    assert begun == set(BROKERS)

    with Fewest(flights, "board") as counted:
        flights.restart("deployments", "board")
        wait_until(lambda: rolled_out(flights.deployment()), 120)
    assert counted.least == 3
    wait_until(lambda: len(flights.pods("board")) == 3, 60)
    new = flights.names("board")
    assert not old & new

    flights.api.delete(f"{SPACE}/pods/writer")
    wait_until(lambda: flights.pod("writer") is None, 120)
    seen, sent = map(int, re.search(r"seen (\d+) of (\d+)", said()).groups())
    assert seen == sent, said()[-2000:]
    everything = {str(number) for number in range(1, sent + 1)}

    def shown():
        names = {name for name in flights.agent.printed if name.startswith("board-")} | new
        return set(re.findall(r"IB(\d+) to MAD", "\n".join(map(flights.agent.said, names))))

    wait_until(lambda: everything <= shown(), 120)


# --- the control plane itself


def test_it_leaves_nothing_behind(control_plane_built):
    with cluster() as plane:
        own, folders = plane.agent.own, (plane.folder, plane.agent.folder)
        processes = [process for _, process in plane._processes]
        assert docker_cli.asked("network", "ls", "--quiet", "--filter", f"name={own}")
    assert all(process.poll() is not None for process in processes)
    assert not any(folder.exists() for folder in folders)
    for words in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        assert not docker_cli.asked(*words, "--quiet", "--filter", f"label={plane.agent.label}")

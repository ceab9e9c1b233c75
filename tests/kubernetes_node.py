"""A node for the tests' control plane: it runs the pods that are bound to it as containers.

It does for a pod what these tests need of a kubelet: variables, volumes, rights, the three probes,
restarts, the grace period, status, events and logs, all of them real. It knows pods of one
container; ConfigMaps, Secrets, emptyDirs and claims as volumes; nothing of network policies. Names
are given by the engine's name service: a Service's name leads to its pods, ready or not, if it was
there before them.
"""

import base64
import contextlib
import json
import re
import shutil
import socket
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from control_plane import Refused

from lab_env.clusters import docker_cli
from lab_env.ground.errors import LabError
from lab_env.ground.loopback import HOST

LABEL = "kafka-lab-tests"  # whatever the node makes in the engine bears it, with the node's name
PROVISIONER = "kafka-lab-tests/volumes"
LOOK_SECONDS = 0.25
LEASE_SECONDS = 5.0
RETRY_SECONDS = 2.0  # between two tries to make a container
UNITS = {"m": Decimal("0.001"), "k": 1000, "M": 1000**2, "G": 1000**3}
UNITS |= {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
FIRST_BACK_OFF, LONGEST_BACK_OFF = 10.0, 300.0


class Problem(Exception):
    """What keeps a container from being made: a reason and a sentence, in the kubelet's words."""

    def __init__(self, reason: str, message: str, event: str = "Failed"):
        super().__init__(message)
        self.reason = reason
        self.event = event


def amount(quantity: str) -> Decimal:
    """Return a quantity, such as 500m or 64Mi, as a number."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", str(quantity)).groups()
    return Decimal(number) * (UNITS[unit] if unit else 1)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Agent:
    """The node: it registers itself, and looks after the pods that the scheduler gives it.

    Args:
        plane: a `control_plane.ControlPlane`.
        name: of the node.

    Attributes:
        printed: what pods have printed that have ended, by the pod's name.
        errors: what went wrong in the node itself.
    """

    def __init__(self, plane, name: str = "node-1"):
        self.api = plane.api
        self.name = name
        self.own = f"{LABEL}-{uuid.uuid4().hex[:8]}"
        self.images: dict[str, str] = {}  # what is made here, by the name that the manifests use
        self.printed: dict[str, list[str]] = {}
        self.errors: list[str] = []
        self.stopping = threading.Event()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.own}-"))
        self._pods: dict[str, Pod] = {}
        self._threads: list[threading.Thread] = []
        self._all = contextlib.ExitStack()
        self._all.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._all.callback(self._remove)
        try:
            docker_cli.asked("network", "create", "--label", self.label, self.own, seconds=30)
            port = self._serve_logs(plane)
            self._register(port)
            self._begin(self._lease, self._look)
        except BaseException:
            self.close()
            raise

    @property
    def label(self) -> str:
        return f"{LABEL}={self.own}"

    def build(self, image: str, folder: Path) -> None:
        """Make an image from a folder, under a name of its own; pods find it by ``image``."""
        own = f"{self.own}-{image}"
        docker_cli.asked("build", "--quiet", "--tag", own, str(folder), seconds=170)
        self.images[image] = own

    def said(self, pod: str) -> str:
        """Return what pods of this name have printed, the living one at the end."""
        alive = [one.said() for one in list(self._pods.values()) if one.pod == pod]
        return "".join([*self.printed.get(pod, []), *alive])

    def close(self) -> None:
        self._all.close()

    # --- the node itself

    def _begin(self, *loops) -> None:
        for loop in loops:
            thread = threading.Thread(target=self._guarded, args=(loop,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _guarded(self, loop) -> None:
        while not self.stopping.is_set():
            try:
                loop()
            except Exception as error:  # said at the end of the tests; the node goes on
                if not self.stopping.is_set():
                    self.errors.append(f"{loop.__name__}: {type(error).__name__}: {error}")
            self.stopping.wait(LOOK_SECONDS)

    def _register(self, port: int) -> None:
        marks = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        self.api.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": "standard",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": PROVISIONER,
            }
        )
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": self.name, "labels": marks},
            }
        )
        room = {"cpu": "8", "memory": "16Gi", "pods": "50", "ephemeral-storage": "20Gi"}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "the tests' node is ready",
            "lastHeartbeatTime": now(),
            "lastTransitionTime": now(),
        }
        self.api.patch(
            f"/api/v1/nodes/{self.name}/status",
            {
                "status": {
                    "capacity": room,
                    "allocatable": room,
                    "conditions": [ready],
                    "addresses": [
                        {"type": "InternalIP", "address": HOST},
                        {"type": "Hostname", "address": self.name},
                    ],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
                }
            },
        )

    def _lease(self) -> None:
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": "kube-node-lease"},
            "spec": {
                "holderIdentity": self.name,
                "leaseDurationSeconds": 40,
                "renewTime": moment,
            },
        }
        if self.api.get(f"{path}/{self.name}"):
            self.api.patch(f"{path}/{self.name}", {"spec": lease["spec"]})
        else:
            self.api.ask("POST", path, lease)
        self.stopping.wait(LEASE_SECONDS)

    def _look(self) -> None:
        bound = self.api.items("/api/v1/pods", fieldSelector=f"spec.nodeName={self.name}")
        found = {one["metadata"]["uid"]: one for one in bound}
        for uid, one in found.items():
            if uid not in self._pods:
                self._pods[uid] = Pod(self, one)
                self._pods[uid].thread.start()
            if "deletionTimestamp" in one["metadata"]:
                self._pods[uid].end(one["metadata"].get("deletionGracePeriodSeconds", 0))
        for uid in set(self._pods) - set(found):
            self._pods[uid].end(0)  # deleted by force
            if not self._pods[uid].thread.is_alive():
                del self._pods[uid]
        self._make_volumes()

    def _make_volumes(self) -> None:
        """Make a disk for each claim of the default class, and remove it after its claim."""
        for claim in self.api.items("/api/v1/persistentvolumeclaims"):
            own, wanted = claim["metadata"], claim["spec"]
            if wanted.get("volumeName") or wanted.get("storageClassName") != "standard":
                continue
            self.api.apply(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {
                        "name": f"pvc-{own['uid']}",
                        "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
                    },
                    "spec": {
                        "accessModes": wanted["accessModes"],
                        "capacity": wanted["resources"]["requests"],
                        "storageClassName": "standard",
                        "persistentVolumeReclaimPolicy": "Delete",
                        "hostPath": {"path": f"/engine/{self.own}-{own['uid']}"},
                        "claimRef": {
                            "kind": "PersistentVolumeClaim",
                            "apiVersion": "v1",
                            "namespace": own["namespace"],
                            "name": own["name"],
                            "uid": own["uid"],
                        },
                    },
                }
            )
        for volume in self.api.items("/api/v1/persistentvolumes"):
            if volume.get("status", {}).get("phase") == "Released":
                disk = volume["spec"]["hostPath"]["path"].rpartition("/")[2]
                docker_cli.docker("volume", "rm", "--force", disk, seconds=60)
                self.api.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")

    def _serve_logs(self, plane) -> int:
        """Answer the API server when somebody asks it for a pod's log."""
        plane.certificate("node", HOST)
        agent = self

        class Logs(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                where = urllib.parse.urlsplit(self.path)
                words = where.path.split("/")
                query = urllib.parse.parse_qs(where.query)
                found = [one for one in list(agent._pods.values()) if one.key == words[2:4]]
                good = words[1] == "containerLogs" and found
                told = found[-1].said(query.get("tailLines", ["all"])[0]) if good else ""
                self.send_response(200 if good else 404)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(told.encode())

            def log_message(self, *args: object) -> None:
                pass

        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=plane.folder / "ca.pem"
        )
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(plane.folder / "node.pem", plane.folder / "node.key")
        server = ThreadingHTTPServer((HOST, 0), Logs)
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        self._all.callback(thread.join, 5)
        self._all.callback(server.server_close)
        self._all.callback(server.shutdown)
        return server.server_address[1]

    def _remove(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(30)
        for pod in self._pods.values():
            pod.end(0)
        for pod in self._pods.values():
            pod.thread.join(60)
        for kind, remove in (("ps", ["rm", "--force", "--volumes"]), ("volume", ["volume", "rm"])):
            words = ["ps", "--all"] if kind == "ps" else ["volume", "ls"]
            found = docker_cli.docker(
                *words, "--quiet", "--filter", f"label={self.label}", seconds=30
            )
            if names := found.stdout.split():
                docker_cli.docker(*remove, *names, seconds=120)
        for image in self.images.values():
            docker_cli.docker("image", "rm", "--force", image, seconds=60)
        docker_cli.docker("network", "rm", self.own, seconds=60)


class Probe:
    """One of a container's three questions, and how it has been answered.

    Args:
        what: its part of the manifest, or None if the container has none.
    """

    def __init__(self, what: dict | None):
        self.what = what or {}
        self.due = time.monotonic() + self.what.get("initialDelaySeconds", 0)
        self.failures = 0

    def is_due(self) -> bool:
        return bool(self.what) and time.monotonic() >= self.due

    def ask(self, container: str, address: str, ports: dict[str, int]) -> str | None:
        """Return why the answer is no answer, or None if it is good."""
        self.due = time.monotonic() + self.what.get("periodSeconds", 10)
        seconds = self.what.get("timeoutSeconds", 1)
        why = None
        try:
            if "exec" in self.what:
                words = self.what["exec"]["command"]
                done = docker_cli.docker("exec", container, *words, seconds=seconds + 1)
                if done.returncode:
                    why = docker_cli.last_line(done) or f"exit code {done.returncode}"
            elif "httpGet" in self.what:
                way = self.what["httpGet"]
                port = ports.get(way["port"], way["port"])
                url = f"http://{address}:{port}{way.get('path', '/')}"
                urllib.request.urlopen(url, timeout=seconds).close()
            else:
                way = self.what["tcpSocket"]
                port = ports.get(way["port"], way["port"])
                socket.create_connection((address, port), seconds).close()
        except urllib.error.HTTPError as error:
            why = f"HTTP probe failed with statuscode: {error.code}"
        except (OSError, LabError) as error:
            why = str(error)
        self.failures = self.failures + 1 if why else 0
        return why

    @property
    def has_failed(self) -> bool:
        return self.failures >= self.what.get("failureThreshold", 3)


class Pod:
    """A pod from its first container to its last status, in a thread of its own."""

    def __init__(self, agent: Agent, document: dict):
        self.agent = agent
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.document = document
        self.spec = document["spec"]
        self.what = self.spec["containers"][0]
        self.pod = document["metadata"]["name"]
        self.space = document["metadata"]["namespace"]
        self.uid = document["metadata"]["uid"]
        self.key = [self.space, self.pod]
        self.path = f"/api/v1/namespaces/{self.space}/pods/{self.pod}"
        self.container = f"{agent.own}-{self.pod}-{self.uid[:8]}"
        self.files = agent.folder / self.uid
        self.ports = {
            port["name"]: port["containerPort"]
            for port in self.what.get("ports", [])
            if "name" in port
        }
        # what is told to the server
        self.began = now()
        self.phase = "Pending"
        self.state: dict = {"waiting": {"reason": "ContainerCreating"}}
        self.last: dict = {}
        self.restarts = 0
        self.started = self.ready = False
        self.address = ""
        self._changed: dict[str, tuple[str, str]] = {}  # a condition, since when it is as it is
        self._told: dict = {}
        self._events: dict[str, float] = {}
        self._made = False
        self._ending = threading.Event()
        self._grace = 0

    def end(self, grace: int) -> None:
        """Let it end; it ends by itself, or is killed after ``grace`` seconds."""
        if not self._ending.is_set():
            self._grace = grace
            self._ending.set()

    def said(self, tail: str = "all") -> str:
        """Return what its container has printed."""
        if not self._made:
            return ""
        done = docker_cli.docker("logs", "--tail", tail, self.container, seconds=30)
        return done.stdout + done.stderr if done.returncode == 0 else ""

    def _run(self) -> None:
        try:
            self._live()
        except Exception as error:  # likewise: this pod is as it is
            if not self.agent.stopping.is_set():
                self.agent.errors.append(f"{self.pod}: {type(error).__name__}: {error}")

    # --- its life

    def _live(self) -> None:
        self._tell()
        while not self._ending.is_set():
            try:
                self._make()
                break
            except Problem as problem:
                self.state = {"waiting": {"reason": problem.reason, "message": str(problem)}}
                self._tell()
                self._event("Warning", problem.event, str(problem))
                self._ending.wait(RETRY_SECONDS)
        crashes = 0
        while not self._ending.is_set():
            code = self._run_once()
            if self._ending.is_set():
                break
            policy = self.spec.get("restartPolicy", "Always")
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                self.phase = "Failed" if code else "Succeeded"
                self._tell()
                self._ending.wait()
                break
            self.last, self.restarts = self.state, self.restarts + 1
            if crashes:
                pause = min(FIRST_BACK_OFF * 2 ** (crashes - 1), LONGEST_BACK_OFF)
                message = f"back-off {pause:.0f}s restarting failed container {self.what['name']}"
                self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
                self._tell()
                self._event("Warning", "BackOff", message)
                self._ending.wait(pause)
            crashes += 1
        self._finish()

    def _run_once(self) -> int:
        """Start the container, ask it, and return its exit code when it has ended."""
        docker_cli.asked("start", self.container, seconds=60)
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = docker_cli.asked("inspect", "--format", form, self.container).strip()
        self.phase, self.state = "Running", {"running": {"startedAt": now()}}
        probes = {
            name: Probe(self.what.get(f"{name}Probe"))
            for name in ("startup", "readiness", "liveness")
        }
        self.started = not probes["startup"].what
        self.ready = self.started and not probes["readiness"].what
        self._tell()
        self._event("Normal", "Started", f"Started container {self.what['name']}")
        # a process that waits costs nothing; asking for the state again and again does
        waiter = docker_cli.begin("wait", self.container)
        try:
            while waiter.poll() is None and not self._ending.wait(0.2):
                if unwell := self._ask(probes):
                    message = f"Container {self.what['name']} failed {unwell} probe, "
                    self._event("Normal", "Killing", f"{message}will be restarted")
                    self._stop(self.spec.get("terminationGracePeriodSeconds", 30))
            if self._ending.is_set():
                self._event("Normal", "Killing", f"Stopping container {self.what['name']}")
                self._stop(self._grace)
        finally:
            waiter.kill()
            waiter.wait()
            waiter.stdout.close()
        state = json.loads(
            docker_cli.asked("inspect", "--format", "{{json .State}}", self.container)
        )
        code = state["ExitCode"]
        reason = "OOMKilled" if state["OOMKilled"] else "Error" if code else "Completed"
        ended = {"exitCode": code, "reason": reason, "finishedAt": now()}
        began = self.state["running"]["startedAt"]
        self.state = {"terminated": {**ended, "startedAt": began}}
        self.ready = self.started = False
        return code

    def _ask(self, probes: dict[str, Probe]) -> str | None:
        """Ask what is due; return the probe for which the container must be restarted."""
        due = ["readiness", "liveness"] if self.started else ["startup"]
        for name in due:
            probe = probes[name]
            if not probe.is_due():
                continue
            why = probe.ask(self.container, self.address, self.ports)
            if why:
                self._event("Warning", "Unhealthy", f"{name.capitalize()} probe failed: {why}")
            if name == "startup" and not why:
                self.started = True
                self.ready = not probes["readiness"].what
            elif name == "readiness" and (not why or probe.has_failed):
                self.ready = not why
            elif why and probe.has_failed:
                return name
            self._tell()
        return None

    def _stop(self, grace: int) -> None:
        docker_cli.asked("stop", "--time", str(grace), self.container, seconds=grace + 60)

    def _finish(self) -> None:
        if self._made:
            self.agent.printed.setdefault(self.pod, []).append(self.said())
            self._made = False
            docker_cli.docker("rm", "--force", "--volumes", self.container, seconds=60)
        shutil.rmtree(self.files, ignore_errors=True)
        if self.agent.stopping.is_set():
            return
        code = self.state.get("terminated", {}).get("exitCode", 0)
        self.phase = "Failed" if code else "Succeeded"
        self._tell()
        with contextlib.suppress(Refused):  # another one has its name by now
            self.agent.api.delete(self.path, gracePeriodSeconds=0, preconditions={"uid": self.uid})

    # --- its container

    def _make(self) -> None:
        if len(self.spec["containers"]) > 1 or self.spec.get("initContainers"):
            raise Problem("CreateContainerError", "this node knows pods of one container only")
        self.files.mkdir(exist_ok=True)
        image = self._image()
        words = ["create", "--name", self.container, "--label", self.agent.label]
        words += ["--hostname", self.spec.get("hostname", self.pod)[:63]]
        words += [*self._rights(image), *self._names(), *self._volumes()]
        file = self.files / "variables"
        settings = self._variables()
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        words += ["--env-file", str(file)]
        command, arguments = self.what.get("command", []), self.what.get("args", [])
        words += ["--entrypoint", command[0]] if command else []
        words += [image, *command[1:], *arguments]
        try:
            docker_cli.asked(*words, seconds=60)
        except LabError as error:
            raise Problem("CreateContainerError", str(error)) from error
        self._made = True

    def _image(self) -> str:
        wanted = self.what["image"]
        image = self.agent.images.get(wanted, wanted)
        if docker_cli.has_image(image):
            return image
        if self.what.get("imagePullPolicy") == "Never":
            told = f'Container image "{wanted}" is not present with pull policy of Never'
            raise Problem("ErrImageNeverPull", told, "ErrImageNeverPull")
        told = (
            f'Failed to pull image "{wanted}": it is not on the node, and the node has no registry'
        )
        raise Problem("ErrImagePull", told)

    def _rights(self, image: str) -> list[str]:
        own = {**self.spec.get("securityContext", {}), **self.what.get("securityContext", {})}
        user = own.get("runAsUser")
        if own.get("runAsNonRoot"):
            form = "{{.Config.User}}"
            whose = (
                user
                if user is not None
                else docker_cli.asked("image", "inspect", "--format", form, image).strip()
            )
            if str(whose) in ("", "0", "root"):
                told = "container has runAsNonRoot and image will run as root"
                raise Problem("CreateContainerConfigError", told)
        words = ["--user", f"{user}:{own.get('runAsGroup', user)}"] if user is not None else []
        words += ["--read-only"] if own.get("readOnlyRootFilesystem") else []
        if own.get("allowPrivilegeEscalation") is False:
            words += ["--security-opt", "no-new-privileges"]
        words += [f"--cap-drop={one}" for one in own.get("capabilities", {}).get("drop", [])]
        limits = self.what.get("resources", {}).get("limits", {})
        words += ["--memory", str(int(amount(limits["memory"])))] if "memory" in limits else []
        words += ["--cpus", str(amount(limits["cpu"]))] if "cpu" in limits else []
        return words

    def _names(self) -> list[str]:
        """Return its names: of each Service that selects it, and its own below a headless one."""
        names, marks = [], self.document["metadata"].get("labels", {})
        for service in self.agent.api.items(f"/api/v1/namespaces/{self.space}/services"):
            selector, own = service["spec"].get("selector"), service["metadata"]["name"]
            if not selector or not selector.items() <= marks.items():
                continue
            full = f"{own}.{self.space}.svc.cluster.local".split(".")
            names += [".".join(full[:length]) for length in (1, 2, 3, 5)]
            if self.spec.get("subdomain") == own and service["spec"].get("clusterIP") == "None":
                host = self.spec["hostname"]
                names += [".".join([host, *full[:length]]) for length in (1, 2, 3, 5)]
        return ["--network", self.agent.own, *(f"--network-alias={name}" for name in names)]

    def _found(self, kind: str, name: str, optional: bool = False) -> dict[str, str] | None:
        """Return the data of a ConfigMap or a Secret."""
        places = {"configmap": "configmaps", "secret": "secrets"}
        there = self.agent.api.get(f"/api/v1/namespaces/{self.space}/{places[kind]}/{name}")
        if there is None:
            if optional:
                return {}
            raise Problem("CreateContainerConfigError", f'{kind} "{name}" not found')
        data = there.get("data", {})
        if kind == "secret":
            return {key: base64.b64decode(value).decode() for key, value in data.items()}
        return data

    def _variables(self) -> dict[str, str]:
        found: dict[str, str] = {}
        fields = {
            "metadata.name": self.pod,
            "metadata.namespace": self.space,
            "metadata.uid": self.uid,
            "spec.nodeName": self.agent.name,
        }
        for source in self.what.get("envFrom", []):
            for word, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
                if word in source:
                    ref = source[word]
                    found |= self._found(kind, ref["name"], ref.get("optional", False))
        for one in self.what.get("env", []):
            origin = one.get("valueFrom", {})
            value = re.sub(
                r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), one.get("value", "")
            )
            for word, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
                if ref := origin.get(word):
                    data = self._found(kind, ref["name"])
                    if ref["key"] not in data:
                        told = (
                            f"couldn't find key {ref['key']} in {kind} {self.space}/{ref['name']}"
                        )
                        raise Problem("CreateContainerConfigError", told)
                    value = data[ref["key"]]
            if "fieldRef" in origin:
                value = fields[origin["fieldRef"]["fieldPath"]]
            found[one["name"]] = value
        return found

    def _volumes(self) -> list[str]:
        words, there = [], {one["name"]: one for one in self.spec.get("volumes", [])}
        own = {**self.spec.get("securityContext", {}), **self.what.get("securityContext", {})}
        for mount in self.what.get("volumeMounts", []):
            volume, path = there[mount["name"]], mount["mountPath"]
            if "emptyDir" in volume:
                # not quite: it goes with the container, and the kubelet's only with the pod
                words += ["--tmpfs", f"{path}:exec,uid={own.get('runAsUser', 0)}"]
                if size := volume["emptyDir"].get("sizeLimit"):
                    words[-1] += f",size={int(amount(size))}"
            elif "persistentVolumeClaim" in volume:
                words += ["--volume", f"{self._disk(volume)}:{path}"]
            elif "configMap" in volume or "secret" in volume:
                words += ["--volume", f"{self._written(volume)}:{path}:ro"]
            elif "projected" not in volume:  # a token for the API server, which no pod here needs
                told = f"this node knows no volume such as {volume['name']}"
                raise Problem("ContainerCreating", told, "FailedMount")
        return words

    def _disk(self, volume: dict) -> str:
        name = volume["persistentVolumeClaim"]["claimName"]
        claim = self.agent.api.get(f"/api/v1/namespaces/{self.space}/persistentvolumeclaims/{name}")
        path = f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"
        disk = self.agent.api.get(path)["spec"]["hostPath"]["path"].rpartition("/")[2]
        docker_cli.asked("volume", "create", "--label", self.agent.label, disk, seconds=30)
        return disk

    def _written(self, volume: dict) -> Path:
        kind = "configmap" if "configMap" in volume else "secret"
        ref = volume.get("configMap") or volume["secret"]
        name = ref.get("name") or ref.get("secretName")
        try:
            data = self._found(kind, name, ref.get("optional", False))
        except Problem as problem:
            told = f'MountVolume.SetUp failed for volume "{volume["name"]}": {problem}'
            raise Problem("ContainerCreating", told, "FailedMount") from problem
        folder = self.files / volume["name"]
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        for key, text in data.items():
            (folder / key).write_text(text, encoding="utf-8")
        return folder

    # --- what is told to the server

    def _tell(self) -> None:
        status = {
            "phase": self.phase,
            "hostIP": HOST,
            "startTime": self.began,
            "containerStatuses": [
                {
                    "name": self.what["name"],
                    "image": self.what["image"],
                    "imageID": "",
                    "ready": self.ready,
                    "started": self.started,
                    "restartCount": self.restarts,
                    "state": self.state,
                    "lastState": self.last,
                }
            ],
        }
        if self.address:
            status |= {"podIP": self.address, "podIPs": [{"ip": self.address}]}
        conditions = {
            "Initialized": True,
            "ContainersReady": self.ready,
            "Ready": self.ready,
        }
        status["conditions"] = [self._condition(*one) for one in conditions.items()]
        if status == self._told:
            return
        with contextlib.suppress(Refused):  # it is gone
            self.agent.api.patch(f"{self.path}/status", {"status": status})
        self._told = status

    def _condition(self, kind: str, good: bool) -> dict:
        value = "True" if good else "False"
        if self._changed.get(kind, ("",))[0] != value:
            self._changed[kind] = value, now()
        return {"type": kind, "status": value, "lastTransitionTime": self._changed[kind][1]}

    def _event(self, kind: str, reason: str, message: str) -> None:
        if time.monotonic() < self._events.get(f"{reason} {message}", 0):
            return  # told a moment ago
        self._events[f"{reason} {message}"] = time.monotonic() + 10
        event = {
            "metadata": {"generateName": f"{self.pod}.", "namespace": self.space},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": self.pod,
                "namespace": self.space,
                "uid": self.uid,
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.agent.name},
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
        }
        with contextlib.suppress(Refused):  # its namespace is ending
            self.agent.api.ask("POST", f"/api/v1/namespaces/{self.space}/events", event)

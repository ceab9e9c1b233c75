"""A real Kubernetes control plane on the loopback: etcd, API server, controllers, scheduler.

``python -m tests.control_plane`` starts one with a node that runs pods as containers, prints the
kubeconfig to use, and runs until it is interrupted.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab_env.ground.loopback import HOST, free_ports

GO_MOD = Path(__file__).parent.parent / ".ci" / "kubernetes" / "control_plane" / "go.mod"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
START_SECONDS = 60.0
STOP_SECONDS = 10.0
MERGE = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def version() -> str:
    """Return the release that the tests build."""
    return re.search(r"k8s\.io/kubernetes (v[\d.]+)", GO_MOD.read_text())[1]


def folder() -> Path:
    """Return where .ci/kubernetes/build puts what it makes."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kafka-lab-ci" / f"kubernetes-{version()}"


def unavailable() -> str | None:
    """Return why there is none on this machine, in a sentence, or None if there is one."""
    if not shutil.which("etcd"):
        return "these tests need etcd (Debian's package etcd-server)"
    if not shutil.which("setpriv"):
        return "these tests need setpriv, which ends a server with the tests (Linux)"
    if lacking := [name for name in PROGRAMS if not (folder() / name).exists()]:
        return f"there is no {lacking[0]} in {folder()}: bash .ci/kubernetes/build makes it"
    return None


class Refused(Exception):
    """The server has said no.

    Attributes:
        code: of HTTP.
        reason: Kubernetes' word for it, such as "NotFound".
    """

    def __init__(self, code: int, answer: dict):
        super().__init__(f"{code}: {answer.get('message', answer)}")
        self.code = code
        self.reason = answer.get("reason", "")


class Api:
    """The API server by plain HTTP, so that what the tests see goes through no client of the lab.

    Args:
        url: of the server.
        context: the certificates.
        token: in place of a certificate.
    """

    def __init__(self, url: str, context: ssl.SSLContext, token: str | None = None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=url, verify=context, headers=headers, timeout=30, trust_env=False
        )
        self._places: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: object = None, kind: str = "", **query) -> dict:
        """Return the answer to a request.

        Args:
            method: of HTTP.
            path: with its slash.
            body: what becomes JSON.
            kind: the media type, if it is another.
            **query: what stands behind the question mark.

        Raises:
            Refused: the server says no.
        """
        headers = {"Content-Type": kind or "application/json"}
        content = None if body is None else json.dumps(body)
        answer = self._client.request(method, path, params=query, content=content, headers=headers)
        told = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if answer.is_error:
            raise Refused(answer.status_code, told or {"message": answer.text})
        return told

    def text(self, path: str, **query) -> str:
        """Return what a path says that is no JSON, such as a log."""
        answer = self._client.get(path, params=query)
        if answer.is_error:
            raise Refused(answer.status_code, {"message": answer.text})
        return answer.text

    def place(self, document: dict) -> str:
        """Return a document's path, by what the server says about its kind."""
        version, kind = document["apiVersion"], document["kind"]
        if (version, kind) not in self._places:
            base = f"/apis/{version}" if "/" in version else f"/api/{version}"
            for one in self.ask("GET", base)["resources"]:
                if "/" not in one["name"]:
                    found = f"{base}/{{}}{one['name']}", one["namespaced"]
                    self._places[version, one["kind"]] = found
        path, namespaced = self._places[version, kind]
        own = document["metadata"]
        space = f"namespaces/{own.get('namespace', 'default')}/" if namespaced else ""
        return f"{path.format(space)}/{own['name']}"

    def apply(self, document: dict, **query: str) -> dict:
        """Apply a document on the server's side, as `kubectl apply --server-side`."""
        query = {"fieldManager": "tests", "force": "true", **query}
        return self.ask("PATCH", self.place(document), document, APPLY, **query)

    def get(self, path: str, **query: str) -> dict | None:
        """Return what is at a path, or None if nothing is."""
        try:
            return self.ask("GET", path, **query)
        except Refused as no:
            if no.code == 404:
                return None
            raise

    def items(self, path: str, **query: str) -> list[dict]:
        """Return what a list has."""
        return self.ask("GET", path, **query)["items"]

    def patch(self, path: str, body: dict, kind: str = MERGE) -> dict:
        """Change some fields."""
        return self.ask("PATCH", path, body, kind)

    def delete(self, path: str, **options: object) -> None:
        """Delete what is at a path; what is not there any more is deleted."""
        try:
            self.ask("DELETE", path, options or None)
        except Refused as no:
            if no.code != 404:
                raise


class ControlPlane:
    """The servers, from their start to their end: a context manager.

    Attributes:
        kubeconfig: a file with the contexts "lab-tests" (may do all, by a certificate) and
            "nobody" (may do nothing, by a token).
        api: an `Api` that may do all.
        url: of the API server.
        folder: with the certificates and the logs, gone with the servers.
        ca: the authority that signed the certificates.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-lab-control-plane-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.ca = trustme.CA()
        self._processes: list[tuple[str, subprocess.Popen]] = []
        self._all = contextlib.ExitStack()

    def __enter__(self) -> "ControlPlane":
        self._all.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._all.callback(self._end)
        try:
            self._start()
        except BaseException:
            self._all.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._all.close()

    def client(self, user: str = "lab-tests") -> Api:
        """Return a client of a user of the kubeconfig; whoever asks closes it."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if user == "nobody":
            return Api(self.url, context, token="nobodys-token")
        context.load_cert_chain(self.folder / f"{user}.pem", self.folder / f"{user}.key")
        return Api(self.url, context)

    def log(self, name: str) -> str:
        """Return what a server has said."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def certificate(self, name: str, *hosts: str, group: str | None = None) -> None:
        """Write NAME.pem and NAME.key, for a user or a server."""
        made = self.ca.issue_cert(
            *(hosts or [f"{name}.test"]), common_name=name, organization_name=group
        )
        (self.folder / f"{name}.pem").write_bytes(
            b"".join(blob.bytes() for blob in made.cert_chain_pems)
        )
        key = self.folder / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(made.private_key_pem.bytes())

    def _start(self) -> None:
        self._secrets()
        store, peers, port = free_ports(3)
        self.url = f"https://{HOST}:{port}"
        self._write_kubeconfig()
        self._run(
            "etcd", "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://{HOST}:{store}",
            f"--advertise-client-urls=http://{HOST}:{store}",
            f"--listen-peer-urls=http://{HOST}:{peers}",
            f"--initial-advertise-peer-urls=http://{HOST}:{peers}",
            f"--initial-cluster=default=http://{HOST}:{peers}",
            "--unsafe-no-fsync",  # what a crash would lose ends with the test anyway
        )  # fmt: skip
        at = self.folder
        self._run(
            "kube-apiserver", folder() / "kube-apiserver",
            f"--etcd-servers=http://{HOST}:{store}",
            f"--bind-address={HOST}", f"--advertise-address={HOST}", f"--secure-port={port}",
            "--endpoint-reconciler-type=none",  # the Service `kubernetes` has no other address
            f"--tls-cert-file={at / 'server.pem'}", f"--tls-private-key-file={at / 'server.key'}",
            f"--client-ca-file={at / 'ca.pem'}", f"--token-auth-file={at / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--allow-privileged=true",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={at / 'accounts.pub'}",
            f"--service-account-signing-key-file={at / 'accounts.key'}",
            f"--kubelet-client-certificate={at / 'lab-tests.pem'}",
            f"--kubelet-client-key={at / 'lab-tests.key'}",
            f"--kubelet-certificate-authority={at / 'ca.pem'}",
            "--kubelet-preferred-address-types=InternalIP",
        )  # fmt: skip
        self.api = self.client()
        self._all.callback(self.api.close)
        self._until("the API server is ready", self._is_ready)
        self._run(
            "kube-controller-manager", folder() / "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={at / 'accounts.key'}",
            f"--root-ca-file={at / 'ca.pem'}",
        )  # fmt: skip
        self._run(
            "kube-scheduler", folder() / "kube-scheduler",
            f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
        )  # fmt: skip
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._until("the controllers work", lambda: self.api.get(account))

    def _secrets(self) -> None:
        self.ca.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        self.certificate("server", HOST, "localhost")
        self.certificate("lab-tests", group="system:masters")
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("nobodys-token,nobody,nobody\n")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = self.folder / "accounts.key"
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (self.folder / "accounts.pub").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def _write_kubeconfig(self) -> None:
        users = {
            "lab-tests": {
                "client-certificate": str(self.folder / "lab-tests.pem"),
                "client-key": str(self.folder / "lab-tests.key"),
            },
            "nobody": {"token": "nobodys-token"},
        }
        server = {"server": self.url, "certificate-authority": str(self.folder / "ca.pem")}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab-tests", "cluster": server}],
            "users": [{"name": name, "user": user} for name, user in users.items()],
            "contexts": [
                {"name": name, "context": {"cluster": "lab-tests", "user": name}} for name in users
            ],
            "current-context": "lab-tests",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump(document), encoding="utf-8")

    def _run(self, name: str, *command: object) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                # the kernel ends it with the tests, however those end
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        self._processes.append((name, process))

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError, Refused):
            return self.api.text("/readyz") == "ok"
        return False

    def _until(self, what: str, condition) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            for name, process in self._processes:
                if process.poll() is not None:
                    end = "\n".join(self.log(name).splitlines()[-15:])
                    raise RuntimeError(f"{name} has ended ({process.returncode}):\n{end}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {START_SECONDS:g} s: {what}")
            time.sleep(0.1)

    def _end(self) -> None:
        for _, process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)


@contextlib.contextmanager
def cluster() -> Iterator[ControlPlane]:
    """Start a control plane and a node that runs pods as containers: ``plane.agent``."""
    from kubernetes_node import Agent

    with ControlPlane() as plane, contextlib.closing(Agent(plane)) as agent:
        plane.agent = agent
        yield plane


def main() -> None:
    """Run a cluster until it is interrupted."""
    if why := unavailable():
        sys.exit(why)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    root = Path(__file__).parent.parent
    with cluster() as plane, contextlib.suppress(KeyboardInterrupt):
        plane.agent.build("board:1", root / "services" / "board")
        print(f"export KUBECONFIG={plane.kubeconfig}   # context: lab-tests", flush=True)
        while True:
            time.sleep(1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import control_plane  # the same module that the node imports, not a second one

    control_plane.main()

"""lab_env.kubernetes: the kubeconfig and its troubles, manifests, and a cluster with its own."""

import base64
import contextlib
import http.server
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest
import trustme
import yaml
from conftest import wait_until

from lab_env import kubernetes
from lab_env.ground.errors import BadInputError, ClusterError
from lab_env.kubernetes import connection, kubeconfig, login, manifests
from lab_env.kubernetes.parts import containers, spec, the

pytestmark = pytest.mark.usefixtures("programs")

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def nobodys_home(monkeypatch, tmp_path):
    """Take away the clusters and proxies that a developer has."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def config(server="https://127.0.0.1:1", name="mine", user=None, space=None, **cluster) -> dict:
    """Return a kubeconfig with one context."""
    context = {"cluster": f"cluster-of-{name}", "user": f"user-of-{name}"}
    return {
        "contexts": [{"name": name, "context": context | ({"namespace": space} if space else {})}],
        "clusters": [{"name": context["cluster"], "cluster": {"server": server, **cluster}}],
        "users": [{"name": context["user"], "user": user or {"token": "a-token"}}],
        "current-context": name,
    }


@pytest.fixture
def written(monkeypatch, tmp_path):
    """Write a kubeconfig and point KUBECONFIG at it; a second one goes behind the first."""
    files = []

    def write(content, name="config") -> Path:
        file = tmp_path / f"{name}-{len(files)}"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            file.write_text(text, encoding="utf-8")
        files.append(file)
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
        return file

    return write


@pytest.fixture
def soon(monkeypatch):
    """Let a cluster have less time to answer than a student gives it."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1.0)


def refusal(*args, **kwargs) -> str:
    """Return the sentence with which connecting fails; it is one or two, and shows no secret."""
    with pytest.raises((ClusterError, BadInputError)) as caught:
        kubernetes.connect(*args, **kwargs)
    said = str(caught.value)
    assert "Traceback" not in said
    assert "a-token" not in said
    assert len(said) < 600
    return said


# --- the kubeconfig


def test_without_a_kubeconfig_there_are_no_contexts(tmp_path):
    found = kubernetes.contexts()
    assert list(found.columns) == ["name", "server", "namespace", "production"]
    assert found.empty
    assert found["production"].dtype == bool
    assert "no kubeconfig" in refusal("kind-kind")


def test_an_empty_kubeconfig_has_no_contexts(written):
    written("")
    assert kubernetes.contexts().empty
    assert "no context kind-kind. It has: -" in refusal("kind-kind")


def test_the_kubeconfig_of_the_home_is_read(tmp_path):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(yaml.safe_dump(config(name="at-home")))
    assert list(kubernetes.contexts()["name"]) == ["at-home"]


def test_of_several_files_the_first_to_name_something_wins(written, monkeypatch, tmp_path):
    written(config("https://first:1", name="both", space="flights"))
    written(config("https://second:1", name="both"))
    written(config("https://third:1", name="other"))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'nowhere'}:{os.environ['KUBECONFIG']}")
    found = kubernetes.contexts().set_index("name")
    assert dict(found["server"]) == {"both": "https://first:1", "other": "https://third:1"}
    assert dict(found["namespace"]) == {"both": "flights", "other": "default"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("contexts: [a: b\nusers: [{token: a-token", r"not YAML \(line \d"),
        (b"\xff\xfe\x00token", "not YAML"),
        ("just words", "something else than a kubeconfig"),
        ("- a\n- b\n", "something else than a kubeconfig"),
        ("contexts: 7\n", "contexts are no list"),
        ("contexts: [{context: {}}]\n", "contexts are no list"),
        ("users: [token]\n", "users are no list"),
    ],
)
def test_what_is_no_kubeconfig_is_one_sentence(written, content, why):
    file = written(content)
    with pytest.raises(ClusterError, match=why) as caught:
        kubernetes.contexts()
    assert str(file) in str(caught.value)
    assert "a-token" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kubeconfig_that_is_a_folder_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    with pytest.raises(ClusterError, match="cannot be read: Is a directory"):
        kubernetes.contexts()


def test_a_context_that_leads_nowhere_is_said(written):
    half = config()
    half["clusters"] = []
    written(half)
    assert list(kubernetes.contexts()["server"]) == [""]
    assert "no address of a cluster (cluster-of-mine)" in refusal("mine")


# --- which cluster: named, never guessed, production twice


def test_no_context_is_no_cluster_and_the_lesson_goes_on(written, capsys):
    written(config())  # it has a current context, which nobody has named
    cluster = kubernetes.connect(None)
    printed = capsys.readouterr().out.strip()
    assert not cluster
    assert printed == repr(cluster)
    assert printed.startswith("No cluster is named")
    with pytest.raises(ClusterError, match="no cluster here to ask for apply"):
        cluster.apply([])
    assert not hasattr(cluster, "_repr_html_")  # IPython asks


def test_a_context_that_is_not_there_is_said_with_those_that_are(written):
    written(config(name="kind-kind"))
    written(config(name="minikube"))
    assert "no context kind. It has: kind-kind, minikube" in refusal("kind")


@pytest.mark.parametrize(
    ("name", "server", "space", "production"),
    [
        ("prod", "https://a:1", None, True),
        ("Production-EU", "https://a:1", None, True),
        ("arn:aws:eks:eu-west-1:1:cluster/shop-PRD", "https://a:1", None, True),
        ("shop", "https://api.prod.example.test", None, True),
        ("shop", "https://a:1", "live", True),
        ("preprod", "https://a:1", None, True),
        ("kind-kind", "https://127.0.0.1:1", None, False),
        ("product-team-dev", "https://a:1", None, False),
        ("olive-dev", "https://delivery.example.test", None, False),
    ],
)
def test_what_looks_like_production(written, name, server, space, production):
    written(config(server, name=name, space=space))
    assert list(kubernetes.contexts()["production"]) == [production]


def test_production_is_refused_unless_it_is_named_twice(written, soon):
    with socket.create_server((HOST, 0)) as listener:
        server = f"https://{HOST}:{listener.getsockname()[1]}"
        written(config(server, name="prod-eu"))
        for typed in (None, "", "prod", "PROD-EU", True):
            said = refusal("prod-eu", typed)
            assert said.count('"prod-eu"') == 2, "it says how to name it twice"
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):  # nobody has been there
            listener.accept()
        assert "gave no answer within 1 s" in refusal("prod-eu", typed="prod-eu")


# --- a cluster that is none


@contextlib.contextmanager
def listening(behave):
    """Serve connections by a function, each in a thread of its own; all end with the block."""
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as listener, contextlib.ExitStack() as stack:
        listener.settimeout(0.1)

        def serve():
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    taken = stack.enter_context(listener.accept()[0])
                    taken.settimeout(5)
                    one = threading.Thread(target=quietly, args=(taken,), daemon=True)
                    one.start()
                    stack.callback(one.join, 5)

        def quietly(taken):
            with contextlib.suppress(OSError):
                behave(taken, ended)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join(5)


def test_a_server_that_accepts_and_never_answers(written, soon):
    with listening(lambda taken, ended: ended.wait(20)) as port:
        written(config(f"https://{HOST}:{port}"))
        assert "gave no answer within 1 s" in refusal("mine")


def test_a_server_that_never_gets_to_its_end(written, soon):
    def drip(taken, ended):
        taken.recv(4096)
        taken.sendall(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\r\n")
        while not ended.wait(0.2):
            taken.sendall(b" ")

    with listening(drip) as port:
        written(config(f"http://{HOST}:{port}"))
        assert "gave no answer within 1 s" in refusal("mine")


def test_nobody_listens(written, soon):
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    written(config(f"https://{HOST}:{port}"))
    assert re.search("cannot be reached: Connection refused.*VPN", refusal("mine"))


def test_a_name_that_is_no_machine(written, soon):
    written(config("https://nowhere.invalid:6443"))
    assert "cannot be reached" in refusal("mine")


def test_a_server_that_speaks_no_tls(written, soon):
    def plain(taken, ended):
        taken.recv(4096)
        taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        ended.wait(2)

    with listening(plain) as port:
        written(config(f"https://{HOST}:{port}"))
        assert "does not speak TLS" in refusal("mine")


def secured(authority: trustme.CA, *hosts: str, **how):
    """Return how a server behaves that shows a certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(hosts or [HOST]), **how).configure_cert(context)

    def behave(taken, ended):
        with context.wrap_socket(taken, server_side=True) as one:
            asked = one.recv(4096)
            while b"}}" not in asked:  # a body may come by itself
                asked += one.recv(4096)
            seen.append(asked)
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>Router</h1>")

    seen: list[bytes] = []
    behave.seen = seen
    return behave


def pem(authority: trustme.CA) -> str:
    return base64.b64encode(authority.cert_pem.bytes()).decode()


def test_a_certificate_of_somebody_else_gets_no_login(written, soon):
    behave = secured(trustme.CA())
    with listening(behave) as port:
        written(
            config(f"https://{HOST}:{port}", **{"certificate-authority-data": pem(trustme.CA())})
        )
        assert "certificate that the kubeconfig does not trust" in refusal("mine")
    assert behave.seen == []


def test_a_certificate_of_another_name_gets_no_login_unless_the_kubeconfig_says_so(written, soon):
    authority = trustme.CA()
    behave = secured(authority, "kubernetes.test")
    with listening(behave) as port:
        trusted = {"certificate-authority-data": pem(authority)}
        server = f"https://{HOST}:{port}"
        written(config(server, name="a", **trusted))
        written(config(server, name="b", **trusted, **{"tls-server-name": "kubernetes.test"}))
        assert "does not trust" in refusal("a")
        assert behave.seen == []
        said = refusal("b")
    assert "is not Kubernetes' API: <h1>Router</h1>" in said
    assert b"Bearer a-token" in behave.seen[0]


def test_a_certificate_that_has_expired(written, soon):
    from datetime import UTC, datetime, timedelta

    authority = trustme.CA()
    behave = secured(authority, not_after=datetime.now(UTC) - timedelta(days=1))
    with listening(behave) as port:
        written(config(f"https://{HOST}:{port}", **{"certificate-authority-data": pem(authority)}))
        assert "certificate has expired" in refusal("mine")


@contextlib.contextmanager
def answering(status: int, body: bytes = b"", **headers: str):
    """Serve an answer to everybody, and note who asked."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.server_port}", seen
        server.shutdown()
        thread.join(5)


def test_what_answers_and_is_no_kubernetes(written, soon):
    for number, (status, body) in enumerate([(404, b"nothing"), (200, b"[1]"), (302, b"")]):
        with answering(status, body) as (server, _):
            written(config(server, name=f"c{number}"))
            assert "is not Kubernetes' API" in refusal(f"c{number}"), status


def test_a_login_follows_nobody_elsewhere(written, soon):
    with (
        answering(200, b"{}") as (elsewhere, seen),
        answering(302, Location=elsewhere) as (server, _),
    ):
        written(config(server))
        assert "is not Kubernetes' API" in refusal("mine")
    assert seen == []


# --- signing in


def signed_in(written, user: dict, **how) -> login.Login:
    written(config(user=user))
    return login.Login(kubeconfig.find("mine"), **how)


def test_a_token_file_is_read_each_time_beside_the_kubeconfig(written, tmp_path):
    (tmp_path / "token").write_text("first\n")
    one = signed_in(written, {"tokenFile": "token"})
    assert one.headers() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert one.headers() == {"Authorization": "Bearer second"}
    (tmp_path / "token").unlink()
    with pytest.raises(ClusterError, match=r"names a file .*token, which cannot be read"):
        one.headers()


def certificates() -> tuple[bytes, bytes]:
    made = trustme.CA().issue_cert("student@example.test")
    return made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes()


def test_a_certificate_is_taken_from_files_and_from_data_and_nothing_stays_on_disk(
    written, tmp_path, monkeypatch
):
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(login.tempfile, "tempdir", str(spare))
    modes = []
    chain = ssl.SSLContext.load_cert_chain

    def noted(self, *files, **how):
        modes.extend(stat.S_IMODE(Path(file).stat().st_mode) for file in files)
        return chain(self, *files, **how)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", noted)
    for file, content in zip(("one.pem", "one.key"), certificates(), strict=True):
        (tmp_path / file).write_bytes(content)
    files = {"client-certificate": "one.pem", "client-key": str(tmp_path / "one.key")}
    data = {
        f"client-{key}-data": base64.b64encode(content).decode()
        for key, content in zip(("certificate", "key"), certificates(), strict=True)
    }
    for user in (files, data):
        written(config(user=user, name=f"c{len(user)}{'-data' in str(user)}"))
        name = list(kubernetes.contexts()["name"])[-1]
        assert login.Login(kubeconfig.find(name)).tls()
    assert modes == [0o600] * 4
    assert list(spare.iterdir()) == []


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"client-certificate-data": "!"}, "cannot be used"),
        ({"client-certificate-data": "YQ=="}, "without its key"),
        ({"client-key-data": "YQ=="}, "without its certificate"),
        ({"client-certificate-data": "YQ==", "client-key-data": "YQ=="}, "cannot be used"),
        ({"client-certificate": "gone.pem", "client-key": "gone.key"}, "gone.pem, which cannot"),
        ({"auth-provider": {"name": "gcp"}}, "given up"),
    ],
)
def test_a_login_that_is_not_whole(written, user, why):
    written(config(user=user))
    assert why in refusal("mine")


def program(tmp_path, text: str, name="sign-in") -> str:
    file = tmp_path / name
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}", encoding="utf-8")
    file.chmod(0o755)
    return f"./{name}"


ASKED = """
    import json, os, sys
    asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
    assert asked["kind"] == "ExecCredential" and asked["spec"]["interactive"] is False
    count = open("{count}", "a+"); count.write("x"); count.seek(0)
    status = dict(token=f"token-{{len(count.read())}}-{{os.environ['WHO']}}-{{sys.argv[1]}}")
    status |= {more}
    print(json.dumps(dict(apiVersion=asked["apiVersion"], kind="ExecCredential", status=status)))
"""


def plan(command: str, **how) -> dict:
    one = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, **how}
    return {"exec": one}


def test_a_program_that_signs_in_is_asked_once_until_its_login_ends(written, tmp_path):
    told = {"args": ["get"], "env": [{"name": "WHO", "value": "ana"}]}
    for name, until, tokens in (
        ("lasts", "2999-01-01T00:00:00Z", ["token-1-ana-get"] * 2),
        ("ends", "2001-01-01T00:00:00Z", ["token-1-ana-get", "token-2-ana-get"]),
    ):
        more = {"expirationTimestamp": until}
        text = ASKED.format(count=tmp_path / f"count-{name}", more=more)
        written(config(user=plan(program(tmp_path, text, name), **told), name=name))
        one = login.Login(kubeconfig.find(name))
        given = [one.headers()["Authorization"].removeprefix("Bearer ") for _ in range(2)]
        assert given == tokens
        assert one.forget()
        assert one.headers() != {"Authorization": f"Bearer {tokens[-1]}"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys; sys.exit('Token has expired: run sso login')", "run sso login"),
        ("print('hello')", "something else than a login"),
        ("print('{\"status\": {}}')", "something else than a login"),
    ],
)
def test_a_program_that_gives_no_login(written, tmp_path, text, why):
    written(config(user=plan(program(tmp_path, text))))
    said = refusal("mine")
    assert "gave no login" in said
    assert why in said


def test_a_program_that_is_not_there_or_wants_to_ask(written):
    written(config(user=plan("no-such-program"), name="a"))
    written(config(user=plan("true", interactiveMode="Always"), name="b"))
    assert "no-such-program, which is not installed" in refusal("a")
    assert "wants to ask something" in refusal("b")


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(written, tmp_path):
    text = f"""
        import subprocess, time
        child = subprocess.Popen(["sleep", "60"])
        open("{tmp_path / "pid"}", "w").write(str(child.pid))
        time.sleep(60)
    """
    one = signed_in(written, plan(program(tmp_path, text)), program_seconds=2.0)
    with pytest.raises(ClusterError, match=r"did not end within 2 s"):
        one.headers()
    child = int((tmp_path / "pid").read_text())
    wait_until(
        lambda: (
            not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        )
    )


# --- manifests


def test_a_file_is_read_as_it_is():
    (one,) = kubernetes.documents("base/board/deployment.yaml")
    assert (one["kind"], one["metadata"]["name"]) == ("Deployment", "board")
    assert "namespace" not in one["metadata"]
    assert kubernetes.mistakes(one).empty
    one["spec"]["replicas"] = 99  # it is the student's
    assert kubernetes.documents("base/board/deployment.yaml")[0]["spec"]["replicas"] != 99


@pytest.mark.parametrize("tool", ["kustomize", "kubectl"])
def test_a_folder_is_rendered_by_what_is_there(tool, monkeypatch, tmp_path):
    if not (found := shutil.which(tool)):
        pytest.skip(f"no {tool} here")  # one of them is enough: CI has kustomize
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    found = kubernetes.documents("overlays/laptop")
    assert {one["metadata"].get("namespace", "flights") for one in found} == {"flights"}
    assert the(found, "ConfigMap", "board-settings-" + found_hash(found))


def found_hash(documents: list[dict]) -> str:
    names = [one["metadata"]["name"] for one in documents if one["kind"] == "ConfigMap"]
    (name,) = (name for name in names if name.startswith("board-settings-"))
    return name.removeprefix("board-settings-")


def test_without_a_renderer_a_folder_is_one_sentence_and_a_file_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="neither kustomize nor kubectl"):
        kubernetes.documents("overlays/laptop")
    assert kubernetes.documents("base/network.yaml")


def test_a_place_that_is_none(monkeypatch):
    for place in ("overlay/laptop", "../aws/policies", "/etc/passwd", "base/board/board.yaml"):
        with pytest.raises(BadInputError, match=r"Its folders are: .*overlays/laptop"):
            kubernetes.documents(place)


def test_a_folder_or_file_that_is_broken_is_one_sentence(kustomize, monkeypatch, tmp_path):
    monkeypatch.setattr(manifests, "file", lambda name: tmp_path)
    (tmp_path / "kustomization.yaml").write_text("resources: [nothing.yaml]\n")
    (tmp_path / "broken.yaml").write_text("a: [b\n")
    with pytest.raises(BadInputError, match="is not YAML") as caught:
        kubernetes.documents("broken.yaml")
    assert "\n" not in str(caught.value)
    with pytest.raises(ClusterError, match=r"could not be rendered: .*nothing\.yaml") as caught:
        kubernetes.documents(".")
    assert "\n" not in str(caught.value)


MISTAKES = {
    "a word": (lambda d: d["spec"].update(replica=3), "spec", "not know: replica. Is replicas"),
    "a strange word": (lambda d: d["spec"].update(xyzzy=3), "spec", "not know: xyzzy"),
    "a type": (
        lambda d: d["spec"].update(replicas="3"), "spec.replicas", "wants integer, and got '3'",
    ),
    "a part": (lambda d: d["spec"].pop("selector"), "spec", "lacks: selector"),
    "a port": (
        lambda d: containers(d)[0].update(ports=[{"port": 1}]),
        "spec.template.spec.containers[0].ports[0]", "lacks: containerPort",
    ),
    "a version": (lambda d: d.update(apiVersion="v1"), "kind", "no Deployment in v1"),
    "no kind": (lambda d: d.pop("kind"), "", "lacks: kind"),
    "no name": (lambda d: d["metadata"].pop("name"), "metadata", "lacks: name"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_found_where_it_is(what):
    breaks, where, said = MISTAKES[what]
    documents = kubernetes.documents("base/board/deployment.yaml")
    breaks(documents[0])
    (found,) = kubernetes.mistakes(documents).itertuples(index=False)
    assert found.where == where
    assert said in found.what
    kubernetes.faults(documents)  # reads it, or says that it cannot


def test_what_is_no_document_is_a_mistake_and_no_rule_breaks_on_it():
    nonsense = ["words", 7, {}, {"kind": "Deployment"}, {"kind": "Service", "metadata": None}]
    found = kubernetes.mistakes(nonsense)
    assert len(found) == len(nonsense)
    found = kubernetes.faults([*nonsense, *kubernetes.documents("base/board/deployment.yaml")])
    assert found["what"].str.contains("look at its mistakes first").any()
    assert kubernetes.faults([]).empty
    assert kubernetes.mistakes([]).empty


def test_one_broken_document_is_named_by_the_rule_that_cannot_read_it():
    (board,) = kubernetes.documents("base/board/deployment.yaml")
    del board["spec"]["template"]["metadata"]
    services = kubernetes.documents("base/kafka/services.yaml")
    found = kubernetes.faults([*services, board])
    unread = found[found["what"].str.contains("look at its mistakes")]
    assert set(unread["name"]) == {"board"}


def test_a_selector_that_matches_nothing_is_no_mistake_but_a_fault():
    services = kubernetes.documents("base/kafka/services.yaml")
    assert kubernetes.mistakes(services).empty
    found = kubernetes.faults(services)
    assert set(found["what"]) == {"this selector matches no pod"}
    assert set(found["where"]) == {"spec.selector"}


def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = ("kubernetes_validate", "jsonschema", "pandas", "yaml")
    code = "import sys; from lab_env import kubernetes;"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stderr
    code = "import sys; import lab_env; lab_env.Lab; print('lab_env.kubernetes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stdout.strip() == "False", done.stderr


def test_the_manifests_come_with_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert packed["deploy/kubernetes"] == "lab_env/files/deploy/kubernetes"


# --- a real cluster: what the student's cells do, and what they must survive

IMAGE = "python:3.13-slim"
STAYS = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print('here', flush=True); "
STAYS += "signal.pause()"
on_a_cluster = [
    pytest.mark.shares_a_lab,
    pytest.mark.timeout(300),
]


def real(test):
    """Mark a test that needs the control plane."""
    for mark in on_a_cluster:
        test = mark(test)
    return test


def workload(space: str, name: str = "one", code: str = STAYS, kind: str = "Deployment") -> dict:
    """Return a workload as a student may write it; its pods are a Python that runs some code."""
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", code],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    own = {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534}
    own["seccompProfile"] = {"type": "RuntimeDefault"}
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": own,
        "containers": [container],
    }
    made = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": space, "labels": dict(labels)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }
    if kind == "StatefulSet":
        made["spec"]["serviceName"] = name
    return made


def settings(space: str, name: str = "settings", **data: str) -> dict:
    meta = {"name": name, "namespace": space}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data or {"A": "1"}}


def namespace(space: str) -> dict:
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": label}}


def add_claim(stateful: dict, **spec) -> None:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    template = {"metadata": {"name": "data"}, "spec": wanted | spec}
    stateful["spec"]["volumeClaimTemplates"] = [template]
    mount = {"name": "data", "mountPath": "/data"}
    containers(stateful)[0]["volumeMounts"] = [mount]


@pytest.fixture
def space(control_plane):
    """The name of a namespace that is nobody's yet, and gone afterwards."""
    name = f"lab-{uuid.uuid4().hex[:8]}"
    yield name
    control_plane.api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def cluster(control_plane, space, monkeypatch):
    """The cluster as a student connects to it."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    return kubernetes.connect("lab-tests", namespace=space)


@real
def test_a_cluster_is_connected_to_by_its_name(cluster, space):
    assert cluster
    assert re.fullmatch(
        rf"Kubernetes v1\.\d+\.\d+, context lab-tests, namespace {space}", repr(cluster)
    )


@real
def test_applied_twice_nothing_changes(cluster, space):
    documents = [workload(space), settings(space), namespace(space)]
    first = cluster.apply(documents)
    assert list(first.columns) == ["kind", "name", "did"]
    assert list(first["kind"]) == ["Namespace", "ConfigMap", "Deployment"]
    assert set(first["did"]) == {"created"}
    cluster.ready("Deployment", "one", 60)  # the controllers have written into it meanwhile
    assert set(cluster.apply(documents)["did"]) == {"unchanged"}
    documents[1]["data"]["A"] = "2"
    assert list(cluster.apply(documents)["did"]) == ["unchanged", "changed", "unchanged"]


@real
def test_without_rights_the_rights_are_named_and_nothing_is_changed(
    control_plane, space, monkeypatch
):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    said = refusal("nobody", namespace=space)
    assert f"In the namespace {space} of the context nobody you may not" in said
    for right in ("deployments", "get/list/delete pods", "get pods/log", "get/patch namespaces"):
        assert right in said, right


@real
def test_a_student_with_the_rights_of_one_namespace_is_let_in(
    control_plane, space, written, monkeypatch
):
    api = control_plane.api
    api.apply(namespace(space))
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    rbac = "rbac.authorization.k8s.io/v1"
    meta = {"name": "student", "namespace": space}
    api.apply({"apiVersion": rbac, "kind": "Role", "metadata": meta, "rules": [everything]})
    who = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}
    role = {"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": "student"}
    api.apply(
        {"apiVersion": rbac, "kind": "RoleBinding", "metadata": meta, "subjects": [who],
         "roleRef": role}
    )  # fmt: skip
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    one = kubernetes.connect("nobody", namespace=space)
    made = one.apply([namespace(space), settings(space)])
    assert list(made["did"]) == ["left", "created"]  # whoever made the namespace keeps it
    assert one.delete([namespace(space), settings(space)]).empty
    assert api.get(f"/api/v1/namespaces/{space}")["status"]["phase"] == "Active"


@real
def test_a_login_that_is_none_has_expired_or_is_missing(control_plane, written):
    authority = {"certificate-authority": str(control_plane.folder / "ca.pem")}
    written(config(control_plane.url, name="old", user={"token": "a-token"}, **authority))
    written(config(control_plane.url, name="none", user={"username": "x"}, **authority))
    assert "does not know you (401): the login is wrong, or has expired" in refusal("old")
    assert re.search("does not know you|has no login", refusal("none"))


@real
def test_a_program_signs_in_and_is_asked_again_when_its_login_is_withdrawn(
    control_plane, space, written, tmp_path
):
    text = f"""
        import json, pathlib
        file = pathlib.Path("{tmp_path / "tokens"}")
        tokens = file.read_text().split()
        file.write_text(" ".join(tokens[1:]))
        print(json.dumps(dict(status=dict(token=tokens[0]))))
    """
    (tmp_path / "tokens").write_text("withdrawn nobodys-token")
    authority = {"certificate-authority": str(control_plane.folder / "ca.pem")}
    written(config(control_plane.url, user=plan(program(tmp_path, text)), **authority))
    assert "you may not" in refusal("mine", namespace=space)  # it is known now: as nobody
    assert (tmp_path / "tokens").read_text() == ""


@real
def test_production_is_a_cluster_that_is_named_twice(control_plane, space, monkeypatch, tmp_path):
    known = yaml.safe_load(control_plane.kubeconfig.read_text())
    known["contexts"][0]["name"] = "prod"
    (tmp_path / "config").write_text(yaml.safe_dump(known))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert 'typed="prod"' in refusal("prod", namespace=space)
    assert kubernetes.connect("prod", "prod", namespace=space)


@real
def test_only_the_lab_s_namespace_is_touched(cluster, space):
    for document, said in (
        (workload("default"), "is of the namespace default, and the lab works in"),
        (namespace("kube-system"), "is of the namespace kube-system"),
        (kubernetes.documents("base/board/deployment.yaml")[0], "names no namespace"),
        ({"kind": "Node", "metadata": {"name": "node-1"}}, "does not do this with a Node"),
        ({"kind": "ConfigMap", "metadata": {"namespace": space}}, "has no name"),
    ):
        with pytest.raises(BadInputError, match=said):
            cluster.apply([namespace(space), document])
    assert cluster.found("ConfigMap") == []  # and not even the namespace is made
    assert cluster.api.get("/api/v1/namespaces")["items"]
    with pytest.raises(BadInputError, match="is of the namespace default"):
        cluster.delete([workload("default")])


@real
def test_what_the_lab_has_not_made_is_never_changed_or_deleted(cluster, space, control_plane):
    control_plane.api.apply(namespace(space))
    control_plane.api.apply(settings(space, A="theirs"))
    control_plane.api.apply(workload(space, "theirs"))
    with pytest.raises(ClusterError, match="not made by the lab: ConfigMap settings") as caught:
        cluster.apply([settings(space, A="ours"), settings(space, "other")])
    assert "Deployment" not in str(caught.value)
    assert "other" not in {one["metadata"]["name"] for one in cluster.found("ConfigMap")}
    for change in (cluster.restart, lambda *what: cluster.scale(*what, 5)):
        with pytest.raises(ClusterError, match="not made by the lab: Deployment theirs"):
            change("Deployment", "theirs")
    assert cluster.delete([settings(space), workload(space, "theirs"), namespace(space)]).empty
    there = control_plane.api.get(f"/api/v1/namespaces/{space}/configmaps/settings")
    assert there["data"] == {"A": "theirs"}
    assert control_plane.api.get(f"/apis/apps/v1/namespaces/{space}/deployments/theirs")


@real
def test_a_document_that_the_server_does_not_take_is_one_sentence(cluster, space):
    cluster.apply(namespace(space))
    for breaks, said in (
        (lambda d: d["spec"].update(replica=1), ".spec.replica: field not declared"),
        (lambda d: d["spec"]["selector"]["matchLabels"].update(a="b"), "selector"),
        (lambda d: containers(d)[0].update(volumeMounts=[{"name": "x", "mountPath": "/x"}]), "x"),
    ):
        broken = workload(space)
        breaks(broken)
        with pytest.raises(ClusterError, match="does not take Deployment one: ") as caught:
            cluster.apply(broken)
        assert said in str(caught.value)


@real
def test_scaled_killed_restarted_and_set_back_by_the_manifest(cluster, space):
    cluster.apply([namespace(space), workload(space)])
    pods = cluster.ready("Deployment", "one", 60)
    assert list(pods.columns) == ["name", "node", "phase", "ready", "restarts", "age_s", "image"]
    (first,) = pods.itertuples(index=False)
    assert (first.phase, first.ready, first.restarts, first.image) == ("Running", True, 0, IMAGE)
    assert 0 <= first.age_s < 60
    cluster.scale("Deployment", "one", 3)
    assert len(cluster.ready("Deployment", "one", 60)) == 3
    assert cluster.replicas("Deployment", "one") == {"wanted": 3, "running": 3, "ready": 3}
    assert len(cluster.pods("app.kubernetes.io/name=one")) == 3
    assert cluster.pods({"app.kubernetes.io/name": "two"}).empty

    cluster.kill(first.name)
    wait_until(lambda: first.name not in set(cluster.pods()["name"]), 30)
    after = cluster.ready("Deployment", "one", 60)
    assert len(after) == 3
    before = set(after["name"])
    cluster.restart("Deployment", "one")
    wait_until(lambda: not before & set(cluster.pods()["name"]), 60)
    assert len(cluster.ready("Deployment", "one", 60)) == 3

    assert set(cluster.apply([workload(space)])["did"]) == {"changed"}
    wait_until(lambda: cluster.replicas("Deployment", "one")["running"] == 1, 30)
    (name,) = cluster.ready("Deployment", "one", 60)["name"]
    assert cluster.log(name) == "here\n"
    events = cluster.events()
    assert list(events.columns) == ["age_s", "type", "kind", "name", "reason", "message", "count"]
    assert list(events["age_s"]) == sorted(events["age_s"], reverse=True)
    assert {"Scheduled", "Started", "Killing", "ScalingReplicaSet"} <= set(events["reason"])
    assert cluster.replicas("Deployment", "one")["wanted"] == 1
    # a restart is the cluster's, and stays: the manifest does not know of it
    assert set(cluster.apply([workload(space)])["did"]) == {"unchanged"}


@real
def test_another_s_change_is_not_overruled(cluster, space, control_plane):
    cluster.apply([namespace(space), workload(space)])
    path = f"/apis/apps/v1/namespaces/{space}/deployments/one"
    control_plane.api.patch(path, {"spec": {"replicas": 2}})  # as an autoscaler does it
    with pytest.raises(ClusterError, match=r"Somebody else has changed Deployment one.*replicas"):
        cluster.apply([workload(space)])
    assert cluster.replicas("Deployment", "one")["wanted"] == 2


@real
def test_what_is_not_there_or_cannot_be_is_one_sentence(cluster, space):
    cluster.apply(namespace(space))
    for ask in (
        lambda: cluster.replicas("Deployment", "none"),
        lambda: cluster.ready("StatefulSet", "none", 1),
        lambda: cluster.scale("Deployment", "none", 1),
        lambda: cluster.restart("Deployment", "none"),
        lambda: cluster.kill("none"),
        lambda: cluster.log("none"),
    ):
        with pytest.raises(ClusterError, match=r"there is no \w+ none. Has it been applied"):
            ask()
    with pytest.raises(BadInputError, match="does not do this with a Pod"):
        cluster.ready("Pod", "none")
    for number in (-1, 1.5, "3", True):
        with pytest.raises(BadInputError, match="0 or more"):
            cluster.scale("Deployment", "none", number)


def reason(cluster, document: dict, expected: str) -> str:
    """Return why a workload does not get ready, when the cluster has got so far as to say it."""
    kind, name = document["kind"], document["metadata"]["name"]
    cluster.apply([namespace(cluster.namespace), document])
    deadline = time.monotonic() + 90
    while True:
        began = time.monotonic()
        with pytest.raises(
            ClusterError, match=f"{kind} {name} was not rolled out within 1 s"
        ) as caught:
            cluster.ready(kind, name, 1.0)
        assert time.monotonic() - began < 30
        said = str(caught.value)
        if re.search(expected, said, re.DOTALL):
            return said
        assert time.monotonic() < deadline, said


@real
def test_never_ready_because_the_image_is_not_there(cluster, space):
    one = workload(space)
    containers(one)[0]["image"] = "board:7"
    said = reason(cluster, one, "its image board:7 is not there")
    assert "(0 of 1 pods are ready)" in said
    assert re.search(r"one-\w+-\w+: ", said)


@real
def test_never_ready_because_no_node_has_room(cluster, space):
    one = workload(space)
    containers(one)[0]["resources"]["requests"]["cpu"] = "900"
    reason(cluster, one, "no node takes it: 0/1 nodes.*Insufficient cpu")


@real
def test_never_ready_because_a_probe_fails_with_its_words(cluster, space):
    one = workload(space)
    containers(one)[0]["readinessProbe"] = {
        "exec": {"command": ["python", "-c", "raise SystemExit('no broker answers')"]},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
    }
    reason(cluster, one, "runs, and its probe fails: Readiness probe failed.*no broker answers")


@real
def test_never_ready_because_a_probe_has_it_restarted(cluster, space):
    one = workload(space)
    asks = "import sys; sys.exit('frozen')"
    probe = {"exec": {"command": ["python", "-c", asks]}, "periodSeconds": 1, "timeoutSeconds": 5}
    containers(one)[0]["startupProbe"] = {**probe, "failureThreshold": 2}
    spec(one)["terminationGracePeriodSeconds"] = 1
    why = "is restarted again and again, because its probe fails: Startup probe failed.*frozen"
    reason(cluster, one, why)


@real
def test_never_ready_because_a_claim_is_not_bound(cluster, space):
    one = workload(space, kind="StatefulSet")
    add_claim(one, storageClassName="of-nobody")
    reason(cluster, one, "one-0 waits for its disk: the claim data-one-0 is not.*of-nobody")


@real
def test_never_ready_because_it_crashes_with_its_last_words(cluster, space):
    code = "import sys; print('started'); sys.exit('the topic flights is not there')"
    one = workload(space, code=code)
    one["spec"]["minReadySeconds"] = 60  # without it whoever has started is ready, for a moment
    reason(cluster, one, r"exit code 1 \(Error\), restarted.*the topic flights is not there$")


@real
def test_never_ready_because_a_setting_is_not_there(cluster, space):
    one = workload(space)
    containers(one)[0]["envFrom"] = [{"configMapRef": {"name": "board-settings"}}]
    reason(cluster, one, 'its container cannot be started.*configmap "board-settings" not found')


@real
def test_never_ready_because_its_pods_are_refused(cluster, space):
    one = workload(space)
    spec(one)["securityContext"]["runAsUser"] = 0
    reason(cluster, one, "Its pods are refused: .*runAsUser=0")
    two = workload(space, "two", kind="StatefulSet")
    spec(two)["securityContext"].pop("runAsNonRoot")
    reason(cluster, two, "Its pods are refused: .*runAsNonRoot")


@real
def test_not_ready_yet_is_told_from_never(cluster, space):
    one = workload(space)
    one["spec"]["minReadySeconds"] = 300
    reason(cluster, one, "have been so for 300 s")


@real
def test_deleted_with_its_claims_and_proven_and_deleted_twice(cluster, space, capsys):
    state = workload(space, "state", kind="StatefulSet")
    add_claim(state)
    state["spec"]["replicas"] = 2
    changed = [settings(space, "settings-abcdefghij"), settings(space, "settings-klmnopqrst")]
    documents = [namespace(space), state, workload(space), changed[1]]
    cluster.apply([namespace(space), changed[0]])
    cluster.apply(documents)
    cluster.ready("StatefulSet", "state", 90)
    claims = {one["metadata"]["name"] for one in cluster.found("PersistentVolumeClaim")}
    assert claims == {"data-state-0", "data-state-1"}
    left = cluster.delete(documents)
    assert left.empty, left.to_string()
    assert list(left.columns) == ["kind", "name", "why"]
    assert "with their records: the claims data-state-0, data-state-1" in capsys.readouterr().out
    assert cluster._there("Namespace", space) is None  # what was in it went before
    assert cluster.delete(documents).empty
    assert set(cluster.apply(documents)["did"]) == {"created"}  # and all over again
    assert cluster.delete(documents).empty


@real
def test_what_does_not_go_is_said_with_its_reason(cluster, space, control_plane):
    cluster.apply([namespace(space), settings(space)])
    path = f"/api/v1/namespaces/{space}/configmaps/settings"
    control_plane.api.patch(path, {"metadata": {"finalizers": ["example.test/holds"]}})
    left = cluster.delete([namespace(space), settings(space)], seconds=3).set_index("kind")
    assert left.loc["ConfigMap", "why"] == "it waits for: example.test/holds"
    assert "holds more than these documents: ConfigMap settings" in left.loc["Namespace", "why"]
    control_plane.api.patch(path, {"metadata": {"finalizers": None}})
    assert cluster.delete([namespace(space), settings(space)], seconds=60).empty


@real
def test_a_half_made_stack_is_cleaned_up(cluster, space):
    state = workload(space, "state", kind="StatefulSet")
    add_claim(state)
    documents = [namespace(space), settings(space), state]
    cluster.apply(documents)
    cluster.ready("StatefulSet", "state", 90)
    cluster.api.call("DELETE", f"/apis/apps/v1/namespaces/{space}/statefulsets/state")
    left = cluster.delete(documents)
    assert left.empty, left.to_string()


@real
def test_a_cluster_that_goes_away_in_the_middle_is_one_sentence(cluster, space, control_plane):
    (api,) = (p for name, p in control_plane._processes if name == "kube-apiserver")
    cluster.api._seconds = 1.0
    os.kill(api.pid, signal.SIGSTOP)
    try:
        for ask in (cluster.pods, lambda: cluster.ready("Deployment", "one", 2)):
            with pytest.raises(ClusterError, match="gave no answer within 1 s"):
                ask()
    finally:
        os.kill(api.pid, signal.SIGCONT)

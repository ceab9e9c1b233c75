"""Who we are to a cluster, and how we know that it is the one: TLS, tokens, sign-in programs."""

import base64
import binascii
import contextlib
import json
import os
import shutil
import signal
import ssl
import stat
import subprocess
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from lab_env.ground.errors import ClusterError
from lab_env.kubernetes.kubeconfig import Context
from lab_env.messages import say

PROGRAM_SECONDS = 30.0  # aws eks get-token takes about two
EARLY_SECONDS = 30.0  # before a login ends, a new one is asked for


class _NamedContext(ssl.SSLContext):
    """Asks for the certificate of another name than the address (``tls-server-name``)."""

    name = ""

    def wrap_socket(self, sock, *args, **kwargs):
        kwargs["server_hostname"] = self.name
        return super().wrap_socket(sock, *args, **kwargs)


class Login:
    """What a context says about signing in; asked anew when it has expired.

    Args:
        context: of the kubeconfig.
        program_seconds: the deadline of a program that signs in.

    Raises:
        ClusterError: a file or a certificate cannot be used, or it signs in by a way of old.
    """

    def __init__(self, context: Context, program_seconds: float = PROGRAM_SECONDS):
        self.context = context
        self._program_seconds = program_seconds
        self._lock = threading.Lock()
        self._given: dict = {}
        self._until = float("-inf")
        user = context.user
        if "auth-provider" in user and not ({"exec", "token", "tokenFile"} & set(user)):
            raise ClusterError("kubernetes.old_login", context=context.name)
        self._own = self._pair("client-certificate", "client-key")
        self._tls = None

    # -- what a call needs ------------------------------------------------------------------------

    def headers(self) -> dict[str, str]:
        """Return the headers that say who we are.

        Raises ClusterError: the program that signs in failed.
        """
        user = self.context.user
        token = user.get("token")
        if user.get("tokenFile"):  # read each time: it is replaced before it expires
            token = self._file("user", user["tokenFile"]).decode(errors="replace").strip()
        token = token or self._program().get("token")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def tls(self) -> ssl.SSLContext | None:
        """Return how the server is known, and who we are to it; None for plain HTTP."""
        if not self.context.server.startswith("https://"):
            return None
        given = self._program()
        with self._lock:
            if self._tls is None or self._tls[0] is not given:
                self._tls = given, self._made(given)
            return self._tls[1]

    def forget(self) -> bool:
        """Forget what a program gave, and return whether there is one to ask again."""
        with self._lock:
            self._until = float("-inf")
        return "exec" in self.context.user

    # -- certificates -----------------------------------------------------------------------------

    def _made(self, given: dict) -> ssl.SSLContext:
        cluster = self.context.cluster
        name = cluster.get("tls-server-name")
        if name:
            made = asking = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
            asking.name = name
        else:
            made = _plain()
        # Python 3.13 demands of certificates what many a cluster's own lack, and kubectl does not
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            if cluster.get("insecure-skip-tls-verify") is True:
                made.check_hostname = False
                made.verify_mode = ssl.CERT_NONE
            elif authority := self._material("cluster", "certificate-authority"):
                made.load_verify_locations(cadata=authority.decode("ascii"))
            else:
                made.load_default_certs()
            if "clientCertificateData" in given:
                pair = given["clientCertificateData"], given.get("clientKeyData", "")
                self._load(made, *(part.encode() for part in pair))
            elif self._own:
                self._load(made, *self._own)
        except (ssl.SSLError, ValueError) as error:
            name = self.context.name
            raise ClusterError("kubernetes.bad_login", context=name, why=error) from None
        return made

    @staticmethod
    def _load(made: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
        # the ssl module takes files only: they are ours alone, and gone at once
        with tempfile.TemporaryDirectory(prefix="kafka-lab-") as folder:
            files = [Path(folder) / name for name in ("certificate", "key")]
            for file, content in zip(files, (certificate, key), strict=True):
                file.touch(mode=0o600)
                file.write_bytes(content)
            made.load_cert_chain(*files, password="")  # never asks in a terminal

    def _pair(self, *keys: str) -> tuple[bytes, bytes] | None:
        certificate, key = (self._material("user", one) for one in keys)
        if not certificate and not key:
            return None
        if not certificate or not key:
            why = say("kubernetes.why_no_pair")
            raise ClusterError("kubernetes.half_context", context=self.context.name, what=why)
        return certificate, key

    def _material(self, part: str, key: str) -> bytes | None:
        """Return what an entry holds in itself (``-data``, base64) or in a file."""
        entry = getattr(self.context, part)
        if data := entry.get(f"{key}-data"):
            try:
                return base64.b64decode(data, validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                values = {"context": self.context.name, "why": f"{key}-data: {error}"}
                raise ClusterError("kubernetes.bad_login", **values) from None
        return self._file(part, entry[key]) if entry.get(key) else None

    def _file(self, part: str, name: str) -> bytes:
        path = Path(self.context.folders.get(part, ".")) / Path(str(name)).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            raise ClusterError("kubernetes.no_file", file=path, why=error.strerror) from None

    # -- programs that sign in --------------------------------------------------------------------

    def _program(self) -> dict:
        """Return what the context's program gives, asked again shortly before it expires."""
        plan = self.context.user.get("exec")
        if not isinstance(plan, dict):
            return self._given
        with self._lock:
            if time.time() >= self._until:
                self._given = self._run(plan)
                self._until = _expiry(self._given)
            return self._given

    def _run(self, plan: dict) -> dict:
        program = str(plan.get("command", ""))
        told = {"context": self.context.name, "program": program}
        if file := _of_others(self.context.user_file):
            raise ClusterError("kubernetes.program_of_others", file=file, **told)
        if plan.get("interactiveMode") == "Always":
            raise ClusterError("kubernetes.program_asks", **told)
        if "/" in program:  # a path is one that starts at the kubeconfig
            program = str(Path(self.context.folders.get("user", ".")) / program)
        if (found := shutil.which(program)) is None:
            raise ClusterError("kubernetes.no_program", **told)
        env = dict(os.environ)
        env |= {str(one["name"]): str(one.get("value", "")) for one in plan.get("env") or []}
        env["KUBERNETES_EXEC_INFO"] = json.dumps(self._asked_for(plan))
        command = [found, *map(str, plan.get("args") or [])]
        out, err, code = self._ended(command, env, told)
        try:
            status = json.loads(out)["status"]
            if code == 0 and (status.get("token") or status.get("clientCertificateData")):
                return status
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        lines = [line for line in err.splitlines() if line.strip()]
        why = lines[-1].strip()[:300] if lines else say("kubernetes.why_no_answer")
        raise ClusterError("kubernetes.program_failed", why=why, **told)

    def _asked_for(self, plan: dict) -> dict:
        wanted = {"interactive": False}
        if plan.get("provideClusterInfo"):
            keys = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
            wanted["cluster"] = {k: v for k, v in self.context.cluster.items() if k in keys}
            if authority := self._material("cluster", "certificate-authority"):
                data = base64.b64encode(authority).decode("ascii")
                wanted["cluster"]["certificate-authority-data"] = data
        return {"apiVersion": plan.get("apiVersion"), "kind": "ExecCredential", "spec": wanted}

    def _ended(self, command: list[str], env: dict, told: dict) -> tuple[str, str, int]:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            why = error.strerror or error
            raise ClusterError("kubernetes.program_failed", why=why, **told) from None
        try:
            out, err = process.communicate(timeout=self._program_seconds)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                seconds = self._program_seconds
                raise ClusterError("kubernetes.program_slow", seconds=seconds, **told) from None
            raise
        return out, err, process.returncode


def _of_others(file: Path | None) -> Path | None:
    """Return the file that names a program, if another user could have written it."""
    if file is None or os.name == "nt":
        return None
    try:
        found = file.stat()
    except OSError:  # gone since it was read
        return None
    safe = found.st_uid in (os.geteuid(), 0) and not found.st_mode & stat.S_IWOTH
    return None if safe else file


def _plain() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _end(process: subprocess.Popen) -> None:
    """End a program and all that it has started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=5)


def _expiry(given: dict) -> float:
    """Return until when a login may be used, seconds since 1970."""
    text = given.get("expirationTimestamp")
    if not text:
        return float("inf")
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp() - EARLY_SECONDS
    except ValueError:
        return time.time() + EARLY_SECONDS

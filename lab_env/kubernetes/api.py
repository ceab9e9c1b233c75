"""One call to the API server of a cluster, and what each kind of refusal means."""

import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from lab_env.ground.errors import ClusterError
from lab_env.kubernetes.login import Login
from lab_env.messages import say

ANSWER_SECONDS = 10.0
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
MOST_BYTES = 32_000_000  # no answer of a lesson's is as long


class NoAnswer(ClusterError):
    """The cluster cannot be reached, or does not answer in time."""


class Refused(ClusterError):
    """The cluster answered with no; ``status`` is the number of HTTP."""

    @property
    def status(self) -> int:
        """The number of HTTP: 403, 404, 409, ..."""
        return self.values.get("status", 0)

    @property
    def causes(self) -> list[dict]:
        """What the server says in detail."""
        return self.values.get("causes", [])


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: a login is for the server that the kubeconfig names."""

    def redirect_request(self, req, fp, code, msg, headers, newurl) -> None:
        return None


class Api:
    """The API server of a context.

    Args:
        login: how to reach it.
        seconds: the deadline of a call that names none.
    """

    def __init__(self, login: Login, seconds: float = ANSWER_SECONDS):
        self.login = login
        self.context = login.context
        self._seconds = seconds

    def get(self, path: str, **query: object) -> dict:
        """Return what stands at an address.

        Raises:
            NoAnswer: not in time.
            Refused: it is not there, or not for us.
            ClusterError: it is no cluster, or not the one, or we cannot sign in.
        """
        return self.call("GET", path, query=query)[1]

    def find(self, path: str) -> dict | None:
        """Return what stands at an address, or None if nothing does; raises as `get` does."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        query: dict | None = None,
    ) -> tuple[int, dict]:
        """Call, and return the status and what was answered; raises as `get` does."""
        data = None if body is None else json.dumps(body).encode()
        try:
            status, text = self._sent(method, path, data, kind, query or {})
        except Refused as error:
            if error.status != 401 or not self.login.forget():
                raise
            # a program's login may have been withdrawn: asked once more
            status, text = self._sent(method, path, data, kind, query or {})
        try:
            answer = json.loads(text)
            if isinstance(answer, dict):
                return status, answer
        except ValueError:
            pass
        raise self._strange(text[:80])

    def text(self, path: str, **query: object) -> str:
        """Return a text that stands at an address, such as a log; raises as `get` does."""
        return self._sent("GET", path, None, "application/json", query)[1]

    # -- sending ----------------------------------------------------------------------------------

    def _sent(
        self, method: str, path: str, data: bytes | None, kind: str, query: dict
    ) -> tuple[int, str]:
        words = f"?{urllib.parse.urlencode(query)}" if query else ""
        headers = {"Content-Type": kind, "Accept": "application/json, */*"}
        request = urllib.request.Request(
            self.context.server.rstrip("/") + path + words,
            data=data,
            headers=headers | self.login.headers(),
            method=method,
        )
        deadline = time.monotonic() + self._seconds
        try:
            with self._opener().open(request, timeout=self._seconds) as answer:
                return answer.status, self._read(answer, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(method, path, error, deadline) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._away(error) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        proxy = self.context.cluster.get("proxy-url")
        proxies = {"http": proxy, "https": proxy} if proxy else None
        handlers = [urllib.request.ProxyHandler(proxies), _Stays()]
        if tls := self.login.tls():
            handlers.append(urllib.request.HTTPSHandler(context=tls))
        return urllib.request.build_opener(*handlers)

    def _read(
        self, answer: http.client.HTTPResponse | urllib.error.HTTPError, deadline: float
    ) -> str:
        parts, size = [], 0
        while part := answer.read1(65536):
            parts.append(part)
            size += len(part)
            if time.monotonic() > deadline or size > MOST_BYTES:
                raise TimeoutError
        return b"".join(parts).decode(errors="replace")

    # -- refusals ---------------------------------------------------------------------------------

    @property
    def _where(self) -> dict:
        return {"server": self.context.server, "context": self.context.name}

    def _strange(self, why: object) -> ClusterError:
        return ClusterError(
            "kubernetes.not_kubernetes", why=" ".join(str(why).split()), **self._where
        )

    def _away(self, error: Exception) -> ClusterError:
        """Return what it means that no answer came."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return NoAnswer("kubernetes.no_answer", seconds=self._seconds, **self._where)
        if isinstance(reason, ssl.SSLCertVerificationError):
            why = reason.verify_message
            return ClusterError("kubernetes.bad_certificate", why=why, **self._where)
        if isinstance(reason, ssl.SSLError):
            why = (reason.reason or str(reason)).replace("_", " ").lower()
            return ClusterError("kubernetes.no_tls", why=why, **self._where)
        if isinstance(reason, http.client.BadStatusLine) and not isinstance(
            reason, http.client.RemoteDisconnected
        ):
            return self._strange(reason)
        why = getattr(reason, "strerror", None) or reason
        return NoAnswer("kubernetes.no_way", why=why, **self._where)

    def _refused(
        self, method: str, path: str, error: urllib.error.HTTPError, deadline: float
    ) -> ClusterError:
        try:
            told = json.loads(self._read(error, deadline))
            message = str(told["message"])
            causes = (told.get("details") or {}).get("causes") or []
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):
            told, message, causes = None, str(error.reason), []
        status = error.code
        if status == 401:
            return Refused("kubernetes.unknown", status=status, **self._where)
        if told is None and status < 500:
            return self._strange(f"{status} {message}")
        if status == 403 and "system:anonymous" in message:
            return Refused("kubernetes.anonymous", status=status, **self._where)
        what = say("kubernetes.call", method=method, path=path)
        values = {"what": what, "why": message[:1000], "status": status, "causes": causes}
        return Refused("kubernetes.refused", **values)

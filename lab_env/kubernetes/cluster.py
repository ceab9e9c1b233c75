"""The object that a lesson holds: a cluster that the student named, and what the lab does in it."""

import time
from datetime import UTC, datetime
from numbers import Integral
from typing import TYPE_CHECKING

from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, ClusterError
from lab_env.kubernetes import deletion, diagnosis
from lab_env.kubernetes.api import APPLY, MERGE, Api, NoAnswer, Refused
from lab_env.kubernetes.kinds import APPLIED, ROLLED_OUT, path, title
from lab_env.kubernetes.manifests import listed, named
from lab_env.kubernetes.objects import MANAGER, age, made_here, moment, ready, rolled_out, when
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

NAMESPACE = "flights"
READY_SECONDS = 180.0
DELETE_SECONDS = 240.0  # a broker has two minutes to end
LOOK_SECONDS = 0.5  # between two looks
RESTARTED = "kubectl.kubernetes.io/restartedAt"


class KubernetesCluster:
    """A Kubernetes cluster as `lab_env.kubernetes.connect` returns it; true.

    It works in one namespace, and changes only what it has made itself (the server keeps who wrote
    what: managed fields, field manager ``kafka-lab``).

    Attributes:
        context: the name of its context.
        namespace: the only one in which it works.
        version: the server's, as it says it.
    """

    def __init__(self, api: Api, namespace: str, version: str):
        self.api = api
        self.context = api.context.name
        self.namespace = namespace
        self.version = version

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        values = {"context": self.context, "namespace": self.namespace}
        return say("kubernetes.summary", version=self.version, **values)

    # -- making -----------------------------------------------------------------------------------

    def apply(self, documents: list[dict]) -> "pd.DataFrame":
        """Make the cluster have these documents, by server-side apply; the namespace comes first.

        Args:
            documents: as ``documents("overlays/laptop")`` returns them: each names its namespace.

        Returns:
            DataFrame, a row a document: kind, name, did str ("created", "changed", "unchanged", or
            "left" for a namespace that was there before the lab).

        Raises:
            BadInputError: a document of another namespace, of none, or of an unknown kind.
            ClusterError: there is an object of that name that the lab has not made (nothing is
                changed then), or the server refuses a document.
        """
        import pandas as pd

        wanted = sorted(self._checked(documents), key=lambda one: APPLIED.index(one["kind"]))
        there = [self._there(one["kind"], one["metadata"]["name"]) for one in wanted]
        pairs = list(zip(wanted, there, strict=True))
        foreign = [title(one) for one, old in pairs if old and not made_here(old)]
        if foreign := [name for name in foreign if name != f"Namespace {self.namespace}"]:
            raise ClusterError("kubernetes.not_ours", names=", ".join(foreign), **self._where)
        rows = [(*named(one), self._applied(one, old)) for one, old in pairs]
        return pd.DataFrame(rows, columns=["kind", "name", "did"]).astype("str")

    @property
    def _where(self) -> dict:
        return {"namespace": self.namespace, "context": self.context}

    def _checked(self, documents: list[dict]) -> list[dict]:
        found = listed(documents)
        for one in found:
            kind, name = named(one)
            if kind not in APPLIED:
                known = ", ".join(APPLIED)
                raise BadInputError("kubernetes.bad_kind", kind=kind or "?", known=known)
            if not name:
                raise BadInputError("kubernetes.no_name", kind=kind)
            space = name if kind == "Namespace" else one["metadata"].get("namespace")
            if space is None:
                values = {"document": title(one), "namespace": self.namespace}
                raise BadInputError("kubernetes.no_namespace", **values)
            if space != self.namespace:
                values = {"document": title(one), "space": space, "namespace": self.namespace}
                raise BadInputError("kubernetes.other_namespace", **values)
        return found

    def _there(self, kind: str, name: str) -> dict | None:
        return self.api.find(path(kind, self.namespace, name))

    def _applied(self, document: dict, old: dict | None) -> str:
        if old is not None and not made_here(old):
            return "left"  # the namespace: whoever made it knows why it is as it is
        try:
            status, new = self._patch(document)
        except Refused as error:
            if error.status != 409 or not _all_ours(error.causes):
                raise self._told(document, error) from None
            # what was scaled here meanwhile becomes what the document says
            status, new = self._patch(document, force="true")
        if status == 201:
            return "created"
        return "unchanged" if _content(old) == _content(new) else "changed"

    def _patch(self, document: dict, **query: str) -> tuple[int, dict]:
        kind, name = named(document)
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | query
        return self.api.call(
            "PATCH", path(kind, self.namespace, name), document, kind=APPLY, query=query
        )

    def _told(self, document: dict, error: Refused) -> ClusterError:
        if error.status == 401:
            return error
        key = "kubernetes.conflict" if error.status == 409 else "kubernetes.not_applied"
        return ClusterError(key, document=title(document), why=error.values.get("why", error))

    # -- changing ---------------------------------------------------------------------------------

    def scale(self, kind: str, name: str, replicas: int) -> None:
        """Ask for another number of pods.

        Args:
            kind: "Deployment" or "StatefulSet".
            name: of it.
            replicas: how many, 0 or more.

        Raises:
            BadInputError: another kind, or no such number.
            ClusterError: there is none, or the lab has not made it.
        """
        if not isinstance(replicas, Integral) or isinstance(replicas, bool) or replicas < 0:
            raise BadInputError("kubernetes.bad_replicas", replicas=replicas)
        self._change(kind, name, {"spec": {"replicas": int(replicas)}})

    def restart(self, kind: str, name: str) -> None:
        """Replace all pods, one after the other as its strategy says (``kubectl rollout restart``).

        Raises ClusterError: there is no such workload, or the lab has not made it.
        """
        # microseconds, unlike kubectl: two restarts within a second are two
        note = {"metadata": {"annotations": {RESTARTED: datetime.now(UTC).isoformat()}}}
        self._change(kind, name, {"spec": {"template": note}})

    def _change(self, kind: str, name: str, change: dict) -> None:
        self._mine(kind, name)
        query = {"fieldManager": MANAGER}
        self.api.call("PATCH", path(kind, self.namespace, name), change, kind=MERGE, query=query)

    def _mine(self, kind: str, name: str) -> dict:
        found = self._workload(kind, name)
        if not made_here(found):
            names = f"{kind} {name}"
            raise ClusterError("kubernetes.not_ours", names=names, **self._where)
        return found

    def _workload(self, kind: str, name: str) -> dict:
        if kind not in ROLLED_OUT:
            raise BadInputError("kubernetes.bad_kind", kind=kind, known=", ".join(ROLLED_OUT))
        found = self._there(kind, name)
        if found is None:
            raise ClusterError("kubernetes.not_there", what=f"{kind} {name}", **self._where)
        return found

    def kill(self, pod: str) -> None:
        """Delete a pod, with the time to end that it has been given; returns at once.

        Raises ClusterError: there is no such pod.
        """
        try:
            self.api.call("DELETE", path("Pod", self.namespace, pod))
        except Refused as error:
            if error.status != 404:
                raise
            raise ClusterError("kubernetes.not_there", what=f"Pod {pod}", **self._where) from None

    # -- watching ---------------------------------------------------------------------------------

    def ready(self, kind: str, name: str, seconds: float = READY_SECONDS) -> "pd.DataFrame":
        """Wait until a workload is rolled out: all pods of its newest form, available, no others.

        Args:
            kind: "Deployment" or "StatefulSet".
            name: of it.
            seconds: the deadline.

        Returns:
            Its pods, as `pods` returns them.

        Raises:
            BadInputError: the deadline is no number of seconds up to a day.
            ClusterError: not within the deadline, with the reason as its pods and events give it;
                there is no such workload.
        """
        deadline = time.monotonic() + arguments.seconds(seconds)
        found: dict = {}
        away: NoAnswer | None = None
        while True:
            try:
                found, away = self._workload(kind, name), None
                if rolled_out(found):
                    pods = self.pods(found["spec"]["selector"].get("matchLabels"))
                    # the status of a workload is behind its pods: one that was just killed counts
                    wanted = found["spec"].get("replicas", 1)
                    if pods["ready"].sum() == wanted and "Terminating" not in set(pods["phase"]):
                        return pods
            except NoAnswer as error:  # a server that restarts: asked again until the deadline
                away = error
            if time.monotonic() >= deadline:
                break
            time.sleep(LOOK_SECONDS)
        if away is not None:
            raise away
        why = diagnosis.of_workload(self, found)
        values = self.replicas(kind, name)
        raise ClusterError(
            "kubernetes.not_ready", what=title(found), seconds=seconds, why=why, **values
        )

    def replicas(self, kind: str, name: str) -> dict[str, int]:
        """Return how many pods a workload wants, has, and has ready: wanted, running, ready.

        Raises ClusterError: there is no such workload.
        """
        found = self._workload(kind, name)
        status = found.get("status", {})
        return {
            "wanted": found["spec"].get("replicas", 1),
            "running": status.get("replicas", 0),
            "ready": status.get("readyReplicas", 0),
        }

    def pods(self, labels: dict[str, str] | str | None = None) -> "pd.DataFrame":
        """Return the pods of the namespace, by name.

        Args:
            labels: only those that wear them: a dict, or kubectl's text ("a=b,c=d").

        Returns:
            DataFrame, a row a pod: name, node str, phase str ("Pending", "Running", "Terminating",
            ...), ready bool, restarts int64, age_s float64, image str.

        Raises:
            ClusterError: the cluster does not answer.
        """
        import pandas as pd

        rows = [_pod_row(one) for one in self.found("Pod", labels)]
        columns = {"name": "str", "node": "str", "phase": "str", "ready": "bool"}
        columns |= {"restarts": "int64", "age_s": "float64", "image": "str"}
        frame = pd.DataFrame(rows, columns=list(columns)).astype(columns)
        return frame.sort_values("name", ignore_index=True)

    def found(self, kind: str, labels: dict[str, str] | str | None = None) -> list[dict]:
        """Return the objects of a kind in the namespace, as the server keeps them."""
        if isinstance(labels, dict):
            labels = ",".join(f"{key}={value}" for key, value in labels.items())
        query = {"labelSelector": labels} if labels else {}
        return self.api.get(path(kind, self.namespace), **query).get("items") or []

    def log(self, pod: str, lines: int = 20, *, previous: bool = False) -> str:
        """Return the end of what a pod has printed.

        Args:
            pod: its name.
            lines: how many.
            previous: of its container before the last restart.

        Raises:
            ClusterError: there is no such pod, or nothing is to be had of it.
        """
        query = {"tailLines": lines} | ({"previous": "true"} if previous else {})
        try:
            return self.api.text(path("Pod", self.namespace, pod, "log"), **query)
        except Refused as error:
            if error.status == 404:
                what = f"Pod {pod}"
                raise ClusterError("kubernetes.not_there", what=what, **self._where) from None
            why = error.values.get("why", error)
            raise ClusterError("kubernetes.no_log", pod=pod, why=why) from None

    def events(self) -> "pd.DataFrame":
        """Return what the cluster has noted in the namespace, oldest first.

        Returns:
            DataFrame, a row an event: age_s float64, type str ("Normal", "Warning"), kind, name,
            reason, message str, count int64.

        Raises:
            ClusterError: the cluster does not answer.
        """
        import pandas as pd

        rows = [
            (
                age(when(one)),
                one.get("type", ""),
                one["involvedObject"].get("kind", ""),
                one["involvedObject"].get("name", ""),
                one.get("reason", ""),
                " ".join((one.get("message") or "").split()),
                (one.get("series") or {}).get("count") or one.get("count") or 1,
            )
            for one in sorted(self.found("Event"), key=when)
        ]
        columns = {"age_s": "float64", "type": "str", "kind": "str", "name": "str"}
        columns |= {"reason": "str", "message": "str", "count": "int64"}
        return pd.DataFrame(rows, columns=list(columns)).astype(columns)

    # -- ending -----------------------------------------------------------------------------------

    def delete(self, documents: list[dict], seconds: float = DELETE_SECONDS) -> "pd.DataFrame":
        """Delete documents that the lab has applied, with the claims of their StatefulSets.

        Args:
            documents: as they were applied; what the lab has not made is left alone.
            seconds: the deadline.

        Returns:
            DataFrame, a row for what is left after having looked again: kind, name, why str. No
            rows: nothing is.

        Raises:
            BadInputError: a document of another namespace, or no number of seconds.
            ClusterError: the cluster does not answer.
        """
        return deletion.remove(self, self._checked(documents), arguments.seconds(seconds))


def _pod_row(pod: dict) -> tuple:
    status, meta = pod.get("status", {}), pod["metadata"]
    ends = "deletionTimestamp" in meta
    return (
        meta["name"],
        pod["spec"].get("nodeName", ""),
        "Terminating" if ends else status.get("phase", ""),
        ready(pod),
        sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or []),
        age(moment(meta.get("creationTimestamp"))),
        ", ".join(one["image"] for one in pod["spec"]["containers"]),
    )


def _all_ours(causes: list[dict]) -> bool:
    """Return whether all that a field is disputed with is the lab itself."""
    return bool(causes) and all(f'"{MANAGER}"' in str(one.get("message", "")) for one in causes)


def _content(there: dict | None) -> object:
    """Return what a person has written of an object, without what the server keeps beside it."""
    if there is None:
        return None
    meta = there["metadata"]
    notes = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if not key.startswith("deployment.kubernetes.io/")
    }
    own = {key: value for key, value in there.items() if key not in ("metadata", "status")}
    return own, meta.get("labels") or {}, notes

"""The end of what the lab has made in a cluster: deleted, waited for, and looked for again."""

import re
import time
from typing import TYPE_CHECKING

from lab_env.kubernetes.api import Refused
from lab_env.kubernetes.kinds import APPLIED, ROLLED_OUT, path, title
from lab_env.kubernetes.objects import Namespace, made_here
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd


LOOK_SECONDS = 0.5
HASHED = re.compile(r"(.+)-[a-z0-9]{10}")  # a name that kustomize has made of its content
OF_ALL = {"kube-root-ca.crt"}  # what each namespace has by itself
TOKEN = "kubernetes.io/service-account-token"


def remove(cluster: Namespace, documents: list[dict], seconds: float) -> "pd.DataFrame":
    """Delete what the lab has applied, and return what is left: kind, name, why str."""
    import pandas as pd

    rows = _Removal(cluster, documents, seconds).run()
    frame = pd.DataFrame(rows, columns=["kind", "name", "why"])
    return frame.astype("str")


class _Removal:
    """One clean-up: pods end while Services and claims are there still, the namespace goes last."""

    def __init__(self, cluster: Namespace, documents: list[dict], seconds: float):
        self.cluster = cluster
        self.api, self.namespace = cluster.api, cluster.namespace
        self.documents = documents
        self.deadline = time.monotonic() + seconds
        self.why: dict[tuple[str, str], str] = {}  # what the server refused to delete
        self.foreign: list[str] = []

    def run(self) -> list[tuple[str, str, str]]:
        """Delete, wait, look again; return what is left."""
        space = self._there("Namespace", self.namespace)
        own_space = bool(space) and made_here(space)
        others = [one for one in self.documents if one["kind"] not in (*ROLLED_OUT, "Namespace")]
        mine = self._ours([one for one in self.documents if one["kind"] in ROLLED_OUT])
        claims, unsure = self._claims(mine, own_space)
        for one in mine:
            self._delete(one["kind"], one["metadata"]["name"])
        self._wait(lambda: not self._left(mine) and not self._pods(mine))
        for name in claims:
            self._delete("PersistentVolumeClaim", name)
        if claims:
            print(say("kubernetes.claims_deleted", names=", ".join(claims)))
        rest = self._ours(others) + self._older(others)
        for one in rest:
            self._delete(one["kind"], one["metadata"]["name"])
        self._wait(lambda: not self._left(rest) and not self._claims_left(claims))
        rows = [*self._left(mine), *self._pods(mine), *self._claims_left(claims)]
        rows += [*self._left(rest)]
        rows += [("PersistentVolumeClaim", name, say("kubernetes.left_unsure")) for name in unsure]
        if self.foreign:
            print(say("kubernetes.left_alone", names=", ".join(self.foreign)))
        if own_space and any(one["kind"] == "Namespace" for one in self.documents):
            rows += self._without_space()
        return rows

    # -- what there is ----------------------------------------------------------------------------

    def _there(self, kind: str, name: str) -> dict | None:
        return self.api.find(path(kind, self.namespace, name))

    def _ours(self, documents: list[dict]) -> list[dict]:
        """Return the documents that are ours in the cluster, or are not there (any more)."""
        found = []
        for one in documents:
            there = self._there(one["kind"], one["metadata"]["name"])
            if there is None or made_here(there):
                found.append(one)
            else:
                self.foreign.append(title(one))
        return found

    def _older(self, documents: list[dict]) -> list[dict]:
        """Return what the lab applied under these names before their content changed."""
        now = {title(one) for one in documents}
        bases = {
            (one["kind"], found[1])
            for one in documents
            if (found := HASHED.fullmatch(one["metadata"]["name"]))
        }
        return [
            one
            for kind in sorted({kind for kind, _ in bases})
            for one in self._listed(kind)
            if made_here(one)
            and title(one) not in now
            and (found := HASHED.fullmatch(one["metadata"]["name"]))
            and (kind, found[1]) in bases
        ]

    def _listed(self, kind: str, labels: dict | None = None) -> list[dict]:
        # a list's items do not say their kind
        return [one | {"kind": kind} for one in self.cluster.found(kind, labels)]

    def _claims(self, workloads: list[dict], own_space: bool) -> tuple[list[str], list[str]]:
        """Return the claims of StatefulSets; and those that may be somebody else's."""
        ours, unsure = [], []
        for one in workloads:
            wanted = [t["metadata"]["name"] for t in one["spec"].get("volumeClaimTemplates") or []]
            if not wanted:
                continue
            name = re.escape(one["metadata"]["name"])
            pattern = re.compile(rf"({'|'.join(map(re.escape, wanted))})-{name}-\d+")
            labels = one["spec"]["selector"]["matchLabels"]
            found = [c["metadata"]["name"] for c in self._listed("PersistentVolumeClaim", labels)]
            sure = own_space or self._there(one["kind"], one["metadata"]["name"]) is not None
            (ours if sure else unsure).extend(n for n in sorted(found) if pattern.fullmatch(n))
        return ours, unsure

    # -- deleting ---------------------------------------------------------------------------------

    def _delete(self, kind: str, name: str) -> None:
        try:
            body = {"propagationPolicy": "Background"}
            self.api.call("DELETE", path(kind, self.namespace, name), body)
        except Refused as error:
            if error.status == 401:
                raise
            if error.status != 404:
                self.why[kind, name] = str(error.values.get("why", error))

    def _wait(self, condition) -> None:
        while not condition() and time.monotonic() < self.deadline:
            time.sleep(LOOK_SECONDS)

    # -- what is left -----------------------------------------------------------------------------

    def _row(self, kind: str, there: dict) -> tuple[str, str, str]:
        name = there["metadata"]["name"]
        if (kind, name) in self.why:
            return kind, name, self.why[kind, name]
        if waits := there["metadata"].get("finalizers"):
            return kind, name, say("kubernetes.left_waits", names=", ".join(waits))
        return kind, name, say("kubernetes.left_ending")

    def _left(self, documents: list[dict]) -> list[tuple[str, str, str]]:
        there = [(d["kind"], self._there(d["kind"], d["metadata"]["name"])) for d in documents]
        return [self._row(kind, one) for kind, one in there if one is not None]

    def _pods(self, workloads: list[dict]) -> list[tuple[str, str, str]]:
        return [
            self._row("Pod", pod)
            for one in workloads
            for pod in self._listed("Pod", one["spec"]["selector"]["matchLabels"])
            if pod["metadata"].get("ownerReferences")
        ]

    def _claims_left(self, names: list[str]) -> list[tuple[str, str, str]]:
        there = [self._there("PersistentVolumeClaim", name) for name in names]
        return [self._row("PersistentVolumeClaim", one) for one in there if one is not None]

    def _without_space(self) -> list[tuple[str, str, str]]:
        """Delete the namespace, if nothing is in it that would go with it."""
        inside = [
            title(one)
            for kind in (*APPLIED[1:], "Pod", "PersistentVolumeClaim")
            for one in self._listed(kind)
            if one["metadata"]["name"] not in OF_ALL and one.get("type") != TOKEN
        ]
        if inside:
            why = say("kubernetes.left_inside", names=", ".join(inside[:8]))
            return [("Namespace", self.namespace, why)]
        self._delete("Namespace", self.namespace)
        self._wait(lambda: self._there("Namespace", self.namespace) is None)
        there = self._there("Namespace", self.namespace)
        return [] if there is None else [self._row("Namespace", there)]

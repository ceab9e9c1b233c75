"""From the name of a context to a cluster: none is guessed, and production is named twice."""

from concurrent.futures import ThreadPoolExecutor

from lab_env.ground.errors import ClusterError
from lab_env.kubernetes import kubeconfig
from lab_env.kubernetes.api import ANSWER_SECONDS, Api, Refused
from lab_env.kubernetes.cluster import NAMESPACE, KubernetesCluster
from lab_env.kubernetes.kinds import APPLIED, KINDS, path
from lab_env.kubernetes.login import Login
from lab_env.messages import say

REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# what the lesson does in its namespace
NEEDED = [
    (verb, kind) for kind in APPLIED[1:] for verb in ("get", "list", "create", "patch", "delete")
]
NEEDED += [("get", "Pod"), ("list", "Pod"), ("delete", "Pod"), ("list", "Event")]
NEEDED += [("list", "PersistentVolumeClaim"), ("delete", "PersistentVolumeClaim")]
NEEDED += [("list", "ReplicaSet")]
AT_ONCE = 8


class NoCluster:
    """What stands in for a cluster that nobody has named: false, and it says so."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return say("kubernetes.none")

    def __getattr__(self, name: str):
        if name.startswith("_"):  # IPython and copy look for these
            raise AttributeError(name)
        raise ClusterError("kubernetes.no_cluster_call", call=name)


def connect(
    context: str | None, typed: str | None = None, *, namespace: str = NAMESPACE
) -> KubernetesCluster | NoCluster:
    """Return the cluster of a context that you name; nothing in it is changed.

    Args:
        context: a name of `contexts`; None for no cluster. The kubeconfig's current context is
            never taken by itself.
        typed: the same name once more, for a context that looks like production.
        namespace: the only one in which the lab works.

    Returns:
        A cluster that answers within 10 s and allows what the lesson does, or `NoCluster`, which
        is false.

    Raises:
        BadInputError: the kubeconfig has no such context.
        ClusterError: the kubeconfig is broken; it looks like production and was named once; the
            cluster does not answer, is not the one, does not know us, or allows too little.
    """
    if context is None:
        print(say("kubernetes.none"))
        return NoCluster()
    found = kubeconfig.find(context)
    if found.production and typed != found.name:
        raise ClusterError("kubernetes.production", context=found.name, server=found.server)
    api = Api(Login(found), ANSWER_SECONDS)
    missing = _missing(api, namespace)
    if missing:
        values = {"context": found.name, "namespace": namespace, "rights": "; ".join(missing)}
        raise ClusterError("kubernetes.too_few_rights", **values)
    version = str(api.get("/version").get("gitVersion", "?"))
    return KubernetesCluster(api, namespace, version)


def _missing(api: Api, namespace: str) -> list[str]:
    """Return the rights that the lesson needs and that we lack, as a person says them."""
    # one by itself first: what is wrong with the cluster is said once, and soon
    needed = list(NEEDED)
    asked = [(needed[0], _allowed(api, namespace, *needed[0]))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda one: _allowed(api, namespace, *one), needed[1:])
        asked += zip(needed[1:], answers, strict=True)
        log = pool.submit(_allowed, api, namespace, "get", "Pod", "log")
        space = pool.submit(_space_is_there, api, namespace)
    lacking: dict[str, list[str]] = {}
    for (verb, kind), allowed in asked:
        if not allowed:
            lacking.setdefault(KINDS[kind].plural, []).append(verb)
    if not log.result():
        lacking["pods/log"] = ["get"]
    if not space.result() and not _allowed(api, namespace, "patch", "Namespace"):
        lacking["namespaces"] = ["get", "patch"]
    grouped: dict[str, list[str]] = {}  # what lacks the same verbs is said in one breath
    for plural, verbs in lacking.items():
        grouped.setdefault("/".join(verbs), []).append(plural)
    return [f"{verbs} {', '.join(plurals)}" for verbs, plurals in grouped.items()]


def _allowed(api: Api, namespace: str, verb: str, kind: str, part: str = "") -> bool:
    known = KINDS[kind]
    asked = {"verb": verb, "group": known.group, "resource": known.plural, "namespace": namespace}
    asked |= {"subresource": part} if part else {}
    asked |= {} if known.spaced else {"name": namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = api.call("POST", REVIEW, body)[1]
    return bool((answer.get("status") or {}).get("allowed"))


def _space_is_there(api: Api, namespace: str) -> bool:
    try:
        api.get(path("Namespace", "", namespace))
    except Refused as error:
        if error.status in (403, 404):
            return False
        raise
    return True

"""Why a workload does not get ready, in a sentence, from its pods' states and events."""

from lab_env.ground.errors import ClusterError
from lab_env.kubernetes.objects import Namespace, ready, when
from lab_env.messages import say

LOGGED = 6  # lines
LONGEST = 400  # characters of a message of the cluster
IMAGE = {
    *("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"),
    *("ImageInspectError", "RegistryUnavailable"),
}
NOT_MADE = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


def of_workload(cluster: Namespace, workload: dict) -> str:
    """Return why a Deployment or StatefulSet is not rolled out, in a sentence or two."""
    labels = workload["spec"]["selector"].get("matchLabels")
    events = sorted(cluster.found("Event"), key=when)
    pods = [one for one in cluster.found("Pod", labels) if one["metadata"].get("ownerReferences")]
    wanted = workload["spec"].get("replicas", 1)
    whole = workload.get("status", {}).get("observedGeneration", 0)
    if whole < workload["metadata"]["generation"]:
        return say("kubernetes.why_unseen")
    waiting = [one for one in pods if not ready(one) and not _ends(one)]
    # the worst first: of three pods the one that cannot start says more than the one that waits
    found = sorted(_of_pod(cluster, one, events) for one in waiting)
    if found:
        return found[0][1]
    if len(pods) < wanted and (said := _not_made(cluster, workload, events, labels)):
        return said
    if ending := [one["metadata"]["name"] for one in pods if _ends(one)]:
        return say("kubernetes.why_ending", names=", ".join(ending))
    if not pods and wanted:
        return say("kubernetes.why_no_pods")
    seconds = workload["spec"].get("minReadySeconds", 0)
    return say("kubernetes.why_soon" if seconds else "kubernetes.why_still", seconds=seconds)


def _ends(pod: dict) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _short(text: object) -> str:
    words = " ".join(str(text or "").split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} ..."


def _last(events: list[dict], kind: str, name: str, *wanted: str) -> str:
    """Return what the newest event of an object says, among some reasons; "" if there is none."""
    for one in reversed(events):
        about = one["involvedObject"]
        if (about.get("kind"), about.get("name")) == (kind, name) and one.get("reason") in wanted:
            # what a busy controller says before the same words again
            return _short(one.get("message")).removeprefix("(combined from similar events): ")
    return ""


def _not_made(cluster: Namespace, workload: dict, events: list[dict], labels: dict) -> str:
    """Return why fewer pods were made than wanted: what the controller was refused."""
    name = workload["metadata"]["name"]
    makers = [(workload["kind"], name)]
    if workload["kind"] == "Deployment":
        makers += [
            ("ReplicaSet", o["metadata"]["name"]) for o in cluster.found("ReplicaSet", labels)
        ]
    found = [_last(events, *maker, "FailedCreate") for maker in makers]
    conditions = workload.get("status", {}).get("conditions") or []
    found += [_short(c.get("message")) for c in conditions if c["type"] == "ReplicaFailure"]
    why = next(filter(None, found), "")
    return say("kubernetes.why_not_made", why=why) if why else ""


def _of_pod(cluster: Namespace, pod: dict, events: list[dict]) -> tuple[int, str]:
    """Return how bad it is with a pod (0 is worst) and why it is not ready."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    states = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    for one in states:
        waits = (one.get("state") or {}).get("waiting") or {}
        reason = waits.get("reason", "")
        if reason in IMAGE:
            why = _short(waits.get("message")) or _last(events, "Pod", name, "Failed") or reason
            values = {"pod": name, "image": one.get("image", ""), "why": why}
            return 0, say("kubernetes.why_image", **values)
        if reason in NOT_MADE:
            why = _short(waits.get("message")) or _last(events, "Pod", name, "Failed") or reason
            return 0, say("kubernetes.why_container", pod=name, why=why)
    unwell = _last(events, "Pod", name, "Unhealthy")
    # ended by the kubelet: how it ended says nothing then, and the probe says why
    if unwell and "probe" in _last(events, "Pod", name, "Killing"):
        return 1, say("kubernetes.why_probe_kills", pod=name, why=unwell)
    for one in states:
        if said := _crashed(cluster, name, one):
            return 1, said
    for one in status.get("conditions") or []:
        if (one["type"], one["status"]) == ("PodScheduled", "False"):
            return 2, _unplaced(pod, one, events)
    if unwell:
        return 3, say("kubernetes.why_probe", pod=name, why=unwell)
    trouble = (
        "FailedMount",
        "FailedAttachVolume",
        "FailedCreatePodSandBox",
        "Failed",
        "NodeNotReady",
    )
    if said := _last(events, "Pod", name, *trouble):
        return 2, say("kubernetes.why_container", pod=name, why=said)
    if not pod["spec"].get("nodeName"):
        return 4, say("kubernetes.why_no_scheduler", pod=name)
    phase = status.get("phase", "?")
    return 5, say("kubernetes.why_waits", pod=name, phase=phase, node=pod["spec"]["nodeName"])


def _crashed(cluster: Namespace, pod: str, state: dict) -> str:
    """Return how a container ended, with its last words; "" if it has not."""
    now = (state.get("state") or {}).get("terminated")
    before = (state.get("lastState") or {}).get("terminated")
    ended = now or before
    if not ended or (now and now.get("exitCode") == 0 and state.get("ready")):
        return ""
    running = (state.get("state") or {}).get("running")
    if running and ended.get("exitCode") == 0:  # it ended well once; its probes say more
        return ""
    try:
        # after a restart the container that runs has not said why the other one ended
        said = cluster.log(pod, LOGGED, previous=not now)
    except ClusterError:
        said = ended.get("message") or ""
    values = {
        "pod": pod,
        "code": ended.get("exitCode", "?"),
        "reason": ended.get("reason", "?"),
        "times": state.get("restartCount", 0),
    }
    key = "kubernetes.why_crash_said" if said.strip() else "kubernetes.why_crash"
    return say(key, log=said.strip(), **values)


def _unplaced(pod: dict, condition: dict, events: list[dict]) -> str:
    """Return why the scheduler finds no node: a claim without a disk, or no room."""
    name, why = pod["metadata"]["name"], _short(condition.get("message"))
    for volume in pod["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        reasons = ("FailedBinding", "ProvisioningFailed", "ExternalProvisioning")
        if claim and (said := _last(events, "PersistentVolumeClaim", claim, *reasons)):
            return say("kubernetes.why_claim", pod=name, claim=claim, why=said)
    if "PersistentVolumeClaim" in why or "persistentvolumeclaim" in why:
        return say("kubernetes.why_disk", pod=name, why=why)
    return say("kubernetes.why_no_node", pod=name, why=why)

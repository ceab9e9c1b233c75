"""Kubernetes for a lesson: its manifests read and checked, and a cluster that the student names.

    kubernetes.contexts()                        what the kubeconfig holds; none of it is used
    kubernetes.documents("overlays/laptop")      manifests of ``deploy/kubernetes``, as plain dicts
    kubernetes.mistakes(documents)               what Kubernetes does not know
    kubernetes.faults(documents)                 what it knows, and what cannot work all the same
    cluster = kubernetes.connect("kind-kind")    a cluster, by the name of its context; None: none

The parts:

    kubeconfig  contexts and how a cluster is reached; login   certificates, tokens, programs
    api         one call to the API server, and what each kind of refusal means
    kinds       where the server keeps which kind of object
    manifests   documents read, rendered, validated; rules   what no schema sees
    connecting  from a context to a cluster: production is not guessed, rights are asked for
    cluster     the object that a lesson holds; removal   its end, proven
    reasons     why a pod is not ready, in a sentence
"""

from lab_env.kubernetes.cluster import KubernetesCluster
from lab_env.kubernetes.connection import NoCluster, connect
from lab_env.kubernetes.kubeconfig import contexts
from lab_env.kubernetes.lint import faults
from lab_env.kubernetes.manifests import documents, mistakes

__all__ = [
    "KubernetesCluster",
    "NoCluster",
    "connect",
    "contexts",
    "documents",
    "faults",
    "mistakes",
]

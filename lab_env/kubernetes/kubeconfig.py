"""What the kubeconfig holds: contexts, and how each of them is reached. Opens no connection."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.ground.errors import BadInputError, ClusterError
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = "KUBECONFIG"
# "product" is none; whoever means well and is called so types the name twice
PRODUCTION = re.compile(r"prod(?!uct(?!ion|ive))|prd|(?<![a-z])live(?![a-z])")


@dataclass(frozen=True)
class Context:
    """A context of the kubeconfig.

    Attributes:
        name: by which it is named.
        namespace: where its user works if she says nothing.
        cluster, user: the entries that it leads to, as they stand in the file.
        cluster_name: how the kubeconfig calls the cluster.
        folders: of the files that these entries come from: relative paths start there.
        user_file: the one that the entry of the user comes from.
    """

    name: str
    namespace: str
    cluster: dict = field(repr=False)
    user: dict = field(repr=False)
    cluster_name: str = ""
    folders: dict = field(default_factory=dict, repr=False)
    user_file: Path | None = field(default=None, repr=False)

    @property
    def server(self) -> str:
        """The address of the API server; "" if the entry of the cluster is missing."""
        return str(self.cluster.get("server", ""))

    @property
    def production(self) -> bool:
        """Whether a name or the address looks as if real users depended on it."""
        words = (self.name, self.cluster_name, self.server, self.namespace)
        return any(PRODUCTION.search(word.lower()) for word in words)


def files() -> list[Path]:
    """Return the files that make up the kubeconfig: those of KUBECONFIG, else ~/.kube/config."""
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in named] or [Path.home() / ".kube" / "config"]


def contexts() -> "pd.DataFrame":
    """Return the contexts of the kubeconfig (KUBECONFIG, else ~/.kube/config); none is used.

    Returns:
        DataFrame, a row a context: name, server, namespace str, production bool (whether it looks
        like one on which others depend). Empty where there is no kubeconfig.

    Raises:
        ClusterError: the kubeconfig cannot be read.
    """
    import pandas as pd

    rows = [(one.name, one.server, one.namespace, one.production) for one in read()]
    frame = pd.DataFrame(rows, columns=["name", "server", "namespace", "production"])
    kinds = {"name": "str", "server": "str", "namespace": "str", "production": "bool"}
    return frame.astype(kinds)


def read() -> list[Context]:
    """Return the contexts of the kubeconfig; of several files the first to name something wins.

    Raises:
        ClusterError: a file cannot be read, or is no kubeconfig.
    """
    parts: dict[str, dict[str, tuple[dict, Path]]] = {"contexts": {}, "clusters": {}, "users": {}}
    for file in files():
        if not file.exists():  # one of several may be missing, as kubectl has it
            continue
        for part, entries in _parts(file).items():
            for name, entry in entries.items():
                parts[part].setdefault(name, (entry, file))
    found = []
    for name, (entry, _) in parts["contexts"].items():
        cluster, cluster_file = parts["clusters"].get(entry.get("cluster"), ({}, None))
        user, user_file = parts["users"].get(entry.get("user"), ({}, None))
        found.append(
            Context(
                name=name,
                namespace=str(entry.get("namespace") or "default"),
                cluster=cluster,
                user=user,
                cluster_name=str(entry.get("cluster", "")),
                folders={
                    part: file.parent if file else Path()
                    for part, file in (("cluster", cluster_file), ("user", user_file))
                },
                user_file=user_file,
            )
        )
    return found


def _parts(file: Path) -> dict[str, dict[str, dict]]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _bad(file, error) from None
    if content is None:  # an empty file is an empty kubeconfig
        return {}
    if not isinstance(content, dict):
        raise _bad(file, say("kubernetes.why_no_kubeconfig"))
    found = {}
    for part, word in (("contexts", "context"), ("clusters", "cluster"), ("users", "user")):
        entries = content.get(part) or []
        try:
            found[part] = {str(one["name"]): dict(one.get(word) or {}) for one in entries}
        except (TypeError, KeyError, ValueError, AttributeError):
            raise _bad(file, say("kubernetes.why_no_list", part=part)) from None
    return found


def _bad(file: Path, why: object) -> ClusterError:
    # YAML's errors quote the line, and a line of this file may be a key
    where = getattr(why, "problem_mark", None)
    if where is not None:
        why = say("kubernetes.why_no_yaml_line", line=where.line + 1)
    elif isinstance(why, OSError):
        why = why.strerror or why
    elif isinstance(why, Exception):
        why = say("kubernetes.why_no_yaml")
    return ClusterError("kubernetes.bad_config", file=file, why=why)


def find(name: str) -> Context:
    """Return a context by its name.

    Raises:
        BadInputError: there is none of that name.
        ClusterError: the kubeconfig is missing, cannot be read, or the context is not whole.
    """
    there = {one.name: one for one in read()}
    if not there and not any(file.exists() for file in files()):
        raise ClusterError("kubernetes.no_config", file=files()[0])
    if name not in there:
        known = ", ".join(there) or "-"
        raise BadInputError("kubernetes.no_context", context=name, known=known)
    found = there[name]
    if not found.server.startswith(("https://", "http://")):
        what = say("kubernetes.why_no_address", cluster=found.cluster_name or "?")
        raise ClusterError("kubernetes.half_context", context=name, what=what)
    return found

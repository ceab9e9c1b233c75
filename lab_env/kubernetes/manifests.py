"""The manifests of ``deploy/kubernetes``: read, rendered, and held against Kubernetes' schemas."""

import difflib
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.ground import extras
from lab_env.ground.errors import BadInputError, ClusterError
from lab_env.ground.project import file
from lab_env.messages import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

VERSION = "1.37"
PLACE = "deploy/kubernetes"
RENDER_SECONDS = 60
COLUMNS = ("kind", "name", "where", "what")


def documents(place: str) -> list[dict]:
    """Return the documents of a file, or of a folder as a cluster would get it.

    Args:
        place: below ``deploy/kubernetes``: a file ("base/board/deployment.yaml") is read as it
            is; a folder ("overlays/laptop") is rendered by ``kustomize`` or ``kubectl``.

    Returns:
        Plain dicts, which are yours to change.

    Raises:
        BadInputError: there is no such place, or the file is not YAML.
        ClusterError: neither program is installed, or it refuses the folder.
    """
    import yaml

    top = file(PLACE).resolve()
    path = (top / place).resolve()
    if not path.exists() or not path.is_relative_to(top):
        there = ", ".join(sorted(one.parent.relative_to(top).as_posix() for one in _folders(top)))
        raise BadInputError("kubernetes.no_place", place=place, folders=there)
    text = _rendered(path) if path.is_dir() else path.read_text(encoding="utf-8")
    try:
        return [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise BadInputError("kubernetes.bad_yaml", file=place, why=_in_a_line(error)) from None


def _folders(top: Path) -> list[Path]:
    return list(top.rglob("kustomization.yaml"))


def _rendered(folder: Path) -> str:
    if tool := shutil.which("kustomize"):
        command = [tool, "build", str(folder)]
    elif tool := shutil.which("kubectl"):
        command = [tool, "kustomize", str(folder)]
    else:
        raise ClusterError("kubernetes.no_kustomize", folder=folder.name)
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
            errors="replace", timeout=RENDER_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        why = _in_a_line(error)
        raise ClusterError("kubernetes.not_rendered", folder=folder.name, why=why) from None
    if done.returncode:
        why = _in_a_line(done.stderr) or done.returncode
        raise ClusterError("kubernetes.not_rendered", folder=folder.name, why=why)
    return done.stdout


def _in_a_line(text: object) -> str:
    return " ".join(str(text).split())[:500]


def frame(rows: list[tuple]) -> "pd.DataFrame":
    """Return what was found as `mistakes` and `faults` show it."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(COLUMNS)).astype("str")


def mistakes(documents: list[dict]) -> "pd.DataFrame":
    """Return what Kubernetes' own schemas say against documents: the first mistake of each.

    Args:
        documents: plain dicts, as `lab_env.kubernetes.documents` returns them.

    Returns:
        DataFrame, a row a mistake: kind, name, where (the way to it, "spec.replicas"), what str.
        No rows: each is of a form that Kubernetes 1.37 knows, which does not mean that it works.

    Raises:
        PackageError: the schemas are not here, and could not be fetched.
    """
    extras.need("kubernetes")
    return frame([found for one in listed(documents) for found in _mistakes(one)])


def listed(documents: "dict | Iterable[dict]") -> list:
    """Return documents as a list, also a single one."""
    return [documents] if isinstance(documents, dict) else list(documents)


def named(document: object) -> tuple[str, str]:
    """Return the kind and the name of a document, as far as it has them."""
    if not isinstance(document, dict):
        return "", ""
    meta = document.get("metadata")
    name = meta.get("name", "") if isinstance(meta, dict) else ""
    return str(document.get("kind", "")), str(name)


def _mistakes(document: object):
    import kubernetes_validate

    kind, name = named(document)
    if not isinstance(document, dict):
        yield kind, name, "", say("kubernetes.mistake_no_object", got=type(document).__name__)
        return
    if absent := [key for key in ("apiVersion", "kind") if not isinstance(document.get(key), str)]:
        yield kind, name, "", say("kubernetes.mistake_lacks", words=", ".join(absent))
        return
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        said = say("kubernetes.mistake_kind", kind=kind, version=document["apiVersion"])
        yield kind, name, "kind", said
    except kubernetes_validate.ValidationError as error:
        yield kind, name, _way(error.absolute_path), _told(error)
    else:
        # what the schemas leave open, and the server does not
        if not name:
            yield kind, name, "metadata", say("kubernetes.mistake_lacks", words="name")


def _way(path) -> str:
    words = [f"[{one}]" if isinstance(one, int) else f".{one}" for one in path]
    return "".join(words).removeprefix(".")


def _told(error) -> str:
    """Say a validator's finding in a student's words; what it has no words for stays as it is."""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        near = [found for key in unknown for found in difflib.get_close_matches(str(key), known)]
        key = "kubernetes.mistake_word_near" if near else "kubernetes.mistake_word"
        return say(key, words=", ".join(map(str, unknown)), near=", ".join(near[:1]))
    if error.validator == "required":
        lacking = [key for key in error.validator_value if key not in error.instance]
        return say("kubernetes.mistake_lacks", words=", ".join(lacking))
    if error.validator == "type":
        kinds = error.validator_value
        wanted = [kinds] if isinstance(kinds, str) else [one for one in kinds if one != "null"]
        got = f"{error.instance!r}"
        got = got if len(got) < 60 else type(error.instance).__name__
        return say("kubernetes.mistake_type", wanted=" or ".join(wanted), got=got)
    return re.sub(r"\s+", " ", error.message)[:300]

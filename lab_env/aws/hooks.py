"""What happens at each call of boto3's: the plan is kept, what is created noted, trouble told."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lab_env.aws import errors, plan
from lab_env.aws.errors import AccountError
from lab_env.aws.inventory import interface_of
from lab_env.ground.secrets import Secret

LOOKING = ("Describe", "Get", "List", "Lookup", "Filter", "Simulate")


class Note(NamedTuple):
    """Something that was created: its kind as in the inventory, its id, its region."""

    kind: str
    id: str
    region: str


class CreatedLog:
    """What was created through an account's clients, tagged or not; on disk if it has a file.

    Args:
        file: where a later process finds it; None for an account that ends with this process.
    """

    def __init__(self, file: Path | None = None):
        self._file = file
        self._lock = threading.Lock()
        self._notes: list[Note] = []
        if file is not None and file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    self._notes.append(Note(*json.loads(line)))
                except (ValueError, TypeError):  # half a line, of a process that was killed
                    continue

    def add(self, note: Note) -> None:
        """Note something, at once on disk: the next moment may be a power cut."""
        with self._lock:
            if note in self._notes:
                return
            self._notes.append(note)
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(note) + "\n")

    def ids(self, region: str) -> set[str]:
        """Return the ids that were noted in a region."""
        with self._lock:
            return {note.id for note in self._notes if note.region == region}

    def elsewhere(self, region: str) -> list[str]:
        """Return the other regions in which something was noted."""
        with self._lock:
            return sorted({note.region for note in self._notes} - {region})

    def forget(self, region: str) -> None:
        """Forget what was noted in a region, once nothing of it is left."""
        with self._lock:
            self._notes = [note for note in self._notes if note.region != region]
            if self._file is not None and self._file.is_file():
                rest = "".join(json.dumps(note) + "\n" for note in self._notes)
                self._file.write_text(rest, encoding="utf-8")


def _ids(operation: str, params: dict, answer: dict) -> list[tuple[str, str]]:
    """Return kind and id of what a call has created."""
    get = answer.get
    named = {
        "CreateVolume": ("volume", get("VolumeId")),
        "CreateSnapshot": ("snapshot", get("SnapshotId")),
        "CreateSecurityGroup": ("security group", get("GroupId")),
        "CreateKeyPair": ("key pair", get("KeyPairId")),
        "ImportKeyPair": ("key pair", get("KeyPairId")),
        "AllocateAddress": ("elastic address", get("AllocationId")),
        "CreateRole": ("role", get("Role", {}).get("RoleName")),
        "PutParameter": ("parameter", params.get("Name")),
        "CreateLogGroup": ("log group", params.get("logGroupName")),
        "CreateCluster": ("cluster", get("cluster", {}).get("clusterArn")),
        "CreateService": ("service", get("service", {}).get("serviceArn")),
        "RegisterTaskDefinition": (
            "task definition",
            get("taskDefinition", {}).get("taskDefinitionArn"),
        ),
    }
    if operation == "RunInstances":
        return [("instance", one["InstanceId"]) for one in get("Instances", ())]
    if operation == "RunTask":
        tasks = get("tasks", ())
        network = params.get("networkConfiguration", {}).get("awsvpcConfiguration", {})
        asked = tasks if network.get("assignPublicIp") == "ENABLED" else ()
        addresses = [("public address", interface) for t in asked if (interface := interface_of(t))]
        return [*(("task", one["taskArn"]) for one in tasks), *addresses]
    kind, id = named.get(operation, ("", None))
    return [(kind, id)] if id else []


class Hooks:
    """The handlers of one account; they hold no account, so that a forgotten one can end.

    Args:
        region: of the account's clients.
        ledger: notes what is created.
        real: whether calls cost money.
        gone: returns whether the embedded account's process has ended.
    """

    def __init__(self, region: str, ledger: CreatedLog, real: bool, gone: Callable[[], bool]):
        self.region, self.ledger = region, ledger
        self.changed = threading.Event()  # set when a call may have changed what exists
        self._real, self._gone = real, gone

    def register(self, session) -> None:
        """Let boto3's session call the handlers."""
        session.register("before-parameter-build", self._before)
        session.register("after-call", self._after)
        session.register("after-call-error", self._failed)

    def _before(self, params, model, context, **_) -> None:
        if self._real and not plan.allows(model.name, params):
            raise AccountError("aws.not_planned", call=model.name)
        context["lab_params"] = params

    def _after(self, http_response, parsed, model, context, **_) -> None:
        if http_response.status_code >= 300:
            self._refused(model.name, parsed.get("Error", {}))
            return
        if "KeyMaterial" in parsed:
            # what a cell ends with is shown, and saved with the notebook
            parsed["KeyMaterial"] = Secret(parsed["KeyMaterial"])
        for kind, id in _ids(model.name, context.get("lab_params", {}), parsed):
            self.ledger.add(Note(kind, id, self.region))
        if not model.name.startswith(LOOKING):
            self.changed.set()

    def _refused(self, operation: str, error: dict) -> None:
        key = errors.KEYS.get(error.get("Code", ""))
        if key:
            why = error.get("Message", "")
            raise AccountError(key, call=operation, why=why, region=self.region)

    def _failed(self, exception, **_) -> None:
        from botocore import exceptions as known

        if self._gone():
            raise AccountError("aws.gone") from exception
        if isinstance(exception, known.NoCredentialsError | known.PartialCredentialsError):
            raise AccountError("aws.no_credentials", why=exception) from exception
        if isinstance(exception, known.SSOError | known.TokenRetrievalError):
            raise AccountError("aws.expired", call="", why=exception, region="") from exception
        if isinstance(exception, known.HTTPClientError | known.ConnectionError):
            raise AccountError("aws.no_answer", why=exception, region=self.region) from exception

"""The AWS account that a lesson holds: its clients, its contents, its end. Long: one class."""

import contextlib
import getpass
import os
import re
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_env.aws import cleaning, costs, inventory, keys, plan
from lab_env.aws.emulator import Emulator
from lab_env.aws.errors import AccountError, told
from lab_env.aws.hooks import CreatedLog, Hooks, Note
from lab_env.aws.inventory import TAG, Thing
from lab_env.ground import arguments, extras
from lab_env.ground.errors import BadInputError, ClosedError, StorageError
from lab_env.ground.journal import Journal
from lab_env.messages import say
from lab_env.processes import folders

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.aws.picture import AccountPicture, Stand

WHERE, PROFILE, OWNER = "AWS_LAB", "AWS_PROFILE", "AWS_LAB_OWNER"
REGION = costs.REGION
CONNECT_SECONDS, READ_SECONDS = 5, 60
COLUMNS = ("kind", "name", "id", "state", "mine", "usd_a_day")


def account(*, embedded: bool | None = None) -> "Account":
    """Return an AWS account to work with.

    It is an embedded one, a process of this machine that costs nothing and ends with the notebook,
    unless ``AWS_LAB=real`` asks for your own: then ``AWS_PROFILE`` names the profile, and no call
    is made before `Account.confirm` was given the words that the plan names.

    Args:
        embedded: True for an embedded one whatever the variables say; None for what they say.

    Raises:
        BadInputError: a real account without a named profile or region, or a word we do not know.
        AccountError, StorageError: the embedded account did not start, or the folder for the keys
            of a real one cannot be kept.
        PackageError: boto3 and moto are not here, and could not be fetched.
    """
    wanted = os.environ.get(WHERE, "").strip().lower()
    if wanted not in ("", "embedded", "real"):
        raise BadInputError("aws.where", variable=WHERE, got=wanted)
    extras.need("aws")
    if embedded or (embedded is None and wanted != "real"):
        return Account()
    profile = os.environ.get(PROFILE, "").strip()
    if not profile:  # a default profile may be anybody's, and may be production
        raise BadInputError("aws.no_profile", variable=PROFILE)
    return Account(profile)


class Account:
    """An AWS account as `account` returns it.

    Args:
        profile: of a real account; None for an embedded one.

    Attributes:
        real: whether what it does costs money.
        region: of all its clients.
        owner: the value of the tag ``kafka-lab`` on what is created.
    """

    def __init__(self, profile: str | None = None):
        self.real = profile is not None
        self.owner = owner()
        self._profile = profile
        self._confirmed = not self.real
        self._clients: dict[str, Any] = {}
        self._making = threading.Lock()
        self.journal = Journal()
        self._parts: dict[str, Stand] = {}
        self._emulator = None if self.real else Emulator()
        try:
            self._session = self._real_session() if self.real else self._own_session()
            self.region = self._session.region_name or ""
            if not self.region:
                raise BadInputError("aws.no_region", profile=profile)
        except BaseException:
            if self._emulator is not None:
                self._emulator.close()
            raise
        emulator = self._emulator
        file = None if emulator else self._folder() / "created.jsonl"
        self._ledger = CreatedLog(file)
        gone = (lambda: False) if emulator is None else (lambda: not emulator.alive)
        self.hooks = Hooks(self.region, self._ledger, self.real, gone)
        self.hooks.register(self._session._session)
        self._finalizer = weakref.finalize(self, _close, self._parts, emulator)

    # -- calling --------------------------------------------------------------------------------

    def client(self, service: str) -> Any:
        """Return boto3's client of a service: "ec2", "ecs", "ssm", "iam", "logs", "sts".

        Raises:
            AccountError: a real account whose plan has not been confirmed.
            ClosedError: the account is closed.
        """
        if self.closed:
            raise ClosedError("aws.closed")
        if not self._confirmed:
            raise AccountError("aws.not_confirmed", words=self._words())
        with self._making:  # boto3's sessions are for one thread, its clients for all
            if service not in self._clients:
                self._clients[service] = self._session.client(service, **self._options())
            return self._clients[service]

    def _options(self) -> dict:
        from botocore.config import Config

        patience = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
        if self._emulator is None:
            return {"config": Config(retries={"mode": "standard"}, **patience)}
        # a proxy of the machine is not for its own address
        config = Config(retries={"total_max_attempts": 2}, proxies={}, **patience)
        return {"endpoint_url": self._emulator.endpoint, "config": config}

    def _own_session(self):
        import boto3

        core = _plain_session()
        # the user's own files are for her own account, and may be broken
        for name in ("config_file", "credentials_file"):
            core.set_config_variable(name, os.devnull)
        plain = {"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded"}
        return boto3.Session(botocore_session=core, region_name=REGION, **plain)

    def _real_session(self):
        import boto3
        from botocore.exceptions import BotoCoreError, ProfileNotFound

        try:
            return boto3.Session(profile_name=self._profile)
        except ProfileNotFound:
            known = ", ".join(_plain_session().available_profiles) or "-"
            raise BadInputError("aws.bad_profile", profile=self._profile, known=known) from None
        except BotoCoreError as error:
            raise BadInputError("aws.bad_config", why=error) from None

    # -- the plan -------------------------------------------------------------------------------

    @property
    def plan(self) -> str:
        """What the lesson creates, and what it costs a day."""
        return plan.told(self._profile or say("aws.embedded"), self.region)

    def confirm(self, words: str) -> None:
        """Allow the plan on a real account, by its words; an embedded one needs no permission.

        Args:
            words: typed as the plan names them.

        Raises:
            AccountError: other words, or the profile's credentials do not work.
        """
        if not self.real:
            print(say("aws.confirm_embedded"))
            return
        if not isinstance(words, str) or words.strip() != self._words():
            raise AccountError("aws.not_confirmed", words=self._words())
        self._confirmed = True
        try:
            with told():
                who = self.client("sts").get_caller_identity()
        except BaseException:
            self._confirmed = False
            raise
        print(say("aws.confirmed", number=who["Account"], who=who["Arn"], region=self.region))
        if elsewhere := self._ledger.elsewhere(self.region):
            print(say("aws.elsewhere", regions=", ".join(elsewhere)))

    def _words(self) -> str:
        return plan.words(self._profile or "", self.region)

    # -- tags, names, keys ----------------------------------------------------------------------

    def tags(self, *kinds: str, name: str = "") -> list[dict]:
        """Return tags as EC2's calls take them, a specification a kind of thing.

        Args:
            *kinds: "instance", "volume", "security-group", "key-pair"; none: the plain tags, as
                IAM and Systems Manager take them.
            name: what a person calls it.
        """
        plain = [{"Key": TAG, "Value": self.owner}]
        if name:
            plain.append({"Key": "Name", "Value": name})
        if not kinds:
            return plain
        return [{"ResourceType": kind, "Tags": [*map(dict, plain)]} for kind in kinds]

    def find(self, kind: str, name: str) -> str | None:
        """Return the id of what this lesson has of a kind and a name; None if there is none."""
        return next((t.id for t in self._mine() if (t.kind, t.name) == (kind, name)), None)

    def keep_key(self, name: str, material: str) -> Path:
        """Write a pair's private key to a file that only its owner may read, and return it.

        Raises:
            AccountError: there is such a file already: keys are never overwritten.
        """
        return keys.keep(self._folder(), name, material)

    def key_file(self, name: str) -> Path:
        """Return where the private key of a pair is kept."""
        return keys.path_of(self._folder(), name)

    def _folder(self) -> Path:
        if self._emulator is not None:
            return self._emulator.folder
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self._profile}")
        folder = folders.home() / "aws" / plain
        # what stands there is deleted in the account, and what lies there are keys
        if folders.make_private(folder.parent) and folders.make_private(folder):
            return folder
        others = any(
            os.path.lexists(one) and not folders.is_own(one) for one in (folder.parent, folder)
        )
        raise StorageError(
            "storage.not_yours" if others else "storage.not_writable",
            folder=folder,
            variable=folders.HOME_VARIABLE,
        )

    def boundary(self) -> dict[str, str]:
        """Return the limit with which a role is created: {"PermissionsBoundary": ARN}, or {}.

        Where students share an account, whoever runs it has made that policy
        (``deploy/aws/policies/boundary.json``), and no role is created without it. Elsewhere there
        is none.

        Raises:
            AccountError: the account does not answer.
        """
        from botocore.exceptions import ClientError

        with told():
            number = self.client("sts").get_caller_identity()["Account"]
        arn = f"arn:aws:iam::{number}:policy{inventory.ROLES}boundary"
        try:
            self.client("iam").get_policy(PolicyArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            return {}
        except AccountError as error:
            if error.key != "aws.forbidden":  # who may not look at it was told of none
                raise
            return {}
        return {"PermissionsBoundary": arn}

    # -- what exists ----------------------------------------------------------------------------

    def things(self, *, everybody: bool = False) -> "pd.DataFrame":
        """Return what exists of this lesson, tagged or created here, with its cost a day.

        Args:
            everybody: also what is not of this lesson.

        Returns:
            DataFrame, a row a thing: kind, name, id, state str, mine str ("tag", "session" for what
            was created here without a tag, "part" of such a thing, "" of somebody else),
            usd_a_day float64 (list price).

        Raises:
            AccountError: the account does not answer.
        """
        import pandas as pd

        found = self.look() if everybody else self._mine()
        rows = [tuple(getattr(one, column) for column in COLUMNS) for one in found]
        frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"usd_a_day": "float64"})
        return frame.round({"usd_a_day": 3})

    def look(self) -> list[Thing]:
        """Return what exists in the region, of this lesson and of others."""
        return inventory.things(self.client, self.owner, self._ledger.ids(self.region))

    def _mine(self) -> list[Thing]:
        return [one for one in self.look() if one.mine]

    @property
    def usd_a_day(self) -> float:
        """What all that exists of this lesson costs, USD a day by list price."""
        return sum(one.usd_a_day for one in self._mine())

    def forget(self) -> None:
        """Forget what was created here, as a new session would: only tags tell then what is ours.

        On a real account nothing is forgotten, since it would go on costing money.
        """
        if not self.real:
            self._ledger.forget(self.region)

    def clean_up(self, seconds: float | None = None) -> "pd.DataFrame":
        """Delete all that exists of this lesson, look again, and say what is left.

        Args:
            seconds: the deadline; None for five minutes on a real account, where an instance
                takes one to end.

        Returns:
            What is left, as `things` returns it: no rows, if all went well.

        Raises:
            BadInputError: the deadline is no number of seconds up to a day.
            AccountError: the account does not answer.
        """
        if seconds is not None:
            arguments.seconds(seconds)
        mine = self._mine()
        if mine:
            self.mark(say("aws.mark_clean_up"))
        for one in mine:
            # a disk that outlives its instance would be nobody's then
            if one.kind == "volume" and one.mine == "part":
                self._ledger.add(Note(one.kind, one.id, self.region))
        files = [self.key_file(one.name) for one in mine if one.kind == "key pair"]
        left = cleaning.clean(
            self.client,
            self._mine,
            real=self.real,
            tell=lambda one: print(say("aws.deleted", kind=one.kind, name=one.name)),
            seconds=seconds,
        )
        if not left:
            for file in files:
                file.unlink(missing_ok=True)
            self._ledger.forget(self.region)
            print(say("aws.nothing_left", tag=TAG, owner=self.owner, region=self.region))
        for one, why in left:
            print(say("aws.left", kind=one.kind, name=one.name, id=one.id, why=why or "-"))
        self.hooks.changed.set()
        return self.things()

    def show(self) -> "AccountPicture":
        """Show a live picture: what exists of this lesson, since when, and its cost a day.

        Returns:
            The picture; it has ``stop()``, ``save(path)``, ``sentence`` and ``png``.

        Raises:
            AccountError: the account does not answer.
        """
        from lab_env.aws.picture import Stand
        from lab_env.aws.watch import Watch

        if "stand" not in self._parts:
            self._watch = Watch(self.look, self.hooks.changed, self.journal, self.real)
            self._parts["stand"] = Stand(self._watch)
        return self._parts["stand"].show()

    def mark(self, text: str) -> None:
        """Write ``text`` into the picture, over what comes next."""
        self.journal.mark(text)

    # -- life -----------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the account has been closed."""
        return not self._finalizer.alive

    def close(self) -> None:
        """End the embedded account; of a real one nothing is deleted. Can be called again."""
        if self.real and self._confirmed and not self.closed:
            with contextlib.suppress(Exception):  # whoever leaves is told, if that is possible
                if left := len(self._mine()):
                    print(say("aws.still_there", count=left, usd=costs.usd(self.usd_a_day)))
        self._finalizer()

    def __enter__(self) -> "Account":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return say("aws.summary_closed")
        if self._emulator is not None:
            place = self._emulator.endpoint.removeprefix("http://")
            return say("aws.summary", address=place, region=self.region)
        key = "aws.summary_real" if self._confirmed else "aws.summary_waiting"
        return say(key, profile=self._profile, region=self.region)


def owner() -> str:
    """Return whose things are meant: ``AWS_LAB_OWNER``, else the name of the login."""
    name = os.environ.get(OWNER, "").strip()
    if not name:
        with contextlib.suppress(Exception):  # a container may have a user without a name
            name = getpass.getuser()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60] or "student"


def _plain_session():
    """Return a session that does not look at the variable with the profile's name."""
    import botocore.session

    return botocore.session.Session(session_vars={"profile": (None, None, None, None)})


def _close(parts: "dict[str, Stand]", emulator: Emulator | None) -> None:
    stand = parts.get("stand")
    if stand is not None:
        with contextlib.suppress(Exception):
            stand.close()
    if emulator is not None:
        emulator.close()

"""What an IAM role may do by all of its policies, held against what it needs: no more, no less.

A permission is more than needed if no need covers all of it. So nothing has to be known of what
people write when they give too much away.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote


class Need(NamedTuple):
    """An action that a role needs, on one of some resources.

    Attributes:
        key: of the sentence that says what does not work without it; "" for what it may have.
        action: "ssm:GetParameters".
        places: patterns of ARNs that are all needed ones; "*" alone where an action knows no
            resource.
    """

    key: str
    action: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement of a policy, its lists spelled out.

    Attributes:
        allows: whether its effect is Allow.
        actions, places: patterns; of a statement that says what is *not* meant, "*".
        always: whether no condition narrows it.
    """

    allows: bool
    actions: tuple[str, ...]
    places: tuple[str, ...]
    always: bool = True


class Allowed(NamedTuple):
    """An action on a resource, as a statement writes them."""

    action: str
    place: str


def statements(iam: Any, arn: str) -> tuple[Statement, ...] | None:
    """Return the statements of all policies of a role: its own, and those attached to it.

    Args:
        iam: boto3's client.
        arn: of the role.

    Returns:
        None if there is no such role.
    """
    from botocore.exceptions import ClientError

    name = arn.rpartition("/")[2]
    if not name:
        return None
    try:
        documents = list(_documents(iam, name))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            return None
        raise
    return tuple(one for document in documents for one in spelled(document))


def _documents(iam: Any, name: str) -> Iterator[str | dict]:
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        yield iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        told = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        yield told["PolicyVersion"]["Document"]


def spelled(document: str | Mapping) -> Iterator[Statement]:
    """Return the statements of a policy.

    Args:
        document: as a dict; or its JSON, which may be percent-encoded.
    """
    if isinstance(document, str):
        document = json.loads(document if document.lstrip()[:1] == "{" else unquote(document))
    for one in _listed(document["Statement"]):
        yield Statement(
            one.get("Effect") == "Allow",
            ("*",) if "NotAction" in one else tuple(_listed(one.get("Action", ()))),
            ("*",) if "NotResource" in one else tuple(_listed(one.get("Resource", ()))),
            not one.get("Condition"),
        )


def _listed(one: Any) -> list:
    return list(one) if isinstance(one, list | tuple) else [one]


def too_much(rights: Iterable[Statement], needs: Iterable[Need]) -> Allowed | None:
    """Return the first that is allowed and not needed; None if all of it is.

    A condition may make less of a permission; it is not reckoned with.
    """
    needs = list(needs)
    for statement in rights:
        for action in statement.actions if statement.allows else ():
            for place in statement.places:
                if not all(_is_needed(one, place, needs) for one in _meant(action)):
                    return Allowed(action, place)
    return None


def lacking(rights: Iterable[Statement], needs: Iterable[Need]) -> Need | None:
    """Return the first need that nothing allows."""
    allowed = [one for one in rights if one.allows]
    return next((n for n in needs if n.key and not any(_reaches(o, n) for o in allowed)), None)


def denied(rights: Iterable[Statement], needs: Iterable[Need]) -> Need | None:
    """Return the first need that is denied: a Deny counts more than any Allow."""
    refused = [one for one in rights if not one.allows and one.always]
    return next((n for n in needs if n.key and any(_reaches(o, n) for o in refused)), None)


def _is_needed(action: str, place: str, needs: list[Need]) -> bool:
    """Return whether all that an action on a pattern of resources may do is needed."""
    return any(
        action.lower() == need.action.lower() and any(_covers(one, place) for one in need.places)
        for need in needs
    )


def _reaches(statement: Statement, need: Need) -> bool:
    """Return whether a statement says something of an action on what is needed."""
    acts = any(_covers(pattern.lower(), need.action.lower()) for pattern in statement.actions)
    return acts and any(_covers(one, place) for one in statement.places for place in need.places)


def _covers(pattern: str, text: str) -> bool:
    """Return whether a pattern of IAM's means a text; of two patterns, all that the other means.

    For two patterns it may say no where it would be right to say yes, and never the reverse.
    """
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    if "?" in pattern and "*" in text:  # one character never means all that a star does
        return pattern == text
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _meant(action: str) -> list[str]:
    """Return the actions that a pattern means, as far as boto3 knows them; else the pattern."""
    service, _, name = action.partition(":")
    if not {"*", "?"} & set(action) or {"*", "?"} & set(service) or not name.strip("*?"):
        return [action]
    known = [f"{service}:{one}" for one in _operations(service.lower())]
    return [one for one in known if _covers(action.lower(), one.lower())] or [action]


@cache
def _operations(service: str) -> tuple[str, ...]:
    """Return the names of a service's calls, which are those of its actions."""
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        model = botocore.session.Session().get_service_model(service)
    except BotoCoreError:
        return ()
    return tuple(model.operation_names)

"""What a call was given, looked at before anything is done with it."""

import re
from math import inf
from numbers import Integral, Real
from typing import TypeGuard

from lab_env.ground.errors import BadInputError

TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")  # what Kafka lets a topic be called
A_DAY = 86_400.0  # s; nobody waits for longer, and a system's timer may not take more


def is_number(value: object, least: float = -inf, most: float = inf) -> TypeGuard[float]:
    """Return whether a value is a finite number within bounds; True and False are none."""
    return _is(value, Real) and least <= value <= most and -inf < value < inf


def is_whole(value: object, least: float = -inf, most: float = inf) -> TypeGuard[int]:
    """Return whether a value is a whole number within bounds; True and False are none."""
    return _is(value, Integral) and least <= value <= most


def _is(value: object, kind: type) -> TypeGuard[float]:
    return isinstance(value, kind) and not isinstance(value, bool)


def is_topic_name(value: object) -> TypeGuard[str]:
    """Return whether Kafka lets a topic be called so."""
    return (
        isinstance(value, str)
        and TOPIC_NAME.fullmatch(value) is not None
        and value not in (".", "..")
    )


def name(value: object, what: str) -> str:
    """Return a name as it is, or raise BadInputError: it is no text, or has no character."""
    if not isinstance(value, str) or not value:
        raise BadInputError("arguments.no_name", what=what, got=value)
    return value


def count(value: object, what: str, least: int = 0) -> int:
    """Return a whole number as it is, or raise BadInputError: it is none, or too small."""
    if not is_whole(value, least):
        raise BadInputError("arguments.no_count", what=what, got=value, least=least)
    return value


def seconds(value: object, what: str = "seconds") -> float:
    """Return a time to wait as it is, or raise BadInputError: not from 0 to a day."""
    if not is_number(value, 0, A_DAY):
        raise BadInputError("arguments.no_seconds", what=what, got=value, most=A_DAY)
    return value


def function(value: object, what: str) -> None:
    """Raise BadInputError unless a value can be called."""
    if not callable(value):
        raise BadInputError("arguments.no_function", what=what, got=value)

"""What a check answers: passed, or what it found, what it expected, and a hint; never an error."""

import functools
import html
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass

from lab_env.ground import arguments
from lab_env.ground.errors import LabError
from lab_env.ground.refusals import refusal
from lab_env.messages import say

KINDS = {  # what fits: by the argument's name, or by its annotation
    "lab": lambda value: hasattr(value, "connection"),
    "account": lambda value: hasattr(value, "client"),
    int: arguments.is_whole,
    float: arguments.is_number,
}
# a sign and a word besides the colour, for whoever cannot tell the colours apart
LOOKS = {"passed": ("✓", "#00734f"), "not_yet": ("✗", "#b04a00"), "not_here": ("○", "#5f5f5f")}


@dataclass(frozen=True)
class Result:
    """The answer of a check; ``bool(result)`` is whether it passed.

    So a function that returns a Result or None is asked with ``is not None``.

    Attributes:
        passed: whether the exercise is done.
        found: what is on the broker, in a sentence.
        expected: what should be, in a sentence; "" when passed.
        hint: what to look at next; "" when passed.
        possible: False where the exercise cannot be done on this machine: then it has neither
            passed nor failed, and ``found`` says what is missing.
    """

    passed: bool
    found: str
    expected: str = ""
    hint: str = ""
    possible: bool = True

    def __bool__(self) -> bool:
        return self.passed

    def _lines(self) -> list[tuple[str, str]]:
        head = say(f"checks.{self._kind}")
        rows = [(head, self.found)]
        if self.expected:
            rows.append((say("checks.expected"), self.expected))
        if self.hint:
            rows.append((say("checks.hint"), self.hint))
        return rows

    @property
    def _kind(self) -> str:
        return "passed" if self.passed else "not_yet" if self.possible else "not_here"

    def __repr__(self) -> str:
        sign, _ = LOOKS[self._kind]
        return sign + " " + "\n  ".join(f"{name}: {text}" for name, text in self._lines())

    def _repr_html_(self) -> str:
        sign, colour = LOOKS[self._kind]
        rows = "".join(
            f"<div><b>{html.escape(name)}:</b> {html.escape(text)}</div>"
            for name, text in self._lines()
        )
        return (
            f'<div role="status" style="border-left: 6px solid {colour}; padding: .4em .9em; '
            f'font-size: 1.05em; line-height: 1.5; max-width: 60em">'
            f'<span style="float: left; margin-right: .5em; color: {colour}; font-weight: bold">'
            f"{sign}</span>{rows}</div>"
        )


def passed(key: str, /, **values: object) -> Result:
    """Return the answer for an exercise that is done; ``key`` is what was found."""
    return Result(True, say(key, **values))


def not_yet(key: str, /, **values: object) -> Result:
    """Return the answer for an exercise that is not done.

    Args:
        key: the catalogue has ``key`` (what was found), ``key_expected`` and ``key_hint``.
        **values: what fills the placeholders of all three.
    """
    return Result(
        False,
        say(key, **values),
        say(f"{key}_expected", **values),
        say(f"{key}_hint", **values),
    )


def not_here(key: str, /, **values: object) -> Result:
    """Return the answer for an exercise that cannot be done here; ``key`` says what is missing."""
    return Result(False, say(key, **values), possible=False)


def graded(function: Callable[..., Result]) -> Callable[..., Result]:
    """Make a function a check: whatever goes wrong in it becomes an answer, never an error."""

    @functools.wraps(function)
    def answer(*args, **kwargs) -> Result:
        from kafka.errors import KafkaError

        try:
            return function(*args, **kwargs)
        except LabError as error:
            return Result(False, str(error))
        except KafkaError as error:
            if why := refusal(error):
                return not_yet("checks.kafka_refused", why=why)
            return not_yet("checks.kafka_error", error=type(error).__name__)
        except Exception as error:
            wrong = error if _is_about_call(error) else _wrong_argument(function, args, kwargs)
            if wrong is None:
                raise
            return not_yet("checks.wrong_call", name=function.__name__, error=wrong)

    answer.graded = True
    return answer


def _is_about_call(error: Exception) -> bool:
    """Return whether the call of the check itself was wrong (no frame below the wrapper's)."""
    trace = error.__traceback__
    return isinstance(error, TypeError) and trace is not None and trace.tb_next is None


def _wrong_argument(function: Callable, args: tuple, kwargs: dict) -> str | None:
    """Return the argument that is of another kind than the check wants, in words, or None."""
    signature = inspect.signature(function)
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        if not _fits(value, name if name in KINDS else signature.parameters[name].annotation):
            return say("checks.wrong_argument", name=name, got=value)
    return None


def _fits(value: object, wanted: object) -> bool:
    """Return whether a value is of the kind that a name or an annotation wants, if it says so."""
    if fits := KINDS.get(wanted):
        return fits(value)
    if typing.get_origin(wanted) is types.UnionType:
        return any(_fits(value, one) for one in typing.get_args(wanted))
    kind = typing.get_origin(wanted) or wanted
    return kind is inspect.Parameter.empty or not isinstance(kind, type) or isinstance(value, kind)

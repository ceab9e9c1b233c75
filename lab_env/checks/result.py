"""What a check answers: passed, or what it found, what it expected, and a hint; never an error."""

import functools
import html
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ParamSpec

from lab_env.classroom import records, sending
from lab_env.ground import arguments
from lab_env.ground.errors import LabError
from lab_env.ground.refusals import refusal
from lab_env.messages import say

KINDS = {  # what fits: by the argument's name, or by its annotation
    "lab": lambda value: hasattr(value, "connection"),
    "account": lambda value: hasattr(value, "client"),
    "place": lambda value: hasattr(value, "connection") or hasattr(value, "client"),
    "compose": lambda value: hasattr(value, "configuration"),
    "seconds": lambda value: arguments.is_number(value, 0, arguments.A_DAY),
    "work": lambda value: arguments.is_number(value, 0, arguments.A_DAY),
    "day": lambda value: _is_moment(value),
    "local": lambda value: _is_moment(value),
    str: lambda value: isinstance(value, str) and bool(value),
    bool: lambda value: True,  # whatever is true or false
    int: lambda value: arguments.is_whole(value, 0),
    float: lambda value: arguments.is_number(value, 0),
}
LIGHT = "3px solid {colour}; padding: .2em .9em"
BOLD = "6px solid {colour}; padding: .4em .9em; font-size: 1.05em"
Given = ParamSpec("Given")
SHORT = 80  # signs of a value in a sentence
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
        key: of the sentence in the catalogue; "" where it is in none.
    """

    passed: bool
    found: str
    expected: str = ""
    hint: str = ""
    possible: bool = True
    key: str = ""

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
        mark = f"float: left; margin-right: .5em; color: {colour}; font-weight: bold"
        return boxed(colour, f'<span style="{mark}">{sign}</span>{rows}', BOLD)


def boxed(colour: str, page: str, look: str = LIGHT) -> str:
    """Return HTML with a coloured edge, which a screen reader reads when it comes.

    Args:
        colour: of the edge.
        page: what is inside.
        look: LIGHT, or BOLD for what an exercise hears.
    """
    return (
        f'<div role="status" style="border-left: {look.format(colour=colour)}; '
        f'line-height: 1.5; max-width: 60em">{page}</div>'
    )


def passed(key: str, /, **values: object) -> Result:
    """Return the answer for an exercise that is done; ``key`` is what was found."""
    return Result(True, say(key, **values), key=key)


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
        key=key,
    )


def not_here(key: str, /, **values: object) -> Result:
    """Return the answer for an exercise that cannot be done here; ``key`` says what is missing."""
    return Result(False, say(key, **values), possible=False, key=key)


def misused(check: str, name: str, value: object) -> Result:
    """Return the answer for a check that was given an argument with which it can do nothing."""
    wrong = say("checks.wrong_argument", name=name, got=_short(value))
    return not_yet("checks.wrong_call", name=check, error=wrong)


def graded(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Make a function a check: whatever goes wrong in it becomes an answer, never an error."""

    @functools.wraps(function)
    def answer(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        said = judged(*args, **kwargs)
        _keep(function.__module__, answer.__name__, said)
        return said

    def judged(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        from kafka.errors import KafkaError

        try:
            wrong = _wrong_call(function, answer.__name__, args, kwargs)
            return function(*args, **kwargs) if wrong is None else wrong
        except LabError as error:
            return Result(False, str(error), key=error.key)
        except KafkaError as error:
            if why := refusal(error):
                return not_yet("checks.kafka_refused", why=why)
            return not_yet("checks.kafka_error", error=type(error).__name__)

    vars(answer)["graded"] = True  # how `check` knows it from a helper
    return answer


def _keep(module: str, name: str, said: Result) -> None:
    """Keep on this machine that an exercise is done, and tell the class, if there is one."""
    from lab_env.checks import LESSONS, progress

    lesson = module.rpartition(".")[2]
    if lesson in LESSONS:
        number = f"{LESSONS.index(lesson):02}"
        if said.passed:
            progress.keep(number, progress.EXERCISES, name, True)
        if said.possible:
            sending.tried(records.EXERCISE, number, name, said.passed, said.key)


def _wrong_call(function: Callable, name: str, args: tuple, kwargs: dict) -> Result | None:
    """Return what is wrong with a call, looked at before anything is done with it."""
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        return not_yet("checks.wrong_call", name=name, error=error)
    for argument, value in given.items():
        wanted = signature.parameters[argument].annotation
        if not _fits(value, argument if argument in KINDS else wanted):
            return misused(name, argument, value)
    return None


def _fits(value: object, wanted: object) -> bool:
    """Return whether a value is of the kind that a name or an annotation wants, if it says so."""
    if fits := KINDS.get(wanted):
        return fits(value)
    kind, inner = typing.get_origin(wanted) or wanted, typing.get_args(wanted)
    if kind in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in inner)
    if kind in (inspect.Parameter.empty, object) or not isinstance(kind, type):
        return True
    if kind in (list, tuple):
        kind = (list, tuple)
    elif isinstance(value, str) and kind is not str:
        return False  # a text is no series of texts
    elif isinstance(value, Mapping) and not issubclass(kind, Mapping):
        return False
    return isinstance(value, kind) and _contains(value, inner)


def _contains(value: object, inner: tuple) -> bool:
    """Return whether what is in a mapping or a series is of the kinds that are wanted there."""
    if not inner or not isinstance(value, Collection):
        return True  # what can be gone through only once is left alone
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if isinstance(value, tuple | list) and len(inner) > 1:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return all(_fits(one, inner[0]) for one in value)


def _is_moment(value: object) -> bool:
    """Return whether a value is a text that names a day, or a time of one."""
    import pandas as pd

    return isinstance(value, str) and not pd.isna(pd.to_datetime(value, errors="coerce"))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHORT else text[:SHORT] + "..."

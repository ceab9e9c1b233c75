"""Judges: what a check says is a function of its evidence, without a broker, a network or a clock.

So evidence that was gathered once, from a real run, can be judged again in a millisecond.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lab_env.checks.result import Result

Given = ParamSpec("Given")
Said = TypeVar("Said", bound=Result | None)

# hears each judge's name, what it was given, and what it has said; the tests write it down
witness: Callable[[str, tuple, dict, Result | None], None] | None = None


def judge(function: Callable[Given, Said]) -> Callable[Given, Said]:
    """Make a function of evidence a judge: whoever listens hears what it was given, and its answer.

    Args:
        function: from evidence (plain data: numbers, texts, dataclasses) to a Result, or to None
            where it has found nothing wrong.
    """

    @functools.wraps(function)
    def judged(*evidence: Given.args, **more: Given.kwargs) -> Said:
        said = function(*evidence, **more)
        if witness is not None:
            witness(f"{function.__module__}.{judged.__name__}", evidence, more, said)
        return said

    return judged

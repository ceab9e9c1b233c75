"""Small steps: exercises of a minute in the middle of a lesson, each with a misconception in mind.

A step is one change and one look at what the broker says then::

    check.step(lab, "03 own-group", lambda: records_of("baggage"), 120, {60: "60: the group ..."})
"""

import html
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from lab_env.checks import attempts, progress
from lab_env.checks.evidence import settle, start_seconds
from lab_env.checks.predictions import NAME, meaning, same
from lab_env.checks.result import LOOKS, Result, boxed, graded, not_yet
from lab_env.classroom import records, sending
from lab_env.ground.words import word
from lab_env.messages import say

if TYPE_CHECKING:
    from lab_env.aws import Account
    from lab_env.lab import Lab
    from lab_env.processes.services import Service

ANY = None  # the key of a sentence for all that has none of its own
STEADY_SECONDS = 4.0  # what has not changed for so long will not change by itself
MOST_SECONDS = 60.0
HELD_SECONDS = 0.5  # what is right for so long is not right in passing


class Step(Result):
    """The answer to a small step: a line, where an exercise has a box."""

    def _repr_html_(self) -> str:
        sign, colour = LOOKS[self._kind]
        rows = "".join(
            f"<div>{html.escape(name)}: {html.escape(text)}</div>"
            if number
            else f'<div><b style="color: {colour}">{sign} {html.escape(name)}</b> '
            f"{html.escape(text)}</div>"
            for number, (name, text) in enumerate(self._lines())
        )
        return boxed(colour, rows)


@graded
def step(
    place: "Lab | Account",
    name: str,
    found: object,
    wanted: object,
    because: Mapping | None = None,
    *,
    near: float = 0.0,
) -> Result:
    """Judge a small step by what the broker, or the services' reports, say after it.

    Args:
        place: the lab; in lesson 14, its AWS account.
        name: the lesson's number and the step's name: "03 own-group".
        found: what is there now, or a function that reads it: it is asked until what it returns
            is as wanted, or does not change any more (a service may still be on its way).
        wanted: what should be there: a number, a text, a truth, a list, a set, or a mapping.
        because: what may be found in its place, and the sentence for whoever reached that: it
            says what such a thing comes from. The key None is for all that has no sentence of its
            own. Where ``wanted`` is a mapping, a mapping of such sentences for each part.
        near: how far a number may be away, as a share of what is wanted: 0.2 is 20 %.
    """
    known = NAME.fullmatch(name)
    if known is None:
        return not_yet("small_steps.bad_name", got=name)
    value = _settled(place, name, found, wanted, near) if callable(found) else found
    reached = _reached(value, wanted, near)
    error = None if reached else failure(place, name)
    attempts.answered(name)
    if error:
        return _as_step(not_yet("small_steps.failed", **error))
    told = {"found": word(value), "wanted": word(wanted)}
    if reached:
        progress.keep(known[1], progress.STEPS, known[2], True)
        sending.tried(records.STEP, known[1], known[2], True, "")
        return Step(True, say("small_steps.reached", **told))
    why = _why(value, wanted, because or {}, near)
    sending.tried(records.STEP, known[1], known[2], False, why)
    return Step(False, say("small_steps.found", **told), say("small_steps.wanted", **told), why)


def failure(lab: "Lab | Account", name: str) -> dict[str, str] | None:
    """Return name and error of a service that failed since the newest was started, or None.

    Of a service that was started before something else was answered, the failure is not this
    step's: it was meant there, or told there.
    """
    if not _services(lab):
        return None
    lab = cast("Lab", lab)
    error = attempts.failed(lab, attempts.newest_start(lab))
    if error is None:
        return None
    began, _ = attempts.run_of(lab, lab.services[error["name"]])
    return error if began > attempts.since_another(lab, name) else None


def _services(lab: "Lab | Account") -> "Mapping[str, Service]":
    """Return the services of a lab; an AWS account, which may stand in its place, has none."""
    return getattr(lab, "services", {})


def _settled(
    lab: "Lab | Account", name: str, read: Callable[[], object], wanted: object, near: float
) -> object:
    def patience(value: object) -> float:
        if _reached(value, wanted, near) or failure(lab, name):
            return HELD_SECONDS
        running = [one for one in _services(lab).values() if one.state == "running"]
        if any(one._run.begun is None for one in running):
            return MOST_SECONDS  # one is on its way: it has not even begun
        return start_seconds(cast("Lab", lab), STEADY_SECONDS) if running else STEADY_SECONDS

    return settle(read, patience, most=MOST_SECONDS)[0]


def _reached(value: object, wanted: object, near: float) -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(value, Mapping) or set(value) != set(wanted):
            return False
        return all(same(value[part], wanted[part], near) for part in wanted)
    return same(value, wanted, near)


def _why(value: object, wanted: object, because: Mapping, near: float) -> str:
    """Return the sentence for what was found: of a mapping, of its first part that is wrong."""
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        for part, right in wanted.items():
            means = because.get(part)
            if not isinstance(means, Mapping) or same(value.get(part), right, near):
                continue
            if told := meaning(value.get(part), means) or _text(means.get(ANY)):
                return told
    return meaning(value, because) or _text(because.get(ANY))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _as_step(answer: Result) -> Step:
    return Step(answer.passed, answer.found, answer.expected, answer.hint, answer.possible)

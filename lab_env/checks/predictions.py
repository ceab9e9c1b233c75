"""Predictions that answer back: what was foreseen, what was not, and what a wrong guess means.

In a lesson a prediction is a line of code, empty until the student fills it, and the cell that
shows what happened ends with a call::

    prediction = ...  # commands that each truck handles

    check.foreseen("02 three", prediction, 20, {60: "60 each would be publish/subscribe: ..."})
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from lab_env.checks import attempts, progress
from lab_env.checks.result import boxed
from lab_env.classroom import cells, sending
from lab_env.ground.errors import BadInputError
from lab_env.ground.words import is_empty, word
from lab_env.messages import say

NAME = re.compile(r"(\d\d) ([a-z0-9-]+)")
FORESEEN, OTHERWISE, NONE = "foreseen", "otherwise", "none"
# a sign and a word besides the colour, for whoever cannot tell the colours apart
LOOKS = {FORESEEN: ("✓", "#00734f"), OTHERWISE: ("≠", "#8a5a00"), NONE: ("…", "#5f5f5f")}
_asked: dict[str, dict[str, "Foreseen"]] = {}  # of this kernel: lesson -> question -> answer


@dataclass(frozen=True)
class Part:
    """One answer to a part of a question.

    Attributes:
        name: of the part; "" where the question has one part.
        kind: FORESEEN, OTHERWISE or NONE.
        said: what the prediction and what happened were, in a sentence.
        because: what such a wrong guess would mean; "" if it is no typical one.
    """

    name: str
    kind: str
    said: str
    because: str = ""


class Foreseen:
    """The answer to a prediction; ``bool(answer)`` is whether all of it was foreseen.

    Attributes:
        lesson, question: two digits, and the question's name.
        parts: a `Part` each.
    """

    def __init__(self, lesson: str, question: str, parts: list[Part]):
        self.lesson = lesson
        self.question = question
        self.parts = parts

    def __bool__(self) -> bool:
        return self.kind == FORESEEN

    @property
    def kind(self) -> str:
        """FORESEEN if all parts were, NONE if nothing was predicted, else OTHERWISE."""
        kinds = {part.kind for part in self.parts}
        return kinds.pop() if len(kinds) == 1 else OTHERWISE

    def __repr__(self) -> str:
        return "\n".join(
            f"{LOOKS[part.kind][0]} {_head(part)} {part.said} {part.because}".rstrip()
            for part in self.parts
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<div><span style="color: {LOOKS[part.kind][1]}">{LOOKS[part.kind][0]} '
            f"<b>{html.escape(_head(part))}</b></span> {html.escape(part.said)} "
            f"{html.escape(part.because)}</div>"
            for part in self.parts
        )
        return boxed(LOOKS[self.kind][1], rows)


def foreseen(
    name: str,
    prediction: object,
    happened: object,
    because: Mapping | None = None,
    *,
    near: float = 0.0,
) -> Foreseen:
    """Say of each part of a prediction whether it was foreseen, and keep it for the lesson's end.

    Args:
        name: the lesson's number and the question: "02 three".
        prediction: what the student wrote; ``...`` or None is no prediction, also of a part.
        happened: what happened: a number, a text, a truth, a list (in its order), a set, or a
            mapping of parts to these.
        because: typical wrong guesses, and what each would mean; of parts, a mapping each.
        near: how far a number may be away, as a share of what happened: 0.2 is 20 %.

    Raises:
        BadInputError: the name is none.
    """
    found = NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise BadInputError("predictions.bad_name", got=name)
    lesson, question = found.groups()
    answer = Foreseen(lesson, question, _parts(prediction, happened, because or {}, near))
    _asked.setdefault(lesson, {})[question] = answer
    attempts.answered(name)
    value = {FORESEEN: True, OTHERWISE: False, NONE: None}[answer.kind]
    progress.keep(lesson, progress.PREDICTIONS, question, value)
    sending.happened(lesson, question, cells.said_of(prediction), word(happened))
    return answer


def _parts(prediction: object, happened: object, because: Mapping, near: float) -> list[Part]:
    if not isinstance(happened, Mapping):
        return [_part("", prediction, happened, because, near)]
    if not is_empty(prediction) and not isinstance(prediction, Mapping):
        names = ", ".join(map(str, happened))
        told = say(
            "predictions.other_shape",
            happened=word(happened), said=word(prediction), parts=names,
        )  # fmt: skip
        return [Part("", OTHERWISE, told, meaning(prediction, because))]
    said = prediction if isinstance(prediction, Mapping) else {}
    parts = []
    for name, value in happened.items():
        means = because.get(name, {})
        means = means if isinstance(means, Mapping) else {}
        parts.append(_part(str(name), said.get(name, ...), value, means, near))
    if {part.kind for part in parts} == {NONE}:
        return [Part("", NONE, say("predictions.nobody_said", happened=word(happened)))]
    return parts


def _part(name: str, said: object, happened: object, because: Mapping, near: float) -> Part:
    if is_empty(said):
        return Part(name, NONE, say("predictions.nobody_said", happened=word(happened)))
    if same(said, happened, near):
        return Part(name, FORESEEN, say("predictions.it_was", happened=word(happened)))
    told = say("predictions.you_said", said=word(said), happened=word(happened))
    return Part(name, OTHERWISE, told, meaning(said, because))


def same(said: object, happened: object, near: float) -> bool:
    """Return whether two values are the same to a person: texts by their words, numbers nearly."""
    try:
        return _is_same(said, happened, near)
    except Exception:  # a student may write anything: what cannot be compared is another thing
        return False


def _is_same(said: object, happened: object, near: float) -> bool:
    said, happened = _scalar(said), _scalar(happened)
    if isinstance(happened, bool) or isinstance(said, bool):
        return type(said) is type(happened) and said == happened
    if isinstance(happened, Real):
        if not isinstance(said, Real):
            return False
        guess, true = float(said), float(happened)
        return guess == true or abs(guess - true) <= near * abs(true) + 1e-9
    if isinstance(happened, str):
        return isinstance(said, str) and _plain(said) == _plain(happened)
    if isinstance(happened, set | frozenset):
        many = isinstance(said, list | tuple | set | frozenset)
        return many and {_plain(one) for one in said} == {_plain(one) for one in happened}
    if isinstance(happened, list | tuple):
        return isinstance(said, list | tuple) and (
            len(said) == len(happened)
            and all(same(a, b, near) for a, b in zip(said, happened, strict=True))
        )
    return bool(said == happened)


def _scalar(value: object) -> object:
    """Return one of numpy's numbers as Python's; all else as it is."""
    item = getattr(value, "item", None)
    return item() if getattr(value, "shape", None) == () and callable(item) else value


def _plain(value: object) -> object:
    return " ".join(value.casefold().split()).strip(".") if isinstance(value, str) else value


def meaning(said: object, because: Mapping) -> str:
    """Return the sentence for a value; "" if it has none."""
    for guess, meaning in because.items():
        if isinstance(meaning, str) and same(said, guess, 0.0):
            return meaning
    return ""


def _head(part: Part) -> str:
    kind = say(f"predictions.{part.kind}")
    return f"{kind} ({part.name}):" if part.name else f"{kind}:"


class Surprises:
    """What of a lesson was foreseen in this kernel: shown at its end.

    Attributes:
        lesson: two digits.
        answers: a `Foreseen` for each question that has been answered, in their order.
    """

    def __init__(self, lesson: str, answers: list[Foreseen]):
        self.lesson = lesson
        self.answers = answers

    def _of(self, kind: str) -> list[Foreseen]:
        return [one for one in self.answers if one.kind == kind]

    def _sentence(self) -> str:
        if not self.answers:
            return say("predictions.nothing_asked")
        numbers = {"right": len(self._of(FORESEEN)), "asked": len(self.answers)}
        none = len(self._of(NONE))
        return say("predictions.all_none" if none else "predictions.all", **numbers, none=none)

    def _lists(self) -> list[tuple[str, list[Foreseen]]]:
        lists = [
            (say("predictions.surprised"), self._of(OTHERWISE)),
            (say("predictions.open"), self._of(NONE)),
        ]
        return [(head, ones) for head, ones in lists if ones]

    def __repr__(self) -> str:
        rows = [f"{head} {', '.join(one.question for one in ones)}" for head, ones in self._lists()]
        return "\n".join([self._sentence(), *rows])

    def _repr_html_(self) -> str:
        lists = "".join(
            f"<div>{html.escape(head)}</div><ul>"
            + "".join(
                f'<li><a href="#cell-id=prediction-{one.question}">{one.question}</a> '
                + html.escape(_what_was(one))
                + "</li>"
                for one in ones
            )
            + "</ul>"
            for head, ones in self._lists()
        )
        head = f"<div><b>{html.escape(self._sentence())}</b></div>"
        return boxed(LOOKS[NONE][1], head + lists)


def _what_was(answer: Foreseen) -> str:
    """Return what a student said and what happened; nothing of parts without a prediction."""
    said = [part for part in answer.parts if part.kind != NONE]
    return " ".join(f"{part.name} {part.said}".strip() for part in said)


def surprises(lesson: str) -> Surprises:
    """Return what of a lesson was foreseen and what surprised, in this kernel.

    Args:
        lesson: its number, "02".
    """
    return Surprises(lesson, list(_asked.get(lesson, {}).values()))

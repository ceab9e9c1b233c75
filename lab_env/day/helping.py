"""Help for who builds the airport: the specification by its parts, and three depths of help.

What help was taken is kept, also when the kernel is started anew, and stands in the report card.
"""

import contextlib
import json
import re
from pathlib import Path

from lab_env.day.contract import SERVICES
from lab_env.ground import kept, project
from lab_env.ground.errors import BadInputError
from lab_env.messages import say

QUESTION, SKELETON, SOLUTION = 1, 2, 3  # the depths
PART = re.compile(r"^## (.+)$", re.MULTILINE)
VARIABLE = kept.VARIABLE
FILE = "capstone_help.json"
_taken: dict[str, int] = {}  # of this kernel: service -> the deepest that was asked for


class Reading:
    """Text that a notebook shows as a page, and a terminal as it is."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def specification(part: str | None = None) -> Reading:
    """Return the specification, or one part of it by a word of its heading.

    Args:
        part: such as "gates"; None is the whole page.

    Raises:
        BadInputError: no part is called so.
    """
    text = _file("SPECIFICATION.md").read_text(encoding="utf-8")
    if part is None:
        return Reading(text)
    _, *rest = PART.split(text)
    parts = dict(zip(rest[::2], rest[1::2], strict=True))
    for head, body in parts.items():
        if str(part).casefold() in head.casefold():
            return Reading(f"**{head}**\n{body.rstrip()}")
    raise BadInputError("day.no_part", got=part, known=", ".join(parts))


def ask(service: str, depth: int = QUESTION) -> Reading:
    """Return help for one service, and remember that it was taken.

    Args:
        service: operations, gates, baggage or board.
        depth: 1 is a question that leads on, 2 a skeleton with gaps, 3 the model solution.

    Raises:
        BadInputError: no such service, or no such depth.
    """
    name = _checked(service)
    if depth not in (QUESTION, SKELETON, SOLUTION) or isinstance(depth, bool):
        raise BadInputError("day.bad_depth", got=depth)
    _remember(name, depth)
    if depth == QUESTION:
        return Reading(say(f"day.ask_{name}"))
    place = f"skeletons/{name}.txt" if depth == SKELETON else f"{name}.py"
    code = _file(place).read_text(encoding="utf-8")
    return Reading(f"{say(f'day.depth_{depth}', service=name)}\n\n```python\n{code}```")


def model(service: str) -> str:
    """Return the path of the model solution's program; that it was taken is remembered.

    Args:
        service: operations, gates, baggage or board.

    Raises:
        BadInputError: no such service.
    """
    name = _checked(service)
    _remember(name, SOLUTION)
    return str(_file(f"{name}.py"))


def taken() -> dict[str, int]:
    """Return the deepest help that was taken, by service; a service without help is not in it."""
    found = dict(_taken)
    for name, depth in _kept().items():
        found[name] = max(depth, found.get(name, 0))
    return {name: found[name] for name in SERVICES if name in found}


def told(help_taken: dict[str, int]) -> str:
    """Return what help was taken, in words; "" if none was."""
    return ", ".join(f"{name} ({say(f'day.help_{depth}')})" for name, depth in help_taken.items())


def _checked(service: str) -> str:
    if service not in SERVICES:
        raise BadInputError("day.bad_name", got=service, known=", ".join(SERVICES))
    return service


def _file(name: str) -> Path:
    return project.file(f"services/capstone/{name}")


def _kept() -> dict[str, int]:
    """Return what an earlier kernel has remembered; what cannot be read is as if never taken."""
    file = kept.place(FILE)
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
        if isinstance(found, dict):
            return {
                name: depth
                for name, depth in found.items()
                if name in SERVICES and depth in (QUESTION, SKELETON, SOLUTION)
            }
    return {}


def _remember(service: str, depth: int) -> None:
    _taken[service] = max(depth, _taken.get(service, 0))
    if file := kept.place(FILE):
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(taken()), encoding="utf-8")

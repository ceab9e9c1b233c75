"""A promise that a day's services have not kept, and what is said of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab_env.messages import say

TOLD = 3  # examples in a sentence


@dataclass(frozen=True)
class BrokenPromise:
    """A promise that was not kept.

    Attributes:
        name: in the catalogue, below ``verdict``.
        lesson: the number of the lesson that teaches it.
        service: whose promise it was.
        count: how often.
        examples: some of what is meant, in words.
    """

    name: str
    lesson: str
    service: str
    count: int
    examples: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What was found, in a sentence."""
        return say(f"verdict.{self.name}", count=self.count, examples=", ".join(self.examples))

    @property
    def hint(self) -> str:
        """What to look at."""
        return say(f"verdict.{self.name}_look", lesson=self.lesson)


def some(name: str, lesson: str, service: str, found: list) -> Iterator[BrokenPromise]:
    """Yield a promise that was broken as often as something was found, or nothing."""
    if found:
        yield BrokenPromise(name, lesson, service, len(found), tuple(map(str, found[:TOLD])))

"""The lab's clock and what happened when: the marks that every picture writes in its time axis."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab_env.ground.errors import BadInputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True)
class Mark:
    """Something that happened: at ``time``, or from ``time`` to ``end`` (seconds, lab's clock).

    ``kind`` is one of note, start, stop, crash, fail, kill, pause, resume, setting, span.
    ``subject`` is the service, member or broker it happened to, or "".
    """

    time: float
    text: str
    kind: str = "note"
    subject: str = ""
    end: float | None = None


class Journal:
    """The marks of one lab, on its clock: monotonic seconds since the lab began.

    Attributes:
        epoch: when the lab began, in the system's monotonic seconds.
        marks: all of them, in the order in which they were made.
        measuring: how many measurements are under way; whoever can wait takes less of the machine.
    """

    def __init__(self) -> None:
        self.epoch = time.monotonic()
        self.marks: list[Mark] = []
        self.measuring = 0

    def now(self) -> float:
        """Return the seconds since the lab began (monotonic, so a clock that jumps is no harm)."""
        return time.monotonic() - self.epoch

    def mark(self, text: str, kind: str = "note", subject: str = "") -> Mark:
        """Write down that ``text`` happened now, and return the mark.

        Raises:
            BadInputError: ``text`` is no text. A picture would find that out much too late.
        """
        if not isinstance(text, str):
            raise BadInputError("figures.bad_mark", got=text)
        mark = Mark(self.now(), plain(text), kind, subject)
        self.marks.append(mark)
        return mark

    @contextmanager
    def span(self, text: str, subject: str = "") -> Generator[Mark]:
        """Write down that ``text`` lasts as long as the ``with`` block.

        Yields:
            The mark, whose ``end`` is set when the block ends.

        Raises:
            BadInputError: ``text`` is no text.
        """
        mark = self.mark(text, "span", subject)
        try:
            yield mark
        finally:
            mark.end = self.now()

    @contextmanager
    def measured(self) -> Generator[None]:
        """Say that the ``with`` block measures, so that the pictures take less from it."""
        self.measuring += 1
        try:
            yield
        finally:
            self.measuring -= 1

    def frame(self) -> "pd.DataFrame":
        """Return the marks: time float64 (s), end float64 (s), text, kind, subject (str)."""
        import pandas as pd  # here, because it takes longer to import than a lab may

        rows = [(m.time, m.end, m.text, m.kind, m.subject) for m in self.marks]
        frame = pd.DataFrame(rows, columns=["time", "end", "text", "kind", "subject"])
        return frame.astype({"time": "float64", "end": "float64"})


def plain(text: str) -> str:
    """Return a text as it can be drawn in one line: without line breaks and half characters."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())

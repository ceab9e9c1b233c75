"""Waits that end when nothing moves any more: neither the work nor the machine sets their time."""

import time
from collections.abc import Callable

PAUSE = 0.1  # s between two looks
QUIET = 20.0  # s without a sign of life after which a wait that was given no time gives up
TIMES = 3  # so many times as long it waits in all, for what moves and never comes to its end
TELL = 10.0  # s after which it says what it waits for; then at twice that, at four times, ...


class Patience:
    """Knows when a wait should end: nothing that was seen has changed for ``seconds``.

    What counts is looks, not the wall's clock: of the time from one look to the next only twice
    the pause between them. A machine that gives a quarter of a core comes to look four times less
    often, and so it is given four times as long.

    Args:
        seconds: without a change (s); may be changed between two looks.
        pause: between two looks (s).
        most: in all (s), whatever changes; None for no such end.

    Attributes:
        quiet: seconds that count since the last change.
        total: seconds that count since the beginning.
    """

    def __init__(self, seconds: float, *, pause: float = PAUSE, most: float | None = None):
        self.seconds, self.most = seconds, most
        self.quiet = self.total = 0.0
        self._lap = 2 * pause
        self._seen: object = None
        self._sure: object = None
        self._at = time.monotonic()

    def look(self, seen: object = None, sure: object = None) -> None:
        """Take what a look has found.

        Args:
            seen: anything that can be compared.
            sure: the same, of work whose end is known: while it gets on, ``most`` is not reached.
        """
        now = time.monotonic()
        lap = min(now - self._at, self._lap)
        self._at = now
        self.total += lap
        self.quiet += lap
        if sure != self._sure:
            self._sure, self.quiet, self.total = sure, 0.0, 0.0
        if seen != self._seen:
            self._seen, self.quiet = seen, 0.0

    @property
    def over(self) -> bool:
        """Whether it is time to give up."""
        return self.quiet >= self.seconds or (self.most is not None and self.total >= self.most)


class Named:
    """A condition of our own, with words for what is waited for in place of our code.

    Args:
        words: what comes after "until"; a function is asked when it is told.
        condition: is called as often as one looks.
    """

    def __init__(self, words: str | Callable[[], str], condition: Callable[[], object]):
        self._words = words
        self._condition = condition

    @property
    def words(self) -> str:
        """What is waited for, as it is now."""
        return self._words if isinstance(self._words, str) else self._words()

    def __call__(self) -> object:
        return self._condition()


class Telling:
    """Says what is waited for, when a wait takes long: a line after 10 s, 20 s, 40 s, ...

    Args:
        sentence: is given the seconds so far, and returns the line.
    """

    def __init__(self, sentence: Callable[[float], str]):
        self._sentence = sentence
        self._began = time.monotonic()
        self._due = TELL
        self.told = False

    @property
    def seconds(self) -> float:
        """How long the wait takes so far (s, by the wall's clock)."""
        return time.monotonic() - self._began

    def look(self) -> None:
        """Say it, if it is due."""
        if self.seconds >= self._due:
            self._due *= 2
            self.told = True
            print(self._sentence(self.seconds), flush=True)

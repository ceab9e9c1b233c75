"""What librdkafka logs, each trouble once: of a dead broker it speaks twice a second."""

import re
import sys

# what differs when the same is said again
AGAIN = re.compile(r"#(?:producer|consumer)-\d+|\(after \d+ms [^)]*\)|\d+ identical error\(s\).*")


class ClientLog:
    """Takes the place of a logger in the settings of a client on librdkafka; can travel.

    A client hands its log over when it is polled.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def log(self, level: int, form: str, *words: object) -> None:
        """Write a line to the cell, or to a service's log, unless it stands there already."""
        text = form % words
        kept = AGAIN.sub("", text)
        if kept not in self._told:
            self._told.add(kept)
            print(text, file=sys.stderr, flush=True)

    def __repr__(self) -> str:
        return "ClientLog()"

"""Board: shows of each aircraft its last flight, and how often it has departed today.

It keeps each event under its name, so that a second one changes nothing, and derives what it shows
from the sequence that operations gave the events: in which order they came does not matter.
"""

import sqlite3
from contextlib import closing

from airport import EVENTS, bury, database, run, sending, sorted_out, subscribe, transaction
from kafka.consumer.fetcher import ConsumerRecord

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    event TEXT PRIMARY KEY, aircraft TEXT NOT NULL, sequence INTEGER NOT NULL,
    flight TEXT NOT NULL, state TEXT NOT NULL
);
-- the columns beside max() are those of its row
CREATE VIEW IF NOT EXISTS board AS
    SELECT aircraft, flight, state, sum(state = 'departed') AS departures, max(sequence) AS sequence
    FROM events GROUP BY aircraft;
"""


def main() -> None:
    """Hear events, show aircraft."""
    with closing(database("board", SCHEMA)) as board, sending() as sender:

        def handle(batch: list[ConsumerRecord]) -> None:
            events, letters = sorted_out(batch, aircraft=str, sequence=int)
            keep(board, events)
            bury(sender, letters)

        subscribe("board", EVENTS, handle)


def keep(board: sqlite3.Connection, events: list[dict]) -> None:
    """Keep the events that are new; all of them, or none."""
    fields = ("report", "aircraft", "sequence", "flight", "event")
    with transaction(board):
        board.executemany(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)",
            [tuple(event[name] for name in fields) for event in events],
        )


if __name__ == "__main__":
    run(main)

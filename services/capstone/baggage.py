"""Baggage: puts the bags of each flight onto a belt, once, however often it hears of the flight.

What was done and that it was done are one transaction of the database. An event that comes a second
time finds its own name there, and does nothing.
"""

import sqlite3
from contextlib import closing

from airport import EVENTS, bury, database, run, sending, sorted_out, subscribe, transaction
from kafka.consumer.fetcher import ConsumerRecord

SCHEMA = """
CREATE TABLE IF NOT EXISTS handled (event TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS belts (airport TEXT PRIMARY KEY, bags INTEGER NOT NULL);
"""
BELT = {"landed": "destination", "cancelled": "origin"}  # whose belt the bags come out on


def main() -> None:
    """Hear events, move bags."""
    with closing(database("baggage", SCHEMA)) as belts, sending() as sender:

        def handle(batch: list[ConsumerRecord]) -> None:
            events, letters = sorted_out(batch)
            move(belts, events)
            bury(sender, letters)

        subscribe("baggage", EVENTS, handle)


def move(belts: sqlite3.Connection, events: list[dict]) -> None:
    """Move the bags of the events that are new; all of them, or none."""
    with transaction(belts):
        for event in events:
            new = "INSERT OR IGNORE INTO handled VALUES (?)"
            if not belts.execute(new, (event["report"],)).rowcount or event["event"] not in BELT:
                continue
            belts.execute(
                "INSERT INTO belts VALUES (?, ?)"
                " ON CONFLICT (airport) DO UPDATE SET bags = bags + excluded.bags",
                (event[BELT[event["event"]]], event["bags"]),
            )


if __name__ == "__main__":
    run(main)

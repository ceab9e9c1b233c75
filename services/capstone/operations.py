"""Operations: keeps the truth about each flight, and tells it to everybody by an outbox.

A report of the tower changes the truth and puts an event into the outbox, in one transaction: there
is never one without the other. The relay sends what is in the outbox, in order, and takes it out
when Kafka has it. Who dies in between sends it again, with the same event-id.
"""

import json
import sqlite3
from contextlib import closing

from airport import (
    EVENTS,
    REPORTS,
    bury,
    database,
    run,
    sending,
    sorted_out,
    subscribe,
    transaction,
)
from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord

SCHEMA = """
CREATE TABLE IF NOT EXISTS flights (
    flight TEXT PRIMARY KEY, aircraft TEXT NOT NULL, state TEXT NOT NULL, time TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS reports (report TEXT PRIMARY KEY, aircraft TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS reports_of_aircraft ON reports (aircraft);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL
);
"""
RELAYED = 200  # events that leave together


def main() -> None:
    """Take reports in, send events out."""
    with closing(database("operations", SCHEMA)) as truth, sending() as sender:
        relay(truth, sender)  # what a predecessor has left

        def handle(batch: list[ConsumerRecord]) -> None:
            reports, letters = sorted_out(batch)
            for report in reports:
                take(truth, report)
            relay(truth, sender)
            bury(sender, letters)

        subscribe("operations", REPORTS, handle)


def take(truth: sqlite3.Connection, report: dict) -> bool:
    """Take a report into the truth and the outbox; return False for one that was there already."""
    aircraft = report.get("aircraft") or report["flight"]
    with transaction(truth):
        known = "SELECT 1 FROM reports WHERE report = ?"
        if truth.execute(known, (report["report"],)).fetchone():
            return False
        truth.execute("INSERT INTO reports VALUES (?, ?)", (report["report"], aircraft))
        count = "SELECT count(*) FROM reports WHERE aircraft = ?"
        (sequence,) = truth.execute(count, (aircraft,)).fetchone()
        truth.execute(
            "INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?)",
            (report["flight"], aircraft, report["event"], report["time"]),
        )
        event = report | {"aircraft": aircraft, "sequence": sequence}
        truth.execute(
            "INSERT INTO outbox (event, key, value) VALUES (?, ?, ?)",
            (report["report"], aircraft, json.dumps(event)),
        )
    return True


def relay(truth: sqlite3.Connection, sender: KafkaProducer) -> None:
    """Send what is in the outbox, in order, and take out what Kafka has."""
    waiting = f"SELECT id, event, key, value FROM outbox ORDER BY id LIMIT {RELAYED}"
    while rows := truth.execute(waiting).fetchall():
        sent = [
            sender.send(
                EVENTS,
                key=key.encode(),
                value=value.encode(),
                headers=[("event-id", event.encode())],
            )
            for _, event, key, value in rows
        ]
        for one in sent:
            one.get(timeout=60)
        truth.execute("DELETE FROM outbox WHERE id <= ?", (rows[-1][0],))


if __name__ == "__main__":
    run(main)

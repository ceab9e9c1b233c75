"""The booking desk's database of lesson 07: made anew for each experiment, and asked."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

TABLES = ("bookings (id)", "outbox (event)", "seen (id unique)", "seats (sold, events)")


class SellsSeats(Protocol):
    """A lab, as far as a desk needs it: see `lab_env.Lab`."""

    @property
    def folder(self) -> Path:
        """Where the lab keeps its files."""

    def topic(self, name: str, **configs: object) -> str:
        """Make a topic anew."""


def fresh(lab: SellsSeats, name: str) -> tuple[str, str]:
    """Return a new, empty database and a new topic for what is sold.

    Args:
        lab: the lab.
        name: of the experiment; one of the same name is thrown away.

    Returns:
        The database's file, which has the tables ``bookings``, ``outbox``, ``seen`` and ``seats``;
        and the topic's real name.
    """
    file = lab.folder / f"{name}.db"
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as database:
        database.executescript("".join(f"create table {table};" for table in TABLES))
    return str(file), lab.topic(f"seats.{name}", retention_ms=-1)


def ask(file: str, query: str) -> list[tuple]:
    """Return all rows that a query of a database finds."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()

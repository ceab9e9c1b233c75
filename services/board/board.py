"""The departures board: shows each departure of a topic, and shares the work with its copies.

What it has to know comes from outside, by variables:

    BOOTSTRAP   where Kafka is: kafka:19092
    TOPIC       what to read: flights.departed
    GROUP       with whom to share it: board
    PATIENCE    after so many seconds without a group it gives up (60)
    WORK        how long it takes to show a flight, in seconds (0.02)
    ALIVE       a file that it touches while it goes on; none if not named

    PASSWORD    with which it logs in, by SASL; none if Kafka asks for no login
    USERNAME    as whom it logs in (board)
    SASL        by which mechanism (SCRAM-SHA-512)
    SECURITY    SASL_SSL, or SASL_PLAINTEXT where the network is its own (SASL_SSL)
    CA          a file with the authority that signed the brokers' certificates; else the system's

`python board.py --check` only tries whether it can join, and ends.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from kafka import KafkaConsumer
from kafka.errors import KafkaError

BOOTSTRAP = os.environ.get("BOOTSTRAP", "kafka:19092")
TOPIC = os.environ.get("TOPIC", "flights.departed")
GROUP = os.environ.get("GROUP", "board")
PATIENCE = float(os.environ.get("PATIENCE", "60"))
WORK = float(os.environ.get("WORK", "0.02"))
ALIVE = os.environ.get("ALIVE")
USERNAME = os.environ.get("USERNAME", "board")
NAME = f"{GROUP}-{socket.gethostname()[:4]}"  # a container's host name is its id

stopping = threading.Event()


def login() -> dict:
    """Return how a client logs in: keyword arguments, none if there is no password."""
    password = os.environ.get("PASSWORD")
    if not password:
        return {}
    return {
        "security_protocol": os.environ.get("SECURITY", "SASL_SSL"),
        "sasl_mechanism": os.environ.get("SASL", "SCRAM-SHA-512"),
        "sasl_plain_username": USERNAME,
        "sasl_plain_password": password,
        "ssl_cafile": os.environ.get("CA"),
    }


def main() -> int:
    """Serve until SIGTERM; return the exit code."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters is told below
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    deadline = time.monotonic() + PATIENCE
    consumer = connect(deadline)
    if consumer is None:
        # a broker that does not know the password closes the connection, and says nothing
        refused = f", or the login of {USERNAME} is refused" if login() else ""
        return gives_up(f"nobody answers at {BOOTSTRAP}{refused}")
    with closing(consumer):  # leaves the group, so that others take over at once
        consumer.subscribe([TOPIC])
        joined = False
        while not stopping.is_set():
            goes_on()
            batch = poll(consumer)
            if not joined and consumer.group_metadata().generation_id >= 0:
                joined = True
                print(f"{NAME} has joined the group {GROUP}")
                if "--check" in sys.argv:
                    return 0
            if not joined and time.monotonic() > deadline:
                return gives_up(f"{BOOTSTRAP} answers, but the way goes on to where nobody does")
            for records in batch.values():
                for record in records:
                    show(record)
            if batch:
                commit(consumer)
    print(f"{NAME} was asked to stop, and has left the group")
    return 0


def connect(deadline: float) -> KafkaConsumer | None:
    """Return a consumer when Kafka has answered; None when patience or the container ends."""
    while not stopping.is_set() and time.monotonic() < deadline:
        try:
            return KafkaConsumer(
                bootstrap_servers=BOOTSTRAP,
                bootstrap_timeout_ms=2000,
                group_id=GROUP,
                client_id=NAME,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                allow_auto_create_topics=False,  # a name with a typo makes no topic
                heartbeat_interval_ms=300,
                session_timeout_ms=6000,
                **login(),
            )
        except KafkaError:
            stopping.wait(0.2)  # it may still be starting: try again
    return None


def goes_on() -> None:
    """Leave a sign that the loop goes round: a program that hangs leaves none."""
    if ALIVE:
        Path(ALIVE).touch()


def poll(consumer: KafkaConsumer) -> dict:
    """Return the next records; none if there are none, or while no broker can be reached."""
    try:
        return consumer.poll(timeout_ms=500, max_records=10)
    except KafkaError:
        stopping.wait(0.2)
        return {}


def show(record) -> None:
    """Put a flight on the board; what is no flight is told, and goes by."""
    try:
        flight = json.loads(record.value)
        time_of_day = (flight["departed"] or "")[11:] or "cancelled"
        print(time_of_day, flight["flight"], "to", flight["destination"])
    except (ValueError, TypeError, KeyError):
        print(f"no flight: partition {record.partition}, offset {record.offset}")
    stopping.wait(WORK)


def commit(consumer: KafkaConsumer) -> None:
    """Note how far the group has come; a rebalance may come first, then the flights come again."""
    try:
        consumer.commit()
    except KafkaError as error:
        print(f"{NAME} could not commit: {type(error).__name__}")


def gives_up(why: str) -> int:
    """Say why it ends; whoever has started it may start it again."""
    if stopping.is_set():
        return 0
    print(f"{NAME} gives up after {PATIENCE:g} s: {why}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

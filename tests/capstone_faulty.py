"""Typical faulty solutions of the capstone, as small changes of the model, and what they did live.

``python tests/capstone_faulty.py`` plays them all on a Kafka of its own, and writes what was there
at midnight into capstone_evidence.jsonl.gz: the fast tests judge that.
"""

import gzip
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab_env.day.contract import SERVICES
from lab_env.day.evidence import AtMidnight, loads
from lab_env.day.faults import Fault

HERE = Path(__file__).parent
CAPSTONE = HERE.parent / "services" / "capstone"
RECORDED = HERE / "capstone_evidence.jsonl.gz"
DAY, FLIGHTS, SECONDS = "2013-02-08", 32, 6.0


@dataclass(frozen=True)
class Faulty:
    """A faulty solution.

    Attributes:
        name: what is wrong with it.
        service: whose program is changed; the others of ``plays`` are the model's.
        changes: file -> old text -> new text.
        found: the broken promise that must be told, and of which lesson.
        faults: what happens to it.
        plays: the services that take part.
    """

    name: str
    service: str
    changes: dict[str, dict[str, str]]
    found: str
    lesson: str
    faults: tuple[Fault, ...] = ()
    plays: tuple[str, ...] = ()

    @property
    def services(self) -> tuple[str, ...]:
        return self.plays or (self.service,)

    def programs(self, folder: Path) -> dict[str, str]:
        """Write the changed programs into a folder; return service -> path."""
        shutil.copytree(CAPSTONE, folder, dirs_exist_ok=True)
        for name, changes in self.changes.items():
            file = folder / name
            text = file.read_text(encoding="utf-8")
            for old, new in changes.items():
                assert text.count(old) == 1, f"{self.name}: {text.count(old)} times: {old}"
                text = text.replace(old, new)
            file.write_text(text, encoding="utf-8")
        programs = {one: str(CAPSTONE / f"{one}.py") for one in self.services}
        return programs | {self.service: str(folder / f"{self.service}.py")}


def poison(topic: str) -> tuple[Fault, ...]:
    return (Fault(0.4, "poison", topic),)


# A crash has to hit the moment between two steps, so the faulty program makes it there itself: once
# with a departure in its hands, once with bags that come out, once with a command.
CRASH = """

def worst_moment(batch):
    for kind in ("departed", "cancelled", "command"):
        mark = FOLDER / f"{INSTANCE}-{kind}"
        if any(kind.encode() in one.value for one in batch) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


# -- databases"""
DATABASES = {"\n\n# -- databases": CRASH}
MOMENT = "worst_moment(batch)"
AFTER = {
    "            handle(batch)\n            try:\n": (
        f"            handle(batch)\n            {MOMENT}\n            try:\n"
    )
} | DATABASES
BEFORE = {
    "            handle(batch)\n            try:\n                member.commit()\n": (
        f"            try:\n                member.commit()\n                {MOMENT}\n"
        "                handle(batch)\n"
    )
} | DATABASES
TRANSACTION = """            sender.begin_transaction()
            for record in batch:
                sender.send(**answer(record))
            done = {place: OffsetAndMetadata(at, "", -1) for place, at in positions(batch).items()}
            sender.send_offsets_to_transaction(done, member.group_metadata())
            sender.commit_transaction()
"""
PLAIN = {
    '        transactional_id=f"{PREFIX}gates-{INSTANCE}",\n': "",
    "        transaction_timeout_ms=HELD,\n": "",
    "        sender.init_transactions()\n": "        from airport import worst_moment\n\n",
}
SEND = "            for record in batch:\n                sender.send(**answer(record))\n"
COUNTING = '''CREATE TABLE IF NOT EXISTS board (
    aircraft TEXT PRIMARY KEY, flight TEXT, state TEXT, departures INTEGER
);
"""
'''
BOARD = (CAPSTONE / "board.py").read_text(encoding="utf-8")
SCHEMA = BOARD[BOARD.index("CREATE TABLE") : BOARD.index("\n\ndef main")]
KEEP = BOARD[BOARD.index("    with transaction(board):") : BOARD.index("\n\nif __name__")]
UPSERT = """    with transaction(board):
        for event in events:
            board.execute(
                "INSERT INTO board VALUES (?, ?, ?, ?) ON CONFLICT (aircraft) DO UPDATE SET"
                " flight = excluded.flight, state = excluded.state,"
                " departures = departures + excluded.departures",
                (event["aircraft"], event["flight"], event["event"], event["event"] == "departed"),
            )
"""
LETTER = "            letters.append(letter(record, error))\n"
MALFORMED = "        except MalformedError as error:\n" + LETTER

FAULTY = (
    Faulty("operations commits before its work", "operations", {"airport.py": BEFORE},
           "events_lost", "07"),
    Faulty("operations sends without a key", "operations",
           {"operations.py": {"                key=key.encode(),\n": ""}}, "wrong_key", "04"),
    Faulty("operations takes the flight as key", "operations",
           {"operations.py": {"(report[\"report\"], aircraft, json.dumps(event)),":
                              "(report[\"report\"], report[\"flight\"], json.dumps(event)),"}},
           "wrong_key", "04"),
    Faulty("operations has no outbox: it sends what is not there any more after a crash",
           "operations",
           {"operations.py": {
               "            relay(truth, sender)\n            bury":
               f"            {MOMENT}\n            relay(truth, sender)\n            bury",
               "        relay(truth, sender)  # what a predecessor has left\n":
               '        truth.execute("DELETE FROM outbox")\n',
               "    transaction,\n": "    transaction,\n    worst_moment,\n",
           }, "airport.py": DATABASES},
           "not_told", "07"),
    Faulty("operations tells a report twice that came twice", "operations",
           {"operations.py": {
               "report TEXT PRIMARY KEY": "report TEXT",
               'if truth.execute(known, (report["report"],)).fetchone():': "if False:",
           }},
           "events_twice", "07", (Fault(0.6, "duplicates"),)),
    Faulty("gates commits before it has replied", "gates",
           {"airport.py": DATABASES,
            "gates.py": PLAIN | {TRANSACTION: f"            member.commit()\n            {MOMENT}\n"
                                 + SEND + "            sender.flush()\n"}},
           "no_reply", "07"),
    Faulty("gates replies, then commits, and not in a transaction", "gates",
           {"airport.py": DATABASES,
            "gates.py": PLAIN | {TRANSACTION: SEND + "            sender.flush()\n"
                                 f"            {MOMENT}\n            member.commit()\n"}},
           "replies_twice", "07"),
    Faulty("each copy of gates is a group of its own", "gates",
           {"gates.py": {'consumer("gates", COMMANDS)': 'consumer(f"gates-{INSTANCE}", COMMANDS)'}},
           "two_receivers", "02"),
    Faulty("gates replies without the correlation-id", "gates",
           {"gates.py": {'"headers": [("correlation-id", correlation)],': '"headers": [],'}},
           "no_correlation", "01"),
    Faulty("gates collects commands", "gates",
           {"gates.py": {"            sender.begin_transaction()\n":
                         "            __import__('time').sleep(9)\n"
                         "            sender.begin_transaction()\n"}},
           "slow_replies", "09"),
    Faulty("baggage commits before its work", "baggage", {"airport.py": BEFORE},
           "bags_lost", "07"),
    Faulty("baggage moves bags each time it hears of them", "baggage",
           {"airport.py": AFTER,
            "baggage.py": {'not belts.execute(new, (event["report"],)).rowcount or ': "",
                           '            new = "INSERT OR IGNORE INTO handled VALUES (?)"\n': ""}},
           "bags_twice", "07"),
    Faulty("baggage tries a poison record again and again, in place", "baggage",
           {"airport.py": {MALFORMED: "        except MalformedError:\n"
                           "            raise OSError('again') from None\n"}},
           "blocked", "08", poison("airport.events")),
    Faulty("baggage ends at a poison record", "baggage",
           {"airport.py": {MALFORMED: "        except ZeroDivisionError:\n"
                           "            pass\n"}},
           "blocked", "08", poison("airport.events")),
    Faulty("baggage passes over a poison record in silence", "baggage",
           {"airport.py": {MALFORMED: "        except MalformedError:\n"
                           "            continue\n"}},
           "letters_lacking", "08", poison("airport.events")),
    Faulty("the board's dead letters do not say where they come from", "board",
           {"airport.py": {LETTER: "            letters.append(letter(record, error)"
                           " | {\"headers\": []})\n"}},
           "letters_bare", "08", poison("airport.events")),
    Faulty("the board takes a locked database for a poison record", "board",
           {"airport.py": {"LOCKED = 5.0": "LOCKED = 0.5"},
            "board.py": {"            keep(board, events)\n":
                         "            try:\n                keep(board, events)\n"
                         "            except sqlite3.OperationalError as error:\n"
                         "                letter = __import__('airport').letter\n"
                         "                letters += [letter(one, error) for one in batch]\n"}},
           "letters_strange", "08", (Fault(0.4, "lock database", "board", 3.0),)),
    Faulty("the board counts each time it hears of a departure", "board",
           {"airport.py": AFTER, "board.py": {SCHEMA: COUNTING, KEEP: UPSERT}},
           "board_counts_twice", "07"),
    Faulty("the board commits before its work", "board", {"airport.py": BEFORE},
           "board_lacks", "07"),
    Faulty("baggage and the board share a group", "baggage",
           {"baggage.py": {'subscribe("baggage",': 'subscribe("board",'}},
           "half_heard", "03", (), ("baggage", "board")),
    Faulty("the board never joins its group", "board",
           {"board.py": {'subscribe("board", EVENTS, handle)':
                         "__import__('airport').stopping.wait()"}},
           "never_began", "05"),
)  # fmt: skip


def play(lab, faulty: Faulty | None):
    """Play the short day with a faulty solution, or with the model; return the report card."""
    with tempfile.TemporaryDirectory() as folder:
        if faulty is None:
            programs = {one: str(CAPSTONE / f"{one}.py") for one in SERVICES}
            own = [Fault(0.3, "poison", "airport.events"), Fault(0.6, "kill service", "gates")]
        else:
            programs, own = faulty.programs(Path(folder)), list(faulty.faults)
        return lab.day(DAY, flights=FLIGHTS, seconds=SECONDS, faults=own, **programs)


def recorded() -> dict[str, AtMidnight]:
    """Return the evidence that was recorded, by the solution's name; the model's is "model"."""
    lines = gzip.decompress(RECORDED.read_bytes()).decode().splitlines()
    return {json.loads(name): loads(text) for name, text in (one.split("\t") for one in lines)}


def record(known: dict[str, AtMidnight]) -> None:
    """Write evidence down: the same evidence, the same bytes."""
    rows = [f"{json.dumps(name)}\t{one.dumps()}\n" for name, one in known.items()]
    RECORDED.write_bytes(gzip.compress("".join(rows).encode(), mtime=0))


def main() -> None:
    """Play them all, and write down what was there."""
    from lab_env import Lab

    wanted = sys.argv[1:]
    known = recorded() if wanted and RECORDED.exists() else {}
    with Lab("embedded", progress=False) as lab:
        for faulty in (None, *FAULTY):
            name = faulty.name if faulty else "model"
            if wanted and not any(word in name for word in wanted):
                continue
            card = play(lab, faulty)
            told = [f"{one.name} {one.lesson}" for one in card.verdict.failures]
            right = faulty is None and not told
            right = right or (faulty and f"{faulty.found} {faulty.lesson}" in told)
            print("right" if right else "WRONG", name, told, flush=True)
            known[name] = card.evidence
            record(known)


if __name__ == "__main__":
    main()

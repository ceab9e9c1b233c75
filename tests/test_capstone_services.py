"""The model solution of the capstone by itself: programs, their databases, the short day."""

import contextlib
import importlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import wait_until

from lab_env.day import __main__ as short_day
from lab_env.day import contract
from lab_env.day.script import script, truth

CAPSTONE = Path(__file__).parent.parent / "services" / "capstone"
SERVICES = contract.SERVICES
LINES = script(short_day.DAY, short_day.FLIGHTS)
TRUE = truth(LINES)


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Import a program of the capstone, with its databases in a folder of the test."""
    monkeypatch.syspath_prepend(str(CAPSTONE))
    monkeypatch.setenv("FOLDER", str(tmp_path))
    names = ("airport", "tower", *SERVICES)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def reports() -> list[dict]:
    return [line.value for line in LINES if line.topic == "tower.reports"]


def record(value: object, **more: object) -> SimpleNamespace:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    place = {"topic": "airport.events", "partition": 2, "offset": 7, "key": b"N1", "headers": []}
    return SimpleNamespace(value=data, **place | more)


def rows(folder: Path, name: str, query: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(folder / f"{name}.sqlite")) as opened:
        return opened.execute(query).fetchall()


# -- fast: what the programs do with what they hear ------------------------------------------


class Silent:
    """A member whose polls bring nothing, though its group has not come to the topic's end."""

    def __init__(self, airport, end: int, committed: int, *, owns: bool = True, polls: int = 50):
        self.airport, self.end, self.at, self.owns, self.polls = (
            airport,
            end,
            committed,
            owns,
            polls,
        )

    def poll(self, **asked: int) -> dict:
        self.polls -= 1
        if not self.polls:
            self.airport.stopping.set()
        return {}

    def subscription(self) -> set:
        return {"airport.events"}

    def partitions_for_topic(self, topic: str) -> set:
        return {0, 1}

    def assignment(self) -> set:
        return {self.airport.TopicPartition("airport.events", 1)} if self.owns else set()

    def end_offsets(self, places: list) -> dict:
        return dict.fromkeys(places, self.end)

    def committed(self, place: object) -> int:
        return self.at


@pytest.mark.parametrize("owns", [True, False], ids=["with partitions", "without partitions"])
def test_a_member_that_polls_and_gets_nothing_though_records_wait_begins_again(
    program, monkeypatch, owns
):
    airport = program("airport")
    monkeypatch.setattr(airport, "HANGS", 0.0)
    with pytest.raises(airport.KafkaError):
        list(airport.batches(Silent(airport, 9, 4, owns=owns)))


def test_a_member_that_has_come_to_the_end_waits_for_more(program, monkeypatch):
    airport = program("airport")
    monkeypatch.setattr(airport, "HANGS", 0.0)
    assert list(airport.batches(Silent(airport, 9, 9))) == []


def test_a_report_that_comes_twice_is_one_event(program, tmp_path):
    airport, operations = program("airport"), program("operations")
    truth_table = airport.database("operations", operations.SCHEMA)
    for report in reports():
        assert operations.take(truth_table, report)
        assert not operations.take(truth_table, report)
    outbox = [json.loads(row[0]) for row in truth_table.execute("SELECT value FROM outbox")]
    truth_table.close()
    assert {event["report"]: event for event in outbox} == TRUE.events
    assert len(outbox) == len(TRUE.events)


def test_the_truth_and_the_outbox_change_together_or_not_at_all(program):
    airport, operations = program("airport"), program("operations")
    with contextlib.closing(airport.database("operations", operations.SCHEMA)) as opened:
        opened.execute("DROP TABLE outbox")
        with pytest.raises(sqlite3.OperationalError):
            operations.take(opened, reports()[0])
        assert opened.execute("SELECT count(*) FROM flights").fetchone() == (0,)
        assert opened.execute("SELECT count(*) FROM reports").fetchone() == (0,)


def test_bags_are_moved_once_however_often_and_in_which_order_events_come(program):
    airport, baggage = program("airport"), program("baggage")
    events = [*TRUE.events.values()] * 3
    random.Random(1).shuffle(events)
    with contextlib.closing(airport.database("baggage", baggage.SCHEMA)) as opened:
        for event in events:
            baggage.move(opened, [event])
        assert dict(opened.execute("SELECT airport, bags FROM belts")) == TRUE.belts


def test_the_board_is_right_however_often_and_in_which_order_events_come(program):
    airport, board = program("airport"), program("board")
    events = [*TRUE.events.values()] * 2
    random.Random(2).shuffle(events)
    with contextlib.closing(airport.database("board", board.SCHEMA)) as opened:
        for event in events:
            board.keep(opened, [event])
        found = opened.execute("SELECT aircraft, flight, state, departures FROM board").fetchall()
    assert {row[0]: row[1:] for row in found} == TRUE.board
    assert max(departures for *_, departures in TRUE.board.values()) > 1


POISON = (b"\xff\xfe", b"{", b"[]", b"null", b"{}", json.dumps({"flight": 7}).encode())


@pytest.mark.parametrize("value", POISON, ids=repr)
def test_a_poison_record_is_a_dead_letter_with_its_origin_and_its_cause(program, value):
    airport = program("airport")
    with pytest.raises(airport.MalformedError) as error:
        airport.flight(record(value))
    letter = airport.letter(record(value, headers=[("a", b"b")]), error.value)
    headers = dict(letter["headers"])
    assert (letter["value"], letter["key"], headers["a"]) == (value, b"N1", b"b")
    origin = [headers[f"origin-{name}"] for name in ("topic", "partition", "offset")]
    assert origin == [b"airport.events", b"2", b"7"]
    assert headers["error"]
    assert headers["attempts"] == b"1"


def test_a_command_without_a_way_back_is_a_dead_letter_and_a_whole_one_has_a_reply(program):
    gates = program("gates")
    whole = next(line for line in LINES if line.topic == "gates.commands")
    headers = [("correlation-id", b"c"), ("reply-to", b"somewhere")]
    reply = gates.answer(record(whole.value, headers=headers))
    assert (reply["topic"], dict(reply["headers"])) == ("somewhere", {"correlation-id": b"c"})
    assert json.loads(reply["value"])["gate"].startswith(whole.value["origin"] + "-")
    assert gates.answer(record(whole.value, headers=headers[:1]))["topic"] == "dead.letters"


def test_a_program_that_hangs_ends_itself_so_that_others_get_its_partitions():
    hangs = "import airport, time; airport.HANGS = 1.0; airport.run(lambda: time.sleep(600))"
    words = [sys.executable, "-c", hangs]
    done = subprocess.run(words, cwd=CAPSTONE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "hangs, and ends itself" in done.stdout


def test_the_names_of_the_programs_are_those_of_the_contract(program):
    airport, tower = program("airport"), program("tower")
    assert tower.PARTITIONS == contract.TOPICS
    assert airport.KINDS == contract.KINDS
    text = (CAPSTONE / "SPECIFICATION.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in contract.TOPICS)


def test_the_short_day_is_what_the_lab_makes():
    """``python -m lab_env.day`` writes it."""
    assert (CAPSTONE / "day.jsonl").read_text(encoding="utf-8") == short_day.text()
    kinds = {report["event"] for report in reports()}
    assert kinds == set(contract.KINDS)
    assert None in {one["aircraft"] for one in reports()}


def test_the_compose_file_runs_each_program_with_a_database_that_stays():
    services = yaml.safe_load((CAPSTONE / "compose.yml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {*SERVICES, "tower"}
    for name, service in services.items():
        assert service["command"] == ["python", "-u", f"{name}.py"]
        assert (CAPSTONE / f"{name}.py").exists()
        assert bool(service.get("volumes")) == (name not in ("gates", "tower"))


def test_compose_builds_the_one_image_once_and_fetches_it_from_nowhere():
    services = yaml.safe_load((CAPSTONE / "compose.yml").read_text(encoding="utf-8"))["services"]
    assert [name for name, service in services.items() if "build" in service] == ["tower"]
    assert {service["image"] for service in services.values()} == {"kafka-lab/capstone"}
    assert {service["pull_policy"] for service in services.values()} == {"never"}


# -- on a broker, without the lab's help ----------------------------------------------------


class Airport:
    """The programs as processes of their own, as a shell would start them."""

    def __init__(self, bootstrap: str, folder: Path):
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        self._variables = os.environ | {"BOOTSTRAP": bootstrap, "FOLDER": str(folder)}

    def start(self, name: str) -> subprocess.Popen:
        program = name.partition("-")[0]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-u", CAPSTONE / f"{program}.py"],
                env=self._variables | {"INSTANCE": name}, stdout=log, stderr=log,
            )  # fmt: skip
        return self.processes[name]

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(30)

    def stop(self) -> dict[str, int]:
        for process in self.processes.values():
            process.terminate()
        return {name: process.wait(60) for name, process in self.processes.items()}


@pytest.mark.landing
@pytest.mark.timeout(400)
def test_the_programs_play_the_short_day_alone_though_each_is_killed_again_and_again(
    own_home, tmp_path
):
    from lab_env import Lab
    from lab_env.observation import queries

    with Lab("embedded", progress=False) as lab:
        airport = Airport(",".join(lab.connection["bootstrap_servers"]), tmp_path)
        names = ("operations", "gates-1", "gates-2", "baggage", "board")
        try:
            tower = airport.start("tower")
            for name in names:
                airport.start(name)
            for _ in range(2):
                for name in names:
                    time.sleep(0.7)
                    airport.kill(name)
                    airport.start(name)
            log = tmp_path / "tower.log"
            assert tower.wait(240) == 0, log.read_text()
            assert "0 without answer" in log.read_text()

            def board() -> dict:
                query = "SELECT aircraft, flight, state, departures FROM board"
                return {row[0]: row[1:] for row in rows(tmp_path, "board", query)}

            def belts() -> dict:
                return dict(rows(tmp_path, "baggage", "SELECT airport, bags FROM belts"))

            wait_until(lambda: board() == TRUE.board and belts() == TRUE.belts, 90)
            committed = lab.connection | {"isolation_level": "read_committed"}
            replies = queries.records(committed, "gates.replies")
            asked = sorted(headers["correlation-id"] for headers in replies["headers"])
            assert asked == sorted(TRUE.commands)  # each once
            events = queries.records(lab.connection, "airport.events")
            assert set(events["key"]) == {one["aircraft"] for one in TRUE.events.values()}
            del airport.processes["tower"]
            assert set(airport.stop().values()) == {0}, "SIGTERM is a stop, and no error"
        finally:
            for process in airport.processes.values():
                with contextlib.suppress(OSError):
                    process.send_signal(signal.SIGKILL)
                process.wait(30)

"""The capstone's day in trouble: services that never end, a cluster that is not one's own."""

from pathlib import Path

import pytest
from capstone_faulty import CAPSTONE, DAY, FLIGHTS
from secure import shared_cluster

from lab_env import Lab
from lab_env.day.faults import Fault

pytestmark = [
    pytest.mark.landing, pytest.mark.timeout(400), pytest.mark.usefixtures("own_home"),
]  # fmt: skip


def stubborn(service, airport):
    """A student's board that locks its database, hears nothing, and never ends."""
    import sqlite3
    import time

    database = sqlite3.connect(Path(airport.folder, "board.sqlite"), isolation_level=None)
    database.execute("CREATE TABLE IF NOT EXISTS board (aircraft, flight, state, departures)")
    database.execute("BEGIN EXCLUSIVE")
    while True:
        time.sleep(0.1)


def test_a_service_that_never_ends_and_holds_its_database_is_ended_at_midnight_and_judged():
    with Lab("embedded", progress=False) as lab:
        lock = Fault(0.5, "lock database", "board", seconds=1.0)
        card = lab.day(DAY, flights=8, seconds=1, faults=[lock], board=stubborn)
        assert [(one.name, one.lesson) for one in card.failures] == [("never_began", "05")]
        assert not [one for one in lab.services.values() if one.state == "running"]
        (left_out,) = [one for one in card.evidence.timeline if one.kind == "left out"]
        assert "locked" in left_out.told


def test_on_a_shared_cluster_what_only_its_owner_may_do_is_left_out_and_said(
    tmp_path_factory, monkeypatch
):
    with shared_cluster(tmp_path_factory.mktemp("certificates")) as shared:
        for name, value in shared.variables("ana", "SCRAM-SHA-256").items():
            monkeypatch.setenv(name, value)
        with Lab() as lab:
            card = lab.day(
                DAY, level="storm", seed=1, flights=FLIGHTS, seconds=6,
                gates=CAPSTONE / "gates.py", board=CAPSTONE / "board.py",
            )  # fmt: skip
    assert card, card
    left_out = {one.target for one in card.evidence.timeline if one.kind == "left out"}
    assert left_out == {"kill broker", "pause leader", "no coordinator"}
    assert card.evidence.faults()
    assert "left out: no coordinator" in card.html()

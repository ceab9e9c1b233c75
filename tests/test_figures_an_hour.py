"""Every kind of picture after a burst, and then nothing for an hour but marks; no broker."""

import inspect

import pytest
from driven import TOPIC, Drive, kinds

from lab_env.aws.picture import AccountPicture
from lab_env.classroom.picture import ClassPicture
from lab_env.figures import KINDS, Show
from lab_env.figures.engine import scales

PLACES = [
    *((TOPIC, partition) for partition in range(6)),
    ("flights.retry", 0),
    ("flights.dead", 0),
]
BURST = 10.0  # seconds in which something happens
HOUR = 3600.0


@pytest.fixture
def drive(monkeypatch):
    return Drive(monkeypatch)


def burst(drive, time: float, before: int = 0) -> None:
    """Tell of whatever any picture can show."""
    count = before + int(time % HOUR * 60)
    done = dict.fromkeys(PLACES, count)
    drive.sample(dict.fromkeys(PLACES, count + 40), done, ("truck-1", "truck-2"))
    row = {"time": time, "service": "truck-1"}
    place = {"partition": 0, "offset": count}
    drive.reports.append(row | place | {"handled": count, "outcome": "handled"})
    drive.reports.append(row | {"kind": "call", "seconds": 0.2})
    drive.reports.append(row | {"wanted": 12, "running": 12})
    measured = {"measured": "batches", "asked": 500.0, "records_per_second": 480.0 + count}
    drive.reports.append(
        row | measured | {"megabytes_per_second": 2.0, "p50_ms": 4.0, "p99_ms": 30.0}
    )


def quiet(drive, time: float) -> None:
    """Tell that all is handled, and that somebody speaks about it."""
    ends = dict.fromkeys(PLACES, 640)
    drive.sample(ends, ends, ("truck-1", "truck-2"))
    if time % 20 == 0:
        drive.clock.mark(f"slide {time / 20:.0f}")


@pytest.mark.landing
@pytest.mark.parametrize("kind", [*KINDS, "account"])
def test_a_picture_lives_for_an_hour_in_which_nothing_happens_after_a_burst(drive, kind):
    picture = drive.account() if kind == "account" else drive.picture(kind)
    drive.go(BURST, step=0.5, each=lambda time: burst(drive, time))
    drive.go(290, step=10, each=lambda time: quiet(drive, time))
    assert picture.error is None, picture.sentence
    drive.go(HOUR - drive.clock.time, step=150, each=lambda time: quiet(drive, time))
    assert picture.error is None, picture.sentence
    frames = picture.frames
    drive.go(3, step=0.5, each=lambda time: burst(drive, time, before=640))
    if kind == "account":  # what costs money is not told by samples and reports
        drive.clock.mark("a call")
        drive.frames()
    assert picture.error is None, picture.sentence
    assert picture.frames > frames
    drive.end(picture)


def test_no_kind_of_picture_is_left_out(drive):
    calls = [name for name, _ in inspect.getmembers(Show, inspect.isfunction) if name[0] != "_"]
    assert set(KINDS) == set(calls) - {"dashboard", "close"}
    made = {type(drive.picture(kind)) for kind in KINDS}
    # a class has no time axis; tests/test_classroom_picture.py draws it
    assert made | {AccountPicture, ClassPicture} == kinds()


@pytest.mark.parametrize("after", [0.0, float("nan"), float("inf"), -5.0, 1e-9])
def test_an_axis_bears_any_number_after_a_burst(after):
    amount = scales.Amount()
    amount.fit(100, 0)
    top = amount.top
    for second in range(1, 200):
        amount.fit(after, second)
        assert 10 <= amount.top <= top
        assert amount.ticks[0] == 0

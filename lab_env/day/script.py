"""The script of a day: what the tower and the passengers send, and what must be true at midnight.

Nothing here knows a broker or a clock: the same day is the same script, everywhere.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab_env import flights
from lab_env.day.contract import BELT
from lab_env.ground import arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

BEFORE = 60  # minutes before its departure in which the gate of a flight is asked for
BAGS = (20, 90)  # how many bags a flight has at least, and how much more some have


@dataclass(frozen=True)
class Line:
    """A record that the world sends.

    Attributes:
        moment: New York's time, as text; the order of the day.
        topic: of the contract.
        key: of the record; None for none.
        value: what its JSON says, or text that is no JSON.
        headers: names and texts.
    """

    moment: str
    topic: str
    key: str | None
    value: dict | str
    headers: dict[str, str] = field(default_factory=dict)


def script(day: str, most: int | None = None) -> list[Line]:
    """Return what is sent on a day, in order.

    Args:
        day: of 2013, such as "2013-02-08".
        most: only so many flights: those of the aircraft that fly most, and every eighth without a
            tail number, where there are such; None is all.

    Returns:
        For each flight a command for a gate, then the tower's reports: departed and landed, or
        cancelled. A flight that never reached its destination departs and does not land.

    Raises:
        BadInputError: no such day.
    """
    import pandas as pd

    rows = flights.table(day=day)
    if most is not None:
        rows = _some(rows, arguments.count(most, "most", 1))
    landed = {event["id"]: event["landed"] for event in flights.events(rows, "landed")}
    lines = []
    for event in flights.events(rows):
        asked = pd.Timestamp(event["scheduled"]) - pd.Timedelta(minutes=BEFORE)
        lines.append(_command(event, f"{asked:%Y-%m-%dT%H:%M}"))
        if event["departed"] is None:
            lines.append(_report(event, "cancelled", event["scheduled"]))
            continue
        lines.append(_report(event, "departed", event["departed"]))
        if event["id"] in landed:
            lines.append(_report(event, "landed", landed[event["id"]]))
    return sorted(lines, key=lambda line: line.moment)  # stable: a flight's own order stays


def _some(rows: "pd.DataFrame", most: int) -> "pd.DataFrame":
    """Return so many rows, in their order, with all that a day has of trouble."""
    legs = rows["tailnum"].map(rows["tailnum"].value_counts()).fillna(0)
    unknown = rows[legs == 0].head(most // 8)
    busy = rows.loc[legs.sort_values(ascending=False, kind="stable").index]
    return rows.loc[sorted({*unknown.index, *busy.head(most - len(unknown)).index})]


def _command(event: dict, moment: str) -> Line:
    command = f"gate/{event['id']}"
    value = {"command": command, "flight": event["id"], "origin": event["origin"]}
    return Line(moment, "gates.commands", event["id"], value, {"correlation-id": command})


def _report(event: dict, kind: str, moment: str) -> Line:
    least, more = BAGS
    value = {
        "report": f"{event['id']}/{kind}",
        "event": kind,
        "flight": event["id"],
        "aircraft": event["tail_number"],
        "origin": event["origin"],
        "destination": event["destination"],
        "time": moment,
        "bags": least + 7 * event["number"] % more,
    }
    return Line(moment, "tower.reports", event["id"], value)


@dataclass(frozen=True)
class Truth:
    """What must be true at midnight.

    Attributes:
        events: report -> the event that operations must tell, with aircraft and sequence.
        commands: command -> the flight it is for.
        belts: airport -> bags.
        board: aircraft -> (flight, state, departures).
    """

    events: dict[str, dict]
    commands: dict[str, str]
    belts: dict[str, int]
    board: dict[str, tuple[str, str, int]]


def truth(lines: "Iterable[Line]") -> Truth:
    """Return what follows from a script, by the contract alone."""
    events: dict[str, dict] = {}
    commands: dict[str, str] = {}
    belts: dict[str, int] = {}
    board: dict[str, tuple[str, str, int]] = {}
    sequences: dict[str, int] = {}
    for line in lines:
        value = line.value
        if not isinstance(value, dict):
            continue
        if line.topic == "gates.commands":
            commands[value["command"]] = value["flight"]
        elif line.topic == "tower.reports" and value["report"] not in events:
            aircraft, kind = value["aircraft"] or value["flight"], value["event"]
            sequences[aircraft] = sequences.get(aircraft, 0) + 1
            place = {"aircraft": aircraft, "sequence": sequences[aircraft]}
            events[value["report"]] = value | place
            if kind in BELT:
                airport = value[BELT[kind]]
                belts[airport] = belts.get(airport, 0) + value["bags"]
            departures = board[aircraft][2] if aircraft in board else 0
            board[aircraft] = (value["flight"], kind, departures + (kind == "departed"))
    return Truth(events, commands, belts, board)

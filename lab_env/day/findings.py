"""The evidence of one day, looked at from the sides that the promises need."""

from dataclasses import dataclass, field

from lab_env.day.contract import READS
from lab_env.day.evidence import AtMidnight, DayRecord
from lab_env.day.script import Truth


@dataclass
class Findings:
    """What was there at midnight, and what should have been.

    Attributes:
        evidence: as it was gathered.
        true: what should have been.
        events: report -> the events that tell of it.
        replies: command -> its replies.
        asked: command -> its record.
        reported: report -> the first record of it.
        poison: (topic, partition, offset) of the records that nobody can handle.
    """

    evidence: AtMidnight
    true: Truth
    events: dict[str, list[DayRecord]] = field(default_factory=dict)
    replies: dict[str, list[DayRecord]] = field(default_factory=dict)
    asked: dict[str, DayRecord] = field(default_factory=dict)
    reported: dict[str, DayRecord] = field(default_factory=dict)
    poison: set[tuple[str, int, int]] = field(default_factory=set)

    def plays(self, service: str) -> bool:
        """Return whether a service of the student's takes part."""
        return service in self.evidence.services

    def records(self, topic: str) -> list[DayRecord]:
        """Return the records of a topic, by its name in the contract."""
        return self.evidence.topics.get(topic, [])


def look(evidence: AtMidnight, true: Truth) -> Findings:
    """Return the evidence of a day, sorted by what it speaks of."""
    found = Findings(evidence, true)
    for topic in dict.fromkeys(READS.values()):
        for record in found.records(topic):
            if "poison" in record.headers and not isinstance(record.value, dict):
                found.poison.add((topic, *record.place))
    for record in found.records("airport.events"):
        if isinstance(record.value, dict):
            found.events.setdefault(str(record.value.get("report")), []).append(record)
    for record in found.records("gates.replies"):
        name = record.headers.get("correlation-id", "")
        found.replies.setdefault(name, []).append(record)
    for record in found.records("gates.commands"):
        if isinstance(record.value, dict):
            found.asked.setdefault(record.value["command"], record)
    for record in found.records("tower.reports"):
        if isinstance(record.value, dict):
            found.reported.setdefault(record.value["report"], record)
    return found

"""What the services of the airport have agreed on: topics, groups, databases, and who does what.

The words for people are in services/capstone/SPECIFICATION.md; the names stand here for the day
that is played, and in services/capstone/airport.py for services that run without a lab.
"""

from dataclasses import dataclass

SERVICES = ("operations", "gates", "baggage", "board")
# each topic, and its partitions; the tower speaks on one channel, so its reports are in order
TOPICS = {
    "tower.reports": 1,
    "airport.events": 4,
    "gates.commands": 3,
    "gates.replies": 1,
    "dead.letters": 1,
}
READS = {  # what each service consumes, in a group of its own name
    "operations": "tower.reports",
    "gates": "gates.commands",
    "baggage": "airport.events",
    "board": "airport.events",
}
KINDS = ("departed", "landed", "cancelled")
BELT = {"landed": "destination", "cancelled": "origin"}  # whose belt the bags come out on


@dataclass(frozen=True)
class Airport:
    """What a service of the day is told: all plain data, so that it travels.

    Attributes:
        connection: keyword arguments for any kafka-python client.
        prefix: what the real names of topics and groups begin with; "" on a Kafka of one's own.
        folder: where the databases are.
    """

    connection: dict
    prefix: str
    folder: str

    def topic(self, name: str) -> str:
        """Return the real name of a topic of the contract."""
        return self.prefix + name

    group = topic

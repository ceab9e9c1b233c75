"""The faults of a day: which there are, and when each comes, by a level and a seed.

Nothing here touches a broker or a process; `lab_env.day.injection` does.
"""

import random
from dataclasses import dataclass

from lab_env.day.contract import READS, SERVICES, TOPICS
from lab_env.ground import arguments
from lab_env.ground.errors import BadInputError

LEVELS = ("calm", "windy", "storm")
# kind -> what its target is: a service, a topic, or nothing
KINDS = {
    "kill service": "service",
    "hang service": "service",
    "slow service": "service",
    "rebalance storm": "service",
    "lock database": "service",
    "poison": "topic",
    "duplicates": "",
    "add partitions": "",
    "kill broker": "",
    "pause leader": "",
    "no coordinator": "",
}
OWNERS = ("kill broker", "pause leader", "no coordinator")  # on a cluster of one's own alone
SEVERAL = ("kill broker", "pause leader")  # of one broker nothing would be left
SECONDS = {  # how long each lasts, s; those that are over at once are not here
    "kill service": 1.0,
    "hang service": 9.0,  # longer than the session timeout of the specification's services
    "slow service": 6.0,
    "rebalance storm": 6.0,
    "lock database": 7.0,
    "kill broker": 4.0,
    "pause leader": 5.0,
    "no coordinator": 10.0,
}
DATABASES = ("operations", "baggage", "board")
POISONED = tuple(dict.fromkeys(READS.values()))
FIRST, LAST = 0.06, 0.86  # shares of the day between which faults begin


@dataclass(frozen=True, order=True)
class Fault:
    """Something that goes wrong, once.

    Attributes:
        at: when it begins, as the share of the day's records that were sent, 0 to 1.
        kind: one of `KINDS`.
        target: a service or a topic of the contract; "" where the kind has none.
        seconds: how long it lasts (s); None is as long as usual.
    """

    at: float
    kind: str
    target: str = ""
    seconds: float | None = None

    @property
    def lasts(self) -> float:
        """How long it lasts (s); 0 if it is over at once."""
        usual = SECONDS.get(self.kind, 0.0)
        return usual if self.seconds is None else self.seconds


def checked(fault: object) -> Fault:
    """Return a fault as it is.

    Raises:
        BadInputError: it is none, or says what cannot be.
    """
    if not isinstance(fault, Fault) or fault.kind not in KINDS:
        raise BadInputError("day.bad_fault", got=fault, kinds=", ".join(KINDS))
    if not arguments.is_number(fault.at, 0, 1):
        raise BadInputError("day.bad_moment", got=fault.at)
    if fault.seconds is not None:
        arguments.seconds(fault.seconds)
    wanted = {"service": SERVICES, "topic": POISONED, "": ("",)}[KINDS[fault.kind]]
    if fault.kind == "lock database":
        wanted = DATABASES
    if fault.target not in wanted:
        known = ", ".join(filter(None, wanted)) or "-"
        raise BadInputError("day.bad_target", kind=fault.kind, got=fault.target, known=known)
    return fault


def all_checked(given: object) -> list[Fault]:
    """Return a list of faults in their order, each as it is.

    Raises:
        BadInputError: it is no list, or one of them is no fault.
    """
    if not isinstance(given, list | tuple):
        raise BadInputError("day.bad_fault", got=given, kinds=", ".join(KINDS))
    return sorted(map(checked, given))


def faults(level: str, seed: int, brokers: int = 1) -> list[Fault]:
    """Return the faults of a day, in order: the same level, seed and brokers, the same day.

    Args:
        level: "calm" (nothing happens), "windy" (services die, reports come twice, one record of
            each topic is poison) or "storm" (all there is).
        seed: any whole number.
        brokers: how many there are: with fewer than three none is killed, and the other faults
            come when they would have come.

    Raises:
        BadInputError: no such level, or no whole number.
    """
    if level not in LEVELS:
        raise BadInputError("day.bad_level", got=level, known=", ".join(LEVELS))
    if not arguments.is_whole(seed):
        raise BadInputError("day.bad_seed", got=seed)
    chance = random.Random(f"{level} {seed}")  # a text: the same on every machine
    wanted = _kinds(level, chance)
    chance.shuffle(wanted)
    step = (LAST - FIRST) / max(len(wanted), 1)
    made = [
        Fault(round(FIRST + step * (place + chance.uniform(0.1, 0.9)), 3), kind, target)
        for place, (kind, target) in enumerate(wanted)
    ]
    return [one for one in made if brokers > 2 or one.kind not in SEVERAL]


def _kinds(level: str, chance: random.Random) -> list[tuple[str, str]]:
    if level == "calm":
        return []
    kills = [("kill service", name) for name in SERVICES]
    if level == "windy":
        return [*kills, ("duplicates", ""), *(("poison", topic) for topic in POISONED)]
    return [
        *kills,
        *(("poison", topic) for topic in POISONED),
        *(("hang service", name) for name in chance.sample(SERVICES, 2)),
        ("slow service", chance.choice(SERVICES)),
        ("rebalance storm", chance.choice(("baggage", "board", "gates"))),
        ("lock database", chance.choice(DATABASES)),
        ("duplicates", ""),
        ("add partitions", ""),
        ("kill broker", ""),
        ("pause leader", ""),
        ("no coordinator", ""),
    ]


def partitions_after(faults: list[Fault]) -> int:
    """Return how many partitions the events have at midnight."""
    grown = sum(fault.kind == "add partitions" for fault in faults)
    return TOPICS["airport.events"] + 2 * grown

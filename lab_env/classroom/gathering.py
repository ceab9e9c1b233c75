"""A class as its records tell of it: who is where, what holds them up, how they predict."""

from collections import Counter
from dataclasses import dataclass, field

from lab_env.classroom import records

MOST_KEYS = 400  # of one student: a lesson has some twenty


@dataclass(frozen=True)
class Held:
    """An exercise or a small step at which students are held up.

    Attributes:
        key: "exercise 02 drained".
        held: how many have not passed it, of those who have tried.
        passed: how many have.
        why: how many are held up by what, most first; "" is not among them.
    """

    key: str
    held: int
    passed: int
    why: list[tuple[str, int]]


@dataclass(frozen=True)
class Votes:
    """How a class predicts.

    Attributes:
        question: "02 three".
        first: how many said what at first, by what they said; most first.
        now: the same of what they say now.
        seen: how many have seen what happened.
        was: what happened, as most have seen it; "" if nobody has.
    """

    question: str
    first: Counter
    now: Counter
    seen: int
    was: str


@dataclass
class Student:
    """What one student's records say, by key, with the cluster's time of each (s)."""

    said: dict[str, dict] = field(default_factory=dict)
    at: dict[str, float] = field(default_factory=dict)

    def of(self, key: str) -> dict:
        """Return the newest value of a key; {} if there is none."""
        return self.said.get(key, {})


@dataclass(frozen=True)
class Sight:
    """A class at one moment, for whoever draws it in another thread.

    Attributes:
        students: how many there are.
        hands: the names of those who have raised one, the longest first.
        places: who is at which (lesson, cell), by name, in the lessons' order.
        held: what holds students up, most of them first.
        votes: on each question that somebody has predicted, in order.
        newest: the question that was predicted last; "" if none was.
        answers: whether the cluster does.
    """

    students: int = 0
    hands: tuple[str, ...] = ()
    places: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    votes: dict[str, Votes] = field(default_factory=dict)
    newest: str = ""
    answers: bool = True


class Gathering:
    """The students of a class, by what the cluster's rights know them by.

    Attributes:
        students: a `Student` each.
        changes: how many records have been taken, or students forgotten.
    """

    def __init__(self):
        self.students: dict[str, Student] = {}
        self.changes = 0

    def take(self, student: str, key: bytes | None, value: bytes | None, time: float) -> None:
        """Take in a record of a student's own topic; what is none of a class's is left out."""
        told = records.read(key, value)
        if told is None:
            return
        one = self.students.setdefault(student, Student())
        if told[0] in one.said or len(one.said) < MOST_KEYS:
            one.said[told[0]], one.at[told[0]] = told[1], time
            self.changes += 1

    def forget(self, student: str) -> None:
        """Forget a student who has left, or who begins anew."""
        if self.students.pop(student, None) is not None:
            self.changes += 1

    def names(self) -> dict[str, str]:
        """Return what each student is called; where a name could be another's, with her prefix."""
        chosen = {one: said.of(records.NAME).get("name") or one for one, said in self._all()}
        count = Counter(name.casefold() for name in chosen.values())
        prefixes = {one.casefold() for one in self.students}
        return {
            one: name
            if name.casefold() == one.casefold()
            or (count[name.casefold()] == 1 and name.casefold() not in prefixes)
            else f"{name} ({one})"
            for one, name in chosen.items()
        }

    def places(self) -> dict[tuple[str, str], list[str]]:
        """Return who is at which (lesson, cell), by name, in the lessons' order, most first."""
        names, found = self.names(), {}
        for one, said in self._all():
            if where := said.of(records.AT):
                found.setdefault((where["lesson"], where["cell"]), []).append(names[one])
        order = sorted(found, key=lambda place: (place[0], -len(found[place]), place[1]))
        return {place: sorted(found[place], key=str.casefold) for place in order}

    def hands(self) -> list[str]:
        """Return the names of those who have raised a hand, the longest first."""
        names = self.names()
        up = [
            (said.at[records.HAND], names[one])
            for one, said in self._all()
            if said.of(records.HAND).get("up")
        ]
        return [name for _, name in sorted(up)]

    def held_up(self) -> list[Held]:
        """Return what holds students up: most of them first."""
        held, passed, why = Counter(), Counter(), {}
        for _, said in self._all():
            for key, value in said.said.items():
                if not key.startswith((records.EXERCISE, records.STEP)):
                    continue
                if value["passed"]:
                    passed[key] += 1
                    continue
                held[key] += 1
                if value["why"]:
                    why.setdefault(key, Counter())[value["why"]] += 1
        order = sorted(held, key=lambda key: (-held[key], key))
        return [
            Held(key, held[key], passed[key], why.get(key, Counter()).most_common())
            for key in order
        ]

    def question(self) -> str:
        """Return the question that was predicted last by somebody; "" if none was."""
        newest = [
            (said.at[key], key)
            for _, said in self._all()
            for key in said.said
            if key.startswith(records.PREDICTION)
        ]
        return max(newest)[1].partition(" ")[2] if newest else ""

    def questions(self) -> list[str]:
        """Return all questions that somebody has predicted, in order."""
        found = {key for _, said in self._all() for key in said.said}
        return sorted(key.partition(" ")[2] for key in found if key.startswith(records.PREDICTION))

    def votes(self, question: str) -> Votes:
        """Return how the class predicts.

        Args:
            question: "02 three".
        """
        told = [said.of(f"{records.PREDICTION} {question}") for _, said in self._all()]
        told = [one for one in told if one.get("said")]
        was = Counter(one["was"] for one in told if one["was"])
        return Votes(
            question,
            _counted(one["first"] or one["said"] for one in told),
            _counted(one["said"] for one in told),
            sum(was.values()),
            was.most_common(1)[0][0] if was else "",
        )

    def sight(self, answers: bool = True) -> Sight:
        """Return the class as it is now, which stays so whatever comes.

        Args:
            answers: whether the cluster does.
        """
        return Sight(
            len(self.students),
            tuple(self.hands()),
            self.places(),
            self.held_up(),
            {one: self.votes(one) for one in self.questions()},
            self.question(),
            answers,
        )

    def _all(self):
        return self.students.items()


def _counted(answers) -> Counter:
    """Return how often each was said; in small letters or not is the same."""
    found, spelled = Counter(), {}
    for answer in answers:
        plain = answer.casefold().strip(".")
        found[spelled.setdefault(plain, answer)] += 1
    return found

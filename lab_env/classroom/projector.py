"""What the projector shows of a class, in a terminal: places, what holds up, votes, hands."""

import contextlib
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from lab_env.classroom.gathering import Gathering, Votes
from lab_env.messages import catalogue, language, say

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

ROWS = {"where": 12, "held": 6, "votes": 8}
BAR = 24  # signs of the longest bar
FIRST, NOW = "#E69F00", "#0072B2"  # Okabe-Ito; and another sign each
FIRST_SIGN, NOW_SIGN = "░", "█"
NEXT, REVEAL, END = "n", "r", "q"


class Projector:
    """Draws a class; keys choose the question, and reveal what happened.

    Args:
        word: of the class.

    Attributes:
        question: that was chosen, "02 three"; "" for the one that was predicted last.
        revealed: the questions whose answer is shown.
    """

    def __init__(self, word: str):
        self.word = word
        self.question = ""
        self.revealed: set[str] = set()

    def press(self, key: str, gathering: Gathering) -> bool:
        """Do what a key asks for, and return whether it goes on."""
        shown = self.question or gathering.question()
        if key == REVEAL:
            self.revealed ^= {shown}
        elif key == NEXT and (all_of_them := gathering.questions()):
            place = all_of_them.index(shown) + 1 if shown in all_of_them else 0
            self.question = all_of_them[place % len(all_of_them)]
        return key != END

    def draw(self, gathering: Gathering, answers: bool = True) -> "Group":
        """Return the picture.

        Args:
            gathering: the class.
            answers: whether the cluster does.
        """
        from rich.console import Group
        from rich.text import Text

        head = Text(say("classroom.head", word=self.word, count=len(gathering.students)), "bold")
        parts: list[Text | Table] = [head]
        if not answers:
            parts.append(Text(say("classroom.silent"), "bold red"))
        if hands := gathering.hands():
            parts.append(Text(say("classroom.hands", names=", ".join(hands)), "bold #D55E00"))
        parts += [Text(), _where(gathering), Text(), _held(gathering), Text()]
        if question := self.question or gathering.question():
            votes = gathering.votes(question)
            parts += _votes(votes, question in self.revealed, len(gathering.students))
        parts += [Text(), Text(say("classroom.keys"), "dim")]
        return Group(*parts)


def _where(gathering: Gathering) -> "Table":
    from rich.text import Text

    table = _table("lesson", "cell", "students", "names")
    places = gathering.places()
    most = max(map(len, places.values()), default=0)
    # the fullest places, in the lessons' order
    fullest = sorted(places, key=lambda place: -len(places[place]))[: ROWS["where"]]
    for place in places:
        if place in fullest:
            names = places[place]
            bar = _bar(len(names), most, NOW_SIGN, NOW)
            table.add_row(place[0], Text(place[1]), bar, Text(", ".join(names)))
    if len(places) > len(fullest):
        rest = sum(len(places[place]) for place in places if place not in fullest)
        table.add_row("", Text(say("classroom.elsewhere")), Text(f"{rest}"), "")
    return table


def _held(gathering: Gathering) -> "Table":
    from rich.text import Text

    table = _table("task", "held", "passed", "why")
    found = gathering.held_up()[: ROWS["held"]]
    most = max((one.held for one in found), default=0)
    for one in found:
        why = (
            say("classroom.why", count=one.why[0][1], text=meant(one.why[0][0])) if one.why else ""
        )
        bar = _bar(one.held, most, NOW_SIGN, "#D55E00")
        table.add_row(Text(_task(one.key)), bar, f"{one.passed}", Text(why))
    return table


def _task(key: str) -> str:
    kind, lesson, name = key.split(" ")
    return say(f"classroom.task_{kind}", lesson=lesson, name=name)


def meant(why: str) -> str:
    """Return the hint that a key stands for, without what a student's run filled in."""
    texts = catalogue("en") | catalogue(language())
    text = texts.get(f"{why}_hint") or texts.get(why) or why
    return re.sub(r"\{[a-z_:.,!0-9]*\}", "…", text)


def _votes(votes: Votes, revealed: bool, students: int) -> "Iterator[Text | Table]":
    from rich.text import Text

    table = _table("said", "votes")
    count = sum(votes.now.values())
    numbers = {"count": count, "students": students, "seen": votes.seen}
    yield Text(say("classroom.votes", question=votes.question, **numbers), "bold")
    answers = in_order(votes, ROWS["votes"], revealed=revealed)
    most = max([*votes.now.values(), *votes.first.values()], default=0)
    for answer in answers:
        right = revealed and is_right(answer, votes)
        label = Text(f"{'✓ ' if right else ''}{answer}", "bold #009E73" if right else "")
        bars = Text("\n").join(
            [
                _bar(votes.first[answer], most, FIRST_SIGN, FIRST),
                _bar(votes.now[answer], most, NOW_SIGN, NOW),
            ]
        )
        table.add_row(label, bars)
    if (others := count - sum(votes.now[one] for one in answers)) > 0:
        table.add_row(Text(say("classroom.others")), Text(f"{others}"))
    yield table
    if revealed and votes.was:
        yield Text(say("classroom.was", was=votes.was), "bold #009E73")


def in_order(votes: Votes, most: int, *, revealed: bool = False) -> list[str]:
    """Return the answers that most give, in an order that does not change while they vote.

    Args:
        votes: of the class.
        most: how many there is room for.
        revealed: the right one is among them, if anybody gave it.
    """
    answers = [one for one, _ in (votes.now + votes.first).most_common()]
    if revealed:
        answers.sort(key=lambda one: not is_right(one, votes))
    return sorted(answers[:most], key=_as_number)


def is_right(answer: str, votes: Votes) -> bool:
    """Return whether this is what happened."""
    return answer.casefold() == votes.was.casefold()


def _as_number(answer: str) -> tuple[float, str]:
    with contextlib.suppress(ValueError):
        return float(answer), answer
    return float("inf"), answer.casefold()


def _table(*heads: str) -> "Table":
    """Return a table; a column of names or reasons gets what room the others leave."""
    from rich.table import Table

    wide = heads[-1] in ("names", "why")
    table = Table(box=None, pad_edge=False, expand=wide)
    for head in heads:
        table.add_column(
            say(f"classroom.head_{head}"),
            no_wrap=head != "why",
            overflow="ellipsis",
            ratio=1 if wide and head == heads[-1] else None,
        )
    return table


def _bar(value: int, most: int, sign: str, colour: str):
    from rich.text import Text

    length = max(round(BAR * value / most), 1) if value else 0
    return Text(sign * length, colour) + Text(f"{' ' * bool(length)}{value}", "default")


# -- keys -------------------------------------------------------------------------------------


@contextlib.contextmanager
def pressed() -> Generator[deque[str]]:
    """Have the keys that are pressed, as long as the block runs; none where nobody can press."""
    keys: deque[str] = deque()
    if not sys.stdin.isatty():
        yield keys
        return
    ended = threading.Event()
    with _letter_by_letter() as read:

        def listen() -> None:
            while not ended.is_set():
                if letter := read():
                    keys.append(letter.lower())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield keys
        finally:
            ended.set()
            thread.join(2)


@contextlib.contextmanager
def _letter_by_letter() -> Generator[Callable[[], str]]:
    """Have a function that returns the next letter, or "" after a while."""
    if os.name == "nt":
        import msvcrt
        import time

        def on_windows() -> str:
            if msvcrt.kbhit():  # type: ignore[attr-defined]
                return msvcrt.getwch()  # type: ignore[attr-defined]
            time.sleep(0.1)
            return ""

        yield on_windows
        return
    import select
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def here() -> str:
        ready, _, _ = select.select([fd], [], [], 0.2)
        return os.read(fd, 1).decode("ascii", "replace") if ready else ""

    tty.setcbreak(fd)
    try:
        yield here
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

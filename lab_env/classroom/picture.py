"""Live picture: a class on the projector: places, what holds up, votes. Long: one picture."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lab_env.classroom import membership, projector
from lab_env.classroom.gathering import Held, Sight, Votes
from lab_env.classroom.watching import Following
from lab_env.clusters import client_config
from lab_env.figures.engine import size, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.page import Page
from lab_env.figures.engine.style import HEIGHT, WIDTH
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal, plain
from lab_env.ground.reports import Reports
from lab_env.messages import say

PAUSE_AFTER = 1e9  # s; a class that thinks for an hour finds it as it was, and alive
EDGE, BETWEEN = 14.0, 30.0  # units: about the picture, and from one column to the other
SHARE = 0.5  # of the width that the left column has
ROW = 1.34  # lines that a row takes
WHY_LINES = 3  # of the hint that holds up most; two of them are not given away to places
MOST_ANSWERS = 10
THICKEST = 2.0  # rows that an answer takes where there are few
LABEL = 0.5  # of the right column, at the most, for what was predicted
ALL_NAMES = 12  # names that are tried to be put beside a place
FULL, PALE = style.BLUE, style.paler(style.ORANGE, 0.45)
PLACE, STUCK = style.paler(style.BLUE, 0.78), style.paler(style.VERMILLION, 0.78)
RIGHT, HAND = style.readable(style.GREEN), style.readable(style.VERMILLION)


class NoSamples:
    """A broker that no picture asks for samples."""

    samples: tuple = ()

    def after(self, count: int) -> tuple:
        """Return the samples after the first ``count``: none."""
        return ()


class ClassPicture(Page):
    """Left who is where and what holds them up, right how they predict; the answer when revealed.

    Args:
        stage, scale: as of every picture.
        word: of the class.
        following: has the class as it is seen; the picture ends it with itself.

    Attributes:
        question: that is shown, "02 three"; "" for the one that was predicted last.
        revealed: the questions whose answer is shown.
    """

    def __init__(self, stage: Stage, word: str, following: Following, scale: float = 1.0):
        super().__init__(stage, ("class", word), scale)
        self.title = say("figures_classroom.title", word=word)
        self.question = ""
        self.revealed: set[str] = set()
        self._word = word
        self._following = following
        self._sight = Sight()
        self._shown: tuple = ()

    # -- for whoever teaches ------------------------------------------------------------------

    def reveal(self) -> None:
        """Show what happened, on the question that is shown."""
        self.revealed |= {self._asked()}

    def hide(self) -> None:
        """Hide it again."""
        self.revealed -= {self._asked()}

    def ask(self, question: str = "") -> None:
        """Show another question.

        Args:
            question: "02 three"; "" for whichever was predicted last.

        Raises:
            BadInputError: nobody has predicted it.
        """
        if question and question not in self._now().votes:
            known = ", ".join(self._now().votes) or say("figures_classroom.nothing")
            raise BadInputError("classroom.no_question", question=question, known=known)
        self.question = question

    def _now(self) -> Sight:
        """Return the class as it is seen, whether it has been drawn or not."""
        return self._following.seen or self._sight

    def _asked(self) -> str:
        return self.question or self._now().newest

    def _end(self) -> None:
        super()._end()
        self._following.end()

    # -- reading ------------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make the ground that the bars stand on."""
        self._axes = self.axes(figure)
        self._axes.set_position((0, 0, 1, 1))
        self._axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        self._axes.set_axis_off()

    def read(self, now: float) -> bool:
        """Take in what was seen since, and what is to be shown of it."""
        sight = self._now()
        shown = (id(sight), self.question, frozenset(self.revealed))
        self.fresh = shown != self._shown
        self._sight, self._shown = sight, shown
        return self.fresh

    def layout(self, now: float) -> object:
        """Return what the picture depends on: it is drawn anew at each change, and only then."""
        sight = self._sight
        return (
            sight.students, sight.hands, sight.places, sight.held, sight.votes.get(self._asked()),
            sight.answers, self._asked() in self.revealed,
        )  # fmt: skip

    # -- drawing ------------------------------------------------------------------------------

    def lay(self, now: float) -> None:
        """Draw everything."""
        self.clear()
        self._row = ROW * self.line_height(style.NAME)
        self._line = self.line_height(style.TEXT)
        top = self._head()
        middle = EDGE + SHARE * (WIDTH - 2 * EDGE - BETWEEN)
        self._left(top, EDGE, middle)
        self._right(top, middle + BETWEEN, WIDTH - EDGE)

    def _head(self) -> float:
        """Write how to join, how many have, and who has raised a hand; return where that ends."""
        sight, height = self._sight, self.line_height(style.TITLE)
        y = HEIGHT - EDGE / 2
        joined = say("figures_classroom.joined", count=sight.students)
        wide = self.measure(joined, style.TITLE, "bold")
        title = self.fitting_title(WIDTH - 3 * EDGE - wide)
        more = {"weight": "bold", "va": "top"}
        self.fix_text(style.TITLE, style.INK, EDGE, y, title, **more)
        self.fix_text(style.TITLE, style.INK, WIDTH - EDGE, y, joined, ha="right", **more)
        y -= height + 4
        lines = [] if sight.answers else [say("figures_classroom.silent")]
        if sight.hands:
            lines.append(say("figures_classroom.hands", names=", ".join(sight.hands)))
        for words in lines:
            words = self._fitting(words, WIDTH - 2 * EDGE, style.NAME, "bold")
            self.fix_text(style.NAME, HAND, EDGE, y, words, **more)
            y -= self.line_height(style.NAME) + 4
        return y - 4

    def _left(self, top: float, left: float, right: float) -> None:
        """Draw who is where, and below it what holds them up."""
        sight, heading = self._sight, self.line_height(style.NAME) + 5
        wanted = heading + self._line
        if sight.held:
            wanted = heading + self._row + (self._line * 2 if sight.held[0].why else 0)
        room = top - heading - self._row / 3 - wanted - EDGE / 2
        y = self._places(left, right, top, max(int(room / self._row), 1))
        y = self._heading(say("figures_classroom.held"), left, right, y - self._row / 3)
        if not sight.held:
            self._remark(say("figures_classroom.nothing"), left, y)
        self._held(left, right, y)

    def _places(self, left: float, right: float, y: float, most: int) -> float:
        """Draw a row a place: the fullest ones, in the lessons' order."""
        places = self._sight.places
        fullest = sorted(places, key=lambda place: -len(places[place]))[:most]
        largest = max(map(len, places.values()), default=0)
        if rest := sum(len(places[place]) for place in places if place not in fullest):
            words = say("figures_classroom.elsewhere", count=rest)
            heading = self.measure(say("figures_classroom.where"), style.NAME, "bold")
            words = self._fitting(words, right - left - heading - 12, style.TEXT)
            self.fix_text(style.TEXT, style.SOFT, right, y - 2, words, ha="right", va="top")
        y = self._heading(say("figures_classroom.where"), left, right, y)
        if not places:
            return self._remark(say("figures_classroom.nobody"), left, y)
        for place in places:
            if place not in fullest:
                continue
            names = places[place]
            words = say("figures_classroom.row", lesson=place[0], name=style.shorten(place[1], 22))
            self._bar(left, right, y, len(names) / largest, PLACE)
            self._counted(left, right, y, (len(names), largest), words, names[:ALL_NAMES])
            y -= self._row
        return y

    def _held(self, left: float, right: float, y: float) -> None:
        """Draw a row a task, with what most of those got for a hint."""
        largest = max((one.held for one in self._sight.held), default=0)
        for place, one in enumerate(self._sight.held):
            if y - self._row < EDGE / 2:
                return
            self._bar(left, right, y, one.held / largest, STUCK)
            self._counted(left, right, y, (one.held, largest), _task(one), ())
            y -= self._row
            most = min(1 if place else WHY_LINES, int((y - EDGE / 2) / self._line))
            for words in self._wrapped(_why(one), right - left - EDGE, most):
                y = self._remark(words, left + EDGE, y)

    def _right(self, top: float, left: float, right: float) -> None:
        """Draw how the class predicts."""
        question = self._asked()
        if not (votes := self._sight.votes.get(question)):
            self._heading(say("figures_classroom.no_prediction"), left, right, top)
            return
        revealed = question in self.revealed
        y = self._heading(say("figures_classroom.prediction", question=question), left, right, top)
        count = sum(votes.now.values())
        told = say("figures_classroom.voted", count=count, students=self._sight.students)
        y = self._remark(self._fitting(told, right - left, style.TEXT), left, y) - self._line / 3
        changed = votes.first != votes.now
        low = EDGE / 2
        if changed:
            self._legend(left, low)
            low += self._line * 1.2
        if revealed:
            words = say("figures_classroom.was", was=votes.was)
            words = words if votes.was else say("figures_classroom.unseen")
            words = self._fitting(words, right - left, style.NAME, "bold")
            self.fix_text(
                style.NAME, RIGHT, left, low + self._line / 2, words, weight="bold", va="center"
            )
            low += self._line * 1.2
        self._answers(votes, revealed, changed, (left, low, right, y))

    def _answers(
        self, votes: Votes, revealed: bool, changed: bool, box: tuple[float, float, float, float]
    ) -> None:
        """Draw a bar an answer, with a pale one above it for the first vote where it was another.

        Args:
            votes: of the class.
            revealed: whether the right one is told.
            changed: whether there are two votes to be shown.
            box: left, bottom, right, top of the room for it.
        """
        left, low, right, top = box
        least = self.line_height(style.NAME) * (1.25 if changed else 1.0)
        most = max(min(int((top - low) / least), MOST_ANSWERS), 1)
        answers = projector.in_order(votes, most, revealed=revealed)
        others = sum(votes.now.values()) - sum(votes.now[one] for one in answers)
        if others > 0 and most > 1:  # their number wants a row
            answers = projector.in_order(votes, most - 1, revealed=revealed)
            others = sum(votes.now.values()) - sum(votes.now[one] for one in answers)
        pitch = min((top - low) / (len(answers) + (others > 0)), THICKEST * self._row)
        labels = {}
        for one in answers:
            is_right = revealed and projector.is_right(one, votes)
            words = say(f"figures_classroom.{'right' if is_right else 'said'}", said=one)
            weight = "bold" if is_right else "normal"
            fits = self._fitting(words, LABEL * (right - left), style.NAME, weight)
            labels[one] = fits, weight, RIGHT if is_right else style.INK
        wide = max(
            (self.measure(text, style.NAME, weight) for text, weight, _ in labels.values()),
            default=0.0,
        )
        begin = left + wide + 8
        room = right - begin - self.measure("000", style.NAME, "bold") - 8
        largest = max([*votes.now.values(), *votes.first.values()], default=1)
        thick = (0.58 if changed else 0.72) * pitch
        y = top
        for one, (words, weight, ink) in labels.items():
            middle = y - pitch + thick / 2 + 0.14 * pitch
            self.fix_text(style.NAME, ink, left + wide, middle, words, ha="right", weight=weight)
            if changed:
                long = room * votes.first[one] / largest
                self._box(begin, middle + thick / 2, long, 0.2 * pitch, PALE)
            long = room * votes.now[one] / largest
            self._box(begin, middle - thick / 2, long, thick, FULL)
            number = f"{votes.now[one]}"
            self.fix_text(style.NAME, style.INK, begin + long + 7, middle, number, weight="bold")
            y -= pitch
        if others > 0 and y - self._line >= low:
            self._remark(say("figures_classroom.others", count=others), left, y)

    def _legend(self, left: float, y: float) -> None:
        for words, colour in (("first", PALE), ("now", FULL)):
            text, half = say(f"figures_classroom.{words}"), self._line / 2
            self._box(left, y + half / 2, 2 * half, half, colour)
            self.fix_text(style.TEXT, style.SOFT, left + 3 * half, y + half, text, va="center")
            left += 5 * half + self.measure(text, style.TEXT)

    # -- parts --------------------------------------------------------------------------------

    def _heading(self, words: str, left: float, right: float, y: float) -> float:
        words = self._fitting(words, right - left, style.NAME, "bold")
        self.fix_text(style.NAME, style.INK, left, y, words, weight="bold", va="top")
        return y - self.line_height(style.NAME) - 5

    def _remark(self, words: str, left: float, y: float) -> float:
        self.fix_text(style.TEXT, style.SOFT, left, y - self._line / 2, words, va="center")
        return y - self._line

    def _bar(self, left: float, right: float, y: float, share: float, colour: str) -> None:
        self._box(left, y - 0.92 * self._row, share * (right - left), 0.84 * self._row, colour)

    def _box(self, left: float, bottom: float, width: float, height: float, colour: str) -> None:
        box = Rectangle((left, bottom), width, height, facecolor=colour, linewidth=0)
        self.fix(self._axes.add_patch(box))

    def _counted(
        self,
        left: float,
        right: float,
        y: float,
        count: tuple[int, int],
        words: str,
        names: Iterable[str],
    ) -> None:
        """Write a number (beside its largest), what it is of, and names as far as there is room."""
        middle = y - self._row / 2
        number, largest = map(str, count)
        x = left + 6 + self.measure("0" * len(largest), style.NAME, "bold")
        self.fix_text(style.NAME, style.INK, x, middle, number, ha="right", weight="bold")
        x += 12
        words = self._fitting(words, right - x, style.NAME)
        self.fix_text(style.NAME, style.INK, x, middle, words)
        x += self.measure(words, style.NAME) + 12
        whole = ", ".join(names)
        if whole and (fits := self._fitting(whole, right - x, style.TEXT)) not in ("", "…"):
            self.fix_text(style.TEXT, style.SOFT, x, middle, fits)

    def _fitting(self, words: str, width: float, points: float, weight: str = "normal") -> str:
        """Return words, without their end if there is no room for it; "" if there is none."""
        words = drawable(words)
        if self.measure(words, points, weight) <= width:
            return words
        low, high = 0, len(words)  # so many signs fit, and so many do not
        while high - low > 1:
            half = (low + high) // 2
            fits = self.measure(f"{words[:half].rstrip()}…", points, weight) <= width
            low, high = (half, high) if fits else (low, half)
        return f"{words[:low].rstrip()}…" if low else ""

    def _wrapped(self, words: str, width: float, most: int) -> list[str]:
        """Return words in lines, the last of which lacks its end if there is no room for it."""
        lines: list[str] = []
        left = drawable(words).split()
        while left and len(lines) < most - 1:
            count = next(
                (
                    n for n in range(len(left), 1, -1)
                    if self.measure(" ".join(left[:n]), style.TEXT) <= width
                ),
                1,
            )  # fmt: skip
            lines.append(self._fitting(" ".join(left[:count]), width, style.TEXT))
            left = left[count:]
        if left and most > 0:
            lines.append(self._fitting(" ".join(left), width, style.TEXT))
        return lines

    # -- in words -----------------------------------------------------------------------------

    def tell(self, now: float) -> str:
        """Say what is seen, and never what has not been revealed."""
        sight = self._sight
        parts = [say("figures_classroom.joined", count=sight.students)]
        if not sight.answers:
            parts.append(say("figures_classroom.silent").rstrip("."))
        if sight.hands:
            parts.append(say("figures_classroom.hands", names=", ".join(sight.hands)))
        for (lesson, cell), names in sight.places.items():
            where = say("figures_classroom.row", lesson=lesson, name=cell)
            parts.append(say("figures_classroom.tell_at", count=len(names), where=where))
        for one in sight.held:
            parts.append(say("figures_classroom.tell_held", count=one.held, where=_task(one)))
        if sight.held and sight.held[0].why:
            text = projector.meant(sight.held[0].why[0][0]).rstrip(".")
            parts.append(say("figures_classroom.tell_why", text=text))
        if votes := sight.votes.get(self._asked()):
            parts.append(say("figures_classroom.prediction", question=votes.question))
            for one in projector.in_order(votes, MOST_ANSWERS):
                told = {"count": votes.now[one], "said": one, "first": votes.first[one]}
                same = told["count"] == told["first"]
                parts.append(say(f"figures_classroom.tell_{'vote' if same else 'changed'}", **told))
            if self._asked() in self.revealed and votes.was:
                parts.append(say("figures_classroom.was", was=votes.was))
        return say("figures_classroom.tell", word=self._word, parts="; ".join(parts))


def drawable(words: str) -> str:
    """Return words in a line, with a box for each sign that the house font has not."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=style.FONT)))
    return "".join(sign if font.get_char_index(ord(sign)) else "□" for sign in plain(words))


def _task(one: Held) -> str:
    _, lesson, name = one.key.split(" ")
    return say("figures_classroom.row", lesson=lesson, name=name)


def _why(one: Held) -> str:
    if not one.why:
        return ""
    why, count = one.why[0]
    return say("figures_classroom.why", count=count, held=one.held, text=projector.meant(why))


# -- in a notebook ----------------------------------------------------------------------------

_stage: Stage | None = None  # one for all classes of this kernel


def show(word: str, scale: float | None = None) -> ClassPicture:
    """Open a class and show it; see `lab_env.classroom.show`."""
    global _stage
    scale = size.scale(size.ROOM) if scale is None else size.checked(scale)
    word = word.strip().lower()
    membership.open_class(word)
    if _stage is None:
        _stage = Stage(NoSamples(), Reports(), Journal(), PAUSE_AFTER)
    following = Following(client_config.of_class().connection, word)
    return _stage.add(ClassPicture(_stage, word, following, scale))

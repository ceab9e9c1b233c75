"""Live picture: what exists in an AWS account, change by change, and what it costs a day."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lab_env.figures.engine import size, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.page import Page
from lab_env.figures.engine.style import HEIGHT, WIDTH
from lab_env.ground.journal import Mark
from lab_env.ground.reports import Reports
from lab_env.messages import say

if TYPE_CHECKING:
    from lab_env.aws.inventory import Thing
    from lab_env.aws.watch import Seen, Watch

MOST_COLUMNS = 14  # changes in sight; of more, the newest
LEAST_COLUMNS = 6
MOST_ROWS = 6  # things that cost something
THICK = 0.62  # of a row that a bar fills
LEAST_TOP = 0.5  # USD a day, of the lower axis
PAUSE_AFTER = 1e9  # s; whoever reads for an hour is to find it as it was, and alive


class AccountPicture(Page):
    """A row a thing that costs money, one for all that is free, and below them the sum.

    A column is a state of the account: what it held until the next change. Time has no axis here,
    because a student reads for minutes between two calls.

    Args:
        stage, scale: as of every picture.
        watch: what was seen in the account.
    """

    def __init__(self, stage: Stage, watch: "Watch", scale: float = 1.0):
        super().__init__(stage, ("account",), scale)
        self.title = say("figures_account.title")
        self._watch = watch
        self._read = 0
        self._states: list[Seen] = []
        self._first = 0  # the number of the first column in sight
        self._marks: list[tuple[int, str]] = []
        self._marks_read = 0

    # -- reading ------------------------------------------------------------------------------

    def read(self, now: float) -> bool:
        """Take in what was seen since, and the marks."""
        seen, marks = self._watch.seen, self._watch.journal.marks
        new = [*seen[self._read :], *marks[self._marks_read :]]
        self._read, self._marks_read = len(seen), len(marks)
        changed = False
        for one in sorted(new, key=lambda one: one.time):
            if isinstance(one, Mark):
                # it stands over the state that comes next
                self._marks.append((len(self._states), one.text))
            elif self._states and self._states[-1].things is one.things:
                continue
            elif self._same_cost(one):  # only what is free has changed: no column for that
                self._states[-1] = one
            else:
                self._states.append(one)
            changed = True
        while len(self._states) > MOST_COLUMNS:
            del self._states[0]
            self._first += 1
            self._marks = [(at - 1, text) for at, text in self._marks if at > 0]
        self.fresh = changed
        return changed

    def _same_cost(self, state: "Seen") -> bool:
        """Return whether a state costs what the last one did, which is not the first."""
        marked = any(at == len(self._states) for at, _ in self._marks)
        return len(self._states) > 1 and not marked and _costly(self._states[-1]) == _costly(state)

    def _rows(self) -> list["Thing"]:
        """Return what costs something, or did, in the order in which it came."""
        found: dict[tuple[str, str], Thing] = {}
        for state in self._states:
            for one in state.things:
                if one.usd_a_day > 0 or (one.kind, one.id) in found:
                    found[one.kind, one.id] = one
        return list(found.values())[-MOST_ROWS:]

    def _costs(self) -> list[float]:
        return [sum(one.usd_a_day for one in state.things) for state in self._states]

    # -- drawing ------------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make the two panels."""
        self._above, self._below = self.axes(figure), self.axes(figure)
        for axes in (self._above, self._below):
            axes.set(xticks=[], yticks=[])

    def layout(self, now: float) -> object:
        """Return what the picture depends on: it is drawn anew at each change, and only then."""
        return tuple(id(one.things) for one in self._states), tuple(self._marks), self._first

    def lay(self, now: float) -> None:
        """Draw everything."""
        self.clear()
        rows, line = self._rows(), self.line_height(style.NAME)
        names = [_kind(one.kind) for one in rows] + [say("figures_account.free")]
        rights = [self._right(one) for one in rows] + [self._free_now()]
        left = max(max(self.measure(one, style.NAME) for one in names) + 20, 150)
        right = max(max(self.measure(one, style.NAME) for one in rights) + 16, 130)
        width, top = WIDTH - left - right, HEIGHT - self.line_height(style.TITLE) - 16 - line
        low = self.line_height(style.TEXT) + 14
        share = (top - low - 24) * (0.62 if len(rows) < 4 else 0.72)
        self._columns = max(len(self._states), LEAST_COLUMNS)
        self._left, self._unit = left, width / self._columns
        self._place(self._above, left, top - share, width, share)
        self._place(self._below, left, low, width, top - share - 24 - low)
        self.fix_title(left)
        self._above.set(xlim=(0, self._columns), ylim=(len(names) - 0.5, -0.5))
        for row, (name, words) in enumerate(zip(names, rights, strict=True)):
            y = top - share * (row + 0.5) / len(names)
            self.fix_text(style.NAME, style.INK, left - 9, y, name, ha="right")
            gone = row < len(rows) and not self._now(rows[row])
            ink = style.SOFT if gone else style.INK
            self.fix_text(style.NAME, ink, left + width + 8, y, words)
        for row, one in enumerate(rows):
            self._bars(row, one)
        self._bars_of_free(len(rows))
        self._sums(low, top - share - 24 - low, left + width)
        self._write_marks(top, line)
        words = say("figures_account.axis")
        self.fix_text(
            style.TEXT, style.INK, left + width / 2, low - 7, words, ha="center", va="top"
        )

    def _place(self, axes, left: float, bottom: float, width: float, height: float) -> None:
        axes.set_position((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))

    def _bars(self, row: int, thing: "Thing") -> None:
        """Draw in which states a thing was there: filled while it costs, else its outline."""
        colour = self._stage.palette.look(thing.kind).colour
        for column, state in enumerate(self._states):
            one = next((t for t in state.things if (t.kind, t.id) == (thing.kind, thing.id)), None)
            if one is not None:
                self._box(self._above, column, row, colour, filled=one.usd_a_day > 0)

    def _bars_of_free(self, row: int) -> None:
        for column, state in enumerate(self._states):
            if count := _free(state):
                self._box(self._above, column, row, style.GONE, filled=True)
                y = self._above.get_position().y1 * HEIGHT
                y -= self._above.get_position().height * HEIGHT * (row + 0.5) / (row + 1)
                x = self._left + (column + 0.5) * self._unit
                self.fix_text(style.TEXT, style.INK, x, y, style.number(count), ha="center")

    def _box(self, axes, column: int, row: float, colour: str, *, filled: bool) -> None:
        corner, inside = (column + 0.04, row - THICK / 2), colour if filled else "none"
        box = Rectangle(corner, 0.92, THICK, facecolor=inside, edgecolor=colour, lw=1.5)
        axes.add_patch(box)
        self.fix(box)

    def _sums(self, bottom: float, height: float, end: float) -> None:
        """Draw what each state costs a day, with the numbers for which there is room."""
        costs = self._costs()
        high = max([LEAST_TOP, *costs]) * 1.35  # above the highest stands its number
        self._below.set(xlim=(0, self._columns), ylim=(0, high))
        for column, cost in enumerate(costs):
            box = Rectangle((column + 0.04, 0), 0.92, cost, facecolor=style.INK, edgecolor="none")
            self._below.add_patch(box)
            self.fix(box)
            words = f"{cost:.2f}"
            newest = column == len(costs) - 1
            if newest or self.measure(words, style.TEXT) + 4 < self._unit:
                x = self._left + (column + 0.5) * self._unit
                y = bottom + height * cost / high + 3
                self.fix_text(style.TEXT, style.INK, x, y, words, ha="center", va="bottom")
        y = bottom + height / 2
        words = say("figures_account.sum")
        self.fix_text(style.NAME, style.INK, self._left - 9, y, words, ha="right")
        if costs:
            now = say("figures_account.usd", usd=f"{costs[-1]:.2f}")
            self.fix_text(style.NAME, style.INK, end + 8, y, now, weight="bold")

    def _write_marks(self, top: float, line: float) -> None:
        """Write marks above the states that came after; the newest of those that touch."""
        free = WIDTH - 8
        for at, text in reversed(self._marks):
            x = self._left + min(at, self._columns - 0.05) * self._unit
            width = self.measure(text, style.TEXT)
            begin = min(x, free - width)
            if begin < x - self._unit or begin < 8:
                continue
            self.fix_text(style.TEXT, style.SOFT, begin, top + line / 2 + 1, text)
            free = begin - 10

    # -- words --------------------------------------------------------------------------------

    def _now(self, thing: "Thing") -> "Thing | None":
        now = self._states[-1].things if self._states else ()
        return next((t for t in now if (t.kind, t.id) == (thing.kind, thing.id)), None)

    def _right(self, thing: "Thing") -> str:
        now = self._now(thing)
        if now is None:
            return say("figures_account.gone")
        if not now.usd_a_day:
            return say("figures_account.idle", state=now.state)
        return say("figures_account.usd", usd=f"{now.usd_a_day:.2f}")

    def _free_now(self) -> str:
        count = _free(self._states[-1]) if self._states else 0
        return say("figures_account.free_count", count=count)

    def tell(self, now: float) -> str:
        """Say what is there, and what it costs."""
        parts = [
            say("figures_account.of", kind=_kind(one.kind), what=self._right(one))
            for one in self._rows()
        ]
        parts.append(say("figures_account.of_free", count=_free(self._states[-1])))
        costs = self._costs()
        usd, most = f"{costs[-1]:.2f}", f"{max(costs):.2f}"
        parts.append(say("figures_account.of_sum", usd=usd, most=most))
        return say("figures_account.tell", title=self.title, parts="; ".join(parts))


class Stand:
    """Makes the picture of one account, on a stage of its own: no Kafka is watched here.

    Args:
        watch: looks into the account while a picture is alive.
    """

    samples: tuple = ()  # of no broker

    def __init__(self, watch: "Watch"):
        self._watch = watch
        self._stage = Stage(self, Reports(), watch.journal, PAUSE_AFTER)
        self.scale = size.scale()

    def after(self, count: int) -> tuple:
        """Return the samples of a broker: none."""
        return ()

    def show(self) -> AccountPicture:
        """Show the picture below the running cell and return it."""
        self._watch.start()
        picture = AccountPicture(self._stage, self._watch, self.scale)
        return self._stage.add(picture)

    def close(self) -> None:
        """Look a last time, draw it, and end."""
        self._watch.stop()
        self._stage.close()


def _kind(kind: str) -> str:
    return say(f"figures_account.kind_{kind.replace(' ', '_')}")


def _costly(state: "Seen") -> list:
    """Return what costs money in a state, and which instances are only stopped."""
    things = (one for one in state.things if one.usd_a_day or one.kind == "instance")
    return sorted((one.kind, one.id, one.usd_a_day) for one in things)


def _free(state: "Seen") -> int:
    """Return how many things are free of charge whatever their state."""
    return sum(not one.usd_a_day and one.kind != "instance" for one in state.things)

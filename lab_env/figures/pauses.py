"""Live picture: when each member handled records, and how long it paused."""

from bisect import bisect_left

from matplotlib.figure import Figure

from lab_env.figures.engine import style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.lives import ENDS
from lab_env.figures.engine.rows import first, give_rows
from lab_env.figures.engine.stencil import Stamped
from lab_env.figures.engine.timeline import Panel, TimeFigure
from lab_env.ground.journal import Mark
from lab_env.messages import say
from lab_env.observation.facts import pauses

MOST_ROWS = 8
LEAST = 3.0  # units of a bar: a single record is to be seen as well
SUNK = 0.16  # rows that a bar stands below the middle of its row: above it are words
THICKEST = 20.0  # units of a bar


class MemberActivity:
    """What one service has handled: stretches without a pause, and the pauses between them."""

    def __init__(self) -> None:
        self.begins: list[float] = []
        self.ends: list[float] = []
        self.count = 0  # of pauses
        self.longest = 0.0

    def handle(self, time: float, longer_than: float) -> None:
        """Note that something was handled."""
        if not self.ends:
            self.begins.append(time)
            self.ends.append(time)
            return
        seconds = time - self.ends[-1]
        if seconds > longer_than:
            self.count += 1
            self.longest = max(self.longest, seconds)
            self.begins.append(time)
            self.ends.append(time)
        else:
            self.ends[-1] = max(self.ends[-1], time)

    def trim(self, before: float) -> None:
        """Forget stretches that ended before a time, but for the last of them."""
        keep = max(bisect_left(self.ends, before) - 1, 0)
        del self.begins[:keep], self.ends[:keep]


class Pauses(Stamped, TimeFigure):
    """A row a service: a bar while it handles records, a gap while it handles none.

    The gap's length stands above it; at the right, the longest one that has ended. Waiting for
    records is a pause as well.

    Args:
        stage, scale: as of every picture.
        services: names, or empty for all that report ``handled``.
        longer_than: what is shorter is no pause, s.
    """

    samples_matter = False

    def __init__(
        self,
        stage: Stage,
        services: tuple[str, ...] = (),
        longer_than: float = 0.3,
        scale: float = 1.0,
    ):
        super().__init__(stage, ("pauses", services, longer_than), scale)
        self.title = say("figures.pauses_title")
        self._services, self._longer_than = services, longer_than
        self._panel = Panel(grid=False)
        self.panels = [self._panel]
        self._members: dict[str, MemberActivity] = {name: MemberActivity() for name in services}
        self._lines: list[tuple] = []

    # -- reading ------------------------------------------------------------------------------

    def _in_sight(self, mark: Mark) -> bool:
        """Leave out the settings of services that have no row: they explain nothing here."""
        others = mark.kind == "setting" and mark.subject not in self._services
        return super()._in_sight(mark) and not (self._services and others)

    def take_report(self, row: dict) -> bool:
        """Take in that a service has handled something."""
        name = row["service"]
        if not pauses.handled(row) or (self._services and name not in self._services):
            return False
        self._stage.palette.look(name)
        self._members.setdefault(name, MemberActivity()).handle(row["time"], self._longer_than)
        return True

    def _rows(self) -> list[str]:
        """Return the members that have a row, in the order of their names; the slowest if many."""
        names = sorted(self._members, key=style.natural)
        return first(names, MOST_ROWS, lambda name: self._members[name].longest)

    def _gone(self, name: str) -> bool:
        """Return whether a service has ended and was not started again."""
        marks = (mark for mark in reversed(self._stage.journal.marks) if mark.subject == name)
        last = next((mark for mark in marks if mark.kind in (*ENDS, "start")), None)
        return last is not None and last.kind in ENDS

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make what every frame uses again."""
        super().build(figure)
        self.begin_words(figure)

    def scale_panels(self, now: float) -> None:
        """Give each member a row."""
        give_rows(self._panel, self._rows(), self._stage.palette, SUNK)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        longest = say("figures.pauses_longest", seconds="00.0")
        return [longest, say("figures.pauses_none")] if self._members else []

    def axis_words(self) -> str:
        """Return what stands at the time axis."""
        return say("figures.pauses_axis", seconds=f"{self._longer_than:g}")

    def lay(self, now: float) -> None:
        """Forget what has slid out of sight, and make lines for new rows."""
        super().lay(now)
        for member in self._members.values():
            member.trim(self.origin + self._window[0])
        while len(self._lines) < len(self._rows()):
            thin = self.line(self._panel, style.RULE, lw=1.2)
            thick = self.line(self._panel, style.RULE, solid_capstyle="butt")
            self._lines.append((thin, thick))

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Draw bars and gaps, with the length of each gap for which there is room."""
        self._words.clear()
        panel, rows, artists = self._panel, self._rows(), []
        thickness = min(panel.height / max(len(rows), 2) * 0.42, THICKEST * self.scale)
        for row, (name, lines) in enumerate(zip(rows, self._lines, strict=False)):
            member, look = self._members[name], self._stage.palette.look(name)
            thin, thick = lines
            at = row + SUNK
            ends = [member.ends[0], self._until(name, now)] if member.ends else []
            thin.set_data(ends, [at] * len(ends))
            thick.set_data(*self._bars(member, at))
            thick.set(color=look.colour, lw=thickness * 0.72)
            artists += [thin, thick]
            self._write_gaps(name, panel.y(at), thickness, now)
            words = say("figures.pauses_none") if member.ends else ""
            if member.count:
                words = say("figures.pauses_longest", seconds=f"{member.longest:.1f}")
            if words:
                self.moving_name(look.ink, panel.left + panel.width + 8, panel.y(at), words)
        return [*artists, self._words]

    def _until(self, name: str, now: float) -> float:
        member = self._members[name]
        return member.ends[-1] if self._gone(name) else max(now, member.ends[-1])

    def _bars(self, member: MemberActivity, at: float) -> tuple[list, list]:
        """Return the points of a line that is there only while records were handled."""
        least = LEAST / self._x_unit
        times: list[float] = []
        for begin, end in zip(member.begins, member.ends, strict=True):
            spare = max(least - (end - begin), 0.0) / 2
            times += (begin - spare, end + spare, float("nan"))
        return times, [at] * len(times)

    def _write_gaps(self, name: str, y: float, thickness: float, now: float) -> None:
        """Write the lengths of gaps above them: of the one that goes on, then the longest first.

        Where rows are too close for that, the lengths stand in the gaps that are wide enough.
        """
        member, panel, line = self._members[name], self._panel, self.line_height(style.NAME)
        begin_of_sight = self.origin + self._window[0]
        inside = panel.height / max(len(self._rows()), 2) < thickness + line
        gaps = list(zip(member.ends, member.begins[1:], strict=False))
        gaps.sort(key=lambda gap: gap[0] - gap[1])
        current = self._current(name, now)
        if current:
            gaps.insert(0, (now - current, now))
        taken: list[tuple[float, float]] = []
        for begin, end in gaps:
            if end <= begin_of_sight:
                continue
            seconds = f"{end - begin:.1f}"
            # all digits are equally wide, and a width is measured but once
            zeros = say("figures.pauses_seconds", seconds="0" * (len(seconds) - 2) + ".0")
            width = self.measure(zeros, style.NAME)
            low, high = self.x(max(begin, begin_of_sight)), self.x(end)
            left = (low + high - width) / 2
            left = min(max(left, panel.left + 2), panel.left + panel.width - width)
            if any(left < was + 6 and before < left + width + 6 for before, was in taken):
                continue
            if inside and high - low < width + 8:
                continue
            taken.append((left, left + width))
            ink = style.INK if current and end == now else style.SOFT
            words = say("figures.pauses_seconds", seconds=seconds)
            above = 0.0 if inside else thickness / 2 + line / 2 + 1
            self.moving_name(ink, left, y + above, words, plate=inside)

    def _current(self, name: str, now: float) -> float:
        """Return for how long a member that runs has handled nothing (s), 0 if that is no pause."""
        member = self._members[name]
        if not member.ends or self._gone(name):
            return 0.0
        seconds = now - member.ends[-1]
        return seconds if seconds > self._longer_than else 0.0

    # -- telling ------------------------------------------------------------------------------

    def tell(self, now: float) -> str:
        """Say how often and for how long each member paused."""
        parts = []
        for name in self._rows():
            member = self._members[name]
            if not member.ends:
                parts.append(say("figures.pauses_nothing", name=name))
                continue
            key = "figures.pauses_told" if member.count else "figures.pauses_told_none"
            seconds = f"{member.longest:.1f}"
            parts.append(say(key, name=name, count=member.count, seconds=seconds))
            if current := self._current(name, now):
                parts.append(say("figures.pauses_current", name=name, seconds=f"{current:.1f}"))
        if len(self._members) > MOST_ROWS:
            parts.append(say("figures.pauses_more", count=len(self._members) - MOST_ROWS))
        return self.sentence_of(now, parts)

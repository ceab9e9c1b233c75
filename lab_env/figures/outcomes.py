"""Live picture: where a group is blocked, and what became of the records: retried, parked, ..."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.rows import first
from lab_env.figures.engine.stencil import Stamped
from lab_env.figures.engine.timeline import Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.facts.progress import (
    BLOCKED,
    BLOCKED_AFTER,
    IDLE,
    MOVES,
    PartitionProgress,
)
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import GroupSample, Place, Sample

MOST_ROWS = 6
THICKEST = 18.0  # units of a bar
SUNK = 0.18  # rows that a bar stands below the middle of its row: above it are words
PAD = 6.0  # units between words and what is beside them
# an outcome keeps its look; other words that services report get the next colours
LOOKS = {
    "handled": style.Look(style.BLUE, "o", style.readable(style.BLUE)),
    "retried": style.Look(style.ORANGE, "s", style.readable(style.ORANGE)),
    "parked": style.Look(style.PURPLE, "D", style.readable(style.PURPLE)),
    "replayed": style.Look(style.GREEN, "^", style.readable(style.GREEN)),
    "skipped": style.Look(style.INK, "X", style.INK),
}


class Outcomes(Stamped, TimeFigure):
    """Above: a bar a partition, red and broken where the group is blocked. Below: what became.

    A partition is blocked when records wait in it and its committed offset has not moved for more
    than 2 seconds: the broker tells that. What is retried and parked the broker tells as well, by
    the records in those topics, and what is replayed by what the repairing group has committed. The
    rest the services say: ``service.report(outcome="handled")``.

    Args:
        stage, scale: as of every picture.
        topic, group: real names.
        retry: real names of the group's retry topics.
        dead: real name of the topic of the dead letters, or None.
        repair: real name of the group that repairs dead letters, or None.
    """

    def __init__(
        self,
        stage: Stage,
        topic: str,
        group: str,
        retry: tuple[str, ...] = (),
        dead: str | None = None,
        repair: str | None = None,
        scale: float = 1.0,
    ):
        key = ("outcomes", topic, group, retry, dead, repair)
        super().__init__(stage, key, scale, (group, repair) if repair else (group,))
        self._topic, self._group = topic, group
        self._retry, self._dead, self._repair = retry, dead, repair
        self.topic = topic
        self.title = say("figures_outcomes.title", topic=topic, group=group)
        self._rows_panel = Panel(label=say("figures_outcomes.rows"), grid=False)
        self._sum_panel = Panel(weight=1.2, label=say("figures_outcomes.unit"))
        self.panels = [self._rows_panel, self._sum_panel]
        self._scale = scales.Amount(least=10)
        self._standings: dict[Place, PartitionProgress] = {}
        self._sums: dict[str, Series] = {}
        self._base: dict[str, int] = {}
        self._retry_waits: int | None = None  # while there are no retry topics
        self._lines: dict[str, Line2D] = {}
        self._bars: list[tuple] = []
        self._told = {"retried": bool(retry), "parked": bool(dead), "replayed": bool(repair)}

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> object:
        """Take in how far the group is in each partition, and how many records went elsewhere."""
        group = sample.groups.get(self._group, GroupSample())
        places = sorted(place for place in sample.ends if place[0] == self._topic)
        for gone in self._standings.keys() - set(places):  # the topic may come again
            self._standings[gone].lose()
        for place in places:
            standing = self._standings.setdefault(place, PartitionProgress())
            if self.stale(sample) > 0 or group.protocol == "share":  # which commits no offsets
                standing.lose()
            elif sample.time >= self.origin:
                done = max(group.committed.get(place, 0), sample.starts.get(place, 0))
                standing.take(sample.time, sample.ends[place], done, group.owners.get(place))
        if self.stale(sample) == 0:
            self._take_sums(sample)
        facts = [(one.waits, one.state, one.read) for one in self._standings.values()]
        blocked = sample.time if any(one.blocked_for for one in self._standings.values()) else 0
        return facts, blocked, {name: series.last for name, series in self._sums.items()}

    def _take_sums(self, sample: Sample) -> None:
        counts = {}
        if self._retry:
            counts["retried"] = sum(sample.produced(topic) for topic in self._retry)
            there = any(map(sample.has, self._retry))
            waits = sum(sample.before(topic, self._group) for topic in self._retry)
            self._retry_waits = waits if there else None
        if self._dead:
            counts["parked"] = sample.produced(self._dead)
        if self._repair and self._dead:
            counts["replayed"] = sample.consumed(self._dead, self._repair)
        for name, count in counts.items():
            base = self._base.setdefault(name, count)
            if count < base:  # the topic was made anew
                base = self._base[name] = 0
            # of topics that do not exist there is no number; that they come is no loss of records
            dead = (self._dead,) if self._dead else ()
            sources = {"retried": self._retry, "parked": dead, "replayed": dead}
            if sample.time >= self.origin and any(map(sample.has, sources[name])):
                self._series(name).add(sample.time, count - base)

    def take_report(self, row: dict) -> bool:
        """Take in what a service says has become of a record."""
        outcome = row.get("outcome")
        if not isinstance(outcome, str) or self._told.get(outcome):
            return False
        series = self._series(outcome)
        series.add(row["time"], (series.last or 0) + 1)
        return True

    def _series(self, name: str) -> Series:
        if name not in self._sums:
            self._sums[name] = Series()
            self._sums[name].add(self.origin, 0)
            self.series.append(self._sums[name])
        return self._sums[name]

    def _look(self, name: str) -> style.Look:
        return LOOKS.get(name) or self._stage.palette.look(name)

    def _rows(self) -> list[Place]:
        """Return the partitions that have a row, in their order; the longest blocked if many."""
        places = sorted(self._standings)
        return first(places, MOST_ROWS, lambda place: self._standings[place].longest)

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make what every frame uses again."""
        super().build(figure)
        self.begin_words(figure)

    def scale_panels(self, now: float) -> None:
        """Give each partition a row, and fit the axis below to the counts."""
        rows = self._rows()
        panel = self._rows_panel
        panel.weight = 0.5 + 0.22 * max(len(rows), 2)
        panel.low, panel.high = max(len(rows), 2) - 0.5, -0.5  # the first row is the highest
        panel.ticks = [
            (row + SUNK, say("figures_outcomes.row", partition=partition), style.INK)
            for row, (_, partition) in enumerate(rows)
        ]
        self._scale.fit(max((s.highest() for s in self.series), default=0.0), now)
        self._sum_panel.high = self._scale.top
        self._sum_panel.ticks = amount_ticks(self._scale, 150)

    def layout(self, now: float) -> object:
        """Return what the background depends on, and which colours are in use: a new one counts."""
        stretches = [one for standing in self._standings.values() for one in standing.stretches]
        states = {stretch[2] for stretch in stretches if stretch is not None}
        return super().layout(now), tuple(sorted(states)), tuple(self._sums)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        most = style.number(self._scale.top)
        known = [(self._word(name), most) for name in self._sums]
        waits = [say("figures_outcomes.waits", count=most)] if self._standings else []
        return [*waits, *(f"{word} {number}" for word, number in known)]

    def axis_words(self) -> str:
        """Return what stands at the time axis."""
        return say("figures_outcomes.axis", seconds=f"{BLOCKED_AFTER:g}")

    def lay(self, now: float) -> None:
        """Forget what has slid out of sight, and make bars for new rows."""
        super().lay(now)
        for standing in self._standings.values():
            standing.trim(self.origin + self._window[0])
        panel = self._rows_panel
        colour = self._stage.palette.look(self._group).colour
        while len(self._bars) < len(self._rows()):
            idle = self.line(panel, style.RULE, lw=1.2)
            moves = self.line(panel, colour, solid_capstyle="butt")
            blocked = self.line(panel, style.VERMILLION, solid_capstyle="butt", zorder=4)
            # a second sign besides the colour: a white broken line inside
            broken = self.line(panel, "#ffffff", ls=(0, (2, 2)), zorder=5)
            self._bars.append((idle, moves, blocked, broken))

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Draw the bars, the words in them, and the lines below."""
        self._words.clear()
        panel, artists = self._rows_panel, []
        rows = self._rows()
        thick = min(panel.height / max(len(rows), 2) * 0.42, THICKEST * self.scale)
        for row, (place, bars) in enumerate(zip(rows, self._bars, strict=False)):
            standing = self._standings[place]
            shown = (IDLE, MOVES, BLOCKED, BLOCKED)
            for line, state, width in zip(bars, shown, (0, 0.45, 1.0, 0), strict=True):
                line.set_data(*self._points(standing, state, row + SUNK))
                if width:
                    line.set_linewidth(thick * width * 0.72)
                artists.append(line)
            self._write_row(standing, panel.y(row + SUNK), thick)
        names = []
        for name, series in self._sums.items():
            look = self._look(name)
            if name not in self._lines:
                self._lines[name] = self.line(self._sum_panel, look.colour, drawstyle="steps-post")
            shown = Series()
            shown.times, shown.values = [*series.times, now], [*series.values, series.values[-1]]
            artists += self.show_series(shown, self._lines[name])
            names.append(self.name_of(shown, self._word(name), look))
        self.show_names(self._sum_panel, [name for name in names if name])
        return [*artists, self._words]

    def _word(self, name: str) -> str:
        look = self._look(name)
        word = say(f"figures_outcomes.{name}") if name in LOOKS else style.shorten(name, 12)
        return f"{look.glyph} {word}"

    def _points(self, standing: PartitionProgress, state: str, at: float) -> tuple[list, list]:
        begin_of_sight = self.origin + self._window[0]
        times: list[float] = []
        for stretch in standing.stretches:
            if stretch is not None and stretch[2] == state and stretch[1] >= begin_of_sight:
                times += (max(stretch[0], begin_of_sight), stretch[1], float("nan"))
        return times, [at] * len(times)

    def _write_row(self, standing: PartitionProgress, y: float, thick: float) -> None:
        """Write how many wait at the right, and above a block how long it lasts.

        Where rows are too close for that, it stands in the block.
        """
        panel, line = self._rows_panel, self.line_height(style.NAME)
        inside = panel.height / max(len(self._rows()), 2) < thick + line
        above = 0.0 if inside else thick / 2 + line / 2 + 1
        right = panel.left + panel.width + 8
        blocked = standing.state == BLOCKED
        ink = style.readable(style.VERMILLION) if blocked else style.SOFT
        words = say("figures_outcomes.waits", count=style.number(standing.waits))
        self.moving_name(ink, right, y, words)
        taken = right
        for stretch in reversed(standing.stretches):
            if stretch is None or stretch[2] != BLOCKED:
                continue
            begin, end, _ = stretch
            goes_on = stretch is standing.stretches[-1]
            key = "blocked" if standing.read or not goes_on else "unread"
            words = say(f"figures_outcomes.{key}", seconds=f"{end - begin:.1f}")
            zeros = say(f"figures_outcomes.{key}", seconds="00.0")
            width = self.measure(zeros, style.NAME)
            low, high = self.x(max(begin, self.origin + self._window[0])), self.x(end)
            left = max((low + high - width) / 2, panel.left + 2)
            left = min(left, taken - width - PAD)
            if high < panel.left or left < panel.left:
                continue
            self.moving_name(style.readable(style.VERMILLION), left, y + above, words, plate=inside)
            taken = left

    # -- telling ------------------------------------------------------------------------------

    def tell(self, now: float) -> str:
        """Say who is blocked, and what became of the records."""
        parts = []
        for (_, partition), standing in sorted(self._standings.items()):
            seconds, count = f"{standing.blocked_for:.0f}", style.number(standing.waits)
            if standing.state == BLOCKED:
                key = "told_blocked" if standing.read else "told_unread"
                parts.append(say(f"figures_outcomes.{key}", partition=partition, seconds=seconds,
                                 count=count))  # fmt: skip
            elif standing.longest:
                seconds = f"{standing.longest:.0f}"
                parts.append(say("figures_outcomes.told_was", partition=partition, seconds=seconds))
        if self._standings and not any(one.longest for one in self._standings.values()):
            parts.append(say("figures_outcomes.told_free"))
        for name, series in self._sums.items():
            word = say(f"figures_outcomes.{name}") if name in LOOKS else name
            known = series.known
            count = style.number(known[1] if known else 0)
            parts.append(say("figures_outcomes.told", outcome=word, count=count))
        if self._retry_waits is not None:
            waits = style.number(self._retry_waits)
            parts.append(say("figures_outcomes.told_retry", count=waits))
        return self.sentence_of(now, parts)

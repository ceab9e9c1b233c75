"""Live picture: who handles the records of a queue, and how many still wait."""

from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.lives import broken, lives
from lab_env.figures.engine.rows import first, give_rows
from lab_env.figures.engine.timeline import Panel, TimeFigure, amount_ticks
from lab_env.figures.lag import LagLine, LagSeries
from lab_env.messages import say
from lab_env.observation.facts.counts import OwnerCounts
from lab_env.observation.sample import GroupSample, Sample

MOST_ROWS = 8
MOST_TICKS = 20  # a sample: what was committed between two samples, drawn as so many ticks
RESOLUTION = 800  # ticks of a row that can be told apart in a picture


class Worker:
    """A row: how many records a worker has handled, and when (at most a tick a pixel)."""

    def __init__(self) -> None:
        self.count = 0
        self.times: list[float] = []

    def handle(self, time: float, apart: float) -> None:
        """Note a tick, if it can be told apart from the last."""
        if not self.times or time - self.times[-1] >= apart or time < self.times[-1]:
            self.times.append(time)


class Queue(TimeFigure):
    """Above: a row for each worker, a tick for each record it handles. Below: how many wait.

    A record counts as handled when a service says so (a report with a field ``handled``); as long
    as none does, what is committed counts for the partition's owner.

    Args:
        stage, scale: as of every picture.
        topic, group: real names.
    """

    def __init__(self, stage: Stage, topic: str, group: str, scale: float = 1.0):
        super().__init__(stage, ("queue", topic, group), scale, (group,))
        self._topic, self._group = topic, group
        self.topic = topic
        self.title = say("figures.queue_title", topic=topic, group=group)
        self._rows_panel = Panel(label=say("figures.handled_by"), grid=False)
        self._depth_panel = Panel(weight=0.8, label=say("figures.lag_unit"))
        self.panels = [self._rows_panel, self._depth_panel]
        self._scale = scales.Amount(least=10)
        self._depth = LagSeries(topic, group)
        self.series = [self._depth.series, self._depth.guess]
        self._owners = OwnerCounts(topic, group)
        self._counted: dict[str, int] = {}
        self._before = self.origin
        self._reported = False
        self._workers: dict[str, Worker] = {}
        self._lines: list[tuple] = []

    def build(self, figure: Figure) -> None:
        """Make the area below; rows are made when a worker comes."""
        super().build(figure)
        look = self._stage.palette.look(self._group)
        self._line = LagLine(self, self._depth_panel, self._depth, look, area=True)

    # -- reading ------------------------------------------------------------------------------

    @property
    def _apart(self) -> float:
        low, high = getattr(self, "_window", scales.window(0))
        return (high - low) / RESOLUTION

    def take(self, sample: Sample) -> object:
        """Take in the lag, the members, and what was committed while nobody reports."""
        lag = self._depth.take(sample, self.origin)
        counts = self._owners.take(sample)
        members = sample.groups.get(self._group, GroupSample()).members
        if sample.time < self.origin:
            self._counted = counts
            return None
        for name in members:
            if not self._reported or self._is_service(name):
                self._worker(name)
        if not self._reported:
            for name, count in counts.items():
                done = count - self._counted.get(name, 0)
                if done > 0:
                    self._commit(self._worker(name), done, sample.time)
        self._counted = counts
        self._before = sample.time
        return lag, counts

    def _commit(self, worker: Worker, done: int, time: float) -> None:
        worker.count += done
        ticks = min(done, MOST_TICKS)
        for k in range(1, ticks + 1):
            worker.handle(self._before + (time - self._before) * k / ticks, self._apart)

    def take_report(self, row: dict) -> bool:
        """Take in a record that a service says it has handled."""
        if "handled" not in row:
            return False
        if (
            row.get("topic", self._topic) != self._topic
            or row.get("group", self._group) != self._group
        ):
            return False
        if not self._reported:  # reports know more than commits: begin anew with them
            self._reported = True
            self._workers = {name: Worker() for name in self._workers if self._is_service(name)}
        worker = self._worker(row["service"])
        worker.count += 1
        worker.handle(row["time"], self._apart)
        return True

    def _worker(self, name: str) -> Worker:
        return self._workers.setdefault(name, Worker())

    def _rows(self) -> list[str]:
        """Return the workers that have a row, in the order of their names; the busiest if many."""
        names = sorted(self._workers, key=style.natural)
        return first(names, MOST_ROWS, lambda name: self._workers[name].count)

    # -- laying out ---------------------------------------------------------------------------

    def scale_panels(self, now: float) -> None:
        """Give each worker a row, and fit the axis below to the lag in sight."""
        rows = self._rows()
        panel = self._rows_panel
        panel.weight = 0.55 + 0.22 * max(len(rows), 2)
        give_rows(panel, rows, self._stage.palette)
        self._scale.fit(max(series.highest() for series in self.series), now)
        self._depth_panel.high = self._scale.top
        self._depth_panel.ticks = amount_ticks(self._scale, 100)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        most = max((w.count for w in self._workers.values()), default=0)
        # room for one more digit than now, so that the axes stay where they are
        counts = ["0" * len(style.number(most * 10))]
        newest = self._depth.newest(style.number(self._scale.top))
        return [*counts, say("figures.waiting"), newest]

    def lay(self, now: float) -> None:
        """Forget ticks that have slid out of sight, and make lines for new rows."""
        super().lay(now)
        begin = self.origin + self._window[0]
        for worker in self._workers.values():
            worker.times = [t for t in worker.times if t >= begin]
        panel = self._rows_panel
        while len(self._lines) < len(self._rows()):
            life = self.line(panel, style.RULE, lw=1.2)
            gone = self.line(panel, style.GONE, lw=7.0, solid_capstyle="butt", zorder=2)
            ticks = self.line(panel, style.RULE, ls="none", marker="|", mew=1.6)
            self._lines.append((gone, life, ticks))

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Draw the rows and their counts, the area, and how many wait."""
        artists = []
        panel = self._rows_panel
        rows = self._rows()
        row_height = panel.height / max(len(rows), 2)
        for row, (name, lines) in enumerate(zip(rows, self._lines, strict=False)):
            worker, look = self._workers[name], self._stage.palette.look(name)
            gone, life, ticks = lines
            stretches, ends = lives(self._stage.journal.marks, name, self.origin, now)
            gone.set_data(*broken(ends, row))
            life.set_data(*broken(stretches, row))
            life.set_color(look.colour)
            ticks.set_data(worker.times, [row] * len(worker.times))
            ticks.set(color=look.colour, markersize=min(row_height * 0.6, 24) * 0.72)
            artists += lines
            dead = bool(ends) and ends[-1][1] == now
            ink = style.SOFT if dead else look.ink
            self.moving_name(ink, self.x(now) + 7, panel.y(row), style.number(worker.count))
        artists += self._line.show()
        name = self._line.name(say("figures.waiting"))
        self.show_names(self._depth_panel, [name] if name else [])
        return artists

    def tell(self, now: float) -> str:
        """Say who has handled how many, and how many wait."""
        parts = [
            say("figures.handled_of", name=name, count=style.number(self._workers[name].count))
            for name in self._rows()
        ]
        if words := self._depth.told("figures.lag_of"):
            parts.append(words)
        return self.sentence_of(now, parts)

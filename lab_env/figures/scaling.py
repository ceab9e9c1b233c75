"""Live picture: replicas wanted, running and owning partitions, against the partitions."""

from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.timeline import SILENT, Name, Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import Sample

PARTITIONS, WANTED, RUNNING, OWNING = NAMES = ("partitions", "wanted", "running", "owning")
REPORTED = (WANTED, RUNNING)
# (colour, points, dashes): what lies on top is thinner, so that all are seen where all are equal
LOOKS = {
    WANTED: (style.paler(style.BLUE, 0.45), 8.0, "-"),
    RUNNING: (style.ORANGE, 4.5, "-"),
    PARTITIONS: (style.SOFT, 2.0, (0, (4, 3))),
    OWNING: (style.INK, 1.6, "-"),
}
INKS = {
    PARTITIONS: style.SOFT,
    WANTED: style.readable(style.BLUE),
    RUNNING: style.readable(style.ORANGE),
    OWNING: style.INK,
}


class Scaling(TimeFigure):
    """Four step lines: partitions, and replicas that are wanted, that run, that own a partition.

    Args:
        stage, scale: as of every picture.
        topic: real name.
        group: real name; its members are the replicas.

    Attributes:
        counts: the newest number by name, as far as it is known.
    """

    def __init__(self, stage: Stage, topic: str, group: str, scale: float = 1.0):
        super().__init__(stage, ("scaling", topic, group), scale, (group,))
        self._topic, self._group = topic, group
        self.topic = topic
        self.title = say("figures_scaling.title", group=group)
        self.panels = [Panel(label=say("figures_scaling.unit"))]
        self._scale = scales.Amount(least=4)
        self._steps = {name: Series() for name in NAMES}
        self.series = list(self._steps.values())
        self.counts: dict[str, int] = {}
        for row in reversed(stage.reports.rows):  # what a loop has told before the picture began
            if self.take_report(row | {"time": self.origin}):
                break

    def take_report(self, row: dict) -> bool:
        """Take in what a loop has counted."""
        told = {name: row[name] for name in REPORTED if _is_count(row.get(name))}
        for name, count in told.items():
            self._step(name, row["time"], count)
        return bool(told)

    def take(self, sample: Sample) -> object:
        """Take in partitions, and who owns them."""
        partitions = [place for place in sample.ends if place[0] == self._topic]
        told = {PARTITIONS: ("topics", len(partitions))}
        if not partitions and not sample.stale.get("topics"):
            for name in (PARTITIONS, OWNING):
                self._steps[name].cut(sample.time)
                self.counts.pop(name, None)
            return {}
        if (group := sample.groups.get(self._group)) is not None:
            owners = {group.owners[place] for place in partitions if place in group.owners}
            told[OWNING] = (self._group, len(owners))
        for name, (source, count) in told.items():
            if sample.stale.get(source, 0.0) > SILENT:
                self._steps[name].cut(sample.time)
                self.counts.pop(name, None)
            elif sample.stale.get(source, 0.0) == 0 and sample.time >= self.origin:
                self._step(name, sample.time, count)
        return told

    def _step(self, name: str, time: float, count: int) -> None:
        """Let a line go level to a moment, and then up or down."""
        series = self._steps[name]
        if series.last is not None and series.last != count:
            series.add(time, series.last)
        if series.last != count:
            series.add(time, count)
        self.counts[name] = count

    def build(self, figure: Figure) -> None:
        """Make the lines."""
        super().build(figure)
        self._lines = {}
        for order, (name, (colour, points, dashes)) in enumerate(LOOKS.items()):
            looks = {"lw": points * self.scale, "ls": dashes, "zorder": 3 + order}
            looks |= {"solid_capstyle": "butt", "solid_joinstyle": "miter"}
            self._lines[name] = self.line(self.panels[0], colour, **looks)

    def scale_panels(self, now: float) -> None:
        """Fit the axis to the numbers in sight."""
        self._scale.fit(max(series.highest() for series in self.series), now)
        self.panels[0].high = self._scale.top
        self.panels[0].ticks = amount_ticks(self._scale, 300)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        return self.room_for(
            [(say(f"figures_scaling.{name}"), "00") for name in NAMES], self.panels[0]
        )

    def draw(self, now: float) -> list:
        """Draw the lines up to now, with their names."""
        names = []
        for name, series in self._steps.items():
            times, values = list(series.times), list(series.values)
            if series.last is not None:  # it holds until now
                times.append(max(now, times[-1]))
                values.append(series.last)
                words, count = say(f"figures_scaling.{name}"), style.number(series.last)
                names.append(Name(words, count, times[-1], series.last, INKS[name]))
            self._lines[name].set_data(times, values)
        # where all are equal, the first one of these comes lowest
        self.show_names(self.panels[0], list(reversed(names)))
        return [self._lines[name] for name in LOOKS]

    def tell(self, now: float) -> str:
        """Say the newest numbers."""
        known = [(name, self.counts[name]) for name in NAMES if name in self.counts]
        return self.sentence_of(
            now, (say(f"figures_scaling.of_{name}", count=count) for name, count in known)
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

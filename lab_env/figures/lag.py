"""Live picture: the records that wait for each group."""

from lab_env.figures import scales, style
from lab_env.figures.series import Series
from lab_env.figures.timeline import SILENT, Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.sample import Sample


class Depth:
    """The lag of one group of a topic, as a line in a panel; other pictures use it too.

    Args:
        topic, group: real names.
    """

    def __init__(self, topic: str, group: str):
        self.topic, self.group = topic, group
        self.series = Series()

    def take(self, sample: Sample, since: float) -> int:
        """Take in a sample and return the lag."""
        lag = sample.lag(self.topic, self.group)
        stale = max(sample.stale.get("topics", 0.0), sample.stale.get(self.group, 0.0))
        if stale > SILENT:
            self.series.cut(sample.time)
        elif stale == 0 and sample.time >= since and self._known(sample):
            self.series.add(sample.time, lag)
        return lag

    def _known(self, sample: Sample) -> bool:
        return self.group in sample.groups and any(t == self.topic for t, _ in sample.ends)


class Lag(TimeFigure):
    """Records of a topic that wait for each group: the depth of its queue.

    Args:
        stage, scale: as of every picture.
        topic: real name.
        groups: real names, at least one.
    """

    def __init__(self, stage, topic: str, groups: tuple[str, ...], scale: float = 1.0):
        super().__init__(stage, ("lag", topic, groups), scale, groups)
        self.title = say("figures.lag_title", topic=topic)
        self.panels = [Panel(label=say("figures.lag_unit"))]
        self._scale = scales.Amount(least=10)
        self._depths = [Depth(topic, group) for group in groups]
        self.series = [depth.series for depth in self._depths]

    def build(self, figure) -> None:
        """Make a line for each group, and an area if there is but one."""
        super().build(figure)
        panel = self.panels[0]
        looks = self._looks = [self._stage.palette.look(depth.group) for depth in self._depths]
        self._lines = [self.line(panel, look.colour) for look in looks]
        self._area = self.area(panel, looks[0].colour) if len(looks) == 1 else None

    def take(self, sample: Sample) -> object:
        """Take in the lags of a sample."""
        return [depth.take(sample, self.origin) for depth in self._depths]

    def scale_panels(self, now: float) -> None:
        """Fit the axis to the lags in sight."""
        self._scale.fit(max((s.highest() for s in self.series), default=0.0), now)
        self.panels[0].high = self._scale.top
        self.panels[0].ticks = amount_ticks(self._scale, 300)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        highest = style.number(self._scale.top)
        pairs = [(style.shorten(depth.group), highest) for depth in self._depths]
        return self.room_for(pairs, self.panels[0])

    def draw(self, now: float) -> list:
        """Draw the lines, with their newest values."""
        artists, names = [], []
        for depth, line, look in zip(self._depths, self._lines, self._looks, strict=True):
            artists += self.show_series(depth.series, line, self._area)
            names.append(self.name_of(depth.series, style.shorten(depth.group), look))
        self.show_names(self.panels[0], [name for name in names if name])
        return artists

    def tell(self, now: float) -> str:
        """Say the newest lags."""
        return self.sentence_of(
            now,
            (
                say("figures.lag_of", group=depth.group, lag=style.number(depth.series.last))
                for depth in self._depths
                if depth.series.last is not None
            ),
        )

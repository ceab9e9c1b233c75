"""Lag: how many records of a topic each group has still before it."""

from lab_env.messages import say
from lab_env.pictures import style
from lab_env.pictures.picture import Label, Picture


class Depth:
    """A lag over time as a line, filled down to zero if it stands alone."""

    def __init__(self, picture: Picture, panel: int, colour: str, *, filled: bool):
        self.times: list[float] = []
        self.values: list[float] = []
        self._picture = picture
        self._line = picture.line(panel, colour)
        self._area = None
        if filled:
            self._area = picture.moving(
                panel,
                picture.axes[panel].fill([0, 0, 0], [0, 0, 0], color=colour, alpha=0.25, lw=0)[0],
            )

    def add(self, time: float, value: float) -> None:
        """Take the lag at a moment (records; NaN breaks the line)."""
        self.times.append(time)
        self.values.append(value)

    def move(self) -> None:
        """Give the artists their points."""
        self._line.set_data(self.times, self.values)
        if self._area is not None and self.times:
            known = [(t, v) for t, v in zip(self.times, self.values, strict=True) if v == v]
            if known:
                self._area.set_xy([(known[0][0], 0), *known, (known[-1][0], 0)])

    @property
    def last(self) -> float:
        """The newest known lag."""
        return next((value for value in reversed(self.values) if value == value), 0.0)

    def peak(self, start: float) -> float:
        """Return the largest lag since ``start``."""
        pairs = zip(reversed(self.times), reversed(self.values), strict=True)
        return max((v for t, v in pairs if t >= start and v == v), default=0.0)


class Lag(Picture):
    """A line a group.

    Args:
        topic: real name.
        groups: real names of the groups.
    """

    def __init__(self, topic: str, groups: tuple[str, ...], *rest):
        self.topic = topic
        self.groups = groups
        self._top = 10.0
        super().__init__(say("pictures.lag_title", topic=topic), *rest)

    def build(self) -> None:
        """Make a line a group."""
        self.amount_axis(0, say("pictures.lag_records"))
        self.depths = {
            group: Depth(self, 0, self.palette.of(group)[0], filled=len(self.groups) == 1)
            for group in self.groups
        }

    def take(self, samples, rows) -> None:
        """Read the lags."""
        for sample in samples:
            for group, depth in self.depths.items():
                known = "topics" not in sample.stale and group not in sample.stale
                value = float(sample.lag(self.topic, group)) if known else float("nan")
                depth.add(self.since(sample.time), value)

    def move(self) -> None:
        """Give each line its points and its name its value."""
        for group, depth in self.depths.items():
            depth.move()
            if depth.times:
                text = say("pictures.named_value", name=group, value=style.number(depth.last))
                colour = self.palette.of(group)[0]
                self.labels.append((0, Label(depth.times[-1], depth.last, text, colour)))

    def limits(self) -> tuple:
        """Grow the axis at once, shrink it only when half of it is empty."""
        start = self.start_of_window()
        wanted = style.nice_top(max((d.peak(start) for d in self.depths.values()), default=0))
        if wanted > self._top or wanted < self._top / 2:
            self._top = wanted
        self.axes[0].set_ylim(0, self._top)
        return (self._top,)

    def sentence(self) -> str:
        """Say the newest lags."""
        values = say("pictures.list_join").join(
            say("pictures.lag_value", name=group, value=style.number(depth.last))
            for group, depth in self.depths.items()
        )
        return say(
            "pictures.lag_sentence", topic=self.topic, values=values, seconds=style.number(self.now)
        )

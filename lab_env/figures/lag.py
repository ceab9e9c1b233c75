"""Live picture: the records that wait for each group."""

from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.timeline import SILENT, Name, Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import Sample

DASHES = (0, (4, 2))  # of what is not known, but would be so if the group began at the oldest
MOST_TOLD = 6  # partitions that a sentence names


class LagSeries:
    """The lag of one group of a topic over time; other pictures use it too.

    Args:
        topic, group: real names.

    Attributes:
        series: the lag, where it is known.
        guess: where the group has not committed in some partition that holds records: its lag if
            it begins at the oldest ones. Nobody knows whether it will.
        placeless: those partitions, as last told; ``partitions`` is how many there are.
    """

    def __init__(self, topic: str, group: str):
        self.topic, self.group = topic, group
        self.series, self.guess = Series(), Series()
        self.placeless: list[int] = []
        self.partitions = 0
        self._share = False  # a share group: nobody commits offsets for it, Kafka tells its lag

    def take(self, sample: Sample, since: float) -> object:
        """Take in a sample and return what is new of it, to see changes by."""
        before = sample.before(self.topic, self.group)
        stale = max(sample.stale.get("topics", 0.0), sample.stale.get(self.group, 0.0))
        if stale > SILENT:
            self.cut(sample.time)
        elif stale == 0:
            self.partitions = sum(topic == self.topic for topic, _ in sample.ends)
            group = sample.groups.get(self.group)
            self._share = group is not None and group.protocol == "share"
            lag = sample.lag(self.topic, self.group) if self._share else before
            if not self.partitions or group is None or lag != lag:
                self.cut(sample.time)
            elif sample.time >= since and self._share:
                before = lag
                self.placeless = []
                self.guess.cut(sample.time)
                self.series.add(sample.time, lag)
            elif sample.time >= since:
                self.placeless = sample.placeless(self.topic, self.group)
                known, other = self.series, self.guess
                if self.placeless:
                    known, other = other, known
                other.cut(sample.time)
                known.add(sample.time, before)
        return before, tuple(self.placeless), self.partitions, self._share

    def cut(self, time: float) -> None:
        """Let both lines end: nothing is known from here on."""
        self.series.cut(time)
        self.guess.cut(time)

    @property
    def shown(self) -> Series:
        """The line that goes on; of two that have ended, the one that did so last."""
        ends = [one.known[0] if one.known else -1.0 for one in (self.series, self.guess)]
        return self.guess if ends[1] > ends[0] else self.series

    @property
    def is_guess(self) -> bool:
        """Whether the newest number is what waits only if the group begins at the oldest."""
        return self.shown is self.guess

    def newest(self, number: str) -> str:
        """Return what stands at the line's end: a number, or that there is no commit."""
        return say("figures.lag_no_commit") if self.is_guess else number

    def told(self, key: str) -> str | None:
        """Return what is said of the lag, or None while nothing is known.

        Args:
            key: of the sentence that says a lag, with ``lag`` and ``group``.
        """
        last = self.shown.last
        if self._share and last is None:
            return say("figures.lag_share", group=self.group)
        if last is None:
            return None
        if not self.is_guess:
            return say(key, group=self.group, lag=style.number(last))
        if len(self.placeless) < self.partitions:
            partitions = ", ".join(map(str, self.placeless[:MOST_TOLD]))
            more = len(self.placeless) - MOST_TOLD
            if more > 0:
                partitions = say("figures.lag_partitions_more", first=partitions, more=more)
            return say("figures.lag_placeless", group=self.group, partitions=partitions)
        return say("figures.lag_uncommitted", group=self.group, kept=style.number(last))


class LagLine:
    """The lag of a group in a panel: a line where it is known, dashes where it is guessed.

    Args:
        figure: the picture, while it is built.
        panel: where.
        depth: what is drawn.
        look: of the line.
        area: whether the ground below the known line is filled.
    """

    def __init__(self, figure: TimeFigure, panel: Panel, depth: LagSeries, look, *, area: bool):
        self._figure, self._depth, self._look = figure, depth, look
        self._line = figure.line(panel, look.colour)
        self._dashes = figure.line(panel, look.colour, ls=DASHES)
        self._area = figure.area(panel, look.colour) if area else None

    def show(self) -> list:
        """Bring the lines to what is known; return what to draw."""
        known = self._figure.show_series(self._depth.series, self._line, self._area)
        return [*known, *self._figure.show_series(self._depth.guess, self._dashes)]

    def name(self, words: str) -> Name | None:
        """Return the name for the line's end: with the newest number, or that it has no commit."""
        name = self._figure.name_of(self._depth.shown, words, self._look)
        return name and name._replace(newest=self._depth.newest(name.newest))


class Lag(TimeFigure):
    """Records of a topic that wait for each group: the depth of its queue.

    Args:
        stage, scale: as of every picture.
        topics: real names: one for all groups, or one for each.
        groups: real names, at least one.
    """

    def __init__(
        self, stage: Stage, topics: tuple[str, ...], groups: tuple[str, ...], scale: float = 1.0
    ):
        super().__init__(stage, ("lag", topics, groups), scale, groups)
        self.topic = topics[0]
        one = len(set(topics)) == 1
        self.title = say("figures.lag_title" if one else "figures.lags_title", topic=topics[0])
        self.panels = [Panel(label=say("figures.lag_unit"))]
        self._scale = scales.Amount(least=10)
        each = topics * len(groups) if len(topics) == 1 else topics
        self._depths = [LagSeries(*pair) for pair in zip(each, groups, strict=True)]
        self.series = [one for depth in self._depths for one in (depth.series, depth.guess)]

    def build(self, figure: Figure) -> None:
        """Make a line for each group, and an area if there is but one."""
        super().build(figure)
        panel = self.panels[0]
        self._lines = [
            LagLine(self, panel, depth, self._stage.palette.look(depth.group), area=alone)
            for alone in [len(self._depths) == 1]
            for depth in self._depths
        ]

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
        pairs = [
            (
                style.shorten(depth.group),
                say("figures.lag_no_commit") if depth.is_guess else highest,
            )
            for depth in self._depths
        ]
        return self.room_for(pairs, self.panels[0])

    def draw(self, now: float) -> list:
        """Draw the lines, with their newest values."""
        artists, names = [], []
        for depth, line in zip(self._depths, self._lines, strict=True):
            artists += line.show()
            names.append(line.name(style.shorten(depth.group)))
        self.show_names(self.panels[0], [name for name in names if name])
        return artists

    def tell(self, now: float) -> str:
        """Say the newest lags."""
        told = (depth.told("figures.lag_of") for depth in self._depths)
        return self.sentence_of(now, (words for words in told if words))

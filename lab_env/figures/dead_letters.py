"""Live picture: how far a topic of dead letters has grown."""

from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.timeline import SILENT, Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import Sample


class DeadLetters(TimeFigure):
    """The end offset of a topic of dead letters, in steps: records, and markers of transactions.

    Only a reader of all records could tell them apart.

    Args:
        stage, scale: as of every picture.
        topic: real name.
    """

    def __init__(self, stage: Stage, topic: str, scale: float = 1.0):
        super().__init__(stage, ("dead_letters", topic), scale)
        self.topic = topic
        self.title = say("figures.dead_letters_title", topic=topic)
        self.panels = [Panel(label=say("figures.dead_letters_unit"))]
        self._scale = scales.Amount(least=4)
        self._count = Series()
        self.series = [self._count]

    def build(self, figure: Figure) -> None:
        """Make the line, which stands like a stair."""
        super().build(figure)
        colour = self._stage.palette.look(self.topic).colour
        self._line = self.line(self.panels[0], colour, drawstyle="steps-post")

    def take(self, sample: Sample) -> object:
        """Take in where the topic ends."""
        stale = sample.stale.get("topics", 0.0)
        if stale > SILENT or not sample.has(self.topic):
            self._count.cut(sample.time)
        elif stale == 0 and sample.time >= self.origin:
            self._count.add(sample.time, sample.produced(self.topic))
        return self._count.last

    def scale_panels(self, now: float) -> None:
        """Fit the axis to the count."""
        self._scale.fit(self._count.highest(), now)
        self.panels[0].high = self._scale.top
        self.panels[0].ticks = amount_ticks(self._scale, 300)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        words = say("figures.dead_letters_name")
        return self.room_for([(words, style.number(self._scale.top))], self.panels[0])

    def draw(self, now: float) -> list:
        """Draw the stair, with the newest count."""
        artists = self.show_series(self._count, self._line)
        look = self._stage.palette.look(self.topic)
        name = self.name_of(self._count, say("figures.dead_letters_name"), look)
        self.show_names(self.panels[0], [name] if name else [])
        return artists

    def tell(self, now: float) -> str:
        """Say where it ends."""
        last = self._count.last
        told = [] if last is None else [say("figures.dead_letters_told", count=style.number(last))]
        return self.sentence_of(now, told)

"""Live picture: what was produced, handled and committed, and what of it was lost or came twice."""

from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.style import Look, readable
from lab_env.figures.engine.timeline import Panel, TimeFigure, amount_ticks
from lab_env.ground.journal import Mark
from lab_env.messages import say
from lab_env.observation.facts.delivery import DeliveryLedger
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import Sample

LOOKS = {
    "produced": Look(style.INK, "o", style.INK),
    "handled": Look(style.GREEN, "^", readable(style.GREEN)),
    "committed": Look(style.BLUE, "s", readable(style.BLUE)),
    "lost": Look(style.VERMILLION, "X", readable(style.VERMILLION)),
    "twice": Look(style.PURPLE, "D", readable(style.PURPLE)),
}
ABOVE, BELOW = ("produced", "handled", "committed"), ("lost", "twice")
DASHED = {"committed": (0, (4, 1.5)), "twice": (0, (1.5, 1))}  # a second sign beside the colour


class Delivery(TimeFigure):
    """Above: records produced, handled, committed. Below: records lost, and handled twice.

    All counts begin with the picture: with what the group had before it at that moment. Of the
    marks it shows what breaks, so that a crash keeps its words when everything starts and stops.

    Args:
        stage, scale: as of every picture.
        topic, group: real names.
    """

    def __init__(self, stage: Stage, topic: str, group: str, scale: float = 1.0):
        super().__init__(stage, ("delivery", topic, group), scale, (group,))
        self._group = group
        self.topic = topic
        self.title = say("figures_delivery.title", topic=topic, group=group)
        self._above = Panel(label=say("figures_delivery.records"))
        self._below = Panel(weight=0.7, label=say("figures_delivery.records"))
        self.panels = [self._above, self._below]
        self._scales = {name: scales.Amount(least=10) for name in ("above", "below")}
        self._ledger = DeliveryLedger(topic, group)
        self._values = {name: Series() for name in LOOKS}
        self.series = list(self._values.values())
        self._own: set[str] = set()  # services that report what they handle for this group
        self._others: set[str] = set()

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> object:
        """Take in a sample, and before it the reports that are older."""
        if not self.catch_up(sample):
            return None
        if not self._ledger.take(sample):
            return None
        now = {name: getattr(self._ledger, name) for name in LOOKS}
        for name, value in now.items():
            self._values[name].add(sample.time, value)
        return now

    def take_report(self, row: dict) -> bool:
        """Take in a report; the next sample draws it."""
        mine = self._ledger.report(row)
        (self._own if mine else self._others).add(row["service"])
        return mine

    def _in_sight(self, mark: Mark) -> bool:
        """Return whether a mark is about delivery: what broke, and not of other groups."""
        if mark.kind in ("start", "stop", "setting") or mark.subject in self._others - self._own:
            return False
        return super()._in_sight(mark)

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make the lines, and areas under those below."""
        super().build(figure)
        self._lines, self._areas = {}, {}
        for name, look in LOOKS.items():
            panel = self._below if name in BELOW else self._above
            self._lines[name] = self.line(panel, look.colour, ls=DASHED.get(name, "-"))
            self._areas[name] = self.area(panel, look.colour) if name in BELOW else None
        self._areas["twice"].set(fill=False, edgecolor=LOOKS["twice"].colour, hatch="///")

    def scale_panels(self, now: float) -> None:
        """Fit the axes to what is in sight."""
        for which, panel, names in (("above", self._above, ABOVE), ("below", self._below, BELOW)):
            scale = self._scales[which]
            scale.fit(max(self._values[name].highest() for name in names), now)
            panel.high = scale.top * (1 if which == "above" else 1.25)  # room between the ticks
            panel.ticks = amount_ticks(scale, 200 if which == "above" else 100)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        above, below = (style.number(self._scales[which].top) for which in ("above", "below"))
        room = [self._name(name, above) for name in ABOVE]
        return [*room, *(self._name(name, below) for name in BELOW)]

    def _name(self, name: str, number: str) -> str:
        return f"{say(f'figures_delivery.{name}')} {number}"

    def axis_words(self) -> str:
        """Return what stands at the time axis: with what the words below mean, if it fits."""
        words = say("figures_delivery.axis")
        fits = self.measure(words, style.TEXT) < self._below.width
        return words if fits else say("figures.seconds")

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Draw the lines, with their words and newest numbers."""
        artists = []
        for panel, names in ((self._above, ABOVE), (self._below, BELOW)):
            ends = []
            for name in names:
                series, look = self._values[name], LOOKS[name]
                artists += self.show_series(series, self._lines[name], self._areas[name])
                if end := self.name_of(series, name, look):
                    ends.append(end)
            self._write_ends(panel, ends)
        return artists

    def _write_ends(self, panel: Panel, ends: list) -> None:
        """Write a line for each name, as near to the end of its line as there is room."""
        height = self.line_height(style.NAME)
        top = panel.bottom + panel.height + 0.3 * height
        wanted = [panel.y(end.value) for end in ends]
        middles = style.spread(wanted, height + 2, panel.bottom - 0.3 * height, top)
        for end, middle in zip(ends, middles, strict=True):
            words = self._name(end.text, end.newest)
            self.moving_name(end.colour, self.x(end.time) + 7, middle, words)

    def tell(self, now: float) -> str:
        """Say the newest numbers, and that nobody reports if that is so."""
        parts = []
        for name in LOOKS:
            last = self._values[name].last
            if last is None:
                continue
            if name in BELOW and not self._ledger.reported:
                parts.append(say("figures_delivery.told_nobody"))
                break
            count = style.number(last)
            parts.append(say(f"figures_delivery.told_{name}", count=count, group=self._group))
        return self.sentence_of(now, parts)

"""Live picture: what was produced, handled and committed, and what of it was lost or came twice."""

from bisect import bisect_left, insort
from collections import deque

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.style import Look, readable
from lab_env.figures.engine.timeline import SILENT, Panel, TimeFigure, amount_ticks
from lab_env.ground.journal import Mark
from lab_env.messages import say
from lab_env.observation.facts.series import Series
from lab_env.observation.sample import Sample

SETTLE = 1.0  # seconds for which a record must be missing before it is called lost
LOOK = 0.5  # seconds that count at the most from one sample to the next: nobody looked in between
LOOKS = {
    "produced": Look(style.INK, "o", style.INK),
    "handled": Look(style.GREEN, "^", readable(style.GREEN)),
    "committed": Look(style.BLUE, "s", readable(style.BLUE)),
    "lost": Look(style.VERMILLION, "X", readable(style.VERMILLION)),
    "twice": Look(style.PURPLE, "D", readable(style.PURPLE)),
}
ABOVE, BELOW = ("produced", "handled", "committed"), ("lost", "twice")
DASHED = {"committed": (0, (4, 1.5)), "twice": (0, (1.5, 1))}  # a second sign beside the colour


class Handled:
    """What services have reported of one partition, as offsets."""

    def __init__(self) -> None:
        self.offsets: list[int] = []  # different ones, in order
        self.twice: set[int] = set()

    def add(self, offset: int) -> None:
        """Take in that a record was handled."""
        at = bisect_left(self.offsets, offset)
        if at < len(self.offsets) and self.offsets[at] == offset:
            self.twice.add(offset)
        else:
            insort(self.offsets, offset)

    @property
    def furthest(self) -> int:
        """The offset after the furthest one that was handled."""
        return self.offsets[-1] + 1 if self.offsets else 0

    def missing(self, begin: int, end: int) -> int:
        """Return how many offsets from ``begin`` up to (not including) ``end`` nobody handled."""
        if end <= begin:
            return 0
        return end - begin - (bisect_left(self.offsets, end) - bisect_left(self.offsets, begin))


class Lasting:
    """A number that is believed once it has lasted: the least of the last second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # since when it was never less than that

    def at(self, time: float, value: int) -> int:
        """Take in a value and return what has lasted for `SETTLE` seconds."""
        begin = time
        while self._seen and self._seen[-1][1] >= value:
            begin, _ = self._seen.pop()
        self._seen.append((begin, value))
        while len(self._seen) > 1 and time - self._seen[1][0] >= SETTLE:
            self._seen.popleft()
        since, lasted = self._seen[0]
        return lasted if time - since >= SETTLE else 0


class DeliveryLedger:
    """The accounts of one group in one topic, from the moment at which the picture began.

    A record is **lost** when the group has committed past it and no service has reported it, while
    a later record of its partition was handled, or while the group handles nothing any more: what
    a slow service still works on is not lost. It must have been so for a second of samples: a gap
    between two counts for half a second at the most. A record came
    **twice** when it was reported more than once.

    Args:
        topic, group: real names.

    Attributes:
        reported: whether any service has said what it handles.
        produced, committed, lost: how many, as of the newest sample.
    """

    def __init__(self, topic: str, group: str):
        self._topic, self._group = topic, group
        self._recent: list[tuple[int, int]] = []  # what was reported since the newest sample
        self.reset()

    def reset(self) -> None:
        """Begin anew: the topic was made anew."""
        self.reported = False
        self.produced = self.committed = self.lost = 0
        self._handled: dict[int, Handled] = {}
        self._base: dict[int, int] = {}  # from here on the records of a partition are counted
        self._ends: dict[int, int] = {}
        self._given_up: dict[int, int] = {}  # before this nobody is expected to handle anything
        self._missing = Lasting()
        self._clock = 0.0  # seconds that were looked at
        self._sampled: float | None = None  # when the newest sample was taken
        self._moved = 0.0  # when, by that clock, the group last handled or committed something

    def report(self, row: dict) -> bool:
        """Take in a report, and return whether it belongs to this group and topic."""
        if "handled" not in row or row.get("topic", self._topic) != self._topic:
            return False
        place = row.get("partition"), row.get("offset")
        if row.get("group", self._group) != self._group or not all(type(p) is int for p in place):
            return False
        self._recent.append(place)
        self._note(*place)
        self._moved = self._clock
        return True

    def _note(self, partition: int, offset: int) -> None:
        self.reported = True
        self._handled.setdefault(partition, Handled()).add(offset)

    def take(self, sample: Sample) -> bool:
        """Take in a sample, and return whether it knows the topic."""
        ends = {p: end for (topic, p), end in sample.ends.items() if topic == self._topic}
        if any(ends.get(p, 0) < end for p, end in self._ends.items()):
            self.reset()
            for place in self._recent:
                self._note(*place)
        self._recent.clear()
        # a computer that was frozen for a minute has not seen anything last for a minute
        if self._sampled is not None:
            self._clock += min(max(sample.time - self._sampled, 0.0), LOOK)
        self._sampled = sample.time
        self._ends = ends
        group = sample.groups.get(self._group)
        known = group.committed if group else {}
        before, self.produced, self.committed, missing = self.committed, 0, 0, 0
        for partition, end in ends.items():
            start = sample.starts.get((self._topic, partition), 0)
            upto = known.get((self._topic, partition), 0)
            # a group that was set back has its records before it again
            base = min(self._base.get(partition, upto or start), upto or end)
            self._base[partition] = base
            self.produced += end - base
            self.committed += max(upto - base, 0)
            handled = self._handled.get(partition, Handled())
            passed = max(handled.furthest, self._given_up.get(partition, 0))
            missing += handled.missing(base, min(upto, passed))
        if self.committed != before:
            self._moved = self._clock
        elif self._clock - self._moved >= SETTLE:  # else somebody is at work, and may come to it
            self._given_up = {p: known.get((self._topic, p), 0) for p in ends}
        self.lost = self._missing.at(self._clock, missing) if self.reported else 0
        return bool(ends)

    @property
    def handled(self) -> int:
        """How many different records were handled."""
        return sum(len(one.offsets) for one in self._handled.values())

    @property
    def twice(self) -> int:
        """How many records were handled more than once."""
        return sum(len(one.twice) for one in self._handled.values())


class Delivery(TimeFigure):
    """Above: records produced, handled, committed. Below: records lost, and handled twice.

    All counts begin with the picture: with what the group had before it at that moment. Of the
    marks it shows what breaks, so that a crash keeps its words when everything starts and stops.

    Args:
        stage, scale: as of every picture.
        topic, group: real names.
    """

    def __init__(self, stage, topic: str, group: str, scale: float = 1.0):
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
        stale = max(sample.stale.get("topics", 0.0), sample.stale.get(self._group, 0.0))
        if stale > SILENT:
            for series in self.series:
                series.cut(sample.time)
        if stale > 0 or sample.time < self.origin:
            return None
        for row in self._stage.reports.after(self._reports_read):
            if row["time"] > sample.time:
                break
            self._reports_read += 1
            if row["time"] >= self.origin:
                self.take_report(row)
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

    def build(self, figure) -> None:
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

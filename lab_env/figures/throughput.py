"""Live picture: records produced and consumed per second."""

from matplotlib.lines import Line2D

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.timeline import SILENT, Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.facts.counts import OwnerCounts
from lab_env.observation.facts.series import Rate, Series
from lab_env.observation.sample import Place, Sample

PRODUCED = "produced"


class Throughput(TimeFigure):
    """Records/s of a topic: produced, and consumed by each group or by each member.

    Args:
        stage, scale: as of every picture.
        topic: real name.
        groups: real names; what they commit is what they have consumed.
        by: "group", or "member" for who owned the partition.
    """

    def __init__(
        self, stage: Stage, topic: str, groups: tuple[str, ...], by: str, scale: float = 1.0
    ):
        super().__init__(stage, ("throughput", topic, groups, by), scale, groups)
        self._topic, self._groups, self._by = topic, groups, by
        self.topic = topic
        self.title = say("figures.throughput_title", topic=topic)
        self.panels = [Panel(label=say("figures.rate_unit"))]
        self._scale = scales.Amount(least=10)
        self._rates: dict[str, Rate] = {}
        self._values: dict[str, Series] = {}
        self._lines: dict[str, Line2D] = {}
        self._owners = {group: OwnerCounts(topic, group, first_counts=False) for group in groups}
        self._began: dict[str, dict[Place, int]] = {group: {} for group in groups}
        self._placeless: set[str] = set()  # groups that have committed nothing, as last told
        self._share: set[str] = set()  # and share groups of which no rate is told
        stage.palette.look(PRODUCED)

    def take(self, sample: Sample) -> object:
        """Take in the counts of a sample."""
        if not sample.stale.get("topics") and not sample.has(self._topic):
            for name, series in self._values.items():  # of no topic there is no rate, and no zero
                series.cut(sample.time)
                self._rates[name].reset()
            self._placeless.clear()
            return None
        counts = {PRODUCED: sample.produced(self._topic)}
        sources = {PRODUCED: "topics"}
        for group in self._groups:
            self._note_placeless(sample, group)
            if self._by == "group":
                sources[group] = group
                if (count := self._consumed(sample, group)) is not None:
                    counts[group] = count
                continue
            for member, count in self._owners[group].take(sample).items():
                counts[member] = count
                sources[member] = group
        for name in self._values.keys() - counts.keys():  # a member that has left
            self._values[name].cut(sample.time)
            self._rates[name].reset()
        for name, count in counts.items():
            stale = max(sample.stale.get("topics", 0.0), sample.stale.get(sources[name], 0.0))
            self._take_count(name, sample.time, count, stale)
        return counts

    def _note_placeless(self, sample: Sample, group: str) -> None:
        seen = sample.groups.get(group)
        if seen is None or self.stale(sample) > 0:
            return
        self._placeless.discard(group)
        self._share.discard(group)
        if seen.is_share:
            if sample.completed(self._topic, group) is None or self._by == "member":
                self._share.add(group)
            return
        if not any(topic == self._topic for topic, _ in seen.committed) and sample.placeless(
            self._topic, group
        ):
            self._placeless.add(group)

    def _consumed(self, sample: Sample, group: str) -> int | None:
        """Return how far a group has come since its first commits were seen; None before them.

        Its first commit in a partition may pass records that it has skipped, so no rate is taken
        from it.
        """
        seen = sample.groups.get(group)
        if seen is not None and seen.is_share:
            return sample.completed(self._topic, group)
        committed = (
            {p: at for p, at in seen.committed.items() if p[0] == self._topic} if seen else {}
        )
        if not committed and group in self._placeless:
            return None
        began = self._began[group]
        for place in began.keys() - committed.keys():  # the topic was made anew
            del began[place]
        return sum(at - began.setdefault(place, at) for place, at in committed.items())

    def _take_count(self, name: str, time: float, count: int, stale: float) -> None:
        if name not in self._values:
            self._values[name] = Series()
            self._rates[name] = Rate()
            self._stage.palette.look(name)  # marks of this name bear its colour from now on
            self.series.append(self._values[name])
        if stale > 0:  # the last value again: no news, and no zero either
            if stale > SILENT:
                self._values[name].cut(time)
                self._rates[name].reset()
            return
        rate = self._rates[name].at(time, count)
        if rate is not None and time >= self.origin:
            self._values[name].add(time, rate)

    def _word(self, name: str) -> str:
        return say("figures.produced") if name == PRODUCED else style.shorten(name)

    def scale_panels(self, now: float) -> None:
        """Fit the axis to the rates in sight."""
        self._scale.fit(max((s.highest() for s in self.series), default=0.0), now)
        panel = self.panels[0]
        panel.high = self._scale.top
        panel.ticks = amount_ticks(self._scale, 300)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        highest = style.number(self._scale.top)
        return self.room_for([(self._word(name), highest) for name in self._values], self.panels[0])

    def draw(self, now: float) -> list:
        """Draw a line for each name."""
        artists, names = [], []
        palette = self._stage.palette
        for name, series in self._values.items():
            look = palette.look(name)
            if name not in self._lines:
                self._lines[name] = self.line(self.panels[0], look.colour)
            artists += self.show_series(series, self._lines[name])
            names.append(self.name_of(series, self._word(name), look))
        self.show_names(self.panels[0], [name for name in names if name])
        return artists[1:] + artists[:1]  # what was produced lies on top

    def tell(self, now: float) -> str:
        """Say the newest rates, and who has committed nothing."""
        rates = [
            say("figures.rate_of", name=self._word(name), rate=style.number(series.last))
            for name, series in self._values.items()
            if series.last is not None
        ]
        silent = [
            say(f"figures.rate_{'share' if group in self._share else 'uncommitted'}", group=group)
            for group in self._groups
            if group in self._placeless | self._share
        ]
        return self.sentence_of(now, [*rates, *silent])

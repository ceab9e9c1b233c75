"""Throughput: records/s into a topic, and out of it by group or by member."""

from lab_env.messages import say
from lab_env.pictures import style
from lab_env.pictures.picture import Label, Picture

SMOOTH = 0.9  # seconds: rates over less than this only show when the sampler looked


class Rate:
    """A growing total and its rate, point by point."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.totals: list[float] = []
        self.rates: list[float] = []
        self._back = 0

    def add(self, time: float, total: float) -> None:
        """Take the total at a moment; a total that falls (a topic made anew) starts again."""
        if self.totals and total < self.totals[-1]:
            self._back = len(self.totals)
        self.times.append(time)
        self.totals.append(total)
        while self._back + 1 < len(self.times) and time - self.times[self._back + 1] >= SMOOTH:
            self._back += 1
        span = time - self.times[self._back]
        grown = total - self.totals[self._back]
        self.rates.append(grown / span if span >= SMOOTH / 2 else 0.0)

    def gap(self, time: float) -> None:
        """Break the line: nothing is known of this moment."""
        self.times.append(time)
        self.totals.append(self.totals[-1] if self.totals else 0)
        self.rates.append(float("nan"))
        self._back = len(self.times) - 1


class Throughput(Picture):
    """Lines of records/s over time.

    Args:
        topic: real name.
        groups: real names of the groups that consume it.
        by: "group" for a line a group, "member" for a line a member.
    """

    def __init__(self, topic: str, groups: tuple[str, ...], by: str, *rest):
        self.topic = topic
        self.groups = groups
        self.by = by
        self.series: dict[str, Rate] = {say("pictures.produced"): Rate()}
        self._lines: dict[str, object] = {}
        self._last = None
        self._done: dict[str, float] = {}
        self._top = 10.0
        super().__init__(say("pictures.throughput_title", topic=topic), *rest)

    def build(self) -> None:
        """Name the axis."""
        self.amount_axis(0, say("pictures.records_per_second"))

    def take(self, samples, rows) -> None:
        """Turn offsets into totals."""
        for sample in samples:
            time = self.since(sample.time)
            if "topics" in sample.stale:
                for rate in self.series.values():
                    rate.gap(time)
                continue
            totals = {say("pictures.produced"): float(sample.produced(self.topic))}
            if self.by == "group":
                for group in self.groups:
                    if group in sample.groups:
                        totals[group] = float(sample.consumed(self.topic, group))
            else:
                totals |= self._by_member(sample)
            for name, total in totals.items():
                self.series.setdefault(name, Rate()).add(time, total)
            self._last = sample

    def _by_member(self, sample) -> dict[str, float]:
        """Give what was committed since the last sample to whoever owns the partition."""
        for name in self.groups:
            group = sample.groups.get(name)
            before = self._last.groups.get(name) if self._last else None
            if group is None:
                continue
            for member in group.members:
                self._done.setdefault(member, 0.0)
            if before is None:
                continue
            for place, offset in group.committed.items():
                owner = group.owners.get(place) or before.owners.get(place)
                grown = offset - before.committed.get(place, sample.starts.get(place, 0))
                if owner and place[0] == self.topic and grown > 0:
                    self._done[owner] = self._done.get(owner, 0.0) + grown
        return dict(self._done)

    def _colour(self, name: str) -> str:
        return style.INK if name == say("pictures.produced") else self.palette.of(name)[0]

    def move(self) -> None:
        """Give each line its points and its name its value."""
        start = self.start_of_window()
        for name, rate in self.series.items():
            if name not in self._lines:
                self._lines[name] = self.line(0, self._colour(name))
            self._lines[name].set_data(rate.times, rate.rates)
            if rate.times and rate.times[-1] >= start:
                text = say("pictures.named_value", name=name, value=style.number(_last(rate)))
                self.labels.append(
                    (0, Label(rate.times[-1], _last(rate), text, self._colour(name)))
                )

    def limits(self) -> tuple:
        """Grow the axis at once, shrink it only when half of it is empty."""
        start = self.start_of_window()
        peak = max(
            (
                value
                for rate in self.series.values()
                for moment, value in zip(reversed(rate.times), reversed(rate.rates), strict=True)
                if moment >= start and value == value
            ),
            default=0.0,
        )
        wanted = style.nice_top(peak)
        if wanted > self._top or wanted < self._top / 2:
            self._top = wanted
        self.axes[0].set_ylim(0, self._top)
        return (self._top,)

    def sentence(self) -> str:
        """Say the newest rates."""
        values = say("pictures.list_join").join(
            say("pictures.rate_value", name=name, value=style.number(_last(rate)))
            for name, rate in self.series.items()
        )
        return say(
            "pictures.throughput_sentence",
            topic=self.topic,
            values=values,
            seconds=style.number(self.now),
        )


def _last(rate: Rate) -> float:
    return next((value for value in reversed(rate.rates) if value == value), 0.0)

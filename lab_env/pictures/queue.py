"""The queue: who handled what, and under it, on the same time axis, how many commands wait."""

from lab_env.messages import say
from lab_env.pictures import style
from lab_env.pictures.lag import Depth
from lab_env.pictures.picture import Label, Picture


class Queue(Picture):
    """A row a worker with a tick for each record it handled; below, the depth of the queue.

    Args:
        topic: real name.
        group: real name of the group whose members are the workers.
    """

    panels = (1.5, 1.0)
    left = 0.135

    def __init__(self, topic: str, group: str, *rest):
        self.topic = topic
        self.group = group
        self.handled: dict[str, list[float]] = {}
        self._rows: dict[str, object] = {}
        self._reported = False
        self._last = None
        self._top = 10.0
        super().__init__(say("pictures.queue_title", topic=topic, group=group), *rest)

    def build(self) -> None:
        """Make the depth's line; a worker gets its row when it is first seen."""
        self.amount_axis(1, say("pictures.waiting"), ticks=3)
        self.axes[0].set_yticks([])
        self.axes[0].grid(visible=False)
        self.axes[0].spines["left"].set_visible(False)
        self.depth = Depth(self, 1, style.COLOURS[0], filled=True)

    def take(self, samples, rows) -> None:
        """Read who handled what from reports, or else from what was committed by whom."""
        for row in rows:
            if "handled" in row and row["time"] >= self.began - 0.01:
                if not self._reported:
                    self._reported = True
                    self.handled.clear()
                self.handled.setdefault(row["service"], []).append(self.since(row["time"]))
        for sample in samples:
            known = "topics" not in sample.stale and self.group not in sample.stale
            value = float(sample.lag(self.topic, self.group)) if known else float("nan")
            self.depth.add(self.since(sample.time), value)
            group = sample.groups.get(self.group)
            if group is None or not known:
                continue
            for member in group.members:
                self.handled.setdefault(member, [])
            if not self._reported:
                self._take_commits(sample, group)
            self._last = sample

    def _take_commits(self, sample, group) -> None:
        before = self._last.groups.get(self.group) if self._last else None
        for place, offset in group.committed.items() if before else ():
            owner = group.owners.get(place) or before.owners.get(place)
            grown = offset - before.committed.get(place, sample.starts.get(place, 0))
            if owner and place[0] == self.topic and grown > 0:
                self.handled.setdefault(owner, []).extend([self.since(sample.time)] * grown)

    def move(self) -> None:
        """Give each row its ticks and its count."""
        self.depth.move()
        for at, (name, times) in enumerate(sorted(self.handled.items())):
            colour = self.palette.of(name)[0]
            if name not in self._rows:
                self._rows[name] = self.line(
                    0, colour, linestyle="", marker="|", markeredgewidth=self.points(1.6)
                )
            row = self._rows[name]
            room = 190 / self.scale / max(len(self.handled), 1)
            row.set_markersize(min(self.points(22), room * 0.6))
            row.set_data(times, [at] * len(times))
            text = say("pictures.handled", count=style.number(len(times)))
            self.labels.append((0, Label(self._window()[1], at, text, colour)))
        if self.depth.times:
            text = say("pictures.waiting_value", value=style.number(self.depth.last))
            self.labels.append(
                (1, Label(self.depth.times[-1], self.depth.last, text, style.COLOURS[0]))
            )

    def limits(self) -> tuple:
        """Name the rows, and scale the depth."""
        names = sorted(self.handled)
        axes = self.axes[0]
        axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names, fontsize=self.points(12))
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_color(self.palette.of(name)[0])
        wanted = style.nice_top(self.depth.peak(self.start_of_window()))
        if wanted > self._top or wanted < self._top / 2:
            self._top = wanted
        self.axes[1].set_ylim(0, self._top)
        return (self._top, tuple(names))

    def sentence(self) -> str:
        """Say who handled how many, and how many wait."""
        values = say("pictures.list_join").join(
            say("pictures.handled_value", name=name, value=style.number(len(times)))
            for name, times in sorted(self.handled.items())
        )
        return say(
            "pictures.queue_sentence",
            topic=self.topic,
            values=values or say("pictures.nothing_yet"),
            waiting=style.number(self.depth.last),
            seconds=style.number(self.now),
        )

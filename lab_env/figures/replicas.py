"""Live picture: who leads, who is in sync; records/s below. Long: one picture."""

from functools import partial
from itertools import pairwise
from math import ceil

from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from lab_env.figures.bars import HATCH, NO_ONE
from lab_env.figures.engine import marks, scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.stencil import Stamped
from lab_env.figures.engine.timeline import SILENT, Panel, TimeFigure, amount_ticks
from lab_env.figures.ownership import ranges
from lab_env.ground.journal import Mark
from lab_env.messages import say
from lab_env.observation.facts.leadership import (
    BEHIND,
    IN_SYNC,
    LEADER,
    ROLES,
    LeaderChange,
    Leaderless,
    Leadership,
    away,
)
from lab_env.observation.facts.series import Rate, Series, Spacing
from lab_env.observation.sample import Sample

BETWEEN = 0.55  # lanes of room between two partitions
FILLED = 0.8  # of a lane
PALE = 0.78  # of the way to white: an in-sync replica beside its leader
THINNEST = 4.0  # units of a lane; of more partitions than find room, the first ones are shown
FEWEST = 6.0  # lanes for which there is room at the least, so that one does not fill the panel
PAD = 5.0  # units between the begin of a bar and its word
MOST_TOLD = 12  # brokers and stretches that the sentence names one by one


class ReplicaTimeline(Stamped, TimeFigure):
    """Lanes in the brokers' colours: a partition has a lane for each broker that keeps it.

    Strong is the leader, light an in-sync replica, hatched one that is not in sync; where its
    broker was killed, stopped or frozen there is a gap. Grey with words is a partition without a
    leader, dotted what nobody knows, since Kafka does not answer.

    Args:
        stage, scale: as of every picture.
        topic: real name.

    Attributes:
        leaders: by partition, as the last frame shows them; -1 is nobody.
    """

    def __init__(self, stage: Stage, topic: str, scale: float = 1.0):
        super().__init__(stage, ("replicas", topic), scale)
        self._topic = topic
        self.title = say("figures_replicas.title", topic=topic)
        self.leaders: dict[int, int] = {}
        self._history = Leadership(topic)
        self._lanes = Panel(weight=3.0, grid=False)
        self._below = Panel(label=say("figures_replicas.rate"))
        self.panels = [self._lanes, self._below]
        self._rate, self._rates = Rate(), Series()
        self.series = [self._rates]
        self._scale = scales.Amount(least=10)
        self._spacing = Spacing()
        self._there: bool | None = None  # whether there is such a topic
        self._away: dict[int, list[tuple[float, float | None]]] = {}
        self._noted: tuple = ()
        self._tops: dict[tuple[int, int], float] = {}  # by partition and broker, in lanes
        self._named = True  # whether lanes are thick enough for the brokers' names

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> object:
        """Take in leaders, in-sync replicas and the count of a sample."""
        stale = self.stale(sample)
        if stale > SILENT:
            self._rates.cut(sample.time)
            self._rate.reset()
        if stale > 0:
            return self._history.wait(sample.time, unanswered=True)
        changed = self._history.take(sample)
        for broker in self._history.brokers():  # broker 1 gets its colour before broker 2
            self._stage.palette.look(_name(broker))
        rate = None
        self._there = sample.has(self._topic)
        if self._there:
            rate = self._rate.at(sample.time, sample.produced(self._topic))
        else:  # of no topic there is no rate, and no zero
            self._rates.cut(sample.time)
            self._rate.reset()
        if rate is not None and sample.time >= self.origin:
            self._rates.add(sample.time, rate)
        self._spacing.add(sample.time)
        leaderless = any(kept.leader < 0 for kept in self._history.now.values())
        # what goes on is news with every sample, since its length grows
        return changed, rate, sample.time if leaderless else None

    def read(self, now: float) -> bool:
        """Take in what is new, and write what was seen beside the journal's marks."""
        changed = super().read(now) | self._history.wait(now)
        journal, seen = self._stage.journal.marks, self._history.changes
        noted = len(journal), self._marks_seen, len(seen), seen[-1:]
        if noted != self._noted:
            self._noted = noted
            self._away = away(journal)
            told = [mark for mark in journal if self._in_sight(mark)]
            own = [mark for mark in _marks_of(seen) if mark.time >= self.origin]
            self._marks = marks.merge([*told, *own])
            changed = True
        return changed

    def _is_away(self, broker: int) -> bool:
        spans = self._away.get(broker)
        return bool(spans) and spans[-1][1] is None

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make what every frame uses again."""
        super().build(figure)
        self.begin_words(figure)
        axes = self._lanes.axes
        plain = partial(PolyCollection, [], animated=True, edgecolors="none")
        self._zones = plain(facecolors=NO_ONE)
        self._unknown = PolyCollection(
            # dots: hatched is a replica that is not in sync
            [],
            facecolors=HATCH[0],
            edgecolors=HATCH[1],
            hatch="..",
            lw=0,
            animated=True,
        )
        self._bars = [plain() for _ in ROLES]
        self._bars[IN_SYNC].set_linewidth(1.2)
        self._bars[BEHIND].set(linewidth=0.8, hatch="/////", facecolors="#ffffff")
        for artist in (self._zones, self._unknown, *self._bars):
            axes.add_collection(artist, autolim=False)
        self._line = self.line(self._below, style.INK)

    def _first_ones(self) -> list[int]:
        """Return the partitions that are shown: as many of the first as find room."""
        found, lanes = [], 0.0
        for partition in sorted(self._history.spells):
            lanes += len(self._history.brokers(partition)) + (BETWEEN if found else 0.0)
            if found and lanes * THINNEST > 0.48 * style.HEIGHT:
                break
            found.append(partition)
        return found

    def scale_panels(self, now: float) -> None:
        """Give each replica in sight its lane, and fit the axis of the throughput."""
        self._history.trim(self.origin + self._window[0])
        self._tops, lane = {}, 0.0
        for partition in self._first_ones():
            for broker in self._history.brokers(partition):
                self._tops[partition, broker] = lane
                lane += 1
            lane += BETWEEN
        panel = self._lanes
        panel.low, panel.high = max(lane - BETWEEN, FEWEST), 0.0  # the first one on top
        # stands for all of them: `_lay_panel` knows which find room
        partition, broker = max(self._tops, default=(0, 0))
        widest = say("figures_replicas.row", partition=partition)
        if self._named:
            widest += f"{_words(broker)}    "
        panel.ticks = ((0.0, widest, style.SOFT),)
        self._scale.fit(self._rates.highest(), now)
        self._below.high = self._scale.top
        self._below.ticks = amount_ticks(self._scale, 70)

    def names(self) -> list[str]:
        """Return what stands at the right: as wide as it may become."""
        count = 10 ** len(str(len(self._history.spells))) - 1
        states = [
            say(f"figures_replicas.{key}", broker=_words(broker), count=count)
            for broker in self._history.brokers()
            for key in ("leads", "follows", "is_behind", "is_away")
        ]
        rate = say("figures.produced"), style.number(self._scale.top)
        return [*states, *self.room_for([rate], self._below)]

    def layout(self, now: float) -> object:
        """Return what the axes depend on."""
        known = self._rows_more(), self._spacing.words, self._named
        return super().layout(now), tuple(self._tops), *known

    def _lay_panel(self, panel: Panel, low: int, high: int, *, last: bool, label_left: float):
        if panel is self._below:
            room = panel.height + 14
            fits = self.measure(panel.label, style.TEXT) < room
            label, panel.label = panel.label, panel.label if fits else self._short_label(room)
            super()._lay_panel(panel, low, high, last=last, label_left=label_left)
            panel.label = label
            return
        self._pitch = panel.height / panel.low
        line = self.line_height(style.TEXT)
        placeholder = panel.ticks
        self._named = self._pitch >= 0.82 * line
        panel.ticks = self._lane_ticks() if self._named else ()
        super()._lay_panel(panel, low, high, last=last, label_left=label_left)
        self._name_partitions(panel, line)
        panel.ticks = placeholder

    def _short_label(self, room: float) -> str:
        short = say("figures_replicas.rate_short")
        return short if self.measure(short, style.TEXT) < room else ""

    def _lane_ticks(self) -> list:
        look = self._stage.palette.look
        return [
            (top + 0.5, _words(broker), look(_name(broker)).ink)
            for (_, broker), top in self._tops.items()
        ]

    def _name_partitions(self, panel: Panel, line: float) -> None:
        """Write the partitions' names beside their lanes: all, or every nth if lanes are thin."""
        middles = {p: (top + bottom) / 2 for p, (top, bottom) in self._blocks().items()}
        right = panel.left - 9
        if panel.ticks:
            right -= max(self.measure(f"{text} ", style.TEXT) for _, text, _ in panel.ticks) + 4
        apart = min((b - a for a, b in pairwise(middles.values())), default=99.0)
        every = max(ceil(0.9 * line / (apart * self._pitch)), 1)
        for partition, middle in list(middles.items())[::every]:
            words = say("figures_replicas.row", partition=partition)
            self.fix_text(
                style.TEXT, style.INK, right, panel.y(middle), words, ha="right", weight="bold"
            )

    def axis_words(self) -> str:
        """Return what stands at the time axis: how to read the lanes, and what is not shown."""
        more, leaderless = self._rows_more()
        keys = ("axis_more", "axis_few") if more else ("axis", "axis_short")
        values = {"seconds": self._spacing.words, "count": more, "leaderless": leaderless}
        texts = [say(f"figures_replicas.{key}", **values) for key in keys]
        room = self._lanes.width + 0.9 * self._lanes.left
        return texts[self.measure(texts[0], style.TEXT) > room]

    def _rows_more(self) -> tuple[int, int]:
        """Return how many partitions find no room, and how many of them have no leader."""
        shown = {partition for partition, _ in self._tops}
        others = [kept for partition, kept in self._history.now.items() if partition not in shown]
        return len(others), sum(kept.leader < 0 for kept in others)

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Draw lanes and line, and the words on and beside them."""
        self._words.clear()
        self.leaders = {p: kept.leader for p, kept in self._history.now.items()}
        artists = self._draw_lanes()
        self._write_brokers()
        artists += self.show_series(self._rates, self._line)
        look = style.Look(style.INK, "o", style.INK)
        name = self.name_of(self._rates, say("figures.produced"), look)
        self.show_names(self._below, [name] if name else [])
        return [*artists, self._words]

    def _draw_lanes(self) -> list:
        boxes: list[list] = [[], [], []]
        colours: list[list[str]] = [[], [], []]
        for (partition, broker), top in self._tops.items():
            for role, begin, end in self._history.roles(partition, broker):
                for a, b in self._present(broker, role, begin, end):
                    edge = top + (1 - FILLED) / 2
                    boxes[role].append(_box(a, b, edge, edge + FILLED))
                    colours[role].append(self._stage.palette.look(_name(broker)).colour)
                    self._write_in_lane(role, broker, a, b, top + 0.5)
        unknown, zones = [], []
        for partition, (top, bottom) in self._blocks().items():
            for spell, end in self._history.stretches(partition):
                if spell.kept is None:
                    unknown.append(_box(spell.begin, end, top, bottom))
                elif spell.kept.leader < 0 and spell.kept.replicas:
                    zones.append(_box(spell.begin, end, top, bottom))
        for role, artist in enumerate(self._bars):
            artist.set_verts(boxes[role])
        self._bars[LEADER].set_facecolor(colours[LEADER])
        self._bars[IN_SYNC].set_facecolor([style.paler(one, PALE) for one in colours[IN_SYNC]])
        self._bars[IN_SYNC].set_edgecolor(colours[IN_SYNC])
        self._bars[BEHIND].set_edgecolor(colours[BEHIND])
        self._unknown.set_verts(unknown)
        self._zones.set_verts(zones)
        self._write_unknown()
        self._write_leaderless()
        return [self._unknown, self._zones, *self._bars]

    def _present(self, broker: int, role: int, begin: float, end: float) -> list:
        """Return the parts of a stretch that are drawn: what is not in sync and away is a gap."""
        if role != BEHIND:  # what the cluster takes for a leader is drawn as one, dead or not
            return [(begin, end)]
        parts, at = [], begin
        for gone, back in self._away.get(broker, ()):
            if gone > at:
                parts.append((at, min(gone, end)))
            at = max(at, end if back is None else back)
            if at >= end:
                break
        return [(a, b) for a, b in [*parts, (at, end)] if b > a]

    def _write_in_lane(self, role: int, broker: int, begin: float, end: float, y: float) -> None:
        """Write a lane's word at the begin of a bar, if the bar has room for it."""
        if FILLED * self._pitch < 0.88 * style.NAME * self.scale * style.UNITS_PER_POINT:
            return
        words = say(f"figures_replicas.{ROLES[role]}")
        left = max(self.x(begin), self._lanes.left) + PAD
        right = min(self.x(end), self._lanes.left + self._lanes.width)
        if right - left < self.measure(words, style.NAME) + PAD:
            return
        look = self._stage.palette.look(_name(broker))
        ink = look.ink
        if role == LEADER:  # white is read on what is read on white
            ink = "#ffffff" if look.ink.lower() == look.colour.lower() else style.INK
        self.moving_name(ink, left, self._lanes.y(y), words, plate=role == BEHIND)

    def _blocks(self) -> dict[int, tuple[float, float]]:
        """Return between which lanes each partition that is shown stands."""
        blocks: dict[int, tuple[float, float]] = {}
        for (partition, _), top in self._tops.items():
            blocks[partition] = blocks.get(partition, (top,))[0], top + 1
        return blocks

    def _write_unknown(self) -> None:
        """Write on each dotted stretch that nothing is known of it, if it has room."""
        words, panel = say("figures_replicas.unknown"), self._lanes
        for partition, (top, bottom) in self._blocks().items():
            for spell, end in self._history.stretches(partition):
                left = max(self.x(spell.begin), panel.left) + PAD
                right = min(self.x(end), panel.left + panel.width)
                if spell.kept is None and right - left > self.measure(words, style.NAME) + PAD:
                    y = panel.y((top + bottom) / 2)
                    self.moving_name(style.SOFT, left, y, words, plate=True)

    def _write_leaderless(self) -> None:
        """Write on each stretch without a leader how long it is, and who was in sync last."""
        panel, line, blocks = self._lanes, self.line_height(style.NAME), self._blocks()
        for gap in self._history.leaderless():
            top, bottom = blocks.get(gap.partition, (0.0, 0.0))
            rows = int((bottom - top) * self._pitch / (0.9 * line))
            left = max(self.x(gap.begin), panel.left) + PAD
            goes_on = gap.end == self._history.edge
            room = (panel.left + panel.width if goes_on else self.x(gap.end)) - left
            for words in self._leaderless_words(gap, goes_on):
                if len(words) > rows or max(self.measure(w, style.NAME) for w in words) > room:
                    continue
                y = panel.y((top + bottom) / 2) + (len(words) - 1) * line / 2
                for text in words:
                    self.moving_name(style.INK, left, y, text)
                    y -= line
                break

    def _leaderless_words(self, gap: Leaderless, goes_on: bool) -> list[list[str]]:
        """Return what may be written on a stretch without a leader, as lines, the best first."""
        none = say("figures_replicas.no_leader")
        seconds = say("figures_replicas.seconds", seconds=f"{gap.end - gap.begin:.1f}")
        found = [[f"{none} {seconds}"], [none, seconds], [none], [seconds]]
        if goes_on and gap.last:
            brokers = ", ".join(map(_words, gap.last))
            last = say("figures_replicas.last_in_sync", brokers=brokers)
            found = [[f"{none} {seconds}, {last}"], [f"{none} {seconds}", last], *found]
        return found

    def _write_brokers(self) -> None:
        """Write right of the lanes what each broker is now."""
        panel, line = self._lanes, self.line_height(style.NAME)
        y = panel.bottom + panel.height - line / 2
        x = panel.left + panel.width + 8
        if self._history.spells and not self._history.now:
            self.moving_name(style.SOFT, x, y, say("figures_replicas.no_topic"))
        for broker in sorted(self._history.brokers_now):
            if y < panel.bottom:
                return
            words = self._state_of(broker)
            self.moving_name(self._stage.palette.look(_name(broker)).ink, x, y, words)
            y -= line

    def _state_of(self, broker: int) -> str:
        leads = sum(kept.leader == broker for kept in self._history.now.values())
        if self._is_away(broker):
            key = "is_away"
        elif broker in self._history.behind:
            key = "is_behind"
        else:
            key = "leads" if leads else "follows"
        return say(f"figures_replicas.{key}", broker=_words(broker), count=leads)

    # -- telling ------------------------------------------------------------------------------

    def tell(self, now: float) -> str:
        """Say who leads what, who is not in sync, who had no leader, and records/s."""
        parts = self._leaders_told()
        if (last := self._rates.last) is not None:
            parts.append(say("figures_replicas.told_rate", rate=style.number(last)))
        parts.append(say("figures_replicas.told_seen", seconds=self._spacing.words))
        return self.sentence_of(now, ["; ".join(parts)])

    def _leaders_told(self) -> list[str]:
        history = self._history
        if not history.spells:
            there = self._there is not False
            return [say("figures.nothing_yet" if there else "figures_replicas.told_gone")]
        if history.is_unknown:
            key = "told_unknown" if history.is_unanswered else "told_unseen"
            return [say(f"figures_replicas.{key}")]
        if not history.now:
            return [say("figures_replicas.told_gone")]
        led: dict[int, list[int]] = {}
        late: dict[int, list[int]] = {}
        for partition, kept in history.now.items():
            led.setdefault(kept.leader, []).append(partition)
            for broker in kept.replicas if kept.leader >= 0 else ():
                if broker not in kept.isr:
                    late.setdefault(broker, []).append(partition)
        parts = [
            say("figures_replicas.told_leads", broker=broker, partitions=ranges(led[broker]))
            for broker in sorted(led)[:MOST_TOLD]
            if broker >= 0
        ]
        parts += self._leaderless_told()
        parts += [
            say("figures_replicas.told_away", broker=broker)
            for broker in sorted(history.brokers_now)
            if self._is_away(broker)
        ]
        parts += [
            say("figures_replicas.told_behind", broker=broker, partitions=ranges(late[broker]))
            for broker in sorted(late)[:MOST_TOLD]
        ]
        return parts if late or -1 in led else [*parts, say("figures_replicas.told_all_in_sync")]

    def _leaderless_told(self) -> list[str]:
        parts = []
        for partition, begin, end, last in self._history.leaderless()[-MOST_TOLD:]:
            key, brokers = "told_was_leaderless", ", ".join(map(str, last))
            if end == self._history.edge:
                key = "told_leaderless_last" if brokers else "told_leaderless"
            values = {"partition": partition, "seconds": f"{end - begin:.1f}", "brokers": brokers}
            parts.append(say(f"figures_replicas.{key}", **values))
        return parts


def _name(broker: int) -> str:
    """Return what a broker is called in the journal and the palette."""
    return f"broker {broker}"


def _words(broker: int) -> str:
    return say("figures_replicas.broker", broker=broker)


def _box(begin: float, end: float, top: float, bottom: float) -> list[tuple[float, float]]:
    return [(begin, top), (end, top), (end, bottom), (begin, bottom)]


def _marks_of(changes: list[LeaderChange]) -> list[Mark]:
    """Return what was seen as marks: the leaders that one sample saw moved are one of them."""
    found = []
    leaders: dict[float, list[LeaderChange]] = {}
    for change in changes:
        if change.kind == "leader":
            leaders.setdefault(change.time, []).append(change)
            continue
        words = say(f"figures_replicas.mark_{change.kind}", broker=_words(change.broker))
        found.append(Mark(change.time, words, marks.SEEN, _name(change.broker)))
    for time, moved in leaders.items():
        first = moved[0]
        words = say("figures_replicas.mark_leaders", count=len(moved))
        if len(moved) == 1:
            broker = _words(first.broker)
            words = say("figures_replicas.mark_leader", partition=first.partition, broker=broker)
        found.append(Mark(time, words, marks.SEEN))
    return found

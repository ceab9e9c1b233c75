"""Live picture: which member of a group owns which partition. Long: one picture."""

import re
from math import ceil

from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from lab_env.figures.bars import ZONE, Bars
from lab_env.figures.engine import marks, scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.stencil import Pixels, Stamped
from lab_env.figures.engine.timeline import Panel, TimeFigure, amount_ticks
from lab_env.figures.lag import LagLine, LagSeries
from lab_env.ground.journal import Mark
from lab_env.messages import say
from lab_env.observation.facts.ownership import FIRST, MemberChange, OwnershipHistory
from lab_env.observation.facts.series import Spacing
from lab_env.observation.sample import OWNING, Sample

SAME = 2.0  # seconds within which a mark of the journal and a change that was seen are one event
SAID = {True: ("start",), False: ("stop", "crash", "fail", "kill")}  # kinds of marks that tell it
MOST_TOLD = 12  # members that the sentence names one by one
WIDEST = 190.0  # units that names beside a block may take


class Block:
    """The rows of one group and topic: what is known, and how it is painted.

    Args:
        topic, group: real names.
        name: by which it is told from the other blocks: the group's, or the topic's.
        panel: its place.
    """

    bars: Bars  # both are made in `build`
    artist: Pixels

    def __init__(self, topic: str, group: str, name: str, panel: Panel):
        self.name = name
        self.tenure = OwnershipHistory(topic, group)
        self.depth = LagSeries(topic, group)
        self.panel = panel


class Ownership(Stamped, TimeFigure):
    """Bars in the members' colours, a row a partition, a block of rows a group; below, the lag.

    Where groups read several topics, a block is of one group and one topic.

    Args:
        stage, scale: as of every picture.
        topics: real names, at least one.
        groups: real names, at least one.
        lag: whether to show the records that wait; of one topic only.
    """

    def __init__(
        self,
        stage: Stage,
        topics: tuple[str, ...],
        groups: tuple[str, ...],
        lag: bool = True,
        scale: float = 1.0,
    ):
        super().__init__(stage, ("ownership", topics, groups, lag), scale, groups)
        several = len(topics) > 1
        self.title = say("figures.ownership_title", topic=", ".join(topics))
        self._blocks = [
            Block(topic, group, topic if several else group, Panel(grid=False))
            for group in groups
            for topic in topics
        ]
        self._lag_panel = Panel(label=say("figures.lag_unit")) if lag else None
        self.panels = [block.panel for block in self._blocks]
        if self._lag_panel is not None:
            self.panels.append(self._lag_panel)
            depths = [block.depth for block in self._blocks]
            self.series = [one for depth in depths for one in (depth.series, depth.guess)]
        self._scale = scales.Amount(least=10)
        self._spacing = Spacing()
        self._changes: tuple = ()

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> object:
        """Take in owners and lags of a sample."""
        facts: list = []
        for block in self._blocks:
            facts.append(block.tenure.take(sample))
            if self._lag_panel is not None:
                facts.append(block.depth.take(sample, self.origin))
                if block.tenure.is_gone:
                    block.depth.cut(sample.time)
            for name in sorted(block.tenure.members, key=style.natural):
                self._stage.palette.look(name)  # truck-1 gets its colour before truck-2
        if not self.stale(sample):
            self._spacing.add(sample.time)
        # a rebalance that goes on is news with every sample, since its length grows
        growing = any(block.tenure.going_on for block in self._blocks)
        return facts, sample.time if growing else None

    def read(self, now: float) -> bool:
        """Take in what is new, and write who came and went beside the journal's marks."""
        changed = super().read(now)
        for block in self._blocks:
            changed |= block.tenure.wait(now)
        seen = [change for block in self._blocks for change in block.tenure.changes]
        journal = self._stage.journal.marks
        facts = len(journal), self._marks_seen, len(seen), seen[-1] if seen else None
        if facts != self._changes:
            self._changes = facts
            told = [mark for mark in journal if self._in_sight(mark)]
            own = [
                Mark(change.time, _words_of(change), marks.SEEN, change.name)
                for change in dict.fromkeys(seen)
                if change.time >= self.origin and not _is_told(change, told)
            ]
            self._marks = marks.merge([*told, *own])
        return changed

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make what every frame uses again."""
        super().build(figure)
        palette = self._stage.palette
        self.begin_words(figure)
        for block in self._blocks:
            block.artist = Pixels()
            block.artist.set_figure(figure)
            block.bars = Bars(block.tenure, palette, self._stencils)
        if self._lag_panel is None:
            return
        panel = self._lag_panel
        # one group's lag is no member: it takes none of the members' colours
        alone = len(self._blocks) == 1 and self._blocks[0].tenure.group not in palette
        looks = [
            style.Look(style.INK, "o", style.INK) if alone else palette.look(block.tenure.group)
            for block in self._blocks
        ]
        single = len(self._blocks) == 1
        self._lines = [
            LagLine(self, panel, block.depth, look, area=single)
            for block, look in zip(self._blocks, looks, strict=True)
        ]
        self._zones = PolyCollection([], facecolors=[tuple(c / 255 for c in ZONE)], animated=True)
        self._zones.set(edgecolor="none", transform=panel.axes.get_xaxis_transform())
        panel.axes.add_collection(self._zones, autolim=False)

    def scale_panels(self, now: float) -> None:
        """Give the groups alike, and the lag what is left; fit its axis."""
        for block in self._blocks:
            last = max(block.tenure.rows - 1, 0)
            # stands for all of them: `_lay_panel` knows which find room
            block.panel.ticks = ((0.0, say("figures.ownership_row", partition=last), style.SOFT),)
            block.panel.weight = 3.0 / len(self._blocks)
        panel = self._lag_panel
        if panel is not None:
            panel.weight = 0.85 if len(self._blocks) == 1 else 0.95
            self._scale.fit(max((s.highest() for s in self.series), default=0.0), now)
            panel.high = self._scale.top
            panel.ticks = amount_ticks(self._scale, 100)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        words = [
            " ".join(text for text, _ in line)
            for block in self._blocks
            for line in self._beside(block)
        ]
        if self._lag_panel is not None:
            top = style.number(self._scale.top)
            pairs = [(self._lag_name(block), block.depth.newest(top)) for block in self._blocks]
            words += self.room_for(pairs, self._lag_panel)
        return words

    def _lag_name(self, block: Block) -> str:
        if len(self._blocks) == 1:
            return say("figures.waiting")
        return style.shorten(block.tenure.group, 14)

    def layout(self, now: float) -> object:
        """Return what the axes depend on."""
        return super().layout(now), tuple(block.tenure.rows for block in self._blocks)

    def lay(self, now: float) -> None:
        """Place everything, and paint what is in sight anew."""
        for block in self._blocks:
            block.tenure.trim(self.origin + self._window[0])
        super().lay(now)

    def axis_words(self) -> str:
        """Return what stands at the time axis, with how often this picture sees."""
        words = [say("figures.ownership_axis", seconds=self._spacing.words)]
        if min(block.bars.pitch for block in self._blocks) < 1:
            rows = max(block.tenure.rows for block in self._blocks)
            words.append(say("figures.ownership_heat", count=rows))
        return " · ".join(words)

    def _lay_panel(self, panel: Panel, low: int, high: int, *, last: bool, label_left: float):
        block = next((block for block in self._blocks if block.panel is panel), None)
        if block is None:
            label, panel.label = panel.label, self._lag_label(panel)
            super()._lay_panel(panel, low, high, last=last, label_left=label_left)
            panel.label = label
            return
        unit = self._figure.dpi / 100
        line = self.line_height(style.TEXT)
        left, bottom = round(panel.left * unit) + 1, round(panel.bottom * unit) + 1
        shape = round(panel.height * unit), round(panel.width * unit)
        block.bars.lay(
            shape, round(line * unit), self.origin + low, self._x_unit * unit, unit, self.font,
            self.scale,
        )  # fmt: skip
        block.artist.left, block.artist.bottom = left, bottom
        block.artist.pixels = block.bars.pixels
        placeholder, panel.ticks = panel.ticks, self._row_ticks(block, unit, line)
        super()._lay_panel(panel, low, high, last=last, label_left=label_left)
        panel.ticks = placeholder

    def _row_ticks(self, block: Block, unit: float, line: float) -> list:
        """Return (place, words, colour) of the rows' names: of all, or of every nth."""
        rows, bars, panel = block.tenure.rows, block.bars, block.panel
        every = ceil(0.82 * line * unit / bars.pitch)
        every = next((n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n >= every), every)
        height = panel.height * unit
        return [
            (
                1 - bars.middle(row) / height,
                say("figures.ownership_row", partition=row),
                style.SOFT,
            )
            for row in range(0, rows, every)
        ]

    def _lag_label(self, panel: Panel) -> str:
        """Return the longest words for the lag's axis for which there is room."""
        fitting = (
            words
            for words in (panel.label, say("figures.ownership_lag"))
            if self.measure(words, style.TEXT) < panel.height + 14
        )
        return next(fitting, "")

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Paint the bars on, and write what stands beside them."""
        self._words.clear()
        artists = []
        for block in self._blocks:
            block.bars.advance(now)
            artists.append(block.artist)
            self._write_beside(block)
        if self._lag_panel is not None:
            artists += self._draw_lag(self._lag_panel)
        return [*artists, self._words]

    def _draw_lag(self, panel: Panel) -> list:
        artists, names = [], []
        if len(self._blocks) == 1:
            tenure = self._blocks[0].tenure
            self._zones.set_verts(
                [
                    [(begin, 0), (end, 0), (end, 1), (begin, 1)]
                    for r in tenure.rebalances
                    for begin, end in [(r.begin, tenure.edge if r.end is None else r.end)]
                ]
            )
            artists.append(self._zones)
        for block, line in zip(self._blocks, self._lines, strict=True):
            artists += line.show()
            names.append(line.name(self._lag_name(block)))
        self.show_names(panel, [name for name in names if name])
        return artists

    def _write_beside(self, block: Block) -> None:
        panel, line = block.panel, self.line_height(style.NAME)
        y = panel.bottom + panel.height - line / 2
        for words in self._beside(block):
            x = panel.left + panel.width + 8
            for text, colour in words:
                self.moving_name(colour, x, y, text)
                x += self.measure(f"{text} ", style.NAME)
            y -= line

    def _beside(self, block: Block) -> list[list[tuple[str, str]]]:
        """Return the lines right of a block as (words, colour), as many as find room.

        The group, its protocol, then the owners where the bars are too thin for their names, then
        the idle members.
        """
        tenure = block.tenure
        head = style.INK
        if self._lag_panel is not None and len(self._blocks) > 1:
            head = self._stage.palette.look(tenure.group).ink  # as its line below
        lines = [[(style.shorten(block.name), head)], [(self._kind_of(tenure), style.SOFT)]]
        room = int((block.panel.height + 4) // self.line_height(style.NAME)) - len(lines)
        idle = sorted(tenure.idle, key=style.natural)
        unnamed = self._unnamed(block)
        count = say("figures.ownership_owners", count=len(tenure.owned))
        owners = self._legend(unnamed, count, room - bool(idle))
        lines += owners
        room -= len(owners)
        if len(idle) == 1 and room > 0:
            words = say("figures.ownership_idle", name=style.shorten(idle[0], 14))
            return [*lines, [(words, self._stage.palette.look(idle[0]).ink)]]
        if len(idle) > 1:
            count = say("figures.ownership_idle_count", count=len(idle))
            names = {name: style.shorten(name, 14) for name in idle}
            listed = self._legend(names, count, room - 1)
            if len(listed) > 1 or (listed and listed[0][0][0] != count):
                lines.append([(say("figures.ownership_idles"), style.SOFT)])
            lines += listed or ([[(count, style.SOFT)]] if room > 0 else [])
        return lines

    def _unnamed(self, block: Block) -> dict[str, str]:
        """Return all owners, with how many partitions they own, if the name of one is in no bar.

        All of them, since a list of some would look like a list of all.
        """
        tenure = block.tenure
        if tenure.is_unknown:
            return {}
        told = {tenure.names[code - FIRST] for code in block.bars.told if code >= FIRST}
        owned = tenure.owned
        # while a rebalance hides the owners, whoever is not idle was one or will be
        names = owned or {n: [] for n in tenure.members if tenure.going_on and n not in tenure.idle}
        if told.issuperset(names):
            return {}
        return {
            name: say("figures.ownership_owner", name=style.shorten(name, 14), count=len(places))
            if places
            else style.shorten(name, 14)
            for name, places in names.items()
        }

    def _legend(self, words: dict[str, str], count: str, room: int) -> list[list[tuple[str, str]]]:
        """Return lines of members' names in their colours: one a line, else several, else a count.

        Args:
            words: by member what to write of it alone in a line.
            count: what to write if they find no room.
            room: how many lines there may be.
        """
        names = sorted(words, key=style.natural)
        look = self._stage.palette.look
        if not names or room < 1:
            return []
        if len(names) <= room:
            return [[(words[name], look(name).ink)] for name in names]
        lines: list[list[tuple[str, str]]] = []
        left = 0.0
        for name in names:
            text = style.shorten(name, 14)
            width = self.measure(f"{text} ", style.NAME)
            if not lines or left + width > WIDEST:
                lines.append([])
                left = 0.0
            lines[-1].append((text, look(name).ink))
            left += width
        if len(lines) <= room:
            return lines
        if room == 1:
            return [[(count, style.SOFT)]]
        lines = lines[: room - 1]
        more = len(names) - sum(map(len, lines))
        return [*lines, [(say("figures.ownership_others", count=more), style.SOFT)]]

    def _kind_of(self, tenure: OwnershipHistory) -> str:
        """Return the group's protocol in words, or that there is no such group or topic."""
        if tenure.is_gone:
            return say("figures.ownership_no_topic")
        if tenure.state == "Dead":
            return say("figures.ownership_no_group")
        if _is_other(tenure):
            return say("figures.group_other", kind=tenure.protocol)
        if not tenure.protocol:
            return ""
        words = say(f"figures.ownership_{tenure.protocol}")
        short = say(f"figures.ownership_{tenure.protocol}_short")
        return words if self.scale < 1.3 else short

    # -- telling ------------------------------------------------------------------------------

    def tell(self, now: float) -> str:
        """Say who owns what in each group, the rebalances, and how many records wait."""
        parts = []
        for block in self._blocks:
            words = [
                *self._owners_told(block.tenure),
                *self._rebalances_told(block.tenure, now),
            ]
            if self._lag_panel is not None and (
                told := block.depth.told("figures.ownership_waiting")
            ):
                words.append(told)
            key = "group" if block.name == block.tenure.group else "topic"
            group = say(
                f"figures.ownership_{key}",
                topic=block.tenure.topic,
                group=block.tenure.group,
                kind=self._kind_of(block.tenure),
            )
            parts.append(say("figures.ownership_of", group=group, parts=", ".join(words)))
        parts.append(say("figures.ownership_seen", seconds=self._spacing.words))
        return self.sentence_of(now, ["; ".join(parts)])

    def _owners_told(self, tenure: OwnershipHistory) -> list[str]:
        if not tenure.states:
            return [say("figures.nothing_yet")]
        if tenure.is_gone:
            return [say("figures.ownership_gone")]
        if tenure.protocol == "share":
            return [say("figures.ownership_share", count=len(tenure.members))]
        if _is_other(tenure):
            return [say("figures.ownership_unshown", kind=tenure.protocol)]
        owned = tenure.owned
        names = sorted(owned, key=style.natural)
        words = [
            say("figures.ownership_owns", name=name, partitions=ranges(owned[name]))
            for name in names[:MOST_TOLD]
        ]
        if len(names) > MOST_TOLD:
            words.append(say("figures.ownership_more", count=len(names) - MOST_TOLD))
        if unowned := tenure.unowned:
            words.append(say("figures.ownership_unowned", partitions=ranges(unowned)))
        idle = sorted(tenure.idle, key=style.natural)
        words += [say("figures.ownership_owns_nothing", name=name) for name in idle[:MOST_TOLD]]
        if tenure.is_unknown:
            key = "ownership_unknown" if tenure.is_unanswered else "ownership_unseen"
            words = [say(f"figures.{key}")]
        return words

    def _rebalances_told(self, tenure: OwnershipHistory, now: float) -> list[str]:
        words = []
        if tenure.count:
            words.append(
                say(
                    "figures.ownership_rebalances",
                    count=tenure.count,
                    seconds=f"{tenure.seconds:.1f}",
                )
            )
        if tenure.going_on:
            seconds = f"{tenure.going_on.seconds(tenure.edge or now):.1f}"
            words.append(say("figures.ownership_going_on", seconds=seconds))
        return words


def _is_other(tenure: OwnershipHistory) -> bool:
    return tenure.protocol not in OWNING


def _words_of(change: MemberChange) -> str:
    key = "figures.ownership_came" if change.came else "figures.ownership_left"
    return say(key, name=change.name)


def _is_told(change: MemberChange, told: list[Mark]) -> bool:
    """Return whether a mark of the journal says what was seen."""
    plain = re.sub(r" \(\d+\)$", "", change.name)
    word = re.compile(rf"(?<![\w.-]){re.escape(plain)}(?![\w-])")
    return any(
        abs(mark.time - change.time) <= SAME
        and (
            (mark.subject in (change.name, plain) and mark.kind in SAID[change.came])
            or (not mark.subject and mark.kind == "note" and word.search(mark.text))
        )
        for mark in told
    )


def ranges(partitions: list[int]) -> str:
    """Return 0-2, 5 for [0, 1, 2, 5]."""
    runs: list[list[int]] = []
    for partition in partitions:
        if runs and runs[-1][-1] == partition - 1:
            runs[-1][1:] = [partition]
        else:
            runs.append([partition])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    if len(words) > 8:
        return say("figures.ownership_many", first=", ".join(words[:3]), count=len(partitions))
    return ", ".join(words)

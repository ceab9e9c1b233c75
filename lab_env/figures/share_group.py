"""Live picture: who holds which record of a share group (KIP-932), and what becomes of all."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from lab_env.figures.engine import scales, style
from lab_env.figures.engine.live import Stage
from lab_env.figures.engine.lives import ENDS, broken, lives
from lab_env.figures.engine.rows import first, give_rows
from lab_env.figures.engine.stencil import Stamped
from lab_env.figures.engine.style import Look, readable
from lab_env.figures.engine.timeline import Panel, TimeFigure, amount_ticks
from lab_env.messages import say
from lab_env.observation.facts.series import Series
from lab_env.observation.facts.sharing import BACK, ShareLedger
from lab_env.observation.sample import GroupSample, Sample

MOST_ROWS = 8
MOST_TOLD = 6  # members that a sentence names
MOST_NUMBERS = 6  # delivery counts that are written in a row
APART = 20.0  # units between two of them
THICKEST = 16.0  # units of a bar
RESOLUTION = 800  # ends of flights in a row that can be told apart
LOOKS = {
    "waiting": Look(style.BLUE, "s", readable(style.BLUE)),
    "in_flight": Look(style.ORANGE, "o", readable(style.ORANGE)),
    "acknowledged": Look(style.GREEN, "^", readable(style.GREEN)),
    "archived": Look(style.VERMILLION, "X", readable(style.VERMILLION)),
}
DASHED = {"in_flight": (0, (1.5, 1)), "archived": (0, (4, 1.5))}  # a second sign beside the colour
# how the end of a record's flight is drawn; what was released or came back is delivered again
SIGNS = {
    "accepted": {"marker": "|", "mew": 1.6},
    "released": {"marker": "<", "fillstyle": "none", "mew": 1.6},
    "rejected": {"marker": "X"},
    BACK: {"marker": "o", "fillstyle": "none", "mew": 1.6},
}
INKS = {"rejected": style.INK, BACK: style.VERMILLION}  # the others have the member's colour


class ShareGroup(Stamped, TimeFigure):
    """Above: a row a member, a bar for each record that it holds. Below: what becomes of all.

    What waits and what is done with the broker tells: its lag of a share group. Who holds what, and
    what was accepted, the services report: ``service.report(share="acquired", partition=...,
    offset=..., deliveries=...)``, and then ``share="accepted"`` (or released, rejected, refused).
    While none reports, what is in flight counts as waiting, and what is archived as acknowledged.

    Args:
        stage, scale: as of every picture.
        topic, group: real names.
    """

    def __init__(self, stage: Stage, topic: str, group: str, scale: float = 1.0):
        super().__init__(stage, ("share_group", topic, group), scale, (group,))
        self._group = group
        self.topic = topic
        self.title = say("figures_share_group.title", topic=topic, group=group)
        self._rows_panel = Panel(label=say("figures_share_group.rows"), grid=False)
        self._sum_panel = Panel(weight=1.2, label=say("figures_share_group.unit"))
        self.panels = [self._rows_panel, self._sum_panel]
        self._scale = scales.Amount(least=10)
        self._ledger = ShareLedger(topic, group)
        self._values = {name: Series() for name in LOOKS}
        self.series = list(self._values.values())
        self._told = GroupSample()
        self._present: dict[str, list[tuple[float, float]]] = {}  # members that no mark tells of
        self._marks_taken = 0
        self._rows_made: list[dict] = []

    # -- reading ------------------------------------------------------------------------------

    def take(self, sample: Sample) -> object:
        """Take in what the broker tells, after what was reported before it."""
        if not self.catch_up(sample):
            return None
        self._note_ends()
        self._told = sample.groups.get(self._group, GroupSample())
        self._note_present(sample.time)
        self._ledger.take(sample)
        values = self._newest()
        for name, value in values.items():
            if value is None:
                self._values[name].cut(sample.time)
            else:
                self._values[name].add(sample.time, value)
        return values, self._told.members, self._told.state, self._told.protocol

    def _newest(self) -> dict[str, int | None]:
        ledger = self._ledger
        if ledger.completed is None:
            known = {"in_flight": len(ledger.in_flight()), "acknowledged": ledger.accepted}
            return dict.fromkeys(LOOKS) | (known if ledger.reported else {})
        if not ledger.reported:
            nobody = {"in_flight": None, "archived": None}
            return {"waiting": ledger.lag, "acknowledged": ledger.completed} | nobody
        return {
            "waiting": ledger.waiting,
            "in_flight": min(len(ledger.in_flight()), ledger.lag or 0),
            "acknowledged": ledger.accepted,
            "archived": ledger.archived,
        }

    def take_report(self, row: dict) -> bool:
        """Take in what a service says of a record."""
        return self._ledger.report(row)

    def _note_ends(self) -> None:
        """Note which services have ended: what they held, the broker gives to others."""
        marks = self._stage.journal.marks
        for mark in marks[self._marks_taken :]:
            if mark.kind in ENDS:
                self._ledger.leave(mark.subject, mark.time)
        self._marks_taken = len(marks)

    def _note_present(self, time: float) -> None:
        """Note which members there are that are no services of this lab."""
        for name in self._told.members:
            if self._is_service(name):
                continue
            seen = self._present.setdefault(name, [])
            if seen and time - seen[-1][1] < 1.0:
                seen[-1] = seen[-1][0], time
            else:
                seen.append((time, time))

    def _rows(self) -> list[str]:
        """Return the members that have a row, in the order of their names; the busiest if many."""
        flights, done = self._ledger.flights, self._ledger.done_by
        names = sorted({*self._told.members, *self._present, *flights}, key=style.natural)
        return first(names, MOST_ROWS, lambda name: done.get(name, 0))

    # -- laying out ---------------------------------------------------------------------------

    def build(self, figure: Figure) -> None:
        """Make the lines below; rows are made when a member comes."""
        super().build(figure)
        self.begin_words(figure)
        self._lines = {
            name: self.line(self._sum_panel, look.colour, ls=DASHED.get(name, "-"))
            for name, look in LOOKS.items()
        }
        self._area = self.area(self._sum_panel, LOOKS["waiting"].colour)

    def scale_panels(self, now: float) -> None:
        """Give each member a row, and fit the axis below to the counts."""
        rows = self._rows()
        panel = self._rows_panel
        panel.weight = 0.55 + 0.2 * max(len(rows), 2)
        give_rows(panel, rows, self._stage.palette)
        self._scale.fit(max(series.highest() for series in self.series), now)
        self._sum_panel.high = self._scale.top
        self._sum_panel.ticks = amount_ticks(self._scale, 150)

    def names(self) -> list[str]:
        """Return what stands at the right."""
        most = style.number(self._scale.top)
        return [*(f"{self._word(name)} {most}" for name in LOOKS), self._done_words(most)]

    def axis_words(self) -> str:
        """Return what stands at the time axis: with what the signs above mean, if it fits."""
        words = say("figures_share_group.axis")
        fits = self.measure(words, style.TEXT) < self._sum_panel.width
        return words if fits else say("figures.seconds")

    def lay(self, now: float) -> None:
        """Forget what has slid out of sight, and make lines for new rows."""
        super().lay(now)
        begin = self.origin + self._window[0]
        self._ledger.trim(begin)
        for name, seen in self._present.items():
            self._present[name] = [one for one in seen if one[1] >= begin]
        panel = self._rows_panel
        while len(self._rows_made) < len(self._rows()):
            made = {
                "gone": self.line(panel, style.GONE, lw=5.0, solid_capstyle="butt", zorder=2),
                "life": self.line(panel, style.RULE, lw=1.2),
                "bars": self.line(panel, style.RULE, solid_capstyle="butt", alpha=0.55),
            }
            for outcome, look in SIGNS.items():
                made[outcome] = self.line(panel, style.RULE, ls="none", zorder=4, **look)
            self._rows_made.append(made)

    # -- drawing ------------------------------------------------------------------------------

    def draw(self, now: float) -> list:
        """Draw the rows, their delivery counts, and the lines below."""
        self._words.clear()
        self._note_ends()
        artists = []
        rows = self._rows()
        panel = self._rows_panel
        high = panel.height / max(len(rows), 2)
        for row, (name, lines) in enumerate(zip(rows, self._rows_made, strict=False)):
            self._draw_row(name, row, lines, high, now)
            artists += lines.values()
        ends = []
        for name, series in self._values.items():
            look = LOOKS[name]
            area = self._area if name == "waiting" else None
            artists += self.show_series(series, self._lines[name], area)
            end = self.name_of(series, self._word(name), look)
            ends += [end] if end else []
        self._write_ends(ends)
        return [*artists, self._words]

    def _draw_row(self, name: str, row: int, lines: dict, high: float, now: float) -> None:
        look = self._stage.palette.look(name)
        alive, gone = lives(self._stage.journal.marks, name, self.origin, now)
        if not self._is_service(name):
            alive = self._present.get(name, [])
        lines["gone"].set_data(*broken(gone, row))
        lines["life"].set_data(*broken(alive, row))
        lines["life"].set_color(look.colour)
        flights = self._ledger.flights.get(name, [])
        held = [(f.begin, now if f.end is None else f.end) for f in flights]
        lines["bars"].set_data(*broken(held, row))
        thick = min(high * 0.5, THICKEST * self.scale)
        lines["bars"].set(color=look.colour, linewidth=thick * 0.72)
        for outcome in SIGNS:
            times = self._apart(f.end for f in flights if f.outcome == outcome)
            lines[outcome].set_data(times, [row] * len(times))
            size = thick * (1.1 if outcome == "accepted" else 0.7) * 0.72
            lines[outcome].set(markersize=size, color=INKS.get(outcome, look.colour))
        self._write_counts(flights, row, high)
        dead = bool(gone) and gone[-1][1] == now
        ink = style.SOFT if dead else look.ink
        panel = self._rows_panel
        right = panel.left + panel.width + 8
        if self._ledger.reported:
            done = style.number(self._ledger.done_by.get(name, 0))
            self.moving_name(ink, right, panel.y(row), self._done_words(done))

    def _apart(self, ends: Iterable[float | None]) -> list[float]:
        """Return times of which no two fall onto one pixel."""
        low, high = getattr(self, "_window", scales.window(0))
        apart, times = (high - low) / RESOLUTION, []
        for end in sorted(end for end in ends if end is not None):
            if not times or end - times[-1] >= apart:
                times.append(end)
        return times

    def _write_counts(self, flights: list, row: int, high: float) -> None:
        """Write the delivery count of records that were delivered again, the newest first."""
        panel = self._rows_panel
        above = high > 2 * self.line_height(style.NAME)  # else they stand in the bar
        y = panel.y(row) + (high * 0.32 if above else 0)
        taken, written = float("inf"), 0
        for flight in reversed(flights):
            if flight.deliveries < 2 or written == MOST_NUMBERS:
                continue
            words = style.number(flight.deliveries)
            x = max(self.x(flight.begin), panel.left + 2) + 2
            if x + self.measure(words, style.NAME) + APART / 4 > min(
                taken, panel.left + panel.width
            ):
                continue
            self.moving_name(style.INK, x, y, words, plate=not above)
            taken, written = x, written + 1

    def _write_ends(self, ends: list) -> None:
        """Write a line for each name, as near to the end of its line as there is room."""
        panel, height = self._sum_panel, self.line_height(style.NAME)
        top = panel.bottom + panel.height + 0.3 * height
        wanted = [panel.y(end.value) for end in ends]
        middles = style.spread(wanted, height + 2, panel.bottom - 0.3 * height, top)
        for end, middle in zip(ends, middles, strict=True):
            x = self.x(end.time) + 7
            self.moving_name(end.colour, x, middle, f"{end.text} {end.newest}")

    def _word(self, name: str) -> str:
        key = name if self._ledger.reported or name in DASHED else f"{name}_untold"
        return f"{LOOKS[name].glyph} {say(f'figures_share_group.{key}')}"

    def _done_words(self, number: str) -> str:
        return say("figures_share_group.done", count=number)

    # -- telling ------------------------------------------------------------------------------

    def tell(self, now: float) -> str:
        """Say who holds and has done how much, and what became of all records."""
        return self.sentence_of(now, [*self._group_told(), *self._members_told(), *self._sums()])

    def _group_told(self) -> list[str]:
        told = self._told
        if not told.state:
            return []
        if told.state == "Dead":
            return [say("figures_share_group.told_no_group", group=self._group)]
        if not told.is_share:
            kind = told.protocol
            return [say("figures_share_group.told_other", group=self._group, kind=kind)]
        count = len(told.members)
        key = {0: "told_nobody", 1: "told_one"}.get(count, "told_many")
        return [say(f"figures_share_group.{key}", group=self._group, count=count)]

    def _members_told(self) -> list[str]:
        ledger = self._ledger
        names = [name for name in self._rows() if name in ledger.flights]
        parts = []
        for name in names[:MOST_TOLD]:
            held = ledger.in_flight(name)
            done = style.number(ledger.done_by.get(name, 0))
            key = "told_holds" if held else "told_done"
            most = max((flight.deliveries for flight in held), default=0)
            parts.append(
                say(
                    f"figures_share_group.{key}",
                    name=name,
                    done=done,
                    held=style.number(len(held)),
                    most=most,
                )
            )
        if len(names) > MOST_TOLD:
            parts.append(say("figures_share_group.told_more", count=len(names) - MOST_TOLD))
        return parts

    def _sums(self) -> list[str]:
        ledger, parts = self._ledger, []
        values = self._newest()
        if values["waiting"] is None:
            if self._told.is_share:
                parts.append(say("figures_share_group.told_unknown"))
        elif not ledger.reported:
            numbers = {name: style.number(value or 0) for name, value in values.items()}
            parts.append(say("figures_share_group.told_unreported", **numbers))
        else:
            numbers = {name: style.number(value or 0) for name, value in values.items()}
            parts.append(say("figures_share_group.told_sums", **numbers))
        for name in ("released", "rejected", "refused", "came_back"):
            if count := getattr(ledger, name):
                parts.append(say(f"figures_share_group.told_{name}", count=style.number(count)))
        if ledger.most > 1:
            parts.append(say("figures_share_group.told_most", count=ledger.most))
        return parts

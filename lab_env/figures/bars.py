"""The bars of who owned what, painted as pixels: only what is new, however many partitions."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.font_manager import FontProperties

from lab_env.figures.engine import style
from lab_env.figures.engine.stencil import Stencils, stamp
from lab_env.messages import say
from lab_env.observation.facts.ownership import (
    ABSENT,
    FIRST,
    NOBODY,
    UNKNOWN,
    UNTOLD,
    OwnershipHistory,
    State,
)

THICKEST = 34.0  # units of a bar
MERGED = 26.0  # units of a row, below which rows of one owner are joined
SEEN = 5.0  # units of a row, below which no seam is drawn between them
THIN = 3.0  # pixels: below it there is no room for a gap between bars
PAD = 5.0  # units between a bar's begin and its name
NO_ONE = "#b9b9b9"
ZONE = (0, 0, 0, 38)  # the stretch of a rebalance
PAPER = (255, 255, 255, 225)
TICK = (0x22, 0x22, 0x22, 255)
HATCH = ("#ffffff", "#bdbdbd")
PLAIN, RISING, FALLING, DOTS = range(4)  # patterns; a colour that comes again has another


@dataclass
class _Label:
    """A name that waits for its bar to grow: rows [top, bottom) with one owner since ``column``."""

    top: int
    bottom: int
    code: int
    column: int


class Bars:
    """Rows for partitions, time to the right, and above them a band for the words of gaps.

    Args:
        tenure: what is painted.
        palette: gives members their looks.
        stencils: for names.

    Attributes:
        pixels: uint8 RGBA, shape (height, width, 4).
        written: (text, left, width) of the words in the band, in pixels.
        named: whether a bar is thick enough for a name.
        told: codes whose name stands in some bar.
    """

    def __init__(self, tenure: OwnershipHistory, palette: style.Palette, stencils: Stencils):
        self.tenure = tenure
        self._palette = palette
        self._stencils = stencils
        self.pixels = np.zeros((1, 1, 4), np.uint8)
        self.written: list[tuple[str, int, int]] = []
        self.named = False
        self.told: set[int] = set()
        self._labels: list[_Label] = []
        self._state: State | None = None
        self._column = self._version = 0
        self._band_facts: tuple = ()
        self._moves_painted = 0
        self._colours()

    def lay(
        self,
        shape: tuple[int, int],
        band: int,
        begin: float,
        per_second: float,
        unit: float,
        font: Callable[[float], FontProperties],
        scale: float,
    ) -> None:
        """Begin anew with a place to paint on.

        Args:
            shape: height and width in pixels.
            band: height of the band in pixels.
            begin: the time at the left, s.
            per_second: pixels.
            unit: pixels per unit of the layout.
            font: from points (before scaling) to a font.
            scale: of the picture's text.
        """
        height, width = max(shape[0], 1), max(shape[1], 1)
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self._band, self._begin, self._per_second = min(band, height), begin, per_second
        self._unit, self._dpi, self._font = unit, 100 * unit, font
        self._place_rows(scale)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Wipe everything off."""
        self.pixels[:] = 0
        self._version = self.tenure.version
        self._state, self._column, self._labels = None, 0, []
        self._band_facts, self._moves_painted, self.told = (), 0, set()

    def _place_rows(self, scale: float) -> None:
        """Find the pixels of each row, and the font that fits them."""
        rows, height = max(self.tenure.rows, 1), self.pixels.shape[0] - self._band
        self.pitch = pitch = height / rows
        gap = 0.0
        if pitch >= THIN:
            gap = max(1.0, 0.2 * pitch if pitch >= MERGED * self._unit else self._unit)
        thick = min(pitch - gap, THICKEST * scale * self._unit)
        tops = self._band + (np.arange(rows) + 0.5) * pitch - thick / 2
        self._tops = np.round(tops).astype(int)
        self._bottoms = np.round(tops + thick).astype(int)
        self._row_of = np.full(self.pixels.shape[0], -1)
        self._gap_of = np.zeros(self.pixels.shape[0], int)
        if gap:
            for row, (top, bottom) in enumerate(zip(self._tops, self._bottoms, strict=True)):
                self._row_of[top:bottom] = row
                if row and pitch < MERGED * self._unit:  # neighbours of one owner look like one bar
                    self._gap_of[self._bottoms[row - 1] : top] = row
        else:  # several rows may share a pixel: it shows one of them
            at = (np.arange(height) + 0.5) / pitch
            self._row_of[self._band :] = np.minimum(at.astype(int), rows - 1)
        points = style.TEXT * self._unit * style.UNITS_PER_POINT  # pixels of an em, unscaled
        self._size = style.TEXT * min(max(thick / points / scale, 1 / scale), 1.0)
        self._small = self._size if self._size * scale <= style.TEXT else style.TEXT / scale
        self._em = points * scale * self._size / style.TEXT
        self.named = thick >= 0.88 * self._em

    def middle(self, row: int) -> float:
        """Return where the middle of a row is, in pixels from the top."""
        return self._band + (row + 0.5) * self.pitch

    # -- painting -----------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Paint what has come since the last time."""
        tenure = self.tenure
        if len(self._solid) < FIRST + len(tenure.names):
            self._colours()
        if self._version != tenure.version:
            self._begin_anew()
        if tenure.edge is not None:
            for state in self._new_states():
                self._fill(self._at(state.time))
                self._turn(state)
            self._fill(self._at(tenure.edge))
        self._tick_moves()
        self._paint_band(now)

    def _new_states(self) -> list[State]:
        states = self.tenure.states
        if self._state is None:
            return list(states)
        new = []
        for state in reversed(states):
            if state is self._state or state.time < self._state.time:
                break
            new.append(state)
        return new[::-1]

    def _at(self, time: float) -> int:
        column = round((time - self._begin) * self._per_second)
        return min(max(column, 0), self.pixels.shape[1])

    def _padded(self, codes: np.ndarray) -> np.ndarray:
        rows = len(self._tops)
        if len(codes) >= rows:
            return codes[:rows]
        lost = UNKNOWN if len(codes) and codes[0] == UNKNOWN else ABSENT
        return np.concatenate([codes, np.full(rows - len(codes), lost, codes.dtype)])

    def _fill(self, column: int) -> None:
        """Paint the current state up to a column, with the names that find room now."""
        begin, self._column = self._column, max(self._column, column)
        if self._state is None or column <= begin:
            return
        codes = self._padded(self._state.codes)
        below = self._row_of[self._band :]
        unknown = bool(len(codes)) and codes[0] == UNKNOWN
        of_pixel = codes[below]
        if not unknown:
            of_pixel = np.where(below < 0, UNTOLD if self._state.rebalancing else ABSENT, of_pixel)
        gap = self._gap_of[self._band :]
        joined = (gap > 0) & (codes[gap] == codes[gap - 1]) & (codes[gap] >= NOBODY)
        of_pixel = np.where(joined, codes[gap], of_pixel)
        strip = self.pixels[self._band :, begin:column]
        strip[:] = self._solid[of_pixel][:, None]
        if self.pitch >= SEEN * self._unit:
            seams = joined & (of_pixel != UNTOLD) & (of_pixel != UNKNOWN)
            strip[seams] = self._seams[of_pixel[seams]][:, None]
        kinds = self._kinds[of_pixel]
        if kinds.any():
            y = np.arange(self._band, self.pixels.shape[0])[:, None]
            x = np.arange(begin, column)[None]
            for kind in (RISING, FALLING, DOTS):
                rows = kinds == kind
                if rows.any():
                    on = _pattern(kind, x, y, self._unit) & rows[:, None]
                    np.copyto(strip, self._second[of_pixel][:, None], where=on[:, :, None])
        self._write_names()

    def _turn(self, state: State) -> None:
        """Take up the next state: names of bars that end are given up, new bars get theirs."""
        before = None if self._state is None else self._padded(self._state.codes)
        codes = self._padded(state.codes)
        changed = np.ones(len(codes), bool) if before is None else codes != before
        self._state = state
        kept = []
        for label in self._labels:
            whole = changed[label.top : label.bottom]
            if not whole.any():
                kept.append(label)
            elif not self._write_name(label, self._small):
                same = np.flatnonzero(~whole) + label.top
                kept += self._new_labels(same, codes, label.column)
        fresh = np.flatnonzero(changed & ((codes == NOBODY) | (codes >= FIRST)))
        self._labels = kept + self._new_labels(fresh, codes, self._column)

    def _new_labels(self, rows: np.ndarray, codes: np.ndarray, column: int) -> list[_Label]:
        """Return labels for rows: one a row, or if rows are thin one for all of one owner."""
        if not len(rows):
            return []
        if self.named:
            return [_Label(int(row), int(row) + 1, int(codes[row]), column) for row in rows]
        breaks = np.flatnonzero((np.diff(rows) > 1) | (np.diff(codes[rows]) != 0)) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]
        return [
            _Label(top, bottom, int(codes[top]), column)
            for top, bottom in runs
            if (bottom - top) * self.pitch >= 0.95 * self._em
        ]

    def _write_names(self) -> None:
        """Write the names for which their bars have become long enough."""
        self._labels = [label for label in self._labels if not self._write_name(label, self._size)]

    def _write_name(self, label: _Label, size: float) -> bool:
        """Write a name at the begin of its bar if the bar is long enough; return whether it is."""
        mask = self._stencils.mask(self._name(label.code), self._font(size), self._dpi)
        width, pad = mask.shape[1], round(PAD * self._unit)
        if self._column - label.column < width + 2 * pad:
            return False
        left = label.column + pad
        middle = round((self.middle(label.top) + self.middle(label.bottom - 1)) / 2)
        if label.bottom - label.top > 1 or self._kinds[label.code]:
            half = round(0.55 * self._em)  # a plain ground, so that gaps and patterns end here
            top = max(middle - half, self._tops[label.top])
            bottom = min(middle + half, self._bottoms[label.bottom - 1])
            self.pixels[top:bottom, left - 2 : left + width + 2] = self._solid[label.code]
        stamp(self.pixels, mask, left, middle, self._inks[label.code])
        self.told.add(label.code)
        return True

    def _name(self, code: int) -> str:
        if code == NOBODY:
            return say("figures.ownership_nobody")
        return style.shorten(self.tenure.names[code - FIRST])

    def _tick_moves(self) -> None:
        """Draw a tick where partitions changed hands and no rebalance was seen."""
        rows = len(self._tops)
        half = max(round(self._unit), 1)
        for moved in self.tenure.moves[self._moves_painted :]:
            column = self._at(moved.time)
            for row in moved.partitions[moved.partitions < rows]:
                begin = max(column - 2 * half, 0)  # right of it the bar goes on
                self.pixels[self._tops[row] : self._bottoms[row], begin:column] = TICK
        self._moves_painted = len(self.tenure.moves)

    # -- the band -----------------------------------------------------------------------------

    def _paint_band(self, now: float) -> None:
        """Shade the rebalances in the band, and write how long they took: the newest first."""
        edge = self.tenure.edge if self.tenure.edge is not None else now
        told: list[tuple[float, int, tuple[str, ...]]] = []
        zones = []
        for rebalance in self.tenure.rebalances:
            begin = self._at(rebalance.begin)
            end = self._at(edge if rebalance.end is None else rebalance.end)
            zones.append((begin, end))
            seconds = f"{rebalance.seconds(edge):.1f}"
            long = say("figures.ownership_rebalance", seconds=seconds)
            short = say("figures.ownership_rebalance_short", seconds=seconds)
            if end > 0:
                told.append((rebalance.begin, (begin + end) // 2, (long, short)))
        for moved in self.tenure.moves:
            told.append((moved.time, self._at(moved.time), (say("figures.ownership_moved"),)))
        facts = tuple(zones), tuple(told)
        if facts == self._band_facts:
            return
        self._band_facts = facts
        band = self.pixels[: self._band]
        band[:] = 0
        for begin, end in zones:
            band[:, begin : max(end, begin + 1)] = ZONE
        self.written = []
        for _, middle, texts in sorted(told, reverse=True):
            for text in texts:
                if self._write_in_band(text, middle):
                    break

    def _write_in_band(self, text: str, middle: int) -> bool:
        mask = self._stencils.mask(text, self._font(style.TEXT), self._dpi)
        width, most = mask.shape[1], self.pixels.shape[1]
        left = min(max(middle - width // 2, 2), most - width)
        apart = round(7 * self._unit)
        if left < 0 or any(
            left < other + wide + apart and other < left + width + apart
            for _, other, wide in self.written
        ):
            return False
        band = self.pixels[: self._band]
        if (
            band[0, left : left + width] != band[0, left]
        ).any():  # lines of marks must not cross it
            band[:, left - 2 : left + width + 2] = PAPER
        stamp(band, mask, left, self._band // 2, style.SOFT)
        self.written.append((text, left, width))
        return True

    # -- colours ------------------------------------------------------------------------------

    def _colours(self) -> None:
        """Make the tables from codes to colours, patterns and inks."""
        looks = [self._palette.look(name) for name in self.tenure.names]
        solid = [(0, 0, 0, 0), _rgba(NO_ONE), ZONE, _rgba(HATCH[0])]
        second = [(0, 0, 0, 0), _rgba(NO_ONE), ZONE, _rgba(HATCH[1])]
        kinds = [PLAIN, PLAIN, PLAIN, RISING]
        inks = [style.INK] * FIRST
        for look in looks:
            solid.append(_rgba(look.colour))
            second.append(_rgba(style.paler(look.colour, 0.45)))
            kinds.append(_turn_of(look) % 4)
            inks.append("#ffffff" if _dark(look.colour) else "#000000")
        self._solid, self._second = np.array(solid, np.uint8), np.array(second, np.uint8)
        self._seams = (0.7 * self._solid + 0.3 * np.array((255, 255, 255, 255))).astype(np.uint8)
        self._kinds, self._inks = np.array(kinds), inks


def _pattern(kind: int, x: np.ndarray, y: np.ndarray, unit: float) -> np.ndarray:
    """Return where the second colour of a pattern goes."""
    period = max(ceil(7 * unit), 4)
    if kind == DOTS:
        return ((x % period) < period * 0.4) & ((y % period) < period * 0.4)
    return ((x + (y if kind == RISING else -y)) % period) < period * 0.36


def _turn_of(look: style.Look) -> int:
    """Return how often the look's colour was given before it."""
    if look.colour not in style.COLOURS or look.marker not in style.MARKERS:
        return 0
    return (style.MARKERS.index(look.marker) - style.COLOURS.index(look.colour)) % len(
        style.MARKERS
    )


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _rgba(colour: str) -> tuple[int, ...]:
    return (*_channels(colour), 255)


def _dark(colour: str) -> bool:
    """Return whether white text reads better on a colour than black."""
    red, green, blue = _channels(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 100

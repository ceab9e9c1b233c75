"""Words as pixels: drawn once and stamped often, since drawing a text takes about a millisecond."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from lab_env.figures.engine import style
from lab_env.figures.engine.page import Page

MOST_KEPT = 1000


class Stencils:
    """Masks of texts: coverage 0 to 255, shape (height, width), cut to the ink's width.

    The middle row of a mask is the middle of a line of text, so that masks of one font align.
    """

    def __init__(self) -> None:
        self._masks: dict[tuple, np.ndarray] = {}
        self._signs: dict[tuple, tuple[np.ndarray, float]] = {}
        self._sheet: tuple[FigureCanvasAgg, Text] | None = None

    def mask(self, text: str, font: FontProperties, dpi: float) -> np.ndarray:
        """Return the mask of ``text``; at least one pixel wide."""
        key = text, font.get_size_in_points(), font.get_weight(), dpi
        if key not in self._masks:
            if len(self._masks) >= MOST_KEPT:
                self._masks.clear()
            self._masks[key] = self._drawn(text, font, dpi)
        return self._masks[key]

    def number(self, text: str, font: FontProperties, dpi: float) -> np.ndarray:
        """Return the mask of a number, put together from its signs: the next frame has another."""
        signs = [self._sign(sign, font, dpi) for sign in text]
        width = sum(advance for _, advance in signs)
        height = max(mask.shape[0] for mask, _ in signs)
        whole, x = np.zeros((height, round(width) + height), np.uint8), 0.0
        for mask, advance in signs:
            part = whole[: mask.shape[0], round(x) :][:, : mask.shape[1]]
            np.maximum(part, mask[:, : part.shape[1]], out=part)
            x += advance
        return whole[:, : max(round(width), 1)]

    def _sign(self, sign: str, font: FontProperties, dpi: float) -> tuple[np.ndarray, float]:
        """Return the mask of a sign, and how far on the next one stands (pixels)."""
        key = sign, font.get_size_in_points(), font.get_weight(), dpi
        if key not in self._signs:
            # between two strokes a sign keeps the air that it has on either side
            stroke = self._drawn("|", font, dpi).shape[1]
            pair = self._drawn("||", font, dpi).shape[1] - stroke  # from stroke to stroke
            between = self._drawn(f"|{sign}|", font, dpi)
            advance = between.shape[1] - stroke - pair
            air = (pair - stroke) // 2  # of a stroke, at one side
            mask = between[:, stroke + air : between.shape[1] - stroke - air]
            self._signs[key] = mask, float(max(advance, 1))
        return self._signs[key]

    def _drawn(self, text: str, font: FontProperties, dpi: float) -> np.ndarray:
        if self._sheet is None:
            figure = Figure(facecolor="white")
            canvas = FigureCanvasAgg(figure)
            artist = figure.text(0, 0.5, "", va="center_baseline", parse_math=False)
            self._sheet = canvas, artist
        canvas, artist = self._sheet
        em = font.get_size_in_points() / 72
        canvas.figure.set_dpi(dpi)
        canvas.figure.set_size_inches(em * (len(text) * 1.2 + 2), em * 1.6)
        artist.set(text=text, fontproperties=font, color="black", position=(0.0, 0.5))
        artist.set_x(0.5 / (len(text) * 1.2 + 2))  # half an em: nothing is cut off at the left
        canvas.draw()
        coverage = 255 - np.asarray(canvas.buffer_rgba())[:, :, 1]
        (inked,) = np.nonzero(coverage.any(axis=0))
        if not len(inked):
            return np.zeros((coverage.shape[0], 1), np.uint8)
        return coverage[:, inked[0] : inked[-1] + 1].copy()


def stamp(pixels: np.ndarray, mask: np.ndarray, left: int, middle: int, colour: str) -> None:
    """Blend a mask in a colour onto RGBA pixels; what would lie outside is cut off.

    Args:
        pixels: uint8, shape (height, width, 4); changed in place.
        mask: of `Stencils`.
        left: column at which it begins.
        middle: row at which the middle of its line stands.
        colour: "#rrggbb".
    """
    top = middle - mask.shape[0] // 2
    above, before = max(-top, 0), max(-left, 0)
    mask = mask[above : pixels.shape[0] - top, before : pixels.shape[1] - left]
    if not mask.size:
        return
    under = pixels[top + above :, left + before :][: mask.shape[0], : mask.shape[1]]
    cover = mask[:, :, None] / 255.0
    ink = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)
    alpha = under[:, :, 3:] / 255.0
    out = cover + alpha * (1 - cover)
    mixed = ink * cover + under[:, :, :3] * alpha * (1 - cover)
    under[:, :, :3] = np.divide(mixed, out, out=np.zeros_like(mixed), where=out > 0).round()
    under[:, :, 3:] = (out * 255).round()


class Pixels(Artist):
    """An artist that lays RGBA pixels on the canvas as they are.

    Attributes:
        pixels: uint8, shape (height, width, 4), the first row on top.
        left, bottom: where they stand, in pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pixels = np.zeros((1, 1, 4), np.uint8)
        self.left = self.bottom = 0
        self.set_animated(True)

    def draw(self, renderer) -> None:
        """Draw."""
        context = renderer.new_gc()
        renderer.draw_image(context, self.left, self.bottom, self.pixels[::-1])
        context.restore()


class Words(Artist):
    """An artist for texts that change from frame to frame.

    Attributes:
        written: (text, left, middle, width) of each, in units.
    """

    def __init__(self, stencils: Stencils):
        super().__init__()
        self._stencils = stencils
        self._stamps: list[tuple[np.ndarray, int, int]] = []
        self._coloured: dict[tuple, np.ndarray] = {}
        self.written: list[tuple[str, float, float, float]] = []
        self.set_animated(True)

    def clear(self) -> None:
        """Begin a frame."""
        self._stamps.clear()
        self.written.clear()

    def write(
        self,
        text: str,
        font: FontProperties,
        dpi: float,
        colour: str,
        x: float,
        y: float,
        *,
        plate: bool = False,
    ) -> None:
        """Write a text whose line begins at x and has its middle at y, in units.

        On a white ``plate`` it can stand on a line.
        """
        key = text, font.get_size_in_points(), font.get_weight(), dpi, colour, plate
        if key not in self._coloured:
            if len(self._coloured) >= MOST_KEPT:
                self._coloured.clear()
            mask = self._stencils.mask(text, font, dpi)
            pixels = np.full((*mask.shape, 4), 255 * plate, np.uint8)
            stamp(pixels, mask, 0, mask.shape[0] // 2, colour)
            self._coloured[key] = pixels[::-1]
        pixels = self._coloured[key]
        self._place(text, pixels, dpi, x, y)

    def number(
        self, text: str, font: FontProperties, dpi: float, colour: str, x: float, y: float
    ) -> None:
        """Write a number, as `write` does a text that comes again."""
        mask = self._stencils.number(text, font, dpi)
        pixels = np.zeros((*mask.shape, 4), np.uint8)
        pixels[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        pixels[..., 3] = mask
        self._place(text, pixels[::-1], dpi, x, y)

    def _place(self, text: str, pixels: np.ndarray, dpi: float, x: float, y: float) -> None:
        unit = dpi / 100
        height, width = pixels.shape[:2]
        self._stamps.append((pixels, round(x * unit), round(y * unit - height / 2)))
        self.written.append((text, x, y, width / unit))

    def draw(self, renderer) -> None:
        """Draw."""
        context = renderer.new_gc()
        for pixels, left, bottom in self._stamps:
            renderer.draw_image(context, left, bottom, pixels)
        context.restore()


class Stamped(Page):
    """For a picture whose moving words are stamped; goes before `TimeFigure` among its bases.

    It calls `begin_words` when it is built, clears ``self._words`` with every frame, and draws it
    last.
    """

    def begin_words(self, figure: Figure) -> None:
        """Make what words are stamped with."""
        self._stencils = Stencils()
        self._words = Words(self._stencils)
        self._words.set_figure(figure)

    def moving_name(
        self, colour: str, x: float, y: float, words: str, *, plate: bool = False
    ) -> None:
        """Write a name in this frame only; on a white ``plate`` it can stand on a line."""
        font = self.font(style.NAME)
        self._words.write(words, font, self._figure.dpi, colour, x, y, plate=plate)

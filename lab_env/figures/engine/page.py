"""The base of every picture: axes in the house style, and words at places in units."""

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from lab_env.figures.engine import style
from lab_env.figures.engine.live import LiveFigure, Stage
from lab_env.figures.engine.style import HEIGHT, UNITS_PER_POINT, WIDTH


class Page(LiveFigure):
    """A picture that is WIDTH by HEIGHT units large, whatever the pixels.

    Args:
        stage, key, scale: as of every picture.
    """

    title = ""

    def __init__(self, stage: Stage, key: tuple, scale: float = 1.0):
        super().__init__(stage, key, scale)
        self._fixed: list[Artist] = []  # artists that `lay` makes anew
        self._texts: list[Text] = []  # a pool for names that move
        self._texts_used = 0

    def axes(self, figure: Figure) -> Axes:
        """Return new axes in the house style; `set_position` says where they stand."""
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8), facecolor="none")
        for side, spine in axes.spines.items():
            spine.set(visible=side in ("left", "bottom"), color=style.RULE, linewidth=1)
        axes.set_axisbelow(True)
        axes.grid(False)
        return axes

    def fix(self, artist: Artist) -> None:
        """Keep an artist until axes, ticks or marks are placed anew."""
        self._fixed.append(artist)

    def clear(self) -> None:
        """Remove what `fix` has kept."""
        for artist in self._fixed:
            artist.remove()
        self._fixed = []

    def fitting_title(self, width: float, whole: str | None = None) -> str:
        """Return the title, without its middle if it is too long for a width in units."""
        whole = whole or self.title
        title = whole
        while len(title) > 12 and self.measure(title, style.TITLE, "bold") > width:
            title = style.shorten(whole, len(title) - 2)
        return title

    def fix_title(self, left: float) -> None:
        """Write the title, which begins at ``left`` if there is room for it."""
        title = self.fitting_title(WIDTH - 16)
        x = max(min(left, WIDTH - 8 - self.measure(title, style.TITLE, "bold")), 8)
        self.fix_text(style.TITLE, style.INK, x, HEIGHT - 8, title, weight="bold", va="top")

    def line_height(self, size: float) -> float:
        """Return the height of a line of text, in units."""
        return size * self.scale * UNITS_PER_POINT * 1.2

    def text(
        self,
        size: float,
        colour: str,
        x: float = 0.0,
        y: float = 0.0,
        words: str = "",
        *,
        weight: str = "normal",
        animated: bool = False,
        **more: Any,
    ) -> Text:
        """Return a text at a place in units; names are never taken for mathematics."""
        stands: dict[str, Any] = {"va": "center_baseline", "ha": "left"}
        return self._figure.text(
            x / WIDTH, y / HEIGHT, words,
            color=colour, fontproperties=self.font(size, weight), parse_math=False,
            usetex=False, animated=animated, **(stands | more),
        )  # fmt: skip

    def fix_text(
        self, size: float, colour: str, x: float, y: float, words: str, **more: Any
    ) -> None:
        """Write a text that stays until axes, ticks or marks are placed anew."""
        self.fix(self.text(size, colour, x, y, words, **more))

    def moving_name(self, colour: str, x: float, y: float, words: str) -> None:
        """Write a name in this frame only."""
        if self._texts_used == len(self._texts):
            self._texts.append(self.text(style.NAME, colour, animated=True))
        text = self._texts[self._texts_used]
        self._texts_used += 1
        text.set(text=words, color=colour, position=(x / WIDTH, y / HEIGHT))

"""A picture in a test: its last frame, its colours, and whether its words can be read."""

import io
import itertools

import numpy as np
from conftest import wait_until
from PIL import Image

from lab_env.figures.engine import style


def final(figure, journal=None, time: float | None = None):
    """Stop a picture, and wait for its last frame for as long as a busy machine takes.

    Args:
        figure: the picture.
        journal: the lab's, whose clock is set to ``time`` first.
        time: where the picture is to end, in seconds of the lab's clock.
    """
    if time is not None:
        journal.epoch -= time - journal.now()
    figure.stop()
    wait_until(figure._ended.is_set, 30)
    assert figure.error is None, figure.sentence
    return figure


def pixels(figure) -> np.ndarray:
    """Return the last frame: rows, columns, and the three colours (0 to 255)."""
    return np.asarray(Image.open(io.BytesIO(figure.png)).convert("RGB")).astype(int)


def near(figure, colour: str, tolerance: int = 12) -> np.ndarray:
    """Return which pixels of the last frame have about this colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return abs(pixels(figure) - wanted).max(axis=2) <= tolerance


def words_of_every_frame(figure, more=lambda fineness: ()) -> list:
    """Return a list that gets, with every frame, the words on it with their boxes.

    A box is that of the ink, in units of the picture: left, bottom, right, top.

    Args:
        figure: the picture.
        more: words of a kind that only this picture has, and their boxes in pixels.
    """
    frames = []
    draw = figure._draw

    def note(now, fineness):
        result = draw(now, fineness)
        renderer = figure._figure.canvas.get_renderer()
        half = 0.36 * style.NAME * figure.scale * style.UNITS_PER_POINT
        found = []
        moving = getattr(figure, "_texts", [])[: getattr(figure, "_texts_used", 0)]
        for text in figure._figure.texts:
            if text.get_text() and (text in moving or not text.get_animated()):
                left, bottom, right, top = text.get_window_extent(renderer).extents
                # a font's box has a little air above and below its ink
                air = 0.15 * min(top - bottom, right - left)
                box = (left + 1, bottom + air, right - 1, top - air)
                found.append((text.get_text(), _units(box, fineness)))
        stamped = getattr(figure, "_words", None) or getattr(figure, "_numbers", None)
        for text, x, y, width in stamped.written if stamped else ():
            found.append((text, (x, y - half, x + width, y + half)))
        found += [(text, _units(box, fineness)) for text, box in more(fineness)]
        frames.append(found)
        return result

    figure._draw = note
    return frames


def assert_readable(figure, words) -> None:
    """Fail if words of a frame touch one another or the edge, or a frame is too big to send."""
    assert len(figure.png) <= 60_000
    assert len(words) > 3  # else nothing would be tested
    columns, rows = Image.open(io.BytesIO(figure.png)).size
    width, height = style.WIDTH, style.WIDTH * rows / columns
    assert columns >= width
    for (one, a), (two, b) in itertools.combinations(words, 2):
        apart = a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
        assert apart, f"{one!r} touches {two!r}"
    for text, (left, bottom, right, top) in words:
        assert left >= 0, text
        assert bottom >= 0, text
        assert right <= width, text
        assert top <= height + 1, text


def _units(box, fineness: float) -> tuple:
    return tuple(side / fineness for side in box)

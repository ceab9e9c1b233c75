"""Pixels to a small palette PNG: at most 60 kB, in about 15 ms."""

import io

import numpy as np
from PIL import Image

from lab_env.figures.engine import style

MOST_BYTES = 60_000
COLOURS = 64
PALETTE_FOR = 20  # frames; finding the palette takes as long as all the rest
FEWER = ((64, 6), (32, 6), (16, 6), (8, 9))  # colours and compression when a frame is too big
FOUND = 0.2  # of a palette, at the least, is for what a frame has beside the colours that are kept
ALIKE = 10  # levels of a channel: so near to a colour that is kept none is found beside it


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


# in every palette, the most needed first: a member that joins has its colour at once, however old
# the palette is, and none is drawn in one that lies between its own and others
KEPT = tuple(
    dict.fromkeys(
        _rgb(colour)
        for colour in (
            "#ffffff",
            style.INK,
            *style.COLOURS,
            style.SOFT,
            style.RULE,
            style.GRID,
            style.GONE,
            *map(style.readable, style.COLOURS),
            # the second colour of a pattern, an in-sync replica, and the edges of letters
            *(style.paler(colour, share) for share in (0.45, 0.78) for colour in style.COLOURS),
        )
    )
)


class Encoder:
    """Encodes the frames of one picture, with one palette for some frames."""

    def __init__(self) -> None:
        self._palette: Image.Image | None = None
        self._used = 0

    def forget(self) -> None:
        """Find a new palette for the next frame: its colours may be others."""
        self._palette = None

    def encode(self, pixels: np.ndarray, size: tuple[int, int], *, quick: bool) -> bytes:
        """Return ``pixels`` (rows, columns, RGBA) as a PNG of at most 60 kB.

        Args:
            pixels: uint8, shape (height, width, 4), opaque.
            size: width and height to fall back to when a frame is too big with few colours.
            quick: rather fast than small.
        """
        height, width = pixels.shape[:2]
        image = Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1)
        image = image.convert("RGB")
        self._used += 1
        if self._palette is None or self._used >= PALETTE_FOR:
            self._palette = _palette(image, COLOURS)
            self._used = 0
        data = _saved(_drawn(image, self._palette), 4 if quick else 6)
        for shape in (image.size, size):
            for colours, level in FEWER:
                if len(data) <= MOST_BYTES:
                    return data
                smaller = image if shape == image.size else image.resize(shape)
                data = _saved(_drawn(smaller, _palette(smaller, colours)), level)
        return data


def _palette(image: Image.Image, colours: int) -> Image.Image:
    """Return a palette for an image: the colours that are kept, and those it has most beside."""
    octree = image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    entries = np.reshape(octree.getpalette() or [], (-1, 3)).astype(int)
    counts = np.asarray(octree.histogram()[: len(entries)])
    kept = list(KEPT[: int(colours * (1 - FOUND))])
    for at in np.argsort(-counts, kind="stable"):
        if len(kept) == colours or not counts[at]:
            break
        if abs(np.array(kept) - entries[at]).max(axis=1).min() > ALIKE:
            kept.append(tuple(entries[at].tolist()))
    kept += kept[:1] * (colours - len(kept))
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for colour in kept for channel in colour])
    return palette


def _drawn(image: Image.Image, palette: Image.Image) -> Image.Image:
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def _saved(image: Image.Image, level: int) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=level)
    return data.getvalue()

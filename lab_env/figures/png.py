"""Pixels to a small palette PNG: at most 60 kB, in about 15 ms."""

import io

import numpy as np
from PIL import Image

MOST_BYTES = 60_000
COLOURS = 64
PALETTE_FOR = 20  # frames; finding the palette takes as long as all the rest
FEWER = ((64, 6), (32, 6), (16, 6), (8, 9))  # colours and compression when a frame is too big


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
            self._palette = _quantized(image, COLOURS)
            self._used = 0
        drawn = image.quantize(palette=self._palette, dither=Image.Dither.NONE)
        data = _saved(drawn, 4 if quick else 6)
        for shape in (image.size, size):
            for colours, level in FEWER:
                if len(data) <= MOST_BYTES:
                    return data
                smaller = image if shape == image.size else image.resize(shape)
                data = _saved(_quantized(smaller, colours), level)
        return data


def _quantized(image: Image.Image, colours: int) -> Image.Image:
    few = image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    entries = few.getpalette() or []
    # the octree mixes a little ink into the paper: make it white again
    for i in range(0, len(entries), 3):
        if min(entries[i : i + 3]) >= 250:
            entries[i : i + 3] = (255, 255, 255)
    few.putpalette(entries)
    return few


def _saved(image: Image.Image, level: int) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=level)
    return data.getvalue()

"""A member has its colour from its first frame on, however old the palette is; no broker."""

import numpy as np
import pytest
from driven import TOPIC, Drive
from pictures import near
from PIL import Image

from lab_env.figures.engine import png, style

# drawn as they are drawn for a student, which takes its time
pytestmark = pytest.mark.everyday

PLACES = [(TOPIC, partition) for partition in range(12)]
KINDS = {"throughput": {"by": "member"}, "ownership": {}, "queue": {}, "pauses": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_has_its_own_colour_from_its_first_frames_on(monkeypatch, kind):
    drive = Drive(monkeypatch)
    picture = drive.picture(kind, **KINDS[kind])
    members, count = [], 0

    def work(time):
        nonlocal count
        count += 10
        done = {place: count * (1 + place[1]) for place in PLACES}
        drive.sample({place: 2 * end for place, end in done.items()}, done, tuple(members))
        for name in members:
            drive.reports.append({"time": time, "service": name, "handled": count})

    for number in range(1, 13):
        members.append(f"truck-{number}")
        drive.go(1.5, each=work)
        colour = drive.stage.palette.look(members[-1]).colour
        if number <= len(style.COLOURS):  # later ones have another sign beside a colour in use
            assert near(picture, colour, 1).sum() >= 20, members[-1]
    for name in members if kind != "queue" else ():  # of many, a queue shows the busiest
        assert near(picture, drive.stage.palette.look(name).colour, 1).sum() >= 20, name
    drive.end(picture)


def test_a_palette_that_was_found_before_a_colour_came_has_it_all_the_same():
    encoder = png.Encoder()
    empty = np.full((120, 300, 4), 255, np.uint8)
    encoder.encode(empty, (300, 120), quick=True)
    for step, colour in enumerate(style.COLOURS):
        empty[:, 20 * step : 20 * step + 20, :3] = png._rgb(colour)
        drawn = Image.open(png.io.BytesIO(encoder.encode(empty, (300, 120), quick=True)))
        for earlier in range(step + 1):
            wanted = png._rgb(style.COLOURS[earlier])
            assert drawn.convert("RGB").getpixel((20 * earlier + 5, 60)) == wanted


@pytest.mark.parametrize("colours", [64, 32, 16])
def test_a_frame_that_is_too_big_loses_no_members_colour(colours):
    noise = np.random.default_rng(1).integers(0, 255, (40, 300, 3), np.uint8)
    for step, colour in enumerate(style.COLOURS):
        noise[:20, 20 * step : 20 * step + 20] = png._rgb(colour)
    image = Image.fromarray(noise)
    drawn = png._drawn(image, png._palette(image, colours)).convert("RGB")
    assert len(drawn.getcolors(1000)) <= colours
    for step, colour in enumerate(style.COLOURS):
        assert drawn.getpixel((20 * step + 5, 5)) == png._rgb(colour)

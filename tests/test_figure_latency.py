"""The pictures of what was measured, fed with reports by hand; no broker."""

import math

import numpy as np
import pytest
from pictures import final, near

from lab_env.figures import Show
from lab_env.figures.engine import style
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports


class Bench:
    """What feeds the pictures: reports as `lab_env.experiments.meter` makes them."""

    def __init__(self):
        self.journal, self.reports = Journal(), Reports()
        self.samples = []
        self.show = Show(self, self.reports, self.journal)

    def watch(self, topics=(), groups=()):
        return self

    def after(self, count):
        return []

    def run(self, what, rate, p50=2.0, p99=9.0, asked=math.nan, run=1):
        row = {"time": self.journal.now(), "service": what, "measured": what, "run": run}
        row |= {"asked": asked, "records_per_second": rate, "megabytes_per_second": rate * 3e-4}
        self.reports.append(row | {"p50_ms": p50, "p99_ms": p99})


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def columns_of(figure, colour: str) -> np.ndarray:
    """Return the columns in which a picture has about this colour."""
    return np.nonzero(near(figure, colour).any(axis=0))[0]


def words_on(figure) -> list:
    """Return the words on the last frame, and the boxes of their ink."""
    renderer = figure._figure.canvas.get_renderer()
    hidden = {*figure._texts[figure._texts_used :]}
    shown = [t for t in figure._figure.texts if t not in hidden and t.get_text()]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in shown]


def kept(figure):
    """Keep a picture's artists after its end, so that a test can look at them."""
    figure._end, figure._let_go = figure._ended.set, figure._end
    return figure


NAMES = ["one by one", "piped", "linger 20 ms, batches of 128 KiB", "confluent-kafka (C)"]


def test_a_bar_is_the_median_and_the_sentence_tells_the_spread(bench):
    figure = bench.show.rates()
    for run, rate in enumerate((90, 110, 100), start=1):
        bench.run("one by one", rate, run=run)
        bench.run("piped", 20 * rate, run=run)
    final(figure)
    assert "one by one: 100 · 0.03 MB/s (records/s; 90 to 110 in 3 runs)" in figure.sentence
    assert "piped: 2,000 · 0.60 MB/s (records/s; 1,800 to 2,200 in 3 runs)" in figure.sentence
    short, long = (columns_of(figure, colour) for colour in (style.BLUE, style.ORANGE))
    widths = [columns.max() - columns.min() for columns in (short, long)]
    assert widths[1] == pytest.approx(20 * widths[0], rel=0.15)


def test_a_picture_begins_with_what_is_measured_from_now_on(bench):
    bench.run("before", 100)
    bench.reports.append({"time": 0.0, "service": "desk", "handled": 7})
    figure = bench.show.rates()
    bench.run("after", 100)
    final(figure)
    assert "before" not in figure.sentence
    assert "after: 100" in figure.sentence


def test_latency_stands_at_the_rate_that_came_out(bench):
    figure = bench.show.latency()
    for asked, got, p50 in ((500, 500, 1.0), (4000, 4000, 2.0), (40_000, 9000, 300.0)):
        bench.run("piped", got, p50=p50, p99=3 * p50, asked=asked)
    bench.run("linger", 500, p50=20, p99=25, asked=500)
    final(figure)
    told = figure.sentence
    assert "p50 1.0 ms and p99 3.0 ms at 500 records/s" in told
    assert "p50 300 ms and p99 900 ms at 9,000 records/s" in told
    assert "could not keep up" in told.split("linger")[0]
    assert "could not keep up" not in told.split("linger")[1]


def test_runs_at_one_rate_are_one_point(bench):
    figure = kept(bench.show.latency())
    for run, p50 in enumerate((1.0, 50.0, 2.0), start=1):
        bench.run("piped", 1000 + run, p50=p50, p99=100.0, asked=1000, run=run)
    final(figure)
    (x,), (y,) = figure._lines["piped", "p50"].get_data()
    assert (x, 1000 * 10**y) == pytest.approx((1002, 2.0))
    figure._let_go()


def test_what_has_no_latency_leaves_the_picture_whole(bench):
    figure = bench.show.latency()
    bench.run("reader", 1000, p50=math.nan, p99=math.nan)
    final(figure)
    assert "reader: no latency known" in figure.sentence


@pytest.mark.everyday
@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5])
@pytest.mark.parametrize("kind", ["rates", "latency"])
def test_words_do_not_touch(bench, kind, scale):
    bench.show.scale = scale
    figure = kept(getattr(bench.show, kind)())
    for number, name in enumerate(NAMES):
        for asked in (500, 4000, 15_000, 40_000):
            rate = min(asked, 4 ** (number + 4))
            bench.run(name, rate, p50=1 + number, p99=30 + number, asked=asked)
    final(figure)
    words = words_on(figure)
    width = figure._figure.bbox.width
    for index, (text, box) in enumerate(words):
        assert box.x0 + 1 >= 0, text
        assert box.x1 - 1 <= width, text
        for other, second in words[index + 1 :]:
            over_x = min(box.x1, second.x1) - max(box.x0, second.x0)
            over_y = min(box.y1, second.y1) - max(box.y0, second.y0)
            # a font's box has a little air above and below its ink
            assert over_x < 2 or over_y < 0.35 * min(box.height, second.height), (text, other)
    figure._let_go()


def test_a_call_with_the_same_title_replaces_the_picture(bench):
    first = bench.show.rates("How fast")
    second = bench.show.rates("How fast")
    assert not first.alive
    assert second.alive
    third = bench.show.rates("Another")
    assert second.alive
    assert third.alive

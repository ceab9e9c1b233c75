"""The live pictures, fed with samples that grow in a thread, as an observer's do; no broker."""

import io
import itertools
import threading
import time
import weakref

import matplotlib.text
import numpy as np
import pytest
from conftest import wait_until
from PIL import Image

from lab_env.figures import Show
from lab_env.figures.engine import live, marks, scales, style
from lab_env.ground.errors import BadInputError, ClosedError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.reports import Reports
from lab_env.observation.facts.counts import OwnerCounts
from lab_env.observation.facts.series import Rate
from lab_env.observation.sample import GroupSample, Sample

# drawn as they are drawn for a student, which takes its time
pytestmark = pytest.mark.everyday

TOPIC = "flights.departed"
PLACES = [(TOPIC, partition) for partition in range(6)]
OWNERS = {place: f"truck-{1 + i // 3}" for i, place in enumerate(PLACES)}
GROUPS = ("board", "billing")


class Samples:
    """What a picture needs of an observer: samples that grow, from given counts."""

    def __init__(self, journal: Journal):
        self.journal = journal
        self.samples: list[Sample] = []
        self.watched: list = []
        self.ends = dict.fromkeys(PLACES, 0)
        self.committed = {group: dict.fromkeys(PLACES, 0) for group in GROUPS}
        self.members = ("truck-1", "truck-2")

    def watch(self, topics=(), groups=()):
        self.watched += [*topics, *groups]
        return self

    def after(self, count):
        return self.samples[count:]

    def sample(self, time: float | None = None, produced=0, consumed=0, stale=0.0, noise=0):
        """Append a sample in which each partition has got and given so many more records."""
        if not stale:
            rng = np.random.default_rng(len(self.samples))
            for place in PLACES:
                self.ends[place] += produced + int(rng.integers(noise + 1))
                for offsets in self.committed.values():
                    more = consumed + int(rng.integers(noise + 1))
                    offsets[place] = min(offsets[place] + more, self.ends[place])
        groups = {
            group: GroupSample("Stable", dict(self.committed[group]), OWNERS, self.members)
            for group in GROUPS
        }
        self.samples.append(
            Sample(
                self.journal.now() if time is None else time,
                dict(self.ends),
                dict.fromkeys(PLACES, 0),
                {},
                groups,
                {name: stale for name in ("topics", *GROUPS) if stale},
            )
        )


class Bench:
    """A stage with its input, and a thread that feeds it when asked to."""

    def __init__(self, pause_after: float = 60.0):
        self.journal = Journal()
        self.reports = Reports()
        self.observer = Samples(self.journal)
        self.show = Show(self.observer, self.reports, self.journal, pause_after=pause_after)
        self._stop = threading.Event()
        self._thread = None

    def feed(self, **counts):
        def run():
            while not self._stop.wait(0.25):
                self.observer.sample(**counts)
                now = self.journal.now()
                for k in (1, 2):
                    row = {"time": now, "service": f"truck-{k}", "handled": 1}
                    self.reports.append(row | {"kind": "call", "seconds": 0.02 * k})

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def hold(self):
        self._stop.set()
        self._thread.join()
        self._stop.clear()

    def past(self, seconds: float, **counts):
        """Let so many seconds pass in which samples came four times a second."""
        begin = self.journal.now()
        self.journal.epoch -= seconds
        for k in range(int(seconds * 4)):
            self.observer.sample(begin + k / 4, **counts)
        return begin

    def close(self):
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.show.close()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def final(figure):
    """Stop a picture, and wait for its last frame for as long as a busy machine takes."""
    figure.stop()
    wait_until(figure._ended.is_set, 30)
    assert figure.error is None
    return figure


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figure.png)).convert("RGB"))


def test_while_something_is_measured_a_picture_takes_less_of_the_machine(bench):
    bench.past(3, produced=50, consumed=25)
    figure = bench.show.throughput(TOPIC, "board")
    bench.feed(produced=50, consumed=25)
    wait_until(lambda: figure.frames >= 4)
    with bench.journal.measured():
        time.sleep(live.SPARING)  # a frame may have been due already
        first = figure.frames
        time.sleep(6 * live.SPARING)
        assert 0 < figure.frames - first <= 7, "at other times it would be about 14"
    wait_until(lambda: figure.frames > first + 7)


def test_a_picture_moves_and_tells_what_its_data_say(bench):
    bench.past(3, produced=50, consumed=25)
    figure = bench.show.throughput(TOPIC, "board")
    assert bench.observer.watched == [TOPIC, "board"]
    assert figure.png.startswith(b"\x89PNG")
    first = figure.frames
    bench.past(20, produced=50, consumed=25)
    bench.feed(produced=50, consumed=25)
    wait_until(lambda: figure.frames >= first + 4)
    bench.hold()
    before = len(bench.observer.samples)
    bench.past(10, produced=50, consumed=25)  # 6 partitions, 4 samples a second
    assert len(bench.observer.samples) == before + 40
    final(figure)
    assert "produced 1,200 records/s" in figure.sentence
    assert "board 600 records/s" in figure.sentence
    assert TOPIC in figure.sentence
    assert len(np.unique(pixels(figure).reshape(-1, 3), axis=0)) <= 64


@pytest.mark.everyday
@pytest.mark.parametrize("name", ["throughput", "members", "lag", "queue", "response_time"])
def test_every_picture_is_small_and_its_words_do_not_touch(bench, name):
    show = bench.show
    show.scale = 1.25
    figure = {
        "throughput": lambda: show.throughput(TOPIC, GROUPS),
        "members": lambda: show.throughput(TOPIC, GROUPS, by="member"),
        "lag": lambda: show.lag(TOPIC, GROUPS),
        "queue": lambda: show.queue(TOPIC, "board"),
        "response_time": lambda: show.response_time(),
    }[name]()
    boxes = words_of_every_frame(figure)
    begin = bench.journal.now()
    for second in (3, 4, 5, 20, 21, 60, 61, 62):
        bench.journal.marks.append(Mark(begin + second, f"truck-{second} crashes", "crash"))
    bench.journal.marks.append(Mark(begin + 30, "gate desk slow", "span", "", begin + 40))
    for k in range(600):
        row = {"time": begin + k / 6, "service": f"truck-{k % 3}", "handled": k}
        kind = ("call", "message")[k % 2]
        bench.reports.append(row | {"kind": kind, "seconds": 0.006 + 0.03 * (k % 2) * (k % 7)})
    bench.past(100, produced=30, consumed=29, noise=9)
    final(figure)
    assert len(figure.png) <= 60_000
    frame = boxes[-1]
    assert len(frame) > 12
    for (one, a), (two, b) in itertools.combinations(frame, 2):
        assert not a.overlaps(b), f"{one!r} touches {two!r}"
    for text, box in frame:
        assert box.x0 >= 0, text
        assert box.x1 <= figure_width(figure), text


def figure_width(figure):
    return Image.open(io.BytesIO(figure.png)).size[0]


def words_of_every_frame(figure):
    """Return a list that gets, with every frame, the words on it and their boxes."""
    frames = []
    draw = figure._draw

    def note(now, fineness):
        result = draw(now, fineness)
        renderer = figure._figure.canvas.get_renderer()
        shown = {*figure._figure.texts} - {*figure._texts[figure._texts_used :]}
        frames.append(
            [
                (text.get_text(), shrunk(text.get_window_extent(renderer)))
                for text in shown
                if isinstance(text, matplotlib.text.Text) and text.get_text()
            ]
        )
        return result

    figure._draw = note
    return frames


def shrunk(box):
    """Return the box of the ink: a font's box has a little air above and below."""
    air = 0.12 * min(box.height, box.width)
    return type(box).from_extents(box.x0 + 1, box.y0 + air, box.x1 - 1, box.y1 - air)


def test_four_pictures_together_stay_within_what_a_notebook_may_send(bench):
    bench.past(60, produced=100, consumed=90, noise=60)
    show = bench.show
    figures = [
        show.throughput(TOPIC, GROUPS),
        show.throughput(TOPIC, GROUPS, by="member"),
        show.lag(TOPIC, GROUPS),
        show.queue(TOPIC, "board"),
    ]
    bench.past(100, produced=100, consumed=90, noise=60)
    bench.feed(produced=100, consumed=90, noise=60)
    began, sent = time.monotonic(), sum(f.bytes_sent for f in figures)
    time.sleep(5)
    sent = sum(f.bytes_sent for f in figures) - sent
    assert sent / (time.monotonic() - began) < 250_000
    wait_until(lambda: all(f.frames >= 4 for f in figures), 60)
    assert all(len(f.png) <= 60_000 for f in figures)
    assert figure_width(figures[0]) == 900  # coarse, where there are many


def test_a_picture_goes_on_while_a_cell_computes(bench):
    figure = bench.show.lag(TOPIC, "board")
    bench.feed(produced=50, consumed=40)
    before, until = figure.frames, time.monotonic() + 60
    while figure.frames < before + 3 and time.monotonic() < until:
        sum(range(1000))  # in Python all the time: the drawing thread has to wait for its turn
    assert figure.frames >= before + 3


def test_a_picture_pauses_when_nothing_happens_and_goes_on():
    bench = Bench(pause_after=1.0)
    try:
        figure = bench.show.lag(TOPIC, "board")
        bench.feed()  # samples come, but they say nothing new
        wait_until(lambda: figure.paused, 20)
        frames = figure.frames
        time.sleep(1.5)
        assert figure.frames == frames
        bench.hold()
        bench.feed(produced=7)
        wait_until(lambda: figure.frames > frames)
        assert not figure.paused
    finally:
        bench.close()


def test_the_same_pixels_are_not_sent_twice(bench):
    figure = bench.show.response_time()
    frames = figure.frames
    time.sleep(1.5)
    assert figure.frames == frames


def test_closing_draws_the_last_data_and_ends_the_thread(bench):
    figure = bench.show.lag(TOPIC, "board")
    bench.observer.sample(produced=41)
    bench.observer.ends[PLACES[0]] += 2
    bench.observer.sample()
    bench.show.close()
    wait_until(lambda: not figure.alive and figure._ended.is_set(), 30)
    assert "248 records wait for board" in figure.sentence
    png = figure.png
    time.sleep(0.6)
    assert figure.png == png
    assert not any(t.name == "lab-pictures" for t in threading.enumerate())
    with pytest.raises(ClosedError):
        bench.show.lag(TOPIC, "board")


def test_closing_does_not_wait_for_a_thread_that_is_stuck(bench):
    figure = bench.show.lag(TOPIC, "board")
    stuck = threading.Event()
    figure.tell = lambda now: stuck.wait(20) or "late"
    bench.observer.sample(produced=5)
    time.sleep(0.5)
    began = time.monotonic()
    bench.show.close()
    assert time.monotonic() - began < 1.5
    stuck.set()
    wait_until(figure._ended.is_set)


def test_a_broken_picture_says_so_and_the_others_go_on(bench):
    broken = bench.show.throughput(TOPIC, "board")
    whole = bench.show.lag(TOPIC, "board")
    broken.draw = lambda now: 1 / 0
    bench.feed(produced=50)
    wait_until(lambda: broken.error is not None)
    assert isinstance(broken.error, ZeroDivisionError)
    assert "ZeroDivisionError" in broken.sentence
    wait_until(lambda: not broken.alive)
    frames = whole.frames
    wait_until(lambda: whole.frames > frames + 1)
    assert whole.error is None


def test_a_picture_that_cannot_begin_says_so(bench, monkeypatch):
    monkeypatch.setattr("lab_env.figures.lag.Lag.build", lambda self, figure: 1 / 0)
    figure = bench.show.lag(TOPIC, "board")
    assert "ZeroDivisionError" in repr(figure)


def test_a_cell_that_is_run_again_replaces_its_picture(bench):
    first = bench.show.lag(TOPIC, "board")
    other = bench.show.lag(TOPIC, "billing")
    second = bench.show.lag(TOPIC, ["board"])
    assert first is not second
    assert not first.alive
    assert second.alive
    assert other.alive
    assert first.png


def test_the_thread_ends_with_the_last_picture(bench, tmp_path):
    figure = bench.show.lag(TOPIC, "board")
    assert bench.show._stage._thread.is_alive()
    figure.stop()
    figure.stop()
    wait_until(lambda: bench.show._stage._thread is None)
    assert figure.save(tmp_path / "lag.png").read_bytes() == figure.png
    again = bench.show.lag(TOPIC, "board")
    assert again.alive
    assert "Live pictures (1 alive" in repr(bench.show)


def test_the_thread_holds_only_what_feeds_it():
    class Owner:
        pass

    bench, owner = Bench(), Owner()
    owner.show = bench.show
    gone = weakref.ref(owner)
    bench.show.lag(TOPIC, "board")
    del owner
    assert gone() is None
    bench.close()


def test_silence_of_kafka_is_told_and_lines_have_a_gap(bench):
    figure = bench.show.lag(TOPIC, "board")
    begin = bench.past(10, produced=9, consumed=5)
    for k in range(20):
        bench.observer.sample(begin + 10 + k / 4, stale=0.1 + k / 4)
    bench.journal.epoch -= 5
    frames = figure.frames
    wait_until(lambda: figure.frames > frames)
    wait_until(lambda: "no answer from Kafka for" in figure.sentence)
    assert "wait for board" not in figure.sentence
    bench.past(3, produced=9, consumed=5)
    final(figure)
    assert "no answer" not in figure.sentence
    assert "wait for board" in figure.sentence
    (outage,) = figure._outages
    assert outage.end - outage.time == pytest.approx(5, abs=1.5)
    assert any(value != value for value in figure.series[0].values)


def test_reports_of_handled_records_count_for_their_service(bench):
    figure = bench.show.queue(TOPIC, "board")
    bench.past(5, produced=20, consumed=10)
    begin = bench.journal.now()
    bench.journal.marks.append(Mark(begin - 1, "truck-9 crashes", "crash", "truck-9"))
    for k in range(30):
        bench.reports.append({"time": begin, "service": "truck-9", "handled": k})
    bench.reports.append({"time": begin, "service": "x", "handled": 1, "group": "billing"})
    final(figure)
    assert "truck-9 has handled 30" in figure.sentence
    assert "truck-1" not in figure.sentence  # what was committed no longer counts
    assert "x has handled" not in figure.sentence


def test_commits_count_for_the_owner_while_nobody_reports(bench):
    figure = bench.show.queue(TOPIC, "board")
    bench.past(5, produced=20, consumed=10)
    final(figure)
    assert "truck-1 has handled 570" in figure.sentence  # 19 steps, 3 partitions, 10 records


def test_failed_calls_have_their_own_sign(bench):
    figure = bench.show.response_time("Waiting")
    now = bench.journal.now()
    for k in range(10):
        bench.reports.append({"time": now, "service": "a", "kind": "call", "seconds": 0.004})
        row = {"time": now, "service": "a", "kind": "call", "seconds": 2, "ok": False}
        bench.reports.append(row)
        bench.reports.append({"time": now, "service": "a", "kind": "gossip", "seconds": 30 + k})
    bench.reports.append({"time": now, "service": "a", "kind": "call", "seconds": "soon"})
    bench.reports.append({"time": now, "service": "a", "kind": "call", "seconds": float("nan")})
    final(figure)
    assert "call ● 4.0 ms (10 so far)" in figure.sentence
    assert "call fails \u00d7 2.0 s (10 so far)" in figure.sentence
    assert "gossip" in figure.sentence
    assert figure.sentence.startswith("Waiting")


@pytest.mark.parametrize(
    "call",
    [
        lambda show: show.lag(TOPIC, ()),
        lambda show: show.lag(None, "board"),
        lambda show: show.lag(TOPIC, 7),
        lambda show: show.queue(TOPIC, ["board"]),
        lambda show: show.throughput(TOPIC, by="partition"),
    ],
)
def test_arguments_that_cannot_work_are_refused_before_anything_starts(bench, call):
    with pytest.raises(BadInputError):
        call(bench.show)
    assert bench.show._stage is None


def test_a_notebook_gets_one_picture_and_its_words_and_updates_of_both(bench, monkeypatch):
    shown, said = [], []

    class Handle:
        def update(self, data, raw, metadata=None):
            (said if "text/html" in data else shown).append((data, metadata))

    def display(data, raw, display_id, metadata=None):
        assert threading.current_thread() is threading.main_thread()
        (said if "text/html" in data else shown).append((data, metadata))
        return Handle()

    monkeypatch.setattr(live, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    figure = bench.show.lag(TOPIC, "board")
    assert len(shown) == 1
    bench.feed(produced=10)
    wait_until(lambda: len(shown) > 3)
    for data, metadata in shown:
        assert set(data) == {"image/png", "text/plain"}
        size = {"width": 900, "height": 420, "alt": data["text/plain"]}
        assert metadata == {"image/png": size}
    assert figure._ipython_display_() is None
    final(figure)
    assert len(said) >= 2  # at first, and at last
    assert figure.sentence in said[-1][0]["text/html"]


# -- what pictures are made of ----------------------------------------------------------------


def test_spread_moves_labels_apart_and_no_further():
    assert style.spread([10, 100], 20, 0, 200) == [10, 100]
    placed = style.spread([50, 52, 51, 150], 20, 0, 200)
    assert placed == pytest.approx([31, 71, 51, 150])
    crowd = style.spread([5] * 10, 20, 0, 100)
    assert crowd == pytest.approx([5 + 10 * k for k in range(10)])
    low = style.spread([0, 0, 0], 20, 0, 200)
    assert low == pytest.approx([10, 30, 50])


def test_a_name_keeps_its_colour():
    palette = style.Palette()
    first = palette.look("truck-1")
    looks = {palette.look(f"truck-{k}") for k in range(1, 15)}
    assert palette.look("truck-1") == first
    assert len(looks) == 14  # a colour that comes again has another marker
    assert palette.look("produced").colour == style.INK


def test_numbers_are_read_out():
    assert [style.number(n) for n in (0, 4.46, 9.96, 1234567.8)] == ["0", "4.5", "10", "1,234,568"]
    assert [style.duration(s) for s in (0.0042, 0.83, 2)] == ["4.2 ms", "830 ms", "2.0 s"]
    assert style.shorten("kafka-python-3.0.12-abc") == "kafka-pyt…0.12-abc"


def test_axes_grow_at_once_and_shrink_late():
    assert [scales.window(t) for t in (0, 30, 31, 61, 120, 121, 151)] == [
        (0, 30),
        (0, 30),
        (0, 60),
        (0, 120),
        (0, 120),
        (30, 150),
        (60, 180),
    ]
    scale = scales.Amount()
    scale.fit(4300, 0)
    assert scale.top == 5000
    scale.fit(4700, 1)
    assert scale.top == 5000
    scale.fit(100, 2)
    assert scale.top == 5000
    scale.fit(100, 18)
    assert scale.top == 150
    assert scale.ticks == [0, 50, 100, 150]


def test_marks_that_come_together_are_one_and_words_never_touch():
    together = [Mark(1 + k / 100, f"truck-{k} starts", "start", f"truck-{k}") for k in range(5)]
    (one,) = marks.merge(together)
    assert one.text == "truck-0 starts, and 4 more"
    many = [Mark(t, f"something at {t}") for t in range(0, 60, 3)]
    placed = marks.place(many, 60, lambda t: 50 + 10 * t, lambda s: 7 * len(s), 50, 650, 800)
    assert placed[0].mark.time == 57  # the newest is always there
    for a, b in itertools.combinations(placed, 2):
        apart = a.left + a.width <= b.left or b.left + b.width <= a.left
        assert apart or a.row != b.row
    for upper, lower in itertools.product(placed, placed):
        if upper.row > lower.row:  # its line goes down past the lower words
            line = 50 + 10 * upper.mark.time
            assert not lower.left < line < lower.left + lower.width


def test_a_rate_begins_anew_with_a_topic_that_was_made_anew():
    rate = Rate()
    assert rate.at(0, 0) is None
    assert rate.at(1, 100) == 100
    assert rate.at(1.25, 3) is None
    assert rate.at(2.25, 13) == 10


def test_what_is_committed_counts_for_whoever_owned_it():
    counts = OwnerCounts(TOPIC, "board")
    place = PLACES[0]

    def sample(committed, owner, members=("a", "b")):
        group = GroupSample("Stable", {place: committed}, {place: owner} if owner else {}, members)
        return Sample(0, {place: 100}, {place: 0}, {}, {"board": group}, {})

    assert counts.take(sample(10, "a")) == {"a": 0, "b": 0}
    assert counts.take(sample(30, "b")) == {"a": 20, "b": 0}  # a committed it when it left
    assert counts.take(sample(35, "b", ("b",))) == {"b": 5}

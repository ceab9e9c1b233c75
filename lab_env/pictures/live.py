"""The engine of the live pictures: one thread a lab that draws them all and sends the frames."""

import contextlib
import io
import math
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from lab_env.messages import say
from lab_env.pictures import style
from lab_env.pictures.picture import SILENCE, Picture

if TYPE_CHECKING:
    from lab_env.journal import Journal
    from lab_env.observation.observer import Observer
    from lab_env.reports import Reports

PERIOD = 0.25  # seconds between frames
SHARP, PLAIN = 1.5, 1.0  # pixels of the picture a pixel of the page
SHARP_UP_TO = 2  # figures alive; with more, the notebook's budget does not carry sharp ones
BUDGET = 240_000  # bytes a second that all figures together may send, as base64
FRAME = 60_000  # bytes: a frame is never larger
IDLE = 60.0  # seconds without a change before a figure pauses
COLOURS = 64
SWITCH = 0.0005  # seconds a cell that spins in Python may keep the interpreter from the drawing


def shell():
    """Return IPython's shell if this runs in a notebook's kernel, else None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    found = get_ipython()
    return found if found is not None and hasattr(found, "kernel") else None


class LiveFigure:
    """A picture on the page that goes on moving while other cells run.

    Attributes:
        png: the last frame.
        sentence: what it shows, in words.
        frames: how many frames were sent.
        bytes_sent: their size as the notebook gets them (base64).
        error: why it stopped by itself, or None.
    """

    def __init__(self, picture: Picture, key: tuple, stage: "Stage"):
        self.key = key
        self.png = b""
        self.sentence = ""
        self.frames = 0
        self.bytes_sent = 0
        self.error: BaseException | None = None
        self.stopped = False
        self._picture = picture
        self._stage = weakref.ref(stage)
        self._handle = None
        self._samples = 0
        self._rows = 0
        self._marks = 0
        self._last_change = time.monotonic()
        self._seen: tuple = ()
        self._lock = threading.Lock()  # the picture belongs to whoever draws

    def stop(self) -> None:
        """End the figure; its last frame stays."""
        self.stopped = True

    def save(self, path) -> None:
        """Write the last frame as a PNG file."""
        with open(path, "wb") as file:
            file.write(self.png)

    @property
    def paused(self) -> bool:
        """Whether it waits for something to change."""
        return time.monotonic() - self._last_change > IDLE

    def _ipython_display_(self) -> None:
        """Show nothing: the call that made the figure has shown it."""

    def __repr__(self) -> str:
        return self.sentence

    # -- in the drawing thread ----------------------------------------------------------------

    def _take(self, stage: "Stage") -> None:
        """Read what is new."""
        samples = stage.observer.after(self._samples)
        rows = stage.reports.after(self._rows)
        self._samples += len(samples)
        self._rows += len(rows)
        picture = self._picture
        picture.marks = [m for m in list(stage.journal.marks) if m.time >= picture.began - 0.01]
        changed = bool(rows) or len(picture.marks) != self._marks
        self._marks = len(picture.marks)
        for sample in samples:
            seen = (id(sample.ends), id(sample.leaders), *map(id, sample.groups.values()))
            changed = changed or seen != self._seen  # equal values are one object
            self._seen = seen
            _note_silence(picture, sample.time, sample.stale.get("topics", 0.0))
        picture.take([s for s in samples if s.time >= picture.began - 1.5], rows)
        silence = stage.observer.silence
        if silence > SILENCE:
            _note_silence(picture, stage.journal.now(), silence)
        if changed or (silence > SILENCE and silence < IDLE):
            self._last_change = time.monotonic()

    def _frame(self, stage: "Stage", pixels: float) -> bytes:
        from PIL import Image

        buffer = self._picture.render(style.DPI * pixels, stage.journal.now())
        height, width = buffer.shape[:2]
        image = Image.frombuffer("RGBA", (width, height), buffer, "raw", "RGBA", 0, 1)
        colours = COLOURS
        while True:
            small = image.convert("RGB").quantize(
                colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
            )
            file = io.BytesIO()
            small.save(file, "PNG", compress_level=6 if colours < COLOURS else 3)
            if file.tell() <= FRAME or colours <= 8:
                return file.getvalue()
            colours //= 2

    def _bundle(self) -> tuple[dict, dict]:
        metadata = {"width": style.WIDTH, "height": style.HEIGHT, "alt": self.sentence}
        return (
            {"image/png": self.png, "text/plain": self.sentence},
            {"image/png": metadata},
        )

    def _show_first(self, stage: "Stage", pixels: float) -> None:
        """Draw the first frame and put it on the page, in the caller's thread."""
        with self._lock:
            self._take(stage)
            self.png = self._frame(stage, pixels)
            self.sentence = self._picture.sentence()
        self.frames += 1
        if shell() is not None:
            from IPython.display import display

            data, metadata = self._bundle()
            self._handle = display(data, metadata=metadata, raw=True, display_id=True)

    def _update(self, stage: "Stage", pixels: float, spend) -> None:
        """Draw a frame and send it if it differs and the budget allows."""
        with self._lock:
            png = self._frame(stage, pixels)
            if png == self.png or not spend(len(png) * 4 // 3):
                return
            self.png = png
            self.sentence = self._picture.sentence()
        self.frames += 1
        self.bytes_sent += len(png) * 4 // 3
        if self._handle is not None:
            data, metadata = self._bundle()
            self._handle.update(data, metadata=metadata, raw=True)

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self.stopped = True
        self.sentence = say("pictures.broken", error=repr(error))
        if self._handle is not None:
            data, metadata = self._bundle()
            with contextlib.suppress(Exception):
                self._handle.update(data, metadata=metadata, raw=True)


def _note_silence(picture: Picture, now: float, silence: float) -> None:
    """Keep the times in which Kafka did not answer; the last one is open (NaN) while it lasts."""
    at = picture.since(now)
    zones = picture.silences
    is_open = bool(zones) and math.isnan(zones[-1][1])
    if silence > SILENCE and not is_open:
        zones.append([max(at - silence, 0.0), math.nan])
    elif silence == 0 and is_open:
        zones[-1][1] = at


class Stage:
    """All live figures of a lab, and the one thread that draws them.

    Args:
        observer: gives samples of the broker.
        reports: gives what services reported.
        journal: gives the clock and the marks.
    """

    def __init__(self, observer: "Observer", reports: "Reports", journal: "Journal"):
        self.observer = observer
        self.reports = reports
        self.journal = journal
        self.palette = style.Palette()
        self._figures: list[LiveFigure] = []
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._sent: deque[tuple[float, int]] = deque()

    @property
    def figures(self) -> list[LiveFigure]:
        """The figures that are alive."""
        return [figure for figure in list(self._figures) if not figure.stopped]

    def add(self, picture: Picture, key: tuple) -> LiveFigure:
        """Put a picture on the page and keep it moving.

        A figure with the same key (a cell that is run again) stops; its last frame stays.
        """
        for figure in self.figures:
            if figure.key == key:
                figure.stop()
        figure = LiveFigure(picture, key, self)
        figure._show_first(self, self._pixels(1))
        with self._lock:
            self._figures = [*self.figures, figure]
            if not self._closing.is_set() and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name="lab-figures", daemon=True)
                self._thread.start()
        return figure

    def close(self, seconds: float = 1.0) -> None:
        """Draw each figure once more and end the thread; a drawing that hangs is left alone."""
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)
        for figure in self._figures:
            figure.stop()

    def _pixels(self, more: int = 0) -> float:
        return SHARP if len(self.figures) + more <= SHARP_UP_TO else PLAIN

    def _spend(self, count: int) -> bool:
        """Return whether ``count`` bytes may be sent now, and write them down if so."""
        now = time.monotonic()
        while self._sent and self._sent[0][0] < now - 1.0:
            self._sent.popleft()
        if sum(size for _, size in self._sent) + count > BUDGET:
            return False
        self._sent.append((now, count))
        return True

    def _run(self) -> None:
        # drawing gives the interpreter away dozens of times a frame: at the usual 5 ms each, a cell
        # that spins would leave half a frame a second
        usual = sys.getswitchinterval()
        sys.setswitchinterval(min(usual, SWITCH))
        try:
            self._draw_until_closed()
        finally:
            sys.setswitchinterval(usual)

    def _draw_until_closed(self) -> None:
        turn = 0
        while not self._closing.is_set():
            began = time.monotonic()
            with self._lock:
                figures = self.figures
                if not figures:  # the next figure starts a new thread
                    self._thread = None
                    return
            turn += 1  # whoever had no budget this time comes first the next
            for figure in figures[turn % len(figures) :] + figures[: turn % len(figures)]:
                self._draw(figure)
                if self._closing.is_set():
                    break
            self._closing.wait(max(PERIOD - (time.monotonic() - began), 0.02))
        self._sent.clear()  # the last frame is never too much
        for figure in self.figures:
            self._draw(figure, last=True)

    def _draw(self, figure: LiveFigure, *, last: bool = False) -> None:
        try:
            figure._take(self)
            if last or not figure.paused:
                figure._update(self, self._pixels(), self._spend)
        except Exception as error:  # one broken figure must not stop the others
            figure._fail(error)

"""The engine of live pictures: one thread draws all of a lab. Long: what a picture must have."""

import contextlib
import html
import sys
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lab_env.figures.engine.png import Encoder
from lab_env.figures.engine.style import HEIGHT, WIDTH, Palette
from lab_env.ground.errors import BadInputError, ClosedError
from lab_env.messages import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.font_manager import FontProperties

    from lab_env.ground.journal import Journal
    from lab_env.ground.reports import Reports
    from lab_env.observation.sample import Sample

PERIOD = 0.22  # seconds between frames of one picture, at the least
SPARING = 0.5  # the same while something is measured, which the drawing would take from
POLL = 0.03  # seconds between looks for the sample that the next frame waits for:
PATIENCE = 0.5  # at most so long, since a silence is to be seen as well
BUDGET = 240_000  # bytes a second for all pictures: Jupyter throttles a notebook at 1 MB/s
BURST = 20_000  # bytes that may be saved up
FINE, COARSE = 1.5, 1.0  # pixels per unit with one or two pictures, and with more
IDLE_PERIOD = 0.5  # seconds between looks at a paused picture's data
FIRST_FRAME_SECONDS = 10.0
STOP_SECONDS = 0.9
SPEAK_PERIOD = 2.0  # seconds between sentences for a screen reader
BEAT = 3.0  # seconds after which the page hears that a picture lives, though nothing has changed
SWITCH = 0.0005  # seconds that a cell which spins may keep the interpreter from the drawing


Picture = TypeVar("Picture", bound="LiveFigure")


class SampleSource(Protocol):
    """What a stage asks of an observer."""

    @property
    def samples(self) -> "Sequence[Sample]":
        """All that were taken."""

    def after(self, count: int) -> "Sequence[Sample]":
        """Return the samples after the first ``count``."""


class Stage:
    """Owns the thread that draws all live pictures of one lab.

    The thread starts with the first picture and ends when none is alive. It holds the observer,
    the reports and the journal, never the lab, so that a forgotten lab can clean up.

    Args:
        observer: its ``samples`` feed the pictures.
        reports: the services' reports.
        journal: the clock and the marks.
        pause_after: seconds without news after which a picture pauses.
    """

    def __init__(
        self,
        observer: SampleSource,
        reports: "Reports",
        journal: "Journal",
        pause_after: float = 60.0,
    ):
        self.observer = observer
        self.reports = reports
        self.journal = journal
        self.pause_after = pause_after
        self.palette = Palette()
        # re-entrant: a lab may be collected, and closed, while this very thread holds the lock
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._figures: list[LiveFigure] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._allowance = float(BURST)
        self._refilled = time.monotonic()

    @property
    def alive(self) -> list["LiveFigure"]:
        """The pictures that are alive."""
        return [figure for figure in self._figures if figure.alive]

    def add(self, figure: Picture) -> Picture:
        """Show a picture below the running cell and keep it alive; return it with a first frame.

        One of the same kind and arguments stops: a cell that is run again replaces its picture.

        Raises:
            ClosedError: the lab is closed.
        """
        for old in self.alive:
            if old.key == figure.key:
                old.stop()
        with self._lock:
            if self._closed:
                raise ClosedError("lab.closed")
            self._figures.append(figure)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lab-pictures", daemon=True)
                self._thread.start()
        self._wake.set()
        try:
            figure._drawn.wait(FIRST_FRAME_SECONDS)
            figure._display()
        except BaseException:
            figure._stopping = True  # the cell was interrupted: nobody would see the picture
            raise
        finally:
            figure._displayed.set()
            self._wake.set()
        return figure

    def close(self) -> None:
        """Draw a last frame of every picture and end the thread; takes a second at the most."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _run(self) -> None:
        # drawing gives the interpreter away dozens of times a frame: at the usual 5 ms each, a cell
        # that spins would leave it half a frame a second
        usual = sys.getswitchinterval()
        sys.setswitchinterval(min(usual, SWITCH))
        try:
            self._draw_until_nothing_lives()
        finally:
            sys.setswitchinterval(usual)

    def _draw_until_nothing_lives(self) -> None:
        while True:
            self._wake.clear()  # before looking, so that no wake is lost
            with self._lock:
                self._figures = [f for f in self._figures if not f._ended.is_set()]
                figures = list(self._figures)
                if not figures:
                    self._thread = None
                    return
            wait = self._step(figures)
            if wait > 0:
                self._wake.wait(wait)

    def _step(self, figures: list["LiveFigure"]) -> float:
        """Draw one frame if one is due, and return how long to wait for the next (s)."""
        fineness = FINE if len(figures) <= 2 else COARSE
        for figure in figures:
            if self._closed or figure._stopping:
                figure._finish(fineness)
                return 0.0
        now = time.monotonic()
        for figure in figures:
            figure._beat(now)
        self._allowance = min(self._allowance + (now - self._refilled) * BUDGET, BURST)
        self._refilled = now
        waiting = [f for f in figures if not f._drawn.is_set() or f._displayed.is_set()]
        if not waiting:
            return PERIOD  # add() wakes this thread as soon as a picture is on the page
        figure = min(waiting, key=lambda f: f._due)
        if figure._due > now:
            return min(figure._due - now, PERIOD)
        if self._allowance < 0:
            return -self._allowance / BUDGET + 0.001
        began = time.thread_time()
        self._allowance -= figure._frame(fineness, quick=len(figures) == 1)
        # never more than half of a core, however slow the machine draws
        rest = time.thread_time() - began
        drew = figure._attempted >= now
        usual = SPARING if self.journal.measuring else PERIOD
        period = usual if drew else IDLE_PERIOD if figure.paused else POLL
        figure._due = max(figure._due + period, time.monotonic() + rest)
        return 0.0


class LiveFigure:
    """One live picture; `timeline.TimeFigure` is the base of those over time.

    A subclass says what to draw in `build`, `read`, `layout`, `lay`, `move` and `tell`, all of
    which run in the drawing thread alone.

    Args:
        stage: draws it.
        key: kind and arguments; a new picture with the same key replaces this one.
        scale: 1.0 for a laptop, 1.5 for the back of a room: grows text and lines.

    Attributes:
        detail: pixels beside those of other pictures; less in a dashboard, which shows it small.
        png: bytes of the last frame.
        sentence: what the last frame shows, in words.
        frames: how many frames were made.
        bytes_sent: how much went to the notebook, or would have gone.
        fresh: whether `read` took in anything, so that a frame is worth its while.
        paused: nothing has changed for long; it goes on by itself.
        error: the exception that ended it, or None.
    """

    def __init__(self, stage: Stage, key: tuple, scale: float = 1.0):
        self.key = key
        self.scale = scale
        self.detail = 1.0
        self.png = b""
        self.sentence = ""
        self.frames = 0
        self.bytes_sent = 0
        self.fresh = True
        self.paused = False
        self.error: Exception | None = None
        self._stage = stage
        self._encoder = Encoder()
        self._canvas: FigureCanvasAgg | None = None
        self._handle: Any = None
        self._voice: Any = None
        self._beats = 0
        self._spoke = 0.0
        self._background: Any = None
        self._layout: Any = None
        self._widths: dict[tuple, float] = {}  # of texts that were measured
        self._sent: np.ndarray | None = None
        self._due = time.monotonic()
        self._changed = time.monotonic()
        self._attempted = 0.0  # when it was drawn last
        self._stopping = False
        self._drawn = threading.Event()  # a first frame is there
        self._displayed = threading.Event()  # and on the page
        self._ended = threading.Event()

    # -- for whoever holds the picture -------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it still moves."""
        return not (self._stopping or self._ended.is_set())

    def stop(self) -> None:
        """Draw a last frame and stop; the frame stays. Can be called again."""
        self._stopping = True
        self._stage._wake.set()
        if threading.current_thread() is not self._stage._thread:
            self._ended.wait(STOP_SECONDS)

    def save(self, path: str | Path) -> Path:
        """Write the last frame to a PNG file and return its path.

        Args:
            path: of the file; one that is there is written over.

        Raises:
            BadInputError: it is no path, or nothing can be written there.
        """
        if not isinstance(path, str | Path) or not str(path):
            raise BadInputError("figures.bad_path", got=path)
        try:
            Path(path).write_bytes(self.png)
        except (OSError, ValueError) as error:  # a ValueError: it has signs that no path may have
            raise BadInputError("figures.not_saved", path=str(path), why=error) from error
        return Path(path)

    def __repr__(self) -> str:
        return self.sentence or type(self).__name__

    def _ipython_display_(self) -> None:
        """Show nothing: the call that made the picture has shown it already."""

    # -- what a picture says about itself, in the drawing thread ------------------------------

    def build(self, figure: Figure) -> None:
        """Make what every frame uses again."""

    def read(self, now: float) -> bool:
        """Take in what is new up to ``now`` (s, lab's clock); return whether anything changed."""
        return True

    def layout(self, now: float) -> Any:
        """Bring in order what `lay` and `move` rely on; return all that the background depends on.

        Called with every frame, before either of them: a subclass may fit its axes here. When what
        is returned differs from the last time, `lay` is called.

        Args:
            now: s, lab's clock.

        Returns:
            What can be compared with ``==``, and holds nothing that changes from frame to frame.
        """
        return None

    def lay(self, now: float) -> None:
        """Bring axes, ticks, title and marks in order; this and `move` differ 20-fold in cost."""

    def move(self, now: float) -> list:
        """Bring the animated artists in order and return them, the lowest first."""
        return []

    def tell(self, now: float) -> str:
        """Return a sentence about what is seen, made from the data."""
        return ""

    def measure(self, text: str, size: float, weight: str = "normal") -> float:
        """Return how wide a text will be, in units (a picture is 900 wide)."""
        key = text, size, weight
        if key not in self._widths:
            if len(self._widths) > 2000:
                self._widths.clear()
            font = self.font(size, weight)
            renderer = self._open_canvas.get_renderer()
            width, _, _ = renderer.get_text_width_height_descent(text, font, False)
            self._widths[key] = width / self._figure.dpi * 100
        return self._widths[key]

    def font(self, size: float, weight: str = "normal") -> "FontProperties":
        """Return the house font, at a size in points that grows with the picture's scale."""
        from matplotlib.font_manager import FontProperties

        from lab_env.figures.engine.style import FONT

        return FontProperties(family=FONT, size=size * self.scale, weight=weight)

    # -- drawing and sending, in the drawing thread -------------------------------------------

    @property
    def _open_canvas(self) -> FigureCanvasAgg:
        """What it is drawn on, from `build` to its end."""
        if self._canvas is None:
            raise RuntimeError("a picture draws from its first frame to its last")
        return self._canvas

    @property
    def _figure(self) -> Figure:
        """What its artists belong to, from `build` to its end."""
        return self._open_canvas.figure

    def _frame(self, fineness: float, *, quick: bool = False, last: bool = False) -> int:
        """Draw a frame if there is news, send it if it looks new, return the bytes it cost."""
        fineness *= self.detail
        try:
            now = self._stage.journal.now()
            if self._canvas is None:
                figure = Figure((WIDTH / 100, HEIGHT / 100), facecolor="white")
                self._canvas = FigureCanvasAgg(figure)
                figure.set_dpi(100 * fineness)
                self.build(figure)
            if self.read(now):
                self._changed = time.monotonic()
            quiet = time.monotonic() - self._changed
            self.paused = quiet > self._stage.pause_after and not last and self._drawn.is_set()
            if self.paused:
                return 0
            waits = time.monotonic() - self._attempted
            if not (self.fresh or last or waits > PATIENCE):
                return 0
            self._attempted = time.monotonic()
            pixels = self._draw(now, fineness)
            if self._sent is not None and np.array_equal(self._sent, pixels):
                return 0
            self._sent = pixels.copy()
            png = self._encoder.encode(pixels, (WIDTH, HEIGHT), quick=quick)
            return self._send(png, self.tell(now))
        except Exception as error:  # one broken picture must not stop the others
            self._break(error)
            return 0

    def _draw(self, now: float, fineness: float) -> np.ndarray:
        figure, canvas = self._figure, self._open_canvas
        layout = self.layout(now), fineness
        if layout != self._layout:
            if figure.dpi != 100 * fineness:
                figure.set_dpi(100 * fineness)
                self._widths.clear()
            self.lay(now)
            canvas.draw()
            self._background = canvas.copy_from_bbox(figure.bbox)
            self._layout = layout
            self._encoder.forget()
        else:
            canvas.restore_region(self._background)
        renderer = canvas.get_renderer()
        for artist in self.move(now):
            artist.draw(renderer)
        return np.asarray(canvas.buffer_rgba())

    def _send(self, png: bytes, sentence: str) -> int:
        self.png, self.sentence = png, sentence
        self.frames += 1
        cost = -(-len(png) // 3) * 4 + 2 * len(sentence)
        self.bytes_sent += cost
        if self._handle is not None:
            data, metadata = self._bundle()
            self._handle.update(data, raw=True, metadata=metadata)
            if time.monotonic() - self._spoke > SPEAK_PERIOD:
                self._speak()
        self._drawn.set()
        return cost

    def _speak(self, *, last: bool = False) -> None:
        """Say the sentence to those who hear the page, and whether more will come."""
        self._spoke = time.monotonic()
        self._beats += 1
        self._voice.update(*_spoken(self.sentence, None if last else self._beats), raw=True)

    def _beat(self, now: float) -> None:
        """Tell the page that this picture still lives, if it has not heard for long."""
        if self._handle is not None and now - self._spoke > BEAT:
            self._speak()

    def _finish(self, fineness: float) -> None:
        """Draw the last frame and let go of everything but what it left."""
        if not self._ended.is_set():
            self._frame(fineness, last=True)
            if self._handle is not None:
                with contextlib.suppress(Exception):
                    self._speak(last=True)
            self._end()

    def _break(self, error: Exception) -> None:
        self.error = error
        self.sentence = say("figures.broken", error=f"{type(error).__name__}: {error}")
        with contextlib.suppress(Exception):
            if self._handle is not None:
                data, metadata = self._bundle()
                self._handle.update(data, raw=True, metadata=metadata)
                self._speak(last=True)
        self._end()

    def _end(self) -> None:
        self.paused = False
        if self._canvas is not None:
            FigureCanvasBase(self._figure)  # has no pixels; artists may still point at the figure
        self._canvas = self._background = self._sent = None
        self._ended.set()
        self._drawn.set()

    # -- the page -----------------------------------------------------------------------------

    def _display(self) -> None:
        """Show the first frame below the running cell, if this is a notebook."""
        if not self.sentence:
            self.sentence = say("figures.slow")
        if in_notebook():
            from IPython.display import display

            data, metadata = self._bundle()
            # beside the image, because JupyterLab gives its images no alt text
            self._spoke = time.monotonic()
            self._voice = display(*_spoken(self.sentence, 0), raw=True, display_id=True)
            self._handle = display(data, raw=True, metadata=metadata, display_id=True)

    def _bundle(self) -> tuple[dict, dict]:
        if not self.png:
            return {"text/plain": self.sentence}, {}
        data = {"image/png": b64encode(self.png).decode("ascii"), "text/plain": self.sentence}
        size = {"width": WIDTH, "height": HEIGHT, "alt": self.sentence}
        return data, {"image/png": size}


def _spoken(sentence: str, beat: int | None) -> tuple[dict]:
    """Return what a screen reader finds and nobody sees.

    Args:
        sentence: what the picture shows.
        beat: another number each time, while the picture lives; None for its end. JupyterLab's
            part of the lab (``course/jupyter/labextensions``) keeps in sight what lives.
    """
    unseen = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"
    stale = html.escape(say("figures.stale"), quote=True)
    lives = "" if beat is None else f' data-alive="1" data-beat="{beat}" data-stale="{stale}"'
    page = f'<div class="kafka-lab-picture"{lives} style="{unseen}">{html.escape(sentence)}</div>'
    return ({"text/html": page, "text/plain": sentence},)


def in_notebook() -> bool:
    """Return whether this is a kernel, which can change what it has displayed."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None

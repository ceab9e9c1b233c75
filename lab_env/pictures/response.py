"""Response time: how long the one who asks has to wait, by call and by message, on a log axis."""

from statistics import median

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lab_env.messages import say
from lab_env.pictures import style
from lab_env.pictures.picture import Label, Picture

LOW, HIGH = 0.001, 8.0  # seconds
RECENT = 12  # points whose median the label tells

KNOWN = {"call": ("#D55E00", "o"), "message": ("#0072B2", "s")}


class ResponseTime(Picture):
    """A dot for each answer; a cross where none came.

    Args:
        title: what is seen, or None for the usual words.
    """

    right = 0.19

    def __init__(self, title: str | None, *rest):
        self.points_of: dict[tuple[str, bool], tuple[list[float], list[float]]] = {}
        self._lines: dict[tuple[str, bool], object] = {}
        super().__init__(title or say("pictures.response_title"), *rest)

    def build(self) -> None:
        """Make the log axis, with units on its ticks."""
        axes = self.axes[0]
        axes.set_yscale("log")
        axes.set_ylim(LOW, HIGH)
        axes.yaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1.0]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))

    def take(self, samples, rows) -> None:
        """Read the reports that have a kind and seconds."""
        for row in rows:
            if "kind" in row and "seconds" in row and row["time"] >= self.began - 0.01:
                key = (str(row["kind"]), bool(row.get("ok", True)))
                times, waits = self.points_of.setdefault(key, ([], []))
                times.append(self.since(row["time"]))
                waits.append(min(max(float(row["seconds"]), LOW), HIGH))

    def _look(self, kind: str) -> tuple[str, str]:
        return KNOWN.get(kind) or self.palette.of(kind)

    def move(self) -> None:
        """Give the dots their places; each kind's name stands beside its newest dots."""
        for (kind, ok), (times, waits) in self.points_of.items():
            colour, marker = self._look(kind)
            if (kind, ok) not in self._lines:
                self._lines[kind, ok] = self.line(
                    0,
                    colour,
                    linestyle="",
                    marker=marker if ok else "x",
                    markersize=self.points(6 if ok else 8),
                    markeredgewidth=0 if ok else self.points(2),
                    alpha=0.75 if ok else 1,
                )
            self._lines[kind, ok].set_data(times, waits)
            newest = max(t[-1] for (k, _), (t, _) in self.points_of.items() if k == kind)
            if newest - times[-1] < 8:  # an outcome that is over needs no name any more
                wait = median(waits[-RECENT:])
                key = "pictures.response_label" if ok else "pictures.response_failed_label"
                text = say(key, kind=_kind(kind), value=style.seconds(wait), sign=_SIGN[marker])
                self.labels.append((0, Label(newest, wait, text, colour)))

    def sentence(self) -> str:
        """Say the newest waits."""
        values = say("pictures.list_join").join(
            say(
                "pictures.response_value" if ok else "pictures.response_failed_value",
                kind=_kind(kind),
                value=style.seconds(median(waits[-RECENT:])),
                count=style.number(len(waits)),
            )
            for (kind, ok), (_, waits) in sorted(self.points_of.items())
        )
        return say(
            "pictures.response_sentence",
            values=values or say("pictures.nothing_yet"),
            seconds=style.number(self.now),
        )


_SIGN = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖"}


def _kind(kind: str) -> str:
    return say(f"pictures.kind_{kind}") if kind in KNOWN else kind


def _tick(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"

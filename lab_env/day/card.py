"""The report card of a day: one page, to be looked at and to be handed in."""

import html
import json
from dataclasses import asdict
from pathlib import Path

from lab_env.day import helping
from lab_env.day.evidence import AtMidnight, Moment
from lab_env.day.promises import BrokenPromise
from lab_env.day.verdict import DayVerdict
from lab_env.messages import say

WIDTH, ROW = 900, 22  # of the timeline, pixels
LEFT = 230  # where its time axis begins
# a colour by who is hit, and a word beside it for whoever cannot tell the colours apart
COLOURS = {"operations": "#0072B2", "gates": "#009E73", "baggage": "#D55E00", "board": "#CC79A7"}
OTHERS = "#5f5f5f"
GOOD, BAD = "#00734f", "#b04a00"
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em} h2{font-size:1.15em;margin-top:1.6em} td{padding:.1em 1em .1em 0}
td.n{text-align:right;font-variant-numeric:tabular-nums}
"""


class Nobody:
    """The card of a day on which no service has played: it is false, and says what to do."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return say("day.nobody")

    def _repr_html_(self) -> str:
        return f'<div role="status">○ {html.escape(repr(self))}</div>'

    def save(self, folder: str | Path = ".") -> None:
        """Write nothing: there is nothing to hand in."""

    @property
    def failures(self) -> tuple[BrokenPromise, ...]:
        """None: nothing was promised."""
        return ()


class ReportCard:
    """What became of a day; shows itself in a notebook, and is false while a promise is not kept.

    Attributes:
        evidence: what was there at midnight.
        verdict: what follows from it.
    """

    def __init__(self, evidence: AtMidnight, verdict: DayVerdict):
        self.evidence, self.verdict = evidence, verdict

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __repr__(self) -> str:
        rows = [self._title, self._head]
        rows += [f"  ✗ {_who(one)}{one.told}\n    {one.hint}" for one in self.verdict.failures]
        numbers = (f"{name}: {_number(value)}" for name, value in self._numbers())
        return "\n".join([*rows, "  " + "; ".join(numbers), f"  {self._help}"])

    def _repr_html_(self) -> str:
        return f'<div role="status">{self._body()}</div>'

    @property
    def failures(self) -> tuple[BrokenPromise, ...]:
        """What was not kept, the most telling first."""
        return self.verdict.failures

    def html(self) -> str:
        """Return the page, which needs nothing else."""
        title = html.escape(self._title)
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{STYLE}</style></head><body>{self._body()}</body></html>"
        )

    def json(self) -> str:
        """Return the verdict and the evidence as JSON."""
        failures = [
            asdict(one) | {"told": one.told, "hint": one.hint} for one in self.verdict.failures
        ]
        recoveries = [
            asdict(fault) | {"recovered_after": seconds}
            for fault, seconds in self.verdict.recoveries
        ]
        told = {"passed": bool(self), "failures": failures, "numbers": self.verdict.numbers}
        told |= {"recoveries": recoveries, "evidence": asdict(self.evidence)}
        return json.dumps(told, indent=1)

    def save(self, folder: str | Path = ".") -> Path:
        """Write report_card.html and report_card.json, and return the page's path.

        Args:
            folder: is made if it is not there.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        (place / "report_card.json").write_text(self.json(), encoding="utf-8")
        page = place / "report_card.html"
        page.write_text(self.html(), encoding="utf-8")
        return page

    @property
    def _title(self) -> str:
        told = self.evidence
        return say("day.card_title", day=told.day, level=told.level, seed=told.seed)

    @property
    def _head(self) -> str:
        count = len(self.verdict.failures)
        if not count:
            return say("day.card_passed")
        return say("day.card_failed_one" if count == 1 else "day.card_failed", count=count)

    @property
    def _help(self) -> str:
        of_these = {
            name: depth
            for name, depth in self.evidence.help.items()
            if name in self.evidence.services
        }
        if not of_these:
            return say("day.card_no_help")
        return say("day.card_help", told=helping.told(of_these))

    def _numbers(self) -> list[tuple[str, float | int | None]]:
        return [(say(f"day.card_{name}"), value) for name, value in self.verdict.numbers.items()]

    def _body(self) -> str:
        sign, colour = ("✓", GOOD) if self else ("✗", BAD)
        parts = [
            f"<h1>{html.escape(self._title)}</h1>",
            f'<p style="border-left:6px solid {colour};padding:.4em .9em;font-size:1.15em">'
            f'<b style="color:{colour}">{sign}</b> {html.escape(self._head)}</p>',
            f"<p>{say('day.card_services', services=', '.join(self.evidence.services))} "
            f"{html.escape(self._help)}</p>",
        ]
        if self.verdict.failures:
            parts.append(f"<h2>{say('day.card_failures')}</h2>")
            parts += map(_failure, self.verdict.failures)
        parts.append(f"<h2>{say('day.card_timeline')}</h2>{self._timeline()}")
        rows = "".join(
            f'<tr><td>{html.escape(name)}</td><td class="n" style="text-align:right">'
            f"{_number(value)}</td></tr>"
            for name, value in self._numbers()
        )
        parts.append(f"<h2>{say('day.card_numbers')}</h2><table>{rows}</table>")
        return "".join(parts)

    def _timeline(self) -> str:
        """Return the faults as bars on the day's time, and as words for who cannot see them."""
        moments = self.evidence.timeline
        if not moments:
            return ""
        begin, end = moments[0].begin, max(one.end for one in moments)
        scale = (WIDTH - LEFT - 150) / max(end - begin, 1e-9)
        recovered = {id(fault): seconds for fault, seconds in self.verdict.recoveries}
        bars, words = [], []
        faults = self.evidence.faults()
        for number, one in enumerate(faults):
            y, x = 10 + number * ROW, LEFT + (one.begin - begin) * scale
            width = max((one.end - one.begin) * scale, 3)
            name = html.escape(f"{one.kind} {one.target}".strip())
            seconds = recovered.get(id(one))
            after = "" if seconds is None else f"+{seconds:.1f} s"
            words.append(f"{name} {one.begin - begin:.0f} s")
            bars.append(
                f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
                f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="14" rx="2" '
                f'fill="{COLOURS.get(one.target, OTHERS)}"/>'
                f'<text x="{x + width + 6:.1f}" y="{y + 13}" fill="#5f5f5f">{after}</text>'
            )
        height = 40 + ROW * len(faults)
        told = say(
            "day.card_picture",
            seconds=end - begin,
            faults="; ".join(words) or say("day.card_no_faults"),
        )
        picture = (
            f'<svg role="img" aria-label="{told}" viewBox="0 0 {WIDTH} {height}" width="100%" '
            f'style="font:13px system-ui,sans-serif">{"".join(bars)}{_axis(end - begin, height)}'
            "</svg>"
        )
        caption = f"<p>{say('day.card_caption')}</p>" if faults else ""
        return picture + caption + "".join(map(_note, (one for one in moments if one.told)))


def _axis(seconds: float, height: int) -> str:
    scale = (WIDTH - LEFT - 150) / max(seconds, 1e-9)
    step = next((one for one in (5, 10, 20, 30, 60, 120, 300) if seconds / one <= 10), 600)
    y = height - 22
    ticks = "".join(
        f'<text x="{LEFT + at * scale:.1f}" y="{height - 6}" text-anchor="middle">{at}</text>'
        for at in range(0, int(seconds) + 1, step)
    )
    right = WIDTH - 150
    line = f'<line x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="#5f5f5f" stroke-width="2"/>'
    return f'{line}{ticks}<text x="{right + 14}" y="{height - 6}">s</text>'


def _note(moment: Moment) -> str:
    key = "day.card_left_out" if moment.kind == "left out" else "day.card_restart"
    return f"<p>○ {html.escape(say(key, target=moment.target, told=moment.told))}</p>"


def _failure(failure: BrokenPromise) -> str:
    return (
        f'<p style="border-left:3px solid {BAD};padding:.2em .9em"><b style="color:{BAD}">✗</b> '
        f"<b>{html.escape(_who(failure))}</b>{html.escape(failure.told)}<br>"
        f"{html.escape(failure.hint)}</p>"
    )


def _who(failure: BrokenPromise) -> str:
    return f"{failure.service}: " if failure.service else ""


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"

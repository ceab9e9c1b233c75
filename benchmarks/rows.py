"""A row of the table: values measured again and again, their middle, their spread, the target."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

HEAD = ("Subject", "Measured", "Median", "Spread", "Target", "")
MANY = 20  # values; of more than that the spread is that of the middle 80 %


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured.

    Args:
        what: in words.
        values: one a repetition.
        unit: of the values, "" for a plain number.
        most, least: the target, None for none.
        worst: whether the target holds for every value, not for the median alone.
    """

    what: str
    values: list[float]
    unit: str = ""
    most: float | None = None
    least: float | None = None
    worst: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        middle = statistics.median(self.values)
        low, high = (min(self.values), max(self.values)) if self.worst else (middle, middle)
        return (self.most is None or high <= self.most) and (
            self.least is None or low >= self.least
        )

    def cells(self, subject: str) -> tuple[str, ...]:
        """Return the cells of the table."""
        sign, limit = ("≤", self.most) if self.most is not None else ("≥", self.least)
        target = "" if limit is None else f"{'all ' * self.worst}{sign} {_text(limit, self.unit)}"
        low, high = spread(self.values)
        return (
            subject,
            self.what,
            _text(statistics.median(self.values), self.unit),
            f"{_number(low)} to {_number(high)} ({len(self.values)})",
            target,
            "" if limit is None else "met" if self.met else "**missed**",
        )


def spread(values: list[float]) -> tuple[float, float]:
    """Return the lowest and the highest value; of many values, of the middle 80 %."""
    if len(values) > MANY:
        tenths = statistics.quantiles(values, n=10)
        return tenths[0], tenths[-1]
    return min(values), max(values)


def table(measured: Iterable[tuple[str, Row]]) -> str:
    """Return a Markdown table of (subject, row)."""
    rows = [HEAD, ("--", "--", "--:", "--:", "--:", "--")]
    rows += [row.cells(subject) for subject, row in measured]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _text(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"

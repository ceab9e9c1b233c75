"""What the benchmarks said over time: read from the tables that the repository had before."""

import re
import subprocess
from collections import defaultdict
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("README.md", "docs/benchmarks.md")  # where the table has stood
ROW = re.compile(
    r"^\| (?P<subject>[a-z_]+) \| (?P<what>[^|]+) \| (?P<value>[\d.,]+) ?(?P<unit>[^|]*?) \|"
    r"[^|]*\| (?:all )?(?P<target>[≤≥] [\d.,]+)[^|]*\|",
    re.MULTILINE,
)
DAY = re.compile(r"^- (?P<subjects>[a-z_, ]+): (?P<day>\d{4}-\d\d-\d\d)", re.MULTILINE)
COLUMNS = 3
LEAST = 2  # different days that make a line


def values() -> dict[tuple[str, str, str, str], dict[date, float]]:
    """Return what was measured by day: (subject, what, unit, target as it was last) -> values."""
    found: dict[tuple[str, str, str], dict[date, float]] = defaultdict(dict)
    targets: dict[tuple[str, str, str], str] = {}
    for day, text in _versions():
        days = {
            subject: date.fromisoformat(line["day"])
            for line in DAY.finditer(text)
            for subject in line["subjects"].split(", ")
        }
        for row in ROW.finditer(text):
            key = row["subject"], row["what"].strip(), row["unit"].strip()
            value = float(row["value"].replace(",", ""))
            found[key][days.get(row["subject"], day)] = value
            targets[key] = row["target"]
    return {
        (*key, targets[key]): dict(sorted(by_day.items()))
        for key, by_day in found.items()
        if len(by_day) >= LEAST
    }


def _versions() -> list[tuple[date, str]]:
    """Return the texts that had the table, the oldest first; none where this is no repository."""
    texts = []
    for place in PLACES:
        for line in _git("log", "--format=%ct %H %cs", "--", place).splitlines():
            time, commit, day = line.split()
            texts.append((int(time), date.fromisoformat(day), _git("show", f"{commit}:{place}")))
    return [(day, text) for _, day, text in sorted(texts)]


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8")
    return done.stdout if done.returncode == 0 else ""


def page(folder: Path) -> str:
    """Draw ``benchmarks_over_time.svg`` into a folder, and return the page that shows it."""
    lines = values()
    head = "# How fast it was, over time\n\n"
    if not lines:
        return head + "The history of this repository is not here, so there is nothing to draw.\n"
    _draw(lines, folder / "benchmarks_over_time.svg")
    told = [
        "| Subject | Measured | Target | Days and medians |\n|--|--|--|--|",
        *(
            f"| {subject} | {what} | {target} {unit} | "
            + ", ".join(f"{day:%d %b}: {value:g}" for day, value in by_day.items())
            + " |"
            for (subject, what, unit, target), by_day in lines.items()
        ),
    ]
    return (
        f"{head}What has a target and was measured on several days, as the tables of this "
        "repository had it; the newest is on [its page](benchmarks.md). The dashed line is the "
        "target, and each axis begins at zero. The table below has the same numbers.\n\n"
        "![Small plots, one for each measurement with a target: its median by day, and the target "
        "as a dashed line.](benchmarks_over_time.svg)\n\n" + "\n".join(told) + "\n"
    )


def _draw(lines: dict, path: Path) -> None:
    import textwrap

    from matplotlib.figure import Figure

    count = -(-len(lines) // COLUMNS)
    figure = Figure((10, 2.3 * count), layout="constrained", facecolor="white")
    axes = figure.subplots(count, COLUMNS, squeeze=False).flat
    for one, ((subject, what, unit, target), by_day) in zip(axes, lines.items(), strict=False):
        limit = float(target[2:].replace(",", ""))
        one.plot(range(len(by_day)), list(by_day.values()), "o-", color="#0072B2", lw=2)
        one.axhline(limit, color="#D55E00", ls="--", lw=1.2)
        one.set_ylim(0, 1.15 * max(limit, *by_day.values()))
        one.set_xticks(range(len(by_day)), [f"{day:%d %b}" for day in by_day], fontsize=8)
        one.tick_params(axis="y", labelsize=8)
        title = f"{subject}: {what}".replace("`", "").replace("$", "")
        one.set_title(textwrap.fill(title, 40), fontsize=9)
        one.set_ylabel(f"{unit} ({target[0]})".strip(), fontsize=8)
        one.spines[["top", "right"]].set_visible(False)
    for one in list(axes):
        one.set_visible(False)
    figure.savefig(path)

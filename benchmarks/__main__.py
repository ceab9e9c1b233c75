"""The command: ``python -m benchmarks [SUBJECT ...] [--quick] [--write]``.

And ``python -m benchmarks slow [LESSON ...] [--part 0.25] [--write]``, which takes an hour.
"""

import importlib
import itertools
import os
import platform
import re
import sys
import time
from datetime import date

import click
import psutil

from benchmarks.apart import ROOT, NotHere
from benchmarks.rows import Row, table

SUBJECTS = (
    "weight",
    "start",
    "brokers",
    "ways",
    "figures",
    "dashboard",
    "observation",
    "services",
    "share_groups",
    "throughput",
    "classroom",
    "lessons",
)
SLOW = "slow"
ORDER = (*SUBJECTS, SLOW)  # of the parts of the table
PAGE = ROOT / "docs" / "benchmarks.md"
WRITTEN = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)
MADE = re.compile(r"^- (?P<subjects>[a-z_, ]+): (?P<how>.+)$", re.MULTILINE)
EXPLAINED = (
    "Each by `uv run python -m benchmarks SUBJECT`. Spread: the lowest and the highest of so many "
    "values (of more than 20, of the middle 80 %); all sides of a comparison by turns in one run."
)


@click.command()
@click.argument("subjects", nargs=-1, type=click.Choice(SUBJECTS))
@click.option("--quick", is_flag=True, help="Once and short: to see that it works, not to measure.")
@click.option("--write", is_flag=True, help="Put the table into docs/benchmarks.md.")
def main(subjects: tuple[str, ...], quick: bool, write: bool) -> None:
    """Measure the laboratory and print a Markdown table; without SUBJECTS, all of them.

    With --write the rows of other subjects stay as they stand.
    """
    if write and quick:
        raise click.UsageError("--quick measures nothing that could be written down")
    if write:
        _look_for_marks()
    how = _how(psutil.getloadavg()[0])
    measured = {}
    for subject in subjects or SUBJECTS:
        began = time.monotonic()
        try:
            measured[subject] = importlib.import_module(f"benchmarks.{subject}").measure(quick)
        except NotHere as error:
            if subjects:
                raise click.ClickException(str(error)) from None
            click.echo(f"{subject}: left out. {error}", err=True)
            continue
        click.echo(f"{subject}: {time.monotonic() - began:.0f} s", err=True)
    _tell(measured, how, write)


@click.command()
@click.argument("lessons", nargs=-1)
@click.option(
    "--part",
    "parts",
    type=click.FloatRange(0, 1, min_open=True),
    multiple=True,
    default=(0.25,),
    show_default=True,
    help="Of one core. Can be given again: all parts by turns.",
)
@click.option("--write", is_flag=True, help="Put the table into docs/benchmarks.md.")
def slow(lessons: tuple[str, ...], parts: tuple[float, ...], write: bool) -> None:
    """Run LESSONS (such as 03) with their solutions on a part of a core; without any, all.

    A table says which cells failed and how long each lesson took; ends with 1 if any failed.
    """
    from benchmarks.slow import end_on_any_signal, measure
    from lab_env.course.lessons import find, paths
    from lab_env.ground.errors import LabError

    if write and lessons:
        raise click.UsageError("the table is written down for all lessons together")
    if write:
        _look_for_marks()
    how = _how(psutil.getloadavg()[0])
    end_on_any_signal()
    try:
        chosen = [find(lesson) for lesson in lessons] or paths()
        rows = measure(chosen, parts, lambda text: click.echo(text, err=True))
    except LabError as error:
        raise click.ClickException(str(error)) from None
    except NotHere as error:
        raise click.ClickException(str(error)) from None
    _tell({SLOW: rows}, how, write)
    sys.exit(any("failed" in row.what for row in rows))


def _look_for_marks() -> None:
    if not WRITTEN.search(PAGE.read_text(encoding="utf-8")):
        raise click.UsageError("docs/benchmarks.md lacks <!-- benchmarks --> or its end")


def _tell(measured: dict[str, list[Row]], how: str, write: bool) -> None:
    """Print the table, and put it into the page if it is to be written down."""
    click.echo(merged("", measured, how))
    if write:
        page = WRITTEN.sub(
            lambda marks: f"{marks[1]}{merged(marks[0], measured, how)}\n{marks[2]}",
            PAGE.read_text(encoding="utf-8"),
        )
        PAGE.write_text(page, encoding="utf-8", newline="\n")


def merged(old: str, measured: dict[str, list[Row]], how: str) -> str:
    """Return the table, and how each part was made: what is new, and the rest of an old one.

    Args:
        old: a page with such a table, or nothing.
        measured: the rows by subject.
        how: how they were made.
    """
    made = dict.fromkeys(measured, how)
    for line in MADE.finditer(old):
        for subject in line["subjects"].split(", "):
            made.setdefault(subject, line["how"])
    lines = table([]).splitlines()
    for subject in (one for one in ORDER if one in made):
        if subject in measured:
            lines += table([(subject, row) for row in measured[subject]]).splitlines()[2:]
        else:
            lines += [line for line in old.splitlines() if line.startswith(f"| {subject} |")]
    told = [
        f"- {', '.join(group)}: {how}"
        for how, group in itertools.groupby(sorted(made, key=ORDER.index), made.get)
    ]
    return "\n".join([*lines, "", EXPLAINED, "", *told])


def _how(load: float) -> str:
    """Say when and on what something was measured; a high load makes it worthless."""
    return (
        f"{date.today()}, {os.cpu_count()} cores (load {load:.1f} before), {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [SLOW]:  # a command of its own: it takes lessons, not subjects
        slow(sys.argv[2:], prog_name=f"python -m benchmarks {SLOW}")
    else:
        main(prog_name="python -m benchmarks")

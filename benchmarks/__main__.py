"""The command: ``python -m benchmarks [SUBJECT ...] [--quick] [--write]``."""

import importlib
import itertools
import os
import platform
import re
import time
from datetime import date

import click
import psutil

from benchmarks.apart import ROOT, NotHere
from benchmarks.rows import Row, table

SUBJECTS = (
    "start",
    "brokers",
    "ways",
    "figures",
    "dashboard",
    "observation",
    "services",
    "throughput",
    "lessons",
)
WRITTEN = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)
MADE = re.compile(r"^- (?P<subjects>[a-z, ]+): (?P<how>.+)$", re.MULTILINE)
EXPLAINED = (
    "Each by `uv run python -m benchmarks SUBJECT`. Spread: the lowest and the highest of so many "
    "values (of more than 20, of the middle 80 %); all sides of a comparison by turns in one run."
)


@click.command()
@click.argument("subjects", nargs=-1, type=click.Choice(SUBJECTS))
@click.option("--quick", is_flag=True, help="Once and short: to see that it works, not to measure.")
@click.option("--write", is_flag=True, help="Put the table into README.md between its marks.")
def main(subjects: tuple[str, ...], quick: bool, write: bool) -> None:
    """Measure the laboratory and print a Markdown table; without SUBJECTS, all of them.

    With --write the rows of other subjects stay as they stand.
    """
    readme = ROOT / "README.md"
    if write and quick:
        raise click.UsageError("--quick measures nothing that could be written down")
    if write and not WRITTEN.search(readme.read_text(encoding="utf-8")):
        raise click.UsageError("README.md has no <!-- benchmarks --> and <!-- /benchmarks -->")
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
    click.echo(merged("", measured, how))
    if write:
        page = WRITTEN.sub(
            lambda marks: f"{marks[1]}{merged(marks[0], measured, how)}\n{marks[2]}",
            readme.read_text(encoding="utf-8"),
        )
        readme.write_text(page, encoding="utf-8", newline="\n")


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
    for subject in (one for one in SUBJECTS if one in made):
        if subject in measured:
            lines += table([(subject, row) for row in measured[subject]]).splitlines()[2:]
        else:
            lines += [line for line in old.splitlines() if line.startswith(f"| {subject} |")]
    told = [
        f"- {', '.join(group)}: {how}"
        for how, group in itertools.groupby(sorted(made, key=SUBJECTS.index), made.get)
    ]
    return "\n".join([*lines, "", EXPLAINED, "", *told])


def _how(load: float) -> str:
    """Say when and on what something was measured; a high load makes it worthless."""
    return (
        f"{date.today()}, {os.cpu_count()} cores (load {load:.1f} before), {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

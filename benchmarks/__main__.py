"""The command: ``python -m benchmarks [SUBJECT ...] [--quick] [--write]``."""

import importlib
import os
import platform
import re
import time
from datetime import date

import click
import psutil

from benchmarks.apart import ROOT
from benchmarks.rows import table

SUBJECTS = (
    "start",
    "brokers",
    "figures",
    "dashboard",
    "observation",
    "services",
    "throughput",
    "lessons",
)
WRITTEN = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)


@click.command()
@click.argument("subjects", nargs=-1, type=click.Choice(SUBJECTS))
@click.option("--quick", is_flag=True, help="Once and short: to see that it works, not to measure.")
@click.option("--write", is_flag=True, help="Put the table into README.md between its marks.")
def main(subjects: tuple[str, ...], quick: bool, write: bool) -> None:
    """Measure the laboratory and print a Markdown table; without SUBJECTS, all of them."""
    readme = ROOT / "README.md"
    if write and quick:
        raise click.UsageError("--quick measures nothing that could be written down")
    if write and not WRITTEN.search(readme.read_text(encoding="utf-8")):
        raise click.UsageError("README.md has no <!-- benchmarks --> and <!-- /benchmarks -->")
    load = psutil.getloadavg()[0]
    measured = []
    for subject in subjects or SUBJECTS:
        began = time.monotonic()
        rows = importlib.import_module(f"benchmarks.{subject}").measure(quick)
        measured += [(subject, row) for row in rows]
        click.echo(f"{subject}: {time.monotonic() - began:.0f} s", err=True)
    text = f"{table(measured)}\n\n{_how(subjects, load)}"
    click.echo(text)
    if write:
        page = WRITTEN.sub(
            lambda marks: f"{marks[1]}{text}\n{marks[2]}", readme.read_text(encoding="utf-8")
        )
        readme.write_text(page, encoding="utf-8", newline="\n")


def _how(subjects: tuple[str, ...], load: float) -> str:
    """Say how the table was made, and on what; a high load makes it worthless."""
    command = " ".join(("uv run python -m benchmarks", *subjects))
    return (
        f"`{command}`, {date.today()}, {os.cpu_count()} cores "
        f"(load {load:.1f} before), {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}. Spread: the lowest and the "
        "highest of so many values (of more than 20, of the middle 80 %); all sides of a "
        "comparison by turns in this one run."
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

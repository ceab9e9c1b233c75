"""What an instructor types: ``lab grade`` and ``lab handout``."""

import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from lab_env.ground.errors import LabError
from lab_env.messages import say

FILE = click.Path(dir_okay=False, path_type=Path)
OUTPUTS = {"csv": "as_csv", "junit": "as_junit", "json": "as_json"}


@click.command(help=say("grading.help"))
@click.argument("places", metavar="FOLDER|FILE...", nargs=-1, required=True, type=Path)
@click.option("--csv", type=FILE, help=say("grading.help_csv"))
@click.option("--junit", type=FILE, help=say("grading.help_junit"))
@click.option("--json", type=FILE, help=say("grading.help_json"))
@click.option("--jobs", type=click.IntRange(1, 64), help=say("grading.help_jobs"))
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=120,
    show_default=True,
    help=say("grading.help_timeout"),
)
def grade(places: tuple[Path, ...], jobs: int | None, timeout: int, **files: Path | None) -> None:
    from rich.console import Console
    from rich.text import Text

    from lab_env.course.grading import preparing, runs, submissions, verdicts

    console = Console()
    found = submissions.read_all(places)
    try:
        preparing.prepare(found)
    except (LabError, OSError) as error:  # a lesson that needs it will say so
        click.echo(str(error), err=True)
    with contextlib.closing(runs.Grader(seconds=timeout, jobs=jobs)) as grader:
        began = time.monotonic()
        parts = ", ".join(say(f"grading.fence_{part}") for part in grader.fenced)
        told = say("grading.begins", count=len(found), jobs=grader.jobs)
        click.echo(f"{told} {say('grading.fence', parts=parts or say('grading.fence_none'))}")
        rows = _graded(grader, found, console)
    order = {(one.student, str(one.file)): place for place, one in enumerate(found)}
    rows.sort(key=lambda row: order[row.student, row.file])  # those of one keep their order
    console.print(_table(rows))
    for row in verdicts.counted(rows):
        if row.verdict not in (verdicts.PASSED, verdicts.UNTOUCHED):
            line = say("grading.why", student=row.student, exercise=row.exercise or row.file)
            console.print(Text(f"{line} {row.words}"), soft_wrap=True)
    for name, file in files.items():
        if file is not None:
            file.write_text(getattr(verdicts, OUTPUTS[name])(rows), encoding="utf-8")
            click.echo(say("grading.wrote", file=file))
    reached, of = verdicts.points(rows)
    seconds = time.monotonic() - began
    click.echo(say("grading.done", points=reached, of=of, count=len(found), seconds=seconds))
    if any(row.by == "kernel" for row in rows):
        click.echo(say("grading.by_kernel"))
    sys.exit(0 if reached == of else 1)


@click.command(help=say("handout.help"))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("wanted", metavar="[NN]...", nargs=-1)
@click.option("--solutions/--no-solutions", default=False, help=say("handout.help_solutions"))
@click.option(
    "--for", "way", type=click.Choice(["nbgrader", "otter"]), help=say("handout.help_for")
)
@click.option("--course", metavar="OWNER/NAME", default="", help=say("handout.help_course"))
def handout(
    folder: Path, wanted: tuple[str, ...], solutions: bool, way: str | None, course: str
) -> None:
    from lab_env.course import handout as handing_out

    done = handing_out.hand_out(folder, wanted, solutions=solutions, way=way or "", course=course)
    for line in handing_out.told(done):
        click.echo(line)
    click.echo(say(f"handout.how_{way}" if way else "handout.how", folder=folder))


def _graded(grader, found, console) -> list:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    rows = []
    with Progress(*columns, console=console, transient=True) as progress:
        whole = progress.add_task(say("grading.progress"), total=len(found))
        bars: dict = {}

        def on_cell(one, cell: int, of: int) -> None:
            key = (one.student, str(one.file))
            if key not in bars:
                bars[key] = progress.add_task(one.student, total=of)
            progress.update(bars[key], completed=cell)

        for own in grader.grade(found, on_cell):
            rows += own
            bar = bars.pop((own[0].student, own[0].file), None)
            if bar is not None:
                progress.remove_task(bar)
            progress.advance(whole)
            if not console.is_terminal:  # where no bar moves, a line says that one is done
                click.echo(say("grading.one_done", student=own[0].student))
    return rows


def _table(rows: Iterable):
    """Return a line for each submission: a sign for each exercise, the points, the seconds."""
    from rich.table import Table
    from rich.text import Text

    from lab_env.course.grading import verdicts
    from lab_env.course.grading.submissions import PREDICTION

    table = Table(box=None, pad_edge=False)
    for heading in ("student", "lesson", "exercises", "predictions", "points", "seconds"):
        table.add_column(say(f"grading.head_{heading}"))
    for own in verdicts.by_submission(rows).values():
        signs = Text(" ").join(Text(*verdicts.SIGNS[row.verdict]) for row in verdicts.counted(own))
        guesses = [row.verdict == verdicts.MADE for row in own if row.kind == PREDICTION]
        of = say("cli.progress_of", right=sum(guesses), asked=len(guesses)) if guesses else ""
        reached, asked = verdicts.points(own)
        points = say("cli.progress_of", right=reached, asked=asked)
        seconds = f"{sum(row.seconds for row in own):.0f}"
        table.add_row(Text(own[0].student), own[0].lesson, signs, of, points, seconds)
    return table

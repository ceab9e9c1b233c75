"""The ``lab`` command: opens the course, looks at the machine, runs a lesson, cleans up."""

import gc
import os
import sys
import threading
import time
import warnings
from pathlib import Path

import click

from lab_env.clusters import training
from lab_env.course import cleaning, joining, lessons, teaching
from lab_env.ground.errors import BadInputError, LabError
from lab_env.messages import say

START = "00_start_here.ipynb"
JUPYTER = Path(__file__).parent / "jupyter"  # settings, and our part of the page
PASSED_ON = "passed on to Jupyter"


class Commands(click.Group):
    """The group of commands; words after ``--`` are Jupyter's, unless a command stands before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            if not set(self.commands) & set(args[:cut]):
                ctx.meta[PASSED_ON] = args[cut + 1 :]
                args = args[:cut]
        return super().parse_args(ctx, args)


@click.group(cls=Commands, invoke_without_command=True, help=say("cli.help_lab"))
@click.option("--no-browser", is_flag=True, help=say("cli.help_browser"))
@click.option("--port", type=click.IntRange(1, 65_535), help=say("cli.help_port"))
@click.version_option(package_name="kafka-lab", prog_name="lab")
@click.pass_context
def lab(ctx: click.Context, no_browser: bool, port: int | None) -> None:
    if ctx.invoked_subcommand is None:
        arguments = jupyter_arguments(_lessons_here(), no_browser, port)
        _prepare()
        passed_on = ctx.meta.get(PASSED_ON, ())
        named = {word.split("=")[0] for word in passed_on}  # hers, and not ours beside it
        ours = [word for word in arguments if word.split("=")[0] not in named]
        _open_jupyter([*ours, *passed_on])


def _lessons_here() -> Path:
    """Return the lessons' folder; where there is none, bring those of the installed package."""
    from lab_env.course import copies

    try:
        return lessons.folder()
    except BadInputError:
        if not lessons.packed():
            raise
        where = Path.cwd() / copies.NAME
        for line in copies.told(copies.bring(where), where):
            click.echo(line)
        return where


@lab.command(help=say("cli.help_get"))
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default=None, required=False
)
def get(folder: Path | None) -> None:
    from lab_env.course import copies

    where = Path.cwd() / copies.NAME if folder is None else folder
    for line in copies.told(copies.bring(where), where.resolve()):
        click.echo(line)


@lab.command(help=say("cli.help_doctor"))
def doctor() -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lab_env.course.doctor import examine

    words = {True: ("good", "green"), None: ("note", "yellow"), False: ("bad", "bold red")}
    table = Table("", say("doctor.head_check"), say("doctor.head_remedy"))
    table.title = say("doctor.title")
    findings = examine()
    for finding in findings:
        word, style = words[finding.good]
        sign = Text(say(f"doctor.{word}"), style)
        table.add_row(sign, Text(finding.what), Text(finding.remedy))
    bad = sum(finding.good is False for finding in findings)
    console = Console()
    console.print(table)
    console.print(say("doctor.some_bad", count=bad) if bad else say("doctor.all_good"))
    sys.exit(1 if bad else 0)


@lab.command(help=say("cli.help_run"))
@click.argument("lesson", metavar="NN|FILE")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help=say("cli.help_output"),
)
@click.option("--keep-going", is_flag=True, help=say("cli.help_keep_going"))
@click.option("--solutions", is_flag=True, help=say("cli.help_solutions"))
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help=say("cli.help_timeout"),
)
def run(lesson: str, output: Path, keep_going: bool, solutions: bool, timeout: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from lab_env.course import runner

    path = lessons.locate(lesson)
    target = runner.page_file(path, output)
    cells = len(lessons.load(path)["cells"])
    console = Console()
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(path.stem, total=cells)

        def on_cell(index: int, source: str) -> None:
            told = say("cli.run_title", name=path.stem, cell=index, cells=cells)
            progress.update(task, completed=index, description=told)

        notebook, failures = runner.run(
            path, solutions=solutions, keep_going=keep_going, seconds=timeout, on_cell=on_cell
        )
    target = runner.keep_page(runner.page(notebook, path), target)
    for failure in failures:
        _show(console, path.name, failure)
    if failures:
        told = say("cli.run_bad", file=path.name, count=len(failures))
    else:
        told = say("cli.run_good", file=path.name, seconds=time.monotonic() - began)
    click.echo(told)
    click.echo(say("cli.run_page", page=target))
    sys.exit(1 if failures else 0)


@lab.command(help=say("cli.help_progress"))
def progress() -> None:
    from rich.console import Console
    from rich.table import Table

    from lab_env.course import standing

    table = Table(box=None, pad_edge=False)
    for heading in standing.headings():
        table.add_column(heading)
    for one in standing.of(lessons.paths(lessons.folder())):
        table.add_row(*one)
    Console().print(table)
    click.echo(say("cli.progress_place", place=standing.place()))


@lab.command(help=say("presenting.help"))
@click.argument("lesson", metavar="NN|FILE")
@click.option("--no-browser", is_flag=True, help=say("cli.help_browser"))
@click.option("--port", type=click.IntRange(1, 65_535), help=say("cli.help_port"))
def present(lesson: str, no_browser: bool, port: int | None) -> None:
    from rich.console import Console

    from lab_env.course import presenting

    path = lessons.locate(lesson)
    lessons.load(path)  # says it kindly if this is no notebook
    presenting.enlarge()
    page = presenting.start_page(path)
    arguments = jupyter_arguments(path.parent, no_browser, port, page)
    _prepare()
    presenting.tell(path, Console())
    # what JupyterLab logs would push the notes off the screen; its address is still told
    _open_jupyter([*arguments, "--Application.log_level=ERROR"])


@lab.command(help=say("cli.help_clean"))
@click.option("--all", "everything", is_flag=True, help=say("cli.help_all"))
def clean(everything: bool) -> None:
    from lab_env.clusters import external

    removed: list[str] = []
    try:
        removed = external.clean(click.echo)
        for name in removed:
            click.echo(say("cli.clean_name", name=name))
    except LabError as error:  # this machine can be cleaned all the same
        click.echo(str(error), err=True)
    freed = cleaning.clean(everything=everything)
    for path, size in freed:
        click.echo(say("cli.clean_row", size=_megabytes(size), path=path))
    if freed:
        click.echo(say("cli.clean_done", size=_megabytes(sum(size for _, size in freed))))
    elif not removed:
        click.echo(say("cli.clean_nothing"))


lab.add_command(teaching.grade)
lab.add_command(teaching.handout)
for command in (joining.join, joining.hand, joining.leave, joining.watch_class):
    lab.add_command(command)


def main() -> None:
    """Run the command; an error of the lab is a sentence, and the exit code is 1."""
    try:
        lab(prog_name="lab", standalone_mode=False)
    except LabError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        # what was under way is thrown away with it, and Python would tell that of each piece
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()  # now, while Python still has all that a warning takes
        click.echo(say("cli.interrupted"), err=True)
        sys.exit(130)


def jupyter_arguments(
    root: Path, no_browser: bool, port: int | None, page: str | None = None
) -> list[str]:
    """Return JupyterLab's arguments: it asks nothing of a network.

    Args:
        root: the folder that it shows.
        no_browser: print the address instead.
        port: None for the first free one.
        page: where it opens; None for the first lesson.
    """
    if page is None and (root / START).is_file():
        page = f"/lab/tree/{START}"
    arguments = [
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url={page}" if page else "",
        "--ServerApp.answer_yes=True",  # Ctrl-C ends it without a question
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        f"--LabApp.extra_labextensions_path={JUPYTER / 'labextensions'}",
        "--ServerApp.allow_root=True" if getattr(os, "geteuid", lambda: 1)() == 0 else "",
        "--ServerApp.open_browser=False" if no_browser else "",
        f"--ServerApp.port={port}" if port else "",
    ]
    return [argument for argument in arguments if argument]


def _prepare() -> None:
    from lab_env.clusters import embedded

    try:
        embedded.prepare(progress=True)
        # while the student reads: her first Lab() then starts in half the time
        threading.Thread(target=training.train, daemon=True).start()
    except LabError as error:
        click.echo(say("cli.prepare_failed", error=error), err=True)


def _open_jupyter(arguments: list[str]) -> None:
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        raise BadInputError("cli.no_jupyter") from None
    # a question about news would cover the student's first cell, and its answer needs a network
    ours = str(JUPYTER)
    others = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, (ours, others)))
    LabApp.launch_instance(arguments)


def _show(console, file: str, failure) -> None:
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.text import Text

    title = say("cli.run_failed_cell", cell=failure.cell, file=file)
    source = Syntax(failure.source, "python", line_numbers=True, background_color="default")
    console.print(Panel(source, title=title, title_align="left"))
    if failure.trace:
        console.print(Text.from_ansi(failure.trace))
    else:
        console.print(Text(failure.why, style="bold red"))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


if __name__ == "__main__":
    main()

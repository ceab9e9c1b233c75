"""Runs a lesson from top to bottom in a fresh kernel, and makes a page of what came out."""

import contextlib
import html
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.checks import progress
from lab_env.course import lessons
from lab_env.ground.errors import BadInputError
from lab_env.messages import language, say

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_SECONDS = 600  # a bound against hanging; a machine that is full takes long over a lesson
# the blocks that would load scripts from elsewhere are empty; what shows a picture describes it
PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block data_png scoped -%}{{ super() | described(output) }}{%- endblock -%}
{%- block data_jpg scoped -%}{{ super() | described(output) }}{%- endblock -%}
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: index and source of the cell, a sentence, and the trace if there is one."""

    cell: int
    source: str
    why: str
    trace: str = ""


def run(
    path: Path,
    *,
    solutions: bool = False,
    keep_going: bool = False,
    seconds: int = CELL_SECONDS,
    on_cell: Callable[[int, str], None] = lambda index, source: None,
) -> "tuple[NotebookNode, list[Failure]]":
    """Run a lesson in a kernel of its own, in the lesson's folder; the file stays as it is.

    Args:
        path: the lesson.
        solutions: put the exercises' solutions in place of their stubs.
        keep_going: go on after a cell that raised; never after a timeout or a dead kernel.
        seconds: what a cell may take (s).
        on_cell: called with index and source of each code cell before it runs.

    Returns:
        The notebook with its outputs, and the failures: nothing if all is well.

    Raises:
        BadInputError: the file is no notebook, or an exercise in it is badly formed.
    """
    import nbformat
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    from lab_env.course.kernel_client import PatientClient

    lessons.load(path)  # says it kindly if this is no notebook
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has a dozen kinds of them, without a name in common
        raise BadInputError("lessons.not_json", file=path.name, why=error) from None
    if solutions:
        lessons.solved(notebook, path.name)
    at = 0

    def starting(cell: "NotebookNode", cell_index: int) -> None:
        nonlocal at
        if cell.cell_type == "code":
            at = cell_index
            on_cell(cell_index, cell.source)

    client = PatientClient(
        notebook,
        kernel_name="python3",
        timeout=seconds,
        allow_errors=keep_going,
        on_cell_start=starting,
        extra_arguments=["--IPKernelApp.log_level=50"],  # it warns of TCP on every start
        resources={"metadata": {"path": str(path.parent)}},
    )
    ended = None
    with warnings.catch_warnings():
        # tornado helps itself on Windows; the advice it gives there does not hold any more
        warnings.filterwarnings("ignore", "Proactor event loop", RuntimeWarning)
        try:
            # a machine that runs a lesson has foreseen nothing
            client.execute(env={**os.environ, progress.VARIABLE: ""})
        except CellExecutionError as error:
            if error.ename == "KeyboardInterrupt":  # Ctrl-C reached the cell first
                raise KeyboardInterrupt from None
            # else its cell has the error among its outputs, where `_failures` looks
        except CellTimeoutError:
            ended = say("runner.timeout", seconds=seconds)
        except DeadKernelError:
            if client.manager.shutting_down:  # nbclient ends the kernel on Ctrl-C, and sees it dead
                raise KeyboardInterrupt from None
            ended = say("runner.dead")
        except (AssertionError, AttributeError):
            if client.km is not None:
                raise
            # nbclient ends the kernel on Ctrl-C, and then trips over its absence
            raise KeyboardInterrupt from None
        finally:
            client.let_go()
    failures = _failures(notebook, last=at)
    if ended:  # the cell's own error, if any, only says that it was interrupted
        failures = [failure for failure in failures if failure.cell != at]
        failures.append(Failure(at, notebook.cells[at].source, ended))
    return notebook, failures


def page(notebook: "NotebookNode", path: Path) -> str:
    """Return a lesson that was run as one HTML page that loads nothing from elsewhere.

    A picture's ``alt`` is the one in its output's metadata, else the output's plain text.
    """
    from nbconvert import HTMLExporter

    # a drawing lies beside the lesson, and the page goes elsewhere without it
    exporter = HTMLExporter(language_code=language(), embed_images=True)
    exporter.raw_template = PAGE
    exporter.register_filter("described", _described)
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    return exporter.from_notebook_node(notebook, resources)[0]


def page_file(path: Path, folder: Path) -> Path:
    """Return where the page of a lesson, or of any other notebook, goes.

    Raises:
        BadInputError: into the folder of the lessons, where nothing is ever written.
    """
    place = folder.resolve()
    if lessons.is_of_the_course(path) and place.is_relative_to(path.parent.resolve()):
        raise BadInputError("runner.inside", folder=folder, number=path.name[:2])
    return place / f"{path.stem}.html"


def keep_page(text: str, file: Path) -> Path:
    """Write a page, and return where: beside one that is there already, as name-2, name-3, ...

    Args:
        text: of the page.
        file: where it goes if nothing is there.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        place = file if number == 1 else file.with_stem(f"{file.stem}-{number}")
        with contextlib.suppress(FileExistsError), open(place, "x", encoding="utf-8") as new:
            new.write(text)  # whoever runs at the same time cannot have opened it too
            return place
    raise AssertionError


def _failures(notebook: "NotebookNode", last: int) -> list[Failure]:
    found = []
    for index, cell in enumerate(notebook.cells[: last + 1]):
        if cell.cell_type != "code":
            continue
        errors = [output for output in cell.outputs if output.output_type == "error"]
        meant = "raises-exception" in lessons.tags(cell)
        if errors and not meant:
            why = say("runner.raised", error=f"{errors[0].ename}: {errors[0].evalue}")
            found.append(Failure(index, cell.source, why, "\n".join(errors[0].traceback)))
        elif meant and not errors:
            found.append(Failure(index, cell.source, say("runner.no_error")))
    return found


def _described(picture: str, output: "NotebookNode") -> str:
    words = html.escape(alt(output), quote=True)
    return re.sub(r"<img\b(?![^>]*\salt=)", lambda _: f'<img alt="{words}"', str(picture), count=1)


def alt(output: "NotebookNode") -> str:
    """Return what a picture among the outputs of a cell shows, in words."""
    metadata = output.get("metadata", {})
    for kind in ("image/png", "image/jpeg"):
        if said := metadata.get(kind, {}).get("alt"):
            return said
    plain = output.data.get("text/plain", "").strip()
    is_repr = re.fullmatch(r"<.*>", plain, re.DOTALL)
    return metadata.get("alt") or (plain if plain and not is_repr else say("runner.picture"))

"""A way back for who has skipped a cell, restarted the kernel or interrupted a cell.

An extension of IPython, loaded into each kernel that `lab` starts. A NameError of a name that an
earlier cell of this notebook defines is answered by a sentence: which cell makes it. So is an
interrupt: at which of the student's lines; and a call that a service answered with an error of its
own. Any other error stays as it is.
"""

import ast
import json
import linecache
import os
import traceback
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit

from lab_env.messages import say

NOTEBOOK = "JPY_SESSION_NAME"  # the notebook's path, which Jupyter tells its kernels
LONG = 60  # signs of a cell's line in a sentence


class Maker(NamedTuple):
    """The cell that makes a name: the heading above it ("" for none) and its first line."""

    heading: str
    line: str


def names_of(source: str) -> set[str]:
    """Return the names that a cell's code defines at its top level."""
    try:
        tree = ast.parse(_plain(source))
    except (SyntaxError, ValueError):
        return set()
    found = set()
    for node in _top_level(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _top_level(tree: ast.AST):
    """Yield the nodes that run when the cell runs: not what stands inside functions."""
    inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    waiting = list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, inner | ast.ListComp | ast.SetComp | ast.DictComp):
            waiting += ast.iter_child_nodes(node)


def _plain(source: str) -> str:
    """Return a cell's code without the lines that are IPython's own."""
    return "\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n"))


def maker(cells: list[dict], name: str, running: str = "") -> Maker | None:
    """Return the cell that makes a name, the last one above the cell that has failed; or None.

    Args:
        cells: a notebook's.
        name: that is not defined.
        running: the code that has failed; of what is not known, all cells are looked at.
    """
    heading, found = "", None
    for cell in cells:
        source = cell.get("source", "")
        source = "".join(source) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "markdown":
            titles = [line for line in source.split("\n") if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        elif cell.get("cell_type") == "code":
            if running and source.strip() == running.strip():
                break
            if name in names_of(source):
                first = next((line for line in source.split("\n") if line.strip()), "")
                found = Maker(heading, first if len(first) <= LONG else first[:LONG] + "...")
    return found


def cells_of_this_notebook() -> list[dict]:
    """Return the cells of the notebook that this kernel belongs to; none if it is not known."""
    named = os.environ.get(NOTEBOOK, "")
    try:
        found = json.loads(Path(named).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    cells = found.get("cells") if isinstance(found, dict) else None
    return [one for one in cells if isinstance(one, dict)] if isinstance(cells, list) else []


def told(error: NameError, running: str, lab_is_here: bool) -> str | None:
    """Return the sentence for a NameError, or None if no cell of this notebook makes the name."""
    name = getattr(error, "name", None)
    found = maker(cells_of_this_notebook(), name, running) if name else None
    if found is None:
        return None
    key = "way_back.cell_under" if found.heading else "way_back.cell"
    sentence = say(key, name=name, line=found.line, heading=found.heading)
    return sentence if lab_is_here else f"{sentence} {say('way_back.lab_is_gone')}"


def interrupted(trace: TracebackType | None, namespace: dict) -> str | None:
    """Return the sentence for an interrupt, or None if none of the student's lines was running.

    Args:
        trace: of the interrupt.
        namespace: the global names of the notebook's cells.
    """
    return _at_her_line("way_back.interrupted", trace, namespace)


def refused(error: HTTPError, trace: TracebackType | None, namespace: dict) -> str | None:
    """Return the sentence for a call that a service of this machine has answered with status 500.

    Its function has met an error, which is told beside; None for any other answer.
    """
    ours = error.code == 500 and urlsplit(error.url or "").hostname in ("127.0.0.1", "localhost")
    return _at_her_line("way_back.refused", trace, namespace) if ours else None


def _at_her_line(key: str, trace: TracebackType | None, namespace: dict) -> str | None:
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(trace)
        if frame.f_globals is namespace
    ]
    if not own:
        return None
    file, number = own[0]  # of the cell itself, and not of a function that it calls
    return say(key, number=number, line=linecache.getline(file, number).strip())


def load_ipython_extension(shell) -> None:
    """Answer the NameErrors, the interrupts and the refused calls of this kernel."""

    def answer(shell, kind, error, trace, tb_offset=None):
        sentence = None
        try:
            if isinstance(error, NameError):
                history = shell.user_ns.get("In") or [""]
                sentence = told(error, history[-1], "lab" in shell.user_ns)
            elif isinstance(error, HTTPError):
                sentence = refused(error, trace, shell.user_ns)
            else:
                sentence = interrupted(trace, shell.user_ns)
        except Exception:  # whatever is wrong here, the student's own error is what counts
            sentence = None
        if sentence is None:
            lines = shell.InteractiveTB.structured_traceback(
                kind, error, trace, tb_offset=tb_offset
            )
        else:
            lines = [f"{kind.__name__}: {error}".removesuffix(": "), "", sentence]
        shell._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((NameError, KeyboardInterrupt, HTTPError), answer)

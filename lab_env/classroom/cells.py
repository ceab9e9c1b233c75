"""Which cell of a lesson the student runs, and what she predicts there, as IPython tells it.

An extension of IPython; a lab watches too, for kernels that were not started by ``lab``. Of a cell
its id is told, and of a cell ``prediction-NAME`` the value of ``prediction``: never its code.
"""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from lab_env.classroom import sending
from lab_env.ground import notices
from lab_env.ground.words import is_empty, word

NOTEBOOK = "JPY_SESSION_NAME"  # the notebook's path, which Jupyter tells its kernels
CELL = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
QUESTION = re.compile(r"prediction-([a-z0-9-]+)")


def watch() -> None:
    """Tell the class of the cells that run here, if the student is in one."""
    if here := notices.shell():  # registering twice is registering once
        here.events.register("pre_run_cell", _begins)
        here.events.register("post_run_cell", _has_run)


def load_ipython_extension(shell) -> None:
    """Watch the cells of a kernel that begins."""
    notices.watch_cells()
    watch()


def lesson() -> str:
    """Return the number of the lesson that this kernel runs; "" if it is none."""
    found = re.match(r"(\d\d)_", Path(os.environ.get(NOTEBOOK, "")).name)
    return found[1] if found else ""


def _begins(info) -> None:
    with contextlib.suppress(Exception):  # a lesson never fails because of its class
        cell = info.cell_id
        if isinstance(cell, str) and CELL.fullmatch(cell) and (number := lesson()):
            sending.at(number, cell)


def _has_run(result) -> None:
    with contextlib.suppress(Exception):
        found = QUESTION.fullmatch(result.info.cell_id or "")
        shell, number = notices.shell(), lesson()
        if not (found and shell and number and result.success):
            return
        if said := said_of(shell.user_ns.get("prediction")):
            sending.predicted(number, found[1], said)


def said_of(prediction: object) -> str:
    """Return a prediction in words; "" for what is none, parts of it included."""
    if isinstance(prediction, Mapping):
        prediction = {part: one for part, one in prediction.items() if not is_empty(one)}
        return word(prediction) if prediction else ""
    return "" if is_empty(prediction) else word(prediction)

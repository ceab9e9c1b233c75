"""What a notebook must not miss: shown by the main thread, at the end of a cell or of the next."""

import html
import sys
import threading
import warnings
from collections import deque


class Notice:
    """A sentence that is shown once.

    Args:
        text: what is shown.
    """

    def __init__(self, text: str):
        self.text = text
        self.told = False

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        style = "border-left: 4px solid #D55E00; padding: 0.3em 0.8em; margin: 0.3em 0"
        return f'<div style="{style}; white-space: pre-wrap">{html.escape(self.text)}</div>'


_waiting: deque[Notice] = deque()


def post(text: str) -> Notice:
    """Leave ``text`` for the main thread, from any thread, and return it."""
    notice = Notice(text)
    if shell() is not None:
        _waiting.append(notice)
    return notice


def shell():
    """Return IPython's shell, or None where nobody runs cells."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get() if get else None


def watch_cells() -> None:
    """Show what is posted at the end of a running cell, else at the start of the next one."""
    if here := shell():  # registering twice is registering once
        here.events.register("pre_run_cell", _show)
        here.events.register("post_run_cell", _show)


def _show(_cell=None) -> None:
    from IPython.display import display

    while _waiting:
        notice = _waiting.popleft()
        if not notice.told:
            notice.told = True
            display(notice)


def tell() -> None:
    """Show what is posted while a cell waits; a thread other than the main one shows nothing."""
    if _waiting and threading.current_thread() is threading.main_thread() and shell() is not None:
        _show()


def warn(notice: Notice, level: int) -> None:
    """Show ``notice`` as a warning where there are no cells; ``level`` frames above the caller."""
    if not notice.told and shell() is None:
        notice.told = True
        warnings.warn(notice.text, RuntimeWarning, stacklevel=level + 2)

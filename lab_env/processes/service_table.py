"""Services as a table of text or HTML: what a notebook shows of them."""

import html
from collections.abc import Iterable
from typing import Any

from lab_env.messages import say


def _table(services: Iterable[Any]) -> list[tuple[str, ...]]:
    # each has a name, state, pid, log and home, as `lab_env.processes.services.Service`
    columns = ("name", "state", "pid", "reports", "log")
    return [tuple(say(f"service.column_{column}") for column in columns)] + [
        (
            service.name,
            say(f"service.state_{service.state}"),
            str(service.pid),
            f"{service._home.reported[service.name]:,}",
            "".join(service.log.splitlines()[-1:])[:80],
        )
        for service in services
    ]


def plain_table(services: Iterable[Any]) -> str:
    """Return services as a table of text; a sentence where there is none."""
    rows = _table(services)
    if len(rows) == 1:
        return say("service.no_services")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def html_table(services: Iterable[Any]) -> str:
    """Return services as a table of HTML; a sentence where there is none."""
    head, *rows = _table(services)
    if not rows:
        return f"<p>{html.escape(say('service.no_services'))}</p>"

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "".join(
            f'<{tag} style="text-align: left">{html.escape(cell)}</{tag}>' for cell in cells
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"

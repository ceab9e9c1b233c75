"""What the services reported: one row a report, in the order of arrival."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Reports:
    """The reports of a lab's services, appended by their reader threads, read by pictures.

    A row is a dict with ``time`` (float, s on the lab's clock), ``service`` (str, the service's
    name) and the fields that the student's function gave to ``service.report(...)``.
    """

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self._lock = Lock()

    def append(self, row: dict) -> None:
        """Add one row."""
        with self._lock:
            self.rows.append(row)

    def after(self, count: int) -> list[dict]:
        """Return the rows after the first ``count``, so that a picture reads only what is new."""
        return self.rows[count:]

    def frame(self, keep: Callable[[dict], bool] = lambda row: True) -> "pd.DataFrame":
        """Return rows as a frame: time float64 (s), service str, then a column a field."""
        import pandas as pd  # here, because it takes longer to import than a lab may

        rows = [row for row in self.rows if keep(row)]
        return pd.DataFrame(rows, columns=None if rows else ["time", "service"])

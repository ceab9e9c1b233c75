"""While a cell feeds a picture, the picture and what the cell prints are in the window."""

import in_sight
import pytest

NUMBERS = [path.name[:2] for path in sorted(in_sight.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_cell_feeds_is_in_sight(number, own_home, chromium):
    assert in_sight.low(in_sight.walk(number)) == []


@pytest.mark.fast
def test_a_lesson_that_is_measured_again_leaves_the_rows_of_the_others(monkeypatch, tmp_path):
    monkeypatch.setattr(in_sight, "KEPT", tmp_path / "in_sight.md")
    in_sight.keep(["03", "05"], ["| 03 | b |", "| 03 | a |", "| 05 | c |"])
    in_sight.keep(["03"], ["| 03 | d |"])
    rows = [one for one in in_sight.KEPT.read_text().splitlines() if one[:3] == "| 0"]
    assert rows == ["| 03 | d |", "| 05 | c |"]
    in_sight.keep(["01"], [])
    assert "| 05 | c |" in in_sight.KEPT.read_text()

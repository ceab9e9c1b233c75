"""While a cell feeds a picture, the picture and what the cell prints are in the window."""

import in_sight
import pytest

NUMBERS = [path.name[:2] for path in sorted(in_sight.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_cell_feeds_is_in_sight(number, own_home, chromium):
    assert in_sight.low(in_sight.walk(number)) == []

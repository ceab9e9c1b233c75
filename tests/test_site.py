"""The site: what its pages are made of, as far as it can be told without building it."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "site"))
import history

TABLE = """<!-- benchmarks -->
| start | `Lab()` to the first record | {seconds} s | 1 to 2 (7) | ≤ 1.5 s | met |
| start | rows a second | {rows} | 1 to 2 (7) | ≥ 1,000 | met |
| start | what has no target | 7 s | 7 to 7 (1) |  |  |

- start, ways: {day}, 2 cores
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository in which a table of benchmarks was written on two days."""

    def git(*words):
        who = ["-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    for name, *values in (
        ("README.md", "2.49", "900", "2026-11-25"),  # where the table stood first
        ("docs/benchmarks.md", "1.21", "2,100", "2026-11-26"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        words = dict(zip(("seconds", "rows", "day"), values, strict=True))
        path.write_text(TABLE.format(**words), encoding="utf-8")
        git("add", name)
        git("commit", "-q", "-m", name)
    monkeypatch.setattr(history, "ROOT", tmp_path)
    return tmp_path


def test_the_benchmarks_of_before_are_read_from_where_their_table_stood(repository):
    first, then = date(2026, 11, 25), date(2026, 11, 26)
    assert history.values() == {
        ("start", "`Lab()` to the first record", "s", "≤ 1.5"): {first: 2.49, then: 1.21},
        ("start", "rows a second", "", "≥ 1,000"): {first: 900.0, then: 2100.0},
    }


def test_their_page_has_a_plot_and_the_same_numbers_in_a_table(repository, tmp_path):
    page = history.page(tmp_path)
    assert (tmp_path / "benchmarks_over_time.svg").stat().st_size > 1000
    assert "| start | rows a second | ≥ 1,000  | 25 Nov: 900, 26 Nov: 2100 |" in page


def test_without_a_history_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "ROOT", tmp_path)
    assert "nothing to draw" in history.page(tmp_path)

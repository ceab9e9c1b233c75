"""The benchmarks work: each subject, run once and short, gives its rows (never asserts a speed)."""

import os
import subprocess
import sys

import pytest

from benchmarks.__main__ import SUBJECTS, WRITTEN
from benchmarks.apart import ROOT
from benchmarks.rows import Row, table


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_prints_its_rows(subject):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", subject, "--quick"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(f"| {subject} |")]
    assert rows, done.stdout
    assert "failed" not in done.stdout


def test_a_row_knows_its_target():
    assert Row("", [1.0, 1.2, 9.0], most=1.5).met
    assert not Row("", [1.0, 1.2, 9.0], most=1.5, worst=True).met
    assert not Row("", [3.0, 3.9], least=4).met
    assert "**missed**" in table([("start", Row("Lab()", [2.0], "s", most=1.5))])


def test_the_table_replaces_what_stands_between_the_marks():
    page = "a\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nb\n"
    new = WRITTEN.sub(lambda marks: f"{marks[1]}new\n{marks[2]}", page)
    assert new == "a\n<!-- benchmarks -->\nnew\n<!-- /benchmarks -->\nb\n"

"""The benchmarks work: each subject, run once and short, gives its rows (never asserts a speed)."""

import os
import subprocess
import sys

import pytest

from benchmarks.__main__ import SUBJECTS, WRITTEN, merged
from benchmarks.apart import ROOT
from benchmarks.rows import Row, table
from lab_env.clusters import docker_cli


@pytest.mark.landing
@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_prints_its_rows(own_home, subject):
    if subject == "ways" and (why := docker_cli.unavailable()) and not os.environ.get("CI"):
        pytest.skip(f"it starts containers: {why}")
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


def test_the_table_replaces_what_was_measured_and_keeps_the_rest():
    first = {"start": [Row("Lab()", [2.0], "s")], "lessons": [Row("00", [9.0], "s")]}
    page = WRITTEN.sub(
        lambda marks: f"{marks[1]}{merged(marks[0], first, 'yesterday')}\n{marks[2]}",
        "a\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nb\n",
    )
    assert page.startswith("a\n<!-- benchmarks -->\n| Subject |")
    assert page.endswith("- start, lessons: yesterday\n<!-- /benchmarks -->\nb\n")
    again = merged(page, {"brokers": [Row("3", [4.0])], "start": [Row("Lab()", [1.0])]}, "today")
    rows = [line for line in again.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| start", "| brokers", "| lessons"]
    assert "| 1 |" in rows[2]
    assert again.endswith("- start, brokers: today\n- lessons: yesterday")

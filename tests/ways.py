"""Every lesson from top to bottom, with its solutions, on Kafka wherever it comes from.

It is run by name: ``pytest --where compose tests/ways.py``. On the embedded Kafka the lessons' own
tests do this and much more.
"""

import pytest

from lab_env.clusters import docker_cli
from lab_env.course import lessons, runner

SECONDS = 180  # a bound against hanging for one cell


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", lessons.paths(), ids=lambda path: path.stem)
def test_a_lesson_runs_and_its_solutions_pass(own_home, path):
    notebook, failures = runner.run(path, solutions=True, seconds=SECONDS)
    assert [f"cell {failure.cell}: {failure.why}" for failure in failures] == []
    # an exercise that needs Docker's engine says so where none answers
    good = "✓○" if docker_cli.unavailable() else "✓"
    for exercise in lessons.exercises(notebook) + lessons.steps(notebook):
        told = str(notebook.cells[exercise.check].outputs)
        assert any(sign in told for sign in good), told

"""Fetches what lessons need before a student's code runs, which gets no right to write there."""

from collections.abc import Iterable

from lab_env.clusters import embedded, training
from lab_env.course import lessons
from lab_env.course.grading.submissions import Submission

SPRING = "lab.spring("  # a lesson that says this starts the Spring application


def prepare(found: Iterable[Submission]) -> None:
    """Fetch Kafka, and the Spring application if a lesson starts it; make both quick to start.

    Args:
        found: what is to be graded.

    Raises:
        LabError, OSError: something cannot be fetched or made; the lessons that need it will not
            run.
    """
    wanted = {one.lesson for one in found if one.lesson is not None}
    if not wanted:
        return
    embedded.prepare(progress=True)
    training.train()
    if any(SPRING in source for lesson in wanted for source in _code(lessons.load(lesson))):
        from lab_env.spring import app
        from lab_env.spring import training as of_spring

        app.ensure(progress=True)
        of_spring.train()


def _code(notebook: dict) -> list[str]:
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]

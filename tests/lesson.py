"""A lesson in a test: run it as a student would, cell by cell, with a right or a wrong answer."""

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import witness
from testbook import testbook

from lab_env.course.kernel_client import STARTS
from lab_env.course.lessons import exercises, steps

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
# two frames a second: nobody looks, and a third of what a lesson computes would be frames
FEW_FRAMES = "from lab_env.figures.engine import live as _live; _live.PERIOD = 0.5"
RECORD = False  # whether what each answer comes to is written down: pytest --record-evidence
SECONDS = 90  # a bound against hanging for one cell; a lesson takes under a minute


def some(answers, live: int = 1) -> list:
    """Return answers as parameters of a test: the first are tried each day, all in the night.

    Args:
        answers: the names, or the texts themselves.
        live: how many are tried each day.
    """
    return [
        answer if place < live else pytest.param(answer, marks=pytest.mark.nightly)
        for place, answer in enumerate(answers)
    ]


class Lesson:
    """An open lesson with a live kernel."""

    def __init__(self, client):
        self.client = client
        self.number = ""  # its two digits
        self.twice = False  # whether each cell has run twice
        self.exercises = exercises(client.nb)
        self.steps = {
            self.client.cells[one.cell].id.removeprefix("step-"): one for one in steps(client.nb)
        }
        self._next = 0

    def run(self, until: int | None = None) -> None:
        """Run the cells that have not run yet, up to (not including) index ``until``."""
        stop = len(self.client.cells) if until is None else until
        while self._next < stop:
            self.client.execute_cell(self._next)
            self._next += 1

    def again(self, index: int) -> None:
        """Run a cell once more, as a student does."""
        # nbclient would send a live picture's frames to outputs that are no more
        for places in self.client._display_id_map.values():
            places.pop(index, None)
        self.client.execute_cell(index)

    def run_each_twice(self, until: int) -> None:
        """Run the cells up to (not including) index ``until``, each of them twice."""
        for index in range(self._next, until):
            self.run(index + 1)
            if self.client.cells[index].cell_type == "code":
                self.again(index)

    def run_to_exercise(self, number: int) -> None:
        """Run all that stands before the stub of exercise ``number`` (1 is the first)."""
        self.run(self.exercises[number - 1].cell)

    def attempt(self, number: int, code: str | None = None) -> "Answer":
        """Work on an exercise and ask its check.

        Args:
            number: 1 is the first exercise.
            code: what the student wrote in place of the stub; None runs the stub as it stands.
        """
        exercise = self.exercises[number - 1]
        self.run_to_exercise(number)
        self._forget()
        if code is None:
            self.client.execute_cell(exercise.cell)
        else:
            self.execute(code)
        self.client.execute_cell(exercise.check)
        self._next = max(self._next, exercise.check + 1)
        return Answer(self.output(exercise.check))

    def refuses(self, number: int, code: str, hint: str, name: str = "") -> None:
        """Work on an exercise in a wrong way, which must be told with a hint that teaches."""
        answer = self.attempt(number, code)
        assert not answer.passed, name
        assert hint in answer.text, f"{name}: {answer.text}"
        self._keep(str(number), code, hint)

    def accepts(self, number: int, code: str, name: str = "") -> None:
        """Work on an exercise in a right way, which must pass."""
        answer = self.attempt(number, code)
        assert answer.passed, f"{name}: {answer.text}"
        self._keep(str(number), code)

    def _keep(self, place: str, code: str, hint: str = "") -> None:
        """Write down what the judges of an answer were given, if this run is to do so."""
        if RECORD and (heard := self.value("_witness.told()")):
            witness.keep(witness.Testimony(self.number, place, code, hint, heard))

    def _forget(self) -> None:
        """Forget what the judges were given by earlier answers."""
        if RECORD:
            self.execute("_witness.told()")

    def accepts_its_solution(self, number: int) -> None:
        """Put an exercise's solution in its place, and check it twice."""
        self.accepts(number, self.solution(number))
        self.accepts(number, "pass", "checked again")

    def takes_step(self, name: str, code: str | None = None) -> "Answer":
        """Work on a small step, and ask its check; nothing of the lesson may stand in its way.

        Args:
            name: of the step, its cell's id without "step-".
            code: what the student wrote in place of the stub; None is the solution.
        """
        step = self.steps[name]
        self._forget()
        self.execute(step.solution if code is None else code)
        self.again(step.check)
        return Answer(self.output(step.check))

    def changed_step(self, name: str, right: str, instead: str) -> str:
        """Return the solution of a small step with something else in the place of what is right."""
        solution = self.steps[name].solution
        assert right in solution, name
        return solution.replace(right, instead)

    def accepts_step(self, name: str, code: str | None = None) -> None:
        """Work on a small step in a right way, which must pass; None is its solution."""
        answer = self.takes_step(name, code)
        assert answer.passed, f"{name}: {answer.text}"
        self._keep(name, self.steps[name].solution if code is None else code)

    def refuses_step(self, name: str, code: str, told: str) -> None:
        """Work on a small step in a wrong way, which must be told what it comes from."""
        answer = self.takes_step(name, code)
        assert not answer.passed, name
        assert told in answer.text, f"{name}: {answer.text}"
        self._keep(name, code, told)

    def asks_each_step(self) -> None:
        """Look whether each stub of a small step, which has run, was told what is missing."""
        for name, step in self.steps.items():
            answer = Answer(self.output(step.check))
            assert not answer.passed, name
            assert "Hint" in answer.text, f"{name}: {answer.text}"

    def corrects(self, cell: str, guess: str, told: str, name: str = "prediction") -> str:
        """Predict wrongly and run the cell again that answers; return what it says.

        Args:
            cell: id of the cell, which is cheap and changes nothing.
            guess: what the student wrote, as code.
            told: what it must say, besides that it was otherwise.
            name: of the variable.
        """
        self.execute(f"{name} = {guess}")
        self.again(self.index(cell))
        answer = self.output(self.index(cell))
        assert "≠ Otherwise" in answer, answer
        assert told in answer, answer
        return answer

    def misses_each_prediction(self) -> None:
        """Look whether the end names every prediction of a lesson in which nobody made one."""
        asked = [cell.id for cell in self.client.cells if cell.id.startswith("prediction-")]
        told = self.output(self.index("surprises"))
        assert f"You foresaw 0 of {len(asked)}, and made no prediction for {len(asked)}." in told
        assert all(one.removeprefix("prediction-") in told for one in asked)

    def solution(self, number: int) -> str:
        """Return the code of an exercise's solution."""
        return self.exercises[number - 1].solution

    def output(self, index: int) -> str:
        """Return the plain text of all outputs of a cell."""
        texts = []
        for output in self.client.cells[index].get("outputs", ()):
            if output.output_type == "stream":
                texts.append(output.text)
            elif output.output_type == "error":
                texts.append("\n".join(output.traceback))
            else:
                texts.append(output.get("data", {}).get("text/plain", ""))
        return "\n".join(texts)

    @property
    def errors(self) -> list[str]:
        """What failed so far and was not meant to."""
        return [
            f"{cell.id}: {output.ename}: {output.evalue}"
            for cell in self.client.cells
            if "raises-exception" not in cell.metadata.get("tags", ())
            for output in cell.get("outputs", ())
            if output.output_type == "error"
        ]

    @property
    def told(self) -> list[str]:
        """The sentences beside the pictures, in the order of the cells."""
        return [
            output.data["text/plain"]
            for cell in self.client.cells
            for output in cell.get("outputs", ())
            if "image/png" in output.get("data", {})
        ]

    def index(self, tag_or_id: str) -> int:
        """Return the index of the one cell with that id or tag."""
        found = [
            i
            for i, cell in enumerate(self.client.cells)
            if cell.get("id") == tag_or_id or tag_or_id in cell.metadata.get("tags", ())
        ]
        assert len(found) == 1, f"{len(found)} cells with id or tag {tag_or_id!r}"
        return found[0]

    def execute(self, code: str) -> str:
        """Run code in the lesson's kernel, as if typed into a new cell; return its text output."""
        node = self.client.inject(code, run=True, pop=True)
        return "".join(o.get("text", "") for o in node.get("outputs", ()))

    def value(self, expression: str):
        """Return the value of an expression in the lesson's kernel (through JSON)."""
        marker = "value-of-expression:"
        text = self.execute(
            f"import json as _json; print({marker!r} + _json.dumps({expression}, default=str))"
        )
        return json.loads(text.split(marker)[-1])


class Forgetful(dict):
    """A dict in which nothing is ever found."""

    def __contains__(self, key) -> bool:
        return False


class Answer:
    """What a check showed."""

    def __init__(self, text: str):
        self.text = text

    @property
    def passed(self) -> bool:
        """Whether it said that the exercise is done."""
        assert ("✓" in self.text) != ("✗" in self.text), self.text
        return "✓" in self.text


@contextmanager
def kernel_for(path: Path, seconds: int):
    """Open a notebook with a kernel; one whose port was taken before it had it is tried again."""
    with ExitStack() as stack:
        for left in reversed(range(STARTS)):
            try:
                client = stack.enter_context(testbook(path, execute=False, timeout=seconds))
            except RuntimeError:  # it died before it answered
                if not left:
                    raise
            else:
                break
        yield client


@contextmanager
def open_lesson(number: str, seconds: int = SECONDS):
    """Open a lesson (by its two digits) with a kernel of its own; nothing has run yet."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    with kernel_for(path, seconds) as client:
        client.nb.metadata["path"] = str(NOTEBOOKS)
        lesson = Lesson(client)
        lesson.number = number
        lesson.execute(FEW_FRAMES)
        if RECORD:
            lesson.execute(witness.LISTEN)
        yield lesson


@contextmanager
def lesson_to_its_end(number: str, *, twice: bool = False, seconds: int = SECONDS):
    """Open a lesson that has run as it is committed, up to the cell that closes its lab.

    Args:
        number: two digits.
        twice: run each cell twice.
        seconds: the bound for one cell.
    """
    with open_lesson(number, seconds) as lesson:
        end = lesson.index("close")
        lesson.twice = twice
        if twice:
            lesson.run_each_twice(end)
        else:
            lesson.run(end)
        # an attempt's cell is taken out again: nbclient must not look for its pictures
        lesson.client._display_id_map = Forgetful()
        yield lesson
        lesson.run()

"""What came of each exercise of each submission, and how it is written down: CSV, JUnit, JSON."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from xml.etree import ElementTree

from lab_env.course.grading.submissions import PREDICTION, plain
from lab_env.messages import say

PASSED, NOT_YET, NOT_HERE = "passed", "not_yet", "not_here"
UNTOUCHED, MISSING = "untouched", "missing"  # as it was handed out; its cell is not there
STOPPED, REFUSED = "stopped", "refused"  # it could not go on; it tried to be graded by itself
UNREADABLE = "unreadable"  # the whole submission
MADE = "made"  # a prediction, whether it came true or not
SIGNS = {
    PASSED: ("✓", "green"),
    NOT_YET: ("✗", "red"),
    NOT_HERE: ("○", "yellow"),
    UNTOUCHED: ("·", "dim"),
    MISSING: ("-", "dim"),
    STOPPED: ("!", "bold red"),
    REFUSED: ("!!", "bold red"),
    UNREADABLE: ("?", "bold red"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one exercise.

    Attributes:
        student: as the folder or the file says.
        file: where the submission lies.
        lesson: the name of its file without the ending; "" if it is not known.
        exercise: the id of its cell; "" where there is no exercise to be found.
        kind: "exercise", "step" or "prediction".
        verdict: one of the words above.
        words: what the check says, or why there is no answer.
        seconds: from the end of the student's cell to the check's answer.
        by: "witness" if it has judged, from outside; "kernel" if the student's own process had to.
    """

    student: str
    file: str
    lesson: str
    exercise: str
    kind: str
    verdict: str
    words: str = ""
    seconds: float = 0.0
    by: str = ""


def counted(rows: Iterable[Verdict]) -> list[Verdict]:
    """Return those that give a point: exercises and small steps."""
    return [row for row in rows if row.kind != PREDICTION]


def points(rows: Iterable[Verdict]) -> tuple[int, int]:
    """Return how many points were reached, of how many: one for an exercise or a small step."""
    rows = counted(rows)
    return sum(row.verdict == PASSED for row in rows), len(rows)


def by_submission(rows: Iterable[Verdict]) -> dict[tuple[str, str], list[Verdict]]:
    """Return the rows of each submission, by student and file."""
    found: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for row in rows:
        found[row.student, row.file].append(row)
    return dict(found)


def as_csv(rows: Iterable[Verdict]) -> str:
    """Return a table for a spreadsheet, which takes no cell of it for a formula."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(Verdict.__dataclass_fields__)
    for row in rows:
        table.writerow([_no_formula(one) for one in asdict(row).values()])
    return out.getvalue()


def as_json(rows: Iterable[Verdict]) -> str:
    """Return a list of submissions, each with its points and its exercises."""
    told = []
    for (student, file), own in by_submission(rows).items():
        reached, of = points(own)
        exercises = [asdict(row) for row in own]
        told.append(
            {"student": student, "file": file, "points": reached, "of": of, "exercises": exercises}
        )
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def as_junit(rows: Iterable[Verdict]) -> str:
    """Return the report that every CI shows: a suite a submission, a case an exercise."""
    root = ElementTree.Element("testsuites")
    for (student, file), own in by_submission(rows).items():
        own = counted(own)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{student}: {own[0].lesson or file}",
            tests=str(len(own)),
            failures=str(sum(row.verdict in (NOT_YET, UNTOUCHED, MISSING) for row in own)),
            errors=str(sum(row.verdict in (STOPPED, REFUSED, UNREADABLE) for row in own)),
            skipped=str(sum(row.verdict == NOT_HERE for row in own)),
        )
        for row in own:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"{row.student}.{row.lesson}",
                name=row.exercise or row.file,
                time=f"{row.seconds:.2f}",
            )
            kind = {
                NOT_YET: "failure", UNTOUCHED: "failure", MISSING: "failure", NOT_HERE: "skipped",
                STOPPED: "error", REFUSED: "error", UNREADABLE: "error",
            }.get(row.verdict)  # fmt: skip
            if kind:
                told = ElementTree.SubElement(case, kind, message=row.words[:300])
                if kind != "skipped":
                    told.set("type", row.verdict)
                    told.text = row.words
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def in_words(answer: dict) -> str:
    """Return what a check has answered, in one line."""
    parts = [answer["found"]]
    if answer["expected"]:
        parts.append(f"{say('checks.expected')}: {answer['expected']}")
    if answer["hint"]:
        parts.append(f"{say('checks.hint')}: {answer['hint']}")
    return plain(" ".join(parts))[:2000]


def _no_formula(value: object) -> object:
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else value

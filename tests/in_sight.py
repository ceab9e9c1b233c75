"""How much of a living picture, and of what a cell prints, is in the window while the cell runs.

    uv run --group dev python tests/in_sight.py [LESSON ...] [--write]

walks the lessons as they are committed in JupyterLab, in a window of 1280 by 800, and prints a row
for each cell that feeds a picture; ``--write`` keeps the table in ``benchmarks/in_sight.md``.
"""

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import browser
import parts
from lesson import NOTEBOOKS
from playwright.sync_api import Error, sync_playwright

WINDOW = {"width": 1280, "height": 800}
KEPT = Path(__file__).parent.parent / "benchmarks" / "in_sight.md"
LEAST = 0.9
SHORT = 1.0  # s: a cell that is over sooner shows its picture when it has run
SETTLES = 0.5  # s until the page has seen that a cell runs, or has printed
# the living picture that is in sight most, and what the running cell has printed
SEEN = """cell => {
    const scroller = cell.closest('.jp-WindowedPanel-outer, .jp-Notebook').getBoundingClientRect();
    const share = (node, top) => {
        const box = node.getBoundingClientRect();
        if (!box.height) return null;
        const end = Math.min(box.bottom, scroller.bottom, innerHeight);
        return Math.max(0, end - Math.max(box.top, top)) / box.height;
    };
    const areas = '.jp-OutputArea:has(> * .kafka-lab-picture[data-alive])';
    const living = [...document.querySelectorAll(areas)].filter(one => one.querySelector('img'));
    const pictures = living.map(one => {
        const shares = [...one.querySelectorAll('img')].map(img => share(img, scroller.top) ?? 0);
        return {
            share: Math.min(...shares),
            width: one.querySelector('img').getBoundingClientRect().width,
            frame: [...one.querySelectorAll('img')].map(
                img => img.src.slice(-300) + img.src.length).join(),
        };
    });
    const pinned = document.querySelector('.kafka-lab-pinned')?.getBoundingClientRect();
    const free = pinned ? Math.max(scroller.top, pinned.bottom) : scroller.top;
    const room = Math.min(scroller.bottom, innerHeight) - free;
    const output = cell.querySelector('.jp-Cell-outputWrapper');
    // of an output that is higher than the room, as much as the room holds
    const high = output ? output.getBoundingClientRect().height : 0;
    const printed = high ? Math.min(1, share(output, free) * high / Math.min(high, room)) : null;
    return {pictures, printed};
}""".replace("            ", "    ")


@dataclass(frozen=True)
class Row:
    """A cell that fed a picture: shares of the window's are means over the time that it ran.

    Attributes:
        lesson, cell: two digits, and the cell's id.
        seconds: how long it ran.
        picture: the share of the living picture that is in the window, of the one most in sight.
        printed: the same of what the cell has printed; None if that is nothing.
        width: of the picture, in px.
    """

    lesson: str
    cell: str
    seconds: float
    picture: float
    printed: float | None
    width: float


def watched(student: browser.Student, index: int, lesson: str, name: str) -> Row | None:
    """Run the chosen cell with Shift+Enter, and return what was seen while it ran."""
    student.start(index)
    began = time.monotonic()
    shares, printed, widths, frames, first = [], [], [], {}, None
    while not student.page.evaluate(browser.HAS_RUN):
        time.sleep(0.2)
        if time.monotonic() - began < SETTLES:
            continue
        try:
            seen = student.cell(index).evaluate(SEEN)
        except Error:  # an output that is being replaced
            continue
        for place, one in enumerate(seen["pictures"]):
            frames.setdefault(place, set()).add(one["frame"])
        if seen["pictures"]:
            best = max(seen["pictures"], key=lambda one: one["share"])
            shares.append(best["share"])
            widths.append(best["width"])
            if seen["printed"] is not None:
                first = first or time.monotonic()
                if time.monotonic() - first > SETTLES:  # the page has moved to what has come
                    printed.append(seen["printed"])
    seconds = time.monotonic() - began
    if shares:
        time.sleep(2 * SETTLES)
        seen = student.cell(index).evaluate(SEEN)
        printed += [seen["printed"]] if seen["printed"] is not None else []
    if seconds < SHORT or not shares or max(map(len, frames.values())) < 3:
        return None
    mean = sum(printed) / len(printed) if printed else None
    return Row(lesson, name, seconds, sum(shares) / len(shares), mean, min(widths))


def walk(number: str, shots: Path | None = None) -> list[Row]:
    """Run a lesson as it is committed, and return a row for each cell that feeds a picture."""
    from lab_env.course.lessons import load

    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = load(path)["cells"]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "lessons"
        shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
        home = Path(place) / "home"
        with (
            browser.jupyter(root, home) as jupyter,
            sync_playwright() as driver,
            browser.student(driver, Path(place) / "profile", Path(place), WINDOW) as student,
        ):
            student.open(jupyter.address(path.name))
            student.choose(0)
            for index, cell in enumerate(cells):
                if cell["cell_type"] != "code":
                    student.run(index)
                    continue
                if row := watched(student, index, number, cell["id"]):
                    rows.append(row)
                    print(line(row), flush=True)
                    if shots is not None:
                        (shots / f"{number}-{cell['id']}.png").write_bytes(
                            student.page.screenshot()
                        )
            jupyter.end_kernels()
    return rows


def line(row: Row) -> str:
    """Return a row of the table."""
    printed = "" if row.printed is None else f"{row.printed:.0%}"
    return (
        f"| {row.lesson} | `{row.cell}` | {row.seconds:.1f} | {row.picture:.0%} | {printed}"
        f" | {row.width:.0f} |"
    )


def low(rows: list[Row]) -> list[str]:
    """Return the rows of which too little was in sight."""
    return [line(row) for row in rows if row.picture < LEAST or (row.printed or 1.0) < LEAST]


HEAD = """\
# In sight

How much of a living picture, and of what a cell prints, was in a window of 1280 by 800 while the
cell ran in JupyterLab: `uv run --group dev python tests/in_sight.py --write`. A lesson that is
missing has not been measured, or has no picture that moves while a cell runs.

| Lesson | Cell | Seconds | Picture | Printed | Width (px) |
| -- | -- | --: | --: | --: | --: |
"""


def keep(numbers: list[str], lines: list[str]) -> None:
    """Write the table anew: the lines of these lessons, and of all others what it had."""
    before = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.is_file() else []
    others = [one for one in before if one[:2] == "| " and one[2:4].isdigit()]
    others = [one for one in others if one[2:4] not in numbers]
    rows = sorted([*others, *lines], key=lambda one: one[2:4])  # within a lesson as it goes
    KEPT.write_text(HEAD + "".join(f"{one}\n" for one in rows), encoding="utf-8")


def main(words: list[str]) -> None:
    """Measure the lessons that are named, or all."""
    from lab_env.checks import progress
    from lab_env.processes import folders

    # each lesson's student has a home of her own, and would fetch Kafka anew
    os.environ.setdefault(folders.HOME_VARIABLE, str(parts.USERS_HOME))
    os.environ[progress.VARIABLE] = ""
    named = [word for word in words if word.isdigit()]
    numbers = named or [path.name[:2] for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]
    rows = [row for number in numbers for row in walk(number)]
    if "--write" in words:
        keep(numbers, [line(row) for row in rows])
    print("too little in sight:", *(low(rows) or ["nothing"]), sep="\n")
    sys.exit(bool(low(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""A presenter at the screen: walks a lesson's slides, runs what is on them, and measures."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from browser import HAS_RUN, WATCH_PICTURE, WATCH_PROMPT, Student

NOW = ".reveal .slides > section.present > section.present"
TEXT = 24 / 720  # the least size of text, as a share of the screen's height

# what stands on the slide that is shown: heights are shares of the screen's
MEASURE = """section => {
    const screen = window.innerHeight, seen = node => node && node.offsetParent !== null;
    const box = node => node.getBoundingClientRect();
    const cells = [...section.querySelectorAll('.jp-Cell')].filter(seen).map(cell => {
        const code = cell.classList.contains('jp-CodeCell');
        const input = cell.querySelector('.jp-Cell-inputWrapper');
        const output = cell.querySelector('.jp-Cell-outputWrapper');
        const picture = cell.querySelector('.jp-OutputArea-output img');
        return {
            code,
            says: (input.innerText || '').trim().split('\\n')[0].slice(0, 60),
            input: box(input).height / screen,
            output: code && seen(output) ? box(output).height / screen : 0,
            top: box(cell).top / screen, inputEnd: box(input).bottom / screen,
            pictureTop: seen(picture) ? box(picture).top / screen : null,
            pictureEnd: seen(picture) ? box(picture).bottom / screen : null,
            pictureWidth: seen(picture) ? box(picture).width / window.innerWidth : null,
        };
    });
    const small = new Set();
    const texts = document.createTreeWalker(section, NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const parent = node.parentElement;
        const read = '.jp-RenderedHTMLCommon, .jp-RenderedText, .cm-content';
        if (!node.textContent.trim() || !seen(parent) || !parent.closest(read)) continue;
        const size = parseFloat(getComputedStyle(parent).fontSize);
        if (size < LEAST * screen - 0.01)
            small.add(`${size} px: ${node.textContent.trim().slice(0, 30)}`);
    }
    return {
        cells, small: [...small],
        over: Math.max(0, section.scrollHeight - section.clientHeight) / screen,
        wide: Math.max(0, section.scrollWidth - section.clientWidth),
    };
}""".replace("LEAST", str(TEXT))


@dataclass(frozen=True)
class Look:
    """What a slide was like at one moment; heights are shares of the screen's height.

    Attributes:
        slide: its place, 0 is the first.
        title: the first line on it.
        over: how much of it is below the screen.
        wide: pixels that stick out at the side.
        small: texts that cannot be read from the back of a room.
        cells: of each cell that is seen: ``says``, ``code``, ``input``, ``output``, ``pictureTop``
            and so on.
    """

    slide: int
    title: str
    over: float
    wide: float
    small: list[str]
    cells: list[dict]

    def __str__(self) -> str:
        rows = "".join(
            f"\n    {'code' if one['code'] else 'text'} {one['input']:5.0%}"
            f" {'picture' if one['pictureTop'] is not None else 'output'} {one['output']:5.0%}"
            f"  {one['says']}"
            for one in self.cells
        )
        return f"slide {self.slide} ({self.title}): {self.over:.0%} below the screen{rows}"


class Presenter:
    """Somebody who drives the slides of the lesson that a `Student` has opened.

    Attributes:
        moved: for each cell that ran while a picture stood before it on its slide: its first line,
            and how many new frames of that picture came meanwhile.
    """

    def __init__(self, student: Student):
        self.student = student
        self.page = student.page
        self.moved: dict[str, int] = {}

    def start(self) -> None:
        """Start the slides with the keyboard, from the first cell."""
        self.student.choose(0)
        self.student.press("Alt+r")
        self.page.locator(f"{NOW} h1").wait_for()
        self.page.wait_for_function("() => document.fullscreenElement !== null")

    @property
    def at(self) -> int:
        """The place of the slide that is shown."""
        return self.page.evaluate(
            "now => [...document.querySelectorAll('.reveal .slides > section > section')]"
            ".indexOf(document.querySelector(now))",
            NOW,
        )

    def walk(self, look: Callable[[Look], None], run: bool = True) -> int:
        """Go from the slide that is shown to the last, run every cell, and show each state to look.

        Returns:
            How many slides there were.
        """
        slides, done = 1, set()
        while True:
            at = self.at
            if run:
                self.run_what_is_seen(done, look)
            look(self.look())
            if not self.turn():
                return slides
            if self.at != at:
                assert self.at == at + 1, "one slide after the other"
                slides += 1
                done.clear()

    def run_what_is_seen(self, done: set[int], look: Callable[[Look], None]) -> None:
        """Run the code cells that are seen and not in `done`, each with a click and Shift+Enter."""
        section = self.page.locator(NOW)
        cells = section.locator(".jp-CodeCell")
        for place in range(cells.count()):
            cell = cells.nth(place)
            if place in done or not cell.is_visible():
                continue
            done.add(place)
            at, says = self.at, cell.locator(".cm-content").inner_text().split("\n")[0]
            cell.locator(".cm-content").click()
            picture = self._picture_before(cells, place)
            if picture is not None:
                picture.evaluate(WATCH_PICTURE)
                before = self.student.frames
            cell.locator(".jp-InputPrompt").first.evaluate(WATCH_PROMPT)
            self.student.press("Shift+Enter")
            self.page.wait_for_function(HAS_RUN, polling=50)
            assert self.at == at, f"running a cell left the slide: {says}"
            if picture is not None:
                self.moved[says] = self.student.frames - before
            look(self.look())

    def turn(self) -> bool:
        """Click beside the cells and press Space: the next fragment or slide; False at the end."""
        if self._is_at_the_end():
            return False
        before = self._state()
        self._click_beside_the_cells()
        self.student.press("Space")
        for _ in range(600):  # a page on a busy machine takes its time
            if self._state() != before:
                self.page.wait_for_timeout(100)  # a frame or two, until it is drawn
                return True
            self.page.wait_for_timeout(50)
        raise AssertionError(f"Space does not lead on from slide {before[0]}")

    def _click_beside_the_cells(self) -> None:
        """Click where no cell is: a cell that fills the top of the screen would take the keys."""
        free = self.page.evaluate(
            """() => {
                for (const x of [innerWidth - 8, 4])
                    for (let y = 8; y < innerHeight; y += 16) {
                        const there = document.elementFromPoint(x, y);
                        if (there && !there.closest('.jp-Cell, .controls')) return [x, y];
                    }
                return null;
            }"""
        )
        if free is None:
            self.page.evaluate("() => document.activeElement.blur()")
        else:
            self.page.mouse.click(*free)

    def _is_at_the_end(self) -> bool:
        return self.page.evaluate(
            """now => {
                const all = [...document.querySelectorAll('.reveal .slides > section > section')];
                const shown = document.querySelector(now);
                return shown === all.at(-1) && !shown.querySelector('.fragment:not(.visible)');
            }""",
            NOW,
        )

    def back_to_the_first(self) -> None:
        """Press Home, and Up as long as that has led to a slide below the first one."""
        self._click_beside_the_cells()
        self.student.press("Home")
        for _ in range(20):
            self.page.wait_for_timeout(250)
            if self.at == 0:
                return
            self.student.press("ArrowUp")
        raise AssertionError(f"Home leads to slide {self.at}")

    def look(self) -> Look:
        """Measure the slide that is shown."""
        found = self.page.locator(NOW).evaluate(MEASURE)
        title = found["cells"][0]["says"] if found["cells"] else ""
        return Look(self.at, re.sub(r"\s+", " ", title), **found)

    def _state(self) -> tuple[int, int]:
        shown = self.page.locator(f"{NOW} .fragment.visible").count()
        return self.at, shown

    def _picture_before(self, cells, place: int):
        for earlier in reversed(range(place)):
            output = cells.nth(earlier).locator(".jp-Cell-outputWrapper")
            if output.locator("img").count():
                return output
        return None

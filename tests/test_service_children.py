"""What a service has started ends with it, however it ends; a process that just dies says where."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import ours
from test_service import alive, function, until

from lab_env.ground import limits
from lab_env.ground.errors import ServiceError
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.processes.fleets import Services

pytestmark = [
    pytest.mark.usefixtures("programs"),
    pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX"),
    pytest.mark.shares_a_lab,
]
END = 60  # s, a bound against hanging

# each starts a child that would live for minutes, and reports its number
STARTS = {
    "subprocess": """
        import subprocess
        child = subprocess.Popen(["sleep", "321"]).pid
    """,
    "fork": """
        import os, time
        child = os.fork()
        if not child:
            time.sleep(321)
            os._exit(0)
    """,
    "multiprocessing": """
        import multiprocessing, time
        started = multiprocessing.get_context("fork").Process(target=time.sleep, args=[321])
        started.start()
        child = started.pid
    """,
}
ENDS = {
    "stop": "while service.wait(0.05): pass",
    "return": "return",
    "failure": "1 / 0",
    "sys.exit": "import sys; sys.exit()",
}


def parent(start: str, end: str):
    """Return a service's function that starts a child, reports it and ends."""
    body = textwrap.dedent(STARTS[start]) + f"service.report(child=child)\n{ENDS[end]}\n"
    return function("def parent(service):\n" + textwrap.indent(body, "    "))


@pytest.fixture
def services(tmp_path):
    services = Services(Journal(), Reports(), tmp_path / "logs")
    yield services
    services.close()
    assert until(lambda: not ours(), END)  # those that have ended do not count


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("end", ENDS)
def test_a_child_ends_with_its_service(services, start, end):
    service = services.start(parent(start, end))
    child = service.first("child", END)
    if end == "stop":
        service.stop()
    elif start == "multiprocessing":
        service.stop()  # Python waits for such a child at its end
    assert service._run.ended.wait(END)
    assert until(lambda: not alive(child), END)
    if end != "sys.exit":
        assert service.state == ("failed" if end == "failure" else "stopped")


def test_a_child_ends_when_the_lab_is_closed(services):
    service = services.start(parent("fork", "stop"))
    child = service.first("child", END)
    services.close()
    assert until(lambda: not alive(child), END)


@pytest.mark.parametrize("how", ["at its end", "killed"])
def test_a_child_ends_with_the_notebook(tmp_path, how):
    notebook = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            import subprocess, time
            from pathlib import Path
            from lab_env.ground.journal import Journal
            from lab_env.ground.reports import Reports
            from lab_env.processes.fleets import Services
            def parent(service):
                service.report(child=subprocess.Popen(["sleep", "321"]).pid)
                while service.wait(0.05):
                    pass
            service = Services(Journal(), Reports(), Path({str(tmp_path)!r})).start(parent)
            print(service.first("child", {END}), flush=True)
            {"time.sleep(100)" if how == "killed" else ""}
        """)],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with notebook:
        child = int(notebook.stdout.readline())
        if how == "killed":
            notebook.kill()
        notebook.wait(END)
        assert until(lambda: not alive(child), END)


def test_a_segfault_names_the_students_line(services):
    source = """
    import ctypes
    def crash(service):
        print("before")
        address = 0
        ctypes.string_at(address)
    """
    service = services.start(function(source))
    with pytest.raises(ServiceError) as error:
        service.join(END)
    told = str(error.value)
    assert "`ctypes.string_at(address)`" in told
    assert "line 5 of crash" in told
    assert "SIGSEGV" in told
    assert "worker.py" not in told
    assert "before" in service.log


def test_a_sigkill_that_nobody_sent_means_memory(services):
    service = services.start(function("def work(service):\n    service.wait(100)"))
    os.kill(service.pid, signal.SIGKILL)
    with pytest.raises(ServiceError, match="memory"):
        service.join(END)
    assert service.state == "crashed"


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/jupyter/ana\n", {"jupyter/memory.max": "600000000\n"}, 600_000_000),
        (
            "0::/jupyter/ana\n",
            {"jupyter/ana/memory.max": "max\n", "jupyter/memory.max": "2000\n"},
            2000,
        ),
        ("0::/host/says/so\n", {"memory.max": "3000\n"}, 3000),  # as a container sees itself
        (
            "5:cpu:/x\n4:hugetlb,memory:/x\n0::/\n",
            {"memory/x/memory.limit_in_bytes": "4000\n"},
            4000,
        ),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_the_limit_of_memory_is_found_in_both_versions(tmp_path, monkeypatch, own, files, limit):
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(limits, "GROUPS", tmp_path)
    monkeypatch.setattr(limits, "OWN", tmp_path / "own")
    assert limits.memory_limit() == limit


def test_a_program_that_calls_setsid_outlives_its_service_as_the_docstring_says(services):
    source = """
    import subprocess
    def parent(service):
        apart = subprocess.Popen(["sleep", "321"], start_new_session=True)
        service.report(child=apart.pid)
    """
    service = services.start(function(source))
    child = service.first("child", END)
    service.join(END)
    time.sleep(0.1)
    assert alive(child)
    os.kill(child, signal.SIGKILL)

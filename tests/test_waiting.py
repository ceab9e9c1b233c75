"""Waiting goes on as long as something happens; work is done as a whole; one line tells of it."""

import os
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from test_interrupted import interrupted

from lab_env import lab
from lab_env.clusters import node
from lab_env.ground import notices, waiting
from lab_env.ground.journal import Journal
from lab_env.ground.waiting import Progress, ProgressLine, signs_of, whole


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def turn(clock, patience: Progress, seconds: float) -> bool:
    """Look every tenth of a second for a while; return whether waiting became useless."""
    end = clock.seconds + seconds
    while clock.seconds < end:
        clock.seconds += 0.1
        if patience.over():
            return True
    return False


def test_waiting_lasts_as_long_as_something_goes_on_and_no_longer(clock):
    work = SimpleNamespace(done=0)
    patience = Progress(lambda: work.done, still=60, most=900)
    for _ in range(10):  # far longer than 60 s in all
        assert not turn(clock, patience, 50)
        work.done += 1
    assert turn(clock, patience, 70)


def test_who_works_for_ever_and_gets_nowhere_is_given_up(clock):
    assert turn(clock, Progress(lambda: clock.seconds, still=60, most=900), 1000)


def test_a_machine_that_slept_has_not_waited(clock):
    patience = Progress(still=60)
    assert not turn(clock, patience, 30)
    clock.seconds += 3600
    assert not patience.over()
    assert turn(clock, patience, 60)


def test_processor_time_and_a_log_that_grows_are_signs(tmp_path):
    log = tmp_path / "log"
    before = signs_of([None, os.getpid()], [log])
    log.write_text("one line")
    assert signs_of([None, os.getpid()], [log]) != before
    assert signs_of([2**22 + 1], [tmp_path / "none"]) == (0, 0)


def test_a_quick_start_says_nothing_and_a_slow_one_what_it_waits_for(clock, capsys):
    with ProgressLine() as telling:
        for _ in range(25):
            clock.seconds += 0.1
            telling(lambda seconds: f"waiting {seconds}")
        assert capsys.readouterr().err == ""
        for _ in range(100):
            clock.seconds += 0.1
            telling(lambda seconds: f"waiting {seconds}")
    assert capsys.readouterr().err == "waiting 3\n"  # no terminal: every line would be kept
    with ProgressLine(quiet=True) as telling:
        clock.seconds += 100
        telling(lambda seconds: f"waiting {seconds}")
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="an Interrupt is POSIX's SIGINT here")
def test_work_that_has_begun_is_done_though_its_caller_is_interrupted():
    begun, pressed, done = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        pressed.wait(60)
        time.sleep(0.3)
        done.append(True)

    # set by whoever presses, who does it right after
    assert interrupted(lambda: whole(work), lambda: begun.is_set() and not pressed.set())
    assert done == [True]
    with pytest.raises(ZeroDivisionError):
        whole(lambda: 1 / 0)
    assert whole(lambda a, b: a + b, 1, 2) == 3


def test_notices_that_nobody_has_seen_become_one_whose_call_is_true(monkeypatch):
    monkeypatch.setattr(notices, "shell", lambda: object())
    monkeypatch.setattr(notices, "_waiting", type(notices._waiting)())
    mark = lab._marker(Journal())
    mark("fail", 1, "broker 1 died", "Broker 1: lab.start(1)")
    mark("fail", 2, "broker 2 died", "Brokers 1 and 2: lab.start()")
    assert [one.text for one in notices._waiting] == ["Brokers 1 and 2: lab.start()"]
    notices._waiting.popleft().told = True
    mark("kill", 3, "broker 3 killed")
    mark("fail", 4, "broker 4 died", "Broker 4: lab.start(4)")
    assert [one.text for one in notices._waiting] == ["Broker 4: lab.start(4)"]


def test_the_last_lines_of_a_log_show_the_reason_and_no_warnings_of_the_jvm(tmp_path):
    log, console = tmp_path / "kafka.log", tmp_path / "console.log"
    before = "12:00:00,000 ERROR an old story (Old)\n"
    log.write_text(
        before + "12:00:01,000 ERROR Exiting Kafka due to fatal exception (Kafka$)\n"
        "java.net.BindException: Address already in use\n"
        "\tat java.base/sun.nio.ch.Net.bind0(Native Method)\n"
        + "".join(f"12:00:02,00{n} INFO shutting down {n} (Server)\n" for n in range(9))
    )
    console.write_text(
        "WARNING: A terminally deprecated method in sun.misc.Unsafe has been called\n"
        "WARNING: sun.misc.Unsafe::arrayBaseOffset will be removed in a future release\n"
    )
    told = node.last_lines([log, console], 4, {log: len(before)})
    assert len(told) == 4
    assert "fatal exception" in told[0]
    assert "BindException" in told[1]
    assert told[2:] == [f"12:00:02,00{n} INFO shutting down {n} (Server)" for n in (7, 8)]
    assert "shutting down 5" in node.last_lines([log, console], 4)[0]  # as it is written


def test_without_a_loopback_the_lab_says_so_before_it_waits(tmp_path):
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-n", "true"], capture_output=True).returncode:
        pytest.skip("a network without a loopback needs unshare, and the right to use it")
    body = "from lab_env import Lab; Lab('embedded')"
    env = {**os.environ, "KAFKA_LAB_HOME": str(tmp_path)}  # without jars: nothing is started
    done = subprocess.run(
        [unshare, "-n", sys.executable, "-c", body], capture_output=True, text=True, env=env
    )
    assert "programs on this machine cannot reach each other at 127.0.0.1" in done.stderr
    assert not list(tmp_path.rglob("*"))

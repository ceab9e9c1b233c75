"""Waits end when nothing moves any more: neither the work nor the machine sets their time."""

import os
import signal
import threading
import time

import pytest

from lab_env.checks import evidence
from lab_env.flights import replay
from lab_env.ground import patience, steps
from lab_env.ground.errors import ServiceError
from lab_env.ground.journal import Journal
from lab_env.ground.patience import Patience
from lab_env.ground.reports import Reports
from lab_env.processes import services as service_module
from lab_env.processes.fleets import Services

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture
def services(tmp_path):
    made = Services(Journal(), Reports(), tmp_path / "services")
    yield made
    made.close()


@pytest.fixture
def hasty(monkeypatch):
    """Shorten what counts as quiet, so that no test has to wait for as long as a student would."""
    monkeypatch.setattr(service_module, "QUIET", 4.0)
    monkeypatch.setattr(patience, "TELL", 1.0)


def publish(service, count, rate):
    for _ in replay(range(count), rate=rate):
        pass


def counts_for_ever(service):
    number = 0
    while service.wait(0.05):
        number += 1
        service.report(number=number)


def test_join_waits_as_long_as_events_leave_the_replay(services, hasty, capsys):
    services.start(publish, 60, 10).join()  # longer than it may be quiet
    told = capsys.readouterr().out
    assert "Waiting for the end of publish" in told
    assert "of 60 events handed out" in told


def test_join_waits_longer_than_its_bound_for_a_replay_whose_end_is_known(
    services, hasty, monkeypatch
):
    publisher = services.start(publish, 80, 10)
    while publisher._run.begun is None:
        time.sleep(0.05)
    monkeypatch.setattr(service_module, "TIMES", 1)
    monkeypatch.setattr(service_module, "BEGIN_SECONDS", 0.0)
    publisher.join()


def test_join_waits_between_two_events_that_are_far_apart(services, hasty):
    services.start(publish, 2, 0.15).join()  # 7 s from one to the next


def test_join_gives_up_what_does_not_move_and_says_how_far_it_came(services, hasty):
    def sleeps(service):
        service.report(there=True)
        service.wait(600)

    stuck = services.start(sleeps)
    with pytest.raises(ServiceError, match=r"still running after .* s \(1 reports\)"):
        stuck.join()


def test_join_of_a_service_that_reports_for_ever_comes_to_an_end(services, hasty, monkeypatch):
    monkeypatch.setattr(service_module, "TIMES", 1)
    endless = services.start(counts_for_ever)
    endless.first("number")
    monkeypatch.setattr(service_module, "BEGIN_SECONDS", 0.0)
    with pytest.raises(ServiceError, match="still running"):
        endless.join()


def test_first_waits_as_long_as_the_service_gets_on(services, hasty):
    def counts(service):
        for number in range(8):
            service.wait(0.9)
            service.report(**{"last" if number == 7 else "number": number})

    assert services.start(counts).first("last") == 7


class SlowToUnpack:
    """A value whose journey takes long: as a start on a machine that is busy."""

    def __reduce__(self):
        return time.sleep, (1.0,)


def test_a_service_that_was_slow_to_begin_has_longer_to_end(services):
    def closes_slowly(service, _):
        service.report(there=True)
        service.wait(600)
        time.sleep(3.0)  # longer than 2 s, which is what a quick one has
        service.report(closed=True)

    slow = services.start(closes_slowly, SlowToUnpack())
    slow.first("there")
    slow.stop()
    assert slow.reports["closed"].any()
    assert "had to be killed" not in str(services._home.journal.frame()["text"].tolist())


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_service_that_is_stopped_before_it_takes_anything_ends_by_itself(services):
    def polite(service, _):
        service.wait(600)
        service.report(closed=True)

    early = services.start(polite, b"x" * 5_000_000)  # more than a pipe holds
    os.kill(early.pid, signal.SIGSTOP)  # as on a machine that does not come to it
    later = threading.Timer(1.5, os.kill, (early.pid, signal.SIGCONT))
    later.start()
    early.stop()
    later.join()
    assert early.state == "stopped"
    assert early.reports["closed"].any()


def test_a_service_that_does_not_listen_is_killed(services):
    def deaf(service):
        service.report(there=True)
        while True:
            time.sleep(0.1)

    stuck = services.start(deaf)
    stuck.first("there")
    stuck.stop()
    assert stuck._run.process.poll() is not None
    assert "had to be killed" in str(services._home.journal.frame()["text"].tolist())


def test_a_replay_tells_its_steps_and_its_end(monkeypatch):
    heard = []
    monkeypatch.setattr(steps, "listener", lambda *step: heard.append(step))
    list(replay(range(5), rate=None))
    assert heard[-1] == (5, 5, None)
    list(replay(iter(range(5)), rate=1000))
    assert heard[-1] == (5, None, 1000)
    list(replay(range(5000), rate=100, seconds=0.05))
    assert heard[-1] == (5, 5, 100)


# A machine that comes to look only now and then


@pytest.fixture
def clock(monkeypatch):
    """A wall's clock that goes when it is told to."""

    class Clock:
        now = 0.0

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    made = Clock()
    for module in (patience, evidence):
        monkeypatch.setattr(module, "time", made)
    made.monotonic = lambda: made.now
    return made


def test_a_machine_that_comes_to_look_less_often_is_given_longer(clock):
    for lap, most in ((0.1, 1.2), (2.0, 10.0)):
        wait, began = Patience(1.0, pause=0.1), clock.now
        while not wait.over:
            clock.sleep(lap)
            wait.look()
        assert 1.0 <= clock.now - began <= most
    assert clock.now - began > 5.0


def test_what_moves_and_never_ends_is_given_up_and_known_work_is_not(clock):
    wait = Patience(1.0, pause=0.1, most=3.0)
    for number in range(100):
        clock.sleep(0.1)
        wait.look(number, sure=number)
        assert not wait.over
    for number in range(100, 200):
        clock.sleep(0.1)
        wait.look(number, sure="the same")
    assert wait.over


def test_a_check_that_looks_slowly_does_not_take_a_pause_for_the_end(clock):
    """Looks take 2 s, and what is looked at changes every 4 s."""

    def read() -> int:
        clock.sleep(2.0)
        return min(int(clock.now / 4), 5)

    assert evidence.settle(read, lambda _: 1.0, most=20) == (5, True)


def test_a_check_waits_while_the_work_goes_on(clock):
    assert evidence.until(lambda: clock.now > 25, 10, moves=lambda: int(clock.now / 5))
    assert not evidence.until(lambda: clock.now > 100, 10)

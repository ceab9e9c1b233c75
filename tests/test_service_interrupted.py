"""A service whose start is interrupted: it is gone, and nobody is told that memory ran out."""

import threading

import pytest
from conftest import wait_until

from lab_env import Lab
from lab_env.ground import notices

pytestmark = pytest.mark.shares_a_lab


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab("embedded", progress=False) as one:
        yield one


def stays(service):
    """A service that goes on until it is stopped."""
    service.wait(600)


def test_an_interrupt_while_a_service_starts_is_not_told_as_a_lack_of_memory(lab, monkeypatch):
    """Interrupt within `restart()`: the lab ended the process itself, and blamed memory."""
    service = lab.service(stays)
    posted, start = [], threading.Thread.start
    monkeypatch.setattr(notices, "post", lambda text: posted.append(text) or notices.Notice(text))

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        service.restart()
    monkeypatch.setattr(threading.Thread, "start", start)
    wait_until(lambda: set(threading.enumerate()) <= before, 60)  # what attended it has ended
    assert posted == []
    service.restart()
    assert service.state == "running"


def test_a_fault_of_a_service_that_does_not_run_is_told(lab, capsys):
    """After an exercise had stopped all services, an experiment above it ran in silence."""
    service = lab.service(stays, name="belt")
    with lab.fault("belt fails", service, work=1):
        assert "changes nothing" not in capsys.readouterr().out
    service.stop()
    with lab.fault("belt fails", service, work=1):
        assert "belt: not running, so this fault changes nothing now" in capsys.readouterr().out

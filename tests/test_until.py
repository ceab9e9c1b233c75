"""The lab's waits at a real broker: they end when nothing moves, and say what they wait for."""

import time
from contextlib import closing
from types import SimpleNamespace

import pytest
from kafka import KafkaProducer

from lab_env import Lab
from lab_env import lab as lab_module
from lab_env.ground import notices, patience
from lab_env.ground.errors import BrokerError
from lab_env.observation import queries

pytestmark = pytest.mark.shares_a_lab


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab() as made:
        yield made


@pytest.fixture
def hasty(monkeypatch):
    """Shorten what counts as quiet, so that no test has to wait for as long as a student would."""
    monkeypatch.setattr(lab_module, "QUIET", 3.0)
    monkeypatch.setattr(patience, "TELL", 1.0)


def test_until_waits_as_long_as_a_service_reports(lab, hasty, capsys):
    def counts(service):
        for number in range(7):
            service.wait(1.0)
            service.report(number=number)

    assert lab.reports.empty  # pandas has been imported, which takes as long as the whole wait
    steady = lab.service(counts)
    assert lab.until(lambda: len(steady.reports) == 7)
    told = capsys.readouterr().out
    assert "Waiting until `assert lab.until(lambda: len(steady.reports) == 7)`" in told
    assert "reports" in told


def test_until_gives_up_when_nothing_moves_and_says_so(lab, hasty, capsys):
    assert not lab.until(lambda: False)
    assert (
        "No longer waiting until `assert not lab.until(lambda: False)`" in capsys.readouterr().out
    )


def test_a_wait_of_the_lab_is_told_in_words_and_shows_none_of_its_code(lab, hasty, capsys):
    """A subscriber with a mistake was waited for "until `def settled() -> bool:`"."""
    lab.assignment(lab.group("nobody"), members=3)
    told = capsys.readouterr().out
    assert "the group nobody has exactly 3 member(s)" in told
    assert "there now: nobody" in told
    assert "def " not in told


def test_a_condition_with_a_name_is_told_by_its_name(lab, hasty, capsys):
    def never():
        return False

    assert not lab.until(never)
    assert "until `never()`" in capsys.readouterr().out


def test_a_service_that_fails_while_one_waits_is_told_at_once(lab, hasty, capsys, monkeypatch):
    """The sentence came when the wait was over, twenty seconds after the mistake."""
    cells = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))
    monkeypatch.setattr(notices, "shell", lambda: cells)

    def mistakes(service):
        return nowhere  # noqa: F821

    service = lab.service(mistakes)
    expected = "Name" + "Error"  # the wait tells its own line, too
    assert lab.until(lambda: service.state == "failed" and expected in told(capsys))


def told(capsys):
    """Return all that was said so far."""
    SAID.append(capsys.readouterr().out)
    return "".join(SAID)


SAID: list[str] = []


def test_until_keeps_to_a_deadline_of_the_students_own_and_says_nothing(lab, hasty, capsys):
    def reports_for_ever(service):
        while service.wait(0.1):
            service.report(there=True)

    endless = lab.service(reports_for_ever)
    endless.first("there")
    capsys.readouterr()
    assert not lab.until(lambda: False, seconds=0.5)
    assert not capsys.readouterr().out
    endless.stop()


def test_until_ends_where_something_moves_for_ever(lab, hasty, monkeypatch, capsys):
    monkeypatch.setattr(lab_module, "TIMES", 1)

    def reports_for_ever(service):
        while service.wait(0.1):
            service.report(there=True)

    endless = lab.service(reports_for_ever)
    endless.first("there")
    assert not lab.until(lambda: False)
    assert "No longer waiting" in capsys.readouterr().out
    endless.stop()


@pytest.fixture(scope="module")
def filled(lab) -> str:
    topic = lab.topic("many")
    with closing(KafkaProducer(**lab.connection)) as producer:
        for number in range(2000):
            producer.send(topic, str(number).encode())
        producer.flush()
    return topic


def test_records_are_read_as_long_as_they_come(lab, filled):
    count = 0
    for _ in queries.raw(lab.connection, filled, seconds=1):
        count += 1
        time.sleep(0.002)  # 4 s in all: a reader that is slow is no reason to stop
    assert count == 2000


def test_records_that_do_not_come_are_given_up_with_how_far_it_came(lab, filled, monkeypatch):
    from kafka import KafkaConsumer

    monkeypatch.setattr(KafkaConsumer, "poll", lambda self, **_: time.sleep(0.2) or {})
    with pytest.raises(BrokerError, match="after 0 of about 2,000, no further one came for 1 s"):
        list(queries.raw(lab.connection, filled, seconds=1))


def test_records_are_asked_for_again_where_an_answer_was_lost(lab, filled, monkeypatch):
    from kafka import KafkaConsumer
    from kafka.errors import KafkaTimeoutError

    asked, real = [], KafkaConsumer.end_offsets

    def lost_once(self, *args, **kwargs):
        asked.append(self)
        if len(asked) == 1:
            raise KafkaTimeoutError("I/O wait timed out")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(KafkaConsumer, "end_offsets", lost_once)
    assert len(lab.records(filled)) == 2000
    assert len(asked) == 2

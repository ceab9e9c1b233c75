"""A wrong value is refused in the cell that gives it, and never stops a picture; one real Kafka."""

import contextlib
import inspect
from functools import partial
from types import SimpleNamespace

import pytest
from conftest import wait_until
from driven import GROUP, TOPIC, Drive
from test_arguments import BAD, calls, raw, tried

from lab_env import Lab, check
from lab_env.checks.ways_in import Group, Rule, judge_group
from lab_env.figures import Show
from lab_env.ground.errors import BadInputError
from lab_env.observation.observer import Observer

ENDS = {(TOPIC, 0): 40}
TYPO = "flights.depatred"
WATCHED = ("throughput", "lag", "queue", "delivery", "outcomes", "scaling", "ownership", "replicas")


@pytest.fixture
def drive(monkeypatch):
    return Drive(monkeypatch)


@pytest.mark.parametrize("text", [None, 7, object(), ["a"], b"bytes", True])
def test_a_mark_that_is_no_text_is_refused_and_the_pictures_go_on(drive, text):
    picture = drive.picture("lag")
    for write in (drive.clock.mark, lambda said: drive.clock.span(said).__enter__()):
        with pytest.raises(BadInputError, match=r"lab\.mark"):
            write(text)
    drive.go(1, step=0.5, each=lambda time: drive.sample(ENDS, ENDS))
    assert picture.error is None


def test_a_mark_of_several_lines_or_with_half_a_character_is_written_in_one_line(drive):
    assert drive.clock.mark("one\ntwo\t\x00 \ud83d three").text == "one two \x00 ? three"
    picture = drive.picture("lag")
    drive.go(1, step=0.5, each=lambda time: drive.sample(ENDS, ENDS))
    assert picture.error is None


@pytest.mark.parametrize(
    "scale", [None, float("nan"), float("inf"), 1e12, -1, 0, "1.5", True, [1.5]]
)
def test_a_scale_with_which_nothing_can_be_read_is_refused_and_the_old_one_stays(drive, scale):
    drive.show.scale = 1.5
    with pytest.raises(BadInputError, match=r"lab\.show\.scale"):
        drive.show.scale = scale
    assert drive.show.scale == 1.5


@pytest.mark.parametrize("kind", ["latency", "rates", "response_time"])
def test_a_title_that_is_no_text_is_refused(drive, kind):
    for title in (7, "", "  ", b"x", ["a"], object()):
        with pytest.raises(BadInputError, match="title"):
            getattr(drive.show, kind)(title=title)
    assert drive.show._stage._figures == []
    assert drive.picture(kind, title=None).title


@pytest.mark.landing
@pytest.mark.parametrize("kind", sorted({name for name, _ in calls(Show)} - {"dashboard"}))
def test_no_picture_that_is_asked_for_wrongly_ends_in_a_raw_error(drive, kind):
    def ask(attempt):
        picture = attempt()
        if hasattr(picture, "stop"):
            picture.stop()

    good = {"topic": TOPIC, "group": GROUP, "groups": GROUP}
    attempts = list(tried(kind, getattr(drive.show, kind), good))
    assert attempts
    assert raw((what, partial(ask, one)) for what, one in attempts) == []


@pytest.mark.parametrize("name", dir(check))
def test_a_check_that_is_given_something_else_for_its_lab_answers(name):
    call = getattr(check, name)
    first, *others = inspect.signature(call).parameters.values()
    needed = [one for one in others if one.default is one.empty]
    rest = ["x" for one in needed if one.kind is not one.VAR_POSITIONAL]
    for word, bad in BAD.items():
        answer = call(bad, *rest)
        assert not answer, (first.name, word)
        assert len(repr(answer).split()) > 5, (first.name, word)


def test_an_address_that_is_none_is_refused_by_its_check():
    answer = check.group_lets_in(SimpleNamespace(client=None), "airport", "my address")
    assert "'my address'" in answer.found


def test_an_address_of_ipv6_is_in_no_network_of_ipv4_and_no_raw_error():
    half = Rule("tcp", 22, 22, "0.0.0.0/1")
    answer = judge_group(Group("airport", "2001:db8::1/128", ("10.0.0.0/16",), (half,)))
    assert answer.found == "airport lets in ssh from 0.0.0.0/1."


@pytest.mark.parametrize("row", ["records_per_second", "megabytes_per_second"])
def test_a_measured_run_without_a_number_is_not_drawn(drive, row):
    picture = drive.picture("rates")
    good = {"time": 1.0, "service": "m", "measured": "a", "p50_ms": 1.0, "p99_ms": 2.0}
    good |= {"records_per_second": 5.0, "megabytes_per_second": 1.0}
    drive.reports.append(good | {row: float("nan")})
    drive.reports.append(good)
    drive.frames()
    assert picture.error is None
    assert "in 1 runs" in picture.sentence


@pytest.mark.parametrize("kind", WATCHED)
def test_of_a_topic_that_does_not_exist_a_picture_says_so_and_counts_nothing(drive, kind):
    picture = drive.picture(kind, topic=TYPO)
    drive.go(3, step=0.5, each=lambda time: drive.sample(ENDS, ENDS, ("gate-1",)))
    assert f"no topic {TYPO}" in picture.sentence or "no such topic" in picture.sentence
    for number in ("0 records/s", "0 records", "lost: 0", "0 partitions"):
        assert number not in picture.sentence
    there = {(TYPO, 0): 40}
    drive.go(3, step=0.5, each=lambda time: drive.sample(there, there, ("gate-1",)))
    assert "no topic" not in picture.sentence
    assert "no such topic" not in picture.sentence
    drive.end(picture)


@pytest.mark.parametrize("wrong", [None, 7, "", b"x", "a b", "a" * 250, ".", ["x"], object()])
def test_a_topic_that_cannot_be_is_not_watched(drive, wrong):
    observer = Observer({}, drive.clock)
    with pytest.raises(BadInputError, match=r"lab\.watch"):
        observer.watch([wrong])
    assert observer._thread is None


@pytest.mark.parametrize("wrong", [None, 7, [None], [""], [b"x"], {1: 2}, b"bytes"])
def test_a_group_that_cannot_be_is_not_watched(drive, wrong):
    observer = Observer({}, drive.clock)
    with pytest.raises(BadInputError, match="groups"):
        observer.watch([TOPIC], wrong)
    assert observer._thread is None


# -- with a real Kafka ----------------------------------------------------------------------------


def test_a_typo_in_a_topics_name_is_told_and_does_not_make_the_topic(own_home):
    from kafka import KafkaAdminClient

    with Lab() as lab:
        topic = lab.topic(TOPIC)
        with pytest.raises(BadInputError, match=r"lab\.watch"):
            lab.watch(None)
        figure = lab.show.throughput(TYPO, GROUP)
        other = lab.show.lag(topic, GROUP)
        wait_until(lambda: f"no topic {TYPO}" in figure.sentence, 60)
        assert "records/s" not in figure.sentence
        wait_until(lambda: "0 records wait for billing" in other.sentence, 60)
        samples = len(lab.watch().samples)
        wait_until(lambda: len(lab.watch().samples) > samples + 8, 60)
        admin = KafkaAdminClient(**lab.connection)
        assert TYPO not in admin.list_topics()
        admin.close()


def test_dead_letters_whose_ids_are_numbers_are_named_and_no_raw_error(own_home):
    from kafka import KafkaProducer

    with Lab() as lab:
        dead, retry, bills = (lab.topic(name) for name in ("dead", "retry", "bills"))
        with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
            for number in (7, 8):
                producer.send(dead, b'{"id": %d}' % number)
            producer.send(retry, b'{"id": 7}')
            producer.send(bills, b'{"flight": 7}')
            producer.flush(timeout=60)
        answer = check.replayed_once(lab, dead, retry, bills, "repair")
    assert answer.found == "1 of 2 flights have no bill: 8."

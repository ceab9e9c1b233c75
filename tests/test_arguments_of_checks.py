"""Every check, and every picture of ``lab.show``, with values that cannot work: a sentence.

Checks, pictures and their arguments are found by looking at the objects, as in
`test_arguments`: a new one is tried by itself.
"""

import contextlib
import inspect
from importlib import import_module
from types import SimpleNamespace

import pytest
from kafka import KafkaProducer
from test_arguments import BAD, calls, raw, tried, work

from lab_env import Lab, aws, check
from lab_env.checks import LESSONS
from lab_env.checks.result import Result
from lab_env.figures import Show

pytestmark = [pytest.mark.shares_a_lab, pytest.mark.nightly, pytest.mark.timeout(900)]

# right outside, wrong inside
INSIDE = {
    "[{}]": [{}],
    "[[]]": [[]],
    "['']": [""],
    "{'walk': None}": {"walk": None},
    "{'walk': [None]}": {"walk": [None]},
    "{None: 1}": {None: 1},
}
# records that no lesson writes: of another topic, of a mistake
ODD = (None, b"", b"\xff", b"text", b"7", b"null", b"[1]", b"{}", b'{"id": 7}', b'{"id": []}')
ODD += (b'{"id": "a", "carrier": [], "airport": [], "tail_number": [], "flight": {}}',)
ODD += (b'{"departed": "10:00"}', b'{"id": "1", "departed": [], "delay_minutes": []}')
# whose good value is the name of a topic
TOPICS = ("topic", "requests_topic", "bills", "dead", "retry", "totals", "audit")
TOPICS += ("source", "target", "ready", "parked")
SOON = 0.5  # s; where nobody is at work, a longer wait finds nothing else
NO_WAITS = ("READ_SECONDS",)  # for the broker, and not for a service


def reports_oddly(service):
    """Report what checks look for, as no lesson does."""
    for value in ([1], {"id": 1}, None, 1.5, "?"):
        named = ("handled", "event", "flight", "topic", "group", "error", "partition", "sent")
        service.report(**dict.fromkeys(named, value))
        service.report(**dict.fromkeys(named, value) | {"topic": "walk", "partition": 0})


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab for all calls, without a service that runs: a check has nothing to wait for."""
    with Lab(progress=False) as one:
        yield one


@pytest.fixture(scope="module")
def account(own_home):
    """An embedded AWS account, in which nothing is."""
    with contextlib.closing(aws.account()) as one:
        yield one


def filled(lab, name, values):
    """Return a topic with these values, the same without a key and with one."""
    topic = lab.topic(name, partitions=2)
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        for value in values:
            if value is not None:
                producer.send(topic, value)
            producer.send(topic, value, key=b"\xff", headers=[("correlation-id", b"\xff")])
        producer.flush(timeout=60)
    return topic


@pytest.fixture(scope="module")
def odd(lab):
    """A topic with records that no lesson writes."""
    return filled(lab, "odd", ODD)


@pytest.fixture(scope="module")
def good(lab, account, tmp_path_factory):
    """Return arguments that work, by name, for what a call needs besides the bad value."""
    topic = filled(lab, "walk", [b'{"id": "1", "carrier": "UA"}'])
    file = tmp_path_factory.mktemp("walk") / "compose.yml"
    file.write_text("services: {}\n", encoding="utf-8")
    service = lab.service(reports_oddly, name="walk")
    service.join(60)
    return dict.fromkeys(TOPICS, topic) | {
        "lab": lab,
        "account": account,
        # for a project an engine would have to be there; of one a check reads the file first
        "compose": SimpleNamespace(configuration=lambda: {"services": {}}),
        "reply_topics": [topic],
        "topics": [topic],
        "groups": {"walk": [1, 1]},
        "group": "walk",
        "service": service,
        "stateful_set": {"metadata": {"name": "walk"}, "spec": {"replicas": 2}},
        "flights": [{"id": "1"}],
        "function": work,
        "file": file,
        "day": "2013-01-01",
        "local": "2013-01-01 08:00",
        "n": 1,
        "members": 1,
        "rate": 1.0,
        "work": 0.01,
        "value": b"1",
        "name": "walk",
        "family": "walk",
        "instance": "i-1",
        "secret": "walk",
        "ssh_from": "203.0.113.25/32",
    }


def attempts_at(name, call, good, odd):
    """Yield (what was called, a function that calls it), also with what is wrong inside."""
    yield from tried(name, call, good)
    parameters = inspect.signature(call).parameters
    needed = {key: good[key] for key, one in parameters.items() if one.default is one.empty}
    for wrong in parameters:
        for word, bad in (INSIDE | {"odd": odd, "[odd]": [odd]}).items():
            args = needed | {wrong: bad}
            yield f"{name}({wrong}={word})", lambda args=args: call(**args)
    args = needed | {key: odd for key in needed if key in TOPICS}
    yield f"{name}(odd topics)", lambda: call(**args)


def answering(attempts):
    """Yield the same attempts, which fail unless an answer with a sentence comes back."""
    for what, attempt in attempts:

        def answered(attempt=attempt):
            said = attempt()
            assert isinstance(said, Result)
            assert len(said.found.split()) > 2, said

        yield what, answered


@pytest.mark.parametrize("name", sorted(dir(check)))
def test_no_check_ends_in_a_raw_error(lab, good, odd, name, monkeypatch):
    for lesson in LESSONS:
        module = import_module(f"lab_env.checks.{lesson}")
        for word, value in vars(module).items():
            if word.endswith("_SECONDS") and word not in NO_WAITS:
                monkeypatch.setattr(module, word, min(value, SOON))
    assert raw(answering(attempts_at(name, getattr(check, name), good, odd))) == []


def shown(attempts):
    """Yield the same attempts, which stop the picture that they have made."""
    for what, attempt in attempts:

        def stopped(attempt=attempt):
            attempt().stop()

        yield what, stopped


PICTURES = sorted(name for name, call in calls(Show) if len(inspect.signature(call).parameters) > 1)


@pytest.mark.parametrize("name", PICTURES)
def test_no_picture_ends_in_a_raw_error(lab, good, odd, name):
    call = getattr(lab.show, name)
    assert raw(shown(attempts_at(name, call, good, odd))) == []
    signature = inspect.signature(call)
    needed = [key for key, one in signature.parameters.items() if one.default is one.empty]
    picture = call(**{key: good[key] for key in needed})
    assert picture.alive  # none of those before has broken the others
    picture.stop()


def test_no_file_of_a_picture_ends_in_a_raw_error(lab, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = lab.show.partitions(good["topic"])
    picture.stop()
    here = {"folder": tmp_path, "no folder": tmp_path / "none" / "a.png", "NUL": "a\0b"}
    attempts = [
        (f"save({word})", lambda bad=bad: picture.save(bad)) for word, bad in (BAD | here).items()
    ]
    assert raw(attempts) == []
    assert picture.save(tmp_path / "a.png").read_bytes() == picture.png


def test_no_scale_of_the_pictures_ends_in_a_raw_error(lab):
    usual = lab.show.scale
    attempts = [
        (f"scale = {word}", lambda bad=bad: setattr(lab.show, "scale", bad))
        for word, bad in BAD.items()
    ]
    assert raw(attempts) == []
    lab.show.scale = usual

"""Every call of the front page with values that cannot work: a sentence, and never a raw error.

The calls are found by looking at the objects, so that a new call is tried by itself.
"""

import contextlib
import inspect
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka import KafkaProducer

from lab_env import Lab, flights
from lab_env.checks.result import Result, graded, passed
from lab_env.ground.errors import BadInputError, LabError

pytestmark = [pytest.mark.shares_a_lab, pytest.mark.timeout(900), pytest.mark.landing]

BAD = {
    "None": None,
    "-1": -1,
    "0": 0,
    "10**12": 10**12,
    "1.5": 1.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "empty": "",
    "emoji": "\N{AIRPLANE}\N{RIGHT-TO-LEFT OVERRIDE}",
    "NUL": "a\0b",
    "long": "x" * 300,
    "bytes": b"flights",
    "[]": [],
    "[None]": [None],
    "{}": {},
    "object": object(),
    "True": True,
    "class": type("Flight", (), {}),
}
NO_CALLS = {"close"}
# Plain data for a service, and what Spring starts with: not wrong, and each start takes its time
FINE = {
    ("spring", "yaml"): ("None", "empty"),
    ("spring", "properties"): tuple(BAD),
    ("service", "args"): tuple(BAD),
}


def work(*_):
    """Do what a service, a case or a controller does in a moment."""


@pytest.fixture(scope="module")
def lab(own_home):
    """One lab for all calls."""
    with Lab(progress=False) as one:
        yield one


@pytest.fixture(scope="module")
def good(lab):
    """Return arguments that work, by name, for what a call needs besides the bad value."""
    topic = lab.topic("walk")
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        producer.send(topic, b"{}").get(timeout=10)
    return {
        "lab": lab,
        "topic": topic,
        "group": "walk",
        "groups": "walk",
        "name": "walk",
        "node": 1,
        "function": work,
        "condition": lambda: True,
        "cases": {"work": (work,)},
        "events": ["one", "two"],
        "rate": 1000,
        "rows": flights.table(day="2013-01-01").head(2),
        "field": "handled",
    }


def calls(thing, public=lambda name: not name.startswith("_")):
    """Yield the public methods of an object, or functions of a module, that take something."""
    for name in dir(thing):
        member = inspect.getattr_static(thing, name)
        if not public(name) or name in NO_CALLS or not inspect.isfunction(member):
            continue
        if inspect.ismodule(thing) and member.__module__ != thing.__name__:
            continue
        call = getattr(thing, name)
        if inspect.signature(call).parameters:
            yield name, call


def tried(name, call, good):
    """Yield (what was called, a function that calls it) for each argument and each bad value."""
    parameters = inspect.signature(call).parameters
    for wrong in parameters:
        for word in BAD:
            if word in FINE.get((name, wrong), ()):
                continue
            bad, args, named = BAD[word], [], {}
            for key, one in parameters.items():
                if key == wrong:
                    given = bad
                elif one.default is one.empty and one.kind not in (
                    one.VAR_POSITIONAL,
                    one.VAR_KEYWORD,
                ):
                    given = good.get(key, bad)
                else:
                    continue
                if one.kind is one.VAR_KEYWORD:
                    named["retention_ms"] = given
                elif one.kind is one.KEYWORD_ONLY:
                    named[key] = given
                else:
                    args.append(given)
            yield f"{name}({wrong}={word})", lambda a=args, n=named: call(*a, **n)


def raw(attempts) -> list[str]:
    """Return the attempts that neither worked nor ended in a sentence of the lab's."""
    found = []
    for what, attempt in attempts:
        try:
            attempt()
        except LabError as error:
            if len(str(error).split()) < 5:
                found.append(f"{what}: no sentence: {error}")
        except Exception as error:
            found.append(f"{what}: {type(error).__name__}: {error}"[:160])
    return found


LAB_CALLS = sorted(name for name, _ in calls(Lab))


@pytest.mark.parametrize("name", LAB_CALLS)
def test_no_call_of_the_lab_ends_in_a_raw_error(lab, good, name):
    assert raw(tried(name, getattr(lab, name), good)) == []


def test_no_call_of_the_flights_ends_in_a_raw_error(good):
    attempts = [one for name, call in calls(flights) for one in tried(name, call, good)]
    assert attempts
    assert raw(attempts) == []


def test_a_replay_that_was_made_hands_something_out(good):
    attempts = []
    for what, make in tried("replay", flights.replay, good):
        attempts.append((what, lambda make=make: list(islice(make(), 2))))
    assert raw(attempts) == []


def test_no_call_of_a_service_ends_in_a_raw_error(lab, good):
    one = lab.service(work, name="walk")
    one.join(60)
    two = lab.service(work, name="pair-1", copies=2)
    two.join(60)
    loop = lab.repeat(work, name="loop", every=1)
    attempts = []
    for handle in (one, two, loop):
        attempts += [a for name, call in calls(handle) for a in tried(name, call, good)]
    for word, bad in BAD.items():
        attempts.append((f"services[{word}]", lambda bad=bad: lab.services[bad]))
        attempts.append((f"services.get({word})", lambda bad=bad: lab.services.get(bad)))
        attempts.append((f"{word} in services", lambda bad=bad: bad in lab.services))
    assert raw(attempts) == []


def test_no_start_of_a_lab_ends_in_a_raw_error():
    fine = ("None", "empty")  # the usual way
    attempts = [
        (f"Lab({word})", lambda bad=bad: Lab(bad)) for word, bad in BAD.items() if word not in fine
    ]
    attempts += [
        (f"Lab(brokers={word})", lambda bad=bad: Lab(brokers=bad)) for word, bad in BAD.items()
    ]
    assert raw(attempts) == []
    for number in (3, True):
        with pytest.raises(BadInputError, match="brokers="):
            Lab(number)


@graded
def demo(lab, topic: str, file: str | Path, rows: list[dict], day: str = "2013-01-01") -> Result:
    """Do what checks do with what they are given."""
    lab.connection["bootstrap_servers"], topic.encode(), rows[0]["id"], day.split("-")
    return passed("checks.kafka_error", error=Path(file).name)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_check_that_is_given_another_kind_of_value_answers(bad):
    here = SimpleNamespace(connection={"bootstrap_servers": []})
    assert demo(here, "flights", "a.yml", [{"id": 1}])
    wrong = [demo(bad, "flights", "a.yml", [{"id": 1}])]
    if not isinstance(bad, str):
        wrong += [
            demo(here, bad, "a.yml", [{"id": 1}]),
            demo(here, "flights", bad, [{"id": 1}]),
            demo(here, "flights", "a.yml", [{"id": 1}], bad),
        ]
    if not isinstance(bad, list):
        wrong += [demo(here, "flights", "a.yml", bad)]
    assert not any(wrong)
    assert all("demo was called in another way" in repr(answer) for answer in wrong)


@pytest.mark.parametrize("seconds", [10**12, float("inf"), float("nan"), -1, True, "1"])
def test_a_wait_of_forever_is_refused_at_once(lab, seconds):
    began = time.monotonic()
    with pytest.raises(BadInputError, match="a day"):
        lab.until(lambda: False, seconds)
    assert time.monotonic() - began < 60


def test_the_lab_lives_afterwards(lab):
    topic = lab.topic("after")
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        producer.send(topic, b"1").get(timeout=20)
    assert len(lab.records(topic)) == 1
    assert set(lab.nodes.values()) == {"running"}

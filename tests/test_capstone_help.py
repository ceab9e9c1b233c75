"""The capstone's help: what was taken is remembered and told, and a filled skeleton is right."""

import ast
from types import SimpleNamespace

import pytest
from capstone_faulty import DAY, FLIGHTS, recorded

from lab_env.day import card, faults, helping, play
from lab_env.day.contract import SERVICES, Airport
from lab_env.day.evidence import loads
from lab_env.day.script import script, truth
from lab_env.day.verdict import judge
from lab_env.ground import project
from lab_env.ground.errors import BadInputError

# what a student writes into the gaps, in their order
FILLED = {
    "gates": (
        'airport.group("gates")',
        "airport.prefix + service.name",
        "producer.send_offsets_to_transaction(done, consumer.group_metadata());"
        " producer.commit_transaction()",
        '{"topic": airport.topic("dead.letters"), "key": record.key, "value": record.value,'
        ' "headers": [*record.headers, *more]}',
        '[("correlation-id", correlation)]',
    ),
    "board": (
        'airport.group("board")',
        "consumer.commit()",
        "[*record.headers, *more]",
        '"INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)"',
    ),
    "baggage": ('airport.group("baggage")', "[*record.headers, *more]", "new and belt"),
    "operations": (
        'report["aircraft"] or flight',
        "not database.execute(added, (name, aircraft)).rowcount",
        'database.execute("DELETE FROM outbox WHERE id = ?", (number,))',
    ),
}


@pytest.fixture(autouse=True)
def own_progress(monkeypatch, tmp_path):
    """Keep what was taken here, for this test alone."""
    monkeypatch.setenv(helping.VARIABLE, str(tmp_path / "kept" / "progress.json"))
    monkeypatch.setattr(helping, "_taken", {})
    return tmp_path / "kept" / "capstone_help.json"


def skeleton(service: str) -> str:
    return project.file(f"services/capstone/skeletons/{service}.txt").read_text(encoding="utf-8")


def filled(service: str) -> str:
    """Return a skeleton with its gaps filled."""
    text = skeleton(service)
    for gap in FILLED[service]:
        text = _fill(text, gap)
    return text


def _fill(text: str, gap: str) -> str:
    """Put an answer in the place of the first gap, which stands behind the docstring."""
    end = text.index('"""', 3) + 3
    return text[:end] + text[end:].replace("...", gap, 1)


@pytest.mark.fast
def test_help_has_three_depths_and_the_deepest_that_was_taken_is_remembered():
    assert helping.taken() == {}
    assert "?" in helping.ask("gates").text
    assert helping.taken() == {"gates": 1}
    assert "gap 1" in helping.ask("gates", 2).text
    assert "def main()" in helping.ask("board", 3).text
    helping.ask("gates")
    assert helping.taken() == {"gates": 2, "board": 3}
    assert helping.model("baggage").endswith("baggage.py")
    assert helping.taken()["baggage"] == 3


@pytest.mark.fast
def test_a_kernel_that_is_started_anew_still_knows_what_help_was_taken(monkeypatch, own_progress):
    helping.ask("gates", 2)
    monkeypatch.setattr(helping, "_taken", {})
    assert helping.taken() == {"gates": 2}
    for spoilt in ("", "[1]", '{"tower": 3, "gates": 9, "board": "x"}', '{"gates": [1]}'):
        own_progress.write_text(spoilt)
        assert helping.taken() == {}


@pytest.mark.fast
def test_nothing_is_kept_where_nothing_is_to_be_kept(monkeypatch, tmp_path):
    monkeypatch.setenv(helping.VARIABLE, "")
    helping.ask("gates")
    assert helping.taken() == {"gates": 1}
    assert not list(tmp_path.iterdir())


@pytest.mark.fast
@pytest.mark.parametrize(
    "wrong",
    [("tower",), ("gates", 4), ("gates", "2"), ("gates", True), (None,), ("gates", None)],
    ids=repr,
)
def test_help_that_is_not_there_is_refused_with_a_sentence(wrong):
    with pytest.raises(BadInputError):
        helping.ask(*wrong)
    assert helping.taken() == {}


@pytest.mark.fast
@pytest.mark.parametrize("part", ["names", "midnight", "nobody", *SERVICES])
def test_the_specification_is_read_part_by_part(part):
    text = helping.specification(part).text
    assert 20 < len(text.split()) < 300
    assert text.split("\n", 1)[1].strip() in helping.specification().text
    with pytest.raises(BadInputError, match="Gates"):
        helping.specification("weather")


@pytest.mark.fast
@pytest.mark.parametrize("service", SERVICES)
def test_a_skeleton_is_python_with_numbered_gaps_that_are_missed_by_nobody(service):
    text = skeleton(service)
    ast.parse(text)
    gaps = [line for line in text.splitlines() if "..." in line and "each `...`" not in line]
    assert all(f"# gap {number}" in line for number, line in enumerate(gaps, 1))
    assert len(gaps) == len(FILLED[service])
    ast.parse(filled(service))
    assert "..." not in filled(service)[filled(service).index('"""', 3) :]


@pytest.mark.fast
def test_the_report_card_says_what_help_was_taken_for_the_services_that_took_part():
    known = recorded()["model"]
    true = truth(script(DAY, FLIGHTS))
    plain = card.ReportCard(known, judge(known, true))
    assert "No help was taken" in repr(plain)
    told = loads(known.dumps())
    told.help.update({"gates": 2, "board": 3})
    assert loads(told.dumps()) == told
    helped = card.ReportCard(told, judge(told, true))
    for text in (repr(helped), helped.html()):
        assert "gates (a skeleton), board (the model solution)" in text
    assert '"help"' in helped.json()


# -- a day without services, without brokers -------------------------------------------------


@pytest.mark.fast
def test_a_day_that_nobody_plays_is_over_at_once_and_says_so(tmp_path):
    from lab_env.lab import Lab

    lab = SimpleNamespace(_open=lambda: None, nodes={1: "running"})
    nobody = Lab.day(lab, level="storm")  # type: ignore[arg-type]
    assert not nobody
    assert "Nobody has played" in repr(nobody)
    assert nobody.failures == ()
    assert nobody.save(tmp_path) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.fast
def test_on_one_broker_the_other_faults_come_when_they_would_have_come():
    for seed in range(5):
        three, one = (faults.faults("storm", seed, brokers) for brokers in (3, 1))
        assert one == [fault for fault in three if fault.kind not in faults.SEVERAL]


@pytest.mark.fast
def test_what_one_broker_cannot_do_is_left_out_and_said(tmp_path):
    lab = SimpleNamespace(
        folder=tmp_path, connection={"bootstrap_servers": ["x:1"]}, nodes={1: "running"}
    )
    lost = [fault for fault in faults.faults("storm", 1, 3) if fault.kind in faults.SEVERAL]
    day = play.Day(lab, SimpleNamespace(prefix=""), {}, script(DAY, 4), [], 1.0, left_out=lost)
    assert isinstance(day.airport, Airport)
    day._say_what_is_left_out()
    assert {one.target for one in day._timeline} == set(faults.SEVERAL)
    assert all("1 broker" in one.told for one in day._timeline)
    evidence = loads(recorded()["model"].dumps())
    evidence.timeline.extend(day._timeline)
    assert "left out: kill broker" in card.ReportCard(evidence, judge(evidence, truth([]))).html()


# -- live ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(own_home):
    from lab_env import Lab

    with Lab("embedded", progress=False) as opened:
        yield opened


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.shares_a_lab
def test_a_filled_skeleton_keeps_every_promise(lab, service, tmp_path):
    scope: dict = {}
    file = tmp_path / f"{service}.py"
    file.write_text(filled(service), encoding="utf-8")
    exec(compile(filled(service), str(file), "exec"), scope)
    own = {service: scope[service]}
    made = lab.day(DAY, level="windy", seed=1, flights=FLIGHTS, seconds=6, **own)
    assert made, made

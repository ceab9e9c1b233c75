"""The picture of delivery: what is lost, what came twice; one test with a real lab."""

import pytest
from pictures import assert_readable, final, words_of_every_frame

from lab_env import Lab
from lab_env.figures import Show
from lab_env.ground.errors import BadInputError
from lab_env.ground.journal import Journal, Mark
from lab_env.ground.reports import Reports
from lab_env.observation.facts.delivery import SETTLE, DeliveryLedger, Lasting
from lab_env.observation.sample import GroupSample, Sample

TOPIC, GROUP = "flights.departed", "board"


def sample(time: float, end: object, committed: object = None, start: object = 0) -> Sample:
    """Return a sample of a topic: a number for its one partition, or a dict by partition."""

    def places(value: object) -> dict:
        value = value if isinstance(value, dict) else {0: value}
        return {(TOPIC, p): v for p, v in value.items() if v is not None}

    groups = {GROUP: GroupSample("Stable", places(committed))}
    return Sample(time, places(end), places(start), {}, groups, {}, "")


def report(time: float, offset: int, partition: int = 0, **more: object) -> dict:
    place = {"partition": partition, "offset": offset}
    return {"time": time, "service": "board-1", "handled": f"flight-{offset}"} | place | more


class Bookkeeper:
    """A ledger that is told of things with a clock of its own."""

    def __init__(self):
        self.ledger, self.time = DeliveryLedger(TOPIC, GROUP), 0.0

    def sample(self, *args, seconds: float = 0.25, **more) -> tuple[int, int]:
        """Let time pass, take a sample, and return (lost, twice)."""
        self.time += seconds
        self.ledger.take(sample(self.time, *args, **more))
        return self.ledger.lost, self.ledger.twice

    def handle(self, *offsets: int, **more) -> None:
        for offset in offsets:
            assert self.ledger.report(report(self.time, offset, **more))

    def wait(self, *args, seconds: float = 2.5) -> tuple[int, int]:
        """Return (lost, twice) after a time in which nothing happens."""
        for _ in range(int(seconds / 0.25)):
            found = self.sample(*args)
        return found


@pytest.fixture
def keeper():
    return Bookkeeper()


# -- what is lost, and what came twice ------------------------------------------------------------


def test_committed_and_never_reported_is_lost_and_reported_again_is_twice(keeper):
    keeper.sample(0)
    keeper.handle(0, 1, 2, 3)
    assert keeper.sample(20, 10) == (0, 0)
    assert keeper.wait(20, 10) == (6, 0)  # it died after four, and ten are committed
    keeper.handle(10, 11, 12)
    assert keeper.sample(20, 13) == (6, 0)
    keeper.handle(11, 12, 12)
    assert keeper.sample(20, 13) == (6, 2)
    ledger = keeper.ledger
    assert (ledger.produced, ledger.handled, ledger.committed) == (20, 7, 13)


def test_a_moment_between_commit_and_report_is_no_loss(keeper):
    keeper.sample(0)
    for offset in range(40):  # the commit is always seen before the report
        assert keeper.sample(100, offset + 1) == (0, 0)
        keeper.handle(offset)
    assert keeper.wait(100, 40) == (0, 0)


def test_a_batch_that_somebody_works_on_is_no_loss_however_slow(keeper):
    keeper.sample(0)
    for offset in range(10):  # ten are committed at once, each takes 0.75 s
        for _ in range(3):
            assert keeper.sample(10, 10) == (0, 0)
        keeper.handle(offset)
    assert keeper.wait(10, 10) == (0, 0)


def test_what_was_overtaken_is_lost_while_others_go_on(keeper):
    keeper.sample(0)
    keeper.handle(0, 1)
    for offset in range(5, 15):
        keeper.handle(offset)
        lost, _ = keeper.sample(20, 15)
    assert lost == 3
    keeper.handle(2)  # it comes late, and is not lost any more
    assert keeper.sample(20, 15)[0] == 2


def test_each_partition_has_its_own_offsets(keeper):
    keeper.sample({0: 0, 1: 0})
    keeper.handle(0, 1, partition=0)
    keeper.handle(0, partition=1)
    assert keeper.wait({0: 2, 1: 2}, {0: 2, 1: 2}) == (1, 0)


def test_what_was_committed_before_the_picture_began_is_not_its_business(keeper):
    assert keeper.sample(50, 30) == (0, 0)
    keeper.handle(30)
    assert keeper.wait(50, 32) == (1, 0)
    assert (keeper.ledger.produced, keeper.ledger.committed) == (20, 2)


def test_what_a_new_group_skips_is_lost(keeper):
    keeper.sample(40)  # no offset is committed, and forty records wait
    keeper.handle(40)  # latest: it begins at the end
    assert keeper.wait(41, 41) == (40, 0)


def test_a_group_that_is_set_back_handles_twice(keeper):
    keeper.sample(10, 8)
    keeper.handle(8, 9)
    keeper.sample(10, 10)
    keeper.sample(10, 3)  # set back
    keeper.handle(*range(3, 10))
    assert keeper.wait(10, 10) == (0, 2)
    assert keeper.ledger.produced == 7


def test_while_nobody_reports_nothing_is_called_lost(keeper):
    keeper.sample(0)
    assert keeper.wait(10, 10) == (0, 0)
    assert not keeper.ledger.reported
    keeper.handle(9)
    assert keeper.wait(10, 10) == (9, 0)


def test_a_topic_that_is_made_anew_begins_anew(keeper):
    keeper.sample(10)
    keeper.handle(0, 1, 1)
    assert keeper.wait(10, 10) == (8, 1)
    keeper.handle(0, 1)  # of the new topic, which no sample has seen yet
    assert keeper.wait(2, 2) == (0, 0)
    assert keeper.ledger.handled == 2


@pytest.mark.parametrize(
    "other",
    [
        {"group": "baggage"},
        {"topic": "flights.landed"},
        {"partition": None},
        {"offset": "7"},
        {"offset": True},
    ],
)
def test_reports_of_something_else_do_not_count(keeper, other):
    assert not keeper.ledger.report(report(0.0, 0) | other)
    row = report(0.0, 0, group=GROUP, topic=TOPIC)
    assert not keeper.ledger.report({k: v for k, v in row.items() if k != "handled"})
    assert keeper.ledger.report(row)


def test_lasting_is_the_least_of_the_last_second():
    lasting, values = Lasting(), [0, 3, 5, 5, 5, 5, 2, 2, 9, 9, 9, 9, 9, 9, 0, 4]
    times = [0.25 * k for k in range(len(values))]
    for k, (time, value) in enumerate(zip(times, values, strict=True)):
        window = [v for t, v in zip(times, values, strict=True) if time - SETTLE <= t <= time]
        least = min(window) if time >= SETTLE else 0
        assert lasting.at(time, value) == least, k


# -- the picture ----------------------------------------------------------------------------------


class Bench:
    """What feeds one picture: samples, reports and marks made by hand."""

    def __init__(self):
        self.journal, self.reports = Journal(), Reports()
        self.samples: list = []
        self.show = Show(self, self.reports, self.journal)

    def after(self, count):
        return self.samples[count:]

    def watch(self, topics=(), groups=()):
        pass

    def fly(self, begin: float, end: float, group: str = GROUP) -> None:
        """Ten records a second; every tenth is lost, every fifth comes twice."""
        for k in range(int((end - begin) * 4)):
            time = begin + k / 4
            count = int((time - begin) * 10)
            done = range(int((time - begin - 0.25) * 10), count)
            for offset in done:
                if offset % 10 and offset >= 0:
                    self.reports.append(report(time - 0.1, offset))
                    if offset % 5 == 0:
                        self.reports.append(report(time - 0.1, offset))
            self.samples.append(sample(time, count + 5, count))

    def end(self, figure, time: float):
        """Stop a picture at a time of the lab's clock, and wait for its last frame."""
        return final(figure, self.journal, time)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.show.close()


def test_the_sentence_says_all_five_numbers(bench):
    figure = bench.show.delivery(TOPIC, GROUP)
    bench.fly(1, 25)
    bench.end(figure, 25)
    words = figure.sentence
    assert "242 records produced" in words
    assert "213 different ones handled" in words
    assert "group board has committed 237" in words
    assert "lost: 24" in words or "lost: 23" in words
    assert "handled twice: 24" in words or "handled twice: 23" in words


def test_while_nobody_reports_the_sentence_says_so(bench):
    figure = bench.show.delivery(TOPIC, GROUP)
    for k in range(40):
        bench.samples.append(sample(1 + k / 4, k, k))
    bench.end(figure, 12)
    assert "no service reports what it handles" in figure.sentence
    assert "lost" in figure.sentence
    assert "lost: 0" not in figure.sentence


@pytest.mark.everyday
@pytest.mark.parametrize("scale", [1.0, 1.35, 1.5])
def test_words_do_not_touch_and_every_number_is_written_out(bench, scale):
    bench.show.scale = scale
    figure = bench.show.delivery(TOPIC, GROUP)
    frames = words_of_every_frame(figure)
    bench.reports.append(report(8.0, 1, service="baggage", group="baggage"))
    for kind in ("start", "crash", "stop"):
        for time, name in ((9.0, "board-1"), (9.5, "baggage")):
            words = {"crash": "crashes"}.get(kind, f"{kind}s")
            bench.journal.marks.append(Mark(time, f"{name} {words}", kind, name))
    bench.fly(1, 29)
    bench.end(figure, 29)
    words = [text for text, _ in frames[-1]]
    for name in ("produced", "handled", "committed", "lost", "twice"):
        assert sum(text.startswith(f"{name} ") for text in words) == 1, name
    assert_readable(figure, frames[-1])
    assert "board-1 crashes" in words
    assert not any(word in text for word in ("baggage", "starts", "stops") for text in words)


def test_bad_arguments_are_refused(bench):
    for wrong in (("", GROUP), (7, GROUP), (TOPIC, ""), (TOPIC, None), (TOPIC, ["a", "b"])):
        with pytest.raises(BadInputError):
            bench.show.delivery(*wrong)


# -- with a real Kafka ----------------------------------------------------------------------------


def board(service, connection, topic, group):
    """Commit first, then work; die in the middle of the first batch, if so set."""
    from itertools import chain

    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        group_id=group,
        group_instance_id="board",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **connection,
    )
    count = 0
    while service.running:
        batch = consumer.poll(timeout_ms=500, max_records=10)
        if service.settings["commit"] == "first":
            consumer.commit()
        for record in chain(*batch.values()):
            place = {"partition": record.partition, "offset": record.offset}
            service.report(handled=record.value, **place, topic=topic, group=group)
            count += 1
            if count == service.settings["crash_at"]:
                service.crash()
        if service.settings["commit"] == "last" and batch:
            consumer.commit()
    consumer.close()


@pytest.mark.landing  # on a real Kafka; without one it is tried above
@pytest.mark.parametrize(("commit", "wrong"), [("first", "lost: 6"), ("last", "handled twice: 4")])
def test_a_crash_between_commit_and_work(own_home, commit, wrong):
    from kafka import KafkaProducer

    with Lab() as lab:
        topic, group = lab.topic(TOPIC), lab.group(GROUP)
        with KafkaProducer(**lab.connection) as producer:
            for number in range(30):
                producer.send(topic, str(number).encode())
        figure = lab.show.delivery(topic, group)
        settings = {"commit": commit, "crash_at": 14}
        service = lab.service(board, lab.connection, topic, group, settings=settings)
        assert lab.until(lambda: service.state == "crashed")
        service.set(crash_at=0)
        service.restart()
        assert lab.until(lambda: "committed 30" in figure.sentence)
        assert lab.until(lambda: wrong in figure.sentence), figure.sentence
        figure.stop()
        other = "handled twice: 0" if commit == "first" else "lost: 0"
        assert other in figure.sentence
        assert "30 records produced" in figure.sentence

"""Measuring: counts are right, what waits is seen, what fails is told; and the helpers alone."""

import io
import math
import random
import time
from contextlib import redirect_stdout

import pytest

from lab_env import Lab
from lab_env.clusters import perf_tools
from lab_env.experiments.meter import Latencies, Meter, ceilings, java_consumer, java_producer
from lab_env.ground.errors import BadInputError, LabError, ServiceError
from lab_env.observation import queries
from lab_env.processes import jars

VALUES = [b"flight %d" % n for n in range(400)]


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab("embedded") as made:
        yield made


# -- without a broker ---------------------------------------------------------------------------


def test_percentiles_are_those_of_what_was_added():
    chance = random.Random(9)
    values = sorted(chance.lognormvariate(-5, 1) for _ in range(5000))
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    for percent in (50, 90, 99):
        true = values[int(len(values) * percent / 100) - 1]
        assert latencies.percentile(percent) == pytest.approx(true, rel=0.02)
    assert len(latencies.steps) < 500  # small, however many were added


def test_latencies_can_be_added_and_travel():
    left, right = Latencies(), Latencies()
    for _ in range(99):
        left.add(0.001)
    right.add(1.0)
    left.update(Latencies(list(right.steps.items())))
    assert len(left) == 100
    assert left.percentile(50) == pytest.approx(0.001, rel=0.02)
    assert left.percentile(99.5) == pytest.approx(1.0, rel=0.02)
    assert math.isnan(Latencies().percentile(50))


def test_a_meter_counts_what_it_hands_out():
    meter = Meter(seconds=None)
    assert list(meter(VALUES)) == VALUES
    report = meter.report()
    assert (report["records"], report["bytes"]) == (400, sum(map(len, VALUES)))
    assert report["end"] >= report["begin"]


def test_a_warm_up_is_short_and_a_run_ends_in_time():
    assert len(list(Meter(warming=True)(VALUES))) == 40
    meter, taken = Meter(seconds=0.1), 0
    began = time.monotonic()
    for _ in meter(VALUES * 1000):
        taken += 1
        time.sleep(0.02)
    assert 1 <= taken == meter.records < 20
    assert time.monotonic() - began < 2


def test_a_meter_hands_out_at_the_rate_that_is_asked_for():
    meter = Meter(rate=1000, seconds=0.5)
    began = time.monotonic()
    count = sum(1 for _ in meter(VALUES[:7]))  # over and over again
    assert count == 500
    assert time.monotonic() - began > 0.45


class Future:
    """What a producer's future does at once."""

    def add_callback(self, function, *args):
        function(*args, None)


def test_a_record_that_is_sent_late_has_waited_since_it_was_due():
    kept, late = Meter(rate=1000, seconds=0.3), Meter(rate=1000, seconds=0.3)
    for _ in kept(VALUES):
        kept.acknowledged(Future())
    for _ in late(VALUES):
        time.sleep(0.01)  # it manages a tenth of what is asked for
        late.acknowledged(Future())
    assert kept._latencies.percentile(50) < 0.005
    assert late._latencies.percentile(50) > 0.1
    assert late.records < 100


def test_the_clock_begins_with_the_first_record_and_not_before():
    meter = Meter()
    time.sleep(0.2)
    next(meter(VALUES))
    assert meter.report()["end"] - meter.began < 0.15


@pytest.mark.parametrize(
    ("cases", "options", "words"),
    [
        ({}, {}, "1 to 30 cases"),
        ([print], {}, "a dict"),
        ({"a": print}, {}, "must be a tuple"),
        ({"a": (lambda meter: None, 1)}, {}, "called with a meter"),
        ({"a": (print,)}, {"runs": 0}, "runs=0"),
        ({"a": (print,)}, {"copies": 99}, "copies=99"),
        ({"a": (print,)}, {"rates": [0]}, "rates=[0]"),
        ({"a": (print,)}, {"seconds": -1}, "seconds=-1"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(cases, options, words):
    from lab_env.experiments.meter import _check, _numbers

    order = {"runs": 3, "copies": 1, "rates": [], "seconds": 0.5} | options

    def check():
        rates = _numbers(order["rates"])
        _check(cases, order["runs"], order["copies"], rates, order["seconds"])

    with pytest.raises(BadInputError) as error:
        check()
    assert words in str(error.value)


def test_ceilings_are_those_of_this_machine():
    most = ceilings(seconds=0.05)
    assert most["disk"] > 0.1
    assert most["network"] > 1


# -- with a broker ------------------------------------------------------------------------------


def sends(meter, connection, topic, values, waits=False):
    from kafka import KafkaProducer

    with KafkaProducer(**connection) as producer:
        for value in meter(values):
            future = meter.acknowledged(producer.send(topic, value))
            if waits:
                future.get(timeout=20)
        producer.flush(timeout=20)


def reads(meter, connection, topic, records):
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(topic, **connection, auto_offset_reset="earliest")
    while meter.short_of(records):
        for batch in consumer.poll(timeout_ms=500).values():
            for record in batch:
                meter.add(record.value)
    consumer.close()


@pytest.mark.shares_a_lab
def test_every_run_is_a_row_and_all_of_it_is_on_the_broker(lab):
    topic = lab.topic("measured", partitions=2)
    cases = {
        "waits": (sends, lab.connection, topic, VALUES, True),
        "pipes": (sends, lab.connection, topic, VALUES),
    }
    frame = lab.measure(cases, runs=2, seconds=None)
    assert list(zip(frame["what"], frame["run"], strict=True)) == [
        ("waits", 1), ("pipes", 1), ("waits", 2), ("pipes", 2),
    ]  # by turns  # fmt: skip
    assert (frame["records"] == 400).all()
    assert (frame["bytes"] == sum(map(len, VALUES))).all()
    # four runs, and two warm-ups of a tenth
    assert sum(queries.end_offsets(lab.connection, topic).values()) == 4 * 400 + 2 * 40
    assert (frame["seconds"] > 0).all()
    assert frame["asked"].isna().all()
    assert (frame["p99_ms"] >= frame["p50_ms"]).all()
    assert (frame[["client_cpu", "broker_cpu"]] >= 0).all().all()
    rate = frame["records"] / frame["seconds"]
    assert frame["records_per_second"].to_numpy() == pytest.approx(rate.to_numpy())
    # the pictures were told each run as it came
    told = lab.reports
    assert list(told["measured"]) == list(frame["what"])
    assert not lab.services  # and nothing of it is among the student's services


@pytest.mark.shares_a_lab
def test_a_run_lasts_until_what_it_waits_for_is_there(lab):
    topic = lab.topic("measured")
    frame = lab.measure({"slow": (ends_late, lab.connection, topic, VALUES)}, runs=1)
    assert frame["seconds"].item() > 0.4


def ends_late(meter, connection, topic, values):
    sends(meter, connection, topic, values)
    time.sleep(0.4)


@pytest.mark.shares_a_lab
def test_copies_share_a_row_and_readers_count(lab):
    topic = lab.topic("measured")
    cases = {
        "two": (sends, lab.connection, topic, VALUES),
        "one": (reads, lab.connection, topic, 30),
    }
    frame = lab.measure(cases, runs=1, copies={"two": 2}, seconds=10).set_index("what")
    assert frame.loc["two", "records"] == 800
    assert frame.loc["one", "records"] >= 30


@pytest.mark.shares_a_lab
def test_rates_are_measured_one_after_the_other(lab):
    topic = lab.topic("measured")
    cases = {"pipes": (sends, lab.connection, topic, VALUES)}
    frame = lab.measure(cases, runs=1, rates=[100, 400], seconds=0.5)
    assert list(frame["asked"]) == [100, 400]
    assert list(frame["records"]) == [50, 200]


@pytest.mark.shares_a_lab
def test_a_case_that_fails_is_told_and_the_others_go_on(lab):
    topic = lab.topic("measured")
    cases = {"broken": (fails, 1), "pipes": (sends, lab.connection, topic, VALUES)}
    with redirect_stdout(io.StringIO()) as said:
        frame = lab.measure(cases, runs=1)
    assert list(frame["what"]) == ["pipes"]
    assert "broken is left out" in said.getvalue()
    assert "ZeroDivisionError" in said.getvalue()
    with pytest.raises(ServiceError, match="ZeroDivisionError"):
        lab.measure({"broken": (fails, 1)}, runs=1)


def fails(meter, number):
    return number / 0


@pytest.mark.shares_a_lab
def test_a_codec_without_its_package_is_told_in_a_sentence(lab):
    topic = lab.topic("measured")
    cases = {
        "pipes": (sends, lab.connection, topic, VALUES),
        "packed": (has_no_codec, lab.connection, topic, VALUES),
    }
    with redirect_stdout(io.StringIO()) as said:
        frame = lab.measure(cases, runs=1)
    assert list(frame["what"]) == ["pipes"]
    assert "the package for the codec zstd is not installed" in said.getvalue()
    assert "uv pip install zstandard" in said.getvalue()


def has_no_codec(meter, connection, topic, values):
    import kafka.codec
    from kafka import KafkaProducer

    kafka.codec.zstd = None  # as where the package is missing
    KafkaProducer(**connection, compression_type="zstd")


@pytest.mark.shares_a_lab
def test_a_broker_that_dies_in_the_middle_makes_a_run_longer_and_loses_nothing(lab):
    import threading

    topic = lab.topic("measured", partitions=2)

    def cut() -> None:
        lab.until(lambda: sum(queries.end_offsets(lab.connection, topic).values()) > 100, 60)
        lab.kill(1)
        lab.start(1)

    cutter = threading.Thread(target=cut)
    cutter.start()
    cases = {"pipes": (sends_slowly, lab.connection, topic, VALUES)}
    frame = lab.measure(cases, runs=1, seconds=None)
    cutter.join(60)
    assert frame["records"].item() == 400
    assert sum(queries.end_offsets(lab.connection, topic).values()) == 440
    assert lab.nodes == {1: "running"}


def sends_slowly(meter, connection, topic, values):
    from kafka import KafkaProducer

    with KafkaProducer(**connection, reconnect_backoff_max_ms=300) as producer:
        for value in meter(values):
            producer.send(topic, value)
            time.sleep(0.005)
        producer.flush(timeout=60)


@pytest.mark.shares_a_lab
def test_kafkas_own_tools_are_measured_beside_the_others(lab):
    topic = lab.topic("measured")
    settings = {"linger_ms": 5}
    frame = lab.measure({"Java": (java_producer, lab.connection, topic, VALUES, settings)}, runs=1)
    row = frame.iloc[0]
    assert row["records"] == 400
    assert row["records_per_second"] > 0
    assert row["p99_ms"] >= row["p50_ms"] >= 0
    # with as many before them, to warm up, within the same JVM
    assert sum(queries.end_offsets(lab.connection, topic).values()) == 800
    read = lab.measure({"Java": (java_consumer, lab.connection, topic, 500, {})}, runs=1)
    assert read["records"].item() >= 500
    assert math.isnan(read["client_cpu"].item())


def test_a_tool_that_fails_says_what_it_said(own_home):
    nobody = {"bootstrap_servers": "127.0.0.1:1"}
    with pytest.raises(LabError, match=r"(?s)has not measured anything.*ProducerPerformance"):
        perf_tools.producer(nobody, "measured", VALUES, acks="maybe")


@pytest.mark.shares_a_lab
def test_a_tool_that_finds_nothing_to_read_says_so(lab, monkeypatch):
    monkeypatch.setattr(perf_tools, "PATIENCE", 500)
    with pytest.raises(LabError, match="has not measured anything"):
        perf_tools.consumer(lab.connection, lab.topic("empty"), 10)


def test_the_tools_are_fetched_once_and_checked(own_home, tmp_path, monkeypatch):
    folder = tmp_path / "jars"
    folder.mkdir()
    (tool,) = (jar for jar in jars.read_lock() if jar.artifact == "kafka-tools")
    for jar in jars.read_lock():
        if jar != tool:
            (folder / jar.name).symlink_to(jars.jar_folder() / jar.name)
    asked = []

    def fetch(wanted, progress):
        asked.extend(jar.name for jar in wanted)
        (folder / tool.name).write_bytes(b"not it")

    monkeypatch.setattr(jars.KAFKA, "jar_folder", lambda: folder)
    monkeypatch.setattr(jars.KAFKA, "folder", lambda: tmp_path)
    monkeypatch.setattr(jars.KAFKA, "_fetch", fetch)
    with pytest.raises(LabError, match=r"kafka-tools.*not the file"):
        perf_tools.consumer({"bootstrap_servers": "127.0.0.1:1"}, "nothing", 1)
    assert asked == [tool.name]

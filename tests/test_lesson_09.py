"""Lesson 09: what its prose claims is true, and its checks tell right answers from wrong ones."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lesson import open_lesson, some

NUMBER = "09"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    lesson.asks_each_step()
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    # the wait was the cost, by far more than the student's first guess
    assert value("factor") > 3
    # at a moderate rate linger fills the requests
    slow = value(
        "requests[requests['rate'] == 2000].set_index('linger_ms')['in_request'].to_dict()"
    )
    assert slow["20"] > 1.5 * slow["0"]
    # packing makes the records smaller on the disk
    assert value("float(size['plain'])") > 2 * value("float(size['gzip'])")
    # more partitions are not more throughput for one producer
    assert value("float(rate_of_partitions.iloc[-1] / rate_of_partitions.iloc[0])") < 2
    # who cannot keep up lets records wait
    worst = "float(curve[curve['what'] == 'one by one'].set_index('asked')['p50_ms'][40_000])"
    assert value(worst) > 50
    # a lonely record waits for company
    assert value("alone[100_000]") > 0.2 > value("alone[1]") - 0.2
    # the broker away: nothing bounds this client, and the other two behave as they say
    assert value("len(kept)") == value("arrived") == 4999
    assert value("len(errors)") == 100
    assert value("set(errors)") == "{'KafkaTimeoutError'}"
    assert "Queue full" in lesson.output(lesson.index("queue-full"))
    told = lesson.output(lesson.index("end-three"))
    # what was patient, three first records, and what fitted into the bounded one
    assert int(re.search(r"([\d,]+) records", told)[1].replace(",", "")) == 4999 + 3 + 1000
    # first the client refuses and names its setting, then the broker, who does not
    by_client, by_broker = (
        lesson.output(lesson.index(name)) for name in ("refused", "refused-again")
    )
    assert by_client.startswith("MessageSizeTooLargeError")
    assert by_broker.startswith("MessageSizeTooLargeError")
    assert "max_request_size" in by_client
    assert "max_request_size" not in by_broker


@pytest.mark.shares_a_lab
def test_the_main_run_agrees_with_the_table(lesson):
    assert lesson.value("len(held)") == lesson.value("len(january)") == 27_004
    assert lesson.value("held['id'].nunique()") == 27_004
    assert lesson.value("carriers[0] == carriers[1]") is True


@pytest.mark.shares_a_lab
def test_a_waiting_producer_feels_who_confirms_and_a_piped_one_hardly(lesson):
    low = lesson.value("float(rate.loc['one by one, 1', 'max'])")
    high = lesson.value("float(rate.loc['one by one, all', 'min'])")
    assert low > 0.5 * high  # never a bound on speed; it must only not be the other way round
    assert lesson.value("sorted(acks['what'].unique())") == [
        "one by one, 1", "one by one, all", "piped, 1", "piped, all",
    ]  # fmt: skip


@pytest.mark.shares_a_lab
def test_a_prediction_answers_back(lesson):
    assert "It was takes all" in lesson.output(lesson.index("kill-answer"))
    assert "of 5" in lesson.output(lesson.index("surprises"))
    lesson.execute("factor = 12")
    told = "You said up to 3 times, and it was more. Client and broker idle"
    lesson.corrects("spread-answer", "'up to 3 times'", told)
    lesson.execute("prediction = ...")


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("ones", "others", "word"),
    [
        ([130, 140], [90, 100], "faster"),
        ([90, 100], [130, 140], "slower"),
        ([100, 140], [90, 110], "the same"),  # the ranges overlap
        ([105, 110], [95, 100], "the same"),  # apart, and by less than a fifth
    ],
)
def test_a_case_is_faster_only_by_more_than_the_spread(lesson, ones, others, word):
    rows = [("a", rate) for rate in ones] + [("b", rate) for rate in others]
    frame = f"pd.DataFrame({rows}, columns=['what', 'records_per_second'])"
    assert lesson.value(f"compared({frame}, 'a', 'b')") == word


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    told = lesson.told
    assert len(told) == 9
    assert "one by one" in told[0]
    assert "MB/s" in told[0]
    (curve,) = [one for one in told if "p99" in one]
    assert "could not keep up" in curve
    (clients,) = [one for one in told if "Three producers" in one]
    assert all(name in clients for name in ("kafka-python", "(C)", "(Java)"))


@pytest.mark.shares_a_lab
def test_a_codec_whose_package_is_missing_is_left_out_in_a_sentence(lesson):
    import importlib.util

    packages = {"lz4": "lz4", "zstd": "zstandard", "snappy": "snappy"}
    measured = set(lesson.value("sorted(squeezed['what'].unique())"))
    told = lesson.output(lesson.index("squeeze"))
    for codec, package in packages.items():
        has = importlib.util.find_spec(package) is not None
        assert (codec in measured) == has
        assert (f"the package for the codec {codec} is not installed" in told) == (not has)


# -- exercise 1 ---------------------------------------------------------------------------------


FAST = """
def fast(topic, values):
    with closing(KafkaProducer(**lab.connection, SETTINGS)) as producer:
        for value in values:
            SEND
        END
"""


def fast(settings="linger_ms=20", send="producer.send(topic, value)", end="producer.flush()"):
    return FAST.replace("SETTINGS", settings).replace("SEND", send).replace("END", end)


GET = "producer.send(topic, value).get(timeout=10)"
EARLY = """
producers = []


def fast(topic, values):
    producer = KafkaProducer(**lab.connection, linger_ms=1500)
    producers.append(producer)  # so that it goes on after the function's end
    for value in values:
        producer.send(topic, value)
"""
# what the student wrote, and what the answer must speak of
WRONG_FAST = {
    "asks for no confirmation": (fast("acks=0"), "cannot know what is on the broker"),
    "asks for none, with confluent-kafka": (
        """
def fast(topic, values):
    producer = confluent_kafka.Producer(SERVERS | {"acks": 0})
    for value in values:
        producer.produce(topic, value)
        producer.poll(0)
    producer.flush(30)
""",
        "cannot know what is on the broker",
    ),
    "only a linger": (fast(send=GET), "linger_ms makes a record wait for others"),
    "only acks=1": (fast("acks=1", GET), "Not even acks=1 saves the round trip"),
    "does not wait": (EARLY, "Wait for all answers once, at the end"),
    "half of them": (
        fast(send="len(value) % 2 and producer.send(topic, value)"),
        "A fast way to lose records",
    ),
    "many in one record": (
        fast(
            send="pass",
            end="[producer.send(topic, b' '.join(values[n : n + 50])).get(timeout=10)"
            " for n in range(0, len(values), 50)]",
        ),
        "Putting many values into one record",
    ),
    "twice, to be sure": (
        fast(send="producer.send(topic, value); producer.send(topic, value)"),
        "Leave repeating to the producer",
    ),
    "a mistake": (fast(send="producer.send(topics, value)"), "Correct that line"),
    "no function": ("fast = 10", "no brackets behind it"),
    "other arguments": ("def fast(meter, topic, values):\n    pass", "def fast(topic, values)"),
}
CONFLUENT = """
def fast(topic, values):
    producer = confluent_kafka.Producer(SERVERS)
    for value in values:
        producer.produce(topic, value)
        producer.poll(0)
    producer.flush(30)
"""


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_FAST, 1))
def test_a_wrong_producer_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(1, *WRONG_FAST[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_beats_the_naive_producer_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some([CONFLUENT, fast("batch_size=500_000", end="")], 1))
def test_another_right_way_beats_it_too(lesson, right):
    lesson.accepts(1, right)


# -- exercise 2 ---------------------------------------------------------------------------------


LARGE = """
season, archivists = fresh_season(TOPIC)
top = READER
limits = {"message.max.bytes": top, "fetch.max.bytes": top, "receive.message.max.bytes": top + 512}
ARCHIVE
with closing(KafkaProducer(**lab.connectionCLIENT)) as producer:
    try:
        SEND
    except MessageSizeTooLargeError as error:
        print(error)
"""


def large(
    client="max_request_size=5_000_000",
    topic="max_message_bytes=5_000_000",
    reader=5_000_000,
    archive="lab.service(archive, season, archivists, limits)",
    send="producer.send(season, timetable).get(timeout=10)",
):
    code = LARGE.replace("TOPIC", topic).replace("CLIENT", client and f", {client}")
    code = code.replace("READER", str(reader)).replace("ARCHIVE", archive)
    return code.replace("SEND", send)


HALVES = """half = len(timetable) // 2
        for part in (timetable[:half], timetable[half:]):
            producer.send(season, part).get(timeout=10)"""
WRONG_LARGE = {
    "only the client's limit": (large(topic="", reader=1_000_000), "Raising one limit does not"),
    "only the topic's limit": (large(client=""), "Your client has a limit of its own"),
    "compressed, and nothing else": (
        large(client="compression_type='gzip'"), "before it compresses",
    ),
    "the reader forgotten": (large(reader=1_000_000), "the reader has one as well"),
    "in two halves": (large(send=HALVES), "put together again by the reader"),
    "packed by hand": (
        large(send="producer.send(season, __import__('gzip').compress(timetable)).get(timeout=10)"),
        "Do not pack it yourself",
    ),
    "no archive": (large(archive="lab.services['archive'].stop()"), "Start it with lab.service"),
    "limits that do not fit": (
        large(archive="limits['receive.message.max.bytes'] = 1000\n"
        "lab.service(archive, season, archivists, limits)"),
        "by 512 at the least",
    ),
}  # fmt: skip
RIGHT_LARGE = {
    "gzip, and the client's limit": large(
        "compression_type='gzip', max_request_size=5_000_000", "", 1_000_000
    ),
    "another client": """
season, archivists = fresh_season(max_message_bytes=3_000_000)
lab.service(archive, season, archivists, {})  # its defaults are large enough
producer = confluent_kafka.Producer(SERVERS | {"message.max.bytes": 3_000_000})
producer.produce(season, timetable)
producer.flush(20)
""",
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_LARGE, 1))
def test_a_record_that_does_not_get_through_is_told_where_it_stays(lesson, wrong):
    lesson.refuses(2, *WRONG_LARGE[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_gets_the_timetable_through_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_LARGE, 1))
def test_another_right_way_gets_it_through(lesson, right):
    lesson.accepts(2, RIGHT_LARGE[right])


# -- small steps ---------------------------------------------------------------------------------

# The large record of the step is the last one that is sent: kafka-python 3.0.12 calls the errbacks
# of what came behind it too, now and then, though the broker has stored those records.
WRONG_STEPS = {
    "squeeze": ('"compression_type": "gzip"', '"batch_size": 500_000', "Larger batches save"),
    "future": ("future.add_errback(refused.append)", "pass", "The error is in there"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("step", WRONG_STEPS)
def test_a_small_step_is_taken_and_a_typical_mistake_is_told(lesson, step):
    right, wrong, told = WRONG_STEPS[step]
    lesson.refuses_step(step, lesson.changed_step(step, right, wrong), told)
    lesson.accepts_step(step)


# -- what it must survive -----------------------------------------------------------------------


CUT = """
from threading import Thread


def cut():
    lab.until(lambda: stored(departed)[1] > 3000, seconds=60)
    lab.kill(1)
    lab.start(1)


cutter = Thread(target=cut)
cutter.start()
"""
NEEDED = ("start", "script", "topic", "piped", "codecs", "stored", "main", "picture-main")


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_a_broker_that_dies_in_the_main_run_loses_nothing_and_cells_run_twice(own_home):
    with open_lesson(NUMBER) as lesson:
        for name in NEEDED:
            lesson.client.execute_cell(lesson.index(name))
            lesson.again(lesson.index(name))
        lesson.execute(CUT)
        lesson.client.execute_cell(lesson.index("run-main"))
        lesson.execute("cutter.join(60)")
        lesson.client.execute_cell(lesson.index("count"))
        assert not lesson.errors
        assert lesson.value("[mark.kind for mark in lab.journal.marks].count('kill')") == 1
        assert lesson.value("len(held)") == lesson.value("held['id'].nunique()") == 27_004
        assert lesson.value("carriers[0] == carriers[1]") is True
        lesson.client.execute_cell(lesson.index("close"))


FULL_DISK = """
import logging, os, sys, threading
logging.getLogger("kafka").setLevel(logging.CRITICAL)
from kafka import KafkaProducer
from lab_env import Lab
from lab_env.ground.errors import LabError
from lab_env.observation import queries

lab = Lab("embedded")
topic = lab.topic("departed")
acknowledged = []
producer = KafkaProducer(**lab.connection, linger_ms=20, reconnect_backoff_max_ms=300)
for _ in range(2500):
    producer.send(topic, os.urandom(20_000)).add_callback(acknowledged.append)
    if lab.nodes[1] == "dead":
        break
assert lab.until(lambda: lab.nodes[1] == "dead", 60)
for ask in (lambda: lab.topic("another"), lambda: lab.start(1)):
    try:
        ask()
    except LabError as error:
        print("SAID", error)
os.system("mount -o remount,size=300m " + sys.argv[1])
known = len(acknowledged)
lab.start(1)
producer.flush(timeout=60)
held = sum(queries.end_offsets(lab.connection, topic).values())
print("KEPT", known, len(acknowledged), held)
producer.close(timeout=5)
lab.close()
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounts a disk"
)
@pytest.mark.landing
def test_a_full_disk_under_load_is_named_and_nothing_acknowledged_is_lost(own_home, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", small], check=True)
    try:
        (small / "kafka").symlink_to(Path(own_home) / "kafka")
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, str(small)],
            env=os.environ | {"KAFKA_LAB_HOME": str(small)},
            capture_output=True,
            encoding="utf-8",
            timeout=150,
        )
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "-l", small], check=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("SAID")]
    assert len(said) == 2
    for sentence in said:
        assert f"the disk that holds {small}" in sentence
        assert "lab.start(1) goes on with every record that was acknowledged" in sentence
    known, acknowledged, held = map(int, re.search(r"KEPT (\d+) (\d+) (\d+)", done.stdout).groups())
    assert 0 < known <= acknowledged <= held

"""Lesson 11: what its prose claims happens on the broker; its checks tell why an answer fails."""

import re

import pytest
from foreseen import asked
from lesson import lesson_to_its_end, some
from parts import RABBITMQ

NUMBER = "11"


@pytest.fixture(scope="module")
def lesson(own_home):
    with lesson_to_its_end(NUMBER, seconds=120) as opened:
        # who has just been started is waited for; a wrong answer need not wait so long here
        opened.execute("import lab_env.checks.spring_cloud_stream as _check")
        opened.execute("_check.START_SECONDS = _check.STEADY_SECONDS = 2.5")
        opened.asks_each_step()
        yield opened


def yaml(text: str, end: str) -> str:
    """Return code that fills a YAML text, and then does what ``end`` says."""
    return f'text = f"""{text}"""\n{end}'


# -- what the prose claims ------------------------------------------------------------------


@pytest.mark.shares_a_lab
@pytest.mark.timeout(600)
def test_nothing_fails_and_every_stub_is_refused(lesson):
    assert not lesson.errors
    for exercise in lesson.exercises:
        assert "✗" in lesson.output(exercise.check)


@pytest.mark.shares_a_lab
def test_a_function_is_plain_java(lesson):
    told = lesson.output(lesson.index("program"))
    assert "['@Bean', '@Configuration'] and the word Kafka is in the file: False" in told
    assert "It was 0." in told
    assert "Function<Flight" in lesson.output(lesson.index("java"))


@pytest.mark.shares_a_lab
def test_a_binding_with_a_wrong_name_publishes_into_a_topic_of_its_own(lesson):
    told = lesson.output(lesson.index("where-output"))
    assert "'departures-out-0': " in told
    assert "'flights.departed': 0}" in told
    assert "It was departures-out-0." in told
    assert "output" in lesson.output(lesson.index("output"))  # the lab's note; Spring has none
    assert "BadInputError" in lesson.output(lesson.index("broken"))
    assert "application/json" in lesson.output(lesson.index("record"))


@pytest.mark.shares_a_lab
def test_the_key_agrees_with_python_and_springs_hash_does_not(lesson):
    assert "torn apart: 0" in lesson.output(lesson.index("both-write"))
    told = lesson.output(lesson.index("hash"))
    assert int(re.search(r"torn apart: (\d+)", told)[1]) > 10
    assert "It was True." in told
    first, last = lesson.output(lesson.index("native")).strip().splitlines()
    assert "contentType" in first
    assert "contentType" not in last
    assert "airport.Flight" in last


@pytest.mark.shares_a_lab
def test_groups_and_what_was_sent_while_the_application_was_down(lesson):
    groups = lesson.output(lesson.index("three"))
    assert "anonymous." in groups
    assert groups.count(": 6") == 2
    told = lesson.output(lesson.index("down-foreseen"))
    assert "It was delay|category: 0, statistics: 30." in told


@pytest.mark.shares_a_lab
def test_a_poison_record_is_passed_and_then_found_among_the_dead_letters(lesson):
    assert "{'flights.departed': 2}" in lesson.output(lesson.index("cancelled")).splitlines()
    assert "was cancelled" in lesson.output(lesson.index("log"))
    told = lesson.output(lesson.index("letters"))
    assert "2 in error.flights.departed.delays" in told.splitlines()
    assert "MessagingException" in lesson.output(lesson.index("letter"))
    where, cause = lesson.output(lesson.index("cause")).strip().splitlines()
    assert where.startswith("flights.departed, partition and offset [")
    assert cause.endswith("has no departure time: it was cancelled")
    at, offset = lesson.value("where")
    there = f"lab.records('flights.departed').query('partition == {at} and offset == {offset}')"
    assert lesson.value(f"len({there})") <= 1  # the topic is made anew later in the lesson


@pytest.mark.shares_a_lab
def test_a_reply_goes_where_the_request_says(lesson):
    assert "gate.answers" not in lesson.output(lesson.index("ask"))
    told = lesson.output(lesson.index("answer"))
    assert "'gate': " in told
    assert "operations-7" in told


@pytest.mark.shares_a_lab
def test_java_and_python_share_a_group_and_threads_are_members(lesson):
    assert re.search(r"'spring-1(-0)?': 3", lesson.output(lesson.index("mixed")))
    assert "spring-2: 4" in lesson.output(lesson.index("threads"))
    told = lesson.output(lesson.index("stop-binding"))
    assert "It was paused: 6, stopped: 2." in told
    (picture,) = lesson.told
    assert "spring-1" in picture
    assert "python" in picture


STEPS = {
    "key": ("both = lab.topic('flights.both', partitions=6); send(both, flown[:70])",
        "a flight from each"),
    "member": ("lab.service(counter, departed, lab.group('again'), name='helper')",
        "another subscriber"),
}  # fmt: skip
SENT = """
both = lab.topic('flights.both', partitions=6)
send(both, flown[:40])
with closing(KafkaProducer(**lab.connection)) as producer:
    for flight in flown[:40]:
        producer.send(both, json.dumps(flight).encode(), key=f"'{flight['tail_number']}'".encode())
"""


@pytest.mark.shares_a_lab
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_told_what_is_missing_and_passes(lesson, name):
    code, hint = STEPS[name]
    if name == "key":
        answer = lesson.takes_step(name, SENT)
        assert "puts quotation marks around a text" in answer.text
        code = code.replace("flown[:70]", "flown[:20]")
    lesson.refuses_step(name, code, hint)
    lesson.accepts_step(name)


@pytest.mark.shares_a_lab
def test_a_fixed_index_reads_half_twice_and_half_never(lesson):
    told = lesson.output(lesson.index("index-happened"))
    happened = lesson.value("happened")
    assert happened["once"] == 0
    assert happened["twice"] + happened["never"] == 60
    assert min(happened["twice"], happened["never"]) > 10
    assert "groups with members: {}" in told


@pytest.mark.shares_a_lab
def test_on_rabbitmq_a_group_is_a_queue_and_nothing_is_kept(lesson):
    said = lesson.output(lesson.index("rabbit"))
    if "No RabbitMQ here" in said:
        RABBITMQ.leave_out()
    told = lesson.output(lesson.index("rabbit-start"))
    assert "It was 2." in told
    assert "flights.departed.statistics" in told
    told = lesson.output(lesson.index("rabbit-send"))
    assert "counted by statistics: 30" in told.splitlines()
    assert "It was 0." in told


@pytest.mark.shares_a_lab
def test_each_prediction_answers_a_wrong_guess_with_what_it_would_mean(lesson):
    with_rabbit = "No RabbitMQ here" not in lesson.output(lesson.index("rabbit"))
    asked_for = 11 if with_rabbit else 9
    ended = lesson.output(lesson.index("surprises"))
    assert f"0 of {asked_for}, and made no prediction for {asked_for}." in ended
    first = ["program", "output", "hash", "cancelled", "down", "letters"]
    known = [*first, "threads", "pause", "index"]
    assert asked(lesson, but=("rabbit", "later")) == known  # RabbitMQ is closed by now


@pytest.mark.shares_a_lab
def test_without_rabbitmq_the_lesson_says_so_and_goes_on(lesson):
    lesson.execute("from lab_env.around.rabbitmq import NoRabbit; rabbit = NoRabbit()")
    assert "No RabbitMQ here" in lesson.execute("print(rabbit)")
    for name in ("rabbit-start", "rabbit-send", "rabbit-stop"):
        source = lesson.client.cells[lesson.index(name)].source
        assert source.startswith("if rabbit:")
        assert lesson.execute(source) == ""


# -- exercise 1 -----------------------------------------------------------------------------

BOUND = """
spring.cloud.function.definition: delay|category
spring.cloud.stream.bindings:
  delaycategory-in-0:
    destination: {tower}
    group: {tower_group}
    consumer.back-off-initial-interval: 100
  delaycategory-out-0:
    destination: {ready}
spring.cloud.stream.kafka.bindings.delaycategory-in-0.consumer:
  enable-dlq: true
  dlq-name: {parked}
"""
START = 'desk = lab.spring(text, name="tower")'


def tower(end: str = START, **changes: str) -> str:
    """Return code for exercise 1: the solution's YAML with one thing changed."""
    text = BOUND
    for old, new in changes.get("change", {}).items():
        assert old in text
        text = text.replace(old, new)
    stop = "[service.stop() for service in lab.services.values()]"
    return f"{stop}\ntower, tower_group, ready, parked = morning()\n{yaml(text, end)}"


ALONE = {"delay|category": "delay", "delaycategory": "delay"}
BY_HAND = f"""{START}
passed(tower, tower_group)
with closing(KafkaProducer(**lab.connection)) as producer:
    for flight in cancelled[:3]:
        producer.send(parked, json.dumps(flight).encode())
"""
NO_GROUP = {"    group: {tower_group}\n": ""}
WRONG_TOWERS = {
    "a text alone": (tower("pass"), "starts nothing"),
    "no group": (tower(change=NO_GROUP | {"enable-dlq: true": "ack-time: 1"}),
        "Beside `destination`, say `group`"),
    "dead letters without a group": (tower(change=NO_GROUP), "enable-dlq without a group"),
    "another group": (tower(change={"{tower_group}": "towers"}), "another subscriber"),
    "the name of one function": (tower(change={"  delaycategory-in-0": "  delay-in-0"}),
        "made of both names"),
    "no way out": (tower(change={"  delaycategory-out-0:": "  output:"}),
        "Give delaycategory-out-0 the destination"),
    "one function alone": (tower(change=ALONE), "A ; between them"),
    "no dead letters": (tower(change={"enable-dlq: true": "enable-dlq: false"}),
        "off by default"),
    "no name for them": (tower(change={"  dlq-name: {parked}\n": ""}), "there is dlq-name"),
    "parked by hand": (tower(BY_HAND, change={"enable-dlq: true": "enable-dlq: false"}),
        "has to write the headers too"),
}  # fmt: skip
RIGHT_TOWERS = {
    "two instances": tower('desk = lab.spring(text, name="tower", copies=2)'),
    "bindings with other names": tower(
        change={
            "  delaycategory-in-0": "  flights-in",
            "  delaycategory-out-0": "  flights-out",
            "kafka.bindings.delaycategory-in-0": "kafka.bindings.flights-in",
            "spring.cloud.stream.bindings:": "spring.cloud.stream.function.bindings:\n"
            "  delaycategory-in-0: flights-in\n"
            "  delaycategory-out-0: flights-out\n"
            "spring.cloud.stream.bindings:",
        }
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_TOWERS, 1))
def test_a_function_that_is_not_bound_as_asked(lesson, wrong):
    lesson.refuses(1, *WRONG_TOWERS[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_the_stub_started_as_it_stands(lesson):
    source = lesson.client.cells[lesson.exercises[0].cell].source
    lesson.refuses(1, source.replace("# desk", "desk"), "Beside `destination`, say `group`")


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_the_solution_binds_it(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("right", some(RIGHT_TOWERS, 0))
def test_another_right_way_binds_it(lesson, right):
    lesson.accepts(1, RIGHT_TOWERS[right])


# -- exercise 2 -----------------------------------------------------------------------------

SHARED = """
spring.cloud.function.definition: statistics
spring.cloud.stream.bindings.statistics-in-0:
  destination: {share_topic}
  group: {share_group}
"""
FIXED = """
spring.cloud.stream.kafka.bindings.statistics-in-0.consumer.auto-rebalance-enabled: false
spring.cloud.stream.instance-count: 3
spring.cloud.stream.instance-index: 0
"""
THREE = 'lab.spring(text, name="desk", copies=3)'
THREADS = "spring.cloud.stream.bindings.statistics-in-0.consumer.concurrency"


def desks(text: str = SHARED, end: str = THREE) -> str:
    return f"share_topic, share_group = empty_desks()\n{yaml(text, end)}"


UNEVEN = f"""lab.spring(text, name="desk", copies=2)
lab.spring(text, name="big", **{{{THREADS!r}: 4}})
"""
APART = """lab.spring(text, name="desk", copies=2)
lab.spring(text.replace("group: " + share_group, "group: away"), name="away")
"""
TOGETHER = f"""for name in ("newark", "kennedy", "laguardia"):
    lab.spring(text, name=name, **{{{THREADS!r}: 2}})
"""
EACH_ITS_OWN = """for number in range(3):
    mine = text.replace("instance-index: 0", f"instance-index: {number}")
    lab.spring(mine, name=f"desk-{number + 1}")
"""
WRONG_DESKS = {
    "a text alone": (desks(end="pass"), "copies=3"),
    "one instance": (desks(end='lab.spring(text, name="desk")'), "a name of its own"),
    "two instances": (desks(end='lab.spring(text, name="desk", copies=2)'), "a name of its own"),
    "no group": (desks(SHARED.replace("  group: {share_group}\n", "")), "a subscriber of its own"),
    "another group": (desks(SHARED.replace("{share_group}", "desks")), "another subscriber"),
    "two groups": (desks(end=APART), "Two groups share nothing"),
    "threads": (desks(SHARED, f'lab.spring(text, name="desk", **{{{THREADS!r}: 3}})'),
        "when it dies, all of them die"),
    "uneven": (desks(end=UNEVEN), "each thread is one"),
    "a fixed index": (desks(SHARED + FIXED), "The same YAML gives each the same index"),
    "an index of its own for each": (desks(SHARED + FIXED, EACH_ITS_OWN),
        "nobody takes over the partitions of one that dies"),
    "the same with capital letters": (
        desks(SHARED + FIXED.replace("auto-rebalance-enabled", "autoRebalanceEnabled")),
        "joins no group"),
    "the old name": (desks(SHARED.replace("statistics-in-0", "input")), "called statistics-in-0"),
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_DESKS, 1))
def test_instances_that_do_not_share(lesson, wrong):
    lesson.refuses(2, *WRONG_DESKS[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_the_solution_shares(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.nightly
def test_three_instances_with_two_threads_each_share_too(lesson):
    lesson.accepts(2, desks(end=TOGETHER))


# -- exercise 3 -----------------------------------------------------------------------------

RADAR = """
spring.cloud.function.definition: departures
spring.integration.poller.fixed-delay: 5
spring.cloud.stream.bindings.departures-out-0:
  destination: {radar}
"""
BY = "  producer.partition-count: 6\n  producer.partition-key-expression: payload."
BOTH = "radar_of_java(text)\nradar_of_python(key_of)"
KEYS = {
    "tail": 'flight["tail_number"].encode()',
    "id": 'flight["id"].encode()',
    "quoted": 'json.dumps(flight["tail_number"]).encode()',
    "none": "None",
}
JAVA_HASH = """
def place(text):
    number = 0
    for letter in text:
        number = (31 * number + ord(letter)) % 2**32
    return abs(number - 2**32 if number >= 2**31 else number) % 6

radar_of_java(text)
with closing(KafkaProducer(**lab.connection)) as producer:
    for flight in list(lab.records(radar)["value"]):
        tail = flight["tail_number"]
        producer.send(radar, json.dumps(flight).encode(), key=tail.encode(), partition=place(tail))
"""


def radar(text: str = RADAR, key: str = "tail", end: str = BOTH, partitions: int = 6) -> str:
    code = f"radar = lab.topic('flights.radar', partitions={partitions})\n"
    return code + yaml(text, f"def key_of(flight):\n    return {KEYS[key]}\n\n{end}")


WRONG_RADARS = {
    "Java alone": (radar(end="radar_of_java(text)"), "lets Spring write"),
    "only the YAML": (radar(key="id"), "another key for each flight"),
    "no key": (radar(key="none"), "No key means that"),
    "only Python": (radar(f"{RADAR}{BY}carrier\n"), "does not go by the key"),
    "Spring's own hash": (radar(f"{RADAR}{BY}tailNumber\n"), "does not go by the key"),
    "quotation marks": (radar(key="quoted"), "without quotation marks"),
    "one partition": (radar(partitions=1), "nobody can share the work"),
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_RADARS, 1))
def test_sides_that_do_not_agree(lesson, wrong):
    lesson.refuses(3, *WRONG_RADARS[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_the_solution_agrees(lesson):
    lesson.accepts_its_solution(3)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_without_a_count_springs_hash_puts_all_into_one_partition(lesson):
    text = f"{RADAR}{BY}tailNumber\n".replace("  producer.partition-count: 6\n", "")
    lesson.attempt(3, radar(text, end="radar_of_java(text)"))
    assert lesson.value("sorted(set(lab.records(radar)['partition']))") == [0]


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_python_may_go_by_javas_hash_as_well(lesson):
    lesson.accepts(3, radar(f"{RADAR}{BY}tailNumber\n", end=JAVA_HASH))


# -- run twice ------------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_each_cell_may_be_run_twice():
    with lesson_to_its_end(NUMBER, twice=True, seconds=120) as opened:
        assert not opened.errors
        told = opened.output(opened.index("letters"))
        assert "2 in error.flights.departed.delays" in told.splitlines()

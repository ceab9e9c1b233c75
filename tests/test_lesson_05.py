"""Lesson 05: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

NUMBER = "05"
EACH_CELL_TWICE = True


@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
        assert "comes into being when a consumer joins it" in lesson.output(exercise.check)
    # an empty poll is not an empty topic
    assert value("sum(polls)") == 0
    assert value("got") == value("end") > 3000
    # one owns all; six at the most work; the seventh is idle, and takes over
    assert "It was 6." in lesson.output(lesson.index("one-answer"))
    assert "It was 6." in lesson.output(lesson.index("more-table"))
    assert value("idle") == ["gate-7"]
    assert value("shares") == {f"gate-{n + 2}": f"L{n}" for n in range(6)}
    # two groups, each with all partitions and all records
    assert value("sizes") == {"gates": 6, "board": 6}
    assert value("handled(board) >= held") is True


@pytest.mark.shares_a_lab
def test_more_members_are_faster_up_to_the_partitions(lesson):
    table = lesson.output(lesson.index("more-table")).splitlines()[1:]
    pace = {int(line.split()[0]): int(line.split()[2]) for line in table if line[:1].isdigit()}
    assert set(pace) == {1, 2, 4, 7}
    assert pace[1] < pace[2] < pace[4] < pace[7]
    assert pace[7] < 6.6 / 0.04  # six work: seven would handle 175 a second
    four = "'gate-1': 'L0 L1', 'gate-2': 'L2 L3', 'gate-3': 'L4', 'gate-4': 'L5'"
    assert four in lesson.output(lesson.index("more"))


@pytest.mark.shares_a_lab
def test_the_coordinator_and_the_generation(lesson):
    value = lesson.value
    assert set(value("members['coordinator'].tolist()")) == {1}
    assert value("homes") == 4
    assert value("sorted(grown)") == value("sorted({home_of(gates), home_of(board)})")
    assert value("home_of('hello world')") == 1_794_106_052 % 4  # as Java's hashCode() has it
    assert value("int(generations.index.max())") >= 5
    assert "It was 5 or more." in lesson.output(lesson.index("generation-answer"))
    assert value("bool(generations['began'].is_monotonic_increasing)") is True


@pytest.mark.shares_a_lab
def test_the_assignments_that_can_be_predicted(lesson):
    value = lesson.value
    assert value("by_roundrobin") == {"desk-1": "D0 D2 L1", "desk-2": "D1 L0 L2"}
    assert value("by_range") == {"desk-1": "D0 D1 L0 L1", "desk-2": "D2 L2"}
    moves = lesson.output(lesson.index("moves-answer"))
    assert "It was range: 4, sticky: 2, cooperative-sticky: 2." in moves


@pytest.mark.shares_a_lab
def test_two_threads_at_one_consumer_lose_records_without_a_word(lesson):
    assert lesson.value("errors") == 0
    assert lesson.value("len(committed - done)") > 0
    assert lesson.value("overtaken") > 0
    answer = lesson.output(lesson.index("threads-answer"))
    assert "It was lost: True, overtaken: True, errors: False." in answer


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("cell", "wrong", "hint"),
    [
        ("more-table", "7", "A partition has one owner"),
        ("generation-answer", "'4'", "A member that goes"),
        ("threads-answer", "{'errors': True}", "does not notice"),
    ],
)
def test_a_wrong_prediction_is_told_what_it_means(lesson, cell, wrong, hint):
    lesson.corrects(cell, wrong, hint)


@pytest.mark.shares_a_lab
def test_the_end_asks_for_the_predictions_that_nobody_made(lesson):
    lesson.misses_each_prediction()


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    told = lesson.told
    assert len(told) == 4
    assert "gate-7 owns 5" in told[0]
    assert "board owns 0-5" in told[1]
    assert "desks.departed" in told[2]


DAY = "day, crew, audit = fresh_day()\n"
THREE = "lab.service(gate, day, crew, name='crew', copies=3)\n"
ALONE = "lab.service(gate, day, audit, name='auditor')\n"
SITTER = """
def sitter(service, topic, group):
    with closing(join(service, group, topic)) as consumer:
        while service.running:
            consumer.poll(timeout_ms=500)


lab.service(sitter, day, audit, name="sitter")
"""
ASSIGNING = """
def assigning(service, topic, group):
    with closing(join(service, group)) as consumer:
        consumer.assign([TopicPartition(topic, n) for n in range(6)])
        while service.running:
            if consumer.poll(timeout_ms=500):
                consumer.commit()


lab.service(assigning, day, audit, name="assigning")
"""
SLEEPER = """
def sleeper(service, topic, group):
    with closing(join(service, group, topic)) as consumer:
        while not consumer.assignment() and service.running:
            consumer.poll(timeout_ms=500)
        service.wait(60)


lab.service(sleeper, day, crew, name="asleep")
settled(crew, 1)
lab.service(gate, day, crew, name="awake", copies=2)
"""
# what the student wrote, and what the answer must speak of
WRONG_GROUPS = {
    "nothing": (DAY, "comes into being when a consumer joins"),
    "all in one group": (
        DAY + "lab.service(gate, day, crew, name='crew', copies=4)",
        "All members of a group share",
    ),
    "a member for each partition, for the audit": (
        DAY + THREE + "lab.service(gate, day, audit, name='auditor', copies=6)",
        "nothing stays unread",
    ),
    "seven for more speed": (
        DAY + ALONE + "lab.service(gate, day, crew, name='crew', copies=7)",
        "they are standbys",
    ),
    "the audit is not started": (DAY + THREE, "a consumer is in one group only"),
    "a name of its own": (
        DAY + THREE + "lab.service(gate, day, lab.group('auditor'), name='auditor')",
        "Another name is another group",
    ),
    "assigns by itself": (DAY + THREE + ASSIGNING, "never joins, even with a group_id"),
    "one member sleeps": (DAY + ALONE + SLEEPER, "has come to its next poll()"),
    "commits nothing": (DAY + THREE + SITTER, "To own a partition is not to have read it"),
    "topic and group mixed up": (
        DAY + ALONE + "lab.service(gate, crew, day, name='crew')",
        "Whoever is to share needs the group's id",
    ),
    "a topic of its own": (
        DAY + "day = lab.topic('day.landed', partitions=3)\n" + THREE + ALONE,
        "Run the whole cell again",
    ),
}
CONFLUENT = """
def rusty(service, topic, group, address):
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": address, "group.id": group,
                         "client.id": service.name, "auto.offset.reset": "earliest",
                         "auto.commit.interval.ms": 500, SETTINGS})
    consumer.subscribe([topic])
    while service.running:
        consumer.poll(0.2)
    consumer.close()


address = ",".join(lab.connection["bootstrap_servers"])
"""
THREADS = """
def one_thread(service, topic, group, number):
    settings = {"client_id": f"thread-{number}", "auto_commit_interval_ms": 500} | whole
    with closing(KafkaConsumer(topic, **settings, group_id=group)) as c:
        while service.running:
            c.poll(timeout_ms=500)


def threads(service, topic, group):
    several = [Thread(target=one_thread, args=(service, topic, group, n)) for n in range(3)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()


lab.service(threads, day, crew, name="threads")
"""
RIGHT_GROUPS = {
    "librdkafka, and the new protocol": DAY
    + CONFLUENT.replace("SETTINGS", "'group.protocol': 'consumer'")
    + "lab.service(rusty, day, crew, address, name='rusty', copies=3)\n"
    + ALONE,
    "a consumer in each of three threads": DAY + THREADS + ALONE,
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wrong", some(WRONG_GROUPS))
def test_exercise_1_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(1, *WRONG_GROUPS[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(200)
def test_exercise_1_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(200)
@pytest.mark.parametrize("right", some(RIGHT_GROUPS, 1))
def test_exercise_1_another_right_way_passes(lesson, right):
    lesson.accepts(1, RIGHT_GROUPS[right], right)


PAIR = "pair, uneven, even = fresh_pair()\n"


def rules(**chosen: str) -> str:
    """Return code that starts two desks in each group, by the rule that is named."""
    return PAIR + "".join(
        f"lab.service(desk, pair, {group}, {rule!r}, name='{group}-desk', copies=2)\n"
        for group, rule in chosen.items()
    )


EACH_A_TOPIC = PAIR + (
    "lab.service(desk, pair, uneven, 'range', name='uneven-desk', copies=2)\n"
    "for number, topic in enumerate(pair):\n"
    "    lab.service(desk, [topic], even, 'range', name=f'even-desk-{number}')\n"
)
WRONG_RULES = {
    "sticky for both": (rules(uneven="sticky", even="sticky"), "the rest of every topic falls"),
    "range for both": (rules(uneven="range", even="range"), "the rest of every topic falls"),
    "one topic only": (
        rules(uneven="range", even="roundrobin").replace(
            "desk, pair, even", "desk, pair[:1], even"
        ),
        "A group divides only what its members subscribe to",
    ),
    "two rules in one group": (
        rules(even="roundrobin")
        + "lab.service(desk, pair, uneven, 'range', name='uneven-1')\nsettled(uneven, 1)\n"
        + "lab.service(desk, pair, uneven, 'roundrobin', name='uneven-2')",
        "Mend that line",
    ),
    "three members": (
        rules(uneven="range", even="roundrobin").replace(
            "name='uneven-desk', copies=2", "name='uneven-desk', copies=3"
        ),
        "All members of a group share",
    ),
    "one closed again": (
        rules(uneven="range", even="roundrobin")
        + "settled(even, 2)\nlab.services['even-desk-1'].stop()",
        "with fewer members each has more",
    ),
}
RIGHT_RULES = {
    "cooperative": rules(uneven="range", even="cooperative-sticky"),
    "a member for each topic": EACH_A_TOPIC,
}


@pytest.mark.shares_a_lab
@pytest.mark.timeout(200)
@pytest.mark.parametrize("wrong", some(WRONG_RULES))
def test_exercise_2_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(2, *WRONG_RULES[wrong])


@pytest.mark.shares_a_lab
@pytest.mark.timeout(200)
def test_exercise_2_the_solution_passes_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.timeout(200)
@pytest.mark.parametrize("right", some(RIGHT_RULES, 1))
def test_exercise_2_another_right_way_passes(lesson, right):
    lesson.accepts(2, RIGHT_RULES[right], right)

"""Lesson 05: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

from lab_env.checks.consumer_groups import Evidence, Found, judge

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
    lesson.asks_each_step()
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
    assert "desks.departed, group desks" in told[2]  # both topics: a desk may own of one alone
    assert "desks.landed, group desks" in told[2]


# one change each: what is right, and what a typical wrong state is told
WRONG_STEPS = {
    "no poll at all": ("seek", "    pass", "while it polls, with a timeout"),
    "a poll that waits for nothing": ("seek", "    consumer.poll()", "while it polls"),
    "a poll between seek and commit": (
        "seek",
        "    lab.until(lambda: consumer.poll(timeout_ms=500))\n"
        "    consumer.seek(TopicPartition(fresh, 0), 40)\n"
        "    lab.until(lambda: consumer.poll(timeout_ms=500))\n"
        "    consumer.commit()\n"
        "if False:",
        "commit without another",
    ),
    "a partition each": ("standby", "partitions=2", "as many partitions as members"),
    "more partitions": ("standby", "partitions=3", "as many partitions as members"),
    "one partition each": ("even", "partitions=1", "the same desk"),
    "another odd number": ("even", "partitions=5", "the same desk"),
}
RIGHT_STEPS = {
    "polls in a loop": (
        "seek",
        "    while not consumer.assignment():\n        consumer.poll(timeout_ms=500)",
    ),
    "two for each desk": ("even", "partitions=2"),
}
CHANGED = {
    "seek": "    lab.until(lambda: consumer.poll(timeout_ms=500))",
    "standby": "partitions=1",
    "even": "partitions=4",
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("step", CHANGED)
def test_a_small_step_is_taken_by_its_solution(lesson, step):
    lesson.accepts_step(step)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_STEPS, 4))
def test_a_wrong_small_step_is_told_what_it_comes_from(lesson, wrong):
    step, change, told = WRONG_STEPS[wrong]
    lesson.refuses_step(step, lesson.changed_step(step, CHANGED[step], change), told)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_STEPS, 1))
def test_another_right_small_step_is_taken(lesson, right):
    step, change = RIGHT_STEPS[right]
    lesson.accepts_step(step, lesson.changed_step(step, CHANGED[step], change))


CREW = {"crew": [2, 2, 2]}


def judged(shares: dict[str, int], wanted=None, state="Stable", read=False, lag=0, **more):
    group = Found(state, shares, read, lag)
    return judge(Evidence("day", 6, 300, {"crew": group}, **more), wanted or CREW, committed=True)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("shares", "more", "told"),
    [
        ({}, {}, "comes into being"),
        ({}, {"running": 3}, "a few seconds"),
        ({}, {"read": True}, "A member that closes"),
        ({}, {"others": ("crow",), "running": 1}, "Another name"),
        ({"crew": 6}, {"running": 1}, "copies=3 makes three names"),
        ({"crew": 6}, {"failed": ("crew-2", "KeyError: 'x'")}, "Correct that line"),
        ({"a": 2, "b": 2, "c": 2}, {"lag": 7}, "To own a partition is not"),
        ({"a": 2, "b": 2, "c": 2}, {"state": "PreparingRebalance"}, "next poll()"),
        ({"a": 3, "b": 2, "c": 1}, {}, "The number of members is right"),
        ({"a": 2, "b": 2, "c": 1, "d": 1}, {}, "All members of a group share"),
    ],
)
def test_what_was_found_is_judged_without_a_broker(shares, more, told):
    answer = judged(shares, **more)
    assert not answer
    assert told in answer.hint


@pytest.mark.fast
def test_services_that_are_all_in_the_other_group_are_told_of_their_names():
    found = {"crew": Found("Empty", {}, False, 0), "audit": Found("Stable", {"a": 6}, True, 0)}
    wanted = CREW | {"audit": [6]}
    answer = judge(Evidence("day", 6, 300, found, running=1), wanted, committed=True)
    assert "replaces it" in answer.hint
    assert judged({"a": 2, "b": 2, "c": 2}, read=True)


DAY = (
    "lab.services.stop()\n"
    "day, crew, audit = lab.topic('day.landed', partitions=6), lab.group('crew'), "
    "lab.group('audit')\n"
    "send(day, landings[:300])\n"
)
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
lab.assignment(crew, 1)
lab.service(gate, day, crew, name="awake", copies=2)
"""
# what the student wrote, and what the answer must speak of
WRONG_GROUPS = {
    "one name for all three": (
        DAY + "for _ in range(3):\n    lab.service(gate, day, crew, name='crew')\n" + ALONE,
        "copies=3 makes three names",
    ),
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
        "A member needs the group's id",
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
    "one after the other, by the classic protocol of librdkafka": DAY
    + CONFLUENT.replace("SETTINGS", "'partition.assignment.strategy': 'roundrobin'")
    + "for n in range(3):\n"
    "    lab.service(rusty, day, crew, address, name=f'one-{n}')\n"
    "    lab.assignment(crew, n + 1)\n" + ALONE,
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


PAIR = (
    "lab.services.stop()\n"
    "pair = [lab.topic(name, partitions=3) for name in ('pair.departed', 'pair.landed')]\n"
    "uneven, even = lab.group('uneven'), lab.group('even')\n"
)


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
    "the same names in both groups": (
        rules(uneven="range", even="roundrobin")
        .replace("uneven-desk", "desk")
        .replace("even-desk", "desk"),
        "names of their own",
    ),
    "sticky for both": (rules(uneven="sticky", even="sticky"), "the remainder of every topic goes"),
    "range for both": (rules(uneven="range", even="range"), "the remainder of every topic goes"),
    "one topic only": (
        rules(uneven="range", even="roundrobin").replace(
            "desk, pair, even", "desk, pair[:1], even"
        ),
        "A group divides only what its members subscribe to",
    ),
    "two rules in one group": (
        rules(even="roundrobin")
        + "lab.service(desk, pair, uneven, 'range', name='uneven-1')\nlab.assignment(uneven, 1)\n"
        + "lab.service(desk, pair, uneven, 'roundrobin', name='uneven-2')",
        "Correct that line",
    ),
    "three members": (
        rules(uneven="range", even="roundrobin").replace(
            "name='uneven-desk', copies=2", "name='uneven-desk', copies=3"
        ),
        "All members of a group share",
    ),
    "range and range, four desks in one group": (
        PAIR + "lab.service(desk, pair, uneven, 'range', name='desk', copies=4)",
        "All members of a group share",
    ),
    "one closed again": (
        rules(uneven="range", even="roundrobin")
        + "lab.assignment(even, 2)\nlab.services['even-desk-1'].stop()",
        "with fewer members each has more",
    ),
}
LIBRDKAFKA = """
def rusty(service, topics, group, rule, address):
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": address, "group.id": group,
                         "client.id": service.name, "partition.assignment.strategy": rule})
    consumer.subscribe(topics)
    while service.running:
        consumer.poll(0.2)
    consumer.close()


address = ",".join(lab.connection["bootstrap_servers"])
for group, rule in {uneven: "range", even: "roundrobin"}.items():
    lab.service(rusty, pair, group, rule, address, name=f"{group}-desk", copies=2)
"""
RIGHT_RULES = {
    "cooperative": rules(uneven="range", even="cooperative-sticky"),
    "librdkafka": PAIR + LIBRDKAFKA,
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

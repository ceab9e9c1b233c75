"""Lesson 06: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

NUMBER = "06"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    lesson.asks_each_step()
    # one eager group: each desk that opens gets its share
    assert value("owned.groupby('member').size().to_dict()") == {
        "office-1": 2, "office-2": 2, "office-3": 2,
    }  # fmt: skip
    # eager takes all from all, cooperative and new what must move
    taken = value("taken_by_join")
    assert taken["eager"] == taken["static"] == 6
    assert taken["cooperative"] == taken["new"] == 1
    told = lesson.output(lesson.index("taken-join"))
    assert "It was eager: 6, cooperative: 1, static: 6, new: 1." in told
    by_restart = value("taken_by_restart")
    assert by_restart["static"] == 0
    assert by_restart["eager"] >= 4
    assert by_restart["cooperative"] <= 2
    assert "It was eager: True, static: False." in lesson.output(lesson.index("restart-answer"))
    # who closes says so, who dies does not, and a static member never does
    told = lesson.output(lesson.index("leave-answer"))
    assert "It was longer: killed, slowest close: static." in told
    # two clocks: all four were refused, and their records came again
    assert value("len(refused)") == 4
    assert value("set(twice['kind']) == set(KINDS)") is True
    assert "It was accepted: False, twice: True." in lesson.output(lesson.index("slow-answer"))
    assert "kicked out of the group" in lesson.output(lesson.index("slow-text"))
    assert "leaving group" in lesson.output(lesson.index("slow-log"))
    # two kinds in one group
    assert "InconsistentGroupProtocolError" in lesson.output(lesson.index("mix"))
    assert "It was range." in lesson.output(lesson.index("mix-answer"))
    assert "KafkaConfigurationError" in lesson.output(lesson.index("mix-both"))


@pytest.mark.shares_a_lab
def test_each_pause_comes_from_its_setting(lesson):
    def pause(event, kind, desk):
        return lesson.value(f"float(table[{event!r}].loc[{kind!r}, {desk!r}])")

    # seconds: CLOCKS, the static members' session, how long desk 2 slept
    session, interval, own, nap = 2.5, 2.5, 4.5, 3.5
    (broker,) = lesson.value("[broker_clocks['group.consumer.session.timeout.ms'] / 1000]")
    # a wait for a timeout lasts that long, less the heartbeat before the death
    for kind, least in {
        "eager": session,
        "cooperative": session,
        "static": own,
        "new": broker,
    }.items():
        assert pause("crash", kind, "4") > least - 0.8 - 0.7 * (kind == "new")
    assert pause("leave", "static", "3") > own - 0.8
    for kind in ("eager", "cooperative", "new"):
        assert pause("leave", kind, "3") < pause("leave", "static", "3")
        assert pause("leave", kind, "3") < pause("crash", kind, "4")
    assert pause("nap", "eager", "2") > interval - 0.5
    assert pause("nap", "cooperative", "2") > interval - 0.5
    for kind in ("static", "new"):  # nobody else had its partitions while it slept
        assert pause("nap", kind, "2") > nap - 0.3
    # all wait for the slowest, but for the new protocol's bystanders
    classic = ("eager", "cooperative", "static")
    longest = {at: sum(pause(at, kind, "2") for kind in classic) for at in ("join", "nothing")}
    quiet = longest["nothing"] < len(classic) * 0.5  # else the lesson asks for this cell again
    assert not quiet or longest["join"] > longest["nothing"]
    assert lesson.value("all_pauses.shape[0]") == 24
    # every desk that was open has worked in every event
    assert not lesson.value("bool(all_pauses[['1', '2']].isna().any(axis=None))")


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("cell", "wrong", "hint"),
    [
        ("leave-answer", "{'longer': 'The same'}", "cannot say that it leaves"),
        ("slow-answer", "{'accepted': True}", "not that it makes progress"),
        ("restart-answer", "{'static': True}", "The broker knows the name of desk 3"),
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
    assert len(told) == 3
    assert "group office" in told[0]
    assert all(name in told[1] for name in ("eager-2", "new-2"))
    assert all(name in told[2] for name in ("group eager", "group static"))


STEPS = {
    "close": ("consumer.close()", "pass", "the broker waits for its heartbeats"),
    "interval": (
        '"max_poll_interval_ms": 10_000, "session_timeout_ms": 3000',
        '"max_poll_interval_ms": 1000, "session_timeout_ms": 20_000',
        "session_timeout_ms is not the clock",
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_taken_and_its_typical_mistake_is_named(lesson, name):
    right, wrong, hint = STEPS[name]
    lesson.accepts_step(name)
    lesson.refuses_step(name, lesson.changed_step(name, right, wrong), hint)
    lesson.accepts_step(name)


@pytest.mark.shares_a_lab
def test_an_event_that_has_not_settled_says_who_and_puts_no_row_into_the_table(lesson):
    told = lesson.execute(UNSETTLED)
    assert "shut: not settled: eager-2" in told
    assert "True" in told.splitlines()
    assert "The event 'shut' has not been measured" in told
    lesson.execute("lab.services.stop()")


UNSETTLED = """
def patience(condition, seconds=None):
    return until(condition, 3)


until = lab.until
try:
    with offices.event("shut", "12", "12"):
        lab.until = patience
        fleets["eager"][1].set(open=False)
finally:
    lab.until = until
print("shut" not in table)
try:
    table["shut"]
except Exception as error:
    print(error)
"""


@pytest.mark.shares_a_lab
def test_a_desk_that_owns_nothing_for_too_long_joins_anew(lesson):
    """A fifth desk of a group with enough owners: there is nothing for it to own."""
    lesson.execute(STRANDED)
    assert lesson.value("joined_anew and len(anew) >= 1") is True
    assert lesson.value("stranded.state") == "running"
    lesson.execute("lab.services.stop()")


STRANDED = """
full, idle = lab.topic("full.departed"), lab.group("full")
here = {"settings": {"open": True, "work": 0.05}}
lab.service(desk, full, idle, RangePartitionAssignor, name="full-1", **here)
lab.assignment(idle, members=1)
stranded = lab.service(desk, full, idle, RangePartitionAssignor, name="full-2", **here)
anew = lambda: lab.reports.reindex(columns=["service", "joins_anew"]).dropna()
joined_anew = lab.until(lambda: len(anew()) > 0, 60)
anew = sorted(set(anew()["service"]))
"""


GATE = """
morning, morning_crew = busy_morning()


def gate(service, topic, group):
    clocks = {"session_timeout_ms": SESSION, "heartbeat_interval_ms": HEARTBEAT}
    polls = {"max_poll_interval_ms": INTERVAL, "max_poll_records": RECORDS}
    start = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    names = {"group_id": group, "client_id": service.name}
    consumer = KafkaConsumer(topic, **lab.connection, **clocks, **polls, **start, **names)
    with closing(consumer):
        while service.running:
            batch = consumer.poll(timeout_ms=500)
            BEFORE
            for record in chain(*batch.values()):
                service.wait(WORK)
                service.report(handled=json.loads(record.value)["id"])
                EACH
            try:
                AFTER
            except CommitFailedError:
                service.report(evicted=True)


lab.service(gate, morning, GROUP, copies=COPIES)
"""


def gate(**changes) -> str:
    parts = {
        "SESSION": 3000,
        "HEARTBEAT": 300,
        "INTERVAL": 1500,
        "RECORDS": 500,
        "BEFORE": "pass",
        "WORK": 0.1,
        "EACH": "pass",
        "AFTER": "consumer.commit()",
        "GROUP": "morning_crew",
        "COPIES": 1,
    } | changes
    code = GATE
    for name, part in parts.items():
        code = code.replace(name, str(part))
    return code


TWO_CLOCKS = "max_poll_interval_ms runs from one poll to the next"
# what the student wrote, and what the answer must speak of
WRONG_GATES = {
    "a longer session timeout": (gate(SESSION=20000), TWO_CLOCKS),
    "a shorter heartbeat": (gate(HEARTBEAT=100), TWO_CLOCKS),
    "bigger batches": (gate(RECORDS=5000), "Bigger batches make it worse"),
    "commits before the work": (
        gate(BEFORE="consumer.commit()", AFTER="pass"),
        "A commit before the work",
    ),
    "a new group id": (gate(GROUP="lab.group('other')"), "A new group id runs away"),
    "does not catch the error": (
        gate().replace("except CommitFailedError", "except MemoryError"),
        "The error is the messenger",
    ),
    "skips the work": (gate(WORK=0.001), "Leave the work as it is"),
    "nobody": ("morning, morning_crew = busy_morning()", "Start it with lab.service"),
    "polls in between and throws away what it gets": (
        gate(EACH="consumer.poll(timeout_ms=0)"),
        "also one that is only meant to show progress",
    ),
    "pauses, and does not poll": (
        gate(EACH="consumer.pause(*consumer.assignment())"),
        "pause() does not free a member from polling",
    ),
    "assign": (
        gate()
        .replace("KafkaConsumer(topic, ", "KafkaConsumer(")
        .replace(
            "    with closing(consumer):",
            "    consumer.assign([TopicPartition(topic, n) for n in range(2)])\n"
            "    with closing(consumer):",
        )
        .replace("def gate(", "from kafka import TopicPartition\n\n\ndef gate("),
        "assign() takes partitions without the group",
    ),
    "five of each batch, then a commit": (
        gate(INTERVAL=10000).replace(
            "in chain(*batch.values()):", "in list(chain(*batch.values()))[:5]:"
        ),
        "breaking out of a batch",
    ),
    "four threads": (
        gate(INTERVAL=10000)
        .replace("            BEFORE", "")
        .replace(
            "            for record in chain(*batch.values()):\n"
            "                service.wait(0.1)\n"
            '                service.report(handled=json.loads(record.value)["id"])\n'
            "                pass\n",
            "            def work(record):\n"
            "                service.wait(0.1)\n"
            '                service.report(handled=json.loads(record.value)["id"])\n'
            "            with ThreadPoolExecutor(4) as pool:\n"
            "                list(pool.map(work, chain(*batch.values())))\n",
        )
        .replace("def gate(", "from concurrent.futures import ThreadPoolExecutor\n\n\ndef gate("),
        "board in one queue",
    ),
}
PAUSING = """for place in consumer.assignment():
                    consumer.pause(place)
                consumer.poll(timeout_ms=0)
                for place in consumer.assignment():
                    consumer.resume(place)"""
CONFLUENT = """
morning, morning_crew = busy_morning()


def gate(service, topic, group):
    names = {"group.id": group, "client.id": service.name, "auto.offset.reset": "earliest"}
    clocks = {"session.timeout.ms": 3000, "max.poll.interval.ms": 3000}
    own = {"enable.auto.commit": False, "heartbeat.interval.ms": 300}
    with closing(confluent_kafka.Consumer(lab.librdkafka | names | clocks | own)) as consumer:
        consumer.subscribe([topic])
        while service.running:
            for record in consumer.consume(5, timeout=0.5):
                service.wait(0.1)
                service.report(handled=json.loads(record.value())["id"])
                consumer.commit(record)


lab.service(gate, morning, morning_crew)
"""
RIGHT_GATES = {
    "a longer max poll interval": gate(INTERVAL=10000),
    "fewer records, and two gates": gate(RECORDS=4, COPIES=2),
    "pausing, and polling in between": gate(EACH=PAUSING),
    "confluent-kafka, a commit for each": CONFLUENT,
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_GATES))
def test_a_wrong_gate_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(1, *WRONG_GATES[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_keeps_the_gate_in_its_group_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_GATES, 1))
def test_another_right_way_keeps_the_gate_in_its_group(lesson, right):
    lesson.accepts(1, RIGHT_GATES[right])


NIGHT = """
night, night_crew = night_shift()


def night_desk(service, topic, group):
    clocks = {"heartbeat_interval_ms": 300, "session_timeout_ms": SESSION}
    names = {"group_id": group, "client_id": service.name, INSTANCE}
    commits = {"auto_commit_interval_ms": 500}
    with closing(KafkaConsumer(topic, **lab.connection, **clocks, **names, **commits)) as consumer:
        while service.running:
            consumer.poll(timeout_ms=500)


desks = lab.service(night_desk, night, night_crew, name="night", copies=3)
shared(lab, night, night_crew, members=3)
LAST
"""
INSTANCE = "'group_instance_id': service.name"
RESTART = "desks['night-2'].restart()"


def night(instance=INSTANCE, session=6000, last=RESTART) -> str:
    code = NIGHT.replace("INSTANCE", instance).replace("SESSION", str(session))
    return code.replace("LAST", last)


COOPERATIVE = "'partition_assignment_strategy': [CooperativeStickyAssignor]"
LATE = """
desks["night-2"].stop()
ended = lab.journal.now()
lab.until(lambda: lab.journal.now() > ended + 4.5)
desks["night-2"].restart()
"""
WRONG_NIGHTS = {
    "no name of its own": (night("**{}"), "does not say goodbye"),
    "cooperative": (night(COOPERATIVE), "A cooperative assignor moves less"),
    "killed, without a name": (
        night("**{}", 3000, "desks['night-2'].crash()\n" + RESTART),
        "comes back as a stranger",
    ),
    "one name for all": (night("'group_instance_id': 'night'"), "keeps them apart"),
    "back too late": (night(session=3000, last=LATE), "longer than the restart"),
    "nobody was restarted": (night(last="pass"), "stops the process in good order"),
    "nobody": ("night, night_crew = night_shift()", "Start them with lab.service"),
    "two desks": (
        night(last="pass").replace("copies=3", "copies=2").replace("members=3", "members=2"),
        "copies=3",
    ),
    "a name that is new at each start": (
        night("'group_instance_id': f\"{service.name}-{__import__('os').getpid()}\""),
        "a name that is new at each start",
    ),
    "not started again": (
        night(session=30000, last="desks['night-2'].stop()"),
        "stops the process in good order",
    ),
}
RIGHT_NIGHTS = {
    "all three, one after the other": night(
        session=10000, last="for one in desks:\n    one.restart()"
    ),
    "killed and started again": night(
        INSTANCE + ", " + COOPERATIVE, 10000, "desks['night-2'].crash()\n" + RESTART
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_NIGHTS))
def test_a_wrong_restart_is_told_what_is_wrong(lesson, wrong):
    lesson.refuses(2, *WRONG_NIGHTS[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_restarts_in_place_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_NIGHTS, 1))
def test_another_right_way_restarts_in_place(lesson, right):
    lesson.accepts(2, RIGHT_NIGHTS[right])


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_experiments_can_be_run_again(lesson):
    """After the last exercise: the desks are started again, and the lesson's cells with them."""
    cells = "topic first first-end hire offices quiet join-event taken-join leave-event home"
    for cell in cells.split():
        lesson.again(lesson.index(cell))
    assert not lesson.errors
    assert lesson.value("taken_by_join")["eager"] >= 6

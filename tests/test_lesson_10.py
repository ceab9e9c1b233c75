"""Lesson 10: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

from lab_env import Lab
from lab_env.checks.replication_and_failure import Night, judge_night
from lab_env.course import lessons, runner

NUMBER = "10"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_a_death_is_a_delay(lesson):
    value = lesson.value
    assert not lesson.errors
    lesson.asks_each_step()
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    assert value("sorted(voters)") == [1, 2, 3]
    assert value("quorum['leader_id'] in voters") is True
    assert value("happened_kill") == {"failed": 0, "missing": 0, "twice": 0}
    # the clients have noticed it, on the partition that was led, and hardly on the others
    assert value("float(answers['waited'].max())") > 1
    assert value("without") > 0.5


@pytest.mark.shares_a_lab
def test_the_night_goes_as_the_prose_says(lesson):
    value = lesson.value
    # what was acknowledged while one was alone, by acks, for the four topics
    asked = "believed.groupby(['acks', 'topic'])['acknowledged'].sum()"
    taken = f"{{acks: {asked}.loc[acks].astype(int).tolist() for acks in ('0', '1', 'all')}}"
    assert value(taken) == {"0": [20] * 4, "1": [20] * 4, "all": [20, 20, 0, 0]}
    assert value("sum(future.succeeded() for future in evening.values())") == 240
    # the last one in sync is no longer in the ISR: the ELR has it
    assert value("list(led_by['min 1, clean']['in sync'])") == []
    # the client tells a timeout, and only who does not try again hears of replicas
    refused = value("[type(f.exception).__name__ for f in night.values() if f.exception]")
    assert "KafkaTimeoutError" in refused  # not all, and on a busy machine not even most
    assert set(refused) <= {"KafkaTimeoutError", "NotEnoughReplicasError"}
    assert "NotEnoughReplicas" in lesson.output(lesson.index("no-retries"))
    # acknowledged, and not to be read
    assert value("(seen_at_two, seen_at_one)") == [20, 40]
    # one of the four has no leader: min 1, clean
    assert value("[int(one['leader']) for one in led_by.values()].count(-1)") == 1
    assert value("int(led_by['min 1, clean']['leader'])") == -1
    asked_too_few = ["20 kept", "20 lost", "20 lost", "20 lost"]
    assert value("{acks: row.tolist() for acks, row in table.iterrows()}") == {
        "0": asked_too_few,
        "1": asked_too_few,
        "all": ["20 kept", "20 lost", "20 refused", "20 refused"],
    }
    assert value("fates(evening)['fate'].unique().tolist()") == ["kept"]


@pytest.mark.shares_a_lab
def test_a_prediction_answers_back(lesson):
    assert "of 5" in lesson.output(lesson.index("surprises"))
    assert "It was 20" in lesson.output(lesson.index("visible-now"))
    guess = "{'min 1, clean': 0, 'min 1, unclean': 0}"
    told = "You said 0, and it was 20. Acknowledged by all in sync"
    answer = lesson.corrects("fates-answer", guess, told, "predictions")
    clean, unclean, *others = answer.splitlines()
    assert "Foreseen (min 1, clean): 0." in clean
    assert told in unclean
    assert all("No prediction" in other and "It was 0" in other for other in others)
    lesson.execute("predictions = ...")


@pytest.mark.shares_a_lab
def test_a_new_broker_gets_what_it_is_given(lesson):
    assert lesson.value("at_first") == 0
    assert lesson.value("sum(fourth in one for one in partitions(month)['replicas'])") == 3
    on_their_way = lesson.value("[way for _, way, _ in progress]")
    assert on_their_way[0] == 3
    assert on_their_way[-1] == 0
    assert lesson.value("progress[-1][2] > progress[0][2]") is True


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    killed, night, moved = lesson.told
    assert "all replicas are in sync" in killed
    assert "partition" in night
    assert "had no leader for" in night
    assert "broker 4 leads" in moved


# -- exercise 1 -----------------------------------------------------------------------------

LEDGER = """
ledger = lab.topic("flights.ledger", partitions=1, TOPIC)
settings = {SETTINGS}
NIGHT
"""
SAFE = "replication=3, min_insync_replicas=2"
GO = "patch_night(ledger, settings)"


def ledger(topic: str = SAFE, settings: str = "'acks': 'all'", night: str = GO) -> str:
    code = LEDGER.replace("TOPIC", topic).replace("SETTINGS", settings)
    return code.replace("NIGHT", night)


WRONG_LEDGERS = {
    "one copy": (ledger("replication=1, min_insync_replicas=2", night=""), "nobody else can hand"),
    "two copies": (ledger("replication=2, min_insync_replicas=2", night=""), "you have to choose"),
    "all of one": (ledger("replication=3", night=""), "one is enough"),
    "all of them": (ledger("replication=3, min_insync_replicas=3", night=""), "leave room for one"),
    "unclean": (
        ledger(f"{SAFE}, unclean_leader_election_enable=True", night=""),
        "not in sync",
    ),
    "no night": (ledger(night=""), "Take away the #"),
    "asks only the leader": (ledger(settings="'acks': 1"), "only a producer that asks for all"),
    "asks nobody": (ledger(settings="'acks': 0"), "only a producer that asks for all"),
}  # fmt: skip
BROKEN_OFF = """
ledger = lab.topic("flights.ledger", partitions=1, replication=3, min_insync_replicas=2)
lab.watch(ledger)
book = lab.service(operations, ledger, july, 50, {}, name="ledger")
lab.until(lambda: len(lab.records(ledger)) > 60)
MORE
"""
BROKEN_NIGHTS = {  # the settings are right in each of them
    "interrupted, and checked": ("lab.stop(1)\nlab.start(1)", "Run the whole cell again"),
    "interrupted, and made anew beneath it": (
        'ledger = lab.topic("flights.ledger", replication=3, min_insync_replicas=2)\n'
        "lab.until(lambda: len(lab.records(ledger)) > 20)\n"
        "lab.kill(int(partitions(ledger)['leader'][0]))\nlab.start()\n"
        "book.stop(seconds=15)",
        "was made anew after they were sent",
    ),
    "with a broker still down": (
        "lab.kill(int(partitions(ledger)['leader'][0]))\nbook.stop(seconds=15)",
        "starts what is down",
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_LEDGERS))
def test_a_ledger_that_loses_or_refuses_is_told_why(lesson, wrong):
    lesson.refuses(1, *WRONG_LEDGERS[wrong])


WHOLE = {"there": 599, "sent": 600, "acknowledged": 599, "is_whole": True, "meanwhile": 70}


def night(senders=(), down=(), **found) -> str:
    """Return what is said of a night, of which a test names what was found."""
    return repr(judge_night(Night("ledger", 3, 2, senders, down, **WHOLE | found)))


@pytest.mark.fast
def test_a_night_is_judged_by_what_was_found_and_one_that_broke_off_is_not():
    assert "✓" in night()
    lost = "546 of those are not there any more"
    assert lost in night(lost=546)
    for broken in (
        night(lost=546, early=40),  # they were acknowledged while all was well
        night(senders=("ledger",), lost=546),
        night(down=(1,), lost=546),
    ):
        assert lost not in broken
        assert "did not come to its end" in broken
        assert "Run the whole cell again" in broken
    assert "broker 1" in night(down=(1,))
    assert "has not been through a night yet" in night(there=0)
    assert "none of the brokers of ledger was killed" in night(is_whole=False)
    assert "nothing was acknowledged" in night(meanwhile=0)
    assert "more than once" in night(twice=3)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.parametrize("broken", some(BROKEN_NIGHTS))
def test_a_night_that_broke_off_is_no_verdict_on_the_settings(lesson, broken):
    more, told = BROKEN_NIGHTS[broken]
    try:
        lesson.refuses(1, BROKEN_OFF.replace("MORE", more), told)
    finally:
        lesson.execute("lab.services.stop(); lab.start()")
    assert "did not come to its end" in lesson.output(lesson.exercises[0].check)


@pytest.mark.shares_a_lab
def test_the_solution_survives_the_night_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.nightly
def test_four_copies_of_which_three_survive_the_night_too(lesson):
    lesson.accepts(1, ledger("replication=4, min_insync_replicas=3"))


@pytest.mark.shares_a_lab
@pytest.mark.landing
def test_another_right_ledger_survives_the_night(lesson):
    settings = "'acks': -1, 'linger_ms': 20, 'delivery_timeout_ms': 60_000"
    lesson.accepts(1, ledger(f"{SAFE}, retention_ms=-1", settings))


# -- exercise 2 -----------------------------------------------------------------------------

ARCHIVE = """
archive = old_archive()
brokers = sorted(node for node, state in lab.nodes.items() if state == "running")
plan = {TopicPartition(archive, partition): WHO for partition in PARTITIONS}
with closing(KafkaAdminClient(**lab.connection)) as admin:
    answer = admin.alter_partition_reassignments(plan)
    MORE
"""
TURNED = "[brokers[(partition + step) % len(brokers)] for step in range(3)]"


def archive(who: str = TURNED, partitions: str = "range(8)", more: str = "pass") -> str:
    code = ARCHIVE.replace("WHO", who).replace("PARTITIONS", partitions)
    return code.replace("MORE", more)


ANEW = """
archive = old_archive()
archive = lab.topic("flights.archive", partitions=8, replication=3)
"""
AGAIN = f"""{ANEW}
with closing(KafkaProducer(**lab.connection)) as producer:
    for flight in july[:240] + july[:40]:
        producer.send(archive, json.dumps(flight).encode())
    producer.flush(timeout=20)
"""
WRONG_ARCHIVES = {
    "nothing": ("archive = old_archive()", "is changed by a reassignment"),
    "the same list for all": (archive("brokers[:3]"), "the preferred leader"),
    "one forgotten": (archive(partitions="range(7)"), "concerns the partitions that it names"),
    "a broker twice": (archive("[brokers[0]] * 3"), "look at what it returns"),
    "two copies": (archive("[brokers[partition % 4], brokers[partition % 4 - 1]]"), "is changed"),
    "made anew": (ANEW, "begins with an empty one"),
    "made anew and sent twice": (AGAIN, "copies them by itself"),
}  # fmt: skip
RIGHT_ARCHIVES = {
    "leaders go home by themselves": archive(),
    "the other way round, in two steps": archive(
        "[brokers[-partition % len(brokers) - step] for step in range(3)]",
        "range(4)",
        "plan = {TopicPartition(archive, p): [brokers[-p % len(brokers) - s] for s in range(3)]"
        " for p in range(4, 8)}\n    admin.alter_partition_reassignments(plan)",
    ),
    "every broker has everything": archive("brokers[partition % 4:] + brokers[:partition % 4]"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_ARCHIVES))
def test_a_topic_that_is_not_mended_is_told_why(lesson, wrong):
    lesson.refuses(2, *WRONG_ARCHIVES[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_mends_it_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_ARCHIVES, 1))
def test_another_right_plan_mends_it(lesson, right):
    lesson.accepts(2, RIGHT_ARCHIVES[right])


# -- small steps ------------------------------------------------------------------------------

WRONG_STEPS = {
    "copies": ("partitions=1, replication=2", "partitions=2, replication=1", "Partitions split"),
    "leader": ("[*rest, first]", "rest", "keeps nothing any more"),
    "least": ('"2"', '"3"', "Leave room for one"),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("step", WRONG_STEPS)
def test_a_small_step_is_taken_and_a_typical_mistake_is_told(lesson, step):
    right, wrong, told = WRONG_STEPS[step]
    lesson.refuses_step(step, lesson.changed_step(step, right, wrong), told)
    lesson.accepts_step(step)


# -- what the lesson has to bear --------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_experiments_can_be_run_again_after_a_kill(lesson):
    for cell in ("topic", "who-leads", "picture-kill", "sends", "kill", "leads-now", "back",
                 "home", "counted", "waits", "cases", "alone", "producers", "patches",
                 "errors", "visible-now", "power-fails", "leads-night", "morning",
                 "fates-night"):  # fmt: skip
        lesson.again(lesson.index(cell))
    assert not lesson.errors
    assert lesson.value("happened_kill") == {"failed": 0, "missing": 0, "twice": 0}
    assert lesson.value("table.loc['all'].tolist()") == [
        "20 kept", "20 lost", "20 refused", "20 refused",
    ]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_on_a_cluster_of_three_that_is_not_ones_own_it_says_so_and_goes_on(monkeypatch):
    with Lab("embedded", brokers=3) as cluster:
        monkeypatch.setenv("KAFKA_LAB", "external")
        monkeypatch.setenv("KAFKA_LAB_BOOTSTRAP", ",".join(cluster.connection["bootstrap_servers"]))
        monkeypatch.setenv("KAFKA_LAB_PREFIX", "ann-")
        (path,) = (path for path in lessons.paths() if path.name.startswith(NUMBER))
        notebook, failures = runner.run(path, solutions=True, seconds=180)
        assert [f"cell {failure.cell}: {failure.why}" for failure in failures] == []
        ids = {cell.id: str(cell.get("outputs", "")) for cell in notebook.cells}
        assert "nothing was done to broker" in ids["kill"]
        assert "leads on" in ids["leads-now"]
        assert "no broker was added" in ids["grow"]
        assert set(cluster.nodes.values()) == {"running"}

"""Lesson 08: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import some

from lab_env.checks.dead_letters import MOST_ATTEMPTS, Books, FlightRecord, judge_books

NUMBER = "08"


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_one_flight_stops_its_partition_and_kafka_does_not_notice(lesson):
    value = lesson.value
    assert not lesson.errors
    lesson.asks_each_step()
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    # among the first eighty one is cancelled, and it has ended all three clerks
    assert value("sum(flight['departed'] is None for flight in script[:80])") == 1
    # in their order, whenever: each clerk once, before anything else of the lesson fails
    ended = "[mark.subject for mark in lab.journal.marks if mark.kind == 'fail'][:3]"
    assert sorted(value(ended)) == ["clerk-1", "clerk-2", "clerk-3"]
    assert "TypeError" in lesson.output(lesson.index("first-error"))
    assert value("sum(one['departed'] is None for one in first['value'])") == 1
    # nobody has put it aside, nobody has counted
    assert value("happened") == {"topic for dead letters": False, "attempts counted": False}
    # the stubborn clerk: one partition, and nothing is wrong with those that wait
    assert value("len(blocked)") == 1
    assert value("0 < fine < len(without)") is True


@pytest.mark.shares_a_lab
def test_each_way_has_the_price_that_is_told(lesson):
    value = lesson.value
    assert value("len(lost_by_skipping)") > 0
    assert value("(len(lost_in_place), len(lost_by_detour))") == [0, 0]
    assert value("overtaken_in_place") == 0
    assert value("overtaken_by_detour") > 0
    cancelled = value("sum(flight['departed'] is None for flight in script)")
    assert value("headers['error'].value_counts().to_dict()") == {
        "TypeError": cancelled,
        "JSONDecodeError": 1,
    }
    # where a dead letter says that it comes from, it comes from
    assert value("set(headers['origin-topic']) == {departed}") is True
    assert value("sorted(set(headers['attempts']))") == ["1"]
    assert value("any('alert: ' in mark.text for mark in lab.journal.marks)") is True


@pytest.mark.shares_a_lab
def test_the_neat_reader_got_what_came_before_and_had_to_be_killed(lesson):
    value = lesson.value
    assert value("error") == "JSONDecodeError"
    assert value("float(told['got'].sum())") <= 3
    assert value("int(told['raised'].notna().sum())") == 1
    assert value("silent") > 0.9  # s: its timeout was 0.5
    assert value("reader.state") == "crashed"


@pytest.mark.shares_a_lab
def test_a_prediction_answers_back(lesson):
    assert "It was never returns" in lesson.output(lesson.index("silent-answer"))
    assert "of 7" in lesson.output(lesson.index("surprises"))
    told = "You said returns, and it was never returns. The reader's position"
    lesson.corrects("silent-answer", "'returns'", told)
    lesson.execute("prediction = ...")


@pytest.mark.shares_a_lab
def test_what_was_replayed_is_billed_once_and_nothing_is_lost(lesson):
    assert lesson.value("bills_of_cancelled") == 1
    assert lesson.value("len(still_lost)") == 0
    assert lesson.value("by_hand") == ["b'EV4543 cancelled, sorry!'"]
    assert lesson.value("again") == []


@pytest.mark.shares_a_lab
def test_a_program_that_a_group_has_alone_is_known_without_its_picture(lesson):
    """`repairs` was made in the cell of a picture: without it there was no exercise 2."""
    pictures = [cell for cell in lesson.client.cells if "lab.show." in cell.source]
    assert not [cell.id for cell in pictures if cell.source.count("\n")]
    assert len(pictures) == 5


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    died, stubborn, in_place, storm, replayed = lesson.told
    assert "nobody has read partition" in died or "blocked" in died
    assert "has been blocked for" in stubborn
    assert "was blocked for up to" in in_place
    assert "no partition has been blocked" in storm
    assert "parked: " in storm
    assert "retried: " in storm
    cancelled = lesson.value("sum(flight['departed'] is None for flight in script)")
    assert f"replayed: {cancelled + 1}" in replayed


# -- exercise 1 -----------------------------------------------------------------------------

COPE = """
bad_day()


def mine(service, producer, record, error):
    BODY


lab.service(unlucky(clerk), departed, mine, copies=COPIES)
MORE
"""
IN_PLACE = """for pause in (0.1, 0.2, 0.4):
        service.wait(pause)
        with suppress(Exception):
            return bill(service, producer, record)
    """
PARK = "send_on(dead, producer, record, error)"
HOPELESS = f"if isinstance(error, HOPELESS):\n        return {PARK}\n    "
PATIENT = f"{HOPELESS}{IN_PLACE}{PARK}"


def cope(body: str, more: str = "", copies: int = 2) -> str:
    return COPE.replace("BODY", body).replace("MORE", more).replace("COPIES", str(copies))


def handler(first_lines: str, body: str = PATIENT) -> str:
    """Return code that puts lines before the handler, for one attempt, and a right cope."""
    return f"""
kept = bill


def bill(service, producer, record):
    {first_lines}
    kept(service, producer, record)

{cope(body)}
bill = kept
"""


HARRY = "if json.loads(record.value)['id'] == script[95]['id']: "
AGAIN = "lab.service(clerk, retries[0], mine, 0, name='retry-1s')"
UNAWAITED = "producer.send(dead, record.value, key=record.key, headers=cause(record, error))"
BACK = "producer.send(departed, record.value, key=record.key)"
WRONG_COPES = {
    "does not wait for the broker": (
        cope(f"{HOPELESS.replace(PARK, UNAWAITED)}{IN_PLACE}{UNAWAITED}"),
        "send() returns at once",
    ),
    "back into the source": (cope(f"{HOPELESS}{BACK}.get(timeout=10)"), "hear of a flight"),
    "back into the source, hopeless or not, and unawaited": (
        cope(BACK),
        "send() returns at once",
    ),
    "another origin": (
        cope(
            f"{IN_PLACE}told = [(name, b'1' if name == 'origin-offset' else value)\n    "
            "    for name, value in cause(record, error)]\n    "
            "producer.send(dead, record.value, key=record.key, headers=told).get(timeout=10)"
        ),
        "record.topic, record.partition and record.offset",
    ),
    "skips": (cope("skip(service, producer, record, error)"), "Skipped and committed is lost"),
    "dies": (cope("raise error"), "leaves its partition to a colleague"),
    "dies of its own mistake": (cope("send_on(dead)"), "leaves its partition to a colleague"),
    "insists": (cope("insist(service, producer, record, error)"), "it needs a limit"),
    "parks everything": (cope(PARK), "the tariff was not ready"),
    "skips what is hopeless": (
        cope(f"{IN_PLACE}skip(service, producer, record, error)"),
        "Skipping blocks nobody, and loses",
    ),
    "no headers": (
        cope(
            f"{HOPELESS}{IN_PLACE}".replace(
                PARK, "producer.send(dead, record.value, key=record.key).get(timeout=10)"
            )
        ),
        "headers=cause(record, error) tells",
    ),
    "no key": (
        cope(
            f"{HOPELESS}{IN_PLACE}".replace(
                PARK, "producer.send(dead, record.value, headers=cause(record, error)).get(10)"
            )
        ),
        "the key decides the partition",
    ),
    "nobody at the retry topic": (
        cope(f"{HOPELESS}send_on(retries[0], producer, record, error)"),
        "somebody has to read it",
    ),
    "round and round": (cope("send_on(retries[0], producer, record, error)", AGAIN), "goes round"),
    "forgets the origin": (
        cope(
            "record.headers[:] = [one for one in record.headers if one[0] == 'attempts']\n    "
            "tries = dict(record.headers).get('attempts', b'0')\n    "
            "send_on(retries[0] if int(tries) < 3 else dead, producer, record, error)",
            AGAIN,
        ),
        "Keep the origin",
    ),
    "waits for what is hopeless": (
        cope(f"{IN_PLACE}service.wait(3)\n    {PARK}", copies=3),
        "Park it at once",
    ),
    "parks and skips nothing twice": (
        cope(f"{HOPELESS.replace('return ', '')}{IN_PLACE}{PARK}"),
        "One way for each record",
    ),
    "makes up a departure": (
        cope(
            f"{IN_PLACE}flight = repair(record.value)\n    "
            "made = {'flight': flight and flight['id']}\n    "
            "producer.send(bills, json.dumps(made).encode(), key=record.key).get(10)"
        ),
        "Guessing a value",
    ),
    "nobody": ("bad_day()", "leave them running"),
    "never returns": (
        cope("while service.wait(1):\n        pass"),
        "cannot be billed however often",
    ),
    "a handler that never returns": (
        handler(f"{HARRY}service.wait(1000)"),
        "A call needs a timeout",
    ),
}  # fmt: skip
RIGHT_COPES = {
    "what is hopeless at once, what is not by the detour": """
bad_day()
lab.service(clerk, departed, detour(retries[0]), copies=2)
lab.service(clerk, retries[0], detour(retries[1]), 0.5, name="retry-1s")
lab.service(clerk, retries[1], detour(dead), 1, name="retry-2s")
""",
    "one clerk, and headers of her own making": cope(
        f"{IN_PLACE}"
        "place = ('topic', 'partition', 'offset')\n    "
        "names = {'origin-' + name: getattr(record, name) for name in place}\n    "
        "names |= {'error': repr(error), 'attempts': 4, 'who': service.name}\n    "
        "told = [(name, str(value).encode()) for name, value in names.items()]\n    "
        "producer.send(dead, record.value, key=record.key, headers=told).get(timeout=10)",
        copies=1,
    ),
    "a flush, and no answer awaited": cope(
        f"{IN_PLACE}{UNAWAITED}\n    producer.flush(timeout=10)",
        copies=3,
    ),
    "a handler that fails at random": handler(
        "if time.time() % 0.2 < 0.05: raise RuntimeError('moody')",
        PATIENT.replace("(0.1, 0.2, 0.4)", "(0.07,) * 12"),
    ),
}


def books(records: dict, **more) -> Books:
    return Books("departed", "dead", "billing", records, **more)


@pytest.mark.fast
def test_what_is_wrong_whatever_comes_is_told_without_a_wait():
    """A record that goes round and round was looked at for minutes on a busy machine."""
    one, other = (FlightRecord(None, {"id": flight, "departed": "06:00"}, {}) for flight in "ab")
    topic = {(0, 0): one, (0, 1): other}
    assert not books(topic).is_hopeless
    assert judge_books(books(topic, bills={"a": 1, "b": 1}))
    back = books(topic | {(1, 7): one})
    assert back.is_hopeless
    assert "holds 3 records, and 1 of them came back" in repr(judge_books(back))
    lost = books(topic, lost_under_way={"clerk-2": 1})
    assert lost.is_hopeless
    assert "The power of clerk-2 failed" in repr(judge_books(lost))
    assert books(topic, detours=[MOST_ATTEMPTS + 1]).is_hopeless
    assert not books(topic, detours=[3]).is_hopeless


@pytest.fixture
def impatient(lesson):
    """Let the check wait for less than on a slow student's machine."""
    module = "lab_env.checks.retries_and_dead_letters"
    lesson.execute(f"import {module} as _check; _check.STEADY_SECONDS = 4.0")


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_COPES, 2))
def test_a_wrong_way_to_cope_is_told_what_is_wrong(lesson, impatient, wrong):
    lesson.refuses(1, *WRONG_COPES[wrong])


@pytest.mark.landing
@pytest.mark.shares_a_lab
def test_a_slow_handler_is_told_of_before_long(lesson):
    lesson.execute("import lab_env.checks.retries_and_dead_letters as _check")
    lesson.execute("_check.MOST_SECONDS = 6.0")
    answer = lesson.attempt(1, handler("service.wait(1.0)"))
    lesson.execute("_check.MOST_SECONDS = 30.0")
    assert not answer.passed
    assert "Time is up" in answer.text


@pytest.mark.shares_a_lab
def test_the_solution_accounts_for_all_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(1)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_COPES, 1))
def test_another_right_way_accounts_for_all(lesson, right):
    lesson.accepts(1, RIGHT_COPES[right])


# -- exercise 2 -----------------------------------------------------------------------------

REPLAY = """
after_the_storm()
done = set()
with closing(letter_box()) as letters, closing(KafkaProducer(**lab.connection)) as producer:
    for letter in letters:
        flight = repair(letter.value)
        if KNOWN in done:
            continue
        done.add(KNOWN)
        producer.send(TOPIC, VALUE, key=KEY, headers=HEADERS)
    producer.flush(timeout=10)
    COMMIT
"""


def again(**changes) -> str:
    parts = {
        "KNOWN": "flight['id']",
        "TOPIC": "retries[0]",
        "VALUE": "json.dumps(flight).encode()",
        "KEY": "letter.key",
        "HEADERS": "letter.headers",
        "COMMIT": "letters.commit()",
    } | changes
    code = REPLAY
    for name, part in parts.items():
        code = code.replace(name, part)
    return code


INVOICE = "json.dumps({'flight': flight['id'], 'dollars': 900}).encode()"
WRONG_REPLAYS = {
    "as the lesson does": (again(KNOWN="(letter.offset, letter.partition)"), "At least once"),
    "as it was": (again(VALUE="letter.value"), "Replayed without a repair"),
    "no headers": (again(HEADERS="[]"), "headers=letter.headers"),
    "no key": (again(KEY="None"), "key=letter.key"),
    "no commit": (again(COMMIT="pass"), "replays them again"),
    "writes the bills by hand": (again(TOPIC="bills", VALUE=INVOICE), "gives the record back"),
    "an aircraft once": (again(KNOWN="flight['carrier']"), "two flights of the same aircraft"),
    "nothing": ("after_the_storm()", "send it to retries[0]"),
    "another flight": (
        again(VALUE="json.dumps(flight | {'id': 'X' + flight['id']}).encode()"),
        "have no bill",
    ),
}
RIGHT_REPLAYS = {
    "by the origin": again(KNOWN="(dict(letter.headers)['origin-partition'], "
        "dict(letter.headers)['origin-offset'])"),
    "by a service that joins the group, with a header of its own": """
after_the_storm()


def mender(service):
    options = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "group_id": repairs}
    done = set()
    with closing(KafkaConsumer(dead, **lab.connection, **options)) as letters:
        producer = KafkaProducer(**lab.connection)
        while service.running:
            for letter in chain(*letters.poll(timeout_ms=500).values()):
                flight = repair(letter.value)
                if flight["id"] not in done:
                    done.add(flight["id"])
                    told = [*letter.headers, ("mended-by", b"mender")]
                    value = json.dumps(flight).encode()
                    producer.send(retries[0], value, key=letter.key, headers=told).get(timeout=10)
            letters.commit()


lab.service(mender)
lab.until(lambda: len(lab.records(bills)) == 6, seconds=20)
""",
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_REPLAYS, 1))
def test_a_wrong_replay_is_told_what_is_wrong(lesson, impatient, wrong):
    lesson.refuses(2, *WRONG_REPLAYS[wrong])


@pytest.mark.shares_a_lab
def test_the_solution_replays_once_and_may_be_checked_twice(lesson):
    lesson.accepts_its_solution(2)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_REPLAYS, 1))
def test_another_right_way_replays_once(lesson, right):
    lesson.accepts(2, RIGHT_REPLAYS[right])


# -- small steps ------------------------------------------------------------------------------

WRONG_STEPS = {
    "past": ("at = 3", "at = 6", "three flights that departed were skipped"),
    "key": ('flight["tail_number"]', 'flight["id"]', "a key of its own"),
    "park": ("producer.send(bad, record.value)", "pass", "will ever hear of this message"),
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
@pytest.mark.timeout(300)
def test_experiments_can_be_run_again(lesson):
    for cell in (
        "topics",
        "gives-up",
        "at-work",
        "culprit",
        "places",
        "storm",
        "letters",
        "trap",
        "spins",
    ):
        lesson.again(lesson.index(cell))
    assert not lesson.errors
    assert lesson.value("at_work") == 0
    assert lesson.value("len(lost_by_detour)") == 0


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_nothing_is_lost_when_the_broker_dies_in_the_storm(lesson):
    lesson.execute("open_office(len(script)); type_by_hand()")
    lesson.execute("lab.until(lambda: len(lab.records(bills)) > 20, 30); tariffs.set(out='EV')")
    lesson.execute("lab.kill(1); lab.start(1)")
    lesson.execute("tariffs.set(out=None); missing = through()")
    assert lesson.value("sum(watch.samples[-1].lag(road, billing) for road in roads)") == 0
    assert (
        lesson.value("[one.name for one in lab.services.values() if one.state == 'failed']") == []
    )
    assert lesson.value("sorted(missing)") == []
    parked = "{one['id'] for one in lab.records(dead)['value'] if isinstance(one, dict)}"
    assert lesson.value(f"sorted(cancelled - {parked})") == []
    assert lesson.value("len(lab.records(departed)) > len(script)") is True

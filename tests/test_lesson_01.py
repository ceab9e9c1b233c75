"""Lesson 01: what its prose claims is true, and its checks tell right answers from wrong ones."""

import pytest
from lesson import NOTEBOOKS, open_lesson, some

from lab_env.course import lessons

NUMBER = "01"
# the cells that answer a prediction, and what happens on every machine
ANSWERS = {
    "call-down-count": "slow",
    "by-order": "0",
    "ask-and-wait": "a second",
    "late-reply": "False",
    "send-ten": "0",
    "kill-arrived": "without flush: 0, with flush: 10",
    "crash-between-count": "stored: 3, announced: 2",
}


@pytest.mark.shares_a_lab
def test_what_the_prose_claims_happens(lesson):
    value = lesson.value
    assert not lesson.errors
    lesson.asks_each_step()
    for exercise in lesson.exercises:  # a stub does not pass, and nothing after it breaks
        assert "✗" in lesson.output(exercise.check)
    # a call: as slow as the desk, refused while it is dead
    assert value("rate_when_slow") < value("rate") / 2
    assert value("failed_calls") == 20
    # call against message, through the same bad day
    waited, count = value("waited['median'].to_dict()"), value("waited['count'].to_dict()")
    assert waited["call"] >= 1 > waited["message"]
    assert count["message"] > 2 * count["call"]
    assert set(value("failed")) == {"call"}
    assert value("len(sent)") >= 70
    assert value("sorted(lost)") == []
    assert value("float(later.max())") > 1
    # request and reply
    assert (value("right_by_order"), value("right_by_id")) == (0, 6)
    assert value("waited_for_reply") >= 1
    assert value("gave_up") is True
    assert value("came_late") is True
    # sent is not arrived
    assert (value("before_flush"), value("after_flush"), value("receipt.offset")) == (0, 10, 9)
    assert value("arrived") == {"without flush": 0, "with flush": 10}
    assert (value("len(stored)"), value("len(told)")) == (3, 2)
    assert value("told == stored[:2]") is True
    # what answers a prediction says so
    for cell, was in ANSWERS.items():
        told = lesson.output(lesson.index(cell))
        assert f"No prediction: It was {was}." in told, (cell, told)
    assert "and made no prediction for 8" in lesson.output(lesson.index("surprises"))


@pytest.mark.shares_a_lab
@pytest.mark.parametrize(
    ("cell", "wrong", "told"),
    [
        ("call-slow-rate", "round(rate, 1)", "As before: that would be so if operations"),
        ("call-down-count", "'dead'", "You said dead, and it was slow. Dead: so it is with"),
        ("by-order", "6", "You said 6, and it was 0. 6: that would be so if replies"),
        ("kill-arrived", "{'without flush': 10, 'with flush': 10}", "Foreseen (with flush): 10."),
        ("crash-between-count", "{'announced': 3}", "3: that would be one transaction"),
    ],
)
def test_a_wrong_guess_is_told_what_it_would_mean(lesson, cell, wrong, told):
    lesson.corrects(cell, wrong, told)


@pytest.mark.shares_a_lab
def test_the_pictures_tell_the_same_in_a_sentence(lesson):
    told = lesson.told
    assert len(told) == 2
    assert "call ● " in told[0]
    assert "call fails × " in told[0]  # noqa: RUF001
    assert "message ■ " in told[1]


STEPS = {
    "pull": ("max_records=3", "max_records=30", "The broker pushes nothing"),
    "match": (
        'question.headers["correlation-id"]',
        'lab.records(questions)["headers"][0]["correlation-id"]',
        "Each question has one of its own",
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_taken_and_a_typical_wrong_one_is_told(lesson, name):
    right, wrong, told = STEPS[name]
    lesson.refuses_step(name, lesson.changed_step(name, right, wrong), told)
    lesson.accepts_step(name)


def test_it_does_not_say_again_what_was_wrong(text):
    """Brokers of other makers do route, and clients of other makers do not flush at their end."""
    assert "does not route" not in text
    assert "a client of one maker can talk to a broker of another" not in text
    assert "confluent-kafka and Java's client do not" in text
    for term in ("temporal coupling", "dual write", "transactional outbox", "relay", "blocked"):
        assert f"**{term}**" in text
    for claim in ("pulls", "change data capture", "synchronous"):
        assert f"**{claim}**" in text


@pytest.fixture
def text():
    """What the lesson says, without its code."""
    (path,) = NOTEBOOKS.glob(f"{NUMBER}_*.ipynb")
    cells = lessons.load(path)["cells"]
    return "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")


DESK = """
def gate_desk(service, topic):
    producer = KafkaProducer(**lab.connection)
    consumer = KafkaConsumer(topic, **lab.connection, auto_offset_reset="earliest")
    while service.running:
        for records in consumer.poll(timeout_ms=200).values():
            for request in records:
                about = dict(request.headers)
                topic_, identity = about["reply-to"].decode(), about["correlation-id"]
                body = {"gate": gate_of(json.loads(request.value)["flight"])}
                SEND


wanted, board, crew = twelve_requests()
lab.service(gate_desk, wanted, name="gate-desk")
"""
SEND = "producer.send(%s, json.dumps(%s).encode(), headers=%s)"
RIGHT = ("topic_", "body", '[("correlation-id", identity)]')


def desk(topic=RIGHT[0], body=RIGHT[1], headers=RIGHT[2], after="") -> str:
    return DESK.replace("SEND", SEND % (topic, body, headers) + after)


# what the student wrote, and what the hint must speak of
FIRST = '{"gate": gate_of(json.loads(records[0].value)["flight"])}'
WRONG_DESKS = {
    "the first flight's gate for all": (desk(body=FIRST), "inside the loop"),
    "an error of its own": (
        desk(headers='[("correlation-id", identity.decode())]'),
        "Correct that",
    ),
    "one gate for all": (desk(body='{"gate": "B16"}'), "name the gate of another flight"),
    "no gate that is known": (desk(body='{"gate": "??"}'), "name the gate of another flight"),
    "a topic as bytes": (desk(topic='about["reply-to"]'), "topics are texts"),
    "a field that is not there": (desk().replace('["flight"])', '["number"])'), "KeyError"),
    "two desks at once": (
        desk() + 'lab.service(gate_desk, wanted, name="desk-b")\n',
        "gate-desk, desk-b",
    ),
    "no correlation id": (desk(headers="None"), "have no header correlation-id"),
    "a new id": (
        desk(headers='[("correlation-id", str(uuid4()).encode())]'),
        "copy the one in the header of the request",
    ),
    "all on one topic": (
        desk(topic='lab.group("gate.board")'),
        "must not know the topics of its clients by heart",
    ),
    "the id in the body": (
        desk(body='{**body, "correlation-id": identity.decode()}', headers="None"),
        "The one who sorts the replies looks at the headers",
    ),
    "every reply twice": (desk(after="; " + SEND % RIGHT), "answered more than once"),
    "the first request alone": (desk(after="; producer.flush(); return"), "11 of 12 requests"),
    "no gate": (desk(body='"B16"'), "have no gate in the body"),
    "answers where it reads": (
        desk(topic="topic", after="; producer.flush(); return"),
        "will soon have to answer itself",
    ),
    "reads what comes after it": (
        desk().replace('auto_offset_reset="earliest"', ""),
        "does not see requests that were there before it",
    ),
}
IN_A_GROUP = (
    desk(headers="request.headers")  # all of the request's headers, ours among them
    .replace('auto_offset_reset="earliest"', 'group_id="desk", auto_offset_reset="earliest"')
    .replace("{'gate': ", "{'flight': 1, 'gate': ")
)


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_DESKS))
def test_exercise_1_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(1, *WRONG_DESKS[wrong])


@pytest.mark.shares_a_lab
def test_exercise_1_right_answers_pass(lesson):
    for code in (lesson.solution(1), IN_A_GROUP):
        lesson.accepts(1, code)
    # under another name, while the first one would still run
    lesson.accepts(1, lesson.solution(1).replace('name="gate-desk"', 'name="desk-b"'))
    lesson.execute("lab.topic('gate.desk')")  # not fooled by what is in the student's variables
    lesson.client.execute_cell(lesson.exercises[0].check)
    assert "no request with the headers" in lesson.output(lesson.exercises[0].check)


CONFLUENT = """
import confluent_kafka


def gate_desk(service, topic):
    producer = confluent_kafka.Producer(lab.librdkafka)
    options = {"group.id": "d", "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer(lab.librdkafka | options)
    consumer.subscribe([topic])
    while service.running:
        request = consumer.poll(0.5)
        if request is None or request.error():
            continue
        about = dict(request.headers())
        gate = gate_of(json.loads(request.value())["flight"])
        headers = {"correlation-id": about["correlation-id"]}
        answer = json.dumps({"gate": gate, "by": "desk"})
        producer.produce(about["reply-to"].decode(), answer, headers=headers)
        producer.poll(0)
    consumer.close()


wanted, board, crew = twelve_requests()
lab.service(gate_desk, wanted, name="gate-desk")
"""


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_exercise_1_a_desk_on_librdkafka_passes(lesson):
    lesson.accepts(1, CONFLUENT)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_exercise_1_a_member_that_never_left_is_told(lesson):
    lesson.execute(IN_A_GROUP)
    lesson.execute("lab.until(lambda: len(lab.records(crew))); lab.services['gate-desk'].crash()")
    lesson.refuses(1, IN_A_GROUP, "has ended without consumer.close()")


ANNOUNCE = """
def announce(service, producer, topic, events):
    BODY


lab.services.stop()
safe = lab.topic("gate.safe")
announcer = lab.service(station, announce, safe, departures[:20], name="announcer")
announcer.first("sent")
"""


def announce(*lines: str) -> str:
    return ANNOUNCE.replace("BODY", "\n    ".join(lines))


ALL = "futures = [producer.send(topic, json.dumps(event).encode()) for event in events]"
FLUSH, REPORT = "producer.flush(timeout=10)", "service.report(sent=len(events))"
OWN = "own = KafkaProducer(**lab.connection)"
WRONG_ANNOUNCERS = {
    "waits for some seconds": (announce(ALL, "service.wait(3)", REPORT), "is no confirmation"),
    "a number as text": (announce(ALL, FLUSH, 'service.report(sent="20")'), "quotation marks"),
    "a producer of its own, no flush": (
        announce(OWN, ALL.replace("producer", "own"), REPORT),
        "Wait until Kafka has confirmed them",
    ),
    "an error of its own": (
        announce("producer.send(topic, events)", REPORT).replace('first("sent")', "_run.wait(20)"),
        "Correct that line",
    ),
    "no flush": (announce(ALL, REPORT), "Wait until Kafka has confirmed them"),
    "flush after the report": (announce(ALL, REPORT, FLUSH), "Wait until Kafka has confirmed them"),
    "report before send": (announce(REPORT, ALL, FLUSH), "Wait until Kafka has confirmed them"),
    "waits for the first alone": (
        announce(ALL[:-1] + "[:1]]; futures[0].get(timeout=10)", REPORT),
        "Wait until Kafka has confirmed them",
    ),
    "sends fewer": (
        announce("events = events[:10]", ALL, FLUSH, REPORT),
        "events are missing",
    ),
    "sends twice": (announce(ALL, ALL, FLUSH, REPORT), "two records"),
    "says less than it did": (announce(ALL, FLUSH, "service.report(sent=1)"), "others again"),
    "survives": (
        announce(ALL, FLUSH, REPORT)
        .replace("station, announce, safe", "announce, KafkaProducer, safe")
        .replace("    futures", "    producer = producer(**lab.connection); futures"),
        "has outlived its report",
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_ANNOUNCERS))
def test_exercise_2_a_wrong_answer_gets_a_hint_that_teaches(lesson, wrong):
    lesson.refuses(2, *WRONG_ANNOUNCERS[wrong])


@pytest.mark.shares_a_lab
def test_exercise_2_right_answers_pass(lesson):
    lesson.accepts_its_solution(2)


RIGHT_ANNOUNCERS = {
    "each future": announce(ALL, "[future.get(timeout=10) for future in futures]", REPORT),
    "each future before the next": announce(
        "for event in events:",
        "    producer.send(topic, json.dumps(event).encode()).get(timeout=10)",
        REPORT,
    ),
    "callbacks": announce(
        "safe = []",
        ALL.replace("for event", ".add_callback(safe.append) for event"),
        FLUSH,
        "service.report(sent=len(safe))",
    ),
    "librdkafka": announce(
        "import confluent_kafka",
        "own = confluent_kafka.Producer(lab.librdkafka | {'linger.ms': 500})",
        "[own.produce(topic, json.dumps(event)) for event in events]",
        "own.flush(10)",
        REPORT,
    ),
}


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("right", some(RIGHT_ANNOUNCERS, 1))
def test_exercise_2_another_right_way_passes(lesson, right):
    lesson.accepts(2, RIGHT_ANNOUNCERS[right], right)


@pytest.mark.nightly
@pytest.mark.shares_a_lab
def test_exercise_2_an_older_attempt_that_still_sends_is_named(lesson):
    lesson.execute(
        "def old(service, topic):\n"
        "    KafkaProducer(**lab.connection).send(topic, b'old').get(timeout=10)\n"
        "    service.wait(60)\n"
    )
    late = 'lab.service(old, safe, name="old-one")\nlab.until(lambda: len(lab.records(safe)))\n'
    code = lesson.solution(2).replace("announcer =", f"{late}announcer =")
    lesson.refuses(2, code, "old-one")


@pytest.mark.nightly
@pytest.mark.timeout(300)  # two lessons long, on a machine that may do other things
def test_cells_that_run_twice_do_the_same_again(own_home):
    with open_lesson(NUMBER) as lesson:
        for index, cell in enumerate(lesson.client.cells):
            if cell.cell_type == "code":
                lesson.run(index + 1)
                lesson.again(index)
            if cell.id == "picture-call":  # shorter phases: this is not about what they show
                lesson.execute("_more = more; more = lambda service, rows: _more(service, 3)")
            if cell.id == "count-lost":
                assert lesson.value("sorted(lost)") == []
            if cell.id == "by-id":
                assert lesson.value("right_by_id") == 6
            if cell.id == "kill":
                assert lesson.value("arrived") == {"without flush": 0, "with flush": 10}
        assert not lesson.errors

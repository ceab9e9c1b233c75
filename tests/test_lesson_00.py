"""Lesson 00 runs, what it says is so, and its checks tell right answers from wrong ones."""

import copy

import pytest
from lesson import NOTEBOOKS, open_lesson

from lab_env.course import lessons

THREE = 'mine = lab.topic("flights.mine")\nthree = events[1:4]\n'
HEADERS = '[("source", b"operations"), ("type", b"departed")]'


def send_three(record: str) -> str:
    """Return an answer to exercise 1: what goes to send() for each flight, besides the topic."""
    return f"{THREE}for f in three:\n    producer.send(mine, {record})\nproducer.flush()\n"


WHOLE = f'key=f["tail_number"].encode(), value=json.dumps(f).encode(), headers={HEADERS}'
SENT_WRONG = {
    "no key": (f"value=json.dumps(f).encode(), headers={HEADERS}", "never opens a body"),
    "the key in the body": (
        f'value=json.dumps(f | {{"key": f["tail_number"]}}).encode(), headers={HEADERS}',
        "no key; the word key stands in its body",
    ),
    "the key in quotation marks": (
        f'key=json.dumps(f["tail_number"]).encode(), value=json.dumps(f).encode(), '
        f"headers={HEADERS}",
        "with the quotation marks",
    ),
    "the flight's name as key": (
        f'key=f["flight"].encode(), value=json.dumps(f).encode(), headers={HEADERS}',
        "must be of the same flight",
    ),
    "no header": (
        'key=f["tail_number"].encode(), value=json.dumps(f).encode()',
        "a list of pairs",
    ),
    "one header": (
        'key=f["tail_number"].encode(), value=json.dumps(f).encode(), '
        'headers=[("source", b"operations")]',
        "no header 'type'",
    ),
    "the headers in the body": (
        'key=f["tail_number"].encode(), '
        'value=json.dumps(f | {"source": "operations", "type": "departed"}).encode()',
        "without opening the body",
    ),
    "a header's value in capitals": (
        WHOLE.replace("operations", "Operations"),
        "mind small letters",
    ),
    "Python's text of a dict": (WHOLE.replace("json.dumps(f)", "str(f)"), "by Python alone"),
    "JSON twice": (WHOLE.replace("json.dumps(f)", "json.dumps(json.dumps(f))"), "Call it once"),
    "text of bytes": (
        WHOLE.replace("json.dumps(f)", "str(json.dumps(f).encode())"),
        "how Python shows bytes",
    ),
    "a parcel": (
        WHOLE.replace("json.dumps(f)", 'json.dumps({"key": f["tail_number"], "value": f})'),
        "not a parcel",
    ),
    "a word": (WHOLE.replace("json.dumps(f)", 'f["id"]'), "makes bytes of the text"),
    "no body": (f'key=f["tail_number"].encode(), headers={HEADERS}', "has no body"),
    "three fields of the flight": (
        WHOLE.replace("(f)", '({k: f[k] for k in ("id", "flight", "tail_number")})'),
        "These are missing: event, date",
    ),
    "a field of its own": (
        WHOLE.replace("(f)", '(f | {"sent_by": "me"})'),
        "changed or added: sent_by",
    ),
    "a field that was changed": (
        WHOLE.replace("(f)", '(f | {"delay_minutes": 0.5})'),
        "changed or added: delay_minutes",
    ),
}

READ = """\
checked = lab.topic("flights.checked")
records = second  # the whole topic, which the lesson has read
worst = max(records, key=lambda record: json.loads(record.value)["delay_minutes"])
mark = ("checked-by", b"Grace")
"""


def pass_on(record: str, before: str = "") -> str:
    """Return an answer to exercise 2: what goes to send() as the copy."""
    return f"{READ}{before}producer.send({record})\nproducer.flush()\n"


COPY = "checked, key=worst.key, value=worst.value, headers=[*worst.headers, mark]"
BODY = "json.loads(worst.value)"
PASSED_WRONG = {
    "another record": (COPY.replace("worst", "records[0]"), "greatest delay in the topic"),
    "the key lost": (COPY.replace("key=worst.key, ", ""), "Add key=record.key"),
    "another key": (COPY.replace("worst.key", 'b"worst"'), "The key of the copy of"),
    "the headers lost": (COPY.replace("[*worst.headers, mark]", "[mark]"), "source, type"),
    "no mark": (COPY.replace(", mark", ""), "no header checked-by"),
    "an empty mark": (COPY.replace("mark]", '("checked-by", b"")]'), "is empty"),
    "two marks": (COPY.replace("mark]", "mark, mark]"), "2 times"),
    "another name for the mark": (
        COPY.replace("mark]", '("checked_by", b"Grace")]'),
        "spelt with a hyphen",
    ),
    "the mark in the body": (
        COPY.replace("worst.value", f'json.dumps({BODY} | {{"checked-by": "G"}}).encode()'),
        "belongs in its headers",
    ),
    "the body encoded anew": (
        COPY.replace("worst.value", f"json.dumps({BODY}, indent=1).encode()"),
        "but in other bytes",
    ),
    "the body as Python's text": (
        COPY.replace("worst.value", f"str({BODY}).encode()"),
        "no need to rewrite",
    ),
    "the body as text of bytes": (
        COPY.replace("worst.value", "str(worst.value).encode()"),
        "bytes already",
    ),
    "JSON twice": (
        COPY.replace("worst.value", "json.dumps(worst.value.decode()).encode()"),
        "JSON already",
    ),
    "no body": (COPY.replace("worst.value", "None"), "has no body"),
    "a word": (COPY.replace("worst.value", 'b"checked"'), "bytes already"),
    "another body": (
        COPY.replace("worst.value", f'json.dumps({BODY} | {{"delay_minutes": 0}}).encode()'),
        "body of no record",
    ),
}


@pytest.fixture(scope="module")
def lesson(own_home):
    """The lesson as committed, run up to where the exercises can be tried again and again."""
    with open_lesson("00") as opened:
        opened.run_to_exercise(2)
        yield opened


def test_what_the_lesson_says_is_so(lesson):
    assert not lesson.errors
    refused = "TypeError: Unsupported type for serialized value: <class 'str'>"
    assert lesson.output(lesson.index("type-error")).strip() == refused
    away = lesson.output(lesson.index("timeout-error"))
    assert away.startswith("KafkaTimeoutError: ")
    assert "Unable to bootstrap from 127.0.0.1:2181" in away

    assert (
        lesson.value("kafka.__file__")
        .replace("\\", "/")
        .endswith("site-packages/kafka/__init__.py")
    )
    broker = lesson.value("cluster['brokers'][0]")
    address = f"{broker['host']}:{broker['port']}"
    assert lesson.value("lab.connection['bootstrap_servers']") == [address]
    assert address in lesson.output(lesson.index("lab"))
    assert lesson.value("len(cluster['brokers'])") == 1

    assert lesson.value("[receipt.topic, receipt.partition, receipt.offset]") == [
        lesson.value("topic"),
        0,
        0,
    ]
    assert lesson.value("body == flight")
    assert lesson.value("[record.offset, record.timestamp_type]") == [0, 0]  # the client's clock
    assert lesson.value("record.key.decode() == flight['tail_number']")
    assert lesson.value("[h[0] for h in record.headers]") == ["source", "type"]
    assert lesson.value("datetime.fromtimestamp(record.timestamp / 1000).year") > 2013
    assert lesson.value("body['departed'][:4]") == "2013"
    assert lesson.value("kafka.KafkaProducer.DEFAULT_CONFIG['bootstrap_timeout_ms']") == 30_000
    assert not lesson.value("hasattr(kafka.errors, 'NoBrokersAvailable')")

    lesson.asks_each_step()
    # what answers a prediction says so
    assert "No prediction: It was 0." in lesson.output(lesson.index("offset"))
    this_year = lesson.value("written.year")
    told = lesson.output(lesson.index("timestamp"))
    assert f"It was timestamp: {this_year}, departed: 2013." in told
    assert "No prediction: It was everything." in lesson.output(lesson.index("again"))


@pytest.mark.parametrize(
    ("cell", "wrong", "told"),
    [
        ("offset", "1", "Otherwise: You said 1, and it was 0. 1: people count from 1."),
        ("timestamp", "{'timestamp': 2013, 'departed': 2013}", "2013: the flight is of that year"),
        ("again", "'nothing'", "You said nothing, and it was everything. Nothing: that would be"),
    ],
)
def test_a_wrong_guess_is_told_what_it_would_mean(lesson, cell, wrong, told):
    lesson.corrects(cell, wrong, told)
    surprised = lesson.execute('print(repr(check.surprises("00")))')
    assert cell in surprised.split("What surprised you: ")[1]


def test_the_stream_reaches_the_topic_and_reading_takes_nothing_away(lesson):
    sent = lesson.value("stream.sent")
    assert sent > 100
    assert lesson.value("len(first)") == sent + 1, "the first flight, and the stream"
    assert lesson.value("first == second")
    assert lesson.value("[r.offset for r in first]") == list(range(sent + 1))


def test_the_picture_is_shown_with_a_sentence(lesson):
    outputs = lesson.client.cells[lesson.index("picture")].outputs
    pictures = [o.data for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 1
    assert lesson.value("topic") in pictures[0]["text/plain"]


def test_three_flights(lesson):
    assert "holds no record" in refused(lesson, 1, None)
    for name, (record, hint) in SENT_WRONG.items():
        text = refused(lesson, 1, send_three(record))
        assert hint in text, (name, text)
    once = send_three(WHOLE)
    assert "compare records" in refused(lesson, 1, once + once.removeprefix(THREE))
    assert "too few: 1 of 3" in refused(lesson, 1, once.replace("in three", "in three[:1]"))
    assert "exactly three" in refused(lesson, 1, once.replace("in three", "in events[:5]"))
    assert "no topic" in refused(lesson, 1, 'mine = "flights.nowhere"')
    others = once.replace("in three", "in events[10:13]")
    assert "Loop over `three`" in refused(lesson, 1, others)
    # a header as a dict: an error in the cell, and nothing in the topic
    wrong = once.replace(HEADERS, '{"source": b"operations"}')
    tried = f"{THREE}import contextlib\nwith contextlib.suppress(Exception):\n    "
    tried += wrong.removeprefix(THREE).replace("\n", "\n    ")
    assert "Did your cell end with an error?" in refused(lesson, 1, tried)

    assert lesson.attempt(1, lesson.solution(1)).passed
    # another order, serializers, other headers beside the two, other spacing, nobody waits
    other = f"""\
mine = lab.topic("flights.mine")
as_json = lambda f: json.dumps(f, indent=2).encode()
serializers = dict(key_serializer=str.encode, value_serializer=as_json)
with closing(KafkaProducer(**lab.connection, **serializers)) as other:
    for f in reversed(events[1:4]):
        headers = [("id", b"7"), *{HEADERS}]
        other.send(mine, f, f["tail_number"], headers)
"""
    assert lesson.attempt(1, other).passed
    # one producer's flights need no flush: they arrive while the check reads, or have arrived
    waited = send_three(WHOLE).replace("    producer.send", "    a = producer.send")
    assert lesson.attempt(1, waited.replace("producer.flush()", "a.get(timeout=10)")).passed


SERVICE = f"""\
{THREE}
def send_all(service, topic):
    with closing(KafkaProducer(**lab.connection)) as own:
        for f in three:
            own.send(topic, {WHOLE})


lab.service(send_all, mine, name="sender")
"""


def test_three_flights_from_a_service_are_waited_for_and_its_error_is_told(lesson):
    assert lesson.attempt(1, SERVICE).passed
    text = refused(lesson, 1, SERVICE.replace('["tail_number"].encode()', '["tail_number"]'))
    assert "sender stopped: TypeError" in text
    assert "own.send(topic" in text, "the student's own line"
    # of another exercise it says nothing
    assert "has failed" not in lesson.attempt(2, READ).text
    lesson.execute("lab.service(lambda service: None, name='sender').join()")


STEPS = {
    "again": ("range(3)", "range(1)", "one send() makes one record"),
    "key": ('["tail_number"].encode()', '["flight"].encode()', "the tail number alone, as bytes"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_small_step_is_taken_and_a_typical_wrong_one_is_told(lesson, name):
    right, wrong, told = STEPS[name]
    lesson.refuses_step(name, lesson.changed_step(name, right, wrong), told)
    lesson.accepts_step(name)


def test_it_does_not_say_again_what_was_wrong():
    """Of offsets, duplicates, the package `kafka`, and who knows which brokers are there."""
    (path,) = NOTEBOOKS.glob("00_*.ipynb")
    cells = lessons.load(path)["cells"]
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert "number of records before" not in text
    assert "compares records" not in text
    assert "It is another" not in text
    assert "the brokers agree" not in text
    for term in ("append-only log", "retention", "serializer", "opaque", "controllers", "event"):
        assert f"**{term}**" in text


def test_passed_on(lesson):
    assert "holds no record" in refused(lesson, 2, None)
    for name, (record, hint) in PASSED_WRONG.items():
        text = refused(lesson, 2, pass_on(record))
        assert hint in text, (name, text)
    twice = pass_on(COPY, f"producer.send({COPY})\n")
    assert "2 times" in refused(lesson, 2, twice)
    copy_all = f"{READ}for worst in records:\n    producer.send({COPY})\nproducer.flush()\n"
    assert "Choose first" in refused(lesson, 2, copy_all)

    swapped = lesson.execute("print(check.passed_on(lab, topic, topic))")
    assert "Source and target are both" in swapped
    empty = lesson.execute('print(check.passed_on(lab, lab.topic("flights.none"), checked))')
    assert "Run the cells above" in empty

    assert lesson.attempt(2, lesson.solution(2)).passed
    # by the offset, with a client of its own, the mark before the other headers
    other = f"""{READ}
from kafka import TopicPartition
place = TopicPartition(topic, 0)
with closing(KafkaConsumer(**lab.connection)) as consumer:
    consumer.assign([place])
    consumer.seek(place, worst.offset)
    found = consumer.poll(timeout_ms=5000, max_records=1)[place][0]
producer.send(checked, found.value, found.key, [mark, *found.headers]).get(timeout=10)
"""
    assert lesson.attempt(2, other).passed
    # last, since it adds to the source
    back = refused(lesson, 2, pass_on(COPY.replace("checked,", "topic,")))
    assert "cannot be changed where it lies" in back


def refused(lesson, number: int, code: str | None) -> str:
    answer = lesson.attempt(number, code)
    assert not answer.passed, answer.text
    assert "Hint" in answer.text or "no topic" in answer.text, answer.text
    return answer.text


@pytest.mark.nightly
def test_every_cell_can_be_run_twice(own_home):
    with open_lesson("00") as lesson:
        # a copy of each cell, since nbclient cannot update a picture whose cell ran once more
        cells = [copy.deepcopy(cell) for cell in lesson.client.nb.cells for _ in range(2)]
        lesson.client.nb.cells[:] = cells
        lesson.run()
        assert lesson.value("receipt.offset") == 1, "the same flight, sent twice"
        assert lesson.value("lab.closed")

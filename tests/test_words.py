"""The words of the lessons: the field's terms are there, and what one stumbles over is not.

The reader's third language is English: the subject comes first, a definition is no aphorism, and
one word has one meaning.
"""

import re

import pytest

from lab_env.course import lessons

pytestmark = pytest.mark.fast
TEXTS = {
    path.name[:2]: "\n\n".join(
        cell["source"] for cell in lessons.load(path)["cells"] if cell["cell_type"] == "markdown"
    )
    for path in lessons.paths()
}
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)

# what was there once, and why it is not any more
BANNED = {
    r"(?m)(?:^|[.!:] |\| )Who [a-z]+s? (?:[^?.!\n|]|\.\d)*[.!|]": "a subject that is a question",
    r"(?i)\bforetell": "to predict",
    r"(?i)\bthe mend\b": "the fix",
    r"(?i)\ba way there and back\b": "a round trip",
    r"(?i)\bfor company\b|bytes of company": "more records, before it sends the batch",
    r"(?i)\bbe they ever so few\b": "even if there are few",
    r"(?i)\bgroup's notes?\b|\bnote in `?__consumer": "committed offset",
    r"(?i)\bdoes Kafka's ELR\b.*last one in sync": "the ISR is empty then",
    r"(?i)The offset of a record is written nowhere": "it is in each record, as a delta",
    r"(?i)is slowed down once that is spent": "a T3 is unlimited, and billed",
    r"(?i)never compares (?:two )?records": "compaction and idempotence do",
    r"(?i)These two speak \*\*AMQP\*\*": "two protocols of that name",
    r"(?i)an idempotent producer removes all duplicates\.": "only its own retries",
    r"(?i)There are four ways": "three protocols and one option",
}
# each stands in bold where the thing first happens
WANTED = {
    "00": ["serializer", "append-only", "retention", "opaque"],
    "01": ["synchronous", "dual write", "transactional outbox", "temporal coupling"],
    "02": ["at least once", "at most once", "exactly once", "idempotent", "committed offset"],
    "03": ["fan-out", "schema"],
    "04": ["append-only", "retention", "compaction", "partition skew"],
    "05": ["coordinator", "committed offset"],
    "06": ["session timeout", "poll interval", "static membership"],
    "07": ["committed offset", "position", "transactional outbox", "idempotent"],
    "08": [
        "dead letter queue", "exponential back-off", "head-of-line blocking", "non-blocking retry",
    ],
    "09": ["round trip"],
    "10": [
        "high watermark", "log end offset", "eligible leader replicas", "truncation",
        "leader epoch", "controller",
    ],
    "12": ["`docker run`", "`docker build`", "`docker pull`", "`docker push`"],
    "13": [
        "desired state", "actual state", "declarative", "control plane", "kubeconfig", "ReplicaSet",
        "HorizontalPodAutoscaler", "`CrashLoopBackOff`", "container runtime",
    ],
    "14": ["least privilege", "instance metadata service"],
}  # fmt: skip
# a heading holds its term
HEADINGS = {
    "04": ["retention", "compaction"],
    "05": ["coordinator", "assignor"],
    "07": ["outbox"],
    "08": ["dead letter"],
    "10": ["high watermark"],
}


@pytest.mark.parametrize("number", TEXTS)
def test_no_sentence_to_stumble_over(number):
    text = CODE.sub("`code`", TEXTS[number])
    found = [
        f"{one[0].strip()!r}: {why}"
        for pattern, why in BANNED.items()
        for one in re.finditer(pattern, text)
    ]
    assert not found


@pytest.mark.parametrize(
    ("number", "term"), [(number, term) for number, some in WANTED.items() for term in some]
)
def test_the_fields_term_stands_in_bold(number, term):
    bold = re.findall(r"\*\*([^*\n]+)\*\*", TEXTS[number])
    assert any(term.casefold() in one.casefold() for one in bold) or (
        term.startswith("`") and term in TEXTS[number]
    )


@pytest.mark.parametrize(
    ("number", "term"), [(number, term) for number, some in HEADINGS.items() for term in some]
)
def test_a_heading_has_its_term(number, term):
    headings = re.findall(r"(?m)^#+ (.+)$", CODE.sub("", TEXTS[number]))
    assert any(term.casefold() in one.casefold() for one in headings), headings

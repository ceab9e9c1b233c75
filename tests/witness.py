"""Evidence of the lessons' answers: heard in a lesson's kernel, kept in a file, judged again.

``pytest --record-evidence tests/test_lesson_08.py --nightly`` runs every answer of lesson 08 live
and writes ``evidence/08.jsonl.gz``; `test_evidence` judges it again, without Kafka.
"""

import gzip
import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "evidence"
LISTEN = f"import sys as _sys; _sys.path.append({str(HERE)!r}); import witness as _witness; _witness.listen()"  # fmt: skip  # noqa: E501

heard: list[dict] = []  # in the kernel: what its judges were given since it was last asked


@dataclass(frozen=True)
class Testimony:
    """What one answer of a student came to.

    Attributes:
        lesson: its two digits.
        place: the exercise's number, or the small step's name.
        code: what the student wrote; "" is the stub.
        hint: what its check must say; "" where it must pass.
        calls: what the judges were given, one after the other: `judge`, `evidence`.
    """

    lesson: str
    place: str
    code: str
    hint: str
    calls: list[dict] = field(default_factory=list)

    @property
    def name(self) -> str:
        """A name for the test that judges it again."""
        sign = hashlib.sha256(self.code.encode()).hexdigest()[:6]
        return f"{self.lesson}-{self.place}-{self.hint[:40] or 'passes'}-{sign}"

    def judged(self) -> list:
        """Return what the judges say now, one after the other."""
        import jsonpickle

        said = []
        for call in self.calls:
            module, _, name = call["judge"].rpartition(".")
            judge = getattr(import_module(module), name)
            evidence, more = jsonpickle.decode(call["evidence"], keys=True, on_missing="error")
            said.append(judge(*evidence, **more))
        return said


def listen() -> None:
    """Hear what the judges of this process are given."""
    from lab_env.checks import judging

    judging.witness = _hear


def _hear(judge: str, evidence: tuple, more: dict, said: object) -> None:
    import jsonpickle

    told = jsonpickle.encode((evidence, more), keys=True, warn=True)
    again = jsonpickle.decode(told, keys=True, on_missing="error")
    if again != (evidence, more):
        raise AssertionError(f"{judge}: what it judges is no plain data: {evidence!r}")
    heard.append({"judge": judge, "evidence": told})


def told() -> list[dict]:
    """Return what was heard since this was last asked."""
    new = heard[:]
    heard.clear()
    return new


def recorded() -> list[Testimony]:
    """Return all that is recorded."""
    return [one for path in sorted(FOLDER.glob("*.jsonl.gz")) for one in _read(path)]


def keep(new: Testimony) -> None:
    """Write down what an answer came to, in place of what the same answer came to before."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{new.lesson}.jsonl.gz"
    known = {one.name: one for one in _read(path)} if path.exists() else {}
    known[new.name] = new
    lines = "".join(json.dumps(asdict(one)) + "\n" for _, one in sorted(known.items()))
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


def _read(path: Path) -> list[Testimony]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [Testimony(**json.loads(line)) for line in lines]

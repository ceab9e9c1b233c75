"""Within the student's process: tells what the lesson holds, and asks a check that needs it there.

Nothing that comes from here is more than the student's word: she can change any of it. So a check
is asked by the `witness` as far as it goes; what is told here names topics and services for it.
"""

import ast
import builtins
import contextlib
import json
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PLAIN = (type(None), bool, int, float, str)
MOST_BYTES = 40_000_000
HANDLE = ("name", "state", "error")  # what every service has


class Unseen(Exception):
    """A value that cannot be told to another process."""


def names(source: str) -> list[str]:
    """Return the names that the source of a check's cell asks the notebook for.

    What the cell makes itself, before it asks, is not asked for.
    """
    tree = ast.parse(source)
    nodes = [one for one in ast.walk(tree) if isinstance(one, ast.Name)]
    made = {one.id for one in nodes if isinstance(one.ctx, ast.Store)}
    made |= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    made |= {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
    loaded = {one.id for one in nodes if not hasattr(builtins, one.id)}
    return sorted(loaded - made - {"check", "lab"})


def value_of(source: str, space: dict) -> Any:
    """Run the source of a check's cell, and return the value of its last line.

    Args:
        source: statements, the last of which is an expression.
        space: the names that it finds; those that it makes are added.
    """
    *before, last = ast.parse(source).body
    exec(compile(ast.Module(before, []), "check", "exec"), space)
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "check", "eval"), space)


def connection(lab: object) -> dict | None:
    """Return how a client reaches the Kafka of a lab, or None if there is no such thing."""
    found = getattr(lab, "connection", None)
    return dict(found) if isinstance(found, Mapping) else None


def tell(space: dict, wanted: list[str], after: int, file: str, token: str) -> None:
    """Write down what a check needs to know.

    Args:
        space: the names of the notebook.
        wanted: those whose values are asked for.
        after: how many reports are known already.
        file: where it is written.
        token: stands in it, so that an older one is not taken for this.
    """
    lab = space.get("lab")
    told: dict = {"token": token, "values": {}, "missing": [], "unseen": []}
    for name in wanted:
        if name not in space:
            told["missing"].append(name)
            continue
        try:
            told["values"][name] = encode(space[name])
        except (Unseen, RecursionError):
            told["unseen"].append(name)
    with contextlib.suppress(AttributeError, TypeError):  # a lab that the student has replaced
        told["lab"] = _of_lab(lab, after)
    _write(told, file)


def ask(space: dict, source: str, file: str, token: str) -> None:
    """Ask a check here, and write down what it answers, and what of the course was replaced."""
    from lab_env.checks import check
    from lab_env.checks.result import Result

    told: dict = {"token": token, "replaced": replaced(), "answer": None, "error": ""}
    try:
        answer = value_of(source, {**space, "check": check})
        if type(answer).__module__.startswith("lab_env.") and isinstance(answer, Result):
            told["answer"] = answer_of(answer)
        else:
            told["error"] = type(answer).__name__
    except BaseException as error:
        told["error"] = f"{type(error).__name__}: {error}"
    _write(told, file)


def answer_of(answer) -> dict:
    """Return the answer of a check as plain values."""
    return {
        "passed": answer.passed is True,
        "possible": answer.possible is not False,
        "found": str(answer.found),
        "expected": str(answer.expected),
        "hint": str(answer.hint),
    }


def encode(value: Any) -> list:
    """Return a value as JSON can carry it, or raise `Unseen`; `witness.decode` undoes it."""
    if type(value) in PLAIN:
        return ["plain", value]
    if isinstance(value, str):  # a secret, say: what it is, and not what it shows
        return ["plain", str.__str__(value)]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, dict):
        return ["dict", [[encode(key), encode(one)] for key, one in value.items()]]
    if type(value).__name__ == "Fleet":
        return ["fleet", [one.name for one in value]]
    if isinstance(value, list | tuple | set | frozenset):
        kind = "tuple" if isinstance(value, tuple) else "list" if isinstance(value, list) else "set"
        return [kind, [encode(one) for one in value]]
    if isinstance(value, Path):
        return ["path", str(value)]
    if all(hasattr(value, part) for part in HANDLE) and hasattr(value, "_run"):
        return ["service", value.name]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a number of numpy
        return encode(value.item())
    raise Unseen(type(value).__name__)


def _of_lab(lab, after: int) -> dict:
    rows = lab._reports.rows[after:]
    reports = []
    for row in rows:
        try:
            reports.append({key: encode(one) for key, one in row.items()})
        except Unseen:
            reports.append({key: encode(row[key]) for key in ("time", "service")})
    return {
        "now": lab.journal.now(),
        "prefix": lab._cluster.prefix,
        "nodes": [[node, state] for node, state in lab.nodes.items()],
        "marks": [
            [mark.time, str(mark.text), mark.kind, mark.subject, mark.end]
            for mark in lab.journal.marks
        ],
        "services": [
            {
                "name": one.name,
                "state": one.state,
                "error": one.error,
                "begun": one._run.begun,
                "first": {key: encode(value) for key, value in one._run.first.items()},
                "log": one.log[-20_000:],
            }
            for one in lab.services.values()
        ],
        "reports": reports,
    }


def _write(told: dict, file: str) -> None:
    text = json.dumps(told)
    if len(text) > MOST_BYTES:
        text = json.dumps({"token": told["token"], "too_much": len(text)})
    Path(file).write_text(text, encoding="utf-8")


def replaced() -> list[str]:
    """Return which functions of the course and of the client are not those of their files.

    What is looked at is the code that a function runs, and not the values beside it.
    """
    found = []
    for name in sorted(sys.modules):
        module = sys.modules[name]
        file = getattr(module, "__file__", None)
        if name.split(".")[0] not in ("lab_env", "kafka") or not file or file == __file__:
            continue
        try:
            tree = ast.parse(Path(file).read_text(encoding="utf-8"))
            made = set(_codes(compile(tree, file, "exec", dont_inherit=True)))
        except (OSError, ValueError, SyntaxError):
            continue
        for called, value in _functions(tree.body, vars(module)):
            if not (_is_from(value, made) or _is_odd(called, value)):
                found.append(f"{name}.{called}")
        found += [f"{name}.{called}" for called in _other_imports(tree.body, module)]
    return found


def _functions(body: list, space: Mapping, before: str = "") -> Iterator[tuple[str, object]]:
    """Yield each function that a file defines, as it is called and as it is now."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{before}{node.name}", space.get(node.name)
        elif isinstance(node, ast.ClassDef) and isinstance(space.get(node.name), type):
            yield from _functions(node.body, vars(space[node.name]), f"{before}{node.name}.")


def _other_imports(body: list, module: types.ModuleType) -> Iterator[str]:
    """Yield what a file has imported of the course, and what is now something else."""
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lab_env."):
            there = sys.modules.get(node.module or "")
            for one in node.names:
                called = one.asname or one.name
                now = vars(module).get(called)
                is_code = callable(now) or called not in vars(module)
                if is_code and now is not getattr(there, one.name, None):
                    yield called


def _is_from(value: object, made: set) -> bool:
    """Return whether the code within a function, a property or a decorated one is of its file."""
    for _ in range(10):
        if isinstance(value, property):
            value = value.fget
        elif isinstance(value, staticmethod | classmethod) or hasattr(value, "__wrapped__"):
            value = value.__wrapped__
        elif hasattr(value, "func"):  # cached_property, partial
            value = value.func
        else:
            break
    return getattr(value, "__code__", None) in made


def _is_odd(called: str, value: object) -> bool:
    """Return whether something in a class is neither a function nor can be called as one."""
    return "." in called and value is not None and not callable(value)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield one
            yield from _codes(one)

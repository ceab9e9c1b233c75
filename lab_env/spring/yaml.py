"""The YAML of a Spring application, looked at before Spring sees it, which would say nothing."""

import difflib
import re
from collections.abc import Iterator, Mapping

from lab_env.ground.errors import BadInputError
from lab_env.messages import say

# what a Spring Boot file begins with; "airport" is our application's own
TOP = ("spring", "server", "management", "logging", "airport", "info", "debug", "trace")
TOP_MORE = ("springdoc", "application", "app", "eureka", "kafka")  # near to no typo of the above
DEFINITION = "spring.cloud.function.definition"
STREAM = "spring.cloud.stream."
BINDINGS = STREAM + "bindings."
KAFKA_BINDINGS = STREAM + "kafka.bindings."
RABBIT_BINDINGS = STREAM + "rabbit.bindings."
RENAMED = STREAM + "function.bindings."
# the beans of services/airport: whether each has an input, and an output
FUNCTIONS = {
    "departures": (False, True),
    "delay": (True, True),
    "category": (True, True),
    "statistics": (True, False),
    "gates": (True, False),
}


def read(text: str) -> dict[str, object]:
    """Return what a YAML text says, as Spring's flat properties.

    Raises:
        BadInputError: no YAML, no mapping, or a first word that is nearly one that Spring knows.
    """
    import yaml

    if not isinstance(text, str):
        raise BadInputError("spring.yaml_no_text", got=type(text).__name__)
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        lines = text.splitlines()
        source = lines[line - 1].strip() if line <= len(lines) else ""
        tabs = "\t" in (lines[line - 1] if line <= len(lines) else "")
        why = say("spring.yaml_tab") if tabs else getattr(error, "problem", None) or str(error)
        raise BadInputError("spring.yaml_broken", line=line, source=source, why=why) from None
    found: dict[str, object] = {}
    for document in documents:
        if not isinstance(document, Mapping):
            raise BadInputError("spring.yaml_no_mapping", got=type(document).__name__)
        for word in document:
            first = re.split(r"[.\[]", str(word))[0]
            near = difflib.get_close_matches(first, TOP, 1, 0.7)
            if near and first not in (*TOP, *TOP_MORE):
                raise BadInputError("spring.yaml_top", word=first, near=near[0])
        found |= dict(_flat(document))
    return found


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _flat(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _flat(below, f"{path}[{number}]")
    else:
        yield path, value


def expected(properties: Mapping[str, object]) -> dict[str, str]:
    """Return the names of the bindings that Spring makes: by default's name, the name in use."""
    names = {}
    for function in re.split(r"[;\s]+", str(properties.get(DEFINITION) or "")):
        parts = [part for part in re.split(r"[|,]", function) if part]
        known = [FUNCTIONS[part] for part in parts if part in FUNCTIONS]
        if not parts or len(known) < len(parts):
            continue
        whole = "".join(parts)
        if known[0][0]:
            names[f"{whole}-in-0"] = f"{whole}-in-0"
        if known[-1][1]:
            names[f"{whole}-out-0"] = f"{whole}-out-0"
    for word, where in (("source", "out"), ("output-bindings", ""), ("input-bindings", "")):
        for one in re.split(r"[;\s]+", str(properties.get(STREAM + word) or "")):
            if one:
                name = f"{one}-{where}-0" if where else one
                names[name] = name
    for key, value in properties.items():
        if key.startswith(RENAMED):
            names[key.removeprefix(RENAMED).strip("[]")] = str(value)
    return names


def warnings(properties: Mapping[str, object]) -> list[str]:
    """Return what Spring will do in silence, a sentence each: bindings that belong to nothing."""
    said = []
    definition = str(properties.get(DEFINITION) or "")
    if not definition.strip():
        said.append(say("spring.no_definition", known=", ".join(FUNCTIONS)))
    for part in re.split(r"[;|,\s]+", definition):
        if part and part not in FUNCTIONS:
            near = _near(part, FUNCTIONS)
            said.append(say("spring.no_function", name=part, near=near))
    names = set(expected(properties).values())
    wrong = []
    for key in properties:
        for begin in (BINDINGS, KAFKA_BINDINGS, RABBIT_BINDINGS):
            if key.startswith(begin):
                rest = key.removeprefix(begin)
                name = rest[1 : rest.index("]")] if rest[0] == "[" else rest.split(".")[0]
                if name not in names and name not in wrong:
                    wrong.append(name)
    for name in wrong if definition.strip() else ():
        near = _near(name, names)
        said.append(say("spring.no_binding", name=name, near=near))
    return said


def wants_rabbit(properties: Mapping[str, object]) -> bool:
    """Return whether a binding is RabbitMQ's."""
    return any(
        str(value) == "rabbit"
        for key, value in properties.items()
        if key == STREAM + "default-binder"
        or (key.startswith(BINDINGS) and key.endswith(".binder"))
    )


def _near(name: str, known) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    if near:
        return say("spring.near", near=near[0])
    return say("spring.near_none", known=", ".join(sorted(known)) or say("spring.nothing"))

"""The house: what may look at what, and the map that says so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab_env

PACKAGE = Path(lab_env.__file__).parent
UP_TO_PROCESSES = {"messages", "ground", "processes"}
KAFKA = {*UP_TO_PROCESSES, "clusters", "flights"}
# each layer, from the ground up, and the layers that it may look at
LAYERS = {
    "messages": set(),
    "ground": {"messages"},
    "flights": {"messages", "ground"},
    "processes": {"messages", "ground"},
    "clusters": UP_TO_PROCESSES,
    "observation": {"messages", "ground"},
    "observation.facts": {"messages", "ground", "observation.sample"},
    "classroom": {*UP_TO_PROCESSES, "clusters"},
    "topics": {*UP_TO_PROCESSES, "clusters", "observation"},
    "figures.engine": {"messages", "ground", "observation", "observation.facts"},
    "figures": {"messages", "ground", "observation", "observation.facts", "figures.engine"},
    "drawings": {"messages", "figures.engine"},
    "experiments": KAFKA,
    "around": KAFKA,
    "spring": {*KAFKA, "around"},
    "kubernetes": {"messages", "ground"},
    "aws": UP_TO_PROCESSES,
    "day": {*KAFKA, "observation"},
    "lab": {
        *KAFKA, "day", "observation", "observation.facts", "topics", "figures", "experiments",
        "around", "spring", "classroom",
    },
    "checks": {
        *KAFKA, "observation", "observation.facts", "experiments", "around", "spring",
        "kubernetes", "aws", "lab", "topics", "classroom",
    },
    "course": {
        *KAFKA, "observation", "topics", "figures", "figures.engine", "experiments", "around",
        "spring", "kubernetes", "aws", "lab", "checks", "classroom",
    },
}  # fmt: skip
# single modules that may look further than their layer
FURTHER = {
    "aws.picture": {"figures.engine"},
    "aws.accounts": {"aws.picture"},
    "classroom.picture": {"figures.engine"},
}


def modules() -> dict[str, Path]:
    """Return every module of the package, without the package's own name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = file
    return found


MODULES = modules()


def looks_at(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield each module of the package that one imports, also late or for its types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                if one.name.startswith("lab_env."):
                    yield one.name.removeprefix("lab_env.")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lab_env"):
            base = node.module.removeprefix("lab_env").lstrip(".")
            for one in node.names:
                full = f"{base}.{one.name}".lstrip(".")
                front = {"Lab": "lab", "check": "checks"}.get(one.name, base)
                yield full if full in MODULES else base or front


EDGES = {
    module: set(looks_at(module, ast.parse(file.read_text(encoding="utf-8"))))
    for module, file in MODULES.items()
}


def layer(module: str) -> str:
    """Return the layer of a module: the longest that its name begins with."""
    fits = [one for one in LAYERS if module == one or module.startswith(f"{one}.")]
    return max(fits, key=len, default="")


@pytest.mark.parametrize("module", [one for one in MODULES if one])
def test_a_module_looks_down_and_never_up(module):
    own = layer(module)
    assert own, f"{module} is in no layer: the root has Lab, flights and the wings alone"
    for other in EDGES[module]:
        may = LAYERS[own] | FURTHER.get(module, set())
        assert layer(other) == own or layer(other) in may or other in may, (
            f"{module} -> {other}: {own} may look at {', '.join(sorted(may)) or 'nothing'} alone"
        )


def test_no_module_leads_back_to_itself():
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in sorted(EDGES[module]):
                follow(other, (*path, module))
            done.add(module)

    for module in MODULES:
        if module:  # the front page is what all the others are reached by
            follow(module, ())


@pytest.mark.parametrize("module", [one for one in MODULES if one])
def test_a_module_of_more_than_400_lines_says_why_in_its_first_line(module):
    first, *rest = MODULES[module].read_text(encoding="utf-8").splitlines() or [""]
    assert len(rest) < 400 or " Long: " in first, f"{module}: {len(rest) + 1} lines"


def test_no_two_classes_have_one_name():
    names: dict[str, list[str]] = {}
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names.setdefault(node.name, []).append(module)
    assert {name: where for name, where in names.items() if len(where) > 1} == {}


def test_no_wing_calls_two_things_by_one_name():
    """What a package shows must not hide one of its modules, or be hidden by it."""
    for module, file in MODULES.items():
        if file.name != "__init__.py" or not module:
            continue
        shown = {
            one.asname or one.name
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom)
            for one in node.names
            if f"{node.module}.{one.name}".removeprefix("lab_env.") not in MODULES
        }
        modules_here = {
            name.rpartition(".")[2] for name in MODULES if name.startswith(f"{module}.")
        }
        assert not shown & modules_here, module


def test_every_wing_and_every_module_of_the_root_is_on_the_map():
    lines = re.findall(r"^    ([a-z_]+(?:, [a-z_]+)*)  ", lab_env.__doc__, re.MULTILINE)
    on_map = {name for line in lines for name in line.split(", ")}
    there = {one.name for one in PACKAGE.iterdir() if (one / "__init__.py").exists()}
    there |= {file.stem for file in PACKAGE.glob("*.py") if file.stem != "__init__"}
    assert on_map == there

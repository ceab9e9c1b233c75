"""Write the version of every package, also of those that packages bring along, without addresses.

constraints.txt is for pip (``-c constraints.txt``), and the list in pyproject.toml, which has what
is not pinned there anyway, for uv. For maintainers, when a dependency changes:
``python .ci/make_constraints.py``; what is written already keeps its version where that is
possible. ``--upgrade`` takes the newest of all. ``--check`` only says whether the two agree.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
LIST = re.compile(r"^constraint-dependencies = \[\n(?:    .*\n)*\]\n", re.MULTILINE)
OWN_EXTRAS = re.compile(r'^    "kafka-lab\[.*\n', re.MULTILINE)
HEAD = "# every package's version, for pip; made by .ci/make_constraints.py\n"


def resolved(*words: str) -> list[str]:
    """Return a line for each package, as uv resolves them for every system and Python."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / PYPROJECT.name
        # without the list: a new version of one package may want a newer one of another;
        # and without the group's naming of the extras, which are asked for below
        text = OWN_EXTRAS.sub("", LIST.sub("", PYPROJECT.read_text(encoding="utf-8")))
        project.write_text(text, encoding="utf-8")
        found = Path(folder) / CONSTRAINTS.name
        if CONSTRAINTS.exists():  # uv keeps the versions of the file that it writes
            found.write_bytes(CONSTRAINTS.read_bytes())
        # every group, so that the list fits each environment, whatever is installed in it
        asked = ["--universal", "--all-extras", "--no-annotate", "--no-header"]
        asked += [word for name in groups() for word in ("--group", name)]
        subprocess.run(
            ["uv", "pip", "compile", "-q", project.name, *asked, "-o", found.name, *words],
            cwd=folder,
            check=True,
        )
        lines = found.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "==" in line and not line.startswith("#")]


def groups() -> dict[str, list[str]]:
    """Return the groups of pyproject.toml: what each asks for, by name."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["dependency-groups"]


def brought_along(lines: list[str]) -> list[str]:
    """Return the lines whose packages pyproject.toml does not pin itself."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    asked = list(project["project"]["dependencies"])
    asked += chain.from_iterable(groups().values())
    asked += chain.from_iterable(project["project"]["optional-dependencies"].values())
    pins = [re.match(r"([\w.-]+)(?:\[.*?\])?==[^;]*$", line) for line in asked]
    pinned = {pin[1] for pin in pins if pin}
    return [line for line in lines if line.split("==")[0] not in pinned]


def in_pyproject(lines: list[str]) -> str:
    """Return the list as it stands in pyproject.toml."""
    inside = "".join(f'    "{line}",\n' for line in brought_along(lines))
    return f"constraint-dependencies = [\n{inside}]\n"


def main(*words: str) -> None:
    """Write both, or compare them."""
    text = PYPROJECT.read_text(encoding="utf-8")
    if "--check" in words:
        lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()[1:]
        if LIST.search(text)[0] != in_pyproject(lines):
            raise SystemExit("constraints.txt and pyproject.toml disagree: make them anew")
        return
    lines = resolved(*words)
    CONSTRAINTS.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    made = LIST.sub(lambda _: in_pyproject(lines), text)
    PYPROJECT.write_text(made, encoding="utf-8")
    print(f"{len(lines)} versions in {CONSTRAINTS.name}")


if __name__ == "__main__":
    main(*sys.argv[1:])

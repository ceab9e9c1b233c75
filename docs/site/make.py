"""Build the site: lessons as they ran, glossary, notes for instructors, pages of docs/, API.

    uv run --group site python docs/site/make.py --run 00 --run 05   # two with their outputs
    uv run --group site python docs/site/make.py --run all           # as the workflow does

The pages are in build/site/html; nothing in them asks another host. A warning is an error.
"""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import history
import nbformat

from lab_env.course import lessons, runner
from lab_env.course.presenting import NOTES

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
BUILD = ROOT / "build" / "site"
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")
INDEX = """# Kafka Lab

{door}

```{{toctree}}
:caption: Lessons
:hidden:

{lessons}
```

```{{toctree}}
:caption: For instructors
:hidden:

{notes}
```

```{{toctree}}
:caption: The lab
:hidden:

{pages}
```
"""
API = """# The front page of lab_env

`Lab` starts Kafka, runs services, watches, draws and breaks things; `check` grades an exercise by
the broker's state; `flights` has the data of the course's story.

```{eval-rst}
.. autoclass:: lab_env.lab.Lab
   :members:

.. autoclass:: lab_env.figures.Show
   :members:

.. automodule:: lab_env.flights
   :members:
```
"""


@click.command()
@click.option("--run", "numbers", multiple=True, help="Of lessons whose outputs are shown; or all.")
def main(numbers: tuple[str, ...]) -> None:
    """Lay out the sources, run lessons, and build."""
    shutil.rmtree(BUILD, ignore_errors=True)
    sources = BUILD / "src"
    (sources / "_static").mkdir(parents=True)
    shutil.copy(HERE / "conf.py", sources)
    shutil.copy(HERE / "site.css", sources / "_static")
    shutil.copytree(lessons.folder() / "drawings", sources / "notebooks" / "drawings")
    known = lessons.paths()
    for path in known:
        wanted = "all" in numbers or path.name[:2] in numbers
        _lay_lesson(path, sources / "notebooks" / path.name, wanted)
    for name in ("index.md", "glossary.md"):
        _lay_page(lessons.folder() / name, sources / "notebooks" / name)
    notes = sorted((lessons.folder() / NOTES).glob("*.md"))
    for page in notes:
        _lay_page(page, sources / "notebooks" / NOTES / page.name)
    pages = sorted((ROOT / "docs").glob("*.md"))
    for page in pages:
        _lay_page(page, sources / page.name)
    for file in (ROOT / "docs").glob("*.webp"):
        (sources / "docs").mkdir(exist_ok=True)
        shutil.copy(file, sources / "docs")
    over_time = "benchmarks_over_time.md"
    (sources / over_time).write_text(history.page(sources), encoding="utf-8")
    (sources / "api.md").write_text(API, encoding="utf-8")
    titles = lessons.short_names(known)
    names = ["What you will be able to <notebooks/index>"]
    names += [f"{titles[path]} <notebooks/{path.stem}>" for path in known]
    names.append("notebooks/glossary")
    names_of_pages = [page.stem for page in pages]
    names_of_pages.insert(names_of_pages.index("benchmarks") + 1, Path(over_time).stem)
    names_of_pages.append("api")
    door = (ROOT / "README.md").read_text(encoding="utf-8").split("\n", 1)[1]
    text = INDEX.format(
        door=_relinked(door, sources, ROOT),
        lessons="\n".join(names),
        notes="\n".join(f"notebooks/{NOTES}/{page.stem}" for page in notes),
        pages="\n".join(names_of_pages),
    )
    (sources / "index.md").write_text(text, encoding="utf-8")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    sys.exit(subprocess.run([*build, str(sources), str(BUILD / "html")]).returncode)


def _lay_lesson(path: Path, target: Path, wanted: bool) -> None:
    """Write a lesson as the site shows it, run or as it is."""
    if wanted:
        notebook, failures = runner.run(path)
        if failures:
            raise click.ClickException(f"{path.name}: {failures[0].why}")
        click.echo(f"{path.name}: ran")
    else:
        notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _relinked(cell.source, target.parent, path.parent)
            continue
        cell.metadata["tags"] = [t for t in cell.metadata.get("tags", ()) if t == "remove-cell"]
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                alt = html.escape(runner.alt(output), quote=True)
                image = f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"]}">'
                output["data"] = nbformat.from_dict({"text/html": image})
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


def _lay_page(page: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8")
    target.write_text(_relinked(text, target.parent, page.parent), encoding="utf-8")


def _relinked(text: str, place: Path, of: Path) -> str:
    """Return a text whose links lead to pages of the site; others become plain words.

    Args:
        text: Markdown.
        place: the folder in which it will stand.
        of: the folder in which it stands in the repository.
    """
    sources = BUILD / "src"

    def new(match: re.Match) -> str:
        target, _, anchor = match[1].partition("#")
        file = (of / target).resolve()
        if not file.is_relative_to(ROOT):
            return match[0]
        name = file.relative_to(ROOT).as_posix()
        if name.startswith("docs/") and name.endswith(".md"):
            name = name.removeprefix("docs/")
        elif not name.startswith(("notebooks/", "docs/")):
            return f"]{{{name}}}"
        up = "../" * len(place.relative_to(sources).parts)
        return f"]({up}{name}{'#' + anchor if anchor else ''})"

    found = LINK.sub(new, text)
    # a link to a file that the site does not have is that file's name
    return re.sub(r"\[([^\]]+)\]\{([^}]+)\}", r"\1 (`\2`)", found)


if __name__ == "__main__":
    main()

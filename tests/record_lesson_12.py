"""Record what lesson 12's cells show with an engine, for machines without one.

    uv run --group dev python tests/record_lesson_12.py

It runs the lesson on this machine, whose engine must have the course's images.
"""

import json
import os
import platform
import re
from pathlib import Path

from lesson import open_lesson

from lab_env.around import containers, recorded

NAMES = re.compile(r"engine\.runs\(\"([\w-]+)\"\)")
MOST_LINES = 24  # of a cell: more is no longer looked at
NUMBER = "12"


def named(cells) -> dict[str, object]:
    """Return the cells that need an engine, by their names."""
    found = {cell.id: NAMES.findall(cell.source) for cell in cells if cell.cell_type == "code"}
    assert all(names in ([], [id]) for id, names in found.items()), found
    return {cell.id: cell for cell in cells if found.get(cell.id)}


def shown(cell) -> str:
    """Return what a cell printed and displayed, without its answer to a prediction."""
    texts = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            texts.append(output.text.rstrip())
        elif (text := output.get("data", {}).get("text/plain", "")) and text[:1] not in "✓≠…":
            texts.append(text)
    return "\n".join("\n".join(filter(None, texts)).splitlines()[:MOST_LINES])


def main() -> None:
    """Run the lesson, and write the file."""
    engine = containers.engine(images=True)
    assert engine, engine
    version = engine.get("/version")
    os.environ.pop("KAFKA_LAB", None)
    with open_lesson(NUMBER, 300) as lesson:
        lesson.run(lesson.index("close"))
        assert not lesson.errors, lesson.errors
        outputs = {id: shown(cell) for id, cell in named(lesson.client.cells).items()}
        found = lesson.value("engine.found")
        lesson.run()
    told = {
        "machine": f"{platform.system()}, Docker {version['Version']}",
        "found": found,
        "outputs": {id: text for id, text in outputs.items() if text},
    }
    text = json.dumps(told, indent=1, ensure_ascii=False)
    Path(recorded.FILE).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

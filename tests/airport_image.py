"""The Dockerfile of services/airport, where Maven's image cannot be had: with a jar made here."""

import re
from pathlib import Path

STAGE = re.compile(r"^FROM \S+ AS jar$.*?(?=^# The jar in layers)", re.S | re.M)
AT_HAND = "FROM scratch AS jar\nCOPY target/airport.jar /build/target/airport.jar\n\n"


def take_the_jar(folder: Path) -> None:
    """Let the Dockerfile in a copy of services/airport take the jar that Maven has left there."""
    recipe, hidden = folder / "Dockerfile", folder / ".dockerignore"
    text, changed = STAGE.subn(AT_HAND, recipe.read_text(encoding="utf-8"))
    assert changed == 1, "the Dockerfile has no stage named jar"
    recipe.write_text(text, encoding="utf-8")
    hidden.write_text("*\n!target/airport.jar\n", encoding="utf-8")

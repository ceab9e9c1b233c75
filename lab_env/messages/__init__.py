"""Everything the package says to a person, in one catalogue: a folder a language, a file a part."""

import os
import tomllib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


def language() -> str:
    """Return the language in use: the variable ``KAFKA_LAB_LANG`` if we speak it, else English."""
    wanted = os.environ.get("KAFKA_LAB_LANG", "en")
    return wanted if (FOLDER / wanted).is_dir() else "en"


@cache
def catalogue(lang: str) -> dict[str, str]:
    """Return every text of a language, keyed ``part.name`` (``part`` is the file's name)."""
    return {
        f"{file.stem}.{name}": text
        for file in sorted((FOLDER / lang).rglob("*.toml"))
        for name, text in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }


def say(key: str, /, **values: object) -> str:
    """Return the text ``key`` with its ``{placeholders}`` filled, in the language in use.

    A text that a translation lacks is said in English.
    """
    text = catalogue(language()).get(key) or catalogue("en")[key]
    return text.format(**values)

"""A value as a person writes it, and whether there is one at all."""

from collections.abc import Mapping
from numbers import Real


def is_empty(said: object) -> bool:
    """Return whether nothing is said: ``...``, None, or a text of dots."""
    return said is ... or said is None or (isinstance(said, str) and not said.strip(". "))


def word(value: object) -> str:
    """Return a value as a person writes it; of what cannot be written, its kind."""
    try:
        return _written(value)
    except Exception:  # a number of thousands of digits, a student's own __str__
        return type(value).__name__


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, Real):
        number = float(value)
        return f"{number:.4g}" if number % 1 else f"{number:.0f}"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {word(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(word, value)) or "[]"
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(word, value))) or "{}"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."

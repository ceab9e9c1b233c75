"""The catalogue: every text that the code asks for is there, is used, and can be filled."""

import ast
import re
import string
from pathlib import Path

from lab_env import messages
from lab_env.ground.errors import BadInputError

PACKAGE = Path(messages.__file__).parent.parent
ENGLISH = messages.catalogue("en")
KEY = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")


def words() -> list[tuple[str, str]]:
    """Return every string of the code that looks like a key, with the file that has it."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        inner = {id(v) for n in nodes if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in nodes:
            if id(node) in inner:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((file.name, node.value))
            if isinstance(node, ast.JoinedStr):  # f"clusters.state_{state}"
                parts = [v.value if isinstance(v, ast.Constant) else "*" for v in node.values]
                found.append((file.name, "".join(parts)))
    return found


def asked_for() -> set[str]:
    """Return the keys that are passed to say, an error or a check's answer, * for what varies."""
    parts = {key.split(".")[0] for key in ENGLISH}
    return {
        word
        for _, word in words()
        if not word.startswith("flights.csv")
        and KEY.fullmatch(word.replace("*", "x"))
        and word.split(".")[0] in parts
    }


def matches(key: str) -> set[str]:
    """Return the texts that a key of the code may mean."""
    pattern = re.compile(re.escape(key).replace(r"\*", ".+"))
    return {name for name in ENGLISH if pattern.fullmatch(name)}


def test_every_text_that_is_asked_for_is_there():
    files = {".py", ".toml", ".ipynb", ".yml", ".lock", ".json", ".properties", ".yaml", ".log"}
    missing = {
        key
        for key in asked_for()
        if not matches(key) and not any(key.rstrip("*").endswith(end) for end in files)
    }
    assert missing == set()


def test_every_text_is_asked_for():
    used: set[str] = set()
    for key in asked_for():
        for name in matches(key):
            used |= {name, f"{name}_expected", f"{name}_hint"}
    assert set(ENGLISH) - used == set()


def test_texts_are_well_formed():
    for key, text in ENGLISH.items():
        fields = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        assert all(name and re.fullmatch(r"[a-z_]+", name) for name in fields), f"{key}: named only"
        assert text == text.rstrip(), key


def test_an_answer_of_a_check_has_all_its_parts():
    hints = {key.removesuffix("_hint") for key in ENGLISH if key.endswith("_hint")}
    assert hints
    for key in hints:
        assert {key, f"{key}_expected"} <= set(ENGLISH), key


def test_another_language_is_a_folder_and_what_it_lacks_is_said_in_english(tmp_path, monkeypatch):
    (tmp_path / "en").symlink_to(messages.FOLDER / "en")
    (tmp_path / "es").mkdir()
    (tmp_path / "es" / "lab.toml").write_text(
        'closed = "Este laboratorio está cerrado."\n', "utf-8"
    )
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    monkeypatch.setenv("KAFKA_LAB_LANG", "es")
    messages.catalogue.cache_clear()
    try:
        assert messages.say("lab.closed") == "Este laboratorio está cerrado."
        assert "1 to 9 brokers" in str(BadInputError("lab.brokers", brokers=0))
        monkeypatch.setenv("KAFKA_LAB_LANG", "xx")
        assert messages.say("lab.closed") == ENGLISH["lab.closed"]
    finally:
        messages.catalogue.cache_clear()

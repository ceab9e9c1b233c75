"""Writes the drawings beside the lessons."""

from lab_env.drawings import gallery
from lab_env.messages import say


def main() -> None:
    """Write every drawing that is not as its code makes it."""
    stale = gallery.outdated()
    for file, text in stale.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
        print(say("drawings.wrote", file=file))
    if not stale:
        print(say("drawings.nothing"))


if __name__ == "__main__":
    main()

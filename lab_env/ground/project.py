"""The project's files that are no Python: from its checkout, or packed with ``lab_env``."""

from pathlib import Path

from lab_env.ground.errors import StorageError

HERE = Path(__file__).parent  # a wing of the package


def file(name: str) -> Path:
    """Return a file or folder of the project.

    Args:
        name: seen from the project's root; what a wheel holds of it is said in ``pyproject.toml``.

    Raises:
        StorageError: it is in neither place.
    """
    for folder in (HERE.parents[1], HERE.parent / "files"):
        if (folder / name).exists():
            return folder / name
    raise StorageError("project.no_file", name=name)

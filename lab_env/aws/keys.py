"""Private keys on disk: made for their owner alone, never overwritten, never shown."""

import os
import re
from pathlib import Path

from lab_env.aws.errors import AccountError
from lab_env.ground.secrets import plain

# as AWS tells everybody to: ssh refuses a key that others can read. On Windows a file that nobody
# may write cannot be deleted either
MODE = 0o400 if os.name == "posix" else 0o600


def path_of(folder: Path, name: str) -> Path:
    """Return where the key of a pair is kept."""
    return folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.pem"


def keep(folder: Path, name: str, material: str) -> Path:
    """Write a private key to a file of its own and return it.

    Raises:
        AccountError: there is such a file already, or it cannot be written.
    """
    file = path_of(folder, name)
    text = plain(material)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # O_EXCL: a key that is there may be the only one that opens a machine
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE)
        with os.fdopen(handle, "w", encoding="ascii", newline="\n") as out:
            out.write(text)
    except FileExistsError:
        raise AccountError("aws.key_exists", file=file, name=name) from None
    except OSError as error:
        raise AccountError("aws.key_not_written", file=file, why=error) from error
    return file

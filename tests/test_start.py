"""The first start: jars by the lock, damaged, missing or out of reach; disks; the AOT cache."""

import contextlib
import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import javas, lab_folders, wait_until

from lab_env import Lab
from lab_env.clusters import node, training
from lab_env.ground.errors import DownloadError, StorageError
from lab_env.processes import folders, jars

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


class Mirror:
    """A Maven repository on the loopback, with faults: what a bad network does to a download.

    Attributes:
        asked: the names of the files that were asked for.
        answer: gets the content of a file, and returns what is sent in its place.
    """

    def __init__(self, source: Path):
        mirror = self
        self.asked: list[str] = []
        self.answer = lambda name, content: content

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1]
                mirror.asked.append(name)
                content = (source / name).read_bytes()
                sent = mirror.answer(name, content)
                if sent is None:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Go off the network."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirror(own_home, monkeypatch):
    """A repository that has every jar."""
    mirror = Mirror(jars.jar_folder())
    monkeypatch.setenv(jars.MIRROR_VARIABLE, mirror.url)
    yield mirror
    with contextlib.suppress(OSError):
        mirror.close()


@pytest.fixture
def fresh(own_home, tmp_path, monkeypatch, mirror):
    """A home with nothing in it; the mirror serves from the tests' own home."""
    home = tmp_path / "fresh"
    monkeypatch.setenv(folders.HOME_VARIABLE, str(home))
    return home


@pytest.fixture
def filled(fresh):
    """A home that has every jar (copies: the test may damage them)."""
    jars.ensure(progress=False)
    return jars.jar_folder()


def test_the_first_download_fetches_everything_once_and_shows_it(fresh, mirror, capsys):
    folder = jars.ensure()
    lock = jars.read_lock()
    assert sorted(mirror.asked) == sorted(jar.name for jar in lock)
    shown = capsys.readouterr().out
    assert f"{len(lock)} files" in shown  # what
    assert "100%" in shown  # how far
    assert "45.7M" in shown  # how big
    assert {file.name for file in folder.iterdir()} == {jar.name for jar in lock} | {
        "verified.json"
    }
    mirror.close()  # a second start needs no network
    jars.ensure()


@posix
def test_what_one_user_has_fetched_can_be_read_by_all_who_share_her_home(filled):
    assert {file.stat().st_mode & 0o777 for file in filled.glob("*.jar")} == {0o644}


def test_a_repository_that_is_slow_to_recover_is_asked_again(fresh, mirror):
    failed = []

    def fails_once(name, content):
        if name.startswith("slf4j") and not failed:
            failed.append(name)
            return None
        return content

    mirror.answer = fails_once
    jars.ensure(progress=False)
    assert failed


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:1000]),
        lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
    ],
    ids=["truncated", "one byte changed", "empty", "missing"],
)
def test_a_damaged_jar_is_fetched_again_and_only_that(filled, mirror, damage):
    mirror.asked.clear()
    damage(filled / "kafka-raft-4.3.1.jar")
    jars.ensure(progress=False)
    assert mirror.asked == ["kafka-raft-4.3.1.jar"]
    assert not jars.bad_jars(deep=True)


def test_a_jar_damaged_behind_the_stamp_is_found_when_kafka_does_not_start(filled, mirror):
    file = filled / "kafka_2.13-4.3.1.jar"
    stat = file.stat()
    file.write_bytes(b"\0" * stat.st_size)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not jars.bad_jars()  # the stamp cannot know
    mirror.asked.clear()
    with Lab() as lab:
        lab.topic("t")
    assert mirror.asked == ["kafka_2.13-4.3.1.jar"]


def test_what_the_lock_does_not_name_is_refused_by_name(fresh, mirror):
    mirror.answer = lambda name, content: (
        content[:-1] + b"?" if name.startswith("kafka-raft") else content
    )
    with pytest.raises(DownloadError, match=r"kafka-raft-4\.3\.1\.jar.*SHA-256"):
        jars.ensure(progress=False)
    assert not (jars.jar_folder() / "kafka-raft-4.3.1.jar").exists()
    assert not list(jars.folder().glob("download-*"))


def test_no_network_before_the_download(fresh, mirror):
    mirror.close()
    with pytest.raises(DownloadError, match=r"46 MB.*network.*KAFKA_LAB_MIRROR"):
        Lab()
    assert not list(jars.folder().glob("download-*"))


def test_the_network_goes_during_the_download_and_what_came_stays(fresh, mirror):
    count = len(jars.read_lock())

    def goes(name, content):
        return content[: len(content) // 2] if len(mirror.asked) > 20 else content

    mirror.answer = goes
    with pytest.raises(DownloadError):
        jars.ensure(progress=False)
    kept = len(list(jars.jar_folder().glob("*.jar")))
    assert 0 < kept < count
    mirror.asked.clear()
    mirror.answer = lambda name, content: content
    jars.ensure(progress=False)
    assert len(mirror.asked) == count - kept


@posix
def test_interrupt_during_the_download(fresh, mirror):
    slow = threading.Event()
    mirror.answer = lambda name, content: slow.wait(0.2) or content
    timer = threading.Timer(0.4, lambda: os.kill(os.getpid(), 2))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        jars.ensure(progress=False)
    timer.join()
    mirror.answer = lambda name, content: content
    jars.ensure(progress=False)
    assert not list(jars.folder().glob("download-*"))


def test_two_starters_fill_one_cache_and_fetch_each_jar_once(fresh, mirror):
    both = [
        subprocess.Popen(
            [sys.executable, "-c", "from lab_env.processes import jars; jars.ensure()"],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [process.wait(timeout=90) for process in both] == [0, 0]
    assert len(mirror.asked) == len(jars.read_lock())
    assert not jars.bad_jars(deep=True)


# -- disks --------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """Mount a small file system of its own at ``folder`` (Linux, as root)."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


mounts = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounts a disk"
)


@mounts
def test_a_full_disk_is_named_with_the_remedy(fresh, mirror):
    with small_disk(fresh, "5m"), pytest.raises(StorageError, match=r"full.*KAFKA_LAB_HOME"):
        jars.ensure(progress=False)


@mounts
def test_a_read_only_cache_that_is_filled_still_starts(filled, fresh):
    subprocess.run(["mount", "--bind", fresh, fresh], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", fresh], check=True)
        with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
            (fresh / "x").touch()
        with Lab() as lab:
            assert not lab._cluster.folder.is_relative_to(fresh)
            lab.topic("t")
    finally:
        subprocess.run(["umount", "-l", fresh], check=True)


@mounts
def test_a_read_only_cache_that_is_empty_says_what_to_do(fresh):
    fresh.mkdir()
    subprocess.run(["mount", "--bind", fresh, fresh], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", fresh], check=True)
        with pytest.raises(StorageError, match=r"cannot write.*KAFKA_LAB_HOME"):
            Lab()
    finally:
        subprocess.run(["umount", "-l", fresh], check=True)


def test_a_home_that_is_a_file_says_what_to_do(fresh, monkeypatch):
    fresh.parent.mkdir(exist_ok=True)
    fresh.write_text("not a folder")
    with pytest.raises(StorageError, match="KAFKA_LAB_HOME"):
        Lab()


def test_a_path_with_spaces_and_umlauts(own_home, tmp_path, monkeypatch):
    home = tmp_path / "Jürgen Müller, ключ 日本"
    shutil.copytree(jars.jar_folder(), home / "kafka" / jars.key() / "jars")
    monkeypatch.setenv(folders.HOME_VARIABLE, str(home))
    monkeypatch.setenv("LC_ALL", "C")
    with Lab() as lab:
        assert str(home) in str(lab._cluster.folder)
        lab.topic("t")


# -- the AOT cache ------------------------------------------------------------------------------


@pytest.fixture
def own_aot(own_home, tmp_path, monkeypatch):
    """A home with the real jars and an AOT cache that the test may damage."""
    good = training.aot_cache()
    assert good.exists()
    mine = tmp_path / "cache.aot"
    shutil.copy(good, mine)
    monkeypatch.setattr(training, "aot_cache", lambda: mine)
    return mine


def aot_is_loaded(lab: Lab) -> bool:
    """Return whether the broker's JVM runs with the AOT cache mapped."""
    maps = Path(f"/proc/{lab._cluster.pids[1]}/maps")
    return str(training.aot_cache()) in maps.read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_the_aot_cache_is_used(own_aot):
    with Lab() as lab:
        assert aot_is_loaded(lab)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[: 1 << 20]),
        lambda file: file.write_bytes(b"made by another Java\n" * 1000),
        lambda file: file.write_bytes(b""),
    ],
    ids=["truncated", "of another Java", "empty"],
)
def test_an_aot_cache_that_does_not_fit_is_thrown_away(own_aot, damage, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *args, **kwargs: None)
    damage(own_aot)
    with Lab() as lab:
        lab.topic("t")
        assert not own_aot.exists()


@pytest.mark.landing
def test_the_cache_is_made_in_the_background_and_never_in_close(own_aot):
    own_aot.unlink()
    with Lab() as lab:
        lab.topic("t")
        wait_until(own_aot.exists, 120)
    own_aot.unlink()
    lab = Lab()
    wait_until(lambda: list(folders.labs().glob("*/training")), 60)
    lab.close()  # in the middle of it
    wait_until(lambda: not lab._cluster._training.is_alive(), 10)
    assert not own_aot.exists()


def test_a_notebook_killed_while_the_cache_is_made_leaves_nothing(own_home):
    kernel = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from lab_env.clusters import training\n"
            "from lab_env.processes import jars\n"
            "training.aot_cache = lambda: jars.folder() / 'none.aot'\n"
            "training.train()",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        wait_until(javas, 60)
    finally:
        kernel.kill()
        kernel.wait()
        kernel.stdout.close()
    wait_until(lambda: not javas() and not lab_folders(), 10)


def test_a_new_disk_has_the_feature_levels_that_kafkas_own_tool_gives(filled, tmp_path):
    script = Path(__file__).parent.parent / ".ci" / "make_kafka_lock.py"
    spec = importlib.util.spec_from_file_location("make_kafka_lock", script)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    ours, theirs = node.CHECKPOINT.read_bytes(), maker.format_disk(tmp_path).read_bytes()

    def levels(checkpoint):
        return re.findall(rb"([a-z.]+\.version)\x00(.)", checkpoint)

    assert levels(ours) == levels(theirs)
    assert (b"group.version", b"\x01") in levels(ours)

"""Other users of the machine: what they lay in the way is not trusted, and a Kafka is shared."""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import types
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError
from conftest import wait_until

from lab_env import Lab, aws
from lab_env.aws import accounts
from lab_env.clusters import compose
from lab_env.course import cleaning, runner
from lab_env.ground.errors import ClusterError, StorageError
from lab_env.kubernetes import kubeconfig, login
from lab_env.processes import folders, jars, supervisor

NOBODY, SECOND = 65534, 65533

as_root = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="becomes another user",
)


def another(user: int = NOBODY) -> list[str]:
    """Return what a command begins with that is run as another user."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def does(script: str, user: int = NOBODY, **variables: object) -> None:
    """Let another user run a shell script."""
    env = {"PATH": os.environ["PATH"]} | {key: str(value) for key, value in variables.items()}
    subprocess.run([*another(user), "sh", "-ec", script], env=env, check=True, cwd="/")


@pytest.fixture
def open_place():
    """A folder that every user of the machine can enter; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory(prefix="kafka-lab-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def shared(open_place, monkeypatch):
    """A temporary folder that all users share, and a home that cannot be used."""
    folder = open_place / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    home = open_place / "no-folder"
    home.touch()
    monkeypatch.setenv(folders.HOME_VARIABLE, str(home))
    return folder


def evil(proof: Path, place: str) -> str:
    """Return a script that lays a dead lab in a place, with both forms of what to do at its end."""
    left = json.dumps([["/bin/sh", "-c", f"id > {proof}"]])
    return f"""
        mkdir -p {place}/120000-evil {place}/130000-evil
        echo '{left}' > {place}/120000-evil/at_end.json
        echo '{{"compose_project": "hers"}}' > {place}/130000-evil/at_end.json
        chmod -R a+rwX {place}
    """


# -- what another user laid in the way ------------------------------------------------------------


@as_root
def test_nothing_that_another_user_left_in_the_temporary_folder_is_run(shared, open_place):
    proof = shared / "proof"
    for place in ("kafka-lab", f"kafka-lab-{os.geteuid()}"):
        does(evil(proof, f"{shared}/{place}/labs"))
    assert folders.sweep() == []
    assert cleaning.clean() == []
    assert not proof.exists()
    for folder in shared.glob("*/labs/*"):
        assert supervisor.at_end(folder) == []
        assert not folder.with_name(folder.name + ".lock").exists()


@as_root
def test_a_home_that_another_user_filled_first_is_not_used(shared, open_place, monkeypatch):
    home = open_place / "home"
    home.mkdir()
    home.chmod(0o1777)
    monkeypatch.setenv(folders.HOME_VARIABLE, str(home))
    proof = shared / "proof"
    does(evil(proof, f"{home}/labs"))
    assert folders.sweep() == []
    assert not proof.exists()
    folder = folders.new_lab_folder()
    assert folder.parent == shared / f"kafka-lab-{os.geteuid()}" / "labs"
    # and where names can be changed by everybody, not even an own folder is one's own for long
    shutil.rmtree(home / "labs")
    assert folders.labs() == home / "labs"
    home.chmod(0o777)
    assert folders.labs() == folder.parent


@as_root
@pytest.mark.parametrize("trap", ["mkdir {0}", "ln -s {1} {0}", "mkdir -p {0}/labs; chmod 777 {0}"])
def test_a_lab_does_not_move_into_a_folder_that_another_user_has_made_for_it(shared, trap):
    mine = shared.parent / "mine"
    mine.mkdir()
    own = shared / f"kafka-lab-{os.geteuid()}"
    does(trap.format(own, mine))
    with pytest.raises(StorageError, match=rf"{own}.*another user.*KAFKA_LAB_HOME"):
        folders.new_lab_folder()
    assert not list(mine.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="has modes")
def test_a_folder_of_labs_is_its_users_alone(shared):
    own = shared / f"kafka-lab-{os.geteuid()}"
    (own / "labs").mkdir(parents=True)
    (own / "labs").chmod(0o777)
    assert folders.new_lab_folder().parent == own / "labs"
    assert {stat.S_IMODE(one.stat().st_mode) for one in (own, own / "labs")} == {0o700}


@pytest.mark.skipif(os.name == "nt", reason="needs no right for a link")
def test_a_link_is_neither_a_lock_nor_a_lab(shared, tmp_path):
    chosen, link = tmp_path / "chosen", folders.new_lab_folder().with_name("120000-a.lock")
    link.symlink_to(chosen)
    assert supervisor.try_lock(link) is None
    assert not chosen.exists()
    (tmp_path / "kept" / "mine").mkdir(parents=True)
    link.with_name("120000-a").symlink_to(tmp_path / "kept")
    assert folders.sweep() == []
    assert (tmp_path / "kept" / "mine").exists()


@as_root
def test_a_lock_of_another_user_is_not_taken(shared):
    does(f"touch {shared}/x.lock; chmod 666 {shared}/x.lock; mkfifo -m 666 {shared}/y.lock")
    assert supervisor.try_lock(shared / "x.lock") is None
    assert supervisor.try_lock(shared / "y.lock") is None


@as_root
def test_programs_of_another_user_are_not_started(open_place, monkeypatch):
    home = open_place / "home"
    home.mkdir()
    monkeypatch.setenv(folders.HOME_VARIABLE, str(home))
    assert folders.stranger(jars.folder()) is None
    jars.folder().mkdir(parents=True)
    os.chown(jars.folder(), NOBODY, NOBODY)
    with pytest.raises(StorageError, match=r"user nobody.*KAFKA_LAB_HOME"):
        jars.ensure(progress=False)
    os.chown(home, NOBODY, NOBODY)  # who names a home trusts its owner
    assert folders.stranger(jars.folder()) is None


@as_root
def test_a_list_of_what_exists_in_a_real_account_is_not_taken_from_another_user(
    open_place, monkeypatch
):
    monkeypatch.setenv(folders.HOME_VARIABLE, str(open_place / "home"))
    account = types.SimpleNamespace(_emulator=None, _profile="class")
    folder = accounts.Account._folder(account)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for foreign in (folder, folder.parent):
        os.chown(foreign, NOBODY, NOBODY)
        with pytest.raises(StorageError, match="another user"):
            accounts.Account._folder(account)
        os.chown(foreign, 0, 0)


@as_root
def test_a_program_that_another_users_kubeconfig_names_is_not_run(open_place, monkeypatch):
    proof, file = open_place / "proof", open_place / "config"
    user = {"exec": {"command": "touch", "args": [str(proof)]}}
    context = {"cluster": "c", "user": "u"}
    content = {
        "contexts": [{"name": "mine", "context": context}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(file))
    for foreign in (lambda: os.chown(file, NOBODY, NOBODY), lambda: file.chmod(0o666)):
        os.chown(file, 0, 0)
        foreign()
        with pytest.raises(ClusterError, match="another user"):
            login.Login(kubeconfig.find("mine")).headers()
        assert not proof.exists()
    file.chmod(0o644)
    with pytest.raises(ClusterError, match="gave no login"):
        login.Login(kubeconfig.find("mine")).headers()
    assert proof.exists()


@pytest.mark.skipif(os.name == "nt", reason="needs no right for a link")
def test_a_page_is_not_written_through_a_link(tmp_path):
    kept, link = tmp_path / "kept", tmp_path / "03.html"
    kept.write_text("mine")
    link.symlink_to(kept)
    assert runner.keep_page("<html>", link) == tmp_path / "03-2.html"
    assert kept.read_text() == "mine"
    assert link.is_symlink()


def test_the_emulator_serves_nothing_by_which_another_user_could_start_containers(own_home):
    with aws.account() as account:
        account.client("ec2").describe_vpcs()
        for ask in (
            lambda: account.client("batch").describe_jobs(jobs=["x"]),
            account.client("lambda").list_functions,
        ):
            with pytest.raises(ClientError, match="501"):
                ask()


# -- what is done at the end ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        [["/bin/sh", "-c", "id"]],
        {"run": ["/bin/sh", "-c", "id"]},
        {"compose_project": "--file=/tmp/x"},
        {"compose_project": ["a b", "../x", "", 7, None, ["x"], "a\n"]},
        {"compose_project": "a", "compose_services": ["--volumes", "-f", "x;id"]},
        {"images": ["-f", "a b", "$(id)", "--all\n", "../x"]},
        "images",
        None,
    ],
)
def test_what_is_left_for_the_end_is_names_and_no_command(tmp_path, left):
    (tmp_path / supervisor.AT_END).write_text(json.dumps(left))
    assert supervisor.at_end(tmp_path) == []


def test_each_kind_of_end_that_a_lab_leaves_is_understood(tmp_path):
    def words(**left):
        compose.leave_at_end(tmp_path, **left)
        return [" ".join(command[1:]) for command in supervisor.at_end(tmp_path)]

    down = "compose --project-name a-1 down --volumes --remove-orphans --timeout 0"
    assert words(compose_project="a-1") == [down]
    images = ["a-1-board", "0123456789ab"]
    gone = [f"image rm --force {image}" for image in images]
    assert words(compose_project="a-1", images=images) == [down, *gone]
    assert words(compose_project="a-1", compose_services=["kafka-2"]) == [
        "compose --project-name a-1 stop --timeout 0 kafka-2",
        "compose --project-name a-1 rm --force --volumes kafka-2",
    ]
    with pytest.raises(ValueError, match="--all"):
        words(images=["--all"])


# -- labs side by side ----------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="has modes")
def test_no_other_user_can_read_what_a_lab_keeps(own_home):
    with Lab() as lab:
        lab.topic("t")
        handle = lab.service(lambda service: print("seen"), name="one")
        wait_until(lambda: handle.state == "stopped", 30)
        folder = lab._cluster.folder
        for one in (folder.parent, folder):
            assert stat.S_IMODE(one.stat().st_mode) == 0o700, one
        logs = [one for one in folder.rglob("*.log") if one.is_file()]
        assert {one.name for one in logs} >= {"kafka.log", "console.log"}
        assert len(logs) > 3  # of the service and of the partitions too
        assert [one for one in logs if one.stat().st_mode & 0o077] == []


LESSON = """
import os, sys
from pathlib import Path
from lab_env import Lab
with Lab("embedded", progress=False) as lab:
    topic = lab.topic("t")
    assert Path(lab._cluster.folder).stat().st_uid == os.geteuid()
    print("up", lab._cluster.folder, flush=True)
    sys.stdin.readline()
    assert lab.nodes == {1: "running"}
"""


class Student:
    """Another user of the machine who has a lab, with the course's Kafka and Python read-only.

    Both stand at places that she can enter, in a view of the file system of her own.
    """

    def __init__(self, place: Path, user: int):
        packages = sysconfig.get_path("purelib")
        project = Path(folders.__file__).parents[2]
        base = Path(sys.base_prefix)
        mounts = {
            base: place / "python",
            packages: place / "packages",
            project / "lab_env": place / "project" / "lab_env",
        }
        for there in mounts.values():
            there.mkdir(parents=True, exist_ok=True)
        binds = [f"mount --bind {here} {there}" for here, there in mounts.items()]
        python = place / "python" / Path(sys._base_executable).resolve().relative_to(base.resolve())
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{place}/packages:{place}/project",
            "LD_LIBRARY_PATH": str(place / "python" / "lib"),  # of a Python that is a library
            "KAFKA_LAB_AOT": "off",  # not in a home that cannot be written
            "HOME": "/nonexistent",
            "TMPDIR": str(place / "tmp"),
            folders.HOME_VARIABLE: str(place / "home"),
        }
        words = " ".join([*another(user), str(python), "-c", '"$0"'])
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", "\n".join([*binds, f"exec {words}"]), LESSON],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=place,
        )

    def up(self) -> Path:
        """Return where her lab is, once it is up."""
        line = self.process.stdout.readline()
        assert line.startswith("up "), self.process.communicate()[1]
        return Path(line.split()[1])

    def ends(self) -> None:
        """Let her lab end in good order."""
        said = self.process.communicate("\n", timeout=120)
        assert self.process.returncode == 0, said


@as_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="gives a user a view of her own")
def test_two_users_share_a_kafka_that_neither_can_write(own_home, open_place):
    (open_place / "tmp").mkdir()
    (open_place / "tmp").chmod(0o1777)
    shared = open_place / "home" / "kafka" / jars.key() / "jars"
    shutil.copytree(jars.jar_folder(), shared)
    for jar in shared.iterdir():
        jar.chmod(0o644)
    with contextlib.ExitStack() as stack:

        def begins(user: int) -> Student:
            student = Student(open_place, user)
            stack.callback(student.process.wait)
            stack.callback(student.process.kill)
            return student

        first = begins(NOBODY)
        there = first.up()
        assert there.parent == open_place / "tmp" / f"kafka-lab-{NOBODY}" / "labs"
        second = begins(SECOND)  # at the same time: what the first has made is there
        beside = second.up()
        assert there.exists()
        assert beside.parent == open_place / "tmp" / f"kafka-lab-{SECOND}" / "labs"
        first.ends()
        second.ends()
    wait_until(lambda: not any(open_place.glob("tmp/*/labs/*-*/")), 30)

"""The parent of a lab's brokers: a process of its own that ends them all when the notebook is gone.

Run as a script by the base interpreter, with the standard library alone, in a session of its own,
so that an Interrupt in the notebook never reaches a broker. It speaks JSON lines: commands come in
on stdin, events go out on stdout. It takes a lock on the lab's folder before it makes the folder,
and when its stdin ends or its parent changes, it kills the brokers, does what the lab left to be
done at its end, and removes the folder. All that it and its children write is their user's alone.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

AT_END = "at_end.json"  # in a lab's folder: what is to be done before the folder is removed
AT_END_SECONDS = 60
# What may stand in that file: names, by key, and each is all of a name that Docker gives; never a
# command, since a file may have been written by somebody else.
NAMES = {
    "compose_project": re.compile(r"[a-z0-9][a-z0-9_-]{0,99}"),
    "compose_services": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"),
    "volumes": re.compile(r"[0-9a-f]{64}"),  # those without a name
    "images": re.compile(r"(?:sha256:)?[a-z0-9][a-z0-9._/:-]{0,199}"),
}
# a link, or a pipe, that somebody has laid in the way is not followed, nor waited for
CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def is_mine(found):
    """Return whether what `os.lstat` or `os.fstat` has found belongs to this user.

    Where users are not told apart by numbers, on Windows, each has a place of her own.
    """
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def open_mine(path, flags):
    """Open a file that is this user's own, made for her alone; any other is an OSError."""
    fd = os.open(path, flags | CAREFULLY, 0o600)
    found = os.fstat(fd)
    if not (stat.S_ISREG(found.st_mode) and is_mine(found)):
        os.close(fd)
        raise PermissionError(path)
    return fd


def at_end(folder):
    """Return the commands that end what a lab left, by the names that stand in its folder."""
    try:
        if not is_mine(os.lstat(folder)):
            return []
        fd = open_mine(os.path.join(folder, AT_END), os.O_RDONLY)
        with open(fd, encoding="utf-8") as file:
            left = json.load(file)
    except (OSError, ValueError):
        return []
    names = {key: _names(left, key) for key in NAMES}
    commands = []
    for project in names["compose_project"]:
        words = ["compose", "--project-name", project]
        if "compose_services" not in left:
            words += ["down", "--volumes", "--remove-orphans", "--timeout", "0"]
        elif names["compose_services"]:
            # at once: `rm --stop` gives each the minutes that its file allows it to end
            commands.append([*words, "stop", "--timeout", "0", *names["compose_services"]])
            words += ["rm", "--force", "--volumes", *names["compose_services"]]
        else:
            continue
        commands.append(words)
    # an image that was built bears no label, and an older one of it not even a name
    commands += [["image", "rm", "--force", image] for image in names["images"]]
    if names["volumes"]:
        commands.append(["volume", "rm", "--force", *names["volumes"]])
    docker = shutil.which("docker") or "docker"
    return [[docker, *words] for words in commands]


def _names(left, key):
    """Return the names under a key, less what is no name."""
    found = left.get(key, []) if isinstance(left, dict) else []
    found = found if isinstance(found, list) else [found]
    return [one for one in found if isinstance(one, str) and NAMES[key].fullmatch(one)]


def do_at_end(folder):
    """Do what a lab left to be done at its end: containers are no children to be killed."""
    for command in at_end(folder):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=AT_END_SECONDS,
            )


def try_lock(path):
    """Return an open file that holds the lock at ``path``, or None if somebody else holds it."""
    try:
        fd = open_mine(path, os.O_RDWR | os.O_CREAT)
        handle = open(fd, "r+b")  # noqa: SIM115 - open as long as the lock is held
    except OSError:
        return None
    try:
        if os.name == "nt":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def unlock(handle):
    """Give back what `try_lock` took."""
    handle.close()  # the system releases the lock with the file


class Supervisor:
    """The children of one lab, by name."""

    def __init__(self, folder):
        self.folder = folder
        self.children = {}
        self.talking = threading.Lock()
        self.ending = threading.Lock()

    def tell(self, **event):
        """Send an event to the notebook; a notebook that is gone does not matter."""
        with self.talking, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()

    def start(self, name, argv, cwd, env, log):
        """Start a child and watch for its end."""
        try:
            with open(log, "ab") as output:
                child = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        except OSError as error:
            self.tell(event="exit", name=name, code=None, why=str(error))
            return
        self.children[name] = child
        self.tell(event="started", name=name, pid=child.pid)
        threading.Thread(target=self.wait_for, args=(name, child), daemon=True).start()

    def wait_for(self, name, child):
        """Tell the notebook when a child has ended."""
        code = child.wait()
        self.tell(event="exit", name=name, code=code, why="")

    def signal(self, name, op):
        """Kill, stop (politely), pause or resume a child that lives."""
        child = self.children.get(name)
        if child is None or child.poll() is not None:
            return
        if op == "kill":
            child.kill()
        elif op == "stop":
            child.terminate()
        elif op == "pause":
            child.send_signal(signal.SIGSTOP)
        elif op == "resume":
            child.send_signal(signal.SIGCONT)

    def end(self):
        """Kill all children, remove the folder and leave; whoever comes second waits for ever."""
        self.ending.acquire()
        for child in self.children.values():
            with contextlib.suppress(OSError):
                child.kill()
        for child in self.children.values():
            child.wait()
        do_at_end(self.folder)
        for _ in range(20):  # a system may hold a dead process's files for a moment
            shutil.rmtree(self.folder, ignore_errors=True)
            if not os.path.exists(self.folder):
                break
            time.sleep(0.1)
        with contextlib.suppress(OSError):
            os.unlink(self.folder + ".lock")
        os._exit(0)

    def watch_parent(self, parent):
        """End when the parent is another: a forked child of the notebook can keep stdin open."""
        while os.getppid() == parent:
            time.sleep(0.5)
        self.end()


def main(folder, parent):
    """Serve one lab until its notebook, the process ``parent``, is gone."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.umask(0o077)  # brokers, and all else that is started here, inherit it
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    lock = try_lock(folder + ".lock")
    supervisor = Supervisor(folder)
    if lock is None:
        supervisor.tell(event="refused")
        return
    os.mkdir(folder)
    supervisor.tell(event="ready")
    if os.name != "nt":  # Windows has no parent that changes, and no fork
        threading.Thread(target=supervisor.watch_parent, args=(parent,), daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        op = command.pop("op")
        if op == "start":
            supervisor.start(**command)
        else:
            supervisor.signal(command["name"], op)
    supervisor.end()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

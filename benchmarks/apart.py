"""Runs a function of the benchmarks in a process of its own: a fresh Python, or a kernel."""

import ast
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300  # a deadline against hanging, no measure


class NotHere(Exception):
    """What a subject needs is not on this machine; the words say what."""


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child: as for a student, whose Python keeps its bytecode.

    Kafka is embedded, whatever else is at hand: the figures of two machines are to compare.
    """
    kept = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"KAFKA_LAB": "embedded"} | changes


def python(*words: str, **variables: str):
    """Return what a fresh Python with these arguments says in JSON on its last line."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=SECONDS,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def fresh(function, *args, **variables: str):
    """Return ``function(*args)`` from a fresh Python, with these variables in its environment."""
    order = json.dumps([function.__module__, function.__name__, args])
    return python("-m", "benchmarks.apart", order, **variables)


class Kernel:
    """A notebook's kernel, seen from outside: what it sends to the page, what it costs.

    Attributes:
        frames: (time received, display id, bytes of the PNG, bytes of the message).
    """

    def __enter__(self) -> "Kernel":
        import psutil
        from jupyter_client import KernelManager

        self.frames: list[tuple[float, str, int, int]] = []
        self._manager = KernelManager(kernel_name="python3")
        quiet = ["--IPKernelApp.log_level=50"]  # it warns of TCP on every start
        self._manager.start_kernel(cwd=str(ROOT), env=environment(), extra_arguments=quiet)
        self._process = psutil.Process(self._manager.provisioner.pid)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._reader.join()
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def _listen(self) -> None:
        import queue

        while not self._ended.is_set():
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            content = message["content"]
            png = content.get("data", {}).get("image/png")
            if message["msg_type"] in ("display_data", "update_display_data") and png:
                name = content["transient"]["display_id"]
                size = len(json.dumps(content))
                self.frames.append((time.monotonic(), name, len(png) * 3 // 4, size))

    def call(self, function, *args):
        """Return ``function(*args)`` as the kernel's main thread runs it, as a cell does."""
        name, words = function.__name__, json.dumps(args)
        code = (
            f"import json\nfrom {function.__module__} import {name}\n"
            f"value = json.dumps({name}(*json.loads({words!r})))"
        )
        sent = self._client.execute(code, store_history=False, user_expressions={"value": "value"})
        while True:
            reply = self._client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == sent:
                break
        content = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError("\n".join(content.get("traceback", [content["status"]])))
        return json.loads(
            ast.literal_eval(content["user_expressions"]["value"]["data"]["text/plain"])
        )

    def measure(self, function, *args) -> dict[str, float]:
        """Call ``function`` and return what went on meanwhile.

        Returns:
            cpu (% of one core), rate (frames/s of the slowest figure, from its last frame before to
            its last frame within, so that the ends do no harm), largest (bytes of a PNG),
            sent (bytes/s that the notebook gets).
        """
        count, began, before = len(self.frames), time.monotonic(), self._process.cpu_times()
        self.call(function, *args)
        seconds, after = time.monotonic() - began, self._process.cpu_times()
        frames = self.frames[count:]
        times = {
            name: [time for time, other, *_ in frames if other == name] for _, name, *_ in frames
        }
        last = {name: time for time, name, *_ in self.frames[:count]}
        rates = [len(at) / (at[-1] - last.get(name, began)) for name, at in times.items()]
        used = after.user + after.system - before.user - before.system
        return {
            "cpu": 100 * used / seconds,
            "rate": min(rates, default=0.0),
            "largest": max((png for _, _, png, _ in frames), default=0),
            "sent": sum(size for *_, size in frames) / seconds,
        }


def main(order: str) -> None:
    """Run what `fresh` ordered and print what it returns."""
    module, name, args = json.loads(order)
    print(json.dumps(getattr(importlib.import_module(module), name)(*args)))


if __name__ == "__main__":
    main(sys.argv[1])

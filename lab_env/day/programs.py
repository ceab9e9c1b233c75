"""A plain program as a service of the day: ``python board.py`` in all but the shell."""

import json
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from lab_env.day.contract import Airport


def run(service: Any, path: str, airport: Airport) -> None:
    """Run a program as the service's process, with the variables of the specification.

    Args:
        service: as every function of ``lab.service`` gets it.
        path: of the program; what stands beside it can be imported.
        airport: where Kafka is, how things are called, where the databases are.
    """
    login = {key: value for key, value in airport.connection.items() if key != "bootstrap_servers"}
    # set in here, and not for the process from outside: a password stays out of lists of processes
    os.environ |= {
        "BOOTSTRAP": ",".join(airport.connection["bootstrap_servers"]),
        "LOGIN": json.dumps(login),
        "PREFIX": airport.prefix,
        "FOLDER": airport.folder,
        "INSTANCE": service.name,
    }
    sys.path.insert(0, str(Path(path).parent))
    sys.argv = [path]

    def ask() -> None:
        while service.wait(60.0):
            pass
        os.kill(os.getpid(), signal.SIGTERM)  # as a shell, Docker or Kubernetes asks a program

    threading.Thread(target=ask, daemon=True).start()
    runpy.run_path(path, run_name="__main__")

"""The Spring application of services/airport, run from a notebook without Maven and without a JDK.

service    instances as services: start, second instance, crash, bindings
settings   what an instance is told: where Kafka is, its files, its variables
yaml       the student's YAML, looked at before Spring sees it
said       what its log means
app        its jars by the lock, its own jar, Java's command line
training   the AOT cache that makes a start faster
"""

from lab_env.ground.errors import BadInputError
from lab_env.spring import app
from lab_env.spring.service import SpringFleet, Springs, SpringService

__all__ = ["SpringFleet", "SpringService", "Springs", "source"]


def source(name: str) -> str:
    """Return the Java of a class of the application, to be read: ``source("Delays")``.

    Raises BadInputError: there is no such class.
    """
    files = {file.stem: file for file in (app.SOURCES / "src/main/java").rglob("*.java")}
    for known in (name, f"{name}Configuration"):
        if known in files:
            return files[known].read_text(encoding="utf-8")
    raise BadInputError("spring.no_class", name=name, known=", ".join(sorted(files)))

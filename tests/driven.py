"""A picture driven by hand: a clock that a test sets, samples that it makes, and no thread.

What draws is the engine itself, frame by frame, so that an hour passes in seconds.
"""

import importlib
import inspect
import pkgutil
import time
from types import SimpleNamespace

from lab_env import figures
from lab_env.aws.inventory import Thing
from lab_env.aws.picture import AccountPicture
from lab_env.aws.watch import Seen
from lab_env.figures import Show
from lab_env.figures.engine import live
from lab_env.ground.journal import Journal
from lab_env.ground.reports import Reports
from lab_env.observation.sample import GroupSample, Place, Replicas, Sample

TOPIC, GROUP = "flights.departed", "billing"
WORDS = {  # what a call of `lab.show` is given, by the name of its argument
    "topic": TOPIC,
    "group": GROUP,
    "groups": GROUP,
    "title": "Seen for an hour",
    "retry": ("flights.retry",),
    "dead": "flights.dead",
    "repair": "repairs",
    "services": None,
    "by": "group",
    "lag": True,
    "longer_than": 0.3,
}


class Clock(Journal):
    """A journal whose time is what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def now(self) -> float:
        return self.time


class Samples:
    """What a picture needs of an observer: samples that a test appends."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.asking: float | None = None
        self.missing: set[str] = set()

    def watch(self, topics=(), groups=()) -> "Samples":
        return self

    def after(self, count: int) -> list[Sample]:
        return self.samples[count:]


class Drive:
    """Pictures on a stage without a thread, whose every clock is the test's.

    Args:
        patch: pytest's monkeypatch.

    Attributes:
        observer, reports, clock, show: as a lab has them.
        pictures: those that were made.
    """

    def __init__(self, patch) -> None:
        self.clock, self.reports, self.observer = Clock(), Reports(), Samples()
        machine = SimpleNamespace(monotonic=self.clock.now, thread_time=time.thread_time)
        patch.setattr(live, "time", machine)
        patch.setattr(live, "FIRST_FRAME_SECONDS", 0.0)
        self.show = Show(self.observer, self.reports, self.clock)
        self.stage = self.show._stage = live.Stage(*self.show._parts)
        self.stage._thread = object()  # so that none is started
        self.pictures: list[live.LiveFigure] = []

    def picture(self, kind: str, **more):
        """Return a picture of ``lab.show``, called with what it needs."""
        call = getattr(self.show, kind)
        needs = inspect.signature(call).parameters
        made = call(**{name: more.get(name, WORDS[name]) for name in needs})
        self.pictures.append(made)
        return made

    def account(self):
        """Return the picture of an AWS account in which something costs money."""
        one = Thing("instance", "i-1", "pump", "running", 0.5)
        watch = SimpleNamespace(journal=self.clock, seen=[Seen(0.0, (one,))])
        made = self.stage.add(AccountPicture(self.stage, watch))
        self.pictures.append(made)
        return made

    def sample(
        self,
        ends: dict[Place, int],
        committed: dict[Place, int] | None = None,
        members: tuple[str, ...] = (),
        *,
        state: str = "Stable",
        protocol: str = "classic",
        stale: dict[str, float] | None = None,
        at: float | None = None,
    ) -> None:
        """Append a sample; the members own the partitions by turns, three brokers keep them."""
        places = sorted(ends)
        owners = {place: members[i % len(members)] for i, place in enumerate(places) if members}
        group = GroupSample(state, committed or {}, owners, members, protocol)
        kept = {place: Replicas(1 + i % 3, (1, 2, 3), (1, 2, 3)) for i, place in enumerate(places)}
        when = self.clock.time if at is None else at
        groups = {GROUP: group, "repairs": group}
        starts = dict.fromkeys(ends, 0)
        self.observer.samples.append(Sample(when, ends, starts, kept, groups, stale or {}))

    def frames(self) -> None:
        """Have every picture that is alive drawn, if it wants to be."""
        for picture in self.pictures:
            if picture.alive:
                picture._frame(1.0)

    def go(self, seconds: float, *, step: float = 0.25, each=lambda time: None) -> None:
        """Let time pass in steps; ``each(time)`` is called before the frames of a step."""
        end = self.clock.time + seconds
        while self.clock.time < end - 1e-9:
            self.clock.time += step
            each(self.clock.time)
            self.frames()

    def end(self, picture):
        """Draw a picture's last frame, and return it."""
        picture._finish(1.0)
        assert picture.error is None, picture.sentence
        return picture


def kinds() -> set[type]:
    """Return every kind of picture that there is: the classes of which no other is made."""
    for module in pkgutil.iter_modules(figures.__path__):
        importlib.import_module(f"lab_env.figures.{module.name}")

    def below(kind: type) -> set[type]:
        more = {one for one in kind.__subclasses__() if one.__module__.startswith("lab_env.")}
        return set().union(*map(below, more)) if more else {kind}

    return below(live.LiveFigure)

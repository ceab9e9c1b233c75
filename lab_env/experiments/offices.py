"""Groups of desks that go through the same events: how long each desk's work stood still."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from lab_env.ground.errors import ServiceError
from lab_env.ground.patience import Named
from lab_env.messages import say

if TYPE_CHECKING:
    import pandas as pd

    from lab_env.ground.journal import Journal
    from lab_env.processes.fleets import Fleet
    from lab_env.processes.services import Service

LOOKS = 80  # samples that are looked through for an event's end: 20 s


class HasGroups(Protocol):
    """A lab, as far as an event needs it: see `lab_env.Lab`."""

    journal: "Journal"

    @property
    def reports(self) -> "pd.DataFrame":
        """What services reported."""

    def watch(self, *topics: str, groups: list[str]):
        """Return the observer of a topic and of groups."""

    def span(self, text: str):
        """Shade the pictures while a with block lasts."""

    def until(self, condition, seconds: float | None = None) -> bool:
        """Wait for a condition."""


def shared(lab: HasGroups, topic: str, group: str, members: int) -> bool:
    """Wait until the observer, whose eyes a check has, sees so many members share a topic.

    Args:
        lab: the lab.
        topic: its real name.
        group: its real name.
        members: each of them owns something, and all partitions are owned.
    """
    watch = lab.watch(topic, groups=[group])

    def is_shared() -> bool:
        sample = watch.samples[-1] if watch.samples else None
        if sample is None or group not in sample.groups:
            return False
        owners = sample.groups[group].owners
        places = [place for place in sample.ends if place[0] == topic]
        whole = bool(places) and all(place in owners for place in places)
        return whole and len(set(owners.values())) == members

    return lab.until(Named(say("lab.until_shared", count=members, topic=topic), is_shared))


class Table(dict):
    """Event -> pauses in seconds; says so where an event has not been measured."""

    def __missing__(self, event: str):
        raise ServiceError("rebalancing.not_measured", event=event)


class Offices:
    """Kinds of groups, four desks each, at work on one topic.

    Args:
        lab: the lab.
        topic: real name of a topic of ``partitions`` partitions.
        groups: the real name of each kind's group.
        fleets: the desks of each kind, whose names end in -1, -2, ...
        departures: the service that fills the topic while its setting ``flying`` is true.
        partitions: of the topic.

    Attributes:
        table: of each event that was measured, a DataFrame: a row a kind, a column a desk ("1",
            "2", ...), the longest pause of its work in seconds.
    """

    def __init__(
        self,
        lab: HasGroups,
        topic: str,
        groups: Mapping[str, str],
        fleets: "Mapping[str, Fleet]",
        departures: "Service",
        partitions: int = 6,
    ):
        self.table = Table()
        self._lab, self._groups, self._fleets = lab, dict(groups), dict(fleets)
        self._departures, self._partitions = departures, partitions
        self._watch = lab.watch(topic, groups=list(groups.values()))

    def desks(self, number: int) -> "list[Service]":
        """Return the desks with this number, one of each kind."""
        return [fleet[number - 1] for fleet in self._fleets.values()]

    @contextmanager
    def event(self, name: str, before: str, after: str) -> Generator[None]:
        """Measure the pauses of what happens in the with block, and put them into the table.

        Departures flow from before the block until every group has settled after it. If one does
        not, a line says who, and the table gets no row.

        Args:
            name: of the event.
            before: the numbers of the desks that work before it: "123".
            after: and after it.

        Raises:
            ServiceError: a desk has failed, by a mistake in its code or a cell that was skipped.
        """
        self.table.pop(name, None)
        self._line_up(before)
        self._departures.set(flying=True)
        try:
            flow = self._lab.journal.now()
            late = self._unsettled(before, flow)
            begin, owners = self._lab.journal.now(), self._owners()
            with self._lab.span(name):
                yield
                late = late or self._unsettled(after, self._lab.journal.now())
        finally:
            self._departures.set(flying=False)
        late = late or self._joined_anew(flow)
        if late:
            print(say("rebalancing.unsettled", event=name, names=", ".join(late)))
        else:
            self.table[name] = self._pauses(flow, begin, owners)

    def told(self, field: str, since: float) -> "pd.DataFrame":
        """Return the reports with a field, with the kind of group and the number of the desk.

        Args:
            field: such as "handled", "revoked", "refused".
            since: of the lab's clock, s.
        """
        columns = ["time", "service", "partition", "text", field]
        rows = self._lab.reports.reindex(columns=columns)
        rows = rows[(rows["time"] > since) & rows[field].notna()]
        names = rows["service"].str.rsplit("-", n=1, expand=True)
        rows = rows.assign(kind=names.get(0), desk=names.get(1))
        return rows[rows["kind"].isin(list(self._fleets))]

    def taken(self, desks: str, since: float) -> dict[str, int]:
        """Return how many partitions were taken from these desks since then, by kind."""
        rows = self.told("revoked", since)
        rows = rows[rows["desk"].isin(list(desks))].explode("revoked")
        kinds = rows.groupby("kind")["revoked"].nunique()
        return kinds.reindex(list(self._fleets), fill_value=0).to_dict()

    def begins_batch(self, service: "Service") -> None:
        """Wait until a desk has begun another batch."""
        begun = len(service.reports)
        self._lab.until(lambda: len(service.reports) > begun)

    # -- how it is done ---------------------------------------------------------------------

    def _line_up(self, desks: str) -> None:
        """Have these desks of each group at work, and the others closed; start those that died."""
        if self._departures.state != "running":
            self._departures.restart()
        for fleet in self._fleets.values():
            for number, service in enumerate(fleet, 1):
                if service.settings["open"] != (str(number) in desks):
                    service.set(open=str(number) in desks)
                if service.state != "running":
                    service.restart()

    def _unsettled(self, desks: str, since: float) -> list[str]:
        """Wait until every group has settled with these desks; return who has not."""
        late: list[str] = []

        def settled() -> bool:
            self._raise_what_failed()
            late[:] = self._look(desks, since)
            return not late

        self._lab.until(Named(say("lab.until_settled"), settled))
        return late

    def _raise_what_failed(self) -> None:
        """Say which desk has ended with an error of its own: it never settles."""
        for service in (one for fleet in self._fleets.values() for one in fleet):
            if service.state == "failed":
                raise ServiceError("rebalancing.desk_failed", error=service.error)

    def _look(self, desks: str, since: float) -> list[str]:
        seen = [sample for sample in self._watch.samples[-LOOKS:] if sample.time > since]
        if len(seen) < 2:
            return list(self._groups)
        return [name for kind in self._groups for name in self._late(kind, desks, seen)]

    def _late(self, kind: str, desks: str, seen: Sequence) -> Iterator[str]:
        """Yield the desks of a kind that do not own and handle what they should; or the kind."""
        group = self._groups[kind]
        now = seen[-1].groups.get(group)
        if now is None:
            yield kind
            return
        owners = {place: _number(name) for place, name in now.owners.items()}
        if wrong := sorted(set(owners.values()) ^ set(desks)):
            yield from (f"{kind}-{number}" for number in wrong)
            return
        then = next(s.groups[group] for s in seen if s.groups.get(group, now).owners == now.owners)
        grown = {at for at, end in now.committed.items() if end > then.committed.get(at, 0)}
        if idle := sorted({owners[place] for place in owners if place not in grown}):
            yield from (f"{kind}-{number}" for number in idle)
        elif now.state != "Stable" or len(owners) != self._partitions:
            yield kind

    def _joined_anew(self, since: float) -> list[str]:
        return sorted(set(self.told("joins_anew", since)["service"]))

    def _owners(self) -> "pd.Series":
        """Return the number of the desk that has each partition now, by kind and partition."""
        import pandas as pd

        groups = self._watch.samples[-1].groups
        rows = {
            (kind, place[1]): _number(name)
            for kind, group in self._groups.items()
            for place, name in groups[group].owners.items()
        }
        index = pd.MultiIndex.from_tuples(rows, names=["kind", "partition"])
        return pd.Series(list(rows.values()), index=index, name="owner")

    def _pauses(self, flow: float, begin: float, owners: "pd.Series") -> "pd.DataFrame":
        """Return the longest pause of each desk's work (s): a row a kind, a column a desk.

        A desk's work is the partitions that it had when the event began. Of a newcomer it is how
        long it waited for its first record.
        """
        rows = self.told("handled", flow).sort_values("time")
        rows = rows.join(owners, on=["kind", "partition"])
        gaps = rows["time"] - rows.groupby(["kind", "owner"])["time"].shift()
        rows, gaps = rows[rows["time"] > begin], gaps[rows["time"] > begin]
        pause = gaps.groupby([rows["kind"], rows["owner"]]).max().unstack()
        opened = self.told("opened", begin).groupby(["kind", "desk"])["time"].max()
        waited = rows.groupby(["kind", "desk"])["time"].min() - opened
        return pause.combine_first(waited.dropna().unstack()).reindex(list(self._fleets))


def _number(member: str) -> str:
    """Return a desk's number: "2" for "eager-2", or for "eager-2 (2)"."""
    return member.split()[0].rsplit("-", 1)[-1]

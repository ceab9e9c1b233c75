"""Who consumed how much: committed records, given to the member that owned the partition."""

from lab_env.observation.sample import GroupSample, Place, Sample


class OwnerCounts:
    """Counts, for each member of a group, the records of a topic that were committed for it.

    Args:
        topic: real name.
        group: real name.
        first_counts: whether what the first commit of a group in a partition passes counts as
            consumed. A group that begins at the latest has skipped it; one that begins at the
            earliest has read it. Nobody but its members knows.
    """

    def __init__(self, topic: str, group: str, *, first_counts: bool = True):
        self._first_counts = first_counts
        self._topic = topic
        self._group = group
        self._before: dict[Place, int] | None = None
        self._owners: dict[Place, str] = {}
        self._counts: dict[str, int] = {}

    def take(self, sample: Sample) -> dict[str, int]:
        """Take in a sample; return the records so far (since the first sample) by member.

        Only who is a member now is named. What was committed between two samples is the work of
        the one who owned the partition before, or else of the one who owns it now.
        """
        group = sample.groups.get(self._group, GroupSample())
        now = {
            place: max(group.committed.get(place, 0), sample.starts.get(place, 0))
            for place in sample.ends
            if place[0] == self._topic and (self._first_counts or place in group.committed)
        }
        before = now if self._before is None else self._before
        for place, offset in now.items():
            grown = offset - before.get(place, offset)
            owner = self._owners.get(place) or group.owners.get(place)
            if grown > 0 and owner:
                self._counts[owner] = self._counts.get(owner, 0) + grown
        self._before, self._owners = now, dict(group.owners)
        owners = {owner for place, owner in group.owners.items() if place[0] == self._topic}
        return {name: self._counts.get(name, 0) for name in sorted({*group.members, *owners})}

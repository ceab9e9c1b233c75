"""Who used a topic that is made anew: services are started again, others are named."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab_env.messages import say
from lab_env.processes.services import stop_all

if TYPE_CHECKING:
    from lab_env.processes.services import Service
    from lab_env.topics.creation import Before

STOP_SECONDS = 5.0  # a member that leaves its group in good order spares the next one a timeout


class Users:
    """Those who use a topic of a lab while it is made anew.

    A consumer of kafka-python that knew the old topic often hears nothing of the new one, leaves
    its group and raises nothing; and when it is closed it commits its old places, so that whoever
    comes next passes over the first records. So services that read are stopped while the old
    topic is still there, and started again. One that only writes is left as it is: started again,
    it would publish twice.

    Args:
        topic: real name.
        services: of this lab.
    """

    def __init__(self, topic: str, services: "Iterable[Service]"):
        self._topic = topic
        self._services = list(services)
        self._before: Before | None = None
        self._readers: list[Service] = []
        self._others: list[Service] = []

    def stop(self, before: "Before") -> None:
        """Stop the services that read.

        Args:
            before: what is there, and who reads it.
        """
        self._before = before
        running = [one for one in self._services if one.state == "running"]
        for one in running:
            if one._reads(self._topic, _clients(before)):
                self._readers.append(one)
            elif one._uses(self._topic):
                self._others.append(one)
        stop_all(self._readers, STOP_SECONDS)

    def start(self) -> None:
        """Start again what was stopped, whatever came of the topic."""
        for service in self._readers:
            service.restart()

    def told(self, partitions: int) -> str:
        """Return who was started again, and who is left with the old topic; "" if nobody is.

        Args:
            partitions: how many the new topic has.
        """
        if self._before is None:
            return ""
        said = []
        if self._readers:
            said.append(say("lab.topic_readers", name=self._topic, services=_names(self._readers)))
        if self._others:
            said.append(say("lab.topic_users", name=self._topic, services=_names(self._others)))
        known = [one.name for one in (*self._readers, *self._others)]
        groups = [
            group
            for group, clients in self._before.readers.items()
            if not all(any(is_of(client, one) for one in known) for client in clients)
        ]
        if groups:
            said.append(say("lab.topic_groups", name=self._topic, groups=", ".join(sorted(groups))))
        if partitions < self._before.partitions:
            counts = {"before": self._before.partitions, "now": partitions}
            said.append(say("lab.topic_fewer", name=self._topic, **counts))
        return "\n".join(said)


def is_of(client: str, service: str) -> bool:
    """Return whether a client id is one of a service with this name."""
    return client == service or client.startswith(f"{service}-")


def _clients(before: "Before") -> set[str]:
    return {client for some in before.readers.values() for client in some}


def _names(services: "list[Service]") -> str:
    return ", ".join(one.name for one in services)

"""What lesson 06's desks have beside their poll loop: they open, close, and report."""

from typing import TYPE_CHECKING

from kafka import ConsumerRebalanceListener

from lab_env.ground.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab_env.processes.worker import ServiceContext

STRANDED_SECONDS = 10.0  # twice the longest session timeout of the lesson
POLL_SECONDS = 0.5  # between two looks, at the most
_waiting: dict[int, Patience] = {}  # of the consumer that this process has


class Told(ConsumerRebalanceListener):
    """Reports which partitions are taken away, as ``revoked``.

    Args:
        service: what reports.
    """

    def __init__(self, service: "ServiceContext"):
        self._service = service

    def on_partitions_revoked(self, revoked) -> None:
        """Report the numbers of partitions that this member has to give back."""
        self._service.report(revoked=[one.partition for one in revoked])

    def on_partitions_assigned(self, assigned) -> None:
        """Leave it at that: what is handled tells it."""


def waits_for_call(service: "ServiceContext") -> bool:
    """Wait until a desk is set to ``open``; return False when the service is to end."""
    while service.running and not service.settings["open"]:
        service.wait(0.05)
    service.report(opened=True)
    return service.running


def on_duty(service: "ServiceContext", consumer) -> bool:
    """Return whether a desk is to go on with its consumer.

    Not if it is closed, and not if it has owned nothing for so long that its group must have
    forgotten it, after the machine or the broker stood still: then it has to join anew.

    Args:
        service: with a setting ``open``.
        consumer: of kafka-python or confluent-kafka.
    """
    if not service.running or not service.settings["open"]:
        _waiting.clear()
        return False
    patience = _waiting.setdefault(id(consumer), Patience(STRANDED_SECONDS, pause=POLL_SECONDS))
    patience.look(object() if consumer.assignment() else None)  # an object is always another one
    if patience.over:
        _waiting.clear()
        service.report(joins_anew=True)
        return False
    return True


def handle(service: "ServiceContext", records: "Iterable[tuple[int, int]]") -> None:
    """Report records as ``handled``, and take the time that the work takes.

    Args:
        service: with a setting ``work``, s a batch, and ``nap``, s that are added once.
        records: a partition and an offset each.
    """
    records = list(records)
    for partition, offset in records:
        service.report(handled=offset, partition=partition)
    if records:
        service.wait(service.settings["work"] + service.settings.pop("nap", 0))


def heard(service: "ServiceContext", messages: list) -> list:
    """Return confluent-kafka's messages without those that are errors, which are reported."""
    for one in messages:
        if one.error() is not None:
            service.report(error=one.error().str())
    return [one for one in messages if one.error() is None]

"""Gates: answers each command for a gate exactly once, whichever copy has received it.

The reply and the offset of the command are one transaction: both are there, or neither. A copy that
was replaced while it hung cannot finish what it had begun, since Kafka fences it off.
"""

import json
from contextlib import closing
from zlib import crc32

from airport import (
    COMMANDS,
    INSTANCE,
    PREFIX,
    MalformedError,
    batches,
    consumer,
    header,
    letter,
    parse,
    positions,
    run,
    sending,
)
from kafka.consumer.fetcher import ConsumerRecord
from kafka.structs import OffsetAndMetadata

COMMAND = {"command": str, "flight": str, "origin": str}
GATES = 30  # of each of the three airports
HELD = 10_000  # ms; what a copy that is gone has begun, and nobody takes up, is given up then


def main() -> None:
    """Receive commands, send replies."""
    transactions = sending(
        # the same name after a restart, so that what the dead copy had begun is given up at once
        transactional_id=f"{PREFIX}gates-{INSTANCE}",
        transaction_timeout_ms=HELD,
    )
    with transactions as sender, closing(consumer("gates", COMMANDS)) as member:
        sender.init_transactions()
        for batch in batches(member):
            # an error leaves the block: both clients are made anew, and the batch is read again
            sender.begin_transaction()
            for record in batch:
                sender.send(**answer(record))
            done = {place: OffsetAndMetadata(at, "", -1) for place, at in positions(batch).items()}
            sender.send_offsets_to_transaction(done, member.group_metadata())
            sender.commit_transaction()


def answer(record: ConsumerRecord) -> dict:
    """Return what is to be sent for a command: a reply, or a dead letter."""
    try:
        command = parse(record, COMMAND)
        to, correlation = header(record, "reply-to"), header(record, "correlation-id")
    except MalformedError as error:
        return letter(record, error)
    gate = f"{command['origin']}-{1 + crc32(command['flight'].encode()) % GATES}"
    told = {"command": command["command"], "flight": command["flight"], "gate": gate}
    return {
        "topic": to.decode(),
        "key": record.key,
        "value": json.dumps(told | {"by": INSTANCE}).encode(),
        "headers": [("correlation-id", correlation)],
    }


if __name__ == "__main__":
    run(main)

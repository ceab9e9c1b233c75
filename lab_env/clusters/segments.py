"""A partition's files on a broker's disk, and the record batches in them.

A segment is a file named after the offset of its first record; it is a row of record batches, each
with a header of 61 bytes before its records (Kafka's documentation, "Message Format", version 2).
"""

import re
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from lab_env.messages import say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

HEADER = Struct(">qiibIhiqqqhii")
FIELDS = (
    "base_offset",  # of the first record
    "length",  # bytes that follow this field
    "leader_epoch",
    "magic",  # version of the format
    "crc",  # CRC-32C of all that follows it
    "attributes",  # bits 0-2: compression (0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd)
    "last_offset_delta",  # of the last record, from base_offset
    "first_timestamp",  # ms since 1970
    "max_timestamp",
    "producer_id",  # -1 if the producer is not idempotent
    "producer_epoch",
    "base_sequence",
    "count",  # records
)
RECORD_FIELDS = ("base_offset", "length", "attributes", "timestamp_delta", "offset_delta", "offset")
COMPRESSED = 0b111  # bits of a batch's attributes
CONTROL = 0b100000  # the same: its records are Kafka's own, such as a transaction's end
AFTER_LENGTH = 12  # bytes of the two fields that `length` does not count
SEGMENT = re.compile(r"(\d{20})\.(\w+)")
FILE_COLUMNS = ["node", "partition", "file", "base_offset", "bytes"]


class HasFolder(Protocol):
    """A lab: ``folder`` has the disks of those of its brokers that run on this machine."""

    folder: "Path"


def files(lab: HasFolder, topic: str) -> "pd.DataFrame":
    """Return the segment files of a topic that lie on this machine, indices included.

    Args:
        lab: the lab; if its brokers' disks are elsewhere, that is said and the frame is empty.
        topic: real name of the topic.

    Returns:
        DataFrame: node int64 (id of the broker), partition int64, file str, base_offset int64 (of
        the first record in it), bytes int64 (as the file system tells it).
    """
    import pandas as pd

    rows = []
    for node, partition, folder in _folders(lab, topic):
        for path in sorted(folder.iterdir()):
            try:
                size = path.stat().st_size
            except FileNotFoundError:  # retention and compaction go on while we look
                continue
            if named := SEGMENT.fullmatch(path.name):
                rows.append((node, partition, path.name, int(named[1]), size))
    if not rows:
        print(say("segments.elsewhere", topic=topic))
    numbers = dict.fromkeys(["node", "partition", "base_offset", "bytes"], "int64")
    return pd.DataFrame(rows, columns=FILE_COLUMNS).astype(numbers)


def read(lab: HasFolder, topic: str, partition: int = 0, base_offset: int = 0) -> bytes:
    """Return the bytes of a segment, as they lie on disk; b"" if they are not on this machine.

    Args:
        lab: the lab.
        topic: real name of the topic.
        partition: which.
        base_offset: of the segment's first record.
    """
    for _, number, folder in _folders(lab, topic):
        path = folder / f"{base_offset:020}.log"
        if number == partition and path.is_file():
            return path.read_bytes()
    return b""


def batches(data: bytes) -> "pd.DataFrame":
    """Return the headers of the record batches in a segment's bytes.

    Args:
        data: what `read` returned. A batch that is cut off at the end is left out.

    Returns:
        DataFrame: a row a batch, a column (int64) a field of `FIELDS`.
    """
    import pandas as pd

    rows, at = [], 0
    while at + HEADER.size <= len(data):
        header = HEADER.unpack_from(data, at)
        at += AFTER_LENGTH + header[1]
        if at > len(data) or header[1] < HEADER.size - AFTER_LENGTH:
            break  # still being written, or no batch
        rows.append(header)
    return pd.DataFrame(rows, columns=list(FIELDS)).astype("int64")


def records(data: bytes) -> "pd.DataFrame":
    """Return the heads of the records in a segment's bytes; batches that are compressed are not.

    A record begins with its length (a varint, zigzag), attributes (a byte), the timestamp delta and
    the offset delta (both varints): its own offset is the batch's base_offset plus that delta.

    Args:
        data: what `read` returned.

    Returns:
        DataFrame: a row a record, a column (int64) a field of `RECORD_FIELDS`; ``length`` is in
        bytes, of all that follows it.
    """
    import pandas as pd

    rows, at = [], 0
    for batch in batches(data).to_dict("records"):
        place, end = at + HEADER.size, at + AFTER_LENGTH + batch["length"]
        at = end
        if batch["attributes"] & (COMPRESSED | CONTROL):
            continue
        for _ in range(batch["count"]):
            length, begin = _varint(data, place)
            timestamp_delta, after = _varint(data, begin + 1)
            offset_delta, _ = _varint(data, after)
            attributes, offset = data[begin], batch["base_offset"] + offset_delta
            head = (batch["base_offset"], length, attributes, timestamp_delta, offset_delta, offset)
            rows.append(head)
            place = begin + length
    return pd.DataFrame(rows, columns=list(RECORD_FIELDS)).astype("int64")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number that is written in 7 bits a byte, its sign last, and where it ends."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    number |= data[at] << shift
    return (number >> 1) ^ -(number & 1), at + 1


def _folders(lab: HasFolder, topic: str) -> list[tuple[int, int, "Path"]]:
    """Return (node id, partition, folder) of each replica of the topic on this machine."""
    found = []
    for folder in lab.folder.glob(f"node-*/data/{topic}-*"):
        number = folder.name.removeprefix(f"{topic}-")
        if number.isdigit():
            node = int(folder.parent.parent.name.removeprefix("node-"))
            found.append((node, int(number), folder))
    return sorted(found)

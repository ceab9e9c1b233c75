"""A class, live: students who have joined send records, and whoever teaches sees them together.

Kafka alone carries it. Each student writes into a topic of her own, under her own prefix, so the
rights that she has anyway keep the others out; whoever teaches reads all of these topics.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_env.classroom.picture import ClassPicture

__all__ = ["show"]


def show(word: str, scale: float | None = None) -> "ClassPicture":
    """Show a class below the running cell, live, for the projector; students can join it.

    The picture has ``reveal()``, ``hide()``, ``ask()`` and ``stop()``. It needs no lab. The cell,
    when it is run again, replaces it.

    Args:
        word: of the class, which students type.
        scale: of text and lines, 0.5 to 3; None for what ``KAFKA_LAB_SCALE`` says, else 1.5, which
            can be read from the back of a room.

    Raises:
        BadInputError: no cluster is named, or the word or the scale cannot be one.
        BrokerError: the cluster cannot be used.
    """
    from lab_env.classroom import picture

    return picture.show(word, scale)

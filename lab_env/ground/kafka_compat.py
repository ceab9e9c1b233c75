"""What a process has to do to kafka-python before and while it uses it."""

import contextlib
import logging
import warnings
from collections.abc import Generator


@contextlib.contextmanager
def quiet_kafka() -> Generator[None]:
    """Keep kafka-python's log still while refused connections are expected."""
    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def let_client_in() -> None:
    """Let kafka-python be imported where every warning is an error (PYTHONWARNINGS=error).

    It reads its schemas by a function that Python 3.11 and 3.12 call old.
    """
    message = r"(open|read)_text is deprecated"
    warnings.filterwarnings("ignore", message, DeprecationWarning)

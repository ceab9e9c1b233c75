"""Requests of Kafka's protocol that kafka-python lacks, in the form that it reads."""

import sys
from functools import cache
from types import new_class
from typing import Any


@cache
def message(name: str) -> Any:
    """Return the class of a request or a response; its fields stand in a file beside this module.

    Args:
        name: as Kafka's protocol has it, such as "ShareGroupDescribeRequest". A request is sent
            only once its response is known too: `request` sees to both.
    """
    from kafka.protocol.api_message import ApiMessage

    return new_class(name, (ApiMessage,), {"load_json": sys.modules[__name__]})


def request(name: str, **fields: object) -> Any:
    """Return a request with its fields, as ``name``, such as "ShareGroupDescribe", has them."""
    message(f"{name}Response")
    return message(f"{name}Request")(**fields)

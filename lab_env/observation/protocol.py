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


async def groups_in(admin, node: int, name: str, **fields: object) -> list:
    """Ask a coordinator about groups, and return those of its answer that exist.

    Args:
        admin: a KafkaAdminClient.
        node: the coordinator; one that does not know the question (an older broker, or one on
            which such groups are off) knows no such group.
        name: of the request, such as "ShareGroupDescribe".
        **fields: of the request.

    Raises:
        KafkaError: the coordinator does not answer, or refuses.
    """
    from kafka.errors import GroupIdNotFoundError, UnsupportedVersionError, for_code

    try:
        response = await admin._manager.send(request(name, **fields), node_id=node)
    except UnsupportedVersionError:
        return []
    there = [one for one in response.groups if one.error_code != GroupIdNotFoundError.errno]
    for group in there:
        if group.error_code:
            raise for_code(group.error_code)(group.error_message)
    return there

"""An application that takes its partitions by a fixed index is known by what it was told."""

import pytest

from lab_env.checks.spring_cloud_stream import _by_itself
from lab_env.spring.service import SpringService

KEY = "spring.cloud.stream.kafka.bindings.statistics-in-0.consumer.auto-rebalance-enabled"
NESTED = "spring.cloud.stream.kafka.bindings.statistics-in-0.consumer:\n  {}: {}\n"


def told(yaml: str | None, **properties: object) -> SpringService:
    """Return an instance as it was told what to do; it has not been started."""
    one = object.__new__(SpringService)
    one._yaml, one._properties = yaml, properties
    return one


@pytest.mark.parametrize(
    ("instance", "by_itself"),
    [
        (told(f"{KEY}: false"), True),
        (told(f'{KEY}: "false"'), True),
        (told(NESTED.format("autoRebalanceEnabled", "false")), True),
        (told(NESTED.format("AUTO-REBALANCE-ENABLED", "False")), True),
        (told(None, **{KEY: False}), True),
        (told(f"{KEY}: true"), False),
        (told("spring.cloud.stream.instance-count: 3"), False),
        (told(None), False),
        (object(), False),  # a service in Python
    ],
)
def test_a_fixed_index_is_told_though_nothing_was_committed(instance, by_itself):
    """Three that shared by indexes of their own were said to be none: start them, it said."""
    assert _by_itself(instance) is by_itself

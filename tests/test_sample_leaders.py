"""Who leads, and what is in sync, as a sample of the broker tells it: no Kafka is needed."""

import pytest

from lab_env.observation.sample import Replicas, Sample

pytestmark = pytest.mark.fast

KEPT = {
    ("flights", 1): Replicas(2, (2, 3), (2, 3)),
    ("flights", 0): Replicas(1, (1, 2), (1, 2)),
    ("bills", 0): Replicas(1, (1, 3), (1,)),
    ("gone", 0): Replicas(-1, (3,), ()),
}
SAMPLE = Sample(time=1.0, ends={}, starts={}, leaders=KEPT, groups={}, stale={})


def test_a_broker_leads_what_names_it_and_nothing_of_another_topic():
    assert SAMPLE.led(1, "flights") == [("flights", 0)]
    assert SAMPLE.led(1, "flights", "bills") == [("bills", 0), ("flights", 0)]
    assert SAMPLE.led(3, "flights", "bills", "gone") == []
    assert SAMPLE.led(-1, "gone") == [("gone", 0)]  # nobody leads it


def test_topics_are_in_sync_only_when_all_have_been_seen_with_a_leader_and_all_replicas():
    assert SAMPLE.in_sync("flights")
    assert not SAMPLE.in_sync("flights", "bills")  # one replica is missing
    assert not SAMPLE.in_sync("gone")
    assert not SAMPLE.in_sync("flights", "not seen yet")

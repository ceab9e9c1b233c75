"""Share groups (KIP-932) as the broker tells them: members, how far they are, and their lag."""

import contextlib
import math

import pytest
from confluent_kafka import AcknowledgeType, ShareConsumer
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from lab_env import Lab
from lab_env.observation import queries, share_groups
from lab_env.observation.groups import describe
from lab_env.observation.sample import GroupSample, Sample, SharePosition

pytestmark = pytest.mark.shares_a_lab
SECONDS = 60
PLACE = ("orders", 0)


@pytest.fixture(scope="module")
def lab(own_home):
    """A lab for all tests of this file: each uses a topic and a group of its own."""
    with Lab("embedded") as one:
        yield one


@pytest.fixture
def admin(lab):
    with contextlib.closing(KafkaAdminClient(**lab.connection)) as one:
        yield one


def begin(admin, group, **settings):
    """Set where a group begins, and whatever else is set for it."""
    wanted = {"share.auto.offset.reset": "earliest"} | settings
    admin.alter_configs([ConfigResource("GROUP", group, wanted)])


def filled(lab, name, count):
    """Return a topic of one partition with records, each a batch of its own."""
    topic = lab.topic(name, partitions=1)
    with contextlib.closing(KafkaProducer(**lab.connection, batch_size=0)) as producer:
        for number in range(count):
            producer.send(topic, str(number).encode())
        producer.flush(timeout=60)
    return topic


@contextlib.contextmanager
def member(lab, topic, group, name):
    own = {"group.id": group, "client.id": name, "max.poll.records": 1}
    own |= {"share.acknowledgement.mode": "explicit"}
    with ShareConsumer(lab.librdkafka | own) as consumer:
        consumer.subscribe([topic])
        yield consumer


def take(lab, consumer, wanted=AcknowledgeType.ACCEPT):
    """Take one record and acknowledge it; return its offset and its delivery count."""
    found = []
    assert lab.until(lambda: found.extend(consumer.poll(1.0)) or found, seconds=SECONDS)
    (record,) = found
    consumer.acknowledge(record, wanted)
    assert all(error is None for error in consumer.commit_sync().values())
    return record.offset(), record.delivery_count()


def test_a_share_group_has_members_a_start_offset_and_kafkas_own_lag(lab, admin):
    topic, group = filled(lab, "orders", 10), lab.group("crew")
    begin(admin, group)
    assert share_groups.positions(admin, [group]) == {group: {}}
    with member(lab, topic, group, "anna") as anna, member(lab, topic, group, "ben"):
        shares = lab.assignment(group, members=2)
        assert sorted(shares["member"]) == ["anna", "ben"]
        assert shares["partition"].tolist() == [0, 0]  # both read the only partition
        assert take(lab, anna, AcknowledgeType.RELEASE) == (0, 1)
        for _ in range(3):
            take(lab, anna)
        told = describe(admin, [group])[group]
        assert (told.state, told.protocol, len(told.members)) == ("Stable", "share", 2)
        assert told.generation > 0
        (row,) = lab.lag(group).to_dict("records")
        # a record that was released keeps the start offset where it is, and three are done
        done = 10 - row["lag"]
        assert (row["topic"], row["end_offset"], done in (3, 4)) == (topic, 10, True)
        assert row["committed_offset"] <= done
        assert queries.lag(lab.connection, topic, group) == {0: row["lag"]}
        assert queries.groups(lab.connection)[group]["group_type"] == "share"
        names = [m["client_id"] for m in queries.groups(lab.connection)[group]["members"]]
        assert sorted(names) == ["anna", "ben"]


def test_the_observer_follows_a_share_group_and_names_no_owner(lab, admin):
    topic, group = filled(lab, "watched", 5), lab.group("watchers")
    begin(admin, group)
    watch = lab.watch(topic, groups=[group])
    assert math.isnan(watch.samples[-1].lag(topic, group))
    with member(lab, topic, group, "carla") as carla:
        take(lab, carla)
        take(lab, carla)
        assert lab.until(lambda: watch.samples[-1].lag(topic, group) == 3, seconds=SECONDS)
        sample = watch.samples[-1]
        told = sample.groups[group]
        assert (told.members, told.owners, told.is_share) == (("carla",), {}, True)
        start, lag = told.shared[topic, 0]
        assert (start <= 2, lag) == (True, 3)  # what is done may lie behind the start offset
        assert sample.completed(topic, group) == 2
        row = watch.commits.iloc[-1]
        assert (row["committed"], row["lag"], row["member"]) == (start, 3, "")


def test_lag_of_a_share_group_in_a_sample_is_what_kafka_tells():
    def sample(shared, starts=0):
        group = GroupSample("Stable", protocol="share", shared=shared)
        return Sample(0.0, {PLACE: 9}, {PLACE: starts}, {}, {"crew": group}, {})

    assert sample({PLACE: SharePosition(2, 4)}).lag("orders", "crew") == 4  # and not 9 - 2
    assert math.isnan(sample({PLACE: SharePosition(2, -1)}).lag("orders", "crew"))
    assert math.isnan(sample({}).lag("orders", "crew"))
    assert sample({}, starts=9).lag("orders", "crew") == 0  # it holds no record
    assert sample({}).completed("orders", "crew") is None

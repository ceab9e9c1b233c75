"""A cell asks who owns what, how far a group has come, and how often it was rebalanced."""

import contextlib

import pytest
from kafka import KafkaConsumer, KafkaProducer

from lab_env import Lab
from lab_env.ground.errors import BadInputError
from lab_env.observation.facts.rebalances import rebalances
from lab_env.observation.sample import GroupSample, Sample


@pytest.fixture(scope="module")
def lab(own_home):
    """A lab for all tests of this file: each uses a topic and a group of its own."""
    with Lab("embedded") as one:
        yield one


def member(service, topic, group):
    own = {"group_id": group, "client_id": service.name, "auto_offset_reset": "earliest"}
    own |= {"heartbeat_interval_ms": 300, "enable_auto_commit": False}
    with contextlib.closing(KafkaConsumer(topic, **lab_connection(service), **own)) as consumer:
        while service.running:
            if consumer.poll(timeout_ms=500):
                consumer.commit()


def lab_connection(service):
    return service.settings["connection"]


def hire(lab, topic, group, name, **more):
    return lab.service(
        member, topic, group, name=name, settings={"connection": lab.connection}, **more
    )


def filled(lab, name, partitions):
    topic = lab.topic(name, partitions=partitions)
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        for number in range(12):
            producer.send(topic, b"x", partition=number % partitions)
        producer.flush(timeout=60)
    return topic


@pytest.mark.shares_a_lab
def test_who_owns_what_also_an_idle_member(lab):
    topic, group = filled(lab, "owned", 2), lab.group("owners")
    assert lab.assignment(group).empty
    hire(lab, topic, group, "gate", copies=3)
    shares = lab.assignment(group, members=3)
    assert set(shares["member"]) == {"gate-1", "gate-2", "gate-3"}
    assert sorted(shares["partition"].dropna()) == [0, 1]
    assert int(shares["partition"].isna().sum()) == 1
    assert set(shares["topic"].dropna()) == {topic}
    lab.services.stop()


@pytest.mark.shares_a_lab
def test_lag_is_missing_where_nothing_was_committed(lab):
    topic, group = filled(lab, "lagging", 2), lab.group("readers")
    before = lab.lag(group, topic)
    assert before["lag"].isna().all()
    assert before["end_offset"].tolist() == [6, 6]
    assert lab.lag(group).empty
    reader = hire(lab, topic, group, "reader")
    assert lab.until(lambda: lab.lag(group, topic)["lag"].sum() == 0 and not lab.lag(group).empty)
    reader.stop()
    filled(lab, "lagging-too", 1)
    assert lab.lag(group)["committed_offset"].tolist() == [6, 6]
    with pytest.raises(BadInputError, match="no topic"):
        lab.lag(group, "nowhere")


@pytest.mark.shares_a_lab
def test_the_rebalances_of_a_group(lab):
    topic, group = filled(lab, "moving", 4), lab.group("movers")
    with pytest.raises(BadInputError, match="Nothing watches"):
        lab.rebalances(group)
    lab.watch(topic, groups=[group])
    hire(lab, topic, group, "mover-1")
    lab.assignment(group, members=1)
    assert lab.until(lambda: len(lab.watch().samples[-1].groups[group].owners) == 4)
    first = len(lab.rebalances(group))
    hire(lab, topic, group, "mover-2")
    lab.assignment(group, members=2)
    assert lab.until(lambda: lab.rebalances(group)["moved"].sum() > 0)
    found = lab.rebalances(group)
    assert len(found) > first
    last = found[found["moved"] > 0].iloc[-1]
    assert last["members"] == 2
    assert last["end"] >= last["begin"]
    lab.services.stop()


@pytest.mark.shares_a_lab
def test_what_the_lab_has_changed_is_told_by_the_broker(lab):
    told = lab.changed_settings().set_index("setting")
    assert told.loc["log.retention.check.interval.ms"].tolist() == ["1000", "300000"]
    assert told.loc["group.initial.rebalance.delay.ms"].tolist() == ["0", "3000"]
    assert told.loc["offsets.topic.num.partitions"].tolist() == ["4", "50"]
    assert not any(name.startswith(("listeners", "node.id", "log.dir")) for name in told.index)
    assert (told["here"] != told["default"]).all()
    assert set(lab.changed_settings("retention")["setting"]) < set(told.index)


def sample(time, state="Stable", owners=None, stale=False):
    owners = {("t", n): name for n, name in enumerate(owners or "")}
    seen = GroupSample(state, {}, owners, tuple(sorted(set(owners.values()))), "classic")
    return Sample(time, {}, {}, {}, {"g": seen}, {"g": 1.0} if stale else {})


@pytest.mark.fast
def test_a_rebalance_between_two_looks_counts_and_a_stale_look_does_not():
    seen = [
        sample(1, owners="aa"),
        sample(2, owners="ab"),  # too quick to be seen while it lasted
        sample(3, "PreparingRebalance"),
        sample(4, owners="zz", stale=True),
        sample(5, "CompletingRebalance"),
        sample(6, owners="cb"),
        sample(7, "PreparingRebalance"),
    ]
    found = rebalances(seen, "g")
    assert found["begin"].tolist() == [1, 3, 7]
    assert found["seconds"].tolist()[:2] == [1, 3]
    assert found["end"].isna().tolist() == [False, False, True]
    assert found["moved"].tolist() == [1, 1, 0]

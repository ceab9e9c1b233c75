"""Share consumers of Kafka's own, in Java: members like any other, with right numbers."""

from types import SimpleNamespace

import pytest
from secure import STUDENTS, shared_cluster
from test_share_groups_trouble import begin, filled, member, send, take

from lab_env import Lab
from lab_env.clusters.java_client import KAFKAS, kafka_configuration
from lab_env.experiments.java_trucks import java_truck
from lab_env.ground.secrets import Secret
from lab_env.observation import queries

SECONDS = 60
COLUMNS = ["service", "share", "topic", "partition", "offset", "deliveries"]
shares_a_lab = pytest.mark.shares_a_lab
pytestmark = pytest.mark.landing  # its lesson has a member in Java each day


@pytest.fixture(scope="module")
def lab(own_home):
    with Lab("embedded") as one:
        yield one


def told(lab, topic, word):
    rows = lab.reports.reindex(columns=COLUMNS)
    return rows[(rows["topic"] == topic) & (rows["share"] == word)]


@shares_a_lab
def test_javas_member_alone_is_in_the_picture_with_what_kafka_tells_of_it(lab):
    topic, group = filled(lab, "java", 20), begin(lab, "java")
    picture = lab.show.share_group(topic, group)
    watch = lab.watch(topic, groups=[group])
    lab.service(java_truck, lab, topic, group, name="duke")
    assert lab.assignment(group, members=1)["member"].tolist() == ["duke"]
    assert lab.until(lambda: len(told(lab, topic, "accepted")) == 20, seconds=SECONDS)
    assert lab.until(lambda: "20 acknowledged, 0 archived" in picture.sentence, seconds=SECONDS)
    assert "share group java has 1 member" in picture.sentence
    assert "duke has accepted 20" in picture.sentence
    assert watch.samples[-1].groups[group].members == ("duke",)
    assert watch.samples[-1].lag(topic, group) == 0
    acquired = told(lab, topic, "acquired")
    assert sorted(acquired["offset"]) == list(range(20))
    assert set(acquired["deliveries"]) == {1}
    lab.services.stop()
    assert lab.until(lambda: lab.assignment(group).empty, seconds=SECONDS)
    picture.stop()
    assert picture.error is None


@shares_a_lab
def test_java_and_python_share_a_group_and_no_record_is_handled_twice(lab):
    topic, group = lab.topic("both", partitions=1), begin(lab, "both")
    picture = lab.show.share_group(topic, group)
    lab.service(java_truck, lab, topic, group, name="duke")
    done, number = [], 0
    with member(lab, topic, group, "python") as one:
        assert set(lab.assignment(group, members=2)["member"]) == {"duke", "python"}
        while not (done and len(told(lab, topic, "accepted"))):
            send(lab, topic, range(number, number + 10))
            number += 10
            done += take(one)

        def all_is_done():
            done.extend(take(one))
            return len(told(lab, topic, "accepted")) + len(done) >= number

        assert lab.until(all_is_done, seconds=SECONDS)
        assert "share group both has 2 members" in picture.sentence
    java = told(lab, topic, "accepted")["offset"].tolist()
    assert sorted([*java, *(offset for offset, _ in done)]) == list(range(number))
    assert lab.until(lambda: queries.lag(lab.connection, topic, group) == {0: 0}, seconds=SECONDS)
    lab.services.stop()
    picture.stop()


@shares_a_lab
def test_a_tool_that_ends_by_itself_is_told(lab):
    nowhere = SimpleNamespace(connection={"bootstrap_servers": ["no address"]})
    truck = lab.service(java_truck, nowhere, "fuel", lab.group("nobody"), name="lost")
    assert lab.until(lambda: truck.state == "failed", seconds=SECONDS)
    assert "ConsoleShareConsumer has ended by itself" in str(truck.error)
    assert "Invalid url in bootstrap.servers" in truck.log  # as Java says it


@pytest.mark.nightly
def test_java_logs_in_where_a_class_shares_a_kafka(own_home, tmp_path, monkeypatch):
    with shared_cluster(tmp_path) as shared:
        for name, value in shared.variables("ana").items():
            monkeypatch.setenv(name, value)
        with Lab() as lab:
            topic, group = lab.topic("fuel", partitions=1), lab.group("crew")
            lab.service(java_truck, lab, topic, group, name="duke")
            assert lab.assignment(group, members=1)["member"].tolist() == ["duke"]

            def one_more():  # the group begins at the latest record
                send(lab, topic, ["more"])
                return len(told(lab, topic, "accepted"))

            assert lab.until(one_more, seconds=SECONDS)
            assert STUDENTS["ana"] not in str(lab.services["duke"].log)


def test_a_login_reaches_java_in_a_variable_and_no_command_line():
    login = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "ana"}
    login |= {"sasl_plain_password": Secret('a"b'), "security_protocol": "SASL_SSL"}
    settings, variables = kafka_configuration(login, KAFKAS)
    assert settings["sasl.jaas.config"] == "${env:LAB_JAAS}"
    assert 'password="a\\"b"' in variables["LAB_JAAS"]
    assert "a" + '"b' not in str(settings)
    assert kafka_configuration(login)[0]["sasl.jaas.config"] == "${LAB_JAAS}"

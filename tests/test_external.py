"""A cluster that a class shares: prefixes, rights, passwords that nobody sees; a real one, TLS."""

import contextlib
import os
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import wait_until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from secure import STUDENTS, shared_cluster

from lab_env import Lab
from lab_env.clusters import client_config, external, ledger
from lab_env.course import cleaning, doctor
from lab_env.ground.errors import BadInputError, BrokerError, NotYoursError
from lab_env.ground.secrets import Secret
from lab_env.processes import folders, jars

pytestmark = [pytest.mark.shares_a_lab, pytest.mark.usefixtures("own_home")]
ANA = STUDENTS["ana"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One cluster for all these tests."""
    with shared_cluster(tmp_path_factory.mktemp("certificates")) as one:
        yield one


@pytest.fixture
def student(shared, monkeypatch):
    """Return what sets the variables of a student, and starts a lab that is closed at the end."""
    with contextlib.ExitStack() as labs:

        def start(user: str, sasl: str = "SCRAM-SHA-256", brokers: int = 1, **more: str) -> Lab:
            for name, value in {**shared.variables(user, sasl), **more}.items():
                monkeypatch.setenv(name, value)
            return labs.enter_context(Lab(brokers=brokers))

        yield start


def topics(shared) -> list[str]:
    """Return the topics that whoever runs the cluster sees."""
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        return sorted(name for name in admin.list_topics() if not name.startswith("__"))


def work(shared) -> list[str]:
    """Return the same without the labs' own records."""
    return sorted(name for name in topics(shared) if not re.search(r"\.lab-\d+$", name))


@contextlib.contextmanager
def others(shared, *names: str):
    """Have topics that no lab has made."""
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        admin.create_topics({name: {} for name in names}, wait_for_metadata=True)
        try:
            yield
        finally:
            admin.delete_topics(list(names))


@contextlib.contextmanager
def notebook(*made: str, home=None):
    """Have a lab of the student whose variables are set in a process of its own, with topics.

    A home of its own makes the process one of another machine.
    """
    body = f"""
        import time
        from lab_env import Lab
        lab = Lab()
        print(*[lab.topic(name) for name in {made}], flush=True)
        time.sleep(600)
    """
    more = {"KAFKA_LAB_HOME": str(home)} if home else {}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, **more},
    )  # fmt: skip
    try:
        while (line := process.stdout.readline()) and not line.startswith("ana."):
            pass  # what it has to say of labs that are gone
        process.made = line.split()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def named_for(monkeypatch, shared, user: str = "ana") -> None:
    """Set the variables of a student."""
    for name, value in shared.variables(user).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("sasl", ["SCRAM-SHA-256", "PLAIN"])
def test_a_record_goes_and_comes_back_under_the_prefix(student, sasl):
    lab = student("ana", sasl)
    topic = lab.topic("flights.departed", partitions=2)
    assert topic == "ana.flights.departed"
    assert lab.group("board") == "ana.board"
    assert lab.transactional_id("totals") == "ana.totals"
    with contextlib.closing(KafkaProducer(**lab.connection)) as producer:
        producer.send(topic, b"UA1545").get(timeout=10)
    options = {"group_id": lab.group("board"), "auto_offset_reset": "earliest"}
    with contextlib.closing(KafkaConsumer(topic, **lab.connection, **options)) as consumer:
        wait_until(lambda: consumer.poll(timeout_ms=1000), 20)
    assert lab.records(topic)["value"].tolist() == ["UA1545"]
    assert "external: broker 1 running" in repr(lab)


def test_a_service_is_let_in_as_well(student):
    lab = student("ana")
    topic = lab.topic("flights.departed")

    def send(service):
        with KafkaProducer(**lab.connection) as producer:
            producer.send(topic, lab.group("x").encode()).get(timeout=10)
        service.report(sent=1)

    service = lab.service(send)
    wait_until(lambda: len(service.reports) == 1, 20)
    assert lab.records(topic)["value"].tolist() == ["ana.x"]


def test_a_client_on_librdkafka_is_let_in_as_well(student):
    from confluent_kafka.admin import AdminClient

    lab = student("ana")
    topic = lab.topic("flights.departed")
    assert topic in AdminClient(lab.librdkafka).list_topics(timeout=20).topics
    assert topic in AdminClient({**lab.librdkafka}).list_topics(timeout=20).topics
    conf = lab.librdkafka | {"client.id": "lazy"}

    def look(service):
        service.report(found=topic in AdminClient(conf).list_topics(timeout=20).topics)

    service = lab.service(look)
    wait_until(lambda: len(service.reports) == 1, 40)
    assert service.reports["found"].tolist() == [True]


def test_students_do_not_meet_and_leave_nothing(student, shared):
    ana, ben, again = student("ana"), student("ben", "PLAIN"), student("ana")
    made = [lab.topic("flights.departed") for lab in (ana, ben, again)]
    assert made == ["ana.flights.departed", "ben.flights.departed", "ana.lab-2.flights.departed"]
    with contextlib.closing(KafkaProducer(**ben.connection)) as spy, pytest.raises(KafkaError):
        spy.send(made[0], b"not mine").get(timeout=10)
    options = {"group_id": ana.group("board"), "auto_offset_reset": "earliest"}
    with contextlib.closing(KafkaConsumer(made[0], **ana.connection, **options)) as consumer:
        wait_until(lambda: consumer.poll(timeout_ms=500) or consumer.assignment())
        consumer.commit()
    ana.close()  # what it has no time for goes on in the background
    wait_until(lambda: work(shared) == ["ana.lab-2.flights.departed", "ben.flights.departed"], 90)
    again.close()
    ben.close()
    wait_until(lambda: topics(shared) == [], 90)
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        wait_until(lambda: [one["group_id"] for one in admin.list_groups()] == [], 30)


def test_what_a_dead_lab_left_goes_and_nothing_else(student, shared, monkeypatch, capfd):
    named_for(monkeypatch, shared)
    kept = ["ana.homework", "anabel.precious", "ben.precious", "precious"]
    with others(shared, *kept):
        with notebook("flights.lost", "2013.flights", "2.mine") as killed:
            assert killed.made == ["ana.flights.lost", "ana.2013.flights", "ana.2.mine"]
        lab = student("ana")
        assert work(shared) == kept
        assert "ana.flights.lost" in capfd.readouterr().out
        with pytest.raises(NotYoursError, match=r"ana\.homework.*no lab of yours has made it"):
            lab.topic("homework")
        lab.close()
        assert topics(shared) == kept


def test_names_that_begin_with_a_number_are_of_the_lab_that_made_them(student, shared):
    first, second = student("ana"), student("ana")
    mine = [lab.topic("2.mine") for lab in (first, second)]
    assert mine == ["ana.2.mine", "ana.lab-2.2.mine"]
    second.close()
    assert work(shared) == ["ana.2.mine"]
    third = student("ana")
    assert third.group("x") == "ana.lab-2.x"
    assert work(shared) == ["ana.2.mine"]
    for lab in (first, third):
        with pytest.raises(BadInputError, match="the lab's own"):
            lab.topic("lab-2.mine")
        lab.close()
    wait_until(lambda: topics(shared) == [], 60)  # a busy broker deletes a little later


def test_a_lab_on_another_machine_keeps_its_topics_while_it_may_live(
    student, shared, monkeypatch, tmp_path
):
    named_for(monkeypatch, shared)
    said: list[str] = []
    with notebook("work", home=tmp_path / "other") as elsewhere:
        assert elsewhere.made == ["ana.work"]
        lab = student("ana")
        assert lab.topic("work") == "ana.lab-2.work"
        assert external.clean(said.append) == []
        assert work(shared) == ["ana.lab-2.work", "ana.work"]
        lab.close()
    # killed, or asleep: nobody can know it from here
    assert external.clean(said.append) == []
    assert work(shared) == ["ana.work"]
    monkeypatch.setattr(ledger, "SIGN_SECONDS", 0.0)
    assert external.clean(said.append) == []
    assert re.search(r"may be asleep, so its 1 topics stay.*after 12 hours", said[-1])
    monkeypatch.setattr(ledger, "SILENT_HOURS", 1e-6)
    assert external.clean(said.append) == ["ana.work"]
    wait_until(lambda: topics(shared) == [], 60)  # a busy broker deletes a little later


def test_of_labs_that_start_at_the_same_moment_each_has_a_prefix_of_its_own(shared, monkeypatch):
    named_for(monkeypatch, shared)
    connection, folder = client_config.read().connection, folders.labs() / "000000-none"

    def start(number: int) -> ledger.Ledger:
        return ledger.Ledger(connection, "ana", folder, f"home {number}")

    with ThreadPoolExecutor(4) as pool:
        labs = list(pool.map(start, range(4)))
    try:
        assert len({lab.prefix for lab in labs}) == 4
    finally:
        for lab in labs:
            lab.close(20)
    wait_until(lambda: topics(shared) == [], 60)  # a busy broker deletes a little later


def test_a_lab_that_was_taken_for_dead_says_so_and_deletes_nothing(student, shared, monkeypatch):
    monkeypatch.setattr(ledger, "SIGN_SECONDS", 0.1)
    lab = student("ana")
    lab.topic("mine")
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        admin.delete_topics(["ana.lab-1"])
        wait_until(lambda: lab._cluster._ledger._lost, 30)
        with pytest.raises(BrokerError, match="took it for dead"):
            lab.topic("mine")
        lab.close()
        assert work(shared) == ["ana.mine"]
        admin.delete_topics(["ana.mine"])
    wait_until(lambda: topics(shared) == [], 60)  # a busy broker deletes a little later


def test_what_close_had_no_time_for_is_removed_all_the_same(student, shared, monkeypatch):
    monkeypatch.setattr(external, "SWEEP_SECONDS", 0.0)
    lab = student("ana")
    lab.topic("flights.departed")
    lab.close()
    wait_until(lambda: topics(shared) == [], 30)


def test_a_notebook_that_ends_while_its_lab_closes_leaves_nothing_all_the_same(shared, monkeypatch):
    named_for(monkeypatch, shared)
    body = """
        import os
        from lab_env import Lab
        from lab_env.clusters import external
        external.SWEEP_SECONDS = 0.0
        lab = Lab()
        print(lab.topic("flights.departed"))
        lab.close()
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(body)], check=True, timeout=120)
    wait_until(lambda: topics(shared) == [], 60)


def test_clean_removes_what_a_killed_notebook_left(shared, monkeypatch):
    named_for(monkeypatch, shared)
    with notebook("flights.lost"):
        pass
    assert work(shared) == ["ana.flights.lost"]
    wait_until(lambda: cleaning.clean() == [])  # its supervisor sees to its folder
    done = subprocess.run(
        [sys.executable, "-m", "lab_env.course.cli", "clean"],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout.splitlines() == ["removed from the cluster: ana.flights.lost"], done.stderr
    wait_until(lambda: topics(shared) == [], 60)  # a busy broker deletes a little later


def test_clean_names_what_no_lab_has_made_and_leaves_it(shared, monkeypatch):
    named_for(monkeypatch, shared)
    said: list[str] = []
    with others(shared, "ana.homework"):
        assert external.clean(said.append) == []
        assert topics(shared) == ["ana.homework"]
    assert re.search(r"no lab has made them, so they stay: ana\.homework", said[0])


def test_clean_says_that_the_cluster_cannot_be_reached_and_cleans_here(shared, monkeypatch):
    for name, value in shared.variables("ana").items():
        monkeypatch.setenv(name, value)
    for wrong in ({"KAFKA_LAB_PASSWORD": "x"}, {"KAFKA_LAB_BOOTSTRAP": "127.0.0.1:1"}):
        with monkeypatch.context() as patch:
            for name, value in wrong.items():
                patch.setenv(name, value)
            done = subprocess.run(
                [sys.executable, "-m", "lab_env.course.cli", "clean"],
                capture_output=True, text=True, timeout=90,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "cluster at" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout
        assert jars.bad_jars() == []  # the home of these tests is behind a link


def test_the_doctor_changes_nothing_on_the_cluster(shared, monkeypatch):
    for name, value in shared.variables("ana").items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        admin.create_topics({"ana.kept": {}}, wait_for_metadata=True)
        assert [finding.good for finding in doctor.existing()] == [True]
        assert "ana.kept" in topics(shared)
        admin.delete_topics(["ana.kept"])


def test_faults_are_refused_with_a_sentence_and_the_lesson_goes_on(student, capsys):
    lab = student("ana")
    for fault in (lab.kill, lab.stop, lab.pause, lab.resume, lab.start):
        fault(1)
        assert "not yours alone" in capsys.readouterr().out
    lab.start()  # of all that are down
    assert "no broker was started" in capsys.readouterr().out
    assert lab.add_broker() is None
    assert "no broker was added" in capsys.readouterr().out
    with pytest.raises(BadInputError):
        lab.kill(7)
    assert "whoever runs it" in lab.log(1)


@pytest.mark.parametrize("sasl", ["SCRAM-SHA-256", "PLAIN"])
def test_a_wrong_password_is_told(student, sasl):
    with pytest.raises(BrokerError, match="refuses the login of ana") as told:
        student("ana", sasl, KAFKA_LAB_PASSWORD="wrong-secret")
    assert "wrong-secret" not in str(told.value)


def test_an_unknown_certificate_is_told(student):
    with pytest.raises(BrokerError, match=r"cannot be trusted.*KAFKA_LAB_CA"):
        student("ana", KAFKA_LAB_CA="")


def test_an_expired_certificate_is_told(tmp_path, monkeypatch):
    with shared_cluster(tmp_path, expired=True) as old:
        for name, value in old.variables("ana").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(BrokerError, match=r"cannot be trusted: .*expired"):
            Lab()


def test_a_user_without_rights_is_told_which(student):
    with pytest.raises(BrokerError, match=r"gives eve no right .* begin with eve\."):
        student("eve")


def test_a_prefix_of_somebody_else_is_told(student):
    with pytest.raises(BrokerError, match=r"gives ana no right .* begin with ben\."):
        student("ana", KAFKA_LAB_PREFIX="ben")


def test_too_few_brokers_are_told(student):
    with pytest.raises(BrokerError, match="needs 3 brokers, and the cluster has 1"):
        student("ana", brokers=3)


def test_nobody_at_the_address_is_told_at_once(student):
    with pytest.raises(BrokerError, match="does not answer"):
        student("ana", KAFKA_LAB_BOOTSTRAP="127.0.0.1:1")


def test_a_listener_that_wants_tls_is_told(student, shared):
    with pytest.raises(BrokerError, match="KAFKA_LAB_SECURITY"):
        student("ana", KAFKA_LAB_SECURITY="PLAINTEXT")


def test_secrets_are_not_seen(student, shared, monkeypatch, capsys):
    lab = student("ana")
    told = [repr(lab), repr(lab.connection), repr(lab.librdkafka), str(lab._cluster.connection)]
    told += [f"{lab.connection['sasl_plain_password']}", repr(doctor.examine())]
    for text in told:
        assert ANA not in text
        assert repr(ANA)[1:-1] not in text
    assert any("***" in text for text in told)
    assert Secret("x").reveal() == "x"


def test_the_doctor_tells_of_the_cluster(student):
    student("ana").close()
    (found,) = doctor.existing()
    assert found.good is True
    assert "your names begin with ana." in found.what
    os.environ["KAFKA_LAB_PASSWORD"] = "wrong"
    (found,) = doctor.existing()
    assert found.good is False
    assert "refuses the login" in found.remedy


# -- how it is named, without a cluster --------------------------------------------------------

JAVA = """\
# as a cloud hands it out
bootstrap.servers=one.example:9096, two.example:9096
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
  username="ana" \\
  password="with \\"quotes\\"";
"""


@pytest.fixture
def named(monkeypatch):
    """Return what sets variables, of which there are none before."""
    for name in list(os.environ):
        if name.startswith("KAFKA_LAB_") and name != "KAFKA_LAB_HOME":
            monkeypatch.delenv(name)

    def name(**variables: str) -> dict:
        for key, value in variables.items():
            monkeypatch.setenv(f"KAFKA_LAB_{key}", value)
        return client_config.read().connection

    return name


def test_a_java_clients_file_is_understood(named, tmp_path):
    file = tmp_path / "client.properties"
    file.write_text(JAVA, encoding="utf-8")
    found = named(PROPERTIES=str(file))
    assert found["bootstrap_servers"] == ["one.example:9096", "two.example:9096"]
    assert found["sasl_mechanism"] == "SCRAM-SHA-512"
    assert found["sasl_plain_username"] == "ana"
    assert found["sasl_plain_password"].reveal() == 'with "quotes"'
    assert "quotes" not in repr(found)
    assert named(BOOTSTRAP="three.example:1")["bootstrap_servers"] == ["three.example:1"]


def test_a_login_alone_means_tls(named):
    found = named(BOOTSTRAP="one.example:9092", USERNAME="ana", PASSWORD="x")
    assert (found["security_protocol"], found["sasl_mechanism"]) == ("SASL_SSL", "PLAIN")
    assert client_config.read().replication == 1


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"BOOTSTRAP": "one.example"}, "KAFKA_LAB_BOOTSTRAP must be host:port"),
        ({"BOOTSTRAP": "a:1", "SASL": "GSSAPI", "USERNAME": "a", "PASSWORD": "b"}, "one of: PLAIN"),
        ({"BOOTSTRAP": "a:1", "SECURITY": "TLS"}, "one of: PLAINTEXT"),
        ({"BOOTSTRAP": "a:1", "SASL": "PLAIN", "USERNAME": "a"}, "KAFKA_LAB_PASSWORD is not set"),
        ({"BOOTSTRAP": "a:1", "CA": "nowhere.pem"}, "names the file nowhere.pem"),
        ({"BOOTSTRAP": "a:1", "REPLICATION": "many"}, "KAFKA_LAB_REPLICATION"),
        ({"PROPERTIES": "nowhere.properties"}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_asked(named, variables, told):
    with pytest.raises(BadInputError, match=told):
        named(**variables)


def test_a_java_keystore_is_told(named, tmp_path):
    file = tmp_path / "client.properties"
    file.write_text("bootstrap.servers=a:1\nssl.truststore.location=trust.jks\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="Java keystore"):
        named(PROPERTIES=str(file))


@pytest.mark.parametrize("prefix", ["", "ana maría", "x" * 80, ".", "ana.maria", "__x"])
def test_a_prefix_is_a_name_that_kafka_takes(named, monkeypatch, prefix):
    monkeypatch.setenv("KAFKA_LAB_PREFIX", prefix)
    if not prefix:  # as if there were none: the login, and eight signs that stay
        assert external.student() == external.student()
        assert re.fullmatch(r".+-[0-9a-f]{8}", external.student())
        return
    with pytest.raises(BadInputError, match="begin with"):
        external.student()


def test_four_signs_of_an_older_lab_are_replaced_by_eight(named, monkeypatch, tmp_path):
    monkeypatch.setenv("KAFKA_LAB_HOME", str(tmp_path))
    (tmp_path / "student").write_text("ab12", encoding="utf-8")
    assert re.fullmatch(r"[0-9a-f]{8}", external.token())
    assert external.token() == external.token()


def test_a_name_is_of_one_lab_of_one_student():
    assert ledger.is_of("ana.flights", "ana", 1)
    assert ledger.is_of("ana.2.flights", "ana", 1)
    assert not ledger.is_of("anabel.flights", "ana", 1)
    assert not ledger.is_of("ana.lab-2.flights", "ana", 1)
    assert ledger.is_of("ana.lab-2.flights", "ana", 2)
    assert not ledger.is_of("ana.lab-20.flights", "ana", 2)

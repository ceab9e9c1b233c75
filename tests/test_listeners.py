"""What becomes of a question for the brokers: an answer, a refusal, a closed door, or silence."""

import contextlib

import pytest

from lab_env.around import listeners
from lab_env.clusters import embedded, node
from lab_env.ground.errors import BadInputError, BrokerError
from lab_env.ground.loopback import free_ports

JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule"

pytestmark = pytest.mark.shares_a_lab


class _WithLogin(embedded.Embedded):
    """A Kafka with one more listener, for clients that log in."""

    def _lay_out(self) -> None:
        super()._lay_out()
        (self.login,) = free_ports(1)
        place = f",SASL://127.0.0.1:{self.login}"
        for one in self._nodes.values():
            one.settings["listeners"] += place
            one.settings["advertised.listeners"] += place
            one.settings["listener.security.protocol.map"] += ",SASL:SASL_PLAINTEXT"
            one.settings |= {
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl.plain.sasl.jaas.config": f'{JAAS} required user_ana="ana";',
            }
            node.write_properties(one.folder / "server.properties", one.settings)
            places = one.settings["listeners"].split(",")
            self.listens = dict(each.split("://") for each in places)


@pytest.fixture(scope="module")
def kafka(own_home):
    """A Kafka with a listener for clients, one for controllers, and one with a login."""
    with contextlib.closing(_WithLogin(1)) as cluster:
        yield cluster


def test_a_controller_refuses_and_is_not_silent(kafka):
    with pytest.raises(BrokerError, match=r"answers, and refuses .*API is not supported") as told:
        listeners.told_by(kafka.listens["CONTROLLER"], seconds=5)
    assert "Nobody answers" not in str(told.value)


def test_a_kafka_that_wants_a_login_is_not_silent(kafka):
    with pytest.raises(BrokerError, match=r"answers, and closes .*log in") as told:
        listeners.told_by(kafka.listens["SASL"], seconds=5)
    assert "Nobody answers" not in str(told.value)


def test_only_silence_is_called_no_answer(kafka):
    assert len(listeners.told_by(kafka.listens["CLIENT"], seconds=20)) == 1
    (closed,) = free_ports(1)
    with pytest.raises(BrokerError, match="Nobody answers"):
        listeners.told_by(f"127.0.0.1:{closed}", seconds=0.5)


@pytest.mark.parametrize(
    "address", [None, "", "kafka", "127.0.0.1", 9092, "a b:1", "x:y", b"a:1", ["a:1"]]
)
def test_what_is_no_address_is_refused_before_anybody_is_asked(address):
    with pytest.raises(BadInputError, match="host:port"):
        listeners.told_by(address)


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), 10**12, None, "1", True])
def test_seconds_in_which_nobody_can_be_asked_are_refused(seconds):
    with pytest.raises(BadInputError, match="seconds"):
        listeners.told_by("127.0.0.1:1", seconds)

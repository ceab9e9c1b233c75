"""Passwords do not reach an output by the documented ways of using a connection."""

import copy
import pickle
import pprint

import cloudpickle
import pytest
from IPython.core.formatters import DisplayFormatter

from lab_env.ground.secrets import Secret
from lab_env.lab import librdkafka

WORD = "kept-to-ourselves"
CONNECTION = {
    "bootstrap_servers": ["one.example:9096"],
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "ana",
    "sasl_plain_password": Secret(WORD),
}
MORE = {"group.id": "board"}

WAYS = {
    "as it is": lambda conf: conf,
    "more behind it": lambda conf: conf | MORE,
    "more before it": lambda conf: MORE | conf,
    "changed in place": lambda conf: conf.__ior__(MORE),
    "unpacked": lambda conf: {**conf, **MORE},
    "dict": dict,
    "copy": lambda conf: conf.copy() | MORE,
    "copied by the module": copy.copy,
    "copied deeply": copy.deepcopy,
    "in a list": lambda conf: [conf, {"conf": {**conf}}],
    "its items": lambda conf: list(conf.items()),
    "to a service and back": lambda conf: pickle.loads(cloudpickle.dumps({**conf})),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("conf", [CONNECTION, librdkafka(CONNECTION)], ids=["python", "librdkafka"])
def test_a_cell_that_ends_with_settings_saves_no_password(conf, way):
    made = way(copy.copy(conf))
    shown, _ = DisplayFormatter().format(made)
    for text in (*shown.values(), repr(made), str(made), f"{made}", pprint.pformat(made)):
        assert WORD not in text
        assert "***" in text


def test_a_client_gets_the_password_itself():
    conf = librdkafka(CONNECTION) | MORE
    assert str(conf["sasl.password"]) == WORD  # as C asks for it
    assert (
        "\0".join(["ana", CONNECTION["sasl_plain_password"]]).encode() == b"ana\0" + WORD.encode()
    )
    again = pickle.loads(cloudpickle.dumps(conf))
    assert type(again) is type(conf)
    logger = again.pop("logger")  # writes where its own process writes
    assert type(logger) is type(conf.pop("logger"))
    assert again == conf
    assert str(again["sasl.password"]) == WORD


def test_a_password_that_is_put_together_stays_hidden():
    for made in (Secret(WORD), Secret(WORD) + "x", "x" + Secret(WORD)):
        assert made.reveal().strip("x") == WORD
        for text in (repr(made), str(made), f"{made:>20}", f"{made}", "%s" % made):  # noqa: UP031
            assert WORD not in text

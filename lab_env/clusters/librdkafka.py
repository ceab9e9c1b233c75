"""How a client on librdkafka connects: kafka-python's settings in the other's names."""

from lab_env.clusters.librdkafka_log import ClientLog
from lab_env.ground.secrets import Handed, MaskedDict, plain


def librdkafka(connection: dict) -> dict:
    """Return a connection of kafka-python's in librdkafka's names, as confluent-kafka wants it."""
    names = {
        "security_protocol": "security.protocol",
        "sasl_mechanism": "sasl.mechanism",
        "sasl_plain_username": "sasl.username",
        "sasl_plain_password": "sasl.password",
        "ssl_cafile": "ssl.ca.location",
        "ssl_certfile": "ssl.certificate.location",
        "ssl_keyfile": "ssl.key.location",
    }
    told = {names[key]: value for key, value in connection.items() if key in names}
    if "sasl.password" in told:  # librdkafka asks a text for its str()
        told["sasl.password"] = Handed(plain(told["sasl.password"]))
    servers = ",".join(connection["bootstrap_servers"])
    return MaskedDict({"bootstrap.servers": servers, "logger": ClientLog(), **told})

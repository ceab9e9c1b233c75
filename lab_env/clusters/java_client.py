"""A connection in the names of Kafka's Java clients."""

from collections.abc import Mapping
from pathlib import Path

from lab_env.ground.secrets import plain

KAFKAS = "${{env:{}}}"  # how Kafka's own programs name a variable, told `PROVIDER`
PROVIDER = {
    "config.providers": "env",
    "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
}


def kafka_configuration(
    connection: Mapping, variable: str = "${{{}}}"
) -> tuple[dict[str, str], dict[str, str]]:
    """Return a connection of kafka-python's in Java's names, and the variables that it names.

    What is secret stands in variables, never in a file or on a command line.

    Args:
        connection: keyword arguments for any kafka-python client.
        variable: how a variable is named where it stands for its text: Spring's way, or `KAFKAS`.
    """
    found: dict[str, str] = {}
    secrets: dict[str, str] = {}
    protocol = connection.get("security_protocol", "PLAINTEXT")
    if protocol != "PLAINTEXT":
        found["security.protocol"] = protocol
    if protocol.startswith("SASL"):
        mechanism = found["sasl.mechanism"] = connection["sasl_mechanism"]
        kind = "plain.Plain" if mechanism == "PLAIN" else "scram.Scram"
        login = {
            "username": connection["sasl_plain_username"],
            "password": plain(connection["sasl_plain_password"]),
        }
        words = " ".join(f'{key}="{_quoted(value)}"' for key, value in login.items())
        module = f"org.apache.kafka.common.security.{kind}LoginModule"
        secrets["LAB_JAAS"] = f"{module} required {words};"
        found["sasl.jaas.config"] = variable.format("LAB_JAAS")
    if authority := connection.get("ssl_cafile"):
        found["ssl.truststore.type"] = "PEM"
        found["ssl.truststore.location"] = authority
    if certificate := connection.get("ssl_certfile"):
        found["ssl.keystore.type"] = "PEM"
        found["ssl.keystore.certificate.chain"] = Path(certificate).read_text(encoding="utf-8")
        key = Path(connection.get("ssl_keyfile") or certificate).read_text(encoding="utf-8")
        secrets["LAB_TLS_KEY"] = key
        found["ssl.keystore.key"] = variable.format("LAB_TLS_KEY")
    return found, secrets


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

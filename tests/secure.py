"""A Kafka that a class shares, for tests: TLS, passwords, and rights for names with a prefix."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import trustme

from lab_env.clusters import node, training
from lab_env.ground import loopback
from lab_env.processes import folders, java
from lab_env.processes.supervisor_client import Supervised

HOST = loopback.HOST
JAAS = "org.apache.kafka.common.security"
STUDENTS = {"ana": 'ana\'s password, \\ and "quotes"', "ben": "ben-secret"}
NOBODY = ("eve", "eve-secret")  # a user without any right


class Shared:
    """A cluster with a listener for students (SASL_SSL) and one for whoever runs it.

    Attributes:
        address: of the students' listener.
        own: keyword arguments for a client of whoever runs it.
        ca: the file of the authority that signed its certificate.
    """

    def __init__(self, port: int, own: int, ca: Path):
        self.address = f"{HOST}:{port}"
        self.own = {"bootstrap_servers": f"{HOST}:{own}", "bootstrap_timeout_ms": 20_000}
        self.ca = ca

    def variables(self, user: str, sasl: str = "SCRAM-SHA-256") -> dict[str, str]:
        """Return what a student sets to use it."""
        return {
            "KAFKA_LAB": "external",
            "KAFKA_LAB_BOOTSTRAP": self.address,
            "KAFKA_LAB_SASL": sasl,
            "KAFKA_LAB_USERNAME": user,
            "KAFKA_LAB_PASSWORD": {**STUDENTS, NOBODY[0]: NOBODY[1]}[user],
            "KAFKA_LAB_CA": str(self.ca),
            "KAFKA_LAB_PREFIX": user,
        }


@contextlib.contextmanager
def shared_cluster(folder: Path, *, expired: bool = False) -> Iterator[Shared]:
    """Start one broker as a class would share it.

    Args:
        folder: for the certificates.
        expired: whether the certificate of the broker is too old.
    """
    from datetime import UTC, datetime, timedelta

    ca = trustme.CA()
    more = {"not_after": datetime.now(UTC) - timedelta(days=1)} if expired else {}
    certificate = ca.issue_cert(HOST, **more)
    keys = folder / "broker.pem"
    keys.write_bytes(_as_pkcs8(certificate.private_key_pem.bytes()))
    for pem in certificate.cert_chain_pems:
        with open(keys, "ab") as file:
            file.write(pem.bytes())
    ca.cert_pem.write_to_path(folder / "ca.pem")
    own, controller, port = loopback.free_ports(3)
    settings = node.server_properties(
        1, "broker,controller", own, controller, f"1@{HOST}:{controller}", 1
    )
    plain = " ".join(f'user_{u}="{_escaped(p)}"' for u, p in [*STUDENTS.items(), NOBODY])
    settings |= {
        "listeners": f"{settings['listeners']},STUDENTS://{HOST}:{port}",
        "advertised.listeners": f"{settings['advertised.listeners']},STUDENTS://{HOST}:{port}",
        "listener.security.protocol.map": (
            f"{settings['listener.security.protocol.map']},STUDENTS:SASL_SSL"
        ),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "listener.name.students.plain.sasl.jaas.config": (
            f"{JAAS}.plain.PlainLoginModule required {plain};"
        ),
        "listener.name.students.scram-sha-256.sasl.jaas.config": (
            f"{JAAS}.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keys,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "false",
    }
    supervised = Supervised(folders.new_lab_folder(), lambda event: None)
    with contextlib.closing(supervised):
        place = supervised.folder / "node-1"
        node.lay_out_node(place, 1, settings)
        command = node.java_command(place, aot=(f"-XX:AOTCache={training.aot_cache()}",))
        supervised.start("1", command, place, java.java_environment(), place / "console.log")
        deadline = time.monotonic() + 60
        while not (loopback.answers(port) and loopback.answers(own)):
            said = [log.read_text()[-2000:] for log in place.glob("*.log")]
            assert time.monotonic() < deadline, "\n".join(said)
            time.sleep(0.05)
        shared = Shared(port, own, folder / "ca.pem")
        _let_in(shared)
        yield shared


def _as_pkcs8(pem: bytes) -> bytes:
    """Return a private key in the one form that Kafka reads."""
    from cryptography.hazmat.primitives import serialization as form

    return form.load_pem_private_key(pem, None).private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace('"', '\\"')


def _let_in(shared: Shared) -> None:
    """Give each student a password, and rights on names that begin with hers."""
    from kafka.admin import (
        ACL,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        KafkaAdminClient,
        ResourcePattern,
        ResourceType,
        ScramMechanism,
        UserScramCredentialUpsertion,
    )

    with contextlib.closing(KafkaAdminClient(**shared.own)) as admin:
        admin.alter_user_scram_credentials(
            [
                UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_256, password)
                for user, password in [*STUDENTS.items(), NOBODY]
            ]
        )
        rights = []
        for user in STUDENTS:
            for kind in (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID):
                pattern = ResourcePattern(kind, f"{user}.", ACLResourcePatternType.PREFIXED)
                rights.append((user, ACLOperation.ALL, pattern))
            # to read, and not to change, how the brokers are set and where groups stand
            cluster = ResourcePattern(ResourceType.CLUSTER, "kafka-cluster")
            rights.append((user, ACLOperation.DESCRIBE_CONFIGS, cluster))
            notes = ResourcePattern(ResourceType.TOPIC, "__consumer_offsets")
            rights += [(user, op, notes) for op in (ACLOperation.DESCRIBE, ACLOperation.READ)]
        admin.create_acls(
            [
                ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)
                for user, operation, pattern in rights
            ]
        )

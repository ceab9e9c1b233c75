"""What an instance of the Spring application is told: where things are, files, variables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lab_env.ground import loopback
from lab_env.processes import folders, java

if TYPE_CHECKING:
    from lab_env.around.rabbitmq import RabbitMQ

FOREIGN = ("SPRING_", "SERVER_", "MANAGEMENT_", "LOGGING_", "AIRPORT_", "KAFKA_")  # variables
# a later one goes before an earlier one; the application's own is read when there is no YAML
LAB, YAML, PROPERTIES = "file:./lab.yml", "file:./application.yml", "file:./properties.yml"
OWN = "classpath:/application.yml"
# Without the frames of stack traces, the frames' wrappers and the records that they quote: what is
# left of the 170 lines of a poison record is what happened, and why.
NOISE = r"^\s*(at|\.\.\.|Suppressed:|Wrapped by:|Caused by: org\.springframework\.) .*\R?"
SHORT = rf"{{'(?m){NOISE}|^\s+Caused by: .*\R?|, failedMessage=.*', ''}}"
PATTERN = (
    rf"%d{{HH:mm:ss.SSS}} %p %replace(%m){SHORT} \(%c{{0}}\)%n%replace(%rEx{{short}}){SHORT}%nopex"
)


def lay_out(folder: Path, settings: dict, yaml: str | None, properties: dict) -> None:
    """Write the configuration of an instance into a folder of its own, which becomes its home."""
    contents = {LAB: json.dumps(settings, indent=1), PROPERTIES: json.dumps(properties, indent=1)}
    if yaml is not None:
        contents[YAML] = yaml
    with folders.disk_errors(folder):
        (folder / "tmp").mkdir(parents=True)
        for place, text in contents.items():
            (folder / place.removeprefix("file:./")).write_text(text, encoding="utf-8")


def settings(
    name: str, port: int, connection: Mapping, configuration: Mapping[str, str]
) -> dict[str, object]:
    """Return what the lab says to an instance: where things are, and nothing of what it does."""
    binder = "spring.cloud.stream.kafka.binder."
    return {
        "spring.application.name": name,
        "spring.main.banner-mode": "off",
        "spring.lifecycle.timeout-per-shutdown-phase": "3s",
        "server.address": loopback.HOST,
        "server.port": port,
        "server.tomcat.threads.max": 4,
        "server.tomcat.threads.min-spare": 1,
        "logging.level.root": "WARN",
        "logging.level.airport": "INFO",
        # two consumers of one application have one client id: harmless, and a long warning
        "logging.level.org.apache.kafka.common.utils.AppInfoParser": "ERROR",
        # metrics of two bindings of one topic: a warning that tells a student nothing
        "logging.level.io.micrometer": "ERROR",
        "logging.pattern.console": PATTERN,
        "management.endpoints.web.exposure.include": "health,bindings,bound,statistics",
        "management.endpoint.health.show-details": "always",
        "management.health.diskspace.enabled": False,
        "management.health.ssl.enabled": False,
        binder + "brokers": ",".join(connection["bootstrap_servers"]),
        binder + "health-timeout": 3,
        **{f"{binder}configuration.{key}": value for key, value in configuration.items()},
        # a lesson must not wait for a member that has crashed, nor for a broker that is away
        binder + "consumer-properties.session.timeout.ms": 6000,
        binder + "consumer-properties.heartbeat.interval.ms": 300,
        binder + "configuration.metadata.max.age.ms": 2000,
        binder + "configuration.reconnect.backoff.max.ms": 500,
        binder + "configuration.default.api.timeout.ms": 10000,
        binder + "configuration.request.timeout.ms": 8000,
        # by which the pictures know whose partition it is
        binder + "consumer-properties.client.id": name,
    }


def rabbit_settings(rabbit: "RabbitMQ") -> dict[str, object]:
    """Return where RabbitMQ is; the password stands in a variable."""
    return {
        "spring.rabbitmq.addresses": rabbit.address,
        "spring.rabbitmq.username": rabbit.user,
        "spring.rabbitmq.password": "${LAB_RABBIT}",
    }


def locations(yaml: str | None) -> list[str]:
    """Return what Spring reads, in order: a student's YAML replaces the application's own."""
    return [OWN, LAB, PROPERTIES] if yaml is None else [LAB, YAML, PROPERTIES]


def environment() -> dict[str, str]:
    """Return the variables for an instance, less those by which Spring would be configured."""
    env = java.java_environment()
    return {key: value for key, value in env.items() if not key.upper().startswith(FOREIGN)}

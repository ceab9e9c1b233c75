"""What a Spring application's log means: messages that are known to confuse, in a sentence."""

import re

from lab_env.messages import say

# what a message looks like -> the text that says what it means; the first that is found counts
KNOWN = (
    (r"Web server failed to start\. Port (?P<port>\d+) was already in use", "port"),
    (r"(OutOfMemoryError: (?P<what>[\w ]+))", "memory"),
    (r"Failed to bind properties under '(?P<key>[^']+)'[\s\S]*?Reason: (?P<reason>[^\n]+)", "bind"),
    (r"SaslAuthenticationException: (?P<what>[^\n]+)", "login"),
    (r"(?P<kind>Group|Topic|Cluster)AuthorizationException: (?P<what>[^\n]+)", "rights"),
    (
        r"expected partitions for topic (?P<topic>\S+) was: (?P<wanted>\d+), but (?P<has>\d+) ha",
        "partitions",
    ),
    (r"(Multiple functional beans were found)", "many_functions"),
    (r"(DLQ support is not available for anonymous)", "dlq_without_group"),
    (r"Unknown binder configuration: (?P<binder>\S+)", "binder"),
    (r"Dispatcher has no subscribers[^\n]*channel '(?P<channel>[^']+)'", "no_subscribers"),
    (r"onnection to node -\d+ \((?P<node>[^)]*)\) could not be established", "no_broker"),
    (r"Bootstrap broker (?P<node>\S+) [^\n]*disconnected", "no_broker"),
)
# a jar that is missing or damaged in a way its size and date do not show
DAMAGED = re.compile(
    r"zip END header|ZipException|NoClassDefFoundError|ClassNotFoundException|Invalid or corrupt"
    r"|ClassFormatError|Could not find or load main class|Error opening zip|invalid LOC header"
    r"|FileSystemNotFoundException|NoSuchFileException[^\n]*\.jar|incompatible magic"
)
NOT_BOUND = re.compile(r"Failed to create (consumer|producer) binding; retrying")
LOGGED = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} (?P<level>[A-Z]+) ")
NO_BROKER = re.compile(
    r"onnection to node -\d+ \([^)]*\) could not be established|Bootstrap broker [^\n]*disconnected"
)
TRIES = 20  # so many times a client has knocked: nobody is there, however slow the machine is
MOST = 300  # characters of a line of a log


def damaged(log: str) -> bool:
    """Return whether the log tells of classes that cannot be read."""
    return bool(DAMAGED.search(log))


def nobody(log: str) -> bool:
    """Return whether the log tells again and again that no broker is where one was looked for."""
    return len(NO_BROKER.findall(log)) >= TRIES


def why(log: str) -> str:
    """Return what a log says of a failure: a sentence if it is known, and the line that matters."""
    line = matters(log)
    for pattern, key in KNOWN:
        if match := re.search(pattern, log):
            return say(f"spring.said_{key}", **match.groupdict(), line=line)
    return say("spring.said_line", line=line) if line else say("spring.said_nothing")


def notes(name: str, log: str) -> list[str]:
    """Return what an application that is up is nevertheless not doing, a sentence each."""
    found = []
    for match in NOT_BOUND.finditer(log):
        root = log[match.end() :].partition("\n")[2].partition("\n")[0]
        sentence = say("spring.not_bound", name=name, why=why(root))
        if sentence not in found:
            found.append(sentence)
    return found


def matters(log: str) -> str:
    """Return the one line of a log that says most: the analysis, the root cause, the last error."""
    if match := re.search(r"\nDescription:\n\n([\s\S]+?)\n\nAction:", log):
        return " ".join(match[1].split())[:MOST]
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [n for n, line in enumerate(lines) if (m := LOGGED.match(line)) and m[1] == "ERROR"]
    if not errors:
        return lines[-1].strip()[:MOST] if lines else ""
    last = errors[-1]
    # the pattern of the log puts the root cause right below
    below = last + 1 < len(lines) and not LOGGED.match(lines[last + 1])
    return (lines[last + 1] if below else lines[last]).strip()[:MOST]

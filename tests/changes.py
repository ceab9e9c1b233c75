"""Which tests for which change: the table in CONTRIBUTING, with the seconds that were recorded.

``pytest --record-durations`` writes it, and so does ``python tests/changes.py``.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "CONTRIBUTING.md"
WRITTEN = re.compile(r"(<!-- tests -->\n).*?(<!-- /tests -->)", re.DOTALL)


@dataclass(frozen=True)
class Change:
    """Somebody has changed something.

    Attributes:
        what: in words.
        where: the files that are meant, as patterns below the project.
        tests: the files that find what is wrong with it, as patterns below tests/.
        option: what else stands on the command line.
        each: whether one of the files is enough, and not all of them.
    """

    what: str
    where: tuple[str, ...]
    tests: tuple[str, ...]
    option: str = ""
    each: bool = False


CHANGES = (
    Change(
        "a text, or a rule of the project",
        ("lab_env/messages/**/*", "*.md", "*.toml", "notebooks/for_instructors/*"),
        (
            "test_messages.py", "test_notebooks.py", "test_words.py", "test_misconceptions.py",
            "test_readme.py",
            "test_environment.py", "test_extras.py", "test_sizes.py", "test_layers.py",
        ),
    ),
    Change(
        "a picture", ("lab_env/figures/**/*",), ("test_figure*.py",),
    ),
    Change(
        "a still drawing",
        ("lab_env/drawings/*", "notebooks/drawings/*"),
        ("test_drawings.py",),
    ),
    Change(
        "a lesson", ("notebooks/*.ipynb",), ("test_lesson_*.py",), each=True,
    ),
    Change(
        "a check (`NN` is its lesson)", ("lab_env/checks/*",),
        ("test_lesson_*.py", "test_judging*.py", "test_evidence.py"),
        "--nightly", each=True,
    ),
    Change(
        "how the lab starts, waits, is interrupted and ends",
        ("lab_env/*.py", "lab_env/processes/supervis*.py", "lab_env/clusters/embedded.py"),
        (
            "test_lab.py", "test_start.py", "test_waiting.py", "test_interrupted*.py",
            "test_until.py", "test_patience.py",
        ),
    ),
    Change(
        "a way to Kafka, or how topics are made",
        ("lab_env/clusters/*", "docker-compose.yml", "lab_env/topics/*"),
        (
            "test_external.py", "test_compose*.py", "test_made_topics.py", "test_replication.py",
            "test_images.py", "test_addresses.py",
        ),
        "--landing",
    ),
    Change(
        "what a call is given, and what another user or the machine could spoil",
        ("lab_env/ground/*", "lab_env/processes/folders.py"),
        (
            "test_arguments*.py", "test_wrong_values.py", "test_seconds.py", "test_secrets.py",
            "test_other_users.py",
            "test_packages.py", "test_limits.py", "test_certificates.py", "test_client_log.py",
        ),
    ),
    Change(
        "services, and what is measured with them",
        ("lab_env/processes/*", "lab_env/experiments/*"),
        ("test_service*.py", "test_measuring.py", "test_repeating.py", "test_whereabouts.py"),
    ),
    Change(
        "observation",
        ("lab_env/observation/**/*",),
        (
            "test_observation.py", "test_sample_leaders.py", "test_other_groups.py",
            "test_share_groups*.py", "test_streams_groups.py", "test_java_trucks.py",
            "test_group_facts.py", "test_figures.py",
        ),
    ),
    Change("flights", ("lab_env/flights.py",), ("test_flights.py",)),
    Change(
        "the `lab` command, or how a lesson is opened",
        ("lab_env/course/**/*",),
        (
            "test_cli.py", "test_copies.py", "test_uvx.py", "test_run_file.py", "test_way_back.py",
            "test_predictions.py", "test_standing.py", "test_small_steps.py", "test_pages.py",
            "test_present.py", "test_browser.py", "test_in_sight.py",
        ),
    ),
    Change(
        "the class, live",
        ("lab_env/classroom/*", "docs/class_on_a_cluster.md"),
        ("test_classroom*.py",),
        "--landing",
    ),
    Change(
        "what others run a lesson with",
        ("docs/runners.md", "pyproject.toml"),
        ("test_runners.py",),
        "--landing",
    ),
    Change(
        "a workflow, the site, or what an image of one click runs",
        (".github/workflows/*", ".binder/*", ".devcontainer/*", "docs/site/*"),
        ("test_workflows.py", "test_one_click.py", "test_site.py"),
        "--landing",
    ),
    Change(
        "a file that leaves this machine",
        ("deploy/**/*", "docker-compose.yml", "services/board/*"),
        ("test_deploy_*.py", "test_compose_file.py"),
        "--landing",
    ),
    Change(
        "what is graded, or handed out",
        ("lab_env/course/grading/*", "lab_env/course/teaching.py", "lab_env/course/handout.py",
            "lab_env/course/way_out.py", "lab_env/course/handing_out/*"),
        (
            "test_grading.py", "test_grading_lessons.py", "test_handout.py",
            "test_handout_tools.py",
        ),
    ),
    Change(
        "Spring, or RabbitMQ",
        ("lab_env/spring/*", "lab_env/around/rabbitmq.py", "services/airport/**/*"),
        ("test_spring.py", "test_spring_by_itself.py", "test_rabbitmq.py", "test_rabbit_queue.py"),
        "--landing",
    ),
    Change(
        "containers",
        ("lab_env/around/*",),
        ("test_containers.py", "test_listeners.py", "test_recipes.py"),
        "--landing",
    ),
    Change(
        "Kubernetes",
        ("lab_env/kubernetes/*", "deploy/kubernetes/**/*"),
        ("test_kubernetes.py", "test_lab_kubernetes.py", "test_control_plane.py"),
        "--landing",
    ),
    Change(
        "AWS", ("lab_env/aws/*", "deploy/aws/**/*"), ("test_aws*.py", "test_rights.py"), "--landing"
    ),
    Change(
        "the whole airport: its model solution, or how a day is played and judged",
        ("services/capstone/*", "lab_env/day/*"),
        ("test_capstone*.py",),
        "--nightly",
    ),
    Change("a benchmark", ("benchmarks/*",), ("test_benchmarks.py", "test_slow.py")),
)  # fmt: skip


def files(change: Change) -> list[str]:
    """Return the names of the test files that a change is found by."""
    return sorted({path.name for pattern in change.tests for path in HERE.glob(pattern)})


def seconds(change: Change, known: dict[str, dict[str, float]]) -> int:
    """Return how long they take, one after the other; where one is enough, how long a usual one."""
    sizes = ("fast", "everyday", "landing", "nightly")
    most = change.option.removeprefix("--") or "everyday"
    wanted = sizes[: sizes.index(most) + 1]
    each = sorted(
        sum(known.get(name, {}).get(size, 0) for size in wanted) for name in files(change)
    )
    return round(each[len(each) // 2] if change.each else sum(each))


def table(known: dict[str, dict[str, float]]) -> str:
    """Return the table in Markdown."""
    rows = ["| I changed | Run `uv run pytest` with | Seconds |", "| -- | -- | --: |"]
    for change in CHANGES:
        words = [f"tests/{pattern}" for pattern in change.tests]
        if change.each:
            words = [word.replace("*", "NN") for word in words]
        command = " ".join([*words, *filter(None, [change.option])])
        rows.append(f"| {change.what} | `{command}` | {seconds(change, known)} |")
    return "\n".join(rows) + "\n"


def write() -> None:
    """Write the table into CONTRIBUTING."""
    known = json.loads((HERE / "durations.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        WRITTEN.sub(lambda marks: marks[1] + table(known) + marks[2], page), encoding="utf-8"
    )


if __name__ == "__main__":
    write()

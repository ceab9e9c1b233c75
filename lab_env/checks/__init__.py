"""The checks of the exercises: the broker's state -> pass, or what was found, and a hint.

``check.NAME(lab, ...)`` answers a `Result` and does not raise. A module a lesson, named like it;
its text stands in the catalogue under the same name.
"""

from importlib import import_module

# a lesson's checks are the functions of its module that bear @graded
LESSONS = (
    "start_here",
    "asynchronous_messages",
    "point_to_point",
    "publish_subscribe",
    "topics_and_partitions",
    "consumer_groups",
    "rebalancing",
    "offsets_and_delivery",
    "retries_and_dead_letters",
    "throughput",
    "replication_and_failure",
    "spring_cloud_stream",
    "docker_and_compose",
    "kubernetes",
    "aws_ec2_and_ecs",
    "share_groups",
    "capstone",
)


# what lessons call besides a lesson's own checks, and where it is
ANSWERS = {"foreseen": "predictions", "surprises": "predictions", "step": "small_steps"}


class Checks:
    """Every check, by name; a lesson's module is imported when one of its checks is called.

    Three names belong to all lessons: ``check.foreseen`` answers a prediction, ``check.surprises``
    sums them up, ``check.step`` judges a small step in the middle of a lesson.
    """

    def __getattr__(self, name: str):
        if name in ANSWERS:
            return getattr(import_module(f"lab_env.checks.{ANSWERS[name]}"), name)
        if not name.startswith("_"):
            for lesson in LESSONS:
                found = getattr(import_module(f"lab_env.checks.{lesson}"), name, None)
                if hasattr(found, "graded"):
                    return found
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        names = []
        for lesson in LESSONS:
            module = import_module(f"lab_env.checks.{lesson}")
            names += [name for name, value in vars(module).items() if hasattr(value, "graded")]
        return names


check = Checks()

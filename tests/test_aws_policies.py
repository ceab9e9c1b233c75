"""The policies of lesson 14: enough for each call that it makes, and no way to more than that.

AWS decides over actions, resources and what a request says of itself. Which of them a call needs
stands below, call by call, as AWS's Service Authorization Reference tells it.
"""

import fnmatch
import json
import re
from pathlib import Path

import pytest
from lesson import open_lesson

from lab_env import aws
from lab_env.aws import files
from lab_env.aws.inventory import TAG

pytestmark = pytest.mark.landing

REGION, ACCOUNT, OWNER = "us-east-1", "123456789012", "ana"
PLACES = {"region": REGION, "account": ACCOUNT}
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/kafka-lab/boundary"
LAB_ROLE = f"arn:aws:iam::{ACCOUNT}:role/kafka-lab/airport-board"
MOST = 6144  # characters of a managed policy, without white space
MINE = {f"aws:RequestTag/{TAG}": OWNER}
MY_OWN = {f"aws:ResourceTag/{TAG}": OWNER}


# -- what IAM decides -----------------------------------------------------------------------------


def listed(one) -> list:
    return one if isinstance(one, list) else [one]


def fits(pattern: str, text: str, *, fold: bool = False) -> bool:
    """Return whether a text is one of a pattern's; * and ? are IAM's only signs."""
    found = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(found, text, re.IGNORECASE if fold else 0) is not None


def holds(condition: dict, told: dict[str, str]) -> bool:
    for operator, keys in condition.items():
        assert operator in ("StringEquals", "StringEqualsIfExists"), operator
        for key, wanted in keys.items():
            if key not in told:
                if operator == "StringEquals":
                    return False
            elif told[key] not in listed(wanted):
                return False
    return True


def allowed(policy: dict, action: str, resource: str, told: dict[str, str]) -> bool:
    """Return whether a policy allows an action on a resource, by what the request tells."""
    for one in policy["Statement"]:
        assert one["Effect"] == "Allow"  # these know no Deny
        if (
            any(fits(pattern, action, fold=True) for pattern in listed(one["Action"]))
            and any(fits(pattern, resource) for pattern in listed(one["Resource"]))
            and holds(one.get("Condition", {}), told)
        ):
            return True
    return False


def filled(name: str, **more: str) -> dict:
    return json.loads(aws.policy(name, **PLACES, **more))


@pytest.fixture(scope="module")
def student():
    return filled("student", owner=OWNER)


# -- what a call needs ----------------------------------------------------------------------------


def arn(service: str, what: str, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:aws:{service}:{region}:{account}:{what}"


def ec2(kind: str, id: str = "new") -> str:
    return arn("ec2", f"{kind}/{id}")


def said(tags) -> dict[str, str]:
    """Return what a request tells of the tags that it puts on."""
    if isinstance(tags, dict):
        tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    plain = {one.get("Key", one.get("key")): one.get("Value", one.get("value")) for one in tags}
    return {f"aws:RequestTag/{key}": value for key, value in plain.items()}


class World:
    """What the walk so far has made: the tags of things, the boundaries of roles."""

    def __init__(self):
        self.tags: dict[str, dict[str, str]] = {}
        self.boundary: dict[str, str] = {}

    def made(self, resource: str, told: dict[str, str]) -> None:
        self.tags[resource] = {
            key.replace("Request", "Resource"): value for key, value in told.items()
        }

    def of(self, resource: str) -> dict[str, str]:
        return self.tags.get(resource, {})

    def needs(self, service: str, call: str, params: dict, answer: dict) -> list[tuple]:
        """Return (action, resource, what the request tells) of a call that went well."""
        if service == "sts":
            assert call == "GetCallerIdentity"  # everybody may
            return []
        looks = call.startswith(("Describe", "List"))
        if service in ("ec2", "ecs") and looks:
            return [(f"{service}:{call}", "*", {})]
        return getattr(self, f"_{service}")(call, params, answer)

    def _ec2(self, call: str, params: dict, answer: dict) -> list[tuple]:
        action = f"ec2:{call}"
        told = {
            one["ResourceType"]: said(one["Tags"]) for one in params.get("TagSpecifications", ())
        }
        creating = [
            ("ec2:CreateTags", ec2(kind), tags | {"ec2:CreateAction": call})
            for kind, tags in told.items()
        ]
        if call == "CreateSecurityGroup":
            self.made(ec2("security-group", answer["GroupId"]), told["security-group"])
            group, network = ec2("security-group"), ec2("vpc", params["VpcId"])
            return [(action, group, told["security-group"]), (action, network, {}), *creating]
        if call == "CreateKeyPair":
            pair = ec2("key-pair", params["KeyName"])
            self.made(pair, told["key-pair"])
            return [(action, pair, told["key-pair"]), *creating]
        if call == "RunInstances":
            (one,) = answer["Instances"]
            self.made(ec2("instance", one["InstanceId"]), told["instance"])
            kind = told["instance"] | {"ec2:InstanceType": params["InstanceType"]}
            assert "IamInstanceProfile" not in params
            others = [
                arn("ec2", f"image/{params['ImageId']}", account=""),
                ec2("subnet", params["SubnetId"]),
                ec2("network-interface"),
                ec2("key-pair", params["KeyName"]),
                *(ec2("security-group", group) for group in params["SecurityGroupIds"]),
            ]
            return [
                (action, ec2("instance"), kind),
                (action, ec2("volume"), told["volume"]),
                *((action, one, {}) for one in others),
                *creating,
            ]
        if call.endswith("Instances"):
            things = [ec2("instance", id) for id in params["InstanceIds"]]
        elif "SecurityGroup" in call:
            things = [ec2("security-group", params["GroupId"])]
        elif call == "DeleteKeyPair":
            things = [ec2("key-pair", params["KeyName"])]
        else:
            pytest.fail(f"nobody said what {call} needs")
        return [(action, one, self.of(one)) for one in things]

    def _ssm(self, call: str, params: dict, answer: dict) -> list[tuple]:
        action = f"ssm:{call}"
        if call == "DescribeParameters":
            return [(action, "*", {})]
        name = params["Name"]
        public = name.startswith("/aws/")
        place = arn("ssm", f"parameter{name}", account="" if public else ACCOUNT)
        if call == "PutParameter":
            told = said(params["Tags"])
            self.made(place, told)
            return [(action, place, told), ("ssm:AddTagsToResource", place, told)]
        assert call in ("GetParameter", "DeleteParameter")
        return [(action, place, self.of(place))]

    def _logs(self, call: str, params: dict, answer: dict) -> list[tuple]:
        action = f"logs:{call}"
        if call == "DescribeLogGroups":
            return [(action, "*", {})]
        if call == "ListTagsForResource":
            return [(action, params["resourceArn"], self.of(params["resourceArn"]))]
        group = arn("logs", f"log-group:{params['logGroupName']}")
        if call == "CreateLogGroup":
            told = said(params["tags"])
            self.made(group, told)
            return [(action, group, told), ("logs:TagResource", group, told)]
        assert call == "DeleteLogGroup"
        return [(action, group, self.of(group))]

    def _ecs(self, call: str, params: dict, answer: dict) -> list[tuple]:
        action = f"ecs:{call}"
        if call == "DeregisterTaskDefinition":
            return [(action, "*", {})]
        if call in ("CreateCluster", "CreateService", "RegisterTaskDefinition", "RunTask"):
            told = said(params["tags"])
            creating = told | {"ecs:CreateAction": call}
            if call == "RunTask":
                definition = arn("ecs", f"task-definition/{params['taskDefinition']}:1")
                task = answer["tasks"][0]["taskArn"]
                self.made(task, told)
                return [(action, definition, told), ("ecs:TagResource", task, creating)]
            kind = call.removeprefix("Create").removeprefix("Register")
            kind = kind[0].lower() + kind[1:]
            place = answer[kind][f"{kind}Arn"]
            self.made(place, told)
            roles = {params.get("executionRoleArn"), params.get("taskRoleArn")} - {None}
            to = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
            passed = [("iam:PassRole", role, self.of(role) | to) for role in sorted(roles)]
            return [(action, place, told), ("ecs:TagResource", place, creating), *passed]
        key = {"DeleteService": "service", "StopTask": "task", "DeleteCluster": "cluster"}[call]
        return [(action, params[key], self.of(params[key]))]

    def _iam(self, call: str, params: dict, answer: dict) -> list[tuple]:
        action = f"iam:{call}"
        if call == "ListRoles":
            return [(action, "*", {})]
        if call == "GetPolicy":
            return [(action, params["PolicyArn"], {})]
        place = f"arn:aws:iam::{ACCOUNT}:role/kafka-lab/{params['RoleName']}"
        if call == "CreateRole":
            assert params["Path"] == "/kafka-lab/"
            told = said(params["Tags"])
            self.made(place, told)
            if limit := params.get("PermissionsBoundary"):
                self.boundary[place] = limit
                limit = {"iam:PermissionsBoundary": limit}
            return [(action, place, told | (limit or {})), ("iam:TagRole", place, told)]
        told = self.of(place)
        if call == "PutRolePolicy" and place in self.boundary:
            told = told | {"iam:PermissionsBoundary": self.boundary[place]}
        return [(action, place, told)]


# -- each call of the lesson ----------------------------------------------------------------------

# made in the lesson's kernel, before its first client: what goes well is written down
RECORD = """
class Calls(list):
    def take(self, http_response, parsed, model, context, **_):
        if http_response.status_code < 300:
            told = model.service_model.service_name, model.name, context.get("lab_params"), parsed
            self.append(told)

calls = Calls()
account._session._session.register("after-call", calls.take)
"""
# as whoever runs the class's account has done it, once
CLASS = """
_iam = account._session.client("iam", **account._options())
_iam.create_policy(Path="/kafka-lab/", PolicyName="boundary", PolicyDocument={text!r})
"""
# what the lesson does on the embedded account alone: AWS refuses the first, the rest is practice
NOT_REAL = "typo"
LAST = "practice"


@pytest.fixture(scope="module")
def walked(own_home):
    """The calls that lesson 14 makes with the solutions of its exercises, up to its clean-up."""
    with open_lesson("14", 240) as lesson:
        lesson.execute(f"import os; os.environ['AWS_LAB_OWNER'] = {OWNER!r}")
        lesson.run(lesson.index("clients"))
        lesson.execute(CLASS.format(text=json.dumps(filled("boundary"))) + RECORD)
        lesson.run(lesson.index(NOT_REAL))
        lesson._next += 1
        for number in (1, 2):
            lesson.accepts_its_solution(number)
        lesson.run(lesson.index(LAST))
        assert not lesson.errors
        calls = lesson.value("calls")
        lesson.execute("picture.stop(); account.close()")
        lesson.client._display_id_map = {}
    return calls


@pytest.mark.timeout(900)
def test_a_student_may_make_each_call_of_the_lesson_and_its_checks(walked, student):
    world, refused = World(), []
    for service, call, params, answer in walked:
        for need in world.needs(service, call, params or {}, answer):
            if not allowed(student, *need):
                refused.append((call, *need))
    assert refused == []
    # it was the whole lesson, with the boundary, the instance, the task and the end
    made = {call for _, call, _, _ in walked}
    assert made >= {
        "RunInstances", "StopInstances", "TerminateInstances", "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress", "CreateKeyPair", "CreateRole", "GetRole", "PutRolePolicy",
        "GetRolePolicy", "PutParameter", "CreateLogGroup", "RegisterTaskDefinition",
        "CreateCluster", "CreateService", "RunTask", "DeleteRole", "DeleteParameter",
        "DeleteLogGroup", "DeleteSecurityGroup", "DeleteCluster", "DeregisterTaskDefinition",
    }  # fmt: skip
    assert set(world.boundary.values()) == {BOUNDARY}
    assert len(world.boundary) == 2


def test_without_a_class_there_is_no_boundary(own_home):
    with aws.account() as account:
        assert account.boundary() == {}
        account.client("iam").create_policy(
            Path="/kafka-lab/", PolicyName="boundary", PolicyDocument=json.dumps(filled("boundary"))
        )
        assert account.boundary() == {"PermissionsBoundary": BOUNDARY}


# -- no way to more -------------------------------------------------------------------------------

LIMIT = {"iam:PermissionsBoundary": BOUNDARY}
ADMIN = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
TO_ECS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
THEIRS = {f"aws:ResourceTag/{TAG}": "ben"}
OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
FOREIGN = ec2("instance", "i-production")
WAYS_OUT = {
    "a role without a boundary": ("iam:CreateRole", LAB_ROLE, MINE),
    "a role with another boundary": ("iam:CreateRole", LAB_ROLE, MINE | ADMIN),
    "a role of another path": ("iam:CreateRole", OTHER_ROLE, MINE | LIMIT),
    "rights for an old role without a boundary": ("iam:PutRolePolicy", LAB_ROLE, MY_OWN),
    "rights for another boundary": ("iam:PutRolePolicy", LAB_ROLE, MY_OWN | ADMIN),
    "rights for a neighbour's role": ("iam:PutRolePolicy", LAB_ROLE, THEIRS | LIMIT),
    "rights for any other role": ("iam:PutRolePolicy", OTHER_ROLE, MY_OWN | LIMIT),
    "a managed policy": ("iam:AttachRolePolicy", LAB_ROLE, MY_OWN | LIMIT),
    "the boundary taken off": ("iam:DeleteRolePermissionsBoundary", LAB_ROLE, MY_OWN | LIMIT),
    "another boundary put on": ("iam:PutRolePermissionsBoundary", LAB_ROLE, MY_OWN | LIMIT),
    "another boundary's text": ("iam:CreatePolicyVersion", BOUNDARY, {}),
    "the boundary deleted": ("iam:DeletePolicy", BOUNDARY, {}),
    "whom a role trusts": ("iam:UpdateAssumeRolePolicy", LAB_ROLE, MY_OWN | LIMIT),
    "a user": ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", MINE),
    "rights for herself": ("iam:PutUserPolicy", f"arn:aws:iam::{ACCOUNT}:user/ana", {}),
    "a group": ("iam:AddUserToGroup", f"arn:aws:iam::{ACCOUNT}:group/admins", {}),
    "keys of somebody": ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/ben", {}),
    "another role for a task": ("iam:PassRole", OTHER_ROLE, TO_ECS),
    "a role for an instance": (
        "iam:PassRole", LAB_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    "another role taken on": ("sts:AssumeRole", OTHER_ROLE, {}),
    "another service's own role": (
        "iam:CreateServiceLinkedRole",
        f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/iam.amazonaws.com/x",
        {"iam:AWSServiceName": "iam.amazonaws.com"},
    ),
    "a tag on what is there": ("ec2:CreateTags", FOREIGN, MINE),
    "a tag by another call": ("ec2:CreateTags", FOREIGN, MINE | {"ec2:CreateAction": "CreateVpc"}),
    "a tag on a service": ("ecs:TagResource", arn("ecs", "service/prod/x"), MINE),
    "a tag on a neighbour's log": (
        "logs:TagResource", arn("logs", "log-group:/airport/board"), MINE | THEIRS,
    ),
    "a tag on a neighbour's secret": (
        "ssm:AddTagsToResource", arn("ssm", "parameter/airport/x"), MINE | THEIRS,
    ),
    "a tag on any other secret": ("ssm:AddTagsToResource", arn("ssm", "parameter/prod/x"), MINE),
    "a tag on a neighbour's role": ("iam:TagRole", LAB_ROLE, MINE | THEIRS),
    "another's instance": ("ec2:TerminateInstances", FOREIGN, THEIRS),
    "an instance that nobody tagged": ("ec2:TerminateInstances", FOREIGN, {}),
    "another's secret": ("ssm:GetParameter", arn("ssm", "parameter/airport/x"), THEIRS),
    "a secret of the company": ("ssm:GetParameter", arn("ssm", "parameter/prod/x"), MY_OWN),
    "a big instance": (
        "ec2:RunInstances", ec2("instance"), MINE | {"ec2:InstanceType": "p5.48xlarge"},
    ),
    "another's task definition": (
        "ecs:RunTask", arn("ecs", "task-definition/payroll:7"), MINE,
    ),
    "into a running container": ("ecs:ExecuteCommand", arn("ecs", "task/airport/x"), MY_OWN),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT)
def test_a_student_cannot_reach_more_than_the_lesson_needs(student, way):
    assert not allowed(student, *way)


def test_a_role_with_every_right_written_into_it_can_do_what_the_boundary_says_alone():
    all_rights = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    boundary = filled("boundary")

    def may(action, resource):
        return allowed(all_rights, action, resource, {}) and allowed(boundary, action, resource, {})

    assert may("ssm:GetParameters", arn("ssm", "parameter/airport/board/password"))
    for action in (
        "iam:PutUserPolicy", "iam:CreateUser", "sts:AssumeRole", "ec2:RunInstances",
        "ssm:PutParameter", "s3:GetObject", "iam:PassRole", "ssm:GetParameter",
    ):  # fmt: skip
        assert not may(action, "*")
        assert not may(action, OTHER_ROLE)
    assert not may("ssm:GetParameters", arn("ssm", "parameter/prod/x"))


@pytest.mark.parametrize("name", ["execution", "msk"])
def test_what_the_lessons_roles_need_lies_within_the_boundary(name):
    boundary = filled("boundary")
    holes = {
        "log_group": "/airport/board", "secret": arn("ssm", "parameter/airport/board/password"),
        "cluster": "airport", "topic": "flights.departed", "group": "board",
    }  # fmt: skip
    text = files.read(f"policies/{name}.json")
    role = filled(name, **{key: value for key, value in holes.items() if f"${{{key}}}" in text})
    for one in role["Statement"]:
        for action in listed(one["Action"]):
            for resource in listed(one["Resource"]):
                assert allowed(boundary, action, resource, {}), (action, resource)


def test_the_execution_role_can_do_what_ecs_does_before_the_task_runs():
    secret = arn("ssm", "parameter/airport/board/password")
    role = filled("execution", log_group="/airport/board", secret=secret)
    log = arn("logs", "log-group:/airport/board:log-stream:board/board/1")
    for need in (
        ("ecr:GetAuthorizationToken", "*"),
        ("ecr:BatchGetImage", arn("ecr", "repository/board")),
        ("ecr:GetDownloadUrlForLayer", arn("ecr", "repository/board")),
        ("logs:CreateLogStream", log),
        ("logs:PutLogEvents", log),
        ("ssm:GetParameters", secret),
    ):
        assert allowed(role, *need, {}), need
    assert not allowed(role, "ecr:BatchGetImage", arn("ecr", "repository/payroll"), {})


def test_each_policy_is_short_enough_for_iam_and_each_pattern_is_iams_own():
    for file in (Path(__file__).parent.parent / "deploy/aws/policies").glob("*.json"):
        text = re.sub(r"\s", "", file.read_text())
        assert len(text) < MOST, file.name
        for word in re.findall(r'"(arn:[^"]+)"', text):
            assert fnmatch.translate(word)
            assert not set(word) & set("[]?!"), word

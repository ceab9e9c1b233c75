"""Lesson 14: the deck's steps in their order, what its prose claims, and what its checks tell."""

import json
import re

import pytest
from conftest import wait_until
from foreseen import asked
from lesson import NOTEBOOKS, some

from lab_env.aws import plan
from lab_env.checks.aws_ec2_and_ecs import Left, judge_left
from lab_env.checks.rights import spelled
from lab_env.checks.task_definitions import TaskEvidence, judge_task

NUMBER = "14"
# the field's words, which stand in bold where the thing first happens
TERMS = (
    "Amazon Web Services", "account", "budget", "region", "AMI", "CPU credits", "user data", "VPC",
    "instance metadata service", "ECS", "Fargate", "roles", "least privilege", "task definition",
    "cluster", "service", "Amazon MSK", "snapshot",
)  # fmt: skip
# the deck's laboratory, step by step: (what it is called, the cell in which it is done)
DECK = (
    ("machine image", "image"),
    ("instance type", "type"),
    ("configuration", "configuration"),
    ("storage", "storage"),
    ("tags", "tags"),
    ("security group", "group"),
    ("review", "review"),
    ("launch", "no-key"),
    ("key pair", "key"),
    ("instance and its properties", "look"),
    ("ssh", "ssh"),
    ("update the packages", "docker-update"),
    ("install docker", "docker-install"),
    ("start the service", "docker-start"),
    ("add the user to the group", "docker-group"),
    ("docker info", "docker-info"),
)
# what the console calls it, in the Markdown of that step
CONSOLE = (
    "Application and OS Images", "Instance type", "Network settings", "Configure storage",
    "Name and tags", "Firewall", "Summary", "Launch instance", "Create new key pair",
    "Instances, and the details", "Connect",
)  # fmt: skip


def test_each_step_of_the_deck_is_there_in_the_decks_order():
    cells = json.loads((NOTEBOOKS / "14_aws_ec2_and_ecs.ipynb").read_text("utf-8"))["cells"]
    ids = [cell["id"] for cell in cells]
    places = [ids.index(cell) for _, cell in DECK]
    assert places == sorted(places)
    told = ""
    for (step, _), place, before in zip(DECK, places, [0, *places], strict=False):
        text = "".join("".join(cell["source"]) for cell in cells[before : place + 1]).lower()
        assert step in text, step
        told += text
    places = re.findall(r"\*console[^*]*\*", told)
    assert len(places) == len(CONSOLE)
    pairs = zip(CONSOLE, places, strict=True)
    assert [word for word, place in pairs if word.lower() not in place] == []
    headings = re.findall(
        r"^### (\d+)\. ", "".join("".join(c["source"]) + "\n" for c in cells), re.M
    )
    assert headings == [str(number) for number in range(1, 13)]


@pytest.mark.fast
def test_the_lesson_says_what_aws_is_and_names_things_as_the_field_does():
    cells = json.loads((NOTEBOOKS / "14_aws_ec2_and_ecs.ipynb").read_text("utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert [term for term in TERMS if f"**{term}**" not in text] == []
    for name in ("Choose AMI", "Choose Instance Type", "Configure Instance", "Add Storage",
                 "Add Tags", "Configure Security Group"):  # fmt: skip
        assert f"Slides: {name}." in text, name
    assert "0600" not in text
    assert "slowed down once" not in text


# -- what the prose claims ------------------------------------------------------------------


@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_what_the_prose_claims_happens(lesson):
    assert not lesson.errors
    for exercise in lesson.exercises:
        assert "✗" in lesson.output(exercise.check)
    lesson.asks_each_step()
    out = {cell.id: lesson.output(lesson.index(cell.id)) for cell in lesson.client.cells}
    # moto accepts what AWS refuses, and answers truthfully when it is asked
    assert re.search(r"\bi-\w+ t9\.enormous", out["typo"])
    assert "It was an instance." in out["typo"]
    assert "InvalidAMIID.NotFound" in out["ask-first"]
    assert "InvalidKeyPair.NotFound" in out["no-key"]
    # in the smallest type the broker does not fit, t3.small is the first with room
    left = dict(re.findall(r"(t3\.\w+) +(-?\d+) MiB", out["type"]))
    assert int(left["t3.nano"]) < 0 < int(left["t3.micro"]) < 512 < int(left["t3.small"])
    assert "*** 400" in out["key"]
    key_file = lesson.value("str(account.key_file('airport'))")
    assert f"ssh -i '{key_file}'" in out["ssh"]  # the whole path
    # an instance that is never billed for what it uses beyond its baseline
    assert lesson.value("request")["CreditSpecification"] == {"CpuCredits": "standard"}
    assert "unlimited: up to 1.92 USD" in out["type"]
    # the execution role can fetch the image, and tasks get in to Kafka
    assert "ecr:BatchGetImage" in out["policies"]
    things = out["cost"]
    assert things.count("0.000") == 3  # two groups and the key pair
    costs = [float(one) for one in re.findall(r"(?m)^\d .*?(\d\.\d{3}) *$", things)]
    assert sum(cost >= 0.05 for cost in costs) == 3, things
    # addresses
    assert lesson.value("came") == {"connects": True, "sends": False}
    assert "VPC://" in out["two-listeners"]
    assert "OUT://" in out["two-listeners"]
    assert lesson.value("same") == {"Private": True, "Public": False}
    # Compose and ECS
    assert "ParamValidationError" in out["compose-to-ecs"]
    assert "It was False." in out["compose-answer"]
    for word in ("build", "depends_on", "environment"):
        assert word in out["compose-to-ecs"]
    assert "'runningCount': 0" in out["service-state"]
    assert "nobody answers at kafka:19092" in out["board-alone"]
    assert lesson.value("reach") == {"from home": False, "from the VPC": True}
    assert "a-secret-key" not in out["iam-login"]
    assert "x-amz-signature" in out["iam-login"]
    # the end
    for cell in ("clean-up", "clean-up-again"):
        assert "Looked again: nothing" in out[cell]
        assert "Empty DataFrame" in out[cell]
    for kind in ("service", "cluster", "instance", "volume", "security group", "key pair", "role"):
        assert f"deleted: {kind}" in out["clean-up"]


@pytest.mark.shares_a_lab
def test_each_prediction_answers_a_wrong_guess_with_what_it_would_mean(lesson):
    ended = lesson.output(lesson.index("surprises"))
    assert "You foresaw 0 of 5, and made no prediction for 5." in ended
    assert asked(lesson) == ["typo", "advertised", "stop", "compose", "msk"]


@pytest.mark.shares_a_lab
def test_a_private_key_is_nowhere_in_the_notebook(lesson):
    said = json.dumps([cell.get("outputs", ()) for cell in lesson.client.cells], default=str)
    assert "PRIVATE KEY" not in said
    assert "***" in said


@pytest.mark.shares_a_lab
def test_the_picture_tells_before_during_and_after(lesson):
    picture = "picture.sentence"
    wait_until(lambda: "0.00 USD a day now" in lesson.value(picture), 20)
    # what the plan says before anything exists is what there is at the most
    assert f"{plan.total():.2f} at the most" in lesson.value(picture)
    seen = lesson.value("[len(one.things) for one in picture._states]")
    assert seen[0] == seen[-1] == 0
    assert max(seen) > 6
    # it is shown again further down, with all that it has seen
    assert len(lesson.told) == 3
    assert all("What exists in the account" in sentence for sentence in lesson.told)
    assert "instance" in lesson.told[-1]


# -- small steps ----------------------------------------------------------------------------


@pytest.mark.shares_a_lab
def test_one_address_is_let_in_and_a_block_is_more(lesson):
    lesson.accepts_step("one-address")
    stub = lesson.client.cells[lesson.steps["one-address"].cell].source
    lesson.refuses_step("one-address", stub, "256 addresses")
    told = lesson.takes_step("one-address", stub.replace("203.0.113.0/24", "0.0.0.0/0"))
    assert "everybody" in told.text


@pytest.mark.shares_a_lab
def test_one_secret_may_be_read_and_a_star_is_more(lesson):
    lesson.accepts_step("one-secret")
    stub = lesson.client.cells[lesson.steps["one-secret"].cell].source
    lesson.refuses_step("one-secret", stub, "tomorrow")
    lesson.execute("account.clean_up()")


# -- exercise 1 -----------------------------------------------------------------------------

FRESH = """
for name in ("airport-open",):
    for one in ec2.describe_security_groups()["SecurityGroups"]:
        if one["GroupName"] == name:
            ec2.delete_security_group(GroupId=one["GroupId"])
OPEN
"""


def opened(lesson, code: str, start: str = "") -> str:
    """Return code that works on a fresh group: the hurried one, or one without rules."""
    cell = lesson.client.cells[lesson.index("open-group")].source
    revoke = "" if start == "hurried" else REVOKE
    return FRESH.replace("OPEN", cell) + revoke + code


REVOKE = """
(told,) = ec2.describe_security_groups(GroupIds=[open_group])["SecurityGroups"]
ec2.revoke_security_group_ingress(GroupId=open_group, IpPermissions=told["IpPermissions"])
"""
BOTH = """
let_in(open_group, 22, my_address)
let_in(open_group, 9092, vpc["CidrBlock"])
"""


def rule(low: int, high: int, **source: object) -> str:
    told = {"IpProtocol": "tcp", "FromPort": low, "ToPort": high, **source}
    call = "ec2.authorize_security_group_ingress"
    return f"\n{call}(GroupId=open_group, IpPermissions=[{told!r}])\n"


WRONG_GROUPS = {
    "only added": ("hurried", BOTH, "Rules only ever add up"),
    "nothing but revoked": ("", "", "A group lets in only what a rule names"),
    "ssh from a network": (
        "", BOTH.replace("my_address", "'203.0.113.0/24'"), "/32 is one address"),
    "ssh from elsewhere": ("", BOTH.replace("my_address", "'192.168.0.7/32'"), "as AWS sees it"),
    "Kafka from everywhere": (
        "", BOTH.replace('vpc["CidrBlock"]', "'0.0.0.0/0'"), "a login and no TLS"),
    "Kafka from IPv6": (
        "", BOTH + rule(9092, 9092, Ipv6Ranges=[{"CidrIpv6": "::/0"}]), "a login and no TLS"),
    "Kafka from a subnet": (
        "", BOTH.replace('vpc["CidrBlock"]', 'subnet["CidrBlock"]'), "A subnet is too little"),
    "Kafka from all private networks": (
        "", BOTH.replace('vpc["CidrBlock"]', "'172.16.0.0/12'"), "other people's networks"),
    "a range of ports": (
        "", BOTH + rule(0, 65535, IpRanges=[{"CidrIp": "172.31.0.0/16"}]), "name each port"),
    "the listener outside": (
        "", BOTH + rule(9094, 9094, IpRanges=[{"CidrIp": "203.0.113.25/32"}]), "neither TLS nor"),
    "Kafka by UDP": (
        "", BOTH + "\nec2.authorize_security_group_ingress(GroupId=open_group, IpPermissions=[{"
        "'IpProtocol': 'udp', 'FromPort': 9092, 'ToPort': 9092,"
        " 'IpRanges': [{'CidrIp': '172.31.0.0/16'}]}])", "UDP is another protocol"),
    "one more port": (
        "", BOTH + rule(80, 80, IpRanges=[{"CidrIp": "203.0.113.25/32"}]), "Which service is that"),
    "no Kafka": ("", "let_in(open_group, 22, my_address)", "describe_vpcs"),
    "Kafka from a group": (
        "",
        BOTH.splitlines()[1]
        + "\nec2.authorize_security_group_ingress(GroupId=open_group, IpPermissions=[{'IpProtocol':"
        " 'tcp', 'FromPort': 9092, 'ToPort': 9092,"
        " 'UserIdGroupPairs': [{'GroupId': open_group}]}])",
        "only what bears that group",
    ),
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_GROUPS))
def test_a_wrong_group_is_told_what_is_wrong(again, wrong):
    start, code, hint = WRONG_GROUPS[wrong]
    again.refuses(1, opened(again, code, start), hint, wrong)


@pytest.mark.shares_a_lab
def test_the_solution_closes_the_group_and_may_be_checked_twice(again):
    again.execute(opened(again, "", "hurried"))
    again.accepts_its_solution(1)


@pytest.mark.shares_a_lab
def test_two_halves_of_the_vpc_are_the_vpc(again):
    halves = (
        "let_in(open_group, 9092, '172.31.0.0/17'); let_in(open_group, 9092, '172.31.128.0/17')"
    )
    again.accepts(1, opened(again, f"let_in(open_group, 22, my_address)\n{halves}"))
    # narrow rules first, then the wide ones go
    late = BOTH + "ec2.revoke_security_group_ingress(GroupId=open_group, IpPermissions=hurried)"
    again.accepts(1, opened(again, late, "hurried"))


@pytest.fixture(scope="module")
def again(lesson):
    """The lesson after its end, put back to where the exercises are: everything is there again."""
    cells = ("group", "rule", "key", "launch", "look", "log-and-secret", "roles", "register")
    for cell in (*cells[:5], "start-again", *cells[5:], "service"):
        lesson.again(lesson.index(cell))
    return lesson


# -- exercise 2 -----------------------------------------------------------------------------

TASK = """
place = f"{kafka['PrivateIpAddress']}:9092"
mine = aws.task_definition(bootstrap=place, secret=secret, **names, **roles)
mine["family"] = "airport-board-2"
(container,) = mine["containerDefinitions"]
CHANGE
ecs.register_task_definition(**mine, tags=ecs_tags);
"""
POLICY = "iam.put_role_policy(RoleName='airport-execution', PolicyName='board', PolicyDocument="


# the role as it was: its narrow policy, and no other
NARROW = f"""
for one in iam.list_attached_role_policies(RoleName="airport-execution")["AttachedPolicies"]:
    iam.detach_role_policy(RoleName="airport-execution", PolicyArn=one["PolicyArn"])
    iam.delete_policy(PolicyArn=one["PolicyArn"])
for one in iam.list_role_policies(RoleName="airport-execution")["PolicyNames"]:
    iam.delete_role_policy(RoleName="airport-execution", PolicyName=one)
{POLICY}execution)
"""


def task(change: str) -> str:
    return TASK.replace("CHANGE", change)


def address(text: str) -> str:
    return task(f"container['environment'][0]['value'] = {text}")


WIDE = "{'Effect': 'Allow', 'Action': 'ssm:*', 'Resource': 'arn:aws:ssm:*:*:parameter/*'}"
WRONG_TASKS = {
    "the password in a command": (
        task("container['command'] = ['board.py', '--password', 'not-a-real-one']"),
        "in real life change the password"),
    "a wide policy of its own beside the narrow one": (
        "iam.put_role_policy(RoleName='airport-execution', PolicyName='more', PolicyDocument="
        f"json.dumps({{'Version': '2012-10-17', 'Statement': [{WIDE}]}}))" + task(""),
        "All policies of a role count"),
    "a managed policy that may all": (
        "more = iam.create_policy(PolicyName='all', PolicyDocument=json.dumps({'Version':"
        " '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}))\n"
        "iam.attach_role_policy(RoleName='airport-execution', PolicyArn=more['Policy']['Arn'])"
        + task(""), "All policies of a role count"),
    "the password in another text": (
        task("container['environment'].append({'name': 'JAAS', 'value':"
             " 'username=board password=not-a-real-one'})"), "in real life change the password"),
    "the password in a second container": (
        task("mine['containerDefinitions'].append({'name': 'two', 'image': 'two', 'memory': 128,"
             " 'environment': [{'name': 'PASSWORD', 'value': 'another-one'}]})"),
        "in real life change the password"),
    "no port": (address("kafka['PrivateIpAddress']"), "no port is taken for granted"),
    "a role for the secret alone": (
        task(POLICY + "json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow',"
             " 'Action': 'ssm:GetParameters', 'Resource': secret}]}))"), "fetches the image"),
    "the name in Compose": (address("'kafka:19092'"), "A task stands outside"),
    "localhost": (address("'localhost:9092'"), "localhost there is the task"),
    "the public address": (
        address("kafka['PublicIpAddress'] + ':9094'"), "after a stop and a start"),
    "the public name": (address("kafka['PublicDnsName'] + ':9092'"), "after a stop and a start"),
    "the listener outside": (address("kafka['PrivateIpAddress'] + ':9094'"), "Which port is VPC's"),
    "another machine": (address("'172.31.99.99:9092'"), "launched anew"),
    "no address": (task("del container['environment'][0]"), "a list of name and value"),
    "the password in the open": (
        task("container['environment'].append({'name': 'PASSWORD', 'value': 'not-a-real-one'})"),
        "in real life change the password"),
    "no secret": (task("container.pop('secrets')"), "a list beside `environment`"),
    "the password as its place": (
        task("container['secrets'][0]['valueFrom'] = 'not-a-real-one'"), "the value comes from"),
    "another secret": (
        task("container['secrets'][0]['valueFrom'] = secret + '2'"), "stoppedReason"),
    "no execution role": (task("mine.pop('executionRoleArn')"), "Two roles"),
    "a role that does not exist": (
        task("mine['executionRoleArn'] += '-2'"), "Two roles"),
    "the wrong one of the roles": (
        task("mine['executionRoleArn'] = roles['task_role']"), "put_role_policy"),
    "a role that may all": (
        task(POLICY + "json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow',"
             " 'Action': '*', 'Resource': '*'}]}))"), "Name what is needed"),
    "a size that Fargate lacks": (
        task(POLICY + "execution); mine['memory'] = '700'"), "Fargate has sizes"),
    "not for Fargate": (
        task("mine |= {'networkMode': 'bridge', 'requiresCompatibilities': ['EC2']}"), "awsvpc"),
    "only a dict": ("mine['family'] = 'airport-board-3'\nlen(mine)", "only returns a dict"),
}  # fmt: skip


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_TASKS))
def test_a_wrong_task_is_told_what_is_wrong(again, wrong):
    code, hint = WRONG_TASKS[wrong]
    if wrong == "only a dict":
        code = (
            "for one in ecs.list_task_definitions(familyPrefix='airport-board-2')"
            "['taskDefinitionArns']:\n    ecs.deregister_task_definition(taskDefinition=one)\n"
            + code
        )
    again.execute(NARROW)
    again.refuses(2, code, hint, wrong)
    again.execute(NARROW)


@pytest.mark.shares_a_lab
def test_the_solution_is_told_where_kafka_is(again):
    again.execute(NARROW)
    again.accepts_its_solution(2)


@pytest.mark.shares_a_lab
def test_the_same_narrow_rights_as_a_managed_policy_are_right(again):
    again.execute(NARROW)
    again.execute(
        "own = iam.create_policy(PolicyName='board', PolicyDocument=execution)['Policy']['Arn']\n"
        "iam.delete_role_policy(RoleName='airport-execution', PolicyName='board')\n"
        "iam.attach_role_policy(RoleName='airport-execution', PolicyArn=own)"
    )
    again.accepts(2, task(""))
    again.execute(NARROW)


@pytest.mark.shares_a_lab
def test_another_right_task_by_name_with_more_memory(again):
    again.execute(NARROW)
    other = "container['secrets'][0]['valueFrom'] = password; mine['memory'] = '1024'"
    private = "ec2.describe_instances(InstanceIds=[instance])['Reservations'][0]['Instances'][0]"
    again.accepts(
        2,
        task(
            f"{other}; container['environment'][0]['value'] = {private}['PrivateDnsName'] + ':9092'"
        ),
    )


# -- exercise 3 -----------------------------------------------------------------------------

ALL = "old_ec2.describe_volumes()['Volumes']"
FORGOTTEN = f"[v['VolumeId'] for v in {ALL} if not v.get('Tags')]"
WRONG_ENDS = {
    "attached to a neighbour's instance": (
        "tower = next(i['InstanceId'] for r in old_ec2.describe_instances()['Reservations'] for i"
        " in r['Instances'] if i['State']['Name'] == 'running' and any(t['Value'] == 'tower' for t"
        f" in i.get('Tags', ())))\n[old_ec2.attach_volume(VolumeId=v, InstanceId=tower,"
        f" Device='/dev/sdf') for v in {FORGOTTEN}]", "Who pays for it"),
    "only looked": ("old.things(everybody=True)", "Look at all"),
    "only tagged": (
        f"old_ec2.create_tags(Resources=[v['VolumeId'] for v in {ALL} if not v.get('Tags')],"
        " Tags=account.tags())", "it deletes nothing"),
    "all that is unused": (
        f"[old_ec2.delete_volume(VolumeId=v['VolumeId']) for v in {ALL} if not v['Attachments']]",
        "a name on the door"),
    "everything is stopped": (
        "[old_ec2.stop_instances(InstanceIds=[i['InstanceId']]) for r in"
        " old_ec2.describe_instances()['Reservations'] for i in r['Instances']"
        " if i['State']['Name'] == 'running' and i.get('Tags')"
        " and any(t['Value'] == 'tower' for t in i['Tags'])]", "it was not yours"),
}  # fmt: skip


def leftovers(lesson, code: str) -> str:
    return lesson.client.cells[lesson.index("practice")].source + "\n" + code


@pytest.mark.shares_a_lab
@pytest.mark.parametrize("wrong", some(WRONG_ENDS))
def test_a_wrong_end_is_told_what_is_wrong(again, wrong):
    code, hint = WRONG_ENDS[wrong]
    again.refuses(3, leftovers(again, code), hint, wrong)


@pytest.mark.shares_a_lab
def test_the_solution_finds_what_was_forgotten(again):
    again.execute(leftovers(again, "pass"))
    again.accepts_its_solution(3)


@pytest.mark.shares_a_lab
def test_after_a_disk_was_tagged_or_attached_practice_puts_everything_back(again):
    """A disk with somebody's tag was never removed, so that the solution was refused for ever."""
    tagged = f"old_ec2.create_tags(Resources={FORGOTTEN}, Tags=[{{'Key': 'Name', 'Value': 'me'}}])"
    again.refuses(3, leftovers(again, tagged), "it deletes nothing")
    again.execute(leftovers(again, "pass"))
    again.accepts_its_solution(3)
    again.refuses(3, leftovers(again, WRONG_ENDS["attached to a neighbour's instance"][0]), "pays")
    again.execute(leftovers(again, "pass"))
    again.accepts_its_solution(3)


@pytest.mark.shares_a_lab
def test_a_snapshot_may_be_kept_and_its_price_is_told(again):
    kept = f"[old_ec2.create_snapshot(VolumeId=v) for v in {FORGOTTEN}]\n"
    again.execute(leftovers(again, "pass"))
    again.accepts(3, kept + again.solution(3))
    assert "Snapshots are left (1)" in again.output(again.exercises[2].check)
    assert "snapshot" in again.value("set(old.things()['kind'])")


@pytest.mark.shares_a_lab
def test_tagged_and_then_cleaned_up_is_right_as_well(again):
    code, _ = WRONG_ENDS["only tagged"]
    again.accepts(3, leftovers(again, f"{code}\nold.clean_up()"))


# -- judged without an account --------------------------------------------------------------

SECRET = "arn:aws:ssm:us-east-1:1:parameter/airport/board/password"
IMAGE = "1.dkr.ecr.us-east-1.amazonaws.com/board:1"


def told(*, extra: tuple = (), open_to: tuple = ("172.31.0.0/16",), **changes) -> TaskEvidence:
    """Return what an account would tell of a right task, with changes to its container."""
    from lab_env.aws import files

    places = {"region": "us-east-1", "account": "1", "log_group": "/airport/board"}
    task = files.task_definition(
        bootstrap="172.31.0.4:9092", topic="t", group="g", image=IMAGE, secret=SECRET,
        execution_role="e", task_role="t", log_group="/airport/board", region="us-east-1",
    )  # fmt: skip
    task["containerDefinitions"][0] |= changes
    rights = (*spelled(files.policy("execution", secret=SECRET, **places)), *extra)
    kafka = {"PrivateIpAddress": "172.31.0.4", "PublicIpAddress": "1.2.3.4"}
    parameter = {"ARN": SECRET, "Name": "/airport/board/password", "Value": "not-a-real-one"}
    return TaskEvidence(task, kafka, open_to, ("172.31.0.0/16",), parameter, rights)


def judged(evidence: TaskEvidence):
    return judge_task(evidence, {"family": "f", "revision": 1, "secret": "s"})


@pytest.mark.fast
def test_a_task_is_judged_by_what_was_gathered():
    assert judged(told())
    assert judged(told(open_to=("sg-1",)))  # a group may be the tasks' own
    assert judged(told(open_to=("0.0.0.0/0",)))
    for nobody in ((), ("203.0.113.25/32",)):
        assert "patience" in judged(told(open_to=nobody)).hint
    hidden = {"entryPoint": ["sh", "-c", "run bm90LWEtcmVhbC1vbmU="]}  # in base 64
    for way in (hidden, {"dockerLabels": {"login": "not-a-real-one"}}):
        assert "in the open" in judged(told(**way)).found


@pytest.mark.fast
def test_what_is_left_is_judged_by_disks_of_any_name():
    kept = frozenset({"tower", "tower-archive"})
    assert judge_left(Left(kept, "running", (), 0))
    assert judge_left(Left(kept, "running", (), 2))
    assert not judge_left(Left(kept, "running", ({"Size": 100, "Attachments": [{}]},), 0))
    assert not judge_left(Left(kept, "stopped", (), 0))


# -- what the lesson has to bear ------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.shares_a_lab
@pytest.mark.timeout(300)
def test_experiments_can_be_run_again(again):
    cells = "typo type network configuration storage tags group rule key launch look stop"
    for cell in f"{cells} start-again log-and-secret roles register service".split():
        again.again(again.index(cell))
    assert not again.errors
    for cell in ("clean-up", "clean-up-again", "before-end", "practice"):
        again.again(again.index(cell))
    assert not again.errors
    assert "nothing" in again.output(again.index("clean-up"))

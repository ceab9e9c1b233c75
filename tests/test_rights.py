"""What a role may do is held against what it needs: whatever is more is found, however written."""

import json

import pytest

from lab_env.checks.rights import Need, Statement, denied, lacking, spelled, too_much

PARAMETER = "arn:aws:ssm:us-east-1:1:parameter/airport/password"
LOG = "arn:aws:logs:us-east-1:1:log-group:/airport/board"
NEEDS = [
    Need("secret", "ssm:GetParameters", (PARAMETER,)),
    Need("", "ssm:GetParameter", (PARAMETER,)),
    Need("log", "logs:PutLogEvents", (f"{LOG}:*", LOG)),
    Need("image", "ecr:GetAuthorizationToken", ("*",)),
]
ENOUGH = [
    Statement(True, ("ssm:GetParameters",), (PARAMETER,)),
    Statement(True, ("logs:PutLogEvents",), (f"{LOG}:*",)),
    Statement(True, ("ecr:GetAuthorizationToken",), ("*",)),
]
MORE = {
    "everything": ("*", "*"),
    "a whole service": ("ssm:*", PARAMETER),
    "all parameters": ("ssm:GetParameters", "arn:aws:ssm:*:*:parameter/*"),
    "all that begins so": ("ssm:GetParameters", f"{PARAMETER}*"),
    "any letter": ("ssm:GetParameters", f"{PARAMETER[:-1]}?"),
    "another action": ("ssm:PutParameter", PARAMETER),
    "another service": ("s3:GetObject", "*"),
    "a pattern of actions": ("ssm:Get*", PARAMETER),
    "a pattern of services": ("s*:GetParameters", PARAMETER),
    "another log": ("logs:PutLogEvents", f"{LOG}2:*"),
    "every account's log": ("logs:PutLogEvents", "arn:aws:logs:*:*:log-group:/airport/board:*"),
}
RIGHT = {
    "in small letters": ("ssm:getparameters", PARAMETER),
    "one stream of the log": ("logs:PutLogEvents", f"{LOG}:log-stream:board/*"),
    "the log itself": ("logs:PutLogEvents", LOG),
    "a pattern that means one action": ("logs:PutLogE*", f"{LOG}:*"),
    "a pattern that means two that are needed": ("ssm:GetParameter?", PARAMETER),
    "what is allowed and not needed": ("ssm:GetParameter", PARAMETER),
}
pytestmark = pytest.mark.fast


@pytest.mark.parametrize("name", MORE)
def test_what_is_more_is_found(name):
    action, place = MORE[name]
    assert too_much([*ENOUGH, Statement(True, (action,), (place,))], NEEDS) == (action, place)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_needed_may_be_written_in_many_ways(name):
    action, place = RIGHT[name]
    assert too_much([Statement(True, (action,), (place,))], NEEDS) is None


def test_what_is_missing_or_denied_is_found():
    assert lacking(ENOUGH, NEEDS) is None
    assert [lacking(ENOUGH[:1] + ENOUGH[2:], NEEDS).key, lacking([], NEEDS).key] == [
        "log",
        "secret",
    ]
    no = Statement(False, ("ssm:*",), ("*",))
    assert denied([*ENOUGH, no], NEEDS).key == "secret"
    assert denied([*ENOUGH, Statement(False, ("ssm:*",), ("*",), always=False)], NEEDS) is None
    assert too_much([no], NEEDS) is None


def test_a_policy_may_be_written_in_many_ways():
    one = {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": PARAMETER}
    document = {"Version": "2012-10-17", "Statement": one}
    expected = [Statement(True, ("ssm:GetParameters",), (PARAMETER,))]
    assert list(spelled(document)) == list(spelled(json.dumps(document))) == expected
    # all but what is named is nearly everything
    (wide,) = spelled(
        {"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "NotResource": "a"}]}
    )
    assert (wide.actions, wide.places) == (("*",), ("*",))

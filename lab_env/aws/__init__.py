"""An AWS account for a lesson: an embedded one, or your own by name; tagged, counted, cleaned up.

    account = aws.account()             an account in a process of this machine
    ec2 = account.client("ec2")         boto3's own client, with boto3's own calls
    account.things()                    what exists of this lesson, and its cost a day
    account.clean_up()                  deletes it, looks again, and says what it found

With ``AWS_LAB=real`` and ``AWS_PROFILE`` it is the account of that profile, once its plan has been
confirmed. The parts:

    accounts    the object that a lesson holds
    plan        what a real account will be asked for, what that costs, and the words that allow it
    hooks       what happens at each call: trouble told in a sentence, what is created noted
    inventory   what exists, by tag and by note; cleaning   how it goes again
    costs       list prices; keys   private keys on disk; files   what ``deploy/aws`` holds
    leftovers   what somebody left in an account, to look for it
    watch       looks again and again while a picture is shown
    emulator    the process that serves the embedded account (moto; ``serve`` is its other side)
"""

from lab_env.aws.accounts import Account, account
from lab_env.aws.costs import INSTANCES
from lab_env.aws.files import policy, step, task_definition, user_data
from lab_env.aws.practice_account import practice

__all__ = [
    "INSTANCES",
    "Account",
    "account",
    "policy",
    "practice",
    "step",
    "task_definition",
    "user_data",
]

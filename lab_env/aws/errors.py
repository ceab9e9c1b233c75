"""The account's own error, and which of boto3's mean that the account itself is in trouble."""

import contextlib
from collections.abc import Generator

from lab_env.ground.errors import LabError

# AWS's codes for what no call can get past; what a call got wrong itself stays boto3's ClientError
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN = {
    *("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure"),
    *("SignatureDoesNotMatch", "InvalidSignatureException", "MissingAuthenticationToken"),
}
FORBIDDEN = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
ABROAD = {"OptInRequired", "PermanentRedirect", "IllegalLocationConstraintException"}
KEYS = dict.fromkeys(EXPIRED, "aws.expired") | dict.fromkeys(UNKNOWN, "aws.unknown")
KEYS |= dict.fromkeys(FORBIDDEN, "aws.forbidden") | dict.fromkeys(ABROAD, "aws.abroad")


class AccountError(LabError):
    """The account cannot be used, or something is not allowed in it."""


@contextlib.contextmanager
def told() -> Generator[None]:
    """Turn what boto3 raises within the block into an `AccountError`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        what = error.response.get("Error", {}).get("Message", str(error))
        raise AccountError("aws.refused", call=error.operation_name, code=code, why=what) from error
    except BotoCoreError as error:
        raise AccountError("aws.no_call", why=error) from error

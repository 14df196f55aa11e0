"""A boto3 client for any S3-compatible service, and what its failures mean for the user."""

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from typing import Any, NoReturn

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.loaders import create_loader
from botocore.parsers import ResponseParserError

from core.base.errors import UserError
from core.storage.s3_pace import SLOW_ATTEMPTS, SPEED_LIMIT_VARIABLE, TooSlow, keep_pace, slowness
from core.storage.store import AccessDenied, NotSupported, ObjectExists, ObjectNotFound

ADDRESSING_VARIABLE = "MMDET_COMPRESS_S3_ADDRESSING"
TIMEOUT_VARIABLE = "MMDET_COMPRESS_S3_TIMEOUT"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
CONNECTIONS = 32
ATTEMPTS = 8
"""How many times a request is sent before it counts as failed, with random, growing pauses of up to 20 s."""

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_ABSENT = ("404", "NoSuchKey", "NotFound", "NoSuchVersion", "NoSuchUpload")
_EXISTS = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
_DENIED = {
    "403": "The credentials give no access to it, or it does not exist and they may not list it.",
    "AccessDenied": "The credentials give no access to it.",
    "401": "The service requires credentials.",
    "InvalidAccessKeyId": "The service does not know the access key.",
    "SignatureDoesNotMatch": "The secret key does not belong to the access key.",
    "ExpiredToken": "The session token has expired.",
    "ExpiredTokenException": "The session token has expired.",
    "InvalidToken": "The session token is not valid.",
    "RequestTimeTooSkewed": "This machine's clock differs too much from the service's.",
}
_OTHER = {
    "NoSuchBucket": "There is no such bucket.",
    "InvalidBucketName": "The service takes no such bucket name.",
    "PermanentRedirect": "The bucket lies in another region.",
    "301": "The bucket lies in another region.",
    "AuthorizationHeaderMalformed": "The bucket lies in another region.",
    "SlowDown": "The service is overloaded, and stayed so over every retry.",
    "503": "The service is overloaded, and stayed so over every retry.",
    "QuotaExceeded": "The bucket's or the user's quota is used up.",
}


def connect(attempts: int = ATTEMPTS) -> Any:
    """Return a boto3 S3 client, for any number of threads.

    Endpoint (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``), region, certificates (``AWS_CA_BUNDLE``) and credentials
    are found as boto3 finds them. With an endpoint of its own a bucket goes into the path, which every compatible
    server understands, unless the profile's ``s3.addressing_style`` or ``$MMDET_COMPRESS_S3_ADDRESSING`` says
    otherwise.

    Args:
        attempts: How many times the client sends a request, unless ``AWS_MAX_ATTEMPTS`` says otherwise.

    Raises:
        UserError: A setting cannot be used.
    """
    # At DEBUG these write signed headers and session tokens.
    for name in ("boto3", "botocore", "s3transfer", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        core = botocore.session.get_session()
        core.register_component("data_loader", _shared_loader(core.get_config_variable("data_path")))
        style = _addressing_style(core)
        retries: dict[str, Any] = {"mode": os.environ.get("AWS_RETRY_MODE", "standard")}
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            retries["total_max_attempts"] = attempts
        # Many compatible servers do not know the checksums that boto3 >= 1.36 sends by default.
        config = Config(signature_version="s3v4", request_checksum_calculation="when_required",
                        response_checksum_validation="when_required", retries=retries, read_timeout=read_timeout(),
                        connect_timeout=_CONNECT_SECONDS, max_pool_connections=CONNECTIONS,
                        s3={"addressing_style": style} if style else None)
        client = boto3.session.Session(botocore_session=core).client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise UserError("S3 settings", _cause(error), "boto3 must be able to use endpoint, region and profile.",
                        "Check AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_PROFILE and the AWS configuration.") from error
    keep_pace(client, read_timeout())
    client.meta.events.register_first("needs-retry.s3", _give_up)
    return client


# botocore's descriptions of services are large, and read once a process.
_shared_loader = functools.cache(create_loader)


def _give_up(attempts: int, caught_exception: BaseException | None, **others: Any) -> None:
    """Stop botocore's retries where a server is too slow or its certificate is not trusted."""
    untrusted = isinstance(caught_exception, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(caught_exception)
    if caught_exception is not None and (untrusted or slowness(caught_exception) and attempts >= SLOW_ATTEMPTS):
        raise caught_exception


def read_timeout() -> float:
    """Return how many seconds a server may stay silent; raise UserError where the variable is no positive number."""
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text or _READ_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise UserError(f"variable {TIMEOUT_VARIABLE}", repr(text), "It must be a number of seconds above 0.",
                        "Correct it or unset it.")
    return seconds


def _addressing_style(session: Any) -> str | None:
    chosen = os.environ.get(ADDRESSING_VARIABLE, "")
    if chosen not in ("", "auto", "path", "virtual"):
        raise UserError(f"variable {ADDRESSING_VARIABLE}", repr(chosen), "It is path, virtual or auto.",
                        "Correct it or unset it.")
    profile = session.get_scoped_config()
    section = profile.get("s3")
    if chosen or (isinstance(section, dict) and "addressing_style" in section):
        return chosen or None
    in_profile = "endpoint_url" in profile or "services" in profile
    return "path" if in_profile or any(os.environ.get(name) for name in ENDPOINT_VARIABLES) else None


@contextlib.contextmanager
def s3_errors(uri: str, action: str) -> Iterator[None]:
    """Turn what boto3 raises within into errors that name the object or place ``uri``.

    Neither the server's message nor the request is repeated: they can hold keys and signatures.
    """
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        _raise_for(uri, action, error_code(error), int(status or 0), error)
    except TooSlow as error:
        raise _too_slow(uri, error) from error
    except (BotoCoreError, ConnectionError, TimeoutError) as error:
        slow = slowness(error)
        if slow is not None:
            raise _too_slow(uri, slow) from error
        hint = "Check AWS_ENDPOINT_URL_S3 and the network, or try again later."
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role."
        elif isinstance(error, SSLError):
            hint = "Set AWS_CA_BUNDLE to the file of the authority that signed the service's certificate."
        rule = f"The service must be reachable to {action} it."
        raise UserError(f"object {uri}", _cause(error), rule, hint) from error


@contextlib.contextmanager
def answers_of(uri: str) -> Iterator[None]:
    """Name the object or place whose response botocore's parser cannot read: no XML, no date, no number."""
    try:
        yield
    except BotoCoreError:
        raise
    except (ResponseParserError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"object {uri}", f"the service's answer cannot be read ({type(error).__name__})",
                        "It must be what S3 answers.", "Use another S3-compatible service.") from error


def error_code(error: ClientError) -> str:
    """Return the S3 error code of a refusal, or an empty text."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _too_slow(uri: str, slow: TooSlow) -> UserError:
    return UserError(f"object {uri}", f"the service is too slow: {slow}",
                     "A transfer must keep the lowest rate.", f"Check the network and the service, try again later, or "
                     f"set {SPEED_LIMIT_VARIABLE} to fewer bytes a second.")


def _raise_for(uri: str, action: str, code: str, status: int, cause: BaseException) -> NoReturn:
    """Raise the error that an S3 error code, or the status where there is none, stands for."""
    thing, code = f"object {uri}", code or str(status)
    rule = _DENIED.get(code) or _OTHER.get(code)
    kind: type[UserError] = UserError
    if code in _ABSENT:
        kind, rule, hint = ObjectNotFound, "There must be such an object.", "Check bucket and key."
    elif code in _EXISTS and action == "read":
        raise UserError(thing, "its ETag changed", "It must not change while it is read, or after it was resolved.",
                        "Start the run again to use the new object.") from cause
    elif code in _EXISTS:
        kind, rule, hint = ObjectExists, "It must not be replaced.", "Choose another name."
    elif code in ("NotImplemented", "501"):
        kind, rule, hint = NotSupported, "The service must support this request.", "Use another service."
    elif code == "RequestTimeTooSkewed":
        hint = "Set the clock."
    elif code in _DENIED:
        kind, hint = AccessDenied, f"Check the credentials and their right to {action} it."
    else:
        rule = rule or f"The service must be able to {action} it."
        hint = "Check endpoint, region and bucket, or try again later."
    found = "not found" if kind is ObjectNotFound else code
    value = f"{found} (HTTP {status})" if found != str(status) else f"HTTP {status}"
    raise kind(thing, value, rule, hint) from cause


def _cause(error: Exception) -> str:
    """Return a failure's name and, where it can hold no secret, its text."""
    if isinstance(error, (BotoConnectionError, HTTPClientError, IncompleteReadError, NoCredentialsError,
                          PartialCredentialsError)):
        # Endpoint and exception; a header-signed request has no secret in its address.
        return f"{type(error).__name__}: {error}"
    return type(error).__name__

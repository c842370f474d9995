"""Errors of S3 servers and boto3 as errors of ours: what was got, what was wanted, what to do."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as UnreachableError

from reelmill_common.errors import NotFound, ReelmillError, StoreError, StoreRefused, StoreUnavailable
from reelmill_common.text.terminal_text import printable

CONFLICTS = {"412", "409", "PreconditionFailed", "ConditionalRequestConflict"}
"""Codes that answer a put with `If-None-Match: *` if the key is taken, or is being taken."""

_REFUSALS = {
    "NoSuchBucket": "bucket {bucket!r} is missing at {server}; create it or correct REELMILL_STORE_URL",
    "InvalidBucketName": "{bucket!r} is not a bucket name for {server}; correct REELMILL_STORE_URL",
    "InvalidAccessKeyId": "{server} does not know the access key; set AWS_ACCESS_KEY_ID to one of that server's, "
    "or correct REELMILL_S3_ENDPOINT",
    "SignatureDoesNotMatch": "{server} refused the signature: the secret does not fit the access key; correct "
    "AWS_SECRET_ACCESS_KEY (a proxy that rewrites the Host header has the same effect)",
    "AccessDenied": "{server} denied {doing}; allow the access key s3:PutObject, GetObject, DeleteObject and "
    "ListBucket on bucket {bucket!r}",
    "ExpiredToken": "{server} says that the credentials have run out; renew AWS_SESSION_TOKEN and its keys (in a "
    "credentials file they are read again, no restart is needed)",
    "RequestTimeTooSkewed": "{server} says that this machine's clock is wrong; synchronise it (NTP)",
    "AuthorizationHeaderMalformed": "{server} does not sign for region {region!r}: {message}; correct "
    "REELMILL_S3_REGION",
    "VirtualHostDomainRequired": "{server} takes only requests that name the bucket in the host; set "
    "REELMILL_S3_ADDRESSING=virtual on every host of the farm",
    "400": "{server} refused {doing} without a reason",
    "PermanentRedirect": "bucket {bucket!r} lives in another region than {region!r}; correct REELMILL_S3_REGION",
}
_ALIASES = {
    "403": "AccessDenied",
    "Forbidden": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "AuthorizationQueryParametersError": "AuthorizationHeaderMalformed",
    "ExpiredTokenException": "ExpiredToken",
    "InvalidToken": "ExpiredToken",
    "TokenRefreshRequired": "ExpiredToken",
    "SecondLevelDomainForbidden": "VirtualHostDomainRequired",  # Alibaba OSS
    "PathStyleDomainForbidden": "VirtualHostDomainRequired",  # Tencent COS
    "InvalidPathAccess": "VirtualHostDomainRequired",  # Volcengine TOS
    "301": "PermanentRedirect",
    "IllegalLocationConstraintException": "PermanentRedirect",
}
ABSENT = {"NoSuchKey", "NotFound", "404"}
"""Codes for an object that does not exist."""
_WAIT = {
    "SlowDown",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "429",
    "BadDigest",  # the body was damaged on its way
    "XAmzContentSHA256Mismatch",
    "ClientDisconnected",  # 499 of SeaweedFS: the connection broke within a body
}
_NOT_IMPLEMENTED = 501
_OF_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "400"}
"""Refusals that other credentials may lift; a HEAD answered with 400 has no body to say so."""
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_%-]{32,}")
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    TokenRetrievalError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Location:
    """Where a store is, as messages name it.

    Attributes:
        endpoint: URL of the server; empty for AWS.
        prefix: Empty, or ends in `/`.
    """

    endpoint: str
    region: str
    bucket: str
    prefix: str

    @property
    def server(self) -> str:
        """The server as messages name it."""
        return self.endpoint or f"AWS S3 ({self.region})"

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix} at {self.server}"


@contextmanager
def explained(place: S3Location, doing: str) -> Generator[None]:
    """Turn errors of boto3 into a `StoreError` of the right kind, or `NotFound`."""
    try:
        yield
    except (ClientError, BotoCoreError) as err:
        raise explain(err, place, doing) from err


def explain(err: ClientError | BotoCoreError, place: S3Location, doing: str) -> ReelmillError:
    """Return our error for one of boto3's. No message holds a key, a secret or a signature."""
    if isinstance(err, ClientError):
        return _answered(err, place, doing)
    if isinstance(err, _NO_CREDENTIALS):
        return StoreRefused(
            f"no usable S3 credentials for {place.server} were found ({type(err).__name__}); set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or a profile or role that boto3 knows"
        )
    if isinstance(err, SSLError):
        return _untrusted(err, place)
    if isinstance(err, UnreachableError | HTTPClientError):
        return StoreUnavailable(
            f"{place.server} does not answer ({type(err).__name__}) while {doing}; check that the server runs and "
            "REELMILL_S3_ENDPOINT, then try again"
        )
    if isinstance(err, IncompleteReadError | FlexibleChecksumError):
        return StoreUnavailable(f"what {place.server} sent was cut or damaged while {doing}; try again")
    return StoreError(f"{doing} at {place} failed in boto3: {type(err).__name__}: {str(err)[:200]}")


def code_of(err: ClientError) -> str:
    """Return the server's error code; for a HEAD, whose answer has no body, the HTTP status."""
    return str(err.response.get("Error", {}).get("Code", ""))


def status_of(err: ClientError) -> int:
    """Return the HTTP status of the answer; 0 if boto3 kept none."""
    return int(err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_unreachable(err: ClientError | BotoCoreError) -> bool:
    """Whether no connection was made at all, so that another kind of request does not help."""
    return isinstance(err, UnreachableError)


def is_about_credentials(err: BaseException | None) -> bool:
    """Whether other credentials may help against an error of boto3."""
    if isinstance(err, ClientError):
        code = code_of(err)
        return _ALIASES.get(code, code) in _OF_CREDENTIALS or status_of(err) in (401, 403)
    return isinstance(err, _NO_CREDENTIALS)


def _answered(err: ClientError, place: S3Location, doing: str) -> ReelmillError:
    code, status = code_of(err), status_of(err)
    message = _message(err)
    if code in ABSENT:
        return NotFound(f"nothing is stored under that key in {place} ({doing})")
    if code in _WAIT or (status >= 500 and status != _NOT_IMPLEMENTED):
        return StoreUnavailable(f"{place.server} answered {status} {code} while {doing}: {message}; try again later")
    text = _REFUSALS.get(_ALIASES.get(code, code))
    if text is None and status in (401, 403):
        text = "{server} refused {doing} with {code}: {message}; check the credentials and the bucket's policy"
    if text is None:
        return StoreError(f"{doing} at {place} failed with {status} {code}: {message}")
    advice = text.format(
        bucket=place.bucket, server=place.server, region=place.region, doing=doing, code=code, message=message
    )
    if path := urlsplit(place.endpoint).path.strip("/"):
        advice += f"; REELMILL_S3_ENDPOINT has the path {path!r}, which few servers have: leave it out"
    if _ALIASES.get(code, code) == "AccessDenied" and doing.startswith("storing"):
        advice += ", and if the bucket's policy demands encryption set REELMILL_S3_SSE"
    said_all = "{message}" in text or not message or code in ("NoSuchBucket", "InvalidBucketName")
    server_message = "" if said_all else f' (its own words: {code}: "{message}")'
    return StoreRefused(advice + server_message)


def _message(err: ClientError) -> str:
    """Return a server's message, cut short and without anything as long as a key, a token or a signature."""
    said = str(err.response.get("Error", {}).get("Message", ""))
    return printable(_LONG_WORD.sub("…", said)[:200])  # an untrusted server may forge lines


def _untrusted(err: SSLError, place: S3Location) -> StoreError:
    reason = str(err)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return StoreRefused(
            f"the certificate of {place.server} is not signed by an authority that is trusted here; set "
            "REELMILL_S3_CA_BUNDLE to the PEM file of its certificate authority"
        )
    return StoreUnavailable(
        f"no TLS connection to {place.server} was made ({reason[-160:]}); check that REELMILL_S3_ENDPOINT speaks "
        "https, and REELMILL_S3_CA_BUNDLE"
    )

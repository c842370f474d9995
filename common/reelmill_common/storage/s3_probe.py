"""The start-up trial of an S3 server: which checksum mode works, and whether it supports a conditional put.

Servers accept what they do not understand: one without trailing checksums stores boto3's framing as part of the object
and answers 200 (nanio 0.1.7 does over HTTPS), so a mode is judged by the object that comes back, not by the answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from reelmill_common.errors import StoreRefused
from reelmill_common.settings import Settings
from reelmill_common.storage.s3_errors import (
    ABSENT,
    CONFLICTS,
    S3Location,
    code_of,
    explain,
    explained,
    is_unreachable,
    status_of,
)
from reelmill_common.storage.visibility import VISIBLE_S, until_shown

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

Mode = Literal["when_supported", "when_required"]

_UNKNOWN_HEADER = {400, 405, 501}
"""Statuses of servers without conditional writes, unless they ignore the header."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The results of the trial.

    Attributes:
        mode: boto3's checksum mode in which the server returns what was sent.
        conditional_put: Whether `If-None-Match: *` keeps a stored object.
        etag_is_md5: Whether an ETag can be compared with what was sent (not on a store that encrypts).
    """

    mode: Mode
    conditional_put: bool
    etag_is_md5: bool


def encryption(settings: Settings) -> dict[str, Any]:
    """Return the parameters of a put that ask for encryption: none, SSE-S3, or SSE-KMS with its key."""
    kms = {"SSEKMSKeyId": settings.s3_sse_kms_id} if settings.s3_sse_kms_id else {}
    sse = settings.s3_sse or ("aws:kms" if kms else "")
    return ({"ServerSideEncryption": sse} if sse else {}) | kms


def probe(
    client_for: Callable[[Mode], S3Client], place: S3Location, modes: Sequence[Mode], extras: Mapping[str, Any]
) -> Capabilities:
    """Store, read and remove a small object in each mode until one works; `extras` are added to every put.

    Raises:
        StoreUnavailable, StoreRefused, StoreError: No mode works; the message is the last mode's.
    """
    damage = ""
    for mode in modes:
        key = f"{place.prefix}.reelmill-trial-{secrets.token_hex(8)}"
        client = client_for(mode)
        try:
            damage, etag_is_md5 = _round_trip(client, place.bucket, key, extras)
            if not damage:
                conditional = _is_conditional(client, place, key, extras)
                with explained(place, "removing a trial object"):
                    client.delete_object(Bucket=place.bucket, Key=key)
                return Capabilities(mode=mode, conditional_put=conditional, etag_is_md5=etag_is_md5)
        except (ClientError, BotoCoreError) as err:
            client.close()  # see `S3Store._send`
            if mode == modes[-1] or is_unreachable(err):
                raise explain(err, place, "storing a trial object") from err
            damage = f"{type(err).__name__}: {err}"[:200]
        with suppress(
            ClientError, BotoCoreError
        ):  # it may never have been stored; the error that counts is raised below
            client.delete_object(Bucket=place.bucket, Key=key)
        log.info("store.mode_refused", store=str(place), mode=mode, reason=damage)
    raise StoreRefused(
        f"{place.server} does not return what boto3 sends in checksum mode {' or '.join(modes)} ({damage}); set "
        "REELMILL_S3_CHECKSUM to auto, or use another server"
    )


def _round_trip(client: S3Client, bucket: str, key: str, extras: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what is wrong with an object that was stored and read back (empty: nothing), and whether ETag is MD5."""
    sent = secrets.token_bytes(1024)
    reply = client.put_object(Bucket=bucket, Key=key, Body=sent, ContentType="application/octet-stream", **extras)
    found = until_shown(lambda: _read(client, bucket, key))
    if found is None:
        return f"it reported an object as stored, and has none {VISIBLE_S:.0f} s later", False
    got = found["Body"].read()
    if got != sent:
        return f"{len(sent)} bytes were sent and {len(got)} others came back", False
    if found.get("ContentEncoding"):
        return f"the object came back with Content-Encoding {found['ContentEncoding']!r}", False
    return "", reply.get("ETag", "").strip('"') == hashlib.md5(sent, usedforsecurity=False).hexdigest()


def _read(client: S3Client, bucket: str, key: str) -> GetObjectOutputTypeDef | None:
    try:
        return client.get_object(Bucket=bucket, Key=key)
    except ClientError as err:
        if code_of(err) in ABSENT:
            return None
        raise


def _is_conditional(client: S3Client, place: S3Location, key: str, extras: Mapping[str, Any]) -> bool:
    try:
        client.put_object(Bucket=place.bucket, Key=key, Body=b"second", IfNoneMatch="*", **extras)
    except ClientError as err:
        if code_of(err) in CONFLICTS:
            return True
        if status_of(err) in _UNKNOWN_HEADER:
            return False
        raise
    return False

"""`S3Store`: clips in a bucket of any S3-compatible server, through boto3."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from reelmill_common.errors import ClipExists, NotFound, StoreRefused, StoreUnavailable
from reelmill_common.settings import Settings
from reelmill_common.storage.body import Digest, digest, opened
from reelmill_common.storage.keys import check_key, check_prefix, file_name, is_key
from reelmill_common.storage.s3_faults import CONFLICTS, Place, code_of, explain, explained
from reelmill_common.storage.s3_parts import PART_BYTES, PartUpload
from reelmill_common.storage.s3_trial import Findings, Mode, try_out
from reelmill_common.storage.store import Readable, StoredObject, StoreReport, check_size

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

ATTEMPTS = 5
"""Tries of one request, with boto3's jittered backoff (1, 2, 4, 8 s at most) between them."""

SILENCE_S = 20
"""Seconds for which a server may be silent before a try is over: a clip is a few MB, and deliveries wait behind it."""
TRIAL_ATTEMPTS = 2
"""Tries while a person waits for the start-up trial to say what is wrong."""

_FOREVER = "public, max-age=31536000, immutable"


class S3Store:
    """A `ClipStore` in a bucket. Safe to use from several threads; nothing is connected until the first call.

    Credentials come from boto3's own chain (`AWS_ACCESS_KEY_ID`…, profile, role). The first put runs the start-up
    trial if `check` has not.
    """

    def __init__(
        self, bucket: str, prefix: str, settings: Settings, *, page_size: int = 1000, attempts: int = ATTEMPTS
    ) -> None:
        self.place = Place(
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            bucket=bucket,
            prefix=f"{prefix.strip('/')}/" if prefix.strip("/") else "",
        )
        self._settings = settings
        # An 81-frame clip has about 3 MB: it goes in one put, which is atomic everywhere.
        self._large_bytes = settings.s3_parts_above_mb << 20
        self._page_size = page_size
        self._attempts = attempts
        self._lock = threading.RLock()
        self._session: boto3.session.Session | None = None
        self._clients: dict[tuple[Mode, int], S3Client] = {}
        self._findings: Findings | None = None

    def put(self, key: str, source: Path | bytes, *, content_type: str, replace: bool = False) -> StoredObject:
        """Store an object; see `ClipStore.put`. A replacement is taken on the server's word, others are verified."""
        name = self._name(key)
        findings = self._found()
        with opened(source) as stream:
            body = digest(stream)
            stream.seek(0)
            extras = _extras(key, body, content_type, replace=replace)
            if replace:
                self._send(name, stream, body, extras)
                return StoredObject(key=key, size_bytes=body.size_bytes, sha256=body.sha256)
            if findings.conditional_put:
                extras["IfNoneMatch"] = "*"
            # Asked first where the put itself does not ask, or asks only once all parts are there.
            asked = body.size_bytes > self._large_bytes or not findings.conditional_put
            sent = not (asked and self._head(name)) and self._send(name, stream, body, extras)
        return self._settled(key, body, sent=sent)

    @property
    def links_last_s(self) -> int:
        """Seconds that a presigned link works."""
        return self._settings.presign_s

    def get(self, key: str, *, most_bytes: int | None = None) -> bytes:
        """Return an object's bytes."""
        name = self._name(key)
        with explained(self.place, f"reading {key!r}"):
            reply = self._client().get_object(Bucket=self.place.bucket, Key=name)
            with closing(reply["Body"]) as body:
                check_size(key, reply["ContentLength"], most_bytes)
                return body.read()

    @contextmanager
    def open(self, key: str) -> Generator[Readable]:
        """Give an object piece by piece."""
        name = self._name(key)
        with explained(self.place, f"reading {key!r}"):
            reply = self._client().get_object(Bucket=self.place.bucket, Key=name)
            with closing(reply["Body"]) as body:
                yield body

    def head(self, key: str) -> StoredObject | None:
        """Return an object's size and its hash, or None."""
        name = self._name(key)
        try:
            head = self._head(name)
        except StoreRefused:
            head = None  # a HEAD has no body to say why; the same question by GET has
        if head is None:
            try:
                with explained(self.place, f"looking at {key!r}"):
                    reply = self._client().get_object(Bucket=self.place.bucket, Key=name)
                    reply["Body"].close()
            except NotFound:
                return None
            head = _Head.of(reply)
        return StoredObject(key=key, size_bytes=head.size_bytes, sha256=head.sha256)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield objects in key order, one level of `/` in memory at a time. Objects that are not ours are passed over.

        Level by level, since servers that keep keys in folders (SeaweedFS 4.48, nanio 0.1.7) give the keys of a flat
        listing in the folders' order, and nanio's pages then repeat some keys and leave others out.
        """
        check_prefix(prefix)
        level = self._level(prefix)
        for key in sorted(level):
            if key.endswith("/"):
                yield from self.list(key)
            else:
                yield StoredObject(key=key, size_bytes=level[key])

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        name = self._name(key)
        with explained(self.place, f"deleting {key!r}"):
            try:
                self._client().delete_object(Bucket=self.place.bucket, Key=name)
            except ClientError as err:
                if code_of(err) != "NoSuchKey":
                    raise

    def url(self, key: str) -> str:
        """Return a link that is valid for `settings.presign_s`. It is made here and now: no request is sent."""
        params = {"Bucket": self.place.bucket, "Key": self._name(key), "ResponseContentDisposition": _disposition(key)}
        with explained(self.place, f"signing a link to {key!r}"):
            return self._client().generate_presigned_url(
                "get_object", Params=params, ExpiresIn=self._settings.presign_s
            )

    def check(self) -> StoreReport:
        """Run the start-up trial (again), and keep what it found for the puts that follow."""
        with self._lock:
            found = self._findings = self._try_out()
        return StoreReport(url=str(self.place), conditional_put=found.conditional_put, checksum_mode=found.mode)

    def _found(self) -> Findings:
        with self._lock:  # several threads may come here first: one trial is enough
            if self._findings is None:
                self._findings = self._try_out()
            return self._findings

    def _try_out(self) -> Findings:
        chosen = self._settings.s3_checksum
        modes: tuple[Mode, ...] = ("when_supported", "when_required") if chosen == "auto" else (chosen,)
        return try_out(lambda mode: self._client(mode, TRIAL_ATTEMPTS), self.place, modes)

    def _client(self, mode: Mode | None = None, attempts: int | None = None) -> S3Client:
        with self._lock:  # making a client is not safe in threads, using one is
            chosen = mode or (self._findings.mode if self._findings else "when_required")
            which = (chosen, attempts or self._attempts)
            if which not in self._clients:
                with explained(self.place, "reading the credentials"):
                    # A session of our own: boto3's default one is global and not safe in threads.
                    self._session = self._session or boto3.session.Session()
                self._clients[which] = _connect(self._session, self._settings, self.place, *which)
            return self._clients[which]

    def _name(self, key: str) -> str:
        check_key(key)
        return self.place.prefix + key

    def _level(self, prefix: str) -> dict[str, int]:
        """Return the keys below a prefix up to the next `/`, with sizes; those that end in `/` have more below."""
        found: dict[str, int] = {}
        root = self.place.prefix
        with explained(self.place, "listing the bucket"):
            for page in (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(
                    Bucket=self.place.bucket,
                    Prefix=root + prefix,
                    Delimiter="/",
                    PaginationConfig={"PageSize": self._page_size},
                )
            ):
                found |= {item.get("Prefix", "").removeprefix(root): 0 for item in page.get("CommonPrefixes", [])}
                found |= {
                    item.get("Key", "").removeprefix(root): item.get("Size", 0)
                    for item in page.get("Contents", [])
                    if not item.get("Key", "").endswith("/")  # some consoles make empty objects to show a folder
                }
        return {key: size for key, size in found.items() if is_key(key.removesuffix("/"))}

    def _head(self, name: str) -> _Head | None:
        try:
            with explained(self.place, "looking at what is stored"):
                return _Head.of(self._client().head_object(Bucket=self.place.bucket, Key=name))
        except NotFound:
            return None

    def _send(self, name: str, stream: IO[bytes], body: Digest, extras: dict[str, Any]) -> bool:
        """Return whether the body was taken; False is the server's word that the key is."""
        client, bucket = self._client(), self.place.bucket
        try:
            if body.size_bytes > self._large_bytes:
                return self._send_parts(name, stream, extras)
            client.put_object(Bucket=bucket, Key=name, Body=stream, ContentLength=body.size_bytes, **extras)
        except (ClientError, BotoCoreError) as err:
            # boto3 asks before it sends a body (Expect: 100-continue), and on a no keeps the connection, while some
            # servers (nanio 0.1.7) still wait for the body there: they take the next request for it, and it hangs.
            client.close()  # the connections, not the client
            if isinstance(err, ClientError) and "IfNoneMatch" in extras and code_of(err) in CONFLICTS:
                return False
            raise explain(err, self.place, f"storing {name!r}") from err
        return True

    def _send_parts(self, name: str, stream: IO[bytes], extras: dict[str, Any]) -> bool:
        headers = {name: value for name, value in extras.items() if name != "IfNoneMatch"}
        upload = PartUpload(
            client=self._client(),
            bucket=self.place.bucket,
            name=name,
            findings=self._found(),
            part_bytes=min(PART_BYTES, self._large_bytes),
        )
        return upload.send(stream, headers, only_if_absent="IfNoneMatch" in extras)

    def _settled(self, key: str, body: Digest, *, sent: bool) -> StoredObject:
        """Look at what is stored now, and tell our own body from another's and from a damaged one."""
        name = self._name(key)
        head = self._head(name)
        if head is None:  # 409: another put of the key is under way; or someone deleted it at once
            raise StoreUnavailable(f"{key!r} is not in {self.place} right after its put; try again")
        same = head.holds(body, etag_is_md5=self._found().etag_is_md5)
        if same or (sent and same is None):
            return StoredObject(key=key, size_bytes=body.size_bytes, sha256=body.sha256)
        if head.sha256 == body.sha256:  # named as ours, yet not what we sent: it would pass for a stored clip
            self.delete(key)
            raise StoreUnavailable(f"{key!r} arrived damaged in {self.place} and was removed; try again")
        raise ClipExists(
            f"{key!r} in {self.place} holds another clip already ({head.size_bytes} bytes), and clips are never "
            "overwritten; store under a new key, or remove the object if it is not wanted"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a server tells of an object. The hash is ours, kept as metadata; a few servers drop metadata."""

    size_bytes: int
    sha256: str | None
    etag: str

    @classmethod
    def of(cls, reply: HeadObjectOutputTypeDef | GetObjectOutputTypeDef) -> _Head:
        return cls(
            size_bytes=reply["ContentLength"],
            sha256=reply["Metadata"].get("sha256"),
            etag=reply.get("ETag", "").strip('"'),
        )

    def holds(self, body: Digest, *, etag_is_md5: bool) -> bool | None:
        """Whether the object is that body; None if its size fits and nothing else can be compared."""
        if self.size_bytes != body.size_bytes or self.sha256 not in (None, body.sha256):
            return False
        if etag_is_md5 and "-" not in self.etag:  # the ETag of an object sent in parts is no MD5 of it
            return self.etag == body.md5
        return None if self.sha256 is None else True


def _extras(key: str, body: Digest, content_type: str, *, replace: bool) -> dict[str, Any]:
    return {
        "ContentType": content_type,
        "ContentDisposition": _disposition(key),
        "CacheControl": "no-cache" if replace else _FOREVER,
        "Metadata": {"sha256": body.sha256},  # ASCII only: other text does not survive every server
    }


def _disposition(key: str) -> str:
    return f'inline; filename="{file_name(key)}"'


def _connect(session: boto3.session.Session, settings: Settings, place: Place, mode: Mode, attempts: int) -> S3Client:
    bundle = settings.s3_ca_bundle
    if bundle and not Path(bundle).is_file():
        raise StoreRefused(f"REELMILL_S3_CA_BUNDLE={bundle!r} is not a file; give the PEM file of the authority")
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=5,
        read_timeout=SILENCE_S,
        tcp_keepalive=True,
        request_checksum_calculation=mode,
        response_checksum_validation=mode,
    )
    with explained(place, "preparing the connection"):
        try:
            return session.client(
                "s3",
                endpoint_url=settings.s3_endpoint or None,
                region_name=settings.s3_region,
                verify=bundle or None,
                config=config,
            )
        except ValueError as err:
            raise StoreRefused(f"REELMILL_S3_ENDPOINT={settings.s3_endpoint!r} is not a usable URL; {err}") from err

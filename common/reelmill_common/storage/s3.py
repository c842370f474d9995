"""`S3Store`: clips in a bucket of any S3-compatible server, through boto3."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from reelmill_common.errors import ClipExists, NotFound, StoreRefused, StoreUnavailable
from reelmill_common.settings import Settings
from reelmill_common.storage.body import Digest, digest, opened
from reelmill_common.storage.keys import check_key, check_prefix, file_name, is_key
from reelmill_common.storage.s3_access import Access
from reelmill_common.storage.s3_errors import CONFLICTS, S3Location, code_of, explain, explained, is_about_credentials
from reelmill_common.storage.s3_parts import PART_BYTES, PartUpload
from reelmill_common.storage.s3_probe import Capabilities, Mode, encryption, probe
from reelmill_common.storage.store import Readable, StoredObject, StoreReport, check_size
from reelmill_common.storage.visibility import until_shown

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

T = TypeVar("T")

ATTEMPTS = 5
"""Tries of one request, with boto3's jittered backoff (1, 2, 4, 8 s at most) between them."""
TRIAL_ATTEMPTS = 2
"""Tries of one request in the start-up trial, for which a person may be waiting."""

Sent = Literal["taken", "sent", "verified"]
"""The result of a put: the key was taken, the server took the body, or it also confirmed the body's checksum."""

_FOREVER = "private, max-age=31536000, immutable"
"""Links are presigned: the object is for the holder of a link, and not for caches on the way."""


class S3Store:
    """A `ClipStore` in a bucket. Safe for several threads; nothing is connected until the first call.

    Credentials come from boto3's own chain (`AWS_ACCESS_KEY_ID`…, profile, role), and are read again when they change
    or are refused. The first put runs the start-up trial if `check` has not.
    """

    def __init__(
        self, bucket: str, prefix: str, settings: Settings, *, page_size: int = 1000, attempts: int = ATTEMPTS
    ) -> None:
        place = S3Location(
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            bucket=bucket,
            prefix=f"{prefix.strip('/')}/" if prefix.strip("/") else "",
        )
        self._access = Access(settings, place)
        self._settings = settings
        # An 81-frame clip has about 3 MB: it goes in one put, which is atomic everywhere.
        self._large_bytes = settings.s3_parts_above_mb << 20
        self._page_size = page_size
        self._attempts = attempts
        self._lock = threading.RLock()
        self._findings: Capabilities | None = None

    @property
    def place(self) -> S3Location:
        """Server and bucket, as messages name them."""
        return self._access.place

    def put(self, key: str, source: Path | bytes, *, content_type: str, replace: bool = False) -> StoredObject:
        """Store an object; see `ClipStore.put`. All but replacements are verified.

        The server's checksum verifies it (an ETag that is an MD5, or a CRC32); without one, the object is looked at.
        """
        name = self._name(key)
        findings = self._found()
        with opened(source) as stream:
            body = digest(stream)
            extras = _extras(key, body, content_type, replace=replace) | encryption(self._settings)
            if findings.conditional_put and not replace:
                extras["IfNoneMatch"] = "*"
            # The key is looked up first if the put has no condition, or has it only once all parts are there.
            unguarded = body.size_bytes > self._large_bytes or not findings.conditional_put
            if not replace and unguarded and self._head(name) is not None:
                sent: Sent = "taken"
            else:
                sent = self._send(name, stream, body, extras)
        if replace or sent == "verified":
            return StoredObject(key=key, size_bytes=body.size_bytes, sha256=body.sha256)
        return self._settled(key, body, sent=sent)

    @property
    def links_last_s(self) -> int:
        """Seconds that a presigned link works: the setting, or less if its credentials expire sooner."""
        with explained(self.place, "reading the credentials"):
            return int(min(self._settings.presign_s, self._access.credentials_last_s()))

    @property
    def links_note(self) -> str:
        """A note that links expire with the credentials that sign them, where that is sooner."""
        lasts_s = self.links_last_s
        if lasts_s < self._settings.presign_s:
            return (
                f"links expire in {lasts_s // 60} min {lasts_s % 60} s, with the credentials that sign them, before "
                "REELMILL_PRESIGN_S is over; sign with the keys of a user for links that last"
            )
        if self._access.has_session_token():
            return "links are signed with a session's credentials and expire with them, at an unknown time"
        return ""

    def get(self, key: str, *, most_bytes: int | None = None) -> bytes:
        """Return an object's bytes."""
        name = self._name(key)

        def read(client: S3Client) -> bytes:
            reply = client.get_object(Bucket=self.place.bucket, Key=name)
            with closing(reply["Body"]) as body:
                check_size(key, reply["ContentLength"], most_bytes)
                return body.read()

        return self._ask(f"reading {key!r}", read)

    @contextmanager
    def open(self, key: str, *, start: int = 0) -> Generator[Readable]:
        """Open an object to be read piece by piece."""
        where: Any = {"Bucket": self.place.bucket, "Key": self._name(key)}
        if start:
            where["Range"] = f"bytes={start}-"
        reply = self._ask(f"reading {key!r}", lambda client: client.get_object(**where))
        with explained(self.place, f"reading {key!r}"), closing(reply["Body"]) as body:
            yield body

    def head(self, key: str) -> StoredObject | None:
        """Return an object's size and its hash, or None."""
        name = self._name(key)
        head = self._head(name) or self._look(name)  # a missing bucket is a 404 too, and only GET says which
        return None if head is None else StoredObject(key=key, size_bytes=head.size_bytes, sha256=head.sha256)

    def missing(self, objects: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the objects that the store does not show: by one listing, and a HEAD for each that it lacks."""
        if not objects:
            return []
        shown: dict[str, StoredObject | None] = {}
        with suppress(StoreRefused):  # an access key may be allowed HEAD and not listing
            shown = self._level(os.path.commonprefix([item.key for item in objects]))  # noqa: RUF071 - of keys
        left = [item for item in objects if not _is_shown(item, shown.get(item.key))]
        return [item for item in left if not _is_shown(item, self._head(self._name(item.key)))]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield objects in key order, one level of `/` in memory at a time. Objects that are not ours are left out.

        It goes level by level, since servers that keep keys in folders (SeaweedFS 4.48, nanio 0.1.7) give a flat
        listing in the folders' order, and nanio's pages then repeat some keys and leave out others.
        """
        check_prefix(prefix)
        level = self._level(prefix)
        for key in sorted(level):
            if key.endswith("/"):
                yield from self.list(key)
            elif (found := level[key]) is not None:
                yield found

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is not an error."""
        name = self._name(key)
        with suppress(NotFound):
            self._ask(f"deleting {key!r}", lambda client: client.delete_object(Bucket=self.place.bucket, Key=name))

    def url(self, key: str) -> str:
        """Return a link that is valid for `settings.presign_s`. It is made without a request."""
        params = {
            "Bucket": self.place.bucket,
            "Key": self._name(key),
            "ResponseContentDisposition": _disposition(key),
            "ResponseCacheControl": f"private, max-age={self._settings.presign_s}",  # older objects say `public`
        }
        with explained(self.place, f"signing a link to {key!r}"):
            return self._client().generate_presigned_url(
                "get_object", Params=params, ExpiresIn=self._settings.presign_s
            )

    def check(self) -> StoreReport:
        """Run the start-up trial (again), and keep its results for later puts."""
        with self._lock:
            found = self._findings = self._try_out()
        return StoreReport(url=str(self.place), conditional_put=found.conditional_put, checksum_mode=found.mode)

    def _found(self) -> Capabilities:
        with self._lock:  # several threads may be first: one trial is enough
            if self._findings is None:
                self._findings = self._try_out()
            return self._findings

    def _try_out(self) -> Capabilities:
        chosen = self._settings.s3_checksum
        modes: tuple[Mode, ...] = ("when_supported", "when_required") if chosen == "auto" else (chosen,)

        def trial(_client: S3Client) -> Capabilities:
            return probe(
                lambda mode: self._access.client(mode, TRIAL_ATTEMPTS), self.place, modes, encryption(self._settings)
            )

        return self._ask("storing a trial object", trial)

    def _client(self) -> S3Client:
        return self._access.client(self._findings.mode if self._findings else "when_required", self._attempts)

    def _ask(self, doing: str, request: Callable[[S3Client], T]) -> T:
        """Send a request; after a refusal, once more if there are other credentials."""
        client = self._client()
        try:
            with explained(self.place, doing):
                return request(client)
        except StoreRefused as err:
            if not is_about_credentials(err.__cause__) or not self._access.renew(client):
                raise
        with explained(self.place, doing):
            return request(self._client())

    def _name(self, key: str) -> str:
        check_key(key)
        return self.place.prefix + key

    def _level(self, prefix: str) -> dict[str, StoredObject | None]:
        """Return the objects below a prefix, up to the next `/`; keys that end in `/` have more below."""
        root = self.place.prefix

        def read(client: S3Client) -> dict[str, StoredObject | None]:
            found: dict[str, StoredObject | None] = {}
            for page in client.get_paginator("list_objects_v2").paginate(
                Bucket=self.place.bucket,
                Prefix=root + prefix,
                Delimiter="/",
                PaginationConfig={"PageSize": self._page_size},
            ):
                found |= {item.get("Prefix", "").removeprefix(root): None for item in page.get("CommonPrefixes", [])}
                for item in page.get("Contents", []):
                    key, changed = item.get("Key", "").removeprefix(root), item.get("LastModified")
                    if not key.endswith("/"):  # some consoles make empty objects to show folders
                        modified_s = None if changed is None else changed.timestamp()
                        found[key] = StoredObject(key=key, size_bytes=item.get("Size", 0), modified_s=modified_s)
            return found

        found = self._ask("listing the bucket", read)
        return {key: item for key, item in found.items() if is_key(key.removesuffix("/"))}

    def _head(self, name: str) -> _Head | None:
        try:
            return self._ask(
                "looking at what is stored",
                lambda client: _Head.of(client.head_object(Bucket=self.place.bucket, Key=name)),
            )
        except NotFound:
            return None
        except StoreRefused:
            return self._look(name)  # the answer to a HEAD has no body to say why; that to a GET has

    def _look(self, name: str) -> _Head | None:
        def look(client: S3Client) -> _Head:
            reply = client.get_object(Bucket=self.place.bucket, Key=name)
            reply["Body"].close()
            return _Head.of(reply)

        try:
            return self._ask(f"looking at {name!r}", look)
        except NotFound:
            return None

    def _send(self, name: str, stream: IO[bytes], body: Digest, extras: dict[str, Any]) -> Sent:
        def send(client: S3Client) -> Sent:
            stream.seek(0)
            if body.size_bytes > self._large_bytes:
                return "sent" if self._send_parts(client, name, stream, extras) else "taken"
            reply = client.put_object(
                Bucket=self.place.bucket, Key=name, Body=stream, ContentLength=body.size_bytes, **extras
            )
            # An object whose checksum differs, or that has none, is looked at afterwards.
            checks = [reply["ChecksumCRC32"] == body.crc32] if "ChecksumCRC32" in reply else []
            if self._found().etag_is_md5:
                checks.append(reply.get("ETag", "").strip('"') == body.md5)
            return "verified" if checks and all(checks) else "sent"

        def carefully(client: S3Client) -> Sent:
            try:
                return send(client)
            except (ClientError, BotoCoreError) as err:
                # boto3 asks before it sends a body (Expect: 100-continue) and keeps the connection after a refusal,
                # while some servers (nanio 0.1.7) still wait for the body: the next request would hang.
                client.close()  # the connections, not the client
                if isinstance(err, ClientError) and "IfNoneMatch" in extras and code_of(err) in CONFLICTS:
                    return "taken"
                raise explain(err, self.place, f"storing {name!r}") from err

        return self._ask(f"storing {name!r}", carefully)

    def _send_parts(self, client: S3Client, name: str, stream: IO[bytes], extras: dict[str, Any]) -> bool:
        headers = {name: value for name, value in extras.items() if name != "IfNoneMatch"}
        upload = PartUpload(
            client=client,
            bucket=self.place.bucket,
            name=name,
            findings=self._found(),
            part_bytes=min(PART_BYTES, self._large_bytes),
        )
        return upload.send(stream, headers, only_if_absent="IfNoneMatch" in extras)

    def _settled(self, key: str, body: Digest, *, sent: Sent) -> StoredObject:
        """Look at what is stored, and distinguish our body from another one and from a damaged one."""
        name = self._name(key)
        head = until_shown(lambda: self._head(name))
        if head is None:  # 409: another put of the key is under way, or it was deleted at once
            raise StoreUnavailable(f"{key!r} is not in {self.place} after its put; try again")
        same = head.holds(body, etag_is_md5=self._found().etag_is_md5)
        if same is None and sent == "taken":  # the server tells nothing but a size: only its bytes say whose it is
            same = hashlib.sha256(self.get(key)).hexdigest() == body.sha256
        if same or (sent == "sent" and same is None):
            return StoredObject(key=key, size_bytes=body.size_bytes, sha256=body.sha256)
        if head.sha256 == body.sha256:  # it bears our hash, yet is not what we sent: it would pass for a stored clip
            self.delete(key)
            raise StoreUnavailable(f"{key!r} arrived damaged in {self.place} and was removed; try again")
        raise ClipExists(
            f"{key!r} in {self.place} already holds another clip ({head.size_bytes} bytes), and clips are never "
            "overwritten; store under a new key, or remove the object if it is not wanted"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a server says of an object. The hash is our metadata, which a few servers drop."""

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
        """Whether the object is that body; None if its size is right and nothing else can be compared."""
        if self.size_bytes != body.size_bytes or self.sha256 not in (None, body.sha256):
            return False
        if etag_is_md5 and "-" not in self.etag:  # the ETag of an object sent in parts is not its MD5
            return self.etag == body.md5
        return None if self.sha256 is None else True


def _is_shown(put: StoredObject, there: StoredObject | _Head | None) -> bool:
    return there is not None and there.size_bytes == put.size_bytes


def _extras(key: str, body: Digest, content_type: str, *, replace: bool) -> dict[str, Any]:
    return {
        "ContentType": content_type,
        "ContentDisposition": _disposition(key),
        "CacheControl": "no-cache" if replace else _FOREVER,
        "Metadata": {"sha256": body.sha256},  # ASCII only: other text does not survive every server
    }


def _disposition(key: str) -> str:
    return f'inline; filename="{file_name(key)}"'

"""Upload of a large object to S3 in parts: each with its checksum, all or none, and if asked only to a free key."""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from reelmill_common.errors import StoreUnavailable
from reelmill_common.storage.s3_errors import CONFLICTS, code_of
from reelmill_common.storage.s3_probe import Capabilities

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 16 << 20
"""S3 wants at least 5 MiB and takes 10,000 parts: 156 GiB."""

GONE = "NoSuchUpload"
"""The code that answers a second completion, if the first one's answer was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartUpload:
    """The upload of one object.

    Attributes:
        findings: What the server supports.
        part_bytes: At least 5 MiB, S3's minimum.
    """

    client: S3Client
    bucket: str
    name: str
    findings: Capabilities
    part_bytes: int = PART_BYTES

    def send(self, stream: IO[bytes], extras: dict[str, Any], *, only_if_absent: bool) -> bool:
        """Send all parts and complete the object; after a failure the parts are removed, since they cost storage.

        Args:
            stream: Read from its position to its end.
            extras: Headers and metadata of the object.
            only_if_absent: Complete with `If-None-Match: *`, which only some servers support.

        Returns:
            Whether the object was stored; False if the server says that the key is taken or the upload has ended.

        Raises:
            ClientError, BotoCoreError: From boto3.
            StoreUnavailable: A part arrived damaged.
        """
        crc: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if self.findings.mode == "when_supported" else {}
        upload = self.client.create_multipart_upload(
            Bucket=self.bucket,
            Key=self.name,
            **extras,
            **crc,
        )["UploadId"]
        try:
            parts = self._send_parts(stream, upload, crc)
            return self._complete(upload, parts, {"IfNoneMatch": "*"} if only_if_absent else {})
        except BaseException:
            self._abort(upload)
            raise

    def _send_parts(self, stream: IO[bytes], upload: str, crc: dict[str, Any]) -> list[CompletedPartTypeDef]:
        parts: list[CompletedPartTypeDef] = []
        while body := stream.read(self.part_bytes):
            number, md5 = len(parts) + 1, hashlib.md5(body, usedforsecurity=False)
            reply = self.client.upload_part(
                Bucket=self.bucket,
                Key=self.name,
                UploadId=upload,
                PartNumber=number,
                Body=body,
                ContentMD5=base64.b64encode(md5.digest()).decode(),
                **crc,
            )
            # Servers that ignore checksum headers still return an ETag.
            if self.findings.etag_is_md5 and reply["ETag"].strip('"') != md5.hexdigest():
                raise StoreUnavailable(f"part {number} of {self.name!r} arrived damaged; try again")
            part: CompletedPartTypeDef = {"PartNumber": number, "ETag": reply["ETag"]}
            if "ChecksumCRC32" in reply:
                part["ChecksumCRC32"] = reply["ChecksumCRC32"]
            parts.append(part)
        return parts

    def _complete(self, upload: str, parts: list[CompletedPartTypeDef], condition: dict[str, Any]) -> bool:
        try:
            self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=self.name, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
            )
        except ClientError as err:
            if code_of(err) not in {*CONFLICTS, GONE}:
                raise
            self._abort(upload)
            return False
        return True

    def _abort(self, upload: str) -> None:
        with suppress(
            ClientError, BotoCoreError
        ):  # the error that counts is raised already; the bucket's lifecycle rule removes the parts
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.name, UploadId=upload)

"""Access to an S3 server: credentials, region and endpoint from boto3's own chain, read again when they change.

Our settings come first. Botocore itself renews roles and expiring session tokens. It reads static keys once, so here
they are read again when their file changes, and whenever a server refuses them.
"""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from reelmill_common.config.setting_values import Addressing
from reelmill_common.errors import StoreRefused
from reelmill_common.settings import Settings
from reelmill_common.storage.s3_errors import S3Location, explained
from reelmill_common.storage.s3_probe import Mode

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SILENCE_S = 20
"""Seconds of silence that end a try: a clip has a few MB, and other deliveries wait behind it."""

OTHERWISE_REGION = "us-east-1"
"""Region if neither the settings nor boto3's chain name one; most servers other than AWS ignore it."""

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
Keys = tuple[str | None, str | None, str | None]


class Access:
    """Clients for one bucket. Safe for several threads; nothing is read before the first client.

    Attributes:
        place: Server and bucket as messages name them; exact once a client has been made.
    """

    def __init__(self, settings: Settings, place: S3Location) -> None:
        self.place = place
        self._settings = settings
        self._lock = threading.RLock()
        self._core: botocore.session.Session | None = None
        self._session: boto3.session.Session | None = None
        self._files: tuple[tuple[int, int], ...] = ()
        self._clients: dict[tuple[Mode, int], S3Client] = {}

    def client(self, mode: Mode, attempts: int) -> S3Client:
        """Return a client that signs with the present credentials of the chain.

        Raises:
            StoreRefused: There is no such profile, or the endpoint or the certificate bundle is unusable.
        """
        with self._lock:  # making a client is not thread-safe; using one is
            if self._core is not None and self._files != _stamps(self._core):
                self._forget()
            if (mode, attempts) not in self._clients:
                with explained(self.place, "reading the credentials"):
                    self._clients[mode, attempts] = self._connect(mode, attempts)
            return self._clients[mode, attempts]

    def renew(self, used: S3Client) -> bool:
        """Read the chain again after a refusal; return whether it has other credentials than that client."""
        with self._lock:
            if used not in self._clients.values():
                return True  # another thread was here first
            before = self._keys()
            self._forget()
            return self._keys() not in (before, None)

    def credentials_last_s(self) -> float:
        """Return the seconds until the present credentials expire; infinite if that is not known."""
        with self._lock:
            found: Any = self._opened()[1].get_credentials()
            # Only refreshable credentials know when they expire, and botocore has no public name for it.
            end: datetime | None = getattr(found, "_expiry_time", None)
        return math.inf if end is None else max(0.0, (end - datetime.now(UTC)).total_seconds())

    def has_session_token(self) -> bool:
        """Whether the present credentials are a session's whose expiry is not known."""
        keys = self._keys()
        return keys is not None and bool(keys[2]) and self.credentials_last_s() == math.inf

    def _forget(self) -> None:
        self._core, self._session = None, None
        self._clients.clear()

    def _opened(self) -> tuple[botocore.session.Session, boto3.session.Session]:
        if self._core is None or self._session is None:
            # A session of our own: boto3's default one is global and not thread-safe.
            self._core = botocore.session.Session()
            self._files = _stamps(self._core)
            self._session = boto3.session.Session(botocore_session=self._core)
        return self._core, self._session

    def _keys(self) -> Keys | None:
        with self._lock, suppress(BotoCoreError, ClientError):
            found = self._opened()[1].get_credentials()
            if found is not None:
                frozen = found.get_frozen_credentials()
                return frozen.access_key, frozen.secret_key, frozen.token
        return None

    def _connect(self, mode: Mode, attempts: int) -> S3Client:
        core, session = self._opened()
        settings = self._settings
        bundle = settings.s3_ca_bundle
        if bundle and not Path(bundle).is_file():
            raise StoreRefused(f"REELMILL_S3_CA_BUNDLE={bundle!r} is not a file; give the PEM file of the authority")
        region = settings.s3_region or os.environ.get("AWS_REGION") or core.get_config_variable("region")

        def make(endpoint: str, style: Addressing) -> S3Client:
            config = Config(
                signature_version="s3v4",
                s3={"addressing_style": style},
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=5,
                read_timeout=SILENCE_S,
                tcp_keepalive=True,
                request_checksum_calculation=mode,
                response_checksum_validation=mode,
            )
            return session.client(
                "s3",
                endpoint_url=endpoint or None,
                region_name=region or OTHERWISE_REGION,
                verify=bundle or None,
                config=config,
            )

        try:
            endpoint = settings.s3_endpoint or self._endpoint_of_the_chain(make)
            endpoint = without_bucket(endpoint, self.place.bucket)
            style = settings.s3_addressing
            client = make(endpoint, ("path" if endpoint else "auto") if style == "auto" else style)
        except ValueError as err:
            name = f"REELMILL_S3_ENDPOINT={settings.s3_endpoint!r}" if settings.s3_endpoint else "AWS_ENDPOINT_URL"
            raise StoreRefused(f"{name} is not a usable URL; {err}") from err
        self.place = S3Location(
            endpoint=endpoint, region=client.meta.region_name, bucket=self.place.bucket, prefix=self.place.prefix
        )
        return client

    @staticmethod
    def _endpoint_of_the_chain(make: Any) -> str:
        """Return the server that boto3's chain names (AWS_ENDPOINT_URL_S3, a profile); empty: AWS itself."""
        url: str = make("", "auto").meta.endpoint_url
        return "" if (urlsplit(url).hostname or "").endswith(_AWS) else url


def without_bucket(endpoint: str, bucket: str) -> str:
    """Return a server's URL without the bucket at its end, as in R2's dashboard: boto3 adds the bucket itself."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if not path.endswith(f"/{bucket}"):
        return endpoint
    return urlunsplit(parts._replace(path=path.removesuffix(f"/{bucket}")))


def _stamps(core: botocore.session.Session) -> tuple[tuple[int, int], ...]:
    """Return the time of change and the inode of each file of the chain."""
    return tuple(_stamp(Path(str(core.get_config_variable(name))).expanduser()) for name in _FILES)


_FILES = ("credentials_file", "config_file")


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino

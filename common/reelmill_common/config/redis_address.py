"""`RedisAddress`: REELMILL_REDIS_URL, read once, and the one TLS policy of all connections to that server.

Nothing here quotes the URL: any part of a malformed one may be the password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from reelmill_common.config.login_urls import ENCODE, LoginUrl

PORT = 6379
CERT_REQS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
"""Modes by their short names, which redis-py takes; Celery also takes CERT_REQUIRED, CERT_OPTIONAL and CERT_NONE."""
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("db", *_FILES, "ssl_cert_reqs", "ssl_check_hostname")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPolicy:
    """How the server and we prove who we are.

    Attributes:
        cert_reqs: `CERT_NONE` accepts any certificate. For a client `CERT_OPTIONAL` means `CERT_REQUIRED`.
        check_hostname: Whether the certificate must be for the host of the URL.
        ca_certs: PEM file of authorities that are trusted beside the system's; empty: only those.
        certfile: PEM file of our own certificate, for a server that asks for one.
        keyfile: PEM file of its key.
    """

    cert_reqs: ssl.VerifyMode = ssl.CERT_REQUIRED
    check_hostname: bool = True
    ca_certs: str = ""
    certfile: str = ""
    keyfile: str = ""

    @property
    def verifies(self) -> bool:
        """Whether the server must prove that it is the one in the URL."""
        return self.cert_reqs is not ssl.CERT_NONE and self.check_hostname

    def options(self) -> dict[str, Any]:
        """Return the policy in the form of redis-py, and so of Celery's `broker_use_ssl` and Flower."""
        return {
            "ssl_cert_reqs": self.cert_reqs,
            "ssl_check_hostname": self.check_hostname and self.cert_reqs is not ssl.CERT_NONE,
            "ssl_ca_certs": self.ca_certs or None,
            "ssl_certfile": self.certfile or None,
            "ssl_keyfile": self.keyfile or None,
        }

    def check(self) -> None:
        """Load the files of the policy.

        Raises:
            ValueError: A file is missing or has the wrong content.
        """
        for option, path in zip(_FILES, (self.ca_certs, self.certfile, self.keyfile), strict=True):
            if path and not Path(path).is_file():
                raise ValueError(f"names a file as {option} that is not there; give its full path")
        if self.keyfile and not self.certfile:
            raise ValueError("names ssl_keyfile without ssl_certfile; set both")
        context = ssl.create_default_context()
        try:
            if self.ca_certs:
                context.load_verify_locations(self.ca_certs)
        except OSError:  # also ssl.SSLError
            raise ValueError("names a file as ssl_ca_certs that holds no certificate in PEM") from None
        try:
            if self.certfile:
                # A password would be asked for on the terminal, once for each connection.
                context.load_cert_chain(self.certfile, self.keyfile or None, password=_no_password)
        except (OSError, ValueError):
            raise ValueError(
                "names files as ssl_certfile and ssl_keyfile that are not a certificate in PEM and its key, unencrypted"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where Redis is, which user logs in, and whether by TLS.

    Attributes:
        tls: None for a plain connection.
    """

    host: str
    port: int
    db: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: TlsPolicy | None = None

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Read a `redis://` or `rediss://` URL.

        Raises:
            ValueError: It cannot be read; the message continues a sentence that begins with the setting's name, and
                quotes nothing of it.
        """
        parts = LoginUrl.parse(url, ("redis", "rediss"))
        if not re.fullmatch(r"[0-9]{0,9}", parts.path):
            raise ValueError(f"does not end in the number of a database, as redis://:password@host:6379/0; {ENCODE}")
        tls = parts.scheme == "rediss"
        options = _options(parts.query, tls=tls)
        return cls(
            host=parts.host,
            port=parts.port or PORT,
            db=int(options.get("db") or parts.path or 0),
            username=parts.username,
            password=parts.password,
            tls=_policy(options) if tls else None,
        )

    @property
    def loopback(self) -> bool:
        """Whether the server is on this host."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of `redis.Redis`."""
        tls = {} if self.tls is None else {"ssl": True, **self.tls.options()}
        login = {"username": self.username or None, "password": self.password or None}
        return {"host": self.host, "port": self.port, "db": self.db, **login, **tls}

    def broker_options(self) -> dict[str, Any]:
        """Return Celery's settings. Their URL has no query: Celery and Flower would each read one differently."""
        scheme = "redis" if self.tls is None else "rediss"
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        url = f"{scheme}://{login if self.username or self.password else ''}{host}:{self.port}/{self.db}"
        return {"broker_url": url, "broker_use_ssl": False if self.tls is None else self.tls.options()}


def _options(query: str, *, tls: bool) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs) or not options.keys() <= set(_OPTIONS) or (query and not pairs):
        raise ValueError(f"has options after ? that are unknown or set twice; known are {', '.join(_OPTIONS)}")
    if not tls and any(name.startswith("ssl_") for name in options):
        raise ValueError("has ssl_ options and no TLS; begin it with rediss:// for TLS, or leave them out")
    if not re.fullmatch(r"[0-9]{0,9}", options.get("db", "")):
        raise ValueError("has a db after ? that is not a number; use for example /0 before the ? instead")
    return options


def _policy(options: Mapping[str, str]) -> TlsPolicy:
    asked = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if asked not in CERT_REQS:
        raise ValueError("has an ssl_cert_reqs that is unknown; use required (the default), optional or none")
    checks = options.get("ssl_check_hostname", "true").lower()
    if checks not in _YES | _NO:
        raise ValueError("has an ssl_check_hostname that is neither true (the default) nor false")
    return TlsPolicy(
        cert_reqs=CERT_REQS[asked],
        check_hostname=checks in _YES,
        ca_certs=options.get("ssl_ca_certs", ""),
        certfile=options.get("ssl_certfile", ""),
        keyfile=options.get("ssl_keyfile", ""),
    )


def _no_password() -> str:
    return ""

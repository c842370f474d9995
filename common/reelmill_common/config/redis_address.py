"""`RedisAddress`: REELMILL_REDIS_URL, read once: one server, or Sentinels that know it, and one TLS policy for all.

Nothing here quotes the URL: any part of a malformed one may be the password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reelmill_common.config.login_urls import ENCODE, LoginUrl, decoded

PORT, SENTINEL_PORT = 6379, 26_379
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_FORM = "redis+sentinel://:password@host1:26379,host2:26379,host3:26379/service/0"
CERT_REQS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
"""Modes by their short names, which redis-py takes; Celery also takes CERT_REQUIRED, CERT_OPTIONAL and CERT_NONE."""
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_LOGIN = ("sentinel_username", "sentinel_password")
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
class Sentinels:
    """Servers that know which Redis is the primary now, and promote another when it dies.

    Attributes:
        hosts: Host and port of each.
        service: Name under which they watch the primary and its replicas.
        username: Who logs in at the Sentinels, which have users of their own.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the service and the hosts, for messages."""
        return f"{self.service!r} of Sentinel {', '.join(f'{host}:{port}' for host, port in self.hosts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where Redis is, which user logs in, and whether by TLS.

    Attributes:
        host: With Sentinels: the first of them.
        tls: None for plain connections. With Sentinels it holds for them too.
        sentinels: None for a server whose address does not change.
    """

    host: str
    port: int
    db: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: TlsPolicy | None = None
    sentinels: Sentinels | None = None

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Read a URL: `redis://` or `rediss://` of a server, `redis+sentinel://` or `rediss+sentinel://` of Sentinels.

        Raises:
            ValueError: It cannot be read; the message continues a sentence that begins with the setting's name, and
                quotes nothing of it.
        """
        parts = LoginUrl.parse(url, ("redis", "rediss", *SENTINEL_SCHEMES), several=SENTINEL_SCHEMES)
        watched = parts.scheme in SENTINEL_SCHEMES
        service, _, db = parts.path.rpartition("/") if "/" in parts.path else (parts.path, "", "")
        service, db = (service, db) if watched else ("", parts.path)
        if watched and not re.fullmatch(r"(?![0-9]+$)[A-Za-z0-9._-]+", service):
            raise ValueError(f"does not name the service that the Sentinels watch, as {SENTINEL_FORM}; {ENCODE}")
        if not re.fullmatch(r"[0-9]{0,9}", db):
            form = SENTINEL_FORM if watched else "redis://:password@host:6379/0"
            raise ValueError(f"does not end in the number of a database, as {form}; {ENCODE}")
        tls = parts.scheme.startswith("rediss")
        options = _options(parts.query, tls=tls, sentinels=watched)
        return cls(
            host=parts.host,
            port=parts.port or (SENTINEL_PORT if watched else PORT),
            db=int(options.get("db") or db or 0),
            username=parts.username,
            password=parts.password,
            tls=_policy(options) if tls else None,
            sentinels=_sentinels(parts, service, options) if watched else None,
        )

    def __str__(self) -> str:
        """Return where it is, for messages."""
        return f"{self.host}:{self.port}" if self.sentinels is None else str(self.sentinels)

    @property
    def loopback(self) -> bool:
        """Whether the server, or all Sentinels, are on this host."""
        hosts = [self.host] if self.sentinels is None else [host for host, _ in self.sentinels.hosts]
        return all(host in ("localhost", "::1") or host.startswith("127.") for host in hosts)

    def client_options(self) -> dict[str, Any]:
        """Return what redis-py needs beside host and port: database, login, and the files of the TLS policy."""
        login = {"username": self.username or None, "password": self.password or None}
        return {"db": self.db, **login, **(self.tls.options() if self.tls else {})}

    def sentinel_options(self) -> dict[str, Any]:
        """Return what redis-py needs beside host and port for a connection to one of the Sentinels."""
        if self.sentinels is None:
            return {}
        login = {"username": self.sentinels.username or None, "password": self.sentinels.password or None}
        return {**login, **({"ssl": True, **self.tls.options()} if self.tls else {})}

    def broker_options(self) -> dict[str, Any]:
        """Return Celery's settings. Their URL has no query: Celery and Flower would each read one differently."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        login = login if self.username or self.password else ""
        scheme = "sentinel" if self.sentinels else "redis" if self.tls is None else "rediss"
        hosts = self.sentinels.hosts if self.sentinels else [(self.host, self.port)]
        url = ";".join(f"{scheme}://{login}{_written(host)}:{port}/{self.db}" for host, port in hosts)
        return {"broker_url": url, "broker_use_ssl": False if self.tls is None else self.tls.options()}

    def transport_options(self, answer_s: float) -> dict[str, Any]:
        """Return what kombu's transport needs to know of the Sentinels.

        Args:
            answer_s: Seconds to wait for an answer of one of them, or for a connection.
        """
        if self.sentinels is None:
            return {}
        waits = {"socket_timeout": answer_s, "socket_connect_timeout": answer_s, "retry": None}
        return {"master_name": self.sentinels.service, "sentinel_kwargs": self.sentinel_options() | waits}


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")


def _sentinels(parts: LoginUrl, service: str, options: Mapping[str, str]) -> Sentinels:
    hosts = ((parts.host, parts.port), *parts.others)
    return Sentinels(
        hosts=tuple((host, port or SENTINEL_PORT) for host, port in hosts),
        service=service,
        username=options.get("sentinel_username", ""),
        password=options.get("sentinel_password", ""),
    )


def _options(query: str, *, tls: bool, sentinels: bool) -> dict[str, str]:
    known = (*_OPTIONS, *_LOGIN) if sentinels else _OPTIONS
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    options = {name: decoded(value) for name, _, value in pairs}
    if len(options) != len(pairs) or not options.keys() <= set(known):
        raise ValueError(f"has options after ? that are unknown or set twice; known are {', '.join(known)}")
    if not tls and any(name.startswith("ssl_") for name in options):
        raise ValueError(
            "has ssl_ options and no TLS; begin it with rediss:// (rediss+sentinel:// with Sentinels) for TLS, "
            "or leave them out"
        )
    if options.get("sentinel_username") and not options.get("sentinel_password"):
        raise ValueError("has a sentinel_username and no sentinel_password; set both, or only the password")
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

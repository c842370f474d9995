"""Readers of settings' texts: what each value may be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from reelmill_common.calendar.windows import Windows
from reelmill_common.config.egress import EgressPolicy
from reelmill_common.config.login_urls import LoginUrl
from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import check_name

Addressing = Literal["auto", "path", "virtual"]
LogFormat = Literal["auto", "json", "text"]
KeepLogs = Literal["failed", "all", "off"]
FlowerPrompts = Literal["cut", "hide"]
Parser = Callable[[str], Any]
"""Reads a setting's text, or raises `ValueError` with the rest of a sentence that begins with the value."""


@dataclass(frozen=True, slots=True)
class Number:
    """Reads a number, whole if `kind` is int; `str` says which numbers it reads."""

    kind: Callable[[str], float]
    low: float
    high: float

    def __call__(self, text: str) -> float:
        """Return the number."""
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or not self.low <= value <= self.high:
            raise ValueError(f"is not a {self}")
        return value

    def __str__(self) -> str:
        return f"{'whole ' if self.kind is int else ''}number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Reads one of a few words; `str` lists them."""

    choices: Iterable[str]

    def __call__(self, text: str) -> str:
        """Return the word."""
        if text not in self.choices:
            raise ValueError(f"is not {self}")
        return text

    def __str__(self) -> str:
        return f"one of {', '.join(self.choices)}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Reads a text that matches a pattern; `refusal` says what another one is not, and what to use."""

    pattern: str
    refusal: str

    def __call__(self, text: str) -> str:
        """Return the text."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.refusal)
        return text


farm_name = Pattern(r"[a-z0-9][a-z0-9-]{0,31}", "is not a farm name; use 1 to 32 of a-z 0-9 -")
renderer = Pattern(
    r"model|fixed:[0-9]+(\.[0-9]+)?(:broken)?", "is neither model nor fixed:SECONDS (for example fixed:0.05)"
)
bearer_token = Pattern(r"[\x21-\x7e]+", "is not a token; use letters, digits and signs of ASCII, without spaces")
function = Pattern(
    r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "does not name a function; use module:function, as in studio.keys:sign"
)
currency = Pattern(r"\w{1,8}|[^\w\s]", "is not a currency; use its letters or its sign")


def of_type(kind: object) -> Parser:
    """Return what reads the values of a field's type: a `Literal`, `Path` or `str`."""
    if kind is Path:
        return folder
    return Choice(tuple(filter(None, get_args(kind)))) if get_origin(kind) is Literal else str


def _url(text: str, *schemes: str) -> str:
    scheme, found, rest = text.partition("://")
    if scheme not in schemes or not found or not rest:
        raise ValueError(f"is not a URL that starts with {' or '.join(s + '://' for s in schemes)}")
    return text


def window(text: str) -> str:
    """Read hours, into the form in which they are shown."""
    try:
        return Windows.parse(text).text
    except InvalidJob as err:
        raise ValueError(f"is not a valid window: {err}") from err


def labels_of(text: str) -> list[str]:
    """Return the labels in `worker_labels`. Raises `InvalidJob`."""
    labels = [label.strip() for label in text.split(",") if label.strip()]
    for label in labels:
        check_name("label", label)
    return labels


def labels(text: str) -> str:
    """Read comma-separated names of worker classes."""
    try:
        return ",".join(labels_of(text))
    except InvalidJob as err:
        raise ValueError(f"does not name classes: {err}") from err


def egress_hosts(text: str) -> str:
    """Read what `EgressPolicy` takes."""
    EgressPolicy.parse(text)
    return text


def redis_url(text: str) -> str:
    """Read a URL of Redis."""
    RedisAddress.parse(text)
    return text


def cells(text: str) -> str:
    """Read a list of cells, `name=url,name=url`, of different names and servers."""
    named_urls(text)
    return text


def named_urls(text: str) -> dict[str, str]:
    """Return the URL of each cell, by name, in their order. Raises `ValueError`."""
    found: dict[str, str] = {}
    for item in re.split(r",(?=[^,=:/]*=redis)", text):  # a URL of several sentinels has commas of its own
        name, _, url = item.partition("=")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name) or not url:
            raise ValueError("is not a list such as a=redis://host-a:6379/0,b=redis://host-b:6379/0")
        if name in found or url in found.values():
            raise ValueError(f"has the name or the URL of cell {name!r} twice; give each cell its own")
        redis_url(url)
        found[name] = url
    return found


def store_url(text: str) -> str:
    """Read a URL of a clip store."""
    if _url(text, "s3", "file").startswith("file://"):
        if text.removeprefix("file://").partition("/")[0] not in ("", "localhost"):
            raise ValueError("does not name an absolute folder; use three slashes, as in file:///srv/clips")
        return text
    return _without_login(text)


def s3_endpoint(text: str) -> str:
    """Read the URL of an S3 server."""
    return _without_login(_url(text, "http", "https"))


def root_path(text: str) -> str:
    """Read a path under which a reverse proxy shows a page, into the form `/a/b` without a slash at its end."""
    path = "/" + text.strip("/") if text.strip("/") else ""
    if not re.fullmatch(r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)*", path):
        raise ValueError("is not a path such as /farm; use letters, digits and . _ ~ - between slashes")
    return path


def host_names(text: str) -> str:
    """Read comma-separated names of hosts, as a request's `Host` header has them."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if not re.fullmatch(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]", name):
            raise ValueError(f"holds {name[:60]!r}, which is not a host name; leave scheme, port and path out")
    return ",".join(names)


def addresses(text: str) -> str:
    """Read comma-separated IP addresses and networks."""
    found = [item.strip() for item in text.split(",") if item.strip()]
    for item in found:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise ValueError(f"holds {item[:60]!r}, which is neither an IP address nor a network") from None
    return ",".join(found)


def link(text: str) -> str:
    """Read the URL of a page."""
    return _without_login(_url(text, "http", "https"))


def _without_login(text: str) -> str:
    if "@" in text:
        raise ValueError(
            "holds a user name or key before an @; leave it out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return text


def mail_server(text: str) -> str:
    """Read the URL of a mail server."""
    LoginUrl.parse(text, ("smtp", "smtps", "smtp+plain"))
    return text


def mail_address(text: str) -> str:
    """Read a mail address."""
    if not re.fullmatch(r"[^\s@<>]+@[A-Za-z0-9.-]+", text) or not text.isascii():
        raise ValueError("is not a mail address; use one such as reelmill@example.org")
    return text


def folder(text: str) -> Path:
    """Read a path, with `~` for a home."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with an unknown home; write the whole path") from None


def file(text: str) -> str:
    """Read the path of a file, with `~` for a home."""
    return str(folder(text))

"""URLs that may hold a password, read so that no error quotes any part of one, however malformed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

ENCODE = (
    "in a user name or password write # as %23, % as %25, / as %2F, : as %3A, ? as %3F and @ as %40 (percent-encoding)"
)

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginUrl:
    """The parts of a URL, decoded.

    Attributes:
        port: 0 if the URL names none.
        others: More hosts and ports, where the URL may name several.
        path: The text after the slash behind host and port.
        query: The text after the question mark, not decoded.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    others: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, url: str, schemes: Sequence[str], *, several: Sequence[str] = ()) -> LoginUrl:
        """Read a URL of one of some schemes; with those of `several` it may name more hosts, separated by commas.

        Raises:
            ValueError: It cannot be read; the message continues a sentence that begins with a setting's name.
        """
        scheme, found, rest = url.partition("://")
        if scheme not in schemes or not found or not rest:
            raise ValueError(f"is not a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        if not url.isprintable() or " " in url:
            raise ValueError(f"holds a space or a character that cannot be seen; {ENCODE}, others likewise")
        rest, hashed, fragment = rest.partition("#")
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        if any("@" in part for part in (fragment, query, path)):
            raise ValueError(f"has #, / or ? before its @; {ENCODE}")
        if hashed:
            raise ValueError(f"has a #, which the URL of a server cannot have; {ENCODE}")
        login, _, place = authority.rpartition("@")
        username, _, password = login.partition(":")
        places = place.split(",") if scheme in several else [place]
        (host, port), *others = map(_host_and_port, places)
        return cls(
            scheme=scheme,
            host=host,
            port=port,
            path=path,
            query=query,
            username=decoded(username),
            password=decoded(password),
            others=tuple(others),
        )


def _host_and_port(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or 0) if found else 0
    if found is None or port > 65_535 or found["port"] == "0":
        raise ValueError(f"does not name a host, or a port from 1 to 65535; {ENCODE}")
    return found["host"].strip("[]"), port


def decoded(text: str) -> str:
    """Decode percent-encoded text; a plus stands for itself.

    Raises:
        ValueError: As `LoginUrl.parse`.
    """
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(f"has a % that is not followed by two hexadecimal digits; {ENCODE}")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(
            "has percent-encoded bytes that are not UTF-8; encode the user name and password again"
        ) from None

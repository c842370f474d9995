"""One HTTP request to an untrusted server: address checked, no redirects, bounded in time and size."""

from __future__ import annotations

import http
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from reelmill_common.config.egress import EgressPolicy
from reelmill_common.errors import NotDelivered

CONNECT_S = 5.0
WHOLE_S = 15.0
"""Seconds that one attempt may take in all; the specification suggests 15 to 30."""
ANSWER_BYTES = 1024
"""Bytes of an answer's body that are read; the rest is dropped."""
_PIECE = 1 << 16
LONGEST_WAIT_S = 8 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A receiver's answer.

    Attributes:
        body: Its first bytes, for the delivery log.
        retry_after_s: Seconds until the receiver asks to be tried again; 0 if it does not ask.
    """

    status: int
    body: str
    retry_after_s: float


def post(url: str, headers: Mapping[str, str], body: bytes, egress: EgressPolicy) -> Answer:
    """Send a body and return the answer, whatever its status.

    Raises:
        NotDelivered: No answer came: the name, address, connection, TLS or time failed.
    """
    with _request("POST", url, headers, body, egress, WHOLE_S) as answer:
        text = answer.read(ANSWER_BYTES).decode("utf-8", "replace")
        return Answer(status=answer.status, body=text, retry_after_s=_seconds(answer.getheader("retry-after")))


def get(url: str, target: BinaryIO, egress: EgressPolicy, *, most_bytes: int, whole_s: float) -> int:
    """Write what lies behind a link into a file, and return the status; a redirect is not followed.

    Raises:
        NotDelivered: No answer came, as for `post`, or it is larger than `most_bytes`.
    """
    with _request("GET", url, {}, None, egress, whole_s) as answer:
        left = most_bytes
        while answer.status == http.HTTPStatus.OK and (piece := answer.read(min(_PIECE, left + 1))):
            left -= len(piece)
            if left < 0:
                raise NotDelivered(f"what lies there is larger than {most_bytes:,} bytes, and was not read")
            target.write(piece)
        return answer.status


@contextmanager
def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, egress: EgressPolicy, whole_s: float
) -> Generator[http.client.HTTPResponse]:
    """Give the answer to a request, to be read within the time that all of it may take."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme != "https" and not egress.plain_http:
        raise NotDelivered("the URL is http, and only https is allowed; REELMILL_NOTIFY_SCHEME=http allows both")
    deadline = time.monotonic() + whole_s
    addresses = egress.resolve(host, port)
    connection = http.client.HTTPConnection(host, port)  # it makes the Host header; the socket is ours
    connection.auto_open = 0
    plain = _connect(addresses, port, deadline)
    handle = plain.dup()  # the ssl module takes `plain` itself away
    # Each read may wait for the whole time anew, and a receiver may drip: this ends it.
    alarm = threading.Timer(deadline - time.monotonic(), _cut, [handle])
    alarm.daemon = True
    alarm.start()
    try:
        connection.sock = plain if parts.scheme != "https" else _tls(plain, host)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, dict(headers))
        yield connection.getresponse()
        if time.monotonic() >= deadline:
            raise TimeoutError  # http.client takes a cut connection for the end of headers or body
    except (OSError, http.client.HTTPException, ValueError) as err:
        if isinstance(err, NotDelivered):
            raise
        late = time.monotonic() >= deadline
        why = f"no whole answer within {whole_s:g} s" if late else f"{type(err).__name__}: {err}"
        raise NotDelivered(f"{host} did not answer: {why}") from err
    finally:
        alarm.cancel()
        connection.close()
        plain.close()
        handle.close()


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    failure = ""
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            found = socket.create_connection((address, port), timeout=min(CONNECT_S, left))
        except OSError as err:
            failure = f"{address}:{port}: {err}"
            continue
        found.settimeout(WHOLE_S)
        return found
    raise NotDelivered(f"no connection: {failure or 'out of time'}")


def _tls(plain: socket.socket, host: str) -> socket.socket:
    # The name, not the address, must be in the certificate.
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _cut(plain: socket.socket) -> None:
    with suppress(OSError):
        plain.shutdown(socket.SHUT_RDWR)


def _seconds(text: str | None) -> float:
    return min(float(text), LONGEST_WAIT_S) if text and text.isascii() and text.isdigit() else 0.0

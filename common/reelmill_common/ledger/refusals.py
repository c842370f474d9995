"""What a Redis server's errors mean for a farm, as our errors: what to change and where, or that waiting is enough."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence

import redis

from reelmill_common.errors import LedgerReadOnly, LedgerRefused, LedgerUnavailable, ReelmillError
from reelmill_common.ledger.connections import A_WORKER
from reelmill_common.ledger.rights import KEYS, lacking

Marks = tuple[str, ...]
"""Any of these in what the server says, or in the name of the class that redis-py makes of it."""

_TAKES_NO_WRITES: tuple[tuple[Marks, str], ...] = (
    (("ReadOnlyError", "READONLY"), "is a read-only replica: point the URL at the primary"),
    (("OutOfMemoryError", "OOM "), "is full: raise maxmemory, or remove old batches"),
    (("MISCONF",), "cannot write to its disk: free space there, then look at its log"),
    (("NOREPLICAS",), "has too few replicas to write (min-replicas-to-write): start them, or set it to 0"),
)
_PASSES: tuple[tuple[Marks, str], ...] = (
    (("BusyLoadingError", "LOADING"), "loads its data: wait, and try again"),
    (("BUSY ",), "runs a script that does not end: wait, or end it with SCRIPT KILL or FUNCTION KILL"),
    (("MasterDownError", "MASTERDOWN"), "is a replica that has lost its primary: point the URL at the primary"),
    (("ClusterDownError", "CLUSTERDOWN", "TRYAGAIN"), "is a cluster that is down: look at its nodes"),
    (("MasterNotFoundError",), "has no primary that the Sentinels know: wait for the fail-over, or look at their logs"),
    (("UNBLOCKED", "NOMASTERLINK"), "changes its role: try again"),
)
_REFUSES: tuple[tuple[Marks, str], ...] = (
    (
        ("SentinelsRefuse",),
        (
            "is not to be had from the Sentinels: set their password as ?sentinel_password=… at the end of the URL (it "
            "may differ from that of Redis), and the service's name as they have it"
        ),
    ),
    (
        ("without any password configured",),
        "has no password, and the URL holds one: leave it out there, or set requirepass on the server",
    ),
    (
        ("AuthenticationError", "NOAUTH", "WRONGPASS"),
        "refuses the password: set it in the URL, redis://:password@… (with #, %, /, :, ? and @ percent-encoded)",
    ),
    (
        ("MovedError", "AskError", "MOVED ", "ASK ", "CROSSSLOT", "in cluster mode", "ClusterCrossSlotError"),
        "runs in cluster mode, which Celery's queues cannot use: set cluster-enabled no, or use another server",
    ),
    (("InvalidResponse", "Protocol Error"), "does not speak the Redis protocol: check host and port"),
    (("DB index is out of range",), "has no database of that number: use /0 at the end of the URL"),
)
_TLS: tuple[tuple[Marks, str], ...] = (
    (
        ("certificate has expired", "not yet valid"),
        "shows a certificate that is not valid now: renew it, and check both clocks",
    ),
    (
        ("IP address mismatch", "Hostname mismatch", "doesn't match"),
        "shows a certificate for another name: put that name into REELMILL_REDIS_URL, or have one made for this one",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed"),
        (
            "shows a certificate that is not trusted here: add ?ssl_ca_certs=FILE to REELMILL_REDIS_URL, the PEM file "
            "of the authority that signed it"
        ),
    ),
    (
        ("alert certificate required", "handshake failure", "alert bad certificate", "alert unknown ca"),
        "wants a certificate of ours that it trusts: add ssl_certfile=FILE&ssl_keyfile=FILE to REELMILL_REDIS_URL",
    ),
    (
        ("UNEXPECTED_EOF", "EOF occurred", "closed (EOF)"),
        (
            "hangs up in the TLS handshake: use its TLS port (redis:// is for one without), or, if it wants a "
            "certificate of ours, add ssl_certfile=FILE&ssl_keyfile=FILE to REELMILL_REDIS_URL; a server does so too "
            "that has no free connection (maxclients)"
        ),
    ),
    (
        ("WRONG_VERSION_NUMBER", "RECORD_LAYER", "UNKNOWN_PROTOCOL", "wrong version number"),
        "does not speak TLS on this port: use its TLS port, or redis:// in REELMILL_REDIS_URL",
    ),
)
DENIED = "denies this user a command"
FULL = "max number of clients"
"""What a server says to a client that it has no connection for, before it hangs up."""
HUNG_UP = ("closed by server", "Connection reset", "Broken pipe", "Error 104", "Error 32")
PEEK_S = 0.3
"""Seconds to wait for these words where they were lost with the connection: the server says them at once."""


def explain(err: Exception, address: str, *, tls: bool, maxclients: int = 0) -> ReelmillError | None:
    """Return an error of redis-py, or of the connection, as one of ours; None if it can only be a bug of ours.

    Args:
        err: The error.
        address: Host and port of the server. Where it hung up, it is asked whether it has a connection to give.
        tls: Whether we speak TLS with it.
        maxclients: Connections that the server has to give, where that is known.
    """
    text = f"{type(err).__name__}: {err}"
    if FULL in text or "MaxClientsError" in text or (not tls and _hung_up(text) and is_full(address)):
        taken = f"{maxclients:,} of maxclients {maxclients:,}" if maxclients else "all of its maxclients"
        return LedgerUnavailable(
            f"Redis at {address} has no free connection: {taken} are taken. Raise maxclients in its configuration, or "
            f"end clients that it need not serve; a worker takes up to {A_WORKER}"
        )
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(err)) or "SSL" in text:
        return LedgerRefused(f"Redis at {address} {_advice(_TLS, text) or 'ended the TLS handshake'} ({_reason(text)})")
    return _lacking(text, address) or _answered(err, text, address) or _lost(err, text, address, tls=tls)


def is_full(address: str) -> bool:
    """Return whether a server without TLS refuses a further connection because it has as many as it may."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PEEK_S) as link:
            return FULL.encode() in link.recv(200)  # it says nothing else before it is asked
    except (OSError, ValueError):
        return False


def _hung_up(text: str) -> bool:
    return any(mark in text for mark in HUNG_UP)


def _lacking(text: str, address: str) -> ReelmillError | None:
    """Say which right or command is missing."""
    if right := lacking(Exception(text), ""):
        return denied(address, [right])
    found = re.search(r"unknown (?:sub)?command[^'`]*['`]([A-Za-z|]+)", text, re.IGNORECASE)
    return denied(address, [f"-{found[1]}"]) if found else None


def denied(address: str, rights: Sequence[str]) -> LedgerRefused:
    """Return the error that says what to grant: `rights` as `rights.missing` returns them."""
    unknown = [right[1:].replace("|", " ").upper() for right in rights if right.startswith("-")]
    if unknown:
        return LedgerRefused(
            f"Redis at {address} does not know {', '.join(unknown)}: it is older than 7.0, or its commands were "
            "renamed or disabled (rename-command); use Redis 7.0 or newer, or any Valkey, with its commands as they are"
        )
    keys = f"the keys {KEYS} and " if KEYS in rights else ""
    return LedgerRefused(
        f"Redis at {address} {DENIED}: give it {keys}what it lacks; "
        f"run ACL SETUSER <user> {' '.join(rights)} (docs/security.md has all that a farm needs)"
    )


def _answered(err: Exception, text: str, address: str) -> ReelmillError | None:
    """Look up what the server says."""
    for table, kind in ((_REFUSES, LedgerRefused), (_TAKES_NO_WRITES, LedgerReadOnly), (_PASSES, LedgerUnavailable)):
        if advice := _advice(table, text):
            return kind(f"Redis at {address} {advice} ({err})")
    return None


def _lost(err: Exception, text: str, address: str, *, tls: bool) -> ReelmillError | None:
    if isinstance(err, redis.ConnectionError | redis.TimeoutError | OSError):
        advice = f"Start it, or correct REELMILL_REDIS_URL{_other_form(text, tls)}"
        return LedgerUnavailable(f"Redis at {address} does not answer: {err}. {advice}")
    if isinstance(err, redis.ResponseError) and "@user_function" not in text:
        return LedgerUnavailable(f"Redis at {address} answers with an error: {err}. Look at its log, and try again")
    return None


def _other_form(text: str, tls: bool) -> str:  # noqa: FBT001 - a fact, not a mode
    """Say what else it may be: a port without TLS waits for the end of a greeting, and one with it hangs up."""
    if tls and "Timeout connecting" in text:
        return " (redis:// for a port without TLS)"
    if "closed by server" not in text:
        return ""
    return " (a server that wants a certificate of ours may hang up so)" if tls else " (rediss:// for a port with TLS)"


def _advice(table: tuple[tuple[Marks, str], ...], text: str) -> str:
    return next((advice for marks, advice in table if any(mark in text for mark in marks)), "")


def _reason(text: str) -> str:
    """Return what OpenSSL says, without the address that redis-py writes before it and the line after it."""
    found = re.search(r"\[SSL[^\]]*\] (.*?)(?: \(_ssl\.c:\d+\))?\.?$", text)
    return found[1] if found else text.partition(": ")[2]


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__

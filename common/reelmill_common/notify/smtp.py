"""One mail to the farm's own mail server, which `REELMILL_SMTP_URL` names, so no address is refused."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from reelmill_common.errors import NotDelivered

TIMEOUT_S = 15.0
PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


def send(url: str, message: EmailMessage) -> str:
    """Send a mail; return the server's answer (`250 taken`).

    Raises:
        NotDelivered: There is no server, or it refuses the mail. The message does not show the password.
    """
    if not url:
        raise NotDelivered("no mail server is set; set REELMILL_SMTP_URL and REELMILL_SMTP_FROM on every worker")
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    try:
        with _opened(parts.scheme, host, port) as server:
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as err:
        raise NotDelivered(f"mail server {host}:{port} did not take the mail: {type(err).__name__}: {err}") from err
    return "250 taken"


def _opened(scheme: str, host: str, port: int) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    if scheme == "smtp":
        try:
            server.starttls(context=ssl.create_default_context())  # refused by the server: no password goes out
        except BaseException:
            server.close()
            raise
    return server

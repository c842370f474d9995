"""Metrics over HTTP for Prometheus: building samples, and a small server that asks for a token if one is set.

`prometheus_client` comes with the extras `metrics` and `worker`, so it is imported only when metrics are served.
"""

from __future__ import annotations

import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from reelmill_common.config.extras import install_command
from reelmill_common.errors import InvalidJob, InvalidSettings, ReelmillError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from prometheus_client.registry import Collector, CollectorRegistry

Document = Callable[[Mapping[str, Sequence[str]]], object]
"""Returns what is served as JSON, from the request's query."""
Sample = tuple[tuple[str, ...], float]
"""Values of the labels, in order, and the metric's value."""
SLOW_CLIENT_S = 20.0
"""Seconds after which a silent client is dropped."""
METRICS_PATH = "/metrics"


def registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry of some collectors, without metrics of this process.

    Raises:
        InvalidSettings: prometheus_client is not installed.
    """
    try:
        from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415 - an extra that not all hosts need
    except ImportError as err:
        raise InvalidSettings(f"metrics cannot be served ({err}); run {install_command('metrics')}") from err
    found = CollectorRegistry()
    for collector in collectors:
        found.register(collector)
    return found


def advertised_host(host: str) -> str:
    """Return the host name for what is bound to an address: this host's for a wildcard, else the address."""
    return socket.gethostname() if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound


class Endpoint:
    """A server of metrics at `/metrics`, and of JSON documents beside it, on a thread of its own.

    Attributes:
        port: The port that it listens on.
    """

    def __init__(
        self,
        metrics: CollectorRegistry,
        *,
        host: str,
        port: int,
        token: str = "",
        documents: Mapping[str, Document] | None = None,
    ) -> None:
        """Listen.

        Args:
            metrics: What is served at `/metrics`.
            host: Address to bind to.
            port: 0 for any free port.
            token: Bearer token that a client must send; empty: none.
            documents: What else is served as JSON, by path. A `ReelmillError` of one is answered with 503.

        Raises:
            OSError: The address or port cannot be bound.
        """
        app = _guarded(_site(metrics, documents or {}), token)
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server_class = type("_Server", (_Server,), {"address_family": family})
        self._server: WSGIServer = make_server(host, port, app, server_class=server_class, handler_class=_Handler)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when the server has ended."""
        self._thread.join()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def gauge(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Any:
    """Return a metric that goes up and down."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see `registry`

    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def counter(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Any:
    """Return a metric that only grows until its process restarts; its name gets the suffix `_total`."""
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - see `registry`

    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _filled(family: Any, samples: Iterable[Sample]) -> Any:
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _site(registered: CollectorRegistry, documents: Mapping[str, Document]) -> WSGIApplication:
    from prometheus_client import make_wsgi_app  # noqa: PLC0415 - see `registry`

    metrics: WSGIApplication = make_wsgi_app(registered)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _reply(start, "405 Method Not Allowed", b"only GET\n")
        if path == METRICS_PATH:
            return metrics(environ, start)
        if path in documents:
            return _document(start, documents[path], environ.get("QUERY_STRING", ""))
        return _reply(start, "404 Not Found", f"metrics are at {METRICS_PATH}\n".encode())

    return answer


def _document(start: StartResponse, document: Document, query: str) -> list[bytes]:
    try:
        body = json.dumps(document(parse_qs(query, keep_blank_values=True))).encode()
    except InvalidJob as err:
        return _reply(start, "400 Bad Request", f"{err}\n".encode())
    except ReelmillError as err:
        return _reply(start, "503 Service Unavailable", f"{err}\n".encode())
    return _reply(start, "200 OK", body, "application/json")


def _guarded(app: WSGIApplication, token: str) -> WSGIApplication:
    wanted = f"Bearer {token}".encode()

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        if token and not hmac.compare_digest(given, wanted):
            return _reply(start, "401 Unauthorized", b"bring the token: Authorization: Bearer ...\n")
        return app(environ, start)

    return answer


def _reply(start: StartResponse, status: str, body: bytes, kind: str = "text/plain") -> list[bytes]:
    headers = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))]
    start(status, [*headers, ("WWW-Authenticate", "Bearer")] if status.startswith("401") else headers)
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hangs up: nothing is written to stderr."""


class _Handler(WSGIRequestHandler):
    timeout = SLOW_CLIENT_S

    def handle(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Write nothing: a scrape every 15 s is not news."""

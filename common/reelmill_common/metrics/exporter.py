"""Figures over HTTP for Prometheus: building samples, and a small server that asks for a token if one is set.

`prometheus_client` comes with the extras `metrics` and `worker`, so it is imported only when figures are served.
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
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from reelmill_common.errors import InvalidSettings
from reelmill_common.extras import install_command

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from prometheus_client.registry import Collector, CollectorRegistry

Sample = tuple[tuple[str, ...], float]
"""Values of the labels, in order, and the figure."""
SLOW_CLIENT_S = 20.0
"""Seconds after which a client that says nothing is dropped."""
METRICS_PATH = "/metrics"


def registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry with some figures and nothing of this process.

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
    """Return the name under which others reach what is bound to an address: that of this host, for all addresses."""
    return socket.gethostname() if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound


class Endpoint:
    """A server of figures at `/metrics`, and of JSON documents beside it, on a thread of its own.

    Attributes:
        port: The one that it listens on.
    """

    def __init__(
        self,
        figures: CollectorRegistry,
        *,
        host: str,
        port: int,
        token: str = "",
        documents: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        """Listen.

        Args:
            figures: What is served at `/metrics`.
            host: Address to bind to.
            port: 0 for any that is free.
            token: What a client must bring as a bearer token; empty: nothing.
            documents: What else is served as JSON, by path.

        Raises:
            OSError: The address or port cannot be had.
        """
        app = _guarded(_site(figures, documents or {}), token)
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
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def gauge(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Any:
    """Return a figure that goes up and down."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - see `registry`

    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def counter(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Any:
    """Return a figure that only grows, until its process starts anew; the name ends in `_total`."""
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - see `registry`

    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _filled(family: Any, samples: Iterable[Sample]) -> Any:
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _site(figures: CollectorRegistry, documents: Mapping[str, Callable[[], object]]) -> WSGIApplication:
    from prometheus_client import make_wsgi_app  # noqa: PLC0415 - see `registry`

    metrics: WSGIApplication = make_wsgi_app(figures)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _reply(start, "405 Method Not Allowed", b"only GET\n")
        if path == METRICS_PATH:
            return metrics(environ, start)
        if path in documents:
            return _reply(start, "200 OK", json.dumps(documents[path]()).encode(), "application/json")
        return _reply(start, "404 Not Found", f"figures are at {METRICS_PATH}\n".encode())

    return answer


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
        """Let a client that hangs up go without a word on stderr."""


class _Handler(WSGIRequestHandler):
    timeout = SLOW_CLIENT_S

    def handle(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: a scrape each 15 s is no news."""

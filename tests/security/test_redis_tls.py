"""Redis over TLS: every connection of a farm verifies the server, and no password goes to one that it cannot trust."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.cli import program, started
from fixtures.farm import Farm, specs
from fixtures.impostor import Impostor, impostor
from fixtures.proxy import Authority, make_authority, proxy
from fixtures.s3 import free_port
from fixtures.tcp_proxy import tcp_proxy
from fixtures.valkey import wait_for
from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.jobs import JobState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = pytest.mark.services

LOGIN = {"FLOWER_BASIC_AUTH": "me:a-long-password"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A TLS front of the shared server.

    Attributes:
        url: With the password, and without options.
    """

    authority: Authority
    url: str

    def trusted(self, extra: str = "") -> str:
        return f"{self.url}?ssl_ca_certs={self.authority.bundle}{extra}"


@pytest.fixture(scope="module")
def front(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    authority = make_authority(tmp_path_factory.mktemp("tls") / "good")
    with proxy(valkey_server.port, tls=authority.server) as front_proxy:
        url = valkey_server.url.replace("redis://", "rediss://").replace(
            f":{valkey_server.port}/", f":{front_proxy.port}/"
        )
        yield Front(authority=authority, url=url)


@pytest.fixture(scope="module")
def liars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Impostor, Authority]]]:
    """Servers whose certificate is wrong in one way each, and the authority that a client trusts."""
    folder = tmp_path_factory.mktemp("liars")
    made = {
        "unknown authority": make_authority(folder / "unknown"),
        "run out": make_authority(folder / "late", days=-1),
        "another name's": make_authority(folder / "other", name="DNS:redis.example"),
    }
    with ExitStack() as stack:
        yield {name: (stack.enter_context(impostor(found.server)), found) for name, found in made.items()}


@pytest.mark.parametrize(
    "command", [("status",), ("flower",), ("worker", "--devices", "cpu")], ids=lambda args: args[0]
)
@pytest.mark.parametrize(
    ("liar", "advice"),
    [
        ("unknown authority", "a certificate that is not trusted here: add ?ssl_ca_certs=FILE to REELMILL_REDIS_URL"),
        ("run out", "a certificate that is not valid now: renew it"),
        ("another name's", "a certificate for another name"),
    ],
)
def test_a_certificate_that_proves_nothing_ends_a_command_with_what_to_set(
    front: Front,
    liars: dict[str, tuple[Impostor, Authority]],
    settings: Settings,
    command: tuple[str, ...],
    liar: str,
    advice: str,
) -> None:
    met, authority = liars[liar]
    bundle = front.authority.bundle if liar == "unknown authority" else authority.bundle
    env = settings.to_env() | LOGIN
    env["REELMILL_REDIS_URL"] = f"rediss://:hunter2@127.0.0.1:{met.port}/0?ssl_ca_certs={bundle}"

    ran = program(*command, env=env)

    assert (ran.status, advice in ran.err, "hunter2" in ran.err, met.heard) == (78, True, False, []), ran.err


def test_a_verified_server_is_used_and_doctor_says_so(front: Front, settings: Settings) -> None:
    env = settings.to_env()
    verified = program("doctor", env=env | {"REELMILL_REDIS_URL": front.trusted()})
    loose = program("doctor", env=env | {"REELMILL_REDIS_URL": f"{front.url}?ssl_cert_reqs=CERT_NONE"})

    assert "TLS: the server's certificate is verified" in verified.out + verified.err
    assert "certificate is not verified" in loose.out + loose.err


def test_plain_redis_on_a_tls_url_is_told(settings: Settings, valkey_server: ValkeyServer) -> None:
    ran = program(
        "status", env=settings.to_env() | {"REELMILL_REDIS_URL": valkey_server.url.replace("redis:", "rediss:")}
    )

    assert (ran.status, "(redis:// for a port without TLS)" in ran.err) == (75, True), ran.err


def test_a_server_that_asks_for_a_certificate_of_ours_gets_it(
    settings: Settings, valkey_server: ValkeyServer, front: Front, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path / "mutual")
    authority.server.verify_mode = ssl.CERT_REQUIRED
    authority.server.maximum_version = ssl.TLSVersion.TLSv1_2  # in which the refusal is part of the handshake
    authority.server.load_verify_locations(authority.bundle)
    folder = authority.bundle.parent
    with proxy(valkey_server.port, tls=authority.server) as front_proxy:
        password = valkey_server.url.partition("@")[0].rpartition(":")[2]
        url = f"rediss://:{password}@127.0.0.1:{front_proxy.port}/0?ssl_ca_certs={authority.bundle}"
        ours = f"&ssl_certfile={folder}/cert.pem&ssl_keyfile={folder}/key.pem"

        without = program("status", env=settings.to_env() | {"REELMILL_REDIS_URL": url})
        with_it = program("status", env=settings.to_env() | {"REELMILL_REDIS_URL": url + ours})

    assert (without.status, "add ssl_certfile=FILE&ssl_keyfile=FILE" in without.err) == (78, True), without.err
    assert with_it.status == 0, with_it.err


# A connection that is reset between connect (or accept) and handshake is not closed by `SSLSocket._create` of
# Python 3.11, and the end of the object says so. Nobody else has it in hand; the proxy here resets many.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_no_connection_of_a_running_farm_tells_an_impostor_anything(
    front: Front,
    make_farm: Callable[..., Farm],
    monkeypatch: pytest.MonkeyPatch,
    liars: dict[str, tuple[Impostor, Authority]],
) -> None:
    """Worker (parent, child, Celery's broker and events), Flower and producer meet him when they connect again.

    The URL says nothing of certificates: that is where Celery verifies none unless it is set to.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(front.authority.bundle))
    met = liars["unknown authority"][0]
    port = RedisAddress.parse(front.url).port
    with tcp_proxy(port) as proxy:
        farm = make_farm(renderer="fixed:0.05", redis_url=front.url.replace(f":{port}/", f":{proxy.port}/"))
        worker = farm.start()
        dashboard = farm.settings.to_env() | LOGIN | {"SSL_CERT_FILE": str(front.authority.bundle)}
        with started("flower", "--port", str(free_port()), env=dashboard) as flower:
            flower.wait_for_line("Flower listens")
            farm.submit("night", specs(3))
            farm.wait_done("night")
            farm.ledger.close()

            proxy.target, before = met.port, len(met.refusals)
            proxy.reset()
            wait_for(lambda: len(met.refusals) >= before + 12, what="refusals by all of them")
            proxy.target = port
            proxy.reset()

            jobs = farm.submit("morning", specs(3))
            view = farm.wait_done("morning")

    assert met.heard == []
    assert view.counts[JobState.SUCCEEDED] == len(jobs)
    assert len(worker.events("parent.started")) == 1

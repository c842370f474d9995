"""Sentinels and servers by TLS: ledger and broker follow the primary, and no password goes to one that proves nothing.

The Valkey of the tests speaks no TLS itself, so each server and each Sentinel has a front that does, as behind a TLS
terminator, and the Sentinels' fronts name those of the servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from common.ledger_steps import LANE, claim, make_result, start_worker, submit, with_url
from fixtures.cli import program
from fixtures.impostor import impostor
from fixtures.proxy import Authority, make_authority, proxy
from fixtures.replicas import Replicated
from reelmill_common import broker
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls") / "good")


@contextmanager
def fronts(watched: Replicated, authority: Authority, servers: Mapping[int, int]) -> Iterator[str]:
    """Put a front before each Sentinel; return the URL. `servers`: by port of a server that of its front."""
    names = {str(port).encode(): str(front).encode() for port, front in servers.items()}
    assert all(len(name) == len(front) for name, front in names.items())  # else the length before it would be wrong
    url = watched.url.replace("redis+", "rediss+")
    with ExitStack() as stack:
        for port in watched.sentinel_ports:
            front = stack.enter_context(proxy(port, tls=authority.server, answers=names))
            url = url.replace(f":{port}", f":{front.port}")
        yield f"{url}&ssl_ca_certs={authority.bundle}"


@pytest.fixture(scope="module")
def url(watched: Replicated, authority: Authority) -> Iterator[str]:
    """The URL of Sentinels and servers that all speak TLS."""
    with ExitStack() as stack:
        ports = [member.port for member in watched.members]
        servers = {port: stack.enter_context(proxy(port, tls=authority.server)).port for port in ports}
        yield stack.enter_context(fronts(watched, authority, servers))


def test_ledger_and_broker_follow_the_primary_by_tls(
    watched: Replicated, url: str, settings: Settings, no_worker_timeout: None
) -> None:
    settings = with_url(settings, url)
    app = broker.make_app(settings)
    queue = broker.queue_name(settings.farm, LANE)
    with Ledger.connect(settings) as ledger:
        ids = submit(ledger, "night", 2)
        start_worker(ledger)
        for number, job_id in enumerate(ids):
            before = watched.primary
            (sent,) = ledger.dispatch.pump(LANE, depth=1)
            broker.send(app, settings.farm, [sent])
            with app.connection() as connection, connection.SimpleQueue(queue) as messages:
                message = messages.get(timeout=30)
                message.ack()
            claimed = claim(ledger, sent)
            assert (message.headers["id"], claimed.job_id) == (f"{job_id}.1", job_id)
            assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result(f"night/r{number}.mp4"))
            if number == 0:
                watched.wait_in_step()
                watched.fail_over()
                assert watched.primary is not before

        assert ledger.batches.get("night").counts[JobState.SUCCEEDED] == 2
    app.close()
    watched.wait_in_step()


@pytest.mark.parametrize("liar", ["Sentinels", "server"])
def test_no_password_goes_to_a_sentinel_or_server_that_proves_nothing(
    watched: Replicated, authority: Authority, settings: Settings, tmp_path: Path, liar: str
) -> None:
    other = make_authority(tmp_path / "other")
    with impostor(other.server) as met:
        servers = {member.port: met.port for member in watched.members}
        with fronts(watched, other if liar == "Sentinels" else authority, servers) as url:
            trusting = url.replace(str(other.bundle), str(authority.bundle))
            ran = program("status", env=settings.to_env() | {"REELMILL_REDIS_URL": trusting})

    assert (ran.status, met.heard) == (78, []), ran.err
    assert "a certificate that is not trusted here: add ?ssl_ca_certs=FILE to REELMILL_REDIS_URL" in ran.err
    assert "word" not in ran.err.replace("password", "")

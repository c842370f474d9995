from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from common.ledger_steps import submit, with_url
from fixtures.replicas import Replicated
from fixtures.tcp_proxy import tcp_proxy
from fixtures.valkey import wait_for
from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.errors import LedgerReadOnly, LedgerRefused, LedgerUnavailable
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.primary import NotPrimary, as_left, open_client
from reelmill_common.ledger.server import PROMPT
from reelmill_common.settings import Settings


def test_a_ledger_follows_the_primary_that_the_sentinels_name(watched: Replicated, settings: Settings) -> None:
    with Ledger.connect(with_url(settings, watched.url)) as ledger:
        submit(ledger, "night", 3)
        assert ledger.settle()
        watched.wait_in_step()
        before = watched.primary

        watched.fail_over()
        submit(ledger, "morning", 2)  # on connections that are open to the old primary

        assert watched.primary is not before
        assert (ledger.batches.get("night").total, ledger.batches.get("morning").total) == (3, 2)
        watched.wait_in_step()


def test_a_connection_that_broke_in_use_is_opened_to_the_new_primary(watched: Replicated) -> None:
    with open_client(RedisAddress.parse(watched.url), **PROMPT.options()) as client:
        connection: Any = client.connection_pool.get_connection()
        before = connection.port
        watched.fail_over()

        connection.disconnect()  # as redis-py does before it tries a command again
        connection.send_command("ROLE")
        role = connection.read_response()[0]

        client.connection_pool.release(connection)
    assert (connection.port != before, connection.port, role) == (True, watched.primary.port, b"master")
    watched.wait_in_step()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (("sentinel_password=an", "sentinel_password=hunter2"), LedgerRefused, "set their password as"),
        (("/farm/", "/barn/"), LedgerRefused, "it does not watch this service"),
        ((":a%3A", ":hunter2"), LedgerRefused, "refuses the password"),
    ],
    ids=["their password", "the service", "the server's password"],
)
def test_what_is_wrong_with_sentinels_is_said_without_a_password(
    watched: Replicated, settings: Settings, change: tuple[str, str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        Ledger.connect(with_url(settings, watched.url.replace(*change)), patience=PROMPT)

    assert "'farm' of Sentinel 127.0.0.1:" in str(caught.value).replace("barn", "farm")
    assert "hunter2" not in str(caught.value)


def test_sentinels_that_do_not_answer_are_waited_for(settings: Settings) -> None:
    url = "redis+sentinel://:hunter2@127.0.0.1:1,127.0.0.1:2/farm/0"

    with pytest.raises(LedgerUnavailable, match="wait for the fail-over, or look at their logs") as caught:
        Ledger.connect(with_url(settings, url), patience=PROMPT)

    assert "127.0.0.1:2: Error" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_moves_is_followed_though_the_old_connections_stay_open(
    pair: Replicated, settings: Settings
) -> None:
    old, new = pair.members
    with tcp_proxy(old.port) as endpoint:
        url = f"redis://:a%3Apass%2Fword@127.0.0.1:{endpoint.port}/0"
        with Ledger.connect(with_url(settings, url)) as ledger:
            submit(ledger, "night", 3)
            pair.wait_in_step()

            endpoint.target = new.port  # for new connections
            new.follow(0)
            old.follow(new.port)
            submit(ledger, "morning", 2)

            assert ledger.batches.get("night").total == 3
            with Ledger.connect(with_url(settings, pair.url)) as direct:
                assert direct.batches.get("morning").total == 2
        pair.wait_in_step()


def test_a_server_that_became_a_replica_and_stays_it_is_said_to_be_one(pair: Replicated, settings: Settings) -> None:
    primary, replica = pair.primary, pair.replica
    with Ledger.connect(with_url(settings, pair.url), patience=PROMPT) as ledger:
        primary.follow(replica.port)
        try:
            with pytest.raises(LedgerReadOnly, match="is a read-only replica"):
                submit(ledger, "night", 1)
        finally:
            primary.follow(0)
        assert submit(ledger, "night", 1)
        replica.follow(primary.port)
    pair.wait_in_step()


def test_a_wait_for_events_goes_on_when_its_server_becomes_a_replica(pair: Replicated, settings: Settings) -> None:
    with Ledger.connect(with_url(settings, pair.url)) as ledger, pair.primary.client() as admin:
        submit(ledger, "night", 1)
        newest, heard = ledger.events.newest(), threading.Event()

        def listen() -> None:
            ledger.events.read(after=newest, block_s=20)
            heard.set()

        thread = threading.Thread(target=listen)
        thread.start()
        wait_for(lambda: admin.info("clients")["blocked_clients"], what="a client that waits")
        primary, replica = pair.primary, pair.replica
        primary.follow(replica.port)  # UNBLOCKED
        primary.follow(0)
        submit(ledger, "morning", 1)

        assert heard.wait(20)
        thread.join()
        replica.follow(primary.port)
    pair.wait_in_step()


def test_what_is_submitted_is_on_the_replicas_that_were_asked_for(pair: Replicated, settings: Settings) -> None:
    with Ledger.connect(with_url(settings, pair.url)) as ledger:
        submit(ledger, "night", 100)

        ledger.require_replicas(1, timeout_s=20)

        assert ledger.batches.get("night").total == 100
        with (
            Ledger.connect(with_url(settings, pair.url)) as other,
            pytest.raises(LedgerUnavailable, match="1 of the 2 rep"),
        ):
            other.require_replicas(2, timeout_s=0.1)


def test_a_library_that_is_gone_is_loaded_once_by_many(pair: Replicated, settings: Settings) -> None:
    url = with_url(settings, pair.url)
    ledgers = [Ledger.connect(url) for _ in range(4)]
    with pair.primary.client() as admin:
        admin.function_flush()
        before = admin.info("commandstats").get("cmdstat_function|load", {}).get("failed_calls", 0)
        threads = [threading.Thread(target=ledger.identity) for ledger in ledgers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = admin.info("commandstats")["cmdstat_function|load"]["failed_calls"] - before
        loaded = admin.function_list(withcode=False)

    assert len(loaded) == 1
    assert refused <= 3  # who came second was told that it is there, and replaced nothing
    assert len({ledger.identity() for ledger in ledgers}) == 1
    for ledger in ledgers:
        ledger.close()


@pytest.mark.parametrize(
    ("err", "left"),
    [
        (redis.ReadOnlyError("You can't write against a read only replica."), True),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (redis.ResponseError("UNBLOCKED force unblock from blocking operation"), True),
        (redis.exceptions.MasterDownError("Link with MASTER is down"), True),
        (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), False),
        (redis.ResponseError("MISCONF Redis is configured to save"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_answer_that_speaks_of_the_role_breaks_the_connection(err: redis.ResponseError, left: bool) -> None:
    assert (as_left(err) is not None) is left


def test_a_connection_closes_when_its_server_is_a_replica(pair: Replicated) -> None:
    address = RedisAddress.parse(f"redis://:a%3Apass%2Fword@127.0.0.1:{pair.replica.port}/0")
    with open_client(address, retry=None) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("SET", "x", 1)
        with pytest.raises(NotPrimary, match="READONLY"):
            connection.read_response()

        assert not connection.is_connected

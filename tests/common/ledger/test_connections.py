from __future__ import annotations

import threading

import redis

from common.ledger_steps import with_url
from fixtures.valkey import wait_for
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.connections import MOST
from reelmill_common.ledger.server import process_connections
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer


def test_the_threads_of_a_process_share_two_connections(settings: Settings, own_valkey: ValkeyServer) -> None:
    ours = with_url(settings, own_valkey.url)
    asked: list[object] = []

    def ask(ledger: Ledger) -> None:
        asked.extend(ledger.workers.all() for _ in range(20))

    threads = [threading.Thread(target=ask, args=[Ledger.connect(ours, shared=True)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with redis.Redis.from_url(own_valkey.url) as admin:
        assert len(admin.client_list()) == MOST + 1
    assert len(asked) == 6 * 20


def test_where_the_server_gives_no_further_one_a_thread_waits_for_the_one_that_is_there(
    settings: Settings, own_valkey: ValkeyServer
) -> None:
    ours = with_url(settings, own_valkey.url)
    client = redis.Redis(connection_pool=process_connections(ours))
    client.ping()
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.config_set("maxclients", 2)
        blocked = threading.Thread(target=client.blpop, args=["nothing"], kwargs={"timeout": 1})
        blocked.start()
        wait_for(lambda: admin.info("clients")["blocked_clients"], what="a connection in use")

        assert client.ping()  # else "max number of clients reached"

        blocked.join()
        assert admin.info("stats")["rejected_connections"] > 0


def test_a_connection_that_broke_is_opened_anew(settings: Settings, own_valkey: ValkeyServer) -> None:
    ledger = Ledger.connect(with_url(settings, own_valkey.url), shared=True)
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert ledger.workers.all() == []

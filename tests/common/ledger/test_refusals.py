from __future__ import annotations

import socket
import threading

import pytest
import redis

from common.ledger_steps import make_jobs, with_url
from fixtures.s3 import free_port
from reelmill_common.errors import LedgerReadOnly, LedgerRefused, LedgerUnavailable
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer


def test_no_server_at_the_address_is_unavailable(settings: Settings) -> None:
    port = free_port()

    with pytest.raises(LedgerUnavailable, match=rf"Redis at 127.0.0.1:{port} does not answer.*Start it, or correct"):
        Ledger.connect(with_url(settings, f"redis://:secret@127.0.0.1:{port}/0"))


def test_a_name_that_does_not_resolve_is_unavailable(settings: Settings) -> None:
    with pytest.raises(LedgerUnavailable, match=r"no-such-host\.invalid:6379 does not answer"):
        Ledger.connect(with_url(settings, "redis://no-such-host.invalid:6379/0"))


@pytest.mark.parametrize("password", ["wrong-secret", ""])
def test_a_wrong_password_is_refused_and_never_shown(settings: Settings, password: str) -> None:
    right = settings.redis_url.partition("@")[0].rpartition(":")[2]
    url = settings.redis_url.replace(f":{right}@", f":{password}@" if password else "")

    with pytest.raises(LedgerRefused, match="refuses the password: set it in the URL") as caught:
        Ledger.connect(with_url(settings, url))

    assert "wrong-secret" not in str(caught.value)
    assert right not in str(caught.value)


def test_a_database_that_is_not_there_is_refused(settings: Settings) -> None:
    with pytest.raises(LedgerRefused, match="has no database of that number"):
        Ledger.connect(with_url(settings, settings.redis_url.removesuffix("/0") + "/999"))


def test_something_that_is_not_redis_is_refused(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=speak_http, args=[listener], daemon=True)
        thread.start()
        with pytest.raises((LedgerRefused, LedgerUnavailable), match=f"127.0.0.1:{port}"):
            Ledger.connect(with_url(settings, f"redis://127.0.0.1:{port}/0"))


def speak_http(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_user_without_rights_is_refused(settings: Settings, own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "guest", "on", ">guest-pass", "+ping", "+info", "~other:*")
    url = f"redis://guest:guest-pass@127.0.0.1:{own_valkey.port}/0"

    with pytest.raises(
        LedgerRefused, match=r"denies this user a command: give it the keys ~reelmill:\*.*run ACL SETUSER <user> ~"
    ):
        Ledger.connect(with_url(settings, url))


@pytest.mark.parametrize(
    ("setting", "error", "advice"),
    [
        pytest.param("maxmemory", LedgerRefused, "is full: raise maxmemory", id="full"),
        pytest.param("min-replicas-to-write", LedgerReadOnly, "has too few replicas to write", id="without replicas"),
    ],
)
def test_a_server_that_takes_no_jobs_is_refused_with_advice_and_takes_them_when_it_can_again(
    settings: Settings, own_valkey: ValkeyServer, setting: str, error: type[Exception], advice: str
) -> None:
    with (
        redis.Redis.from_url(own_valkey.url) as admin,
        Ledger.connect(with_url(settings, own_valkey.url)) as ledger,
    ):
        admin.config_set(setting, "1")
        with pytest.raises(error, match=advice):
            ledger.batches.submit(Batch(name="night"), make_jobs("night", 1))
        admin.config_set(setting, "0")

        assert ledger.batches.submit(Batch(name="night"), make_jobs("night", 1)).added == 1


def test_a_read_only_replica_is_refused(settings: Settings, own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.replicaof("127.0.0.1", free_port())
        admin.config_set("replica-serve-stale-data", "yes")

        with pytest.raises(LedgerRefused, match="is a read-only replica: point the URL at the primary"):
            Ledger.connect(with_url(settings, own_valkey.url))

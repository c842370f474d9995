from __future__ import annotations

import pytest
import redis
from structlog.testing import capture_logs

from common.ledger_steps import LANE, WORKER, claim, make_jobs, make_result, start_worker, submit, with_url
from fixtures.valkey import wait_for
from reelmill_common.errors import InvalidSettings, LedgerReadOnly, LedgerRefused, LedgerUnavailable
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import Ledger, Orders
from reelmill_common.ledger.retention import Pruned
from reelmill_common.ledger.server import CONFIRMS_DISK, version_of
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer


@pytest.mark.parametrize("url", ["redis://:wrong-secret@127.0.0.1:port/0", "redis://:wrong-secret@127.0.0.1:1/x"])
def test_a_url_that_cannot_be_read_is_refused_without_showing_it(settings: Settings, url: str) -> None:
    with pytest.raises((InvalidSettings, LedgerUnavailable)) as caught:
        Ledger.connect(with_url(settings, url))

    assert "wrong-secret" not in str(caught.value)


def test_a_full_server_lets_clips_in_hand_be_published_and_starts_no_more(
    settings: Settings, own_valkey: ValkeyServer
) -> None:
    with (
        redis.Redis.from_url(own_valkey.url) as admin,
        Ledger.connect(with_url(settings, own_valkey.url)) as ledger,
    ):
        submit(ledger, "night", 3)
        start_worker(ledger)
        first, second = ledger.dispatch.pump(LANE)
        claimed = claim(ledger, first)

        admin.config_set("maxmemory", "1")
        with pytest.raises(LedgerReadOnly, match="is full: raise maxmemory"):
            ledger.attempts.claim(second.job_id, second.generation, WORKER, lease_s=60)
        with pytest.raises(LedgerReadOnly):
            ledger.dispatch.pump(LANE, depth=3)
        orders = ledger.attempts.stage(claimed.job_id, claimed.token, "upload", lease_s=60)
        published = ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
        admin.config_set("maxmemory", "0")

        assert (orders, published) == (Orders.CONTINUE, True)
        assert claim(ledger, second).attempt == 1  # nothing was changed by halves


def test_a_full_server_can_be_looked_at_and_makes_room(settings: Settings, own_valkey: ValkeyServer) -> None:
    full = with_url(settings, own_valkey.url)
    with redis.Redis.from_url(own_valkey.url) as admin, Ledger.connect(full) as ledger:
        submit(ledger, "old", 2)
        submit(ledger, "new", 2)
        ledger.batches.cancel("old")
        admin.config_set("maxmemory", "1")

        with Ledger.connect(full) as late:
            pruned = late.retention.prune_batch(late.batches.get("old"))
            late.batches.cancel("new")
            stats = late.overview.stats()
        admin.config_set("maxmemory", "0")

    assert (pruned, stats.ended[JobState.CANCELLED]) == (Pruned.PRUNED, 2)


def test_a_server_that_may_evict_is_warned_of(settings: Settings, own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.config_set("maxmemory", "100mb")
        admin.config_set("maxmemory-policy", "allkeys-lru")

    with capture_logs() as logs, Ledger.connect(with_url(settings, own_valkey.url)):
        pass

    assert [(entry["event"], entry["policy"]) for entry in logs] == [("redis.may_evict", "allkeys-lru")]


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        pytest.param("2", "upgrade Reelmill here", id="newer"),
        pytest.param("0", "let the older Reelmill that wrote it finish its batches", id="older"),
    ],
)
def test_a_ledger_of_another_version_is_not_touched(
    ledger: Ledger, settings: Settings, schema: str, advice: str
) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.hset(f"reelmill:{{{settings.farm}}}:meta", "schema", schema)

    with pytest.raises(LedgerRefused, match=f"has schema {schema}, and this version knows 1: {advice}"):
        Ledger.connect(settings)


def test_a_server_without_the_library_gets_it_in_the_middle_of_a_submission(ledger: Ledger, settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.function_flush()

    assert ledger.batches.submit(Batch(name="night"), make_jobs("night", 600)).added == 600


def test_a_ledger_survives_a_killed_server(settings: Settings, own_valkey: ValkeyServer) -> None:
    with Ledger.connect(with_url(settings, own_valkey.url)) as ledger:
        (job_id,) = submit(ledger, "night", 1)
        start_worker(ledger)
        (item,) = ledger.dispatch.pump(LANE)
        claimed = ledger.attempts.claim(job_id, item.generation, "gpu0@test", lease_s=600, word="word")
        with redis.Redis.from_url(own_valkey.url) as admin:  # `everysec` holds writes back while it syncs
            wait_for(lambda: admin.info("persistence")["aof_buffer_length"] == 0, what="the last write in the file")
        own_valkey.kill()
        with pytest.raises(LedgerUnavailable):
            ledger.attempts.renew(job_id, "1.word", lease_s=600)

        again = ValkeyServer.start(own_valkey.folder)
        try:
            assert claimed
            assert ledger.attempts.renew(job_id, "1.word", lease_s=600) is Orders.CONTINUE
            assert ledger.attempts.finish(job_id, "1.word", make_result())
        finally:
            again.stop()


def test_a_client_that_does_not_decode_is_refused(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, pytest.raises(ValueError, match="decode_responses=True"):
        Ledger(client)


def test_what_is_settled_is_on_the_disk(own_valkey: ValkeyServer) -> None:
    with Ledger.connect(Settings(redis_url=own_valkey.url)) as ledger:
        settled, nothing = ledger.settle(), ledger.forgets()
        with redis.Redis.from_url(own_valkey.url) as client:
            client.config_set("appendonly", "no")
        unknown, reason = ledger.settle(), ledger.forgets()

    assert (settled, unknown, nothing) == (True, False, "")
    assert "append-only file" in reason


@pytest.mark.parametrize(
    ("info", "version"),
    [({"redis_version": "7.0.15"}, (7, 0)), ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, (7, 2))],
)
def test_a_server_that_cannot_confirm_its_disk_is_known_by_its_version(
    info: dict[str, str], version: tuple[int, ...]
) -> None:
    assert version_of(info) == version
    assert (version_of(info) >= CONFIRMS_DISK) == (version != (7, 0))

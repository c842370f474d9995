"""Embeddings that workers share, and what is prepared while a clip renders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import redis
import torch
from structlog.testing import capture_logs

from common.ledger_steps import start_worker
from fixtures.s3 import free_port
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_worker.child import embedding_cache
from reelmill_worker.child.embedding_cache import RedisEmbeddingCache, StoreEmbeddingCache, open_embedding_cache
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.engine import Engine, load_text_encoder
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.resident import Resident
from reelmill_worker.pipeline.text import SharedEmbeddingCache, TextEncoder

FOX = RenderSpec(prompt="a red fox", seed=5, profile="tiny", frames=5)


@pytest.fixture(scope="module")
def folder(tiny_model: Path) -> ModelFolder:
    return ModelFolder.open(tiny_model)


@pytest.fixture(params=["redis", "store"])
def cache(request: pytest.FixtureRequest, settings: Settings) -> SharedEmbeddingCache:
    opened = open_embedding_cache(dataclasses.replace(settings, embedding_cache=request.param))
    assert isinstance(opened, RedisEmbeddingCache | StoreEmbeddingCache)
    return opened


def encoder(folder: ModelFolder, cache: SharedEmbeddingCache) -> TextEncoder:
    return load_text_encoder(folder, cpu_plan(), shared_cache=cache)


def test_what_one_worker_encoded_another_finds(folder: ModelFolder, cache: SharedEmbeddingCache) -> None:
    first, second = encoder(folder, cache), encoder(folder, cache)

    made, found = first.encode("a red fox"), second.encode("a red fox")

    assert torch.equal(made, found)
    assert (first.made, second.made) == (1, 0)


def test_another_encoder_shares_nothing(folder: ModelFolder, cache: SharedEmbeddingCache) -> None:
    encoder(folder, cache).encode("a red fox")
    other = encoder(folder, cache)
    other.identity += " in other bits"

    other.encode("a red fox")

    assert other.made == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x04\x95pickle", id="a pickle"),
        pytest.param(b"\xff" * 8 + b"{}", id="a header of 2**64 bytes"),
        pytest.param(b"\x02\x00\x00\x00\x00\x00\x00\x00{}", id="no tensors"),
    ],
)
def test_a_spoilt_embedding_is_made_again(folder: ModelFolder, settings: Settings, content: bytes) -> None:
    cache = RedisEmbeddingCache.of(dataclasses.replace(settings, embedding_cache="redis"))
    spoilt = encoder(folder, cache)
    cache.put(spoilt._name("a red fox"), content)

    with capture_logs() as logs:
        embedding = spoilt.encode("a red fox")

    assert torch.equal(embedding, load_text_encoder(folder, cpu_plan()).encode("a red fox"))
    assert [entry["event"] for entry in logs] == ["embedding.unreadable"]


def test_an_embedding_of_another_shape_is_made_again(folder: ModelFolder, settings: Settings) -> None:
    cache = RedisEmbeddingCache.of(settings)
    first = encoder(folder, cache)
    first.encode("a red fox in the snow")
    stolen = cache.get(first._name("a red fox in the snow"))
    assert stolen is not None
    cache.put(first._name("a red fox"), stolen)

    again = encoder(folder, cache)
    again.encode("a red fox")

    assert again.made == 1


def test_the_cache_in_redis_never_takes_more_than_its_room(settings: Settings) -> None:
    cache = RedisEmbeddingCache.of(settings)
    cache.room_bytes = 1000

    for index in range(5):
        cache.put(f"n{index}", b"x" * 300)
        cache.get("n0")  # used, so it stays
    kept = [index for index in range(5) if cache.get(f"n{index}")]
    cache.put("large", b"x" * 2000)

    assert kept == [0, 3, 4]
    assert cache.get("large") is None
    with redis.Redis.from_url(settings.redis_url) as client:
        held = list(client.keys(f"{cache.prefix}n*"))
        assert sum(client.strlen(key) for key in held) <= 1000


def test_a_cache_that_does_not_answer_costs_an_encoding(folder: ModelFolder, settings: Settings) -> None:
    gone = RedisEmbeddingCache.of(dataclasses.replace(settings, redis_url=f"redis://:x@127.0.0.1:{free_port()}/0"))

    with capture_logs() as logs:
        alone = encoder(folder, gone)
        alone.encode("a red fox")
        alone.encode("a grey owl")

    assert alone.made == 2
    assert [entry["event"] for entry in logs] == ["embedding_cache.failed"]


def test_what_is_too_large_for_an_embedding_is_not_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelmill_worker.child.embedding_cache.MOST_BYTES", 10)
    cache = open_embedding_cache(dataclasses.replace(settings, embedding_cache="store"))
    assert cache is not None
    cache.put("n0", b"x" * 10)
    cache.put("n1", b"x" * 11)

    with capture_logs() as logs:
        read = [cache.get("n0"), cache.get("n1"), cache.get("n2")]

    assert read == [b"x" * 10, None, None]
    assert [entry["event"] for entry in logs] == ["embedding_cache.failed"]


def test_eight_seeds_cost_one_encoding(tiny_model: Path) -> None:
    engine = Engine.load(ModelFolder.open(tiny_model), cpu_plan())

    for seed in range(8):
        engine.render(dataclasses.replace(FOX, seed=seed), lambda _: None)

    assert engine.text.made == 1


def test_a_prepared_render_is_the_same_to_the_bit(tiny_model: Path) -> None:
    plain, prepared = (Resident.load(tiny_model, plan=cpu_plan()) for _ in range(2))
    other = dataclasses.replace(FOX, prompt="a grey owl", seed=6)

    def on_stage(stage: str) -> None:
        if stage == "denoise 2/3":
            prepared.prepare(other)

    prepared.render(FOX, on_stage)
    ahead = prepared.render(other, lambda _: None)

    assert ahead.latents_sha256 == plain.render(other, lambda _: None).latents_sha256
    assert prepared.render(other, lambda _: None).latents_sha256 == ahead.latents_sha256


def test_what_cannot_be_prepared_waits_for_its_turn(tiny_model: Path) -> None:
    resident = Resident.load(tiny_model, plan=cpu_plan())

    resident.prepare(dataclasses.replace(FOX, prompt="fox " * 600))

    assert resident.render(FOX, lambda _: None).latents_sha256


def test_the_cache_in_redis_is_left_alone_when_all_workers_together_would_take_too_much(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_cache, "WATCHED_S", 0.0)
    monkeypatch.setattr(embedding_cache, "MOST_BYTES_S", 1.0)
    cache = open_embedding_cache(dataclasses.replace(settings, embedding_cache="redis"))
    assert cache is not None
    cache.put("a", b"x" * 1000)
    assert cache.get("a") == b"x" * 1000, "no worker of this farm lives, so nobody takes anything"

    with Ledger.connect(settings) as ledger, capture_logs() as events:
        start_worker(ledger)
        found = [cache.get("a"), cache.get("a")]

    assert found == [b"x" * 1000, None]
    (refused,) = [event for event in events if event["event"] == "embedding_cache.refused"]
    assert refused["workers"] == 1
    assert "REELMILL_EMBEDDING_CACHE" in refused["action"]

from __future__ import annotations

import asyncio

import pytest
from flower import views

from fixtures.replicas import Replicated
from reelmill_common.broker import make_app
from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.settings import Settings
from reelmill_producer.dashboards.flower_sentinel import follow_sentinels


def test_flower_counts_the_messages_at_the_primary_in_the_farms_database(
    watched: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = watched.url.replace("/farm/0", "/farm/3")
    address = RedisAddress.parse(url)
    monkeypatch.setattr(views, "Broker", views.Broker)
    options = make_app(Settings(redis_url=url)).conf.broker_transport_options
    with watched.primary.client() as client:
        client.select(3)
        client.lpush(options["global_keyprefix"] + "render:tiny", "a", "b")

    follow_sentinels(address)
    broker_url = address.broker_options()["broker_url"].split(";")[0]
    broker = views.Broker(broker_url, http_api=None, broker_options=options, broker_use_ssl=False)

    assert asyncio.run(broker.queues(["render:tiny"])) == [{"name": "render:tiny", "messages": 2}]

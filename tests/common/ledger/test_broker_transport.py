from __future__ import annotations

from fixtures.replicas import Replicated
from reelmill_common.broker import make_app
from reelmill_common.settings import Settings


def test_a_message_that_a_replica_cannot_acknowledge_frees_its_place(pair: Replicated, farm_name: str) -> None:
    primary, replica = pair.primary, pair.replica
    app = make_app(Settings(redis_url=pair.url, farm=farm_name))
    with app.connection() as connection, connection.SimpleQueue("clips") as queue:
        queue.put({"job": 1})
        message = queue.get(timeout=10)
        full = connection.default_channel.qos.can_consume(), len(queue.channel.qos._delivered)

        primary.follow(replica.port)
        message.ack()
        left = len(queue.channel.qos._delivered) - len(queue.channel.qos._dirty)

        primary.follow(0)
    assert (full[1], left) == (1, 0)
    replica.follow(primary.port)
    pair.wait_in_step()


def test_celery_sends_and_fetches_by_sentinel_after_a_fail_over(watched: Replicated, farm_name: str) -> None:
    app = make_app(Settings(redis_url=watched.url, farm=farm_name))
    with app.connection() as connection, connection.SimpleQueue("clips") as queue:
        queue.put({"job": 1})
        queue.get(timeout=30).ack()
    before = watched.primary

    watched.fail_over()

    assert watched.primary is not before
    with app.connection() as connection, connection.SimpleQueue("clips") as queue:
        queue.put({"job": 2})
        assert queue.get(timeout=30).payload == {"job": 2}
    watched.wait_in_step()

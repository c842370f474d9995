"""Records: plain data with stable keys."""

from __future__ import annotations

import json

from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.records import (
    batch_record,
    clip_record,
    event_record,
    job_record,
    target_record,
    worker_record,
)


def test_every_record_is_plain_json_and_names_what_it_is_about(client: Reelmill, hand: Hand) -> None:
    job = RenderJob(batch="night", row="fox", spec=RenderSpec(prompt="a fox", profile="tiny"))
    client.submit_jobs(Batch(name="night", owner="studio"), [job])
    hand.finish(hand.claim())
    (clip,) = client.clips("night")
    view = client.job(clip.job_id)

    records = {
        "batch": batch_record(client.batch("night")),
        "job": job_record(view, clip),
        "clip": clip_record(clip),
        "worker": worker_record(client.worker("hand@test")),
        "event": event_record(client.ledger.events.read(after="0")[-1]),
    }

    assert json.loads(json.dumps(records)) == records
    assert (records["batch"]["batch"], records["batch"]["owner"]) == ("night", "studio")
    assert records["batch"]["outcome"] == "succeeded"
    assert records["job"]["clip"]["key"] == records["clip"]["key"] == clip.key
    assert records["worker"]["worker"] == "hand@test"
    assert records["event"]["event"]
    assert target_record(view) == job_record(view)

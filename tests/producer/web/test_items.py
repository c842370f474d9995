"""Items: what the API shows of the ledger's records."""

from __future__ import annotations

from fixtures.hand import Hand
from reelmill_producer.client import Reelmill
from reelmill_producer.web.items import batch_item, job_item
from reelmill_producer.web.schemas import BatchItem, JobItem


def test_items_have_the_fields_of_their_schemas_and_no_others(client: Reelmill, hand: Hand) -> None:
    client.submit_many([{"id": "fox", "prompt": "a fox", "note": "for the intro"}], batch="night")
    hand.finish(hand.claim())
    (job,) = client.jobs("night")

    batch, item = batch_item(client.batch("night"), 7.0), job_item(job)

    assert set(batch) == set(BatchItem.model_fields)
    assert set(item) == set(JobItem.model_fields)
    assert (batch["outcome"], batch["finish_expected_at"]) == ("succeeded", 7.0)
    assert item["clip"]["duration_s"] == round(job.spec.frames / job.spec.fps, 3)

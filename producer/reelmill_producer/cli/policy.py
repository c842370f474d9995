"""The command `policy`: the shares, limits and times of a batch, shown or changed."""

from __future__ import annotations

from datetime import datetime

from reelmill_common.ledger import BatchView
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.console import print_text
from reelmill_producer.cli.options import (
    After,
    AfterAny,
    BatchName,
    Expires,
    FinishBy,
    Json,
    MaxFailures,
    MaxInFlight,
    Priority,
    StartAfter,
    Weight,
)
from reelmill_producer.cli.output import print_json, time_text
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import batch_record
from reelmill_producer.prompts.policy_options import NONE, PolicyOptions


def policy(  # noqa: PLR0913 - one parameter an option
    batch: BatchName,
    *,
    priority: Priority = None,
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    max_failures: MaxFailures = "",
    start_after: StartAfter = "",
    expires: Expires = "",
    finish_by: FinishBy = "",
    after: After = None,
    after_any: AfterAny = None,
    json: Json = False,
) -> None:
    """Show a batch's policy, or change what is given.

    Acts on the next clip that starts. `none` removes a failure limit, a time, or the batches that it waits for.
    """
    change = PolicyOptions(
        priority=priority,
        weight=weight,
        max_in_flight=max_in_flight,
        max_failures=max_failures,
        start_after=start_after,
        expires=expires,
        finish_by=finish_by,
        after=after,
        after_any=after_any,
    ).change(datetime.now().astimezone())
    with reading() as farm:
        if change.given():
            farm.set_policy(batch, change)
        view = farm.batch(batch)
    if json:
        print_json(batch_record(view))
    else:
        print_text(_described(view))


def _described(view: BatchView) -> str:
    rows = [
        ("priority", str(view.priority)),
        ("weight", str(view.weight)),
        ("max in flight", str(view.max_in_flight or NONE)),
        ("owner", view.owner or NONE),
        ("window", view.window or NONE),
        ("max failures", view.max_failures or NONE),
        ("start after", time_text(view.start_after) if view.start_after else NONE),
        ("expires", time_text(view.expires_at) if view.expires_at else NONE),
        ("finish by", time_text(view.finish_by) if view.finish_by else NONE),
        ("after", " ".join(view.after) or NONE),
        ("after any", " ".join(view.after_any) or NONE),
        ("class", view.worker_class or NONE),
    ]
    return "\n".join(f"{name}: {printable(value)}" for name, value in rows)

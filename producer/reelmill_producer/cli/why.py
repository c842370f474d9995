"""The command `why`: the one cause for which a batch or a job does not go on, in a sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reelmill_producer.analysis.why import Reason, sentence
from reelmill_producer.analysis.why import why as explain
from reelmill_producer.cli.console import print_text
from reelmill_producer.cli.options import Json, Target
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def why(target: Target, *, json: Json = False) -> None:
    """Say in one sentence why a batch or a job does not go on, or how it does."""
    with reading() as farm:
        found, reason = explain(farm, target)
    text = sentence(found, reason)
    if json:
        print_json({"target": target, "state": found.state.value, "sentence": text, **_record(reason)})
    else:
        print_text(text)


def _record(reason: Reason) -> dict[str, Any]:
    """Return a reason as plain data; what does not belong to the cause is null or empty."""
    values = {name: value for name, value in asdict(reason).items() if name not in {"cause", "text", "of_batch"}}
    return {"cause": reason.cause.value, **values}

"""The command `why`: the one cause for which a batch or a job does not go on, in a sentence."""

from __future__ import annotations

from reelmill_producer.analysis.why import reason_record, sentence
from reelmill_producer.analysis.why import why as explain
from reelmill_producer.cli.console import print_text
from reelmill_producer.cli.options import Json, Target
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def why(target: Target, *, json: Json = False) -> None:
    """Say in one sentence why a batch or a job does not go on, or how it does."""
    with reading(target) as farm:
        found, reason = explain(farm, target)
    if json:
        print_json(reason_record(target, found, reason))
    else:
        print_text(sentence(found, reason))

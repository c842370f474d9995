"""The batch that a prompt file goes to by default. Each file has a batch of its own, whatever the file's name."""

from __future__ import annotations

from itertools import islice

from reelmill_common.errors import LedgerUnavailable, NotFound
from reelmill_common.jobs import job_id
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_common.text.names import MOST_CHARS, hashed, slug
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded import state_file
from reelmill_producer.prompts.files import PromptFile

LOOKED_AT = 100
"""Rows of a file by which the batch that an earlier version made of it is recognised."""


def name_of_batch(settings: Settings, prompts: PromptFile) -> str:
    """Return the name of a file's batch: its slug, with a hash of its name if another file's batch has that.

    An embedded farm that does not run cannot be asked; then it is the slug.
    """
    if settings.embedded and state_file.running(settings.state_dir) is None:
        return prompts.batch_name
    try:
        with Reelmill(settings) as farm:
            return batch_of_file(farm.ledger, prompts)
    except LedgerUnavailable:
        return prompts.batch_name  # the submit that follows reports what is wrong


def batch_of_file(ledger: Ledger, prompts: PromptFile) -> str:
    """Return the name of a file's batch on a farm: the name that it has there, or is to have."""
    if not prompts.source:
        return prompts.batch_name
    earlier = _name_of_earlier_versions(prompts.source)
    if earlier != prompts.batch_name and _source(ledger, earlier) == "" and _holds_some(ledger, earlier, prompts):
        return earlier
    source = _source(ledger, prompts.batch_name)
    if source in (None, prompts.source):
        return prompts.batch_name
    if source == "" and (prompts.source == prompts.batch_name or _holds_some(ledger, prompts.batch_name, prompts)):
        return prompts.batch_name  # an earlier version submitted it, or a person named it so
    return hashed(prompts.batch_name, prompts.source)


def _source(ledger: Ledger, batch: str) -> str | None:
    """Return the file that a batch is named after, empty if that is not known, or None without such a batch."""
    try:
        return ledger.batches.get(batch).source
    except NotFound:
        return None


def _holds_some(ledger: Ledger, batch: str, prompts: PromptFile) -> bool:
    """Whether a batch has any of a file's first rows."""
    rows = [(job.row, *job.others) for job in islice(prompts.jobs(batch), LOOKED_AT)]
    return bool(ledger.jobs.find([job_id(batch, row) for names in rows for row in names]))


def _name_of_earlier_versions(source: str) -> str:
    """Return the name that a file's batch had in versions that dropped all but Latin letters."""
    return slug("".join(sign if sign.isascii() else "-" for sign in source))[:MOST_CHARS]

"""Event names: all that the event stream can hold, with the meaning and the fields of each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

_KEY = "object key in the clip store, relative to its root"
_REQUEUED = (
    "`released`, `vanished` (its message), `resumed`, `retried`, `paused`, `policy`, `prioritized`, `expired`, "
    "`window`, `window_closing`, `worker_unfit`, `worker_resting`, `worker_quarantined`, `avoided` (it failed on that "
    "worker), or the error code of the failed attempt"
)


class EventName(StrEnum):
    """The name of an event: `noun.past_verb`. Names are public, in `watch --json` and in webhooks, and do not change.

    The functions in Lua write them by their text; a test holds Lua and Python to this list.

    Attributes:
        about: Which of batch, job and worker the event names; the others are empty.
        meaning: What happened, in a sentence.
        fields: Its other fields by name, each with meaning and unit; all are text in the stream.
    """

    about: tuple[str, ...]
    meaning: str
    fields: Mapping[str, str]

    def __new__(cls, name: str, about: str, meaning: str, fields: Mapping[str, str] | None = None) -> Self:
        """Make a member; `about` separates nouns by spaces."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.about, member.meaning, member.fields = tuple(about.split()), meaning, fields or {}
        return member

    JOB_DISPATCHED = (
        "job.dispatched", "batch job", "pump chose the job: its message goes to the broker.",
        {"priority": "priority that it was sent with, 0 to 9"},
    )  # fmt: skip
    JOB_CLAIMED = (
        "job.claimed", "batch job worker", "A worker took the job and holds its lease.",
        {"attempt": "number of the attempt, from 1"},
    )  # fmt: skip
    JOB_STAGED = (
        "job.staged", "batch job worker", "The worker began a stage of the job.",
        {"stage": "name of the stage, for example `denoise 2/3`"},
    )  # fmt: skip
    JOB_FINISHED = ("job.finished", "batch job worker", "The clip is published.", {"key": f"of the MP4: {_KEY}"})
    JOB_REUSED = (
        "job.reused", "batch job", "The job was answered with a clip that was there, unrendered.",
        {"key": f"of the MP4: {_KEY}", "from": "id of the job that rendered it"},
    )  # fmt: skip
    JOB_REQUEUED = (
        "job.requeued", "batch job worker", "The job waits again; a message about it that is under way is stale.",
        {"reason": _REQUEUED},
    )  # fmt: skip
    JOB_FAILED = (
        "job.failed", "batch job worker",
        "The job failed for good; `retry` queues it again.",
        {"code": "error code, or `expired`, `spec_missing`, `poison`",
         "message": "for people, at most 1,000 characters"},
    )  # fmt: skip
    JOB_HELD = ("job.held", "batch job", "A person holds the job back.")
    JOB_PRIORITIZED = (
        "job.prioritized", "batch job",
        "The job was given a priority of its own.", {"priority": "0 to 9, 9 most urgent"},
    )  # fmt: skip
    JOB_CANCEL_REQUESTED = (
        "job.cancel_requested", "batch job worker",
        "A running job shall stop; its worker hears of it at its next report.",
    )  # fmt: skip
    JOB_CANCELLED = ("job.cancelled", "batch job worker", "The job is cancelled, and nothing of it runs.")

    JOB_FORGOTTEN = ("job.forgotten", "batch job", "A person had the job forgotten; its clip stays where it is.")
    JOB_CHOSEN = (
        "job.chosen", "batch job", "A person marked the clip.",
        {"mark": "`favourite`, `reject`, or empty: none any more"},
    )  # fmt: skip
    BATCH_SUBMITTED = (
        "batch.submitted", "batch", "Jobs were added; one event for each chunk of at most 1,000.",
        {"count": "jobs that are new"},
    )  # fmt: skip
    BATCH_PAUSED = (
        "batch.paused", "batch", "A person paused the batch, or it used up `max_failures`.",
        {"reason": "why it paused itself; absent if a person did"},
    )  # fmt: skip
    BATCH_RESUMED = ("batch.resumed", "batch", "The pause is over.")
    BATCH_PRIORITIZED = ("batch.prioritized", "batch", "Its priority was changed.", {"priority": "0 to 9"})
    BATCH_POLICY_SET = (
        "batch.policy_set", "batch", "Its policy was changed.", {"changed": "fields of the batch's hash, by commas"},
    )  # fmt: skip
    BATCH_WINDOW_SET = (
        "batch.window_set", "batch", "It was given a window, or none.", {"window": "as written; empty for none"},
    )  # fmt: skip
    BATCH_WINDOW_OPENED = ("batch.window_opened", "batch", "Its window opened.")
    BATCH_WINDOW_SHUT = (
        "batch.window_shut", "batch", "Its window closed, or has no room for one more clip.",
        {"reason": "`window`, or `window_closing` if a clip would not be done in time"},
    )  # fmt: skip
    BATCH_START_CAME = ("batch.start_came", "batch", "The time came before which nothing of it was to start.")
    BATCH_RELEASED = ("batch.released", "batch", "All batches that it waited for have ended as it wanted.")
    BATCH_STUCK = (
        "batch.stuck", "batch",
        "A batch that it waits for ended with failed or cancelled jobs: a person has to decide.",
        {"after": "names of those batches, by commas"},
    )  # fmt: skip
    BATCH_EXPIRED = ("batch.expired", "batch", "It expired; its jobs that had not started failed with `expired`.")
    BATCH_FINISHED = ("batch.finished", "batch", "None of its jobs is left to do.")
    BATCH_REPORTED = ("batch.reported", "batch", "Its report is in the store.", {"key": f"of the page: {_KEY}"})
    BATCH_RESTORED = ("batch.restored", "batch", "It was lost, and is back from its archive.")
    BATCH_ARCHIVED = ("batch.archived", "batch", "Its archive is in the store.", {"key": f"of the archive: {_KEY}"})
    BATCH_PRUNED = ("batch.pruned", "batch", "The ledger forgot it and its jobs; its clips stay.")
    BATCH_MENDED = ("batch.mended", "batch", "A set of it was missing and was made again from its jobs.")

    WORKER_REGISTERED = ("worker.registered", "worker", "A worker started.", {"lane": "profile that it serves"})
    WORKER_READY = ("worker.ready", "worker", "It passed its start-up gate and may claim jobs.")
    WORKER_PAUSED = ("worker.paused", "worker", "A person paused it.")
    WORKER_RESUMED = ("worker.resumed", "worker", "A person ended its pause.")
    WORKER_RESTED = ("worker.rested", "worker", "Its window closed, or has no room for one more clip.")
    WORKER_WOKE = ("worker.woke", "worker", "Its window opened.")
    WORKER_QUARANTINED = (
        "worker.quarantined", "worker", "It failed its gate, or several jobs in a row: it may not claim.",
        {"reason": "for people"},
    )  # fmt: skip
    WORKER_FORGIVEN = ("worker.forgiven", "worker", "Its quarantine was lifted, by a person or by time.")
    WORKER_STALLED = (
        "worker.stalled", "worker", "It stopped fetching messages or making progress.",
        {"what": "what stopped", "action": "what its parent does about it"},
    )  # fmt: skip
    WORKER_LOST = ("worker.lost", "worker", "It has not reported for 10 s.")
    WORKER_RETURNED = ("worker.returned", "worker", "It reports again after it was lost.")
    WORKER_RETIRED = ("worker.retired", "worker", "It ended in order.")
    WORKER_FORGOTTEN = ("worker.forgotten", "worker", "A person removed its record.")
    WORKER_PRUNED = ("worker.pruned", "worker", "Its record was removed since it was silent for long.")

    SCHEDULE_PUT = ("schedule.put", "", "A schedule was added or replaced.", {"schedule": "its name"})
    SCHEDULE_PAUSED = ("schedule.paused", "", "A person paused it.", {"schedule": "its name"})
    SCHEDULE_RESUMED = ("schedule.resumed", "", "A person ended its pause.", {"schedule": "its name"})
    SCHEDULE_REMOVED = ("schedule.removed", "", "A person removed it; its batches stay.", {"schedule": "its name"})
    SCHEDULE_FIRED = ("schedule.fired", "batch", "A run began; `batch` is its batch.", {"schedule": "its name"})
    SCHEDULE_MISSED = (
        "schedule.missed", "", "A run was left out, because it was due too long ago.",
        {"schedule": "its name", "due": "time at which it was due, in Unix milliseconds"},
    )  # fmt: skip
    SCHEDULE_FAILED = (
        "schedule.failed", "batch", "A run could not be submitted.", {"schedule": "its name", "message": "for people"},
    )  # fmt: skip

    OWNER_SET = (
        "owner.set", "", "An owner's share or cap was changed.",
        {
            "owner": "its name", "weight": "share; empty: unchanged",
            "max_in_flight": "most jobs at once; 0: no cap; empty: unchanged",
        },
    )  # fmt: skip
    TOKEN_ADDED = (
        "token.added", "", "A token was made.",
        {"token": "its name", "role": "`viewer`, `submitter` or `operator`"},
    )  # fmt: skip
    TOKEN_REVOKED = ("token.revoked", "", "A token was revoked: who holds it is refused.", {"token": "its name"})
    WEBHOOK_DISABLED = (
        "webhook.disabled", "", "A webhook's receiver failed for days, or is gone: nothing more is sent to it.",
        {"webhook": "its id", "reason": "for people"},
    )  # fmt: skip
    LEDGER_KEY_MISSING = (
        "ledger.key_missing", "batch job",
        "A key is missing that others point to: evicted, deleted, or lost with a file.",
        {"kind": "what is missing: `job`, `spec`, `batch` or `waiting`"},
    )  # fmt: skip
    LEDGER_CLOCK_MOVED = (
        "ledger.clock_moved", "", "Redis' clock was set; leases and beats were moved along.",
        {"seconds": "by how much it was corrected, negative if the clock went back"},
    )  # fmt: skip

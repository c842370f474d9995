"""The schema: every key of the ledger, and every field of its hashes with type, unit and meaning.

Hashes of jobs have fields of one letter, because a farm keeps many of them (docs/decisions/0025). Nothing reads this at
run time: `docs/reference/ledger.md` is made from it, and a test holds Lua to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STATES = "q queued, h held, d dispatched, r running, x cancel requested, s succeeded, f failed, c cancelled"
"""The letters of a job's states, as all keys have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, or a family of keys.

    Attributes:
        type: Redis' type.
        meaning: What it holds; of a set the members, of a sorted set also the score.
        fields: The meaning of each field of a hash, by name. A name that ends in `*` stands for all that begin so.
    """

    type: str
    meaning: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])


_COUNTS = {
    "clips": "clips that were rendered and stored",
    "reused": "jobs that were answered with a clip that was there",
    "bytes": "bytes of the MP4s",
    "gpu": "GPU milliseconds of stored clips",
    "energy": "millijoules of stored clips whose GPU measures them",
    "metered": "stored clips whose energy is known",
    "waste": "GPU milliseconds of attempts that made no clip",
    "waste_energy": "millijoules of these",
}

KEYS: Mapping[str, Key] = {
    "job:ID": Key(
        type="hash",
        meaning="one job",
        fields={
            "s": f"state: {STATES}",
            "b": "name of its batch",
            "r": "key of its row in the batch",
            "l": "lane: profile, or `profile@class`",
            "n": "place in the order of submission of its batch, from 1",
            "g": "generation: grows with whatever makes messages about the job stale",
            "p": "priority that it was last dispatched with, 0 to 9; absent before",
            "o": "priority of its own, 0 to 9; absent: its batch's",
            "a": "attempts so far; first half of the fencing token",
            "z": "word of the last claim; second half of the fencing token",
            "k": "failures that count towards `REELMILL_MAX_ATTEMPTS`",
            "u": "last attempt under whose object keys another's clip may lie; absent: none",
            "w": "Celery node name of the worker that has or had it",
            "x": "stage that it is in while it runs, such as `denoise 2/3`; empty otherwise",
            "t0": "time of submission, Unix ms",
            "t1": "time of the last claim, Unix ms",
            "t2": "time of its end, Unix ms; absent while it is not final",
        },
    ),
    "spec:ID": Key(type="string", meaning="canonical JSON of what to render"),
    "meta:ID": Key(type="string", meaning="JSON of the row's metadata; absent if it has none"),
    "error:ID": Key(type="string", meaning="JSON of the last failure: `code`, `message`"),
    "result:ID": Key(type="string", meaning="JSON list of the values of `records.Result`, in its order"),
    "faults:ID": Key(
        type="hash",
        meaning="a job's failures, until it has a clip or is retried by a person",
        fields={
            "at": "time of the last failure for which job or worker may be to blame, Unix ms",
            "on": "workers on which it failed, as `,a,-b,`; `-`: that worker was at fault",
            "killed": "workers whose process died rendering it, in the same form",
            "*": "number of failures by error code",
        },
    ),
    "batch:NAME": Key(
        type="hash",
        meaning="one batch: policy, counters, and what keeps it from running",
        fields={
            "created": "time at which it was made, Unix ms",
            "done": "time at which nothing of it was left, Unix ms; absent while it goes on",
            "owner": "name of its owner; empty: the owner of batches that name none",
            "priority": "0 to 9, 9 most urgent",
            "weight": "share among the batches of its owner",
            "cap": "most jobs dispatched or running at once; 0: no cap",
            "class": "worker class that its jobs ask for; absent: none",
            "source": "name of the file that it is named after; absent: none",
            "lanes": "lanes of its jobs, by commas",
            "own": "priorities that single jobs were given, one digit each",
            "n": "jobs ever added",
            **dict.fromkeys("qhdrxsfc", "number of jobs in the state of that letter"),
            "paused": "1: paused",
            "why_paused": "why it paused itself, for people; absent if a person did",
            "max_failures": "failed jobs at which it pauses itself, or a share such as `5%`; empty or absent: no limit",
            "spent": "failed jobs that were counted towards `max_failures` since the last resume",
            "window": "hours in which it may run, as written; empty or absent: always",
            "shut": "1: its window is closed, or has no room for one more clip",
            "closes": "time at which its window closes next, Unix ms; empty: never",
            "start": "time before which nothing of it starts, Unix ms; empty or absent: none",
            "early": "1: that time has not come",
            "expires": "time after which nothing of it starts, Unix ms; empty or absent: none",
            "finish_by": "time by which all of it should be done, Unix ms; empty or absent: none",
            "after": "batches whose jobs must all have succeeded, by commas",
            "after_any": "batches that must have ended, by commas",
            "unmet": "those of both that it still waits for, by commas",
            "stuck": "those of `unmet` that ended otherwise than it wants, by commas",
            "recall": "time before which what was dispatched is taken back, Unix ms; absent: nothing is being",
            "recall_why": "reason of that, as events have it",
            "recall_at": "how far that is: cursor in `flight:BATCH`",
            "report": "object key of its report's page; absent: none was made yet",
            "archived": "`done` at the time of archiving, a space, object key of the archive",
            "v:*": "virtual time by profile, as it was when it last had a job chosen at its own priority",
            "cost:*": "what its clips cost, as in `account:OWNER` without the day",
        },
    ),
    "choices:BATCH": Key(
        type="hash",
        meaning="what people said of its clips; absent if they said nothing",
        fields={"*": "`f` favourite or `r` reject, and then the note, by id of the job"},
    ),
    "owner:NAME": Key(
        type="hash",
        meaning="one owner: policy and virtual times",
        fields={
            "weight": "share among owners; absent: 1",
            "cap": "most jobs dispatched or running at once; absent or 0: no cap",
            "n": "jobs dispatched or running",
            "c:*": "virtual time among its batches, by `PROFILE:PRIORITY`",
            "v:*": "virtual time of the owner, by `PROFILE:PRIORITY`, as it was when it last had a job chosen",
        },
    ),
    "account:OWNER": Key(
        type="hash",
        meaning="what an owner's clips cost; outlives the batches",
        fields={
            "*": "a count by `DAY:NAME`, DAY in days since 1970 (UTC), NAME: "
            + "; ".join(f"`{name}` {meaning}" for name, meaning in _COUNTS.items())
        },
    ),
    "worker:NAME": Key(
        type="hash",
        meaning="one worker",
        fields={
            "lane": "profile that it serves",
            "lanes": "all lanes that it serves, by commas; absent: its profile only",
            "state": "`starting`, `ready`, `draining`, `resting`, `paused` or `quarantined`",
            "info": "JSON of `WorkerInfo`",
            "seen": "time of the last beat, Unix ms",
            "reason": "why it is quarantined, for people",
            "since": "time at which it was quarantined, Unix ms",
            "may_return": "1: the quarantine is for failed jobs and may be lifted by time",
            "window": "hours in which it works, as written; empty: always",
            "until": "time at which its window closes, Unix ms; 0: it is closed; absent: it never closes",
            "waited": "milliseconds from dispatch to claim of its last job",
            "pace": "ms from claim to publication: a mean in which the newest clip counts a fifth",
            "spread": "mean distance of clips from `pace`, ms",
        },
    ),
    "lane:LANE": Key(
        type="hash",
        meaning="one lane",
        fields={
            "d*": "jobs dispatched at that priority, 0 to 9",
            "v*": "virtual time of a profile at that priority",
            "lost": "time at which a worker of it was last lost, Unix ms",
            "pace": "of a profile, as in `worker:NAME`",
            "spread": "of a profile, as in `worker:NAME`",
        },
    ),
    "schedule:NAME": Key(
        type="hash",
        meaning="one schedule",
        fields={
            "created": "Unix ms",
            "cron": "its cron expression",
            "zone": "its time zone",
            "catch_up": "what becomes of missed runs: `skip` or `once`",
            "policy": "JSON of the policy of its batches",
            "rows": "name of its rows, in `rows:NAME`",
            "jobs": "number of rows",
            "paused": "1: paused",
            "last": "time at which the last run began, Unix ms",
            "last_batch": "batch of that run",
            "error": "why its last run was not submitted; empty: it was",
        },
    ),
    "run:BATCH": Key(
        type="hash",
        meaning="a run of a schedule that is not submitted yet",
        fields={
            "schedule": "name of the schedule",
            "policy": "JSON of the batch's policy",
            "rows": "name of its rows, in `rows:NAME`",
            "taker": "token of the process that submits it",
        },
    ),
    "hook:ID": Key(
        type="hash",
        meaning="one webhook",
        fields={
            "config": "JSON of `notify.Webhook`",
            "created": "Unix ms",
            "failing": "time since which every attempt failed, Unix ms; absent: the last one did not",
            "rest": "time before which nothing is sent to it, Unix ms",
            "disabled": "why nothing is sent to it any more; absent: it is enabled",
            "dropped": "messages that were dropped because too many waited",
        },
    ),
    "notice:ID:MESSAGE": Key(
        type="hash",
        meaning="one message to a webhook",
        fields={
            "type": "name of the event",
            "body": "JSON that is sent",
            "n": "attempts to send it",
            "at": "time at which it was made, Unix ms",
        },
    ),
    "hook_sender": Key(
        type="hash",
        meaning="the process that sends to webhooks",
        fields={
            "holder": "its name",
            "until": "time at which its lease ends, Unix ms",
            "token": "number of the lease; an older one may not write",
        },
    ),
    "token:DIGEST": Key(
        type="hash",
        meaning="what a token allows; DIGEST is the SHA-256 of its random part, which is stored nowhere",
        fields={
            "name": "its name",
            "role": "`viewer`, `submitter` or `operator`",
            "owner": "the only owner whose batches it is for; absent: all",
            "created": "time at which it was made, Unix ms",
            "expires": "time from which it is refused, Unix ms; absent: never",
            "used": "time at which it was last used, Unix ms, up to five minutes early; absent: never",
        },
    ),
    "token_names": Key(type="hash", meaning="all tokens", fields={"*": "DIGEST of the token of that name"}),
    "meta": Key(type="hash", meaning="about the ledger itself", fields={"schema": "version of these keys"}),
    "missing": Key(
        type="hash",
        meaning="keys that others point to and that are missing; kept for a week",
        fields={"*": "time at which it was first missed, Unix ms, by kind and name"},
    ),
    "worn": Key(
        type="hash",
        meaning="prior attempts: what is left of pruned batches",
        fields={"*": "most attempts that a job of that batch had"},
    ),
    "made:PART": Key(
        type="hash",
        meaning="jobs with a clip, by the SHA-1 of their spec; PART is its first 3 digits",
        fields={"*": "id of the job, by the next 13 digits"},
    ),
    "events": Key(type="stream", meaning="the newest 50,000 events: `e` name, `b` batch, `j` job, `w` worker; fields"),
    "events:BATCH": Key(type="stream", meaning="its events under the same ids, and stages, while it is watched"),
    "stages": Key(type="stream", meaning="stages of all jobs, while they are watched"),
    "watched, watched:BATCH": Key(
        type="string", meaning="the stages, or the batch, are watched; id of the last event before that began"
    ),
    "rates": Key(
        type="hash",
        meaning="what ended in the last hour, by minute",
        fields={"*": "`N:n` clips stored, `N:f` jobs failed, `N:t` first claim or end, Unix ms; N: minutes since 1970"},
    ),
    "rates:BATCH": Key(
        type="hash",
        meaning="the same of a batch by five minutes, without failures; ends after two hours",
        fields={"*": "as in `rates`; N: spans of five minutes since 1970"},
    ),
    "batches": Key(type="sorted set", meaning="all batches by time of creation"),
    "order:BATCH": Key(type="list", meaning="ids of its jobs in the order of submission"),
    "waiting:BATCH:LANE": Key(type="sorted set", meaning="its queued jobs on a lane by place (`n`)"),
    "waiting:BATCH:LANE:PRIORITY": Key(type="sorted set", meaning="those with a priority of their own"),
    "hold:BATCH:LANE": Key(type="sorted set", meaning="its held jobs by place (`n`)"),
    "flight:BATCH": Key(type="set", meaning="its jobs that are dispatched or running"),
    "retry:BATCH": Key(type="sorted set", meaning="its failed and cancelled jobs by place (`n`)"),
    "dependants:BATCH": Key(type="set", meaning="batches that wait for it"),
    "sent": Key(type="sorted set", meaning="dispatched jobs by time of dispatch"),
    "leases": Key(type="sorted set", meaning="running jobs by the end of their lease"),
    "held:WORKER": Key(type="set", meaning="jobs under its leases"),
    "streak:WORKER": Key(type="list", meaning="its failures since its last clip, each as `ID CODE`"),
    "owners": Key(type="set", meaning="names of all owners"),
    "share:LANE:PRIORITY:OWNER": Key(type="sorted set", meaning="its batches that may run, by virtual time"),
    "ready:LANE:PRIORITY": Key(type="sorted set", meaning="owners below their cap with such batches, by virtual time"),
    "levels:LANE": Key(type="set", meaning="priorities at which an owner is ready"),
    "spots:OWNER": Key(type="set", meaning="`LANE:PRIORITY` at which it has batches that may run"),
    "classes:PROFILE": Key(type="set", meaning="lanes of its classes that have work"),
    "workers": Key(type="set", meaning="names of all workers"),
    "beats": Key(type="sorted set", meaning="workers by their last beat"),
    "lost": Key(type="sorted set", meaning="workers that fell silent, by the time at which that was noticed"),
    "live:LANE": Key(type="sorted set", meaning="its ready workers by their last beat"),
    "paused_workers": Key(type="set", meaning="workers that a person paused"),
    "served": Key(type="set", meaning="lanes that were ever served"),
    "name:WORKER": Key(type="string", meaning="machine that took the name; ends after a minute"),
    "starts, expiries, windows": Key(type="sorted set", meaning="batches by their start, expiry or next window change"),
    "recalls": Key(type="sorted set", meaning="batches whose dispatched jobs are being taken back, by time"),
    "unreported": Key(type="sorted set", meaning="batches that have ended and have no report, by the time it is due"),
    "schedule_names": Key(type="set", meaning="names of all schedules"),
    "schedules": Key(type="sorted set", meaning="schedules that are not paused, by their next run"),
    "runs": Key(
        type="sorted set", meaning="runs that are not submitted, by the time from which any process may submit them"
    ),
    "rows:NAME": Key(type="list", meaning="pieces of a schedule's rows"),
    "hooks": Key(type="set", meaning="ids of all webhooks"),
    "hook_due:ID, hook_kept:ID": Key(type="sorted set", meaning="messages to send, and those that have ended, by time"),
    "hook_log": Key(type="stream", meaning="the newest 5,000 attempts to send a message"),
    "hook_cursor": Key(type="string", meaning="id of the last event that was turned into messages"),
    "withdrawn:OBJECT:WORD": Key(type="string", meaning="an attempt takes this clip back; ends after an hour"),
    "identity": Key(type="string", meaning="tells this ledger from any other, also from an earlier one of the farm"),
    "clock": Key(type="string", meaning="Redis' time at the last reap, Unix ms"),
    "settled": Key(type="string", meaning="written by `submit` to wait for the disk"),
    "looked, mended, mend_from, mend_sent, mend_leases, mend_beats, prune_turn, copy_turn": Key(
        type="string", meaning="when, and where, housekeeping goes on"
    ),
}
"""By name; before each stands `reelmill:{FARM}:`. Times and scores are Unix milliseconds on Redis' clock."""

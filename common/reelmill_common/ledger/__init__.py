"""The ledger: the record of every batch, job, attempt and worker, kept in Redis and changed only by Lua functions.

It imports jobs, settings and what lies below them; services, reports and notifications import it.
"""

from reelmill_common.ledger.event_names import EventName
from reelmill_common.ledger.ledger import Ledger
from reelmill_common.ledger.marks import ClipChoice, ClipMark
from reelmill_common.ledger.overview import Memory
from reelmill_common.ledger.policy import PolicyChange
from reelmill_common.ledger.records import (
    Account,
    BatchView,
    Claimed,
    Dispatch,
    Event,
    JobView,
    Orders,
    OwnerView,
    QueuePlace,
    Refused,
    Result,
    Spent,
    Submitted,
    Wait,
    WorkerState,
    WorkerView,
)
from reelmill_common.ledger.snapshot import FarmSnapshot
from reelmill_common.ledger.stats import QueueStats
from reelmill_common.ledger.worker_info import WorkerInfo

__all__ = [
    "Account",
    "BatchView",
    "Claimed",
    "ClipChoice",
    "ClipMark",
    "Dispatch",
    "Event",
    "EventName",
    "FarmSnapshot",
    "JobView",
    "Ledger",
    "Memory",
    "Orders",
    "OwnerView",
    "PolicyChange",
    "QueuePlace",
    "QueueStats",
    "Refused",
    "Result",
    "Spent",
    "Submitted",
    "Wait",
    "WorkerInfo",
    "WorkerState",
    "WorkerView",
]

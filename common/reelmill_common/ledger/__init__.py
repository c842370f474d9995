"""The ledger: the record of every batch, job, attempt and worker, kept in Redis and changed only by Lua functions."""

from reelmill_common.ledger.board import Board
from reelmill_common.ledger.ledger import Ledger
from reelmill_common.ledger.policy import PolicyChange
from reelmill_common.ledger.records import (
    Account,
    BatchView,
    Claimed,
    Dispatch,
    Event,
    JobView,
    Memory,
    Orders,
    OwnerView,
    Place,
    Refused,
    Result,
    Spent,
    Submitted,
    Wait,
    WorkerState,
    WorkerView,
)
from reelmill_common.ledger.stats import Census

__all__ = [
    "Account",
    "BatchView",
    "Board",
    "Census",
    "Claimed",
    "Dispatch",
    "Event",
    "JobView",
    "Ledger",
    "Memory",
    "Orders",
    "OwnerView",
    "Place",
    "PolicyChange",
    "Refused",
    "Result",
    "Spent",
    "Submitted",
    "Wait",
    "WorkerState",
    "WorkerView",
]

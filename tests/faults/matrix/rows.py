"""All rows of the matrix in the order of the page."""

from __future__ import annotations

from faults.matrix import failover, processes, servers, soak, work

FAULTS = [*work.ROWS[:1], *processes.ROWS, *servers.ROWS, *failover.ROWS, *work.ROWS[1:], *soak.ROWS]
ORDER = [fault.name for fault in FAULTS]

"""Files by which a worker's child reports status, progress and counters to its parent.

May import `reelmill_common` only.
"""

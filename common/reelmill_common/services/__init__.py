"""Services on threads of their own, mostly of a worker's parent: pruning, reports, schedules, notifications.

Above all other folders.
"""

"""Services on threads of their own, mostly of a worker's parent: pruning, reports, schedules, notifications.

It may import every other folder of common; none imports it.
"""
